"""The command line's own parts: what it prints, and how it talks to a terminal.

``terminal`` (safe text, consoles, progress) and ``printers`` (one function per command, result to screen).
`evfr.cli` puts them together. Nothing below imports this package.
"""

"""The command line's own parts: what it reads, what it prints, and how it talks to a terminal.

``commands`` (which verb each command is), ``methods`` and ``source`` (options of methods, read without importing),
``options`` (signature to typer), ``settings`` (the configuration file), ``complete`` (shells), ``output`` (JSON,
errors, exit codes), ``printers`` (one function per command, result to screen), ``terminal`` (safe text, progress).
`evfr.cli` puts them together. Nothing below imports this package.
"""

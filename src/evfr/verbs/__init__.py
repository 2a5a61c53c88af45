"""The commands: one module and one function each, the same for Python and for the command line.

A verb reads its inputs, calls the families, writes files and returns a frozen value; it prints nothing. Its
positional parameters are the command's arguments, its keyword-only parameters the options, its docstring the help.
Modules here import nothing heavy until a verb runs. To add a command: write ``verbs/<name>.py`` with a function
``<name>``, and one line in the dict of ``evfr.cli``.
"""

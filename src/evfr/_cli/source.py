"""Read what the command line shows of a function from the text of its module, without importing it.

`evfr --help` needs one line of each command, and completion the options of a family's methods: importing them
would load numpy and more. A test holds what is read here equal to what the imported functions say.
"""

from __future__ import annotations
import __future__

import ast
import re
from collections.abc import Callable, Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any

import evfr
from evfr._core.signature import plain

__all__ = ["method_stubs", "read_summary"]

ROOT = Path(evfr.__file__).parent
SUMMARY = r'^def {name}\((?:.|\n)*?"""((?:.|\n)*?)(?:\n\s*\n|""")'
FUNCTION = r"^def {name}\((?:.*\n)(?:(?:[ \t)].*)?\n)*"


def read_summary(address: str) -> str:
    """Return the first paragraph of a function's docstring as plain text on one line.

    Parameters
    ----------
    address : str
        ``module:function``.

    Returns
    -------
    str
        Empty where the text does not show it: then the function must be imported.
    """
    module, _, name = address.partition(":")
    found = re.search(SUMMARY.format(name=re.escape(name)), _text(module), re.MULTILINE)
    return plain(" ".join(found[1].split())) if found else ""


def method_stubs(address: str) -> dict[str, Callable[..., object]] | None:
    """Return the functions of a family's dict by name: signature and docstring alone, nothing that can run.

    Parameters
    ----------
    address : str
        ``module:dict``.

    Returns
    -------
    dict of str to callable, or None
        None where the text does not show them all: then the dict must be imported.
    """
    module, _, name = address.partition(":")
    try:
        return {method: _stub(*place) for method, place in _entries(module, name)}
    except (LookupError, NameError, SyntaxError, AttributeError):
        return None


@lru_cache(maxsize=64)
def _text(module: str) -> str:
    """Return the text of a module of this package; empty where there is none to read."""
    package, *parts = module.split(".")
    path = ROOT.joinpath(*parts)
    for file in (path.with_suffix(".py"), path / "__init__.py"):
        if package == "evfr" and file.is_file():
            return file.read_text(encoding="utf-8")
    return ""


@lru_cache(maxsize=16)
def _tree(module: str) -> ast.Module:
    return ast.parse(_text(module))


def _imports(module: str) -> dict[str, tuple[str, str]]:
    """Map each name that a module imports from this package to (module, name there)."""
    found = {}
    for node in ast.walk(_tree(module)):
        if isinstance(node, ast.ImportFrom) and node.module:
            found.update({item.asname or item.name: (node.module, item.name) for item in node.names})
    return found


def _entries(module: str, name: str) -> Iterator[tuple[str, tuple[str, str]]]:
    """Yield (method, (module, function)) of a dict that stands in a module's text, or in its ``__getattr__``."""
    imports = _imports(module)
    literal = _dict_literal(module, name)
    for key, value in zip(literal.keys, literal.values, strict=True):
        if key is not None:
            function = value.id  # type: ignore[attr-defined]
            yield ast.literal_eval(key), imports.get(function, (module, function))
        elif isinstance(value, ast.Attribute):
            package, part = imports[value.value.id]  # type: ignore[attr-defined]
            yield from _entries(f"{package}.{part}", value.attr)
        else:
            yield from _entries(*imports[value.id])  # type: ignore[attr-defined]


def _dict_literal(module: str, name: str) -> ast.Dict:
    for node in ast.walk(_tree(module)):
        targets: list[Any] = []
        if isinstance(node, ast.AnnAssign):
            targets, value = [node.target], node.value
        elif isinstance(node, ast.Assign):
            targets, value = list(node.targets), node.value
        elif isinstance(node, ast.If) and ast.unparse(node.test) == f"name == {name!r}":
            return next(part.value for part in node.body if isinstance(part, ast.Return))  # type: ignore[return-value]
        if any(isinstance(target, ast.Name) and target.id == name for target in targets):
            return value  # type: ignore[return-value]
    raise LookupError(name)


def _stub(module: str, name: str) -> Callable[..., object]:
    """Return a function of the same signature and docstring with nothing in it."""
    found = re.search(FUNCTION.format(name=re.escape(name)), _text(module), re.MULTILINE)
    if found is None:
        return _stub(*_imports(module)[name])
    tree = ast.parse(found[0])
    function = tree.body[0]
    if not isinstance(function, ast.FunctionDef):
        raise LookupError(name)
    function.body = function.body[:1]
    namespace: dict[str, Any] = {"__builtins__": {}}
    # A default that is not a plain word raises NameError here, and the family is imported instead.
    flags = __future__.annotations.compiler_flag
    exec(compile(tree, module, "exec", flags=flags, dont_inherit=True), namespace)
    stub: Callable[..., object] = namespace[name]
    return stub

"""Read a function's signature and numpydoc text as command-line parameters, without importing what it names.

Annotations stay strings (``from __future__ import annotations``) and are read as syntax, so a verb may name
``np.ndarray`` or a callable in a union: the command line offers the members that a word can express.
"""

from __future__ import annotations

import ast
import inspect
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from textwrap import dedent
from typing import Any

__all__ = ["CommandSignature", "ParameterSpec", "convert", "read_docstring", "read_signature"]

_SCALARS: dict[str, Callable[[str], object]] = {"int": int, "float": float, "str": str, "Path": Path}
_SEQUENCES = {"Sequence", "Iterable", "Collection", "list", "tuple"}
_METAVARS = {"int": "INT", "float": "FLOAT", "str": "TEXT", "Path": "PATH"}


@dataclass(frozen=True, slots=True)
class ParameterSpec:
    """Describe one parameter of a verb as the command line offers it.

    Attributes
    ----------
    name : str
        The Python name.
    is_argument : bool
        Whether it is positional in Python, hence an argument; otherwise an option.
    is_sequence : bool
        Whether it takes several values: an argument repeats, an option repeats and splits at commas.
    is_mapping : bool
        Whether it takes ``NAME=VALUE``, repeatable.
    is_flag : bool
        Whether it is a bool: no value on the command line.
    is_optional : bool
        Whether None is allowed.
    is_required : bool
        Whether it has no default.
    types : tuple of str
        Scalar types a word is read as, tried in this order: of ``int``, ``float``, ``str``, ``Path``.
    choices : tuple of str
        Allowed literal words, tried before ``types``.
    default : object
        The default of the signature; None where required.
    help : str
        The parameter's numpydoc text, one paragraph per line.
    section : str
        The numpydoc section it stands in: "Parameters" or "Other Parameters".
    """

    name: str
    is_argument: bool
    is_sequence: bool
    is_mapping: bool
    is_flag: bool
    is_optional: bool
    is_required: bool
    types: tuple[str, ...]
    choices: tuple[str, ...]
    default: Any
    help: str
    section: str

    @property
    def option(self) -> str:
        """The option's long name: ``min_gap_seconds`` is ``--min-gap-seconds``, ``from_`` is ``--from``."""
        return "--" + self.name.rstrip("_").replace("_", "-")

    @property
    def takes_none(self) -> bool:
        """Whether the word ``none`` stands for None: it is allowed, and leaving the option out does not mean it."""
        return self.is_optional and self.default is not None and not (self.is_sequence or self.is_mapping)

    @property
    def has_many_choices(self) -> bool:
        """Whether the choices are too many to stand beside the option; the help lists them instead."""
        return len("|".join(self.choices)) > 60

    @property
    def metavar(self) -> str:
        """What stands for the value in help and usage."""
        choices = [self.name.upper()] if self.has_many_choices else list(self.choices)
        words = [*choices, *(_METAVARS[kind] for kind in self.types)]
        words += ["none"] * self.takes_none
        if "PATH" in words and "TEXT" in words:
            words.remove("TEXT")
        word = "|".join(words)
        if self.is_mapping:
            return f"NAME={word}"
        if self.is_sequence and not self.is_argument and "Path" not in self.types:
            return f"{word},..."
        return word


@dataclass(frozen=True, slots=True)
class CommandSignature:
    """Hold what a verb offers to the command line: its text and its parameters in order."""

    name: str
    summary: str
    description: str
    parameters: tuple[ParameterSpec, ...]


def read_signature(function: Callable[..., object], *, skip: Sequence[str] = ()) -> CommandSignature:
    """Read a function's parameters and numpydoc text.

    Parameters
    ----------
    function : callable
        Its positional parameters become arguments, its keyword-only ones options.
    skip : sequence of str
        Names of parameters to leave out.

    Returns
    -------
    CommandSignature
        In signature order.

    Raises
    ------
    TypeError
        If a parameter has no annotation, or one of which no member can be given as a word.
    """
    summary, description, texts = read_docstring(function)
    parameters: list[ParameterSpec] = []
    for parameter in inspect.signature(function).parameters.values():
        if parameter.name in skip:
            continue
        if parameter.kind is parameter.VAR_KEYWORD:
            raise TypeError(f"{function.__qualname__}: **{parameter.name} cannot become options; name them")
        parameters.append(_read_parameter(function, parameter, texts.get(parameter.name, ("", "Parameters"))))
    names = {spec.name: spec.name.upper() if spec.is_argument else spec.option for spec in parameters}
    return CommandSignature(
        function.__name__,
        plain(summary, names),
        _say_options(plain(description, names), names),
        tuple(
            replace(spec, help=_say_none(spec, _say_options(plain(spec.help, names), names)))
            for spec in parameters
        ),
    )


def _say_none(spec: ParameterSpec, text: str) -> str:
    """Say what None means in words of the command line."""
    said = re.sub(r"\bNone\b", "none" if spec.takes_none else "leaving it out", text)
    return re.sub(r"(^|\. )leaving it out", r"\1Leaving it out", said)


def _say_options(text: str, names: Mapping[str, str]) -> str:
    """Name a parameter that a text names in capitals, as ``OUT_FORMAT``, by its option."""

    def shown(match: re.Match[str]) -> str:
        option = names.get(match[0].lower(), "")
        return option if option.startswith("--") else match[0]

    return re.sub(r"\b[A-Z][A-Z_]{2,}\b", shown, text)


def _read_parameter(
    function: Callable[..., object], parameter: inspect.Parameter, text: tuple[str, str]
) -> ParameterSpec:
    where = f"{function.__qualname__}({parameter.name})"
    if parameter.annotation is parameter.empty:
        raise TypeError(f"{where} has no annotation; the command line cannot know its type")
    members = list(_members(ast.parse(_as_text(parameter.annotation), mode="eval").body))
    is_sequence = parameter.kind is parameter.VAR_POSITIONAL
    is_mapping = is_flag = is_optional = False
    kinds: list[str] = []
    choices: list[str] = []
    for member in members:
        name = _name(member.value if isinstance(member, ast.Subscript) else member)
        inner = list(_arguments(member))
        if name == "None":
            is_optional = True
        elif name == "bool":
            is_flag = True
        elif name in _SEQUENCES and inner:
            is_sequence = True
            inner = [part for element in inner for part in _members(element)]
            kinds += [n for n in map(_name, inner) if n in _SCALARS]
            choices += [choice for part in inner for choice in _literals(part)]
        elif name == "Mapping" and len(inner) == 2:
            is_mapping = True
            kinds += [n for n in map(_name, _members(inner[1])) if n in _SCALARS] or ["str"]
        elif name == "Literal":
            choices += _literals(member)
        elif name in _SCALARS:
            kinds.append(name)
    if not (is_flag or kinds or choices):
        raise TypeError(f"{where}: {_as_text(parameter.annotation)} cannot be given on the command line")
    default = None if parameter.default is parameter.empty else parameter.default
    return ParameterSpec(
        name=parameter.name,
        is_argument=parameter.kind is not parameter.KEYWORD_ONLY,
        is_sequence=is_sequence,
        is_mapping=is_mapping,
        is_flag=is_flag and not (kinds or choices),
        is_optional=is_optional,
        is_required=parameter.default is parameter.empty and parameter.kind is not parameter.VAR_POSITIONAL,
        types=tuple(sorted(dict.fromkeys(kinds), key=list(_SCALARS).index)),
        choices=tuple(dict.fromkeys(choices)),
        default=default,
        help=text[0],
        section=text[1],
    )


def _as_text(annotation: object) -> str:
    if isinstance(annotation, str):
        return annotation
    return annotation.__name__ if isinstance(annotation, type) else str(annotation).replace("typing.", "")


def _members(node: ast.expr) -> Iterator[ast.expr]:
    """Yield the members of ``A | B``, ``Union[A, B]`` and ``Optional[A]``."""
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.BitOr):
        yield from _members(node.left)
        yield from _members(node.right)
    elif isinstance(node, ast.Subscript) and _name(node.value) in {"Union", "Optional"}:
        for part in _arguments(node):
            yield from _members(part)
        if _name(node.value) == "Optional":
            yield ast.Constant(None)
    else:
        yield node


def _arguments(node: ast.expr) -> Iterator[ast.expr]:
    if isinstance(node, ast.Subscript):
        yield from node.slice.elts if isinstance(node.slice, ast.Tuple) else [node.slice]


def _name(node: ast.expr) -> str:
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute):
        return node.attr
    return "None" if isinstance(node, ast.Constant) and node.value is None else ""


def _literals(node: ast.expr) -> list[str]:
    if isinstance(node, ast.Subscript) and _name(node.value) == "Literal":
        return [str(ast.literal_eval(part)) for part in _arguments(node)]
    return []


def convert(spec: ParameterSpec, words: Sequence[str]) -> Any:
    """Turn the words given for one parameter into the value that its annotation asks for.

    Parameters
    ----------
    spec : ParameterSpec
        The parameter; not a flag.
    words : sequence of str
        One word, or several for a sequence or mapping.

    Returns
    -------
    object
        A scalar, a tuple (sequence) or a dict (mapping).

    Raises
    ------
    ValueError
        If a word fits none of the types; the text says what is allowed.
    """
    if spec.is_mapping:
        pairs = [word.partition("=") for word in words]
        for name, equals, _ in pairs:
            if not name or not equals:
                raise ValueError(f"{name!r} is not NAME=VALUE")
        return {name: _convert_word(spec, value) for name, _, value in pairs}
    if spec.is_sequence:
        if not spec.is_argument and "Path" not in spec.types:
            words = [part.strip() for word in words for part in word.split(",") if part.strip()]
        return tuple(_convert_word(spec, word) for word in words)
    if len(words) != 1:
        raise ValueError(f"one value expected, got {len(words)}")
    return _convert_word(spec, words[0])


def _convert_word(spec: ParameterSpec, word: str) -> object:
    if word in spec.choices:
        return word
    if spec.takes_none and word == "none":
        return None
    for kind in spec.types:
        try:
            return _SCALARS[kind](word)
        except ValueError:
            continue
    allowed = [", ".join(spec.choices)] if spec.choices else []
    nouns = {"int": "a whole number", "float": "a number", "Path": "a path"}
    allowed += [nouns[kind] for kind in spec.types if kind in nouns]
    allowed += ["none"] * spec.takes_none
    raise ValueError(f"{word!r} is not allowed; give {' or '.join(allowed)}")


_SECTION = re.compile(r"^([A-Z][A-Za-z ]+)\n-{3,}\n", re.MULTILINE)


def read_docstring(function: Callable[..., object]) -> tuple[str, str, Mapping[str, tuple[str, str]]]:
    """Split a numpydoc docstring into what help shows.

    Parameters
    ----------
    function : callable
        With a numpydoc docstring, or none.

    Returns
    -------
    summary : str
        The first paragraph on one line.
    description : str
        The text between the summary and the first section.
    parameters : mapping
        Name to (text, section); paragraphs are separated by a blank line, lines inside are joined.
    """
    parts = _SECTION.split(inspect.cleandoc(function.__doc__ or "") + "\n")
    summary, _, description = parts[0].partition("\n\n")
    texts: dict[str, tuple[str, str]] = {}
    for title, body in zip(parts[1::2], parts[2::2], strict=True):
        if title not in {"Parameters", "Other Parameters"}:
            continue
        for entry in re.split(r"\n(?=\S)", body.strip("\n")):
            head, _, text = entry.partition("\n")
            names = head.partition(" : ")[0].split(",")
            joined = "\n\n".join(" ".join(p.split()) for p in re.split(r"\n\s*\n", dedent(text).strip()))
            for name in names:
                texts[name.strip().lstrip("*")] = (joined, title)
    return " ".join(summary.split()), description.strip(), texts


def plain(text: str, names: Mapping[str, str] | None = None) -> str:
    """Take the backticks of reStructuredText away, and name parameters as the command line does.

    Parameters
    ----------
    text : str
        Text of a docstring.
    names : mapping of str to str or None
        Parameter name to its name on the command line.

    Returns
    -------
    str
        Text for a terminal.
    """
    names = names or {}

    def shown(match: re.Match[str]) -> str:
        word = match[1] or match[2] or ""
        return names.get(word, word)

    return re.sub(r"``([^`]*)``|`([^`]*)`", shown, text)

"""Which method a command line chooses from a family's dict, and the options that come with it."""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from evfr._cli.commands import MethodFamily
from evfr._cli.source import method_stubs
from evfr._core.signature import CommandSignature, ParameterSpec, read_signature

__all__ = [
    "chosen_word",
    "load",
    "method_options",
    "offer_methods",
    "read_method_options",
    "refuse_options_of_others",
]


def load(address: str) -> Any:
    """Return what ``module:name`` stands for."""
    module, _, name = address.partition(":")
    return getattr(importlib.import_module(module), name)


def _functions(family: MethodFamily) -> Mapping[str, Any]:
    """Return the methods by name, to be looked at and not called."""
    return method_stubs(family.methods) or load(family.methods)


def read_method_options(family: MethodFamily, method: str) -> tuple[ParameterSpec, ...]:
    """Return the own keyword-only options of one method, for the command line.

    Parameters
    ----------
    family : MethodFamily
        Where the methods are.
    method : str
        A key of the family's dict.

    Returns
    -------
    tuple of ParameterSpec
        Without what the verb supplies.
    """
    return _own_options(family, method, load(family.methods)[method])


def _own_options(family: MethodFamily, method: str, function: Any) -> tuple[ParameterSpec, ...]:
    specs = read_signature(function, skip=family.supplied).parameters
    title = f"Options of {family.words(method)}"
    return tuple(replace(spec, section=title) for spec in specs if not spec.is_argument)


def method_options(family: MethodFamily) -> dict[str, tuple[ParameterSpec, ...]]:
    """Return the own options of every method of a family, read without importing it where that can be.

    Parameters
    ----------
    family : MethodFamily
        Where the methods are.

    Returns
    -------
    dict of str to tuple of ParameterSpec
        In the order of the family's dict.
    """
    return {name: _own_options(family, name, function) for name, function in _functions(family).items()}


def offer_methods(family: MethodFamily, signature: CommandSignature) -> CommandSignature:
    """Offer the keys of the family's dict as the words of the parameter that names a method.

    Parameters
    ----------
    family : MethodFamily
        Where the methods are.
    signature : CommandSignature
        Of the verb.

    Returns
    -------
    CommandSignature
        With the choices.
    """
    choices = tuple(_functions(family))
    return replace(
        signature,
        parameters=tuple(
            replace(spec, choices=choices, types=()) if spec.name == family.parameter else spec
            for spec in signature.parameters
        ),
    )


def chosen_word(family: MethodFamily, methods: Mapping[str, object], words: Sequence[str]) -> str | None:
    """Return the word by which a command line names a method, known or not; None where it names none.

    Parameters
    ----------
    family : MethodFamily
        Where the methods are.
    methods : mapping
        With their names as keys.
    words : sequence of str
        The command line up to ``--``, with the command first.

    Returns
    -------
    str or None
        For an argument, only a known name counts: typer says what is missing.
    """
    if family.is_argument:
        return next((word for word in words[1:] if word in methods), None)
    flag, chosen = f"--{family.parameter}", None
    for word, following in zip(words, [*words[1:], ""], strict=True):
        if word == flag:
            chosen = following
        elif word.startswith(f"{flag}="):
            chosen = word.partition("=")[2]
    return chosen


def refuse_options_of_others(
    family: MethodFamily,
    signature: CommandSignature,
    methods: Mapping[str, Sequence[ParameterSpec]],
    chosen: str,
    words: Sequence[str],
) -> None:
    """Raise if the words hold an option of a method that is not the chosen one.

    Parameters
    ----------
    family : MethodFamily
        Where the methods are.
    signature : CommandSignature
        Of the verb.
    methods : mapping of str to sequence of ParameterSpec
        Own options of each method.
    chosen : str
        The method that applies.
    words : sequence of str
        The command line up to ``--``.

    Raises
    ------
    ValueError
        Naming the option and whose it is.
    """
    known = {spec.option for spec in (*methods[chosen], *signature.parameters)}
    owners: dict[str, list[str]] = {}
    for method, specs in methods.items():
        for spec in specs:
            owners.setdefault(spec.option, []).append(method)
    for word in words:
        option = word.partition("=")[0]
        if option in owners and option not in known:
            raise ValueError(
                f"{option} is an option of {family.words(' and '.join(owners[option]))}, not of "
                f"{family.words(chosen)}; add {family.words(owners[option][0])} or leave it out"
            )

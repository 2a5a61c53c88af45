"""Take the options that the command line leaves out from a configuration file, by the rules of the command line.

A file holds words only: each value is turned into the words that would be typed and converted as those are. It has
one table per command with the long names of its options as keys, and the common options at its top. What nobody
named but lay in the current folder is trusted with less: see `NEVER_FOUND` and `_inside`.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from evfr._cli.options import is_repeated
from evfr._core.config_file import ConfigFile, find_config, read_config
from evfr._core.signature import ParameterSpec, convert

__all__ = [
    "COMMON_FLAGS",
    "NEVER_FOUND",
    "Setting",
    "Settings",
    "config_word",
    "load_config",
    "read_settings",
]

COMMON_FLAGS = ("json", "quiet", "debug")
NEVER_FOUND = {
    "allow-remote": "opens the network",
    "executor": "starts processes, also on a cluster",
    "model": "may name a program to run, or weights to fetch",
    "embedding": "may name weights to fetch",
    "session": "names a program of another package",
    "detector": "names a network to run",
    "detector-kind": "names a network to run",
    "remove-sources": "deletes files",
    "repair": "deletes files",
    "edit": "lets a web page write files",
    "open": "starts a web browser",
    "port": "opens a port",
}
"""Options that a file in the current folder may not set, and why: somebody else may have put it there."""


@dataclass(frozen=True, slots=True)
class Setting:
    """Hold one value that a file gives for one option.

    Attributes
    ----------
    value : object
        Converted as a word of the command line is.
    where : str
        File, table and key, for people.
    """

    value: Any
    where: str


@dataclass(frozen=True, slots=True)
class Settings:
    """Hold what a file says about one command.

    Attributes
    ----------
    flags : mapping of str to Setting
        The common options by name.
    options : mapping of str to Setting
        The command's own, and those of its method, by Python name.
    """

    flags: Mapping[str, Setting]
    options: Mapping[str, Setting]

    def apply(self, specs: Sequence[ParameterSpec]) -> tuple[ParameterSpec, ...]:
        """Return parameters with the file's value as default, so that help shows what applies."""
        return tuple(
            replace(spec, default=self.options[spec.name].value, is_required=False)
            if spec.name in self.options
            else spec
            for spec in specs
        )


def config_word(words: Sequence[str]) -> str | None:
    """Return what ``--config`` is given on a command line, or None."""
    for word, following in zip(words, [*words[1:], ""], strict=True):
        if word == "--":
            return None
        if word == "--config":
            return following
        if word.startswith("--config="):
            return word.partition("=")[2]
    return None


def load_config(words: Sequence[str], commands: Collection[str]) -> ConfigFile:
    """Read the configuration file that applies to a command line.

    Parameters
    ----------
    words : sequence of str
        The command line.
    commands : collection of str
        Names that a table may have.

    Returns
    -------
    ConfigFile
        Empty where there is no file.

    Raises
    ------
    ValueError
        If the file cannot be read, or holds a table or key of the top that means nothing.
    """
    path, is_found = find_config(config_word(words))
    if path is None:
        return ConfigFile()
    tables = read_config(path)
    for key, value in tables.items():
        if key in commands and not isinstance(value, dict):
            raise ValueError(f"{path}: {key} must be a table: write [{key}] and its options below")
        if key not in commands and key not in COMMON_FLAGS:
            kind = f"[{key}]" if isinstance(value, dict) else key
            known = [*commands, *COMMON_FLAGS]
            raise ValueError(
                f"{path}: {kind} means nothing here; {_nearest(key, known)}a table is named as a command, and the "
                f"top takes {', '.join(COMMON_FLAGS)}"
            )
    return ConfigFile(path, is_found, tables)


def read_settings(
    config: ConfigFile,
    command: str,
    specs: Sequence[ParameterSpec],
    methods: Mapping[str, Sequence[ParameterSpec]],
    chosen: str | None,
    say: Any = str,
) -> Settings:
    """Read the table of one command.

    Parameters
    ----------
    config : ConfigFile
        As `load_config` returns it.
    command : str
        Whose table.
    specs : sequence of ParameterSpec
        Parameters of its verb.
    methods : mapping of str to sequence of ParameterSpec
        Own options of each method that the command can take; empty where it takes none.
    chosen : str or None
        The method that applies.
    say : callable
        How a command line names a method.

    Returns
    -------
    Settings
        Converted values.

    Raises
    ------
    ValueError
        If a key is unknown, belongs to another method or may not stand in a file that was found, or a value is not
        allowed.
    """
    flags: dict[str, Setting] = {}
    options: dict[str, Setting] = {}
    top = {key: value for key, value in config.tables.items() if key in COMMON_FLAGS}
    for key, value in top.items():
        flags[key] = Setting(_flag(value, f"{config.path}: {key}"), f"{config.path}: {key}")
    table = dict(config.tables.get(command, {}))
    own = {spec.option[2:]: spec for spec in specs if not spec.is_argument}
    parts = [
        (name, table.pop(name)) for name in methods if isinstance(table.get(name), dict) and name not in own
    ]
    usable = {**own, **{spec.option[2:]: spec for spec in methods.get(chosen or "", ())}}
    for key, value in table.items():
        where = f"{config.path}: [{command}] {key}"
        if key in COMMON_FLAGS:
            flags[key] = Setting(_flag(value, where), where)
            continue
        if key not in usable:
            raise ValueError(f"{where} {_unknown(key, command, usable, methods, chosen, say)}")
        options[usable[key].name] = Setting(_convert(config, key, usable[key], value, where), where)
    for method, part in parts:
        of_method = {spec.option[2:]: spec for spec in methods[method]}
        for key, value in part.items():
            where = f"{config.path}: [{command}.{method}] {key}"
            if key not in of_method:
                raise ValueError(
                    f"{where} is no option of {say(method)}; {_nearest(key, of_method)}it has "
                    f"{', '.join(of_method) or 'none'}"
                )
            converted = _convert(config, key, of_method[key], value, where)
            if method == chosen:
                options[of_method[key].name] = Setting(converted, where)
    return Settings(flags, options)


def _unknown(
    key: str,
    command: str,
    usable: Mapping[str, ParameterSpec],
    methods: Mapping[str, Sequence[ParameterSpec]],
    chosen: str | None,
    say: Any,
) -> str:
    owners = [name for name, specs in methods.items() if any(spec.option[2:] == key for spec in specs)]
    if owners:
        return (
            f"is an option of {say(' and '.join(owners))}, not of {say(chosen)}; put it below "
            f"[{command}.{owners[0]}], where it waits for that method, or leave it out"
        )
    return f"is no option of evfr {command}; {_nearest(key, usable)}`evfr {command} -h` lists all"


def _nearest(key: str, known: Collection[str]) -> str:
    from difflib import get_close_matches

    found = get_close_matches(key.replace("_", "-"), list(known), n=1, cutoff=0.6)
    return f"did you mean {found[0]}? " if found else ""


def _flag(value: object, where: str) -> bool:
    if not isinstance(value, bool):
        raise ValueError(f"{where} must be true or false, got {value!r}")
    return value


def _convert(config: ConfigFile, key: str, spec: ParameterSpec, value: object, where: str) -> Any:
    """Turn a TOML value into words, and the words into the option's value as the command line does."""
    if config.is_found and key in NEVER_FOUND:
        raise ValueError(
            f"{where} {NEVER_FOUND[key]}: that is taken only from a file that you name; "
            f"add --config {config.path}, if the file is yours"
        )
    if spec.is_flag:
        return _flag(value, where)
    if spec.is_mapping and isinstance(value, dict):
        words = [f"{name}={_word(item, where)}" for name, item in value.items()]
    elif isinstance(value, list) and is_repeated(spec):
        words = [_word(item, where) for item in value]
    else:
        words = [_word(value, where)]
    if "Path" in spec.types:
        words = [_place(config, spec, word, where) for word in words]
    try:
        return convert(spec, words)
    except ValueError as error:
        raise ValueError(f"{where}: {error}") from error


def _word(value: object, where: str) -> str:
    """Return what a person would type for a TOML string or number."""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        kinds = {bool: "true or false", list: "a list", dict: "a table"}
        kind = kinds.get(type(value), "a date or time")
        raise ValueError(f"{where} must be a string or a number, got {kind}")
    try:
        return str(value)
    except ValueError as error:
        raise ValueError(f"{where}: this number has too many digits") from error


def _place(config: ConfigFile, spec: ParameterSpec, word: str, where: str) -> str:
    """Take a path from the file's folder on, with ``~`` as the user's home; addresses and plain words stay."""
    if config.path is None or word in spec.choices or (spec.takes_none and word == "none"):
        return word
    is_address = "://" in word
    if "\0" in word:
        raise ValueError(f"{where}: a path cannot hold the character NUL")
    home = word.startswith("~/")
    path = Path.home() / word[2:] if home else config.path.parent / word
    if "str" in spec.types and Path(word).name == word and not os.path.lexists(path):
        return word  # the name of something that evfr knows
    if config.is_found and (is_address or not _inside(path, config.path.parent)):
        raise ValueError(
            f"{where}: {word} leads out of the file's folder: that is taken only from a file that you name; "
            f"add --config {config.path}, if the file is yours"
        )
    return word if is_address else str(path)


def _inside(path: Path, folder: Path) -> bool:
    """Whether a path stays in a folder when all links are followed."""
    real = os.path.realpath(path)
    return os.path.commonpath([real, os.path.realpath(folder)]) == os.path.realpath(folder)

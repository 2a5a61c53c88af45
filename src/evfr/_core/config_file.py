"""Find and read the file of options that `evfr` takes where the command line gives none."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

__all__ = ["CONFIG_NAME", "CONFIG_VARIABLE", "NO_FILE", "ConfigFile", "find_config", "read_config"]

CONFIG_NAME = "evfr.toml"
CONFIG_VARIABLE = "EVFR_CONFIG"
NO_FILE = "none"
MOST_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class ConfigFile:
    """Hold a configuration file as read, its words not yet checked.

    Attributes
    ----------
    path : Path or None
        Where it is; None where there is no file.
    is_found : bool
        Whether it lay in the current folder, instead of being named by the user. Such a file may have come with
        somebody else's data, so less is taken from it.
    tables : mapping
        The content: keys of the top and one table per command.
    """

    path: Path | None = None
    is_found: bool = False
    tables: Mapping[str, Any] = field(default_factory=dict)


def find_config(
    given: str | None = None, environment: Mapping[str, str] = os.environ
) -> tuple[Path | None, bool]:
    """Say which configuration file applies.

    Parameters
    ----------
    given : str or None
        The word of ``--config``; ``"none"`` is no file at all.
    environment : mapping of str to str
        Asked for ``EVFR_CONFIG``, with the same words.

    Returns
    -------
    path : Path or None
        The file; None where there is none.
    is_found : bool
        Whether it is ``evfr.toml`` of the current folder, which nobody named.
    """
    named = environment.get(CONFIG_VARIABLE) if given is None else given
    if named:
        return (None if named == NO_FILE else Path(named)), False
    found = Path(CONFIG_NAME)
    return (found, True) if found.is_file() else (None, False)


def read_config(path: Path) -> dict[str, Any]:
    """Read a configuration file.

    Parameters
    ----------
    path : Path
        A TOML file of at most 1 MiB.

    Returns
    -------
    dict
        Its keys and tables.

    Raises
    ------
    ValueError
        If there is no such file, or it is too large or no TOML.
    """
    import tomllib

    if not path.is_file():  # a pipe or device would wait, or never end
        raise ValueError(f"{path}: there is no such configuration file; --config none reads none")
    size = path.stat().st_size
    if size > MOST_BYTES:
        raise ValueError(
            f"{path}: {size} bytes are too many for a configuration file of at most {MOST_BYTES}"
        )
    try:
        return tomllib.loads(path.read_bytes().decode("utf-8"))
    except RecursionError as error:
        raise ValueError(f"{path}: this is no configuration file: it is nested too deeply") from error
    except ValueError as error:
        raise ValueError(f"{path}: this is no TOML: {error}") from error

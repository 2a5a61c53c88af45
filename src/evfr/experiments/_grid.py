"""A grid of one's own, from a TOML file: arms, and which are compared."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import MISSING, fields
from pathlib import Path
from typing import Any

from evfr.errors import InputError
from evfr.experiments._arms import Arm, Comparison, split_sampler

__all__ = ["check_arms", "read_grid"]


def read_grid(path: str | Path) -> tuple[tuple[Arm, ...], tuple[Comparison, ...]]:
    """Read arms and comparisons from a TOML file.

    Parameters
    ----------
    path : path
        ``[[arm]]`` tables with the attributes of `Arm` (``sampler`` may carry its signal: ``"adaptive:ssim"``), and
        ``[[compare]]`` tables with ``arm`` and ``baseline``; without any, each arm is compared with the first.

    Returns
    -------
    (tuple of Arm, tuple of Comparison)
        The grid.

    Raises
    ------
    InputError
        If the file cannot be read, or has a key that means nothing or a value out of range.
    """
    try:
        data = tomllib.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(f"{path} is no readable TOML file: {error!s:.200}") from error
    _known(path, "the file", data, ("arm", "compare"))
    arms = tuple(_arm(path, number, table) for number, table in enumerate(_tables(path, data, "arm"), 1))
    if not arms:
        raise InputError(f"{path} has no [[arm]]")
    pairs = []
    for number, table in enumerate(_tables(path, data, "compare"), 1):
        pairs.append(_built(path, f"[[compare]] {number}", Comparison, {"kind": "ours", **table}))
    comparisons = tuple(pairs) or tuple(Comparison(arm.name, arms[0].name) for arm in arms[1:])
    try:
        check_arms(arms, comparisons)
    except ValueError as error:
        raise InputError(f"{path}: {error}") from error
    return arms, comparisons


def check_arms(arms: tuple[Arm, ...], comparisons: tuple[Comparison, ...]) -> None:
    """See that names are different and that comparisons name arms.

    Raises
    ------
    ValueError
        If not.
    """
    names = [arm.name for arm in arms]
    if twice := [name for name in names if names.count(name) > 1]:
        raise ValueError(f"each arm needs its own name, got {twice[0]!r} twice")
    for pair in comparisons:
        for name in (pair.arm, pair.baseline):
            if name not in names:
                raise ValueError(f"there is no arm {name!r} to compare; there are {', '.join(names)}")
        if pair.arm == pair.baseline:
            raise ValueError(f"arm {pair.arm!r} is compared with itself")


def _tables(path: str | Path, data: Mapping[str, Any], key: str) -> list[Mapping[str, Any]]:
    tables = data.get(key, [])
    if not isinstance(tables, list) or not all(isinstance(table, dict) for table in tables):
        raise InputError(f"{path}: {key} must be written as [[{key}]] tables")
    return tables


def _arm(path: str | Path, number: int, table: Mapping[str, Any]) -> Arm:
    where = f"[[arm]] {number}"
    values = dict(table)
    try:
        sampler, signal = split_sampler(str(values.get("sampler", "uniform")))
    except ValueError as error:
        raise InputError(f"{path}: {where}: {error}") from error
    arm: Arm = _built(
        path, where, Arm, {**values, "sampler": sampler, "signal": values.get("signal", signal)}
    )
    return arm


def _built(path: str | Path, where: str, kind: Any, values: Mapping[str, Any]) -> Any:
    known = {field.name: field for field in fields(kind)}
    _known(path, where, values, tuple(known))
    for name, field in known.items():
        if name not in values:
            if field.default is MISSING:
                raise InputError(f"{path}: {where} needs {name}")
            continue
        wanted = str(field.type)
        value = values[name]
        is_right = {
            "int": isinstance(value, int) and not isinstance(value, bool),
            "float": isinstance(value, int | float) and not isinstance(value, bool),
            "tuple[int, ...]": isinstance(value, list) and all(type(item) is int for item in value),
        }.get(wanted, isinstance(value, str))
        if not is_right:
            raise InputError(f"{path}: {where}: {name} must be {wanted}, got {value!r}")
    ready = {name: tuple(value) if isinstance(value, list) else value for name, value in values.items()}
    try:
        return kind(**ready)
    except ValueError as error:
        raise InputError(f"{path}: {where}: {error}") from error


def _known(path: str | Path, where: str, values: Mapping[str, Any], known: tuple[str, ...]) -> None:
    for name in values:
        if name not in known:
            raise InputError(f"{path}: {where} has no key {name!r}; it has {', '.join(known)}")

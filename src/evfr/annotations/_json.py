"""Read JSON that somebody else wrote: every value is checked, every error names the file and the entry."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

from evfr._core.atomic import atomic_write_bytes
from evfr.annotations._paths import read_bytes
from evfr.errors import AnnotationError

__all__ = [
    "attributes_of",
    "dump_json",
    "entries",
    "finite",
    "load_json",
    "optional_text",
    "peek_json",
    "whole",
]

_LARGEST = 2**63 - 1


def load_json(path: Path) -> Any:
    """Parse a JSON file; ``NaN`` and ``Infinity`` pass here and are refused where a number is asked for."""
    data = read_bytes(path)
    try:
        return json.loads(data)
    except RecursionError as error:
        raise AnnotationError(f"{path} is nested too deeply to be a label file") from error
    except ValueError as error:
        raise AnnotationError(f"{path} is no readable JSON: {error!s:.200}") from error


def dump_json(path: Path, data: Any) -> Path:
    """Write compact JSON atomically: ASCII only, no NaN."""
    text = json.dumps(data, separators=(",", ":"), ensure_ascii=True, allow_nan=False)
    atomic_write_bytes(path, text.encode("ascii") + b"\n")
    return path


def peek_json(path: Path) -> tuple[type, frozenset[str]]:
    """Return list or dict, and the keys of the dict or of the list's first entry; (NoneType, none) otherwise."""
    try:
        status = os.stat(path)  # noqa: PTH116
        return _peek(path, status.st_mtime_ns, status.st_size)
    except (AnnotationError, OSError):
        return type(None), frozenset()


@lru_cache(maxsize=4)  # several formats ask about one file in turn
def _peek(path: Path, _mtime: int, _size: int) -> tuple[type, frozenset[str]]:
    data = load_json(path)
    first = data[0] if isinstance(data, list) and data else data
    keys = frozenset(str(key) for key in first) if isinstance(first, dict) else frozenset()
    return type(data), keys


def entries(data: Any, key: str, where: str) -> list[Mapping[str, Any]]:
    """Return ``data[key]``, which must be a list of objects."""
    value = data.get(key) if isinstance(data, dict) else None
    if not isinstance(value, list):
        raise AnnotationError(f"{where}: {key!r} must be a list, got {type(value).__name__}")
    for number, entry in enumerate(value):
        if not isinstance(entry, dict):
            raise AnnotationError(f"{where}: {key}[{number}] must be an object, got {type(entry).__name__}")
    return value


def whole(entry: Mapping[str, Any], key: str, where: str, *, low: int = 0) -> int:
    """Return a whole number of ``low`` or more."""
    value = entry.get(key)
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= _LARGEST:
        raise AnnotationError(f"{where}: {key!r} must be a whole number of {low} or more, got {value!r:.80}")
    return value


def finite(value: Any, name: str, where: str) -> float:
    """Return a finite number."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        try:
            number = float(value)
        except OverflowError:
            number = math.inf
        if math.isfinite(number):
            return number
    raise AnnotationError(f"{where}: {name} must be a finite number, got {value!r:.80}")


def optional_text(entry: Mapping[str, Any], key: str, where: str) -> str:
    """Return a text, empty where the key is missing."""
    value = entry.get(key)
    if value is None:
        return ""
    if not isinstance(value, str):
        raise AnnotationError(f"{where}: {key!r} must be a text, got {value!r:.80}")
    return value


def attributes_of(value: Any, where: str, *, is_finite: bool = True) -> dict[str, str | int | float | bool]:
    """Return an object of texts, numbers and truth values; empty where there is none."""
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise AnnotationError(f"{where}: attributes must be an object, got {type(value).__name__}")
    for name, item in value.items():
        if not isinstance(item, str | int | float | bool) or (
            is_finite and isinstance(item, float) and not math.isfinite(item)
        ):
            raise AnnotationError(
                f"{where}: the attribute {name!r:.80} must be a text, a finite number or true/false, got {item!r:.80}"
            )
    return value

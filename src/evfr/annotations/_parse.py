"""Turn the words of label files into numbers and names, or say exactly what is wrong with them."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from evfr._core.annotations import SOURCES, Category, ObjectRow
from evfr.annotations._paths import read_bytes
from evfr.errors import AnnotationError

__all__ = [
    "category_of",
    "decode_text",
    "extra_facts",
    "named_categories",
    "number",
    "only_video",
    "plain",
    "read_text",
    "shown",
    "split_facts",
    "whole",
]

_WHOLE = re.compile(r"[+-]?[0-9]{1,18}(\.0*)?")
_LONGEST_NUMBER = 64


def shown(value: object) -> str:
    """Return a value as an error's text may show it: short."""
    text = repr(value) if not isinstance(value, str) or len(value) <= 60 else repr(value[:60]) + "..."
    return text[:120]


def whole(value: object, where: str, what: str, *, least: int | None = None, most: int | None = None) -> int:
    """Return a whole number, from text (``"12"``, ``"12.0"``) or a number of JSON.

    Parameters
    ----------
    value : object
        What the file says.
    where, what : str
        File and entry, and the field's name, for the error's text.
    least, most : int or None
        Limits.

    Returns
    -------
    int
        The number.

    Raises
    ------
    AnnotationError
        If it is no whole number of at most 18 digits, or outside the limits.
    """
    result: int | None = None
    if isinstance(value, str):
        text = value.strip()
        if len(text) <= _LONGEST_NUMBER and _WHOLE.fullmatch(text):
            result = int(text.partition(".")[0])
    elif isinstance(value, bool):
        result = None
    elif isinstance(value, int):
        result = value if abs(value) < 10**18 else None
    elif isinstance(value, float) and value.is_integer() and abs(value) < 2**53:
        result = int(value)
    if result is None:
        raise AnnotationError(f"{where}: {what} must be a whole number, got {shown(value)}")
    if (least is not None and result < least) or (most is not None and result > most):
        limits = (
            f"{least} or more"
            if most is None
            else f"{most} or less"
            if least is None
            else f"{least} to {most}"
        )
        raise AnnotationError(f"{where}: {what} must be {limits}, got {result}")
    return result


def number(value: object, where: str, what: str, *, least: float | None = None) -> float:
    """Return a finite number, from text or a number of JSON.

    Parameters
    ----------
    value : object
        What the file says.
    where, what : str
        File and entry, and the field's name, for the error's text.
    least : float or None
        The least allowed.

    Returns
    -------
    float
        The number.

    Raises
    ------
    AnnotationError
        If it is no number, not finite or too small.
    """
    result = math.nan
    if isinstance(value, str):
        if len(value) <= _LONGEST_NUMBER and "_" not in value:
            try:
                result = float(value)
            except ValueError:
                result = math.nan
    elif isinstance(value, (int, float)) and not isinstance(value, bool):
        try:
            result = float(value)
        except OverflowError:
            result = math.inf
    if not math.isfinite(result):
        raise AnnotationError(f"{where}: {what} must be a finite number, got {shown(value)}")
    if least is not None and result < least:
        raise AnnotationError(f"{where}: {what} must be {least:g} or more, got {result:g}")
    return result


def plain(value: float) -> str:
    """Return the shortest text that reads back as the same number, without a point where it is whole."""
    text = repr(float(value))
    return text.removesuffix(".0")


def decode_text(data: bytes, path: str | Path) -> str:
    """Return UTF-8 text (a byte order mark is dropped).

    Raises
    ------
    AnnotationError
        If the bytes are no UTF-8.
    """
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise AnnotationError(f"{path} is no UTF-8 text ({error.reason} at byte {error.start})") from error


def read_text(path: Path) -> str:
    """Read a whole UTF-8 text file.

    Raises
    ------
    AnnotationError
        If it cannot be read or is no UTF-8.
    """
    return decode_text(read_bytes(path), path)


def named_categories(names: Sequence[str]) -> tuple[Category, ...]:
    """Return categories 1, 2, ... of these names.

    Parameters
    ----------
    names : sequence of str
        Not empty, each once.

    Returns
    -------
    tuple of Category
        ``category_id`` is the place in the list, from 1.

    Raises
    ------
    ValueError
        If there is none, one is empty, or one comes twice.
    """
    if isinstance(names, str) or not names or not all(isinstance(name, str) and name for name in names):
        raise ValueError(f"categories must be a list of one name or more, got {names!r}")
    if len(set(names)) != len(names):
        raise ValueError(f"categories must differ from each other, got {list(names)}")
    return tuple(Category(place + 1, name) for place, name in enumerate(names))


def category_of(name: object, ids: Mapping[str, int], where: str) -> int:
    """Return the id of a category's name.

    Raises
    ------
    AnnotationError
        If the name is not known.
    """
    if not isinstance(name, str) or name not in ids:
        raise AnnotationError(
            f"{where}: unknown category {shown(name)}; known are {', '.join(list(ids)[:20]) or 'none'}: "
            "give categories=, all names in order"
        )
    return ids[name]


def only_video(videos: Sequence[Any], path: str | Path, format_name: str) -> Any:
    """Return the one video of labels that go into a file for one.

    Raises
    ------
    AnnotationError
        If there are none or several.
    """
    if len(videos) != 1:
        raise AnnotationError(
            f"a file of the format {format_name!r} holds one video, these labels have {len(videos)}; write each with "
            f"of_video(name) to a path of its own, not all to {path}"
        )
    return videos[0]


def extra_facts(row: ObjectRow) -> dict[str, str | int | float | bool]:
    """Return an object's attributes with what a format has no field for: source and trust, where not the default."""
    extra = dict(row.attributes)
    if row.source != "human":
        extra["evfr_source"] = row.source
    if not math.isnan(row.trust):
        extra["evfr_trust"] = row.trust
    return extra


def split_facts(
    attributes: Iterable[tuple[str, Any]], where: str, *, source: str = "human"
) -> tuple[dict[str, str | int | float | bool], str, float]:
    """Undo `extra_facts`.

    Parameters
    ----------
    attributes : iterable of (name, value)
        What the file says of one object.
    where : str
        File and entry, for the error's text.
    source : str
        The source where the file states none.

    Returns
    -------
    attributes : dict
        The rest.
    source : str
        One of `SOURCES`.
    trust : float
        NaN where there is none.

    Raises
    ------
    AnnotationError
        If a source is unknown, a trust no number, or a value neither text, number nor truth value.
    """
    rest: dict[str, str | int | float | bool] = {}
    trust = math.nan
    for name, value in attributes:
        if name == "evfr_source":
            if value not in SOURCES:
                raise AnnotationError(f"{where}: evfr_source must be one of {SOURCES}, got {shown(value)}")
            source = value
        elif name == "evfr_trust":
            trust = number(value, where, "evfr_trust")
        elif isinstance(value, (str, int, float)):
            rest[name] = value
        else:
            raise AnnotationError(
                f"{where}: attribute {name!r} must be a text, a number or true/false, got {shown(value)}"
            )
    return rest, source, trust

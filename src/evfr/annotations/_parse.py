"""Turn the words of label files into numbers and names, or say exactly what is wrong with them."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from evfr._core.annotations import NO_TRACK, SOURCES, Category, ObjectRow
from evfr.annotations._paths import read_bytes
from evfr.errors import AnnotationError

__all__ = [
    "FRAMES_MOST",
    "PIXELS_MOST",
    "category_of",
    "check_pixels",
    "check_rows_most",
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

FRAMES_MOST = 5_000_000
"""More frames than two days of video: a file that claims more is wrong, and would fill the memory."""
PIXELS_MOST = 1 << 26
"""Twice an 8K picture: larger ones are not made dense."""
_ROWS_MOST = 2_000_000
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


def check_pixels(height: int, width: int, where: str) -> None:
    """Refuse a picture that is too large to be made dense.

    Raises
    ------
    AnnotationError
        If it has more than `PIXELS_MOST` pixels.
    """
    if height * width > PIXELS_MOST:
        raise AnnotationError(
            f"{where}: {width}x{height} pixels are more than {PIXELS_MOST}; scale the labels down"
        )


def check_rows_most(count: int, where: str) -> None:
    """Refuse tracks that fill the memory when they are expanded to every frame.

    Raises
    ------
    AnnotationError
        If there are more than two million labels.
    """
    if count > _ROWS_MOST:
        raise AnnotationError(
            f"{where}: the tracks expand to more than {_ROWS_MOST} labels; check the length of the video, or "
            "split the file"
        )


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


def extra_facts(row: ObjectRow, *fields: str) -> dict[str, str | int | float | bool]:
    """Return an object's attributes with what a format has no field for, named ``evfr_...``, where not the default.

    Parameters
    ----------
    row : ObjectRow
        The object.
    *fields : {"source", "trust", "score", "is_crowd", "box", "untracked"}
        What the format has no field for.

    Returns
    -------
    dict
        Attributes that `split_facts` undoes.
    """
    extra = dict(row.attributes)
    if "source" in fields and row.source != "human":
        extra["evfr_source"] = row.source
    if "trust" in fields and not math.isnan(row.trust):
        extra["evfr_trust"] = row.trust
    if "score" in fields and not math.isnan(row.score):
        extra["evfr_score"] = row.score
    if "is_crowd" in fields and row.is_crowd:
        extra["evfr_is_crowd"] = True
    if "untracked" in fields and row.track_id == NO_TRACK:
        extra["evfr_untracked"] = True
    if "box" in fields and row.box_xyxy is not None and row.mask is not None:
        extra["evfr_box"] = " ".join(map(plain, row.box_xyxy))
    return extra


def split_facts(row: ObjectRow, attributes: Iterable[tuple[str, Any]], where: str) -> ObjectRow:
    """Return an object with its attributes, what `extra_facts` put among them back in its fields.

    Parameters
    ----------
    row : ObjectRow
        The object as the format's own fields say it.
    attributes : iterable of (name, value)
        What else the file says of it: texts, finite numbers, truth values.
    where : str
        File and entry, for the error's text.

    Returns
    -------
    ObjectRow
        The whole object.

    Raises
    ------
    AnnotationError
        If one of ours is none that `extra_facts` writes.
    """
    rest: dict[str, str | int | float | bool] = {}
    found: dict[str, Any] = {}
    for name, value in attributes:
        if name.startswith("evfr_") and value == "":
            continue  # a tool shows every attribute of a class, also on objects that a person drew
        if name == "evfr_source":
            if value not in SOURCES:
                raise AnnotationError(f"{where}: evfr_source must be one of {SOURCES}, got {shown(value)}")
            found["source"] = value
        elif name in ("evfr_trust", "evfr_score"):
            found[name.removeprefix("evfr_")] = number(value, where, name)
        elif name == "evfr_is_crowd":
            found["is_crowd"] = value in (True, "true", "True", "1")
        elif name == "evfr_untracked":
            found["track_id"] = NO_TRACK
        elif name == "evfr_box":
            corners = [number(part, where, "evfr_box") for part in str(value).split()]
            if len(corners) != 4:
                raise AnnotationError(f"{where}: evfr_box must be four numbers, got {shown(value)}")
            found["box_xyxy"] = tuple(corners)
        else:
            rest[name] = value
    return replace(row, attributes=rest, **found)

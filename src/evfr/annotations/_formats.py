"""What a label format is: two functions, its endings, and what it can hold."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, get_args

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from evfr._core.annotations import VideoAnnotations

__all__ = ["FACTS", "Fact", "Format"]

Fact = Literal[
    "boxes",
    "masks",
    "tracks",
    "categories",
    "score",
    "source",
    "trust",
    "is_crowd",
    "attributes",
    "empty_frames",
    "frame_numbers",
    "time",
    "file_names",
    "content_hash",
]
"""What a label file may or may not say; see `FACTS`."""

FACTS: tuple[Fact, ...] = get_args(Fact)
"""``boxes`` (as given, not only those of masks), ``masks``, ``tracks`` (ids), ``categories`` (ids and names),
``score``, ``source``, ``trust``, ``is_crowd``, ``attributes``, ``empty_frames`` (annotated, without objects),
``frame_numbers`` (which frame of the video), ``time`` (pts and time base), ``file_names``, ``content_hash``."""


@dataclass(frozen=True, slots=True)
class Format:
    """Hold one label format.

    Attributes
    ----------
    name : str
        Its key in `FORMATS`.
    read : callable
        ``read(path, *, <own options>) -> VideoAnnotations``; raises `AnnotationError`.
    write : callable
        ``write(annotations, path, *, <own options>) -> Path``; raises `AnnotationError`.
    suffixes : tuple of str
        Endings of its files in lower case, with the dot; ``""`` where it may be a folder.
    summary : str
        One line for people.
    keeps : frozenset of str
        Which of `FACTS` a file of this format can hold; the rest is lost in writing.
    recognises : callable or None
        ``recognises(path) -> bool``: whether the content looks like this format; asked by ``format="auto"`` among
        formats of the same ending. None: never chosen unless named.
    """

    name: str
    read: Callable[..., VideoAnnotations]
    write: Callable[..., Path]
    suffixes: tuple[str, ...]
    summary: str
    keeps: frozenset[Fact] = frozenset()
    recognises: Callable[[Path], bool] | None = None

"""What a label format is: two functions, its endings, and what it can hold."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, get_args

import numpy as np

from evfr._core.annotations import NO_TRACK

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from evfr._core.annotations import VideoAnnotations

__all__ = ["FACTS", "Fact", "Format", "stated_facts"]

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


def stated_facts(annotations: VideoAnnotations) -> tuple[Fact, ...]:
    """Return those of `FACTS` that labels say something about, in their order."""
    videos = annotations.videos
    boxes = annotations.boxes_xyxy
    has_mask = np.array([mask is not None for mask in annotations.masks], np.bool_)
    labelled = set(zip(annotations.video_row.tolist(), annotations.frame_index.tolist(), strict=True))
    stated: dict[Fact, bool] = {
        # The tight box of a mask follows from it.
        "boxes": any(
            mask is None or tuple(box) != mask.box_xyxy
            for box, mask in zip(boxes.tolist(), annotations.masks, strict=True)
            if box[0] == box[0]
        ),
        "masks": bool(has_mask.any()),
        "tracks": bool((annotations.track_id != NO_TRACK).any()),
        "categories": len(annotations.categories) > 1
        or any(c.name != "object" for c in annotations.categories),
        "score": not np.isnan(annotations.score).all(),
        "source": bool(annotations.source.any()),
        "trust": not np.isnan(annotations.trust).all(),
        "is_crowd": bool(annotations.is_crowd.any()),
        "attributes": any(annotations.attributes),
        "empty_frames": sum(len(video.frame_index) for video in videos) > len(labelled),
        "frame_numbers": bool(labelled),
        "time": any(video.time_base is not None for video in videos),
        "file_names": any(video.file_names for video in videos),
        "content_hash": any(video.content_hash for video in videos),
    }
    return tuple(fact for fact in FACTS if stated[fact])

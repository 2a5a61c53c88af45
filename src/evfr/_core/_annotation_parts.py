"""The parts of `evfr._core.annotations.VideoAnnotations`: videos, classes, single objects, the labels of one frame."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from fractions import Fraction
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from evfr._core.masks import Rle
from evfr._core.types import PTS_NONE
from evfr.errors import AnnotationError

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = [
    "NO_TRACK",
    "SOURCES",
    "AnnotatedVideo",
    "Category",
    "FrameLabels",
    "ObjectRow",
    "is_same",
    "owned_column",
]

NO_TRACK = -1
"""Stands for "this object is not followed over time"."""

SOURCES = ("human", "carried", "detected", "interpolated")
"""Who made a label: a person, propagation, a detector, or the interpolation of a labelling tool."""


@dataclass(frozen=True, slots=True)
class Category:
    """Name one class of objects.

    Attributes
    ----------
    category_id : int
        Its number in the file.
    name : str
        Its name.
    supercategory : str
        The group it belongs to; empty where there is none.
    """

    category_id: int
    name: str
    supercategory: str = ""


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class AnnotatedVideo:
    """Say which frames of a video were annotated, and how to find them again.

    Attributes
    ----------
    video_id : str
        Its name; unique in one `VideoAnnotations`.
    width, height : int
        Size of its upright pictures in pixels.
    frame_index : (F,) int64
        The annotated frames, increasing: those without an object as well.
    pts : (F,) int64
        Their time stamps in units of ``time_base``; `PTS_NONE` where unknown.
    time_base : Fraction or None
        Seconds per pts unit; None where no pts is known.
    frame_count : int or None
        Frames of the whole video, where known.
    content_hash : str
        Hash of the video's bytes, hex; empty where unknown.
    path : str
        Where the video was; empty where unknown.
    file_names : tuple of str
        Names of the F image files; empty where the frames are no files.

    Raises
    ------
    AnnotationError
        If the columns do not fit each other.
    """

    video_id: str
    width: int
    height: int
    frame_index: NDArray[np.int64]
    pts: NDArray[np.int64] = None  # type: ignore[assignment]  # filled below
    time_base: Fraction | None = None
    frame_count: int | None = None
    content_hash: str = ""
    path: str = ""
    file_names: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        index = owned_column(self.frame_index, np.int64)
        pts = (
            np.full(len(index), PTS_NONE, np.int64)
            if cast(Any, self.pts) is None
            else owned_column(self.pts, np.int64)
        )
        object.__setattr__(self, "frame_index", index)
        object.__setattr__(self, "pts", pts)
        where = f"video {self.video_id!r}"
        if self.width < 1 or self.height < 1:
            raise AnnotationError(
                f"{where}: the pictures need a size of 1x1 or more, got {self.width}x{self.height}; "
                "give the size of the video"
            )
        if len(index) and (index[0] < 0 or (np.diff(index) <= 0).any()):
            raise AnnotationError(f"{where}: annotated frames must be increasing numbers of 0 or more")
        if self.frame_count is not None and len(index) and index[-1] >= self.frame_count:
            raise AnnotationError(
                f"{where}: frame {int(index[-1])} is annotated, but the video has {self.frame_count} frames "
                f"(0 to {self.frame_count - 1}); check the numbering of the labels"
            )
        if len(pts) != len(index) or (self.file_names and len(self.file_names) != len(index)):
            raise AnnotationError(
                f"{where}: {len(index)} annotated frames need as many pts and file names, got {len(pts)} and "
                f"{len(self.file_names)}"
            )
        if self.time_base is None and (pts != PTS_NONE).any():
            raise AnnotationError(f"{where}: pts without a time base say nothing; give time_base")

    def __repr__(self) -> str:
        of = "" if self.frame_count is None else f" of {self.frame_count}"
        return f"AnnotatedVideo({self.video_id!r}, {len(self.frame_index)}{of} frames, {self.width}x{self.height})"

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, AnnotatedVideo):
            return NotImplemented
        return is_same(self, other)

    __hash__ = None  # type: ignore[assignment]


@dataclass(frozen=True, slots=True)
class ObjectRow:
    """Hold one object in one frame, as it is read or written one by one.

    Attributes
    ----------
    video_id : str
        The video.
    frame_index : int
        The frame, from 0.
    category_id : int
        Its class.
    track_id : int
        Which object over time; `NO_TRACK` where it is not followed.
    box_xyxy : tuple of four float, or None
        x0, y0, x1, y1 in pixels, right and bottom edges exclusive.
    mask : Rle or None
        Its pixels.
    score : float
        Confidence; NaN where there is none.
    source : str
        One of `SOURCES`.
    trust : float
        In [0, 1], how far a carried label can be believed; NaN where there is none.
    is_crowd : bool
        Whether it stands for a group that is not told apart.
    attributes : mapping
        What else a format says about it.
    """

    video_id: str
    frame_index: int
    category_id: int
    track_id: int = NO_TRACK
    box_xyxy: tuple[float, float, float, float] | None = None
    mask: Rle | None = None
    score: float = math.nan
    source: str = "human"
    trust: float = math.nan
    is_crowd: bool = False
    attributes: Mapping[str, str | int | float | bool] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class FrameLabels:
    """Hold the objects of one labelled frame.

    Attributes
    ----------
    frame_index : int
        The frame.
    track_ids, category_ids : (K,) int64
        Who they are.
    boxes_xyxy : (K, 4) float64
        Boxes in pixels, NaN where an object has none.
    masks : tuple of K Rle or None
        Masks where there are some.
    """

    frame_index: int
    track_ids: NDArray[np.int64]
    category_ids: NDArray[np.int64]
    boxes_xyxy: NDArray[np.float64]
    masks: tuple[Rle | None, ...]

    def __post_init__(self) -> None:
        n = len(self.masks)
        if not len(self.track_ids) == len(self.category_ids) == n or self.boxes_xyxy.shape != (n, 4):
            raise ValueError(
                f"one track, class and box per mask ({n}), got {len(self.track_ids)}, {len(self.category_ids)} "
                f"and {self.boxes_xyxy.shape}"
            )

    def __len__(self) -> int:
        return len(self.masks)

    def __repr__(self) -> str:
        masks = sum(mask is not None for mask in self.masks)
        return f"FrameLabels(frame {self.frame_index}, {len(self)} objects, {masks} masks)"


def owned_column(values: Any, dtype: Any) -> NDArray[Any]:
    """Return a read-only copy of a column in its dtype."""
    column = np.array(values, dtype=dtype)
    column.flags.writeable = False
    return column


def is_same(a: Any, b: Any) -> bool:
    """Whether two dataclass values have equal fields, NaN equal to NaN."""
    for item in fields(a):
        mine, theirs = getattr(a, item.name), getattr(b, item.name)
        if isinstance(mine, np.ndarray):
            if not np.array_equal(mine, theirs, equal_nan=mine.dtype.kind == "f"):
                return False
        elif mine != theirs:
            return False
    return True

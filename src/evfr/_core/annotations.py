"""Labels of objects in the frames of videos, as one plain value that every format is read into.

A row is one object in one frame. A frame that was looked at and holds nothing is an annotated frame without rows:
it says "nothing here", which an unlabelled frame does not.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
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
    "VideoAnnotations",
    "concatenate",
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
        index = _column(self.frame_index, np.int64)
        pts = (
            np.full(len(index), PTS_NONE, np.int64)
            if cast(Any, self.pts) is None
            else _column(self.pts, np.int64)
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
        return _same(self, other)

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


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class VideoAnnotations:
    """Hold labels of objects in frames of videos: one row per object and frame.

    Attributes
    ----------
    videos : tuple of AnnotatedVideo
        The videos.
    categories : tuple of Category
        The classes.
    video_row : (N,) int64
        Index into ``videos``.
    frame_index : (N,) int64
        The frame, one of the video's annotated frames.
    track_id : (N,) int64
        Which object over time; `NO_TRACK` where it is not followed.
    category_id : (N,) int64
        Its class.
    boxes_xyxy : (N, 4) float64
        x0, y0, x1, y1 in pixels, right and bottom edges exclusive; NaN where there is no box.
    masks : tuple of N Rle or None
        Masks; dense only where `masks_at` is asked.
    score : (N,) float64
        Confidence; NaN where there is none.
    source : (N,) int8
        Index into `SOURCES`.
    trust : (N,) float64
        In [0, 1]; NaN where there is none.
    is_crowd : (N,) bool
        Whether it stands for a group.
    attributes : tuple of N mappings, or empty
        What else a format says.

    Raises
    ------
    AnnotationError
        If the columns do not fit each other: an unknown frame or class, a track twice in a frame, a mask of another
        size than its video, a box that is not finite or upside down, a trust outside [0, 1].
    """

    videos: tuple[AnnotatedVideo, ...]
    categories: tuple[Category, ...]
    video_row: NDArray[np.int64]
    frame_index: NDArray[np.int64]
    track_id: NDArray[np.int64]
    category_id: NDArray[np.int64]
    boxes_xyxy: NDArray[np.float64]
    masks: tuple[Rle | None, ...]
    score: NDArray[np.float64]
    source: NDArray[np.int8]
    trust: NDArray[np.float64]
    is_crowd: NDArray[np.bool_]
    attributes: tuple[Mapping[str, str | int | float | bool], ...] = ()

    def __post_init__(self) -> None:
        n = len(self.masks)
        for name, dtype in _COLUMNS.items():
            column = _column(getattr(self, name), dtype)
            if column.shape != ((n, 4) if name == "boxes_xyxy" else (n,)):
                raise AnnotationError(
                    f"the column {name} must have {n} rows like masks, got {column.shape}; build all from the same rows"
                )
            object.__setattr__(self, name, column)
        if len(self.attributes) not in (0, n):
            raise AnnotationError(f"attributes must be empty or have {n} rows, got {len(self.attributes)}")
        names = [video.video_id for video in self.videos]
        if len(set(names)) != len(names):
            raise AnnotationError(f"each video needs its own name, got {_first_twice(names)!r} twice")
        ids = [category.category_id for category in self.categories]
        if len(set(ids)) != len(ids):
            raise AnnotationError(f"each category needs its own id, got {_first_twice(ids)} twice")
        if n and not 0 <= self.video_row.min() <= self.video_row.max() < len(self.videos):
            raise AnnotationError(f"video_row must lie in 0..{len(self.videos) - 1}")
        order = np.lexsort((np.arange(n), self.frame_index, self.video_row))
        if n and (np.diff(order) < 0).any():
            for name in _COLUMNS:
                column = getattr(self, name)[order]
                column.flags.writeable = False
                object.__setattr__(self, name, column)
            object.__setattr__(self, "masks", tuple(self.masks[row] for row in order))
            if self.attributes:
                object.__setattr__(self, "attributes", tuple(self.attributes[row] for row in order))
        self._check(ids)

    def _check(self, category_ids: Sequence[int]) -> None:
        for row, video in enumerate(self.videos):
            mine = self.frame_index[self.video_row == row]
            lost = mine[~np.isin(mine, video.frame_index)]
            if lost.size:
                raise AnnotationError(
                    f"video {video.video_id!r}: an object lies on frame {int(lost[0])}, which is not one of its "
                    f"{len(video.frame_index)} annotated frames"
                )
        unknown = ~np.isin(self.category_id, category_ids)
        if unknown.any():
            raise self._wrong(unknown, f"has an unknown category, known are {sorted(category_ids)[:20]}")
        if ((self.source < 0) | (self.source >= len(SOURCES))).any():
            raise AnnotationError(f"source must be an index into {SOURCES}")
        boxes = self.boxes_xyxy
        has_box = ~np.isnan(boxes).all(axis=1)
        wrong = has_box & (
            ~np.isfinite(boxes).all(axis=1) | (boxes[:, 2] < boxes[:, 0]) | (boxes[:, 3] < boxes[:, 1])
        )
        if wrong.any():
            raise self._wrong(wrong, "has a box that is not finite or has its corners exchanged")
        with np.errstate(invalid="ignore"):
            wrong = ~np.isnan(self.trust) & ~((self.trust >= 0) & (self.trust <= 1))
        if wrong.any():
            raise self._wrong(wrong, "has a trust outside 0..1")
        sizes = np.array([(video.height, video.width) for video in self.videos], np.int64).reshape(-1, 2)
        wrong = np.array(
            [
                mask is not None and (mask.height, mask.width) != tuple(sizes[self.video_row[row]])
                for row, mask in enumerate(self.masks)
            ],
            np.bool_,
        )
        if wrong.any():
            mask = self.masks[int(np.flatnonzero(wrong)[0])]
            assert mask is not None
            raise self._wrong(
                wrong,
                f"has a mask of {mask.width}x{mask.height} pixels, not of its video's size; scale the labels",
            )
        followed = np.flatnonzero(self.track_id != NO_TRACK)
        keys = np.stack([c[followed] for c in (self.video_row, self.frame_index, self.track_id)], axis=1)
        _, first = np.unique(keys, axis=0, return_index=True)
        if len(first) < len(keys):
            wrong = np.zeros(len(self), np.bool_)
            wrong[np.setdiff1d(followed, followed[first])] = True
            raise self._wrong(
                wrong, "has a track that is in this frame twice; give each object its own track"
            )

    def _wrong(self, rows: NDArray[np.bool_], text: str) -> AnnotationError:
        row = int(np.flatnonzero(rows)[0])
        more = int(rows.sum()) - 1
        return AnnotationError(
            f"video {self.videos[self.video_row[row]].video_id!r}, frame {int(self.frame_index[row])}: the object with "
            f"track {int(self.track_id[row])} and category {int(self.category_id[row])} {text}"
            + (f" ({more} more like it)" if more else "")
        )

    def __len__(self) -> int:
        return len(self.masks)

    def __repr__(self) -> str:
        masks = sum(mask is not None for mask in self.masks)
        return (
            f"VideoAnnotations({len(self.videos)} videos, {sum(len(v.frame_index) for v in self.videos)} annotated "
            f"frames, {len(self)} objects, {masks} masks, {len(self.categories)} categories)"
        )

    def equals(self, other: VideoAnnotations) -> bool:
        """Whether two values say the same, NaN equal to NaN.

        Parameters
        ----------
        other : VideoAnnotations
            What to compare with.

        Returns
        -------
        bool
            True if every column, video and category is equal; no attributes equal empty ones.
        """
        mine, theirs = (
            value if value.attributes else replace(value, attributes=({},) * len(value))
            for value in (self, other)
        )
        return _same(mine, theirs)

    @classmethod
    def build(
        cls, videos: Sequence[AnnotatedVideo], categories: Sequence[Category], rows: Iterable[ObjectRow]
    ) -> VideoAnnotations:
        """Make the columns out of single objects.

        Parameters
        ----------
        videos : sequence of AnnotatedVideo
            The videos.
        categories : sequence of Category
            The classes.
        rows : iterable of ObjectRow
            The objects, in any order; those of one frame keep theirs.

        Returns
        -------
        VideoAnnotations
            Checked and sorted.

        Raises
        ------
        AnnotationError
            If an object names an unknown video or source, or as the class says.
        """
        rows = list(rows)
        places = {video.video_id: row for row, video in enumerate(videos)}
        for row in rows:
            if row.video_id not in places:
                raise AnnotationError(
                    f"an object on frame {row.frame_index} names the unknown video {row.video_id!r}"
                )
            if row.source not in SOURCES:
                raise AnnotationError(f"the source of a label must be one of {SOURCES}, got {row.source!r}")
        nothing = (math.nan,) * 4
        boxes = [nothing if row.box_xyxy is None else row.box_xyxy for row in rows]
        return cls(
            tuple(videos),
            tuple(categories),
            np.array([places[row.video_id] for row in rows], np.int64),
            np.array([row.frame_index for row in rows], np.int64),
            np.array([row.track_id for row in rows], np.int64),
            np.array([row.category_id for row in rows], np.int64),
            np.array(boxes, np.float64).reshape(-1, 4),
            tuple(row.mask for row in rows),
            np.array([row.score for row in rows], np.float64),
            np.array([SOURCES.index(row.source) for row in rows], np.int8),
            np.array([row.trust for row in rows], np.float64),
            np.array([row.is_crowd for row in rows], np.bool_),
            tuple(row.attributes for row in rows) if any(row.attributes for row in rows) else (),
        )

    def objects(self) -> Iterator[ObjectRow]:
        """Yield the rows one by one.

        Yields
        ------
        ObjectRow
            In the order of the columns.
        """
        for row in range(len(self)):
            box = self.boxes_xyxy[row]
            yield ObjectRow(
                self.videos[self.video_row[row]].video_id,
                int(self.frame_index[row]),
                int(self.category_id[row]),
                int(self.track_id[row]),
                None if np.isnan(box).all() else (float(box[0]), float(box[1]), float(box[2]), float(box[3])),
                self.masks[row],
                float(self.score[row]),
                SOURCES[self.source[row]],
                float(self.trust[row]),
                bool(self.is_crowd[row]),
                self.attributes[row] if self.attributes else {},
            )

    def video(self, video_id: str) -> AnnotatedVideo:
        """Return one video.

        Parameters
        ----------
        video_id : str
            Its name.

        Returns
        -------
        AnnotatedVideo
            The video.

        Raises
        ------
        KeyError
            If there is none of this name.
        """
        return self.videos[self._place(video_id)]

    def take(self, rows: NDArray[np.int64] | NDArray[np.bool_]) -> VideoAnnotations:
        """Return some rows; videos, annotated frames and categories stay.

        Parameters
        ----------
        rows : (M,) int64 or (N,) bool
            Which.

        Returns
        -------
        VideoAnnotations
            The same columns at those rows.
        """
        picked = np.flatnonzero(rows) if rows.dtype == np.bool_ else rows
        columns = {name: getattr(self, name)[picked] for name in _COLUMNS}
        attributes = tuple(self.attributes[row] for row in picked) if self.attributes else ()
        return replace(self, **columns, masks=tuple(self.masks[row] for row in picked), attributes=attributes)

    def of_video(self, video_id: str) -> VideoAnnotations:
        """Return the labels of one video alone.

        Parameters
        ----------
        video_id : str
            Its name.

        Returns
        -------
        VideoAnnotations
            With that video only.

        Raises
        ------
        KeyError
            If there is none of this name.
        """
        place = self._place(video_id)
        part = self.take(self.video_row == place)
        return replace(part, videos=(self.videos[place],), video_row=np.zeros(len(part), np.int64))

    def rows_at(self, video_id: str, frame_index: int) -> NDArray[np.int64]:
        """Return the rows of one frame.

        Parameters
        ----------
        video_id : str
            The video.
        frame_index : int
            The frame.

        Returns
        -------
        (K,) int64
            Increasing.

        Raises
        ------
        KeyError
            If there is no such video.
        """
        place = self._place(video_id)
        first, last = np.searchsorted(self.video_row, [place, place + 1])
        low, high = np.searchsorted(self.frame_index[first:last], [frame_index, frame_index + 1])
        return np.arange(first + low, first + high)

    def labels_at(self, video_id: str, frame_index: int) -> FrameLabels:
        """Return the objects of one frame.

        Parameters
        ----------
        video_id : str
            The video.
        frame_index : int
            The frame.

        Returns
        -------
        FrameLabels
            K objects.

        Raises
        ------
        KeyError
            If there is no such video.
        """
        rows = self.rows_at(video_id, frame_index)
        return FrameLabels(
            frame_index,
            self.track_id[rows],
            self.category_id[rows],
            self.boxes_xyxy[rows],
            tuple(self.masks[row] for row in rows),
        )

    def masks_at(self, video_id: str, frame_index: int) -> NDArray[np.bool_]:
        """Return the dense masks of one frame; objects without a mask have an empty one.

        Parameters
        ----------
        video_id : str
            The video.
        frame_index : int
            The frame.

        Returns
        -------
        (K, H, W) bool
            In the order of `rows_at`.

        Raises
        ------
        KeyError
            If there is no such video.
        """
        video = self.video(video_id)
        rows = self.rows_at(video_id, frame_index)
        out = np.zeros((len(rows), video.height, video.width), np.bool_)
        for place, row in enumerate(rows):
            if (mask := self.masks[row]) is not None:
                out[place] = mask.to_mask()
        return out

    def with_boxes(self) -> VideoAnnotations:
        """Return the same labels with the tight box of its mask where an object has a mask and no box.

        Returns
        -------
        VideoAnnotations
            An empty mask gives no box.
        """
        boxes = self.boxes_xyxy.copy()
        for row in np.flatnonzero(np.isnan(boxes).all(axis=1)):
            mask = self.masks[row]
            if mask is not None and not mask.is_empty:
                boxes[row] = mask.box_xyxy
        return replace(self, boxes_xyxy=boxes)

    def _place(self, video_id: str) -> int:
        for place, video in enumerate(self.videos):
            if video.video_id == video_id:
                return place
        raise KeyError(
            f"no video {video_id!r} in these labels; they have {[v.video_id for v in self.videos][:20]}"
        )


_COLUMNS: dict[str, Any] = {
    "video_row": np.int64,
    "frame_index": np.int64,
    "track_id": np.int64,
    "category_id": np.int64,
    "boxes_xyxy": np.float64,
    "score": np.float64,
    "source": np.int8,
    "trust": np.float64,
    "is_crowd": np.bool_,
}


def concatenate(parts: Sequence[VideoAnnotations]) -> VideoAnnotations:
    """Join labels of different videos.

    Parameters
    ----------
    parts : sequence of VideoAnnotations
        One or more; a category that several have must be the same in all.

    Returns
    -------
    VideoAnnotations
        All videos and rows.

    Raises
    ------
    AnnotationError
        If two parts have a video of one name, or one category id for different classes.
    ValueError
        If there is no part.
    """
    if not parts:
        raise ValueError("there is nothing to join; give one VideoAnnotations or more")
    categories: dict[int, Category] = {}
    for part in parts:
        for category in part.categories:
            known = categories.setdefault(category.category_id, category)
            if known != category:
                raise AnnotationError(
                    f"category {category.category_id} is {known.name!r} in one file and {category.name!r} in another; "
                    "map the categories first"
                )
    starts = np.cumsum([0, *[len(part.videos) for part in parts]])
    columns = {name: np.concatenate([getattr(part, name) for part in parts]) for name in _COLUMNS}
    columns["video_row"] = np.concatenate(
        [part.video_row + start for part, start in zip(parts, starts[:-1], strict=True)]
    )
    has_attributes = any(part.attributes for part in parts)
    return VideoAnnotations(
        tuple(video for part in parts for video in part.videos),
        tuple(categories.values()),
        **columns,
        masks=tuple(mask for part in parts for mask in part.masks),
        attributes=tuple(item for part in parts for item in (part.attributes or ({},) * len(part)))
        if has_attributes
        else (),
    )


def _column(values: Any, dtype: Any) -> NDArray[Any]:
    column = np.array(values, dtype=dtype)
    column.flags.writeable = False
    return column


def _first_twice(values: Sequence[Any]) -> Any:
    seen = set()
    for value in values:
        if value in seen:
            return value
        seen.add(value)
    return None


def _same(a: Any, b: Any) -> bool:
    for item in fields(a):
        mine, theirs = getattr(a, item.name), getattr(b, item.name)
        if isinstance(mine, np.ndarray):
            if not np.array_equal(mine, theirs, equal_nan=mine.dtype.kind == "f"):
                return False
        elif mine != theirs:
            return False
    return True

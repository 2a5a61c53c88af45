"""Labels of objects in the frames of videos, as one plain value that every format is read into.

A row is one object in one frame. A frame that was looked at and holds nothing is an annotated frame without rows:
it says "nothing here", which an unlabelled frame does not.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from evfr._core._annotation_checks import COLUMNS, check_rows, concatenate, first_twice
from evfr._core._annotation_parts import (
    NO_TRACK,
    SOURCES,
    AnnotatedVideo,
    Category,
    FrameLabels,
    ObjectRow,
    is_same,
    owned_column,
)
from evfr.errors import AnnotationError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from evfr._core.masks import Rle

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
        for name, dtype in COLUMNS.items():
            column = owned_column(getattr(self, name), dtype)
            if column.shape != ((n, 4) if name == "boxes_xyxy" else (n,)):
                raise AnnotationError(
                    f"the column {name} must have {n} rows like masks, got {column.shape}; build all from the same rows"
                )
            object.__setattr__(self, name, column)
        if len(self.attributes) not in (0, n):
            raise AnnotationError(f"attributes must be empty or have {n} rows, got {len(self.attributes)}")
        names = [video.video_id for video in self.videos]
        if len(set(names)) != len(names):
            raise AnnotationError(f"each video needs its own name, got {first_twice(names)!r} twice")
        ids = [category.category_id for category in self.categories]
        if len(set(ids)) != len(ids):
            raise AnnotationError(f"each category needs its own id, got {first_twice(ids)} twice")
        if n and not 0 <= self.video_row.min() <= self.video_row.max() < len(self.videos):
            raise AnnotationError(f"video_row must lie in 0..{len(self.videos) - 1}")
        order = np.lexsort((np.arange(n), self.frame_index, self.video_row))
        if n and (np.diff(order) < 0).any():
            for name in COLUMNS:
                column = getattr(self, name)[order]
                column.flags.writeable = False
                object.__setattr__(self, name, column)
            object.__setattr__(self, "masks", tuple(self.masks[row] for row in order))
            if self.attributes:
                object.__setattr__(self, "attributes", tuple(self.attributes[row] for row in order))
        check_rows(self, ids)

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
        return is_same(mine, theirs)

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
        columns = {name: getattr(self, name)[picked] for name in COLUMNS}
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
        its = slice(*np.searchsorted(self.video_row, [place, place + 1]))
        columns: dict[str, Any] = {n: getattr(self, n)[its] for n in (*COLUMNS, "masks", "attributes")}
        columns["video_row"] = columns["video_row"] - place
        return VideoAnnotations((self.videos[place],), self.categories, **columns)

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

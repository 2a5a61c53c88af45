"""What a propagator takes and gives: one stretch of frames with labels at its ends, and the labels carried into it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Protocol

import numpy as np

from evfr.propagation._carried import SIDES, Carried, CarryEnd, Evidence, Side

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from evfr._core.annotations import FrameLabels
    from evfr._core.masks import Rle
    from evfr._core.motion import StepFieldMaker

__all__ = [
    "SIDES",
    "Carried",
    "CarryEnd",
    "Evidence",
    "Interval",
    "Propagator",
    "Side",
    "assemble",
    "label_of",
    "label_rows",
]


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Interval:
    """Hold one stretch of a video between two labelled frames, or before the first or after the last one.

    Attributes
    ----------
    frames : sequence of T (H, W, 3) uint8
        RGB pictures, read by position; they need not be in memory at once.
    frame_index : (T,) int64
        Their 0-based indices in the video, strictly increasing.
    left, right : FrameLabels or None
        Labels of the first and of the last frame; at least one is given. Track ids are unique in each and not
        `NO_TRACK`; a track keeps its category.
    cuts : tuple of int
        Positions in 1..T-1 where a new shot begins, increasing. Nothing is carried across.
    is_usable : (T,) bool
        False where the frame did not decode: the picture is a stand-in. Nothing is carried onto or across. Left out,
        all are usable.

    Raises
    ------
    ValueError
        If the parts do not fit together.
    """

    frames: Sequence[NDArray[np.uint8]]
    frame_index: NDArray[np.int64]
    left: FrameLabels | None = None
    right: FrameLabels | None = None
    cuts: tuple[int, ...] = ()
    is_usable: NDArray[np.bool_] = field(default_factory=lambda: np.zeros(0, np.bool_))

    def __post_init__(self) -> None:
        count = len(self.frames)
        if count == 0:
            raise ValueError("an interval needs at least one frame")
        first = self.frames[0]
        if first.ndim != 3 or first.shape[2] != 3 or first.dtype != np.uint8:
            raise ValueError(f"frames must be (H, W, 3) uint8, got {first.shape} {first.dtype}")
        index = self.frame_index
        if index.shape != (count,):
            raise ValueError(f"frame_index must be ({count},), one for each frame, got {index.shape}")
        if (np.diff(index) <= 0).any():
            raise ValueError("frame_index must increase strictly")
        if self.is_usable.size == 0:
            object.__setattr__(self, "is_usable", np.ones(count, np.bool_))
        if self.is_usable.shape != (count,):
            raise ValueError(f"is_usable must be ({count},), one for each frame, got {self.is_usable.shape}")
        if list(self.cuts) != sorted({c for c in self.cuts if 1 <= c < count}):
            raise ValueError(f"cuts must increase within 1..{count - 1}, got {self.cuts}")
        if self.left is None and self.right is None:
            raise ValueError("no label: give left, right or both")
        if count == 1 and self.left is not None and self.right is not None:
            raise ValueError("an interval of one frame takes one label, got both left and right")
        self._check_labels()

    def _check_labels(self) -> None:
        categories: dict[int, int] = {}
        for side, labels, at in (("left", self.left, 0), ("right", self.right, -1)):
            if labels is None:
                continue
            if labels.frame_index != self.frame_index[at]:
                raise ValueError(
                    f"the {side} labels are of frame {labels.frame_index}, "
                    f"but the interval has frame {self.frame_index[at]} there"
                )
            seen: set[int] = set()
            for row, (track, category) in enumerate(zip(labels.track_ids, labels.category_ids, strict=True)):
                where = f"track {track} at frame {labels.frame_index}"
                if track < 0:
                    raise ValueError(
                        f"object {row} at frame {labels.frame_index} has no track id; give each one"
                    )
                if track in seen:
                    raise ValueError(f"{where} is labelled twice; a track has one label a frame")
                seen.add(int(track))
                if categories.setdefault(int(track), int(category)) != category:
                    raise ValueError(
                        f"{where} has category {category}, but {categories[int(track)]} at frame "
                        f"{self.frame_index[0]}; a track keeps its category"
                    )
                mask = labels.masks[row]
                if mask is not None and (mask.height, mask.width) != (self.height, self.width):
                    raise ValueError(
                        f"{where}: the mask is {mask.width}x{mask.height}, the frame {self.width}x{self.height}"
                    )

    def __len__(self) -> int:
        """Return the number of frames, T."""
        return len(self.frames)

    def __repr__(self) -> str:
        sides = " and ".join(side for side in SIDES if self.labels(side) is not None)
        return (
            f"Interval(frames {self.frame_index[0]}..{self.frame_index[-1]} ({len(self)}), "
            f"{self.width}x{self.height}, {len(self.track_ids)} tracks, labels {sides}, cuts {self.cuts})"
        )

    @property
    def height(self) -> int:
        """Return the height of the frames in pixels."""
        return int(self.frames[0].shape[0])

    @property
    def width(self) -> int:
        """Return the width of the frames in pixels."""
        return int(self.frames[0].shape[1])

    def labels(self, side: Side) -> FrameLabels | None:
        """Return the labels of one end.

        Parameters
        ----------
        side : {"left", "right"}
            Which end.

        Returns
        -------
        FrameLabels or None
            None where that end has none.
        """
        return self.left if side == "left" else self.right

    @property
    def track_ids(self) -> NDArray[np.int64]:
        """Return the K tracks of both ends, ascending."""
        given = [labels.track_ids for labels in (self.left, self.right) if labels is not None]
        return np.unique(np.concatenate(given)).astype(np.int64)

    @property
    def category_ids(self) -> NDArray[np.int64]:
        """Return the categories of `track_ids`."""
        known: dict[int, int] = {}
        for labels in (self.left, self.right):
            if labels is not None:
                known |= dict(zip(labels.track_ids.tolist(), labels.category_ids.tolist(), strict=True))
        return np.array([known[track] for track in self.track_ids.tolist()], np.int64)

    def reach(self, side: Side) -> tuple[range, str]:
        """Return the positions that labels of one end may be carried to, and why they go no further.

        Parameters
        ----------
        side : {"left", "right"}
            Which end.

        Returns
        -------
        positions : range
            From that end on, in steps of +1 (left) or -1 (right); the labelled frame is the first. Empty without
            labels there.
        reason : str
            ``"cut"`` or ``"damaged"`` where the range ends early, ``""`` where it spans the interval.
        """
        count = len(self)
        if self.labels(side) is None:
            return range(0), ""
        damaged = np.flatnonzero(~self.is_usable).tolist()
        if side == "left":
            # A damaged labelled frame keeps its label, and nothing is carried from it.
            stops = [(c, "cut") for c in self.cuts] + [(max(d, 1), "damaged") for d in damaged]
            stop, reason = min(stops, default=(count, ""))
            return range(stop), reason if stop < count else ""
        starts = [(c, "cut") for c in self.cuts] + [(min(d + 1, count - 1), "damaged") for d in damaged]
        start, reason = max(starts, default=(0, ""))
        return range(count - 1, start - 1, -1), reason if start > 0 else ""


class Propagator(Protocol):
    """Carry labels of the ends of an interval to all its frames."""

    def __call__(self, interval: Interval, *, steps: Mapping[str, StepFieldMaker] | None = None) -> Carried:
        """Return labels for all T frames; ``steps`` holds step field makers by name."""


def label_rows(interval: Interval, side: Side) -> NDArray[np.int64]:
    """Return, for each of the K tracks of an interval, its row in the labels of one end.

    Parameters
    ----------
    interval : Interval
        The interval.
    side : {"left", "right"}
        Which end.

    Returns
    -------
    (K,) int64
        -1 where that end does not label the track.
    """
    tracks = interval.track_ids
    rows = np.full(len(tracks), -1, np.int64)
    labels = interval.labels(side)
    if labels is not None:
        rows[np.searchsorted(tracks, labels.track_ids)] = np.arange(len(labels.track_ids))
    return rows


def label_of(interval: Interval, side: Side, row: int) -> tuple[Rle | None, NDArray[np.float64]] | None:
    """Return the mask and box that one end gives to a track.

    Parameters
    ----------
    interval : Interval
        The interval.
    side : {"left", "right"}
        Which end.
    row : int
        Place of the track in ``interval.track_ids``.

    Returns
    -------
    tuple or None
        ``(mask, box)``: an Rle or None, and (4,) float64 (tight around the mask where only a mask was given, NaN
        where the mask is empty); None where that end does not label the track.
    """
    labels, place = interval.labels(side), int(label_rows(interval, side)[row])
    if labels is None or place < 0:
        return None
    mask, box = labels.masks[place], np.asarray(labels.boxes_xyxy[place], np.float64)
    if mask is not None and np.isnan(box).any() and not mask.is_empty:
        box = np.array(mask.box_xyxy, np.float64)
    return mask, box


def assemble(
    interval: Interval,
    *,
    masks: Sequence[Sequence[Rle | None]] | None = None,
    boxes_xyxy: NDArray[np.float64] | None = None,
    score: NDArray[np.float64] | None = None,
    evidence: Mapping[str, NDArray[np.float64]] | None = None,
    ends: Sequence[CarryEnd] = (),
) -> Carried:
    """Put together what a method carried, and what is the same for all of them.

    Parameters
    ----------
    interval : Interval
        What was carried in.
    masks : sequence of T sequences of K Rle or None, or None
        Carried masks; None for boxes only. An empty mask counts as absent.
    boxes_xyxy : (T, K, 4) float64 or None
        Carried boxes; rows of NaN are filled with the tight box of the mask.
    score : (T, K) float64 or None
        None is not measured.
    evidence : mapping of str to (T, K) float64 or None
        Columns of `Evidence` that were measured. ``distance`` is filled in here where it is not given.
    ends : sequence of CarryEnd
        What the method lost. Ends at cuts and damaged frames are added here, once for each track and side.

    Returns
    -------
    Carried
        With the given labels themselves at the labelled frames, and nothing beyond cuts and damaged frames.
    """
    count, tracks = len(interval), interval.track_ids
    shape = (count, len(tracks))
    grid: list[list[Rle | None]] = [[None] * len(tracks) for _ in range(count)]
    if masks is not None:
        grid = [list(row) for row in masks]
    boxes = np.full((*shape, 4), np.nan) if boxes_xyxy is None else np.array(boxes_xyxy, np.float64)
    scores = np.full(shape, np.nan) if score is None else np.array(score, np.float64)
    distance = _distances(interval)
    for t, k in np.ndindex(shape):
        mask = grid[t][k]
        if np.isnan(distance[t, k]):
            grid[t][k], boxes[t, k] = None, np.nan
        elif mask is not None and mask.is_empty:
            grid[t][k] = None
        elif mask is not None and np.isnan(boxes[t, k]).any():
            boxes[t, k] = mask.box_xyxy
    is_labelled = np.zeros(shape, np.bool_)
    for side in SIDES:
        at = 0 if side == "left" else count - 1
        if interval.labels(side) is None:
            continue
        # A track that a labelled frame does not name is absent there.
        is_labelled[at] = True
        for k in range(len(tracks)):
            grid[at][k], boxes[at, k] = label_of(interval, side, k) or (None, np.full(4, np.nan))
    is_absent = np.isnan(boxes).any(axis=2)
    scores[is_absent | is_labelled] = np.nan
    columns = {column.name: np.full(shape, np.nan) for column in fields(Evidence)} | {"distance": distance}
    for name, values in (evidence or {}).items():
        if name not in columns:
            raise ValueError(f"evidence has no column {name!r}; the columns are {', '.join(columns)}")
        columns[name] = np.array(values, np.float64)
    for name, values in columns.items():
        if values.shape == shape:
            values[is_absent] = np.nan
            values[is_labelled & ~is_absent] = 0.0 if name == "distance" else np.nan
    return Carried(
        track_ids=tracks,
        category_ids=interval.category_ids,
        masks=tuple(tuple(row) for row in grid),
        boxes_xyxy=boxes,
        score=scores,
        evidence=Evidence(**columns),
        ends=_all_ends(interval, ends),
    )


def _distances(interval: Interval) -> NDArray[np.float64]:
    """Return the (T, K) frames to the nearest label that reaches there, NaN where none does."""
    out = np.full((len(interval), len(interval.track_ids)), np.inf)
    for side in SIDES:
        positions, _ = interval.reach(side)
        named = np.flatnonzero(label_rows(interval, side) >= 0)
        for t in positions:
            far = abs(int(interval.frame_index[t] - interval.frame_index[positions[0]]))
            out[t, named] = np.minimum(out[t, named], far)
    out[np.isinf(out)] = np.nan
    return out


def _all_ends(interval: Interval, ends: Sequence[CarryEnd]) -> tuple[CarryEnd, ...]:
    found = {(end.track_id, end.side): end for end in ends}
    for side in SIDES:
        positions, reason = interval.reach(side)
        if not reason:
            continue
        stop = int(interval.frame_index[positions.stop])
        for k in np.flatnonzero(label_rows(interval, side) >= 0):
            track = int(interval.track_ids[k])
            found.setdefault((track, side), CarryEnd(track, stop, side, reason))
    return tuple(found[key] for key in sorted(found))

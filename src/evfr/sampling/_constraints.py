"""Constraints on one video's sample, and what they mean for its frames."""

from __future__ import annotations

import operator
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from evfr.errors import ConstraintError

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

__all__ = ["GAPS", "Constraints", "Prepared", "prepare"]

GAPS = ("min_gap", "max_gap", "min_gap_seconds", "max_gap_seconds")

TOLERANCE_NS = 1000
"""Gaps in seconds hold to one microsecond: less than any frame step, more than rounding of any time stamp."""


@dataclass(frozen=True, slots=True, eq=False)
class Constraints:
    """State what a sample of one video must satisfy.

    Gaps are steps between neighbours in the sorted union of chosen and labelled frames. ``max_gap`` also bounds
    the step from the first frame of the video to the first of them, and from the last of them to the last
    frame. Two labelled frames may be closer than ``min_gap``: they are there already.

    Attributes
    ----------
    min_gap : int or None
        Least step, in frames; 1 or more.
    max_gap : int or None
        Greatest step, in frames; 1 or more.
    min_gap_seconds, max_gap_seconds : float or None
        The same in seconds of true time, kept to one microsecond.
    include : tuple of int
        Frames that must be chosen; they count towards n.
    exclude : tuple of int
        Frames that must not be chosen.
    labeled : tuple of int
        Frames that have labels already: they are never chosen again and do not count towards n (n is the number
        of frames still to be labelled), but count as selected for the gaps.
    selectable : (N,) bool or None
        False for frames that may not be chosen (damaged, too dark); None allows all.
    cells : tuple of int
        First frames of stretches of time, 0 among them, each of which must hold a chosen or labelled frame: floors
        per scene, or a share of the budget spread over time. Empty is none.
    """

    min_gap: int | None = None
    max_gap: int | None = None
    min_gap_seconds: float | None = None
    max_gap_seconds: float | None = None
    include: tuple[int, ...] = ()
    exclude: tuple[int, ...] = ()
    labeled: tuple[int, ...] = ()
    selectable: NDArray[np.bool_] | None = None
    cells: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        for name in ("min_gap", "max_gap"):
            gap = getattr(self, name)
            if gap is not None:
                if operator.index(gap) < 1:
                    raise ValueError(f"{name} must be 1 frame or more, got {gap}")
                object.__setattr__(self, name, operator.index(gap))
        for name in ("min_gap_seconds", "max_gap_seconds"):
            seconds = getattr(self, name)
            if seconds is not None:
                if not 0.0 < seconds <= 1e9:
                    raise ValueError(f"{name} must be above 0 and at most 1e9 seconds, got {seconds}")
                object.__setattr__(self, name, float(seconds))
        for name in ("include", "exclude", "labeled", "cells"):
            frames = tuple(sorted({operator.index(i) for i in getattr(self, name)}))
            if frames and frames[0] < 0:
                raise ValueError(f"{name} must hold frame indices of 0 or more, got {frames[0]}")
            object.__setattr__(self, name, frames)
        if self.cells and self.cells[0] != 0:
            raise ValueError(f"cells must begin with frame 0, got {self.cells[0]}")
        if self.selectable is not None:
            mask = np.asarray(self.selectable)
            if mask.ndim != 1 or mask.dtype != np.bool_:
                raise ValueError(f"selectable must be (N,) bool, got {mask.shape} {mask.dtype}")
            object.__setattr__(self, "selectable", mask)

    def __repr__(self) -> str:
        parts = [f"{name}={getattr(self, name):g}" for name in GAPS if getattr(self, name) is not None]
        parts += [
            f"{len(getattr(self, name))} {name}"
            for name in ("include", "exclude", "labeled")
            if getattr(self, name)
        ]
        if self.cells:
            parts.append(f"{len(self.cells)} cells")
        if self.selectable is not None:
            parts.append(f"{int(self.selectable.sum())} of {len(self.selectable)} selectable")
        return f"Constraints({', '.join(parts)})"

    @property
    def has_gaps(self) -> bool:
        """Whether any gap is bounded in a way that could matter."""
        return (
            (self.min_gap is not None and self.min_gap > 1)
            or self.max_gap is not None
            or self.min_gap_seconds is not None
            or self.max_gap_seconds is not None
            or bool(self.cells)
        )

    @property
    def min_gap_text(self) -> str:
        """The least step as the user gave it, for messages."""
        return self._text("min_gap")

    @property
    def max_gap_text(self) -> str:
        """The greatest step as the user gave it, for messages."""
        return self._text("max_gap")

    def _text(self, name: str) -> str:
        frames, seconds = getattr(self, name), getattr(self, f"{name}_seconds")
        parts = [] if frames is None else [f"{name}={frames}"]
        if seconds is not None:
            parts.append(f"{name}_seconds={seconds:g}")
        return " and ".join(parts)


class Prepared(NamedTuple):
    """One video's constraints as arrays; node k of the chain is frame k - 1, 0 is the start, N + 1 the end."""

    eligible: NDArray[np.bool_]
    include: NDArray[np.int64]
    labeled: NDArray[np.int64]
    is_gapped: bool
    first_step: NDArray[np.int64]
    last_step: NDArray[np.int64]
    first_from: NDArray[np.int64]
    last_from: NDArray[np.int64]

    @property
    def n_usable(self) -> int:
        """How many frames can be chosen, those to include among them."""
        return int(self.eligible.sum())

    def nodes(self, chosen: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
        """Return the fixed nodes (start, labelled, chosen, end) and which of them are labelled."""
        end = len(self.first_step) - 1
        fixed = np.sort(np.concatenate([[0], self.labeled + 1, chosen + 1, [end]]))
        return fixed.astype(np.int64), np.isin(fixed, self.labeled + 1)

    def allowed(self) -> NDArray[np.bool_]:
        """Return the (N + 2,) bool of nodes that may be visited."""
        return np.concatenate([[False], self.eligible, [False]])


def _nanoseconds(times: ArrayLike | None, n_frames: int) -> NDArray[np.int64]:
    if times is None:
        raise ValueError("gaps in seconds need the times of the frames; pass times=")
    seconds = np.asarray(times, dtype=np.float64)
    if seconds.shape != (n_frames,) or not np.all(np.isfinite(seconds)):
        raise ValueError(f"times must be ({n_frames},) finite seconds, got shape {seconds.shape}")
    # Broken files step back in time; a frame cannot be nearer than one that was shown before it.
    return np.maximum.accumulate(np.rint(seconds * 1e9).astype(np.int64))


def _windows(
    constraints: Constraints, n_frames: int, times: ArrayLike | None
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Return for every node the window of its successors, and of its predecessors."""
    index = np.arange(n_frames, dtype=np.int64)
    nearest = index + (constraints.min_gap or 1)
    farthest = index + (n_frames if constraints.max_gap is None else constraints.max_gap)
    if constraints.min_gap_seconds is not None or constraints.max_gap_seconds is not None:
        ns = _nanoseconds(times, n_frames)
        if constraints.min_gap_seconds is not None:
            least = round(constraints.min_gap_seconds * 1e9) - TOLERANCE_NS
            nearest = np.maximum(nearest, np.searchsorted(ns, ns + least, side="left"))
        if constraints.max_gap_seconds is not None:
            most = round(constraints.max_gap_seconds * 1e9) + TOLERANCE_NS
            farthest = np.minimum(farthest, np.searchsorted(ns, ns + most, side="right") - 1)
    end = n_frames + 1
    cells = np.array([*constraints.cells, n_frames, n_frames], dtype=np.int64)
    first_step = np.empty(n_frames + 2, dtype=np.int64)
    last_step = np.empty(n_frames + 2, dtype=np.int64)
    first_step[1:-1] = np.minimum(nearest + 1, end)
    last_step[1:-1] = np.where(farthest >= n_frames - 1, end, farthest + 1)
    first_step[0], first_step[-1] = 1, end + 1
    last_step[0] = last_step[1] if n_frames else end
    if constraints.cells and n_frames:
        # No step may pass over a whole cell: that is the same as a frame in each of them.
        last_step[1:-1] = np.minimum(last_step[1:-1], _after_next(cells, index, n_frames) + 1)
        last_step[0] = min(last_step[0], cells[1])  # node of the first cell's last frame
    last_step[-1] = end + 1
    node = np.arange(n_frames + 2, dtype=np.int64)
    first_from = np.searchsorted(last_step, node, side="left").astype(np.int64)
    last_from = np.searchsorted(first_step, node, side="right").astype(np.int64) - 1
    return first_step, last_step, first_from, last_from


def _after_next(cells: NDArray[np.int64], index: NDArray[np.int64], n_frames: int) -> NDArray[np.int64]:
    """Return for every frame the last frame of the cell after its own, or the end from the last cell."""
    own = np.searchsorted(cells[:-2], index, side="right") - 1
    after: NDArray[np.int64] = np.where(own == len(cells) - 3, n_frames, cells[own + 2] - 1)
    return after


def prepare(n_frames: int, constraints: Constraints, times: ArrayLike | None = None) -> Prepared:
    """Check the lists of frames against the video and turn the constraints into arrays.

    Parameters
    ----------
    n_frames : int
        N.
    constraints : Constraints
        What must hold.
    times : (N,) array_like or None
        Seconds, needed for gaps in seconds.

    Returns
    -------
    Prepared
        Arrays over frames and chain nodes.

    Raises
    ------
    ValueError
        If an array has the wrong length, or times are missing or not finite.
    ConstraintError
        If a frame to include does not exist, is excluded, labelled or not selectable.
    """
    mask = np.ones(n_frames, dtype=np.bool_) if constraints.selectable is None else constraints.selectable
    if constraints.cells and constraints.cells[-1] >= n_frames:
        raise ValueError(
            f"cells must be below the {n_frames} frames of the video, got {constraints.cells[-1]}"
        )
    if mask.shape != (n_frames,):
        raise ValueError(f"selectable must be ({n_frames},) bool, got {mask.shape}")
    for name in ("include", "exclude", "labeled"):
        frames = getattr(constraints, name)
        if frames and frames[-1] >= n_frames:
            raise ConstraintError(
                f"{name} has frame {frames[-1]}, but the video has {n_frames} frames (0..{n_frames - 1})"
            )
    for i in constraints.include:
        if i in constraints.exclude:
            raise ConstraintError(f"frame {i} is in include and in exclude; drop it from one of them")
        if i in constraints.labeled:
            raise ConstraintError(
                f"frame {i} is in include and in labeled; labelled frames need not be included"
            )
        if not mask[i]:
            raise ConstraintError(
                f"frame {i} is in include, but may not be selected (damaged, or refused by a gate)"
            )
    eligible = mask.copy()
    eligible[list(constraints.exclude)] = False
    eligible[list(constraints.labeled)] = False
    return Prepared(
        eligible,
        np.array(constraints.include, dtype=np.int64),
        np.array(constraints.labeled, dtype=np.int64),
        constraints.has_gaps,
        *_windows(constraints, n_frames, times),
    )

"""The review queue: which frames to label next, by the trust that their labels would lift."""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numba
import numpy as np

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

__all__ = ["ReviewQueue", "review_queue"]

LARGEST_WORK = 2**24


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class ReviewQueue:
    """Hold the frames to label next, the most useful first.

    Attributes
    ----------
    frame_index : (n,) int64
        The frames, in the order in which to label them.
    gain : (n,) float64
        Trust that the frame would lift, summed over objects and frames, after those before it are labelled; it
        never rises.
    trust : (n,) float64
        Mean trust of the objects on that frame now; NaN where no label reaches it.
    """

    frame_index: NDArray[np.int64]
    gain: NDArray[np.float64]
    trust: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.frame_index)

    def __repr__(self) -> str:
        return f"ReviewQueue({len(self)} frames, first {self.frame_index[:5].tolist()})"

    def to_dict(self) -> list[dict[str, Any]]:
        """Return one JSON-ready dict per frame."""
        return [
            {
                "frame_index": int(frame),
                "gain": float(gain),
                "trust": float(trust) if trust == trust else None,
            }
            for frame, gain, trust in zip(self.frame_index, self.gain, self.trust, strict=True)
        ]


def review_queue(
    trust: ArrayLike,
    frame_index: ArrayLike,
    *,
    labeled: ArrayLike,
    n: int,
    cuts: Sequence[int] = (),
    is_unreached: ArrayLike | None = None,
    is_allowed: ArrayLike | None = None,
    power: float = 1.0,
) -> ReviewQueue:
    """Order frames by the trust that labelling them would lift ("label next").

    Parameters
    ----------
    trust : (T, K) float
        Of each object in each frame, in [0, 1]; NaN = the object is not there.
    frame_index : (T,) int
        The frames, strictly increasing.
    labeled : (L,) int
        Frame indices that have labels already; they are never in the queue.
    n : int
        Frames wanted; fewer come back where nothing more can be lifted.
    cuts : sequence of int
        Frame indices at which a new shot begins: labels do not reach across.
    is_unreached : (T,) bool or None
        Frames that no label reaches, or where an object was lost: each counts as one object of trust 0.
    is_allowed : (T,) bool or None
        Frames that may be asked for; None allows all. (Damaged frames cannot be labelled.)
    power : float
        p of the notes, 0 or more: how fast doubt grows with distance.

    Returns
    -------
    ReviewQueue
        Greedy order; a shorter queue is the beginning of a longer one.

    Raises
    ------
    ValueError
        If the arrays do not fit each other, or an argument is out of range.

    Notes
    -----
    Doubt d = 1 - trust of a frame at s labels' distance from the nearest label would shrink to d (s' / s)^p once a
    nearer label is at distance s'. The trust lifted by a set of frames is submodular, so that the greedy order is
    within 1 - 1/e of the best set of each size (Nemhauser, Wolsey & Fisher 1978). What a label really lifts is
    measured by ``benchmarks/bench_trust.py``.

    References
    ----------
    Nemhauser, Wolsey & Fisher, "An analysis of approximations for maximizing submodular set functions", Mathematical
    Programming 14 (1978), doi:10.1007/BF01588971.

    Examples
    --------
    >>> trust = np.array([[1.0], [0.9], [0.4], [0.3], [0.4], [0.9], [1.0]])
    >>> review_queue(trust, np.arange(7), labeled=[0, 6], n=2).frame_index.tolist()
    [3, 2]
    """
    values, frames = np.asarray(trust, np.float64), np.asarray(frame_index, np.int64)
    if values.ndim != 2 or frames.shape != values.shape[:1]:
        raise ValueError(f"trust (T, K) and frame_index (T,) must fit, got {values.shape} and {frames.shape}")
    if (np.diff(frames) <= 0).any():
        raise ValueError("frame_index must increase strictly")
    if n < 0:
        raise ValueError(f"n must be 0 or more, got {n}")
    if not 0.0 <= power < np.inf:
        raise ValueError(f"power must be 0 or more and finite, got {power}")
    if ((values < 0) | (values > 1)).any():
        raise ValueError("trust must be in [0, 1], or NaN where the object is not there")
    doubt = np.where(np.isnan(values), 0.0, 1.0 - values).sum(axis=1)
    if is_unreached is not None:
        doubt = doubt + _flags(is_unreached, frames, "is_unreached")
    allowed = (
        np.ones(len(frames), np.bool_) if is_allowed is None else _flags(is_allowed, frames, "is_allowed")
    )
    is_labeled = np.isin(frames, np.asarray(labeled, np.int64))
    shots = np.searchsorted(np.sort(np.asarray(cuts, np.int64)), frames, side="right")
    picks, gains = _greedy(doubt, frames, is_labeled, allowed & ~is_labeled, shots, n, float(power))
    rows = values[picks]
    counts = (~np.isnan(rows)).sum(axis=1)
    means = np.where(counts > 0, np.nansum(rows, axis=1) / np.maximum(counts, 1), np.nan)
    return ReviewQueue(frames[picks], gains, means)


def _flags(values: ArrayLike, frames: NDArray[np.int64], name: str) -> NDArray[np.bool_]:
    flags = np.asarray(values, np.bool_)
    if flags.shape != frames.shape:
        raise ValueError(f"{name} must be {frames.shape} bool, got {flags.shape}")
    return flags


def _greedy(
    doubt: NDArray[np.float64],
    frames: NDArray[np.int64],
    is_labeled: NDArray[np.bool_],
    allowed: NDArray[np.bool_],
    shots: NDArray[np.int64],
    n: int,
    power: float,
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Split stretches between labels one after another: a label changes nothing beyond its two neighbours."""
    stretches: list[tuple[float, int, int, int, int, int]] = []

    def push(first: int, last: int, left: int, right: int) -> None:
        """Enter the stretch first..last with the labelled positions around it (-1: none in this shot)."""
        if first > last:
            return
        before = frames[left] if left >= 0 else -1
        after = frames[right] if right >= 0 else -1
        pick, gain = _best_split(
            doubt[first : last + 1], frames[first : last + 1], allowed[first : last + 1], before, after, power
        )
        if gain > 0.0:
            heapq.heappush(stretches, (-gain, first + pick, first, last, left, right))

    for shot in np.unique(shots):
        inside = np.flatnonzero(shots == shot)
        marks = inside[is_labeled[inside]].tolist()
        edges = [-1, *marks, -1]
        firsts = [int(inside[0]), *[mark + 1 for mark in marks]]
        lasts = [*[mark - 1 for mark in marks], int(inside[-1])]
        for first, last, left, right in zip(firsts, lasts, edges[:-1], edges[1:], strict=True):
            push(first, last, left, right)
    picks: list[int] = []
    gains: list[float] = []
    while stretches and len(picks) < n:
        gain, pick, first, last, left, right = heapq.heappop(stretches)
        picks.append(pick)
        gains.append(-gain)
        # The doubt that is left after this label is what later ones can lift.
        part = slice(first, last + 1)
        doubt = doubt.copy()
        doubt[part] = _left_over(
            doubt[part],
            frames[part],
            frames[left] if left >= 0 else -1,
            frames[right] if right >= 0 else -1,
            frames[pick],
            power,
        )
        push(first, pick - 1, left, pick)
        push(pick + 1, last, pick, right)
    return np.array(picks, np.int64), np.array(gains, np.float64)


@numba.njit(cache=True, nogil=True)
def _near(frame: int, before: int, after: int, span: int) -> int:
    """Return the distance to the nearest of two labels, ``span`` where there is none."""
    if before < 0 and after < 0:
        return span
    if before < 0:
        return after - frame
    if after < 0:
        return frame - before
    return min(frame - before, after - frame)


@numba.njit(cache=True, nogil=True)
def _best_split(
    doubt: NDArray[np.float64],
    frames: NDArray[np.int64],
    allowed: NDArray[np.bool_],
    before: int,
    after: int,
    power: float,
) -> tuple[int, float]:
    count = len(frames)
    span = frames[-1] - frames[0] + 1
    best, largest = 0, 0.0
    # All pairs of a very long stretch would take minutes; every few frames is near enough to the best there.
    for pick in range(0, count, 1 + count * count // LARGEST_WORK):
        if not allowed[pick]:
            continue
        gain = 0.0
        for s in range(count):
            old = _near(frames[s], before, after, span)
            new = abs(frames[s] - frames[pick])
            if new < old:
                gain += doubt[s] * (1.0 - (new / old) ** power)
        # A hair more is rounding, not use: ties go to the earlier frame.
        if gain > largest * (1.0 + 1e-12):
            best, largest = pick, gain
    return best, largest


@numba.njit(cache=True, nogil=True)
def _left_over(
    doubt: NDArray[np.float64],
    frames: NDArray[np.int64],
    before: int,
    after: int,
    picked: int,
    power: float,
) -> NDArray[np.float64]:
    span = frames[-1] - frames[0] + 1
    out = doubt.copy()
    for s in range(len(frames)):
        old = _near(frames[s], before, after, span)
        new = abs(frames[s] - picked)
        if new < old:
            out[s] *= (new / old) ** power
    return out

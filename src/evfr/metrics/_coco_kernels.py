"""The loops of COCO's average precision: who takes whom in many small groups, and precision and recall from it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numba
import numpy as np

from evfr.metrics._vis_kernels import NO_MATCH, match_detections

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = [
    "IGNORED",
    "RIGHT",
    "THRESHOLDS",
    "WRONG",
    "match_groups",
    "mean_precision",
    "precision_and_recall",
]

WRONG, RIGHT, IGNORED = 0, 1, 2
"""What became of a detection: it counts as wrong, as right, or not at all."""

THRESHOLDS = np.linspace(0.5, 0.95, 10)
"""IoUs from which on a detection is right."""

# Part of COCO's published figures, to the last bit: .7 is a hair below its point 70, and 0 / 0 is 0.
RECALL_COUNT = 101
_RECALLS = np.linspace(0.0, 1.0, RECALL_COUNT)
_ADDEND = float(np.spacing(1))
_NEAR = 1e-9


@numba.njit(cache=True, nogil=True)
def match_groups(
    iou: NDArray[np.float64],
    groups: NDArray[np.int64],
    thresholds: NDArray[np.float64],
    is_left_out: NDArray[np.bool_],
    is_crowd: NDArray[np.bool_],
    out: NDArray[np.uint8],
) -> None:
    """Set what becomes of the detections of many groups, (D, A, T): `RIGHT`, `IGNORED`, or left at `WRONG`.

    A group is what shares a picture and a class. ``groups`` (P, 5): first and last detection, first and last true
    object, and where the group's IoUs begin in the flat ``iou``, detection by detection.
    """
    for row in range(len(groups)):
        first, last, true_first, true_last, at = groups[row]
        wide = true_last - true_first
        values = iou[at : at + (last - first) * wide].reshape(last - first, wide)
        left_out = np.ascontiguousarray(is_left_out[:, true_first:true_last])
        taken = match_detections(values, thresholds, left_out, is_crowd[true_first:true_last])
        for a in range(taken.shape[0]):
            for d in range(taken.shape[1]):
                for t in range(taken.shape[2]):
                    if taken[a, d, t] != NO_MATCH:
                        out[first + d, a, t] = IGNORED if left_out[a, taken[a, d, t]] else RIGHT


@numba.njit(cache=True, nogil=True)
def _one_curve(
    outcome: NDArray[np.uint8],
    rank: NDArray[np.int64],
    weight: NDArray[np.float64],
    wanted: float,
    limit: int,
    is_whole: bool,
    reached: NDArray[np.float64],
    precise: NDArray[np.float64],
    out: NDArray[np.float64],
) -> float:
    """Set the precision at 101 recalls and return the recall, for detections in descending score.

    Precision is the best at that recall or beyond, 0 where it is not reached. It can only be the best where a
    detection is right, so that only those places are kept, in ``reached`` and ``precise``.
    """
    right = 0.0
    wrong = 0.0
    count = 0
    for d in range(len(outcome)):
        state = outcome[d]
        if state == IGNORED or rank[d] >= limit:
            continue
        if state == WRONG:
            wrong += weight[d]
            continue
        if weight[d] == 0.0:
            continue
        right += weight[d]
        share = right / wanted
        if not is_whole:
            # Sums of fractions miss the points at which sums of whole numbers arrive.
            point = np.floor(share * 100.0 + 0.5) / 100.0
            if abs(share - point) < _NEAR:
                share = point
        reached[count] = share
        precise[count] = right / (wrong + right + _ADDEND)
        count += 1
    best = 0.0
    at = count - 1
    for r in range(len(_RECALLS) - 1, -1, -1):
        while at >= 0 and reached[at] >= _RECALLS[r]:
            best = max(best, precise[at])
            at -= 1
        out[r] = best
    return right / wanted


@numba.njit(cache=True, nogil=True)
def precision_and_recall(
    outcome: NDArray[np.uint8],
    rank: NDArray[np.int64],
    weight: NDArray[np.float64],
    wanted: NDArray[np.float64],
    limits: NDArray[np.int64],
    is_whole: bool,
    precision: NDArray[np.float64],
    recall: NDArray[np.float64],
) -> None:
    """Set precision (A, M, T, R) and recall (A, M, T) of one class; areas without a true object are left as they are.

    ``outcome`` is (A, T, D), detections in descending score; ``wanted`` (A,) is the weight of the true objects.
    """
    reached = np.empty(len(rank))
    precise = np.empty(len(rank))
    for a in range(len(wanted)):
        if wanted[a] > 0:
            for m in range(len(limits)):
                for t in range(outcome.shape[1]):
                    recall[a, m, t] = _one_curve(
                        outcome[a, t],
                        rank,
                        weight,
                        wanted[a],
                        limits[m],
                        is_whole,
                        reached,
                        precise,
                        precision[a, m, t],
                    )


@numba.njit(cache=True, nogil=True)
def mean_precision(
    outcome: NDArray[np.uint8],
    rank: NDArray[np.int64],
    first: NDArray[np.int64],
    weight: NDArray[np.float64],
    wanted: NDArray[np.float64],
    limit: int,
    is_whole: bool,
) -> float:
    """Return the mean precision over thresholds, recalls and classes with a true object; NaN if there is none.

    ``outcome`` is (T, D); class k has the detections first[k] to first[k + 1], in descending score.
    """
    reached = np.empty(len(rank))
    precise = np.empty(len(rank))
    curve = np.empty(len(_RECALLS))
    total = 0.0
    count = 0
    for k in range(len(wanted)):
        if wanted[k] > 0:
            count += 1
            low, high = first[k], first[k + 1]
            for t in range(outcome.shape[0]):
                _one_curve(
                    outcome[t, low:high],
                    rank[low:high],
                    weight[low:high],
                    wanted[k],
                    limit,
                    is_whole,
                    reached,
                    precise,
                    curve,
                )
                total += curve.mean()
    return total / (count * outcome.shape[0]) if count else np.nan

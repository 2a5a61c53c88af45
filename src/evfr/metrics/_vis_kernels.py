"""The greedy matching of COCO and YouTube-VIS: which detection takes which true object at which IoU."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numba
import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["match_detections"]

NO_MATCH = -1
_ALMOST_ONE = 1.0 - 1e-10  # an IoU of 1 must pass the threshold 1


@numba.njit(cache=True, nogil=True)
def match_detections(
    iou: NDArray[np.float64],
    thresholds: NDArray[np.float64],
    is_left_out: NDArray[np.bool_],
    is_crowd: NDArray[np.bool_],
) -> NDArray[np.int64]:
    """Return the true object of each detection, (A, D, T), `NO_MATCH` where it has none.

    ``iou`` is (D, G), detections in descending score. ``is_left_out`` (A, G) says which true objects do not count in
    each of A area ranges: they are tried last, and only by detections that fit no object that counts. Of equal IoUs
    the later object wins, as in the official code. A crowd may be taken many times.
    """
    area_count, truth_count = is_left_out.shape
    detection_count, threshold_count = iou.shape[0], thresholds.shape[0]
    out = np.full((area_count, detection_count, threshold_count), NO_MATCH, np.int64)
    order = np.empty(truth_count, np.int64)
    for a in range(area_count):
        filled = 0
        for last in range(2):
            for g in range(truth_count):
                if is_left_out[a, g] == (last == 1):
                    order[filled] = g
                    filled += 1
        for t in range(threshold_count):
            is_taken = np.zeros(truth_count, np.bool_)
            for d in range(detection_count):
                best = min(thresholds[t], _ALMOST_ONE)
                found = NO_MATCH
                for place in range(truth_count):
                    g = order[place]
                    if is_taken[g] and not is_crowd[g]:
                        continue
                    if found != NO_MATCH and not is_left_out[a, found] and is_left_out[a, g]:
                        break
                    if iou[d, g] < best:
                        continue
                    best = iou[d, g]
                    found = g
                if found != NO_MATCH:
                    is_taken[found] = True
                    out[a, d, t] = found
    return out

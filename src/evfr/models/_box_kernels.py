"""Loops over boxes, compiled."""

from __future__ import annotations

import numpy as np
from numba import njit

__all__ = ["best_overlap_scores", "keep_greedily"]


@njit(cache=True, nogil=True)
def _iou(a, b):  # type: ignore[no-untyped-def]
    w = min(a[2], b[2]) - max(a[0], b[0])
    h = min(a[3], b[3]) - max(a[1], b[1])
    if w <= 0 or h <= 0:
        return 0.0
    shared = w * h
    return shared / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - shared)


@njit(cache=True, nogil=True)
def keep_greedily(boxes, group, order, threshold):  # type: ignore[no-untyped-def]
    """Return the rows of ``order`` that overlap no earlier kept row of their group by more than ``threshold``."""
    kept = np.empty(len(order), np.int64)
    count = 0
    for row in order:
        is_free = True
        for k in range(count):
            other = kept[k]
            if group[other] == group[row] and _iou(boxes[other], boxes[row]) > threshold:
                is_free = False
                break
        if is_free:
            kept[count] = row
            count += 1
    return kept[:count].copy()


@njit(cache=True, nogil=True)
def best_overlap_scores(boxes, found, scores, out):  # type: ignore[no-untyped-def]
    """Raise ``out`` (B, C) to the largest IoU x score over the found boxes."""
    for b in range(len(boxes)):
        for d in range(len(found)):
            near = _iou(boxes[b], found[d])
            if near > 0:
                for c in range(out.shape[1]):
                    value = near * scores[d, c]
                    if value > out[b, c]:
                        out[b, c] = value

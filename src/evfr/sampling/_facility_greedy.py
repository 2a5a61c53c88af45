"""Kernels of lazy greedy facility location: a heap of upper bounds, gains as exact integers.

Similarities are whole multiples of 1 / `ONE`, so a sum does not depend on the order in which it is taken, and equal
gains are equal. Gains only fall while picks are added, hence a gain computed earlier bounds the present one from above.
"""

from __future__ import annotations

import numpy as np
from numba import njit

__all__ = [
    "ONE",
    "dense_gains",
    "fixed_point",
    "heapify",
    "mirror",
    "next_dense",
    "next_sparse",
    "pop",
    "push_down",
    "raise_in_turn",
]

ONE = 2**30
"""Steps per unit of similarity."""


@njit(cache=True, nogil=True)
def push_down(heap, size, at, bound, name):  # type: ignore[no-untyped-def]
    """Restore the heap below ``at``: largest bound first, then lowest name."""
    item = heap[at]
    while True:
        child = 2 * at + 1
        if child >= size:
            break
        other = child + 1
        if other < size:
            a, b = heap[other], heap[child]
            if bound[a] > bound[b] or (bound[a] == bound[b] and name[a] < name[b]):
                child = other
        below = heap[child]
        if bound[item] > bound[below] or (bound[item] == bound[below] and name[item] < name[below]):
            break
        heap[at] = below
        at = child
    heap[at] = item


@njit(cache=True, nogil=True)
def heapify(heap, size, bound, name):  # type: ignore[no-untyped-def]
    """Make a heap of the first ``size`` entries."""
    for at in range(size // 2 - 1, -1, -1):
        push_down(heap, size, at, bound, name)


@njit(cache=True, nogil=True)
def pop(heap, size, bound, name):  # type: ignore[no-untyped-def]
    """Remove the root; the caller counts ``size`` down."""
    heap[0] = heap[size - 1]
    push_down(heap, size - 1, 0, bound, name)


@njit(cache=True, nogil=True)
def _plain_gain(row, current):  # type: ignore[no-untyped-def]
    total = np.int64(0)
    for i in range(len(current)):
        total += max(row[i] - current[i], np.int32(0))
    return total


@njit(cache=True, nogil=True)
def _weighted_gain(row, current, weight):  # type: ignore[no-untyped-def]
    total = np.int64(0)
    for i in range(len(current)):
        total += weight[i] * max(row[i] - current[i], np.int32(0))
    return total


@njit(cache=True, nogil=True)
def dense_gains(rows, current, weight, is_weighted):  # type: ignore[no-untyped-def]
    """Return what each of the rows (K, M) of similarities would add, int64 (K,)."""
    gains = np.empty(len(rows), np.int64)
    for k in range(len(rows)):
        if is_weighted:
            gains[k] = _weighted_gain(rows[k], current, weight)
        else:
            gains[k] = _plain_gain(rows[k], current)
    return gains


@njit(cache=True, nogil=True)
def next_dense(matrix, current, weight, is_weighted, heap, size, bound, name, stamp, turn):  # type: ignore[no-untyped-def]
    """Bring the best candidate to the root, with its present gain."""
    while stamp[heap[0]] != turn:
        g = heap[0]
        if is_weighted:
            bound[g] = _weighted_gain(matrix[g], current, weight)
        else:
            bound[g] = _plain_gain(matrix[g], current)
        stamp[g] = turn
        push_down(heap, size, 0, bound, name)


@njit(cache=True, nogil=True)
def next_sparse(start, rows, values, current, weight, heap, size, bound, name, stamp, turn):  # type: ignore[no-untyped-def]
    """Bring the best candidate to the root; candidate g is similar to ``rows[start[g]:start[g + 1]]`` only."""
    while stamp[heap[0]] != turn:
        g = heap[0]
        total = np.int64(0)
        for e in range(start[g], start[g + 1]):
            i = rows[e]
            total += weight[i] * max(values[e] - current[i], np.int32(0))
        bound[g] = total
        stamp[g] = turn
        push_down(heap, size, 0, bound, name)


@njit(cache=True, nogil=True)
def fixed_point(block, one, half, out):  # type: ignore[no-untyped-def]
    """Write float similarities, clipped to [0, 1], as whole multiples of 1 / ONE; one and half in their type."""
    for k in range(block.shape[0]):
        for i in range(block.shape[1]):
            out[k, i] = np.int32(min(max(block[k, i] * one, half - half), one) + half)


@njit(cache=True, nogil=True)
def mirror(matrix, begin, stop):  # type: ignore[no-untyped-def]
    """Copy rows ``begin`` to ``stop`` of the upper triangle into the lower one, in tiles that stay in the cache."""
    count = len(matrix)
    for left in range(begin, count, 32):
        for top in range(begin, stop, 32):
            for c in range(left, min(left + 32, count)):
                for r in range(top, min(top + 32, stop, c)):
                    matrix[c, r] = matrix[r, c]


@njit(cache=True, nogil=True)
def raise_in_turn(block, current, owner, weight, gains, first):  # type: ignore[no-untyped-def]
    """Count rows (K, M) of similarities one after the other as selected: what each adds, whom it represents best.

    Parameters
    ----------
    block : (K, M) int32
        Similarities of picks ``first``, ``first + 1``, ...
    current, owner, gains : (M,) int32, (M,) int64, (picks,) int64
        Updated in place.
    weight : (M,) int64
        What each row counts.
    first : int
        Number of the first pick of the block.
    """
    for k in range(len(block)):
        total = np.int64(0)
        for i in range(len(current)):
            rise = block[k, i] - current[i]
            if rise > 0:
                total += weight[i] * rise
                current[i] = block[k, i]
                owner[i] = first + k
        gains[first + k] = total

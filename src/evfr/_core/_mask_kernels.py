"""Loops over run lengths, compiled."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numba import njit

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = [
    "compress_counts",
    "decompress_counts",
    "fill_runs",
    "joined_runs",
    "merge_union",
    "polygon_crossings",
    "runs_box",
    "shared_area",
]

_FINER = 5  # COCO walks along a polygon's border on a grid this much finer than the pixels


@njit(cache=True, nogil=True)
def fill_runs(counts, out):  # type: ignore[no-untyped-def]
    """Set the runs of ones in a flat column-major picture of zeros."""
    at = 0
    for k in range(len(counts)):
        end = at + counts[k]
        if k & 1:
            out[at:end] = True
        at = end


@njit(cache=True, nogil=True)
def runs_box(counts, height):  # type: ignore[no-untyped-def]
    """Return x0, y0, x1, y1 with exclusive ends; zeros where there are no ones."""
    x0, y0, x1, y1 = 2**31, height, 0, 0
    at = np.int64(0)
    for k in range(len(counts)):
        end = at + np.int64(counts[k])
        if k & 1 and end > at:
            left, right = at // height, (end - 1) // height
            x0, x1 = min(x0, left), max(x1, right + 1)
            if left == right:
                y0, y1 = min(y0, at % height), max(y1, (end - 1) % height + 1)
            else:  # it goes over the foot of a column to the head of the next
                y0, y1 = 0, height
        at = end
    if x1 == 0:
        return 0, 0, 0, 0
    return x0, y0, x1, y1


@njit(cache=True, nogil=True)
def shared_area(a, b):  # type: ignore[no-untyped-def]
    """Count the pixels that are ones in both."""
    total = np.int64(0)
    i, j = 0, 0
    left_a, left_b = np.int64(a[0]), np.int64(b[0])
    while True:
        while left_a == 0:
            i += 1
            if i >= len(a):
                return total
            left_a = np.int64(a[i])
        while left_b == 0:
            j += 1
            if j >= len(b):
                return total
            left_b = np.int64(b[j])
        step = min(left_a, left_b)
        if i & 1 and j & 1:
            total += step
        left_a -= step
        left_b -= step


@njit(cache=True, nogil=True)
def merge_union(a, b):  # type: ignore[no-untyped-def]
    """Return the runs of the union of two masks of one size."""
    out = np.zeros(len(a) + len(b) + 1, np.uint32)
    m = 0
    value = 0
    i, j = 0, 0
    left_a, left_b = np.int64(a[0]), np.int64(b[0])
    while True:
        while left_a == 0 and i < len(a):
            i += 1
            if i < len(a):
                left_a = np.int64(a[i])
        while left_b == 0 and j < len(b):
            j += 1
            if j < len(b):
                left_b = np.int64(b[j])
        if i >= len(a) or j >= len(b):
            return out[: m + 1]
        step = min(left_a, left_b)
        now = (i & 1) | (j & 1)
        if now != value:
            m += 1
            value = now
        out[m] += np.uint32(step)
        left_a -= step
        left_b -= step


@njit(cache=True, nogil=True)
def compress_counts(counts):  # type: ignore[no-untyped-def]
    """Write run lengths as COCO's text: from the fourth on as difference to two before, 5 bits a character."""
    out = np.empty(len(counts) * 8, np.uint8)
    m = 0
    for k in range(len(counts)):
        x = counts[k]
        if k > 2:
            x -= counts[k - 2]
        more = True
        while more:
            low = x & 0x1F
            x >>= 5
            more = x != -1 if low & 0x10 else x != 0
            if more:
                low |= 0x20
            out[m] = low + 48
            m += 1
    return out[:m]


@njit(cache=True, nogil=True)
def decompress_counts(text):  # type: ignore[no-untyped-def]
    """Read COCO's text; the second value tells whether it was whole and made of its characters."""
    out = np.empty(len(text), np.int64)
    m = 0
    at = 0
    while at < len(text):
        x = np.int64(0)
        shift = 0
        more = True
        while more:
            if at >= len(text) or shift > 50:
                return out[:m], False
            char = np.int64(text[at]) - 48
            if char < 0 or char > 63:
                return out[:m], False
            at += 1
            x |= (char & 0x1F) << shift
            more = (char & 0x20) != 0
            shift += 5
            if not more and char & 0x10:
                x |= np.int64(-1) << shift
        if m > 2:
            x += out[m - 2]
        out[m] = x
        m += 1
    return out[:m], True


@njit(cache=True, nogil=True)
def _trunc(value):  # type: ignore[no-untyped-def]
    return np.int64(value)  # towards zero, as a C cast


@njit(cache=True, nogil=True)
def polygon_crossings(xy, height, width):  # type: ignore[no-untyped-def]
    """Return where a polygon's border crosses columns of pixels, as column-major positions; unsorted.

    As COCO's mask API defines it: the border is walked point by point on a grid five times finer; each step to
    another column of that grid that passes the middle of a pixel column is a crossing, at the row above which the
    border lies.
    """
    count = len(xy) // 2
    xs = np.empty(count + 1, np.int64)
    ys = np.empty(count + 1, np.int64)
    for j in range(count):
        xs[j] = _trunc(_FINER * xy[2 * j] + 0.5)
        ys[j] = _trunc(_FINER * xy[2 * j + 1] + 0.5)
    xs[count], ys[count] = xs[0], ys[0]
    room = 0
    for j in range(count):
        room += max(abs(xs[j] - xs[j + 1]), abs(ys[j] - ys[j + 1])) + 1
    out = np.empty(room + 1, np.int64)
    m = 0
    has_last = False
    last_u, last_v = np.int64(0), np.int64(0)
    for j in range(count):
        x0, x1, y0, y1 = xs[j], xs[j + 1], ys[j], ys[j + 1]
        dx, dy = abs(x1 - x0), abs(y1 - y0)
        is_flat = dx >= dy
        is_turned = (is_flat and x0 > x1) or (not is_flat and y0 > y1)
        if is_turned:
            x0, x1 = x1, x0
            y0, y1 = y1, y0
        length = dx if is_flat else dy
        slope = 0.0
        if length:
            slope = (y1 - y0) / dx if is_flat else (x1 - x0) / dy
        for d in range(length + 1):
            t = length - d if is_turned else d
            if is_flat:
                u, v = t + x0, _trunc(y0 + slope * t + 0.5)
            else:
                u, v = _trunc(x0 + slope * t + 0.5), t + y0
            if has_last and u != last_u:
                column = ((u if u < last_u else u - 1) + 0.5) / _FINER - 0.5
                if np.floor(column) == column and 0 <= column <= width - 1:
                    row = (min(v, last_v) + 0.5) / _FINER - 0.5
                    row = np.ceil(min(max(row, 0.0), float(height)))
                    out[m] = np.int64(column) * height + np.int64(row)
                    m += 1
            has_last = True
            last_u, last_v = u, v
    return out[:m]


def joined_runs(runs: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the same runs without empty ones after the first: their neighbours are one run."""
    runs = np.asarray(runs, np.int64)
    if len(runs) < 2 or runs[1:].all():
        return runs if runs.size else np.zeros(1, np.int64)
    values = np.arange(len(runs)) % 2
    kept = runs > 0
    runs, values = runs[kept], values[kept]
    if not runs.size:
        return np.zeros(1, np.int64)
    first = np.flatnonzero(np.diff(values, prepend=-1) != 0)
    joined: NDArray[np.int64] = np.add.reduceat(runs, first)
    return np.concatenate(([0], joined)) if values[0] else joined

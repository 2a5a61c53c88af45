"""Compiled loops of `evfr._core.warp`: stacks come as (C, h * w), shifts in whole pixels on cells."""

from __future__ import annotations

import numpy as np
from numba import njit

__all__ = ["blend", "differences", "nearest"]


@njit(cache=True, nogil=True)
def _row_places(shifts, cell, y, height, width, places):  # type: ignore[no-untyped-def]
    """Write where the pixels of row ``y`` are fetched from, counted along the rows of the picture."""
    i = y // cell
    for j in range(shifts.shape[1]):
        v = min(max(y + shifts[i, j, 1], 0), height - 1) * width
        dx = shifts[i, j, 0]
        for x in range(j * cell, min((j + 1) * cell, width)):
            places[x] = v + min(max(x + dx, 0), width - 1)


@njit(cache=True, nogil=True)
def nearest(stack, shifts, cell, height, width, out):  # type: ignore[no-untyped-def]
    places = np.empty(width, np.uint32)
    for y in range(height):
        _row_places(shifts, cell, y, height, width, places)
        for plane in range(stack.shape[0]):
            source, row = stack[plane], out[plane, y * width : (y + 1) * width]
            for x in range(width):
                row[x] = source[places[x]]


@njit(cache=True, nogil=True)
def _boxes(stack, height, width):  # type: ignore[no-untyped-def]
    """Return for each plane the first and the last + 1 row and column with something else than 0."""
    boxes = np.zeros((len(stack), 4), np.int64)
    columns = np.empty(width, np.bool_)
    for plane in range(len(stack)):
        top, bottom = height, 0
        columns[:] = False
        for y in range(height):
            row = stack[plane, y * width : (y + 1) * width]
            is_empty = True
            for x in range(width):
                is_empty &= row[x] == 0
            if not is_empty:
                top, bottom = min(top, y), y + 1
                for x in range(width):
                    columns[x] |= row[x] != 0
        found = np.flatnonzero(columns)
        if len(found):
            boxes[plane] = top, bottom, found[0], found[-1] + 1
    return boxes


@njit(cache=True, nogil=True)
def _reached(box, reach, y, height, width):  # type: ignore[no-untyped-def]
    """Return from where to where a row may fetch from a box; ``reach`` is its least and most shift in x and y."""
    if box[1] <= box[0] or reach[1] < reach[0]:
        return width, 0
    if max(min(y + reach[2], height - 1), 0) >= box[1] or max(min(y + reach[3], height - 1), 0) < box[0]:
        return width, 0
    # Places outside are clamped: a box at the border is reached from there on.
    first = 0 if box[2] == 0 else max(box[2] - reach[1], 0)
    last = width if box[3] == width else min(box[3] - reach[0], width)
    return first, last


@njit(cache=True, nogil=True)
def _row_reach(shifts, has, i):  # type: ignore[no-untyped-def]
    far = np.int64(1) << 40
    reach = np.array([far, -far, far, -far])
    for j in range(shifts.shape[1]):
        if has[i, j]:
            reach[0], reach[1] = min(reach[0], shifts[i, j, 0]), max(reach[1], shifts[i, j, 0])
            reach[2], reach[3] = min(reach[2], shifts[i, j, 1]), max(reach[3], shifts[i, j, 1])
    return reach


@njit(cache=True, nogil=True)
def blend(  # type: ignore[no-untyped-def]
    stack0, shifts0, has0, residual0, stack1, shifts1, has1, residual1, rate, cell, height, width, out
):
    """Add what both sides give to ``out``, which is 0; rows and columns that reach nothing are left alone."""
    places0, places1 = np.empty(width, np.uint32), np.empty(width, np.uint32)
    weights0, weights1 = np.empty(width, np.float32), np.empty(width, np.float32)
    zero, half, one = np.float32(0.0), np.float32(0.5), np.float32(1.0)
    boxes0, boxes1 = _boxes(stack0, height, width), _boxes(stack1, height, width)
    for y in range(height):
        i = y // cell
        if y % cell == 0:
            reach0, reach1 = _row_reach(shifts0, has0, i), _row_reach(shifts1, has1, i)
        is_ready = False
        for plane in range(len(stack0)):
            first0, last0 = _reached(boxes0[plane], reach0, y, height, width)
            first1, last1 = _reached(boxes1[plane], reach1, y, height, width)
            first, last = min(first0, first1), max(last0, last1)
            if last <= first:
                continue
            if not is_ready:
                is_ready = True
                _row_places(shifts0, cell, y, height, width, places0)
                _row_places(shifts1, cell, y, height, width, places1)
                for j in range(shifts0.shape[1]):
                    a = one if has0[i, j] else zero
                    b = one if has1[i, j] else zero
                    if has0[i, j] and has1[i, j]:
                        a, b = half, half
                    for x in range(j * cell, min((j + 1) * cell, width)):
                        weights0[x], weights1[x] = a, b
                if rate > zero:
                    for x in range(width):
                        if weights0[x] == half:
                            # e^-a / (e^-a + e^-b), written so that both may be as good as 0.
                            weights0[x] = one / (one + np.exp((residual0[y, x] - residual1[y, x]) * rate))
                            weights1[x] = one - weights0[x]
            source0, source1 = stack0[plane], stack1[plane]
            row = out[plane, y * width : (y + 1) * width]
            for x in range(first, last):
                row[x] = weights0[x] * np.float32(source0[places0[x]]) + weights1[x] * np.float32(
                    source1[places1[x]]
                )


@njit(cache=True, nogil=True)
def differences(target, reference, flow, cell, height, width, out):  # type: ignore[no-untyped-def]
    """Read bilinearly; the reference has ``height`` rows and ``width`` columns, at least two of each."""
    rows, columns = target.shape
    places = np.empty(columns, np.uint32)
    right, down = np.empty(columns, np.float32), np.empty(columns, np.float32)
    zero = np.float32(0.0)
    for y in range(rows):
        i = y // cell
        for j in range(flow.shape[1]):
            v = min(max(np.float32(y) + flow[i, j, 1], zero), np.float32(height - 1))
            v0 = min(int(v), height - 2)
            dx = flow[i, j, 0]
            for x in range(j * cell, min((j + 1) * cell, columns)):
                u = min(max(np.float32(x) + dx, zero), np.float32(width - 1))
                u0 = min(int(u), width - 2)
                places[x] = v0 * width + u0
                right[x] = u - np.float32(u0)
                down[x] = v - np.float32(v0)
        for x in range(columns):
            k = places[x]
            top = reference[k] + right[x] * (reference[k + 1] - reference[k])
            k += np.uint32(width)
            low = reference[k] + right[x] * (reference[k + 1] - reference[k])
            out[y, x] = abs(np.float32(target[y, x]) - (top + down[x] * (low - top)))

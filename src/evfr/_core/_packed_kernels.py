"""Loops over masks packed into 64-bit words, compiled.

A word holds 64 pixels of one column, the topmost in its lowest bit, because run lengths go down the columns too. The
window of a mask is x0, x1 (columns) and w0, w1 (words of 64 rows), ends exclusive; its words lie column by column.
"""

from __future__ import annotations

import numpy as np
from numba import njit, types
from numba.extending import intrinsic

from evfr._core._mask_kernels import runs_box

__all__ = ["fill_words", "measure_runs", "shared_all", "shared_listed", "shared_pairs", "shared_some"]

_ONES = np.uint64(2**64 - 1)


@intrinsic
def _popcount(typing_context, word):  # type: ignore[no-untyped-def]
    """Count the ones of a word with the processor's own instruction."""

    def generate(context, builder, signature, arguments):  # type: ignore[no-untyped-def]
        return builder.ctpop(arguments[0])

    return types.uint64(types.uint64), generate


@njit(cache=True, nogil=True)
def measure_runs(counts, first, height, windows, areas):  # type: ignore[no-untyped-def]
    """Set window and area of each mask; mask m has the runs first[m] to first[m + 1], none if it is not there."""
    for m in range(len(first) - 1):
        runs = counts[first[m] : first[m + 1]]
        if len(runs) < 2:
            continue
        area = np.int64(0)
        for k in range(1, len(runs), 2):
            area += np.int64(runs[k])
        areas[m] = area
        x0, y0, x1, y1 = runs_box(runs, height)
        windows[m, 0] = x0
        windows[m, 1] = x1
        windows[m, 2] = y0 // 64
        windows[m, 3] = (y1 + 63) // 64


@njit(cache=True, nogil=True)
def fill_words(counts, first, height, windows, starts, words):  # type: ignore[no-untyped-def]
    """Set the bits of each mask in its words, which start at starts[m] and are zeros."""
    for m in range(len(first) - 1):
        left, top = np.int64(windows[m, 0]), np.int64(windows[m, 2])
        deep = np.int64(windows[m, 3]) - top
        at = np.int64(0)
        for k in range(first[m], first[m + 1]):
            end = at + np.int64(counts[k])
            if (k - first[m]) & 1:
                while at < end:
                    x = at // height
                    low = at - x * height
                    high = min(height, low + end - at)
                    base = starts[m] + (x - left) * deep - top
                    upper, lower = low >> 6, (high - 1) >> 6
                    head = _ONES << np.uint64(low & 63)
                    foot = _ONES >> np.uint64(63 - ((high - 1) & 63))
                    if upper == lower:
                        words[base + upper] |= head & foot
                    else:
                        words[base + upper] |= head
                        for w in range(upper + 1, lower):
                            words[base + w] = _ONES
                        words[base + lower] |= foot
                    at += high - low
            at = end


@njit(cache=True, nogil=True)
def _shared(words_a, start_a, window_a, words_b, start_b, window_b):  # type: ignore[no-untyped-def]
    """Count the pixels that two masks share: only the words of both windows are read."""
    left, right = max(window_a[0], window_b[0]), min(window_a[1], window_b[1])
    top, bottom = max(window_a[2], window_b[2]), min(window_a[3], window_b[3])
    total = np.int64(0)
    if left >= right or top >= bottom:
        return total
    deep_a = np.int64(window_a[3] - window_a[2])
    deep_b = np.int64(window_b[3] - window_b[2])
    p = start_a + np.int64(left - window_a[0]) * deep_a + np.int64(top - window_a[2])
    q = start_b + np.int64(left - window_b[0]) * deep_b + np.int64(top - window_b[2])
    tall = np.int64(bottom - top)
    if tall == deep_a and tall == deep_b:  # one stretch in both
        for k in range(np.int64(right - left) * tall):
            total += np.int64(_popcount(words_a[p + k] & words_b[q + k]))  # type: ignore[call-arg]
        return total
    for _ in range(left, right):
        for k in range(tall):
            total += np.int64(_popcount(words_a[p + k] & words_b[q + k]))  # type: ignore[call-arg]
        p += deep_a
        q += deep_b
    return total


@njit(cache=True, nogil=True)
def shared_pairs(words, starts, windows, out):  # type: ignore[no-untyped-def]
    """Add the shared pixels of each two sequences i < j of one set, both ways; frame by frame, to stay in cache."""
    frame_count, n = starts.shape
    for t in range(frame_count):
        for i in range(n):
            if windows[t, i, 1] == 0:
                continue
            for j in range(i + 1, n):
                out[i, j] += _shared(words, starts[t, i], windows[t, i], words, starts[t, j], windows[t, j])
    for i in range(n):
        for j in range(i):
            out[i, j] = out[j, i]


@njit(cache=True, nogil=True)
def shared_all(words_a, starts_a, windows_a, words_b, starts_b, windows_b, out):  # type: ignore[no-untyped-def]
    """Add the shared pixels of each sequence of one set with each of another."""
    frame_count, n = starts_a.shape
    for t in range(frame_count):
        for i in range(n):
            if windows_a[t, i, 1] == 0:
                continue
            for j in range(starts_b.shape[1]):
                out[i, j] += _shared(
                    words_a, starts_a[t, i], windows_a[t, i], words_b, starts_b[t, j], windows_b[t, j]
                )


@njit(cache=True, nogil=True)
def shared_listed(words_a, starts_a, windows_a, rows_a, words_b, starts_b, windows_b, rows_b, out):  # type: ignore[no-untyped-def]
    """Add the shared pixels of each listed pair."""
    for t in range(len(starts_a)):
        for p in range(len(rows_a)):
            i, j = rows_a[p], rows_b[p]
            out[p] += _shared(
                words_a, starts_a[t, i], windows_a[t, i], words_b, starts_b[t, j], windows_b[t, j]
            )


@njit(cache=True, nogil=True)
def shared_some(words_a, starts_a, windows_a, span, words_b, starts_b, windows_b, spans, out):  # type: ignore[no-untyped-def]
    """Add the shared pixels of one sequence with each of a set; only those whose spans meet are looked at.

    A span is the window that holds the windows of all frames; starts_a is (T,) and windows_a (T, 4).
    """
    near = np.empty(len(spans), np.int64)
    count = 0
    for j in range(len(spans)):
        if (
            spans[j, 0] < span[1]
            and span[0] < spans[j, 1]
            and spans[j, 2] < span[3]
            and span[2] < spans[j, 3]
        ):
            near[count] = j
            count += 1
    for t in range(len(starts_a)):
        if windows_a[t, 1] == 0:
            continue
        for k in range(count):
            j = near[k]
            out[j] += _shared(words_a, starts_a[t], windows_a[t], words_b, starts_b[t, j], windows_b[t, j])

"""The most similar rows of every row, as lists by candidate."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numba import njit

from evfr._core.lazy import require
from evfr.sampling._facility_greedy import ONE

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    from evfr.sampling._facility_rows import Rows

__all__ = ["neighbour_lists"]

EXACT_ROWS = 5_000
"""Up to so many rows neighbours are found by comparing all pairs, above by inverted lists."""
CELL_ROWS = 200
"""Rows per inverted list, about."""
PROBES = 8
"""Inverted lists searched per row."""
STEPS_IN_TIME = 8
"""Rows before and after in time that are neighbours whatever the search finds."""


def neighbour_lists(
    rows: Rows, count: int, times: ArrayLike | None
) -> tuple[NDArray[np.int64], NDArray[np.int32], NDArray[np.int32]]:
    """Return for each candidate the rows that have it among their neighbours.

    Parameters
    ----------
    rows : Rows
        The problem; cosine or euclidean.
    count : int
        Neighbours per row, itself among them.
    times : (N,) array_like or None
        Seconds of the rows given; None for the order of the rows.

    Returns
    -------
    start : (M + 1,) int64
        Candidate g stands in entries ``start[g]`` to ``start[g + 1]``.
    similar : (E,) int32
        Rows, of the M.
    values : (E,) int32
        Their similarity in multiples of 1 / ONE.

    Raises
    ------
    ValueError
        If ``times`` does not fit.
    MissingExtraError
        If faiss is not installed.
    """
    points = np.ascontiguousarray(rows.points, np.float32)
    near, closeness = _search(points, count, "ip" if rows.metric == "cosine" else "l2", rows.scale)
    line = _line(rows, times)
    ahead, ahead_values = _ahead(points, line, rows)
    found: tuple[NDArray[np.int64], NDArray[np.int32], NDArray[np.int32]] = _transpose(
        near, closeness, line, ahead, ahead_values
    )
    return found


def _line(rows: Rows, times: ArrayLike | None) -> NDArray[np.int64]:
    """Return the distinct rows in the order of time (of the first of each)."""
    used = np.flatnonzero(rows.group >= 0)
    if times is not None:
        seconds = np.asarray(times, np.float64)
        if seconds.shape != rows.group.shape:
            raise ValueError(f"times must be {rows.group.shape}, one per row, got {seconds.shape}")
        used = used[np.argsort(seconds[used], kind="stable")]
    groups, first = np.unique(rows.group[used], return_index=True)
    return groups[np.argsort(first)].astype(np.int64)


def _ahead(points: NDArray[np.float32], line: NDArray[np.int64], rows: Rows) -> tuple[Any, NDArray[np.int32]]:
    """Return, for each place on the line, the similarity to the next few places."""
    count = len(line)
    values = np.zeros((count, STEPS_IN_TIME), np.int32)
    for begin in range(0, count, 8192):
        here = points[line[begin : begin + 8192]]
        for step in range(1, STEPS_IN_TIME + 1):
            there = points[line[begin + step : begin + step + 8192]]
            pair = here[: len(there)]
            if rows.metric == "cosine":
                close = np.einsum("ij,ij->i", pair, there)
            else:
                gap = pair - there
                close = 1.0 - np.sqrt(np.einsum("ij,ij->i", gap, gap)) / rows.scale
            values[begin : begin + len(pair), step - 1] = _fixed(close)
    return STEPS_IN_TIME, values


def _fixed(close: NDArray[Any]) -> NDArray[np.int32]:
    fixed: NDArray[np.int32] = np.rint(np.clip(close, 0.0, 1.0).astype(np.float64) * ONE).astype(np.int32)
    return fixed


def _search(
    points: NDArray[np.float32], count: int, kind: str, scale: float
) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """Return the neighbours (M, count), -1 where none was found, and their similarity."""
    faiss = require("faiss", extra="search")
    total, width = points.shape
    metric = faiss.METRIC_INNER_PRODUCT if kind == "ip" else faiss.METRIC_L2
    if total <= EXACT_ROWS:
        index = faiss.IndexFlat(width, metric)
    else:
        cells = total // CELL_ROWS
        quantiser = faiss.IndexFlat(width, metric)
        index = faiss.IndexIVFFlat(quantiser, width, cells, metric)
        index.cp.niter = 6
        index.cp.max_points_per_centroid = 64
        index.nprobe = PROBES
        index.train(points)
    index.add(points)
    near = np.empty((total, count), np.int32)
    values = np.empty((total, count), np.int32)
    for begin in range(0, total, 4096):
        close, found = index.search(points[begin : begin + 4096], count)
        if kind == "l2":
            close = 1.0 - np.sqrt(np.maximum(close, 0.0)) / scale
        near[begin : begin + 4096] = found
        values[begin : begin + 4096] = _fixed(np.where(found < 0, 0.0, close))
    return near, values


@njit(cache=True, nogil=True)
def _transpose(near, closeness, line, steps, ahead):  # type: ignore[no-untyped-def]
    total, count = near.shape
    one = np.int32(ONE)
    place = np.empty(total, np.int64)
    for p in range(total):
        place[line[p]] = p
    start = np.zeros(total + 1, np.int64)
    for i in range(total):
        start[i + 1] += 1  # itself
        for k in range(count):
            j = near[i, k]
            if j >= 0 and j != i:
                start[j + 1] += 1
    is_new = np.ones((total, 2 * steps), np.bool_)
    for i in range(total):
        for s in range(2 * steps):
            p = place[i] + (s + 1 if s < steps else steps - 1 - s)
            if p < 0 or p >= total:
                is_new[i, s] = False
                continue
            j = line[p]
            for k in range(count):
                if near[i, k] == j:
                    is_new[i, s] = False
                    break
            if is_new[i, s]:
                start[j + 1] += 1
    for j in range(total):
        start[j + 1] += start[j]
    fill = start[:-1].copy()
    similar = np.empty(start[total], np.int32)
    values = np.empty(start[total], np.int32)
    for i in range(total):
        similar[fill[i]], values[fill[i]] = i, one
        fill[i] += 1
        for k in range(count):
            j = near[i, k]
            if j >= 0 and j != i:
                similar[fill[j]], values[fill[j]] = i, closeness[i, k]
                fill[j] += 1
        for s in range(2 * steps):
            if is_new[i, s]:
                p = place[i] + (s + 1 if s < steps else steps - 1 - s)
                j = line[p]
                low = min(p, place[i])
                step = s if s < steps else s - steps
                similar[fill[j]], values[fill[j]] = i, ahead[low, step]
                fill[j] += 1
    return start, similar, values

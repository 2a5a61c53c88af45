"""Sketches of rows whose distances are never larger than the rows' own, and groups of neighbours among them."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numba import njit

from evfr.sampling._farthest_kernels import WIDTH
from evfr.sampling._farthest_plain import squared_distance, sum_plan, unit_rows

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from evfr.sampling._farthest_rows import Rows

__all__ = ["Sketches", "group_points", "sketch_rows"]

SAMPLE = 1024
PIECE = 1024
GROUP = 128


class Sketches(NamedTuple):
    """Hold what one pass over the rows gives.

    Attributes
    ----------
    points : (M, WIDTH) float32
        Leading principal coordinates, then the length of the rest.
    keys : (M,) float64
        Exact squared distances to one row.
    lengths : (M,) float64
        Lengths of the rows under cosine; else empty.
    slack : float
        A distance of two sketches exceeds that of their rows by less than this.
    largest : float
        No value in a row, scaled to length 1 under cosine, is larger than this.
    """

    points: NDArray[np.float32]
    keys: NDArray[np.float64]
    lengths: NDArray[np.float64]
    slack: float
    largest: float


def _directions(sample: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return (D, at most WIDTH - 1) orthonormal directions along which a centred sample spreads most."""
    width = min(WIDTH - 1, sample.shape[1])
    # Any orthonormal directions are right, so that a few rounds of subspace iteration from a fixed start serve.
    basis = np.random.Generator(np.random.PCG64(0)).normal(size=(sample.shape[1], width))
    for _ in range(4):
        basis = np.linalg.qr(sample.T @ (sample @ basis))[0]
    return basis


@njit(cache=True, nogil=True)
def _measure(rows, lengths, row, zero, plan, own64, keys):  # type: ignore[no-untyped-def]
    terms = np.empty(rows.shape[1] + 64)
    for i in range(len(rows)):
        if len(lengths) > 0:
            for k in range(rows.shape[1]):
                own64[k] = np.float64(rows[i, k]) / lengths[i]
            key = squared_distance(own64, row, terms, plan)
        else:
            key = squared_distance(rows[i], row, terms, plan)
        keys[i] = key if key > zero else 0.0


def sketch_rows(
    rows: Rows, members: NDArray[np.int64], row: NDArray[np.float64], is_unit: bool, zero: float
) -> Sketches:
    """Sketch some rows in one pass over all blocks.

    Parameters
    ----------
    rows : Rows
        All rows.
    members : (M,) int64
        Those to sketch, increasing.
    row : (D,) float64
        Distances are measured to it; scaled to length 1 under cosine.
    is_unit : bool
        Whether rows are scaled to length 1 first (cosine).
    zero : float
        Squared distances up to this count as 0.

    Returns
    -------
    Sketches
        In the order of ``members``.
    """
    width, total = rows.shape[1], len(members)
    few = rows.fetch(members[np.unique(np.linspace(0, total - 1, min(SAMPLE, total)).astype(np.int64))])
    sample = unit_rows(few) if is_unit else few.astype(np.float64)
    mean = sample.mean(axis=0)
    basis = _directions(sample - mean)
    points = np.zeros((total, WIDTH), np.float32)
    keys = np.empty(total)
    lengths = np.ones(total if is_unit else 0)
    plan, own64 = sum_plan(width), np.empty(width)
    piece = np.empty((PIECE, width))
    farthest_square = 0.0
    for start, block in rows.blocks():
        a, b = np.searchsorted(members, [start, start + len(block)])
        local = members[a:b] - start
        for c in range(0, b - a, PIECE):
            span = local[c : c + PIECE]
            is_run = len(span) > 0 and span[-1] - span[0] == len(span) - 1
            own = block[span[0] : span[-1] + 1] if is_run else block[span]
            out = slice(a + c, a + c + len(own))
            exact = piece[: len(own)]
            exact[:] = own
            if is_unit:
                lengths[out] = np.sqrt((exact * exact).sum(axis=1))
                exact /= lengths[out, np.newaxis]
            _measure(own, lengths[out] if is_unit else lengths, row, zero, plan, own64, keys[out])
            exact -= mean
            prefix = exact @ basis
            squares = np.einsum("ij,ij->i", exact, exact)
            rest = np.maximum(squares - np.einsum("ij,ij->i", prefix, prefix), 0.0)
            points[out, : basis.shape[1]] = prefix
            points[out, -1] = np.sqrt(rest)
            farthest_square = max(farthest_square, float(squares.max()))
    # Float64 rounding of squares - prefix^2 (under the root), of the projection, and float32 storage; for two points.
    epsilon = np.finfo(np.float64).eps
    share = np.sqrt(24.0 * (width + 32) * epsilon) + 2.0**-22
    largest = float(np.sqrt(farthest_square) + np.abs(mean).max())
    return Sketches(points, keys, lengths, 2.0 * float(share * np.sqrt(farthest_square)), largest)


@njit(cache=True, nogil=True)
def _split(points, order, low, high, k):  # type: ignore[no-untyped-def]
    """Put the lower half along coordinate k first (quickselect); returns where the upper half starts."""
    middle = (low + high) // 2
    left, right = low, high - 1
    while left < right:
        pivot = points[order[(left + right) // 2], k]
        i, j = left, right
        while i <= j:
            while points[order[i], k] < pivot:
                i += 1
            while points[order[j], k] > pivot:
                j -= 1
            if i <= j:
                order[i], order[j] = order[j], order[i]
                i += 1
                j -= 1
        if middle <= j:
            right = j
        elif middle >= i:
            left = i
        else:
            break
    return middle


@njit(cache=True, nogil=True)
def _grow_tree(points, order, first, limit):  # type: ignore[no-untyped-def]
    stack_low, stack_high = np.empty(128, np.int64), np.empty(128, np.int64)
    stack_low[0], stack_high[0] = 0, len(order)
    depth, n_groups = 1, 0
    total, square = np.empty(points.shape[1]), np.empty(points.shape[1])
    while depth > 0:
        depth -= 1
        low, high = stack_low[depth], stack_high[depth]
        if high - low <= limit:
            first[n_groups] = low
            n_groups += 1
            continue
        total[:] = 0.0
        square[:] = 0.0
        step = max(1, (high - low) // 256)
        for i in range(low, high, step):
            for k in range(points.shape[1]):
                value = np.float64(points[order[i], k])
                total[k] += value
                square[k] += value * value
        n = (high - low + step - 1) // step
        widest, spread = 0, -1.0
        for k in range(points.shape[1]):
            own = square[k] - total[k] * total[k] / n
            if own > spread:
                widest, spread = k, own
        middle = _split(points, order, low, high, widest)
        stack_low[depth], stack_high[depth] = middle, high
        stack_low[depth + 1], stack_high[depth + 1] = low, middle
        depth += 2
    first[n_groups] = len(order)
    return n_groups


def group_points(
    points: NDArray[np.float32], size: int = GROUP
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Sort points into groups of neighbours by halving along the widest coordinate.

    Parameters
    ----------
    points : (M, WIDTH) float32
        M of 1 or more.
    size : int
        Most points in a group.

    Returns
    -------
    order : (M,) int64
        Points group by group.
    first : (G + 1,) int64
        Where each group starts in ``order``.
    """
    order = np.arange(len(points), dtype=np.int64)
    first = np.empty(2 * len(points) // max(1, size // 2) + 3, np.int64)
    n_groups = _grow_tree(points, order, first, size)
    return order, first[: n_groups + 1].copy()


@njit(cache=True, nogil=True)
def ball_groups(points, first, centre, radius):  # type: ignore[no-untyped-def]
    """Fill in the mean of each group and the largest distance of its points from it, rounded up."""
    for g in range(len(first) - 1):
        n = first[g + 1] - first[g]
        for k in range(points.shape[1]):
            total = 0.0
            for j in range(first[g], first[g + 1]):
                total += points[j, k]
            centre[g, k] = total / n
        largest = 0.0
        for j in range(first[g], first[g + 1]):
            square = 0.0
            for k in range(points.shape[1]):
                difference = np.float64(points[j, k]) - np.float64(centre[g, k])
                square += difference * difference
            largest = max(largest, square)
        radius[g] = np.sqrt(largest) * (1.0 + 1e-12)

"""Farthest point by the plain loop: after each pick, the distances of all rows to it; any metric, any source.

Squared Euclidean distances are summed in the order of numpy's ``((rows - row) ** 2).sum(axis=1)`` on float64, bit by
bit, so that both agree on every tie.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numba import njit

from evfr._core.distances import distances
from evfr.sampling._farthest_vectors import LANES, eight_sums, lane_sum

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from evfr._core.distances import Metric
    from evfr.sampling._farthest_rows import Rows

__all__ = [
    "COSINE_ZERO",
    "Greedy",
    "Order",
    "between",
    "between_below",
    "bound_margin",
    "pairwise_sum",
    "plain_order",
    "squared_distance",
    "sum_plan",
    "unit_rows",
]

PART = 128
"""Coordinates summed before a sum is compared with its limit."""

COSINE_ZERO = 1e-28
"""Squared distances of unit rows up to this are rounding of equal directions, and count as 0."""


class Greedy(NamedTuple):
    """What to pick: see `evfr.sampling._farthest.farthest_order`; keys are distances, squared where that is cheaper."""

    n: int
    metric: Metric
    p: float
    given: NDArray[np.int64]
    first: int
    allowed: NDArray[np.bool_]
    accept: Callable[[int], bool] | None
    stop_key: float


class Order(NamedTuple):
    """Picks in greedy order, the key of each when it was taken, why it ended, and the largest key left (a radius)."""

    picks: list[int]
    keys: list[float]
    stop_reason: str
    left: float


@njit(cache=True, nogil=True)
def _sum_leaf(terms, start, n):  # type: ignore[no-untyped-def]
    if n < 8:
        total = 0.0
        for k in range(start, start + n):
            total += terms[k]
        return total
    r0, r1, r2, r3 = terms[start], terms[start + 1], terms[start + 2], terms[start + 3]
    r4, r5, r6, r7 = terms[start + 4], terms[start + 5], terms[start + 6], terms[start + 7]
    stop = start + n - n % 8
    for k in range(start + 8, stop, 8):
        r0 += terms[k]
        r1 += terms[k + 1]
        r2 += terms[k + 2]
        r3 += terms[k + 3]
        r4 += terms[k + 4]
        r5 += terms[k + 5]
        r6 += terms[k + 6]
        r7 += terms[k + 7]
    total = ((r0 + r1) + (r2 + r3)) + ((r4 + r5) + (r6 + r7))
    for k in range(stop, start + n):
        total += terms[k]
    return total


@njit(cache=True, nogil=True)
def pairwise_sum(terms, plan):  # type: ignore[no-untyped-def]
    """Sum D float64 terms in the order of numpy's reduction; ``terms`` (D + 64,) has room for partial sums behind."""
    top = len(terms) - 64
    for leaf in range(len(plan)):
        terms[top] = _sum_leaf(terms, plan[leaf, 0], plan[leaf, 1])
        for _ in range(plan[leaf, 2]):
            top -= 1
            terms[top] += terms[top + 1]
        top += 1
    return terms[len(terms) - 64]


def sum_plan(n: int) -> NDArray[np.int64]:
    """Return (L, 3): first term and number of terms of each leaf of numpy's sum, and how many sums it completes.

    Numpy halves the terms, at a multiple of 8, until at most 128 are left; numba's cache does not bear recursion.
    """
    if n <= 128:
        return np.array([[0, n, 0]], np.int64)
    half = n // 2 - n // 2 % 8
    right = sum_plan(n - half)
    right[:, 0] += half
    right[-1, 2] += 1
    return np.concatenate([sum_plan(half), right])


@njit(cache=True, nogil=True, fastmath={"reassoc", "contract"})
def between(a, i, b, j):  # type: ignore[no-untyped-def]
    """Return the squared distance of two rows in their own precision, summed in any order: for bounds only."""
    # Flat loops over whole arrays: slices, or a way out half-way, keep them from being vectorised.
    total = np.float32(0.0)
    for k in range(a.shape[1]):
        difference = a[i, k] - b[j, k]
        total += difference * difference
    return total


@njit(cache=True, nogil=True, fastmath={"reassoc", "contract"}, forceinline=True)
def between_below(a, i, b, j, limit):  # type: ignore[no-untyped-def]
    """Return `between`, or what it has come to when that is ``limit`` or more."""
    total = np.float32(0.0)
    width = a.shape[1]
    whole = width - width % LANES
    for start in range(0, whole, PART):
        total += lane_sum(a, i, b, j, start, min(start + PART, whole))
        if total >= limit:
            return total
    for k in range(whole, width):
        difference = a[i, k] - b[j, k]
        total += difference * difference
    return total


@njit(cache=True, nogil=True)
def bound_margin(width):  # type: ignore[no-untyped-def]
    """Return by how much, relatively, a float32 sum of so many squares may exceed the true one, at most."""
    return 1.1 * (width + 8) * 2.0**-24


@njit(cache=True, nogil=True, forceinline=True)
def squared_distance(a, b, terms, plan):  # type: ignore[no-untyped-def]
    """Return the squared Euclidean distance of two rows in float64; ``terms`` (D + 64,) is scratch."""
    top = len(terms) - 64
    for leaf in range(len(plan)):
        start, n = plan[leaf, 0], plan[leaf, 1]
        stop = start + n - n % 8
        total = eight_sums(a, b, start, stop) if n >= 8 else 0.0
        for k in range(stop, start + n):
            difference = np.float64(a[k]) - np.float64(b[k])
            total += difference * difference
        terms[top] = total
        for _ in range(plan[leaf, 2]):
            top -= 1
            terms[top] += terms[top + 1]
        top += 1
    return terms[len(terms) - 64]


@njit(cache=True, nogil=True)
def _relax_euclidean(rows, row, nearest, plan, zero):  # type: ignore[no-untyped-def]
    terms = np.empty(rows.shape[1] + 64)
    margin = 1.0 + bound_margin(rows.shape[1])
    one = row.reshape(1, -1)
    for i in range(len(rows)):
        if nearest[i] > 0.0:
            if nearest[i] < np.inf:
                bound = between(rows, i, one, 0)
                if bound >= nearest[i] * margin + 1e-37 and bound < np.inf:
                    continue
            key = squared_distance(rows[i], row, terms, plan)
            if key <= zero:
                key = 0.0
            if key < nearest[i]:
                nearest[i] = key


@njit(cache=True, nogil=True)
def _relax_manhattan(rows, row, nearest, plan, p):  # type: ignore[no-untyped-def]
    terms = np.empty(rows.shape[1] + 64)
    for i in range(len(rows)):
        if nearest[i] > 0.0:
            for k in range(rows.shape[1]):
                terms[k] = abs(np.float64(rows[i, k]) - np.float64(row[k]))
            key = pairwise_sum(terms, plan)
            if key < nearest[i]:
                nearest[i] = key


@njit(cache=True, nogil=True)
def _relax_minkowski(rows, row, nearest, plan, p):  # type: ignore[no-untyped-def]
    terms = np.empty(rows.shape[1] + 64)
    for i in range(len(rows)):
        if nearest[i] > 0.0:
            for k in range(rows.shape[1]):
                terms[k] = abs(np.float64(rows[i, k]) - np.float64(row[k])) ** p
            key = pairwise_sum(terms, plan)
            if key < nearest[i]:
                nearest[i] = key


@njit(cache=True, nogil=True)
def _relax_chebyshev(rows, row, nearest, plan, p):  # type: ignore[no-untyped-def]
    for i in range(len(rows)):
        if nearest[i] > 0.0:
            key = 0.0
            for k in range(rows.shape[1]):
                key = max(key, abs(np.float64(rows[i, k]) - np.float64(row[k])))
                if key >= nearest[i]:
                    break
            if key < nearest[i]:
                nearest[i] = key


_KERNELS: dict[Any, Callable[..., None]] = {
    "manhattan": _relax_manhattan,
    "minkowski": _relax_minkowski,
    "chebyshev": _relax_chebyshev,
}


def unit_rows(rows: NDArray[Any]) -> NDArray[np.float64]:
    """Return rows scaled to length 1 in float64; zero rows become NaN."""
    exact = rows.astype(np.float64)
    with np.errstate(invalid="ignore", divide="ignore"):
        exact /= np.sqrt((exact * exact).sum(axis=1, keepdims=True))
    return exact


def plain_order(rows: Rows, greedy: Greedy) -> Order:
    """Pick by the plain O(N n) loop.

    Parameters
    ----------
    rows : Rows
        All embeddings.
    greedy : Greedy
        What to pick.

    Returns
    -------
    Order
        Picks, keys, the reason why it ended, the largest key left.
    """
    # -1 is never picked; +inf is not yet measured, which argmax resolves to the lowest index.
    nearest = np.where(greedy.allowed, np.inf, -1.0)
    plan = sum_plan(rows.shape[1])
    blocks: list[tuple[int, NDArray[Any]]] | None = None
    if rows.source is None:
        blocks = [(start, _prepared(block, greedy.metric)) for start, block in rows.blocks()]

    def relax(index: int) -> None:
        row = _prepared(rows.fetch(np.array([index])), greedy.metric)[0]
        for start, block in blocks if blocks is not None else rows.blocks():
            near = nearest[start : start + len(block)]
            if callable(greedy.metric):
                open_rows = np.flatnonzero(near > 0)
                near[open_rows] = np.minimum(near[open_rows], _called(greedy.metric, row, block[open_rows]))
            elif greedy.metric in ("euclidean", "cosine"):
                zero = COSINE_ZERO if greedy.metric == "cosine" else 0.0
                whole = block if blocks is not None else _prepared(block, greedy.metric)
                _relax_euclidean(whole, row, near, plan, zero)
            else:
                _KERNELS[greedy.metric](block, row, near, plan, greedy.p)

    for index in greedy.given.tolist():
        relax(index)
    picks: list[int] = []
    keys: list[float] = []
    if len(nearest) == 0:
        return Order(picks, keys, "budget" if greedy.n == 0 else "exhausted", -1.0)
    is_first = greedy.first >= 0
    while True:
        best = greedy.first if is_first else int(np.argmax(nearest))
        key = float(nearest[best])
        if len(picks) == greedy.n:
            return Order(picks, keys, "budget", key)
        if key < 0:
            return Order(picks, keys, "exhausted", key)
        if key <= greedy.stop_key:
            return Order(picks, keys, "duplicates" if key == 0 else "radius", key)
        is_first = False
        nearest[best] = -1.0
        if greedy.accept is not None and not greedy.accept(best):
            continue
        picks.append(best)
        keys.append(key)
        relax(best)


def _prepared(block: NDArray[Any], metric: Metric) -> NDArray[Any]:
    return unit_rows(block) if metric == "cosine" else block


def _called(metric: Callable[..., Any], row: NDArray[Any], block: NDArray[Any]) -> NDArray[np.float64]:
    values = distances(row, block, metric)
    bad = np.flatnonzero(~(values >= 0))
    if len(bad):
        raise ValueError(f"metric must return distances of 0 or more, got {values[bad[0]]}")
    return values

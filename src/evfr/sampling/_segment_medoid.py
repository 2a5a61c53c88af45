"""A clip split into n stretches of frames, and the frame that represents each best."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numba import njit

from evfr._core.distances import distances
from evfr.sampling._cluster_rows import checked_rows, narrowed
from evfr.sampling._kmedoids_kernels import CODES, between, fill_matrix
from evfr.sampling._sample import Sample

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import ArrayLike, NDArray

    from evfr._core.distances import RowSource

__all__ = ["segment_medoid"]

LARGEST_TABLE = 8_192**2
TIE = 1e-7


def segment_medoid(
    embeddings: ArrayLike | RowSource,
    n: int,
    *,
    seed: int = 0,
    metric: str | Callable[..., Any] = "euclidean",
    p: float = 3.0,
    grid: int = 1,
    initial: Sequence[int] = (),
    usable: ArrayLike | None = None,
    cuts: ArrayLike | None = None,
) -> Sample:
    """Split a clip into n stretches and take the frame of least total distance to each (ours, experimental).

    It covers a clip best of all samplers here (least mean distance of a frame to the pick of its stretch). In
    trained models it was not the best so far: experimental.

    Parameters
    ----------
    embeddings : (N, D) array_like
        One row per frame in the order of time, float16, float32 or float64; a `RowSource` is read as a whole.
    n : int
        Rows to pick, 0 <= n <= N; ``initial`` is not counted.
    seed : int
        Not used; the result is the optimum.
    metric : str or callable
        ``"euclidean"``, ``"cosine"``, ``"manhattan"``, ``"minkowski"``, ``"chebyshev"``, or a callable
        (a (D,), b (M, D)) -> (M,).
    p : float
        Exponent of ``"minkowski"``, 1 or more.
    grid : int
        Look at every grid-th row only, 1 or more; for clips too long for the table of distances.
    initial : sequence of int
        Rows selected already: no frame counts more than its distance to the nearest of them.
    usable : (N,) bool or None
        Rows that may be picked; the others do not count.
    cuts : (K,) array_like of int, or None
        First rows of shots: no stretch crosses one where n is at least the number of shots.

    Returns
    -------
    Sample
        Not nested; ``rank`` is by falling length of the stretch. A note states the mean distance.

    Raises
    ------
    ValueError
        If an argument is not allowed, or a shot has more than 8,192 rows (see ``grid``).
    ConstraintError
        If fewer than n rows can be picked.

    Notes
    -----
    Exact by dynamic programming. Let P[m, t] be the sum of the distances of rows 0..t to row m, and F_k[j] the
    least cost of k stretches that end before row j. Then the best start of a stretch with medoid m is the least of
    F_{k-1}[i] - P[m, i - 1] over i <= m, and F_k[j] the least of that plus P[m, j - 1] over m < j: two passes over
    a table for each k, so n N^2 operations in all (n times the sum of squared shot lengths, with cuts) and 8 bytes
    per entry: 512 MiB at 8,192 rows without cuts. Rows are scaled to float32; sums are float64. Every distance is
    raised by 1e-7 of the largest one per clip length between frame and medoid, which spreads the picks where
    nothing changes; the optimum is exact up to that.

    References
    ----------
    Bellman, "On the approximation of curves by line segments using dynamic programming", Communications of the ACM 4
    (1961), doi:10.1145/366573.366611 (the scheme).

    Examples
    --------
    >>> segment_medoid([[0.0], [0.1], [0.2], [5.0], [5.1], [0.1]], 3).indices.tolist()
    [1, 3, 5]
    """
    if grid < 1:
        raise ValueError(f"grid must be 1 or more, got {grid}")
    array, n, given, rows, nan_count = checked_rows(
        embeddings, n, metric=metric, p=p, initial=initial, usable=usable
    )
    borders = np.unique(np.asarray([] if cuts is None else cuts, dtype=np.int64))
    if len(borders) and not (borders[0] >= 1 and borders[-1] < len(array)):
        raise ValueError(f"cuts must be in 1..{len(array) - 1}, got {borders[0]} to {borders[-1]}")
    rows = rows[::grid]
    if n > len(rows):
        raise ValueError(f"grid={grid} leaves {len(rows)} rows, n is {n}; lower grid or n")
    borders = np.searchsorted(rows, borders)
    edges = np.unique(np.concatenate([[0], borders, [len(rows)]]))
    notes: tuple[str, ...] = ()
    if n < len(edges) - 1:
        notes = (
            (f"segment-medoid: {len(edges) - 1} shots are more than n={n}; stretches may cross cuts",)
            if n
            else ()
        )
        edges = edges[[0, -1]]
    table_size = int((np.diff(edges) ** 2).sum())
    if table_size > LARGEST_TABLE:
        coarse = int(np.ceil(np.sqrt(table_size / LARGEST_TABLE))) * grid
        raise ValueError(
            f"segment-medoid takes up to 8192 rows (per shot, the root of the sum of squares), got "
            f"{int(np.sqrt(table_size))}; use grid={coarse}"
        )
    if n == 0:
        return _to_sample(rows, np.zeros(0, np.int64), np.zeros(1, np.int64), np.zeros(0), notes, nan_count)
    used, scale = narrowed(array[np.concatenate([given, rows])], metric)
    medoids, ends, costs = _solve(used[len(given) :], used[: len(given)], edges, n, metric, float(p))
    notes = (
        *notes,
        f"segment-medoid: mean distance to the pick of the stretch {costs.sum() * scale / len(rows):.4g}",
    )
    return _to_sample(rows, medoids, ends, costs * scale, notes, nan_count)


def _to_sample(
    rows: NDArray[np.int64],
    medoids: NDArray[np.int64],
    ends: NDArray[np.int64],
    costs: NDArray[np.float64],
    notes: tuple[str, ...],
    nan_count: int,
) -> Sample:
    n = len(medoids)
    lengths = np.diff(ends)
    rank = np.empty(n, np.int64)
    rank[np.lexsort((np.arange(n), -lengths[:n]))] = np.arange(n)
    return Sample(
        indices=rows[medoids].astype(np.int64),
        inclusion=np.full(n, np.nan),
        rank=rank,
        reasons=tuple(
            f"segment-medoid: frames {rows[a]} to {rows[b - 1]}, at {cost / (b - a):.3g} on average"
            for a, b, cost in zip(ends[:-1].tolist(), ends[1:].tolist(), costs.tolist(), strict=False)
        ),
        notes=notes,
        method="segment-medoid",
        nan_count=nan_count,
    )


def _solve(
    points: NDArray[np.float32],
    fixed: NDArray[np.float32],
    edges: NDArray[np.int64],
    n: int,
    metric: str | Callable[..., Any],
    p: float,
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]:
    """Return the medoids, the ends of the stretches (0 first) and the cost of each stretch."""
    starts = np.concatenate([[0], np.cumsum(np.diff(edges) ** 2)])
    table = np.empty(starts[-1])
    near = np.full(len(points), np.inf)
    for row in fixed:
        near = np.minimum(near, _one_to_all(row, points, metric, p))
    for shot, (a, b) in enumerate(zip(edges[:-1].tolist(), edges[1:].tolist(), strict=True)):
        square = table[starts[shot] : starts[shot + 1]].reshape(b - a, b - a)
        if callable(metric):
            for m in range(b - a):
                square[m] = distances(points[a + m], points[a:b], metric)
        else:
            fill_matrix(points[a:b], CODES[metric], p, square)
        np.minimum(square, near[a:b], out=square)
    bias = TIE * (float(table.max()) or 1.0) / len(points)
    _prefix_sums(table, starts, edges, bias)
    medoid_of = np.full((n, len(points) + 1), -1, np.int32)
    start_of = np.full((n, len(points)), -1, np.int32)
    _programme(table, starts, edges, n, medoid_of, start_of)
    medoids, ends = np.empty(n, np.int64), np.empty(n + 1, np.int64)
    ends[n] = len(points)
    for k in range(n - 1, -1, -1):
        medoids[k] = medoid_of[k, ends[k + 1]]
        ends[k] = start_of[k, medoids[k]]
    costs = np.array(
        [
            np.minimum(_one_to_all(points[m], points[a:b], metric, p), near[a:b]).sum()
            for m, a, b in zip(medoids.tolist(), ends[:-1].tolist(), ends[1:].tolist(), strict=True)
        ]
    )
    return medoids, ends, costs


def _one_to_all(
    row: NDArray[np.float32], points: NDArray[np.float32], metric: str | Callable[..., Any], p: float
) -> NDArray[np.float64]:
    if callable(metric):
        return distances(row, points, metric)
    values = np.empty(len(points))
    _measure(row, points, CODES[metric], p, values)
    return values


@njit(cache=True, nogil=True)
def _measure(row, points, code, p, values):  # type: ignore[no-untyped-def]
    for i in range(len(points)):
        values[i] = between(row, points[i], code, p)


@njit(cache=True, nogil=True)
def _prefix_sums(table, starts, edges, bias):  # type: ignore[no-untyped-def]
    """Turn distances into sums along time, each raised by the bias per frame between."""
    for shot in range(len(edges) - 1):
        size = edges[shot + 1] - edges[shot]
        for m in range(size):
            at = starts[shot] + m * size
            total = 0.0
            for t in range(size):
                total += table[at + t] + bias * abs(t - m)
                table[at + t] = total


@njit(cache=True, nogil=True)
def _programme(table, starts, edges, n, medoid_of, start_of):  # type: ignore[no-untyped-def]
    count = edges[-1]
    before = np.full(count + 1, np.inf)
    before[0] = 0.0
    for k in range(n):
        after = np.full(count + 1, np.inf)
        for shot in range(len(edges) - 1):
            first = edges[shot]
            size = edges[shot + 1] - first
            for m in range(size):
                at = starts[shot] + m * size
                best, start = before[first], -1 if before[first] == np.inf else 0
                for i in range(1, m + 1):
                    value = before[first + i] - table[at + i - 1]
                    if value < best:
                        best, start = value, i
                if start < 0:
                    continue
                start_of[k, first + m] = first + start
                for j in range(m + 1, size + 1):
                    value = best + table[at + j - 1]
                    if value < after[first + j]:
                        after[first + j] = value
                        medoid_of[k, first + j] = first + m
        before = after

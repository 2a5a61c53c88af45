"""Select over any number of videos: a small pool of each, kept as plain values, and one merge over all pools."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from evfr._core.distances import Metric, distances, usable_rows
from evfr.errors import ConstraintError
from evfr.sampling._facility import choose_mode, run
from evfr.sampling._facility_rows import prepare, unit_rows
from evfr.sampling._farthest import farthest, farthest_order
from evfr.sampling._sample import check_budget

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import ArrayLike, NDArray

    from evfr.sampling._sample import Sample

__all__ = ["Merged", "Pool", "cut_pools", "merge_pools", "pool_rows"]

BLOCK_VALUES = 4 * 2**20
"""Distances computed at once."""


@dataclass(frozen=True, slots=True, eq=False)
class Pool:
    """Hold the greedy order of one video, as far as it was computed.

    Attributes
    ----------
    order : (K,) int64
        Rows of the video, in the order of picking; any prefix is a pool as well.
    gains : (K,) float64
        What each pick added, never rising: the distance to the nearest row picked before (infinity for the
        first) under ``"farthest"``; the rise of the objective in rows under ``"facility"``.
    weights : (K,) int64
        How many rows of the video are nearest to each pick; they add up to the rows that can be used.
    radius : float
        Largest distance of a row of the video to its nearest pick; NaN without rows.
    n_rows : int
        Rows of the video, usable or not.
    method : {"farthest", "facility"}
        The order's aim.
    metric : str or callable
        As in `evfr.sampling.distances`.
    """

    order: NDArray[np.int64]
    gains: NDArray[np.float64]
    weights: NDArray[np.int64]
    radius: float
    n_rows: int
    method: str
    metric: Metric

    def __post_init__(self) -> None:
        shape = self.order.shape
        if len(shape) != 1 or self.gains.shape != shape or self.weights.shape != shape:
            raise ValueError(
                f"order, gains and weights must be (K,) of one length, got {shape}, {self.gains.shape} and "
                f"{self.weights.shape}"
            )
        if self.method not in ("farthest", "facility"):
            raise ValueError(f"method must be 'farthest' or 'facility', got {self.method!r}")

    def __len__(self) -> int:
        return len(self.order)

    def __repr__(self) -> str:
        return f"Pool({self.method}, {len(self)} of {self.n_rows} rows, radius {self.radius:.3g})"


@dataclass(frozen=True, slots=True, eq=False)
class Merged:
    """Hold one selection over many pools.

    Attributes
    ----------
    pool : (n,) int64
        Number of the pool (video) of each pick; ascending.
    row : (n,) int64
        Row within the video; ascending within each pool.
    sample : Sample
        The selection over the rows of all pools, put one after the other: ranks, gains, reasons, notes.
    radius_bound : float
        No usable row of any video is farther from its nearest pick than this, by the triangle inequality;
        infinity for a callable, of which it need not hold.
    """

    pool: NDArray[np.int64]
    row: NDArray[np.int64]
    sample: Sample
    radius_bound: float

    def __len__(self) -> int:
        return len(self.pool)


def pool_rows(
    embeddings: ArrayLike,
    n: int,
    *,
    method: Literal["farthest", "facility"] = "farthest",
    metric: Metric = "euclidean",
    stop_radius: float | None = None,
    usable: ArrayLike | None = None,
) -> Pool:
    """Return the greedy order of one video, to be stored and merged with those of others.

    Parameters
    ----------
    embeddings : (N, D) array_like
        Rows of one video.
    n : int
        Rows to pool at most; more than N is allowed.
    method : {"farthest", "facility"}
        Which selection the pool shall serve.
    metric : str or callable
        As in `evfr.sampling.distances`.
    stop_radius : float, optional
        ``"farthest"`` only: stop as soon as no row is farther than this from the pool.
    usable : (N,) bool, optional
        Rows that may be pooled.

    Returns
    -------
    Pool
        Empty where no row can be used.

    Raises
    ------
    ValueError
        If an option or a shape is not allowed.

    Examples
    --------
    >>> pool = pool_rows([[0.0], [0.1], [5.0], [5.2]], 4, stop_radius=0.5)
    >>> pool.order.tolist(), pool.weights.tolist()
    ([2, 0], [2, 2])
    """
    rows = np.asarray(embeddings)
    if method == "farthest":
        order, gains, _ = farthest_order(
            rows, n, metric=metric, start="mean", usable=usable, stop_radius=stop_radius
        )
    elif method == "facility":
        if stop_radius is not None:
            raise ValueError("stop_radius is for method 'farthest'; a facility pool ends after n rows")
        if n < 0:
            raise ValueError(f"n must be 0 or more, got {n}")
        problem, _ = prepare(rows, metric, usable)
        sample = run(problem, min(n, len(problem.members)), mode="exact")
        turn = np.argsort(sample.rank)
        order, gains = sample.indices[turn], np.asarray(sample.gains)[turn]
    else:
        raise ValueError(f"method must be 'farthest' or 'facility', got {method!r}")
    weights, radius = _represent(rows, order, metric)
    return Pool(order, gains, weights, radius, len(rows), method, metric)


def cut_pools(
    pools: Sequence[Pool], vectors: Sequence[NDArray[Any]], size: int
) -> tuple[list[Pool], list[NDArray[Any]]]:
    """Cut stored orders to ``size`` picks in all, by one threshold on the gain for every video.

    A lively video keeps more than a still one; each keeps one at least. Of farthest-point orders this is the cut
    with the smallest radius that all videos reach with so many picks.

    Parameters
    ----------
    pools : sequence of Pool
        One per video, all of one method.
    vectors : sequence of (K, D) array
        Embeddings of the picks of each, in the pool's order.
    size : int
        Picks to keep in all.

    Returns
    -------
    pools, vectors : list
        The prefixes. The weight of a dropped pick goes to the nearest kept pick of its video, which is where
        most of its rows belong. ``radius`` is exact for farthest-point orders, else an upper bound.

    Raises
    ------
    ValueError
        If the pools and vectors do not fit together.
    ConstraintError
        If ``size`` is less than one pick per video.
    """
    _check(pools, vectors)
    least = sum(len(pool) > 0 for pool in pools)
    if size < least:
        raise ConstraintError(f"size={size} is less than one pick for each of {least} videos; raise size")
    number = np.repeat(np.arange(len(pools)), [len(pool) for pool in pools])
    place = np.concatenate([np.arange(len(pool)) for pool in pools] or [np.zeros(0, np.int64)])
    gains = np.concatenate([pool.gains for pool in pools] or [np.zeros(0)])
    best = np.lexsort((number, place, -np.where(place == 0, np.inf, gains)))[:size]
    kept = np.bincount(number[best], minlength=len(pools))
    cuts = [_prefix(pool, rows, int(k)) for pool, rows, k in zip(pools, vectors, kept, strict=True)]
    return cuts, [rows[:k] for rows, k in zip(vectors, kept, strict=True)]


def _prefix(pool: Pool, rows: NDArray[Any], kept: int) -> Pool:
    if kept == len(pool):
        return pool
    near, gaps = _nearest(rows[kept:], rows[:kept], pool.metric)
    weights = pool.weights[:kept] + np.bincount(near, pool.weights[kept:], kept).astype(np.int64)
    if pool.method == "farthest":
        radius = float(pool.gains[kept])
    else:
        radius = _add_radii(float(gaps.max()), pool.radius, pool.metric)
    return Pool(pool.order[:kept], pool.gains[:kept], weights, radius, pool.n_rows, pool.method, pool.metric)


def merge_pools(
    pools: Sequence[Pool],
    vectors: Sequence[NDArray[Any]],
    n: int,
    *,
    initial: NDArray[Any] | None = None,
    accept: Callable[[int, int], bool] | None = None,
) -> Merged:
    """Select n rows from the pools of many videos, as their method would from all rows (GreeDi-like).

    Parameters
    ----------
    pools : sequence of Pool
        One per video, all of one method and metric.
    vectors : sequence of (K, D) array
        Embeddings of the picks of each, in the pool's order.
    n : int
        Rows to select.
    initial : (L, D) array, optional
        Embeddings of rows selected already (labelled), from any video.
    accept : callable, optional
        Called with (number of the pool, row of its video) right before a pick; False strikes the row for good.

    Returns
    -------
    Merged
        The selection and how far it can leave any row of any video.

    Raises
    ------
    ValueError
        If the pools and vectors do not fit together.
    ConstraintError
        If the pools hold fewer than n rows.

    Notes
    -----
    ``"farthest"`` runs `farthest` on the union of the pools; the covering radius over all rows is at most that
    over the union plus the largest radius of a pool. ``"facility"`` runs `facility` on the union, each row of it
    counting as many rows as it represents in its own video (the second round of GreeDi, Mirzasoleiman et al.
    2013, with the objective estimated from the pools instead of all rows).

    References
    ----------
    Mirzasoleiman, Karbasi, Sarkar & Krause, "Distributed submodular maximization", NeurIPS 2013. Malkomes et al.,
    "Fast distributed k-center clustering with outliers on massive data", NeurIPS 2015.

    Examples
    --------
    >>> import numpy as np
    >>> videos = [np.array([[0.0], [0.1], [5.0]]), np.array([[5.1], [9.0], [9.1]])]
    >>> pools = [pool_rows(video, 2) for video in videos]
    >>> merged = merge_pools(pools, [v[p.order] for v, p in zip(videos, pools)], 3)
    >>> list(zip(merged.pool.tolist(), merged.row.tolist()))
    [(0, 1), (0, 2), (1, 1)]
    """
    _check(pools, vectors)
    counts = np.array([len(pool) for pool in pools], np.int64)
    number = np.repeat(np.arange(len(pools), dtype=np.int64), counts)
    row = np.concatenate([pool.order for pool in pools] or [np.zeros(0, np.int64)])
    # By video, then by row: indices of the union grow with time, and ties go to the earliest row.
    line = np.lexsort((row, number))
    number, row = number[line], row[line]
    n = check_budget(n, len(row))
    filled = [np.asarray(rows) for rows in vectors if len(rows)]
    union = np.concatenate(filled)[line] if filled else np.zeros((0, 1), np.float32)
    weight = np.concatenate([pool.weights for pool in pools])[line] if filled else np.zeros(0, np.int64)
    method, metric = (pools[0].method, pools[0].metric) if pools else ("farthest", "euclidean")
    may = np.ones(len(row), np.bool_)
    before = np.zeros(0, np.int64)
    if initial is not None and len(initial):
        before = np.arange(len(row), len(row) + len(initial))
        union = np.concatenate([union, np.asarray(initial, union.dtype)])
        weight = np.concatenate([weight, np.zeros(len(initial), np.int64)])
        may = np.concatenate([may, np.zeros(len(initial), np.bool_)])

    def asks(at: int) -> bool:
        return accept is None or accept(int(number[at]), int(row[at]))

    if method == "farthest":
        sample = farthest(
            union,
            n,
            metric=metric,  # type: ignore[arg-type]
            start="mean",
            initial=before.tolist(),
            usable=may,
            accept=asks,
        )
    else:
        problem, _ = prepare(union, metric, may, weight)
        mode = choose_mode(problem, "auto")
        sample = run(problem, n, mode=mode, initial=before[problem.group[before] >= 0], accept=asks)
    chosen = np.concatenate([sample.indices, before])
    gap = 0.0
    if len(row):
        gap = float(_nearest(union[: len(row)], union[chosen], metric)[1].max()) if len(chosen) else np.inf
    inner = max((pool.radius for pool in pools if len(pool)), default=0.0)
    return Merged(
        pool=number[sample.indices],
        row=row[sample.indices],
        sample=sample,
        radius_bound=_add_radii(gap, inner, metric),
    )


def _check(pools: Sequence[Pool], vectors: Sequence[NDArray[Any]]) -> None:
    if len(pools) != len(vectors):
        raise ValueError(f"pools and vectors must be of one length, got {len(pools)} and {len(vectors)}")
    for k, (pool, rows) in enumerate(zip(pools, vectors, strict=True)):
        if (pool.method, pool.metric) != (pools[0].method, pools[0].metric):
            raise ValueError(
                f"pools must share method and metric, got {pools[0].method} {pools[0].metric} and, at {k}, "
                f"{pool.method} {pool.metric}"
            )
        if np.ndim(rows) != 2 or len(rows) != len(pool):
            raise ValueError(f"vectors of pool {k} must be ({len(pool)}, D), got {np.shape(rows)}")


def _represent(
    rows: NDArray[Any], order: NDArray[np.int64], metric: Metric
) -> tuple[NDArray[np.int64], float]:
    """Return how many usable rows are nearest to each pick, and the largest distance of a row to its pick."""
    if len(order) == 0:
        return np.zeros(0, np.int64), float("nan")
    near, gaps = _nearest(rows[usable_rows(rows, metric)], rows[order], metric)
    return np.bincount(near, minlength=len(order)).astype(np.int64), float(gaps.max())


def _nearest(
    rows: NDArray[Any], picks: NDArray[Any], metric: Metric
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Return the nearest pick of each row (the first of equals), and its distance."""
    near = np.empty(len(rows), np.int64)
    gaps = np.empty(len(rows))
    step = max(1, BLOCK_VALUES // max(len(picks), rows.shape[1], 1))
    is_product = metric in ("cosine", "euclidean")
    to = _doubles(picks, metric) if is_product else picks
    for begin in range(0, len(rows), step):
        part = slice(begin, begin + step)
        if is_product:
            block = _doubles(rows[part], metric)
            near[part] = (np.einsum("ij,ij->i", to, to) - 2.0 * (block @ to.T)).argmin(axis=1)
            apart = block - to[near[part]]
            squares = np.einsum("ij,ij->i", apart, apart)
            gaps[part] = squares / 2.0 if metric == "cosine" else np.sqrt(squares)
        else:
            between = distances(picks, rows[part], metric)
            near[part] = between.argmin(axis=0)
            gaps[part] = between.min(axis=0)
    return near, gaps


def _doubles(rows: NDArray[Any], metric: Metric) -> NDArray[np.float64]:
    return unit_rows(rows, np.float64) if metric == "cosine" else rows.astype(np.float64)


def _add_radii(outer: float, inner: float, metric: Metric) -> float:
    """Return the largest distance that two steps of these lengths can make."""
    if callable(metric):
        return float("inf")
    if metric != "cosine":
        return outer + inner
    return float(min(2.0, (np.sqrt(outer) + np.sqrt(inner)) ** 2))

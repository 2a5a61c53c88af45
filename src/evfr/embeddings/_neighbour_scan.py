"""Exact nearest neighbours: float32 products choose candidates in blocks, float64 decides."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from evfr._core.distances import distances
from evfr.embeddings._vector_source import VectorSource, block_rows, prepared_rows, usable_for

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["SPARE", "best_rows", "exact_distances", "scan"]

SPARE = 32
_UNIT = 2.0**-24  # half the spacing of float32 at 1
_TINY = 2.0**-126  # below this float32 loses digits


def scan(
    faiss: Any, source: VectorSource, queries: NDArray[np.float32], k: int, metric: str, device: str
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Compare queries with every row, one block in memory at a time.

    Parameters
    ----------
    faiss : module
        The library.
    source : VectorSource
        The N rows, of which at least k are usable.
    queries : (Q, D) float32
        Usable queries, Q of 1 or more.
    k : int
        1 or more.
    metric, device : str
        As in `build_index`.

    Returns
    -------
    rows : (Q, k) int64
        Nearest first, the lower row first where distances are equal.
    distances : (Q, k) float64
        Theirs.
    """
    found = [np.zeros(0, np.int64)] * len(queries)
    far = [np.zeros(0)] * len(queries)
    prepared = prepared_rows(queries, metric)
    start = 0
    for block in source.blocks(block_rows(queries.shape[1])):
        rows = np.flatnonzero(usable_for(block, metric))
        if len(rows):
            own = prepared_rows(block[rows] if len(rows) < len(block) else block, metric)
            scores, places = _nearest(faiss, prepared, own, min(k + SPARE, len(rows)), metric, device)
            slack = _error_bound(prepared, own, metric, device)
            for q, query in enumerate(queries):
                worst = _as_score(float(far[q][-1]), metric) if len(far[q]) == k else np.inf
                bound = (slack[0][q], slack[1], slack[2])
                chosen = rows[_candidates(scores[q], places[q], len(rows), k, worst, bound)]
                exact = exact_distances(query, block[chosen], metric)
                found[q], far[q] = best_rows(
                    np.concatenate([found[q], chosen + start]), np.concatenate([far[q], exact]), k
                )
        start += len(block)
    return np.stack(found), np.stack(far)


def _candidates(
    scores: NDArray[np.float64],
    places: NDArray[np.int64],
    total: int,
    k: int,
    worst: float,
    bound: tuple[float, float, float],
) -> NDArray[np.int64]:
    """Return the rows of a block that may be among the k nearest: all of them where float32 cannot tell.

    k rows have a true score of at most the k-th float32 score plus its error, or of at most ``worst``, so a row
    whose float32 score minus its error lies above that is not among them.
    """
    constant, share, root = bound
    size = np.abs(scores)
    errors = constant + share * size + root * np.sqrt(size)
    lowest = scores - errors
    limit = min(float(scores[k - 1] + errors[k - 1]) if len(scores) >= k else np.inf, worst + constant)
    is_proven = len(scores) == total or lowest[-1] > limit
    if not is_proven or not np.isfinite(errors).all():
        return np.arange(total)
    return np.sort(places[lowest <= limit])


def _nearest(
    faiss: Any,
    queries: NDArray[np.float32],
    rows: NDArray[np.float32],
    count: int,
    metric: str,
    device: str,
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Return float32 scores (squared distance, or minus the product; lower is nearer) and places."""
    is_product = metric == "inner_product"
    kind = faiss.METRIC_INNER_PRODUCT if is_product else faiss.METRIC_L2
    if device == "gpu":
        near, places = faiss.knn_gpu(faiss.StandardGpuResources(), queries, rows, count, metric=kind)
    else:
        near, places = faiss.knn(queries, rows, count, metric=kind)
    return np.asarray(-near if is_product else near, np.float64), places


def _as_score(distance: float, metric: str) -> float:
    """Return the score of `_nearest` that a distance stands for."""
    if metric == "cosine":
        return 2.0 * distance
    return distance * distance if metric == "euclidean" else distance


def _error_bound(
    queries: NDArray[np.float32], rows: NDArray[np.float32], metric: str, device: str
) -> tuple[NDArray[np.float64], float, float]:
    """Return (a, b, c) so that a float32 score s is within a + b |s| + c sqrt |s| of the true one; a per query.

    Sums of squared differences are off by a share of themselves, so that near-duplicates are told apart; for
    cosine the rows' lengths are off by a share, too, which enters squared. Products, and the GPU's sums, are
    off by a share of the lengths.
    """
    terms = (queries.shape[1] + 16) * _UNIT
    tiny = queries.shape[1] * _TINY
    if metric != "inner_product" and device == "cpu":
        scaled = 4.0 * terms**2 if metric == "cosine" else 0.0
        return np.full(len(queries), scaled + tiny), 4.0 * terms, 16.0 * _UNIT
    own = np.sqrt((queries.astype(np.float64) ** 2).sum(axis=1))
    longest = math.sqrt(float(np.max(np.einsum("ij,ij->i", rows, rows, dtype=np.float64))))
    scale = own * longest if metric == "inner_product" else 2.0 * (own + longest) ** 2
    return np.asarray(terms * scale + tiny), 0.0, 0.0


def exact_distances(
    query: NDArray[np.float32], rows: NDArray[np.float32], metric: str
) -> NDArray[np.float64]:
    """Return the distances of a (D,) query to (M, D) rows in float64, the same for equal rows wherever they are."""
    if metric == "inner_product":
        return np.asarray(-(rows.astype(np.float64) * query.astype(np.float64)).sum(axis=1))
    return distances(query, rows, metric)


def best_rows(
    rows: NDArray[np.int64], far: NDArray[np.float64], k: int
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Return the k nearest, the lower row first where distances are equal."""
    order = np.lexsort((rows, far))[:k]
    return rows[order], far[order]

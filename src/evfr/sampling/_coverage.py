"""How well chosen rows cover all rows: the largest and the mean distance to the nearest chosen one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from evfr._core.distances import Metric, distances, usable_rows
from evfr._core.rng import generator

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

__all__ = ["Coverage", "coverage"]

BLOCK_VALUES = 1 << 22


@dataclass(frozen=True, slots=True)
class Coverage:
    """Say how far rows are from the nearest chosen one. It is no measure of what a model learns from them.

    Attributes
    ----------
    radius : float
        Largest distance (k-centre objective); NaN without chosen rows.
    mean : float
        Mean distance (k-median objective).
    rows : int
        Rows that were measured.
    total : int
        Usable rows; more than ``rows`` where a random part was measured.
    """

    radius: float
    mean: float
    rows: int
    total: int


def coverage(
    embeddings: NDArray[np.floating[Any]],
    chosen: ArrayLike,
    *,
    metric: Metric = "euclidean",
    p: float = 3.0,
    limit: int = 20_000,
    seed: int = 0,
) -> Coverage:
    """Measure how well chosen rows cover all rows.

    Parameters
    ----------
    embeddings : (N, D) float array
        All rows; those with NaN (and zero rows under cosine) are left out.
    chosen : (n,) array_like of int
        Row numbers of the chosen ones.
    metric : str or callable
        As in `evfr.sampling.farthest`.
    p : float
        Exponent of ``minkowski``.
    limit : int
        Above this many rows, so many are drawn at random; the radius is then a lower bound.
    seed : int
        Of that draw.

    Returns
    -------
    Coverage
        Radius, mean, and how many rows they come from.

    Raises
    ------
    ValueError
        If the metric is unknown or a row number does not exist.

    Examples
    --------
    >>> coverage(np.array([[0.0], [1.0], [5.0]]), [0])
    Coverage(radius=5.0, mean=2.0, rows=3, total=3)
    """
    picks = np.asarray(chosen, np.int64)
    if picks.size and not 0 <= picks.min() <= picks.max() < len(embeddings):
        raise ValueError(f"chosen must be in 0..{len(embeddings) - 1}, got {picks.min()} to {picks.max()}")
    usable = usable_rows(embeddings, metric)
    rows = np.flatnonzero(usable)
    total = len(rows)
    picks = picks[usable[picks]]
    if total > limit:
        rows = np.sort(generator(seed).choice(rows, limit, replace=False))
    if not len(rows) or not len(picks):
        return Coverage(float("nan"), float("nan"), len(rows), total)
    centres = np.asarray(embeddings[picks], np.float64)
    nearest = np.full(len(rows), np.inf)
    # distances() takes the centres as K queries: K x block values at a time.
    step = max(1, BLOCK_VALUES // max(len(centres), centres.shape[1]))
    for first in range(0, len(rows), step):
        part = np.asarray(embeddings[rows[first : first + step]], np.float64)
        if metric in ("euclidean", "cosine"):
            nearest[first : first + step] = _by_products(part, centres, str(metric))
        else:
            nearest[first : first + step] = distances(centres, part, metric, p=p).min(axis=0)
    return Coverage(float(nearest.max()), float(nearest.mean()), len(rows), total)


def _by_products(rows: NDArray[np.float64], centres: NDArray[np.float64], metric: str) -> NDArray[np.float64]:
    if metric == "cosine":
        rows = rows / np.linalg.norm(rows, axis=1, keepdims=True)
        centres = centres / np.linalg.norm(centres, axis=1, keepdims=True)
        return np.asarray(np.maximum(0.0, 1.0 - (rows @ centres.T).max(axis=1)))
    squares = (centres**2).sum(axis=1)[None, :] - 2.0 * (rows @ centres.T)
    nearest = squares.argmin(axis=1)
    # Products cancel for near rows; the nearest one is measured again by differences.
    return np.asarray(np.linalg.norm(rows - centres[nearest], axis=1))

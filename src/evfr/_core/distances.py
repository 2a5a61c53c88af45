"""Distances between embeddings: the five named ones and the caller's own, in float64, one answer everywhere."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

__all__ = ["METRICS", "Metric", "RowSource", "check_metric", "distances", "usable_rows"]

METRICS = ("euclidean", "cosine", "manhattan", "minkowski", "chebyshev")
Metric = str | Callable[..., Any]
BLOCK_VALUES = 1 << 21


@runtime_checkable
class RowSource(Protocol):
    """Give rows of embeddings on demand, for sets larger than memory; ``len()`` and ``dimension`` tell the shape."""

    def __len__(self) -> int: ...

    @property
    def dimension(self) -> int:
        """Numbers per row."""

    def rows(self, indices: NDArray[np.int64], /) -> NDArray[Any]:
        """Return (M, D) rows in the order of ``indices``."""

    def blocks(self, size: int, /) -> Iterator[NDArray[Any]]:
        """Yield all rows in order, at most ``size`` at a time."""


def check_metric(metric: Metric, p: float = 3.0) -> None:
    """Refuse a metric that is neither a name nor a callable, and a Minkowski exponent below 1.

    Parameters
    ----------
    metric : str or callable
        One of `METRICS`, or a callable ``(a (D,), b (M, D)) -> (M,)``.
    p : float
        Exponent of ``"minkowski"``; not looked at for other metrics.

    Raises
    ------
    ValueError
        If the name is unknown, or ``p`` is below 1, infinite or NaN.
    """
    if callable(metric):
        return
    if metric not in METRICS:
        raise ValueError(f"metric must be one of {', '.join(METRICS)} or a callable, got {metric!r}")
    if metric == "minkowski" and not 1.0 <= p < np.inf:
        raise ValueError(
            f"p must be 1 or more and finite, got {p}; for the largest difference use 'chebyshev'"
        )


def distances(
    a: ArrayLike, b: ArrayLike, metric: Metric = "euclidean", *, p: float = 3.0
) -> NDArray[np.float64]:
    """Measure the distances from one row, or from several, to the rows of a matrix.

    Parameters
    ----------
    a : (D,) or (K, D) array_like of float
        The row or rows to measure from.
    b : (M, D) array_like of float
        The rows to measure to.
    metric : str or callable
        ``"euclidean"``, ``"cosine"`` (1 - cosine, in 0..2), ``"manhattan"``, ``"minkowski"``, ``"chebyshev"``, or a
        callable ``(a (D,), b (M, D)) -> (M,)`` that returns 0 or more.
    p : float
        Exponent of ``"minkowski"``, 1 or more.

    Returns
    -------
    (M,) or (K, M) float64
        NaN where a row holds NaN or infinity, and under cosine where a row is zero.

    Raises
    ------
    ValueError
        If the shapes do not fit, the metric is unknown, ``p`` is below 1, or a callable returns another shape.

    Notes
    -----
    All arithmetic is float64. Cosine is half the squared Euclidean distance of the rows scaled to length 1, which
    equals 1 - cosine and keeps its digits for rows that are almost parallel.

    Examples
    --------
    >>> distances([0.0, 0.0], [[3.0, 4.0], [0.0, 1.0]]).tolist()
    [5.0, 1.0]
    >>> distances([1.0, 0.0], [[2.0, 0.0], [0.0, 3.0], [-1.0, 0.0]], "cosine").tolist()
    [0.0, 1.0, 2.0]
    """
    check_metric(metric, p)
    rows, others = np.asarray(a), np.asarray(b)
    if others.ndim != 2 or rows.ndim not in (1, 2) or rows.shape[-1] != others.shape[1]:
        raise ValueError(
            f"distances need (D,) or (K, D) against (M, D), got {rows.shape} against {others.shape}"
        )
    result = np.empty((len(np.atleast_2d(rows)), len(others)))
    step = max(1, BLOCK_VALUES // max(1, others.shape[1]))
    for start in range(0, len(others), step):
        block = others[start : start + step]
        if not callable(metric):
            block = _unusable_as_nan(block.astype(np.float64), metric)
        for row, target in zip(np.atleast_2d(rows), result, strict=True):
            if callable(metric):
                target[start : start + step] = _call(metric, row, block)
            else:
                given = _unusable_as_nan(row.astype(np.float64)[np.newaxis], metric)[0]
                target[start : start + step] = _named(given, block, metric, p)
    return result if rows.ndim == 2 else result[0]


def usable_rows(embeddings: ArrayLike | RowSource, metric: Metric = "euclidean") -> NDArray[np.bool_]:
    """Tell the rows that have a distance from those that have none.

    Parameters
    ----------
    embeddings : (N, D) array_like of float, or RowSource
        One row per frame.
    metric : str or callable
        Under ``"cosine"`` zero rows are unusable as well, since they have no direction.

    Returns
    -------
    (N,) bool
        False for rows with NaN or infinity, and for zero rows under cosine.

    Raises
    ------
    ValueError
        If ``embeddings`` is not two-dimensional, or the metric is unknown.

    Examples
    --------
    >>> usable_rows([[1.0, 2.0], [float("nan"), 0.0], [0.0, 0.0]], "cosine").tolist()
    [True, False, False]
    """
    check_metric(metric)
    if isinstance(embeddings, RowSource):
        step = max(1, BLOCK_VALUES // max(1, embeddings.dimension))
        blocks = embeddings.blocks(step)
    else:
        rows = np.asarray(embeddings)
        if rows.ndim != 2:
            raise ValueError(f"embeddings must be (N, D), got shape {rows.shape}; pass one row per frame")
        step = max(1, BLOCK_VALUES // max(1, rows.shape[1]))
        blocks = (rows[start : start + step] for start in range(0, len(rows), step))
    usable = [np.empty(0, np.bool_)]
    for block in blocks:
        usable.append(np.isfinite(block).all(axis=1))
        if metric == "cosine":
            usable[-1] &= (block != 0).any(axis=1)
    return np.concatenate(usable)


def _unusable_as_nan(rows: NDArray[np.float64], metric: Metric) -> NDArray[np.float64]:
    """Set rows without a distance to NaN, and under cosine scale the others to length 1; ``rows`` is overwritten."""
    rows[~usable_rows(rows, metric)] = np.nan
    if metric == "cosine":
        # A power of two keeps the squares of very small and very large rows in range and changes no digit.
        _, exponents = np.frexp(np.abs(rows).max(axis=1, keepdims=True, initial=0.0))
        rows = np.ldexp(rows, -exponents)
        rows /= np.sqrt((rows * rows).sum(axis=1, keepdims=True))
    return rows


def _named(row: NDArray[np.float64], block: NDArray[np.float64], metric: str, p: float) -> Any:
    difference = np.abs(block - row)
    if metric == "euclidean":
        return np.sqrt((difference * difference).sum(axis=1))
    if metric == "cosine":
        return np.minimum((difference * difference).sum(axis=1) / 2.0, 2.0)
    if metric == "manhattan":
        return difference.sum(axis=1)
    if metric == "chebyshev":
        return difference.max(axis=1, initial=0.0)
    return (difference**p).sum(axis=1) ** (1.0 / p)


def _call(metric: Callable[..., Any], row: NDArray[Any], block: NDArray[Any]) -> NDArray[np.float64]:
    values = np.asarray(metric(row, block), dtype=np.float64)
    if values.shape != (len(block),):
        raise ValueError(
            f"metric {getattr(metric, '__name__', repr(metric))} must "
            f"return one distance per row, ({len(block)},), got shape {values.shape}"
        )
    return values

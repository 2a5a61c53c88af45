"""Rows that facility location works on: scaled once, exact duplicates merged, similarities block by block."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numba import njit

from evfr._core.distances import distances, usable_rows
from evfr.errors import ConstraintError

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import ArrayLike, NDArray

__all__ = ["Rows", "blocks", "check_pickable", "prepare", "similarity", "unit_rows"]

DOUBLE_ROWS = 2048
"""Up to so many distinct rows similarities are computed in double precision: it costs nothing there."""
BLOCK_BYTES = 24 * 2**20
"""Largest block of similarities computed at once."""


@dataclass(frozen=True, slots=True, eq=False)
class Rows:
    """Hold M distinct rows and which of the N rows given each of them stands for.

    Attributes
    ----------
    points : (M, D) float32 or float64
        Distinct finite rows; of length 1 under the cosine.
    metric : str or callable
        As in `evfr._core.distances`.
    scale : float
        Distance at which the similarity is 0.
    weight : (M,) int64
        How many rows (or, of weighted rows, how much weight) each stands for.
    group : (N,) int64
        Which of the M each row given is; -1 for rows that cannot be used.
    start, members : (M + 1,) int64, (P,) int64
        Rows that may be picked, ascending, of group g: ``members[start[g]:start[g + 1]]``.
    """

    points: NDArray[Any]
    metric: str | Callable[..., Any]
    scale: float
    weight: NDArray[np.int64]
    group: NDArray[np.int64]
    start: NDArray[np.int64]
    members: NDArray[np.int64]

    def __repr__(self) -> str:
        return f"Rows({len(self.group)} rows, {self.points.shape[0]} distinct, {self.points.dtype})"


def unit_rows(embeddings: NDArray[Any], dtype: type = np.float32) -> NDArray[Any]:
    """Return rows of length 1, normalised in double precision block by block."""
    unit: NDArray[Any] = np.empty(embeddings.shape, dtype)
    for begin in range(0, len(embeddings), 8192):
        block = embeddings[begin : begin + 8192].astype(np.float64)
        largest = np.abs(block).max(axis=1, keepdims=True)
        block /= largest
        block /= np.sqrt(np.einsum("ij,ij->i", block, block))[:, None]
        unit[begin : begin + 8192] = block
    unit += 0.0  # -0 becomes 0, so that equal rows have equal bytes
    return unit


@njit(cache=True, nogil=True)
def _hash_rows(words, keys):  # type: ignore[no-untyped-def]
    out = np.empty(len(words), np.uint64)
    for i in range(len(words)):
        total = np.uint64(0)
        for j in range(words.shape[1]):
            total += (np.uint64(words[i, j]) + keys[2 * j]) * keys[2 * j + 1]
        out[i] = total
    return out


def _groups(rows: NDArray[np.float32]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the first row of each group of equal rows, ascending, and the group of every row."""
    if rows.shape[1] == 0:
        return np.zeros(min(len(rows), 1), np.int64), np.zeros(len(rows), np.int64)
    keys = np.random.Generator(np.random.PCG64(0)).integers(0, 2**64, 2 * rows.shape[1], dtype=np.uint64) | 1
    hashes = _hash_rows(np.ascontiguousarray(rows).view(np.uint32), keys)
    _, first, group = np.unique(hashes, return_index=True, return_inverse=True)
    odd = np.flatnonzero((rows != rows[first[group]]).any(axis=1)) if len(first) < len(rows) else ()
    if len(odd):  # two different rows with one hash: compare all bytes instead
        as_bytes = np.ascontiguousarray(rows).view(np.dtype((np.void, rows.itemsize * rows.shape[1])))[:, 0]
        _, first, group = np.unique(as_bytes, return_index=True, return_inverse=True)
    by_first = np.argsort(first)
    place = np.empty(len(first), np.int64)
    place[by_first] = np.arange(len(first))
    return first[by_first].astype(np.int64), place[group]


def prepare(
    embeddings: ArrayLike,
    metric: str | Callable[..., Any],
    usable: ArrayLike | None = None,
    weight: NDArray[np.int64] | None = None,
) -> tuple[Rows, int]:
    """Scale the rows, merge exact duplicates, and count the rows that cannot be used.

    Parameters
    ----------
    embeddings : (N, D) array_like
        Real numbers of any width.
    metric : str or callable
        As in `evfr._core.distances`.
    usable : (N,) bool, optional
        Rows that may be picked.
    weight : (N,) int64, optional
        How much each row counts, 0 or more; 1 each by default.

    Returns
    -------
    rows : Rows
        The problem.
    nan_count : int
        Rows with NaN or infinity, and zero rows under the cosine.

    Raises
    ------
    ValueError
        If a shape does not fit or the metric is unknown.
    """
    array = np.asarray(embeddings)
    if array.ndim != 2:
        raise ValueError(f"embeddings must be (N, D), got shape {array.shape}; pass one row per frame")
    if array.dtype not in (np.float16, np.float32, np.float64):
        array = array.astype(np.float64)
    mask = np.ones(len(array), np.bool_) if usable is None else np.asarray(usable)
    if mask.shape != (len(array),) or mask.dtype != np.bool_:
        raise ValueError(f"usable must be ({len(array)},) bool, got {mask.shape} {mask.dtype}")
    is_finite = usable_rows(array, metric)
    finite = np.flatnonzero(is_finite)
    rows = array if len(finite) == len(array) else array[finite]
    narrow = unit_rows(rows) if metric == "cosine" else rows.astype(np.float32) + np.float32(0)
    first, group_of_finite = _groups(narrow)
    is_double = len(first) <= DOUBLE_ROWS
    points: NDArray[Any]
    if is_double:
        points = rows[first].astype(np.float64)
        points = unit_rows(points, np.float64) if metric == "cosine" else points
    else:
        points = narrow if len(first) == len(narrow) else narrow[first]
    group = np.full(len(array), -1, np.int64)
    group[finite] = group_of_finite
    counts = np.ones(len(finite), np.int64) if weight is None else weight[finite]
    total = np.zeros(len(first), np.int64)
    np.add.at(total, group_of_finite, counts)
    may = np.flatnonzero(is_finite & mask)
    by_group = np.argsort(group[may], kind="stable")
    start = np.searchsorted(group[may][by_group], np.arange(len(first) + 1)).astype(np.int64)
    scale = 1.0 if metric == "cosine" else _scale(points, metric)
    return (
        Rows(points, metric, scale, total, group, start, may[by_group].astype(np.int64)),
        len(array) - len(finite),
    )


def _scale(points: NDArray[Any], metric: str | Callable[..., Any]) -> float:
    """Return twice the largest distance from the mean row: no two rows are farther apart."""
    if len(points) == 0:
        return 1.0
    centre = points.mean(axis=0, dtype=np.float64)
    return 2.0 * float(distances(centre, points, metric).max()) or 1.0


def check_pickable(rows: Rows, n: int, nan_count: int) -> None:
    """Raise ConstraintError where fewer than n rows may be picked.

    Parameters
    ----------
    rows : Rows
        The problem.
    n : int
        Rows to pick.
    nan_count : int
        Rows that cannot be used, for the text.
    """
    available = len(rows.members)
    if n > available:
        why = f"; {nan_count} rows hold NaN or infinity" if nan_count else ""
        why += " or only zeros, which have no direction" if nan_count and rows.metric == "cosine" else ""
        raise ConstraintError(
            f"n={n} is more than the {available} of {len(rows.group)} frames that can be picked{why}; lower n"
        )


def similarity(rows: Rows, queries: NDArray[Any], begin: int = 0) -> NDArray[Any]:
    """Return similarities of points (K, D), given as they are in ``rows.points``, to all M (or later) rows.

    Parameters
    ----------
    rows : Rows
        The problem.
    queries : (K, D) array
        Scaled like ``rows.points``.
    begin : int
        First of the M rows to compare with.

    Returns
    -------
    (K, M - begin) float32 or float64
        ``cos``, or ``1 - distance / scale``; not yet clipped at 0 and 1.
    """
    points = rows.points[begin:]
    block: NDArray[Any]
    if rows.metric == "cosine":
        block = queries @ points.T
    elif rows.metric == "euclidean" and len(rows.points) > DOUBLE_ROWS:
        # Squared distances through one product, in double precision: in single, near rows would drown in rounding.
        a, b = queries.astype(np.float64), points.astype(np.float64)
        block = a @ b.T
        block *= -2.0
        block += np.einsum("ij,ij->i", a, a)[:, None]
        block += np.einsum("ij,ij->i", b, b)
        np.sqrt(np.maximum(block, 0.0, out=block), out=block)
        block *= -1.0 / rows.scale
        block += 1.0
    else:
        block = 1.0 - distances(queries, points, rows.metric) / rows.scale
    return block


def blocks(rows: Rows, count: int, width: int | None = None) -> list[tuple[int, int]]:
    """Cut 0..count into stretches whose block of similarities stays below `BLOCK_BYTES`."""
    item = max(rows.points.itemsize, 4 if rows.metric == "cosine" else 8)
    step = max(1, min(2048, BLOCK_BYTES // (item * max(len(rows.points) if width is None else width, 1))))
    return [(begin, min(begin + step, count)) for begin in range(0, count, step)]

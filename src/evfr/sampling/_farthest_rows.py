"""Rows of embeddings for farthest point: an array, or a source of rows that may be larger than memory."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from evfr._core.distances import RowSource, usable_rows

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    from evfr._core.distances import Metric

__all__ = ["Rows"]

BLOCK_VALUES = 1 << 22
SUM_ROWS = 32
"""Rows added up before they go into a sum, so that sums do not depend on the blocks."""


class Rows:
    """Hold (N, D) embeddings, in memory or behind a `RowSource`, and hand them out as float32 or float64.

    Parameters
    ----------
    embeddings : (N, D) array_like of float, or RowSource
        float16 and float32 are handed out as float32, which loses nothing; anything else in memory as float64.

    Raises
    ------
    ValueError
        If an array is not two-dimensional.
    """

    def __init__(self, embeddings: ArrayLike | RowSource) -> None:
        self.source: RowSource | None = None
        self.array: NDArray[Any] = np.empty((0, 0), np.float32)
        if isinstance(embeddings, RowSource):
            self.source = embeddings
            self.dtype: Any = np.float32
            self.shape: tuple[int, int] = (len(embeddings), int(embeddings.dimension))
        else:
            array = np.asarray(embeddings)
            if array.ndim != 2:
                raise ValueError(
                    f"embeddings must be (N, D), got shape {array.shape}; pass one row per frame"
                )
            if array.dtype not in (np.float16, np.float32):
                array = array.astype(np.float64)
            self.array, self.shape = array, array.shape
            self.dtype = np.float64 if array.dtype == np.float64 else np.float32

    def __len__(self) -> int:
        return self.shape[0]

    def fetch(self, indices: NDArray[np.int64]) -> NDArray[Any]:
        """Return (M, D) rows in the order of ``indices``, contiguous, float32 or float64."""
        rows = self.array[indices] if self.source is None else self.source.rows(indices)
        return np.ascontiguousarray(rows, dtype=self.dtype)

    def blocks(self) -> Iterator[tuple[int, NDArray[Any]]]:
        """Yield (first row, rows) over all rows in order, contiguous, float32 or float64."""
        step = max(1, BLOCK_VALUES // (SUM_ROWS * max(1, self.shape[1]))) * SUM_ROWS
        if self.source is not None:
            start = 0
            for block in self.source.blocks(step):
                yield start, np.ascontiguousarray(block, dtype=self.dtype)
                start += len(block)
        elif self.array.dtype == self.dtype and self.array.flags.c_contiguous:
            yield 0, self.array
        else:
            for start in range(0, len(self), step):
                yield start, np.ascontiguousarray(self.array[start : start + step], dtype=self.dtype)

    def as_float32(self) -> Rows | None:
        """Return rows that are handed out as float32, where that loses nothing; else None."""
        if self.dtype == np.float32:
            return self
        narrow = self.array.astype(np.float32)
        return Rows(narrow) if np.array_equal(narrow, self.array, equal_nan=True) else None

    def usable(self, metric: Metric) -> NDArray[np.bool_]:
        """Return (N,) bool: rows that have a distance under the metric."""
        return usable_rows(self.source if self.source is not None else self.array, metric)

    def nearest_to_mean(self, allowed: NDArray[np.bool_]) -> int:
        """Return the allowed row closest to the mean of the allowed rows (Euclidean), ties to the lowest index."""
        total = np.zeros(self.shape[1])
        for start, block in self.blocks():
            for first in range(0, len(block), SUM_ROWS):
                piece = slice(start + first, min(start + first + SUM_ROWS, start + len(block)))
                rows = np.where(allowed[piece, np.newaxis], block[first : first + SUM_ROWS], 0.0)
                total += rows.sum(axis=0, dtype=np.float64)
        mean = total / max(1, int(allowed.sum()))
        squares = np.full(len(self), np.inf)
        for start, block in self.blocks():
            own = allowed[start : start + len(block)]
            squares[start : start + len(block)][own] = ((block[own] - mean) ** 2).sum(axis=1)
        return int(np.argmin(squares))

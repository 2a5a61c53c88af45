"""Where vectors to be searched come from, and how they are prepared."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from evfr._core.distances import usable_rows

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = [
    "ArraySource",
    "VectorSource",
    "as_source",
    "block_rows",
    "lifted_rows",
    "prepared_rows",
    "usable_for",
]

BLOCK_BYTES = 32 << 20


class VectorSource(Protocol):
    """(N, D) vectors that need not fit into memory, for example an `EmbeddingSet`."""

    dimension: int

    def __len__(self) -> int:
        """Return N."""
        ...

    def rows(self, indices: NDArray[np.int64]) -> NDArray[np.float32]:
        """Return the rows asked for, (M, D) float32."""
        ...

    def blocks(self, size: int) -> Iterator[NDArray[np.float32]]:
        """Yield all rows in order, ``size`` at a time."""
        ...


def as_source(vectors: Any) -> VectorSource:
    """Return ``vectors`` as a source: itself if it is one, else an array in memory."""
    if hasattr(vectors, "blocks") and hasattr(vectors, "rows"):
        source: VectorSource = vectors
        return source
    return ArraySource(np.asarray(vectors))


class ArraySource:
    """An array in memory as a `VectorSource`, cast to float32 where it is read.

    Parameters
    ----------
    array : (N, D) array of numbers
        The vectors.

    Raises
    ------
    ValueError
        If it is no such array.
    """

    def __init__(self, array: NDArray[Any]) -> None:
        if array.ndim != 2 or array.shape[1] == 0 or array.dtype.kind not in "fiu":
            raise ValueError(
                f"vectors must be (N, D) numbers with D of 1 or more, got {array.dtype} of shape {array.shape}"
            )
        self.array = array
        self.dimension = int(array.shape[1])

    def __len__(self) -> int:
        """Return N."""
        return len(self.array)

    def rows(self, indices: NDArray[np.int64]) -> NDArray[np.float32]:
        """Return the rows asked for, (M, D) float32."""
        found: NDArray[np.float32] = self.array[indices].astype(np.float32)
        return found

    def blocks(self, size: int) -> Iterator[NDArray[np.float32]]:
        """Yield all rows in order, ``size`` at a time."""
        for start in range(0, len(self.array), size):
            yield self.array[start : start + size].astype(np.float32)


def prepared_rows(rows: NDArray[np.float32], metric: str) -> NDArray[np.float32]:
    """Return rows as faiss compares them: of length 1 for cosine, whose order is the Euclidean one."""
    if metric != "cosine":
        return np.ascontiguousarray(rows)
    squares = np.einsum("ij,ij->i", rows, rows)
    if len(rows) and not 1e-30 < squares.min() <= squares.max() < 1e30:  # float32 loses digits, or the value
        lengths = np.sqrt(np.einsum("ij,ij->i", rows, rows, dtype=np.float64))
        return np.ascontiguousarray((rows / lengths[:, None]).astype(np.float32))
    return np.ascontiguousarray(rows * (1.0 / np.sqrt(squares))[:, None])


def lifted_rows(
    rows: NDArray[np.float32], metric: str, longest: float, *, is_query: bool
) -> NDArray[np.float32]:
    """Return rows as an index of Euclidean distances takes them, whatever the metric.

    For inner products a column is added that brings every row to the length of the ``longest`` and is 0 in
    queries: then the nearest row has the largest product (Bachrach et al. 2014, doi:10.1145/2645710.2645741).
    """
    if metric != "inner_product":
        return prepared_rows(rows, metric)
    squares = np.einsum("ij,ij->i", rows, rows, dtype=np.float64)
    more = np.zeros(len(rows)) if is_query else np.sqrt(np.maximum(longest * longest - squares, 0.0))
    return np.concatenate([rows, more[:, None].astype(np.float32)], axis=1)


def usable_for(rows: NDArray[np.float32], metric: str) -> NDArray[np.bool_]:
    """Tell the rows that can be searched by ``metric``, which may be ``"inner_product"``."""
    return usable_rows(rows, "cosine" if metric == "cosine" else "euclidean")


def block_rows(dimension: int) -> int:
    """Return how many float32 rows fill `BLOCK_BYTES`."""
    return max(1, BLOCK_BYTES // (4 * max(1, dimension)))

"""Vectors in tables: (N, D) arrays as fixed-size lists of float16, and back without a copy."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["column_to_vectors", "vectors_to_column"]


def vectors_to_column(vectors: NDArray[np.floating]) -> pa.FixedSizeListArray:
    """Return (N, D) vectors as a column of fixed-size lists of float16.

    Parameters
    ----------
    vectors : (N, D) float array
        D of 1 or more; values beyond +-65504 do not fit.

    Returns
    -------
    pyarrow.FixedSizeListArray
        N lists of D float16, nothing nullable; shares the memory of a contiguous float16 array.

    Raises
    ------
    ValueError
        If the array is not (N, D), or a finite value overflows float16.
    """
    if vectors.ndim != 2 or vectors.shape[1] == 0:
        raise ValueError(f"vectors must be (N, D) with D of 1 or more, got shape {vectors.shape}")
    with np.errstate(over="ignore"):
        halves = np.ascontiguousarray(vectors, dtype=np.float16)
    if vectors.dtype != np.float16 and not np.array_equal(np.isinf(halves), np.isinf(vectors)):
        raise ValueError("vectors hold values beyond +-65504, the range of float16; scale them first")
    item = pa.field("element", pa.float16(), nullable=False)
    return pa.FixedSizeListArray.from_arrays(
        pa.array(halves.reshape(-1), type=pa.float16()), type=pa.list_(item, vectors.shape[1])
    )


def column_to_vectors(
    column: pa.ChunkedArray | pa.FixedSizeListArray, rows: NDArray[np.int64] | None = None
) -> NDArray[np.float16]:
    """Return a column of fixed-size lists as (N, D) float16, or only some of its rows.

    Parameters
    ----------
    column : pyarrow.ChunkedArray or pyarrow.FixedSizeListArray
        As made by `vectors_to_column`.
    rows : (M,) int64, optional
        Rows to gather, in this order; nothing else is touched.

    Returns
    -------
    (N, D) or (M, D) float16
        Without ``rows`` a read-only view of the column's memory if it is in one piece.

    Raises
    ------
    TypeError
        If the column holds no fixed-size lists of float16.
    """
    if not (pa.types.is_fixed_size_list(column.type) and pa.types.is_float16(column.type.value_type)):
        raise TypeError(f"column must hold fixed-size lists of float16, got {column.type}")
    chunks = column.chunks if isinstance(column, pa.ChunkedArray) else [column]
    size = column.type.list_size
    # flatten() keeps to the slice, and drops null lists, which vectors_to_column never makes.
    parts: list[NDArray[np.float16]] = [
        chunk.flatten().to_numpy(zero_copy_only=True).reshape(-1, size) for chunk in chunks
    ]
    if rows is None:
        return parts[0] if len(parts) == 1 else np.concatenate([np.empty((0, size), np.float16), *parts])
    if len(parts) == 1:
        return parts[0][rows]
    starts = np.cumsum([0] + [len(part) for part in parts])
    out = np.empty((len(rows), size), np.float16)
    where = np.searchsorted(starts, rows, side="right") - 1
    for number, part in enumerate(parts):
        mine = where == number
        out[mine] = part[rows[mine] - starts[number]]
    return out

"""Checks that the report values share."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

__all__ = ["check_array", "check_increasing", "check_range"]


def check_array(name: str, array: NDArray[Any], shape: tuple[int, ...], dtype: Any) -> None:
    """Raise ValueError unless the array has this shape and dtype."""
    if array.shape != shape or array.dtype != dtype:
        raise ValueError(f"{name} must be {shape} {np.dtype(dtype)}, got {array.shape} {array.dtype}")


def check_increasing(name: str, indices: NDArray[np.int64]) -> None:
    """Raise ValueError unless the indices increase strictly."""
    if len(indices) > 1 and not bool(np.all(indices[1:] > indices[:-1])):
        raise ValueError(f"{name} must increase strictly, got {_head(indices)}")


def check_range(name: str, indices: NDArray[np.int64], count: int) -> None:
    """Raise ValueError unless the indices are frames of a video of ``count`` frames."""
    if len(indices) and (int(indices.min()) < 0 or int(indices.max()) >= count):
        raise ValueError(f"{name} must be frame indices in [0, {count}), got {_head(indices)}")


def _head(values: NDArray[np.int64] | Sequence[int]) -> str:
    shown = ", ".join(str(int(value)) for value in values[:8])
    return f"[{shown}{', ...' if len(values) > 8 else ''}]"

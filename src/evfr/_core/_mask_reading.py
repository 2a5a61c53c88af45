"""What label files say of masks, checked before anything is computed or allocated for it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from evfr._core._mask_kernels import decompress_counts

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["LONGEST", "coco_runs", "coco_size", "polygon_points"]

LONGEST = 2**31 - 1
"""Pixels of the largest mask."""
_FARTHEST = 1e7
_LONGEST_EDGE = 1e6
_LONGEST_BORDER = 4e6
"""Pixels: the border is walked in fifths, so this is what bounds time and memory."""


def coco_size(value: Any) -> tuple[int, int]:
    """Return height and width; ValueError or TypeError if they are not two whole numbers."""
    height, width = (_whole(side) for side in value)
    return height, width


def coco_runs(counts: Any, height: int, width: int) -> NDArray[np.int64]:
    """Return the run lengths that COCO's text or list gives, which add up to the picture; empty ones are kept.

    Raises
    ------
    ValueError
        If they are no run lengths, or do not fit the size.
    """
    if isinstance(counts, str):
        try:
            counts = counts.encode("ascii")
        except UnicodeEncodeError as error:
            raise ValueError("compressed counts of a mask must be ASCII text") from error
    if isinstance(counts, bytes):
        runs, is_whole = decompress_counts(np.frombuffer(counts, np.uint8))
        if not is_whole:
            raise ValueError("the compressed counts of a mask are cut off or are no run lengths")
    else:
        try:
            runs = np.asarray(counts if isinstance(counts, np.ndarray) else list(counts))
        except (TypeError, ValueError, OverflowError) as error:
            raise ValueError("counts of a mask must be text or a list of whole numbers") from error
        # Else numpy would take "5", True and 5.9 for 5.
        if runs.size and runs.dtype.kind not in "iuf":
            raise ValueError("counts of a mask must be text or a list of whole numbers")
    is_good = runs.ndim == 1 and bool(((runs >= 0) & (runs <= LONGEST)).all())
    if not is_good or (runs.dtype.kind == "f" and (runs != np.trunc(runs)).any()):
        raise ValueError("the run lengths of a mask must be whole numbers of 0 or more")
    whole: NDArray[np.int64] = runs.astype(np.int64)
    # Before empty runs are joined: a joined one could be longer than its type, and wrap to what fits.
    if (total := int(whole.sum())) != height * width and 0 < height * width <= LONGEST:
        raise ValueError(
            f"the runs of a {width}x{height} mask must add up to {height * width}, got {total} in {runs.size} runs"
        )
    return whole


def polygon_points(polygon: Any, number: int) -> NDArray[np.float64]:
    """Return x and y in turn of a polygon whose border is of a length that can be walked.

    Raises
    ------
    ValueError
        If it is none.
    """
    try:
        xy = np.asarray(polygon, dtype=np.float64)
    except (TypeError, ValueError, OverflowError) as error:
        raise ValueError(f"polygon {number} needs x and y of its points, all numbers, in one list") from error
    if xy.ndim != 1 or xy.size < 6 or xy.size % 2:
        raise ValueError(
            f"polygon {number} needs x and y of three points or more in one list, got {xy.shape}"
        )
    if not np.isfinite(xy).all() or np.abs(xy).max() > _FARTHEST:
        raise ValueError(f"polygon {number} has a coordinate that is not finite or beyond 1e7 pixels")
    points = xy.reshape(-1, 2)
    edges = np.abs(np.diff(points, axis=0, append=points[:1])).max(axis=1)
    if edges.max() > _LONGEST_EDGE or edges.sum() > _LONGEST_BORDER:
        raise ValueError(
            f"polygon {number} has an edge longer than 1e6 pixels, or a border longer than 4e6; check its coordinates"
        )
    return xy


def _whole(value: Any) -> int:
    is_number = isinstance(value, int | float | np.integer) and not isinstance(value, bool)
    if not is_number or value != int(value):
        raise TypeError(f"not a whole number: {value!r:.40}")
    return int(value)

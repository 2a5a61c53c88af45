"""Boundary accuracy: how much of two outlines lies close to the other."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numba
import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from evfr._core.masks import Rle

__all__ = ["BOUNDARY_TOLERANCE", "boundary_f", "boundary_pixels", "boundary_radius"]

BOUNDARY_TOLERANCE = 0.008
"""Share of the picture's diagonal within which two outlines count as one."""


def boundary_radius(height: int, width: int, tolerance: float = BOUNDARY_TOLERANCE) -> int:
    """Return the distance within which outline pixels match.

    Parameters
    ----------
    height, width : int
        Size of the picture in pixels.
    tolerance : float
        Below 1 a share of the diagonal, rounded up; from 1 on pixels, rounded up.

    Returns
    -------
    int
        Pixels, 1 or more.

    Raises
    ------
    ValueError
        If the tolerance is not a finite number above 0.

    Examples
    --------
    >>> boundary_radius(480, 854)
    8
    """
    if not 0.0 < tolerance < math.inf:
        raise ValueError(f"tolerance must be a finite number above 0, got {tolerance}")
    return math.ceil(tolerance if tolerance >= 1.0 else tolerance * math.hypot(height, width))


def boundary_pixels(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Mark the outline of a mask, one pixel wide.

    Parameters
    ----------
    mask : (H, W) bool
        The mask.

    Returns
    -------
    (H, W) bool
        Pixels that differ from the pixel to the right, below, or below to the right; beyond the picture's edge the
        mask goes on as it ends, so that an object has no outline where the picture cuts it.
    """
    around = np.pad(mask, ((0, 1), (0, 1)), mode="edge")
    right, below, beyond = around[:-1, 1:], around[1:, :-1], around[1:, 1:]
    outline: NDArray[np.bool_] = (mask != right) | (mask != below) | (mask != beyond)
    return outline


def boundary_f(truth: Rle, predicted: Rle, *, tolerance: float = BOUNDARY_TOLERANCE) -> float:
    """Return the boundary F-measure of two masks (DAVIS' F, Perazzi et al. 2016, Section 5).

    Parameters
    ----------
    truth, predicted : Rle
        Masks of one size.
    tolerance : float
        See `boundary_radius`.

    Returns
    -------
    float
        2 P R / (P + R) in [0, 1]. P is the share of predicted outline pixels with a true one within the radius, R
        the share of true ones with a predicted one. 1 if neither mask has an outline (empty, or the whole
        picture), 0 if only one has.

    Raises
    ------
    ValueError
        If the sizes differ.

    Notes
    -----
    The same numbers as the benchmark's own evaluation: it dilates one outline by a disk and counts pixels of the
    other in it, which is the same as looking for a pixel within the radius.

    References
    ----------
    Perazzi et al., "A benchmark dataset and evaluation methodology for video object segmentation", CVPR 2016,
    doi:10.1109/CVPR.2016.85; Martin, Fowlkes & Malik, "Learning to detect natural image boundaries using local
    brightness, color, and texture cues", PAMI 26 (2004), doi:10.1109/TPAMI.2004.1273918.

    Examples
    --------
    >>> from evfr._core.masks import Rle
    >>> square, moved = np.zeros((2, 100, 100), bool)
    >>> square[20:60, 20:60], moved[20:60, 40:80] = True, True
    >>> round(boundary_f(Rle.from_mask(square), Rle.from_mask(moved)), 4)
    0.3125
    """
    if (truth.height, truth.width) != (predicted.height, predicted.width):
        raise ValueError(
            f"masks of {truth.width}x{truth.height} and {predicted.width}x{predicted.height} pixels cannot be "
            "compared; scale one first"
        )
    radius = boundary_radius(truth.height, truth.width, tolerance)
    pairs = [_outline(mask, radius) for mask in (truth, predicted)]
    (true_map, true_at), (map_, at) = pairs
    if not len(true_at) or not len(at):
        return float(len(true_at) == len(at))
    offsets = _disk(radius)
    precision = _near_count(at, true_map, offsets) / len(at)
    recall = _near_count(true_at, map_, offsets) / len(true_at)
    return 0.0 if precision + recall == 0 else 2.0 * precision * recall / (precision + recall)


def _outline(mask: Rle, radius: int) -> tuple[NDArray[np.bool_], NDArray[np.int64]]:
    """Return the outline padded by the radius on all sides, and where its pixels are there."""
    padded = np.zeros((mask.height + 2 * radius, mask.width + 2 * radius), np.bool_)
    if mask.is_empty:
        return padded, np.zeros((0, 2), np.int64)
    # Only the box matters; one pixel more on each side has the outline that lies outside of the mask.
    x0, y0, x1, y1 = (int(value) for value in mask.box_xyxy)
    top, left = max(y0 - 1, 0), max(x0 - 1, 0)
    part = boundary_pixels(mask.to_mask()[top : y1 + 1, left : x1 + 1])
    rows, columns = np.nonzero(part)
    at = np.stack([rows + top + radius, columns + left + radius], axis=1)
    padded[at[:, 0], at[:, 1]] = True
    return padded, at


def _disk(radius: int) -> NDArray[np.int64]:
    """Return the offsets within a radius, the nearest first: most pixels match after a few."""
    steps = np.arange(-radius, radius + 1)
    rows, columns = (grid.ravel() for grid in np.meshgrid(steps, steps, indexing="ij"))
    far = rows**2 + columns**2
    order = np.argsort(far, kind="stable")
    order = order[far[order] <= radius**2]
    return np.stack([rows[order], columns[order]], axis=1)


@numba.njit(cache=True, nogil=True)
def _near_count(at: NDArray[np.int64], outline: NDArray[np.bool_], offsets: NDArray[np.int64]) -> int:
    count = 0
    for i in range(len(at)):
        for j in range(len(offsets)):
            if outline[at[i, 0] + offsets[j, 0], at[i, 1] + offsets[j, 1]]:
                count += 1
                break
    return count

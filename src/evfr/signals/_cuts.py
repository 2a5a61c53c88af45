"""Hard cuts, found from a light measure of content taken in the same pass as the signals."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numba import njit

from evfr.signals._grey import resize_to_width

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

__all__ = ["CONTENT_WIDTH", "block_means", "content_change", "find_cuts"]

CONTENT_WIDTH = 320
GRID = 16
NOISE_LEVELS = 8.0
WINDOW = 6


def block_means(grey: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Describe a picture by the means of a 16 x 16 grid of blocks.

    Parameters
    ----------
    grey : (H, W) uint8
        The grey picture; shrunk to 320 px wide first, as the pass has it anyway.

    Returns
    -------
    (h, w) float64
        Block means in grey levels; h and w are 16, or less for a smaller picture. Block i spans the rows
        from floor(i H / h) to floor((i + 1) H / h).
    """
    small = resize_to_width(grey, CONTENT_WIDTH)
    means = np.empty((min(GRID, small.shape[0]), min(GRID, small.shape[1])))
    _fill_means(small, means)
    return means


@njit(cache=True, nogil=True)
def _fill_means(grey, means):  # type: ignore[no-untyped-def]
    height, width = grey.shape
    rows, columns = means.shape
    sums = np.empty(width, np.int32)
    for i in range(rows):
        top, bottom = i * height // rows, (i + 1) * height // rows
        sums[:] = 0
        for y in range(top, bottom):
            for x in range(width):
                sums[x] += grey[y, x]
        for j in range(columns):
            left, right = j * width // columns, (j + 1) * width // columns
            total = 0
            for x in range(left, right):
                total += sums[x]
            means[i, j] = total / ((bottom - top) * (right - left))


def content_change(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
    """Measure how far the content of two pictures differs, relative to their contrast (ours).

    Parameters
    ----------
    a, b : (h, w) float64
        `block_means` of two pictures.

    Returns
    -------
    float
        0 or more: mean |a - b| over (mean |a - mean a| + mean |b - mean b| + 8 grey levels). About 0.01
        to 0.3 inside a shot, 0.4 to 1.1 across a cut on real clips.

    Raises
    ------
    ValueError
        If the grids differ in size.
    """
    if a.shape != b.shape:
        raise ValueError(f"both grids must have one size, got {a.shape} and {b.shape}")
    contrast = float(np.abs(a - a.mean()).mean()) + float(np.abs(b - b.mean()).mean())
    return float(np.abs(a - b).mean()) / (contrast + NOISE_LEVELS)


def find_cuts(content: ArrayLike, *, threshold: float = 0.35, ratio: float = 2.5) -> NDArray[np.int64]:
    """Find hard cuts from content changes (ours).

    Parameters
    ----------
    content : (N,) float
        ``content[t]`` is the content change of frames t and t + 1, as `ScoredFrames.content` holds it; NaN
        where it could not be measured; the last entry is not read.
    threshold : float
        Least content change at a cut, above 0.
    ratio : float
        How many times a cut must exceed the lower quartile of the 6 pairs on either side, 1 or more: steady
        violent motion is no cut, while a few cuts close together do not hide each other.

    Returns
    -------
    (K,) int64
        Position of the first frame of each new shot, increasing; 0 is never among them.

    Raises
    ------
    ValueError
        If ``content`` is not one-dimensional or an option is out of range.

    Notes
    -----
    No fades, dissolves or wipes; a flash counts as a shot of its own; pairs without a measurement are no
    cuts. Rows are positions among the frames measured: where frames did not decode, look the frame index up.

    Examples
    --------
    >>> find_cuts([0.02, 0.03, 0.9, 0.02, 0.02, 0.0])
    array([3])
    """
    values = np.asarray(content, dtype=np.float64)
    if values.ndim != 1:
        raise ValueError(f"content must be (N,), got shape {values.shape}")
    if not threshold > 0.0:
        raise ValueError(f"threshold must be above 0, got {threshold}")
    if not ratio >= 1.0:
        raise ValueError(f"ratio must be 1 or more, got {ratio}")
    pairs = values[:-1]
    cuts = []
    for t in np.flatnonzero(pairs >= threshold).tolist():
        around = np.concatenate([pairs[max(0, t - WINDOW) : t], pairs[t + 1 : t + 1 + WINDOW]])
        around = np.sort(around[~np.isnan(around)])
        level = float(around[(len(around) - 1) // 4]) if len(around) else 0.0
        if pairs[t] >= ratio * level:
            cuts.append(t + 1)
    return np.array(cuts, dtype=np.int64)

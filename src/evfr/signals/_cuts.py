"""Hard cuts, found from a light measure of content taken in the same pass as the signals, or from embeddings."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numba import njit

from evfr.signals._grey import resize_to_width

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

__all__ = ["CONTENT_WIDTH", "block_means", "content_change", "cuts_from_embeddings", "find_cuts"]

CONTENT_WIDTH = 320
GRID = 16
NOISE_LEVELS = 8.0
WINDOW = 6
FLASH = 2
FLASH_HEIGHT = 0.6
PAIRS = 4_096
SHARE_OF_PAIRS = 0.3
LEAST_DISTANCE = 0.02
BLOCK = 8_192


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
    No fades, dissolves or wipes. A flash of one or two frames shows as two changes of about one height (the
    scene comes back), which is no cut where no other change is within 6 pairs; next to other changes it is taken for
    shots of that length. Pairs without a measurement are no cuts. Rows are positions among the frames
    measured: where frames did not decode, look the frame index up.

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
    return _stand_out(values[:-1], threshold, ratio)


def cuts_from_embeddings(
    embeddings: ArrayLike, *, threshold: float | None = None, ratio: float = 4.0
) -> NDArray[np.int64]:
    """Find hard cuts from embeddings of consecutive frames, where pictures are no longer at hand (ours).

    Parameters
    ----------
    embeddings : (N, D) array_like of float
        One row per frame in the order of time, of any embedder.
    threshold : float or None
        Least cosine distance of two consecutive rows at a cut, above 0. None takes 0.3 of the median distance of
        rows at random places, but at least 0.02: how far apart frames of different shots are depends on the
        embedder.
    ratio : float
        How many times a cut must exceed the lower quartile of the 6 pairs on either side, 1 or more.

    Returns
    -------
    (K,) int64
        Position of the first row of each new shot, increasing; 0 is never among them.

    Raises
    ------
    ValueError
        If ``embeddings`` is not two-dimensional or an option is out of range.

    Notes
    -----
    Meant for frames embedded at full rate; the fewer frames, the less a cut stands out. Pairs with a row of
    zeros, NaN or infinity are no cuts. `find_cuts` on the content of decoded frames is the better detector
    (``benchmarks/bench_cuts.py``). Flashes are treated as there.

    Examples
    --------
    >>> import numpy as np
    >>> rows = np.repeat([[1.0, 0.0], [0.0, 1.0]], 5, axis=0)
    >>> cuts_from_embeddings(rows)
    array([5])
    """
    rows = np.asarray(embeddings)
    if rows.ndim != 2:
        raise ValueError(f"embeddings must be (N, D), got shape {rows.shape}; pass one row per frame")
    if threshold is not None and not threshold > 0.0:
        raise ValueError(f"threshold must be above 0, got {threshold}")
    if not ratio >= 1.0:
        raise ValueError(f"ratio must be 1 or more, got {ratio}")
    count = len(rows)
    if count < 2:
        return np.zeros(0, np.int64)
    places = np.arange(count)
    pairs = _cosine_distances(rows, places[:-1], places[1:])
    if threshold is None:
        a, b = np.random.Generator(np.random.PCG64(0)).integers(0, count, (2, PAIRS))
        apart = _cosine_distances(rows, a[a != b], b[a != b])
        apart = apart[~np.isnan(apart)]
        threshold = max(SHARE_OF_PAIRS * float(np.median(apart)) if len(apart) else 0.0, LEAST_DISTANCE)
    return _stand_out(pairs, threshold, ratio)


def _cosine_distances(
    rows: NDArray[np.generic], left: NDArray[np.int64], right: NDArray[np.int64]
) -> NDArray[np.float64]:
    distances = np.empty(len(left))
    for start in range(0, len(left), BLOCK):
        a = rows[left[start : start + BLOCK]].astype(np.float64)
        b = rows[right[start : start + BLOCK]].astype(np.float64)
        with np.errstate(divide="ignore", invalid="ignore"):
            a /= np.sqrt((a * a).sum(axis=1, keepdims=True))
            b /= np.sqrt((b * b).sum(axis=1, keepdims=True))
            distances[start : start + BLOCK] = ((a - b) ** 2).sum(axis=1) / 2.0
    return distances


def _stand_out(pairs: NDArray[np.float64], threshold: float, ratio: float) -> NDArray[np.int64]:
    """Return where a change reaches its threshold and stands out from the pairs around it, flashes left out."""
    found = []
    for t in np.flatnonzero(pairs >= threshold).tolist():
        around = np.concatenate([pairs[max(0, t - WINDOW) : t], pairs[t + 1 : t + 1 + WINDOW]])
        around = np.sort(around[~np.isnan(around)])
        level = float(around[(len(around) - 1) // 4]) if len(around) else 0.0
        if pairs[t] >= ratio * level:
            found.append(t)
    cuts, k = [], 0
    while k < len(found):
        t = found[k]
        if k + 1 < len(found) and found[k + 1] - t <= FLASH:
            low, high = sorted((pairs[t], pairs[found[k + 1]]))
            is_alone = (k == 0 or t - found[k - 1] > WINDOW) and (
                k + 2 == len(found) or found[k + 2] - found[k + 1] > WINDOW
            )
            # At the ends of a video too little is seen to tell a flash from two short shots.
            is_inside = t >= WINDOW and found[k + 1] + WINDOW < len(pairs)
            if is_alone and is_inside and low >= FLASH_HEIGHT * high:
                k += 2
                continue
        cuts.append(t + 1)
        k += 1
    return np.array(cuts, dtype=np.int64)

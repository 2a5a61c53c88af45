"""Local matching: where the compensated frames do not explain a pixel, look around for what it resembles (ours)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import cv2
import numpy as np
from numba import njit

from evfr.propagation._pictures import mean_blocks

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from evfr._core.masks import Rle

__all__ = ["Key", "cell_features", "cell_side", "make_key", "match"]

RADIUS = 10
PENALTY = 3.0
TEMPERATURE = 72.0
"""2 sigma squared, with the sigma of the fusion, 6 grey levels."""
NEGLIGIBLE = 10.0
LOWEST = -1e30


@dataclass(frozen=True, slots=True, eq=False)
class Key:
    """Hold a labelled frame in cells: features (8, h, w) float32, shares of the masks (K, h, w) float32."""

    features: NDArray[np.float32]
    shares: NDArray[np.float32]


def cell_side(height: int, width: int) -> int:
    """Return the side of a cell in pixels: 4 at 480 lines, in proportion elsewhere, and even."""
    return max(2, 2 * round(min(height, width) / 240))


def cell_features(frame: NDArray[np.uint8], side: int) -> NDArray[np.float32]:
    """Describe each cell of side x side pixels.

    Parameters
    ----------
    frame : (H, W, 3) uint8
        RGB.
    side : int
        Pixels per cell.

    Returns
    -------
    (8, h, w) float32
        L, a, b in 8-bit units, their means over 3 x 3 cells, and the absolute Sobel slopes of L across and down,
        as differences of neighbours two cells apart.
    """
    lab = cv2.cvtColor(mean_blocks(np.ascontiguousarray(frame), side), cv2.COLOR_RGB2LAB).astype(np.float32)
    light = np.ascontiguousarray(lab[..., 0])
    border = cv2.BORDER_REPLICATE
    slopes = [
        np.abs(cv2.Sobel(light, cv2.CV_32F, dx, 1 - dx, scale=0.25, borderType=border)) for dx in (1, 0)
    ]
    parts = [*cv2.split(lab), *cv2.split(cv2.blur(lab, (3, 3), borderType=border)), *slopes]
    return np.stack(parts)


def make_key(frame: NDArray[np.uint8], masks: Sequence[Rle | None], side: int) -> Key:
    """Prepare a labelled frame for matching.

    Parameters
    ----------
    frame : (H, W, 3) uint8
        RGB.
    masks : sequence of K Rle or None
        Its objects.
    side : int
        Pixels per cell.

    Returns
    -------
    Key
        Features and the share of each cell that each object covers.
    """
    features = cell_features(frame, side)
    shares = np.zeros((len(masks), *features.shape[1:]), np.float32)
    for k, mask in enumerate(masks):
        if mask is not None and not mask.is_empty:
            shares[k] = mean_blocks(mask.to_mask().astype(np.float32), side)
    return Key(features, shares)


def match(
    features: NDArray[np.float32],
    cells: NDArray[np.int64],
    keys: Sequence[Key],
    flows: Sequence[NDArray[np.float32]],
    distances: Sequence[float],
    side: int,
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Give cells the labels of the cells that they resemble in the labelled frames.

    Parameters
    ----------
    features : (8, h, w) float32
        Of the frame.
    cells : (Q, 2) int64
        Rows and columns of the cells in question.
    keys : sequence of Key
        One or two labelled frames.
    flows : sequence of (h, w, 2) float32
        For each, the composed displacement to it, in pixels.
    distances : sequence of float
        For each, how many frames away it is.
    side : int
        Pixels per cell.

    Returns
    -------
    shares : (Q, K) float32
        Of the objects, 0 to 1: softmax over all cells within 10 of the compensated place in each labelled frame of
        -(squared distance of the features + 3 per squared cell of offset) / 72 - log(distance in time).
    error : (Q,) float32
        Grey levels between the cell and what it resembles: root of the mean square over features and candidates.
    """
    count = len(cells)
    out = np.zeros((count, keys[0].shares.shape[0]), np.float32)
    total, square, peak = (np.full(count, start, np.float32) for start in (0.0, 0.0, LOWEST))
    for key, flow, far in zip(keys, flows, distances, strict=True):
        shares = np.ascontiguousarray(key.shares.transpose(1, 2, 0))
        offset, prior = flow / np.float32(side), np.float32(-np.log(far))
        _gather(features, cells, key.features, shares, offset, prior, out, total, square, peak)
    np.maximum(total, 1e-30, out=total)
    out /= total[:, None]
    square /= total * len(features)
    return out, np.sqrt(np.maximum(square, 0.0, out=square), out=square)


@njit(cache=True, nogil=True, fastmath=True)
def _gather(features, cells, key_features, shares, flow, prior, out, total, square, peak):  # type: ignore[no-untyped-def]
    depth, height, width = key_features.shape
    objects = shares.shape[2]
    score = np.empty((2 * RADIUS + 1, 2 * RADIUS + 1), np.float32)
    penalty = np.empty_like(score)
    for v in range(-RADIUS, RADIUS + 1):
        for u in range(-RADIUS, RADIUS + 1):
            penalty[v + RADIUS, u + RADIUS] = PENALTY * (v * v + u * u)
    for q in range(len(cells)):
        y, x = cells[q, 0], cells[q, 1]
        centre_y = int(np.floor(y + flow[y, x, 1] + 0.5))
        centre_x = int(np.floor(x + flow[y, x, 0] + 0.5))
        centre_y = min(max(centre_y, 0), height - 1)
        centre_x = min(max(centre_x, 0), width - 1)
        top, bottom = max(0, centre_y - RADIUS), min(height, centre_y + RADIUS + 1)
        left, right = max(0, centre_x - RADIUS), min(width, centre_x + RADIUS + 1)
        columns = right - left
        best = np.float32(LOWEST)
        for v in range(top, bottom):
            row = score[v - top]
            row[:columns] = penalty[
                v - centre_y + RADIUS, left - centre_x + RADIUS : right - centre_x + RADIUS
            ]
            # Features apart and columns innermost: this loop is the cost, and runs over neighbours in memory.
            for d in range(depth):
                own = features[d, y, x]
                other = key_features[d, v, left:right]
                for i in range(columns):
                    difference = other[i] - own
                    row[i] += difference * difference
            for i in range(columns):
                row[i] = prior - row[i] * np.float32(1.0 / TEMPERATURE)
            for i in range(columns):
                best = max(best, row[i])
        # The softmax runs over both labelled frames: rescale what the first one left.
        if best > peak[q]:
            shrink = np.exp(peak[q] - best)
            total[q] *= shrink
            square[q] *= shrink
            for k in range(objects):
                out[q, k] *= shrink
            peak[q] = best
        for v in range(top, bottom):
            for i in range(columns):
                below = peak[q] - score[v - top, i]
                if below < NEGLIGIBLE:
                    weight = np.exp(-below)
                    total[q] += weight
                    offset = penalty[v - centre_y + RADIUS, left + i - centre_x + RADIUS]
                    square[q] += weight * ((prior - score[v - top, i]) * TEMPERATURE - offset)
                    for k in range(objects):
                        out[q, k] += weight * shares[v, left + i, k]

"""Masks from boxes: the box itself, or what GrabCut finds in it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import numpy as np

from evfr._core.masks import Rle

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["box_mask", "grabcut_mask"]

AROUND = 0.25
LEAST_AROUND = 8
ROUNDS = 3
LEAST_SIDE = 5


def box_mask(box: NDArray[np.float64], height: int, width: int) -> Rle:
    """Take every pixel of a box for the object (C19, section III.A).

    Parameters
    ----------
    box : (4,) float64
        x0, y0, x1, y1 in pixels; may lie partly or wholly outside.
    height, width : int
        Size of the picture.

    Returns
    -------
    Rle
        The pixels of the picture whose centre lies in the box: right and bottom edges do not belong.

    References
    ----------
    Pertinence of video frames for learning (C19): pixels inside a kept box +1, others -1.
    """
    x0, y0, x1, y1 = _pixels(box, height, width)
    if x0 >= x1 or y0 >= y1:
        return Rle.empty(height, width)
    inside, between = y1 - y0, height - (y1 - y0)
    if between == 0:
        runs = [x0 * height, (x1 - x0) * height]
    else:
        runs = [x0 * height + y0, *[inside, between] * (x1 - x0 - 1), inside]
    rest = height * width - sum(runs)
    return Rle(height, width, np.array(runs + [rest] * (rest > 0), np.uint32))


def grabcut_mask(frame: NDArray[np.uint8], box: NDArray[np.float64]) -> Rle:
    """Separate the object in a box from what is around it (Rother, Kolmogorov and Blake 2004).

    Parameters
    ----------
    frame : (H, W, 3) uint8
        RGB picture.
    box : (4,) float64
        x0, y0, x1, y1 in pixels; may lie partly or wholly outside.

    Returns
    -------
    Rle
        A part of `box_mask`; all of it where GrabCut finds nothing, or the box has fewer than 5 pixels on a side in
        the picture. Background is what lies up to a quarter of the longer side (at least 8 pixels) around the box,
        and the outermost pixels of that surrounding: so a box that fills the picture leaves its rim. Three rounds.

    References
    ----------
    Rother, Kolmogorov and Blake, "GrabCut", ACM Transactions on Graphics 23 (2004), doi:10.1145/1015706.1015720.
    """
    height, width = (int(side) for side in frame.shape[:2])
    x0, y0, x1, y1 = _pixels(box, height, width)
    whole = box_mask(box, height, width)
    if min(x1 - x0, y1 - y0) < LEAST_SIDE:
        return whole
    margin = max(LEAST_AROUND, int(AROUND * max(x1 - x0, y1 - y0)))
    left, top = max(x0 - margin, 0), max(y0 - margin, 0)
    right, bottom = min(x1 + margin, width), min(y1 + margin, height)
    part = np.ascontiguousarray(frame[top:bottom, left:right])
    marks = np.full(part.shape[:2], cv2.GC_BGD, np.uint8)
    marks[y0 - top : y1 - top, x0 - left : x1 - left] = cv2.GC_PR_FGD
    marks[[0, -1]] = cv2.GC_BGD
    marks[:, [0, -1]] = cv2.GC_BGD
    # Its clusters start from random places: the same picture gives the same mask.
    cv2.setRNGSeed(0)
    models = np.zeros((2, 1, 65), np.float64)
    cv2.grabCut(part, marks, None, models[0], models[1], ROUNDS, cv2.GC_INIT_WITH_MASK)  # type: ignore[call-overload]
    found = np.zeros((height, width), np.bool_)
    found[top:bottom, left:right] = marks == cv2.GC_PR_FGD
    return Rle.from_mask(found) if found.any() else whole


def _pixels(box: NDArray[np.float64], height: int, width: int) -> tuple[int, int, int, int]:
    """Return first and last + 1 columns and rows whose centres lie in the box and in the picture."""
    edges = np.ceil(box - 0.5)
    x0, x1 = (int(v) for v in np.clip(edges[[0, 2]], 0, width))
    y0, y1 = (int(v) for v in np.clip(edges[[1, 3]], 0, height))
    return x0, y0, x1, y1

"""What is measured about carried boxes, whatever carried them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from evfr.propagation._boxes_labels import is_left_nearer, label_boxes
from evfr.propagation._boxes_pictures import GreyPictures, box_content
from evfr.propagation._interval import SIDES, Interval, Side

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["area_jumps", "paired_iou", "residuals"]


def paired_iou(a: NDArray[np.float64], b: NDArray[np.float64]) -> NDArray[np.float64]:
    """Compare boxes pair by pair.

    Parameters
    ----------
    a, b : (..., 4) float64
        Boxes x0, y0, x1, y1.

    Returns
    -------
    (...) float64
        Shared area over joint area, 0 where both have none, NaN where a box is NaN.
    """
    overlap = np.minimum(a[..., 2:], b[..., 2:]) - np.maximum(a[..., :2], b[..., :2])
    shared = np.prod(np.maximum(overlap, 0.0), axis=-1)
    either = np.prod(a[..., 2:] - a[..., :2], axis=-1) + np.prod(b[..., 2:] - b[..., :2], axis=-1) - shared
    out: NDArray[np.float64] = np.divide(shared, either, out=np.zeros_like(either), where=either != 0.0)
    return out


def area_jumps(interval: Interval, boxes: NDArray[np.float64]) -> NDArray[np.float64]:
    """Measure how the area changes from the neighbour on the side of the nearest label.

    Parameters
    ----------
    interval : Interval
        The interval.
    boxes : (T, K, 4) float64
        Carried boxes, with the labels themselves at labelled frames.

    Returns
    -------
    (T, K) float64
        Absolute logarithm of the ratio of the areas; NaN where the neighbour has no box or one without area.
    """
    area = np.prod(boxes[..., 2:] - boxes[..., :2], axis=2)
    logarithm = np.log(np.where(area > 0.0, area, np.nan))
    jumps = np.full(area.shape, np.nan)
    step = np.abs(np.diff(logarithm, axis=0))
    jumps[1:] = step
    from_right = _from_right(interval, boxes)
    jumps[:-1][from_right[:-1]] = step[from_right[:-1]]
    return jumps


def _from_right(interval: Interval, boxes: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Return (T, K): whether the nearest label that an object may have been carried from is the right one."""
    reached = {side: np.zeros(boxes.shape[:2], np.bool_) for side in SIDES}
    for side in SIDES:
        named = ~np.isnan(label_boxes(interval, side)).any(axis=1)
        for t in interval.reach(side)[0]:
            reached[side][t] = named
    return reached["right"] & (~reached["left"] | ~is_left_nearer(interval)[:, None])


def residuals(interval: Interval, pictures: GreyPictures, boxes: NDArray[np.float64]) -> NDArray[np.float64]:
    """Measure how far the content of carried boxes differs from that of the labels, each stretched onto the other.

    Parameters
    ----------
    interval : Interval
        The interval.
    pictures : GreyPictures
        Its frames.
    boxes : (T, K, 4) float64
        Carried boxes.

    Returns
    -------
    (T, K) float64
        Mean absolute difference in grey levels on a grid of 24 x 24 places in the box; of two labels that reach
        the frame, the nearer one weighs more (by distance). NaN where no place of the box is in both pictures.
    """
    total, weight = np.zeros(boxes.shape[:2]), np.zeros(boxes.shape[:2])
    index = interval.frame_index
    keys = [_key_contents(interval, pictures, side) for side in SIDES]
    reaches = [interval.reach(side)[0] for side in SIDES]
    has_area = (boxes[..., 2:] > boxes[..., :2]).all(axis=2)
    for t, k in np.argwhere(has_area).tolist():
        reaching = [
            (key[k], abs(int(index[t] - index[reach[0]])))
            for key, reach in zip(keys, reaches, strict=True)
            if k in key and t in reach[1:]
        ]
        if not reaching:
            continue
        grey, is_inside = box_content(pictures, t, boxes[t, k])
        for (label, was_inside), far in reaching:
            both = is_inside & was_inside
            if both.any():
                total[t, k] += float(np.abs(grey - label)[both].mean()) / far
                weight[t, k] += 1.0 / far
    out: NDArray[np.float64] = np.divide(total, weight, out=np.full(total.shape, np.nan), where=weight > 0.0)
    return out


def _key_contents(
    interval: Interval, pictures: GreyPictures, side: Side
) -> dict[int, tuple[NDArray[np.float32], NDArray[np.bool_]]]:
    """Return what the labelled boxes of one end show, by track row; boxes without area show nothing."""
    positions, _ = interval.reach(side)
    if not positions:
        return {}
    labels = label_boxes(interval, side)
    rows = np.flatnonzero((labels[:, 2:] > labels[:, :2]).all(axis=1)).tolist()
    return {k: box_content(pictures, positions[0], labels[k]) for k in rows}

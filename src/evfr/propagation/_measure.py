"""Measure what trust is judged by: error around the mask, agreement of both directions, jumps."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import cv2
import numpy as np

from evfr.propagation._patches import Patch, Window, window_around
from evfr.propagation._pictures import fetch, pixel_grid
from evfr.propagation._steps import Step
from evfr.propagation._warp import FULL

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from evfr.propagation._fusion import Fused, SideView

__all__ = ["MEASURED", "band_mean", "measure", "patch_iou", "trimmed"]

MEASURED = ("residual", "agreement", "area_jump", "shape_jump")
BAND = 8


def trimmed(mask: NDArray[np.bool_], window: Window) -> Patch | None:
    """Return a mask over a window as the smallest patch that holds it, or None where it is empty."""
    x, y, w, h = cv2.boundingRect(mask.view(np.uint8))
    if w == 0:
        return None
    tight = Window(window.y0 + y, window.y0 + y + h, window.x0 + x, window.x0 + x + w)
    return Patch(tight, mask[tight.within(window)].astype(np.uint8))


def band_mean(patch: Patch, fused: Fused) -> float:
    """Return the mean residual within 8 px of the edge of a mask, on both sides of it."""
    outer = fused.window
    window = patch.window.padded(BAND, outer.y1, outer.x1)
    window = window.overlap(outer) or outer
    values = patch.over(window, 0)
    kernel = np.ones((2 * BAND + 1, 2 * BAND + 1), np.uint8)
    wide = cv2.dilate(values, kernel)
    band = (wide > 0) & (cv2.erode(values, kernel) == 0)
    # An object that fills the window has no edge in it.
    where = band if band.any() else values > 0
    return float(fused.residual[window.within(outer)][where].mean())


def patch_iou(a: Patch | None, b: Patch | None) -> float:
    """Return the IoU of two binary patches; 0 where either is absent."""
    window = window_around([a, b])
    if a is None or b is None or window is None:
        return 0.0
    one, other = a.over(window, 0), b.over(window, 0)
    both = int(np.count_nonzero(one & other))
    return both / max(1, int(np.count_nonzero(one | other)))


def measure(
    grid: Sequence[Sequence[Patch | None]], sides: Sequence[SideView], frame_index: NDArray[np.int64]
) -> dict[str, NDArray[np.float64]]:
    """Measure agreement and jumps of the masks of a stretch.

    Parameters
    ----------
    grid : sequence of T sequences of K Patch or None
        Final masks, 0 or 1.
    sides : sequence of SideView
        One or two.
    frame_index : (T,) int64
        Numbers of the frames.

    Returns
    -------
    dict of str to (T, K) float64
        ``agreement``, ``area_jump`` and ``shape_jump``; NaN where an object is absent or nothing can be compared.
    """
    shape = len(grid), len(grid[0])
    out = {name: np.full(shape, np.nan) for name in MEASURED[1:]}
    for t, k in np.ndindex(shape):
        patch = grid[t][k]
        if patch is None:
            continue
        if len(sides) == 2:
            soft = [side.chain.soft[t][k] for side in sides]
            halves = [
                None if s is None else Patch(s.window, (s.values > FULL // 2).view(np.uint8)) for s in soft
            ]
            out["agreement"][t, k] = patch_iou(halves[0], halves[1])
        near = min(
            (side for side in sides if grid[0 if side.side == "left" else -1][k] is not None),
            key=lambda side: abs(int(frame_index[t]) - side.frame_index),
            default=sides[0],
        )
        back = t - 1 if near.side == "left" else t + 1
        if not 0 <= back < shape[0]:
            continue
        before = grid[back][k]
        if before is not None:
            ratio = np.count_nonzero(patch.values) / np.count_nonzero(before.values)
            out["area_jump"][t, k] = abs(np.log(ratio))
            out["shape_jump"][t, k] = 1.0 - patch_iou(
                patch, _compensated(before, patch, near.chain.step[t], near.grey.shape)
            )
    return out


def _compensated(
    before: Patch, patch: Patch, step: NDArray[np.float32], size: tuple[int, int]
) -> Patch | None:
    """Return the mask of the neighbouring frame as the step (at quarter size) moves it to this one."""
    height, width = size
    window = window_around([before, patch])
    assert window is not None
    field = Step(step, 4, height, width).part(window)
    places = pixel_grid(height, width)[window.rows_columns] + field
    # A rim of zeros where the frame goes on, so that the border replicates the frame's edge only.
    rim = before.window.padded(1, height, width)
    places -= np.array([rim.x0, rim.y0], np.float32)
    moved = fetch(before.over(rim, 0) * np.uint8(FULL), places)
    return trimmed(moved > FULL // 2, window)

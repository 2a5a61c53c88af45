"""Carry soft masks hop by hop from one labelled frame, and measure the error against that frame."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import cv2
import numpy as np

from evfr.propagation._patches import Patch, Window
from evfr.propagation._pictures import fetch, grey_of, mean_blocks, pixel_grid, spread_blocks

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from evfr._core.masks import Rle
    from evfr.propagation._steps import Step

__all__ = ["FAINT", "FULL", "Chain", "Hopped", "carry_side", "compensated_error", "first_patch", "hop"]

FULL = 255
"""Soft masks are 0..255: 8 bits lose less in 25 hops than one hop of the motion does."""
FAINT = 8
"""Soft values up to this are not followed further."""
RESIDUAL_WINDOW = 7


@dataclass(frozen=True, slots=True, eq=False)
class Chain:
    """Hold what one labelled frame says about the frames it was carried to, by position in the stretch.

    Attributes
    ----------
    soft : tuple of T tuples of K Patch or None
        Soft masks 0..255; None where the object is absent or lost.
    flow : tuple of T (h2, w2, 2) float32
        Composed displacement to the labelled frame in pixels, at half size; of no size where it was not carried.
    step : tuple of T (h4, w4, 2) float32
        Displacement to the neighbour on the labelled side, at quarter size; of no size likewise.
    lost : dict of int to int
        For each object that was lost, the position where it first was.
    """

    soft: tuple[tuple[Patch | None, ...], ...]
    flow: tuple[NDArray[np.float32], ...]
    step: tuple[NDArray[np.float32], ...]
    lost: dict[int, int]


def carry_side(
    frames: Sequence[NDArray[np.uint8]],
    order: Sequence[int],
    step_at: Callable[[int], Step],
    masks: Sequence[Rle | None],
) -> Chain:
    """Carry the masks of one labelled frame over a stretch, hop by hop.

    Parameters
    ----------
    frames : sequence of T (H, W, 3) uint8
        RGB.
    order : sequence of int
        Positions in the direction of the carry, the labelled frame first.
    step_at : callable
        ``position -> Step``: backward field from that position to the one before it in ``order``.
    masks : sequence of K Rle or None
        Objects of the labelled frame.

    Returns
    -------
    Chain
        Masks are warped step by step, bilinear, the border replicated; the composed field serves the error only.
    """
    height, width = frames[0].shape[:2]
    soft = {order[0]: tuple(first_patch(mask) for mask in masks)}
    flow = np.zeros((-(-height // 2), -(-width // 2), 2), np.float32)
    flows, steps = {order[0]: flow}, {order[0]: mean_blocks(flow, 2)}
    lost: dict[int, int] = {}
    for before, at in itertools.pairwise(order):
        soft[at], flows[at], steps[at] = hop(soft[before], flows[before], step_at(at))
        for k, patch in enumerate(soft[at]):
            if patch is None and soft[before][k] is not None:
                lost[k] = at
    nothing, none = (None,) * len(masks), np.zeros((0, 0, 2), np.float32)
    everywhere = range(len(frames))
    return Chain(
        soft=tuple(soft.get(t, nothing) for t in everywhere),
        flow=tuple(flows.get(t, none) for t in everywhere),
        step=tuple(steps.get(t, none) for t in everywhere),
        lost=lost,
    )


class Hopped(NamedTuple):
    """What one hop makes of soft masks and flow: entries of `Chain` for one frame."""

    soft: tuple[Patch | None, ...]
    flow: NDArray[np.float32]
    step: NDArray[np.float32]


def hop(soft: Sequence[Patch | None], flow: NDArray[np.float32], field: Step) -> Hopped:
    """Carry soft masks and the composed displacement over one hop.

    Parameters
    ----------
    soft : sequence of K Patch or None
        Masks in the frame before.
    flow : (h2, w2, 2) float32
        Composed displacement of the frame before to the labelled frame.
    field : Step
        Backward field from the new frame to the one before.

    Returns
    -------
    Hopped
        The same of the new frame; a mask of which nothing stays above one half is None.
    """
    step = field.half()
    places = pixel_grid(*flow.shape[:2]) + step * np.float32(0.5)
    composed = step + fetch(flow, places)
    quarter = mean_blocks(step, 2)
    farthest = int(np.ceil(np.abs(quarter).max())) + 4
    size = (field.height, field.width)
    return Hopped(tuple(_warp(patch, field, farthest, size) for patch in soft), composed, quarter)


def first_patch(mask: Rle | None) -> Patch | None:
    """Return the soft mask of a labelled object, or None where it has no pixel."""
    if mask is None or mask.is_empty:
        return None
    x0, y0, x1, y1 = (int(v) for v in mask.box_xyxy)
    # A rim of zeros, so that replicating the border of a patch continues the mask at the frame's edge only.
    window = Window(y0, y1, x0, x1).padded(1, mask.height, mask.width)
    return Patch(window, mask.to_mask()[window.rows_columns].astype(np.uint8) * FULL)


def _warp(patch: Patch | None, field: Step, farthest: int, size: tuple[int, int]) -> Patch | None:
    """Carry one soft mask over one hop; None where nothing of it stays above one half."""
    if patch is None:
        return None
    height, width = size
    window = patch.window.padded(farthest, height, width)
    places = pixel_grid(height, width)[window.rows_columns] + field.part(window)
    places -= np.array([patch.window.x0, patch.window.y0], np.float32)
    values = fetch(patch.values, places)
    if values.max() <= FULL // 2:
        return None
    x, y, w, h = cv2.boundingRect((values > FAINT).view(np.uint8))
    tight = Window(window.y0 + y, window.y0 + y + h, window.x0 + x, window.x0 + x + w).padded(
        1, height, width
    )
    return Patch(tight, _rimmed(values, window, tight, height, width))


def _rimmed(
    values: NDArray[np.uint8], window: Window, tight: Window, height: int, width: int
) -> NDArray[np.uint8]:
    """Cut a soft mask to a tight window and clear its rim, but for sides on the frame's edge."""
    out = np.zeros(tight.shape, np.uint8)
    both = tight.overlap(window)
    assert both is not None
    out[both.within(tight)] = values[both.within(window)]
    if tight.y0 > 0:
        out[0] = 0
    if tight.y1 < height:
        out[-1] = 0
    if tight.x0 > 0:
        out[:, 0] = 0
    if tight.x1 < width:
        out[:, -1] = 0
    return out


def compensated_error(
    frame: NDArray[np.uint8], key: NDArray[np.uint8], flow: NDArray[np.float32], window: Window
) -> NDArray[np.uint8]:
    """Measure how far a frame is from the labelled frame that was compensated for motion.

    Parameters
    ----------
    frame : (H, W, 3) uint8
        RGB.
    key : (H, W) uint8
        The labelled frame in grey.
    flow : (h2, w2, 2) float32
        Composed displacement to it, at half size.
    window : Window
        Where.

    Returns
    -------
    (h, w) uint8
        Grey levels, mean of 7 x 7 pixels.
    """
    height, width = key.shape
    even = Window(window.y0 // 2 * 2, -(-window.y1 // 2) * 2, window.x0 // 2 * 2, -(-window.x1 // 2) * 2)
    part = flow[even.y0 // 2 : even.y1 // 2, even.x0 // 2 : even.x1 // 2]
    dense = spread_blocks(part, 2, *even.shape)
    places = pixel_grid(height, width)[window.rows_columns] + dense[window.within(even)]
    fetched = fetch(key, places)
    grey = grey_of(frame[window.rows_columns])
    size = (RESIDUAL_WINDOW, RESIDUAL_WINDOW)
    error: Any = cv2.blur(cv2.absdiff(grey, fetched), size, borderType=cv2.BORDER_REPLICATE)
    return error  # type: ignore[no-any-return]

"""Fuse what two labelled frames say about a frame, and let objects compete for pixels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import cv2
import numpy as np

from evfr.propagation._matching import Key, cell_features, cell_side, match
from evfr.propagation._patches import Patch, Window, window_around
from evfr.propagation._pictures import mean_blocks, spread_blocks
from evfr.propagation._warp import FULL, Chain, compensated_error

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from evfr.propagation._interval import Side

__all__ = ["SIGMA", "Fused", "SideView", "compete", "fuse"]

SIGMA = 6.0
"""Grey levels of residual that divide the weight of a side by e."""
GATE = 8.0
"""Grey levels of blurred error above which a cell is matched."""
NEAR = 6
"""Cells around the masks within which it is: 24 px at 480 lines."""
HELD = 0.1
"""Share from which a pixel counts as near a mask."""
_FALL = np.exp(-np.arange(256) / SIGMA).astype(np.float32)


@dataclass(frozen=True, slots=True, eq=False)
class SideView:
    """Hold one labelled frame and what was carried from it.

    Attributes
    ----------
    side : {"left", "right"}
        Which end it is.
    chain : Chain
        What was carried.
    grey : (H, W) uint8
        The labelled frame.
    frame_index : int
        Its number.
    key : Key or None
        For matching; None without.
    silent : frozenset of int
        Objects that it has no say in.
    """

    side: Side
    chain: Chain
    grey: NDArray[np.uint8]
    frame_index: int
    key: Key | None
    silent: frozenset[int] = frozenset()


@dataclass(frozen=True, slots=True, eq=False)
class Fused:
    """Hold the shares of all objects in one frame over one window.

    Attributes
    ----------
    window : Window
        Where any object may be.
    shares : list of K ((h, w) float32 or None)
        0 to 1 over the window; None where no side carried the object.
    residual : (h, w) float32
        Grey levels, the sides weighted as the shares are.
    """

    window: Window
    shares: list[NDArray[np.float32] | None]
    residual: NDArray[np.float32]


def fuse(
    frame: NDArray[np.uint8], frame_index: int, at: int, sides: Sequence[SideView], *, is_by_residual: bool
) -> Fused | None:
    """Fuse one or two sides at one frame with weight exp(-residual / 6) / distance (ours).

    Parameters
    ----------
    frame : (H, W, 3) uint8
        RGB.
    frame_index : int
        Its number.
    at : int
        Its position in the chains.
    sides : sequence of SideView
        One or two. With keys, cells that neither side explains are matched.
    is_by_residual : bool
        False weighs by 1 / distance alone.

    Returns
    -------
    Fused or None
        None where no side has any object.
    """
    height, width = frame.shape[:2]
    window = window_around([patch for side in sides for patch in side.chain.soft[at]])
    if window is None:
        return None
    cell = cell_side(height, width)
    window = window.padded((NEAR + 1) * cell, height, width)
    distances = [abs(frame_index - side.frame_index) for side in sides]
    errors = [compensated_error(frame, side.grey, side.chain.flow[at], window) for side in sides]
    share = np.ones(window.shape, np.float32)
    if len(sides) == 2:
        first, second = (
            (_FALL[error] if is_by_residual else np.ones(window.shape, np.float32)) / np.float32(far)
            for error, far in zip(errors, distances, strict=True)
        )
        share = (first / (first + second)).astype(np.float32, copy=False)
    shares: list[NDArray[np.float32] | None] = []
    for k in range(len(sides[0].chain.soft[at])):
        parts = [side.chain.soft[at][k] for side in sides]
        own = share
        if len(sides) == 2 and (k in sides[0].silent or k in sides[1].silent):
            own = np.full(window.shape, k in sides[1].silent, np.float32)
        shares.append(None if all(part is None for part in parts) else _mix(parts, own, window))
    residual = errors[0].astype(np.float32)
    if len(sides) == 2:
        residual = share * residual + (1 - share) * errors[1]
    if all(side.key is not None for side in sides):
        _rematch(frame, at, sides, distances, errors, shares, window)
    return Fused(window, shares, residual)


def _mix(parts: Sequence[Patch | None], share: NDArray[np.float32], window: Window) -> NDArray[np.float32]:
    """Weigh the soft masks of an object; a side that does not have it votes for background."""
    out = np.zeros(window.shape, np.float32)
    for side, part in enumerate(parts):
        if part is not None:
            cut = part.window.within(window)
            weight = share[cut] if side == 0 else 1 - share[cut]
            out[cut] += weight * (part.values * np.float32(1 / FULL))
    return out


def _rematch(
    frame: NDArray[np.uint8],
    at: int,
    sides: Sequence[SideView],
    distances: Sequence[int],
    errors: Sequence[NDArray[np.uint8]],
    shares: list[NDArray[np.float32] | None],
    window: Window,
) -> None:
    """Replace the shares of cells near a mask that no side explains by those of the cells they resemble."""
    height, width = frame.shape[:2]
    cell = cell_side(height, width)
    whole = Window(
        window.y0 // cell * cell,
        min(height, -(-window.y1 // cell) * cell),
        window.x0 // cell * cell,
        min(width, -(-window.x1 // cell) * cell),
    )
    inside = window.within(whole)
    error = np.zeros(whole.shape, np.uint8)
    error[inside] = errors[0] if len(errors) == 1 else np.minimum(errors[0], errors[1])
    held = np.zeros(whole.shape, np.uint8)
    for k, values in enumerate(shares):
        if values is not None:
            held[inside] |= (values > HELD).view(np.uint8)
            for side in sides:
                part = side.chain.soft[at][k]
                if part is not None:
                    held[part.window.within(whole)] |= (part.values > HELD * FULL).view(np.uint8)
    size = 2 * NEAR + 1
    near = cv2.dilate(
        (mean_blocks(held * np.uint8(FULL), cell) > 0).view(np.uint8), np.ones((size, size), np.uint8)
    )
    is_open = (mean_blocks(error.astype(np.float32), cell) > GATE) & (near > 0)
    if not is_open.any():
        return
    cells = np.argwhere(is_open) + np.array([whole.y0 // cell, whole.x0 // cell])
    flows = [mean_blocks(side.chain.flow[at], cell // 2) for side in sides]
    keys = [side.key for side in sides if side.key is not None]
    found, match_error = match(cell_features(frame, cell), cells, keys, flows, distances, cell)
    # The weight of a match against what was carried follows from the residuals of both, as that of the sides does.
    open_error = mean_blocks(error.astype(np.float32), cell)[is_open]
    weight = np.zeros(is_open.shape, np.float32)
    weight[is_open] = 1 / (1 + np.exp((match_error - open_error) / SIGMA))
    gate = spread_blocks(weight, cell, *whole.shape)[inside]
    for k, values in enumerate(shares):
        if values is not None and not any(k in side.silent for side in sides):
            cell_shares = np.zeros(is_open.shape, np.float32)
            cell_shares[is_open] = found[:, k]
            cell_shares *= weight
            shares[k] = values * (1 - gate) + spread_blocks(cell_shares, cell, *whole.shape)[inside]


def compete(
    shares: Sequence[NDArray[np.float32] | None], rank: Sequence[int], is_exempt: NDArray[np.bool_]
) -> list[NDArray[np.bool_] | None]:
    """Give each pixel to the object or background with the largest share.

    Parameters
    ----------
    shares : sequence of K ((h, w) float32 or None)
        0 to 1; background has what is left of 1.
    rank : sequence of int
        Of two objects with one share, the one of lower rank takes the pixel. It must not depend on track ids.
    is_exempt : (K, K) bool
        Pairs whose given labels overlap: they do not compete, so that their masks may overlap again.

    Returns
    -------
    list of K ((h, w) bool or None)
        Pairs that compete have no pixel in common.
    """
    present = [values for values in shares if values is not None]
    if not present:
        return [None] * len(shares)
    total = np.sum(present, axis=0, dtype=np.float32)
    best, winner = np.zeros_like(total), np.full(total.shape, -1, np.int32)
    for k in np.argsort(rank).tolist():
        values = shares[k]
        if values is not None:
            is_more = values > best
            best[is_more], winner[is_more] = values[is_more], k
    is_object = best > 1 - total
    return [
        None
        if own is None
        else _claim(shares, rank, is_exempt, k)
        if is_exempt[k].any()
        else (winner == k) & is_object
        for k, own in enumerate(shares)
    ]


def _claim(
    shares: Sequence[NDArray[np.float32] | None], rank: Sequence[int], is_exempt: NDArray[np.bool_], k: int
) -> NDArray[np.bool_]:
    """Return the pixels of one object that competes with some of the others only."""
    own = shares[k]
    assert own is not None
    claimed, is_own = own.copy(), np.ones(own.shape, np.bool_)
    for j, other in enumerate(shares):
        if j != k and other is not None and not is_exempt[k, j]:
            claimed += other
            is_own &= (own >= other) if rank[k] < rank[j] else (own > other)
    out: NDArray[np.bool_] = is_own & (own > 1 - claimed)
    return out

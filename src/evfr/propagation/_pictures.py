"""Short words for what the family asks of OpenCV: grey, fetch, resize, all with the border replicated."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["fetch", "grey_of", "mean_blocks", "pixel_grid", "spread_blocks"]

_GRIDS: dict[tuple[int, int], NDArray[np.float32]] = {}


def grey_of(frame: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return the (H, W) uint8 grey of an RGB picture."""
    grey: Any = cv2.cvtColor(np.ascontiguousarray(frame), cv2.COLOR_RGB2GRAY)
    return grey  # type: ignore[no-any-return]


def pixel_grid(height: int, width: int) -> NDArray[np.float32]:
    """Return the (height, width, 2) float32 places (x, y) of all pixels; read, never written."""
    grid = _GRIDS.get((height, width))
    if grid is None:
        x, y = np.meshgrid(np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32))
        grid = np.dstack([x, y])
        grid.flags.writeable = False
        if len(_GRIDS) >= 4:
            _GRIDS.clear()
        _GRIDS[height, width] = grid
    return grid


def fetch(picture: NDArray[Any], places: NDArray[Any]) -> NDArray[Any]:
    """Return a picture's values at float32 places (x, y), bilinear, the border replicated."""
    out: Any = cv2.remap(picture, places, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)  # type: ignore[call-overload]
    return out  # type: ignore[no-any-return]


def mean_blocks(picture: NDArray[Any], side: int) -> NDArray[Any]:
    """Return the means of blocks of side x side pixels, ceil(H / side) x ceil(W / side), the border replicated."""
    height, width = picture.shape[:2]
    down, across = -height % side, -width % side
    source: Any = picture
    if down or across:
        source = cv2.copyMakeBorder(picture, 0, down, 0, across, cv2.BORDER_REPLICATE)
    size = (source.shape[1] // side, source.shape[0] // side)
    out: Any = cv2.resize(source, size, interpolation=cv2.INTER_AREA)
    return out  # type: ignore[no-any-return]


def spread_blocks(blocks: NDArray[Any], side: int, height: int, width: int) -> NDArray[Any]:
    """Return height x width pixels, linear between the centres of blocks of side x side pixels."""
    size = (blocks.shape[1] * side, blocks.shape[0] * side)
    out: Any = cv2.resize(blocks, size, interpolation=cv2.INTER_LINEAR)
    return out[:height, :width]  # type: ignore[no-any-return]

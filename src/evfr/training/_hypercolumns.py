"""Hypercolumns: the levels of VGG-16 above a pixel, by bilinear interpolation (Hariharan et al. 2015)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from evfr._core.lazy import require

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

__all__ = ["centres", "columns_at", "hypercolumns", "levels_of", "resized"]


def hypercolumns(
    taps: Any, images: NDArray[np.uint8], size: tuple[int, int] | None = None
) -> NDArray[np.float32]:
    """Return the hypercolumn of each pixel: conv1_2, conv2_2, conv3_3, conv4_3 and pool5 of VGG-16 (C19's SVM).

    Parameters
    ----------
    taps : torch.nn.Module
        From `evfr.models.vgg_taps`.
    images : (F, H, W, 3) uint8
        RGB.
    size : (int, int) or None
        h and w of the truth, which may be smaller than the pictures; None is the pictures' own size.

    Returns
    -------
    (F, h, w, D) float32
        D is 1472 at the full width, the finest level first. At 4 D bytes a pixel this is large: 5.9 kB.

    Raises
    ------
    ValueError
        If pictures are of another shape or type.
    """
    torch = require("torch", extra="train")
    height, width = images.shape[1:3]
    device = next(taps.parameters()).device
    rows, columns = size if size is not None else (height, width)
    y, x = centres(torch, height, rows, device), centres(torch, width, columns, device)
    found = np.empty((len(images), rows, columns, taps.channels), np.float32)
    for place in range(len(images)):
        levels = levels_of(taps, images[place : place + 1])
        planes = [
            resized(torch, level, stride, y, x) for level, stride in zip(levels, taps.strides, strict=True)
        ]
        found[place] = torch.cat(planes, dim=3)[0].cpu().numpy()
    return found


def levels_of(taps: Any, images: NDArray[np.uint8]) -> list[Any]:
    """Return the levels of pictures (B, H, W, 3) uint8 as tensors (B, h_l, w_l, C_l).

    Raises
    ------
    ValueError
        If pictures are of another shape or type.
    """
    if images.ndim != 4 or images.shape[3] != 3 or images.dtype != np.uint8:
        raise ValueError(f"images must be (F, H, W, 3) uint8, got {images.shape} {images.dtype}")
    torch = require("torch", extra="train")
    device = next(taps.parameters()).device
    with torch.no_grad():
        pictures = torch.from_numpy(np.ascontiguousarray(images)).to(device)
        found = taps(pictures.permute(0, 3, 1, 2).float() / 255)
    # Channels last: the column of a cell lies in one piece.
    return [level.permute(0, 2, 3, 1).contiguous() for level in found]


def centres(torch: Any, side: int, count: int, device: Any) -> Any:
    """Return the places of ``count`` pixels of the truth along a side of the picture, in its pixels from its edge."""
    return (torch.arange(count, dtype=torch.float64, device=device) + 0.5) * (side / count)


def resized(torch: Any, level: Any, stride: int, y: Any, x: Any) -> Any:
    """Interpolate a level (B, h, w, C) at all places of y (n,) and x (m,): (B, n, m, C)."""
    low, high, share = _neighbours(y, stride, level.shape[1])
    rows = torch.lerp(level[:, low], level[:, high], share[:, None, None])
    low, high, share = _neighbours(x, stride, level.shape[2])
    return torch.lerp(rows[:, :, low], rows[:, :, high], share[:, None])


def columns_at(torch: Any, levels: Sequence[Any], strides: Sequence[int], which: Any, y: Any, x: Any) -> Any:
    """Return the hypercolumns (P, D) of P places: picture ``which`` (P,), y (P,) and x (P,) in its pixels."""
    parts = []
    for level, stride in zip(levels, strides, strict=True):
        top, bottom, down = _neighbours(y, stride, level.shape[1])
        left, right, across = _neighbours(x, stride, level.shape[2])
        upper = torch.lerp(level[which, top, left], level[which, bottom, left], down[:, None])
        lower = torch.lerp(level[which, top, right], level[which, bottom, right], down[:, None])
        parts.append(torch.lerp(upper, lower, across[:, None]))
    return torch.cat(parts, dim=1)


def _neighbours(place: Any, stride: int, count: int) -> tuple[Any, Any, Any]:
    """Return the cells before and after places in pixels, and the share of the latter; borders are repeated."""
    cell = (place / stride - 0.5).clamp(0, count - 1)
    low = cell.floor()
    before = low.long()
    return before, (before + 1).clamp_max(count - 1), (cell - low).float()

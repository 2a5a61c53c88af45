"""The torch modules of `tiny`; imported by its builder only, since this needs torch."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

__all__ = ["BASIS_STRIDE", "CELL", "TinyFound", "TinyNetwork", "mask_logits"]

CELL = 8
BASIS_STRIDE = 4
MULTIPLE = 16
BLOB = 6
PRIOR = 0.02
TYPICAL_SIDE = 24.0
UNIT = 32.0


class TinyFound(NamedTuple):
    """What the network says of B pictures, in the G cells of 8 x 8 pixels, row by row.

    Attributes
    ----------
    logits : (B, G, C) tensor
        Of each class, that an object of it has its centre near the cell.
    boxes : (B, G, 4) tensor
        x0, y0, x1, y1 in pixels; they may reach over the border.
    coefficients : (B, G, K) tensor
        Of the cell's mask, in terms of the basis.
    basis : (B, K, h, w) tensor
        Maps at a quarter of the size of the padded picture, common to all masks of it.
    """

    logits: Tensor
    boxes: Tensor
    coefficients: Tensor
    basis: Tensor


def mask_logits(coefficients: Tensor, basis: Tensor) -> Tensor:
    """Return masks (B, T, h, w) as logits, from coefficients (B, T, K) and a basis (B, K, h, w)."""
    return torch.bmm(coefficients, basis.flatten(2)).view(*coefficients.shape[:2], *basis.shape[2:])


class _Unit(nn.Sequential):
    """Convolve, normalise over the batch, cut off below zero."""

    def __init__(self, given: int, made: int, side: int = 3, stride: int = 1) -> None:
        super().__init__(
            nn.Conv2d(given, made, side, stride, side // 2, bias=False),
            nn.BatchNorm2d(made),
            nn.ReLU(inplace=True),
        )


class _Residual(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.unit = _Unit(channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        found: Tensor = x + self.unit(x)
        return found


class TinyNetwork(nn.Module):
    """Find the objects of (B, 3, H, W) uint8 RGB pictures in one stage.

    Parameters
    ----------
    class_count : int
        C, 1 or more.
    width : int
        Channels of the first layer; deeper ones have twice and three times as many.
    maps : int
        Learnt maps of the basis; six more are the powers of the coordinates.
    """

    def __init__(self, class_count: int, width: int, maps: int) -> None:
        super().__init__()
        self.class_count, self.width, self.maps = class_count, width, maps
        middle, deep = 2 * width, 3 * width
        self.quarter = _Unit(3, width, 7, 4)
        self.eighth = nn.Sequential(_Unit(width, middle, 3, 2), _Residual(middle))
        self.sixteenth = nn.Sequential(_Unit(middle, deep, 3, 2), _Residual(deep), _Residual(deep))
        self.up = _Unit(deep, middle, 1)
        self.head = _Unit(middle, middle)
        self.out = nn.Conv2d(middle, class_count + 4 + maps + BLOB, 1)
        self.detail = _Unit(middle, width, 1)
        self.mix = _Unit(width, width)
        self.basis = nn.Conv2d(width, maps, 1)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
        for last in (self.out, self.basis):
            nn.init.normal_(last.weight, std=0.01)
            nn.init.zeros_(last.bias)  # type: ignore[arg-type]
        with torch.no_grad():
            self.out.bias[:class_count] = math.log(PRIOR / (1 - PRIOR))  # type: ignore[index]
        self.to(memory_format=torch.channels_last)

    def forward(self, images: Tensor) -> TinyFound:
        """Return what is found in each cell; pictures are padded to multiples of 16 at the right and the bottom."""
        height, width = images.shape[2:]
        x = images.to(torch.float32, memory_format=torch.channels_last) * (1 / 64) - 2
        x = functional.pad(x, (0, -width % MULTIPLE, 0, -height % MULTIPLE))
        quarter = self.quarter(x)
        eighth = self.eighth(quarter)
        sixteenth = self.up(self.sixteenth(eighth))
        fused = eighth + functional.interpolate(sixteenth, scale_factor=2.0, mode="nearest")
        detail = self.detail(fused)
        detail = self.mix(quarter + functional.interpolate(detail, scale_factor=2.0, mode="nearest"))
        cells = self.out(self.head(fused)).float()
        maps = self.basis(detail).float()
        rows, columns = cells.shape[2:]
        logits, sides, coefficients = (
            cells.flatten(2).transpose(1, 2).split([self.class_count, 4, self.maps + BLOB], dim=2)
        )
        centres = _grid(rows, columns, float(CELL), cells)
        middle = centres + CELL * sides[..., :2]
        half = TYPICAL_SIDE / 2 * torch.exp(sides[..., 2:].clamp(-4.0, 4.0))
        return TinyFound(
            logits,
            torch.cat([middle - half, middle + half], dim=2),
            torch.cat([coefficients[..., BLOB:], _expanded(coefficients[..., :BLOB], centres)], dim=2),
            torch.cat([maps, _powers(maps)], dim=1),
        )


def _grid(rows: int, columns: int, step: float, like: Tensor) -> Tensor:
    """Return (rows * columns, 2) centres x, y of squares of ``step`` pixels."""
    y = (torch.arange(rows, device=like.device, dtype=torch.float32) + 0.5) * step
    x = (torch.arange(columns, device=like.device, dtype=torch.float32) + 0.5) * step
    return torch.stack([x.repeat(rows), y.repeat_interleave(columns)], dim=1)


def _powers(maps: Tensor) -> Tensor:
    """Return the maps 1, x, y, x^2, xy, y^2 (B, 6, h, w) of the picture's coordinates."""
    count, _, rows, columns = maps.shape
    x, y = (_grid(rows, columns, float(BASIS_STRIDE), maps) / UNIT).unbind(1)
    powers = torch.stack([torch.ones_like(x), x, y, x * x, x * y, y * y])
    return powers.view(1, BLOB, rows, columns).expand(count, -1, -1, -1)


def _expanded(blob: Tensor, centres: Tensor) -> Tensor:
    """Turn a quadratic around each cell's centre into the same one in the picture's coordinates.

    This is what makes masks of two like objects differ although their basis is common: the first six coefficients of a
    cell are a blob that moves with it.
    """
    cx, cy = (centres / UNIT).unbind(1)
    c, px, py, pxx, pxy, pyy = blob.unbind(2)
    return torch.stack(
        [
            c - px * cx - py * cy + pxx * cx * cx + pxy * cx * cy + pyy * cy * cy,
            px - 2 * pxx * cx - pxy * cy,
            py - 2 * pyy * cy - pxy * cx,
            pxx,
            pxy,
            pyy,
        ],
        dim=2,
    )

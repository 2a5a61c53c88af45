"""What the drawn objects and their surroundings look like: one law for all of them, so that looks tell no class."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

if TYPE_CHECKING:
    from numpy.random import Generator
    from numpy.typing import NDArray

__all__ = ["background", "texture"]

_KINDS = ("plain", "stripes", "checks", "dots", "clouds")
_DARKEST, _BRIGHTEST = 25.0, 230.0


def texture(rng: Generator, width: int, height: int, period: float) -> NDArray[np.float32]:
    """Paint two random colours in a random pattern.

    Parameters
    ----------
    rng : numpy.random.Generator
        Draws kind, colours, direction and period.
    width, height : int
        Size in pixels.
    period : float
        Typical length of a repeat in pixels.

    Returns
    -------
    (height, width, 3) float32
        Grey levels of red, green and blue.
    """
    kind = _KINDS[int(rng.integers(len(_KINDS)))]
    one, other = rng.uniform(_DARKEST, _BRIGHTEST, (2, 3)).astype(np.float32)
    turn, shift, scale = rng.uniform(0, np.pi), rng.uniform(0, 2 * np.pi, 2), rng.uniform(0.7, 1.5)
    if kind == "plain":
        share = np.zeros((height, width), np.float32)
    elif kind == "clouds":
        share = np.clip(0.5 + 0.35 * _noise(rng, width, height, period * scale), 0, 1)
    else:
        step = 2 * np.pi / (period * scale)
        x = np.arange(width, dtype=np.float32) * step
        y = np.arange(height, dtype=np.float32)[:, None] * step
        along = np.sin(x * np.cos(turn) + y * np.sin(turn) + shift[0])
        across = np.sin(y * np.cos(turn) - x * np.sin(turn) + shift[1])
        wave = {"stripes": along, "checks": along * across * 1.6, "dots": along + across - 0.7}[kind]
        share = np.clip(0.5 + 2.0 * wave, 0, 1).astype(np.float32)
    painted: NDArray[np.float32] = one + share[..., None] * (other - one)
    return painted


def background(rng: Generator, width: int, height: int, unit: float) -> NDArray[np.uint8]:
    """Paint a ground: patches of textures with soft borders, under slow changes of light.

    Parameters
    ----------
    rng : numpy.random.Generator
        Draws everything.
    width, height : int
        Size in pixels.
    unit : float
        Pixels of a typical object's radius: patches are some times larger, textures about as fine as the objects'.

    Returns
    -------
    (height, width, 3) uint8
        RGB.
    """
    out = texture(rng, width, height, unit)
    for _ in range(3):
        patch = texture(rng, width, height, unit)
        share = np.clip(2.0 * _noise(rng, width, height, 5 * unit) - 0.4, 0, 1)[..., None]
        out += share * (patch - out)
    out += (18.0 * _noise(rng, width, height, 8 * unit))[..., None]
    out += (7.0 * _noise(rng, width, height, 2.0))[..., None]
    painted: NDArray[np.uint8] = np.clip(np.rint(out), 0, 255).astype(np.uint8)
    return painted


def _noise(rng: Generator, width: int, height: int, cell: float) -> NDArray[np.float32]:
    """Return smooth noise of variance about .5, whose features are about ``cell`` pixels large."""
    columns, rows = max(3, round(width / cell) + 2), max(3, round(height / cell) + 2)
    small = rng.standard_normal((rows, columns), dtype=np.float32)
    grown: Any = cv2.resize(small, (width, height), interpolation=cv2.INTER_CUBIC)
    return np.asarray(grown, np.float32)

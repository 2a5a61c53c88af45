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
VIVID = (25.0, 230.0)
"""Darkest and brightest that an object's colour may be, in each of red, green and blue."""


def texture(
    rng: Generator,
    width: int,
    height: int,
    period: float,
    *,
    contrast: float,
    levels: tuple[float, float] = VIVID,
) -> NDArray[np.float32]:
    """Paint two random colours in a random pattern.

    Parameters
    ----------
    rng : numpy.random.Generator
        Draws kind, colours, direction and period.
    width, height : int
        Size in pixels.
    period : float
        Typical length of a repeat in pixels.
    contrast : float
        Of the pattern, 0 to 1: how much of the way the first colour goes towards the other one.
    levels : tuple of float
        Darkest and brightest of the colours.

    Returns
    -------
    (height, width, 3) float32
        Grey levels of red, green and blue.
    """
    kind = _KINDS[int(rng.integers(len(_KINDS)))]
    one, other = rng.uniform(*levels, (2, 3)).astype(np.float32)
    other = one + np.float32(contrast) * (other - one)
    turn, shift, scale = rng.uniform(0, np.pi), rng.uniform(0, 2 * np.pi, 2), rng.uniform(0.7, 1.5)
    if kind == "plain":
        share = np.zeros((height, width), np.float32)
    elif kind == "clouds":
        share = np.clip(0.5 + 0.35 * _noise(rng, width, height, period * scale), 0, 1)
    else:
        step = 2 * np.pi / (period * scale)
        c, s = step * np.cos(turn), step * np.sin(turn)
        x, y = np.arange(width), np.arange(height)
        along = _wave(c * x + shift[0], s * y)
        across = _wave(-s * x + shift[1], c * y)
        wave = {"stripes": along, "checks": along * across * 1.6, "dots": along + across - 0.7}[kind]
        share = np.clip(0.5 + 2.0 * wave, 0, 1)
    planes = [np.multiply(share, step, dtype=np.float32) for step in other - one]
    return np.asarray(cv2.add(cv2.merge(planes), np.array([*one, 0.0], np.float64)), np.float32)


def background(rng: Generator, width: int, height: int, unit: float, clutter: float) -> NDArray[np.uint8]:
    """Paint a ground: patches of textures with soft borders, under slow changes of light.

    Parameters
    ----------
    rng : numpy.random.Generator
        Draws everything.
    width, height : int
        Size in pixels.
    unit : float
        Pixels of a typical object's radius: patches are some times larger, textures about as fine as the objects'.
    clutter : float
        Contrast of patches and textures, 0 to 1; with 1 the ground is as vivid as the objects.

    Returns
    -------
    (height, width, 3) uint8
        RGB.
    """
    middle = np.add(*VIVID) / 2
    low, high = (middle + (level - middle) * clutter for level in VIVID)
    out, *patches = (
        texture(rng, width, height, unit, contrast=clutter, levels=(low, high)) for _ in range(4)
    )
    for patch in patches:
        share = np.clip(2.0 * _noise(rng, width, height, 5 * unit) - 0.4, 0, 1)
        out = np.asarray(cv2.blendLinear(patch, out, share, 1 - share), np.float32)
    light = 18.0 * _noise(rng, width, height, 8 * unit) + 7.0 * _noise(rng, width, height, 2.0)
    painted = cv2.add(out, cv2.merge([light, light, light]), dtype=cv2.CV_8U)
    return np.asarray(painted, np.uint8)


def _wave(x: NDArray[np.float64], y: NDArray[np.float64]) -> NDArray[np.float32]:
    """Return sin(x + y) of all pairs, by the sines of each alone."""
    parts = [np.outer(np.cos(y), np.sin(x)), np.outer(np.sin(y), np.cos(x))]
    return np.asarray(parts[0] + parts[1], np.float32)


def _noise(rng: Generator, width: int, height: int, cell: float) -> NDArray[np.float32]:
    """Return smooth noise of variance about .5, whose features are about ``cell`` pixels large."""
    columns, rows = max(3, round(width / cell) + 2), max(3, round(height / cell) + 2)
    small = rng.standard_normal((rows, columns), dtype=np.float32)
    grown: Any = cv2.resize(small, (width, height), interpolation=cv2.INTER_CUBIC)
    return np.asarray(grown, np.float32)

"""Outlines of the drawn objects, and which pixels they cover: a pixel is inside where its centre is."""

from __future__ import annotations

import functools
import math
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from numpy.random import Generator
    from numpy.typing import NDArray

__all__ = ["DISTRACTORS", "SHAPES", "Coverage", "cover", "outline", "placed_outline"]

SHAPES = ("disc", "square", "triangle", "star", "cross")
"""The classes that can be drawn."""

DISTRACTORS = ("bar", "half-disc", "blob")
"""Shapes of no class: they are drawn and may hide objects, but are background in the labels."""

_ROUND = 64


class Coverage(NamedTuple):
    """What one shape covers of a picture, in the box that holds it.

    Attributes
    ----------
    x, y : int
        Left and top of the box in the picture.
    alpha : (h, w) float32
        Share of each pixel, for smooth edges, in [0, 1].
    inside : (h, w) bool
        Whether the pixel's centre is inside.
    """

    x: int
    y: int
    alpha: NDArray[np.float32]
    inside: NDArray[np.bool_]


def outline(shape: str, rng: Generator) -> NDArray[np.float64]:
    """Return the corners of a shape of the unit disc's area.

    Parameters
    ----------
    shape : str
        One of `SHAPES` or `DISTRACTORS`.
    rng : numpy.random.Generator
        Draws the form of a blob; the others are always the same.

    Returns
    -------
    (V, 2) float64
        x and y, in the order of their angles around the origin, from which every point of the outline can be seen.
    """
    if shape != "blob":
        return _fixed(shape)
    angle = np.arange(_ROUND) * 2 * math.pi / _ROUND
    two, three = rng.uniform(0.25, 0.4), rng.uniform(0.15, 0.25)
    shift = rng.uniform(0.0, 2 * math.pi)
    return _of_area(_polar(angle, 1 + two * np.cos(2 * angle) + three * np.cos(3 * angle + shift)))


def placed_outline(
    corners: NDArray[np.float64], matrix: NDArray[np.float64], centre: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return corners in the picture: ``centre`` + ``matrix`` @ corner.

    Parameters
    ----------
    corners : (V, 2) float64
        As of `outline`.
    matrix : (2, 2) float64
        Turns, stretches and scales to pixels; its determinant is positive.
    centre : (2,) float64
        x and y in pixels; the centre of the first pixel is (0, 0).

    Returns
    -------
    (V, 2) float64
        In pixels.
    """
    placed: NDArray[np.float64] = corners @ matrix.T + centre
    return placed


def cover(
    corners: NDArray[np.float64], centre: NDArray[np.float64], width: int, height: int
) -> Coverage | None:
    """Find the pixels of a picture that a shape covers.

    Parameters
    ----------
    corners : (V, 2) float64
        In pixels, in the order of their angles around the centre.
    centre : (2,) float64
        A point from which the whole outline can be seen.
    width, height : int
        Size of the picture.

    Returns
    -------
    Coverage or None
        None where the shape is outside.

    Notes
    -----
    A ray from the centre crosses the outline once. The side of a pixel is found on the edge that its ray crosses: the
    distance to that edge's line is negative inside. This is exact for the pixels' centres; the share of a pixel is
    taken as half minus the distance to that edge, from 0 to 1.
    """
    low = np.maximum(np.floor(corners.min(axis=0)).astype(int) - 1, 0)
    high = np.minimum(np.ceil(corners.max(axis=0)).astype(int) + 2, [width, height])
    if (low >= high).any():
        return None
    relative = corners - centre
    angles = np.arctan2(relative[:, 1], relative[:, 0])
    order = (np.arange(len(corners) + 1) + int(angles.argmin())) % len(corners)
    angles, relative = angles[order[:-1]], relative[order]
    along, relative = np.diff(relative, axis=0), relative[:-1]
    length = np.hypot(along[:, 0], along[:, 1])
    unit = along / length[:, None]
    x = np.arange(low[0], high[0]) - centre[0]
    y = (np.arange(low[1], high[1]) - centre[1])[:, None]
    edge = np.searchsorted(angles, np.arctan2(y, x), side="right") - 1
    ux, uy = unit[edge, 0], unit[edge, 1]
    dx, dy = x - relative[edge, 0], y - relative[edge, 1]
    distance = uy * dx - ux * dy
    inside = distance < 0
    # Beyond its end an edge is farther away than its line: otherwise sharp corners would grow thorns.
    part = ux * dx + uy * dy
    beyond = np.maximum(np.maximum(-part, part - length[edge]), 0)
    distance = np.where(inside, distance, np.hypot(distance, beyond))
    alpha = np.clip(0.5 - distance, 0.0, 1.0).astype(np.float32)
    return Coverage(int(low[0]), int(low[1]), alpha, inside)


def _polar(angle: NDArray[np.float64], radius: NDArray[np.float64] | float) -> NDArray[np.float64]:
    return np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=1)


@functools.cache
def _fixed(shape: str) -> NDArray[np.float64]:
    if shape == "star":
        corners = _polar(np.arange(10) * math.pi / 5, np.tile([1.0, 0.45], 5))
    elif shape == "cross":
        quarter = np.array([(1.0, -0.34), (1.0, 0.34), (0.34, 0.34)])
        turn = np.array([[0.0, 1.0], [-1.0, 0.0]])
        corners = np.concatenate([quarter, quarter @ turn, quarter @ turn @ turn, quarter @ turn.T])
    elif shape == "bar":
        corners = np.array([(-2.0, -0.45), (2.0, -0.45), (2.0, 0.45), (-2.0, 0.45)])
    elif shape == "half-disc":
        corners = _polar(np.linspace(0.0, math.pi, _ROUND // 2 + 1), 1.0) - [0.0, 4 / (3 * math.pi)]
    else:
        count = {"disc": _ROUND, "square": 4, "triangle": 3}[shape]
        corners = _polar(np.arange(count) * 2 * math.pi / count, 1.0)
    corners = _of_area(corners)
    corners.flags.writeable = False
    return corners


def _of_area(corners: NDArray[np.float64]) -> NDArray[np.float64]:
    """Scale to the area of the unit disc."""
    x, y = corners.T
    area = 0.5 * float(np.sum(x * np.roll(y, -1) - y * np.roll(x, -1)))
    scaled: NDArray[np.float64] = corners * math.sqrt(math.pi / area)
    return scaled

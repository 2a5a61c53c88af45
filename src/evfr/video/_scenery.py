"""Paint the two places of the drawn clip; numpy and OpenCV only.

Lengths are in world units: 640 of them span the picture at zoom 1. A layer holds ``detail``
pixels per world unit.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

if TYPE_CHECKING:
    from numpy.random import Generator
    from numpy.typing import NDArray

__all__ = ["HORIZON", "Colour", "Layer", "bay", "fractal", "town"]

HORIZON = 190.0
"""World height of the horizon in both places."""

Colour = tuple[float, float, float]


@dataclass(frozen=True, slots=True, eq=False)
class Layer:
    """A background painting: ``image`` (H, W, 3) uint8 RGB, ``alpha`` (H, W) float32 or None where opaque."""

    image: NDArray[np.uint8]
    alpha: NDArray[np.float32] | None
    parallax: float
    detail: float


def fractal(
    rng: Generator, height: int, width: int, *, cell: int = 128, roughness: float = 0.55
) -> NDArray[Any]:
    """Return 1/f noise, (height, width) float32, zero mean, unit deviation."""
    total: NDArray[Any] = np.zeros((height, width), np.float32)
    amplitude = 1.0
    while cell >= 1:
        grid = rng.standard_normal((height // cell + 3, width // cell + 3), dtype=np.float32)
        octave: Any = grid
        if cell > 1:
            octave = cv2.resize(grid, None, fx=cell, fy=cell, interpolation=cv2.INTER_CUBIC)
        total += amplitude * octave[:height, :width]
        amplitude *= roughness
        cell //= 2
    total -= total.mean()
    total /= max(float(total.std()), 1e-6)
    return total


def _ridge(rng: Generator, width: int, cell: int) -> NDArray[Any]:
    """Return a mountain line, (width,) float32, zero mean, unit deviation."""
    line: NDArray[Any] = fractal(rng, 4, width, cell=cell, roughness=0.5)[2]
    return line


def _mix(image: NDArray[Any], colour: Colour | NDArray[Any], weight: NDArray[Any]) -> NDArray[Any]:
    """Blend ``colour`` over ``image`` (H, W, 3) float32 by ``weight`` (H, W) in [0, 1]."""
    mixed: NDArray[Any] = image + (np.asarray(colour, np.float32) - image) * weight[..., None]
    return mixed


def _sky(
    rng: Generator, height: int, width: int, top: Colour, low: Colour, lit: Colour, dim: Colour
) -> NDArray[Any]:
    """Paint a gradient and clouds that are lit from above, (height, width, 3) float32."""
    depth = np.linspace(0, 1, height, dtype=np.float32)[:, None, None] ** 0.8
    sky = np.asarray(top, np.float32) * (1 - depth) + np.asarray(low, np.float32) * depth
    sky = np.repeat(sky, width, axis=1)
    noise = cv2.resize(fractal(rng, height, width // 2 + 1, cell=64), (width, height))
    cover = np.clip((noise - 0.25) * 0.9, 0, 1) * (1 - 0.6 * depth[..., 0])
    shade = np.clip(0.5 + 0.35 * (noise - np.roll(noise, height // 16, axis=0)), 0, 1)[..., None]
    clouds = np.asarray(lit, np.float32) * shade + np.asarray(dim, np.float32) * (1 - shade)
    return _mix(sky, clouds, cover)


def _mountains(
    rng: Generator, image: NDArray[Any], base: float, tall: float, colour: Colour, haze: Colour, mist: float
) -> NDArray[Any]:
    """Paint one shaded mountain range over ``image``; ``base`` and ``tall`` in pixels."""
    height, width = image.shape[:2]
    line = base - tall * (0.55 + 0.28 * _ridge(rng, width, 256))
    rows = np.arange(height, dtype=np.float32)[:, None]
    relief = fractal(rng, height, width, cell=64, roughness=0.62)
    light = np.clip(0.75 + 6.0 * cv2.Sobel(relief, cv2.CV_32F, 1, 0, ksize=3) / 8, 0.35, 1.4)
    rock = np.asarray(colour, np.float32) * light[..., None]
    fog = np.clip((rows - line) / max(tall, 1), 0, 1) * 0.5 + mist
    rock = _mix(rock, haze, np.clip(fog, 0, 1))
    return _mix(image, rock, np.clip(rows - line, 0, 1))


def _plain(
    rng: Generator, height: int, width: int, detail: float, cells: tuple[float, float]
) -> NDArray[Any]:
    """Return noise on a plane that runs to the horizon, (height, width) float32: finer the farther."""
    texture = fractal(rng, 512, 512, cell=64, roughness=0.72)
    rows = np.arange(height, dtype=np.float32)[:, None] / detail
    far = 60.0 / (rows + 5.0)
    columns = (np.arange(width, dtype=np.float32)[None, :] - width / 2) / detail
    map_x = columns * far * cells[0] + 20_000
    map_y = np.broadcast_to(far * 160.0 * cells[1], map_x.shape)
    # Mirrored at its borders, so that the texture has no seams.
    folded_x, folded_y = (np.abs(m % 1022 - 511).astype(np.float32) for m in (map_x, map_y))
    wrapped = cv2.remap(texture, folded_x, folded_y, cv2.INTER_LINEAR)
    fade = np.clip(rows / 25.0, 0.15, 1.0)
    faded: NDArray[Any] = wrapped * fade
    return faded


def _house(
    rng: Generator, image: NDArray[Any], alpha: NDArray[Any], x: float, w: float, h: float, detail: float
) -> None:
    """Draw one building with windows, shade on its right side and dirt, standing on the horizon."""
    foot = int((HORIZON + 8) * detail)
    top, left, right = foot - int(h * detail), int(x * detail), int((x + w) * detail)
    if left < 0 or right >= image.shape[1]:
        return
    tone = rng.uniform(105, 195)
    facade = np.array(
        [tone * rng.uniform(0.95, 1.1), tone * rng.uniform(0.9, 1.0), tone * rng.uniform(0.75, 0.95)]
    )
    patch = np.empty((foot - top, right - left, 3), np.float32)
    patch[:] = facade
    patch *= np.linspace(1.06, 0.86, patch.shape[0], dtype=np.float32)[:, None, None]
    patch[:, int(patch.shape[1] * 0.72) :] *= 0.68
    patch += 5.0 * fractal(rng, *patch.shape[:2], cell=16)[..., None]
    patch[: max(1, int(1.5 * detail))] *= 0.7
    floor, bay_width = rng.uniform(7, 11) * detail, rng.uniform(5, 9) * detail
    glass = rng.uniform(40, 75)
    for row in np.arange(0.35 * floor, patch.shape[0] - floor, floor):
        for column in np.arange(0.3 * bay_width, patch.shape[1] - 0.6 * bay_width, bay_width):
            lit = rng.random()
            colour = (
                (215.0, 195.0, 140.0)
                if lit < 0.06
                else (glass * (0.8 + lit), glass * (0.9 + lit), glass * (1 + lit))
            )
            y, x0 = int(row), int(column)
            patch[y : y + max(2, int(0.5 * floor)), x0 : x0 + max(2, int(0.5 * bay_width))] = colour
    image[top:foot, left:right] = patch
    alpha[top:foot, left:right] = 1.0


def _finish(image: NDArray[Any]) -> NDArray[np.uint8]:
    clipped: NDArray[np.uint8] = np.clip(image, 0, 255).astype(np.uint8)
    return clipped


def town(rng: Generator, detail: float) -> tuple[Layer, Layer]:
    """Paint the first place: a town with a road before mountains; far and near layer."""
    height = int(420 * detail)
    far_width, near_width = int(1060 * detail), int(1500 * detail)
    horizon = int(HORIZON * detail)
    far = np.zeros((height, far_width, 3), np.float32)
    cut = int((HORIZON + 45) * detail)
    sky = _sky(rng, cut, far_width, (74, 122, 184), (206, 219, 228), (250, 249, 245), (176, 186, 202))
    sky = _mountains(rng, sky, cut, 150 * detail, (96, 108, 128), (178, 196, 214), 0.35)
    far[:cut] = _mountains(rng, sky, cut, 92 * detail, (70, 92, 74), (160, 180, 186), 0.12)

    near = np.zeros((height, near_width, 3), np.float32)
    alpha: Any = np.zeros((height, near_width), np.float32)
    x = -20.0
    while x < 1500:
        w = rng.uniform(24, 62)
        if rng.random() < 0.8:
            _house(rng, near, alpha, x, w, rng.uniform(20, 95), detail)
        x += w * rng.uniform(0.7, 1.5)
    grain = _plain(rng, height - horizon, near_width, detail, (1.0, 3.0))
    patchy = _plain(rng, height - horizon, near_width, detail, (0.18, 0.5))
    field = np.asarray((101, 122, 62), np.float32) + patchy[..., None] * np.asarray((17, 9, 8), np.float32)
    field *= (1 + 0.16 * grain)[..., None]
    rows = np.arange(height - horizon, dtype=np.float32)[:, None] / detail
    field = _mix(field, (150, 160, 140), np.clip(0.45 - rows / 60, 0, 1) * np.ones_like(grain))
    asphalt = np.asarray((97, 97, 101), np.float32) * (1 + 0.09 * grain)[..., None]
    asphalt -= 7 * patchy[..., None]
    on_road = (np.clip(rows - 43, 0, 1) * np.clip(118 - rows, 0, 1)) * np.ones_like(grain)
    field = _mix(field, asphalt, on_road)
    columns = np.arange(near_width, dtype=np.float32)[None, :] / detail
    kerb = np.clip(2.2 - np.abs(rows - 42), 0, 1) + np.clip(3.0 - np.abs(rows - 119), 0, 1)
    field = _mix(field, (176, 172, 164), np.clip(kerb, 0, 1) * np.ones_like(grain) * (0.85 + 0.1 * grain))
    dash = np.clip(1.3 - np.abs(rows - 73), 0, 1) * ((columns % 52) < 27)
    field = _mix(field, (214, 209, 190), np.clip(dash * (0.8 + 0.15 * grain), 0, 1))
    near[horizon:] = np.where(alpha[horizon:, :, None] > 0, near[horizon:], field)
    alpha[horizon:] = 1.0
    alpha = cv2.GaussianBlur(alpha, (3, 3), 0.6)
    return Layer(_finish(far), None, 0.45, detail), Layer(_finish(near), alpha, 1.0, detail)


def bay(rng: Generator, detail: float) -> Layer:
    """Paint the second place: a bay in the evening."""
    height, width = int(420 * detail), int(1100 * detail)
    horizon = int(HORIZON * detail)
    image = np.zeros((height, width, 3), np.float32)
    sky = _sky(rng, horizon, width, (58, 72, 120), (246, 178, 112), (255, 206, 150), (128, 96, 112))
    sky = _mountains(rng, sky, horizon, 88 * detail, (96, 74, 92), (226, 160, 120), 0.3)
    image[:horizon] = _mountains(rng, sky, horizon, 46 * detail, (52, 48, 62), (150, 110, 104), 0.1)
    mirror = image[:horizon][::-1][: height - horizon]
    water = cv2.resize(mirror, (width, height - horizon), interpolation=cv2.INTER_LINEAR)
    water = cv2.blur(water, (int(25 * detail), int(9 * detail))) * 0.62 + np.asarray((6, 18, 30), np.float32)
    swell = _plain(rng, height - horizon, width, detail, (0.45, 4.0))
    chop = _plain(rng, height - horizon, width, detail, (2.0, 9.0))
    water *= (1 + 0.22 * swell + 0.10 * chop)[..., None]
    columns = np.arange(width, dtype=np.float32)[None, :] / detail
    glitter = np.exp(-(((columns - 430) / 75) ** 2)) * np.clip(swell + 0.6 * chop - 0.5, 0, 1)
    image[horizon:] = _mix(water, (255, 214, 150), np.clip(glitter * 1.1, 0, 1))
    return Layer(_finish(image), None, 1.0, detail)

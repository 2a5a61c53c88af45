"""Paint the two scenes of the demo clip at any time: as a picture, or as a map of its objects."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

from evfr._core.rng import generator, spawn_seed
from evfr.video import _props as props
from evfr.video import _scenery as scenery

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.random import Generator
    from numpy.typing import NDArray


__all__ = ["scene_painters"]


@dataclass(frozen=True, slots=True)
class _Camera:
    """Where the camera looks (world units), how close, and the size of its picture in pixels."""

    x: float
    y: float
    zoom: float
    width: int
    height: int

    @property
    def scale(self) -> float:
        """Pixels per world unit."""
        return self.zoom * self.width / 640


def _paint_layer(camera: _Camera, layer: scenery.Layer, below: NDArray[Any] | None) -> NDArray[Any]:
    """Look at a layer, over the picture ``below`` where the layer is not opaque."""
    step = layer.detail / camera.scale
    left = layer.detail * camera.x * layer.parallax - step * camera.width / 2
    if layer.parallax < 1:
        left += layer.detail * 320 * (1 - layer.parallax)
    top = layer.detail * camera.y - step * camera.height / 2
    matrix = np.array([[step, 0, left], [0, step, top]])
    warp = partial(
        cv2.warpAffine,
        M=matrix,
        flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
        borderMode=cv2.BORDER_REPLICATE,
    )
    image = warp(layer.image, dsize=(camera.width, camera.height))
    if layer.alpha is None or below is None:
        return image
    rows = min(camera.height, max(1, int((scenery.HORIZON * layer.detail - top) / step) + 3))
    alpha = warp(layer.alpha, dsize=(camera.width, rows))
    image[:rows] = cv2.blendLinear(image[:rows], below[:rows], alpha, 1 - alpha)
    return image


def _paint_sprite(
    camera: _Camera,
    picture: NDArray[Any],
    sprite: props.Sprite,
    x: float,
    y: float,
    size: float,
    *,
    parallax: float = 1.0,
    number: int = 0,
) -> None:
    """Put a sprite's bottom centre at (x, y), in place; ``size`` scales it.

    Into a map of objects, (H, W) uint8 instead of a picture, its ``number`` is written where it is mostly opaque.
    """
    height, width = sprite.rgba.shape[:2]
    scale = camera.scale * size / sprite.detail
    foot_x = camera.width / 2 + (x - camera.x * parallax) * camera.scale
    foot_y = camera.height / 2 + (y - camera.y) * camera.scale
    left, top = foot_x - width * scale / 2, foot_y - height * scale
    x0, x1 = max(0, int(left) - 1), min(camera.width, int(left + width * scale) + 2)
    y0, y1 = max(0, int(top) - 1), min(camera.height, int(foot_y) + 2)
    if x0 >= x1 or y0 >= y1:
        return
    matrix = np.array([[scale, 0, left - x0], [0, scale, top - y0]])
    patch = cv2.warpAffine(sprite.rgba, matrix, (x1 - x0, y1 - y0), flags=cv2.INTER_LINEAR)
    part = picture[y0:y1, x0:x1]
    if picture.ndim == 2:
        part[patch[..., 3] >= 128] = number
        return
    clear = cv2.cvtColor(255 - patch[..., 3], cv2.COLOR_GRAY2RGB)
    part[:] = cv2.add(cv2.multiply(part, clear, scale=1 / 255), cv2.cvtColor(patch, cv2.COLOR_RGBA2RGB))


def _slowing(time: float, slow_from: float, stop: float) -> float:
    """Return the objects' own time: it slows down from ``slow_from`` on and stands still at ``stop``."""
    if time <= slow_from or stop <= slow_from:
        return min(time, stop)
    part = min((time - slow_from) / (stop - slow_from), 1.0)
    return slow_from + (stop - slow_from) * (part - part * part / 2)


def _ease(time: float, start: float, stop: float) -> float:
    """Return 0 before ``start``, 1 after ``stop``, smooth between."""
    if stop <= start:
        return float(time >= start)
    part = min(max((time - start) / (stop - start), 0.0), 1.0)
    return part * part * (3 - 2 * part)


def _town_painter(
    rng: Generator, detail: float, size: tuple[int, int]
) -> Callable[[float, bool], NDArray[Any]]:
    """Return a function from time (in hundredths of the clip) to the first scene's picture, or its map of objects."""
    far, near = scenery.town(rng, detail)
    balloons = [
        props.balloon(rng, detail, colours)
        for colours in (
            ((208, 62, 44), (244, 196, 66)),
            ((38, 84, 150), (232, 232, 226)),
            ((116, 52, 120), (240, 150, 70)),
        )
    ]
    cars = [
        props.car(rng, detail * 1.2, paint)
        for paint in ((186, 44, 40), (52, 84, 138), (206, 202, 194), (226, 172, 48))
    ]
    red_bus = props.bus(rng, detail * 1.2, (198, 92, 40))
    oak = props.tree(rng, detail)
    swing = rng.uniform(0, 6.28, 3)

    def paint(time: float, is_map: bool) -> NDArray[Any]:
        alive = _slowing(time, 34, 44)
        closer = _ease(time, 29, 43)
        panned = _slowing(min(time, 44), 24, 44)
        zoom = 1.0 + 0.55 * closer
        camera = _Camera(330 + 11.5 * panned, 190 + 8 * closer, zoom, *size)
        picture = _empty_map(size) if is_map else _paint_layer(camera, near, _paint_layer(camera, far, None))
        for i, (x, y, big, drift, rise) in enumerate(
            (
                (300.0, 150.0, 0.62, 3.2, -0.55),
                (505.0, 118.0, 1.02, 1.6, 0.35),
                (640.0, 160.0, 0.4, 2.2, -0.9),
            )
        ):
            away = x + drift * alive + 5 * np.sin(swing[i] + alive / 9)
            growth = big * (1 + (0.010, -0.006, 0.012)[i] * alive)
            _paint_sprite(
                camera, picture, balloons[i], away, y + rise * alive, growth, parallax=0.62, number=i + 1
            )
        for i, (x, speed) in enumerate(((120.0, 17.0), (-160.0, 21.0), (-420.0, 24.5))):
            _paint_sprite(camera, picture, cars[i], x + speed * alive, 252 + 2 * i, 0.62, number=i + 4)
        bus_x, car_x = 1330 - 15.5 * alive, 900 - 20.5 * alive
        _paint_sprite(camera, picture, red_bus, bus_x, 297, 0.95, number=7)
        mirrored = props.Sprite(cars[3].rgba[:, ::-1], cars[3].detail)
        _paint_sprite(camera, picture, mirrored, car_x, 302, 1.05, number=8)
        for x in (470.0, 1010.0):
            _paint_sprite(camera, picture, oak, x * 1.22, 382, 1.25, parallax=1.22)
        return picture

    return paint


def _bay_painter(
    rng: Generator, detail: float, size: tuple[int, int]
) -> Callable[[float, bool], NDArray[Any]]:
    """Return a function as that of `_town_painter` for the second scene."""
    water = scenery.bay(rng, detail)
    boats = [props.sailboat(rng, detail, stripe) for stripe in ((188, 66, 52), (50, 76, 112), (70, 108, 84))]
    dash = props.speedboat(rng, detail)
    ripple = cv2.GaussianBlur(scenery.fractal(rng, 256, 1024, cell=16, roughness=0.6), (9, 1), 0)
    ripples = (np.clip(ripple, 0, 2.5) * 5).astype(np.uint8)

    def paint(time: float, is_map: bool) -> NDArray[Any]:
        t = time - 58
        camera = _Camera(400 + 0.6 * t, 188 - 2 * _ease(t, 4, 40), 1.12 + 0.001 * t, *size)
        picture = _empty_map(size) if is_map else _paint_layer(camera, water, None)
        shore = int(camera.height / 2 + (scenery.HORIZON + 2 - camera.y) * camera.scale)
        if 0 <= shore < camera.height and not is_map:
            tile: Any = np.roll(ripples, (int(0.9 * t), int(5 * t)), axis=(0, 1))
            tile = cv2.resize(tile, (camera.width, camera.height - shore))
            picture[shore:] = cv2.add(picture[shore:], cv2.cvtColor(tile, cv2.COLOR_GRAY2RGB))
        for i, (x, y, big, speed) in enumerate(
            ((360.0, 238.0, 0.45, 1.2), (600.0, 258.0, 0.62, -1.5), (250.0, 338.0, 1.1, 5.0))
        ):
            bob = 1.2 * big * np.sin(0.8 * t + 2 * i)
            growth = big * (1 + 0.002 * t)
            _paint_sprite(camera, picture, boats[i], x + speed * t, y + bob, growth, number=i + 9)
        if 80 <= time < 85:
            x, y = camera.x - 520 + 190 * (time - 80), 332 + 3 * np.sin(2 * time)
            _paint_sprite(camera, picture, dash, x, y, 1.0, number=12)
        return picture

    return paint


def _empty_map(size: tuple[int, int]) -> NDArray[Any]:
    return np.zeros((size[1], size[0]), np.uint8)


def scene_painters(size: tuple[int, int], seed: int) -> tuple[Callable[[float, bool], NDArray[Any]], ...]:
    detail = 1.25 * size[0] / 640
    return (
        _town_painter(generator(spawn_seed(seed, "town")), detail, size),
        _bay_painter(generator(spawn_seed(seed, "bay")), detail, size),
    )

"""Paint the things that move through the drawn clip; numpy and OpenCV only, lengths in world units."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

from evfr.video._scenery import Colour, fractal

if TYPE_CHECKING:
    from numpy.random import Generator
    from numpy.typing import NDArray

__all__ = ["Sprite", "balloon", "bus", "car", "sailboat", "speedboat", "tree"]

_Part = tuple[str, list[tuple[float, float]], Colour]


@dataclass(frozen=True, slots=True, eq=False)
class Sprite:
    """A cut-out: ``rgba`` (H, W, 4) uint8, colours multiplied by alpha; anchored at its bottom centre."""

    rgba: NDArray[np.uint8]
    detail: float


def _sprite(colour: NDArray[Any], alpha: NDArray[Any], detail: float) -> Sprite:
    """Pack float colour (H, W, 3) and alpha (H, W) in [0, 1] into a premultiplied sprite."""
    alpha = np.clip(alpha, 0, 1).astype(np.float32)
    rgba = np.dstack([np.clip(colour, 0, 255) * alpha[..., None], 255 * alpha])
    return Sprite((rgba + 0.5).astype(np.uint8), detail)


def balloon(rng: Generator, detail: float, colours: tuple[Colour, Colour]) -> Sprite:
    """Paint a hot-air balloon, 60 x 88 world units: striped gores, round shading, basket."""
    h, w = int(88 * detail), int(60 * detail)
    y, x = np.mgrid[0:h, 0:w].astype(np.float32)
    y, x = y / detail, x / detail - 30
    down = y / 72
    radius = 29 * np.sqrt(np.clip(1 - ((down - 0.42) / 0.45) ** 2, 0, 1))
    radius = np.where(
        down > 0.42, np.maximum(radius * 0.35 + 0.65 * 29 * np.clip(1.15 - down, 0, 1) ** 0.8, 0), radius
    )
    radius = np.where(down > 0.98, 0, radius)
    across = np.clip(x / np.maximum(radius, 0.1), -1, 1)
    gore = np.floor(np.arcsin(across) / np.pi * 9 + 4.5 + 2.0 * (down - 0.4))
    colour = np.where((gore % 2 == 0)[..., None], np.asarray(colours[0]), np.asarray(colours[1])).astype(
        np.float32
    )
    band = (np.abs(down - 0.45) < 0.06)[..., None]
    colour = np.where(band, np.asarray((245, 240, 225), np.float32), colour)
    light = 0.62 + 0.45 * np.clip(-0.55 * across + 0.8 * (0.55 - down) + 0.35, -0.3, 1)
    colour = colour * light[..., None] + 4 * fractal(rng, h, w, cell=8)[..., None]
    alpha = np.clip((radius - np.abs(x)) * detail, 0, 1)
    ropes = (np.abs(np.abs(x) - 3.5) < 0.5) & (y > 70) & (y < 80)
    basket = (np.abs(x) < 4.6) & (y >= 79) & (y < 87)
    weave = 105 + 28 * ((x * 1.2).astype(int) + (y * 1.2).astype(int)).__mod__(2)
    colour = np.where(basket[..., None], weave[..., None] * np.asarray((1.0, 0.72, 0.42)), colour)
    colour = np.where(ropes[..., None], 60.0, colour)
    return _sprite(colour, np.maximum(alpha, np.maximum(ropes, basket)), detail)


def _cartoon(
    rng: Generator,
    size: tuple[float, float],
    detail: float,
    parts: list[_Part],
) -> Sprite:
    """Fill polygons and discs, four-fold supersampled, then shade, dirty and shadow the result."""
    factor = 4
    w, h = int(size[0] * detail), int(size[1] * detail)
    scale = detail * factor
    colour = np.zeros((h * factor, w * factor, 3), np.uint8)
    mask = np.zeros((h * factor, w * factor), np.uint8)
    for kind, points, tone in parts:
        if kind == "poly":
            polygon = np.array(points, np.float32) * scale
            cv2.fillPoly(colour, [polygon.astype(np.int32)], tone)
            cv2.fillPoly(mask, [polygon.astype(np.int32)], 255)
        else:
            (cx, cy), (radius, _) = points
            centre = (int(cx * scale), int(cy * scale))
            cv2.circle(colour, centre, int(radius * scale), tone, -1)
            cv2.circle(mask, centre, int(radius * scale), 255, -1)
    alpha = cv2.resize(mask, (w, h), interpolation=cv2.INTER_AREA).astype(np.float32) / 255
    small = cv2.resize(colour, (w, h), interpolation=cv2.INTER_AREA).astype(np.float32)
    small /= np.maximum(alpha, 0.05)[..., None]
    small *= np.linspace(1.12, 0.82, h, dtype=np.float32)[:, None, None]
    small += 3.0 * fractal(rng, h, w, cell=8)[..., None]
    return _sprite(small, alpha, detail)


def _grounded(sprite: Sprite, strength: float = 0.5) -> Sprite:
    """Put a soft shadow under a sprite."""
    h, w = sprite.rgba.shape[:2]
    y, x = np.mgrid[0:h, 0:w].astype(np.float32)
    depth = 5.0 * sprite.detail
    shadow = strength * np.clip(1.25 - ((x - w / 2) / (w * 0.5)) ** 4 - ((y - h + depth) / depth) ** 2, 0, 1)
    rgba = sprite.rgba.astype(np.float32)
    rgba[..., 3] += (255 - rgba[..., 3]) * shadow
    return Sprite((rgba + 0.5).astype(np.uint8), sprite.detail)


def _wheel(x: float, y: float, radius: float) -> list[_Part]:
    return [
        ("disc", [(x, y), (radius, 0)], (28, 28, 30)),
        ("disc", [(x, y), (radius * 0.58, 0)], (150, 152, 156)),
        ("disc", [(x, y), (radius * 0.2, 0)], (70, 70, 74)),
    ]


def car(rng: Generator, detail: float, paint: Colour) -> Sprite:
    """Paint a car that drives to the right, 84 x 34 world units."""
    dark = (paint[0] * 0.6, paint[1] * 0.6, paint[2] * 0.6)
    glass = (66, 84, 98)
    parts: list[_Part] = [
        ("poly", [(4, 16), (20, 13), (31, 4), (54, 4), (66, 13), (79, 16), (81, 27), (3, 27)], paint),
        ("poly", [(3, 22), (81, 22), (81, 28), (4, 28)], dark),
        ("poly", [(24, 13), (33, 6), (41, 6), (41, 13)], glass),
        ("poly", [(43, 13), (43, 6), (53, 6), (62, 13)], glass),
        ("poly", [(30, 9), (34, 6.4), (37, 6.4), (32, 11)], (150, 172, 186)),
        ("poly", [(77, 17), (80, 17.5), (80.5, 20.5), (77, 20)], (250, 240, 200)),
        ("poly", [(3.6, 17), (7, 17), (7, 20), (3.2, 20)], (190, 36, 30)),
        ("poly", [(42, 13.5), (42.6, 13.5), (42.6, 26), (42, 26)], dark),
        *_wheel(19, 27, 6.2),
        *_wheel(65, 27, 6.2),
    ]
    return _grounded(_cartoon(rng, (84, 35), detail, parts))


def bus(rng: Generator, detail: float, paint: Colour) -> Sprite:
    """Paint a bus that drives to the left, 150 x 56 world units."""
    panes: list[_Part] = [
        ("poly", [(x, 9.0), (x + 15, 9.0), (x + 15, 25.0), (x, 25.0)], (58, 74, 88))
        for x in (21.0, 39.0, 57.0, 75.0, 93.0, 111.0, 129.0)
    ]
    gleams: list[_Part] = [
        ("poly", [(x + 2, 11.0), (x + 6, 11.0), (x + 3, 22.0), (x + 1, 22.0)], (128, 150, 164))
        for x in (21.0, 57.0, 93.0, 129.0)
    ]
    parts: list[_Part] = [
        ("poly", [(6, 4), (146, 3), (148, 8), (148, 47), (3, 47), (2, 28)], paint),
        ("poly", [(2, 34), (148, 34), (148, 39), (2, 39)], (240, 236, 222)),
        ("poly", [(4, 26), (8, 8), (16, 8), (16, 30), (4, 30)], (74, 94, 108)),
        *panes,
        *gleams,
        ("poly", [(2, 40), (6, 40), (6, 44), (2, 44)], (252, 240, 190)),
        *_wheel(30, 47, 8),
        *_wheel(116, 47, 8),
    ]
    return _grounded(_cartoon(rng, (150, 58), detail, parts), 0.6)


def tree(rng: Generator, detail: float) -> Sprite:
    """Paint a leafy tree, 150 x 240 world units; it stands before the road and hides what passes."""
    h, w = int(240 * detail), int(150 * detail)
    y, x = np.mgrid[0:h, 0:w].astype(np.float32)
    y, x = y / detail, x / detail - 75
    leaves = fractal(rng, h, w, cell=32, roughness=0.8)
    body = 1 - ((x / 66) ** 2 + ((y - 78) / 72) ** 2)
    crown = np.clip((body * 2.2 + 0.55 * leaves - 0.1) * 3, 0, 1)
    light = np.clip(0.75 + 0.22 * leaves - 0.0035 * (x + 0.9 * (y - 78)), 0.25, 1.5)
    colour = np.asarray((78, 112, 44), np.float32) * light[..., None]
    trunk_x = 3 * np.sin(y / 40)
    trunk = np.clip((5.5 + (y / 240) ** 6 * 5 - np.abs(x - trunk_x)) * detail, 0, 1) * (y > 90)
    bark = np.asarray((92, 72, 54), np.float32) * (0.9 - 0.05 * (x - trunk_x) + 0.14 * leaves)[..., None]
    colour = colour * crown[..., None] + bark * (1 - crown[..., None])
    return _sprite(colour, np.maximum(crown, trunk), detail)


def sailboat(rng: Generator, detail: float, stripe: Colour) -> Sprite:
    """Paint a sailing boat with its reflection, 90 x 180 world units; the water line is at 120."""
    parts: list[_Part] = [
        ("poly", [(46, 8), (47.2, 8), (47.2, 108), (46, 108)], (70, 60, 56)),
        ("poly", [(48.5, 10), (49, 98), (84, 96), (66, 50)], (238, 226, 208)),
        ("poly", [(52, 60), (70.5, 60), (75, 70), (51.5, 70)], stripe),
        ("poly", [(44.5, 20), (44.5, 98), (12, 100), (26, 66)], (222, 204, 186)),
        ("poly", [(5, 105), (88, 105), (78, 119), (16, 119)], (228, 222, 214)),
        ("poly", [(8, 109), (86, 109), (84, 112), (10, 112)], stripe),
        ("poly", [(14, 116.5), (80, 116.5), (78, 119.5), (16, 119.5)], (92, 40, 36)),
    ]
    boat = _cartoon(rng, (90, 120), detail, parts).rgba.astype(np.float32)
    h, w = boat.shape[:2]
    boat[..., :3] *= np.asarray((1.0, 0.86, 0.74), np.float32)
    mirrored: Any = cv2.resize(boat[::-1], (w, h // 2)) * 0.42
    rows = np.arange(h // 2, dtype=np.float32)
    shift = (1.5 * detail * np.sin(rows / (1.7 * detail)) * (0.3 + rows / h)).astype(np.float32)
    map_x = np.arange(w, dtype=np.float32)[None, :] + shift[:, None]
    map_y = np.repeat(rows[:, None], w, axis=1)
    mirrored = cv2.remap(mirrored, map_x, map_y, cv2.INTER_LINEAR)
    mirrored *= np.linspace(1, 0.15, h // 2, dtype=np.float32)[:, None, None]
    return Sprite(np.vstack([boat, mirrored]).clip(0, 255).astype(np.uint8), detail)


def speedboat(rng: Generator, detail: float) -> Sprite:
    """Paint a speedboat that dashes to the right with its spray, 330 x 96 world units, motion-blurred."""
    parts: list[_Part] = [
        ("poly", [(150, 46), (322, 40), (300, 70), (160, 74)], (222, 226, 232)),
        ("poly", [(152, 56), (312, 52), (306, 60), (155, 64)], (196, 40, 44)),
        ("poly", [(200, 45), (212, 28), (244, 28), (262, 43)], (52, 66, 84)),
        ("disc", [(222, 26), (6, 0)], (206, 150, 118)),
    ]
    hull = _cartoon(rng, (330, 96), detail, parts).rgba.astype(np.float32)
    h, w = hull.shape[:2]
    y, x = np.mgrid[0:h, 0:w].astype(np.float32)
    y, x = y / detail, x / detail
    foam = fractal(rng, h, w, cell=16, roughness=0.85)
    plume = np.clip(1.1 - np.abs(y - 68) / (8 + 0.14 * np.clip(230 - x, 0, 230)), 0, 1) * np.clip(
        (240 - x) / 60, 0, 1
    )
    plume = np.clip(plume * (1.0 + 0.55 * foam) * np.clip(x / 70, 0, 1), 0, 0.95)
    spray = np.dstack(
        [(200 + 30 * foam) * plume, (196 + 30 * foam) * plume, (194 + 30 * foam) * plume, 255 * plume]
    )
    rgba: Any = hull + spray * (1 - 0.6 * hull[..., 3:] / 255)
    rgba = cv2.blur(np.clip(rgba, 0, 255).astype(np.float32), (max(1, int(9 * detail)), 1))
    return Sprite(np.clip(rgba, 0, 255).astype(np.uint8), detail)

"""Draw two objects of one size and shape, and of different looks, that change places."""

from __future__ import annotations

import numpy as np

from helpers.moving import texture

__all__ = ["decoys"]


def decoys(seed: int, count: int = 3, *, side: int = 72, size: int = 256) -> tuple[np.ndarray, np.ndarray]:
    """Return (T, size, size, 3) uint8 pictures and the visible masks (T, 2, size, size); the second is in front."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:side, :side] - (side - 1) / 2
    shape = np.hypot(y, x) <= side / 2 if rng.random() < 0.5 else np.ones((side, side), np.bool_)
    ground = _look(rng, size)
    room = size - side
    ends = []
    for k in range(2):
        height = rng.uniform(0, room)
        way = np.array(
            [[height, rng.uniform(0, 40)], [np.clip(height + rng.uniform(-30, 30), 0, room), room]]
        )
        ends.append((way[:: 1 if k else -1], _look(rng, side)))
    frames = np.repeat(ground[None], count, axis=0)
    masks = np.zeros((count, 2, size, size), np.bool_)
    for t in range(count):
        for k, (way, look) in enumerate(ends):
            top, left = np.round(way[0] + (way[1] - way[0]) * t / (count - 1)).astype(int)
            at = slice(top, top + side), slice(left, left + side)
            frames[t][at][shape] = look[shape]
            masks[t, :k][:, at[0], at[1]] &= ~shape
            masks[t, k][at] = shape
    return frames, masks


def _look(rng: np.random.Generator, size: int) -> np.ndarray:
    """Return a square of one colour with structure."""
    structure = texture(int(rng.integers(1 << 30)), size, size, 0, 255) / 255.0 - 0.5
    return np.clip(rng.uniform(30, 225, 3) + structure * rng.uniform(60, 160), 0, 255).astype(np.uint8)

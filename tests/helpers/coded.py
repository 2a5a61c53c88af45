"""Drawn coded clips whose vectors, references and masks are known exactly."""

from __future__ import annotations

import numpy as np

from evfr._core.gop import CodedClip, ListField

TYPES = "IBBBP"
ORDER = (0, 4, 2, 1, 3)
REFERENCES = {1: (0, 2), 2: (0, 4), 3: (2, 4), 4: (0, None)}
"""A pyramid: 2 is a B that 1 and 3 refer to."""


def moving_square(
    count: int = 5, *, size: tuple[int, int] = (48, 80), speed: int = 4, seed: int = 0
) -> tuple[list[np.ndarray], np.ndarray]:
    """Return frames of a textured square that moves to the right over a still texture, and its (T, H, W) masks."""
    rng = np.random.default_rng(seed)
    ground = rng.integers(0, 120, (*size, 3), dtype=np.uint8)
    square = rng.integers(140, 256, (16, 16, 3), dtype=np.uint8)
    frames, masks = [], np.zeros((count, *size), np.bool_)
    for t in range(count):
        frame = ground.copy()
        left = 8 + speed * t
        frame[16:32, left : left + 16] = square
        masks[t, 16:32, left : left + 16] = True
        frames.append(frame)
    return frames, masks


def field_between(
    masks: np.ndarray, at: int, reference: int | None, *, speed: int = 4, cell: int = 4
) -> ListField:
    """Return a list that points from each cell of the square, or of the ground, to where it was."""
    height, width = -(-masks.shape[1] // cell), -(-masks.shape[2] // cell)
    if reference is None:
        return ListField.empty(height, width)
    inside = masks[at][cell // 2 :: cell, cell // 2 :: cell]
    flow = np.zeros((height, width, 2), np.float32)
    flow[inside, 0] = speed * (reference - at)
    return ListField(np.full((height, width), reference, np.int32), flow)


def pyramid_clip(masks: np.ndarray, *, speed: int = 4, cell: int = 4) -> CodedClip:
    """Return the coded clip I B B B P of five frames of `moving_square`."""
    fields = tuple(
        None
        if at == 0
        else tuple(field_between(masks, at, r, speed=speed, cell=cell) for r in REFERENCES[at])
        for at in range(5)
    )
    return CodedClip(masks.shape[1], masks.shape[2], TYPES, np.array(ORDER), fields, cell, "drawn pyramid")

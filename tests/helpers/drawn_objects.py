"""Pictures with objects on an id map, drawn at random, for what changes both together."""

from __future__ import annotations

import numpy as np


def drawn_objects(rng, height=24, width=32, count=4, classes=3, *, value=None):
    """Return a picture, its map and its classes: boxes over each other, some of no class, a region to ignore.

    With a value the picture is that value everywhere, so that it is known of each pixel where it came from.
    """
    image = rng.integers(0, 256, (height, width, 3), dtype=np.uint8)
    if value is not None:
        image[:] = value
    ids = np.zeros((height, width), np.uint8)
    if rng.random() < 0.5:
        ids[: height // 5, : width // 4] = 255
    category = np.full(count, -1, np.int16)
    for k in range(count):
        if rng.random() < 0.8:
            top, left = rng.integers(0, height), rng.integers(0, width)
            tall, wide = rng.integers(1, height // 2), rng.integers(1, width // 2)
            ids[top : top + tall, left : left + wide] = k + 1
            category[k] = rng.integers(classes)
    return image, ids, category

"""Two small clips that any learner can be fitted to within a second, and options that keep each learner small."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from evfr._core.labelled import IGNORE_ID, LabelledClip
from helpers.tensors import load_state

CLASSES = ("bright", "dark")
SMALL = {
    "tiny": {"width": 8, "batch_size": 2},
    "maskrcnn": {"backbone": "resnet18", "channels": 4, "size": (48, 64), "batch_size": 2},
    "unet": {"width": 2, "batch_size": 2, "crop": 32},
    "deep-unet": {"width": 2, "batch_size": 2, "crop": 32},
    "vgg": {"width": 2, "batch_size": 2, "crop": 32},
    "svm": {"width": 1, "solver": "sgd", "shrink": 4, "batch_points": 64, "block_frames": 2},
}
"""By the keys of `evfr.training.LEARNERS`."""


def squares(video_id: str = "a", frames: int = 3, seed: int = 0, **more) -> LabelledClip:
    """Return frames of 64x48 with a bright and a dark square that move, and a row that is ignored."""
    rng = np.random.default_rng(seed)
    images = rng.integers(90, 130, (frames, 48, 64, 3), dtype=np.uint8)
    ids = np.zeros((frames, 48, 64), np.uint8)
    for t in range(frames):
        x, y = 4 + 5 * t + seed, 6 + 3 * t
        ids[t, y : y + 14, x : x + 14] = 1
        ids[t, 40 - y : 52 - y, 62 - x - 12 : 62 - x] = 2
    images[ids == 1] = 230
    images[ids == 2] = 20
    ids[:, 47] = IGNORE_ID
    category = np.tile(np.array([0, 1], np.int16), (frames, 1))
    return LabelledClip(video_id, np.arange(frames) * 4, images, ids, category, CLASSES, **more)


def saved(learner, model, path: Path) -> dict[str, object]:
    """Return every tensor of a model by name, as its file has them."""
    import torch

    learner.save(model, path)
    found = {}

    def walk(name, value):
        if torch.is_tensor(value):
            found[name] = value.numpy().copy()
        elif isinstance(value, dict):
            for key, part in value.items():
                walk(f"{name}.{key}", part)

    walk("", load_state(path))
    return found

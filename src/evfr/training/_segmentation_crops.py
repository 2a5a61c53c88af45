"""What networks of pixels are trained on: crops of augmented frames, and the loss of the pixels that are judged."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from evfr._core.labelled import IGNORE_ID
from evfr._core.lazy import require
from evfr._core.rng import spawn_seed
from evfr.training._batch_augmentation import augment_batch, noised_batch
from evfr.training._ranks import rank_and_count, share_of
from evfr.training._visits import visits

if TYPE_CHECKING:
    import numpy as np
    from numpy.random import Generator
    from numpy.typing import NDArray

    from evfr.augmentation import Augmentation
    from evfr.training._device_frames import DeviceFrames
    from evfr.training._recipe import Recipe

__all__ = ["crop_draw", "pixel_loss"]


def crop_draw(
    frames: DeviceFrames, augmentation: Augmentation, recipe: Recipe, batch_size: int, crop: int
) -> Callable[[Generator, int], tuple[Any, Any]]:
    """Return a function that draws crops (B, 3, h, w) uint8 and their labels (B, h, w) uint8."""
    torch = require("torch", extra="train")
    device = frames.images.device
    height, width = frames.images.shape[2:]
    rows, columns = min(crop, height), min(crop, width)
    is_changed = not augmentation.is_identity or frames.noise_std is not None

    share = share_of(batch_size)
    rank = str(rank_and_count()[0])

    def gathered(places: NDArray[np.int64]) -> tuple[Any, Any, Any, Any]:
        return frames.batch(torch.from_numpy(places[share]).to(device))

    def draw(rng: Generator, iteration: int) -> tuple[Any, Any]:
        images, ids, category, noise_std = gathered(visits(len(frames), batch_size, iteration, recipe.seed))
        if is_changed:
            randomness = torch.Generator(device=device)
            randomness.manual_seed(spawn_seed(recipe.seed, "augmentation", str(iteration), rank))
            sources = None
            if augmentation.copy_paste:
                others, *labels, spread = gathered(rng.integers(0, len(frames), batch_size))
                if spread is not None:
                    others = noised_batch(others, spread, randomness)
                sources = others, labels[0], labels[1]
            images, ids, category = augment_batch(
                images, ids, category, sources, augmentation, randomness, noise_std=noise_std
            )
        top = torch.from_numpy(rng.integers(0, height - rows + 1, batch_size)[share]).to(device)
        left = torch.from_numpy(rng.integers(0, width - columns + 1, batch_size)[share]).to(device)
        y = (top[:, None] + torch.arange(rows, device=device))[:, :, None]
        x = (left[:, None] + torch.arange(columns, device=device))[:, None, :]
        which = torch.arange(len(ids), device=device)[:, None, None]
        # Indices with a slice between them: the channels come last.
        pictures = images[which, :, y, x].permute(0, 3, 1, 2)
        return pictures, _labels(torch, ids[which, y, x], category)

    return draw


def _labels(torch: Any, ids: Any, category: Any) -> Any:
    """Return 0 for background, 1 + class and `IGNORE_ID` from ids (B, h, w) and the classes (B, M) of objects."""
    lookup = torch.zeros((len(ids), 256), dtype=torch.uint8, device=ids.device)
    lookup[:, 1 : category.shape[1] + 1] = (category + 1).to(torch.uint8)
    lookup[:, IGNORE_ID] = IGNORE_ID
    return lookup.gather(1, ids.flatten(1).long()).view(ids.shape)


def pixel_loss(module: Any, batch: tuple[Any, Any]) -> Any:
    """Return the mean cross-entropy of the pixels that are judged; 0 where none is."""
    functional = require("torch", extra="train").nn.functional
    pictures, labels = batch
    scores = module(pictures.float() / 255)
    target = labels.long()
    total = functional.cross_entropy(scores.float(), target, ignore_index=IGNORE_ID, reduction="sum")
    return total / (target != IGNORE_ID).sum().clamp_min(1)

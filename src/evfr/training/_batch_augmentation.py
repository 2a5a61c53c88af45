"""Change whole batches on their device, without waiting for it: the law of `evfr.augmentation.augment`.

All shapes are fixed and nothing is read back, so that a training step that begins here can be captured in a CUDA graph.
Every whole number (places, ids, classes) is that of the numpy reference for equal draws; grey values may differ by
one, since the reference rounds between rows and columns.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from evfr._core.labelled import IGNORE_ID
from evfr._core.lazy import require
from evfr.augmentation._copy_paste import MAX_BOX_MOVE, MIN_AREA, RULE_SIDE
from evfr.training._batch_placement import chosen_bytes, placed_batch

if TYPE_CHECKING:
    from evfr.augmentation import Augmentation

__all__ = ["BatchDraws", "augment_batch", "augmented_batch", "noised_batch"]


class BatchDraws(NamedTuple):
    """Numbers of U(0, 1) that decide what becomes of B pictures, float64.

    Attributes
    ----------
    place, source_place : (B, 4) tensor or None
        Scale, mirroring, place down and across; None for what is not drawn.
    paste : (B,) tensor or None
        Whether objects are pasted.
    chosen : (B, 1 + S) tensor or None
        How many of the source's objects, and the order in which they are taken.
    """

    place: Any
    source_place: Any = None
    paste: Any = None
    chosen: Any = None


def augment_batch(
    images: Any,
    ids: Any,
    category: Any,
    sources: tuple[Any, Any, Any] | None,
    augmentation: Augmentation,
    generator: Any,
    noise_std: Any = None,
) -> tuple[Any, Any, Any]:
    """Add noise, jitter, and paste objects of other pictures, each picture by itself (Ghiasi et al. 2021).

    Parameters
    ----------
    images : (B, 3, H, W) uint8 tensor
        RGB.
    ids : (B, H, W) uint8 tensor
        Objects: 0 none, k the k-th of that picture, 255 ignore.
    category : (B, M) int16 tensor
        Class of object k at ``[:, k - 1]``; -1 where there is no object k.
    sources : tuple or None
        The same three, (B, S) classes, of the pictures whose objects may be pasted; M + S is at most 254. None is for
        no copy-paste.
    augmentation : Augmentation
        What is done.
    generator : torch.Generator
        Of the device of the images. A CUDA graph that captures this call must have it registered
        (``graph.register_generator_state``).
    noise_std : (B, 3, H, W) float tensor or None
        Standard deviation of noise that is added to the images first; None adds none. Sources get none: give them to
        `noised_batch`.

    Returns
    -------
    images : (B, 3, H, W) uint8 tensor
        The changed pictures; the tensor that was given where nothing is done.
    ids : (B, H, W) uint8 tensor
        Their objects, numbered as before; M + k for object k of the source.
    category : (B, M) or (B, M + S) int16 tensor
        The latter with copy-paste. -1 for objects that have no pixel any more.

    Raises
    ------
    ValueError
        If shapes or types do not fit, copy-paste lacks sources, or there are more than 254 numbers for objects.
    """
    torch = require("torch", extra="train")
    _check(torch, images, ids, category)
    if noise_std is not None:
        images = noised_batch(images, noise_std, generator)
    if augmentation.is_identity:
        return images, ids, category
    if not augmentation.copy_paste:
        sources = None
    elif sources is None:
        raise ValueError(f"copy_paste is {augmentation.copy_paste} but there are no sources to paste from")
    else:
        _check(torch, *sources)
        if sources[1].shape != ids.shape:
            raise ValueError(
                f"images and sources must have one shape, got {tuple(ids.shape)} and {tuple(sources[1].shape)}"
            )
        if category.shape[1] + sources[2].shape[1] >= IGNORE_ID:
            raise ValueError(
                f"{category.shape[1]} and {sources[2].shape[1]} objects are too many for one map: "
                f"together they can be {IGNORE_ID - 1} at most; leave out unused numbers"
            )
    count = len(images)

    def drawn(*shape: int) -> Any:
        return torch.rand(count, *shape, dtype=torch.float64, device=images.device, generator=generator)

    draws = BatchDraws(drawn(4))
    if sources is not None:
        draws = BatchDraws(draws.place, drawn(4), drawn(), drawn(1 + sources[2].shape[1]))
    with torch.autocast(images.device.type, enabled=False):
        return augmented_batch(images, ids, category, sources, augmentation, draws)


def augmented_batch(
    images: Any,
    ids: Any,
    category: Any,
    sources: tuple[Any, Any, Any] | None,
    augmentation: Augmentation,
    draws: BatchDraws,
) -> tuple[Any, Any, Any]:
    """Change a batch as the drawn numbers say."""
    torch = require("torch", extra="train")
    images, ids = placed_batch(torch, images, ids, augmentation, draws.place)
    batch, count = category.shape
    if sources is None:
        is_there = _pixels(torch, ids.flatten(1).long(), 256)[:, 1 : count + 1] > 0
        return images, ids, category.masked_fill(~is_there, -1)
    source_images, source_ids = placed_batch(torch, sources[0], sources[1], augmentation, draws.source_place)
    source_numbers = source_ids.flatten(1).long()
    chosen = _subset(torch, source_numbers, sources[2], draws.chosen)
    chosen &= (draws.paste < augmentation.copy_paste)[:, None]
    # A byte of ones where a pixel is pasted.
    lookup = torch.zeros(batch, 256, dtype=torch.uint8, device=ids.device)
    lookup[:, 1 : chosen.shape[1] + 1] = chosen.to(torch.uint8).mul_(255)
    bits = lookup.gather(1, source_numbers).view(ids.shape)
    # Two slots for each object, for what remains of it and for what goes; the last two are for what is ignored.
    slots = ids.clamp(max=count + 1).short().mul_(2).add_(bits & 1).long()
    stays = _stays(torch, slots, count)
    relabel = torch.arange(count + 2, dtype=torch.uint8, device=ids.device).repeat(batch, 1)
    relabel[:, 1 : count + 1].masked_fill_(~stays, IGNORE_ID)
    relabel[:, count + 1].fill_(IGNORE_ID)
    labels = relabel[:, :, None].expand(-1, -1, 2).flatten(1).gather(1, slots.flatten(1)).view(ids.shape)
    return (
        chosen_bytes(bits[:, None], source_images, images),
        chosen_bytes(bits, source_ids + count, labels),
        torch.cat([category.masked_fill(~stays, -1), sources[2].masked_fill(~chosen, -1)], 1),
    )


def noised_batch(images: Any, noise_std: Any, generator: Any) -> Any:
    """Add Gaussian noise to pictures, rounded and clipped to 8 bit (noise images, C19 §II).

    Parameters
    ----------
    images : (B, 3, H, W) uint8 tensor
        RGB.
    noise_std : (B, 3, H, W) float tensor
        Standard deviation of each value in grey levels.
    generator : torch.Generator
        Of the device of the images.

    Returns
    -------
    (B, 3, H, W) uint8 tensor
        New pictures; equal to the old ones where the deviation is 0.

    Raises
    ------
    ValueError
        If shapes do not fit.
    """
    torch = require("torch", extra="train")
    if noise_std.shape != images.shape:
        raise ValueError(
            f"noise_std must be {tuple(images.shape)} as the images are, got {tuple(noise_std.shape)}"
        )
    noise = torch.randn(images.shape, device=images.device, generator=generator)
    return noise.mul_(noise_std).add_(images).round_().clamp_(0, 255).to(torch.uint8)


def _pixels(torch: Any, slots: Any, count: int) -> Any:
    """Count how many of (B, P) pixels fall into each of ``count`` slots; torch.bincount would wait for the device."""
    counts = torch.zeros(len(slots), count, dtype=torch.int32, device=slots.device)
    one = torch.ones((), dtype=torch.int32, device=slots.device)
    return counts.scatter_add_(1, slots, one.expand(slots.shape))


def _stays(torch: Any, slots: Any, count: int) -> Any:
    """Say which of M objects are still there, of slots (B, H, W): (B, M) bool."""
    batch, height, width = slots.shape
    counts = []
    for size, shape in ((height, (height, 1)), (width, (width,))):
        places = torch.arange(size, device=slots.device).view(shape)
        found = _pixels(torch, torch.add(places, slots, alpha=size).flatten(1), 2 * (count + 2) * size)
        counts.append(found.view(batch, count + 2, 2, size)[:, 1:-1])
    scale = max(height, width) / RULE_SIDE
    moved = torch.stack([_moved(torch, found) for found in counts]).amax(0)
    area = counts[0][:, :, 0].sum(2)
    return (area > 0) & ((moved <= MAX_BOX_MOVE * scale) | (area > MIN_AREA * scale**2))


def _moved(torch: Any, counts: Any) -> Any:
    """Return how far the ends move along an axis when pixels go, of counts (B, M, 2, L) that remain and that go.

    Of objects without a pixel that remains the number means nothing.
    """
    has_pixels = torch.stack([counts[:, :, 0], counts.sum(2)]).clamp_(max=1).byte()
    after, before = torch.stack([has_pixels, has_pixels.flip(3)]).argmax(4).unbind(1)
    return (after - before).amax(0)


def _subset(torch: Any, source_numbers: Any, source_category: Any, chosen: Any) -> Any:
    batch, count = source_category.shape
    is_there = (_pixels(torch, source_numbers, 256)[:, 1 : count + 1] > 0) & (source_category >= 0)
    wanted = (chosen[:, 0] * (is_there.sum(1) + 1)).long()
    order = chosen[:, 1:].masked_fill(~is_there, 2.0).argsort(dim=1, stable=True)
    rank = torch.zeros_like(order).scatter_(
        1, order, torch.arange(count, device=order.device).expand(batch, count)
    )
    return rank < wanted[:, None]


def _check(torch: Any, images: Any, ids: Any, category: Any) -> None:
    batch, height, width = ids.shape
    if images.shape != (batch, 3, height, width) or images.dtype != torch.uint8 or ids.dtype != torch.uint8:
        raise ValueError(
            f"images must be (B, 3, H, W) and ids (B, H, W), uint8 both, got {tuple(images.shape)} {images.dtype} "
            f"and {tuple(ids.shape)} {ids.dtype}"
        )
    if category.dim() != 2 or len(category) != batch or category.dtype != torch.int16:
        raise ValueError(f"category must be ({batch}, M) int16, got {tuple(category.shape)} {category.dtype}")

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
from evfr.augmentation._jitter import JITTER_RANGES, PAD_GREY

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
        The changed pictures.
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
    images, ids = _placed(torch, images, ids, augmentation, draws.place)
    before = _extents(torch, ids, category.shape[1])
    category = torch.where(before.area > 0, category, -1)
    if sources is None:
        return images, ids, category
    source_images, source_ids = _placed(torch, sources[0], sources[1], augmentation, draws.source_place)
    source_numbers = source_ids.flatten(1).long()
    chosen = _subset(torch, source_numbers, sources[2], draws.chosen)
    chosen &= (draws.paste < augmentation.copy_paste)[:, None]
    batch, count = category.shape
    lookup = torch.zeros(batch, 256, dtype=torch.bool, device=ids.device)
    lookup[:, 1 : chosen.shape[1] + 1] = chosen
    is_pasted = lookup.gather(1, source_numbers).view(ids.shape)
    kept = torch.where(is_pasted, 0, ids)
    after = _extents(torch, kept, count)
    scale = max(ids.shape[1:]) / RULE_SIDE
    moved = torch.stack([(a - b).abs() for a, b in zip(after.box, before.box, strict=True)]).amax(0)
    stays = (after.area > 0) & ((moved <= MAX_BOX_MOVE * scale) | (after.area > MIN_AREA * scale**2))
    numbers = torch.arange(256, dtype=torch.uint8, device=ids.device).repeat(batch, 1)
    numbers[:, 1 : count + 1].masked_fill_(~stays, IGNORE_ID)
    labels = numbers.gather(1, kept.flatten(1).long()).view(ids.shape)
    return (
        torch.where(is_pasted[:, None], source_images, images),
        torch.where(is_pasted, source_ids + count, labels),
        torch.cat([torch.where(stays, category, -1), torch.where(chosen, sources[2], -1)], 1),
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


class _Extents(NamedTuple):
    """Pixels (B, M) of each object, and its four (B, M) first and last rows and columns."""

    area: Any
    box: tuple[Any, Any, Any, Any]


def _extents(torch: Any, ids: Any, count: int) -> _Extents:
    batch, height, width = ids.shape
    slots = count + 1
    numbers = torch.where(ids > count, 0, ids).int()
    rows = torch.arange(height, device=ids.device, dtype=torch.int32)[:, None]
    columns = torch.arange(width, device=ids.device, dtype=torch.int32)
    per_row = torch.zeros(batch, slots * height, dtype=torch.int32, device=ids.device)
    one = torch.ones((), dtype=torch.int32, device=ids.device).expand(batch, height * width)
    per_row.scatter_add_(1, (numbers * height + rows).flatten(1).long(), one)
    per_row = per_row.view(batch, slots, height)[:, 1:]
    is_column = torch.zeros(batch, slots * width, dtype=torch.bool, device=ids.device)
    is_column.scatter_(1, (numbers * width + columns).flatten(1).long(), True)
    is_column = is_column.view(batch, slots, width)[:, 1:]
    return _Extents(per_row.sum(2), (*_ends(torch, per_row > 0), *_ends(torch, is_column)))


def _ends(torch: Any, seen: Any) -> tuple[Any, Any]:
    """Return the first and last of (B, M, L); L and -1 where there is none."""
    length = seen.shape[2]
    at = torch.arange(length, device=seen.device)
    return torch.where(seen, at, length).amin(2), torch.where(seen, at, -1).amax(2)


def _subset(torch: Any, source_numbers: Any, source_category: Any, chosen: Any) -> Any:
    batch, count = source_category.shape
    is_there = torch.zeros(batch, 256, dtype=torch.bool, device=source_category.device)
    is_there.scatter_(1, source_numbers, True)
    is_there = is_there[:, 1 : count + 1] & (source_category >= 0)
    wanted = (chosen[:, 0] * (is_there.sum(1) + 1)).long()
    order = torch.where(is_there, chosen[:, 1:], 2.0).argsort(dim=1, stable=True)
    rank = torch.zeros_like(order).scatter_(
        1, order, torch.arange(count, device=order.device).expand(batch, count)
    )
    return rank < wanted[:, None]


def _placed(torch: Any, images: Any, ids: Any, augmentation: Augmentation, uniforms: Any) -> tuple[Any, Any]:
    is_mirrored = uniforms[:, 1] < augmentation.flip
    if augmentation.jitter == "none":
        if not augmentation.flip:
            return images, ids
        return (
            torch.where(is_mirrored[:, None, None, None], images.flip(3), images),
            torch.where(is_mirrored[:, None, None], ids.flip(2), ids),
        )
    low, high = JITTER_RANGES[augmentation.jitter]
    scale = low + (high - low) * uniforms[:, 0]
    batch, height, width = ids.shape
    down = _axis(torch, height, scale, uniforms[:, 2])
    across = _axis(torch, width, scale, uniforms[:, 3])
    columns = torch.where(is_mirrored[:, None], width - 1 - across.nearest, across.nearest)
    weights = torch.where(is_mirrored[:, None, None], across.weights.flip(2), across.weights)
    is_inside = down.is_inside[:, :, None] & across.is_inside[:, None, :]
    first = torch.arange(batch, device=ids.device)[:, None, None]
    moved = torch.where(is_inside, ids[first, down.nearest[:, :, None], columns[:, None, :]], 0)
    # Two products of matrices are the fastest way to resize each picture by its own factor, on both kinds of device.
    rows = images.permute(0, 2, 1, 3).to(torch.float32, memory_format=torch.contiguous_format)
    rows = torch.bmm(down.weights, rows.view(batch, height, 3 * width))
    picture = torch.bmm(rows.view(batch, height * 3, width), weights.transpose(1, 2))
    picture = picture.view(batch, height, 3, width).permute(0, 2, 1, 3)
    picture = torch.where(is_inside[:, None], picture.round().clamp(0, 255), PAD_GREY)
    return picture.to(torch.uint8, memory_format=torch.contiguous_format), moved


class _Axis(NamedTuple):
    """Where L pixels along an axis come from: (B, L) is_inside and nearest, (B, L, L) float32 weights."""

    is_inside: Any
    nearest: Any
    weights: Any


def _axis(torch: Any, size: int, scale: Any, uniform: Any) -> _Axis:
    resized = (scale * size + 0.5).long().clamp(min=1)
    room = size - resized
    step = (uniform * (room.abs() + 1)).long()
    offset = torch.where(room >= 0, step, -step)
    places = torch.arange(size, device=scale.device)
    at = places - offset[:, None]
    is_inside = (at >= 0) & (at < resized[:, None])
    twice = (2 * at + 1) * size
    nearest = torch.div(twice, 2 * resized[:, None], rounding_mode="floor").clamp(0, size - 1)
    # A triangle as wide as two pixels of the smaller of the two pictures, so that made smaller they are averaged.
    ratio = size / resized.to(torch.float32)
    centre = twice.to(torch.float32) / (2 * resized[:, None])
    far = (places + 0.5 - centre[:, :, None]).abs() / ratio.clamp(min=1)[:, None, None]
    weights = (1 - far).clamp(min=0)
    return _Axis(is_inside, nearest, weights / weights.sum(2, keepdim=True).clamp(min=1e-6))


def _check(torch: Any, images: Any, ids: Any, category: Any) -> None:
    batch, height, width = ids.shape
    if images.shape != (batch, 3, height, width) or images.dtype != torch.uint8 or ids.dtype != torch.uint8:
        raise ValueError(
            f"images must be (B, 3, H, W) and ids (B, H, W), uint8 both, got {tuple(images.shape)} {images.dtype} "
            f"and {tuple(ids.shape)} {ids.dtype}"
        )
    if category.dim() != 2 or len(category) != batch or category.dtype != torch.int16:
        raise ValueError(f"category must be ({batch}, M) int16, got {tuple(category.shape)} {category.dtype}")

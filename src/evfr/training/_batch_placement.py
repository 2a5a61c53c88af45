"""Scale jitter of batches: each picture of a batch resized by its own factor, cropped or padded, and mirrored."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from evfr.augmentation import JITTER_RANGES, PAD_GREY

if TYPE_CHECKING:
    from evfr.augmentation import Augmentation

__all__ = ["chosen_bytes", "placed_batch", "resized_by_loop", "resized_by_products"]


class Axis(NamedTuple):
    """Where the L pixels along an axis come from.

    Attributes
    ----------
    resized, offset : (B,) int64 tensor
        Length of the resized pictures, and where they begin; below 0 where they are cropped.
    is_inside : (B, L) bool tensor
        Whether a pixel lies on the picture, not in the padding.
    nearest : (B, L) int64 tensor
        The pixel of the source that is nearest.
    """

    resized: Any
    offset: Any
    is_inside: Any
    nearest: Any


def placed_batch(
    torch: Any, images: Any, ids: Any, augmentation: Augmentation, uniforms: Any
) -> tuple[Any, Any]:
    """Put pictures (B, 3, H, W) and maps (B, H, W) where (B, 4) numbers of U(0, 1) say."""
    is_mirrored = uniforms[:, 1] < augmentation.flip
    if augmentation.jitter == "none":
        if not augmentation.flip:
            return images, ids
        bits = is_mirrored.to(torch.uint8).mul_(255)[:, None, None]
        return chosen_bytes(bits[:, None], images.flip(3), images), chosen_bytes(bits, ids.flip(2), ids)
    low, high = JITTER_RANGES[augmentation.jitter]
    scale = low + (high - low) * uniforms[:, 0]
    _, height, width = ids.shape
    down = _axis(torch, height, scale, uniforms[:, 2])
    across = _axis(torch, width, scale, uniforms[:, 3])
    columns = torch.where(is_mirrored[:, None], width - 1 - across.nearest, across.nearest)
    at = (down.nearest * width)[:, :, None] + columns[:, None, :]
    moved = ids.flatten(1).gather(1, at.flatten(1)).view(ids.shape)
    moved.mul_(down.is_inside[:, :, None] & across.is_inside[:, None, :])
    # A CPU can loop over the pictures, which is several times as fast there; a GPU must not be asked for their sizes.
    resize = resized_by_loop if images.device.type == "cpu" else resized_by_products
    return resize(torch, images, down, across, is_mirrored), moved


def _axis(torch: Any, size: int, scale: Any, uniform: Any) -> Axis:
    resized = (scale * size + 0.5).long().clamp(min=1)
    room = size - resized
    step = (uniform * (room.abs() + 1)).long()
    offset = torch.where(room >= 0, step, -step)
    at = torch.arange(size, device=scale.device) - offset[:, None]
    nearest = torch.div((2 * at + 1) * size, 2 * resized[:, None], rounding_mode="floor").clamp(0, size - 1)
    return Axis(resized, offset, (at >= 0) & (at < resized[:, None]), nearest)


def resized_by_loop(torch: Any, images: Any, down: Axis, across: Axis, is_mirrored: Any) -> Any:
    """Resize pictures one by one."""
    height, width = images.shape[2:]
    out = torch.full_like(images, PAD_GREY)
    pictures = images.contiguous(memory_format=torch.channels_last)  # the layout that is resized fastest
    columns = (down.resized, across.resized, down.offset, across.offset, is_mirrored)
    for place, (tall, wide, top, left, mirrored) in enumerate(
        zip(*(column.tolist() for column in columns), strict=True)
    ):
        picture = torch.nn.functional.interpolate(
            pictures[place : place + 1], size=(tall, wide), mode="bilinear", antialias=True
        )
        rows = slice(max(top, 0), min(top + tall, height))
        across_ = slice(max(left, 0), min(left + wide, width))
        if mirrored:
            picture = picture.flip(3)
        out[place, :, rows, across_] = picture[
            0, :, rows.start - top : rows.stop - top, across_.start - left : across_.stop - left
        ]
    return out


def resized_by_products(torch: Any, images: Any, down: Axis, across: Axis, is_mirrored: Any) -> Any:
    """Resize all pictures at once, by two products of matrices."""
    batch, _, height, width = images.shape
    weights = _weights(torch, across)
    weights = torch.where(is_mirrored[:, None, None], weights.flip(2), weights)
    rows = torch.bmm(images.float().view(batch, 3 * height, width), weights.transpose(1, 2))
    picture = torch.matmul(_weights(torch, down)[:, None], rows.view(batch, 3, height, width))
    is_outside = ~(down.is_inside[:, None, :, None] & across.is_inside[:, None, None, :])
    # Weights are 0 in the padding, and bytes are cut, not rounded.
    return picture.add_(is_outside.float().mul_(PAD_GREY).add_(0.5)).to(torch.uint8)


def _weights(torch: Any, axis: Axis) -> Any:
    """Return (B, L, L) float32: how much of each pixel of the source goes into each pixel.

    That is a triangle as wide as two pixels of the smaller one of both pictures: bilinear where it is made larger,
    averaged where it is made smaller.
    """
    size = axis.is_inside.shape[1]
    places = torch.arange(size, device=axis.nearest.device)
    ratio = (size / axis.resized.float())[:, None]
    centre = (places - axis.offset[:, None] + 0.5) * ratio
    far = (places + 0.5 - centre[:, :, None]).abs_() / ratio.clamp(min=1)[:, :, None]
    weights = (1 - far).clamp_(min=0)
    return weights.mul_((axis.is_inside / weights.sum(2).clamp_(min=1e-6))[:, :, None])


def chosen_bytes(bits: Any, first: Any, second: Any) -> Any:
    """Return the first where a byte has all bits set, the second where none; on a CPU faster than torch.where."""
    return (first ^ second).bitwise_and_(bits).bitwise_xor_(second)

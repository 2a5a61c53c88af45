"""What `tiny` should say of a batch, and how far it is from it: fixed shapes, nothing read back from the device."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from evfr._core.labelled import IGNORE_ID
from evfr._core.lazy import require

if TYPE_CHECKING:
    from evfr.models._tiny_modules import TinyFound

__all__ = ["TinyTargets", "mask_targets", "tiny_boxes", "tiny_loss", "tiny_targets"]

CELL = 8
NEAR, REACH, INNER = 4.0, 12.0, 0.4
CLASS_WEIGHT, BOX_WEIGHT, MASK_WEIGHT = 2.0, 1.5, 1.0
MASKS = 12
SAMPLES = ((0, 1), (1, 3), (2, 0), (3, 2))
FAR = 1e6
LEAST = 1e-6


class TinyTargets(NamedTuple):
    """What each of the G cells of B pictures should say.

    Attributes
    ----------
    object_id : (B, G) int64 tensor
        The object that the cell answers for, from 1; 0 for none.
    category : (B, G) int64 tensor
        Its class; 0 where there is none.
    boxes : (B, G, 4) float32 tensor
        Its tight box, x0, y0, x1, y1.
    share : (B, G) float32 tensor
        1 / cells of the object; 0 where there is none.
    is_judged : (B, G) float32 tensor
        0 for cells that mostly cover what is to be ignored and answer for no object, else 1.
    """

    object_id: Any
    category: Any
    boxes: Any
    share: Any
    is_judged: Any


def tiny_boxes(ids: Any, count: int) -> tuple[Any, Any]:
    """Return the tight boxes of objects 1 to M of maps.

    Parameters
    ----------
    ids : (B, H, W) uint8 tensor
        Maps.
    count : int
        M.

    Returns
    -------
    boxes : (B, M, 4) float32 tensor
        x0, y0, x1, y1; right and bottom edges exclusive.
    is_seen : (B, M) bool tensor
        Whether the object has a pixel; boxes of others mean nothing.
    """
    torch = require("torch", extra="train")
    height, width = ids.shape[1:]
    numbers = torch.arange(1, count + 1, device=ids.device, dtype=ids.dtype)
    is_object = (ids[:, None] == numbers[:, None, None]).view(torch.uint8)
    sides = []
    for axis, size in ((2, width), (3, height)):
        is_there = is_object.amax(dim=axis).float()
        place = torch.arange(size, device=ids.device, dtype=torch.float32)
        # The first and the last place that is there, as largest values: a place that is not there gives 0.
        first = size - (is_there * (size - place)).amax(dim=2)
        last = (is_there * (place + 1)).amax(dim=2)
        sides.append((first, last))
    (x0, x1), (y0, y1) = sides
    return torch.stack([x0, y0, x1, y1], dim=2), x1 > 0


def tiny_targets(ids: Any, category: Any) -> TinyTargets:
    """Say which cell answers for which object: the nearest of those in whose inner box its centre lies.

    The inner box has the object's centre and .8 of its sides, but reaches 4 to 12 px from the centre, so that each
    object whose box has its centre to itself has a cell at least.

    Parameters
    ----------
    ids : (B, H, W) uint8 tensor
        Maps, H and W multiples of 8.
    category : (B, M) int16 tensor
        Classes; -1 for what is no object.

    Returns
    -------
    TinyTargets
        For the cells of 8 x 8 pixels, row by row.
    """
    torch = require("torch", extra="train")
    rows, columns = ids.shape[1] // CELL, ids.shape[2] // CELL
    boxes, is_seen = tiny_boxes(ids, category.shape[1])
    is_object = is_seen & (category >= 0)
    centre = (boxes[..., :2] + boxes[..., 2:]) / 2
    x = (torch.arange(columns, device=ids.device, dtype=torch.float32) + 0.5) * CELL
    y = (torch.arange(rows, device=ids.device, dtype=torch.float32) + 0.5) * CELL
    dx = (x - centre[..., 0:1]).abs()
    dy = (y - centre[..., 1:2]).abs()
    reach = ((boxes[..., 2:] - boxes[..., :2]) * INNER).clamp(NEAR, REACH)
    is_near = (dx <= reach[..., 0:1])[:, :, None, :] & (dy <= reach[..., 1:2])[:, :, :, None]
    far = torch.maximum(dx[:, :, None, :], dy[:, :, :, None])
    far = far.masked_fill(~(is_near & is_object[:, :, None, None]), FAR).flatten(2)
    distance, place = far.min(dim=1)
    is_positive = distance < FAR
    object_id = (place + 1) * is_positive
    of_object = torch.zeros(
        (ids.shape[0], category.shape[1] + 1), device=ids.device, dtype=torch.float32
    ).scatter_add_(1, object_id, torch.ones_like(distance))
    share = is_positive / of_object.gather(1, object_id)
    ignored = (ids == IGNORE_ID).view(ids.shape[0], rows, CELL, columns, CELL).float().mean(dim=(2, 4))
    return TinyTargets(
        object_id,
        category.long().gather(1, place) * is_positive,
        boxes.gather(1, place[..., None].expand(-1, -1, 4)),
        share,
        (is_positive | (ignored.flatten(1) <= 0.5)).float(),
    )


def mask_targets(ids: Any, object_id: Any) -> tuple[Any, Any]:
    """Return masks of some objects at a quarter of the size, by four of each 4 x 4 pixels: one a row and a column.

    Parameters
    ----------
    ids : (B, H, W) uint8 tensor
        Maps, H and W multiples of 4.
    object_id : (B, T) int64 tensor
        Which.

    Returns
    -------
    share : (B, T, H/4, W/4) float32 tensor
        0, 1/4, 1/2, 3/4 or 1.
    is_judged : (B, 1, H/4, W/4) float32 tensor
        0 where one of the four is to be ignored.
    """
    numbers = object_id.to(ids.dtype)[:, :, None, None]
    parts = [ids[:, None, down::4, across::4].contiguous() for down, across in SAMPLES]
    count = sum((part == numbers).view(ids.dtype) for part in parts)
    ignored = sum((part == IGNORE_ID).view(ids.dtype) for part in parts)
    return count.float() / len(SAMPLES), (ignored == 0).float()


def tiny_loss(found: TinyFound, ids: Any, category: Any) -> Any:
    """Return the loss of a batch: classes, boxes and masks.

    Parameters
    ----------
    found : TinyFound
        What the network says.
    ids : (B, H, W) uint8 tensor
        Maps, padded as the network pads.
    category : (B, M) int16 tensor
        Their classes.

    Returns
    -------
    tensor of one number
        2 times the quality focal loss of the classes (the aim of a cell is the IoU of its box with the true one), 1.5
        (1 - GIoU) of the boxes, 1 - Dice of the masks of up to 12 cells a picture; objects weigh alike.

    References
    ----------
    .. [1] Li et al.: Generalized Focal Loss. NeurIPS 2020, arXiv:2006.04388.
    .. [2] Rezatofighi et al.: Generalized Intersection over Union. CVPR 2019, arXiv:1902.09630.
    """
    torch = require("torch", extra="train")
    functional = torch.nn.functional
    modules = require("evfr.models._tiny_modules", extra="train")
    aims = tiny_targets(ids, category)
    objects = aims.share.sum().clamp_min(1.0)
    overlap, generalised = _overlaps(torch, found.boxes, aims.boxes)
    is_positive = (aims.object_id > 0).float()
    box = ((1 - generalised) * aims.share).sum() / objects

    quality = overlap.detach() * is_positive
    target = torch.zeros_like(found.logits).scatter_(2, aims.category[..., None], quality[..., None])
    entropy = functional.binary_cross_entropy_with_logits(found.logits, target, reduction="none")
    focus = (torch.sigmoid(found.logits) - target).square()
    cells = is_positive.sum().clamp_min(1.0)
    classes = (entropy * focus * aims.is_judged[..., None]).sum() / cells

    count = min(MASKS, aims.share.shape[1])
    # The largest of u^(1/w) are a draw without replacement by weights w: each object has equal hope of the places.
    noise = torch.rand_like(aims.share).clamp(LEAST, 1 - LEAST)
    keys = (torch.log(noise) / aims.share.clamp_min(LEAST)).masked_fill(aims.share == 0, -FAR)
    picked = keys.topk(count, dim=1, sorted=False).indices
    numbers = aims.object_id.gather(1, picked)
    own = found.coefficients.gather(1, picked[..., None].expand(-1, -1, found.coefficients.shape[2]))
    share, is_judged = mask_targets(ids, numbers)
    with torch.autocast(ids.device.type, enabled=False):
        mask = torch.sigmoid(modules.mask_logits(own, found.basis)) * is_judged
    share = share * is_judged
    both = (mask * share).sum(dim=(2, 3))
    dice = (2 * both + 1) / (mask.square().sum(dim=(2, 3)) + share.square().sum(dim=(2, 3)) + 1)
    is_real = (numbers > 0).float()
    masks = ((1 - dice) * is_real).sum() / is_real.sum().clamp_min(1.0)
    return CLASS_WEIGHT * classes + BOX_WEIGHT * box + MASK_WEIGHT * masks


def _overlaps(torch: Any, a: Any, b: Any) -> tuple[Any, Any]:
    """Return IoU and generalised IoU of boxes (..., 4)."""
    inner = torch.minimum(a[..., 2:], b[..., 2:]) - torch.maximum(a[..., :2], b[..., :2])
    outer = torch.maximum(a[..., 2:], b[..., 2:]) - torch.minimum(a[..., :2], b[..., :2])
    shared = _area(inner.clamp_min(0))
    either = (_area(a[..., 2:] - a[..., :2]) + _area(b[..., 2:] - b[..., :2]) - shared).clamp_min(LEAST)
    hull = _area(outer).clamp_min(LEAST)
    overlap = shared / either
    return overlap, overlap - (hull - either) / hull


def _area(sides: Any) -> Any:
    # Not prod(): its gradient looks for zeros, for which the host waits.
    return sides[..., 0] * sides[..., 1]

"""True objects and detections of many pictures as columns, checked, and how far those that may meet overlap."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from evfr._core.packed import PackedSequences, pack_sequences, shared_area_pairs

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    from evfr._core.labelled import FrameObjects
    from evfr._core.masks import Rle

__all__ = ["CHUNK", "Side", "chunks_of", "found_side", "groups_of", "iou_of_groups", "true_side"]

CHUNK = 1_000_000
_EVERY_CLASS = -1
_TRUE, _FOUND = "true object", "detection"


@dataclass(frozen=True, slots=True, eq=False)
class Side:
    """Hold the N objects of one side, by picture and class; detections then by descending score.

    Attributes
    ----------
    image, category, row : (N,) int64
        Picture, class, and place among the objects of the picture.
    score : (N,) float64
        NaN for true objects.
    area : (N,) float64
        What the area ranges are of.
    is_crowd, is_every : (N,) bool
        Regions that are not judged, and those of every class among them.
    boxes_xyxy : (N, 4) float64
        Boxes.
    masks : tuple of N Rle or None
        Masks.
    packed : PackedSequences or None
        The masks as bits, where they are compared.
    """

    image: NDArray[np.int64]
    category: NDArray[np.int64]
    row: NDArray[np.int64]
    score: NDArray[np.float64]
    area: NDArray[np.float64]
    is_crowd: NDArray[np.bool_]
    is_every: NDArray[np.bool_]
    boxes_xyxy: NDArray[np.float64]
    masks: tuple[Rle | None, ...]
    packed: PackedSequences | None = None

    def __len__(self) -> int:
        return len(self.masks)

    def take(self, rows: NDArray[np.int64]) -> Side:
        """Return some objects in the given order; a row may be named twice."""
        columns = {
            name: getattr(self, name)[rows] for name in self.__slots__ if name not in ("masks", "packed")
        }
        return Side(**columns, masks=tuple(self.masks[row] for row in rows.tolist()))

    def with_masks(self, height: int, width: int) -> Side:
        """Return the objects with their masks as bits."""
        masks = [(mask,) for mask in self.masks]
        return replace(self, packed=pack_sequences(masks, height=height, width=width, frame_count=1))


def true_side(
    truth: Sequence[FrameObjects],
    class_count: int,
    areas: Sequence[ArrayLike] | None,
    *,
    on: str,
    height: int,
    width: int,
) -> Side:
    """Return the true objects; a crowd of every class is there once a class."""
    side = _side(truth, _TRUE, on=on, height=height, width=width)
    if areas is not None:
        stated = [np.asarray(item, np.float64) for item in areas]
        if [item.shape for item in stated] != [(len(item),) for item in truth]:
            raise ValueError("truth_areas must hold one number for each true object of each picture")
        side = replace(side, area=np.concatenate([np.zeros(0), *stated]))
    is_every = side.is_every
    _refuse(side, _TRUE, _is_unknown(side.category, class_count) & ~is_every, _no_class(class_count))
    _refuse(side, _TRUE, is_every & ~side.is_crowd, "is of class -1: only a crowd may be of every class")
    copies = np.where(is_every, class_count, 1)
    rows = np.repeat(np.arange(len(side)), copies)
    number = np.arange(len(rows)) - np.repeat(np.cumsum(copies) - copies, copies)
    side = side.take(rows)
    side = replace(side, category=np.where(is_every[rows], number, side.category))
    side = side.take(np.lexsort((side.row, side.category, side.image)))
    if on == "masks":
        side = side.with_masks(height, width)
    return replace(side, area=np.where(np.isnan(side.area), _true_areas(side), side.area))


def found_side(
    found: Sequence[FrameObjects], class_count: int, limit: int, *, on: str, height: int, width: int
) -> tuple[Side, NDArray[np.int64], NDArray[np.int64]]:
    """Return the best ``limit`` of each picture and class, their ranks, and how many more each picture has."""
    side = _side(found, _FOUND, on=on, height=height, width=width)
    _refuse(side, _FOUND, _is_unknown(side.category, class_count), _no_class(class_count))
    _refuse(side, _FOUND, side.is_crowd, "is a crowd: only true objects may be regions that are not judged")
    _refuse(side, _FOUND, ~np.isfinite(side.score), "has no finite score: it orders the detections")
    # By row last, so that equal scores keep their order.
    order = np.lexsort((side.row, -side.score, side.category, side.image))
    key = _key(side.image[order], side.category[order], class_count)
    rank = np.arange(len(key)) - np.searchsorted(key, key)
    beyond = np.bincount(side.image[order][rank >= limit], minlength=len(found)).astype(np.int64)
    side = side.take(order[rank < limit])
    if on == "masks":
        side = side.with_masks(height, width)
    area = _box_areas(side.boxes_xyxy) if side.packed is None else side.packed.total.astype(np.float64)
    return replace(side, area=area), rank[rank < limit], beyond


def groups_of(found: Side, truth: Side, class_count: int) -> NDArray[np.int64]:
    """Return pictures and classes with both detections and true objects as (P, 5) int64, see `match_groups`."""
    keys = [_key(side.image, side.category, class_count) for side in (found, truth)]
    both = np.intersect1d(keys[0], keys[1])
    bounds = [np.searchsorted(key, both, side) for key in keys for side in ("left", "right")]
    sizes = (bounds[1] - bounds[0]) * (bounds[3] - bounds[2])
    return np.stack([*bounds, np.cumsum(sizes) - sizes], axis=1).astype(np.int64)


def chunks_of(groups: NDArray[np.int64]) -> Iterator[NDArray[np.int64]]:
    """Yield the groups in chunks of about a million pairs, so that a crowded set fits into memory."""
    which = groups[:, 4] // CHUNK
    for number in np.unique(which).tolist():
        part = groups[which == number]
        part[:, 4] -= part[0, 4]
        yield part


def iou_of_groups(found: Side, truth: Side, groups: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return the IoU of each detection with each true object of its group, flat, detection by detection.

    With a crowd it is the share of the detection that lies in it.
    """
    wide, deep = groups[:, 3] - groups[:, 2], groups[:, 1] - groups[:, 0]
    sizes = wide * deep
    group = np.repeat(np.arange(len(groups)), sizes)
    number = np.arange(len(group)) - groups[group, 4]
    rows = groups[group, 0] + number // wide[group]
    true_rows = groups[group, 2] + number % wide[group]
    if found.packed is not None and truth.packed is not None:
        shared = shared_area_pairs(found.packed, rows, truth.packed, true_rows).astype(np.float64)
        area, true_area = found.packed.total[rows], truth.packed.total[true_rows]
    else:
        boxes, true_boxes = found.boxes_xyxy[rows], truth.boxes_xyxy[true_rows]
        sides = np.minimum(boxes[:, 2:], true_boxes[:, 2:]) - np.maximum(boxes[:, :2], true_boxes[:, :2])
        shared = np.prod(np.maximum(sides, 0.0), axis=1)
        area, true_area = _box_areas(boxes), _box_areas(true_boxes)
    either = np.where(truth.is_crowd[true_rows], area, area + true_area - shared)
    iou: NDArray[np.float64] = np.divide(shared, either, out=np.zeros(len(shared)), where=shared > 0)
    if found.packed is None:
        for mask, at in _masked_regions(truth, true_rows):
            iou[at] = _shares_in(mask, found.boxes_xyxy[rows[at]])
    return iou


def _masked_regions(truth: Side, true_rows: NDArray[np.int64]) -> list[tuple[Rle, NDArray[np.int64]]]:
    """Return each mask of a region of every class, and the places in ``true_rows`` at which it stands."""
    found: dict[tuple[int, int], tuple[Rle, list[int]]] = {}
    for at in np.flatnonzero(truth.is_every[true_rows]).tolist():
        row = int(true_rows[at])
        mask = truth.masks[row]
        if mask is not None:  # its copies, one a class, are one mask
            found.setdefault((int(truth.image[row]), int(truth.row[row])), (mask, []))[1].append(at)
    return [(mask, np.array(places)) for mask, places in found.values()]


def _shares_in(mask: Rle, boxes: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return what share of each box lies in a mask; corners go to the nearest pixel borders."""
    sums = np.zeros((mask.height + 1, mask.width + 1), np.int64)
    sums[1:, 1:] = mask.to_mask().cumsum(axis=0).cumsum(axis=1)
    borders = np.clip(np.floor(boxes + 0.5), 0, [mask.width, mask.height] * 2)
    x0, y0, x1, y1 = borders.astype(np.int64).T
    inside = sums[y1, x1] - sums[y0, x1] - sums[y1, x0] + sums[y0, x0]
    size = (x1 - x0) * (y1 - y0)
    shares: NDArray[np.float64] = np.divide(inside, size, out=np.zeros(len(boxes)), where=size > 0)
    return shares


def _side(pictures: Sequence[FrameObjects], what: str, *, on: str, height: int, width: int) -> Side:
    """Return the objects as they are given; areas come later."""
    lengths = np.array([len(item) for item in pictures], np.int64)
    count = int(lengths.sum())
    category = np.concatenate([np.zeros(0, np.int64), *[item.category for item in pictures]]).astype(np.int64)
    side = Side(
        np.repeat(np.arange(len(lengths)), lengths),
        category,
        np.arange(count) - np.repeat(np.cumsum(lengths) - lengths, lengths),
        np.concatenate([np.zeros(0), *[item.score for item in pictures]]),
        np.full(count, np.nan),
        np.concatenate([np.zeros(0, np.bool_), *[item.is_crowd for item in pictures]]),
        category == _EVERY_CLASS,
        np.concatenate([np.zeros((0, 4)), *[item.boxes_xyxy for item in pictures]]),
        tuple(mask for item in pictures for mask in item.masks),
    )
    if on == "boxes":
        boxes = side.boxes_xyxy
        is_wrong = np.asarray(~np.isfinite(boxes).all(axis=1) | (boxes[:, 2:] < boxes[:, :2]).any(axis=1))
        _refuse(side, what, is_wrong, "has no box x0 <= x1, y0 <= y1: compare masks, or give it one")
    else:
        is_bare = np.array([mask is None for mask in side.masks], np.bool_)
        _refuse(side, what, is_bare, "has no mask: compare boxes, or give it one")
        sizes = [(mask.height, mask.width) for mask in side.masks if mask is not None]
        is_other = np.array([size != (height, width) for size in sizes], np.bool_)
        _refuse(side, what, is_other, f"has a mask of another size than {width}x{height}: scale it")
    return side


def _refuse(side: Side, what: str, is_wrong: NDArray[np.bool_], why: str) -> None:
    bad = np.flatnonzero(is_wrong)
    if bad.size:
        at = int(bad[0])
        values = f"class {side.category[at]}, score {side.score[at]}, box {side.boxes_xyxy[at].tolist()}"
        raise ValueError(
            f"picture {side.image[at]}: {what} {side.row[at]} ({values}) {why}; {bad.size} such in all"
        )


def _is_unknown(category: NDArray[np.int64], class_count: int) -> NDArray[np.bool_]:
    return (category < 0) | (category >= class_count)


def _no_class(class_count: int) -> str:
    return f"has none of the classes 0..{class_count - 1}"


def _key(image: NDArray[np.int64], category: NDArray[np.int64], class_count: int) -> NDArray[np.int64]:
    """Return one number for each picture and class."""
    return image * class_count + category


def _box_areas(boxes: NDArray[np.float64]) -> NDArray[np.float64]:
    areas: NDArray[np.float64] = np.prod(boxes[:, 2:] - boxes[:, :2], axis=1)
    return areas


def _true_areas(side: Side) -> NDArray[np.float64]:
    """Return the areas of the masks, and of the boxes where there is no mask."""
    if side.packed is not None:
        return side.packed.total.astype(np.float64)
    masked = np.array([np.nan if mask is None else mask.area for mask in side.masks], np.float64)
    return np.where(np.isnan(masked), _box_areas(side.boxes_xyxy), masked)

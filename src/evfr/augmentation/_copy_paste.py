"""Simple copy-paste: objects of one picture put on another, without blending."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from evfr._core.labelled import IGNORE_ID
from evfr.augmentation._jitter import checked_map

if TYPE_CHECKING:
    from numpy.random import Generator
    from numpy.typing import NDArray

__all__ = [
    "MAX_BOX_MOVE",
    "MIN_AREA",
    "RULE_SIDE",
    "checked_category",
    "checked_source",
    "copy_paste",
    "pasted",
    "subset",
]

RULE_SIDE = 1024
"""Longer side in pixels of the pictures that the two limits below are given for."""
MAX_BOX_MOVE = 10
MIN_AREA = 300


def copy_paste(
    image: NDArray[np.uint8],
    ids: NDArray[np.uint8],
    category: NDArray[np.int16],
    source_image: NDArray[np.uint8],
    source_ids: NDArray[np.uint8],
    source_category: NDArray[np.int16],
    rng: Generator,
    *,
    keep_slivers: bool = False,
) -> tuple[NDArray[np.uint8], NDArray[np.uint8], NDArray[np.int16]]:
    """Paste a random subset of a picture's objects on another picture (simple copy-paste, Ghiasi et al. 2021).

    Parameters
    ----------
    image : (H, W, 3) uint8
        RGB, the picture that receives.
    ids : (H, W) uint8
        Its objects: 0 none, k the k-th, 255 ignore.
    category : (M,) int16
        Class of object k at ``[k - 1]``; -1 where there is no object k.
    source_image : (H, W, 3) uint8
        The picture whose objects are pasted, of the same size.
    source_ids : (H, W) uint8
        Its objects.
    source_category : (S,) int16
        Their classes. M + S is at most 254.
    rng : numpy.random.Generator
        Draws how many of the n objects that have a pixel are pasted, 0 to n, all as likely; then which. It draws 1 + S
        numbers.
    keep_slivers : bool
        Keep what is left of an object however little it is. By default an object that was partly covered stays only
        if no side of its box moved by more than 10 px, or more than 300 px of it remain, in pictures whose longer side
        has 1024 px; both limits are scaled to the size at hand. What is left of the others is to be ignored (id 255):
        it is no background either.

    Returns
    -------
    image : (H, W, 3) uint8
        Every pixel is that of one of the two pictures.
    ids : (H, W) uint8
        1..M as before, M + k for object k of the source.
    category : (M + S,) int16
        -1 for objects without a pixel, and for those not pasted.

    Raises
    ------
    ValueError
        If shapes or types do not fit, or there are more than 254 numbers for objects.

    References
    ----------
    .. [1] Ghiasi et al.: Simple Copy-Paste is a Strong Data Augmentation Method for Instance Segmentation. CVPR 2021,
       arXiv:2012.07177.
    """
    checked_map(image, ids)
    checked_category(ids, category)
    checked_source(ids, category, (source_image, source_ids, source_category))
    uniforms = rng.random(1 + len(source_category))
    chosen = subset(uniforms, source_ids, source_category)
    return pasted(
        image, ids, category, source_image, source_ids, source_category, chosen, keep_slivers=keep_slivers
    )


def subset(
    uniforms: NDArray[np.float64], source_ids: NDArray[np.uint8], source_category: NDArray[np.int16]
) -> NDArray[np.bool_]:
    """Turn 1 + S numbers of U(0, 1) into a subset of the objects: first its size, then an order of the objects."""
    is_there = _areas(source_ids, len(source_category)) > 0
    is_there &= source_category >= 0
    count = int(float(uniforms[0]) * (is_there.sum() + 1))
    keys = np.where(is_there, uniforms[1:], 2.0)
    chosen = np.zeros(len(keys), np.bool_)
    chosen[np.argsort(keys, kind="stable")[:count]] = True
    return chosen


def pasted(
    image: NDArray[np.uint8],
    ids: NDArray[np.uint8],
    category: NDArray[np.int16],
    source_image: NDArray[np.uint8],
    source_ids: NDArray[np.uint8],
    source_category: NDArray[np.int16],
    chosen: NDArray[np.bool_],
    *,
    keep_slivers: bool = False,
) -> tuple[NDArray[np.uint8], NDArray[np.uint8], NDArray[np.int16]]:
    """Paste the chosen ones of S objects; `evfr.training` has the same law for batches."""
    count = len(category)
    lookup = np.zeros(256, np.bool_)
    lookup[1 : len(chosen) + 1] = chosen
    is_pasted = lookup[source_ids]
    kept = np.where(is_pasted, 0, ids).astype(np.uint8)
    area = _areas(kept, count)
    stays = area > 0
    if not keep_slivers:
        scale = max(ids.shape) / RULE_SIDE
        moved = np.abs(_boxes(kept, count) - _boxes(ids, count)).max(axis=1, initial=0)
        stays &= (moved <= MAX_BOX_MOVE * scale) | (area > MIN_AREA * scale**2)
    numbers = np.arange(256, dtype=np.uint8)
    numbers[1 : count + 1][~stays] = IGNORE_ID
    return (
        np.where(is_pasted[:, :, None], source_image, image),
        # The sum of a pasted number and M is below 255; that of others wraps around and is not taken.
        np.where(is_pasted, source_ids + np.uint8(count), numbers[kept]),
        np.concatenate([np.where(stays, category, -1), np.where(chosen, source_category, -1)]).astype(
            np.int16
        ),
    )


def _areas(ids: NDArray[np.uint8], count: int) -> NDArray[np.int64]:
    return np.bincount(ids.ravel(), minlength=256)[1 : count + 1]


def _boxes(ids: NDArray[np.uint8], count: int) -> NDArray[np.int64]:
    """Return (count, 4) first and last row and column of each object; -1 and -1 for those without a pixel."""
    boxes = np.full((count, 4), -1, np.int64)
    for k in np.flatnonzero(_areas(ids, count)):
        for axis in (0, 1):
            seen = np.flatnonzero((ids == k + 1).any(axis=1 - axis))
            boxes[k, 2 * axis : 2 * axis + 2] = seen[0], seen[-1]
    return boxes


def checked_category(ids: NDArray[np.uint8], category: NDArray[np.int16]) -> None:
    """Refuse classes that do not fit a map.

    Raises
    ------
    ValueError
        If the classes are no (M,) int16, or the map has an object without a class.
    """
    if category.ndim != 1 or category.dtype != np.int16 or len(category) >= IGNORE_ID:
        raise ValueError(
            f"category must be (M,) int16 with M of at most {IGNORE_ID - 1}, got {category.shape} {category.dtype}"
        )
    seen = np.flatnonzero(np.bincount(ids.ravel(), minlength=256)[1:IGNORE_ID])
    bad = [int(k) + 1 for k in seen if k >= len(category) or category[k] < 0]
    if bad:
        raise ValueError(
            f"the map has object {bad[0]}, which has no class: category has {len(category)} numbers"
        )


def checked_source(
    ids: NDArray[np.uint8],
    category: NDArray[np.int16],
    source: tuple[NDArray[np.uint8], NDArray[np.uint8], NDArray[np.int16]],
) -> None:
    """Refuse a source that does not fit a picture that is to receive its objects.

    Raises
    ------
    ValueError
        If the source does not fit itself or the picture's size, or both have too many objects for one map.
    """
    checked_map(source[0], source[1])
    checked_category(source[1], source[2])
    if source[1].shape != ids.shape:
        raise ValueError(f"the two pictures must have one size, got {ids.shape} and {source[1].shape}")
    if len(category) + len(source[2]) >= IGNORE_ID:
        raise ValueError(
            f"{len(category)} and {len(source[2])} objects are too many for one map: "
            f"together they can be {IGNORE_ID - 1} at most; leave out unused numbers"
        )

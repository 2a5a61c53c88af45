"""Change a picture as an `Augmentation` says: jitter, and objects of another picture."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from evfr.augmentation._copy_paste import checked_category, checked_source, pasted, subset
from evfr.augmentation._jitter import JITTER_RANGES, checked_map, placed, placement

if TYPE_CHECKING:
    from numpy.random import Generator
    from numpy.typing import NDArray

    from evfr.augmentation._options import Augmentation

__all__ = ["AugmentationDraws", "augment", "augmented"]


class AugmentationDraws(NamedTuple):
    """Numbers of U(0, 1) that decide what becomes of one picture.

    Attributes
    ----------
    place, source_place : (4,) float64
        Scale, mirroring, place down and across, of the picture and of the one whose objects are pasted.
    paste : float
        Whether objects are pasted.
    chosen : (1 + S,) float64
        How many of the source's objects, and the order in which they are taken.
    """

    place: NDArray[np.float64]
    source_place: NDArray[np.float64]
    paste: float
    chosen: NDArray[np.float64]


def augment(
    image: NDArray[np.uint8],
    ids: NDArray[np.uint8],
    category: NDArray[np.int16],
    source: tuple[NDArray[np.uint8], NDArray[np.uint8], NDArray[np.int16]] | None,
    augmentation: Augmentation,
    rng: Generator,
) -> tuple[NDArray[np.uint8], NDArray[np.uint8], NDArray[np.int16]]:
    """Jitter a picture, and paste objects of another one, jittered by itself, on it (Ghiasi et al. 2021).

    Parameters
    ----------
    image : (H, W, 3) uint8
        RGB.
    ids : (H, W) uint8
        Objects: 0 none, k the k-th, 255 ignore.
    category : (M,) int16
        Class of object k at ``[k - 1]``; -1 where there is no object k.
    source : tuple or None
        Picture, ids and classes (S,) of the picture whose objects may be pasted; None without copy-paste.
    augmentation : Augmentation
        What is done.
    rng : numpy.random.Generator
        Draws 4 numbers without copy-paste, 10 + S with it, so that pictures do not shift each other's draws.

    Returns
    -------
    image : (H, W, 3) uint8
        The changed picture.
    ids : (H, W) uint8
        Its objects, numbered as before; M + k for object k of the source.
    category : (M,) or (M + S,) int16
        The latter with copy-paste. -1 for objects that have no pixel any more.

    Raises
    ------
    ValueError
        If shapes or types do not fit, copy-paste lacks a source, or there are more than 254 numbers for objects.
    """
    checked_map(image, ids)
    checked_category(ids, category)
    if augmentation.is_identity:
        return image.copy(), ids.copy(), category.copy()
    if not augmentation.copy_paste:
        return augmented(image, ids, category, None, augmentation, _draw(rng, None))
    if source is None:
        raise ValueError(f"copy_paste is {augmentation.copy_paste} but there is no source to paste from")
    checked_source(ids, category, source)
    return augmented(image, ids, category, source, augmentation, _draw(rng, len(source[2])))


def _draw(rng: Generator, source_count: int | None) -> AugmentationDraws:
    place = rng.random(4)
    if source_count is None:
        return AugmentationDraws(place, np.zeros(4), 1.0, np.zeros(1))
    return AugmentationDraws(place, rng.random(4), float(rng.random()), rng.random(1 + source_count))


def augmented(
    image: NDArray[np.uint8],
    ids: NDArray[np.uint8],
    category: NDArray[np.int16],
    source: tuple[NDArray[np.uint8], NDArray[np.uint8], NDArray[np.int16]] | None,
    augmentation: Augmentation,
    draws: AugmentationDraws,
) -> tuple[NDArray[np.uint8], NDArray[np.uint8], NDArray[np.int16]]:
    """Change a picture as the drawn numbers say; `evfr.training` has the same law for batches."""
    height, width = ids.shape
    low, high = JITTER_RANGES[augmentation.jitter]
    place = placement(draws.place, height, width, low, high, augmentation.flip)
    image, ids = placed(image, ids, place)
    is_there = np.bincount(ids.ravel(), minlength=256)[1 : len(category) + 1] > 0
    category = np.where(is_there, category, -1).astype(np.int16)
    if source is None:
        return image, ids, category
    source_place = placement(draws.source_place, height, width, low, high, augmentation.flip)
    source_image, source_ids = placed(source[0], source[1], source_place)
    chosen = subset(draws.chosen, source_ids, source[2])
    if not draws.paste < augmentation.copy_paste:
        chosen[:] = False
    return pasted(image, ids, category, source_image, source_ids, source[2], chosen)

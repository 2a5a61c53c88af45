"""From pictures of classes to objects: one a class and frame, or one a connected part."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

from evfr._core.masks import Rle

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["class_masks"]


def class_masks(member: NDArray[np.bool_], components: bool) -> Iterator[Rle]:
    """Yield the mask of a class, or one of each connected part (8 neighbours).

    Parameters
    ----------
    member : (H, W) bool
        Pixels of the class; none yields nothing.
    components : bool
        Whether parts are objects of their own.

    Yields
    ------
    Rle
        Masks with a pixel each.
    """
    if not member.any():
        return
    if not components:
        yield Rle.from_mask(member)
        return
    count, parts = cv2.connectedComponents(member.view(np.uint8), connectivity=8)
    numbers: NDArray[Any] = np.asarray(parts)
    for part in range(1, count):
        yield Rle.from_mask(numbers == part)

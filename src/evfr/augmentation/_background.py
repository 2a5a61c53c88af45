"""Hide what is not annotated, so that it is not learnt as background."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["IMAGENET_MEAN", "checked_picture", "fill_background"]

IMAGENET_MEAN = (124, 116, 104)
"""Mean colour of ImageNet, RGB of 0 to 255: what a network whose input is normalised by it sees as zeros."""


def fill_background(
    image: NDArray[np.uint8],
    masks: NDArray[np.bool_],
    *,
    is_crowd: NDArray[np.bool_] | None = None,
    mean: Sequence[int] = IMAGENET_MEAN,
) -> NDArray[np.uint8]:
    """Fill the pixels outside all annotations with the mean colour (Lin et al. 2021, for sparsely annotated images).

    Parameters
    ----------
    image : (H, W, 3) uint8
        RGB.
    masks : (N, H, W) bool
        The annotated objects.
    is_crowd : (N,) bool or None
        Masks that stand for a group that is not told apart. They name no object, so their pixels are filled as well,
        except where an object lies on them. None is none.
    mean : sequence of three int
        RGB of 0 to 255.

    Returns
    -------
    (H, W, 3) uint8
        A new picture; all of it is the mean where there is no object.

    Raises
    ------
    ValueError
        If shapes or types do not fit, or the colour is no RGB of 0 to 255.

    References
    ----------
    .. [1] Lin, Wu, Liu, Jia: Video Instance Segmentation with a Propose-Reduce Paradigm. ICCV 2021, arXiv:2103.13746.
    """
    checked_picture(image, masks, mean)
    crowd = np.zeros(len(masks), np.bool_) if is_crowd is None else np.asarray(is_crowd)
    if crowd.shape != (len(masks),) or crowd.dtype != np.bool_:
        raise ValueError(
            f"is_crowd must be ({len(masks)},) bool, one for each mask, got {crowd.shape} {crowd.dtype}"
        )
    is_shown = np.zeros(image.shape[:2], np.bool_)
    for mask in masks[~crowd]:
        is_shown |= mask
    return np.where(is_shown[:, :, None], image, np.array(mean, np.uint8))


def checked_picture(image: NDArray[np.uint8], masks: NDArray[np.bool_], mean: Sequence[int]) -> None:
    """Refuse a picture, masks or a colour that do not fit.

    Raises
    ------
    ValueError
        If the picture is not (H, W, 3) uint8, the masks are not (N, H, W) bool, or the colour is no RGB.
    """
    if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8 or not image.size:
        raise ValueError(f"a picture must be (H, W, 3) uint8 RGB, got {image.shape} {image.dtype}")
    if masks.ndim != 3 or masks.shape[1:] != image.shape[:2] or masks.dtype != np.bool_:
        raise ValueError(
            f"masks must be (N, {image.shape[0]}, {image.shape[1]}) bool as the picture is, "
            f"got {masks.shape} {masks.dtype}"
        )
    if len(mean) != 3 or not all(0 <= value <= 255 for value in mean):
        raise ValueError(f"mean must be three numbers of 0 to 255, got {tuple(mean)}")

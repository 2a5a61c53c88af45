"""A short clip out of one picture: the picture, and the same picture rotated."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import cv2
import numpy as np

from evfr.augmentation._background import IMAGENET_MEAN, checked_picture

if TYPE_CHECKING:
    from numpy.random import Generator
    from numpy.typing import NDArray

__all__ = ["PseudoVideo", "pseudo_video", "rotated"]


class PseudoVideo(NamedTuple):
    """A clip of F frames with N objects: what `pseudo_video` returns.

    Attributes
    ----------
    images : (F, H, W, 3) uint8
        RGB.
    masks : (F, N, H, W) bool
        The objects.
    is_valid : (F, N) bool
        Whether the object has a pixel in the frame.
    """

    images: NDArray[np.uint8]
    masks: NDArray[np.bool_]
    is_valid: NDArray[np.bool_]


def pseudo_video(
    image: NDArray[np.uint8],
    masks: NDArray[np.bool_],
    rng: Generator,
    *,
    frames: int = 3,
    max_degrees: float = 30.0,
    mean: Sequence[int] = IMAGENET_MEAN,
) -> PseudoVideo:
    """Make a clip of a picture by rotation, so that labelled images can teach propagation (Lin et al. 2021).

    Parameters
    ----------
    image : (H, W, 3) uint8
        RGB.
    masks : (N, H, W) bool
        Its objects.
    rng : numpy.random.Generator
        Draws the angles.
    frames : int
        Frames F of the clip, 1 or more. The first one is the picture as it is.
    max_degrees : float
        Each further frame is the picture rotated about its middle by an angle drawn evenly within this on both sides;
        0 to 180.
    mean : sequence of three int
        RGB of what comes into the picture from beyond its border.

    Returns
    -------
    PseudoVideo
        Pictures, masks and which objects are there; an object that leaves the picture has an empty mask.

    Raises
    ------
    ValueError
        If shapes or types do not fit, ``frames`` is below 1 or ``max_degrees`` out of range.

    Notes
    -----
    Lin et al. say three frames and angles within 30 degrees. That the first is not rotated is ours: its labels are then
    those that people drew, and the angle between it and the others is still within 30 degrees.

    References
    ----------
    .. [1] Lin, Wu, Liu, Jia: Video Instance Segmentation with a Propose-Reduce Paradigm. ICCV 2021, arXiv:2103.13746.
    """
    checked_picture(image, masks, mean)
    if frames < 1:
        raise ValueError(f"frames must be 1 or more, got {frames}")
    if not 0 <= max_degrees <= 180:
        raise ValueError(f"max_degrees must be in 0..180, got {max_degrees}")
    pairs = [(image.copy(), masks.copy())]
    angles = rng.uniform(-max_degrees, max_degrees, frames - 1)
    pairs += [rotated(image, masks, degrees, mean=mean) for degrees in angles.tolist()]
    moved = np.stack([masks for _, masks in pairs])
    return PseudoVideo(np.stack([image for image, _ in pairs]), moved, np.any(moved, axis=(2, 3)))


def rotated(
    image: NDArray[np.uint8],
    masks: NDArray[np.bool_],
    degrees: float,
    *,
    mean: Sequence[int] = IMAGENET_MEAN,
) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    """Rotate a picture and its masks about the middle of the picture.

    Parameters
    ----------
    image : (H, W, 3) uint8
        RGB.
    masks : (N, H, W) bool
        Its objects.
    degrees : float
        Counter-clockwise as one sees it.
    mean : sequence of three int
        RGB of what comes into the picture from beyond its border.

    Returns
    -------
    image : (H, W, 3) uint8
        Bilinear between pixels.
    masks : (N, H, W) bool
        Of the nearest pixel; nothing beyond the border belongs to an object.

    Raises
    ------
    ValueError
        If shapes or types do not fit.
    """
    checked_picture(image, masks, mean)
    height, width = image.shape[:2]
    turn = cv2.getRotationMatrix2D(((width - 1) / 2, (height - 1) / 2), degrees, 1.0)
    size = width, height
    picture = cv2.warpAffine(
        image, turn, size, flags=cv2.INTER_LINEAR, borderValue=[float(value) for value in mean]
    )
    moved = np.zeros(masks.shape, np.bool_)
    for row, mask in enumerate(masks):
        moved[row] = cv2.warpAffine(mask.astype(np.uint8), turn, size, flags=cv2.INTER_NEAREST) != 0
    return np.asarray(picture, np.uint8), moved

"""Scale jitter: a picture resized by a drawn factor, then cropped or padded to its size, and mirrored."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from PIL import Image

if TYPE_CHECKING:
    from numpy.random import Generator
    from numpy.typing import NDArray

__all__ = ["JITTER_RANGES", "PAD_GREY", "Placement", "checked_map", "placed", "placement", "scale_jitter"]

PAD_GREY = 128
"""What pictures are padded with. Its id is 0, not ignore: nothing lies there, and what is found there is wrong."""

JITTER_RANGES = {"none": (1.0, 1.0), "standard": (0.8, 1.25), "large": (0.1, 2.0)}
"""Lowest and highest factor of each jitter (Ghiasi et al. 2021)."""


class Placement(NamedTuple):
    """Where a picture comes to lie in the picture made of it.

    Attributes
    ----------
    height, width : int
        Size of the resized picture.
    top, left : int
        Where its corner lies; below 0 where it is cropped.
    is_mirrored : bool
        Whether it is mirrored, left and right.
    """

    height: int
    width: int
    top: int
    left: int
    is_mirrored: bool


def scale_jitter(
    image: NDArray[np.uint8],
    ids: NDArray[np.uint8],
    rng: Generator,
    *,
    low: float = 0.8,
    high: float = 1.25,
    flip: float = 0.0,
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Resize by U(low, high), crop or pad to the size, and mirror (scale jitter, Ghiasi et al. 2021).

    Parameters
    ----------
    image : (H, W, 3) uint8
        RGB.
    ids : (H, W) uint8
        Objects: 0 none, k the k-th, 255 ignore.
    rng : numpy.random.Generator
        Draws four numbers: scale, mirroring, and the place of the crop, or of the picture in the padding, down and
        across.
    low, high : float
        The factor is drawn evenly between them; above 0. Standard jitter is .8 to 1.25, large .1 to 2.
    flip : float
        Probability of mirroring, in [0, 1].

    Returns
    -------
    image : (H, W, 3) uint8
        Bilinear between pixels; where it is made smaller, averaged over the pixels that fall together.
        Padding is grey.
    ids : (H, W) uint8
        Of the nearest pixel, so that there is no number that was not there before. 0 in the padding.

    Raises
    ------
    ValueError
        If shapes or types do not fit, or a number is out of range.

    Notes
    -----
    The paper does not say where a smaller picture lies in the padding: here every place is as likely as any other, as
    for the crop of a larger one; always in one corner, place would tell of size.

    References
    ----------
    .. [1] Ghiasi et al.: Simple Copy-Paste is a Strong Data Augmentation Method for Instance Segmentation. CVPR 2021,
       arXiv:2012.07177.
    """
    checked_map(image, ids)
    if not 0 < low <= high < np.inf:
        raise ValueError(f"low and high must be above 0, and low no more than high, got {low} and {high}")
    if not 0 <= flip <= 1:
        raise ValueError(f"flip must be a probability in [0, 1], got {flip}")
    return placed(image, ids, placement(rng.random(4), ids.shape[0], ids.shape[1], low, high, flip))


def placement(
    uniforms: NDArray[np.float64], height: int, width: int, low: float, high: float, flip: float
) -> Placement:
    """Turn four numbers of U(0, 1) into a placement; `evfr.training` has the same law for batches."""
    scale = low + (high - low) * float(uniforms[0])
    tall, wide = (max(1, int(scale * size + 0.5)) for size in (height, width))
    return Placement(
        tall,
        wide,
        _offset(height - tall, float(uniforms[2])),
        _offset(width - wide, float(uniforms[3])),
        bool(uniforms[1] < flip),
    )


def _offset(room: int, uniform: float) -> int:
    """Return a place in 0..room, or room..0 where the picture is larger than the frame, all as likely."""
    step = int(uniform * (abs(room) + 1))
    return step if room >= 0 else -step


def placed(
    image: NDArray[np.uint8], ids: NDArray[np.uint8], place: Placement
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Put a picture and its map where a placement says."""
    height, width = ids.shape
    if place.is_mirrored:
        image, ids = image[:, ::-1], ids[:, ::-1]
    if (place.height, place.width) == (height, width):
        return image.copy(), ids.copy()
    picture = np.full_like(image, PAD_GREY)
    moved = np.zeros_like(ids)
    top, left = max(place.top, 0), max(place.left, 0)
    bottom, right = min(place.top + place.height, height), min(place.left + place.width, width)
    # The part of the source that is seen; its neighbours still take part in the averages at the edge of the crop.
    down, across = height / place.height, width / place.width
    box = (
        *((left - place.left) * across, (top - place.top) * down),
        *(min((right - place.left) * across, width), min((bottom - place.top) * down, height)),
    )
    source = Image.fromarray(np.ascontiguousarray(image))
    seen = source.resize((right - left, bottom - top), Image.Resampling.BILINEAR, box=box)
    picture[top:bottom, left:right] = np.asarray(seen)
    rows = (2 * np.arange(top - place.top, bottom - place.top) + 1) * height // (2 * place.height)
    columns = (2 * np.arange(left - place.left, right - place.left) + 1) * width // (2 * place.width)
    moved[top:bottom, left:right] = ids[rows[:, None], columns]
    return picture, moved


def checked_map(image: NDArray[np.uint8], ids: NDArray[np.uint8]) -> None:
    """Refuse a picture and a map that do not fit.

    Raises
    ------
    ValueError
        If the picture is not (H, W, 3) uint8 or the map not (H, W) uint8.
    """
    if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8 or not image.size:
        raise ValueError(f"a picture must be (H, W, 3) uint8 RGB, got {image.shape} {image.dtype}")
    if ids.shape != image.shape[:2] or ids.dtype != np.uint8:
        raise ValueError(
            f"ids must be {image.shape[:2]} uint8 as the picture is, got {ids.shape} {ids.dtype}"
        )

"""Masks for boxes of detectors that find boxes only: GrabCut, or the box itself."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import cv2
import numpy as np

from evfr._core.masks import Rle
from evfr.models._detections import checked_boxes
from evfr.models._detector import check_image

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

__all__ = ["BoxMasks", "box_masks"]

_LEAST, _MOST = 0.05, 0.95
"""Shares of the box between which a cut is believed."""


@dataclass(frozen=True, slots=True)
class BoxMasks:
    """Hold one mask for each box; a sequence of the masks.

    Attributes
    ----------
    masks : tuple of B Rle
        Of the picture's size, inside their boxes.
    is_box : (B,) tuple of bool
        Where the mask is the whole box: asked for, or because GrabCut left nothing or nearly all of it.
    """

    masks: tuple[Rle, ...]
    is_box: tuple[bool, ...]

    def __len__(self) -> int:
        return len(self.masks)

    def __iter__(self) -> Iterator[Rle]:
        return iter(self.masks)

    def __getitem__(self, row: int) -> Rle:
        return self.masks[row]


def box_masks(
    image: NDArray[np.uint8],
    boxes_xyxy: ArrayLike,
    *,
    kind: Literal["grabcut", "box"] = "grabcut",
    padding: float = 0.25,
    long_side: int = 160,
    iterations: int = 1,
) -> BoxMasks:
    """Make a mask for each box: by GrabCut (Rother, Kolmogorov & Blake 2004 [1]_) or by filling it.

    Parameters
    ----------
    image : (H, W, 3) uint8
        RGB.
    boxes_xyxy : (B, 4) float
        Pixels; cut at the picture's borders and rounded to whole pixels, one at least where it touches the picture.
    kind : {"grabcut", "box"}
        How.
    padding : float
        Of GrabCut: so many widths and heights of the box around it tell what background looks like. Above 0.
    long_side : int
        Of GrabCut: a larger padded box is shrunk to this many pixels, 16 or more.
    iterations : int
        Of GrabCut, 1 or more.

    Returns
    -------
    BoxMasks
        Where GrabCut leaves less than 5 % or more than 95 % of the box, or the box covers the picture so that no
        background is left, the mask is the box and ``is_box`` says so.

    Raises
    ------
    ValueError
        If it is no picture, a box is not finite or upside down, or an option is out of its range.

    Notes
    -----
    The result depends on the picture and the box alone. GrabCut draws its first clusters from the random numbers of
    OpenCV, which start anew for each box: the state that the calling thread had is lost.

    References
    ----------
    .. [1] Rother, Kolmogorov, Blake: "GrabCut": interactive foreground extraction using iterated graph cuts. ACM TOG
       23(3), 2004, doi:10.1145/1015706.1015720.
    """
    check_image(image)
    boxes = checked_boxes(boxes_xyxy)
    if kind not in ("grabcut", "box"):
        raise ValueError(f"kind must be 'grabcut' or 'box', got {kind!r}")
    if not 0 < padding <= 10:
        raise ValueError(f"padding must be above 0 and at most 10, got {padding}")
    if long_side < 16:
        raise ValueError(f"long_side must be 16 or more, got {long_side}")
    if iterations < 1:
        raise ValueError(f"iterations must be 1 or more, got {iterations}")
    masks, is_box = [], []
    for box in boxes:
        whole = _whole_pixels(box, image.shape[1], image.shape[0])
        full = np.zeros(image.shape[:2], np.bool_)
        x0, y0, x1, y1 = whole
        inside = _cut(image, whole, padding, long_side, iterations) if kind == "grabcut" else None
        full[y0:y1, x0:x1] = True if inside is None else inside
        masks.append(Rle.from_mask(full))
        is_box.append(inside is None)
    return BoxMasks(tuple(masks), tuple(is_box))


def _whole_pixels(box: NDArray[np.float64], width: int, height: int) -> tuple[int, int, int, int]:
    """Return a box in whole pixels inside the picture; without area where it does not touch it."""
    sides = []
    for low, high, size in ((box[0], box[2], width), (box[1], box[3], height)):
        if high <= 0 or low >= size or high <= low:
            sides.append((0, 0))
            continue
        start = min(max(round(low), 0), size - 1)
        sides.append((start, min(max(round(high), start + 1), size)))
    return sides[0][0], sides[1][0], sides[0][1], sides[1][1]


def _cut(
    image: NDArray[np.uint8], box: tuple[int, int, int, int], padding: float, long_side: int, iterations: int
) -> NDArray[np.bool_] | None:
    """Return the object's pixels in the box, or None where they are too few or too many."""
    x0, y0, x1, y1 = box
    if x1 <= x0 or y1 <= y0:
        return None
    height, width = image.shape[:2]
    # Four pixels at least, or small boxes would have no background to speak of.
    across, down = max(round(padding * (x1 - x0)), 4), max(round(padding * (y1 - y0)), 4)
    left, top = max(x0 - across, 0), max(y0 - down, 0)
    crop = image[top : min(y1 + down, height), left : min(x1 + across, width)]
    tall, wide = crop.shape[:2]
    ratio = min(1.0, long_side / max(tall, wide))
    small = cv2.resize(
        crop, (max(round(wide * ratio), 1), max(round(tall * ratio), 1)), interpolation=cv2.INTER_AREA
    )
    step = small.shape[1] / wide, small.shape[0] / tall
    guess = np.full(small.shape[:2], cv2.GC_BGD, np.uint8)
    columns = slice(int((x0 - left) * step[0]), int(np.ceil((x1 - left) * step[0])))
    rows = slice(int((y0 - top) * step[1]), int(np.ceil((y1 - top) * step[1])))
    guess[rows, columns] = cv2.GC_PR_FGD
    if (guess == cv2.GC_PR_FGD).all():
        return None
    cv2.setRNGSeed(1)
    cv2.grabCut(
        small, guess, (0, 0, 1, 1), np.zeros((1, 65)), np.zeros((1, 65)), iterations, cv2.GC_INIT_WITH_MASK
    )
    object_ = (guess == cv2.GC_PR_FGD).astype(np.float32)
    large = cv2.resize(object_, (wide, tall), interpolation=cv2.INTER_LINEAR) > 0.5
    inside: NDArray[np.bool_] = np.asarray(large, np.bool_)[y0 - top : y1 - top, x0 - left : x1 - left]
    return inside if _LEAST <= inside.mean() <= _MOST else None

"""Grey pictures of an interval at several sizes, and the content of a box in them."""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

__all__ = ["GreyPictures", "box_content", "crop"]

HELD_BYTES = 128 * 2**20
DEEPEST = 8
CONTENT = 24


class GreyPictures:
    """Make grey pyramids of the frames of an interval when asked, and keep the last ones, 128 MiB at most.

    Parameters
    ----------
    frames : sequence of T (H, W, 3) uint8
        RGB pictures.
    """

    def __init__(self, frames: Sequence[NDArray[np.uint8]]) -> None:
        self._frames = frames
        self._held: OrderedDict[int, list[NDArray[Any]]] = OrderedDict()
        height, width = frames[0].shape[:2]
        self.height, self.width = int(height), int(width)
        self._room = max(2, int(HELD_BYTES / (height * width * 4 / 3)))

    def level(self, position: int, depth: int) -> NDArray[np.uint8]:
        """Return one frame in grey, halved ``depth`` times.

        Parameters
        ----------
        position : int
            0..T-1.
        depth : int
            0 is full size.

        Returns
        -------
        (h, w) uint8
            Pixel (i, j) is centred on pixel (i, j) 2^depth of the frame.
        """
        if position in self._held:
            self._held.move_to_end(position)
        else:
            self._held[position] = [cv2.cvtColor(self._frames[position], cv2.COLOR_RGB2GRAY)]
            if len(self._held) > self._room:
                self._held.popitem(last=False)
        pyramid = self._held[position]
        while len(pyramid) <= depth:
            pyramid.append(cv2.pyrDown(pyramid[-1]))
        return pyramid[depth]


def crop(
    pictures: GreyPictures,
    position: int,
    corner: tuple[float, float],
    scale: tuple[float, float],
    size: tuple[int, int],
) -> NDArray[np.uint8]:
    """Cut a scaled rectangle out of a frame; beyond the picture its border is repeated.

    Parameters
    ----------
    pictures : GreyPictures
        The frames.
    position : int
        Which one.
    corner : tuple of float
        Left and top edge in pixels of the frame; may lie outside.
    scale : tuple of float
        Pixels of the cut per pixel of the frame, along x and y.
    size : tuple of int
        Width and height of the cut.

    Returns
    -------
    (h, w) uint8
        Pixel (0, 0) has its top left corner at ``corner``.
    """
    finer = max(scale)
    depth = min(DEEPEST, int(np.floor(-np.log2(finer)))) if finer < 1.0 else 0
    shrink = 0.5**depth
    x, y = ((corner[axis] + 0.5 / scale[axis] - 0.5) * shrink for axis in (0, 1))
    matrix = np.array([[shrink / scale[0], 0.0, x], [0.0, shrink / scale[1], y]])
    cut: Any = cv2.warpAffine(
        pictures.level(position, depth),
        matrix,
        size,
        flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
        borderMode=cv2.BORDER_REPLICATE,
    )
    return np.asarray(cut, np.uint8)


def box_content(
    pictures: GreyPictures, position: int, box: NDArray[np.float64]
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Sample what a box shows on a grid that moves and scales with it.

    Parameters
    ----------
    pictures : GreyPictures
        The frames.
    position : int
        Which one.
    box : (4,) float64
        x0, y0, x1, y1 with area; may lie outside the picture.

    Returns
    -------
    grey : (24, 24) float32
        Grey levels.
    is_inside : (24, 24) bool
        Whether the place lies in the picture.
    """
    width, height = (float(v) for v in box[2:] - box[:2])
    corner = (float(box[0]), float(box[1]))
    cut = crop(pictures, position, corner, (CONTENT / width, CONTENT / height), (CONTENT, CONTENT))
    places = (np.arange(CONTENT) + 0.5) / CONTENT
    x, y = corner[0] + places * width, corner[1] + places * height
    is_inside = ((y >= 0) & (y < pictures.height))[:, None] & ((x >= 0) & (x < pictures.width))[None, :]
    return cut.astype(np.float32), is_inside

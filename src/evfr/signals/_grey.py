"""Grey pictures: one frame owned, resized once per width, shared by every signal of a pass."""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from evfr._core.types import FrameView

__all__ = ["OwnedFrame", "grey_at", "resize_to_width"]


def resize_to_width(grey: NDArray[np.uint8], width: int | None) -> NDArray[np.uint8]:
    """Shrink a grey picture to a working width by area averaging; never enlarge it.

    Parameters
    ----------
    grey : (H, W) uint8
        The picture.
    width : int or None
        Working width in pixels; None, or one not below W, leaves the picture as it is.

    Returns
    -------
    (h, w) uint8
        w = min(W, width), h = max(1, round(H w / W)).

    Raises
    ------
    ValueError
        If ``width`` is below 1.
    """
    if width is None:
        return grey
    if width < 1:
        raise ValueError(f"width must be 1 or more, got {width}")
    full_height, full_width = grey.shape
    if full_width <= width:
        return grey
    height = max(1, (2 * full_height * width + full_width) // (2 * full_width))
    return np.asarray(cv2.resize(grey, (width, height), interpolation=cv2.INTER_AREA), dtype=np.uint8)


class OwnedFrame:
    """Own one frame's grey picture beyond the decoder's next frame, with its resized versions.

    A `FrameView` like the one it wraps. The grey picture is copied once, whoever asks; colours and motion
    vectors are passed on from the decoder, so a signal that needs them takes them in ``prepare``.
    """

    def __init__(self, frame: FrameView) -> None:
        self._frame: FrameView | None = frame
        self.frame_index = frame.frame_index
        self.is_suspect = bool(frame.is_suspect)
        self._luma = np.array(frame.luma(), dtype=np.uint8, order="C", copy=True)
        self._resized: dict[int, NDArray[np.uint8]] = {}

    def luma(self) -> NDArray[np.uint8]:
        """Return the grey picture, (H, W) uint8."""
        return self._luma

    def resized(self, width: int | None) -> NDArray[np.uint8]:
        """Return the grey picture at a working width, resized at the first call."""
        if width is None or self._luma.shape[1] <= width:
            return self._luma
        if width not in self._resized:
            self._resized[width] = resize_to_width(self._luma, width)
        return self._resized[width]

    def rgb(self) -> NDArray[np.uint8]:
        """Return the colour picture, (H, W, 3) uint8, while the decoder still has it."""
        return self._live().rgb()

    def motion_vectors(self) -> NDArray[np.void]:
        """Return the codec's motion vectors, (K,) structured, while the decoder still has them."""
        return self._live().motion_vectors()

    def release(self) -> None:
        """Let go of the decoder's frame; only the grey pictures stay."""
        self._frame = None

    def _live(self) -> FrameView:
        if self._frame is None:
            raise RuntimeError("colours and motion vectors can only be read in prepare(), not in compare()")
        return self._frame


def grey_at(frame: FrameView, width: int | None) -> NDArray[np.uint8]:
    """Return a frame's grey picture at a working width, shared with the other signals of the pass."""
    if isinstance(frame, OwnedFrame):
        return frame.resized(width)
    return resize_to_width(frame.luma(), width)

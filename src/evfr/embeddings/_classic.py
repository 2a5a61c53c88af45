"""Embeddings that need no learning: grey thumbnail, HSV histogram, HOG and low DCT frequencies."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["DctEmbedder", "HogEmbedder", "HsvEmbedder", "ThumbnailEmbedder", "checked_frames"]


def checked_frames(frames: NDArray[np.uint8] | Iterable[NDArray[np.uint8]]) -> Iterable[NDArray[np.uint8]]:
    """Yield each frame, refusing what is no (H, W, 3) uint8 picture.

    Raises
    ------
    TypeError
        If a frame is not uint8.
    ValueError
        If a frame is not (H, W, 3) or is empty.
    """
    for position, frame in enumerate(frames):
        picture = np.asarray(frame)
        if picture.ndim != 3 or picture.shape[2] != 3 or picture.size == 0:
            raise ValueError(f"frames must be (N, H, W, 3) RGB, frame {position} has shape {picture.shape}")
        if picture.dtype != np.uint8:
            raise TypeError(f"frames must be uint8, frame {position} is {picture.dtype}")
        yield picture


def _grey(frame: NDArray[np.uint8], width: int, height: int) -> NDArray[np.float64]:
    # Rounded once, after the shrinking, so that a thumbnail does not depend on the order of the two steps.
    small = cv2.resize(frame, (width, height), interpolation=cv2.INTER_AREA).astype(np.float64)
    return np.asarray(0.299 * small[..., 0] + 0.587 * small[..., 1] + 0.114 * small[..., 2])


def _stack(rows: list[NDArray[np.float64]], size: int) -> NDArray[np.float32]:
    return np.array(rows, dtype=np.float32).reshape(len(rows), size)


@dataclass(frozen=True, slots=True)
class ThumbnailEmbedder:
    """Grey thumbnail, flattened.

    Attributes
    ----------
    size : int
        Side of the square thumbnail in pixels; D = size * size.
    """

    size: int = 16

    def __post_init__(self) -> None:
        if self.size < 1:
            raise ValueError(f"size must be 1 or more, got {self.size}")

    def __call__(self, frames: NDArray[np.uint8] | Iterable[NDArray[np.uint8]]) -> NDArray[np.float32]:
        """Embed frames: (N, H, W, 3) uint8 RGB to (N, size * size) float32 in [0, 1] (BT.601 grey)."""
        rows = [_grey(frame, self.size, self.size).ravel() / 255.0 for frame in checked_frames(frames)]
        return _stack(rows, self.size * self.size)

    @property
    def parameters(self) -> dict[str, Any]:
        """What the vectors depend on besides the frames, JSON-ready."""
        return {"name": "thumbnail", "schema": 1, "size": self.size}


@dataclass(frozen=True, slots=True)
class HsvEmbedder:
    """Joint histogram of hue, saturation and value, square-rooted.

    Attributes
    ----------
    bins : (int, int, int)
        Bins of hue, saturation and value; D is their product.

    Notes
    -----
    The bins sum to 1 before the root, so every vector has length 1 and the Euclidean distance of two is
    the Hellinger distance of their histograms, times the root of two. Pictures wider than 320 px are
    shrunk to that first, by area.
    """

    bins: tuple[int, int, int] = (16, 4, 4)

    def __post_init__(self) -> None:
        if len(self.bins) != 3 or min(self.bins) < 1:
            raise ValueError(f"bins must be three numbers of 1 or more, got {self.bins}")

    def __call__(self, frames: NDArray[np.uint8] | Iterable[NDArray[np.uint8]]) -> NDArray[np.float32]:
        """Embed frames: (N, H, W, 3) uint8 RGB to (N, D) float32 of length 1."""
        size = int(np.prod(self.bins))
        return _stack([self._histogram(frame) for frame in checked_frames(frames)], size)

    def _histogram(self, frame: NDArray[np.uint8]) -> NDArray[np.float64]:
        height, width = frame.shape[:2]
        if width > 320:
            frame = np.asarray(
                cv2.resize(frame, (320, max(1, round(height * 320 / width))), interpolation=cv2.INTER_AREA)
            )
        hsv = cv2.cvtColor(frame, cv2.COLOR_RGB2HSV).reshape(-1, 3).astype(np.int64)
        hue, saturation, value = self.bins
        place = hsv[:, 0] * hue // 180 * (saturation * value)
        place += hsv[:, 1] * saturation // 256 * value + hsv[:, 2] * value // 256
        counts = np.bincount(place, minlength=hue * saturation * value)
        return np.sqrt(counts / len(hsv))

    @property
    def parameters(self) -> dict[str, Any]:
        """What the vectors depend on besides the frames, JSON-ready."""
        return {"name": "hsv", "schema": 1, "bins": list(self.bins)}


@dataclass(frozen=True, slots=True)
class HogEmbedder:
    """Histogram of oriented gradients of the 128 x 128 grey picture: D = 1764.

    Notes
    -----
    9 unsigned orientations, cells of 16 x 16 px, blocks of 2 x 2 cells at every cell, L2-Hys (clip .2).
    Equals scikit-image's ``hog`` of the same picture. A flat picture gives the zero vector.

    References
    ----------
    Dalal & Triggs, "Histograms of oriented gradients for human detection", 2005,
    https://doi.org/10.1109/CVPR.2005.177
    """

    def __call__(self, frames: NDArray[np.uint8] | Iterable[NDArray[np.uint8]]) -> NDArray[np.float32]:
        """Embed frames: (N, H, W, 3) uint8 RGB to (N, 1764) float32, 0 or more."""
        return _stack([oriented_gradients(_grey(frame, 128, 128)) for frame in checked_frames(frames)], 1764)

    @property
    def parameters(self) -> dict[str, Any]:
        """What the vectors depend on besides the frames, JSON-ready."""
        return {"name": "hog", "schema": 1}


def oriented_gradients(grey: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the 1764 HOG values of a (128, 128) grey picture."""
    down, right = np.zeros_like(grey), np.zeros_like(grey)
    down[1:-1] = grey[2:] - grey[:-2]
    right[:, 1:-1] = grey[:, 2:] - grey[:, :-2]
    length = np.hypot(down, right)
    bins = (np.rad2deg(np.arctan2(down, right)) % 180.0 // 20.0).astype(np.int64)
    cell = np.arange(128) // 16
    place = ((cell[:, None] * 8 + cell[None, :]) * 9 + np.minimum(bins, 8)).ravel()
    cells = np.bincount(place, weights=length.ravel(), minlength=8 * 8 * 9).reshape(8, 8, 9) / 256.0
    blocks = np.concatenate([cells[:-1, :-1], cells[:-1, 1:], cells[1:, :-1], cells[1:, 1:]], axis=2)
    for clip in (0.2, np.inf):
        norm = np.sqrt((blocks**2).sum(axis=2, keepdims=True) + 1e-10)
        blocks = np.minimum(blocks / norm, clip)
    return np.asarray(blocks).ravel()


@dataclass(frozen=True, slots=True)
class DctEmbedder:
    """Low frequencies of the cosine transform of the 32 x 32 grey picture, without the mean.

    Attributes
    ----------
    size : int
        The size x size lowest frequencies are kept, in [2, 32]; D = size * size - 1.

    Notes
    -----
    Orthonormal DCT-II of grey in [0, 1]. The mean (frequency 0) is left out, so a change of brightness
    alone moves nothing; a flat picture gives the zero vector.
    """

    size: int = 8

    def __post_init__(self) -> None:
        if not 2 <= self.size <= 32:
            raise ValueError(f"size must be in [2, 32], got {self.size}")

    def __call__(self, frames: NDArray[np.uint8] | Iterable[NDArray[np.uint8]]) -> NDArray[np.float32]:
        """Embed frames: (N, H, W, 3) uint8 RGB to (N, size * size - 1) float32."""
        rows = []
        for frame in checked_frames(frames):
            grey = _grey(frame, 32, 32) / 255.0
            frequencies = np.asarray(cv2.dct(grey - grey.flat[0]), dtype=np.float64)
            rows.append(frequencies[: self.size, : self.size].ravel()[1:])
        return _stack(rows, self.size * self.size - 1)

    @property
    def parameters(self) -> dict[str, Any]:
        """What the vectors depend on besides the frames, JSON-ready."""
        return {"name": "dct", "schema": 1, "size": self.size}

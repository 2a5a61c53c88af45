"""Frames that no decoder made, as the signals see them; they spoil their pixels when the next one comes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import av
import cv2
import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

VECTOR = np.dtype(
    [("w", "u1"), ("h", "u1"), ("motion_x", "i4"), ("motion_y", "i4"), ("motion_scale", "u2")], align=True
)


class FakeFrame:
    """A `FrameView` over arrays."""

    def __init__(
        self,
        frame_index: int,
        grey: NDArray[np.uint8],
        *,
        is_suspect: bool = False,
        vectors: NDArray[np.void] | None = None,
    ) -> None:
        self.frame_index = frame_index
        self.is_suspect = is_suspect
        self.grey = grey
        self.vectors = np.zeros(0, VECTOR) if vectors is None else vectors

    def luma(self) -> NDArray[np.uint8]:
        return self.grey

    def rgb(self) -> NDArray[np.uint8]:
        return np.repeat(self.grey[..., None], 3, axis=2)

    def motion_vectors(self) -> NDArray[np.void]:
        return self.vectors


def played(frames: Iterable[FakeFrame]) -> Iterator[FakeFrame]:
    """Yield frames from one buffer per frame size that the next frame overwrites, as decoders do."""
    buffers: dict[tuple[int, ...], NDArray[np.uint8]] = {}
    for frame in frames:
        buffer = buffers.setdefault(frame.grey.shape, np.empty_like(frame.grey))
        buffer[...] = frame.grey
        yield FakeFrame(frame.frame_index, buffer, is_suspect=frame.is_suspect, vectors=frame.vectors)
        buffer[...] = 77


def numbered(greys: Sequence[NDArray[np.uint8]]) -> list[FakeFrame]:
    """Wrap pictures as frames 0, 1, 2, ..."""
    return [FakeFrame(index, grey) for index, grey in enumerate(greys)]


def texture(height: int, width: int, seed: int = 0) -> NDArray[np.uint8]:
    """Draw smooth noise over the full grey range."""
    noise = np.random.default_rng(seed).normal(size=(height, width)).astype(np.float32)
    smooth = cv2.GaussianBlur(noise, (0, 0), 2.0)
    smooth -= smooth.min()
    return np.rint(smooth / max(float(smooth.max()), 1e-6) * 255).astype(np.uint8)


def luma_of(path: Path, limit: int | None = None) -> Iterator[FakeFrame]:
    """Decode a clip's Y planes with PyAV alone, independent of evfr's reader (range not expanded)."""
    with av.open(str(path)) as container:
        container.streams.video[0].thread_type = "NONE"
        for index, frame in enumerate(container.decode(video=0)):
            if index == limit:
                return
            plane = frame.planes[0]
            rows = np.frombuffer(plane, np.uint8).reshape(plane.height, plane.line_size)
            yield FakeFrame(index, rows[: frame.height, : frame.width])

"""Pictures whose motion is known to the pixel, and ways to code and decode them for vectors."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
from av.sidedata.sidedata import Type as SideDataType

from evfr.video import MOTION_VECTOR_DTYPE
from evfr.video._container import open_container, prepare_decoder, video_streams

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

__all__ = ["drawn_texture", "raw_vectors", "textured_cells", "translation", "vector_row", "vectors_from"]


def drawn_texture(height: int, width: int, *, seed: int = 0) -> NDArray[np.uint8]:
    """Draw a colour picture with structure at all scales, as natural ones have; (H, W, 3) uint8."""
    rng = np.random.Generator(np.random.PCG64(seed))
    total = np.zeros((height, width, 3), np.float32)
    for scale in (3, 6, 12, 24, 48):
        small = rng.normal(size=(height // scale + 2, width // scale + 2, 3)).astype(np.float32)
        total += scale**0.6 * cv2.resize(small, (width, height), interpolation=cv2.INTER_CUBIC)
    low, high = np.percentile(total, [2, 98])
    return np.clip((total - low) / (high - low) * 220 + 18, 0, 255).astype(np.uint8)


def translation(
    count: int, motion: tuple[int, int], *, size: tuple[int, int] = (192, 128), seed: int = 0
) -> list[NDArray[np.uint8]]:
    """Look through a window that moves by ``motion`` (dx, dy) px a frame: content moves by its negative.

    So the backward flow to the frame before is ``motion``, and to the frame after its negative.
    """
    width, height = size
    dx, dy = motion
    world = drawn_texture(height + abs(dy) * count, width + abs(dx) * count, seed=seed)
    pictures = []
    for k in range(count):
        x = dx * k if dx >= 0 else -dx * (count - k)
        y = dy * k if dy >= 0 else -dy * (count - k)
        pictures.append(np.ascontiguousarray(world[y : y + height, x : x + width]))
    return pictures


def textured_cells(grey: NDArray[np.uint8], cell: int) -> NDArray[np.bool_]:
    """Return the cells, of whole ones, whose grey levels spread by more than 8 (standard deviation)."""
    height, width = grey.shape[0] // cell, grey.shape[1] // cell
    blocks = grey[: height * cell, : width * cell].reshape(height, cell, width, cell).astype(float)
    return np.asarray(blocks.std(axis=(1, 3)) > 8)


def raw_vectors(path: Path, threads: int) -> list[bytes]:
    """Decode a file by PyAV alone with our decoder options, and return each frame's vectors, gaps zeroed."""
    with open_container(path) as container:
        stream = video_streams(container)[0]
        prepare_decoder(stream, threads=threads, motion_vectors=True)
        found = []
        for frame in container.decode(stream):
            data: Any = frame.side_data.get(SideDataType.MOTION_VECTORS)  # type: ignore[call-overload]
            vectors = np.frombuffer(b"" if data is None else bytes(data), MOTION_VECTOR_DTYPE)
            clean = np.zeros(len(vectors), MOTION_VECTOR_DTYPE)
            for name in MOTION_VECTOR_DTYPE.names or ():
                clean[name] = vectors[name]
            found.append(clean.tobytes())
        return found


def vector_row(
    source: int, block: tuple[int, int, int, int], motion: tuple[float, float], scale: int = 4
) -> tuple[int, ...]:
    """Return a row of `MOTION_VECTOR_DTYPE` for a block (x, y, w, h) that came from ``motion`` px away."""
    x, y, w, h = block
    dx, dy = motion
    centre_x, centre_y = x + w // 2, y + h // 2
    return (
        *(source, w, h, int(centre_x + dx), int(centre_y + dy), centre_x, centre_y, 0),
        *(round(dx * scale), round(dy * scale), scale),
    )


def vectors_from(rows: Sequence[tuple[int, ...]]) -> NDArray[np.void]:
    """Return rows as an array of vectors."""
    return np.array(list(rows), MOTION_VECTOR_DTYPE)

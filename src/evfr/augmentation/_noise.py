"""Noise like that of successive frames, for copies of one frame."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.random import Generator
    from numpy.typing import NDArray

__all__ = ["noised", "temporal_std"]


def noised(image: NDArray[np.uint8], noise_std: NDArray[np.float32], rng: Generator) -> NDArray[np.uint8]:
    """Add Gaussian noise to a picture, rounded and clipped to 8 bit (noise images, C19 §II).

    Parameters
    ----------
    image : (H, W, 3) uint8
        RGB.
    noise_std : (H, W, 3) float32
        Standard deviation of each value in grey levels, 0 or more; `temporal_std` measures one.
    rng : numpy.random.Generator
        Draws the noise.

    Returns
    -------
    (H, W, 3) uint8
        A new picture; equal to the old one where the deviation is 0.

    Raises
    ------
    ValueError
        If shapes or types do not fit, or a deviation is negative or not finite.
    """
    if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8:
        raise ValueError(f"a picture must be (H, W, 3) uint8 RGB, got {image.shape} {image.dtype}")
    if noise_std.shape != image.shape:
        raise ValueError(f"noise_std must be {image.shape} as the picture is, got {noise_std.shape}")
    if not (np.isfinite(noise_std).all() and (noise_std >= 0).all()):
        raise ValueError("noise_std must be finite and 0 or more everywhere")
    values = image + rng.standard_normal(image.shape, dtype=np.float32) * noise_std
    return np.clip(np.rint(values), 0, 255).astype(np.uint8)


def temporal_std(images: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Return the standard deviation of each pixel over successive frames (C19 §II: of 20).

    Parameters
    ----------
    images : (N, H, W, 3) uint8
        Successive frames, one or more.

    Returns
    -------
    (H, W, 3) float32
        In grey levels: the square root of the mean squared distance from the mean of these frames.

    Raises
    ------
    ValueError
        If there is no frame, or shape or type do not fit.
    """
    if images.ndim != 4 or images.shape[3] != 3 or images.dtype != np.uint8 or not len(images):
        raise ValueError(
            f"images must be (N, H, W, 3) uint8 with one frame or more, got {images.shape} {images.dtype}"
        )
    # In whole numbers: a pixel that does not change has a deviation of 0, not of a rounding error.
    count = len(images)
    total = np.zeros(images.shape[1:], np.int64)
    squares = np.zeros(images.shape[1:], np.int64)
    for image in images:
        values = image.astype(np.int64)
        total += values
        squares += values * values
    std: NDArray[np.float32] = (np.sqrt(count * squares - total * total) / count).astype(np.float32)
    return std

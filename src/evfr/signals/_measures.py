"""Dissimilarities of two frames as pure functions: flow, grey difference, features, codec vectors."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
from numba import njit

from evfr.signals._grey import resize_to_width
from evfr.signals._ssim import _check_pair

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

__all__ = [
    "FARNEBACK",
    "difference",
    "feature_dissimilarity",
    "motion_magnitude",
    "optical_flow_dissimilarity",
]

FARNEBACK: dict[str, float | int] = {
    "pyr_scale": 0.5,
    "levels": 3,
    "winsize": 15,
    "iterations": 3,
    "poly_n": 5,
    "poly_sigma": 1.2,
    "flags": 0,
}
"""Parameters of Farneback's flow; the paper publishes none, these are ours."""


def optical_flow_dissimilarity(
    a: NDArray[np.uint8], b: NDArray[np.uint8], *, width: int | None = 320
) -> float:
    """Measure the mean length of the optical flow between two frames (OFVD, Eq. 2 of Yoon & Choi 2023).

    Parameters
    ----------
    a, b : (H, W) uint8
        Grey pictures of frames t and t + 1, one size.
    width : int or None
        Working width in pixels: both pictures are shrunk to it by area averaging, never enlarged. None
        works at full size.

    Returns
    -------
    float
        Pixels of the working width, 0 or more.

    Raises
    ------
    TypeError
        If a picture is not uint8.
    ValueError
        If the pictures differ in size or ``width`` is below 1.

    Notes
    -----
    Farneback's flow with the parameters of `FARNEBACK`; mean over all pixels of the L2 norm. Values are not
    comparable across widths, not even after scaling: store the width with the value and compare normalised
    values only. Equal pictures give exactly 0, where Farneback's borders would leave a trace (about .001).

    References
    ----------
    Farneback, "Two-frame motion estimation based on polynomial expansion", 2003,
    https://doi.org/10.1007/3-540-45103-X_50
    """
    _check_pair(a, b)
    return mean_flow(resize_to_width(a, width), resize_to_width(b, width))


def mean_flow(a: NDArray[np.uint8], b: NDArray[np.uint8]) -> float:
    """Return the mean length in pixels of Farneback's flow between two pictures, at their own size."""
    if np.array_equal(a, b):
        return 0.0
    flow = cv2.calcOpticalFlowFarneback(a, b, None, **FARNEBACK)  # type: ignore[call-overload]
    return float(_mean_length(flow))


@njit(cache=True, nogil=True)
def _mean_length(flow):  # type: ignore[no-untyped-def]
    # cv2.mean adds in an order that depends on the address of the array: its last bits differ from run to run.
    height, width = flow.shape[:2]
    columns = np.zeros(width)
    for y in range(height):
        for x in range(width):
            dx, dy = np.float64(flow[y, x, 0]), np.float64(flow[y, x, 1])
            columns[x] += np.sqrt(dx * dx + dy * dy)
    total = 0.0
    for x in range(width):
        total += columns[x]
    return total / (height * width)


def difference(a: NDArray[np.uint8], b: NDArray[np.uint8], *, width: int | None = 320) -> float:
    """Measure the mean absolute grey difference of two frames (ours).

    Parameters
    ----------
    a, b : (H, W) uint8
        Grey pictures of one size.
    width : int or None
        Working width in pixels, as in `optical_flow_dissimilarity`.

    Returns
    -------
    float
        Grey levels, in [0, 255].

    Raises
    ------
    TypeError
        If a picture is not uint8.
    ValueError
        If the pictures differ in size or ``width`` is below 1.

    Notes
    -----
    Nearly free after decoding and there for any codec; ranks frames much as `optical_flow_dissimilarity`
    does (median Spearman .88 over 21 real clips, ``benchmarks/bench_faithfulness.py``), but follows changes of
    light too.
    """
    _check_pair(a, b)
    return mean_difference(resize_to_width(a, width), resize_to_width(b, width))


def mean_difference(a: NDArray[np.uint8], b: NDArray[np.uint8]) -> float:
    """Return the mean absolute difference of two grey pictures, at their own size."""
    return float(cv2.norm(a, b, cv2.NORM_L1)) / a.size


def feature_dissimilarity(u: ArrayLike, v: ArrayLike) -> float:
    """Return 1 - cosine of two feature vectors (FSD, Eq. 5 of Yoon & Choi 2023).

    Parameters
    ----------
    u, v : (D,) float
        Features of two frames; computed in float64.

    Returns
    -------
    float
        In [0, 2]; NaN if a vector is zero or not finite, because the angle is then undefined.

    Raises
    ------
    ValueError
        If the vectors are not one-dimensional or differ in length.

    Notes
    -----
    The paper takes the last average pooling of an ImageNet ResNet-50 (2048-d); any embedding serves.
    """
    left, right = np.asarray(u, dtype=np.float64), np.asarray(v, dtype=np.float64)
    if left.ndim != 1 or left.shape != right.shape:
        raise ValueError(f"features must be two (D,) vectors, got {left.shape} and {right.shape}")
    if not (np.isfinite(left).all() and np.isfinite(right).all()):
        return math.nan
    if not (left.any() and right.any()):
        return math.nan
    if np.array_equal(left, right):
        return 0.0
    # Scaling by the largest entry first keeps tiny and huge vectors from under- and overflowing.
    left, right = left / np.abs(left).max(), right / np.abs(right).max()
    # Not BLAS: its sums depend on the number of threads.
    lengths = math.sqrt(float((left * left).sum())) * math.sqrt(float((right * right).sum()))
    cosine = float((left * right).sum()) / lengths
    return min(2.0, max(0.0, 1.0 - cosine))


def motion_magnitude(vectors: NDArray[Any], shape: tuple[int, int]) -> float:
    """Measure the mean length of a coded picture's motion vectors, weighted by block area (ours).

    Parameters
    ----------
    vectors : (K,) structured
        FFmpeg's motion vectors with fields ``w``, ``h``, ``motion_x``, ``motion_y``, ``motion_scale``.
    shape : (int, int)
        Height and width of the picture in pixels.

    Returns
    -------
    float
        Sum of vector length times block area, over the picture's area: pixels, 0 or more. NaN without
        vectors (intra pictures; codecs that export none).

    Raises
    ------
    ValueError
        If the shape is empty or a field is missing.

    Notes
    -----
    It ranks frames badly as a stand-in for `optical_flow_dissimilarity` (Spearman .55 to .63): P and B
    pictures alternate, their references lie at unknown distances, a bi-predicted block counts twice,
    skipped and intra blocks count as still. It serves to carry labels, not to weigh frames.
    """
    height, width = shape
    if height < 1 or width < 1:
        raise ValueError(f"shape must be (height, width) of a picture, got {shape}")
    fields = {"w", "h", "motion_x", "motion_y", "motion_scale"}
    if missing := fields - set(vectors.dtype.names or ()):
        raise ValueError(f"motion vectors lack the fields {sorted(missing)}; pass FFmpeg's structured array")
    if len(vectors) == 0:
        return math.nan
    scale = np.maximum(vectors["motion_scale"].astype(np.float64), 1.0)
    length = np.hypot(vectors["motion_x"].astype(np.float64), vectors["motion_y"].astype(np.float64)) / scale
    area = vectors["w"].astype(np.float64) * vectors["h"].astype(np.float64)
    return float(length @ area) / (height * width)

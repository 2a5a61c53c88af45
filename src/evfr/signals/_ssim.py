"""Structural similarity: the exact Gaussian window, and a block window that is a hundred times cheaper."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np
from numba import njit

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["ssim", "ssim_dissimilarity"]

RADIUS = 5
BLOCK = 8
BLOCK_STRIDE = 4
TILE = 512
C1 = (0.01 * 255) ** 2
C2 = (0.03 * 255) ** 2


def _half_window() -> tuple[float, ...]:
    taps = np.exp(-0.5 * (np.arange(-RADIUS, RADIUS + 1) / 1.5) ** 2)
    return tuple(float(tap) for tap in (taps / taps.sum())[RADIUS:])


K0, K1, K2, K3, K4, K5 = _half_window()


def ssim(
    a: NDArray[np.uint8], b: NDArray[np.uint8], *, window: Literal["gaussian", "block"] = "gaussian"
) -> float:
    """Measure the mean structural similarity of two grey pictures (SSIM, Eq. 3 of Yoon & Choi 2023).

    Parameters
    ----------
    a, b : (H, W) uint8
        Grey pictures of one size, full range (L = 255).
    window : {"gaussian", "block"}
        ``"gaussian"``: 11 x 11 window, sigma 1.5, at every pixel where it fits: 11 x 11 pixels at least.
        ``"block"``: flat 8 x 8 windows at every 4th pixel, full resolution: 8 x 8 pixels at least.

    Returns
    -------
    float
        In [-1, 1]; exactly 1.0 for equal pictures.

    Raises
    ------
    TypeError
        If a picture is not uint8.
    ValueError
        If the pictures differ in size, are smaller than the window, or the window is unknown.

    Notes
    -----
    C1 = (.01 L)^2, C2 = (.03 L)^2, population covariance, mean over the positions where the whole window
    lies inside the picture. The Gaussian variant equals scikit-image's ``structural_similarity(...,
    gaussian_weights=True, sigma=1.5, use_sample_covariance=False, data_range=255)``, which pads by
    reflection and then leaves the padded border out of the mean. The block variant keeps the ranking
    (median Spearman .994 over 21 real clips, ``benchmarks/bench_faithfulness.py``); shrinking the picture
    first would not.

    References
    ----------
    Wang et al., "Image quality assessment: from error visibility to structural similarity", 2004,
    https://doi.org/10.1109/TIP.2003.819861
    """
    _check_pair(a, b)
    if window == "gaussian":
        least, kernel = 2 * RADIUS + 1, _gaussian_ssim
    elif window == "block":
        least, kernel = BLOCK, _block_ssim
    else:
        raise ValueError(f"window must be 'gaussian' or 'block', got {window!r}")
    if min(a.shape) < least:
        raise ValueError(
            f"the {window} window needs {least} x {least} pixels, got {a.shape[1]} x {a.shape[0]}"
        )
    return float(kernel(np.ascontiguousarray(a), np.ascontiguousarray(b)))


def ssim_dissimilarity(
    a: NDArray[np.uint8], b: NDArray[np.uint8], *, window: Literal["gaussian", "block"] = "gaussian"
) -> float:
    """Return 1 - SSIM of two grey pictures (SSVD, Eq. 4 of Yoon & Choi 2023).

    Parameters
    ----------
    a, b : (H, W) uint8
        Grey pictures of one size, full range.
    window : {"gaussian", "block"}
        As in `ssim`.

    Returns
    -------
    float
        In [0, 2]; exactly 0.0 for equal pictures.

    Raises
    ------
    TypeError, ValueError
        As in `ssim`.
    """
    return max(0.0, 1.0 - ssim(a, b, window=window))


def _check_pair(a: NDArray[np.uint8], b: NDArray[np.uint8]) -> None:
    for picture in (a, b):
        if picture.dtype != np.uint8:
            raise TypeError(f"grey pictures must be uint8, got {picture.dtype}")
        if picture.ndim != 2:
            raise ValueError(f"grey pictures must be (H, W), got shape {picture.shape}")
    if a.shape != b.shape:
        raise ValueError(f"both pictures must have one size, got {a.shape} and {b.shape}")


@njit(cache=True, nogil=True)
def _sum_of_map(ua, ub, us, up, n, c1, c2):  # type: ignore[no-untyped-def]
    # us filters aa + bb and up filters ab, both by the same operations, so equal pictures give exactly 1.
    for x in range(n):
        squares = ua[x] * ua[x] + ub[x] * ub[x]
        product = 2.0 * (ua[x] * ub[x])
        ua[x] = (product + c1) * (2.0 * up[x] - product + c2) / ((squares + c1) * (us[x] - squares + c2))
    total = 0.0
    for x in range(n):
        total += ua[x]
    return total


@njit(cache=True, nogil=True)
def _filter_columns(ring, oldest, out, n):  # type: ignore[no-untyped-def]
    r0, r1, r2, r3 = ring[oldest], ring[(oldest + 1) % 11], ring[(oldest + 2) % 11], ring[(oldest + 3) % 11]
    r4, r5, r6 = ring[(oldest + 4) % 11], ring[(oldest + 5) % 11], ring[(oldest + 6) % 11]
    r7, r8 = ring[(oldest + 7) % 11], ring[(oldest + 8) % 11]
    r9, r10 = ring[(oldest + 9) % 11], ring[(oldest + 10) % 11]
    for x in range(n):
        out[x] = (
            K0 * r5[x]
            + K1 * (r4[x] + r6[x])
            + K2 * (r3[x] + r7[x])
            + K3 * (r2[x] + r8[x])
            + K4 * (r1[x] + r9[x])
            + K5 * (r0[x] + r10[x])
        )


@njit(cache=True, nogil=True)
def _filter_row(v, out, n):  # type: ignore[no-untyped-def]
    for x in range(n):
        out[x] = (
            K0 * v[x + 5]
            + K1 * (v[x + 4] + v[x + 6])
            + K2 * (v[x + 3] + v[x + 7])
            + K3 * (v[x + 2] + v[x + 8])
            + K4 * (v[x + 1] + v[x + 9])
            + K5 * (v[x] + v[x + 10])
        )


@njit(cache=True, nogil=True)
def _gaussian_ssim(a, b):  # type: ignore[no-untyped-def]
    # A ring of eleven rows of a tile stays in cache. Its float32 entries are integers below 2^24 and sums
    # of two of them, hence exact; only the weights bring in (float64) rounding.
    height, width = a.shape
    rows, columns = height - 10, width - 10
    ring_a = np.empty((11, TILE + 10), np.float32)
    ring_b = np.empty((11, TILE + 10), np.float32)
    ring_s = np.empty((11, TILE + 10), np.float32)
    ring_p = np.empty((11, TILE + 10), np.float32)
    column = np.empty(TILE + 10)
    ua, ub, us, up = np.empty(TILE), np.empty(TILE), np.empty(TILE), np.empty(TILE)
    total = 0.0
    for x0 in range(0, columns, TILE):
        n = min(TILE, columns - x0)
        m = n + 10
        for y in range(height):
            place = y % 11
            row_a, row_b = a[y, x0 : x0 + m], b[y, x0 : x0 + m]
            to_a, to_b, to_s, to_p = ring_a[place], ring_b[place], ring_s[place], ring_p[place]
            for x in range(m):
                p, q = np.int32(row_a[x]), np.int32(row_b[x])
                to_a[x] = p
                to_b[x] = q
                to_s[x] = p * p + q * q
                to_p[x] = p * q
            if y >= 10:
                oldest = (y + 1) % 11
                _filter_columns(ring_a, oldest, column, m)
                _filter_row(column, ua, n)
                _filter_columns(ring_b, oldest, column, m)
                _filter_row(column, ub, n)
                _filter_columns(ring_s, oldest, column, m)
                _filter_row(column, us, n)
                _filter_columns(ring_p, oldest, column, m)
                _filter_row(column, up, n)
                total += _sum_of_map(ua, ub, us, up, n, C1, C2)
    return total / (rows * columns)


@njit(cache=True, nogil=True)
def _block_ssim(a, b):  # type: ignore[no-untyped-def]
    # Integer sums over 4 x 4 cells; an 8 x 8 window is 2 x 2 cells, so each pixel is read once.
    height, width = a.shape
    rows, columns = height // 4, width // 4
    used = 4 * columns
    col_a, col_b = np.empty(used, np.int32), np.empty(used, np.int32)
    col_s, col_p = np.empty(used, np.int32), np.empty(used, np.int32)
    cell_a, cell_b = np.zeros((2, columns), np.int32), np.zeros((2, columns), np.int32)
    cell_s, cell_p = np.zeros((2, columns), np.int32), np.zeros((2, columns), np.int32)
    wa, wb, ws, wp = np.empty(columns), np.empty(columns), np.empty(columns), np.empty(columns)
    total = 0.0
    for j in range(rows):
        a0, a1, a2, a3 = a[4 * j], a[4 * j + 1], a[4 * j + 2], a[4 * j + 3]
        b0, b1, b2, b3 = b[4 * j], b[4 * j + 1], b[4 * j + 2], b[4 * j + 3]
        for x in range(used):
            p0, p1, p2, p3 = np.int32(a0[x]), np.int32(a1[x]), np.int32(a2[x]), np.int32(a3[x])
            q0, q1, q2, q3 = np.int32(b0[x]), np.int32(b1[x]), np.int32(b2[x]), np.int32(b3[x])
            col_a[x] = p0 + p1 + p2 + p3
            col_b[x] = q0 + q1 + q2 + q3
            col_s[x] = p0 * p0 + p1 * p1 + p2 * p2 + p3 * p3 + q0 * q0 + q1 * q1 + q2 * q2 + q3 * q3
            col_p[x] = p0 * q0 + p1 * q1 + p2 * q2 + p3 * q3
        i = j & 1
        for x in range(columns):
            cell_a[i, x] = col_a[4 * x] + col_a[4 * x + 1] + col_a[4 * x + 2] + col_a[4 * x + 3]
            cell_b[i, x] = col_b[4 * x] + col_b[4 * x + 1] + col_b[4 * x + 2] + col_b[4 * x + 3]
            cell_s[i, x] = col_s[4 * x] + col_s[4 * x + 1] + col_s[4 * x + 2] + col_s[4 * x + 3]
            cell_p[i, x] = col_p[4 * x] + col_p[4 * x + 1] + col_p[4 * x + 2] + col_p[4 * x + 3]
        if j > 0:
            for x in range(columns - 1):
                wa[x] = (cell_a[0, x] + cell_a[0, x + 1] + cell_a[1, x] + cell_a[1, x + 1]) / 64.0
                wb[x] = (cell_b[0, x] + cell_b[0, x + 1] + cell_b[1, x] + cell_b[1, x + 1]) / 64.0
                ws[x] = (cell_s[0, x] + cell_s[0, x + 1] + cell_s[1, x] + cell_s[1, x + 1]) / 64.0
                wp[x] = (cell_p[0, x] + cell_p[0, x + 1] + cell_p[1, x] + cell_p[1, x + 1]) / 64.0
            total += _sum_of_map(wa, wb, ws, wp, columns - 1, C1, C2)
    return total / ((rows - 1) * (columns - 1))

"""64-bit perceptual hashes: pictures that look alike differ in few bits."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import cv2
import numpy as np

from evfr.embeddings._classic import checked_frames

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["perceptual_hash"]

SIDE = 32
LOW = 8


def perceptual_hash(frames: NDArray[np.uint8] | Iterable[NDArray[np.uint8]]) -> NDArray[np.uint64]:
    """Hash frames by the signs of their 64 lowest frequencies (pHash, Zauner 2010).

    Parameters
    ----------
    frames : (N, H, W, 3) uint8, or iterable of (H, W, 3) uint8
        RGB.

    Returns
    -------
    (N,) uint64
        Bit 8 v + u says whether the coefficient at horizontal frequency u and vertical frequency v is above
        the median of the 63 without the mean; bit 0, the mean's place, is 0.

    Raises
    ------
    TypeError
        If a frame is not uint8.
    ValueError
        If a frame is not (H, W, 3) or is empty.

    Notes
    -----
    The grey picture (BT.601) is shrunk to 32 x 32 by area and taken through the DCT. Coefficients within 1e-9 of the
    median count as not above it, so that a flat picture hashes to 0 whatever its brightness. Adding brightness does not
    change the hash, nor does scaling contrast, as long as nothing clips. `evfr.sampling.dedup` with
    ``metric="hamming"`` finds near-duplicates; up to about 6 bits is the same picture coded again, 20 to 44 is
    unrelated.

    References
    ----------
    Zauner, "Implementation and Benchmarking of Perceptual Image Hash Functions", 2010.

    Examples
    --------
    >>> perceptual_hash(np.zeros((1, 8, 8, 3), np.uint8)).tolist()
    [0]
    """
    hashes = []
    for frame in checked_frames(frames):
        small = cv2.resize(frame, (SIDE, SIDE), interpolation=cv2.INTER_AREA).astype(np.float64)
        grey = 0.299 * small[..., 0] + 0.587 * small[..., 1] + 0.114 * small[..., 2]
        # Without its mean, rounding of the mean's large coefficient does not reach the others.
        low = np.asarray(cv2.dct(grey - grey.mean()), dtype=np.float64)[:LOW, :LOW].ravel()[1:]
        bits = low > np.median(low) + 1e-9
        hashes.append(int(np.packbits(np.concatenate([[False], bits]), bitorder="little").view("<u8")[0]))
    return np.array(hashes, dtype=np.uint64)

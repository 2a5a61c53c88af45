"""Collect the identity of every frame of a pass in flat integer arrays, and turn them into a `FrameTable`."""

from __future__ import annotations

from array import array
from fractions import Fraction

import numpy as np

from evfr._core.types import PTS_NONE, FrameTable

__all__ = ["TableBuilder", "frame_times"]


class TableBuilder:
    """Append frames in presentation order; memory is about 20 bytes a frame."""

    def __init__(self) -> None:
        self.pts = array("q")
        self.luma_hash = array("Q")
        self.picture_type = bytearray()
        self.is_iframe = bytearray()
        self.is_suspect = bytearray()
        self.is_decoded = bytearray()

    def __len__(self) -> int:
        return len(self.pts)

    def add(self, pts: int, picture_type: bytes, is_iframe: bool, is_suspect: bool, luma_hash: int) -> None:
        """Append a frame that decoded."""
        self.pts.append(pts)
        self.luma_hash.append(luma_hash)
        self.picture_type += picture_type
        self.is_iframe.append(is_iframe)
        self.is_suspect.append(is_suspect)
        self.is_decoded.append(True)

    def add_undecoded(self, pts: int) -> None:
        """Append the place of a frame that is known to exist but has no pixels."""
        self.pts.append(pts)
        self.luma_hash.append(0)
        self.picture_type += b"?"
        self.is_iframe.append(False)
        self.is_suspect.append(True)
        self.is_decoded.append(False)

    def build(self, time_base: Fraction, rate: Fraction, width: int, height: int) -> FrameTable:
        """Return the table; ``rate`` (frames per second) serves only where the container has no pts."""
        pts = np.array(self.pts, np.int64)
        times, is_estimated = frame_times(pts, time_base, rate)
        return FrameTable(
            pts=pts,
            time_base=time_base,
            time_seconds=times,
            picture_type=np.frombuffer(bytes(self.picture_type), "S1"),
            is_iframe=np.frombuffer(bytes(self.is_iframe), np.bool_),
            luma_hash=np.array(self.luma_hash, np.uint64),
            is_suspect=np.frombuffer(bytes(self.is_suspect), np.bool_),
            is_decoded=np.frombuffer(bytes(self.is_decoded), np.bool_),
            is_time_estimated=is_estimated,
            width=width,
            height=height,
        )


def frame_times(
    pts: np.ndarray[tuple[int, ...], np.dtype[np.int64]], time_base: Fraction, rate: Fraction
) -> tuple[np.ndarray[tuple[int, ...], np.dtype[np.float64]], bool]:
    """Return seconds since the first pts, and whether they had to be estimated from the frame rate.

    Where up to a tenth of the frames lack a pts, theirs are filled in evenly between their neighbours; where more
    do, the container has no usable time and all times are index / rate.
    """
    n = len(pts)
    known = pts != PTS_NONE
    count = int(known.sum())
    if n == 0 or count == n:
        first = int(pts[0]) if n else 0
        return (pts - first).astype(np.float64) * time_base.numerator / time_base.denominator, False
    if count < 2 or count * 10 < n * 9:
        return np.arange(n, dtype=np.float64) * rate.denominator / rate.numerator, True
    places = np.flatnonzero(known)
    first = int(pts[places[0]])
    seconds = (pts[places] - first).astype(np.float64) * time_base.numerator / time_base.denominator
    step = rate.denominator / rate.numerator
    index = np.arange(n, dtype=np.float64)
    times = np.interp(index, places, seconds)
    times[: places[0]] = (index[: places[0]] - places[0]) * step
    times[places[-1] + 1 :] = seconds[-1] + (index[places[-1] + 1 :] - places[-1]) * step
    return times - times[0], False

"""Take the grey picture out of a decoded frame: the Y plane, full range, without a colour conversion.

Grey is defined once: the decoder's Y plane, expanded to full range if it is limited, whatever the colour
matrix says. Pictures of more than 8 bits are rounded to 8. RGB and palette pictures have no Y plane: theirs is
BT.601 luma.
"""

from __future__ import annotations

import sys
import threading
from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple

import av
import numpy as np
from numba import njit

from evfr._core.types import Problem
from evfr.errors import ProblemCode, VideoError
from evfr.video._hash import plane_hash

if TYPE_CHECKING:
    from av.video.format import VideoFormat
    from av.video.frame import VideoFrame as AvFrame
    from numpy.typing import NDArray

__all__ = ["grey", "grey_of_rgb", "is_full_range", "luma_hash", "raw_luma", "rgb_of"]

_FULL_RANGE = 2  # AVCOL_RANGE_JPEG
_LIMITED_RANGE = 1  # AVCOL_RANGE_MPEG
_UNSPECIFIED = 2  # AVCOL_SPC_UNSPECIFIED
_BT709 = 1  # SWS_CS_ITU709, and AVCOL_SPC_BT709
_BT601 = 5  # SWS_CS_ITU601
_POOLED_MOST = 4
_FLAGS = (
    av.video.reformatter.Interpolation.BILINEAR
    | av.video.reformatter.Interpolation.FULL_CHR_H_INT
    | av.video.reformatter.Interpolation.ACCURATE_RND
    | av.video.reformatter.Interpolation.BITEXACT
)


class _Layout(NamedTuple):
    """Where the luma samples lie in plane 0: none for RGB, palette and other formats without a Y plane."""

    has_luma: bool
    step: int
    offset: int
    depth: int
    shift: int
    is_big_endian: bool
    is_grey: bool
    is_always_full: bool


_PACKED = {"yuyv422": (2, 0), "yvyu422": (2, 0), "uyvy422": (2, 1)}
_SHIFTED = ("p010", "p012", "p210", "p212", "p410", "p412")


@lru_cache(maxsize=64)
def _layout(name: str) -> _Layout:
    video_format: VideoFormat = av.VideoFormat(name, 16, 16)
    components = video_format.components
    first = components[0]
    big = video_format.is_big_endian
    none = _Layout(False, 0, 0, 0, 0, big, False, False)
    if (
        video_format.is_rgb
        or video_format.has_palette
        or video_format.is_bit_stream
        or name.startswith("bayer")
    ):
        return none
    if name in _PACKED:
        step, offset = _PACKED[name]
        return _Layout(True, step, offset, 8, 0, big, False, False)
    is_alone = all(c.plane != first.plane for c in components[1:])
    if (
        first.plane != 0
        or not is_alone
        or not 8 <= first.bits <= 16
        or name.startswith(("xyz", "yaf", "grayf"))
    ):
        return none
    shift = 16 - first.bits if name.startswith(_SHIFTED) else 0
    is_grey = name.startswith(("gray", "ya"))
    return _Layout(True, 1, 0, first.bits, shift, big, is_grey, is_grey or name.startswith("yuvj"))


def is_full_range(frame: AvFrame) -> bool:
    """Whether luma runs over 0..255 (full) and not 16..235 (limited); grey is full unless tagged limited."""
    return _is_full(_layout(frame.format.name), frame.color_range)


def _is_full(layout: _Layout, color_range: int) -> bool:
    return color_range == _FULL_RANGE or (layout.is_always_full and color_range != _LIMITED_RANGE)


def raw_luma(frame: AvFrame) -> NDArray[Any] | None:
    """Return a read-only view of the Y samples as decoded, (H, W), or None for a format without a Y plane.

    The view lives as long as the frame; samples above 8 bits are uint16 in native byte order and unshifted.
    """
    layout = _layout(frame.format.name)
    if not layout.has_luma:
        return None
    plane = frame.planes[0]
    width, height, line = frame.width, frame.height, plane.line_size
    data = np.frombuffer(memoryview(plane), np.uint8)
    if layout.depth == 8:
        rows: NDArray[Any] = data.reshape(height, abs(line))[
            :, layout.offset : width * layout.step : layout.step
        ]
    else:
        wide = data.view(">u2" if layout.is_big_endian else "<u2")
        rows = wide.reshape(height, abs(line) // 2)[:, :width]
        if layout.shift:
            rows = rows >> layout.shift
        if layout.is_big_endian:
            rows = rows.astype(np.uint16)
    # A negative line size is a bottom-up picture whose buffer starts at the last row.
    rows = rows[::-1] if line < 0 else rows
    rows.flags.writeable = False
    return rows


@lru_cache(maxsize=16)
def _table(depth: int, is_full: bool) -> NDArray[np.uint8]:
    """Return the table from a sample of ``depth`` bits to 8 bit full range, rounded, halves up."""
    sample = np.arange(1 << depth, dtype=np.int64)
    low, span = (0, (1 << depth) - 1) if is_full else (16 << (depth - 8), 219 << (depth - 8))
    expanded = ((sample - low) * 510 + span) // (2 * span)
    return np.clip(expanded, 0, 255).astype(np.uint8)


@njit(cache=True, nogil=True)
def _map_wide(samples, table, out):  # type: ignore[no-untyped-def]
    height, width = samples.shape
    last = len(table) - 1
    for y in range(height):
        for x in range(width):
            out[y, x] = table[min(samples[y, x], last)]


@njit(cache=True, nogil=True)
def _grey_rgb(rgb, out):  # type: ignore[no-untyped-def]
    height, width = out.shape
    for y in range(height):
        for x in range(width):
            r = np.uint32(rgb[y, x, 0])
            g = np.uint32(rgb[y, x, 1])
            b = np.uint32(rgb[y, x, 2])
            out[y, x] = (
                r * np.uint32(19595) + g * np.uint32(38470) + b * np.uint32(7471) + np.uint32(32768)
            ) >> 16


def grey_of_rgb(rgb: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return BT.601 luma of an RGB picture, in exact integers.

    Parameters
    ----------
    rgb : (H, W, 3) uint8
        Full range.

    Returns
    -------
    (H, W) uint8
        (19595 R + 38470 G + 7471 B + 32768) >> 16.
    """
    out = np.empty(rgb.shape[:2], np.uint8)
    _grey_rgb(rgb, out)
    return out


@njit(cache=True, nogil=True)
def _expand(padded, out):  # type: ignore[no-untyped-def]
    """Expand 8-bit limited range: t + ((t + 3) * 10774 >> 16) is t * 255 / 219, rounded, for all t in 0..219.

    Twice as fast as any table, because it compiles to vector instructions.
    """
    height, width = out.shape
    for y in range(height):
        for x in range(width):
            sample = min(max(padded[y, x], np.uint8(16)), np.uint8(235))
            part = ((np.uint32(sample) - np.uint32(13)) * np.uint32(10774)) >> np.uint32(16)
            out[y, x] = np.uint8(part + np.uint32(sample) - np.uint32(16))


class _Pool(threading.local):
    """Pictures that nobody holds any more, to be written again: fresh memory costs more than the expansion."""

    def __init__(self) -> None:
        self._pictures: list[NDArray[np.uint8]] = []

    def take(self, height: int, width: int) -> NDArray[np.uint8]:
        """Return a writable picture of this size that no one else refers to."""
        pictures = self._pictures
        if pictures and pictures[0].shape != (height, width):
            pictures.clear()
        for index in range(len(pictures)):
            # The list and the argument: every view or variable elsewhere would be one more.
            if sys.getrefcount(pictures[index]) == 2:
                return pictures[index]
        picture = np.empty((height, width), np.uint8)
        if len(pictures) < _POOLED_MOST:
            pictures.append(picture)
        return picture


_pool = _Pool()


def grey(frame: AvFrame) -> NDArray[np.uint8]:
    """Return the full-range grey picture of a decoded frame, (H, W) uint8, not yet turned upright."""
    layout = _layout(frame.format.name)
    if not layout.has_luma:
        return grey_of_rgb(rgb_of(frame))
    is_full = _is_full(layout, frame.color_range)
    if layout.depth == 8 and not is_full and layout.step == 1:
        plane = frame.planes[0]
        line = plane.line_size
        if line > 0:
            height = frame.height
            padded = np.frombuffer(memoryview(plane), np.uint8).reshape(height, line)
            out = _pool.take(height, frame.width)
            _expand(padded, out)
            return out
    samples = raw_luma(frame)
    assert samples is not None
    if layout.depth == 8:
        return samples if is_full else _table(8, False)[samples]
    out = np.empty(samples.shape, np.uint8)
    _map_wide(samples, _table(layout.depth, is_full), out)
    return out


def luma_hash(frame: AvFrame) -> int:
    """Hash the Y plane as decoded: rows without padding, before range and rotation.

    Formats without a Y plane (RGB, palette) are hashed by their grey picture; samples above 8 bits by their
    little-endian 16-bit words.
    """
    samples = raw_luma(frame)
    if samples is None:
        return plane_hash(grey(frame))
    if samples.dtype != np.uint8:
        samples = np.ascontiguousarray(samples, "<u2").view(np.uint8)
    return plane_hash(samples)


def rgb_of(frame: AvFrame) -> NDArray[np.uint8]:
    """Convert a decoded frame to RGB, (H, W, 3) uint8, not yet turned upright.

    The conversion is FFmpeg's swscale, pinned: bilinear chroma, full chroma interpolation, accurate rounding,
    bit-exact paths, one thread. The matrix is the one the stream names; where it names none, BT.709 for pictures
    of 720 lines and more and BT.601 below, as players do. Alpha is dropped. No tone mapping is done for HDR.

    Raises
    ------
    VideoError
        If FFmpeg has no conversion from these colours; another matrix would give wrong ones.
    """
    if _layout(frame.format.name).is_grey:
        return np.repeat(grey(frame)[:, :, None], 3, axis=2)
    matrix = None
    if frame.colorspace == _UNSPECIFIED:
        matrix = _BT709 if frame.height >= 720 else _BT601
    try:
        converted = frame.reformat(
            format="rgb24", interpolation=int(_FLAGS), src_colorspace=matrix, threads=1
        )
    except av.error.FFmpegError as error:
        text = (
            f"FFmpeg cannot turn {frame.format.name} pictures of colour matrix {int(frame.colorspace)} into RGB "
            f"({error.strerror}); convert the video to BT.709 first"
        )
        raise VideoError(Problem(ProblemCode.E_CODEC, text, "a frame")) from error
    plane = converted.planes[0]
    rows = np.frombuffer(memoryview(plane), np.uint8).reshape(converted.height, abs(plane.line_size))
    rows = rows[::-1] if plane.line_size < 0 else rows
    return np.ascontiguousarray(rows[:, : converted.width * 3]).reshape(converted.height, converted.width, 3)

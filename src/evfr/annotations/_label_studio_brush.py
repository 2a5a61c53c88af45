"""The run lengths of Label Studio's brush: bits of the thi.ng rle-pack format, four channels a pixel."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from evfr._core.masks import Rle
from evfr.annotations._parse import check_pixels, shown
from evfr.errors import AnnotationError

__all__ = ["decode_brush", "encode_brush"]

_SIZES = (3, 4, 8, 16)
"""Bits of the four kinds of length that the writer uses, as Label Studio's own tools do."""
_WORD = 8


def decode_brush(data: Any, height: int, width: int, where: str) -> Rle:
    """Return the mask of a brush region: pixels whose last channel (alpha) is not 0.

    Parameters
    ----------
    data : list of int
        ``value.rle``: bytes.
    height, width : int
        ``original_height`` and ``original_width``.
    where : str
        File and entry, for the error's text.

    Returns
    -------
    Rle
        The mask.

    Raises
    ------
    AnnotationError
        If it is no list of bytes, is cut off, or has another number of values than pixels times four.

    Notes
    -----
    Bits: 32 the number of values; 5 the bits of a value, less 1; four times 4 the bits of a length, less 1. Then
    pieces: 1 whether all values of the piece are equal, 2 which of the four lengths follows, the length less 1, and the
    one value or all of them.
    """
    try:
        packed = np.array(data, dtype=np.int64)
    except (ValueError, TypeError, OverflowError) as error:
        raise AnnotationError(
            f"{where}: rle of a brush must be a list of bytes, got {shown(data)}"
        ) from error
    if packed.ndim != 1 or ((packed < 0) | (packed > 255)).any():
        raise AnnotationError(f"{where}: rle of a brush must be a list of bytes 0 to 255")
    bits = "".join(np.unpackbits(packed.astype(np.uint8)).astype("U1").tolist())
    place = 0

    def take(count: int) -> int:
        nonlocal place
        piece = bits[place : place + count]
        if len(piece) < count:
            raise AnnotationError(f"{where}: rle of a brush is cut off after {len(packed)} bytes")
        place += count
        return int(piece, 2)

    check_pixels(height, width, where)
    total, word = take(32), take(5) + 1
    if total != height * width * 4:
        raise AnnotationError(
            f"{where}: rle of a brush holds {total} values, but {width}x{height} pixels have {height * width * 4}"
        )
    sizes = [take(4) + 1 for _ in range(4)]
    values = np.zeros(total, np.bool_)
    done = 0
    while done < total:
        is_run = take(1)
        end = done + 1 + take(sizes[take(2)])
        if end > total:
            raise AnnotationError(f"{where}: a piece of a brush's rle reaches beyond the picture")
        if is_run:
            values[done:end] = take(word) != 0
        else:
            values[done:end] = [take(word) != 0 for _ in range(done, end)]
        done = end
    return Rle.from_mask(values.reshape(height, width, 4)[:, :, 3])


def encode_brush(mask: Rle) -> list[int]:
    """Return a mask as Label Studio's brush writes it: 255 in all four channels of its pixels.

    Parameters
    ----------
    mask : Rle
        The mask.

    Returns
    -------
    list of int
        Bytes.
    """
    check_pixels(mask.height, mask.width, "a mask")
    dense = mask.to_mask().ravel()
    edges = np.flatnonzero(np.diff(dense)) + 1
    starts = np.concatenate(([0], edges))
    lengths = np.diff(np.concatenate((starts, [dense.size]))) * 4
    parts = [f"{dense.size * 4:032b}{_WORD - 1:05b}", *(f"{size - 1:04b}" for size in _SIZES)]
    for start, length in zip(starts.tolist(), lengths.tolist(), strict=True):
        parts += _run(length, 255 if dense[start] else 0)
    text = "".join(parts)
    text += "0" * (-len(text) % 8)
    return [int(text[place : place + 8], 2) for place in range(0, len(text), 8)]


def _run(length: int, value: int) -> Sequence[str]:
    parts = []
    while length:
        now = min(length, 1 << _SIZES[-1])
        kind = next(place for place, size in enumerate(_SIZES) if now <= 1 << size)
        parts.append(f"1{kind:02b}{now - 1:0{_SIZES[kind]}b}{value:08b}")
        length -= now
    return parts

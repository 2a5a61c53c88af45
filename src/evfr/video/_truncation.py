"""Tell from a container's own structure whether its file ends too early."""

from __future__ import annotations

import os
import struct
from typing import TYPE_CHECKING

from evfr.video._bytes import open_bytes, size_of

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import BinaryIO

__all__ = ["missing_bytes"]

_EBML = 0x1A45DFA3
_SEGMENT = 0x18538067
_CLUSTER = 0x1F43B675
_BOXES_MOST = 100_000


def missing_bytes(path: str | os.PathLike[str], container: str) -> int:
    """Return how many bytes the file lacks at its end, at least; 0 where its structure is whole or cannot tell.

    Parameters
    ----------
    path : str or path-like
        The file.
    container : str
        FFmpeg's name of its demuxer.

    Returns
    -------
    int
        0 or more. Raw streams, MPEG program streams and live recordings cannot tell.
    """
    check = _CHECKS.get(container.split(",")[0])
    if check is None:
        return 0
    with open_bytes(path) as file:
        size = size_of(path)
        try:
            return max(0, check(file, size))
        except (OSError, struct.error, IndexError):
            return 0


def _boxes(file: BinaryIO, size: int) -> int:
    """ISO base media: walk the top-level boxes."""
    position = 0
    for _ in range(_BOXES_MOST):
        if position >= size:
            break
        file.seek(position)
        head = file.read(16)
        if len(head) < 8:
            return 8 - len(head)
        length = struct.unpack(">I", head[:4])[0]
        if length == 1:
            if len(head) < 16:
                return 16 - len(head)
            length = struct.unpack(">Q", head[8:16])[0]
        if length == 0:
            break
        if length < 8:
            return 0
        if position + length > size:
            return position + int(length) - size
        position += length
    return 0


def _riff(file: BinaryIO, size: int) -> int:
    """AVI: each top-level RIFF chunk states its length (0 or all ones while it is being written)."""
    position = 0
    while position + 8 <= size:
        file.seek(position)
        tag, length = struct.unpack("<4sI", file.read(8))
        if tag != b"RIFF":
            return 0
        if length in (0, 0xFFFFFFFF):
            return 0
        end = position + 8 + length
        if end > size:
            return int(end) - size
        position = end + (length & 1)
    return 0


def _vint(file: BinaryIO, *, keep_marker: bool) -> tuple[int, int]:
    first = file.read(1)
    if not first or first[0] == 0:
        raise struct.error("no EBML number")
    length = 9 - first[0].bit_length()
    rest = file.read(length - 1)
    if len(rest) < length - 1:
        raise struct.error("cut EBML number")
    value = int.from_bytes(first + rest, "big")
    return (value if keep_marker else value & ((1 << (7 * length)) - 1)), length


def _matroska(file: BinaryIO, size: int) -> int:
    """Matroska: the Segment states its length; in one of unknown length the clusters do."""
    position = 0
    end = size
    for _ in range(_BOXES_MOST):
        if position >= end:
            return 0
        file.seek(position)
        try:
            element, a = _vint(file, keep_marker=True)
            length, b = _vint(file, keep_marker=False)
        except struct.error:
            return 1 if position else 0
        is_unknown = length == (1 << (7 * b)) - 1
        body = position + a + b
        if element == _SEGMENT or (element == _CLUSTER and is_unknown):
            if not is_unknown and body + length > size:
                return body + length - size
            position = body
            continue
        if is_unknown:
            return 0
        if body + length > size:
            return body + length - size
        position = body + length
    return 0


def _transport(file: BinaryIO, size: int) -> int:
    """MPEG-TS: packets of 188 bytes, 192 with a time code (m2ts), 204 with error correction."""
    file.seek(0)
    head = file.read(204 * 4)
    for length, offset in ((188, 0), (192, 4), (204, 0)):
        if all(head[offset + k * length : offset + k * length + 1] == b"G" for k in range(3)):
            return -size % length
    return 0


def _flash(file: BinaryIO, size: int) -> int:
    """FLV: tags one after the other, each followed by its length."""
    file.seek(0)
    head = file.read(9)
    if len(head) < 9 or head[:3] != b"FLV":
        return 0
    position = struct.unpack(">I", head[5:9])[0] + 4
    while position < size:
        file.seek(position)
        tag = file.read(11)
        if len(tag) < 11:
            return 11 - len(tag)
        position += 11 + int.from_bytes(tag[1:4], "big") + 4
    return int(position) - size


def _ivf(file: BinaryIO, size: int) -> int:
    """IVF: frames one after the other, each headed by its length."""
    file.seek(6)
    position = struct.unpack("<H", file.read(2))[0]
    while position < size:
        file.seek(position)
        head = file.read(12)
        if len(head) < 12:
            return 12 - len(head)
        position += 12 + struct.unpack("<I", head[:4])[0]
    return int(position) - size


def _gif(file: BinaryIO, size: int) -> int:
    """GIF: blocks up to a trailer, their data in pieces that state their lengths."""
    file.seek(10)
    flags = file.read(3)[0]
    file.seek(13 + (3 << ((flags & 7) + 1) if flags & 0x80 else 0))
    while (kind := file.read(1)) != b";":
        if kind == b"!":
            file.seek(1, os.SEEK_CUR)
        elif kind == b",":
            flags = file.read(9)[8]
            file.seek((3 << ((flags & 7) + 1) if flags & 0x80 else 0) + 1, os.SEEK_CUR)
        elif kind:
            return 0
        while length := file.read(1):
            if length == b"\0":
                break
            file.seek(length[0], os.SEEK_CUR)
        if file.tell() >= size:
            return file.tell() - size + 1
    return 0


_CHECKS: dict[str, Callable[[BinaryIO, int], int]] = {
    "mov": _boxes,
    "avi": _riff,
    "matroska": _matroska,
    "mpegts": _transport,
    "flv": _flash,
    "gif": _gif,
    "ivf": _ivf,
}

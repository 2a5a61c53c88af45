"""Damage bytes on purpose: cuts, holes, bit flips, patched boxes."""

from __future__ import annotations

import struct
from collections.abc import Iterator

import numpy as np

__all__ = [
    "box",
    "boxes",
    "flip_bits",
    "insert",
    "make_hole",
    "mdat",
    "patch",
    "scatter_holes",
    "without_box",
]

_PARENTS = {b"moov", b"trak", b"mdia", b"minf", b"stbl", b"edts", b"dinf", b"moof", b"traf", b"mvex"}


def boxes(data: bytes, start: int = 0, stop: int | None = None) -> Iterator[tuple[bytes, int, int, int]]:
    """Yield (type, position, size, header length) of the MP4 boxes of one level."""
    stop = len(data) if stop is None else stop
    while start + 8 <= stop:
        size, kind = struct.unpack_from(">I4s", data, start)
        header = 8
        if size == 1:
            (size,) = struct.unpack_from(">Q", data, start + 8)
            header = 16
        elif size == 0:
            size = stop - start
        if size < header:
            return
        yield kind, start, size, header
        start += size


def box(data: bytes, path: str) -> tuple[int, int]:
    """Return (position of the content, end) of the first box at ``path``, as in ``moov/trak/mdia/mdhd``."""
    start, stop = 0, len(data)
    for name in path.split("/"):
        for kind, position, size, header in boxes(data, start, stop):
            if kind == name.encode():
                start, stop = position + header, position + size
                break
        else:
            raise KeyError(f"no box {path}: {name} is missing")
    return start, stop


def mdat(data: bytes) -> tuple[int, int]:
    """Return (start, end) of the coded pictures of an MP4, or all but the first 2 KB of another file."""
    if data[4:8] != b"ftyp":
        return min(2048, len(data) // 4), len(data)
    return box(data, "mdat")


def patch(data: bytes, at: int, new: bytes) -> bytes:
    """Replace bytes in place."""
    assert at + len(new) <= len(data)
    return data[:at] + new + data[at + len(new) :]


def insert(data: bytes, path: str, at: int, new: bytes) -> bytes:
    """Insert bytes into the MP4 box at ``path`` at offset ``at`` of its content; all parents grow.

    Chunk offsets are not touched: use it where ``moov`` stands behind ``mdat``.
    """
    names = path.split("/")
    position = box(data, path)[0] + at
    out = bytearray(data)
    for depth in range(1, len(names) + 1):
        start = box(data, "/".join(names[:depth]))[0] - 8
        (size,) = struct.unpack_from(">I", data, start)
        struct.pack_into(">I", out, start, size + len(new))
    return bytes(out[:position]) + new + bytes(out[position:])


def without_box(data: bytes, name: str) -> bytes:
    """Leave one top-level MP4 box out."""
    return b"".join(data[p : p + size] for kind, p, size, _ in boxes(data) if kind != name.encode())


def flip_bits(data: bytes, count: int, seed: int, area: tuple[int, int] | None = None) -> bytes:
    """Flip ``count`` random bits within ``area`` (default: the coded pictures)."""
    start, stop = area or mdat(data)
    rng = np.random.default_rng(seed)
    out = np.frombuffer(data, np.uint8).copy()
    where = rng.integers(start, stop, count)
    np.bitwise_xor.at(out, where, (1 << rng.integers(0, 8, count)).astype(np.uint8))
    return out.tobytes()


def make_hole(data: bytes, at: float, size: int, fill: int | None = 0) -> bytes:
    """Overwrite ``size`` bytes at the share ``at`` of the coded pictures by ``fill`` (None: noise)."""
    start, stop = mdat(data)
    position = start + int((stop - start) * at)
    size = min(size, stop - position)
    noise = np.random.default_rng(size).integers(0, 256, size, dtype=np.uint8).tobytes()
    return patch(data, position, noise if fill is None else bytes([fill]) * size)


def scatter_holes(data: bytes, count: int, size: int, seed: int) -> bytes:
    """Zero ``count`` random ranges of ``size`` bytes."""
    for at in np.random.default_rng(seed).uniform(0, 0.97, count):
        data = make_hole(data, float(at), size)
    return data

"""Make the files of the attacks; every one is a few kilobytes, whatever it claims."""

from __future__ import annotations

import json
import os
import pickle
import struct
import zipfile
import zlib
from pathlib import Path
from typing import Any

__all__ = [
    "DEEP_LIST",
    "DEEP_OBJECT",
    "Payload",
    "npy",
    "npz",
    "pickled",
    "png",
    "png_chunk",
    "safetensors",
    "swollen",
    "zip_of",
]

DEEP_LIST = "[" * 200_000 + "]" * 200_000
DEEP_OBJECT = '{"a":' * 200_000 + "1" + "}" * 200_000


class Payload:
    """What is run where it is unpickled: it makes a file."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.mark),)


def pickled(mark: Path, protocol: int = 2) -> bytes:
    """Return a pickle that makes ``mark``."""
    return pickle.dumps(Payload(mark), protocol)


def npy(shape: str, descr: str = "'|u1'", data: bytes = b"") -> bytes:
    """Return an array file whose header says what it is told to."""
    head = f"{{'descr': {descr}, 'fortran_order': False, 'shape': {shape}, }}".encode()
    head += b" " * ((-len(head) - 11) % 64) + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(head)) + head + data


def npz(path: Path, **arrays: bytes) -> Path:
    """Write arrays as `numpy.savez_compressed` does, whatever is in them."""
    return zip_of(path, *((f"{name}.npy", data) for name, data in arrays.items()))


def zip_of(
    path: Path, *members: tuple[str | zipfile.ZipInfo, bytes], compression: int = zipfile.ZIP_DEFLATED
) -> Path:
    """Write a zip; names are taken as they are."""
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, data in members:
            info = zipfile.ZipInfo("x") if isinstance(name, str) else name
            if isinstance(name, str):
                info.filename = name
            info.compress_type = compression
            archive.writestr(info, data)
    return path


def swollen(megabytes: int) -> bytes:
    """Return a zlib stream of so many zeros, a thousandth as long."""
    squeeze = zlib.compressobj(9)
    return b"".join(squeeze.compress(bytes(1 << 20)) for _ in range(megabytes)) + squeeze.flush()


def safetensors(path: Path, head: object, data: bytes = b"", length: int | None = None) -> Path:
    """Write a safetensors file whose header is ``head`` (bytes as they are), of a length that may be a lie."""
    text = head if isinstance(head, bytes) else json.dumps(head).encode()
    path.write_bytes(struct.pack("<Q", len(text) if length is None else length) + text + data)
    return path


def png_chunk(kind: bytes, data: bytes) -> bytes:
    """Return one chunk with its checksum."""
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(
    width: int, height: int, *, pixels: bytes | None = None, extra: bytes = b"", after: bytes = b""
) -> bytes:
    """Return a grey PNG; ``pixels`` is the compressed data, ``extra`` and ``after`` are chunks around it."""
    if pixels is None:
        pixels = zlib.compress((b"\0" + bytes(width)) * height)
    head = png_chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + head + extra + png_chunk(b"IDAT", pixels) + after + png_chunk(b"IEND", b"")

"""Image folders and zips, sound and spoilt: name -> bytes, then written as a folder or as an archive."""

from __future__ import annotations

import io
import struct
import warnings
import zipfile
import zlib
from collections.abc import Callable, Mapping
from functools import lru_cache, partial
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from torture.coding import source_frames

__all__ = ["Content", "encrypted", "folder", "image", "image_bytes", "numbered", "png_bomb", "zipped"]


@lru_cache(maxsize=64)
def _picture(index: int, size: tuple[int, int]) -> np.ndarray:
    rgb = cv2.cvtColor(source_frames()[index], cv2.COLOR_YUV2RGB_I420)
    return cv2.resize(rgb, size, interpolation=cv2.INTER_AREA)


Content = bytes | Callable[[], bytes]
"""The bytes of a file, or what makes them when the file is written: the tables of cases cost nothing to import."""


def image(*what: object, **options: object) -> Callable[[], bytes]:
    """Return a function that makes one drawn picture as the bytes of an image file: see `image_bytes`."""
    return partial(image_bytes, *what, **options)


def image_bytes(
    index: int = 0,
    fmt: str = "JPEG",
    mode: str = "RGB",
    size: tuple[int, int] = (96, 54),
    orientation: int = 0,
) -> bytes:
    """Return one drawn picture as the bytes of an image file."""
    picture = Image.fromarray(_picture(index % 60, size))
    if mode == "I;16":
        grey = np.asarray(picture.convert("L")).astype(np.uint16) * 257
        picture = Image.fromarray(grey)
    elif mode == "RGB16":
        ok, data = cv2.imencode(".png", _picture(index % 60, size).astype(np.uint16) * 257)
        assert ok
        return data.tobytes()
    elif mode != "RGB":
        picture = picture.convert(mode)
    out = io.BytesIO()
    options = {}
    if orientation:
        exif = Image.Exif()
        exif[0x0112] = orientation
        options["exif"] = exif
    picture.save(out, fmt, **options)
    return out.getvalue()


def numbered(count: int, pattern: str = "{:03d}.jpg", **options: object) -> dict[str, Content]:
    """Return ``count`` healthy images by name."""
    fmt = "PNG" if pattern.endswith("png") else "JPEG"
    return {pattern.format(i): image(i, **{"fmt": fmt, **options}) for i in range(count)}


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


@lru_cache(maxsize=2)
def png_bomb(side: int = 30_000) -> bytes:
    """Return a PNG of some KB that unpacks to ``side`` x ``side`` grey pixels (its data ends early)."""
    header = struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0)
    packer = zlib.compressobj(9)
    data = packer.compress(bytes(4_000_000)) + packer.flush()
    return b"\x89PNG\r\n\x1a\n" + _chunk(b"IHDR", header) + _chunk(b"IDAT", data) + _chunk(b"IEND", b"")


def folder(path: Path, files: Mapping[str, Content]) -> None:
    """Write files into a new folder."""
    path.mkdir(parents=True)
    for name, data in files.items():
        target = path / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(data() if callable(data) else data)


def zipped(
    path: Path, files: Mapping[str, Content] | list[tuple[str, Content]], *, deflate: bool = False
) -> None:
    """Write files into a zip, with any member names, repeated ones too."""
    pairs = files.items() if isinstance(files, Mapping) else files
    method = zipfile.ZIP_DEFLATED if deflate else zipfile.ZIP_STORED
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with zipfile.ZipFile(path, "w", method) as archive:
            for name, data in pairs:
                info = zipfile.ZipInfo(name)
                info.compress_type = method
                archive.writestr(info, data() if callable(data) else data)


def encrypted(path: Path, files: Mapping[str, Content]) -> None:
    """Write a zip whose members claim to be encrypted."""
    zipped(path, files)
    data = bytearray(path.read_bytes())
    for signature, at in ((b"PK\3\4", 6), (b"PK\1\2", 8)):
        position = data.find(signature)
        while position >= 0:
            data[position + at] |= 1
            position = data.find(signature, position + 4)
    path.write_bytes(bytes(data))

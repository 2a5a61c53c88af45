"""Read files of several arrays whole: no objects, and no memory for what a file claims and does not have."""

from __future__ import annotations

import math
import tokenize
import zipfile
import zlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from evfr._core.zip_members import open_zip, opened_member

if TYPE_CHECKING:
    from typing import IO

    from numpy.typing import NDArray

__all__ = ["DAMAGED", "read_npz"]

DAMAGED = (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error)
"""What reading a file that is missing, cut off or another's may raise; a missing name is a ``KeyError``."""
_FROM_BYTES = 1 << 28
_RATIO_MOST = 200
"""Masks of zeros shrink more than this, but not beside the pictures that they belong to."""


def read_npz(path: Path) -> dict[str, NDArray[Any]]:
    """Return the arrays of a file of `numpy.savez`, by name; objects are refused.

    Raises
    ------
    OSError, ValueError, zipfile.BadZipFile
        If it is missing, damaged, holds anything but arrays of plain values, or claims more than it has.
    """
    with path.open("rb") as file, open_zip(file) as archive:
        members = archive.infolist()
        size = sum(member.file_size for member in members)
        if size > max(_FROM_BYTES, _RATIO_MOST * path.stat().st_size):
            raise ValueError(f"its {path.stat().st_size} bytes claim to unpack to {size}")
        found = {}
        for member in members:
            if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED) or member.flag_bits & 1:
                raise ValueError("its arrays are compressed or encrypted in a way that numpy does not write")
            name = member.filename.removesuffix(".npy")
            if name == member.filename or name in found:
                raise ValueError(f"its member {member.filename[:80]!r} is no array, or there twice")
            with opened_member(archive, member) as data:
                found[name] = _array(data, member.file_size)
    return found


def _array(file: IO[bytes], size: int) -> NDArray[Any]:
    version = np.lib.format.read_magic(file)
    if version not in ((1, 0), (2, 0)):
        raise ValueError(f"an array of version {version}")
    read = np.lib.format.read_array_header_1_0 if version[0] == 1 else np.lib.format.read_array_header_2_0
    try:
        shape, is_columns_first, dtype = read(file)
    # numpy evaluates the header as a literal; these are how brackets and signs without end come out.
    except (SyntaxError, tokenize.TokenError, RecursionError, MemoryError, TypeError) as error:
        raise ValueError(f"the header of an array cannot be read ({type(error).__name__})") from error
    if dtype.hasobject:
        raise ValueError("an array of objects, which could run code")
    count = math.prod(shape)
    if min(shape, default=0) < 0 or not dtype.itemsize or file.tell() + count * dtype.itemsize != size:
        raise ValueError(f"an array claims {shape} of {dtype} and has {size - file.tell()} bytes")
    flat = np.empty(count, dtype)
    view = flat.view(np.uint8).data if count else memoryview(b"")
    done = 0
    while done < len(view) and (part := file.read(min(1 << 22, len(view) - done))):
        view[done : done + len(part)] = part
        done += len(part)
    if done < len(view) or file.read(1):
        raise ValueError("an array is not as long as its zip says")
    return flat.reshape(shape, order="F" if is_columns_first else "C")

"""Read zips that nobody vouches for: what a member claims is checked first, and nothing is unpacked to disk."""

from __future__ import annotations

import contextlib
import lzma
import zipfile
import zlib
from typing import IO, TYPE_CHECKING, BinaryIO

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

__all__ = ["check_member", "open_zip", "opened_member", "read_member"]

_MEMBER_BYTES_MOST = 1 << 30
_RATIO_MOST = 200
_RATIO_FROM_BYTES = 1 << 24
# LZMA is left out: a member of a few bytes may ask for a dictionary of 4 GiB.
_COMPRESSIONS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2)
_DAMAGED = (
    ValueError,
    OSError,
    EOFError,
    NotImplementedError,
    RuntimeError,
    zlib.error,
    lzma.LZMAError,
)
"""What `zipfile` raises besides its own error where a zip is damaged or made to look so."""


def open_zip(source: Path | BinaryIO) -> zipfile.ZipFile:
    """Open a zip for reading; ``zipfile.BadZipFile`` says what is wrong, and nothing else is raised."""
    try:
        return zipfile.ZipFile(source)
    except _DAMAGED as error:
        raise zipfile.BadZipFile(str(error)) from error


def check_member(member: zipfile.ZipInfo) -> None:
    """See that a member may be read at all.

    Raises
    ------
    zipfile.BadZipFile
        If it is encrypted, compressed in an unusual way, or unpacks to far more than it takes.
    """
    name = member.orig_filename
    if member.flag_bits & 0x1:
        raise zipfile.BadZipFile(f"member {name!r} is encrypted")
    if member.compress_type not in _COMPRESSIONS:
        raise zipfile.BadZipFile(f"member {name!r} is compressed in another way than by deflate or bzip2")
    is_swollen = member.file_size > _RATIO_MOST * max(member.compress_size, 1)
    if (is_swollen and member.file_size > _RATIO_FROM_BYTES) or member.file_size > _MEMBER_BYTES_MOST:
        raise zipfile.BadZipFile(f"member {name!r} unpacks to far more than it takes")


def read_member(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> bytes:
    """Return the bytes of a member that `check_member` let pass.

    Raises
    ------
    zipfile.BadZipFile
        If it is broken, or not as long as the zip's directory says.
    """
    with opened_member(archive, member) as file:
        data = file.read(member.file_size + 1)
    if len(data) != member.file_size:
        raise zipfile.BadZipFile("it is not as long as the zip says")
    return data


@contextlib.contextmanager
def opened_member(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> Iterator[IO[bytes]]:
    """Open a member; whatever its damage raises in the block becomes ``zipfile.BadZipFile``."""
    try:
        with archive.open(member) as file:
            yield file
    except _DAMAGED as error:
        raise zipfile.BadZipFile(str(error)) from error

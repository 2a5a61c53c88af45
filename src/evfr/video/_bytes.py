"""The bytes of a file, wherever it lies: what readers ask that do not go through FFmpeg."""

from __future__ import annotations

import os
from typing import BinaryIO, cast

from evfr.video._container import open_descriptor

__all__ = ["open_bytes", "raise_failure", "size_of"]


def open_bytes(path: str | os.PathLike[str]) -> BinaryIO:
    """Open a local or a remote file for reading its bytes.

    Parameters
    ----------
    path : str or path-like
        The file; a `RemoteFile` fetches what is read.

    Returns
    -------
    binary file
        Seekable; the caller closes it.

    Raises
    ------
    VideoError
        As `open_descriptor`, or as `RemoteFile.open_bytes`.
    """
    opener = getattr(path, "open_bytes", None)
    if opener is not None:
        return cast("BinaryIO", opener())
    return open(open_descriptor(path), "rb", closefd=True)  # noqa: PTH123  (a descriptor)


def size_of(path: str | os.PathLike[str]) -> int:
    """Return the size of a local or a remote file in bytes."""
    size = getattr(path, "size_bytes", None)
    return int(size()) if size is not None else os.stat(path).st_size  # noqa: PTH116  (undecodable names)


def raise_failure(path: str | os.PathLike[str]) -> None:
    """Raise what broke while FFmpeg read a remote file, which takes it for an early end of the file."""
    check = getattr(path, "raise_failure", None)
    if check is not None:
        check()

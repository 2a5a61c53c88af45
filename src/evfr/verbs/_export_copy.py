"""Give a tool the pictures of an export in its own layout, without a second copy on disk where the system can."""

from __future__ import annotations

import os
import shutil
import zipfile
from collections.abc import Iterable
from pathlib import Path

__all__ = ["link_or_copy", "pack_zip"]

_EPOCH = (1980, 1, 1, 0, 0, 0)


def link_or_copy(source: Path, target: Path) -> None:
    """Make ``target`` the same file as ``source``, or a copy where hard links are not possible.

    Parameters
    ----------
    source : Path
        A file.
    target : Path
        Its second name; the folder is made.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)


def pack_zip(path: Path, files: Iterable[tuple[str, Path]]) -> Path:
    """Write a zip of pictures: stored, for they are compressed already, and the same bytes for the same pictures.

    Parameters
    ----------
    path : Path
        The zip.
    files : iterable of (str, Path)
        Name in the zip, and file.

    Returns
    -------
    Path
        ``path``.
    """
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        for name, file in files:
            info = zipfile.ZipInfo(name, _EPOCH)
            info.external_attr = 0o644 << 16
            archive.writestr(info, file.read_bytes())
    return path

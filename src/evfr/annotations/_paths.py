"""Open label files, folders and zips: sizes are checked first, and no name leaves its root."""

from __future__ import annotations

import os
import stat
import zipfile
from pathlib import Path
from typing import Protocol, Self

from evfr._core.natural import natural_key
from evfr._core.zip_members import check_member, open_zip, read_member
from evfr.errors import AnnotationError

__all__ = ["FolderPlace", "Place", "ZipPlace", "open_place", "read_bytes", "safe_name"]

FILE_BYTES_MOST = 4 << 30
"""Larger label files are refused: whatever is in them, it is not one video collection's labels as text."""
_MEMBER_BYTES_MOST = 1 << 30
_MEMBERS_MOST = 2_000_000


def safe_name(name: object, where: str) -> str:
    """Return a relative POSIX path that stays below its root, or refuse it.

    Parameters
    ----------
    name : object
        What a label file gives as a file name.
    where : str
        File and entry, for the error's text.

    Returns
    -------
    str
        The name as given.

    Raises
    ------
    AnnotationError
        If it is no string, empty, absolute, has a drive, a backslash, a NUL or a part ``..``.
    """
    if not isinstance(name, str) or not name:
        raise AnnotationError(f"{where}: a file name must be a text that is not empty, got {name!r:.80}")
    parts = name.split("/")
    is_bad = name.startswith("/") or "\\" in name or "\0" in name or name[1:2] == ":" or ".." in parts
    if is_bad or all(part in ("", ".") for part in parts):
        raise AnnotationError(
            f"{where}: the file name {name!r:.200} leads out of its folder (or has a drive, a backslash or a NUL); "
            "file names must be relative, with / between folders"
        )
    return name


def read_bytes(path: Path, *, most: int = FILE_BYTES_MOST) -> bytes:
    """Read a whole regular file, or say why not.

    Parameters
    ----------
    path : Path
        The file.
    most : int
        Bytes at most.

    Returns
    -------
    bytes
        Its content.

    Raises
    ------
    AnnotationError
        If it is missing, no regular file, too large or unreadable.
    """
    try:
        status = os.stat(path)  # noqa: PTH116
        if not stat.S_ISREG(status.st_mode):
            raise AnnotationError(f"{path} is no file; give the label file itself")
        if status.st_size > most:
            raise AnnotationError(f"{path} has {status.st_size} bytes, more than {most}; split it by video")
        return Path(path).read_bytes()
    except FileNotFoundError as error:
        raise AnnotationError(f"{path} does not exist; check the path") from error
    except (OSError, ValueError) as error:
        raise AnnotationError(f"cannot read {path}: {error}") from error


class Place(Protocol):
    """A folder or a zip with label files in it."""

    path: Path
    names: tuple[str, ...]
    """Relative POSIX names of all files at any depth, in natural order."""

    def read(self, name: str) -> bytes:
        """Return the bytes of one file; raise `AnnotationError` if it cannot be read."""

    def __enter__(self) -> Self:
        """Return itself."""

    def __exit__(self, *_: object) -> None:
        """Let go of the place."""


class FolderPlace:
    """The files below a folder. Links are followed only where they stay below it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._root = path.resolve()
        names = []
        for folder, folders, files in os.walk(path, onerror=self._fail):
            folders[:] = [name for name in folders if not name.startswith(".")]
            base = Path(folder).relative_to(path)
            names += [(base / name).as_posix() for name in files if not name.startswith(".")]
        self.names = tuple(sorted(names, key=natural_key))

    def _fail(self, error: OSError) -> None:
        raise AnnotationError(f"cannot look into {self.path}: {error}") from error

    def read(self, name: str) -> bytes:
        """Return the bytes of one file below the folder."""
        path = self.path / safe_name(name, str(self.path))
        if not path.resolve().is_relative_to(self._root):
            raise AnnotationError(
                f"{path} is a link that leads out of {self.path}; copy the file into the folder"
            )
        return read_bytes(path, most=_MEMBER_BYTES_MOST)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        return None


class ZipPlace:
    """The files of a zip, read without unpacking anything to disk."""

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            self._zip = open_zip(path)
        except zipfile.BadZipFile as error:
            raise AnnotationError(f"{path} is a broken zip: {error}; copy it again") from error
        try:
            self._members = self._checked()
        except BaseException:
            self._zip.close()
            raise
        self.names = tuple(sorted(self._members, key=natural_key))

    def _checked(self) -> dict[str, zipfile.ZipInfo]:
        members = [member for member in self._zip.infolist() if not member.orig_filename.endswith("/")]
        if len(members) > _MEMBERS_MOST:
            raise AnnotationError(f"{self.path} has {len(members)} members, more than {_MEMBERS_MOST}")
        chosen: dict[str, zipfile.ZipInfo] = {}
        for member in members:
            name = safe_name(member.orig_filename, str(self.path))
            if name.startswith("__MACOSX/") or name.rsplit("/", 1)[-1].startswith("."):
                continue
            if name in chosen:
                raise AnnotationError(f"{self.path} has two members {name!r}; unpack it by hand to check")
            try:
                check_member(member)
            except zipfile.BadZipFile as error:
                raise AnnotationError(f"{self.path}: {error}; unpack it and give the folder") from error
            chosen[name] = member
        return chosen

    def read(self, name: str) -> bytes:
        """Return the bytes of one member."""
        if name not in self._members:
            raise AnnotationError(f"{self.path} has no member {name!r}")
        try:
            return read_member(self._zip, self._members[name])
        except zipfile.BadZipFile as error:
            raise AnnotationError(
                f"{self.path}: member {name!r} is broken: {error}; copy the zip again"
            ) from error

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._zip.close()


def open_place(path: str | Path) -> Place:
    """Open a folder or a zip of label files.

    Parameters
    ----------
    path : str or Path
        The folder or the zip.

    Returns
    -------
    Place
        Use it in a ``with``.

    Raises
    ------
    AnnotationError
        If it is neither, cannot be read, or a member's name leads out of it.
    """
    path = Path(path)
    if path.is_dir():
        return FolderPlace(path)
    if path.suffix.lower() == ".zip" and path.is_file():
        return ZipPlace(path)
    what = "is neither a folder nor a zip" if path.exists() else "does not exist"
    raise AnnotationError(f"{path} {what}; give the folder (or zip) that holds the label files")

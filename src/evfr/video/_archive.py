"""Look into a folder or zip of images: the names in natural order, and the bytes of each.

Nothing of a zip is ever written to disk. A zip that is encrypted, broken, larger inside than it may be, or that
names a path outside itself is refused as a whole.
"""

from __future__ import annotations

import os
import stat
import zipfile
from typing import TYPE_CHECKING, Protocol

from evfr._core.zip_members import check_member, open_zip, read_member
from evfr.errors import ProblemCode, VideoError
from evfr.video._bytes import open_bytes, size_of
from evfr.video._container import fail, open_descriptor
from evfr.video._natural import image_names, is_image_name, natural_key
from evfr.video._pictures import BadImageError

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["FolderImages", "ImageStore", "ZipImages"]

_MEMBERS_MOST = 1_000_000
_MEMBER_BYTES_MOST = 1 << 30
_TOTAL_BYTES_MOST = 1 << 40


class ImageStore(Protocol):
    """A place that holds images."""

    names: list[str]

    def read(self, name: str) -> bytes:
        """Return the bytes of one image, or raise `BadImageError`."""

    def close(self) -> None:
        """Let go of the place."""


class FolderImages:
    """The images directly inside a folder."""

    def __init__(self, path: str | Path) -> None:
        self._path = path
        self.names = image_names(path)
        if not self.names:
            message = "the folder has no images; give a folder of pictures or a video"
            raise fail(ProblemCode.E_EMPTY, message, path)

    @property
    def size_bytes(self) -> int:
        """Bytes of all images on disk, those that cannot be looked at left out."""
        total = 0
        for name in self.names:
            try:
                status = os.stat(os.path.join(self._path, name))  # noqa: PTH116, PTH118
            except OSError:
                continue
            total += status.st_size if stat.S_ISREG(status.st_mode) else 0
        return total

    def read(self, name: str) -> bytes:
        """Return the bytes of one image."""
        try:
            descriptor = open_descriptor(os.path.join(self._path, name))  # noqa: PTH118
            with open(descriptor, "rb", closefd=True) as file:  # noqa: PTH123 (a descriptor)
                if os.fstat(descriptor).st_size > _MEMBER_BYTES_MOST:
                    raise BadImageError("more than 1 GiB")
                return file.read()
        except VideoError as error:
            raise BadImageError(error.problem.message) from error
        except OSError as error:
            raise BadImageError(str(error.strerror)) from error

    def close(self) -> None:
        """Do nothing: no file stays open."""


class ZipImages:
    """The images inside a zip, at any depth."""

    def __init__(self, path: str | Path) -> None:
        self._path = path
        self._file = open_bytes(path)
        try:
            self.size_bytes = size_of(path)
            try:
                self._zip = open_zip(self._file)
            except zipfile.BadZipFile as error:
                raise self._refuse(f"a broken zip ({error})") from error
            members = [member for member in self._zip.infolist() if not member.filename.endswith("/")]
            self._members = self._checked(members)
            self.names = sorted(self._members, key=natural_key)
            if not self.names:
                raise fail(ProblemCode.E_EMPTY, "the zip has no images; give a zip of pictures", path)
        except BaseException:
            self._file.close()
            raise

    def _checked(self, members: list[zipfile.ZipInfo]) -> dict[str, zipfile.ZipInfo]:
        if len(members) > _MEMBERS_MOST:
            raise self._refuse(f"{len(members)} members, more than {_MEMBERS_MOST}")
        total = 0
        chosen: dict[str, zipfile.ZipInfo] = {}
        for member in members:
            name = member.orig_filename
            parts = name.replace("\\", "/").split("/")
            if name.startswith(("/", "\\")) or ".." in parts or "\0" in name or (name[1:2] == ":"):
                raise self._refuse("a member's path leads out of the archive")
            if parts[0] == "__MACOSX" or not is_image_name(parts[-1]):
                continue
            if name in chosen:
                raise self._refuse(f"two members are called {name[:200]!r}")
            try:
                check_member(member)
            except zipfile.BadZipFile as error:
                raise self._refuse(str(error)) from error
            total += member.file_size
            chosen[name] = member
        if total > _TOTAL_BYTES_MOST:
            raise self._refuse("its images unpack to more than 1 TiB")
        return chosen

    def _refuse(self, reason: str) -> VideoError:
        return fail(
            ProblemCode.E_ARCHIVE, f"the zip is refused: {reason}; unpack it by hand to check", self._path
        )

    def read(self, name: str) -> bytes:
        """Return the bytes of one image."""
        try:
            return read_member(self._zip, self._members[name])
        except zipfile.BadZipFile as error:
            raise BadImageError(f"the zip member is broken ({error})") from error

    def close(self) -> None:
        """Close the zip."""
        self._zip.close()
        self._file.close()

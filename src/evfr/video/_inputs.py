"""Turn what a user gives (files, folders, globs, zips, lists) into videos, each with an id."""

from __future__ import annotations

import glob
import os
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from evfr._core.remote import RemoteAccess, is_remote, remote_access
from evfr.errors import InputError, VideoError
from evfr.video._bytes import open_bytes
from evfr.video._container import open_descriptor, printable
from evfr.video._natural import is_image_name, is_video_name, natural_key
from evfr.video._remote import RemoteFile
from evfr.video._remote_inputs import expand_remote

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

__all__ = ["SourceKind", "VideoSource", "kind_of", "resolve_inputs"]

SourceKind = Literal["file", "images", "archive"]
_ZIP_HEADS = (b"PK\x03\x04", b"PK\x05\x06")
_LIST_DEPTH_MOST = 8


@dataclass(frozen=True, slots=True)
class VideoSource:
    """One video as an input.

    Attributes
    ----------
    video_id : str
        POSIX path relative to the common parent of all inputs; printable, unique among them.
    path : Path or RemoteFile
        Where it is.
    kind : {"file", "images", "archive"}
        A video file, a folder of images, or a zip of images.
    """

    video_id: str
    path: Path | RemoteFile
    kind: SourceKind


def kind_of(path: str | os.PathLike[str]) -> SourceKind:
    """Tell a folder of images, a zip (by its first bytes) and a video file apart; never raises for a bad path."""
    if not isinstance(path, RemoteFile) and os.path.isdir(path):  # noqa: PTH112 (accepts any path)
        return "images"
    try:
        with open_bytes(path) as file:
            return "archive" if file.read(4) in _ZIP_HEADS else "file"
    except (VideoError, OSError):
        return "file"


def resolve_inputs(
    paths: Sequence[str | Path], *, allow_remote: Sequence[str] = ()
) -> tuple[VideoSource, ...]:
    """Turn paths into videos.

    A file is a video, or a zip of images if its content is a zip. A folder stands for the videos below it (known
    by extension, in natural order) and for the folders of images below it; images beside videos are taken for
    thumbnails, zips below a folder are left alone. A folder without either stands for itself and fails later. A
    path that does not exist and has ``*``, ``?`` or ``[`` is a glob (``**`` for any depth). ``@list.txt`` names a
    file of paths, one per line, relative to it; ``#`` starts a comment line. What does not exist becomes a source
    all the same, so that its failure is reported with the others. ``s3://bucket/key``, ``gs://bucket/key`` and
    ``https://host/path`` are remote files; in a bucket, an address that ends with ``/`` stands for the videos
    below it, and its last part may be a glob.

    Parameters
    ----------
    paths : sequence of str or Path
        In the user's order; the same path twice counts once.
    allow_remote : sequence of str
        Prefixes below which remote files may be read.

    Returns
    -------
    tuple of VideoSource
        At least one.

    Raises
    ------
    InputError
        If no paths are given, a list cannot be read, lists and globs give nothing at all, or an address is not
        below one of the prefixes.
    VideoError
        If a bucket cannot be listed.
    """
    if isinstance(paths, str | Path):
        raise TypeError(f"paths must be a sequence of paths, got one path {paths!r}; put it in a list")
    access = remote_access(allow_remote)
    found: dict[str, tuple[Path | RemoteFile, SourceKind]] = {}
    bases: list[str] = []
    remote_bases: list[str] = []
    for argument in paths:
        for path, kind, base in _expand(
            argument if isinstance(argument, RemoteFile) else os.fspath(argument), 0, access
        ):
            if isinstance(path, RemoteFile):
                name = path.url.text
                shown_base = _virtual(base)
            else:
                name, shown_base = path, base
            if name not in found:
                found[name] = (path if isinstance(path, RemoteFile) else Path(path), kind)
                (remote_bases if isinstance(path, RemoteFile) else bases).append(shown_base)
    if not found:
        given = ", ".join(printable(os.fspath(p)) for p in paths) or "nothing"
        raise InputError(
            f"no videos in what was given ({given}); give a video, a folder, a glob or @list.txt"
        )
    root = os.path.commonpath([os.path.abspath(base or ".") for base in bases]) if bases else ""  # noqa: PTH100
    # Beside local videos, remote ones are named in full, so that the two cannot be taken for each other.
    remote_root = os.path.commonpath(remote_bases) if remote_bases and not bases else "/"
    return tuple(
        VideoSource(
            _remote_id(path, remote_root) if isinstance(path, RemoteFile) else _video_id(name, root),
            path,
            kind,
        )
        for name, (path, kind) in found.items()
    )


def _video_id(path: str, root: str) -> str:
    relative = os.path.relpath(os.path.abspath(path), root)  # noqa: PTH100
    return printable(relative.replace(os.sep, "/"))


def _virtual(base: str) -> str:
    scheme, _, rest = base.partition("://")
    return f"/{scheme}/{rest.rstrip('/')}"


def _remote_id(path: RemoteFile, root: str) -> str:
    """Name a remote video below the folder that all have in common; no part of a query but its mark."""
    return _virtual(path).removeprefix(root).lstrip("/")


def _expand(
    argument: str, depth: int, access: RemoteAccess
) -> Iterator[tuple[str | RemoteFile, SourceKind, str]]:
    """Yield (path, kind, folder that ids may start from) of everything one argument stands for."""
    if not argument:
        raise InputError("an empty path was given; give a video, a folder, a glob or @list.txt")
    if isinstance(argument, RemoteFile):
        yield argument, _kind_by_name(argument), argument.rpartition("/")[0]
        return
    if is_remote(argument):
        for file, folder in expand_remote(argument, access):
            yield file, _kind_by_name(file), folder.shown
        return
    # Paths are kept as the user wrote them, but for what pathlib folds away.
    if os.path.lexists(argument):
        yield from _expand_path(str(Path(argument)))
    elif argument.startswith("@") and len(argument) > 1:
        for line in _read_list(argument[1:], depth):
            yield from _expand(line, depth + 1, access)
    elif glob.has_magic(argument) and "\0" not in argument:
        matches = sorted(glob.glob(argument, recursive=True), key=natural_key)  # noqa: PTH207
        if not matches:
            yield argument, "file", os.path.dirname(argument)  # noqa: PTH120
        for match in matches:
            yield from _expand_path(str(Path(match)))
    else:
        yield str(Path(argument)) if "\0" not in argument else argument, "file", os.path.dirname(argument)  # noqa: PTH120


def _kind_by_name(file: RemoteFile) -> SourceKind:
    """Tell by the name what a local file tells by its first bytes, which would cost a request here."""
    return "archive" if file.url.path.lower().endswith(".zip") else "file"


def _expand_path(path: str) -> Iterator[tuple[str, SourceKind, str]]:
    if not os.path.isdir(path):  # noqa: PTH112
        yield path, kind_of(path), os.path.dirname(path)  # noqa: PTH120
        return
    below = list(_walk(path, set()))
    if below == [(path, "images")] or not below:
        yield path, "images", os.path.dirname(os.path.abspath(path))  # noqa: PTH100, PTH120
        return
    for found, kind in below:
        yield found, kind, path


def _walk(folder: str, seen: set[tuple[int, int]]) -> Iterator[tuple[str, SourceKind]]:
    """Yield videos and folders of images below a folder, each real folder once, so that links cannot loop."""
    try:
        status = os.stat(folder)  # noqa: PTH116  (undecodable names stay as they are)
        if (status.st_dev, status.st_ino) in seen:
            return
        seen.add((status.st_dev, status.st_ino))
        with os.scandir(folder) as entries:
            listed = sorted(entries, key=lambda entry: natural_key(entry.name))
    except OSError:
        # A folder that cannot be listed is reported when it is opened as a source.
        yield folder, "images"
        return
    videos = [e.name for e in listed if is_video_name(e.name) and not _is_folder(e)]
    folders = [e.name for e in listed if not e.name.startswith(".") and _is_folder(e)]
    if not videos and any(is_image_name(e.name) and not _is_folder(e) for e in listed):
        yield folder, "images"
    names = sorted(
        [(name, False) for name in videos] + [(name, True) for name in folders],
        key=lambda entry: natural_key(entry[0]),
    )
    for name, is_folder in names:
        path = os.path.join(folder, name)  # noqa: PTH118
        if is_folder:
            yield from _walk(path, seen)
        else:
            yield path, "file"


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:
        return False


def _read_list(path: str, depth: int) -> list[str]:
    if depth >= _LIST_DEPTH_MOST:
        raise InputError(
            f"lists name lists more than {_LIST_DEPTH_MOST} deep at {printable(path)}; flatten them"
        )
    try:
        with open(open_descriptor(path), "rb", closefd=True) as file:  # noqa: PTH123 (a descriptor)
            status = os.fstat(file.fileno())
            if status.st_size > 1 << 26 or not stat.S_ISREG(status.st_mode):
                raise InputError(f"the list {printable(path)} is larger than 64 MiB; is it a list of paths?")
            text = os.fsdecode(file.read())
    except VideoError as error:
        raise InputError(f"the list cannot be read: {error}") from error
    except OSError as error:
        raise InputError(f"the list {printable(path)} cannot be read: {error.strerror}") from error
    folder = os.path.dirname(path)  # noqa: PTH120
    lines = [line.rstrip("\r") for line in text.removeprefix("\ufeff").split("\n")]
    kept = [line for line in lines if line.strip() and not line.startswith("#")]
    return [_beside(folder, line) for line in kept]


def _beside(folder: str, line: str) -> str:
    if is_remote(line):
        return line
    if line.startswith("@"):
        return "@" + os.path.join(folder, line[1:])  # noqa: PTH118
    return os.path.join(folder, line)  # noqa: PTH118

"""What remote files are called: by users, in manifests, on screens."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from evfr._core.remote import is_remote, parse_url, remote_access
from evfr.video._container import printable
from evfr.video._remote import RemoteFile

__all__ = ["recorded_path", "remote_file", "shown_input", "source_path"]


def remote_file(address: str, *, allow_remote: Sequence[str]) -> RemoteFile:
    """Return a remote file as what every function of `evfr.video` takes for a path.

    Parameters
    ----------
    address : str
        ``s3://bucket/key``, ``gs://bucket/key`` or ``https://host/path``.
    allow_remote : sequence of str
        Prefixes below which remote files may be read.

    Returns
    -------
    RemoteFile
        A ``str`` that carries its permission along, also to other processes.

    Raises
    ------
    InputError
        If it is not below one of the prefixes, or is no such address.

    Examples
    --------
    >>> from evfr.video import open_video, remote_file
    >>> source = remote_file("s3://footage/drive.mp4", allow_remote=["s3://footage"])
    >>> with open_video(source) as video:  # doctest: +SKIP
    ...     print(video.info.width, source.traffic)
    """
    return RemoteFile(parse_url(address), remote_access(allow_remote))


def source_path(text: str, allow_remote: Sequence[str] = ()) -> Path | RemoteFile:
    """Return what a manifest calls a path as one, or as a remote file if it is an address.

    Parameters
    ----------
    text : str
        As the manifest has it.
    allow_remote : sequence of str
        Prefixes below which remote files may be read.

    Returns
    -------
    Path or RemoteFile
        What opens it.

    Raises
    ------
    InputError
        If an address is not allowed.
    """
    return remote_file(text, allow_remote=allow_remote) if is_remote(text) else Path(text)


def recorded_path(path: str | Path) -> str:
    """Return what a manifest calls the place of a video: an absolute path, or an address without its secrets.

    Parameters
    ----------
    path : str or Path
        The place, or a `RemoteFile`.

    Returns
    -------
    str
        What `source_path` takes.
    """
    return str(path) if isinstance(path, RemoteFile) else str(Path(path).absolute())


def shown_input(text: str | Path) -> str:
    """Return what the user gave as an input, made printable, and without the secrets of an address.

    Parameters
    ----------
    text : str or Path
        As given.

    Returns
    -------
    str
        To be shown and written down.
    """
    given = str(text)
    return (
        parse_url(given).shown if not isinstance(text, RemoteFile) and is_remote(given) else printable(given)
    )

"""Turn an address given by the user into remote videos: one file, a folder of a bucket, or a pattern."""

from __future__ import annotations

import fnmatch
import glob
from collections.abc import Iterator

from evfr._core.remote import RemoteAccess, RemoteUrl, parse_url
from evfr.errors import InputError
from evfr.video._natural import is_video_name, natural_key
from evfr.video._remote import RemoteFile

__all__ = ["expand_remote"]


def expand_remote(text: str, access: RemoteAccess) -> Iterator[tuple[RemoteFile, RemoteUrl]]:
    """Yield (file, folder that ids start from) of everything one address stands for.

    Parameters
    ----------
    text : str
        A file; a folder of a bucket, which ends with ``/`` and stands for the videos below it, in natural order;
        or, in a bucket, a pattern with ``*``, ``?`` or ``[`` in its last part.
    access : RemoteAccess
        What may be read.

    Yields
    ------
    tuple of (RemoteFile, RemoteUrl)
        At least one.

    Raises
    ------
    InputError
        If it is not allowed, nothing is there, or a web address is a folder.
    """
    url = parse_url(text)
    folder = RemoteUrl(url.scheme, url.host, url.path.rpartition("/")[0] + "/")
    name = url.path.rpartition("/")[2]
    if url.is_web:
        if not name and not url.query:
            access.check(url)
            raise InputError(f"{url.shown} is a folder, and web servers do not list theirs; name the files")
        yield RemoteFile(url, access), folder
        return
    if glob.has_magic(folder.path):
        raise InputError(
            f"{url.shown}: patterns are read in the last part of an address only; name the folder"
        )
    if name and not glob.has_magic(name):
        yield RemoteFile(url, access), folder
        return
    access.check(folder)
    yield from ((found, folder) for found in _listed(url, folder, name, access))


def _listed(url: RemoteUrl, folder: RemoteUrl, pattern: str, access: RemoteAccess) -> list[RemoteFile]:
    from evfr.video._remote_cloud import list_objects

    start = glob.escape(pattern)
    plain = next((i for i, (a, b) in enumerate(zip(pattern, start, strict=False)) if a != b), len(pattern))
    beginning = RemoteUrl(url.scheme, url.host, folder.path + pattern[:plain])
    found: dict[tuple[object, ...], RemoteFile] = {}
    for item, identity in list_objects(beginning, access, is_recursive=not pattern):
        parts = item.path.removeprefix(folder.path).split("/")
        is_shown = not any(part.startswith(".") or not part for part in parts)
        if not is_shown or not item.key.isprintable() or not access.allows(item):
            continue
        if fnmatch.fnmatchcase(parts[-1], pattern) if pattern else is_video_name(parts[-1]):
            found[tuple(natural_key(part) for part in parts)] = RemoteFile(item, access, identity)
        elif parts[-1] == pattern:
            return [RemoteFile(item, access, identity)]  # a name that looks like a pattern
    if not found:
        what = f"matches {url.shown}" if pattern else f"that is a video lies below {url.shown}"
        raise InputError(f"nothing {what}; folders of images are read from local disk only")
    return [found[key] for key in sorted(found)]

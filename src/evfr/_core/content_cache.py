"""Remember the hash of a file's content for as long as the file has surely not changed."""

from __future__ import annotations

import json
import os
import stat
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from evfr._core.atomic import atomic_write_bytes
from evfr._core.store_format import digest_of

__all__ = ["cached_hash"]

_RACY_NS = 2_000_000_000


def cached_hash(folder: Path, path: Path, compute: Callable[[Path], str]) -> str:
    """Return the content hash of a file, computing it only when it is not known.

    The hash is remembered for the file's real path, size, inode, device and times of last modification
    and change. A file changed less than two seconds ago is not trusted, since a second change could leave
    the same time behind (git's "racily clean" entries). Folders are always computed.

    Parameters
    ----------
    folder : Path
        Where the hashes are remembered, one tiny file each.
    path : Path
        The file. What has a method ``remote_identity`` is asked for its identity instead of the system: a tuple of
        JSON values that changes with the bytes, or None where nothing may be remembered.
    compute : callable
        ``compute(path) -> str``, called when the hash is not known.

    Returns
    -------
    str
        The hash.

    Raises
    ------
    StoreError
        If the hash cannot be remembered because ``folder`` cannot be written.
    """
    before = _identity(path)
    if before is None:
        return compute(path)
    name = digest_of("hash", *before)
    file = folder / name[:2] / f"{name}.json"
    try:
        known = json.loads(file.read_bytes())
        if known["identity"] == list(before) and known["check"] == digest_of(known["hash"], *before):
            return str(known["hash"])
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        pass  # a cache: whatever is not exactly right is computed again
    value = compute(path)
    if _identity(path) == before and (_is_remote(path) or time.time_ns() - max(before[2:4]) > _RACY_NS):
        known = {"identity": list(before), "hash": value, "check": digest_of(value, *before)}
        atomic_write_bytes(file, json.dumps(known).encode(), is_durable=False)
    return value


def _is_remote(path: object) -> bool:
    return hasattr(path, "remote_identity")


def _identity(path: Any) -> tuple[Any, ...] | None:
    if _is_remote(path):
        found: tuple[Any, ...] | None = path.remote_identity()
        return found
    real = os.path.realpath(path)
    try:
        found = os.stat(real)  # noqa: PTH116  (of a string)
    except OSError:
        return None
    if not stat.S_ISREG(found.st_mode):
        return None
    return (real, found.st_size, found.st_mtime_ns, found.st_ctime_ns, found.st_ino, found.st_dev)

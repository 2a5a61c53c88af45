"""Keep what was fetched on local disk: files with holes while they grow, named by their content once they are whole.

``partial/<id>.data`` has the size of the remote file and holes where nothing was fetched; ``partial/<id>.map`` has
8 bytes per block: its BLAKE2b, or zeros. A block counts only if it matches, so neither a crash nor a power loss
between the two writes can pass a hole off as data, and processes may share a file without locks. A file that was
read whole and hashed moves to ``content/<hash>``; ``known/<id>.json`` remembers the hash.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import re
import time
from pathlib import Path
from typing import Any

from evfr._core.atomic import atomic_write_bytes, make_folder
from evfr._core.remote import CACHE_VARIABLE, remote_cache_folder
from evfr.errors import StoreError

__all__ = ["BLOCK_BYTES", "SIZE_VARIABLE", "CacheEntry", "RemoteCache"]

BLOCK_BYTES = 1 << 16
SIZE_VARIABLE = "EVFR_REMOTE_CACHE_GB"
_DEFAULT_GB = 50.0
_MARK = 8
_HASH = re.compile(r"[0-9a-f]{32}")


class RemoteCache:
    """A folder of limited size for what comes from remote places; any number of processes may use one.

    Parameters
    ----------
    root : Path or None
        The folder; None is ``EVFR_REMOTE_CACHE``, else ``evfr/remote`` in the user's cache.
    limit_bytes : int or None
        Size beyond which the files used longest ago go; None is ``EVFR_REMOTE_CACHE_GB``, else 50 GB.

    Raises
    ------
    StoreError
        If ``EVFR_REMOTE_CACHE_GB`` is no positive number.
    """

    def __init__(self, root: Path | None = None, limit_bytes: int | None = None) -> None:
        self.root = root or remote_cache_folder()
        self.limit_bytes = _limit() if limit_bytes is None else limit_bytes

    def whole(self, name: str) -> Path | None:
        """Return the local file that holds all of what ``name`` stands for, None if there is none."""
        digest = self.known_hash(name)
        if digest is None:
            return None
        path = self.root / "content" / digest
        try:
            os.utime(path)
        except OSError:
            return None
        return path

    def known_hash(self, name: str) -> str | None:
        """Return the content hash of ``name`` if it was ever read whole."""
        try:
            known = json.loads((self.root / "known" / f"{name}.json").read_bytes())
            digest = known["hash"]
        except (OSError, ValueError, KeyError, TypeError, RecursionError):
            return None
        return digest if isinstance(digest, str) and _HASH.fullmatch(digest) else None

    def entry(self, name: str, size: int) -> CacheEntry:
        """Open the file of ``name`` that may have holes, making room for it.

        Raises
        ------
        StoreError
            If the folder cannot be written, or the file is larger than the cache may be.
        """
        if size > self.limit_bytes:
            raise StoreError(
                f"it has {size / 1e9:.3g} GB, more than the cache of remote files may hold "
                f"({self.limit_bytes / 1e9:.3g} GB); set {SIZE_VARIABLE} higher"
            )
        folder = self.root / "partial"
        make_folder(folder)
        self._make_room(size, keep=name)
        try:
            return CacheEntry(self, name, size)
        except OSError as error:
            raise StoreError(
                f"cannot write the cache {str(folder)!r}: {error.strerror}; check the disk"
            ) from error

    def _make_room(self, size: int, keep: str) -> None:
        files: list[tuple[float, int, Path]] = []
        total = size
        for folder in ("content", "partial"):
            with contextlib.suppress(OSError), os.scandir(self.root / folder) as entries:
                for found in entries:
                    with contextlib.suppress(OSError):
                        status = found.stat()
                        used = status.st_blocks * 512
                        if found.name.startswith(keep):
                            total -= used
                        elif not found.name.endswith(".map"):
                            files.append((status.st_mtime, used, Path(found.path)))
                        total += used
        for _, used, path in sorted(files):
            if total <= self.limit_bytes:
                return
            if _remove_unused(path):
                total -= used


class CacheEntry:
    """One remote file as a local one with holes.

    Parameters
    ----------
    cache : RemoteCache
        Where it lies.
    name : str
        Names the exact bytes.
    size : int
        Of the whole file.
    """

    def __init__(self, cache: RemoteCache, name: str, size: int) -> None:
        self._cache, self._name, self.size = cache, name, size
        self.block_count = -(-size // BLOCK_BYTES)
        self._path = cache.root / "partial" / f"{name}.data"
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC
        self._data = os.open(self._path, flags, 0o600)
        try:
            fcntl.flock(self._data, fcntl.LOCK_SH)  # a file in use is not removed to make room
            os.ftruncate(self._data, size)
            self._map = os.open(self._path.with_suffix(".map"), flags, 0o600)
        except BaseException:
            os.close(self._data)
            raise
        os.ftruncate(self._map, self.block_count * _MARK)
        self._trusted: set[int] = set()

    def close(self) -> None:
        """Let go of the file; it stays for the next time."""
        if self._data >= 0:
            os.close(self._map)
            os.close(self._data)
            self._data = self._map = -1

    def has(self, block: int) -> bool:
        """Whether a block was fetched and is what was fetched."""
        if block in self._trusted:
            return True
        mark = os.pread(self._map, _MARK, block * _MARK)
        if not any(mark) or _mark(self.read(block)) != mark:
            return False
        self._trusted.add(block)
        return True

    def read(self, block: int) -> bytes:
        """Return the bytes of a block, whether it was fetched or not."""
        return os.pread(self._data, self._length(block), block * BLOCK_BYTES)

    def put(self, block: int, data: bytes) -> None:
        """Keep a block.

        Raises
        ------
        StoreError
            If the disk is full or fails.
        """
        assert len(data) == self._length(block)
        try:
            _write_all(self._data, data, block * BLOCK_BYTES)
            _write_all(self._map, _mark(data), block * _MARK)
        except OSError as error:
            raise StoreError(
                f"cannot write the cache of remote files: {error.strerror}; free some space, or set {CACHE_VARIABLE}"
            ) from error
        self._trusted.add(block)

    def finish(self, digest: str) -> None:
        """Name a file without holes by its content's hash, and remember the hash."""
        content = self._cache.root / "content"
        make_folder(content)
        os.fsync(self._data)
        with contextlib.suppress(FileNotFoundError):  # another process finished it first
            self._path.replace(content / digest)
            self._path.with_suffix(".map").unlink()
        remember(self._cache, self._name, digest)

    def _length(self, block: int) -> int:
        return min(BLOCK_BYTES, self.size - block * BLOCK_BYTES)


def remember(cache: RemoteCache, name: str, digest: str) -> None:
    """Keep the content hash of what ``name`` stands for."""
    known: dict[str, Any] = {"hash": digest, "seconds": int(time.time())}
    atomic_write_bytes(cache.root / "known" / f"{name}.json", json.dumps(known).encode(), is_durable=False)


def _limit() -> int:
    text = os.environ.get(SIZE_VARIABLE, "")
    try:
        limit = float(text) if text else _DEFAULT_GB
    except ValueError:
        limit = 0.0
    if not 0 < limit < 1e9:
        raise StoreError(f"{SIZE_VARIABLE} must be a positive number of gigabytes, got {text!r}")
    return int(limit * 1e9)


def _mark(data: bytes) -> bytes:
    digest = hashlib.blake2b(data, digest_size=_MARK).digest()
    return digest if any(digest) else b"\1" * _MARK


def _write_all(descriptor: int, data: bytes, offset: int) -> None:
    done = 0
    while done < len(data):
        done += os.pwrite(descriptor, data[done:], offset + done)


def _remove_unused(path: Path) -> bool:
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        path.unlink()
        if path.suffix == ".data":
            path.with_suffix(".map").unlink(missing_ok=True)
    except OSError:
        return False
    finally:
        os.close(descriptor)
    return True

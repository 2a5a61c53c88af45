"""A store in a bucket, seen through a local folder with copies of its files.

What counts is the bucket: a file is uploaded before it counts as written, and only then kept in the folder. Files
never change, so a copy that is there needs no question.
"""

from __future__ import annotations

import contextlib
import os
import re
import secrets
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evfr._core._bucket import Bucket
from evfr._core.atomic import make_folder
from evfr._core.remote_store import RemoteRoot
from evfr._core.store_format import (
    STAGE_NAME,
    StoreEntry,
    StoreKey,
    damage_reason,
    iterate_rows,
    read_entry,
    read_head,
    write_entry,
)
from evfr.errors import StoreError

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["Mirror", "forget_listings"]

_NAME = re.compile(rf"({STAGE_NAME.pattern})/[0-9a-f]{{2}}/[0-9a-f]{{32}}\.parquet")
_INCOMING = ".incoming"
_STALE_SECONDS = 3600
_FRESH_SECONDS = 30.0
_FEW = 4


@dataclass(slots=True)
class _Known:
    """What the bucket was seen to hold, and when; shared by all stores of one process."""

    present: dict[str, float] = field(default_factory=dict)
    listed: dict[str, float] = field(default_factory=dict)
    asked: dict[str, int] = field(default_factory=dict)


_known: dict[tuple[RemoteRoot, Path], _Known] = {}


def forget_listings() -> None:
    """Ask buckets again what they hold."""
    _known.clear()


class Mirror:
    """Read and write the files of a store in a bucket; names are those below the store's root.

    Parameters
    ----------
    root : RemoteRoot
        The store.
    """

    def __init__(self, root: RemoteRoot) -> None:
        self.folder = root.mirror
        self._root, self._bucket = root, Bucket(root)

    def has(self, name: str) -> bool:
        """Return whether the bucket holds a file, from a listing where many are asked for."""
        known = self._knowledge()
        stage, now = name.partition("/")[0], time.monotonic()
        if now - known.present.get(name, -_FRESH_SECONDS) < _FRESH_SECONDS:
            return True
        if now - known.listed.get(stage, -_FRESH_SECONDS) < _FRESH_SECONDS:
            return False
        known.asked[stage] = known.asked.get(stage, 0) + 1
        if known.asked[stage] > _FEW:
            known.asked[stage] = 0
            return name in self.names(stage)
        is_there = self._bucket.exists(name)
        if is_there:
            known.present[name] = now
        else:
            known.present.pop(name, None)
        return is_there

    def names(self, stage: str | None = None) -> dict[str, int]:
        """Return the files of one stage or of all that the bucket holds now, with their sizes, in order."""
        known, now = self._knowledge(), time.monotonic()
        listed = self._bucket.list("" if stage is None else f"{stage}/")
        found = {name: size for name, size in listed.items() if _NAME.fullmatch(name)}
        if stage is not None:
            for name in [name for name in known.present if name.startswith(f"{stage}/")]:
                del known.present[name]
            known.listed[stage] = now
        known.present.update(dict.fromkeys(found, now))
        return found

    def local(self, name: str) -> Path | None:
        """Return the local copy of a file, fetched and checked if need be; None if there is no such file."""
        path = self.folder / name
        if path.is_file():
            return path
        with self._incoming() as arrived:
            if not self._bucket.fetch(name, arrived):
                self._knowledge().present.pop(name, None)
                return None
            if reason := _wrong(arrived, name):
                raise StoreError(
                    f"cannot use {self.address(name)}: {reason}; run evfr verify {self._root} --repair, "
                    "and it will be computed again"
                )
            _move(arrived, path)
        return path

    def read(self, name: str) -> StoreEntry | None:
        """Read a file; a local copy that was damaged meanwhile is fetched again."""
        path = self.local(name)
        if path is None:
            return None
        try:
            return read_entry(path)
        except StoreError:
            path.unlink(missing_ok=True)
        path = self.local(name)
        return None if path is None else read_entry(path)

    def write(self, name: str, key: StoreKey, table: pa.Table, metadata: dict[str, Any]) -> None:
        """Write a file: first the whole upload, then the local copy."""
        with self._incoming() as made:
            write_entry(made, key, table, metadata)
            self._bucket.put(name, made)
            self._knowledge().present[name] = time.monotonic()
            _move(made, self.folder / name)

    def delete(self, name: str) -> None:
        """Delete a file from the bucket and its local copy."""
        self._bucket.delete(name)
        self._knowledge().present.pop(name, None)
        (self.folder / name).unlink(missing_ok=True)

    def inspect(self) -> Iterator[tuple[str, int, bool, str]]:
        """Fetch every object and yield (name, size, whether it is a file of a store, what is wrong with it)."""
        for name, size in self._bucket.list().items():
            if any(part.startswith(".") for part in name.split("/")):
                continue  # what a copied local store keeps for itself
            if not _NAME.fullmatch(name):
                yield name, size, False, "not a file of this store; evfr leaves it alone"
                continue
            with self._incoming() as arrived:
                if self._bucket.fetch(name, arrived):
                    yield name, size, True, _wrong(arrived, name)

    def address(self, name: str) -> str:
        """Return the address of a file."""
        return self._bucket.address(name)

    def _knowledge(self) -> _Known:
        return _known.setdefault((self._root, self.folder), _Known())

    @contextlib.contextmanager
    def _incoming(self) -> Iterator[Path]:
        """Name a file for what is not yet known to be good; it is gone afterwards, unless it was moved."""
        folder = self.folder / _INCOMING
        make_folder(folder)
        with contextlib.suppress(OSError):
            for old in folder.iterdir():  # left by processes that died
                if time.time() - old.stat().st_mtime > _STALE_SECONDS:
                    old.unlink(missing_ok=True)
        path = folder / f"{os.getpid()}-{secrets.token_hex(6)}.parquet"
        try:
            yield path
        finally:
            with contextlib.suppress(OSError):
                path.unlink()


def _move(source: Path, target: Path) -> None:
    make_folder(target.parent)
    try:
        source.replace(target)
    except OSError as error:
        raise StoreError(
            f"cannot keep the local copy {str(target)!r}: {error.strerror}; check the disk"
        ) from error


def _wrong(path: Path, name: str) -> str:
    """Return what is wrong with a file that came under a name, empty if nothing is; reads all of it."""
    try:
        head = read_head(path)
        for _ in iterate_rows(path, head.schema.names):
            pass
    except StoreError as error:
        return damage_reason(path, error)
    key = head.key
    return "" if name == key.file_name else "it holds what belongs under another name"

"""The store: one Parquet file per (video, stage), named by what it was computed from."""

from __future__ import annotations

import re
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evfr._core.atomic import TEMPORARY_GLOB
from evfr._core.content_cache import cached_hash
from evfr._core.remote_store import RemoteRoot, store_root
from evfr._core.store_format import (
    STAGE_NAME,
    STORE_SCHEMA,
    StoreEntry,
    StoreKey,
    canonical,
    damage,
    damage_reason,
    read_entry,
    read_footer,
    write_entry,
)
from evfr.errors import StoreError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    import pyarrow as pa

    from evfr._core._mirror import Mirror

__all__ = ["STORE_SCHEMA", "Store", "StoreEntry", "StoreFinding", "StoreKey"]

_FILE = re.compile(r"[0-9a-f]{32}\.parquet")
_HASHES = ".hashes"
_CACHE = ".cache"
_STALE_SECONDS = 3600


@dataclass(frozen=True, slots=True)
class StoreFinding:
    """What `Store.verify` says about one file.

    Attributes
    ----------
    path : Path or str
        The file; its address, where the store is in a bucket.
    status : str
        ``"ok"``; ``"corrupt"`` (cannot be read, fails its checksum, or is not what its name says);
        ``"temporary"`` (left by a process that died); ``"foreign"`` (not made by evfr, never touched).
    message : str
        What is wrong; empty for ``"ok"``.
    size_bytes : int
        Size of the file.
    is_removed : bool
        Whether a repair deleted it.
    """

    path: Path | str
    status: str
    message: str = ""
    size_bytes: int = 0
    is_removed: bool = False


class Store:
    """Keep results on disk, one Parquet file per (video, stage), so that nothing is computed twice.

    Files lie at ``root/<stage>/<2 hex>/<32 hex>.parquet`` and appear whole or not at all; two processes may
    work on one store, and the same key always has the same bytes. Nothing is made before the first write.

    Parameters
    ----------
    root : Path, str or RemoteRoot
        Folder of the store; one in a bucket as made by `evfr._core.remote_store.store_root`, with its permission.

    Attributes
    ----------
    root : Path
        The folder; of a store in a bucket that of the local copies, whose files never change either.

    Raises
    ------
    StoreError
        If the folder is a file, or an address without a permission.

    Examples
    --------
    >>> import tempfile, pyarrow as pa
    >>> store = Store(tempfile.mkdtemp())
    >>> key = store.key("6c1f", "signals", {"width": 320})
    >>> store.write(key, pa.table({"flow": [0.5, 0.0]}), {"video_id": "drive.mp4"})
    >>> store.missing([key, store.key("6c1f", "signals", {"width": 160})])[0].parameters
    '{"width":160}'
    >>> store.read(key).column("flow").to_pylist()
    [0.5, 0.0]
    """

    def __init__(self, root: Path | str | RemoteRoot) -> None:
        given = store_root(root)
        self._mirror: Mirror | None = None
        if isinstance(given, RemoteRoot):
            from evfr._core._mirror import Mirror

            self._mirror = Mirror(given)
            self.root, self.shown = self._mirror.folder, str(given)
            return
        self.root, self.shown = given, str(given)
        if self.root.exists() and not self.root.is_dir():
            raise StoreError(f"the store {str(self.root)!r} is a file; give the path of a folder")

    def __repr__(self) -> str:
        return f"Store({self.shown!r})"

    @property
    def is_remote(self) -> bool:
        """Whether the store is in a bucket."""
        return self._mirror is not None

    def key(self, video_hash: str, stage: str, parameters: Mapping[str, Any]) -> StoreKey:
        """Return the key of one result.

        Parameters
        ----------
        video_hash : str
            Hash of the video's bytes.
        stage : str
            What is computed.
        parameters : mapping
            Everything else that the result depends on, JSON values only (finite floats), with the version of
            the code that computes it. Order does not matter; ``1`` and ``1.0`` are different.

        Returns
        -------
        StoreKey

        Raises
        ------
        TypeError, ValueError
            If ``parameters`` is not JSON, or ``stage`` is no valid name.
        """
        return StoreKey(stage, video_hash, canonical(dict(parameters), "parameters"))

    def path(self, key: StoreKey) -> Path:
        """Return where the file of ``key`` is or would be; of a store in a bucket the local copy."""
        return self.root / key.file_name

    def local(self, key: StoreKey) -> Path:
        """Return `path`, after fetching the file if it is only in a bucket; StoreError if it is damaged there."""
        if self._mirror is not None:
            self._mirror.local(key.file_name)
        return self.path(key)

    def has(self, key: StoreKey) -> bool:
        """Return whether the result is there (without reading it)."""
        if self._mirror is not None:
            return self._mirror.has(key.file_name)
        return self.path(key).is_file()

    def missing(self, keys: Iterable[StoreKey]) -> list[StoreKey]:
        """Return the keys whose results are not there: the work that is left, in order, each once."""
        return [key for key in dict.fromkeys(keys) if not self.has(key)]

    def write(self, key: StoreKey, table: pa.Table, metadata: Mapping[str, Any] | None = None) -> None:
        """Write one result; the same key, table and metadata give the same bytes.

        Parameters
        ----------
        key : StoreKey
            Its name.
        table : pyarrow.Table
            Its rows; vectors as made by `evfr._core.vectors.vectors_to_column`.
        metadata : mapping, optional
            JSON values that are kept with the table (``video_id`` becomes a column of `compact`).

        Raises
        ------
        StoreError
            If the system refuses; then nothing is visible and the temporary file is gone.
        TypeError, ValueError
            If ``metadata`` is not JSON.
        """
        if self._mirror is not None:
            self._mirror.write(key.file_name, key, table, dict(metadata or {}))
        else:
            write_entry(self.path(key), key, table, dict(metadata or {}))

    def read(self, key: StoreKey) -> pa.Table:
        """Read the rows of one result; see `read_entry`."""
        return self.read_entry(key).table

    def read_entry(self, key: StoreKey) -> StoreEntry:
        """Read one result with its metadata, and check that it is what was written.

        Parameters
        ----------
        key : StoreKey
            Its name.

        Returns
        -------
        StoreEntry

        Raises
        ------
        StoreError
            If it is not there, cannot be read, fails its checksum, or belongs to another key.
        """
        path = self.path(key)
        if self._mirror is not None:
            found, shown = self._mirror.read(key.file_name), self._mirror.address(key.file_name)
        else:
            found, shown = read_entry(path) if path.is_file() else None, str(path)
        if found is None:
            raise StoreError(
                f"{shown!r} is not there: stage {key.stage!r} of this video was not computed yet"
            )
        entry = found
        if entry.key != key:
            raise damage(path, f"it holds stage {entry.key.stage!r} of another video or other parameters")
        return entry

    def read_metadata(self, key: StoreKey) -> dict[str, Any]:
        """Return what was passed as ``metadata`` to `write`, without reading the rows."""
        return read_footer(self.local(key))[1]

    def files(self, stage: str | None = None) -> Iterator[Path]:
        """Yield the files of one stage or of all, in the order of their names; those in a bucket are fetched."""
        if self._mirror is not None:
            for name in self._mirror.names(stage):
                if (path := self._mirror.local(name)) is not None:
                    yield path
            return
        stages = [self.root / stage] if stage is not None else _folders(self.root, STAGE_NAME)
        for folder in stages:
            for shard in _folders(folder, re.compile(r"[0-9a-f]{2}")):
                yield from sorted(p for p in shard.iterdir() if _FILE.fullmatch(p.name))

    def stages(self) -> list[str]:
        """Return the names of the stages that have files."""
        if self._mirror is not None:
            return list(dict.fromkeys(name.partition("/")[0] for name in self._mirror.names()))
        return [folder.name for folder in _folders(self.root, STAGE_NAME) if any(self.files(folder.name))]

    def entries(self, stage: str) -> Iterator[StoreEntry]:
        """Read every file of a stage, in the order of their names."""
        for path in self.files(stage):
            yield read_entry(path)

    def verify(self, *, repair: bool = False) -> list[StoreFinding]:
        """Check every file: readable, what its name says, checksums right, nothing left behind.

        Parameters
        ----------
        repair : bool
            Delete corrupt files (they will be computed again) and temporary files older than an hour.
            Foreign files are never touched.

        Returns
        -------
        list of StoreFinding
            One for each file, also for the good ones, in the order of their paths.

        Raises
        ------
        StoreError
            If there is no such folder, or a file cannot be deleted.
        """
        if self._mirror is not None:
            return self._verify_remote(self._mirror, repair)
        if not self.root.is_dir():
            raise StoreError(f"there is no store at {str(self.root)!r}; give the folder passed as --out")
        ours = set(self.files())
        findings = []
        for path in sorted(p for p in self.root.rglob("*") if not p.is_dir()):
            finding = self._inspect(path, path in ours)
            if finding is None:
                continue
            if repair and finding.status in ("corrupt", "temporary"):
                try:
                    path.unlink(missing_ok=True)
                except OSError as error:
                    raise StoreError(f"cannot delete {str(path)!r}: {error.strerror}") from error
                finding = StoreFinding(path, finding.status, finding.message, finding.size_bytes, True)
            findings.append(finding)
        return findings

    def compact(
        self, stage: str, *, out: Path | str | None = None, remove_sources: bool = False
    ) -> tuple[Path, int, int]:
        """Merge the files of a stage into one for analysis; see `evfr._core.compaction.compact_stage`."""
        from evfr._core.compaction import compact_stage

        if self.is_remote and (out is None or remove_sources):
            raise StoreError(
                f"files of {self.shown} are merged into a local file, and stay; give a local folder (--out), "
                "and leave --remove-sources out"
            )
        target = Path(out) if out is not None else self.root / f"{stage}.parquet"
        return compact_stage(self, stage, target, remove_sources=remove_sources)

    @property
    def cache_folder(self) -> Path:
        """Where files lie that can be made again from the store's own; the folder may be deleted at any time."""
        return self.root / _CACHE

    def cached_hash(self, path: Path | str, compute: Callable[[Path], str]) -> str:
        """Return the content hash of a file, read again only if it changed; see `evfr._core.content_cache`."""
        given: Any = path if hasattr(path, "remote_identity") else Path(path)
        return cached_hash(self.root / _HASHES, given, compute)

    def _verify_remote(self, mirror: Mirror, repair: bool) -> list[StoreFinding]:
        findings = []
        for name, size, is_ours, message in mirror.inspect():
            status = ("corrupt" if message else "ok") if is_ours else "foreign"
            is_removed = repair and status == "corrupt"
            if is_removed:
                mirror.delete(name)
            findings.append(StoreFinding(mirror.address(name), status, message, size, is_removed))
        if not findings:
            raise StoreError(f"there is no store at {self.shown!r}; give the address passed as --out")
        return findings

    def _inspect(self, path: Path, is_ours: bool) -> StoreFinding | None:
        try:
            status = path.lstat()
        except OSError:
            return None  # another process renamed or removed it meanwhile
        size = status.st_size
        if is_ours:
            try:
                entry = read_entry(path)
                if self.path(entry.key) != path:
                    raise damage(path, "it holds what belongs under another name")
            except StoreError as error:
                return StoreFinding(path, "corrupt", damage_reason(path, error), size)
            return StoreFinding(path, "ok", "", size)
        if path.match(TEMPORARY_GLOB):
            age = time.time() - status.st_mtime
            message = f"left {age / 3600:.1f} hours ago by a process that died"
            return StoreFinding(path, "temporary", message, size) if age > _STALE_SECONDS else None
        if path.is_relative_to(self.root / _HASHES) or path.is_relative_to(self.cache_folder):
            return None
        if _is_compacted(path):
            return None
        return StoreFinding(path, "foreign", "not a file of this store; evfr leaves it alone", size)


def _folders(root: Path, pattern: re.Pattern[str]) -> list[Path]:
    if not root.is_dir():
        return []
    return sorted(p for p in root.iterdir() if pattern.fullmatch(p.name) and p.is_dir())


def _is_compacted(path: Path) -> bool:
    from evfr._core.compaction import is_compacted

    return is_compacted(path)

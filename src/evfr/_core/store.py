"""The store: one Parquet file per (video, stage), named by what it was computed from."""

from __future__ import annotations

import hashlib
import json
import os
import re
import stat
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq

from evfr._core.atomic import TEMPORARY_GLOB, atomic_file, atomic_write_bytes
from evfr.errors import StoreError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

__all__ = ["STORE_SCHEMA", "Store", "StoreEntry", "StoreFinding", "StoreKey"]

STORE_SCHEMA = 1
"""Version of the layout and of the tables' meaning; raising it makes every older file unknown."""

_STAGE = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")
_FILE = re.compile(r"[0-9a-f]{32}\.parquet")
_META = b"evfr"
_CHECK = b"evfr.checksum"
_STALE_SECONDS = 3600
_ROW_GROUP_BYTES = 64 << 20
_RACY_NS = 2_000_000_000


@dataclass(frozen=True, slots=True)
class StoreKey:
    """Name one result: what was computed, from which bytes, with which parameters.

    Attributes
    ----------
    stage : str
        What was computed, for example ``"signals"``: lower-case letters, digits, ``-`` and ``_``.
    video_hash : str
        Hash of the video's bytes.
    parameters : str
        Canonical JSON of everything else that the result depends on.
    digest : str
        32 hexadecimal digits, a hash of all of these and of `STORE_SCHEMA`: the file's name.
    """

    stage: str
    video_hash: str
    parameters: str
    digest: str = field(init=False)

    def __post_init__(self) -> None:
        if not _STAGE.fullmatch(self.stage):
            raise ValueError(
                f"stage must be 1 to 64 lower-case letters, digits, '-' or '_', got {self.stage!r}"
            )
        if not self.video_hash:
            raise ValueError("video_hash must not be empty; hash the video's bytes first")
        object.__setattr__(
            self, "digest", _digest(STORE_SCHEMA, self.stage, self.video_hash, self.parameters)
        )


@dataclass(frozen=True, slots=True)
class StoreEntry:
    """One file of the store, read.

    Attributes
    ----------
    table : pyarrow.Table
        The rows, without the store's own schema metadata.
    metadata : dict
        What the writer passed as ``metadata``.
    key : StoreKey
        What the file says it is.
    """

    table: pa.Table
    metadata: dict[str, Any]
    key: StoreKey


@dataclass(frozen=True, slots=True)
class StoreFinding:
    """What `Store.verify` says about one file.

    Attributes
    ----------
    path : Path
        The file.
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

    path: Path
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
    root : Path or str
        Folder of the store.

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

    def __init__(self, root: Path | str) -> None:
        self.root = Path(root)
        if self.root.exists() and not self.root.is_dir():
            raise StoreError(f"the store {str(self.root)!r} is a file; give the path of a folder")

    def __repr__(self) -> str:
        return f"Store({str(self.root)!r})"

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
        return StoreKey(stage, video_hash, _canonical(dict(parameters), "parameters"))

    def path(self, key: StoreKey) -> Path:
        """Return where the file of ``key`` is or would be."""
        return self.root / key.stage / key.digest[:2] / f"{key.digest}.parquet"

    def has(self, key: StoreKey) -> bool:
        """Return whether the result is there (without reading it)."""
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
        text = _canonical(
            {
                "schema": STORE_SCHEMA,
                "stage": key.stage,
                "video_hash": key.video_hash,
                "parameters": json.loads(key.parameters),
                "metadata": dict(metadata or {}),
            },
            "metadata",
        )
        table = table.replace_schema_metadata(None)
        table = table.replace_schema_metadata(
            {_META: text.encode(), _CHECK: _checksum(text, table.schema, table.num_rows).encode()}
        )
        with atomic_file(self.path(key)) as sink:
            write_parquet(table, sink)

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
        if not path.is_file():
            raise StoreError(
                f"{str(path)!r} is not there: stage {key.stage!r} of this video was not computed yet"
            )
        entry = _read(path)
        if entry.key != key:
            raise _damage(path, f"it holds stage {entry.key.stage!r} of another video or other parameters")
        return entry

    def read_metadata(self, key: StoreKey) -> dict[str, Any]:
        """Return what was passed as ``metadata`` to `write`, without reading the rows."""
        return read_footer(self.path(key))[1]

    def files(self, stage: str | None = None) -> Iterator[Path]:
        """Yield the files of one stage or of all, in the order of their names."""
        stages = [self.root / stage] if stage is not None else _folders(self.root, _STAGE)
        for folder in stages:
            for shard in _folders(folder, re.compile(r"[0-9a-f]{2}")):
                yield from sorted(p for p in shard.iterdir() if _FILE.fullmatch(p.name))

    def stages(self) -> list[str]:
        """Return the names of the stages that have files."""
        return [folder.name for folder in _folders(self.root, _STAGE) if any(self.files(folder.name))]

    def entries(self, stage: str) -> Iterator[StoreEntry]:
        """Read every file of a stage, in the order of their names."""
        for path in self.files(stage):
            yield _read(path)

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

        target = Path(out) if out is not None else self.root / f"{stage}.parquet"
        return compact_stage(self, stage, target, remove_sources=remove_sources)

    def cached_hash(self, path: Path | str, compute: Callable[[Path], str]) -> str:
        """Return the content hash of a file without reading it again when it has not changed.

        The hash is remembered for the file's real path, size, inode, device and times of last modification
        and change. A file changed less than two seconds ago is not trusted, since a second change could leave
        the same time behind (git's "racily clean" entries). Folders are always computed.

        Parameters
        ----------
        path : Path or str
            The file.
        compute : callable
            ``compute(path) -> str``, called when the hash is not known.

        Returns
        -------
        str
            The hash.

        Raises
        ------
        StoreError
            If the hash cannot be remembered because the store cannot be written.
        """
        path = Path(path)
        before = _identity(path)
        if before is None:
            return compute(path)
        name = _digest("hash", *before)
        file = self.root / ".hashes" / name[:2] / f"{name}.json"
        try:
            known = json.loads(file.read_bytes())
            if known["identity"] == list(before) and known["check"] == _digest(known["hash"], *before):
                return str(known["hash"])
        except (OSError, ValueError, KeyError, TypeError):
            pass  # a cache: whatever is not exactly right is computed again
        value = compute(path)
        if _identity(path) == before and time.time_ns() - max(before[2], before[3]) > _RACY_NS:
            known = {"identity": list(before), "hash": value, "check": _digest(value, *before)}
            atomic_write_bytes(file, json.dumps(known).encode(), is_durable=False)
        return value

    def _inspect(self, path: Path, is_ours: bool) -> StoreFinding | None:
        try:
            status = path.lstat()
        except OSError:
            return None  # another process renamed or removed it meanwhile
        size = status.st_size
        if is_ours:
            try:
                entry = _read(path)
                if self.path(entry.key) != path:
                    raise _damage(path, "it holds what belongs under another name")
            except StoreError as error:
                reason = str(error).removeprefix(f"cannot use {str(path)!r}: ").split("; delete the file")[0]
                return StoreFinding(path, "corrupt", reason, size)
            return StoreFinding(path, "ok", "", size)
        if path.match(TEMPORARY_GLOB):
            age = time.time() - status.st_mtime
            message = f"left {age / 3600:.1f} hours ago by a process that died"
            return StoreFinding(path, "temporary", message, size) if age > _STALE_SECONDS else None
        if path.is_relative_to(self.root / ".hashes") or _is_compacted(path):
            return None
        return StoreFinding(path, "foreign", "not a file of this store; evfr leaves it alone", size)


def read_footer(path: Path) -> tuple[pa.Schema, dict[str, Any]]:
    """Return the bare schema and the caller's metadata of one file of a store, without its rows."""
    file = _open(path)
    return file.schema_arrow.remove_metadata(), _parse_footer(path, file)[1]


def write_parquet(table: pa.Table, sink: Any) -> None:
    """Write a table as the store does: PLAIN, zstd level 1, no dictionary, CRC of each page."""
    with pq.ParquetWriter(sink, table.schema, **PARQUET_OPTIONS) as writer:
        writer.write_table(table, row_group_size=row_group_size(table))


PARQUET_OPTIONS: dict[str, Any] = {
    "compression": "zstd",
    "compression_level": 1,
    "use_dictionary": False,
    "column_encoding": None,
    "write_page_checksum": True,
    "version": "2.6",
    "data_page_version": "1.0",
}


def row_group_size(table: pa.Table) -> int:
    """Return the rows of one row group, about 64 MB, so that writing and reading need little memory."""
    bytes_per_row = max(1, table.nbytes // max(1, table.num_rows))
    return int(min(1 << 20, max(1024, _ROW_GROUP_BYTES // bytes_per_row)))


def _read(path: Path) -> StoreEntry:
    file = _open(path)
    key, metadata = _parse_footer(path, file)
    try:
        table = file.read(use_threads=False)
    except (OSError, ValueError, pa.ArrowException) as error:
        raise _damage(path, str(error).splitlines()[0]) from error
    if table.num_rows != file.metadata.num_rows:
        raise _damage(path, f"it claims {file.metadata.num_rows} rows and holds {table.num_rows}")
    return StoreEntry(table.replace_schema_metadata(None), metadata, key)


def _open(path: Path) -> pq.ParquetFile:
    try:
        # The bytes are read whole, never mapped: a file that shrinks under a map kills the process.
        data = path.read_bytes()
        return pq.ParquetFile(pa.BufferReader(data), page_checksum_verification=True)
    except (OSError, ValueError, pa.ArrowException) as error:
        reason = (error.strerror if isinstance(error, OSError) else None) or str(error).splitlines()[0]
        raise _damage(path, reason) from error


def _parse_footer(path: Path, file: pq.ParquetFile) -> tuple[StoreKey, dict[str, Any]]:
    try:
        schema = file.schema_arrow
        found = schema.metadata or {}
        if _META not in found or _CHECK not in found:
            raise _damage(path, "it is a Parquet file that evfr did not write")
        text = found[_META].decode()
        bare = schema.remove_metadata()
        if found[_CHECK].decode() != _checksum(text, bare, file.metadata.num_rows):
            raise _damage(path, "its metadata fail their checksum")
        meta = json.loads(text)
        if meta["schema"] != STORE_SCHEMA:
            raise _damage(path, f"it has store schema {meta['schema']}, this evfr reads {STORE_SCHEMA}")
        key = StoreKey(meta["stage"], meta["video_hash"], _canonical(meta["parameters"], "parameters"))
        return key, meta["metadata"]
    except (OSError, ValueError, KeyError, TypeError, pa.ArrowException) as error:
        raise _damage(path, f"its metadata cannot be read ({error})") from error


def _damage(path: Path, reason: str) -> StoreError:
    return StoreError(
        f"cannot use {str(path)!r}: {reason}; delete the file, or run evfr verify --repair, "
        "and it will be computed again"
    )


def _canonical(value: Any, what: str) -> str:
    try:
        return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)
    except TypeError as error:
        raise TypeError(f"{what} must hold JSON values only: {error}") from error
    except ValueError as error:
        raise ValueError(f"{what} must hold finite JSON values only: {error}") from error


def _digest(*parts: object) -> str:
    text = json.dumps(parts, separators=(",", ":"))
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


def _checksum(text: str, schema: pa.Schema, rows: int) -> str:
    # The pages carry their own CRC; this covers what stands in the footer.
    return _digest(text, [[f.name, str(f.type), f.nullable] for f in schema], rows)


def _identity(path: Path) -> tuple[str, int, int, int, int, int] | None:
    real = os.path.realpath(path)
    try:
        found = os.stat(real)  # noqa: PTH116
    except OSError:
        return None
    if not stat.S_ISREG(found.st_mode):
        return None
    return (real, found.st_size, found.st_mtime_ns, found.st_ctime_ns, found.st_ino, found.st_dev)


def _folders(root: Path, pattern: re.Pattern[str]) -> list[Path]:
    if not root.is_dir():
        return []
    return sorted(p for p in root.iterdir() if pattern.fullmatch(p.name) and p.is_dir())


def _is_compacted(path: Path) -> bool:
    from evfr._core.compaction import is_compacted

    return is_compacted(path)

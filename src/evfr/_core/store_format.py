"""One file of the store: its key, its bytes, and the proof that they are what was written."""

from __future__ import annotations

import contextlib
import hashlib
import json
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq

from evfr._core.atomic import atomic_file
from evfr.errors import StoreError

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = [
    "STAGE_NAME",
    "STORE_SCHEMA",
    "StoreEntry",
    "StoreHead",
    "StoreKey",
    "canonical",
    "damage",
    "damage_reason",
    "digest_of",
    "iterate_rows",
    "read_entry",
    "read_footer",
    "read_head",
    "write_entry",
]

STORE_SCHEMA = 1
"""Version of the layout and of the tables' meaning; raising it makes every older file unknown."""

STAGE_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")
_META = b"evfr"
_CHECK = b"evfr.checksum"
_ROW_GROUP_BYTES = 64 << 20
_PARQUET_OPTIONS: dict[str, Any] = {
    "compression": "zstd",
    "compression_level": 1,
    "use_dictionary": False,
    "column_encoding": None,
    "write_page_checksum": True,
    "version": "2.6",
    "data_page_version": "1.0",
}


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
        if not STAGE_NAME.fullmatch(self.stage):
            raise ValueError(
                f"stage must be 1 to 64 lower-case letters, digits, '-' or '_', got {self.stage!r}"
            )
        if not self.video_hash:
            raise ValueError("video_hash must not be empty; hash the video's bytes first")
        object.__setattr__(
            self, "digest", digest_of(STORE_SCHEMA, self.stage, self.video_hash, self.parameters)
        )

    @property
    def file_name(self) -> str:
        """Where the file lies below the root of a store."""
        return f"{self.stage}/{self.digest[:2]}/{self.digest}.parquet"


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
class StoreHead:
    """What one file of the store says about itself, without its rows.

    Attributes
    ----------
    schema : pyarrow.Schema
        Of the rows, without the store's own metadata.
    metadata : dict
        What the writer passed as ``metadata``.
    key : StoreKey
        What the file says it is.
    row_count : int
        How many rows it claims.
    """

    schema: pa.Schema
    metadata: dict[str, Any]
    key: StoreKey
    row_count: int


def write_entry(path: Path, key: StoreKey, table: pa.Table, metadata: dict[str, Any]) -> None:
    """Write one file of a store atomically: PLAIN, zstd level 1, no dictionary, a CRC for each page."""
    text = canonical(
        {
            "schema": STORE_SCHEMA,
            "stage": key.stage,
            "video_hash": key.video_hash,
            "parameters": json.loads(key.parameters),
            "metadata": metadata,
        },
        "metadata",
    )
    table = table.replace_schema_metadata(None)
    table = table.replace_schema_metadata(
        {_META: text.encode(), _CHECK: _checksum(text, table.schema, table.num_rows).encode()}
    )
    # About 64 MB in a row group, so that neither writing nor reading needs much memory.
    bytes_per_row = max(1, table.nbytes // max(1, table.num_rows))
    rows = int(min(1 << 20, max(1024, _ROW_GROUP_BYTES // bytes_per_row)))
    with atomic_file(path) as sink, pq.ParquetWriter(sink, table.schema, **_PARQUET_OPTIONS) as writer:
        writer.write_table(table, row_group_size=rows)


def read_footer(path: Path) -> tuple[pa.Schema, dict[str, Any]]:
    """Return the bare schema and the caller's metadata of one file of a store, without its rows."""
    head = read_head(path)
    return head.schema, head.metadata


def read_head(path: Path) -> StoreHead:
    """Read only the end of one file of a store, however large it is; StoreError if it is not one."""
    with _opened(path) as file:
        key, metadata = _parse_footer(path, file)
        return StoreHead(file.schema_arrow.remove_metadata(), metadata, key, file.metadata.num_rows)


def iterate_rows(path: Path, columns: list[str]) -> Iterator[pa.Table]:
    """Yield some columns of one file of a store, one row group (about 64 MB) in memory at a time.

    Parameters
    ----------
    path : Path
        The file.
    columns : list of str
        Names of the columns; nothing else is read.

    Yields
    ------
    pyarrow.Table
        The next rows.

    Raises
    ------
    StoreError
        If the file cannot be read, fails a checksum, or has no such column.
    """
    with _opened(path) as file:
        _parse_footer(path, file)
        missing = [name for name in columns if name not in file.schema_arrow.names]
        if missing:
            raise damage(path, f"it has no column {', '.join(missing)}")
        for group in range(file.num_row_groups):
            try:
                table = file.read_row_group(group, columns=columns, use_threads=False)
            except (OSError, ValueError, pa.ArrowException) as error:
                raise damage(path, str(error).splitlines()[0]) from error
            if table.num_rows != file.metadata.row_group(group).num_rows:
                raise damage(path, f"row group {group} does not hold as many rows as it claims")
            yield table


def read_entry(path: Path) -> StoreEntry:
    """Read one file of a store and check that it is what was written; StoreError if not."""
    file = _open(path)
    key, metadata = _parse_footer(path, file)
    try:
        table = file.read(use_threads=False)
    except (OSError, ValueError, pa.ArrowException) as error:
        raise damage(path, str(error).splitlines()[0]) from error
    if table.num_rows != file.metadata.num_rows:
        raise damage(path, f"it claims {file.metadata.num_rows} rows and holds {table.num_rows}")
    return StoreEntry(table.replace_schema_metadata(None), metadata, key)


def _open(path: Path) -> pq.ParquetFile:
    try:
        # The bytes are read whole, never mapped: a file that shrinks under a map kills the process.
        data = path.read_bytes()
        return pq.ParquetFile(pa.BufferReader(data), page_checksum_verification=True)
    except (OSError, ValueError, pa.ArrowException) as error:
        reason = (error.strerror if isinstance(error, OSError) else None) or str(error).splitlines()[0]
        raise damage(path, reason) from error


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[pq.ParquetFile]:
    """Open a file to read parts of it: by reading, never by a map (see `_open`)."""
    try:
        source = pa.OSFile(str(path))
    except (OSError, pa.ArrowException) as error:
        raise damage(path, str(error).splitlines()[0]) from error
    with source:
        try:
            file = pq.ParquetFile(source, page_checksum_verification=True)
        except (OSError, ValueError, pa.ArrowException) as error:
            raise damage(path, str(error).splitlines()[0]) from error
        yield file


def _parse_footer(path: Path, file: pq.ParquetFile) -> tuple[StoreKey, dict[str, Any]]:
    try:
        schema = file.schema_arrow
        found = schema.metadata or {}
        if _META not in found or _CHECK not in found:
            raise damage(path, "it is a Parquet file that evfr did not write")
        text = found[_META].decode()
        bare = schema.remove_metadata()
        if found[_CHECK].decode() != _checksum(text, bare, file.metadata.num_rows):
            raise damage(path, "its metadata fail their checksum")
        meta = json.loads(text)
        if meta["schema"] != STORE_SCHEMA:
            raise damage(path, f"it has store schema {meta['schema']}, this evfr reads {STORE_SCHEMA}")
        key = StoreKey(meta["stage"], meta["video_hash"], canonical(meta["parameters"], "parameters"))
        return key, meta["metadata"]
    except (OSError, ValueError, KeyError, TypeError, RecursionError, pa.ArrowException) as error:
        raise damage(path, f"its metadata cannot be read ({error})") from error


def damage(path: Path, reason: str) -> StoreError:
    """Return the error that says what is wrong with a file, and what to do."""
    return StoreError(
        f"cannot use {str(path)!r}: {reason}; delete the file, or run evfr verify --repair, "
        "and it will be computed again"
    )


def damage_reason(path: Path, error: StoreError) -> str:
    """Return the reason alone that `damage` was given for a file."""
    return str(error).removeprefix(f"cannot use {str(path)!r}: ").split("; delete the file")[0]


def canonical(value: Any, what: str) -> str:
    """Return the one JSON text of a value; TypeError or ValueError names ``what`` if it has none."""
    try:
        return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)
    except TypeError as error:
        raise TypeError(f"{what} must hold JSON values only: {error}") from error
    except ValueError as error:
        raise ValueError(f"{what} must hold finite JSON values only: {error}") from error


def digest_of(*parts: object) -> str:
    """Return 32 hexadecimal digits that stand for the parts, which are JSON values."""
    text = json.dumps(parts, separators=(",", ":"))
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


def _checksum(text: str, schema: pa.Schema, rows: int) -> str:
    # The pages carry their own CRC; this covers what stands in the footer.
    return digest_of(text, [[f.name, str(f.type), f.nullable] for f in schema], rows)

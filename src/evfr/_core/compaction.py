"""Merge the many small files of a stage into one that analysis tools like."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.parquet as pq

from evfr._core.atomic import atomic_file
from evfr._core.store_format import StoreEntry, read_footer
from evfr.errors import StoreError

if TYPE_CHECKING:
    from pathlib import Path

    from evfr._core.store import Store

__all__ = ["compact_stage", "is_compacted"]

_MARK = b"evfr.compacted"
_ADDED = ("video_id", "video_hash", "parameters")  # the first only if a file names its video
_FLUSH_BYTES = 64 << 20


def compact_stage(
    store: Store, stage: str, out: Path, *, remove_sources: bool = False
) -> tuple[Path, int, int]:
    """Merge every file of ``stage`` into the one Parquet file ``out``, a few files in memory at a time.

    Text columns come first: ``video_id`` (from the metadata of each file; left out if no file has it),
    ``video_hash`` and ``parameters`` (JSON). A column that only some files have is null elsewhere.

    Parameters
    ----------
    store : Store
        Where the files are.
    stage : str
        Which of them.
    out : Path
        The file to write; replaced if it is there.
    remove_sources : bool
        Delete the small files afterwards. The store then forgets these results: a next run computes them
        again.

    Returns
    -------
    path : Path
        ``out``.
    file_count, row_count : int
        How many files and rows it holds.

    Raises
    ------
    StoreError
        If the stage has no files, one is corrupt, types of a column differ, or the system refuses.
    """
    paths = list(store.files(stage))
    if not paths:
        known = ", ".join(store.stages()) or "none"
        raise StoreError(f"the store {store.shown!r} has no stage {stage!r}; it has: {known}")
    schema = _schema(paths)
    row_count = 0
    with (
        atomic_file(out) as sink,
        pq.ParquetWriter(
            sink,
            schema,
            compression="zstd",
            compression_level=1,
            use_dictionary=list(_ADDED),
            write_page_checksum=True,
        ) as writer,
    ):
        waiting: list[pa.Table] = []
        waiting_bytes = 0
        for entry in store.entries(stage):
            waiting.append(_widen(entry, schema))
            waiting_bytes += waiting[-1].nbytes
            row_count += entry.table.num_rows
            if waiting_bytes >= _FLUSH_BYTES:
                writer.write_table(pa.concat_tables(waiting).combine_chunks())
                waiting, waiting_bytes = [], 0
        if waiting:
            writer.write_table(pa.concat_tables(waiting).combine_chunks())
    if remove_sources:
        for path in paths:
            try:
                path.unlink(missing_ok=True)
            except OSError as error:
                raise StoreError(f"cannot delete {str(path)!r}: {error.strerror}") from error
    return out, len(paths), row_count


def is_compacted(path: Path) -> bool:
    """Return whether ``path`` is a file that `compact_stage` made."""
    if path.suffix != ".parquet":
        return False
    try:
        return _MARK in (pq.read_schema(path).metadata or {})
    except (OSError, ValueError, pa.ArrowException):
        return False


def _schema(paths: list[Path]) -> pa.Schema:
    merged: pa.Schema | None = None
    has_video_id = False
    for path in paths:
        schema, metadata = read_footer(path)
        has_video_id = has_video_id or "video_id" in metadata
        if merged is not None and schema.equals(merged):
            continue
        try:
            merged = schema if merged is None else pa.unify_schemas([merged, schema])
        except pa.ArrowException as error:
            raise StoreError(
                f"cannot merge {str(path)!r} with the files before it: {error}; "
                "compact stores of one evfr version and one set of columns"
            ) from error
    assert merged is not None
    added = _ADDED if has_video_id else _ADDED[1:]
    clash = [name for name in added if name in merged.names]
    if clash:
        raise StoreError(f"the columns {clash} are taken by the merged file; rename them in the stage")
    fields = [pa.field(name, pa.string(), nullable=name == "video_id") for name in added]
    fields += [item.with_nullable(True) for item in merged]
    return pa.schema(fields, metadata={_MARK: b"1"})


def _widen(entry: StoreEntry, schema: pa.Schema) -> pa.Table:
    rows = entry.table.num_rows
    video_id = entry.metadata.get("video_id")
    texts = {
        "video_id": None if video_id is None else str(video_id),
        "video_hash": entry.key.video_hash,
        "parameters": entry.key.parameters,
    }
    columns = []
    for item in schema:
        if item.name in texts and item.name not in entry.table.column_names:
            columns.append(pa.repeat(pa.scalar(texts[item.name], pa.string()), rows))
        elif item.name in entry.table.column_names:
            columns.append(entry.table.column(item.name))
        else:
            columns.append(pa.nulls(rows, item.type))
    return pa.Table.from_arrays(columns, schema=schema)

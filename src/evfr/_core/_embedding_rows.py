"""The rows of many embedding entries, read one row group at a time and checked."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from evfr._core._embedding_entries import COLUMNS, EmbeddingEntry
from evfr._core.store_format import damage, iterate_rows
from evfr._core.types import PTS_NONE
from evfr._core.vectors import column_to_vectors
from evfr.errors import StoreError

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = [
    "IDENTITY",
    "EmbeddedFrame",
    "regrouped",
    "sound_entries",
    "stored_column",
    "stored_identity",
    "stored_rows",
    "stored_vectors",
]

IDENTITY = ("frame_index", "pts", "time_seconds")


@dataclass(frozen=True, slots=True)
class EmbeddedFrame:
    """Say which frame a row is.

    Attributes
    ----------
    row : int
        Row of the set.
    video_id : str
        The video.
    frame_index : int
        0-based, presentation order.
    pts : int or None
        In the stream's time base; None where the container has none.
    time_seconds : float
        From the stream's first pts.
    """

    row: int
    video_id: str
    frame_index: int
    pts: int | None
    time_seconds: float


def stored_vectors(entries: Sequence[EmbeddingEntry]) -> Iterator[NDArray[np.float16]]:
    """Yield the vectors of entries as the files hold them, blocks of any size; StoreError if one is damaged."""
    for entry in entries:
        count = 0
        for table in iterate_rows(entry.path, ["embedding"]):
            block = column_to_vectors(table["embedding"])
            if block.shape != (table.num_rows, entry.dimension):
                raise damage(entry.path, f"it holds vectors of shape {block.shape}")
            count += len(block)
            yield block
        _check_count(entry, count)


def stored_rows(
    entries: Sequence[EmbeddingEntry], offsets: NDArray[np.int64], rows: NDArray[np.int64]
) -> NDArray[np.float16]:
    """Gather a few rows from the entries themselves, (M, D) float16; reads each entry up to the row."""
    found = []
    for row in rows.tolist():
        place = int(np.searchsorted(offsets, row, side="right")) - 1
        start = int(offsets[place])
        for block in stored_vectors(entries[place : place + 1]):
            if row < start + len(block):
                found.append(block[row - start].copy())
                break
            start += len(block)
    return np.stack(found)


def stored_identity(entry: EmbeddingEntry) -> pa.Table:
    """Return the columns `IDENTITY` of one entry."""
    parts = list(iterate_rows(entry.path, list(IDENTITY)))
    table = pa.concat_tables(parts) if parts else pa.table({name: [] for name in IDENTITY})
    _check_count(entry, table.num_rows)
    return table.combine_chunks()


def stored_column(entries: Sequence[EmbeddingEntry], name: str, out: NDArray[Any]) -> NDArray[Any]:
    """Fill ``out`` with one column of all entries; a missing pts is `PTS_NONE`."""
    start = 0
    for entry in entries:
        count = 0
        for table in iterate_rows(entry.path, [name]):
            column = pc.fill_null(table[name], PTS_NONE) if name == "pts" else table[name]
            out[start + count : start + count + table.num_rows] = column.to_numpy()
            count += table.num_rows
        _check_count(entry, count)
        start += count
    return out


def _check_count(entry: EmbeddingEntry, count: int) -> None:
    if count != entry.row_count:
        raise StoreError(f"{str(entry.path)!r} has changed since the set was opened; open it again")


def sound_entries(
    entries: Sequence[EmbeddingEntry],
) -> tuple[list[EmbeddingEntry], list[tuple[Path, str]]]:
    """Read entries whole; return the sound ones, and the others with what is wrong."""
    good, bad = [], []
    for entry in entries:
        try:
            for _ in iterate_rows(entry.path, list(COLUMNS)):
                pass
        except StoreError as error:
            bad.append((entry.path, f"{entry.video_id}: {error}"))
        else:
            good.append(entry)
    return good, bad


def regrouped(blocks: Iterator[NDArray[np.float16]], size: int) -> Iterator[NDArray[np.float16]]:
    """Cut blocks of any sizes into blocks of ``size`` rows."""
    waiting: list[NDArray[np.float16]] = []
    count = 0
    for block in blocks:
        start = 0
        while count + len(block) - start >= size:
            stop = start + size - count
            whole = [*waiting, block[start:stop]]
            yield whole[0] if len(whole) == 1 else np.concatenate(whole)
            waiting, count, start = [], 0, stop
        if start < len(block):
            waiting.append(block[start:])
            count += len(block) - start
    if waiting:
        yield np.concatenate(waiting)

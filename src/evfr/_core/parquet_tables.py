"""Read Parquet tables that somebody else may have written: no memory for rows and texts that are only claimed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

__all__ = ["plain_texts", "read_parquet"]

_ROWS_FREE = 200_000
_TEXT_FREE = 1 << 26
_TEXT_PER_BYTE = 200


def read_parquet(path: Path, columns: Sequence[str] | None = None, *, rows_per_byte: float = 1.0) -> pa.Table:
    """Return the table in a Parquet file whose rows take some bytes each.

    Runs of equal values take no room in Parquet: a file of a few kilobytes can stand for more rows than there is
    memory, and for texts that are as long again. Both are counted before they are made.

    Parameters
    ----------
    path : Path
        The file.
    columns : sequence of str, optional
        Read only these.
    rows_per_byte : float
        The most rows for each byte of the file, above 200,000 rows.

    Returns
    -------
    pyarrow.Table
        With texts as plain texts.

    Raises
    ------
    OSError, pyarrow.ArrowException
        If it cannot be read, lacks a column, or claims more than its bytes can hold.
    """
    size = path.stat().st_size
    try:
        with pa.OSFile(str(path)) as source, pq.ParquetFile(source) as file:
            rows = file.metadata.num_rows
            if rows > max(_ROWS_FREE, rows_per_byte * size):
                raise pa.ArrowInvalid(f"it claims {rows} rows, more than its {size} bytes can hold")
            wanted = file.schema_arrow.names if columns is None else list(columns)
            missing = [name for name in wanted if name not in file.schema_arrow.names]
            if missing:
                raise pa.ArrowInvalid(
                    f"it has no column {missing[0]!r}; its columns are {file.schema_arrow.names}"
                )
            twice = [name for name in wanted if file.schema_arrow.names.count(name) > 1]
            if twice:
                raise pa.ArrowInvalid(f"it has several columns {twice[0]!r}")
            nested = [name for name in wanted if pa.types.is_nested(file.schema_arrow.field(name).type)]
            if nested:
                raise pa.ArrowInvalid(f"its column {nested[0]!r} holds lists; give one value a row")
            texts = [name for name in wanted if _is_text(file.schema_arrow.field(name).type)]
        with pa.OSFile(str(path)) as source, pq.ParquetFile(source, read_dictionary=texts) as file:
            table = file.read(columns=wanted, use_threads=False).select(wanted)
    except UnicodeDecodeError as error:
        raise pa.ArrowInvalid("a name in it is no text") from error
    if table.num_rows != rows:
        raise pa.ArrowInvalid(f"it claims {rows} rows and holds {table.num_rows}")
    return plain_texts(table, texts, size)


def plain_texts(table: pa.Table, names: Sequence[str], size: int) -> pa.Table:
    """Return a table whose columns of coded texts (``read_dictionary=``) are plain.

    Raises
    ------
    pyarrow.ArrowInvalid
        If they would take far more than the file of ``size`` bytes.
    """
    for name in names:
        length = sum(_text_bytes(chunk) for chunk in table[name].chunks)
        if length > max(_TEXT_FREE, _TEXT_PER_BYTE * size):
            raise pa.ArrowInvalid(f"its column {name!r} unpacks to {length} bytes, far more than its {size}")
        place = table.column_names.index(name)
        field = table.schema.field(name)
        kind = field.type.value_type
        table = table.set_column(place, field.with_type(kind), table[name].cast(kind))
    return table


def _is_text(kind: pa.DataType) -> bool:
    if pa.types.is_dictionary(kind):  # so the writer had them coded in memory too
        kind = kind.value_type
    return any(
        is_kind(kind)
        for is_kind in (
            pa.types.is_string,
            pa.types.is_binary,
            pa.types.is_large_string,
            pa.types.is_large_binary,
        )
    )


def _text_bytes(chunk: pa.DictionaryArray) -> int:
    if not len(chunk.dictionary):
        return 0
    lengths = pc.binary_length(chunk.dictionary).fill_null(0).to_numpy()
    index = chunk.indices.fill_null(-1).to_numpy()
    return int(lengths[index[index >= 0]].sum(dtype=np.int64))

"""evfr's own label file: one Parquet table, a row an object, that gives back exactly what was written."""

from __future__ import annotations

import json
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from evfr._core.annotations import SOURCES, AnnotatedVideo, Category, VideoAnnotations
from evfr._core.atomic import atomic_write_bytes
from evfr._core.masks import Rle
from evfr._core.parquet_tables import plain_texts
from evfr._core.types import PTS_NONE
from evfr.annotations._json import attributes_of, entries, optional_text, whole
from evfr.annotations._paths import read_bytes, safe_name
from evfr.errors import AnnotationError

__all__ = ["SCHEMA", "read_native", "recognises_native", "write_native"]

_KEY = b"evfr-annotations"
_VERSION = 1
_ROWS_PER_BYTE = 4
_ROWS_FREE = 2_000_000
_BYTES_PER_BYTE = 20_000

SCHEMA = pa.schema(
    [
        pa.field("video_id", pa.string(), nullable=False),
        pa.field("frame_index", pa.int64(), nullable=False),
        pa.field("track_id", pa.int64(), nullable=False),
        pa.field("category_id", pa.int64(), nullable=False),
        *(pa.field(name, pa.float64()) for name in ("x0", "y0", "x1", "y1")),
        pa.field("mask", pa.string()),
        pa.field("score", pa.float64()),
        pa.field("source", pa.string(), nullable=False),
        pa.field("trust", pa.float64()),
        pa.field("is_crowd", pa.bool_(), nullable=False),
        pa.field("attributes", pa.string()),
    ]
)
"""Columns of the table: boxes in pixels (null = no box), COCO's compressed counts (null = no mask), attributes as JSON.
The schema's metadata ``evfr-annotations`` is JSON with the videos, their annotated frames and the categories."""


def write_native(annotations: VideoAnnotations, path: str | Path) -> Path:
    """Write labels into one Parquet file that loses nothing (ours).

    Parameters
    ----------
    annotations : VideoAnnotations
        The labels.
    path : str or Path
        The ``.parquet`` file.

    Returns
    -------
    Path
        The file.

    Raises
    ------
    AnnotationError
        If a name is no Unicode text, or a file name leads out of its folder.
    """
    path = Path(path)
    for video in annotations.videos:
        for name in (video.video_id, video.path, *video.file_names):
            _check_text(name, f"{path}: video {video.video_id!r}")
        for name in video.file_names:
            safe_name(name, f"{path}: video {video.video_id!r}")
    ids = np.array([video.video_id for video in annotations.videos], dtype=object)
    boxes = annotations.boxes_xyxy
    no_box = np.isnan(boxes).all(axis=1)
    columns: dict[str, Any] = {
        "video_id": pa.array(ids[annotations.video_row], pa.string()),
        **{
            name: pa.array(getattr(annotations, name))
            for name in ("frame_index", "track_id", "category_id", "is_crowd")
        },
        **{name: pa.array(boxes[:, i], mask=no_box) for i, name in enumerate(("x0", "y0", "x1", "y1"))},
        "mask": pa.array(
            [None if mask is None else mask.to_coco()["counts"] for mask in annotations.masks], pa.string()
        ),
        "score": pa.array(annotations.score),
        "source": pa.array([SOURCES[code] for code in annotations.source.tolist()], pa.string()),
        "trust": pa.array(annotations.trust),
        "attributes": pa.array(
            [
                json.dumps(dict(item), ensure_ascii=True) if item else None
                for item in annotations.attributes or ({},) * len(annotations)
            ],
            pa.string(),
        ),
    }
    head = {
        "schema": _VERSION,
        "videos": [_video_to_json(video) for video in annotations.videos],
        "categories": [
            {"category_id": c.category_id, "name": c.name, "supercategory": c.supercategory}
            for c in annotations.categories
        ],
    }
    schema = SCHEMA.with_metadata({_KEY: json.dumps(head, separators=(",", ":"), ensure_ascii=True)})
    table = pa.table([columns[name] for name in SCHEMA.names], schema=schema)
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink, compression="zstd", compression_level=1)
    atomic_write_bytes(path, sink.getvalue().to_pybytes())
    return path


_TEXTS = [field.name for field in SCHEMA if pa.types.is_string(field.type)]


def read_native(path: str | Path) -> VideoAnnotations:
    """Read back what `write_native` wrote, exactly (ours).

    Parameters
    ----------
    path : str or Path
        The ``.parquet`` file.

    Returns
    -------
    VideoAnnotations
        The labels as they were written.

    Raises
    ------
    AnnotationError
        If it is no such file, claims more than its bytes can hold, or its rows do not fit its videos.
    """
    path = Path(path)
    table, head = _open(path)
    videos = tuple(
        _video_from_json(entry, f"{path}: video {number}")
        for number, entry in enumerate(entries(head, "videos", str(path)))
    )
    categories = tuple(
        Category(
            whole(entry, "category_id", f"{path}: category {number}", low=-(2**63)),
            optional_text(entry, "name", f"{path}: category {number}"),
            optional_text(entry, "supercategory", f"{path}: category {number}"),
        )
        for number, entry in enumerate(entries(head, "categories", str(path)))
    )
    place = {video.video_id: row for row, video in enumerate(videos)}
    named = table["video_id"].to_pylist()
    unknown = next((name for name in named if name not in place), None)
    if unknown is not None:
        raise AnnotationError(f"{path}: a row names the unknown video {unknown!r}")
    rows = np.array([place[name] for name in named], np.int64)
    sources = table["source"].to_pylist()
    foreign = next((source for source in sources if source not in SOURCES), None)
    if foreign is not None:
        raise AnnotationError(f"{path}: source must be one of {', '.join(SOURCES)}, got {foreign!r}")
    boxes = np.stack(
        [table[name].to_numpy(zero_copy_only=False) for name in ("x0", "y0", "x1", "y1")], axis=1
    )
    attributes = tuple(
        _attributes(text, f"{path}: row {number}")
        for number, text in enumerate(table["attributes"].to_pylist())
    )
    try:
        return VideoAnnotations(
            videos,
            categories,
            rows,
            **{name: table[name].to_numpy() for name in ("frame_index", "track_id", "category_id")},
            boxes_xyxy=boxes.astype(np.float64),
            masks=tuple(
                None if text is None else _mask(text, videos[rows[number]], f"{path}: row {number}")
                for number, text in enumerate(table["mask"].to_pylist())
            ),
            **{name: table[name].to_numpy(zero_copy_only=False).astype(float) for name in ("score", "trust")},
            source=np.array([SOURCES.index(source) for source in sources], np.int8),
            is_crowd=table["is_crowd"].to_numpy(zero_copy_only=False),
            attributes=attributes if any(attributes) else (),
        )
    except AnnotationError as error:
        raise AnnotationError(f"{path}: {error}") from error


def recognises_native(path: Path) -> bool:
    """Whether a Parquet file carries evfr's labels."""
    try:
        return _KEY in (pq.read_schema(path).metadata or {})
    except (OSError, pa.ArrowException):
        return False


def _check_text(text: str, where: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise AnnotationError(f"{where}: {text!r} is no Unicode text and cannot stand in a table") from error


def _open(path: Path) -> tuple[pa.Table, dict[str, Any]]:
    data = read_bytes(path)
    try:
        file = pq.ParquetFile(pa.BufferReader(data))
        told = file.metadata
        # Not column by column: pyarrow ends the process where the statistics of a column are damaged.
        size = sum(told.row_group(group).total_byte_size for group in range(told.num_row_groups))
        # Claims are checked against the bytes that are there, before anything is allocated for them.
        if told.num_rows > max(_ROWS_FREE, _ROWS_PER_BYTE * len(data)) or size > _BYTES_PER_BYTE * len(data):
            raise AnnotationError(
                f"{path} claims {told.num_rows} rows and {size} bytes, more than its {len(data)} bytes can hold"
            )
        schema = file.schema_arrow
        raw = (schema.metadata or {}).get(_KEY)
        if raw is None:
            raise AnnotationError(
                f"{path} is a Parquet file without evfr's labels; evfr.annotations.write makes one"
            )
        if not schema.remove_metadata().equals(SCHEMA):
            raise AnnotationError(
                f"{path}: the columns must be {SCHEMA.names} with fixed types, got {schema.names}"
            )
        head = json.loads(raw)
        coded = pq.ParquetFile(pa.BufferReader(data), read_dictionary=_TEXTS)
        table = plain_texts(coded.read(), _TEXTS, len(data))
        table.validate(full=True)
    except (pa.ArrowException, OSError, ValueError, RecursionError) as error:
        raise AnnotationError(f"{path} is no readable label table: {error!s:.200}") from error
    if not isinstance(head, dict) or head.get("schema") != _VERSION:
        raise AnnotationError(
            f"{path} has label schema {head.get('schema') if isinstance(head, dict) else None!r}, this evfr reads "
            f"{_VERSION}; make it again with this version"
        )
    return table, head


def _video_to_json(video: AnnotatedVideo) -> dict[str, Any]:
    return {
        "video_id": video.video_id,
        "width": video.width,
        "height": video.height,
        "frame_index": video.frame_index.tolist(),
        "pts": [None if pts == PTS_NONE else pts for pts in video.pts.tolist()],
        "time_base": None
        if video.time_base is None
        else [video.time_base.numerator, video.time_base.denominator],
        "frame_count": video.frame_count,
        "content_hash": video.content_hash,
        "path": video.path,
        "file_names": list(video.file_names),
    }


def _video_from_json(entry: Any, where: str) -> AnnotatedVideo:
    time_base = entry.get("time_base")
    names = entry.get("file_names")
    if not isinstance(names, list):
        raise AnnotationError(f"{where}: file_names must be a list, got {type(names).__name__}")
    try:
        return AnnotatedVideo(
            optional_text(entry, "video_id", where),
            whole(entry, "width", where, low=1),
            whole(entry, "height", where, low=1),
            np.array(_whole_list(entry.get("frame_index")), np.int64),
            np.array(
                [PTS_NONE if pts is None else pts for pts in _whole_list(entry.get("pts"), is_optional=True)],
                np.int64,
            ),
            None if time_base is None else Fraction(*_whole_list(time_base)),
            None if entry.get("frame_count") is None else whole(entry, "frame_count", where),
            optional_text(entry, "content_hash", where),
            optional_text(entry, "path", where),
            tuple(safe_name(name, where) for name in names),
        )
    except (TypeError, ValueError, OverflowError, ZeroDivisionError) as error:
        raise AnnotationError(f"{where}: {error}; the file was edited or cut") from error


def _whole_list(values: Any, *, is_optional: bool = False) -> list[Any]:
    is_good = isinstance(values, list) and all(
        (isinstance(value, int) and not isinstance(value, bool)) or (is_optional and value is None)
        for value in values
    )
    if not is_good:
        raise ValueError("frame_index, pts and time_base must be lists of whole numbers")
    result: list[Any] = values
    return result


def _mask(text: str, video: AnnotatedVideo, where: str) -> Rle:
    try:
        return Rle.from_coco({"size": [video.height, video.width], "counts": text})
    except ValueError as error:
        raise AnnotationError(f"{where}: {error}") from error


def _attributes(text: str | None, where: str) -> dict[str, str | int | float | bool]:
    if text is None:
        return {}
    try:
        data = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise AnnotationError(f"{where}: attributes are no readable JSON: {error!s:.200}") from error
    return attributes_of(data, where, is_finite=False)

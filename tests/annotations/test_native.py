"""The native table: everything comes back, and files that lie are refused."""

from __future__ import annotations

import json
import math
import time

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings

from evfr._core.annotations import ObjectRow, VideoAnnotations
from evfr._core.masks import Rle
from evfr.annotations import read, write
from evfr.annotations._native import SCHEMA, read_native, write_native
from evfr.errors import AnnotationError
from helpers.labels import annotations_of, assert_equal_labels, label_sets, squares

KEY = b"evfr-annotations"


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(label_sets(most_frames=8))
def test_everything_comes_back(tmp_path, annotations):
    path = write(annotations, tmp_path / "labels.parquet", format="evfr")
    assert_equal_labels(read(path), annotations)


def test_nan_in_attributes_and_large_numbers_come_back(tmp_path):
    row = ObjectRow(
        "clip",
        2**40,
        1,
        2**62,
        (-1.5, 0.1, 1 / 3, 1e300),
        None,
        0.1,
        "carried",
        0.3,
        True,
        {"a": math.inf, "n": 7},
    )
    labels = annotations_of(row)
    assert_equal_labels(read_native(write_native(labels, tmp_path / "a.parquet")), labels)
    labels = annotations_of(ObjectRow("clip", 0, 1, 1, (0.0, 0.0, 1.0, 1.0), attributes={"x": math.nan}))
    (back,) = read_native(write_native(labels, tmp_path / "b.parquet")).objects()
    assert math.isnan(back.attributes["x"])


def test_nothing_at_all(tmp_path):
    for labels in (VideoAnnotations.build([], [], []), annotations_of(frames=[3, 9])):
        assert_equal_labels(read_native(write_native(labels, tmp_path / "a.parquet")), labels)


def test_another_tool_reads_the_table(tmp_path):
    """Plain Parquet: boxes and COCO run lengths in columns, no nesting."""
    labels = annotations_of(ObjectRow("clip", 0, 1, 1, mask=Rle.empty(6, 8)))
    assert pq.read_table(write_native(labels, tmp_path / "a.parquet"))["x0"].to_pylist() == [None]
    table = pq.read_table(write_native(squares(3), tmp_path / "a.parquet"))
    assert table.num_rows == 6
    assert table["video_id"].to_pylist() == ["clip"] * 6
    assert table["x1"].to_pylist() == [4.0, 4.0, 5.0, 5.0, 6.0, 6.0]
    assert table["mask"][0].as_py() == squares(3).masks[0].to_coco()["counts"]


def rewritten(tmp_path, change=None, head=None):
    """Write two squares, change the table's columns or its head, and return the path."""
    path = write_native(squares(2), tmp_path / "a.parquet")
    table = pq.read_table(path)
    columns = {name: table[name].to_pylist() for name in table.column_names}
    if change:
        change(columns)
    meta = json.loads(table.schema.metadata[KEY])
    if head:
        meta = head(meta)
    raw = meta if isinstance(meta, bytes) else json.dumps(meta).encode()
    pq.write_table(pa.table(columns, schema=SCHEMA.with_metadata({KEY: raw})), path)
    return path


def put(name, value):
    def change(columns):
        columns[name][1] = value

    return change


def video(**fields):
    def head(meta):
        meta["videos"][0].update(fields)
        return meta

    return head


@pytest.mark.parametrize(
    ("change", "head", "message"),
    [
        (put("video_id", "other"), None, "a row names the unknown video 'other'"),
        (
            put("source", "robot"),
            None,
            "source must be one of human, carried, detected, interpolated, got 'robot'",
        ),
        (put("frame_index", 77), None, "a.parquet: video 'clip': an object lies on frame 77"),
        (put("mask", "0000"), None, r"a.parquet: row 1: the"),
        (put("attributes", "[1]"), None, "row 1: attributes must be an object, got list"),
        (put("attributes", "{"), None, "row 1: attributes are no readable JSON"),
        (put("attributes", '{"a":[1]}'), None, r"row 1: the attribute 'a' must be a text.*got \[1\]"),
        (put("x1", math.inf), None, "has a box that is not finite"),
        (None, video(width=9), "a.parquet: row 0: the runs of a 9x12 mask must add up to 108"),
        (None, video(width=0), "video 0: 'width' must be a whole number of 1 or more, got 0"),
        (
            None,
            video(frame_index=[0, 0.5]),
            "video 0: frame_index, pts and time_base must be lists of whole numbers",
        ),
        (None, video(frame_index=[0, 2**70]), "video 0: .*; the file was edited or cut"),
        (None, video(pts=[1, 2]), "pts without a time base say nothing"),
        (None, video(time_base=[1, 0]), "video 0: .*; the file was edited or cut"),
        (None, video(file_names="ab"), "video 0: file_names must be a list, got str"),
        (
            None,
            video(file_names=["a.png", "../b.png"]),
            r"video 0: the file name '../b.png' leads out of its folder",
        ),
        (None, video(path=3), "video 0: 'path' must be a text, got 3"),
        (None, lambda meta: b"{", "is no readable label table"),
        (None, lambda meta: b"[" * 100_000, "is no readable label table"),
        (None, lambda meta: [], "has label schema None, this evfr reads 1"),
        (None, lambda meta: {**meta, "schema": 2}, "has label schema 2, this evfr reads 1"),
        (None, lambda meta: {**meta, "videos": {}}, "'videos' must be a list, got dict"),
        (None, lambda meta: {**meta, "categories": [3]}, r"categories\[0\] must be an object, got int"),
    ],
)
def test_wrong_files(tmp_path, change, head, message):
    with pytest.raises(AnnotationError, match=message):
        read_native(rewritten(tmp_path, change, head))


def test_files_that_are_no_label_tables(tmp_path):
    path = tmp_path / "a.parquet"
    with pytest.raises(AnnotationError, match="does not exist"):
        read_native(path)
    pq.write_table(pa.table({"a": [1]}), path)
    with pytest.raises(AnnotationError, match="is a Parquet file without evfr's labels"):
        read_native(path)
    pq.write_table(pa.table({"a": [1]}).replace_schema_metadata({KEY: b"{}"}), path)
    with pytest.raises(AnnotationError, match="the columns must be"):
        read_native(path)
    path.write_bytes(b"PAR1 nothing of it PAR1")
    with pytest.raises(AnnotationError, match="is no readable label table"):
        read_native(path)
    with pytest.raises(AnnotationError, match="is no file"):
        read_native(tmp_path)


def test_every_cut_is_an_error(tmp_path):
    data = write_native(squares(3), tmp_path / "a.parquet").read_bytes()
    for length in range(0, len(data), 97):
        (tmp_path / "b.parquet").write_bytes(data[:length])
        with pytest.raises(AnnotationError):
            read_native(tmp_path / "b.parquet")


def test_claims_beyond_the_bytes_are_refused(tmp_path):
    """A few kilobytes that stand for twenty million equal rows are a trap, not labels."""
    path = tmp_path / "a.parquet"
    rows = pa.table({"frame_index": pa.array(np.zeros(20_000_000, np.int64))})
    pq.write_table(rows.replace_schema_metadata({KEY: b"{}"}), path, compression="zstd")
    assert path.stat().st_size < 100_000
    with pytest.raises(AnnotationError, match=r"claims 20000000 rows .* more than its .* bytes can hold"):
        read_native(path)


def test_names_that_no_table_can_hold(tmp_path):
    labels = annotations_of(frames=[0], video_id="\udc80")
    with pytest.raises(AnnotationError, match="is no Unicode text"):
        write_native(labels, tmp_path / "a.parquet")
    labels = annotations_of(frames=[0], file_names=("/etc/passwd",))
    with pytest.raises(AnnotationError, match="leads out of its folder"):
        write_native(labels, tmp_path / "a.parquet")


@pytest.mark.slow
def test_a_hundred_thousand_objects_in_seconds(tmp_path):
    rng = np.random.default_rng(0)
    masks = [Rle.from_mask(rng.random((24, 32)) < 0.3) for _ in range(50)]
    rows = [
        ObjectRow("clip", i // 10, 1, i % 10, (0.0, 0.0, 5.0, 5.0), masks[i % 50], attributes={"i": i})
        for i in range(100_000)
    ]
    labels = annotations_of(*rows, size=(32, 24))
    started = time.process_time()
    back = read_native(write_native(labels, tmp_path / "a.parquet"))
    assert time.process_time() - started < 20
    assert len(back) == 100_000
    assert back.equals(labels)


def test_no_mask_and_an_empty_mask_are_different(tmp_path):
    rows = [
        ObjectRow("clip", 0, 1, 1, None, Rle.empty(6, 8)),
        ObjectRow("clip", 0, 1, 2, (0.0, 0.0, 0.0, 0.0), None),
    ]
    labels = annotations_of(*rows)
    back = read_native(write_native(labels, tmp_path / "a.parquet"))
    assert back.masks[0] == Rle.empty(6, 8)
    assert back.masks[1] is None
    assert np.isnan(back.boxes_xyxy[0]).all()

"""Small laws of the store and of manifests that mutants showed to be open."""

from __future__ import annotations

import errno
import json
import os
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from evfr._core import atomic
from evfr._core import store as store_module
from evfr._core.selection import Selection, pts_column, read_manifest
from evfr._core.store import Store
from evfr._core.types import PTS_NONE
from evfr.errors import SelectionFileError, StoreError
from fuzz import seeds


@pytest.mark.parametrize("name", ["s3://bucket/a", "gs://bucket/a", "https://host/a", "http://host/a"])
def test_addresses_are_no_folders(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    for make in (atomic.make_folder, lambda path: atomic.atomic_write_bytes(path / "x", b"")):
        with pytest.raises(StoreError, match="results are written to local folders only, got"):
            make(Path(name))
    assert list(tmp_path.iterdir()) == []
    atomic.make_folder(tmp_path / "s3:" / "x")  # deeper down it is a name like any other
    atomic.refuse_remote(Path())


def test_folders_are_flushed_but_where_that_is_unknown(tmp_path, monkeypatch):
    flushed = []
    fsync = os.fsync

    def note(descriptor):
        flushed.append(str(Path(f"/proc/self/fd/{descriptor}").readlink()))
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", note)
    atomic.make_folder(tmp_path / "a" / "b")
    assert flushed == [str(tmp_path), str(tmp_path / "a")]
    flushed.clear()
    atomic.atomic_write_bytes(tmp_path / "a" / "x", b"1")
    assert flushed[-1] == str(tmp_path / "a")
    assert len(flushed) == 2
    flushed.clear()
    atomic.atomic_write_bytes(tmp_path / "a" / "x", b"2", is_durable=False)
    assert flushed == []
    for number, is_told in ((errno.EINVAL, False), (errno.ENOTSUP, False), (errno.EIO, True)):

        def fail(descriptor, number=number):
            if os.path.isdir(f"/proc/self/fd/{descriptor}"):  # noqa: PTH112
                raise OSError(number, os.strerror(number))

        monkeypatch.setattr(os, "fsync", fail)
        if is_told:
            with pytest.raises(
                StoreError, match=r"cannot write .*: Input/output error; check the disk and run again"
            ):
                atomic.atomic_write_bytes(tmp_path / "y", b"")
        else:
            atomic.atomic_write_bytes(tmp_path / "y", b"")


def test_short_writes_are_gone_on_with(tmp_path, monkeypatch):
    write = os.write
    monkeypatch.setattr(os, "write", lambda descriptor, data: write(descriptor, bytes(data[:3])))
    atomic.atomic_write_bytes(tmp_path / "a", b"0123456789")
    assert (tmp_path / "a").read_bytes() == b"0123456789"
    atomic.atomic_write_bytes(tmp_path / "b", b"")
    assert (tmp_path / "b").read_bytes() == b""


@pytest.mark.parametrize(("age", "is_listed"), [(3599, False), (3600, False), (3601, True)])
def test_what_counts_as_left_behind(tmp_path, monkeypatch, age, is_listed):
    store = Store(tmp_path)
    now = 1_700_000_000.0
    monkeypatch.setattr(store_module.time, "time", lambda: now)
    with atomic.atomic_file(tmp_path / "signals" / "x.parquet") as sink:
        sink.write(b"")
        (left,) = (tmp_path / "signals").iterdir()
        os.utime(left, (now - age, now - age))
        findings = store.verify()
    assert [finding.status for finding in findings] == (["temporary"] if is_listed else [])


def test_tables_of_a_stage_are_merged_by_column(tmp_path):
    store = Store(tmp_path / "s")
    rows = {"b": ({"flow": [0.5, 1.0]}, {"video_id": "b.mp4"}), "a": ({"flow": [2.0], "ssim": [3.0]}, {})}
    for video_hash, (columns, metadata) in rows.items():
        store.write(store.key(video_hash, "signals", {"w": 1}), pa.table(columns), metadata)
    path, files, count = store.compact("signals", out=tmp_path / "all.parquet")
    assert (files, count) == (2, 3)
    found = sorted(pq.read_table(path).to_pylist(), key=lambda row: row["flow"])
    parameters = '{"w":1}'
    first = {"video_id": "b.mp4", "video_hash": "b", "parameters": parameters}
    assert found == [
        {**first, "flow": 0.5, "ssim": None},
        {**first, "flow": 1.0, "ssim": None},
        {"video_id": None, "video_hash": "a", "parameters": parameters, "flow": 2.0, "ssim": 3.0},
    ]
    assert pq.read_schema(path).names[:3] == ["video_id", "video_hash", "parameters"]
    nameless = Store(tmp_path / "n")
    nameless.write(nameless.key("a", "signals", {}), pa.table({"flow": [1.0]}))
    assert pq.read_schema(nameless.compact("signals")[0]).names == ["video_hash", "parameters", "flow"]


def test_selections_are_saved_in_a_form_that_people_read(tmp_path):
    (tmp_path / "selection.json").write_bytes(seeds.manifest())
    (tmp_path / "selection.parquet").write_bytes(seeds.selection_table())
    found = Selection.load(tmp_path)
    path = found.save(tmp_path / "again")
    text = path.read_text("ascii")
    assert text.splitlines()[1].startswith(' "')
    assert text.endswith("}\n")
    again = Selection.load(path)
    assert again.table.equals(found.table)
    assert again.manifest == found.manifest
    (tmp_path / "again" / "selection.parquet").unlink()
    with pytest.raises(SelectionFileError, match=r"selection\.parquet does not exist; run evfr select again"):
        Selection.load(tmp_path / "again")


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([("a", 0), ("b", 0), ("a", 3)], "the rows of one video must stand together"),
        ([("a", 3), ("a", 3)], "row 1: frame_index 3 of 'a' must be 0 or more and above the row before"),
        ([("a", 3), ("a", 2)], "row 1: frame_index 2 of 'a'"),
        ([("a", -1), ("a", 2)], "row 0: frame_index -1 of 'a'"),
        ([("a", 5), ("b", 2), ("b", 1)], "row 2: frame_index 1 of 'b'"),
    ],
)
def test_rows_of_a_selection_are_in_order(tmp_path, rows, message):
    whole = pq.read_table(pa.BufferReader(seeds.selection_table()))
    table = whole.slice(0, 1).take(pa.array([0] * len(rows)))
    for place, column in enumerate(("video_id", "frame_index")):
        at = table.column_names.index(column)
        values = pa.array([row[place] for row in rows], table.schema.field(at).type)
        table = table.set_column(at, table.schema.field(at), values)
    with pytest.raises(SelectionFileError, match=message):
        Selection(table, {})
    assert len(Selection(table.slice(0, 1), {})) == 1 if rows[0][1] >= 0 else True
    assert len(Selection(table.slice(0, 0), {})) == 0


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"schema": 2}, "has manifest schema 2, this evfr reads 1; make it again with this version"),
        ({"schema": None}, "has manifest schema None"),
        ({"format": "other"}, "is no selection manifest"),
        ({"inputs": {}}, "'inputs' must be a list; the file was edited or cut"),
        ({"parameters": []}, "'parameters' must be a dict"),
        ({"problems": None}, "'problems' must be a list"),
        ({"inputs": [{"video_id": 3, "path": "x"}]}, "each input needs a video_id and a path"),
        ({"inputs": [{"video_id": "x"}]}, "each input needs a video_id and a path"),
        ({"inputs": ["x"]}, "each input needs a video_id and a path"),
        (
            {"inputs": [{"video_id": "\ud800", "path": "x"}]},
            "the video_id .* is no text; the file was edited",
        ),
    ],
)
def test_manifests_that_are_not_ours(tmp_path, change, message):
    path = tmp_path / "selection.json"
    path.write_text(json.dumps({**json.loads(seeds.manifest()), **change}))
    with pytest.raises(SelectionFileError, match=message):
        read_manifest(path)


def test_missing_stamps_are_null():
    column = pts_column(np.array([3, PTS_NONE, -4], np.int64))
    assert (column.to_pylist(), column.type) == ([3, None, -4], pa.int64())

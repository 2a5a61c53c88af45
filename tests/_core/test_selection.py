"""The selection value: columns, order, files."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pytest

from evfr._core.selection import SELECTION_SCHEMA, Selection, read_manifest
from evfr.errors import SelectionFileError

MANIFEST = {
    "format": "evfr-selection",
    "schema": 1,
    "inputs": [
        {"video_id": "a.mp4", "path": "/clips/a.mp4", "kind": "file", "hash": "00", "status": "ok"},
        {"video_id": "b.mp4", "path": "/clips/b.mp4", "kind": "file", "hash": "01", "status": "ok"},
        {"video_id": "c.mp4", "path": "/clips/c.mp4", "kind": "file", "hash": "", "status": "failed"},
    ],
    "parameters": {},
    "problems": [
        {"code": "E_EMPTY", "message": "empty", "source": "c.mp4", "frame_index": None, "count": 1},
    ],
}


def rows(*pairs: tuple[str, int]) -> pa.Table:
    n = len(pairs)
    return pa.table(
        {
            "video_id": [video for video, _ in pairs],
            "frame_index": pa.array([index for _, index in pairs], pa.int64()),
            "pts": pa.array([None if i == 0 else i * 512 for i in range(n)], pa.int64()),
            "time_base_num": pa.array([1] * n, pa.int64()),
            "time_base_den": pa.array([12800] * n, pa.int64()),
            "time_seconds": [index / 25 for _, index in pairs],
            "luma_hash": pa.array([2**64 - 1 - i for i in range(n)], pa.uint64()),
            "weight": pa.array([0.5] * n, pa.float64()),
            "inclusion_probability": pa.array([None] * n, pa.float64()),
            "rank": pa.array(range(n), pa.int64()),
            "reason": ["because"] * n,
            "gain": [None] * n,
        },
        schema=SELECTION_SCHEMA,
    )


def test_save_and_load_give_the_same_rows_and_the_same_bytes(tmp_path: Path) -> None:
    selection = Selection(rows(("a.mp4", 3), ("a.mp4", 7), ("b.mp4", 0)), MANIFEST)
    selection.save(tmp_path / "one")
    again = Selection.load(tmp_path / "one")
    assert again.table.equals(selection.table)
    assert again.manifest == MANIFEST
    again.save(tmp_path / "two")
    for name in ("selection.parquet", "selection.json"):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()
        assert Selection.load(tmp_path / "two" / name).table.equals(selection.table)


def test_parts_by_video() -> None:
    selection = Selection(rows(("a.mp4", 3), ("a.mp4", 7), ("b.mp4", 0)), MANIFEST)
    assert selection.for_video("a.mp4").indices.tolist() == [3, 7]
    assert selection.for_video("c.mp4").indices.tolist() == []
    assert [p.code for p in selection.for_video("c.mp4").problems] == ["E_EMPTY"]
    assert selection.for_video("a.mp4").problems == ()
    assert selection.failed_count == 1
    assert list(selection.sources) == ["a.mp4", "b.mp4", "c.mp4"]
    assert repr(selection) == "Selection(3 frames of 3 videos)"
    with pytest.raises(ValueError, match="over 3 videos"):
        _ = selection.indices
    with pytest.raises(KeyError, match=r"no video 'd\.mp4'"):
        selection.for_video("d.mp4")


def test_to_pandas_keeps_missing_pts_missing() -> None:
    frame = Selection(rows(("a.mp4", 3), ("a.mp4", 7)), MANIFEST).to_pandas()
    assert list(frame["frame_index"]) == [3, 7]
    assert frame["pts"].isna().tolist() == [True, False]


@pytest.mark.parametrize(
    ("pairs", "message"),
    [
        ([("a.mp4", 3), ("a.mp4", 3)], "row 1: frame_index 3"),
        ([("a.mp4", 7), ("a.mp4", 3)], "row 1: frame_index 3"),
        ([("a.mp4", -1)], "row 0: frame_index -1"),
        ([("a.mp4", 1), ("b.mp4", 1), ("a.mp4", 2)], "must stand together"),
    ],
)
def test_rows_out_of_order_are_refused(pairs: list[tuple[str, int]], message: str) -> None:
    with pytest.raises(SelectionFileError, match=message):
        Selection(rows(*pairs), MANIFEST)


def test_other_columns_are_refused() -> None:
    with pytest.raises(SelectionFileError, match="a selection has the columns"):
        Selection(pa.table({"video_id": ["a"]}), MANIFEST)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"format": "other"}, "no selection manifest"),
        ({"schema": 99}, "manifest schema 99, this evfr reads 1"),
        ({"inputs": "x"}, "'inputs' must be a list"),
        ({"inputs": [{"video_id": 3, "path": "x"}]}, "each input needs a video_id and a path"),
        ({"parameters": None}, "'parameters' must be a dict"),
    ],
)
def test_wrong_manifests_are_refused(tmp_path: Path, change: dict[str, object], message: str) -> None:
    path = tmp_path / "selection.json"
    path.write_text(json.dumps({**MANIFEST, **change}))
    with pytest.raises(SelectionFileError, match=message):
        read_manifest(path)


@pytest.mark.parametrize("text", ["", "{", "[" * 200_000, '{"format": \xff'])
def test_what_is_no_json_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "selection.json"
    path.write_bytes(text.encode("latin-1"))
    with pytest.raises(SelectionFileError, match="is no readable JSON"):
        read_manifest(path)


def test_missing_and_cut_files_are_named(tmp_path: Path) -> None:
    with pytest.raises(SelectionFileError, match=r"selection\.json does not exist"):
        Selection.load(tmp_path)
    Selection(rows(("a.mp4", 3)), MANIFEST).save(tmp_path)
    table = tmp_path / "selection.parquet"
    table.write_bytes(table.read_bytes()[:-20])
    with pytest.raises(SelectionFileError, match=r"selection\.parquet is no readable Parquet file"):
        Selection.load(tmp_path)
    table.unlink()
    with pytest.raises(SelectionFileError, match=r"selection\.parquet does not exist"):
        Selection.load(tmp_path)

"""`evfr compact` and `evfr verify` as functions; the store under them has tests of its own."""

from __future__ import annotations

import os
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from evfr._core.store import Store
from evfr.errors import StoreError
from evfr.verbs.compact import compact
from evfr.verbs.verify import verify
from helpers.store_writer import key_of, table_of


@pytest.fixture
def store(tmp_path: Path) -> Store:
    made = Store(tmp_path / "store")
    for number in range(3):
        made.write(key_of(made, number), table_of(number), {"video_id": f"{number}.mp4"})
    made.write(made.key("0000", "frames", {}), table_of(9))
    return made


def test_verify_a_sound_store(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    result = verify(store.root)
    size = sum(path.stat().st_size for path in store.files())
    assert (result.file_count, result.size_bytes, result.findings, result.failed_count) == (4, size, (), 0)
    assert str(result) == f"{store.root}: 4 sound files, {size / 1e6:.1f} MB"
    monkeypatch.setenv("EVFR_STORE", str(store.root))
    assert verify() == result


def test_verify_and_repair(store: Store) -> None:
    bad = store.path(key_of(store, 1))
    bad.write_bytes(b"PAR1")
    left = store.root / ".evfr-1-x.tmp"
    left.touch()
    os.utime(left, (0, 0))
    foreign = store.root / "notes.txt"
    foreign.touch()

    result = verify(str(store.root))
    assert [finding.status for finding in result.findings] == ["temporary", "foreign", "corrupt"]
    assert result.failed_count == 1
    assert "evfr verify --repair deletes corrupt and left-over files" in str(result)
    assert [f["path"] for f in result.to_dict()["findings"]] == [str(left), str(foreign), str(bad)]

    repaired = verify(store.root, repair=True)
    assert repaired.failed_count == 0
    assert str(repaired).count("removed ") == 2
    assert "--repair deletes" not in str(repaired)
    assert (bad.exists(), left.exists(), foreign.exists()) == (False, False, True)
    assert [finding.status for finding in verify(store.root).findings] == ["foreign"]


def test_compact_all_and_some(store: Store, tmp_path: Path) -> None:
    result = compact(store.root)
    assert [(s.stage, s.path, s.file_count, s.row_count) for s in result.stages] == [
        ("frames", store.root / "frames.parquet", 1, 3000),
        ("signals", store.root / "signals.parquet", 3, 9000),
    ]
    assert str(result).splitlines()[1] == f"{store.root / 'signals.parquet'}: 9000 rows of 3 files"
    assert result.to_dict()["stages"][0]["path"] == str(store.root / "frames.parquet")
    some = compact(store.root, stages=["signals"], out=tmp_path / "tables", remove_sources=True)
    assert [stage.path for stage in some.stages] == [tmp_path / "tables" / "signals.parquet"]
    assert pq.read_table(some.stages[0].path).num_rows == 9000
    assert store.stages() == ["frames"]
    assert verify(store.root).findings == ()


def test_nothing_there(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="there is no store at"):
        compact(tmp_path / "absent")
    with pytest.raises(StoreError, match="there is no store at"):
        verify(tmp_path / "absent")
    assert str(compact(tmp_path)) == "nothing to merge: the store has no files"

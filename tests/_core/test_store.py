"""The store: what is written is read, what is damaged is said, nothing is trusted that may have changed."""

from __future__ import annotations

import os
import random
import time
from pathlib import Path

import duckdb
import numpy as np
import pandas
import polars
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evfr._core.store import Store, StoreKey
from evfr._core.vectors import column_to_vectors, vectors_to_column
from evfr.errors import StoreError


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


def a_table(rows: int = 7) -> pa.Table:
    rng = np.random.default_rng(rows)
    return pa.table(
        {
            "frame_index": np.arange(rows),
            "flow": rng.random(rows),
            "ssim": [None if i % 3 == 0 else i / 7 for i in range(rows)],
            "picture_type": [["I", "P", "B"][i % 3] for i in range(rows)],
            "features": vectors_to_column(rng.standard_normal((rows, 6)).astype(np.float32)),
        }
    )


def write_one(store: Store, video_hash: str = "6c1f", width: int = 320, rows: int = 7) -> StoreKey:
    key = store.key(video_hash, "signals", {"width": width})
    store.write(key, a_table(rows), {"video_id": f"{video_hash}.mp4"})
    return key


class TestKeys:
    def test_what_changes_a_key(self, store: Store) -> None:
        base = store.key("6c1f", "signals", {"width": 320, "levels": 3})
        assert store.key("6c1f", "signals", {"levels": 3, "width": 320}) == base
        others = [
            store.key("6c20", "signals", {"width": 320, "levels": 3}),
            store.key("6c1f", "frames", {"width": 320, "levels": 3}),
            store.key("6c1f", "signals", {"width": 160, "levels": 3}),
            store.key("6c1f", "signals", {"width": 320.0, "levels": 3}),
            store.key("6c1f", "signals", {"width": 320}),
        ]
        assert len({base.digest, *(key.digest for key in others)}) == 6

    def test_schema_version_changes_a_key(self, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
        base = store.key("6c1f", "signals", {})
        monkeypatch.setattr("evfr._core.store_format.STORE_SCHEMA", 2)
        assert store.key("6c1f", "signals", {}).digest != base.digest

    def test_digest_is_stable(self, store: Store) -> None:
        # Hand-worked: blake2b-128 of '[1,"signals","6c1f","{\"width\":320}"]'; a change loses every store.
        key = store.key("6c1f", "signals", {"width": 320})
        assert key.digest == "1e62805f1f040164be22633a67c03c0c"
        assert store.path(key) == store.root / "signals" / key.digest[:2] / f"{key.digest}.parquet"

    @pytest.mark.parametrize("stage", ["", "../up", "Signals", "a/b", ".hashes", "a" * 65])
    def test_bad_stage(self, store: Store, stage: str) -> None:
        with pytest.raises(ValueError, match="stage must be 1 to 64 lower-case letters"):
            store.key("6c1f", stage, {})

    def test_bad_values(self, store: Store) -> None:
        with pytest.raises(ValueError, match="video_hash must not be empty"):
            store.key("", "signals", {})
        with pytest.raises(TypeError, match="parameters must hold JSON values only"):
            store.key("6c1f", "signals", {"path": Path("x")})
        with pytest.raises(ValueError, match="parameters must hold finite JSON values"):
            store.key("6c1f", "signals", {"width": float("nan")})
        with pytest.raises(ValueError, match="metadata must hold finite JSON values"):
            store.write(store.key("6c1f", "signals", {}), a_table(), {"dynamicity": float("inf")})


class TestReadAndWrite:
    def test_round_trip(self, store: Store) -> None:
        key = write_one(store)
        entry = store.read_entry(key)
        assert entry.table.equals(a_table())
        assert entry.table.schema.equals(a_table().schema, check_metadata=True)
        assert entry.metadata == store.read_metadata(key) == {"video_id": "6c1f.mp4"}
        assert entry.key == key

    @given(
        rows=st.integers(0, 40),
        metadata=st.dictionaries(st.text(max_size=5), st.none() | st.integers() | st.text(max_size=8)),
        parameters=st.dictionaries(st.text(max_size=5), st.floats(allow_nan=False, allow_infinity=False)),
    )
    @settings(max_examples=25, deadline=None)
    def test_round_trip_of_anything(
        self, tmp_path_factory: pytest.TempPathFactory, rows: int, metadata: dict, parameters: dict
    ) -> None:
        store = Store(tmp_path_factory.mktemp("store"))
        key = store.key("6c1f", "signals", parameters)
        store.write(key, a_table(rows), metadata)
        entry = store.read_entry(key)
        assert entry.table.equals(a_table(rows))
        assert (entry.metadata, entry.key) == (metadata, key)

    def test_missing_is_expected_minus_present(self, store: Store) -> None:
        keys = [store.key(f"v{i}", "signals", {}) for i in range(5)]
        assert store.missing(keys) == keys
        assert not store.root.exists(), "asking must not make anything"
        for key in (keys[1], keys[3]):
            store.write(key, a_table())
        assert store.missing([*keys, keys[0]]) == [keys[0], keys[2], keys[4]]
        assert [store.has(key) for key in keys] == [False, True, False, True, False]

    def test_same_content_same_bytes(self, tmp_path: Path) -> None:
        contents = []
        for name in ("a", "b"):
            store = Store(tmp_path / name)
            contents.append(store.path(write_one(store)).read_bytes())
            time.sleep(0.01)
        assert contents[0] == contents[1]

    def test_encoding(self, store: Store) -> None:
        file = pq.ParquetFile(store.path(write_one(store)))
        for index in range(file.metadata.num_columns):
            column = file.metadata.row_group(0).column(index)
            assert column.compression == "ZSTD"
            assert not column.has_dictionary_page
            assert set(column.encodings) <= {"PLAIN", "RLE"}

    def test_large_tables_have_row_groups(self, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("evfr._core.store_format._ROW_GROUP_BYTES", 1 << 20)
        key = store.key("6c1f", "embeddings", {})
        vectors = np.zeros((5_000, 256), np.float16)  # 2.4 MiB
        store.write(key, pa.table({"v": vectors_to_column(vectors)}))
        footer = pq.ParquetFile(store.path(key)).metadata
        assert [footer.row_group(k).num_rows for k in range(footer.num_row_groups)] == [2048, 2048, 904]

    def test_other_tools_read_it(self, store: Store) -> None:
        path = str(store.path(write_one(store)))
        expected = a_table().column("flow").to_pylist()
        vectors = column_to_vectors(a_table().column("features"))
        frame = pandas.read_parquet(path)
        assert frame["flow"].tolist() == expected
        assert np.array_equal(np.stack(frame["features"]), vectors)
        lazy = polars.read_parquet(path)
        assert lazy["flow"].to_list() == expected
        assert np.array_equal(lazy["features"].to_numpy(), vectors)
        rows = duckdb.sql(f"select flow, features from '{path}' order by frame_index").fetchall()
        assert [row[0] for row in rows] == expected
        assert np.array_equal(np.array([row[1] for row in rows], np.float16), vectors)
        everything = duckdb.sql(f"select count(*) from '{store.root}/signals/*/*.parquet'").fetchall()
        assert everything == [(7,)]

    def test_root_is_a_file(self, tmp_path: Path) -> None:
        (tmp_path / "file").write_text("x")
        with pytest.raises(StoreError, match="is a file; give the path of a folder"):
            Store(tmp_path / "file")

    def test_repr(self, tmp_path: Path) -> None:
        assert repr(Store(tmp_path)) == f"Store({str(tmp_path)!r})"


class TestDamage:
    def test_absent(self, store: Store) -> None:
        with pytest.raises(StoreError, match=r"is not there: stage 'signals' of this video was not computed"):
            store.read(store.key("6c1f", "signals", {}))

    @pytest.mark.parametrize("content", [b"", b"PAR1", b"<html>not found</html>", b"\0" * 1000])
    def test_no_parquet(self, store: Store, content: bytes) -> None:
        key = write_one(store)
        store.path(key).write_bytes(content)
        with pytest.raises(StoreError, match=r"cannot use .*\.parquet'.*evfr verify --repair"):
            store.read(key)

    def test_parquet_of_another_program(self, store: Store) -> None:
        key = write_one(store)
        pq.write_table(a_table(), store.path(key))
        with pytest.raises(StoreError, match="a Parquet file that evfr did not write"):
            store.read(key)

    def test_under_a_wrong_name(self, store: Store) -> None:
        key, other = write_one(store), write_one(store, width=160)
        store.path(key).write_bytes(store.path(other).read_bytes())
        with pytest.raises(StoreError, match="holds stage 'signals' of another video or other parameters"):
            store.read(key)

    def test_other_schema(self, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
        key = write_one(store)
        monkeypatch.setattr("evfr._core.store_format.STORE_SCHEMA", 2)
        with pytest.raises(StoreError, match="it has store schema 1, this evfr reads 2"):
            store.read(key)

    @pytest.mark.parametrize("step", [37, pytest.param(1, marks=pytest.mark.slow)])
    def test_no_flipped_bit_changes_what_is_read(self, store: Store, step: int) -> None:
        key = write_one(store)
        path, good = store.path(key), store.path(write_one(store)).read_bytes()
        found = 0
        for position in range(0, len(good) * 8, step):
            bad = bytearray(good)
            bad[position // 8] ^= 1 << position % 8
            path.write_bytes(bad)
            try:
                entry = store.read_entry(key)
            except StoreError as error:
                assert "evfr verify --repair" in str(error)
                found += 1
            else:
                assert entry.table.equals(a_table()), f"bit {position}"
                assert (entry.metadata, entry.key) == ({"video_id": "6c1f.mp4"}, key), f"bit {position}"
        assert found > len(good) * 8 / step / 2

    def test_no_cut_file_is_read(self, store: Store) -> None:
        key = write_one(store)
        good = store.path(key).read_bytes()
        for length in range(0, len(good), 7):
            store.path(key).write_bytes(good[:length])
            with pytest.raises(StoreError, match="cannot use"):
                store.read(key)


class TestVerify:
    def test_every_kind(self, store: Store) -> None:
        keys = [write_one(store, f"v{i}") for i in range(4)]
        paths = [store.path(key) for key in keys]
        paths[0].write_bytes(paths[0].read_bytes()[:100])
        misplaced = paths[1].with_name("0" * 32 + ".parquet")
        paths[1].rename(misplaced)
        old, young = store.root / ".evfr-1-old.tmp", store.root / ".evfr-1-young.tmp"
        for path in (old, young):
            path.write_bytes(b"half")
        os.utime(old, (time.time() - 4000, time.time() - 4000))
        (store.root / "notes.txt").write_text("mine")
        pq.write_table(a_table(), store.root / "mine.parquet")
        store.cached_hash(_aged(store.root.parent / "clip.mp4"), lambda _: "6c1f")

        findings = {finding.path: finding for finding in store.verify()}
        assert {p: f.status for p, f in findings.items()} == {
            paths[0]: "corrupt",
            misplaced: "corrupt",
            paths[2]: "ok",
            paths[3]: "ok",
            old: "temporary",
            store.root / "notes.txt": "foreign",
            store.root / "mine.parquet": "foreign",
        }
        assert "what belongs under another name" in findings[misplaced].message
        assert findings[paths[2]].size_bytes == paths[2].stat().st_size
        assert not any(finding.is_removed for finding in findings.values())

        removed = {finding.path for finding in store.verify(repair=True) if finding.is_removed}
        assert removed == {paths[0], misplaced, old}
        assert young.exists()
        assert sorted(f.status for f in store.verify()) == ["foreign", "foreign", "ok", "ok"]
        assert store.missing(keys) == keys[:2]

    def test_compacted_files_are_not_foreign(self, store: Store) -> None:
        write_one(store)
        store.compact("signals")
        assert [finding.status for finding in store.verify()] == ["ok"]

    def test_no_store(self, store: Store) -> None:
        with pytest.raises(StoreError, match="there is no store at"):
            store.verify()

    def test_cannot_delete(self, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
        store.path(write_one(store)).write_bytes(b"")

        def refuse(self: Path, missing_ok: bool = False) -> None:
            raise PermissionError(13, "Permission denied")

        monkeypatch.setattr(Path, "unlink", refuse)
        with pytest.raises(StoreError, match=r"cannot delete .*Permission denied"):
            store.verify(repair=True)


class TestCompact:
    def test_merges_everything(self, store: Store) -> None:
        for index in range(5):
            write_one(store, f"v{index}", rows=index)
        path, file_count, row_count = store.compact("signals")
        assert (path, file_count, row_count) == (store.root / "signals.parquet", 5, 10)
        merged = pq.read_table(path)
        assert merged.column_names[:3] == ["video_id", "video_hash", "parameters"]
        for index in range(5):
            rows = merged.filter(pa.compute.equal(merged["video_hash"], f"v{index}"))
            assert set(rows["video_id"].to_pylist()) <= {f"v{index}.mp4"}
            assert rows.drop_columns(["video_id", "video_hash", "parameters"]).to_pydict() == (
                a_table(index).to_pydict()
            )
        assert len(list(store.files("signals"))) == 5
        assert len(polars.read_parquet(path)) == len(pandas.read_parquet(path)) == 10
        assert duckdb.sql(f"select count(distinct video_hash) from '{path}'").fetchall() == [(4,)]

    def test_different_columns_and_no_names(self, store: Store, tmp_path: Path) -> None:
        store.write(store.key("a", "signals", {"width": 1}), pa.table({"flow": [1.0, 2.0]}))
        vectors = pa.table({"flow": [3.0], "v": vectors_to_column(np.ones((1, 3)))})
        store.write(store.key("a", "signals", {"width": 2}), vectors)
        path, _, _ = store.compact("signals", out=tmp_path / "merged" / "all.parquet")
        rows = sorted(pq.read_table(path).to_pylist(), key=lambda row: row["flow"])
        assert rows[0] == {"video_hash": "a", "parameters": '{"width":1}', "flow": 1.0, "v": None}
        assert rows[2] == {"video_hash": "a", "parameters": '{"width":2}', "flow": 3.0, "v": [1.0, 1.0, 1.0]}

    def test_small_memory(self, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("evfr._core.compaction._FLUSH_BYTES", 500)
        for index in range(9):
            write_one(store, f"v{index}")
        path, _, rows = store.compact("signals")
        assert rows == 63
        assert pq.ParquetFile(path).num_row_groups > 1
        assert pq.read_table(path)["flow"].to_pylist() == a_table()["flow"].to_pylist() * 9

    def test_remove_sources(self, store: Store) -> None:
        key = write_one(store)
        store.compact("signals", remove_sources=True)
        assert store.missing([key]) == [key]
        assert pq.read_table(store.root / "signals.parquet").num_rows == 7

    def test_refusals(self, store: Store) -> None:
        key = write_one(store)
        with pytest.raises(StoreError, match=r"has no stage 'flow'; it has: signals"):
            store.compact("flow")
        other = store.key("b", "signals", {})
        store.write(other, pa.table({"flow": ["text"]}))
        with pytest.raises(StoreError, match="compact stores of one evfr version"):
            store.compact("signals")
        store.write(other, pa.table({"video_hash": ["text"]}))
        with pytest.raises(StoreError, match=r"columns \['video_hash'\] are taken"):
            store.compact("signals")
        store.write(other, a_table())
        store.path(key).write_bytes(b"")
        with pytest.raises(StoreError, match="evfr verify --repair"):
            store.compact("signals", remove_sources=True)
        assert not (store.root / "signals.parquet").exists()
        assert store.path(other).exists()


def _aged(path: Path, content: bytes = b"video", seconds: float = 60) -> Path:
    path.write_bytes(content)
    # The change time cannot be set, so the clock of the store is what the tests move.
    os.utime(path, (time.time() - seconds, time.time() - seconds))
    return path


class TestCachedHash:
    @pytest.fixture(autouse=True)
    def later(self, monkeypatch: pytest.MonkeyPatch) -> None:
        now = time.time_ns
        monkeypatch.setattr("evfr._core.content_cache.time.time_ns", lambda: now() + 10_000_000_000)

    def test_computes_once(self, store: Store, tmp_path: Path) -> None:
        path, calls = _aged(tmp_path / "a.mp4"), []

        def compute(what: Path) -> str:
            calls.append(what)
            return "6c1f"

        assert [store.cached_hash(path, compute) for _ in range(3)] == ["6c1f"] * 3
        assert calls == [path]
        link = tmp_path / "link.mp4"
        link.symlink_to(path)
        assert store.cached_hash(str(link), compute) == "6c1f"
        assert len(calls) == 1

    def test_any_change_computes_again(self, store: Store, tmp_path: Path) -> None:
        path = _aged(tmp_path / "a.mp4", b"first")
        assert store.cached_hash(path, lambda p: p.read_text()) == "first"
        _aged(path, b"other")  # same size, same time, same inode: only the change time differs
        assert store.cached_hash(path, lambda p: p.read_text()) == "other"
        path.unlink()
        _aged(path, b"third")
        assert store.cached_hash(path, lambda p: p.read_text()) == "third"

    def test_fresh_files_are_not_trusted(
        self, store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(
            "evfr._core.content_cache.time.time_ns", lambda: path.stat().st_ctime_ns + 1_900_000_000
        )
        path = _aged(tmp_path / "a.mp4")
        answers = iter(["1", "2"])
        assert [store.cached_hash(path, lambda _: next(answers)) for _ in range(2)] == ["1", "2"]

    def test_changed_while_hashing(self, store: Store, tmp_path: Path) -> None:
        path = _aged(tmp_path / "a.mp4")

        def compute(p: Path) -> str:
            p.write_bytes(b"longer now")
            return "old"

        assert store.cached_hash(path, compute) == "old"
        assert store.cached_hash(path, lambda _: "new") == "new"

    def test_folders_and_absent_files_are_always_computed(self, store: Store, tmp_path: Path) -> None:
        answers = iter("1234")
        for path in (tmp_path, tmp_path / "absent"):
            first = store.cached_hash(path, lambda _: next(answers))
            assert store.cached_hash(path, lambda _: next(answers)) != first

    @pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"identity": [], "hash": "x", "check": ""}'])
    def test_damaged_cache_is_computed_again(self, store: Store, tmp_path: Path, content: bytes) -> None:
        path = _aged(tmp_path / "a.mp4")
        store.cached_hash(path, lambda _: "6c1f")
        (file,) = (store.root / ".hashes").rglob("*.json")
        file.write_bytes(content)
        assert store.cached_hash(path, lambda _: "6c1f") == "6c1f"
        assert b"6c1f" in file.read_bytes()


class TestVectors:
    @given(st.integers(0, 20), st.integers(1, 9), st.integers(0, 2**32 - 1))
    @settings(max_examples=30, deadline=None)
    def test_round_trip(self, n: int, size: int, seed: int) -> None:
        vectors = np.random.default_rng(seed).standard_normal((n, size)).astype(np.float16)
        column = vectors_to_column(vectors)
        assert np.array_equal(column_to_vectors(column), vectors)
        picked = random.Random(seed)
        rows = np.array([picked.randrange(n) for _ in range(5)] if n else [], np.int64)
        cut = picked.randint(0, n)
        pieces = pa.chunked_array([column.slice(0, cut), column.slice(cut)])
        assert np.array_equal(column_to_vectors(pieces), vectors)
        for source in (column, pieces):
            assert np.array_equal(column_to_vectors(source, rows), vectors[rows])

    def test_no_copy(self) -> None:
        vectors = np.ones((5, 4), np.float16)
        column = vectors_to_column(vectors)
        assert np.shares_memory(column_to_vectors(column), vectors)
        assert np.shares_memory(column_to_vectors(column.slice(2)), vectors)

    def test_after_reading_it_is_one_piece(self, store: Store) -> None:
        column = store.read(write_one(store)).column("features")
        view = column_to_vectors(column)
        assert view.base is not None
        assert np.shares_memory(view, column_to_vectors(column))

    def test_refusals(self) -> None:
        with pytest.raises(
            ValueError, match=r"vectors must be \(N, D\) with D of 1 or more, got shape \(3,\)"
        ):
            vectors_to_column(np.ones(3))
        with pytest.raises(ValueError, match="beyond"):
            vectors_to_column(np.full((1, 1), 1e6))
        assert np.isinf(column_to_vectors(vectors_to_column(np.full((1, 1), np.inf)))).all()
        with pytest.raises(TypeError, match="fixed-size lists of float16, got double"):
            column_to_vectors(pa.chunked_array([[1.0]]))

"""Many entries as one array: the order, who each row is, and that nothing is mixed or left out in silence."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from evfr._core._embedding_rows import stored_vectors
from evfr._core.embedding_set import EmbeddingSet, embedding_models
from evfr._core.store import Store
from evfr._core.store_format import StoreKey
from evfr._core.types import PTS_NONE
from evfr._core.vectors import vectors_to_column
from evfr.errors import StoreError
from helpers.embedded import drawn_vectors, write_embedding

SIZES = {"clip10.mp4": 7, "clip2.mp4": 5, "clip1.mp4": 0, "a/b.mp4": 11}
MANY = np.arange(6)
ORDER = ("a/b.mp4", "clip1.mp4", "clip2.mp4", "clip10.mp4")


@pytest.fixture
def store(tmp_path: Path) -> Store:
    made = Store(tmp_path / "store")
    for seed, (name, rows) in enumerate(SIZES.items()):
        write_embedding(made, name, drawn_vectors(rows, seed=seed), every=3, has_pts=name != "clip2.mp4")
    return made


@pytest.fixture
def truth() -> np.ndarray:
    seeds = {name: seed for seed, name in enumerate(SIZES)}
    return np.concatenate([drawn_vectors(SIZES[name], seed=seeds[name]) for name in ORDER])


def spoil(path: Path) -> None:
    """Turn over one byte of the rows: the last of the first page."""
    data = bytearray(path.read_bytes())
    chunk = pq.ParquetFile(path).metadata.row_group(0).column(0)
    data[chunk.data_page_offset + chunk.total_compressed_size - 1] ^= 0xFF
    path.write_bytes(bytes(data))


class TestReading:
    @pytest.mark.parametrize("memory_mb", [0, 256])
    def test_rows_blocks_and_array_are_what_was_written(
        self, store: Store, truth: np.ndarray, memory_mb: int
    ) -> None:
        found = EmbeddingSet.open(store, memory_mb=memory_mb)
        assert (len(found), found.dimension, found.nbytes) == (23, 8, 23 * 8 * 2)
        assert found.video_ids == ORDER
        assert found.offsets.tolist() == [0, 11, 11, 16, 23]
        assert found.to_array().dtype == np.float16
        np.testing.assert_array_equal(found.to_array(), truth)
        np.testing.assert_array_equal(found.to_array(np.float32), truth.astype(np.float32))
        for size in (1, 4, 16, 23, 100):
            blocks = list(found.blocks(size))
            assert [len(b) for b in blocks[:-1]] == [size] * (len(blocks) - 1)
            assert all(b.dtype == np.float32 for b in blocks)
            np.testing.assert_array_equal(np.concatenate(blocks), truth)
        wanted = np.array([22, 0, 0, 15, 16, 17, 3, 22])
        for rows in (wanted, wanted.tolist(), np.arange(23), np.zeros(0, np.int64)):
            got = found.rows(rows)
            assert got.dtype == np.float32
            np.testing.assert_array_equal(got, truth[np.asarray(rows, np.int64)].astype(np.float32))
        assert found.cache_path.is_file() is (memory_mb == 0)
        np.testing.assert_array_equal(np.concatenate(list(found.blocks(5))), truth)

    def test_who_each_row_is(self, store: Store) -> None:
        found = EmbeddingSet.open(store)
        assert found.frame_index.tolist() == [*range(0, 33, 3), *range(0, 15, 3), *range(0, 21, 3)]
        assert found.time_seconds.tolist() == (found.frame_index / 10.0).tolist()
        assert found.pts[11:16].tolist() == [PTS_NONE] * 5
        assert found.pts[16:].tolist() == (found.frame_index[16:] * 512).tolist()
        assert found.video_of([0, 10, 11, 15, 16, 22]).tolist() == [0, 0, 2, 2, 3, 3]
        frame = found.locate(17)
        assert (frame.row, frame.video_id, frame.frame_index, frame.pts) == (17, "clip10.mp4", 3, 1536)
        assert frame.time_seconds == pytest.approx(0.3)
        assert found.locate(12).pts is None
        assert found.find("clip10.mp4", 3) == frame
        assert found.find("clip10.mp4", time_seconds=0.44) == frame
        assert found.find("clip10.mp4", time_seconds=1e9).frame_index == 18

    def test_bad_questions(self, store: Store) -> None:
        found = EmbeddingSet.open(store)
        with pytest.raises(IndexError, match=r"row 23 is outside of \[0, 23\)"):
            found.rows([0, 23])
        with pytest.raises(IndexError, match=r"row -1 is outside"):
            found.locate(-1)
        with pytest.raises(ValueError, match="size must be 1 or more rows, got 0"):
            next(found.blocks(0))
        with pytest.raises(KeyError, match=r"no video 'x\.mp4' among the embeddings; there are a/b\.mp4"):
            found.find("x.mp4", 0)
        with pytest.raises(KeyError, match=r"frame 4 of clip2\.mp4 has no embedding; the nearest .* is 3"):
            found.find("clip2.mp4", 4)
        with pytest.raises(KeyError, match=r"clip1\.mp4 has no embedded frame"):
            found.find("clip1.mp4", 0)
        with pytest.raises(ValueError, match="give a frame_index or a finite time_seconds, got nan"):
            found.find("clip2.mp4", time_seconds=float("nan"))
        with pytest.raises(ValueError, match="damaged must be 'fail' or 'drop', got 'keep'"):
            EmbeddingSet.open(store, damaged="keep")  # type: ignore[arg-type]

    def test_only_some_entries(self, store: Store, truth: np.ndarray) -> None:
        everything = EmbeddingSet.open(store)
        some = EmbeddingSet.open(store, keys=[everything.keys[3], everything.keys[0]], memory_mb=0)
        assert some.video_ids == ("a/b.mp4", "clip10.mp4")
        np.testing.assert_array_equal(some.rows(np.arange(18)), np.concatenate([truth[:11], truth[16:]]))
        gone = StoreKey("embedding", "never", everything.keys[0].parameters)
        with pytest.raises(StoreError, match=r"cannot use .*No such file"):
            EmbeddingSet.open(store, keys=[gone])

    def test_travels_to_another_process(self, store: Store, truth: np.ndarray) -> None:
        found = EmbeddingSet.open(store, memory_mb=0)
        found.rows(MANY)
        copy = pickle.loads(pickle.dumps(found))
        np.testing.assert_array_equal(copy.rows([1, 5]), truth[[1, 5]])
        assert repr(copy) == "EmbeddingSet(drawn: 23 x 8 of 4 videos)"


class TestCache:
    def test_made_once_superseded_and_mended(self, store: Store) -> None:
        found = EmbeddingSet.open(store, memory_mb=0)
        before = found.rows(MANY)
        first = found.cache_path
        stamp = first.stat().st_mtime_ns
        np.testing.assert_array_equal(np.load(first), found.to_array())
        again = EmbeddingSet.open(store, memory_mb=0)
        again.rows(MANY)
        assert first.stat().st_mtime_ns == stamp
        os.truncate(first, first.stat().st_size - 1)
        with pytest.raises(StoreError, match="was cut; delete it"):
            again.rows([22])
        np.testing.assert_array_equal(EmbeddingSet.open(store, memory_mb=0).rows(MANY), before)
        write_embedding(store, "clip3.mp4", drawn_vectors(2, seed=9), every=3)
        newer = EmbeddingSet.open(store, memory_mb=0)
        newer.rows(MANY)
        assert newer.digest != found.digest
        assert [path.name for path in store.cache_folder.iterdir()] == [newer.cache_path.name]
        assert all(finding.status == "ok" for finding in store.verify())
        newer.remove_cache()
        newer.remove_cache()
        assert not newer.cache_path.exists()
        assert len(newer.rows(MANY)) == 6

    def test_an_entry_that_changes_under_an_open_set(self, store: Store) -> None:
        found = EmbeddingSet.open(store, memory_mb=0)
        write_embedding(store, "clip2.mp4", drawn_vectors(6), every=3)
        with pytest.raises(StoreError, match="has changed since the set was opened; open it again"):
            found.rows(MANY)
        with pytest.raises(StoreError, match="has changed since the set was opened"):
            found.find("clip2.mp4", 0)
        with pytest.raises(StoreError, match="has changed since the set was opened"):
            _ = found.frame_index

    def test_a_few_rows_do_not_pay_for_a_copy(self, store: Store, truth: np.ndarray) -> None:
        found = EmbeddingSet.open(store, memory_mb=0)
        for row in (0, 22, 11, 16, 15, 3, 7, 10):
            np.testing.assert_array_equal(found.rows([row, 5]), truth[[row, 5]])
        assert not found.cache_path.exists()
        np.testing.assert_array_equal(found.rows([9]), truth[[9]])
        assert found.cache_path.is_file()

    @pytest.mark.parametrize("memory_mb", [0, 256])
    def test_a_view_to_read_from(self, store: Store, truth: np.ndarray, memory_mb: int) -> None:
        found = EmbeddingSet.open(store, memory_mb=memory_mb)
        view = found.view()
        np.testing.assert_array_equal(view, truth)
        with pytest.raises(ValueError, match="read-only"):
            view[0, 0] = 1.0
        assert found.cache_path.is_file() is (memory_mb == 0)

    def test_where_nothing_can_be_written(self, store: Store) -> None:
        found = EmbeddingSet.open(store, memory_mb=0)
        store.cache_folder.write_text("a file in its place")
        with pytest.raises(StoreError, match="cannot make the folder"):
            found.rows(MANY)


class TestNeverMixed:
    def test_several_kinds_are_listed_and_named(self, store: Store) -> None:
        write_embedding(store, "clip2.mp4", drawn_vectors(4, 16), model="dinov2", embedder={"name": "hf"})
        write_embedding(store, "clip2.mp4", drawn_vectors(4), every=None, fps=2.0)
        with pytest.raises(StoreError, match="embeddings of 3 kinds, which are never mixed") as caught:
            EmbeddingSet.open(store)
        models = embedding_models(store)
        assert [(m.name, m.every, m.fps, m.row_count) for m in models if m.name == "dinov2"] == [
            ("dinov2", 1, None, 4)
        ]
        for model in models:
            assert str(model) in str(caught.value)
            assert EmbeddingSet.open(store, model.id).model == model
            assert EmbeddingSet.open(store, parameters=model.parameters).model == model
            assert model.to_dict()["id"] == model.id
        assert EmbeddingSet.open(store, "dinov2").dimension == 16
        with pytest.raises(StoreError, match=r"2 kinds by 'drawn'.*every 3; 23 frames of 4 videos"):
            EmbeddingSet.open(store, "drawn")
        with pytest.raises(StoreError, match="no embeddings by 'clip'; it has: "):
            EmbeddingSet.open(store, "clip")
        with pytest.raises(StoreError, match="no embeddings with these parameters; it has: "):
            EmbeddingSet.open(store, parameters={})

    def test_two_videos_of_one_name(self, store: Store) -> None:
        write_embedding(store, "clip2.mp4", drawn_vectors(4), video_hash="other", every=3)
        with pytest.raises(
            StoreError, match=r"two different videos are called 'clip2\.mp4'; delete the older"
        ):
            EmbeddingSet.open(store)

    def test_two_lengths(self, store: Store) -> None:
        write_embedding(store, "clip3.mp4", drawn_vectors(4, 9), every=3)
        with pytest.raises(StoreError, match=r"must have one length: clip3\.mp4 has 9 .* a/b\.mp4 has 8"):
            EmbeddingSet.open(store)

    def test_nothing_there(self, tmp_path: Path) -> None:
        with pytest.raises(StoreError, match="there is no store at"):
            EmbeddingSet.open(tmp_path / "absent")
        with pytest.raises(StoreError, match="has no embeddings; make them with evfr embed"):
            EmbeddingSet.open(tmp_path)
        assert embedding_models(Store(tmp_path)) == []


class TestDamage:
    def test_named_and_left_out_only_if_asked(self, store: Store, truth: np.ndarray) -> None:
        keys = dict(zip(ORDER, EmbeddingSet.open(store).keys, strict=True))
        spoil(store.path(keys["clip2.mp4"]))
        data = store.path(keys["a/b.mp4"]).read_bytes()
        store.path(keys["a/b.mp4"]).write_bytes(data[:-4])
        with pytest.raises(StoreError, match=r"cannot use .*delete the file"):
            EmbeddingSet.open(store)
        found = EmbeddingSet.open(store, damaged="drop")
        assert found.video_ids == ("clip1.mp4", "clip10.mp4")
        assert len(found.problems) == 2
        assert any(keys["a/b.mp4"].digest in text for text in found.problems)
        assert any("clip2.mp4" in text for text in found.problems)
        assert (found.model.video_count, found.model.row_count) == (2, 7)
        np.testing.assert_array_equal(found.to_array(), truth[16:])

    def test_rows_that_fail_their_checksum(self, store: Store) -> None:
        found = EmbeddingSet.open(store, memory_mb=0)
        path = store.path(found.keys[0])
        data = bytearray(path.read_bytes())
        chunk = pq.ParquetFile(path).metadata.row_group(0).column(3)
        data[chunk.data_page_offset + chunk.total_compressed_size - 1] ^= 0xFF
        path.write_bytes(bytes(data))
        with pytest.raises(StoreError, match=r"cannot use .*delete the file, or run evfr verify --repair"):
            found.rows(MANY)
        assert not list(store.cache_folder.iterdir()), "half a cache must not stay"

    def test_everything_damaged(self, tmp_path: Path) -> None:
        key = write_embedding(tmp_path, "one.mp4", drawn_vectors(20))
        spoil(Store(tmp_path).path(key))
        with pytest.raises(StoreError, match=r"every entry of .* is damaged"):
            EmbeddingSet.open(tmp_path, damaged="drop")

    @pytest.mark.parametrize(
        ("columns", "text"),
        [
            ({"frame_index": [0]}, "it lacks pts, time_seconds, embedding"),
            (
                {"embedding": [0.5]},
                r"its embedding is double, it must be fixed-size lists of float16",
            ),
        ],
    )
    def test_entries_of_another_form(self, store: Store, columns: dict[str, list], text: str) -> None:
        key = store.key("odd", "embedding", {})
        whole = {"frame_index": [0], "pts": [0], "time_seconds": [0.0], "embedding": [0.5]}
        store.write(key, pa.table(columns if "frame_index" in columns else {**whole, **columns}))
        with pytest.raises(StoreError, match=text):
            EmbeddingSet.open(store)

    def test_a_file_under_another_name(self, store: Store) -> None:
        key = EmbeddingSet.open(store).keys[0]
        other = store.path(StoreKey("embedding", "other", key.parameters))
        other.parent.mkdir(exist_ok=True)
        other.write_bytes(store.path(key).read_bytes())
        with pytest.raises(StoreError, match="it holds what belongs under another name"):
            EmbeddingSet.open(store)


@pytest.mark.slow
def test_one_large_entry_is_read_in_parts(tmp_path: Path) -> None:
    # Row groups hold about 64 MB: 3 of them here.
    vectors = np.arange(1 << 16, dtype=np.uint16).view(np.float16)[:30000].reshape(-1, 1)
    rows = np.broadcast_to(vectors, (30000, 2400)).copy()
    key = write_embedding(tmp_path, "long.mp4", rows)
    found = EmbeddingSet.open(tmp_path, memory_mb=0)
    sizes = [len(block) for block in stored_vectors(found._entries)]
    assert len(sizes) == 3 and sum(sizes) == 30000
    np.testing.assert_array_equal(found.rows([29999, 5, 0, 1, 2])[:2].astype(np.float16), rows[[29999, 5]])
    assert found.keys == (key,)


MEMORY = """
import resource, sys
import numpy as np
from evfr._core.embedding_set import EmbeddingSet

def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024

found = EmbeddingSet.open(sys.argv[1], memory_mb=64)
len(found.locate(0).video_id), found.rows([0]).sum() if sys.argv[2] == "warm" else None
before = peak()
total = sum(float(block[:, 0].sum()) for block in found.blocks())
rows = found.rows(np.random.default_rng(0).integers(0, len(found), 20000))
print(len(found) * found.dimension * 2 / 2**20, peak() - before)
"""


@pytest.mark.slow
@pytest.mark.parametrize("files", [1, 400])
def test_memory_stays_flat(tmp_path: Path, files: int) -> None:
    """A set of 586 MB, as one file and as 400, is read by blocks and by rows in less than 200 MB more."""
    rng = np.random.default_rng(0)
    for number in range(files):
        rows = rng.standard_normal((800_000 // files, 384), dtype=np.float32)
        write_embedding(tmp_path, f"v{number}.mp4", rows)
    command = [sys.executable, "-c", MEMORY, str(tmp_path), "cold"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    size, growth = map(float, done.stdout.split())
    assert size > 580
    assert growth < 200, f"{growth:.0f} MB more for a set of {size:.0f} MB"


def test_vectors_column_is_what_the_helper_writes() -> None:
    assert vectors_to_column(drawn_vectors(3)).type.list_size == 8

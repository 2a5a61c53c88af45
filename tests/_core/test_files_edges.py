"""Files that are gone, cut, somebody else's or claim what they do not have: one error, and what it says."""

from __future__ import annotations

import io
import json
import zipfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from evfr._core import content_cache, store_format
from evfr._core import npz as npz_module
from evfr._core._embedding_cache import MatrixFile, write_matrix
from evfr._core._mask_kernels import joined_runs
from evfr._core._mask_reading import polygon_points
from evfr._core.compaction import compact_stage, is_compacted
from evfr._core.config_file import ConfigFile, find_config, read_config
from evfr._core.embedding_set import EmbeddingSet
from evfr._core.npz import read_npz
from evfr._core.parquet_tables import read_parquet
from evfr._core.selection import SELECTION_SCHEMA, Selection
from evfr._core.store import Store
from evfr._core.zip_members import check_member, open_zip, read_member
from evfr.errors import SelectionFileError, StoreError
from fuzz import seeds
from helpers.embedded import drawn_vectors, write_embedding

# -- arrays in zips ----------------------------------------------------------------------------------


NO_ARRAYS = (ValueError, zipfile.BadZipFile)


def npz(**members: bytes) -> bytes:
    sink = io.BytesIO()
    with zipfile.ZipFile(sink, "w") as archive:
        for name, content in members.items():
            archive.writestr(name.replace("__", "."), content)
    return sink.getvalue()


def npy(array: np.ndarray, claimed: tuple[int, ...] | None = None) -> bytes:
    sink = io.BytesIO()
    np.lib.format.write_array(sink, array)
    data = sink.getvalue()
    if claimed is None:
        return data
    return data.replace(str(array.shape).encode(), str(claimed).encode().ljust(len(str(array.shape)))[:99])


def test_arrays_come_back_whole(tmp_path):
    path = tmp_path / "a.npz"
    arrays = {
        "rows": np.arange(12, dtype=np.float32).reshape(3, 4),
        "columns": np.asfortranarray(np.arange(6).reshape(2, 3)),
        "none": np.zeros((0, 5)),
        "one": np.array("name"),
        "flags": np.array([True, False]),
    }
    for save in (np.savez, np.savez_compressed):
        save(path, **arrays)
        found = read_npz(path)
        assert set(found) == set(arrays)
        for name, array in arrays.items():
            np.testing.assert_array_equal(found[name], array)
            assert found[name].dtype == array.dtype
    two = io.BytesIO()
    np.lib.format.write_array(two, arrays["rows"], version=(2, 0))
    path.write_bytes(npz(a__npy=two.getvalue()))
    np.testing.assert_array_equal(read_npz(path)["a"], arrays["rows"])


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (npz(a__npy=b"\x93NUMPY\x03\x00"), "an array of version"),
        (npz(a__txt=b"x"), r"its member 'a.txt' is no array"),
        (npz(a__npy=npy(np.arange(3), (9,))), r"an array claims \(9,\) of int64 and has"),
        (npz(a__npy=npy(np.arange(3))[:-1]), r"an array claims \(3,\) of int64 and has 23 bytes"),
        (npz(a__npy=npy(np.arange(3)) + b"x"), r"an array claims \(3,\) of int64 and has 25 bytes"),
        (npz(a__npy=b"\x93NUMPY\x01\x00\x04\x00(((("), "the header of an array cannot be read"),
    ],
)
def test_arrays_that_are_not_what_they_say(tmp_path, data, message):
    path = tmp_path / "a.npz"
    path.write_bytes(data)
    with pytest.raises(NO_ARRAYS, match=message):
        read_npz(path)


def test_objects_twins_and_bombs_are_refused(tmp_path, monkeypatch):
    path = tmp_path / "a.npz"
    np.savez(path, a=np.array([{}], object))
    with pytest.raises(NO_ARRAYS, match="an array of objects, which could run code"):
        read_npz(path)
    with pytest.warns(UserWarning, match="Duplicate name"), zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a.npy", npy(np.arange(3)))
        archive.writestr("a.npy", npy(np.arange(4)))
    with pytest.raises(NO_ARRAYS, match=r"its member 'a\.npy' is no array, or there twice"):
        read_npz(path)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_LZMA) as archive:
        archive.writestr("a.npy", npy(np.arange(3)))
    with pytest.raises(NO_ARRAYS, match="compressed or encrypted in a way that numpy does not write"):
        read_npz(path)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.npy", npy(np.zeros(1 << 20, np.uint8)))
    assert not read_npz(path)["a"].any()
    monkeypatch.setattr(npz_module, "_FROM_BYTES", 1 << 19)
    with pytest.raises(NO_ARRAYS, match=r"its \d+ bytes claim to unpack to \d+"):
        read_npz(path)


# -- zips --------------------------------------------------------------------------------------------


def test_members_are_checked_before_they_are_read(tmp_path):
    path = tmp_path / "a.zip"
    for kind in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2):
        with zipfile.ZipFile(path, "w", kind) as archive:
            archive.writestr("a", b"x" * 99)
        with open_zip(path) as archive:
            (member,) = archive.infolist()
            check_member(member)
            assert read_member(archive, member) == b"x" * 99
            member.file_size = 100
            with pytest.raises(zipfile.BadZipFile, match="not as long as the zip says"):
                read_member(archive, member)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_LZMA) as archive:
        archive.writestr("a", b"x")
    with open_zip(path) as archive, pytest.raises(zipfile.BadZipFile, match="compressed in another way"):
        check_member(archive.infolist()[0])
    member = zipfile.ZipInfo("a")
    member.flag_bits |= 1
    with pytest.raises(zipfile.BadZipFile, match="member 'a' is encrypted"):
        check_member(member)
    member = zipfile.ZipInfo("a")
    member.file_size, member.compress_size = (1 << 24) + 1, 1
    with pytest.raises(zipfile.BadZipFile, match="member 'a' unpacks to far more than it takes"):
        check_member(member)
    member.file_size = 1 << 24
    check_member(member)
    with pytest.raises(zipfile.BadZipFile, match="No such file"):
        open_zip(tmp_path / "gone.zip")


# -- tables ------------------------------------------------------------------------------------------


def test_tables_are_counted_before_they_are_made(tmp_path):
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"a": [1, 2], "b": ["x", None], "c": [b"", b"y"], "d": [[1], [2]]}), path)
    assert read_parquet(path, ["b", "a", "c"]).to_pylist() == [
        {"b": "x", "a": 1, "c": b""},
        {"b": None, "a": 2, "c": b"y"},
    ]
    with pytest.raises(pa.ArrowException, match="it has no column 'z'; its columns are"):
        read_parquet(path, ["a", "z"])
    with pytest.raises(pa.ArrowException, match="its column 'd' holds lists; give one value a row"):
        read_parquet(path)
    pq.write_table(pa.table({"a": pa.array(np.zeros(1_000_000, np.int64))}), path)
    with pytest.raises(pa.ArrowException, match=r"it claims 1000000 rows, more than its \d+ bytes can hold"):
        read_parquet(path)
    assert read_parquet(path, rows_per_byte=1e6).num_rows == 1_000_000
    long = pa.DictionaryArray.from_arrays(pa.array(np.zeros(100_000, np.int32)), pa.array(["x" * 10_000]))
    pq.write_table(pa.table({"a": long}), path)
    with pytest.raises(
        pa.ArrowException, match="its column 'a' unpacks to 1000000000 bytes, far more than its"
    ):
        read_parquet(path)
    pq.write_table(pa.table({"a": pa.array([], pa.string())}), path)
    assert read_parquet(path).num_rows == 0


def test_selections_from_before_gains_are_read(tmp_path):
    (tmp_path / "selection.json").write_bytes(seeds.manifest())
    whole = pq.read_table(pa.BufferReader(seeds.selection_table()))
    pq.write_table(whole.drop_columns(["gain"]), tmp_path / "selection.parquet")
    found = Selection.load(tmp_path)
    assert found.table.schema.equals(SELECTION_SCHEMA)
    assert found.table["gain"].null_count == 4
    pq.write_table(whole.drop_columns(["rank"]), tmp_path / "selection.parquet")
    with pytest.raises(SelectionFileError, match=r"selection\.parquet: .*rank"):
        Selection.load(tmp_path)


@pytest.mark.parametrize("problem", [{}, 3, {"code": "W_NOTHING", "message": "", "source": "", "count": 1}])
def test_manifests_with_problems_that_are_none_are_refused(tmp_path, problem):
    data = json.loads(seeds.manifest())
    data["problems"].append(problem)
    (tmp_path / "selection.json").write_text(json.dumps(data))
    (tmp_path / "selection.parquet").write_bytes(seeds.selection_table())
    with pytest.raises(
        SelectionFileError, match="is no problem as evfr writes it; the file was edited or cut"
    ):
        Selection.load(tmp_path)


# -- the store ---------------------------------------------------------------------------------------


@pytest.fixture
def entry(tmp_path) -> tuple[Store, Path]:
    store = Store(tmp_path / "store")
    key = store.key("ab", "signals", {"width": 1})
    store.write(key, pa.table({"a": [1, 2, 3]}), {"video_id": "x"})
    return store, store.path(key)


def test_columns_that_an_entry_lacks(entry):
    with pytest.raises(StoreError, match="it has no column b, c; delete the file"):
        list(store_format.iterate_rows(entry[1], ["a", "b", "c"]))
    (table,) = store_format.iterate_rows(entry[1], ["a"])
    assert table["a"].to_pylist() == [1, 2, 3]


def test_an_entry_with_fewer_rows_than_it_claims(entry, monkeypatch):
    """Parquet's own checks leave this one to us where a page says less than the footer."""
    whole = pq.ParquetFile.read
    group = pq.ParquetFile.read_row_group
    monkeypatch.setattr(pq.ParquetFile, "read", lambda self, **k: whole(self, **k).slice(1))
    monkeypatch.setattr(pq.ParquetFile, "read_row_group", lambda self, *a, **k: group(self, *a, **k).slice(1))
    with pytest.raises(StoreError, match="it claims 3 rows and holds 2"):
        store_format.read_entry(entry[1])
    with pytest.raises(StoreError, match="row group 0 does not hold as many rows as it claims"):
        list(store_format.iterate_rows(entry[1], ["a"]))


def test_a_source_that_cannot_be_deleted_is_told(entry, tmp_path, monkeypatch):
    store, path = entry

    def refuse(self, missing_ok=False):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "unlink", refuse)
    with pytest.raises(StoreError, match=r"cannot delete .*parquet': Permission denied"):
        compact_stage(store, "signals", tmp_path / "merged.parquet", remove_sources=True)
    assert path.is_file()
    assert pq.read_table(tmp_path / "merged.parquet").num_rows == 3


def test_what_counts_as_compacted(entry, tmp_path):
    store, _ = entry
    merged, _, rows = store.compact("signals", out=tmp_path / "merged.parquet")
    assert (is_compacted(merged), rows) == (True, 3)
    pq.write_table(pa.table({"a": [1]}), tmp_path / "other.parquet")
    (tmp_path / "broken.parquet").write_bytes(b"PAR1")
    for name in ("other.parquet", "broken.parquet", "gone.parquet", "merged.txt"):
        assert not is_compacted(tmp_path / name)


def test_matrices_are_read_as_written_or_refused(tmp_path):
    path = tmp_path / "a.npy"
    values = np.arange(24, dtype=np.float16).reshape(6, 4)
    write_matrix(path, iter([values[:2], values[2:2], values[2:]]), (6, 4))
    np.testing.assert_array_equal(np.load(path), values)
    matrix = MatrixFile(path, (6, 4))
    np.testing.assert_array_equal(matrix.read(1, 5), values[1:5])
    assert matrix.read(3, 3).shape == (0, 4)
    rows = np.array([5, 0, 1, 1, 4])
    np.testing.assert_array_equal(matrix.gather(rows), values[rows])
    assert matrix.gather(rows[:0]).shape == (0, 4)
    with pytest.raises(StoreError, match="is damaged; delete it, and it will be made again"):
        MatrixFile(path, (4, 6))
    with pytest.raises(StoreError, match=r"cannot read .*gone\.npy': No such file"):
        MatrixFile(tmp_path / "gone.npy", (6, 4))
    with path.open("r+b") as file:
        file.truncate(path.stat().st_size - 8)
    with pytest.raises(StoreError, match="was cut; delete it, and it will be made again"):
        matrix.read(0, 6)
    with pytest.raises(StoreError, match="is damaged"):
        MatrixFile(path, (6, 4))
    with pytest.raises(StoreError, match=r"5 rows were read for .*which needs 6; run again"):
        write_matrix(tmp_path / "b.npy", iter([values[:5]]), (6, 4))
    assert not (tmp_path / "b.npy").exists()


def test_files_made_from_a_set_are_named_by_it(tmp_path):
    store = Store(tmp_path)
    write_embedding(store, "a.mp4", drawn_vectors(5))
    found = EmbeddingSet.open(store)
    path, scope = found.cache_file("index.faiss", "ip", 3)
    assert path.parent == store.cache_folder
    assert path.name == f"{scope}-{found.digest}.faiss"
    assert scope.startswith("index-")
    assert found.cache_file("index.faiss", "ip", 4)[1] != scope
    write_embedding(store, "b.mp4", drawn_vectors(5, seed=1))
    again = EmbeddingSet.open(store)
    assert again.cache_file("index.faiss", "ip", 3)[1] == scope
    assert again.cache_file("index.faiss", "ip", 3)[0] != path


def test_a_row_in_a_later_block_of_its_entry(tmp_path, monkeypatch):
    """Entries are read in row groups: a row behind the first is found too."""
    monkeypatch.setattr(store_format, "_ROW_GROUP_BYTES", 1)
    vectors = drawn_vectors(2_500, dimension=2)
    write_embedding(tmp_path, "a.mp4", vectors)
    found = EmbeddingSet.open(tmp_path, memory_mb=10_000)
    rows = np.array([2_400, 3, 1_024, 1_023])
    np.testing.assert_array_equal(found.rows(rows), vectors[rows].astype(np.float32))


def test_more_videos_than_identities_are_kept(tmp_path):
    for number in range(66):
        write_embedding(tmp_path, f"{number:03d}.mp4", drawn_vectors(1, seed=number))
    found = EmbeddingSet.open(tmp_path)
    seen = [found.locate(row).video_id for row in (*range(66), 0, 65)]
    assert seen == [f"{n:03d}.mp4" for n in (*range(66), 0, 65)]


def test_a_remembered_hash_of_a_remote_file(tmp_path):
    class Remote:
        remote_identity = staticmethod(lambda: ("https://host/a.mp4", 10, "etag"))

    calls = []

    def compute(path):
        calls.append(path)
        return "abc"

    one, two = Remote(), Remote()
    assert content_cache.cached_hash(tmp_path, one, compute) == "abc"
    assert content_cache.cached_hash(tmp_path, two, compute) == "abc"
    assert calls == [one]
    (file,) = tmp_path.rglob("*.json")
    known = json.loads(file.read_bytes())
    file.write_text(json.dumps({**known, "hash": "abd"}))
    assert content_cache.cached_hash(tmp_path, two, compute) == "abc", (
        "a hash that was changed is not believed"
    )
    assert calls == [one, two]


# -- masks, options ----------------------------------------------------------------------------------


def test_runs_without_gaps():
    for runs, joined in (
        ([], [0]),
        ([0, 0], [0]),
        ([0, 0, 0], [0]),
        ([3], [3]),
        ([2, 0, 3], [5]),
        ([0, 2, 0, 1], [0, 3]),
        ([0, 0, 4], [4]),
        ([1, 2, 3], [1, 2, 3]),
    ):
        assert joined_runs(np.array(runs, np.int64)).tolist() == joined


@pytest.mark.parametrize(
    ("polygon", "message"),
    [
        ([1, 2, "x", 4, 5, 6], "polygon 3 needs x and y of its points, all numbers, in one list"),
        ([1, 2, None, 4, 5, 6], "polygon 3 has a coordinate that is not finite"),
        ([[1, 2], [3]], "polygon 3 needs x and y of its points, all numbers"),
        ([1, 2, 3, 4], r"polygon 3 needs x and y of three points or more in one list, got \(4,\)"),
        ([1, 2, 3, 4, 5, 6, 7], "polygon 3 needs x and y of three points or more"),
        ([[1, 2], [3, 4], [5, 6]], r"polygon 3 needs .* got \(3, 2\)"),
        ([0, 0, 2e7, 0, 1, 1], "polygon 3 has a coordinate that is not finite or beyond 1e7 pixels"),
        ([0, 0, 5e6, 0, 1, 1], "polygon 3 has an edge longer than 1e6 pixels"),
        ([0, 0, 9e5, 0] * 4 + [1, 1], "a border longer than 4e6; check its coordinates"),
    ],
)
def test_polygons_that_cannot_be_walked(polygon, message):
    with pytest.raises(ValueError, match=message):
        polygon_points(polygon, 3)


def test_which_file_of_options_applies(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert find_config(None, {}) == (None, False)
    Path("evfr.toml").write_text("seed = 3\n[select]\nn = 10\n")
    assert find_config(None, {}) == (Path("evfr.toml"), True)
    assert find_config("a.toml", {}) == (Path("a.toml"), False)
    assert find_config("none", {"EVFR_CONFIG": "b.toml"}) == (None, False)
    assert find_config(None, {"EVFR_CONFIG": "b.toml"}) == (Path("b.toml"), False)
    assert find_config(None, {"EVFR_CONFIG": "none"}) == (None, False)
    assert find_config(None, {"EVFR_CONFIG": ""}) == (Path("evfr.toml"), True)
    assert read_config(Path("evfr.toml")) == {"seed": 3, "select": {"n": 10}}
    assert ConfigFile().tables == {}


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (None, "there is no such configuration file; --config none reads none"),
        (b"#" * ((1 << 20) + 1), "1048577 bytes are too many for a configuration file of at most 1048576"),
        (b"a = ", "this is no TOML"),
        (b"\xff = 1", "this is no TOML"),
        (b"a = " + b"[" * 100_000, "nested too deeply|this is no TOML"),
    ],
)
def test_files_of_options_that_are_none(tmp_path, data, message):
    path = tmp_path / "evfr.toml"
    if data is not None:
        path.write_bytes(data)
    with pytest.raises(ValueError, match=message):
        read_config(path)

"""A store in a bucket is the same store: same keys, same bytes, shared between machines; S3 is played by moto."""

from __future__ import annotations

import pickle
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

import evfr
from evfr._core import _bucket, _mirror, cloud
from evfr._core._bucket import Bucket
from evfr._core.atomic import atomic_write_bytes
from evfr._core.embedding_set import EmbeddingSet
from evfr._core.remote_store import RemoteRoot, address_of, store_root
from evfr._core.store import Store, StoreKey
from evfr.errors import InputError, StoreError
from helpers.buckets import BUCKET, objects, s3_bucket, s3_server

ADDRESS = f"s3://{BUCKET}/runs/a"
TABLE = pa.table({"flow": [0.5, 0.25, 0.0]})


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    with s3_server() as address:
        yield address


@pytest.fixture
def bucket(endpoint: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    with s3_bucket(endpoint, tmp_path, monkeypatch) as client:
        yield client


def opened(address: str = ADDRESS) -> Store:
    return Store(store_root(address, [f"s3://{BUCKET}/runs/"]))


def key_of(store: Store, number: int = 0, stage: str = "signals") -> StoreKey:
    return store.key(f"6c{number}", stage, {"width": 320})


def other_machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str = "two") -> Store:
    monkeypatch.setenv("EVFR_REMOTE_CACHE", str(tmp_path / name))
    return opened()


def no_leftovers(store: Store) -> None:
    assert [p for p in store.root.rglob("*") if p.is_file() and ".incoming" in p.parts] == []


# -- which stores are allowed --------------------------------------------------------------------------------------


@pytest.mark.parametrize("address", ["s3://bucket/store", "gs://bucket"])
def test_a_store_needs_its_permission(address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(StoreError, match=f"pass --allow-remote {address}"):
        Store(address)
    with pytest.raises(StoreError, match=f"pass --allow-remote {address}"):
        evfr.score("clip.mp4", out=Path(address), executor="serial", allow_remote=["s3://bucket/sto"])
    with pytest.raises(StoreError, match="results are written to local folders only"):
        atomic_write_bytes(Path(address) / "selection.json", b"{}")
    assert list(tmp_path.iterdir()) == []


def test_addresses_of_stores() -> None:
    allowed = ["s3://b/x/", "gs://b", "https://host/x"]
    assert str(store_root(Path("s3://b/x/y/"), allowed)) == "s3://b/x/y"
    assert str(store_root("s3://b/x", allowed)) == "s3://b/x"
    assert str(store_root("gs://b", allowed)) == "gs://b/"
    assert store_root("folder/s3:", allowed) == Path("folder/s3:")
    assert address_of("s3:/b/x") == address_of(Path("s3://b/x")) == "s3://b/x"
    with pytest.raises(StoreError, match="a store lies in a local folder, s3://"):
        store_root("https://host/x", allowed)
    with pytest.raises(StoreError, match="--allow-remote s3://b/xy"):
        store_root("s3://b/xy", allowed)
    with pytest.raises(InputError, match="as a part"):
        store_root("s3://b/x/../y", allowed)


def test_the_root_travels_with_its_permission(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    root = store_root(ADDRESS, [f"s3://{BUCKET}"])
    assert isinstance(root, RemoteRoot)
    again = pickle.loads(pickle.dumps(root))
    assert again == root and again.access.prefixes == root.access.prefixes
    monkeypatch.setenv("EVFR_REMOTE_CACHE", str(tmp_path / "elsewhere"))
    assert again.mirror.is_relative_to(tmp_path / "elsewhere")


def test_a_local_store_loads_no_client() -> None:
    code = (
        "import sys, tempfile, pyarrow as pa; from evfr._core.store import Store; s = Store(tempfile.mkdtemp());"
        "k = s.key('6c', 'signals', {}); s.write(k, pa.table({'a': [1]})); s.read(k); s.verify();"
        "assert not {'fsspec', 's3fs', 'evfr._core._mirror', 'evfr._core.cloud'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


# -- reading and writing -------------------------------------------------------------------------------------------


def test_same_names_and_bytes_as_a_local_store(bucket: Any, tmp_path: Path) -> None:
    local, remote = Store(tmp_path / "local"), opened()
    for store in (local, remote):
        for stage in ("signals", "frames"):
            store.write(key_of(store, 1, stage), TABLE, {"video_id": "a.mp4"})
    wanted = {str(p.relative_to(local.root)): p.read_bytes() for p in local.files()}
    assert {name.removeprefix("runs/a/"): data for name, data in objects(bucket).items()} == wanted
    assert remote.stages() == local.stages() == ["frames", "signals"]
    assert [p.relative_to(remote.root) for p in remote.files()] == [
        p.relative_to(local.root) for p in local.files()
    ]
    assert repr(remote) == f"Store('{ADDRESS}')"
    no_leftovers(remote)


def test_what_one_machine_wrote_another_reads(
    bucket: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = opened()
    keys = [key_of(one, number) for number in range(10)]
    for key in keys[:8]:
        one.write(key, TABLE, {"video_id": "a.mp4"})
    two = other_machine(monkeypatch, tmp_path)
    assert two.root != one.root and not two.root.exists()
    asked: list[str] = []
    for name in ("exists", "list"):
        plain = getattr(Bucket, name)
        monkeypatch.setattr(
            Bucket, name, lambda *given, plain=plain, name=name: (asked.append(name), plain(*given))[1]
        )
    assert two.missing(keys) == keys[8:]
    assert asked == ["exists"] * 4 + ["list"], "many questions are answered by one listing"
    assert two.read(keys[3]).equals(TABLE)
    assert two.read_metadata(keys[4]) == {"video_id": "a.mp4"}
    assert [entry.table for entry in two.entries("signals")] == [TABLE] * 8
    with pytest.raises(StoreError, match=r"'s3://footage/runs/a/signals/.* is not there: stage 'signals'"):
        two.read(keys[9])
    two.write(keys[9], TABLE)
    _mirror.forget_listings()
    assert one.has(keys[9])


def test_a_local_copy_does_not_stand_for_the_file(bucket: Any) -> None:
    store = opened()
    store.write(key_of(store), TABLE)
    bucket.delete_object(Bucket=BUCKET, Key=f"runs/a/{key_of(store).file_name}")
    _mirror.forget_listings()
    assert store.path(key_of(store)).is_file()
    assert not store.has(key_of(store))
    store.write(key_of(store), TABLE)
    assert f"runs/a/{key_of(store).file_name}" in objects(bucket)


@pytest.mark.parametrize("moment", ["before the upload", "after the upload"])
def test_killed_while_writing(bucket: Any, moment: str, monkeypatch: pytest.MonkeyPatch) -> None:
    class Killed(BaseException):
        """No `except` of the code under test sees it, as for a kill."""

    store = opened()
    target = Bucket if moment == "before the upload" else _mirror
    with monkeypatch.context() as patch:

        def kill(*_: object) -> None:
            raise Killed

        patch.setattr(target, "put" if target is Bucket else "_move", kill)
        with pytest.raises(Killed):
            store.write(key_of(store), TABLE)
    _mirror.forget_listings()
    is_there = moment == "after the upload"
    assert not store.path(key_of(store)).exists()
    assert bool(objects(bucket)) == store.has(key_of(store)) == is_there
    store.write(key_of(store), TABLE)
    assert store.read(key_of(store)).equals(TABLE)
    assert [finding.status for finding in store.verify()] == ["ok"]


def test_a_failed_upload_leaves_nothing(bucket: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    store = opened()
    tries = 0

    def broken(*_: object, **__: object) -> None:
        nonlocal tries
        tries += 1
        raise OSError("connection reset")

    with monkeypatch.context() as patch:
        patch.setattr(cloud.connected("s3", True), "pipe_file", broken)
        with pytest.raises(StoreError, match=r"cannot write s3://footage/runs/a/.*tried 5 times: connection"):
            store.write(key_of(store), TABLE)
    assert tries == 5
    assert objects(bucket) == {} and not store.path(key_of(store)).exists()
    assert not store.has(key_of(store))
    no_leftovers(store)


def test_no_second_try_where_the_server_refuses(bucket: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    store = opened()
    with monkeypatch.context() as patch:
        patch.setattr(cloud.connected("s3", True), "pipe_file", _denied)
        with pytest.raises(StoreError, match="the server answers 403: access is denied"):
            store.write(key_of(store), TABLE)
    nowhere = Store(store_root("s3://nobucket/x", ["s3://nobucket"]))
    with pytest.raises(StoreError, match="cannot list s3://nobucket/x/: the server answers 404: there is no"):
        list(nowhere.files())
    monkeypatch.setattr(_bucket, "_MOST_BYTES", 10)
    with pytest.raises(StoreError, match="more than one upload takes"):
        store.write(key_of(store), TABLE)


def _denied(*_: object, **__: object) -> None:
    raise PermissionError("Access Denied")


def test_a_private_server_needs_its_permission(bucket: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("EVFR_ALLOW_PRIVATE")
    store = opened()
    with pytest.raises(StoreError, match=r"private address 127\.0\.0\.1; set EVFR_ALLOW_PRIVATE=1"):
        store.has(key_of(store))


# -- damage --------------------------------------------------------------------------------------------------------


def test_damage_in_the_bucket_is_found(bucket: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one = opened()
    for number in range(3):
        one.write(key_of(one, number), TABLE)
    names = [f"runs/a/{key_of(one, number).file_name}" for number in range(3)]
    data = bytearray(objects(bucket)[names[0]])
    data[20] ^= 1
    bucket.put_object(Bucket=BUCKET, Key=names[0], Body=bytes(data))
    bucket.put_object(Bucket=BUCKET, Key=names[1], Body=objects(bucket)[names[2]])
    bucket.put_object(Bucket=BUCKET, Key="runs/a/note.txt", Body=b"hello")
    bucket.put_object(Bucket=BUCKET, Key="runs/a/.hashes/00/x.json", Body=b"{}")
    two = other_machine(monkeypatch, tmp_path)
    with pytest.raises(StoreError, match=r"cannot use s3://.*; run evfr verify s3://footage/runs/a --repair"):
        two.read(key_of(two, 0))
    with pytest.raises(StoreError, match="belongs under another name"):
        two.read(key_of(two, 1))
    assert not two.path(key_of(two, 0)).exists()
    for store in (one, two):
        found = {str(finding.path): finding.status for finding in store.verify()}
        assert found == {
            f"s3://{BUCKET}/{names[0]}": "corrupt",
            f"s3://{BUCKET}/{names[1]}": "corrupt",
            f"s3://{BUCKET}/{names[2]}": "ok",
            f"s3://{BUCKET}/runs/a/note.txt": "foreign",
        }
    assert sum(finding.is_removed for finding in two.verify(repair=True)) == 2
    assert sorted(objects(bucket)) == sorted(["runs/a/.hashes/00/x.json", names[2], "runs/a/note.txt"])
    assert two.missing([key_of(two, number) for number in range(3)]) == [key_of(two, 0), key_of(two, 1)]
    no_leftovers(two)
    with pytest.raises(StoreError, match="there is no store at 's3://footage/runs/none'"):
        opened(f"s3://{BUCKET}/runs/none").verify()


def test_a_damaged_local_copy_is_fetched_again(bucket: Any) -> None:
    store = opened()
    store.write(key_of(store), TABLE)
    store.path(key_of(store)).write_bytes(b"PAR1 nonsense")
    assert store.read(key_of(store)).equals(TABLE)


def test_merged_files_are_local(bucket: Any, tmp_path: Path) -> None:
    store = opened()
    store.write(key_of(store), TABLE, {"video_id": "a.mp4"})
    with pytest.raises(StoreError, match="give a local folder"):
        store.compact("signals")
    with pytest.raises(StoreError, match="leave --remove-sources out"):
        store.compact("signals", out=tmp_path / "s.parquet", remove_sources=True)
    assert store.compact("signals", out=tmp_path / "s.parquet")[1:] == (1, 3)
    with pytest.raises(StoreError, match="the store 's3://footage/runs/a' has no embeddings"):
        EmbeddingSet.open(store)

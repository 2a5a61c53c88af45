"""Atomic writes: the n-th call to the system fails, for all n, and nothing half-made is ever visible."""

from __future__ import annotations

import errno
import gc
import os
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from evfr._core.atomic import TEMPORARY_GLOB, atomic_file, atomic_write_bytes, make_folder
from evfr._core.store import Store
from evfr.errors import StoreError
from helpers.store_writer import key_of, table_of

CALLS = ("open", "write", "fsync", "close", "replace", "mkdir")


class Faults:
    """Count the calls to the system that writers make, and let the n-th one fail."""

    def __init__(self, patch: pytest.MonkeyPatch, fail_at: int | None, code: int, is_partial: bool = False):
        self.calls: list[str] = []
        for name in CALLS:
            patch.setattr(os, name, self._wrap(name, getattr(os, name), fail_at, code, is_partial))

    def _wrap(
        self, name: str, real: Callable[..., Any], fail_at: int | None, code: int, is_partial: bool
    ) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            self.calls.append(name)
            if len(self.calls) - 1 == fail_at:
                if name == "close":
                    real(*args)
                if is_partial and name == "write":
                    real(args[0], memoryview(args[1])[: len(args[1]) // 2])
                raise OSError(code, os.strerror(code))
            return real(*args, **kwargs)

        return call


@contextmanager
def faults(fail_at: int | None, code: int = errno.EIO, is_partial: bool = False) -> Iterator[Faults]:
    with pytest.MonkeyPatch.context() as patch:
        yield Faults(patch, fail_at, code, is_partial)


def leftovers(root: Path) -> list[Path]:
    return list(root.rglob(TEMPORARY_GLOB))


def count_calls(write: Callable[[], None]) -> list[str]:
    with faults(None) as seen:
        write()
    return seen.calls


def test_writes_and_replaces(tmp_path: Path) -> None:
    path = tmp_path / "new" / "folder" / "manifest.json"
    atomic_write_bytes(path, b"first")
    atomic_write_bytes(path, b"second")
    assert path.read_bytes() == b"second"
    assert [p.name for p in path.parent.iterdir()] == ["manifest.json"]


def test_permissions_follow_the_umask(tmp_path: Path) -> None:
    old = os.umask(0o027)
    try:
        atomic_write_bytes(tmp_path / "a", b"")
    finally:
        os.umask(old)
    assert stat.S_IMODE((tmp_path / "a").stat().st_mode) == 0o640


def test_order_of_calls(tmp_path: Path) -> None:
    """Data reach the disk before the name does, and the name before the call returns."""
    calls = count_calls(lambda: atomic_write_bytes(tmp_path / "a", b"x"))
    assert calls == ["open", "write", "fsync", "close", "replace", "open", "fsync", "close"]
    calls = count_calls(lambda: atomic_write_bytes(tmp_path / "b", b"x", is_durable=False))
    assert calls == ["open", "write", "close", "replace"]


def test_short_writes_are_continued(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.write
    monkeypatch.setattr(os, "write", lambda fd, data: real(fd, data[:3]))
    atomic_write_bytes(tmp_path / "a", b"0123456789")
    monkeypatch.undo()
    assert (tmp_path / "a").read_bytes() == b"0123456789"


def test_an_exception_of_the_caller_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"old")
    with pytest.raises(RuntimeError, match="stop"), atomic_file(tmp_path / "a") as sink:
        sink.write(b"half")
        raise RuntimeError("stop")
    assert (tmp_path / "a").read_bytes() == b"old"
    assert not leftovers(tmp_path)


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EIO])
@pytest.mark.parametrize("is_partial", [False, True])
def test_every_fault_of_a_small_file(tmp_path: Path, code: int, is_partial: bool) -> None:
    path = tmp_path / "new" / "manifest.json"
    total = len(count_calls(lambda: atomic_write_bytes(tmp_path / "probe" / "manifest.json", b"data")))
    assert total == 12
    for fail_at in range(total):
        with faults(fail_at, code, is_partial), pytest.raises(StoreError, match=r"cannot .*; "):
            atomic_write_bytes(path, b"data")
        assert not leftovers(tmp_path), fail_at
        assert not path.exists() or path.read_bytes() == b"data", fail_at
        atomic_write_bytes(path, b"data")
        assert path.read_bytes() == b"data"
        path.unlink()
        path.parent.rmdir()


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EIO])
@pytest.mark.parametrize("is_partial", [False, True])
def test_every_fault_of_the_store(tmp_path: Path, code: int, is_partial: bool) -> None:
    probe = Store(tmp_path / "probe")
    calls = count_calls(lambda: probe.write(key_of(probe, 1), table_of(1), {"video_id": "1.mp4"}))
    good = probe.path(key_of(probe, 1)).read_bytes()
    assert calls.count("write") >= 4
    for fail_at in range(len(calls)):
        store = Store(tmp_path / f"store{fail_at}")
        key = key_of(store, 1)
        with faults(fail_at, code, is_partial) as seen, pytest.raises(StoreError, match=r"cannot .*; "):
            store.write(key, table_of(1), {"video_id": "1.mp4"})
        assert len(seen.calls) > fail_at
        assert not leftovers(tmp_path), (fail_at, calls[fail_at])
        assert not store.has(key) or store.path(key).read_bytes() == good, (fail_at, calls[fail_at])
        assert not store.root.exists() or all(f.status == "ok" for f in store.verify())
        store.write(key, table_of(1), {"video_id": "1.mp4"})
        assert store.path(key).read_bytes() == good


@pytest.mark.slow
@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EIO])
def test_every_fault_of_compact_and_of_the_hash_cache(
    tmp_path: Path, code: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Store(tmp_path / "store")
    for number in range(3):
        store.write(key_of(store, number), table_of(number))
    video = tmp_path / "a.mp4"
    video.write_bytes(b"video")
    later = video.stat().st_ctime_ns + 10_000_000_000
    monkeypatch.setattr("evfr._core.content_cache.time.time_ns", lambda: later)

    hashes = Store(tmp_path / "hashes")
    total = len(count_calls(lambda: store.compact("signals", out=tmp_path / "probe" / "all.parquet")))
    for fail_at in range(total):
        gc.collect()  # A Parquet writer that failed closes when it is collected; its calls must not count here.
        with faults(fail_at, code), pytest.raises(StoreError, match=r"cannot .*; "):
            store.compact("signals", out=tmp_path / f"out{fail_at}" / "all.parquet", remove_sources=True)
        assert not leftovers(tmp_path), fail_at
        assert len(list(store.files())) == 3, "sources must outlive a failed merge"
    assert store.compact("signals", out=tmp_path / "all.parquet")[2] == 9000

    for fail_at in range(40):
        with faults(fail_at, code) as seen:
            try:
                hashes.cached_hash(video, lambda _: "6c1f")
            except StoreError as error:
                assert "cannot" in str(error)
        assert not leftovers(tmp_path), fail_at
        assert hashes.cached_hash(video, lambda _: "6c1f") == "6c1f"
        for file in hashes.root.rglob("*.json"):
            file.unlink()
        if len(seen.calls) <= fail_at:
            break
    else:
        raise AssertionError("the sweep did not reach the last call")


@pytest.mark.parametrize(
    ("code", "advice"),
    [
        (errno.ENOSPC, "No space left on device; free some space and run again"),
        (errno.EDQUOT, "free some of your quota"),
        (errno.EACCES, "choose a folder that you may write to"),
        (errno.EROFS, "choose a folder that can be written to"),
        (errno.EIO, "Input/output error; check the disk and run again"),
    ],
)
def test_messages(tmp_path: Path, code: int, advice: str) -> None:
    with faults(1, code), pytest.raises(StoreError, match=rf"cannot write '{tmp_path}/a': .*{advice}"):
        atomic_write_bytes(tmp_path / "a", b"x")


def test_a_file_in_the_place_of_a_folder(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(StoreError, match=r"cannot make the folder .*a file stands where a folder is needed"):
        atomic_write_bytes(tmp_path / "file" / "sub" / "a", b"x")
    with pytest.raises(StoreError, match="cannot make the folder"):
        make_folder(tmp_path / "file")


def test_file_systems_without_folder_fsync(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.fsync

    def fsync(descriptor: int) -> None:
        if stat.S_ISDIR(os.fstat(descriptor).st_mode):
            raise OSError(errno.EINVAL, "Invalid argument")
        real(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)
    atomic_write_bytes(tmp_path / "new" / "a", b"x")
    assert (tmp_path / "new" / "a").read_bytes() == b"x"

"""The store outlives its writers: killed at any moment, resumed, two at once."""

from __future__ import annotations

import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from evfr._core.atomic import TEMPORARY_GLOB
from evfr._core.store import Store
from helpers import store_writer
from helpers.store_writer import key_of, table_of

VIDEOS = 6


class Killed(BaseException):
    """Stands for SIGKILL: whatever runs after it must not reach the disk."""


def write_and_die(store: Store, number: int, at_call: int, is_partial: bool) -> bool:
    """Write until the n-th call to the system; return whether the writer died before it was done."""
    calls = 0
    with pytest.MonkeyPatch.context() as patch:

        def dying(name: str) -> Any:
            real = getattr(os, name)

            def call(*args: Any, **kwargs: Any) -> Any:
                nonlocal calls
                calls += 1
                if calls - 1 < at_call:
                    return real(*args, **kwargs)
                if name == "close":
                    real(*args)
                if calls - 1 == at_call and is_partial and name == "write":
                    real(args[0], memoryview(args[1])[: len(args[1]) // 2])
                raise Killed

            return call

        def unlink(self: Path, missing_ok: bool = False) -> None:
            raise OSError("the dead delete nothing")

        for name in ("open", "write", "fsync", "close", "replace", "mkdir"):
            patch.setattr(os, name, dying(name))
        patch.setattr(Path, "unlink", unlink)
        try:
            store.write(key_of(store, number), table_of(number), {"video_id": f"{number}.mp4"})
        except Killed:
            return True
    return False


class StoreMachine(RuleBasedStateMachine):
    """Writers write, die and resume; a model knows what must and what may be there."""

    @initialize()
    def start(self) -> None:
        self.folder = Path(tempfile.mkdtemp())
        self.store = Store(self.folder / "store")
        self.surely: set[int] = set()
        self.perhaps: set[int] = set()

    def teardown(self) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)

    def numbers_there(self) -> set[int]:
        return {n for n in range(VIDEOS) if self.store.has(key_of(self.store, n))}

    @rule(number=st.integers(0, VIDEOS - 1))
    def write(self, number: int) -> None:
        self.store.write(key_of(self.store, number), table_of(number), {"video_id": f"{number}.mp4"})
        self.surely.add(number)

    @rule(number=st.integers(0, VIDEOS - 1), at_call=st.integers(0, 40), is_partial=st.booleans())
    def write_and_be_killed(self, number: int, at_call: int, is_partial: bool) -> None:
        is_dead = write_and_die(self.store, number, at_call, is_partial)
        (self.perhaps if is_dead else self.surely).add(number)

    @rule()
    def resume(self) -> None:
        keys = {key_of(self.store, number): number for number in range(VIDEOS)}
        left = [keys[key] for key in self.store.missing(keys)]
        assert not self.surely & set(left), "finished work is done again"
        for number in left:
            self.write(number)
        assert self.numbers_there() == set(range(VIDEOS))

    @rule(number=st.integers(0, VIDEOS - 1))
    def read(self, number: int) -> None:
        if self.store.has(key_of(self.store, number)):
            entry = self.store.read_entry(key_of(self.store, number))
            assert entry.table.equals(table_of(number))
            assert entry.metadata == {"video_id": f"{number}.mp4"}

    @precondition(lambda self: self.surely)
    @rule(data=st.data())
    def damage_and_repair(self, data: st.DataObject) -> None:
        number = data.draw(st.sampled_from(sorted(self.surely)))
        path = self.store.path(key_of(self.store, number))
        path.write_bytes(path.read_bytes()[: data.draw(st.integers(0, 500))])
        for left in self.store.root.rglob(TEMPORARY_GLOB):
            os.utime(left, (0, 0))
        removed = {f.path for f in self.store.verify(repair=True) if f.is_removed and f.status == "corrupt"}
        assert removed == {path}
        assert not list(self.store.root.rglob(TEMPORARY_GLOB))
        self.surely.remove(number)
        self.perhaps.discard(number)

    @invariant()
    def what_is_visible_is_whole(self) -> None:
        if not hasattr(self, "store") or not self.store.root.exists():
            return
        assert {finding.status for finding in self.store.verify()} <= {"ok"}
        assert self.surely <= self.numbers_there() <= self.surely | self.perhaps


TestStoreMachine = StoreMachine.TestCase
TestStoreMachine.settings = settings(
    max_examples=15, stateful_step_count=12, deadline=None, suppress_health_check=list(HealthCheck)
)


@contextmanager
def writer_of(root: Path, begin: int, end: int, mode: str) -> Iterator[subprocess.Popen[str]]:
    """Run a writer that has started, and that does not outlive the block."""
    command = [sys.executable, store_writer.__file__, str(root), str(begin), str(end), mode]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as writer:
        try:
            assert writer.stdout is not None
            assert writer.stdout.readline() == "started\n"
            yield writer
        finally:
            writer.kill()


@pytest.mark.parametrize("rounds", [5, pytest.param(25, marks=pytest.mark.slow)])
def test_kill_at_random_moments(tmp_path: Path, rounds: int) -> None:
    store = Store(tmp_path / "store")
    moments = random.Random(7)
    for number in range(rounds):
        with writer_of(store.root, 0, 400, "endless"):
            time.sleep(moments.uniform(0.0, 0.1))
        findings = store.verify() if store.root.exists() else []
        assert {finding.status for finding in findings} <= {"ok"}, f"round {number}"
    there = {n for n in range(400) if store.has(key_of(store, n))}
    assert there, "nothing was written: the test proves nothing"
    for n in sorted(there)[:20]:
        assert store.read(key_of(store, n)).equals(table_of(n))
    seen_leftovers = len(list(store.root.rglob(TEMPORARY_GLOB)))
    print(f"{rounds} kills, {len(there)} results, {seen_leftovers} left-over temporary files seen")


def test_two_processes_finish_together(tmp_path: Path) -> None:
    alone, together = Store(tmp_path / "alone"), Store(tmp_path / "together")
    for number in range(40):
        alone.write(key_of(alone, number), table_of(number), {"video_id": f"{number}.mp4"})
    with (
        writer_of(together.root, 0, 40, "once") as one,
        writer_of(together.root, 0, 40, "once") as two,
    ):
        assert (one.wait(60), two.wait(60)) == (0, 0)
    names = [path.relative_to(together.root) for path in together.files()]
    assert names == [path.relative_to(alone.root) for path in alone.files()]
    for name in names:
        assert (together.root / name).read_bytes() == (alone.root / name).read_bytes()
    assert not list(together.root.rglob(TEMPORARY_GLOB))


def test_a_reader_never_sees_a_part(tmp_path: Path) -> None:
    """Read again and again while another process replaces the file."""
    store = Store(tmp_path / "store")
    with writer_of(store.root, 0, 1, "endless"):
        while not store.has(key_of(store, 0)):
            time.sleep(0.005)
        for _ in range(100):
            assert store.read(key_of(store, 0)).num_rows == 3000

"""A run of `evfr embed` that is killed or interrupted: what was written stays, nothing is left running."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from evfr._core.store import Store
from helpers import embed_driver

DRIVER = Path(embed_driver.__file__)
VIDEOS = 8


def start(clips: Path, store: Path, seconds: float) -> subprocess.Popen[str]:
    words = [sys.executable, str(DRIVER), str(clips), str(store), str(seconds)]
    return subprocess.Popen(words, stdout=subprocess.PIPE, text=True, start_new_session=True)


def descendants(pid: int) -> list[int]:
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            try:
                parent = int((entry / "stat").read_text().rsplit(")", 1)[1].split()[1])
            except (OSError, IndexError):
                continue
            if parent == pid:
                found.append(int(entry.name))
    return found


def first_children(pid: int) -> list[int]:
    """Return the decoders as soon as there are any; with short clips they may be done before the model is."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        if found := descendants(pid):
            return found
        time.sleep(0.01)
    raise AssertionError("no decoder was started in time")


def wait_for_entries(store: Path, count: int) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        if sum(1 for _ in Store(store).files("embedding")) >= count:
            return
        time.sleep(0.02)
    raise AssertionError("nothing was written in time")


@pytest.fixture
def many(clips: Path, tmp_path: Path) -> Path:
    """Return a folder of eight different clips of 36 frames."""
    folder = tmp_path / "many"
    folder.mkdir()
    for number in range(VIDEOS):
        copy = folder / f"{number}.mkv"
        shutil.copy(clips / "two.mkv", copy)
        with copy.open("ab") as file:
            file.write(b"\xec\x81" + bytes([number]))  # an EBML void element: other bytes, the same video
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_finished_videos_stay_and_a_rerun_does_the_rest(many: Path, tmp_path: Path, number: int) -> None:
    store = tmp_path / "store"
    running = start(many, store, 0.15)
    children = first_children(running.pid)
    wait_for_entries(store, 2)
    children += descendants(running.pid)
    os.kill(running.pid, number)
    running.communicate(timeout=30)
    assert running.returncode == (130 if number == signal.SIGINT else -number)
    deadline = time.monotonic() + 10
    while any(
        Path(f"/proc/{pid}/cmdline").exists() and Path(f"/proc/{pid}/cmdline").read_bytes()
        for pid in children
    ):
        assert time.monotonic() < deadline, "a decoder outlived the run"
        time.sleep(0.05)
    kept = {path: path.read_bytes() for path in Store(store).files("embedding")}
    assert 2 <= len(kept) < VIDEOS
    again = start(many, store, 0.0)
    text, _ = again.communicate(timeout=120)
    assert again.returncode == 0
    assert text.split() == ["cached", str(len(kept)), "pictures", str(36 * (VIDEOS - len(kept)))]
    files = {path: path.read_bytes() for path in Store(store).files("embedding")}
    assert len(files) == VIDEOS and all(files[path] == data for path, data in kept.items())
    assert [finding.status for finding in Store(store).verify() if finding.status == "corrupt"] == []

"""A run over 12 items that leaves marks on disk, for tests that kill it and run it again."""

from __future__ import annotations

import functools
import os
import time
from pathlib import Path
from typing import Any

from evfr.distributed import map_videos


def work(item: int, heartbeat: Any, *, folder: Path, seconds: float) -> int:
    (folder / "pids" / str(os.getpid())).touch()
    with (folder / "starts" / str(item)).open("a") as file:
        file.write("x")
    heartbeat(0, 1)
    time.sleep(seconds)
    (folder / "done" / str(item)).touch()
    return item


def drive(folder: Path, seconds: float, executor: str) -> None:
    for name in ("pids", "starts", "done"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    left = [item for item in range(12) if not (folder / "done" / str(item)).exists()]
    map_videos(functools.partial(work, folder=folder, seconds=seconds), left, executor=executor, jobs=2)

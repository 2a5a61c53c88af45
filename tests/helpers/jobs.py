"""Functions for the executors' tests: they behave, raise, die, hang, grow; children import them from here."""

from __future__ import annotations

import contextlib
import errno
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import pyarrow as pa

from evfr._core import atomic
from evfr._core.types import Problem
from evfr.errors import ProblemCode, StoreError, VideoError
from evfr.verbs._measure import MeasureJob, Stored, measure_video


def double(item: int, heartbeat: Any) -> int:
    heartbeat(1, 2)
    heartbeat(2, 2)
    return 2 * item


def visible_gpus(item: int, heartbeat: Any) -> str | None:
    time.sleep(0.5)
    return os.environ.get("CUDA_VISIBLE_DEVICES")


HOARD: list[np.ndarray] = []


def hoard(item: int, heartbeat: Any) -> int:
    """Keep 64 MiB for ever and return who does it."""
    HOARD.append(np.ones(8 << 20))
    return os.getpid()


def table(item: int, heartbeat: Any) -> pa.Table:
    rng = np.random.default_rng(item)
    return pa.table({"flow": rng.random(200_000), "pts": np.arange(200_000) * item})


def misbehave(item: tuple[str, str], heartbeat: Any) -> str:
    """Do what the item says; its second part is a folder for marks that outlive this process."""
    what, folder = item
    heartbeat(0, 1)
    if what.endswith("_once"):
        try:
            (Path(folder) / what).touch(exist_ok=False)
        except FileExistsError:
            return f"{what} survived"
        what = what.removesuffix("_once")
    if what == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    if what == "segv":
        print("native library: something is very wrong", file=sys.stderr, flush=True)
        os.kill(os.getpid(), signal.SIGSEGV)
    if what == "exit":
        os._exit(7)
    if what == "hang":
        time.sleep(600)
    if what == "hang_with_a_child":
        with subprocess.Popen(["sleep", "600"]) as sleeper:
            (Path(folder) / "pids").write_text(f"{os.getpid()} {sleeper.pid}\n")
    if what == "grow":
        hoard = []
        while True:
            hoard.append(np.ones(4_000_000))
            time.sleep(0.01)
    if what in ("slow_but_alive", "very_slow_but_alive"):
        steps = 60 if what.startswith("very") else 20
        for step in range(steps):
            time.sleep(0.1)
            heartbeat(step, steps)
    if what == "video_error":
        raise VideoError(Problem(ProblemCode.E_NO_VIDEO, "audio only; give a file with video", "b.mp4"))
    if what == "store_error":
        raise StoreError("cannot write 'x': No space left on device; free some space and run again")
    if what == "bug":
        raise TypeError("unsupported operand")
    if what == "memory_error":
        raise MemoryError
    if what == "unpicklable":
        return lambda: None  # type: ignore[return-value]
    if what == "kill_the_parent":
        os.kill(os.getppid(), signal.SIGKILL)
        time.sleep(600)
    if what == "leave_a_mark":
        (Path(folder) / "pids" / str(os.getpid())).touch()
        time.sleep(0.5)
    if what == "noise":
        os.write(1, b"noise on stdout\n")
        os.write(2, b"[h264 @ 0x1] noise on stderr\n")
    return f"{what} done"


def measure(item: tuple[str, MeasureJob, str], heartbeat: Any) -> Stored:
    """Measure a video into the store, unless something happens halfway through writing; starts leave marks."""
    what, job, folder = item
    with (Path(folder) / Path(job.source.video_id).name).open("a") as file:
        file.write("x")
    with beating(heartbeat) as stop:
        if what == "ok":
            return measure_video(job, heartbeat)

        def write(sink: Any, data: Any) -> int:
            half = bytes(memoryview(data).cast("B"))[: max(1, len(data) // 2)]
            os.write(sink._descriptor, half)
            if what == "kill":
                os.kill(os.getpid(), signal.SIGKILL)
            if what == "hang":
                stop()
                time.sleep(600)
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        with mock.patch.object(atomic._Sink, "write", write):
            return measure_video(job, heartbeat)


@contextlib.contextmanager
def beating(heartbeat: Any) -> Iterator[Callable[[], None]]:
    """Show life all the time, so that only what hangs is silent, however busy the machine; yield what ends that."""
    is_over = threading.Event()

    def beat() -> None:
        while not is_over.wait(0.1):
            heartbeat(0, None)

    thread = threading.Thread(target=beat, daemon=True)
    thread.start()

    def stop() -> None:
        is_over.set()
        thread.join()

    try:
        yield stop
    finally:
        stop()

"""The viewer over a large store and a long video: start, memory, answers, and selecting again against `evfr select`.

The store is made up: so many small entries of 120 frames under hashes that no bytes have, of names that are hard links
of one drawn clip, so that their frames decode. The long video is 20 minutes at 30 frames a second: the frame table, the
signal ``flow`` and 1,024 numbers of ``thumbnail`` per frame are random walks, written where measurements would be.
Selecting again is what the page's form does; the other side is the command line's `evfr select` with the same words
on the same store, in a process of its own as a user starts it, which decodes nothing either. Both tables are compared.
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import platform
import resource
import shlex
import statistics
import subprocess
import sys
import tempfile
import time
from fractions import Fraction
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from evfr._core.store import Store
from evfr._core.store_format import digest_of
from evfr._core.types import FrameTable
from evfr._core.vectors import vectors_to_column
from evfr.embeddings import EMBEDDERS
from evfr.signals import ScoredFrames, signal_parameters
from evfr.verbs._measure import MeasureJob, keys_of
from evfr.verbs._stored import write_frames, write_signal
from evfr.video import VideoInfo, VideoSource, draw_clip

FPS = 30
LONG_SECONDS = 20 * 60
SMALL_FRAMES = 120
TOKEN_NAME = "X-Evfr-Token"


def frame_table(count: int, seed: int) -> FrameTable:
    """Return frames at a steady rate, with an I-frame every two seconds."""
    index = np.arange(count)
    return FrameTable(
        pts=index * 512,
        time_base=Fraction(1, 512 * FPS),
        time_seconds=index / FPS,
        picture_type=np.where(index % (2 * FPS) == 0, b"I", b"P").astype("S1"),
        is_iframe=index % (2 * FPS) == 0,
        luma_hash=np.random.default_rng(seed).integers(0, 2**63, count, np.uint64),
        is_suspect=np.zeros(count, bool),
        is_decoded=np.ones(count, bool),
        is_time_estimated=False,
        width=640,
        height=360,
    )


def fill(
    store: Store, path: Path, count: int, seed: int, *, has_signal: bool = True, has_vectors: bool = False
) -> None:
    """Write what measuring a video would have left, and the hash of its file, which is made up."""
    digest = digest_of("made up", seed)
    real = path.stat()
    identity = (str(path), real.st_size, real.st_mtime_ns, real.st_ctime_ns, real.st_ino, real.st_dev)
    name = digest_of("hash", *identity)
    known = {"identity": list(identity), "hash": digest, "check": digest_of(digest, *identity)}
    file = store.root / ".hashes" / name[:2] / f"{name}.json"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(known))
    rng = np.random.default_rng(seed)
    flow = np.abs(np.cumsum(rng.normal(size=count)) * 0.05) + rng.gamma(1.0, 0.2, count)
    flow[-1] = 0.0
    content = rng.gamma(50.0, 0.04, count)
    content[rng.integers(1, count, count // 150)] += 40.0  # a hard cut about every five seconds
    table = frame_table(count, seed)
    scored = ScoredFrames(
        np.arange(count), {"flow": flow}, content, rng.gamma(9.0, 20.0, count), np.zeros(count), {"flow": 320}
    )
    info = VideoInfo(
        "", "file", "mov", "h264", "yuv420p", 640, 360, frame_count=count, duration_seconds=count / FPS
    )
    job = MeasureJob(VideoSource("", path, "file"), store.root, ("flow",), "default", None, "drop", 1)
    frames, signals, _ = keys_of(store, job, digest)
    write_frames(store, frames, table, info.to_dict(), (), scored)
    if has_signal:
        write_signal(store, signals["flow"], "flow", table, scored, signal_parameters("flow"))
    if has_vectors:
        parameters = EMBEDDERS["thumbnail"].parameters
        walk = np.cumsum(rng.normal(size=(count, 16)).astype(np.float32) * 0.02, axis=0)
        vectors = walk @ rng.normal(size=(16, 1024)).astype(np.float32)
        key = store.key(
            digest,
            "embedding",
            {**parameters, "every": 1, "fps": None, "damaged": "drop", "embedding_schema": 1},
        )
        columns = pa.table(
            {
                "frame_index": np.arange(count),
                "pts": table.pts,
                "time_seconds": table.time_seconds,
                "embedding": vectors_to_column(vectors / np.abs(vectors).max()),
            }
        )
        facts = {
            "video_id": path.name,
            "embedder": dict(parameters),
            "model": "thumbnail",
            "every": 1,
            "fps": None,
        }
        store.write(key, columns, facts)


class Served:
    """A viewer in a process of its own, as `evfr view` starts it."""

    def __init__(self, folder: Path, *words: str) -> None:
        begin = time.perf_counter()
        command = [sys.executable, "-m", "evfr", "view", str(folder), "--no-open", *words]
        self.process = subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True)
        assert self.process.stderr is not None
        address = self.process.stderr.readline().strip()
        if "?token=" not in address:
            raise SystemExit(f"the viewer did not start: {address} {self.process.stderr.read()}")
        self.printed = time.perf_counter() - begin
        origin, _, self.token = address.partition("/?token=")
        self.origin, self.port = origin, int(origin.rpartition(":")[2])
        self.ask("/api/state")
        self.started = time.perf_counter() - begin
        self.start_cpu = self.cpu_seconds()
        self.later = 0.0

    def ask(self, target: str, data: Any = None) -> bytes:
        """Ask for one address; it must answer well."""
        link = http.client.HTTPConnection("127.0.0.1", self.port, timeout=300)
        headers = {TOKEN_NAME: self.token}
        body = None if data is None else json.dumps(data).encode()
        if body is not None:
            headers |= {"Origin": self.origin, "Content-Type": "application/json"}
        link.request("GET" if body is None else "POST", target, body, headers)
        answer = link.getresponse()
        content = answer.read()
        link.close()
        if answer.status != 200:
            raise SystemExit(f"{target} answered {answer.status}: {content[:500]!r}")
        return content

    def cpu_seconds(self) -> float:
        """Return what the process has used since it started, user and system."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def timed(self, target: str, data: Any = None, turns: int = 5) -> str:
        """Say how long answers take: the first, and the median of later ones with the server's CPU time of each."""
        times, content, used = [], b"", 0.0
        for turn in range(turns + 1):
            if turn == 1:
                used = self.cpu_seconds()
            begin = time.perf_counter()
            content = self.ask(target, data)
            times.append((time.perf_counter() - begin) * 1e3)
        self.later = statistics.median(times[1:])
        own = (self.cpu_seconds() - used) / turns * 1e3
        return f"{times[0]:7.0f} ms {self.later:7.0f} ms {own:7.0f} ms CPU {len(content) / 1024:7.0f} KiB"

    def start_up(self) -> str:
        """Say how long the start took."""
        return (
            f"{self.printed:.2f} s to the address, {self.started:.2f} s to the first answer, "
            f"{self.start_cpu:.2f} s CPU, {self.memory_mb():.0f} MiB"
        )

    def memory_mb(self) -> float:
        """Return the resident memory in MiB."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(status.split("VmRSS:")[1].split()[0]) / 1024

    def end(self) -> int:
        """Interrupt it as Ctrl-C does, and return its exit code."""
        self.process.send_signal(2)
        _, _ = self.process.communicate(timeout=30)
        return self.process.returncode


def many(folder: Path, count: int) -> None:
    """Measure the viewer over a store of many small entries."""
    folder.mkdir()
    clip = draw_clip(folder / "clip.mp4", seconds=SMALL_FRAMES / FPS, size=(160, 96))
    videos = folder / "videos"
    for number in range(count):
        target = videos / f"day{number // 500:03}" / f"{number:05}.mp4"
        target.parent.mkdir(parents=True, exist_ok=True)
        os.link(clip, target)
    store = Store(folder / "store")
    fsync, os.fsync = os.fsync, lambda _: None  # the store is thrown away
    begin = time.perf_counter()
    for number, target in enumerate(sorted(videos.rglob("*.mp4"))):
        fill(store, target, SMALL_FRAMES, number, has_signal=number == count - 1)
    os.fsync = fsync
    print(f"store of {count} videos made in {time.perf_counter() - begin:.0f} s")
    empty = Served(_one_video(folder / "single"))
    print(f"start over 1 video: {empty.start_up()}")
    empty.end()
    viewer = Served(folder / "store")
    print(f"start over {count} videos: {viewer.start_up()}")
    print("\nanswers: first, later, CPU of later ones, size")
    shown = json.loads(viewer.ask("/api/state"))
    assert shown["report"]["n_videos"] == count, shown["report"]["n_videos"]
    for target in (
        "/api/state",
        "/api/videos?offset=0&limit=200",
        f"/api/videos?offset={count - 200}&limit=200",
        f"/api/video/{count - 1}",
    ):
        print(f"{target:<42} {viewer.timed(target)}")
    print(f"{'memory after these':<42} {viewer.memory_mb():7.0f} MiB")
    print(f"exit code after Ctrl-C: {viewer.end()}\n")


def _one_video(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    store = Store(folder / "store")
    fill(store, draw_clip(folder / "one.mp4", seconds=1.0, size=(96, 64)), 25, 10**6)
    return folder / "store"


def long(folder: Path) -> None:
    """Measure selecting again from one long video, against the command line."""
    folder.mkdir(parents=True, exist_ok=True)
    path = draw_clip(folder / "long.mp4", seconds=1.0, size=(96, 64))
    store = Store(folder / "store")
    count = LONG_SECONDS * FPS
    fill(store, path, count, 7, has_vectors=True)
    words = ["--store", str(store.root), "--no-frames", "--no-report", "--executor", "serial", "-q"]
    quiet: dict[str, Any] = {"check": True, "stdout": subprocess.DEVNULL}
    base = [sys.executable, "-m", "evfr", "select", str(path), "--n", "400", "--out", str(folder / "picks")]
    subprocess.run([*base, *words], **quiet)
    viewer = Served(folder / "picks", "--store", str(store.root), "--edit")
    print(f"one video of {count} frames, 400 to select: {viewer.start_up()}")
    for target in ("/api/video/0", "/api/map?limit=5000", "/api/neighbours/0/18000"):
        print(f"{target:<42} {viewer.timed(target, turns=3)}")
    print("\nselect again, as above; evfr select by the same words, and its time over that of later answers")
    for number, (name, data) in enumerate(
        {
            "n 300": {"n": 300},
            "n 300, pins, left out, min_gap 10": {
                "n": 300,
                "include": [[0, 5000], [0, 9000]],
                "exclude": [[0, 100]],
                "min_gap": 10,
            },
            "systematic, ratio 0.02": {"ratio": 0.02, "method": "systematic"},
            "adaptive, n 400": {"n": 400, "method": "adaptive"},
            "farthest, n 400 (1,024 numbers a frame)": {"n": 400, "method": "farthest"},
        }.items()
    ):
        turns = 1 if data.get("method") == "farthest" else 5
        took = viewer.timed("/api/select", data, turns)
        command = shlex.split(json.loads(viewer.ask("/api/select", data))["report"]["command"])
        viewer.ask("/api/save", {"name": f"s{number}"})
        out = folder / f"cli{number}"
        begin = time.perf_counter()
        subprocess.run([sys.executable, "-m", *command, "--out", str(out), *words], **quiet)
        seconds = (time.perf_counter() - begin) * 1e3
        saved = folder / "picks" / f"s{number}" / "selection.parquet"
        is_same = (out / "selection.parquet").read_bytes() == saved.read_bytes()
        rows = pq.read_metadata(saved).num_rows
        equal = f"equal, {rows} rows" if is_same else "DIFFERENT"
        print(f"{name:<42} {took} {seconds:7.0f} ms {seconds / viewer.later:6.1f}x  {equal}")
        if not is_same:
            raise SystemExit("the viewer and the command line selected different frames")
    print(f"{'memory after these':<42} {viewer.memory_mb():6.0f} MiB; exit code after Ctrl-C: {viewer.end()}")


def main() -> None:
    """Print both parts."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--videos", type=int, default=10_000, help="entries of the large store")
    given = parser.parse_args()
    names = ("numpy", "pyarrow", "starlette", "uvicorn", "av", "numba")
    print("The viewer, as evfr view starts it; wall time over a socket of this machine")
    print(f"command: python benchmarks/bench_view.py --videos {given.videos}")
    print(f"machine: {os.cpu_count()} CPUs, {platform.machine()}, Python {platform.python_version()}")
    print(f"versions: {', '.join(f'{name} {version(name)}' for name in names)}")
    print(
        f"data: made up, {given.videos} entries of {SMALL_FRAMES} frames; 20 minutes at {FPS} frames a second\n"
    )
    with tempfile.TemporaryDirectory() as folder:
        many(Path(folder) / "many", given.videos)
        long(Path(folder) / "long")
    print(f"most memory of a child: {resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024:.0f} MiB")


if __name__ == "__main__":
    main()

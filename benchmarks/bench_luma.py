"""Price of what the reader adds to bare decoding: the Y plane, the accounts, the hash.

Run ``python benchmarks/bench_luma.py [CLIP ...]``; without clips, real ones of EVFR_DATA. CPU time of this process, one
decoder thread, best of several rounds taken in turn, ratios within one run. The rows are

- ``plane``: the Y plane of every frame as decoded, a view, from a bare PyAV loop (must be <= 1.10);
- ``luma``: the same expanded to full range, the grey picture that signals see;
- ``to_ndarray``: the same by PyAV's ``to_ndarray(format="gray")``, for comparison;
- ``hash``: XXH64 of every luma plane, from a bare PyAV loop;
- ``reader``: a full pass of `open_video` with luma of every frame: accounts, damage watch and hash included.

The sums of the grey pictures are compared between the ways in the same run.
"""

from __future__ import annotations

import argparse
import os
import platform
import time
from collections.abc import Callable
from pathlib import Path

import av
import numpy as np

from evfr.video import open_video
from evfr.video._luma import grey, luma_hash, raw_luma

CLIPS = ("driving_highway", "people_one_by_one", "bottles", "basketball", "flies_clip")


def bare(path: Path, use: Callable[[av.VideoFrame], int]) -> int:
    total = 0
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        stream.codec_context.thread_count = 1
        stream.codec_context.thread_type = "NONE"
        for packet in container.demux(stream):
            for frame in packet.decode():
                total += use(frame)
    return total


def reader(path: Path) -> int:
    total = 0
    with open_video(path) as video:
        for frame in video:
            total += int(frame.luma()[0, 0])
    return total


WAYS: dict[str, Callable[[Path], int]] = {
    "decode": lambda path: bare(path, lambda frame: 0),
    "plane": lambda path: bare(path, lambda frame: int(raw_luma(frame)[0, 0])),
    "luma": lambda path: bare(path, lambda frame: int(grey(frame)[0, 0])),
    "to_ndarray": lambda path: bare(path, lambda frame: int(frame.to_ndarray(format="gray")[0, 0])),
    "hash": lambda path: bare(path, lambda frame: luma_hash(frame) & 1),
    "reader": reader,
}


def measure(path: Path, rounds: int) -> dict[str, float]:
    """Return the least CPU seconds of each way; check that luma and reader saw the same pictures."""
    best = dict.fromkeys(WAYS, float("inf"))
    sums: dict[str, int] = {}
    for _ in range(rounds):
        for name, way in WAYS.items():
            began = time.process_time()
            sums[name] = way(path)
            best[name] = min(best[name], time.process_time() - began)
    assert sums["luma"] == sums["reader"], sums
    return best


def main() -> None:
    parser = argparse.ArgumentParser(description="Price of the Y plane against bare decoding.")
    parser.add_argument("clips", nargs="*", type=Path)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    data = Path(os.environ.get("EVFR_DATA", Path(__file__).resolve().parents[2] / "shared" / "data"))
    clips = options.clips or [data / "video" / f"{name}.mp4" for name in CLIPS]
    print(
        f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}, "
        f"PyAV {av.__version__}, numpy {np.__version__}"
    )
    print(f"{'clip':24} {'decode s':>9}" + "".join(f"{name:>12}" for name in WAYS if name != "decode"))
    ratios: dict[str, list[float]] = {name: [] for name in WAYS if name != "decode"}
    for clip in clips:
        best = measure(clip, options.rounds)
        for name, values in ratios.items():
            values.append(best[name] / best["decode"])
        print(f"{clip.name:24} {best['decode']:9.3f}" + "".join(f"{v[-1]:11.2f}x" for v in ratios.values()))
    print(f"{'median':34}" + "".join(f"{np.median(v):11.2f}x" for v in ratios.values()))
    for name in ("plane", "luma"):
        print(f"{name} <= 1.10x of decoding: {'met' if np.median(ratios[name]) <= 1.10 else 'MISSED'}")


if __name__ == "__main__":
    main()

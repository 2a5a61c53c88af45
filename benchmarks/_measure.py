"""What the benchmarks of signals share: one thread, CPU time in turns, the machine, real clips, ranks."""

from __future__ import annotations

import os
import platform
import statistics
import sys
import time
from collections.abc import Callable, Mapping
from fractions import Fraction
from importlib.metadata import version
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np

ONE_THREAD = {
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "NUMBA_NUM_THREADS": "1",
    "OPENCV_FFMPEG_CAPTURE_OPTIONS": "threads;1",
}


def pin_to_one_thread() -> None:
    """Start the script again where a library was loaded without being told to use one thread."""
    if any(os.environ.get(name) != value for name, value in ONE_THREAD.items()):
        os.execve(sys.executable, sys.orig_argv, os.environ | ONE_THREAD)
    cv2.setNumThreads(1)


def data_folder() -> Path:
    """Return the folder of real clips: EVFR_DATA, or shared/data beside the repository."""
    default = Path(__file__).resolve().parents[2] / "shared" / "data"
    folder = Path(os.environ.get("EVFR_DATA", default))
    if not folder.is_dir():
        raise SystemExit(f"EVFR_DATA not found: {folder}; set EVFR_DATA to the folder of real clips")
    return folder


def print_header(title: str, data: str, *, of_turns: str = "median") -> None:
    """Pin to one thread, and print what is measured, on what, with which versions and which command."""
    pin_to_one_thread()
    packages = ("numpy", "opencv-contrib-python-headless", "av", "numba", "scikit-image")
    print(title)
    print(f"command: python benchmarks/{Path(sys.argv[0]).name} {' '.join(sys.argv[1:])}".rstrip())
    print(f"machine: {_processor()}, {os.cpu_count()} CPUs, Python {platform.python_version()}")
    print(f"versions: {', '.join(f'{name} {version(name)}' for name in packages)}")
    print(f"data: {data}")
    print(f"CPU time (user + system), 1 thread, {of_turns} of turns; compiling numba's kernels is left out\n")


def cpu_seconds(cases: Mapping[str, Callable[[], Any]], turns: int) -> dict[str, float]:
    """Run all cases in turns, once before for warming up, and return the median CPU seconds of each."""
    times: dict[str, list[float]] = {name: [] for name in cases}
    for turn in range(turns + 1):
        for name, case in cases.items():
            begin = time.process_time()
            case()
            if turn > 0:
                times[name].append(time.process_time() - begin)
    return {name: statistics.median(values) for name, values in times.items()}


def encode_720p(source: Path, target: Path) -> int:
    """Enlarge a clip to 1280 x 720 H.264 with B-frames, and return its number of frames."""
    count = 0
    with av.open(str(source)) as reading, av.open(str(target), "w") as writing:
        stream = writing.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = 1280, 720, "yuv420p"
        stream.options = {"crf": "20", "bf": "3", "preset": "medium"}
        for frame in reading.decode(video=0):
            scaled = frame.reformat(1280, 720, format="yuv420p")
            scaled.pts, scaled.time_base = count, Fraction(1, 25)
            scaled.pict_type = 0
            writing.mux(stream.encode(scaled))
            count += 1
        writing.mux(stream.encode(None))
    return count


def spearman(a: np.ndarray, b: np.ndarray) -> float:
    """Return the rank correlation, ties at their mean rank."""
    return float(np.corrcoef(_ranks(a), _ranks(b))[0, 1])


def total_variation(v: np.ndarray, w: np.ndarray) -> float:
    """Return half the L1 distance of two weight vectors that sum to 1."""
    return float(np.abs(v - w).sum() / 2)


def judge(claims: Mapping[str, bool]) -> None:
    """Exit with an error that names every claim that does not hold."""
    bad = [name for name, holds in claims.items() if not holds]
    if bad:
        raise SystemExit(f"does not hold: {'; '.join(bad)}")
    print("\nall limits hold")


def _ranks(values: np.ndarray) -> np.ndarray:
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    return (np.cumsum(counts) - (counts - 1) / 2)[inverse]


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else ():
        if line.startswith("model name"):
            return line.split(":", 1)[1].strip()
    return platform.machine()

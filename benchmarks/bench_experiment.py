"""The whole chain on drawn videos, in CPU seconds: synth, split, plan, run, report, advise.

Every step is its own process, as a user starts it, so that starting Python and importing torch count each time. Nothing
else does this job, so there is no rival beside it.

Run: python benchmarks/bench_experiment.py
"""

from __future__ import annotations

import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from _measure import print_header

LIMIT_SECONDS = 25.0
SIZE = ["--width", "64", "--height", "48"]
TOY = ["--clips", "3", "--test-clips", "2", "--frames", "30", *SIZE]
GRID = [
    "--strides",
    "1,2,5",
    "--samplers",
    "uniform",
    "--copy-paste",
    "none",
    "--iterations",
    "20",
    "--seeds",
    "2",
]
GRID += [*SIZE, "--no-timing"]


def cpu_seconds(words: list[str]) -> float:
    """Run evfr and return the CPU time of it and all its children."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, "-m", "evfr", *words, "--quiet"], check=True, stdout=subprocess.DEVNULL)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main() -> None:
    """Print what each step costs."""
    print_header(
        "The whole chain on drawn videos",
        "5 clips of 30 frames of 64x48, drawn",
        of_turns="one turn, with compiling,",
    )
    with tempfile.TemporaryDirectory() as folder:
        toy, grid = str(Path(folder, "toy")), str(Path(folder, "grid"))
        labels = f"{toy}/labels.parquet"
        given = ["--labels", labels, "--split", f"{toy}/split.json"]
        steps = {
            "synth": ["synth", toy, *TOY],
            "split": ["split", labels, "--val", "0.3"],
            "plan": ["experiment", "plan", grid, f"{toy}/train", f"{toy}/test", *given, *GRID],
            "run": ["experiment", "run", grid],
            "report": ["experiment", "report", grid],
            "advise": ["advise", grid],
        }
        began, total = time.perf_counter(), 0.0
        for name, words in steps.items():
            spent = cpu_seconds(words)
            total += spent
            print(f"{name:8} {spent:6.2f} CPU-s")
        print(
            f"whole    {total:6.2f} CPU-s, {time.perf_counter() - began:.1f} s wall; limit {LIMIT_SECONDS:g} CPU-s"
        )
        print("all limits hold" if total <= LIMIT_SECONDS else "MISSED: the whole chain is above its limit")


if __name__ == "__main__":
    main()

"""What each engine makes of the same 24 clips: how many finish, what it costs, what a killed driver leaves behind.

The job is one function for all: the thumbnail vectors of one clip, written to a file that appears whole or not at all
and is not made again. So what is done again after a kill says more about the files than about the engine; what an
engine does about a clip that kills its worker, or never ends, is its own. Engines that are not installed are named.

CPU time is that of all processes that an engine starts, daemons included, read ten times a second. "Done" counts the
23 good clips within the limit.

    python -m pip install "ray[data]" "dask[distributed]" pyspark daft      # Spark needs Java 17
    python benchmarks/bench_executors.py [--limit 70] [--turns 3] [--engines serial processes ray ...]
"""

from __future__ import annotations

import argparse
import contextlib
import ctypes
import importlib.util
import os
import platform
import re
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement

from _engines import ENGINES, Item
from _measure import ONE_THREAD

CLIPS = 24
_PR_SET_CHILD_SUBREAPER = 36


def main() -> None:
    """Print one row per engine."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--limit", type=float, default=70.0, help="seconds for the runs with a bad clip")
    parser.add_argument("--turns", type=int, default=3, help="clean runs; the least is printed")
    parser.add_argument("--engines", nargs="+", default=list(ENGINES), choices=list(ENGINES))
    parser.add_argument("--one", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        engine, folder = options.one
        ENGINES[engine][0](
            [tuple(line.split("\t")) for line in Path(folder, "items").read_text().splitlines()]
        )
        return
    ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1)
    print(f"{CLIPS} clips of 50 frames, 640 x 360; 2 workers; limit {options.limit:g} s")
    print(f"machine: {os.cpu_count()} CPUs, Python {platform.python_version()}")
    print(
        "| engine | version | import, CPU s | install beyond evfr, MB | clean: wall s | clean: CPU s | a clip kills: "
        "done of 23 | its starts | ended after s | a clip hangs: done of 23 | ended after s | driver killed: left "
        "alive after 10 s | done twice by the rerun |"
    )
    print("|---|---|---|---|---|---|---|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory(prefix="evfr-engines-") as name:
        root = Path(name)
        clips = draw(root / "clips")
        for engine in options.engines:
            print(row(engine, clips, root, options.limit, options.turns), flush=True)


def draw(folder: Path) -> list[Path]:
    """Draw one clip and copy it."""
    from evfr.video import draw_clip

    folder.mkdir()
    first = draw_clip(folder / "00.mp4", seconds=2.0, size=(640, 360))
    return [first] + [Path(shutil.copy(first, folder / f"{number:02}.mp4")) for number in range(1, CLIPS)]


def row(engine: str, clips: list[Path], root: Path, limit: float, turns: int) -> str:
    """Measure one engine; return its row of the table."""
    _, module, package = ENGINES[engine]
    if module and importlib.util.find_spec(module.split(".")[0]) is None:
        return f"| {engine} | not installed |" + " |" * 11
    base = package.split("[")[0]
    cells = [engine, metadata.version(base) if base else "ours"]
    cells.append(f"{import_seconds(module):.1f}" if module else "0")
    cells.append(f"{install_mb(package):.0f}" if package else "0")
    clean = [run(engine, clips, root, {}, 600.0) for _ in range(turns)]
    if any(done < CLIPS for done, *_ in clean):
        raise SystemExit(f"{engine} fails on a clean run")
    cells += [
        f"{min(run_[2] for run_ in clean):.1f}",
        f"{min(run_[3] for run_ in clean):.1f}",
    ]
    for what in ("kill", "hang"):
        if engine == "serial":
            cells += ["0 (nothing protects it)"] + ["-"] * (2 if what == "kill" else 1)
            continue
        done, starts, wall, _ = run(engine, clips, root, {5: what}, limit)
        cells.append(str(done))
        if what == "kill":
            cells.append(str(starts))
        cells.append(f"{wall:.0f}" if wall < limit else f"not within {limit:g}")
    cells += [str(value) for value in kill_and_rerun(engine, clips, root)]
    return f"| {' | '.join(cells)} |"


def start(engine: str, folder: Path) -> subprocess.Popen[bytes]:
    """Start the job in a process of its own."""
    here = str(Path(__file__).parent)
    environment = {
        **os.environ,
        **ONE_THREAD,
        "PYTHONPATH": here,
        "RAY_USAGE_STATS_ENABLED": "0",
        "DO_NOT_TRACK": "1",
    }
    with (folder / "log").open("ab") as log:
        return subprocess.Popen(
            [sys.executable, __file__, "--one", engine, str(folder)],
            stdout=log, stderr=log, env=environment, start_new_session=True,
        )  # fmt: skip


def prepare(clips: list[Path], root: Path, bad: dict[int, str]) -> Path:
    """Make a folder that says what to do."""
    folder = Path(tempfile.mkdtemp(dir=root))
    for name in ("done", "starts"):
        (folder / name).mkdir()
    items: list[Item] = [(bad.get(row, "ok"), str(clip), str(folder)) for row, clip in enumerate(clips)]
    (folder / "items").write_text("".join("\t".join(item) + "\n" for item in items))
    return folder


def run(
    engine: str, clips: list[Path], root: Path, bad: dict[int, str], limit: float
) -> tuple[int, int, float, float]:
    """Do the job; return clips done, starts of clip 5, wall seconds and CPU seconds of all processes."""
    folder = prepare(clips, root, bad)
    seen: dict[tuple[int, int], int] = {}
    began = time.monotonic()
    process = start(engine, folder)
    while process.poll() is None and time.monotonic() - began < limit:
        look_at_cpu(seen)
        time.sleep(0.1)
    wall = time.monotonic() - began
    look_at_cpu(seen)
    end_all()
    done = len(list(folder.glob("done/*.npy")))
    mark = folder / "starts" / clips[5].stem
    return (
        done,
        len(mark.read_text()) if mark.exists() else 0,
        wall,
        sum(seen.values()) / os.sysconf("SC_CLK_TCK"),
    )


def kill_and_rerun(engine: str, clips: list[Path], root: Path) -> tuple[int, int]:
    """Kill the driver halfway; return how many processes live on, and how many clips were started twice."""
    folder = prepare(clips, root, {})
    process = start(engine, folder)
    deadline = time.monotonic() + 120
    while len(list(folder.glob("done/*.npy"))) < 8 and time.monotonic() < deadline:
        time.sleep(0.02)
    process.kill()
    process.wait()
    deadline = time.monotonic() + 10
    while descendants() and time.monotonic() < deadline:
        reap()
        time.sleep(0.1)
    left = len(descendants())
    end_all()
    start(engine, folder).wait(600)
    end_all()
    assert len(list(folder.glob("done/*.npy"))) == CLIPS
    return left, sum(len(path.read_text()) > 1 for path in folder.glob("starts/*"))


def descendants() -> list[int]:
    """Return the living processes that come from this one; orphans among them are its children."""
    parents: dict[int, int] = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            state, parent = path.read_text().rsplit(")", 1)[1].split()[:2]
            if state not in "ZX":
                parents[int(path.parent.name)] = int(parent)
    found = {os.getpid()}
    while more := {pid for pid, parent in parents.items() if parent in found} - found:
        found |= more
    return sorted(found - {os.getpid()})


def look_at_cpu(seen: dict[tuple[int, int], int]) -> None:
    """Note the clock ticks of every descendant, by process id and start."""
    for pid in descendants():
        with contextlib.suppress(OSError):
            fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
            seen[pid, int(fields[19])] = int(fields[11]) + int(fields[12])


def reap() -> None:
    """Collect the dead."""
    with contextlib.suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass


def end_all() -> None:
    """Give daemons a moment to go by themselves, then kill what is left, and collect all."""
    deadline = time.monotonic() + 3
    while descendants() and time.monotonic() < deadline:
        reap()
        time.sleep(0.05)
    while left := descendants():
        for pid in left:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        reap()
        time.sleep(0.05)
    reap()


def cpu_of_the_dead() -> float:
    """Return the CPU seconds of all collected processes."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def import_seconds(module: str) -> float:
    """Return the CPU seconds that importing takes in a new Python, the second time."""
    times = []
    for _ in range(2):
        before = cpu_of_the_dead()
        subprocess.run([sys.executable, "-c", f"import {module}"], check=True, capture_output=True)
        times.append(cpu_of_the_dead() - before)
    before = cpu_of_the_dead()
    subprocess.run([sys.executable, "-c", "pass"], check=True)
    return max(0.0, times[1] - (cpu_of_the_dead() - before))


def install_mb(package: str) -> float:
    """Return the size of a package and all it needs, less what evfr needs anyway."""
    own = closure("evfr")
    names = closure(package) - own
    files = [file for name in names for file in metadata.files(name) or ()]
    sizes = [Path(file.locate()).stat().st_size for file in files if Path(file.locate()).is_file()]
    return sum(sizes) / 1e6


def closure(requirement: str) -> set[str]:
    """Return the names of the installed distributions that a requirement brings."""
    found: set[tuple[str, tuple[str, ...]]] = set()
    todo = [Requirement(requirement)]
    while todo:
        wanted = todo.pop()
        name = re.sub(r"[-_.]+", "-", wanted.name).lower()
        key = (name, tuple(sorted(wanted.extras)))
        if key in found:
            continue
        try:
            needs = metadata.requires(name) or []
        except metadata.PackageNotFoundError:
            continue
        found.add(key)
        for text in needs:
            need = Requirement(text)
            if need.marker is None or any(need.marker.evaluate({"extra": e}) for e in ("", *wanted.extras)):
                todo.append(need)
    return {name for name, _ in found}


if __name__ == "__main__":
    main()

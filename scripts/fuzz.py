"""Fuzz everything that reads a file of somebody else's: videos, labels, the store, manifests, models' configuration.

``python scripts/fuzz.py --seconds 60 --seed 1`` divides the time over the targets, each in a process of its own with
limits on memory and time. Whatever comes out but an error of evfr is a finding: so is a crash, a hang, a process that
grows. Each is kept under tests/fuzz/found/, where the default tests replay it, with the line that replays it alone; the
exit status is 1. ``--engine atheris`` (the default where it is installed) is guided by coverage.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib.util
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "tests"), str(ROOT / "src")]

from fuzz.engine import CURRENT, FINDINGS, TALLY, kept_name, work  # noqa: E402  (found by the path above)

FOUND = ROOT / "tests" / "fuzz" / "found"
MEMORY_MB = 2048
HANG_CPU_SECONDS = 30.0
HANG_SECONDS = 300.0
UNLIMITED = 1 << 40


def parsed() -> argparse.Namespace:
    """Return the options."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seconds", type=float, default=60.0, help="for all targets together")
    parser.add_argument(
        "--seed", type=int, default=0, help="the same seed draws the same inputs (engine own)"
    )
    parser.add_argument("--target", action="append", help="only this target; may be repeated")
    parser.add_argument("--engine", choices=("auto", "own", "atheris"), default="auto")
    parser.add_argument("--runs", type=int, default=UNLIMITED, help="inputs of each target at most")
    parser.add_argument("--found", type=Path, default=FOUND, help="where findings are kept")
    parser.add_argument("--replay", type=Path, nargs="+", help="run these kept files and nothing else")
    parser.add_argument("--worker", type=Path, help=argparse.SUPPRESS)
    return parser.parse_args()


def main() -> int:
    """Run."""
    given = parsed()
    engine = given.engine
    if engine == "auto":
        engine = "atheris" if importlib.util.find_spec("atheris") else "own"
    if given.worker is not None:
        work(given.target[0], given.worker, given.seed, given.seconds, given.runs, engine)
        return 0
    if given.replay:
        return replay(given.replay)
    from fuzz.targets import TARGETS

    names = given.target or list(TARGETS)
    for name in names:
        if name not in TARGETS:
            raise SystemExit(f"no target {name!r}; there are {', '.join(TARGETS)}")
    print(f"engine {engine}, seed {given.seed}, {given.seconds:g} s for {', '.join(names)}", flush=True)
    kept: list[Path] = []
    for name in names:
        kept += fuzz(name, given.seed, given.seconds / len(names), given.runs, engine, given.found)
    for path in kept:
        shown = path.relative_to(ROOT) if path.is_relative_to(ROOT) else path
        print(f"python scripts/fuzz.py --replay {shown}")
    return 1 if kept else 0


def replay(paths: list[Path]) -> int:
    """Run kept files in this process, with the trace of what comes out."""
    from fuzz.targets import kind_of_file, run_file

    status = 0
    for path in paths:
        with scratch_folder() as folder:
            error = run_file(kind_of_file(path), folder, path.read_bytes())
        print(f"{path}: {'as it should be' if error is None else repr(error)[:500]}")
        if error is not None:
            status = 1
            import traceback

            traceback.print_exception(error)
    return status


def fuzz(target: str, seed: int, seconds: float, runs: int, engine: str, found: Path) -> list[Path]:
    """Fuzz one target, starting its process again where it dies; return what was kept."""
    from fuzz.targets import TARGETS

    end = time.monotonic() + seconds
    kept: list[Path] = []
    total = {"runs": 0, "accepted": 0, "places": 0}
    while (left := end - time.monotonic()) > 1 or not total["runs"]:
        with scratch_folder() as folder:
            death = one_process(target, folder, seed, max(left, 1.0), runs, engine)
            notes = list(findings(folder))
            if death is not None and (folder / CURRENT).is_file():
                data = (folder / CURRENT).read_bytes()
                notes.append(
                    {"kind": data[0], "what": death.split(":")[0], "text": death, "data": data[1:].hex()}
                )
            elif death is not None:
                raise SystemExit(f"{target}: the process did not start: {death}")
            for note in notes:
                data, kind = bytes.fromhex(note["data"]), TARGETS[target][note["kind"] % len(TARGETS[target])]
                path = found / target / kept_name(kind, data, note["what"])
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(data)
                kept.append(path)
                print(f"FOUND {target}/{kind.name}: {brief(note['text'])}", flush=True)
            with contextlib.suppress(OSError, ValueError):
                for key, value in json.loads((folder / TALLY).read_text()).items():
                    total[key] += value
        if death is None:
            break
        total["runs"] += 1
        seed += 1000
    counts = f"{total['runs']} inputs, {total['accepted']} read, {total['places']} ways to end"
    print(f"{target}: {counts}, {len(kept)} findings", flush=True)
    return kept


def brief(text: str) -> str:
    """Return the last lines: where it came from, and what it says."""
    return "\n".join(line[:300] for line in text.rstrip().splitlines()[-4:])


@contextlib.contextmanager
def scratch_folder() -> Any:
    """Make a folder in memory where there is one: readers write, and writing waits for the disk."""
    memory = Path("/dev/shm")
    path = Path(tempfile.mkdtemp(prefix="evfr-fuzz-", dir=memory if os.access(memory, os.W_OK) else None))
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)


def findings(folder: Path) -> Any:
    """Yield what the process wrote down."""
    with contextlib.suppress(FileNotFoundError):
        for line in (folder / FINDINGS).read_text().splitlines():
            yield json.loads(line)


def one_process(target: str, folder: Path, seed: int, seconds: float, runs: int, engine: str) -> str | None:
    """Run the worker under limits; return what ended it, or None where it ended by itself."""
    command = [sys.executable, __file__, "--worker", str(folder), "--target", target, "--seed", str(seed)]
    command += ["--seconds", str(seconds), "--runs", str(runs), "--engine", engine]
    environment = {
        **os.environ,
        "OMP_NUM_THREADS": "1",
        "OPENCV_FOR_THREADS_NUM": "1",
        "NUMBA_NUM_THREADS": "1",
    }
    log = (folder / "log").open("wb")  # native libraries shout
    process = subprocess.Popen(
        command, stdout=log, stderr=log, cwd=folder, env=environment, start_new_session=True
    )
    try:
        death = watch(process, folder / CURRENT)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        log.close()
    if death is None and process.returncode not in (0, -signal.SIGKILL):
        last = (folder / "log").read_text(errors="backslashreplace")[-2000:]
        sign = process.returncode
        if sign > 0 and "Traceback" in last:
            raise SystemExit(f"the fuzzer itself failed:\n{last}")
        name = signal.Signals(-sign).name if sign < 0 else f"exit {sign}"
        return f"{name}: {last}"
    return death


def watch(process: subprocess.Popen[bytes], current: Path) -> str | None:
    """Wait for the process; return why it has to be killed: it hangs on one input, or grows."""
    stamp, since, cpu_then = 0, time.monotonic(), 0.0
    while process.poll() is None:
        time.sleep(0.1)
        try:
            fields = Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()
            cpu = (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
            resident = int(fields[21]) * os.sysconf("SC_PAGE_SIZE") / (1 << 20)
        except (OSError, IndexError):
            continue
        changed = current.stat().st_mtime_ns if current.exists() else 0
        if changed != stamp:
            stamp, since, cpu_then = changed, time.monotonic(), cpu
        if resident > MEMORY_MB:
            return f"memory: the process takes {resident:.0f} MiB"
        if changed and (cpu - cpu_then > HANG_CPU_SECONDS or time.monotonic() - since > HANG_SECONDS):
            return (
                f"hang: {cpu - cpu_then:.0f} s of work, {time.monotonic() - since:.0f} s in all, on one input"
            )
    return None


if __name__ == "__main__":
    sys.exit(main())

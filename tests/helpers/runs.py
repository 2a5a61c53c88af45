"""For tests of executors: scripts in processes of their own, who is alive, what a store holds."""

from __future__ import annotations

import subprocess
import sys
import textwrap
import time
from collections.abc import Callable
from pathlib import Path

TESTS = str(Path(__file__).parents[1])


def script(tmp_path: Path, text: str, *arguments: str) -> subprocess.Popen[str]:
    """Start ``text`` as a Python script that can import the tests' helpers."""
    path = tmp_path / "script.py"
    path.write_text(f"import sys\nsys.path.insert(0, {TESTS!r})\n" + textwrap.dedent(text))
    return subprocess.Popen(
        [sys.executable, str(path), *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def is_alive(pid: int) -> bool:
    """Return whether a process exists and is no zombie."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except FileNotFoundError:
        return False
    return state not in "ZX"


def wait_until(condition: Callable[[], bool], seconds: float = 30.0) -> None:
    """Wait for ``condition``, and fail if it does not come."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.02)


def children() -> set[str]:
    """Return the process ids of this process's children."""
    return {pid for path in Path("/proc/self/task").glob("*/children") for pid in path.read_text().split()}


def tree(folder: Path) -> dict[str, bytes]:
    """Return the content of every file below a folder, by its relative path."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }

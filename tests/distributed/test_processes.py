"""Child processes of this machine: what they can import, and parents that are interrupted, stopped or killed.

What holds for any executor whose workers may die is in tests/contracts/test_executors_under_faults.py.
"""

from __future__ import annotations

import contextlib
import functools
import os
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from evfr.distributed import Outcome, map_videos
from evfr.errors import ProblemCode, WorkerError
from helpers import jobs
from helpers.runs import children, is_alive, script, wait_until


def run(kinds: list[str], folder: Path, **options: object) -> list[Outcome]:
    items = [(kind, str(folder)) for kind in kinds]
    return map_videos(jobs.misbehave, items, executor="processes", jobs=2, **options)  # type: ignore[arg-type]


@pytest.fixture(autouse=True)
def no_child_is_left() -> Iterator[None]:
    before = children()  # Tests of other families may have started helpers that live as long as Python.
    yield
    assert children() <= before, "a child process was left"


def test_what_does_not_pickle() -> None:
    with pytest.raises(TypeError, match=r"the function cannot be sent to a worker process .* no lambdas"):
        map_videos(lambda item, heartbeat: item, [1], executor="processes")
    with pytest.raises(TypeError, match=r"item 1 cannot be sent to a worker process"):
        map_videos(jobs.double, [1, lambda: 2], executor="processes")


def test_partials_and_source_names() -> None:
    assert map_videos(functools.partial(jobs.double), [4], executor="processes")[0].value == 8
    outcome = map_videos(jobs.misbehave, [Path("/data/é\udcff.mp4")], executor="processes")[0]
    assert outcome.problem is not None
    assert outcome.problem.source == "/data/é\\udcff.mp4"


def test_a_module_that_children_cannot_import(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "vanishing.py").write_text("def fn(item, heartbeat):\n    return item\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    import vanishing  # type: ignore[import-not-found]

    (tmp_path / "vanishing.py").unlink()
    for cached in tmp_path.rglob("*.pyc"):
        cached.unlink()
    with pytest.raises(
        WorkerError, match=r"do not start: .*No module named 'vanishing'.* must stand in a module"
    ):
        map_videos(vanishing.fn, [1], executor="processes")


def test_no_python_to_start(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/nonexistent/python")
    with pytest.raises(WorkerError, match=r"cannot start a worker process: .*; use fewer jobs"):
        map_videos(jobs.double, [1], executor="processes")


def test_functions_of_a_script(tmp_path: Path) -> None:
    text = """
        from evfr.distributed import map_videos
        def triple(item, heartbeat):
            return 3 * item
        if __name__ == "__main__":
            print([o.value for o in map_videos(triple, [1, 2], executor="processes", jobs=1)])
    """
    with script(tmp_path, text) as process:
        out, err = process.communicate(timeout=60)
    assert (out, err, process.returncode) == ("[3, 6]\n", "", 0)


def test_a_script_without_a_guard_does_not_start_processes_for_ever(tmp_path: Path) -> None:
    text = """
        from evfr.distributed import map_videos
        def triple(item, heartbeat):
            return 3 * item
        map_videos(triple, [1, 2], executor="processes", jobs=1)
    """
    with script(tmp_path, text) as process:
        _, err = process.communicate(timeout=60)
    assert process.returncode == 1
    assert err.splitlines()[-1].startswith("evfr.errors.WorkerError: worker processes do not start")
    assert 'put its calls under if __name__ == "__main__":' in err


DRIVER = """
    import os, sys, time
    from pathlib import Path
    from evfr.distributed import map_videos
    from helpers import driver
    if __name__ == "__main__":
        print("ready", flush=True)
        driver.drive(Path(sys.argv[1]), float(sys.argv[2]), "processes")
        print("done", flush=True)
"""


def pids_in(folder: Path) -> set[int]:
    return {int(path.name) for path in folder.glob("pids/*")}


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_a_driver_that_ends_takes_its_children_along_and_is_resumed(
    tmp_path: Path, how: signal.Signals
) -> None:
    """Interrupt, terminate or kill the driver; no child survives, and a new run does only what is left."""
    with script(tmp_path, DRIVER, str(tmp_path / "work"), "0.15") as process:
        wait_until(lambda: len(list(tmp_path.glob("work/done/*"))) >= 2)
        children = pids_in(tmp_path / "work")
        process.send_signal(how)
        began = time.monotonic()
        _, err = process.communicate(timeout=30)
        assert time.monotonic() - began < 5
    assert process.returncode == (-how if how != signal.SIGINT else process.returncode) != 0
    assert ("KeyboardInterrupt" in err) == (how == signal.SIGINT)
    wait_until(lambda: not any(is_alive(pid) for pid in children | pids_in(tmp_path / "work")), 5)
    done = {path.name for path in tmp_path.glob("work/done/*")}
    assert 2 <= len(done) < 12

    with script(tmp_path, DRIVER, str(tmp_path / "work"), "0") as process:
        out, err = process.communicate(timeout=60)
    assert (out, err) == ("ready\ndone\n", "")
    starts = [path.read_text() for path in tmp_path.glob("work/starts/*")]
    assert len(list(tmp_path.glob("work/done/*"))) == 12
    twice = [path.name for path in tmp_path.glob("work/starts/*") if len(path.read_text()) > 1]
    assert len(twice) <= 2, "only the videos in flight are done again"
    assert len(starts) == 12


def test_a_killed_hang_takes_its_own_children_along(tmp_path: Path) -> None:
    outcomes = run(["hang_with_a_child"], tmp_path, timeout_seconds=1.0, tries=1)
    assert outcomes[0].problem is not None
    assert outcomes[0].problem.code is ProblemCode.E_TIMEOUT
    pids = [int(pid) for pid in (tmp_path / "pids").read_text().split()]
    wait_until(lambda: not any(is_alive(pid) for pid in pids), 5)


def test_a_busy_child_dies_with_its_killed_driver(tmp_path: Path) -> None:
    """A child that is in the middle of something reads no pipe: the kernel has to tell it."""
    text = f"""
        from evfr.distributed import map_videos
        from helpers import jobs
        if __name__ == "__main__":
            map_videos(jobs.misbehave, [("hang_with_a_child", {str(tmp_path)!r})], executor="processes")
    """
    with script(tmp_path, text) as process:
        wait_until(lambda: (tmp_path / "pids").exists() and (tmp_path / "pids").read_text().endswith("\n"))
        child, grandchild = (int(pid) for pid in (tmp_path / "pids").read_text().split())
        assert is_alive(child)
        process.kill()
    wait_until(lambda: not is_alive(child), 5)
    with contextlib.suppress(ProcessLookupError):
        os.kill(grandchild, signal.SIGKILL)  # a killed driver can take along its own children only


@pytest.mark.slow
def test_stopped_drivers_accuse_nobody(tmp_path: Path) -> None:
    """SIGSTOP for longer than the timeout, then SIGCONT: no child is blamed for the driver's pause."""
    text = """
        from evfr.distributed import map_videos
        from helpers import jobs
        if __name__ == "__main__":
            outcomes = map_videos(jobs.misbehave, [("very_slow_but_alive", "")], executor="processes", jobs=1,
                                  timeout_seconds=2.0, tries=1,
                                  on_progress=lambda *beat: print("beat", flush=True))
            print(outcomes[0].value or outcomes[0].problem)
    """
    with script(tmp_path, text) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "beat\n"
        process.send_signal(signal.SIGSTOP)
        time.sleep(3)
        process.send_signal(signal.SIGCONT)
        out, _ = process.communicate(timeout=60)
    assert out.splitlines()[-1] == "very_slow_but_alive done"

"""The machines of a Ray cluster: Ray launches, evfr watches, counts and gives up.

Why Ray Core, and why not one of the engines on top of it or beside it, says
docs/decisions/0005-ray-core.md.
"""

from __future__ import annotations

import contextlib
import logging
import os
import pickle
import signal
import socket
import sys
import tempfile
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import evfr
from evfr._core.lazy import require
from evfr._core.types import Problem
from evfr.distributed._boundary import ExecutionOptions, Heartbeat, Outcome, source_name
from evfr.distributed._child import TICK_SECONDS, unpacked
from evfr.distributed._slot import THREADS, Report, Setup, Slot, Task
from evfr.distributed._supervisor import FAREWELL_SECONDS, MAX_BAD_STARTS
from evfr.errors import ProblemCode, WorkerError

__all__ = ["run_ray"]

_OBJECT_STORE_BYTES = 128 << 20
_LONGEST_SOCKET_FOLDER = 30
_ANSWER_SECONDS = 20.0
_LONGEST_PAUSE_SECONDS = 30.0


def run_ray(
    fn: Callable[[Any, Heartbeat], Any], items: Sequence[Any], options: ExecutionOptions, /
) -> Iterator[Outcome]:
    """Yield the outcomes as they come, from ``options.jobs`` actors on a Ray cluster.

    The cluster is the one this program is connected to, else the one that ``RAY_ADDRESS`` names, else one of
    this machine alone that lives as long as the call. Each actor has one child process, watched as those of
    ``processes`` are; an actor that dies with its machine is replaced, and what it worked on is started again
    elsewhere, ``options.tries`` times in all.

    Parameters
    ----------
    fn : callable
        ``fn(item, heartbeat) -> value``; functions of the script that runs, and lambdas, may be sent too.
    items : sequence
        The inputs, picklable.
    options : ExecutionOptions
        Limits, tries and GPUs.

    Yields
    ------
    Outcome

    Raises
    ------
    MissingExtraError
        If Ray is not installed.
    TypeError
        If ``fn`` or an item does not pickle.
    WorkerError
        If there is no cluster, it has not what is asked for, or workers cannot be started at all.
    """
    hook = sys.excepthook
    ray = require("ray", extra="ray")
    sys.excepthook = hook  # importing Ray sets its own
    names = [source_name(item, index) for index, item in enumerate(items)]
    data = _dump(ray, fn, "the function")
    pickled = [_dump(ray, item, f"item {index}") for index, item in enumerate(items)]
    if not items:
        return
    by_value = any(b"cloudpickle" in part for part in (data, *pickled))
    setup = Setup(
        evfr.__version__,
        os.getcwd(),  # noqa: PTH109  (a string travels)
        tuple(sys.path),
        {name: os.environ[name] for name in THREADS if name in os.environ},
        data,
        "ray.cloudpickle" if by_value else "pickle",
        replace(options, on_progress=None),
    )
    tasks = [Task(index, 1, *pair) for index, pair in enumerate(zip(names, pickled, strict=True))]
    with _cluster(ray, options) as room:
        yield from _launch(ray, setup, tasks, options, min(room, len(tasks)))


def _launch(
    ray: Any, setup: Setup, tasks: Sequence[Task], options: ExecutionOptions, room: int
) -> Iterator[Outcome]:
    actor = ray.remote(
        num_cpus=1,
        num_gpus=options.gpus_per_worker,
        max_restarts=0,
        max_task_retries=0,
        scheduling_strategy="SPREAD",
    )(Slot)
    told = ray.put(setup)
    waiting = deque(tasks)
    slots: list[Any] = []
    idle: list[Any] = []
    task: Task | None
    turns: dict[Any, tuple[Any, Task | None]] = {}  # what is awaited: whose turn it is, and at what
    starts = _Starts()
    try:
        while waiting or any(task for _, task in turns.values()):
            while idle and waiting:
                task = waiting.popleft()
                slot = idle.pop()
                turns[slot.turn.remote(task)] = (slot, task)
            starting = sum(task is None for _, task in turns.values())
            while len(slots) < room and starting < len(waiting) and time.monotonic() >= starts.next_time:
                # A task is given to slots that are up only: on a full cluster some never are.
                slots.append(slot := actor.remote(told))
                turns[slot.turn.remote()] = (slot, None)
                starting += 1
            for reference in _finished(ray, list(turns)):
                slot, task = turns.pop(reference)
                try:
                    report: Report = ray.get(reference)
                except ray.exceptions.RayError as error:
                    with contextlib.suppress(ray.exceptions.RayError):
                        ray.kill(slot)
                    slots.remove(slot)
                    if task is None:
                        starts.have_failed(error, has_others=bool(slots))
                    elif task.attempts < options.tries:
                        waiting.append(replace(task, attempts=task.attempts + 1))
                    else:
                        yield _obituary(ray, task, error)
                    continue
                starts = _Starts()
                if report.refusal is not None:
                    raise WorkerError(report.refusal)
                if task is None:
                    idle.append(slot)
                    continue
                if options.on_progress is not None:
                    for beat in report.beats:
                        options.on_progress(task.index, *beat)
                if report.outcome is None:
                    turns[slot.turn.remote()] = (slot, task)
                    continue
                idle.append(slot)
                if not report.is_death:
                    yield unpacked(report.outcome)
                elif task.attempts < options.tries:
                    waiting.append(replace(task, attempts=task.attempts + 1))
                else:
                    yield report.outcome
        farewells = [slot.stop.remote() for slot in idle]
        ray.wait(farewells, num_returns=len(farewells), timeout=FAREWELL_SECONDS + 1)
    finally:
        for slot in slots:
            with contextlib.suppress(ray.exceptions.RayError):
                ray.kill(slot)


@dataclass(slots=True)
class _Starts:
    """How often in a row actors did not come up, and when the next may be started."""

    bad_count: int = 0
    next_time: float = 0.0

    def have_failed(self, error: Exception, *, has_others: bool) -> None:
        """Count a failed start; raise `WorkerError` when there is no hope."""
        self.bad_count += 1
        if "creation task" in str(error):
            is_hopeless = self.bad_count >= MAX_BAD_STARTS
        else:
            # Ray goes on choosing a lost machine until it has noticed.
            self.next_time = time.monotonic() + min(2.0**self.bad_count, _LONGEST_PAUSE_SECONDS)
            is_hopeless = self.bad_count >= 2 * MAX_BAD_STARTS and not has_others
        if is_hopeless:
            raise WorkerError(
                f"Ray's workers do not start: {_first_line(error)}; evfr must be installed on every machine of "
                "the cluster"
            ) from error


def _finished(ray: Any, references: list[Any]) -> list[Any]:
    """Wait for one turn to end, and return all that have."""
    if not references:
        time.sleep(TICK_SECONDS)
        return []
    first, others = ray.wait(references, num_returns=1, timeout=1.0)
    if not first or not others:
        return list(first)
    more, _ = ray.wait(others, num_returns=len(others), timeout=0)
    return [*first, *more]


def _obituary(ray: Any, task: Task, error: Exception) -> Outcome:
    times = "" if task.attempts == 1 else f"; given up after {task.attempts} tries"
    if isinstance(error, ray.exceptions.OutOfMemoryError):
        text = "Ray killed its worker, since the machine ran out of memory: use fewer jobs"
        code = ProblemCode.E_MEMORY
    else:
        text = f"its Ray worker or the machine died: {_first_line(error)}"
        code = ProblemCode.E_CRASH
    return Outcome(task.index, None, Problem(code, text + times, task.source), task.attempts, str(error))


def _first_line(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0][:200] if lines else type(error).__name__


def _dump(ray: Any, value: Any, what: str) -> bytes:
    try:
        data: bytes = ray.cloudpickle.dumps(value, protocol=5)
    except (TypeError, AttributeError, pickle.PicklingError) as error:
        raise TypeError(
            f"{what} cannot be sent to a Ray worker ({error}); it must hold no open files, locks or threads"
        ) from error
    return data


@contextlib.contextmanager
def _cluster(ray: Any, options: ExecutionOptions) -> Iterator[int]:
    """Yield how many slots there is room for, on the cluster there is or on one of our own."""
    if ray.is_initialized():
        yield _room(ray, options)
        return
    address = os.environ.get("RAY_ADDRESS")
    folder = tempfile.gettempdir()
    if len(folder) > _LONGEST_SOCKET_FOLDER:
        folder = "/tmp"  # Ray's sockets lie below, and their names may have 107 bytes
    with contextlib.ExitStack() as stack:
        stack.callback(_restore_environment, dict(os.environ))
        settings: dict[str, Any] = {"address": address}
        if not address:
            os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
            folder = stack.enter_context(
                tempfile.TemporaryDirectory(prefix="evfr-ray-", dir=folder, ignore_cleanup_errors=True)
            )
            settings = {
                "address": "local",
                "num_cpus": options.jobs,
                "object_store_memory": _OBJECT_STORE_BYTES,
                "include_dashboard": False,
                "_node_ip_address": "127.0.0.1",
                "_temp_dir": folder,
            }
        is_main = threading.current_thread() is threading.main_thread()
        on_term = signal.getsignal(signal.SIGTERM) if is_main else None
        stack.callback(ray.shutdown)
        try:
            _check_answers(address)
            ray.init(**settings, log_to_driver=False, logging_level=logging.ERROR)
        except (OSError, RuntimeError, ValueError, ray.exceptions.RayError) as error:
            where = (
                f"cannot reach the Ray cluster at RAY_ADDRESS={address}"
                if address
                else "cannot start Ray here"
            )
            raise WorkerError(f"{where}: {_first_line(error)}") from error
        if on_term is not None:
            signal.signal(
                signal.SIGTERM, on_term
            )  # Ray's would turn it into an exit with a status of its own
        yield _room(ray, options)


def _check_answers(address: str | None) -> None:
    """Raise OSError if nothing listens at HOST:PORT; Ray itself would try for minutes."""
    host, colon, port = (address or "").rpartition(":")
    if colon and port.isdigit() and "/" not in host:
        socket.create_connection((host.strip("[]"), int(port)), timeout=_ANSWER_SECONDS).close()


def _room(ray: Any, options: ExecutionOptions) -> int:
    machines = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    gpus = options.gpus_per_worker
    if not any(found.get("CPU", 0) >= 1 and found.get("GPU", 0) >= gpus for found in machines):
        most = max((found.get("GPU", 0) for found in machines), default=0)
        raise WorkerError(
            f"no machine of the Ray cluster has a CPU and {gpus:g} GPUs for a worker (the most is {most:g} GPUs)"
        )
    if not options.has_default_jobs:
        return options.jobs
    room = int(sum(found.get("CPU", 0) for found in machines))
    if gpus:
        room = min(room, int(sum(found.get("GPU", 0) for found in machines) / gpus))
    return max(1, room)


def _restore_environment(before: dict[str, str]) -> None:
    """Take back what Ray set: what it is told by environment is for this run only."""
    for name in [*os.environ]:
        if name.startswith("RAY_") or name == "PYTHONBREAKPOINT":
            del os.environ[name]
            if name in before:
                os.environ[name] = before[name]

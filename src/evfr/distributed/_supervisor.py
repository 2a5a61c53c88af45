"""Child processes that may die: limits, a watchdog, new tries, quarantine.

Why not `concurrent.futures`: there one dead worker breaks the whole pool, and a hung one can only be waited
for. See docs/decisions/0004-own-supervisor.md.
"""

from __future__ import annotations

import contextlib
import os
import pickle
import sys
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from selectors import DefaultSelector
from typing import Any

from evfr.distributed._boundary import ExecutionOptions, Heartbeat, Outcome, source_name
from evfr.distributed._child import TICK_SECONDS, Child, unpacked
from evfr.distributed._worker import LOADING
from evfr.errors import WorkerError

__all__ = ["run_processes"]

FAREWELL_SECONDS = 2.0
MAX_BAD_STARTS = 3


def run_processes(
    fn: Callable[[Any, Heartbeat], Any], items: Sequence[Any], options: ExecutionOptions, /
) -> Iterator[Outcome]:
    """Yield the outcomes as they come, from ``options.jobs`` child processes.

    A child serves one item after the other. One that dies, is silent for too long or grows too large is
    killed and replaced; its item goes to the end of the queue, and after ``options.tries`` starts it is given
    up. Exceptions are no deaths: they are the item's problem at once.

    Parameters
    ----------
    fn : callable
        ``fn(item, heartbeat) -> value``, picklable.
    items : sequence
        The inputs, picklable.
    options : ExecutionOptions
        Limits and tries.

    Yields
    ------
    Outcome

    Raises
    ------
    TypeError
        If ``fn`` or an item does not pickle.
    WorkerError
        If workers cannot be started at all.
    """
    if options.memory_limit_mb is not None and not Path("/proc/self/statm").exists():
        raise WorkerError("memory_limit_mb needs /proc, which this system has not; leave it None")
    names = [source_name(item, index) for index, item in enumerate(items)]
    pickled = [_dump(item, f"item {index}") for index, item in enumerate(items)]
    setup = _setup(fn, pickled)
    waiting = deque((index, 1) for index in range(len(items)))
    children: list[Child] = []
    bad_starts = 0
    last_tick = time.monotonic()
    with DefaultSelector() as selector:
        try:
            while waiting or any(child.task for child in children):
                idle = sum(child.task is None for child in children)
                if len(children) < options.jobs and idle < len(waiting):
                    children.append(Child(setup, selector))
                for key, _ in selector.select(TICK_SECONDS):
                    yield from map(unpacked, key.data.receive(options))
                now = time.monotonic()
                step = min(now - last_tick, 1.0)  # a supervisor that was stopped or asleep accuses nobody
                last_tick = now
                for child in list(children):
                    if not child.is_dead():
                        child.watch(step, options)
                        if child.is_ready and child.task is None and waiting:
                            if child.is_fat(options):
                                children.remove(child)  # left-overs of earlier videos are not the next one's
                                child.bury()
                                continue
                            index, attempts = waiting[0]
                            if child.give(index, attempts, names[index], pickled[index]):
                                waiting.popleft()
                        continue
                    yield from map(unpacked, child.receive(options))  # what it sent before it died counts
                    children.remove(child)
                    child.bury()
                    if child.task is not None:
                        index, attempts = child.task
                        if attempts < options.tries:
                            waiting.append((index, attempts + 1))
                        else:
                            yield child.obituary(names[index], options)
                    elif not child.is_ready:
                        bad_starts += 1
                        if bad_starts >= MAX_BAD_STARTS or child.has_refused:
                            raise WorkerError(
                                f"worker processes do not start: {child.cause(options)}; the function must "
                                "stand in a module that a new Python can import"
                            )
            _farewell(children)
        finally:
            for child in children:
                child.bury()


def _dump(value: Any, what: str) -> bytes:
    try:
        return pickle.dumps(value, protocol=5)
    except (TypeError, AttributeError, pickle.PicklingError) as error:
        raise TypeError(
            f"{what} cannot be sent to a worker process ({error}); use functions and classes of a module, "
            "no lambdas, no open files, or executor='serial'"
        ) from error


def _setup(fn: Callable[[Any, Heartbeat], Any], pickled: Sequence[bytes]) -> bytes:
    if LOADING in os.environ:
        raise WorkerError(
            "the script that starts worker processes is being loaded by one of them; put its calls under "
            'if __name__ == "__main__":'
        )
    data = _dump(fn, "the function")
    main: dict[str, Any] = {}
    if any(b"__main__" in part for part in (data, *pickled)):
        from multiprocessing import spawn

        found = spawn.get_preparation_data("evfr")
        main = {key: value for key, value in found.items() if key.startswith("init_main_from")}
        if not main:
            raise WorkerError(
                "worker processes cannot import what is defined in an interactive session; put it into a "
                "module, or use executor='serial'"
            )
    return pickle.dumps({"path": list(sys.path), "main": main, "fn": data, "pickler": "pickle"})


def _farewell(children: Sequence[Child]) -> None:
    for child in children:
        child.hang_up()
    deadline = time.monotonic() + FAREWELL_SECONDS
    with contextlib.suppress(TimeoutError):
        for child in children:
            child.wait(deadline - time.monotonic())

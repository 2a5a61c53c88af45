"""Run one function over many videos: here, in child processes that may die, or on the machines of a Ray cluster.

``map_videos(fn, items, executor=...)`` calls ``fn(item, heartbeat)`` for every item and returns one
`Outcome` for each, in input order and with the same content for any number of workers. What goes wrong with
one video is that video's `Problem` and never stops the others.

An executor is a callable ``(fn, items, options) -> iterator of Outcome`` (see `Executor`): to add one, write
it in a new file (call `run_item` where the work happens) and add one line to `EXECUTORS`, or pass the
callable itself; tests/contracts/test_executors.py holds all of them to the same contract.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Generator, Sequence
from typing import Any

from evfr.distributed._boundary import (
    ExecutionOptions,
    Executor,
    Heartbeat,
    Outcome,
    run_item,
    source_name,
)
from evfr.distributed._ray import run_ray
from evfr.distributed._serial import run_serial
from evfr.distributed._supervisor import run_processes
from evfr.errors import WorkerError

__all__ = [
    "EXECUTORS",
    "ExecutionOptions",
    "Executor",
    "Heartbeat",
    "Outcome",
    "map_videos",
    "run_item",
    "source_name",
]

EXECUTORS: dict[str, Executor] = {"serial": run_serial, "processes": run_processes, "ray": run_ray}


def map_videos(
    fn: Callable[[Any, Heartbeat], Any],
    items: Sequence[Any],
    *,
    executor: str | Executor = "serial",
    jobs: int | None = None,
    memory_limit_mb: int | None = None,
    timeout_seconds: float | None = None,
    tries: int = 3,
    gpus_per_worker: float = 0.0,
    on_outcome: Callable[[Outcome], None] | None = None,
    on_progress: Callable[[int, int, int | None], None] | None = None,
) -> list[Outcome]:
    """Call ``fn(item, heartbeat)`` for every item and return how each ended, in input order.

    Parameters
    ----------
    fn : callable
        ``fn(item, heartbeat) -> value``. It calls ``heartbeat(done, total)`` as it goes on (``total`` may be
        None), which is cheap. For ``processes`` it is a function of a module, or a `functools.partial` of
        one; ``ray`` takes lambdas and functions of an interactive session as well.
    items : sequence
        The inputs, often `VideoSource` values.
    executor : {"serial", "processes", "ray"} or callable
        ``serial`` runs here, ``processes`` in child processes, ``ray`` in child processes on the cluster that
        this program is connected to or ``RAY_ADDRESS`` names, else on one of this machine alone, which is
        stopped at the end. Only children can be limited and may die: ``jobs``, the two limits and ``tries``
        mean nothing to ``serial``.
    jobs : int, optional
        How many at once; by default one for each CPU that this process may use, or that the cluster has.
    memory_limit_mb : int, optional
        Resident memory of one worker, libraries (about 150 MiB) included, in MiB. A worker that has more is
        killed. It is measured 20 times a second, so it may be exceeded for a moment. The address space is
        not limited, since compilers and tensor libraries reserve far more than they use.
    timeout_seconds : float, optional
        A worker that calls no heartbeat for this long is killed.
    tries : int
        An item whose worker dies is started this often before it is given up (quarantined).
    gpus_per_worker : float
        GPUs that ``ray`` reserves for each worker; a part of one is allowed. The other executors reserve
        nothing, so they refuse it.
    on_outcome : callable, optional
        Called here with each `Outcome` when it comes, in whatever order they end.
    on_progress : callable, optional
        Called here with ``(item_index, done, total)``.

    Returns
    -------
    list of Outcome
        One for each item. An error of evfr or a bug in ``fn`` is a `Problem` at once (``E_FAILED`` or the
        error's own, ``E_CRASH`` with the trace); a death is one after ``tries`` starts (``E_CRASH``,
        ``E_MEMORY``, ``E_TIMEOUT``).

    Raises
    ------
    ValueError
        If an option is out of range, or there is no such executor.
    TypeError
        If ``fn`` or an item cannot be sent to a child process.
    WorkerError
        If child processes or the cluster cannot be started, or an executor loses an item.
    MissingExtraError
        If ``executor`` is ``"ray"`` and Ray is not installed.

    Examples
    --------
    >>> def double(item, heartbeat):
    ...     heartbeat(1, 1)
    ...     return 2 * item
    >>> [outcome.value for outcome in map_videos(double, [1, 2, 3])]
    [2, 4, 6]
    """
    if isinstance(executor, str):
        if executor not in EXECUTORS:
            raise ValueError(f"executor must be one of {sorted(EXECUTORS)} or a callable, got {executor!r}")
        if gpus_per_worker and executor != "ray":
            raise ValueError(
                f"gpus_per_worker is for executor='ray', which reserves them; leave it 0 with {executor!r}"
            )
        executor = EXECUTORS[executor]
    has_default_jobs = jobs is None
    if jobs is None:
        jobs = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    options = ExecutionOptions(
        jobs, memory_limit_mb, timeout_seconds, tries, on_progress, has_default_jobs, gpus_per_worker
    )
    found: list[Outcome | None] = [None] * len(items)
    running = executor(fn, items, options)
    with contextlib.closing(running) if isinstance(running, Generator) else contextlib.nullcontext():
        for outcome in running:
            if outcome.item_index >= len(items) or found[outcome.item_index] is not None:
                raise WorkerError(f"the executor gave item {outcome.item_index} twice, or there is none")
            found[outcome.item_index] = outcome
            if on_outcome is not None:
                on_outcome(outcome)
    lost = [index for index, outcome in enumerate(found) if outcome is None]
    if lost:
        raise WorkerError(f"the executor lost the items {lost[:10]}; it must give one outcome for each")
    return [outcome for outcome in found if outcome is not None]

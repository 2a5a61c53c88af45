"""The far side of the ``ray`` executor: one place to work, with the child process that does it.

Ray's own worker process runs no user code: it watches a child as the supervisor of ``processes`` does, so that
limits, causes of death and captured output are the same on a cluster.
"""

from __future__ import annotations

import contextlib
import os
import pickle
import socket
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from selectors import DefaultSelector

import evfr
from evfr.distributed._boundary import ExecutionOptions, Outcome
from evfr.distributed._child import TICK_SECONDS, Child
from evfr.distributed._supervisor import FAREWELL_SECONDS, MAX_BAD_STARTS
from evfr.errors import WorkerError

__all__ = ["THREADS", "Report", "Setup", "Slot", "Task"]

_TURN_SECONDS = 1.0
THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")
"""Variables that must be as in the driver: Ray sets some, and sums depend on the number of threads."""


@dataclass(frozen=True, slots=True)
class Setup:
    """What every slot is told once.

    Attributes
    ----------
    version : str
        The driver's version of evfr.
    folder : str
        Where the driver stands; relative paths begin there.
    path : tuple of str
        Where the driver finds modules.
    environ : mapping of str to str
        Those of `THREADS` that the driver has.
    fn : bytes
        The pickled function.
    pickler : str
        The module whose ``dumps`` pickles results.
    options : ExecutionOptions
        The limits, without callbacks.
    """

    version: str
    folder: str
    path: tuple[str, ...]
    environ: Mapping[str, str]
    fn: bytes
    pickler: str
    options: ExecutionOptions


@dataclass(frozen=True, slots=True)
class Task:
    """One start of one item."""

    index: int
    attempts: int
    source: str
    pickled: bytes


@dataclass(frozen=True, slots=True)
class Report:
    """What happened in one turn.

    Attributes
    ----------
    beats : tuple of (int, int or None)
        Progress, oldest first.
    outcome : Outcome or None
        How the item ended, its value still pickled; None while it goes on.
    is_death : bool
        Whether the outcome is the obituary of a child.
    refusal : str or None
        Why this slot cannot work at all.
    """

    beats: tuple[tuple[int, int | None], ...] = ()
    outcome: Outcome | None = None
    is_death: bool = False
    refusal: str | None = None


class Slot:
    """A child process on whatever machine Ray chose; the driver takes one turn after the other."""

    def __init__(self, setup: Setup) -> None:
        self._beats: list[tuple[int, int | None]] = []
        self._options = ExecutionOptions(
            memory_limit_mb=setup.options.memory_limit_mb,
            timeout_seconds=setup.options.timeout_seconds,
            on_progress=lambda _index, done, total: self._beats.append((done, total)),
        )
        self._selector = DefaultSelector()
        self._child: Child | None = None
        self._waiting: Task | None = None
        self._source = ""
        self._bad_starts = 0
        self._last = time.monotonic()
        self._setup = pickle.dumps(
            {"path": _module_path(setup.path), "main": {}, "fn": setup.fn, "pickler": setup.pickler}
        )
        self._refusal = self._settle(setup)
        if self._refusal is None:
            self._start()

    def turn(self, task: Task | None = None) -> Report:
        """Take up a task or go on with it, until it ends, or for a second.

        Parameters
        ----------
        task : Task or None
            The next item; None while one is at work, or only to hear whether the slot is up.

        Returns
        -------
        Report
            With the outcome if there is one.
        """
        self._beats.clear()
        if task is not None:
            self._waiting, self._source = task, task.source
        end = time.monotonic() + _TURN_SECONDS
        outcome, is_death = None, False
        while self._refusal is None and outcome is None and time.monotonic() < end:
            if self._waiting is None and (self._child is None or self._child.task is None):
                break
            if self._child is None:
                self._start()
            else:
                outcome, is_death = self._step(self._child)
        return Report(tuple(self._beats), outcome, is_death, self._refusal)

    def stop(self) -> None:
        """Let the idle child leave in peace, for a moment."""
        if self._child is not None:
            self._child.hang_up()
            with contextlib.suppress(TimeoutError):
                self._child.wait(FAREWELL_SECONDS)
            self._child.bury()
            self._child = None

    def _settle(self, setup: Setup) -> str | None:
        """Stand where the driver stands; say why that cannot be."""
        host = socket.gethostname()
        if evfr.__version__ != setup.version:
            return (
                f"{host} has evfr {evfr.__version__}, the driver {setup.version}; install the same everywhere"
            )
        if setup.options.memory_limit_mb is not None and not Path("/proc/self/statm").exists():
            return f"memory_limit_mb needs /proc, which {host} has not; leave it None"
        try:
            os.chdir(setup.folder)
        except OSError as error:
            return (
                f"the folder {setup.folder} of the driver is not on {host} ({error.strerror}); start evfr in a "
                "folder that all machines share"
            )
        for name in THREADS:
            os.environ.pop(name, None)
        os.environ.update(setup.environ)
        return None

    def _start(self) -> None:
        try:
            self._child = Child(self._setup, self._selector)
        except WorkerError as error:
            self._refusal = str(error)

    def _step(self, child: Child) -> tuple[Outcome | None, bool]:
        found: list[Outcome] = []
        for _ in self._selector.select(TICK_SECONDS):
            found += child.receive(self._options)
        now = time.monotonic()
        step = min(now - self._last, 1.0)
        self._last = now
        if not child.is_dead():
            child.watch(step, self._options)
            if child.is_ready and child.task is None and self._waiting is not None:
                if child.is_fat(self._options):
                    self._bury(child)
                    return None, False
                task = self._waiting
                if child.give(task.index, task.attempts, task.source, task.pickled):
                    self._waiting = None
            return (found[0] if found else None), False
        found += child.receive(self._options)  # what it sent before it died counts
        self._bury(child)
        if found:
            return found[0], False
        if child.task is not None:
            return child.obituary(self._source, self._options), True
        if not child.is_ready:
            self._bad_starts += 1
            if self._bad_starts >= MAX_BAD_STARTS or child.has_refused:
                self._refusal = (
                    f"worker processes do not start on {socket.gethostname()}: {child.cause(self._options)}; the "
                    "function must stand in a module that can be imported there"
                )
        return None, False

    def _bury(self, child: Child) -> None:
        child.bury()
        self._child = None


def _module_path(wanted: tuple[str, ...]) -> list[str]:
    """Return where the child looks for modules: as this machine does, then where the driver does."""
    own = [entry for entry in sys.path if "/site-packages/ray/" not in entry]
    return own + [entry for entry in wanted if entry not in own and Path(entry).exists()]

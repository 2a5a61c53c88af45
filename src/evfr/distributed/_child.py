"""One child process as its supervisor sees it: the pipes, the limits, and what killed it."""

from __future__ import annotations

import contextlib
import os
import pickle
import selectors
import signal
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from evfr._core.types import Problem
from evfr.distributed._boundary import ExecutionOptions, Outcome, run_item
from evfr.errors import ProblemCode, WorkerError

__all__ = ["TICK_SECONDS", "Child", "unpacked"]

_START_SECONDS = 300.0
TICK_SECONDS = 0.05
_READ_BYTES = 1 << 20
_TAIL_BYTES = 8192


class Child:
    """A worker process, the pipes to it, and what it is doing.

    Attributes
    ----------
    task : tuple of int or None
        (item index, attempts) of what it works on.
    is_ready : bool
        Whether it has loaded the function.
    """

    def __init__(self, setup: bytes, selector: selectors.BaseSelector) -> None:
        self.task: tuple[int, int] | None = None
        self.is_ready = False
        self._selector = selector
        self._buffer = bytearray()
        self._is_eof = self._has_worked = False
        self._silent = 0.0
        self._killed_for: ProblemCode | None = None
        self._tail = ""
        self._log = tempfile.TemporaryFile()  # noqa: SIM115  (closed by bury)
        self._pipe, far_end = os.pipe()
        script = str(Path(__file__).with_name("_worker.py"))
        try:
            self._process = subprocess.Popen(
                [sys.executable, script, str(os.getpid()), str(far_end)],
                bufsize=0,
                stdin=subprocess.PIPE,
                stdout=self._log,  # native libraries shout: never into the terminal of the parent
                stderr=self._log,
                pass_fds=(far_end,),
                start_new_session=True,  # Ctrl-C reaches the supervisor only
            )
        except (OSError, ValueError) as error:
            os.close(self._pipe)
            self._log.close()
            raise WorkerError(f"cannot start a worker process: {error}; use fewer jobs") from error
        finally:
            os.close(far_end)
        os.set_blocking(self._pipe, False)
        selector.register(self._pipe, selectors.EVENT_READ, self)
        self._send(setup)

    @property
    def has_refused(self) -> bool:
        """Whether it ended by itself, without a signal."""
        return self._process.returncode is not None and self._process.returncode >= 0

    def give(self, index: int, attempts: int, source: str, pickled: bytes) -> bool:
        """Send one item to the idle child; False if it has died meanwhile."""
        self._log.truncate(0)
        self._log.seek(0)
        if not self._send(pickle.dumps((index, attempts, source, pickled), protocol=5)):
            return False
        self.task = (index, attempts)
        self._has_worked = True
        self._silent = 0.0
        return True

    def receive(self, options: ExecutionOptions) -> Iterator[Outcome]:
        """Read what has come, tell the progress, yield the outcome if it is complete, its value still pickled."""
        while not self._is_eof:
            try:
                data = os.read(self._pipe, _READ_BYTES)
            except BlockingIOError:
                break
            self._silent = 0.0
            self._buffer += data
            if not data:
                self._is_eof = True
                self._selector.unregister(self._pipe)
        while len(self._buffer) >= 8:
            end = 8 + struct.unpack_from("<Q", self._buffer)[0]
            if len(self._buffer) < end:
                break
            kind, *content = pickle.loads(bytes(self._buffer[8:end]))
            del self._buffer[:end]
            if kind == "ready":
                self.is_ready = True
            elif kind == "beat" and self.task is not None and options.on_progress is not None:
                options.on_progress(self.task[0], *content)
            elif kind == "outcome":
                self.task = None
                yield content[0]

    def watch(self, step: float, options: ExecutionOptions) -> None:
        """Kill the child if it has been silent for too long or has grown too large."""
        self._silent += step
        is_working = self.task is not None
        longest = options.timeout_seconds if self.is_ready else _START_SECONDS
        if longest is not None and self._silent > longest and (is_working or not self.is_ready):
            self._killed_for = ProblemCode.E_TIMEOUT
        elif is_working and options.memory_limit_mb and self._resident_mb() > options.memory_limit_mb:
            self._killed_for = ProblemCode.E_MEMORY
        if self._killed_for is not None:
            self.kill()

    def is_fat(self, options: ExecutionOptions) -> bool:
        """Return whether an idle child that has worked fills half of what an item may use."""
        limit = options.memory_limit_mb
        return limit is not None and self._has_worked and self._resident_mb() > limit / 2

    def is_dead(self) -> bool:
        """Return whether the process has ended; it is not reaped, so that its id stays its own."""
        if self._process.returncode is not None:
            return True
        try:
            return os.waitid(os.P_PID, self._process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None
        except ChildProcessError:
            return True  # the program ignores SIGCHLD, so the system has reaped it

    def kill(self) -> None:
        """Kill the process and all it started."""
        if self._process.returncode is None:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self._process.pid, signal.SIGKILL)

    def hang_up(self) -> None:
        """Tell the idle child that no more comes."""
        assert self._process.stdin is not None
        self._process.stdin.close()

    def wait(self, seconds: float) -> None:
        """Wait until the process has ended; TimeoutError if it does not."""
        deadline = time.monotonic() + seconds
        while not self.is_dead():
            if time.monotonic() > deadline:
                raise TimeoutError
            time.sleep(0.005)

    def bury(self) -> None:
        """Make sure that the process and all it started are gone, and free what it held."""
        if self._log.closed:
            return
        self.kill()
        self.hang_up()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(10)
        self._log.seek(0, os.SEEK_END)
        self._log.seek(max(0, self._log.tell() - _TAIL_BYTES))
        self._tail = self._log.read().decode("utf-8", "backslashreplace")
        self._log.close()
        if not self._is_eof:
            self._selector.unregister(self._pipe)
        os.close(self._pipe)

    def cause(self, options: ExecutionOptions) -> str:
        """Say in one clause what ended the buried child, with the last line it printed."""
        status = self._process.returncode
        if self._killed_for is ProblemCode.E_TIMEOUT:
            limit = options.timeout_seconds if self.is_ready else _START_SECONDS
            text = f"no progress for {limit:g} seconds"
        elif self._killed_for is ProblemCode.E_MEMORY:
            text = f"it needs more than the memory limit of {options.memory_limit_mb} MiB"
        elif status is not None and status >= 0:
            text = f"its process ended with exit status {status}"
        elif status == -signal.SIGKILL:
            text = (
                "its process was killed by SIGKILL (as the system does when memory is short: use fewer jobs)"
            )
        else:
            text = f"its process was killed by {_signal_name(-(status or 0))}"
        lines = [line for line in self._tail.splitlines() if line.strip()]
        last = "".join(c if c.isprintable() else " " for c in lines[-1].strip())[:200] if lines else ""
        return f"{text}; its last output was {last!r}" if last else text

    def obituary(self, source: str, options: ExecutionOptions) -> Outcome:
        """Return the outcome of the item that the buried child, and others before it, died of."""
        assert self.task is not None
        index, attempts = self.task
        times = "" if attempts == 1 else f"; given up after {attempts} tries"
        code = self._killed_for or ProblemCode.E_CRASH
        problem = Problem(code, self.cause(options) + times, source)
        return Outcome(index, None, problem, attempts, self._tail or None)

    def _send(self, data: bytes) -> bool:
        assert self._process.stdin is not None
        view = memoryview(data)
        try:
            while view:
                view = view[os.write(self._process.stdin.fileno(), view) :]
        except BrokenPipeError:
            return False
        return True

    def _resident_mb(self) -> float:
        try:
            pages = int(Path(f"/proc/{self._process.pid}/statm").read_text().split()[1])
        except (OSError, IndexError):
            return 0.0
        return pages * os.sysconf("SC_PAGE_SIZE") / (1 << 20)


def unpacked(outcome: Outcome) -> Outcome:
    """Return what a child sent with its value unpickled; where that fails, it is the item's problem."""
    if outcome.problem is not None:
        return outcome

    def unpickle(data: bytes, _heartbeat: Any) -> Any:
        return pickle.loads(data)

    return run_item(
        unpickle, outcome.item_index, outcome.value, lambda _d, _t: None, attempts=outcome.attempts
    )


def _signal_name(number: int) -> str:
    try:
        name = signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
    text = signal.strsignal(number)
    return f"{name} ({text})" if text else name

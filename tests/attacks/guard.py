"""What every attack is held to: no connection, nothing changed outside its folder, little memory, little time."""

from __future__ import annotations

import contextlib
import os
import resource
import signal
import socket
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from evfr.cli import main
from evfr.errors import EvfrError

__all__ = ["Listener", "Outside", "bounded", "cli", "refused"]

DECOYS = ("gs", "gsw", "ffmpeg", "ffprobe", "curl", "wget", "git", "xdg-open")
"""Programs that careless readers call; where one is called here, it leaves a mark."""


class Listener:
    """Ports on this machine that nobody may connect to.

    The system itself completes a connection that is never accepted, so that no thread has to run: whoever comes is
    found when the connections are counted.
    """

    def __init__(self) -> None:
        self._streams = [socket.create_server(("127.0.0.1", 0), backlog=16) for _ in range(4)]
        self._packets = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._packets.bind(("127.0.0.1", 0))
        for each in (*self._streams, self._packets):
            each.setblocking(False)
        self.http, self.https, self.rtsp, self.tcp = (one.getsockname()[1] for one in self._streams)
        self.udp = self._packets.getsockname()[1]

    def count(self) -> int:
        """Return how many came since the last count."""
        found = 0
        for one in self._streams:
            with contextlib.suppress(BlockingIOError):
                while True:
                    one.accept()[0].close()
                    found += 1
        with contextlib.suppress(BlockingIOError):
            while True:
                self._packets.recv(1)
                found += 1
        return found

    def close(self) -> None:
        for each in (*self._streams, self._packets):
            each.close()


class Outside:
    """Files that no attack may touch, in a folder where nothing may appear."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir()
        (folder / "bin").mkdir()
        for name in DECOYS:
            program = folder / "bin" / name
            program.write_text(f"#!/bin/sh\ntouch '{folder}/called-{name}'\n")
            program.chmod(0o755)
        self.secret = folder / "secret.txt"
        self.secret.write_text("SENTINEL: who shows this has read what he was not given\n")
        self.picture = folder / "secret.png"
        from attacks.makers import png

        self.picture.write_bytes(png(8, 8))
        self.mark = folder / "mark"  # what a payload would make

    def state(self) -> dict[str, tuple[int, int, bytes]]:
        """Return mode, time and content of everything in the folder above the attack's own, which is left out."""
        found = {}
        for base, folders, files in os.walk(self.folder.parent):
            folders[:] = [name for name in folders if Path(base) != self.folder.parent or name != "work"]
            for name in (*folders, *files):
                path = Path(base) / name
                told = path.lstat()
                data = path.read_bytes() if stat.S_ISREG(told.st_mode) else b""
                found[str(path)] = (told.st_mode, told.st_mtime_ns if data else 0, data)
        return found


@contextlib.contextmanager
def bounded(megabytes: int = 512, seconds: float = 10.0) -> Iterator[None]:
    """Let the block take so much more memory, and so many seconds of work."""
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    status = Path("/proc/self/status")
    if status.exists():
        now = int(status.read_text().split("VmSize:")[1].split()[0]) << 10
        resource.setrlimit(resource.RLIMIT_AS, (now + (megabytes << 20), hard))

    def late(*_: object) -> None:
        raise AssertionError(f"it took more than {seconds:g} s")

    # Seconds of work, so that a busy machine fails no test; and of waiting, for whoever waits for an answer.
    timers = {
        signal.SIGPROF: (signal.ITIMER_PROF, seconds),
        signal.SIGALRM: (signal.ITIMER_REAL, 12 * seconds),
    }
    before = {number: signal.signal(number, late) for number in timers}
    for timer, most in timers.values():
        signal.setitimer(timer, most)
    try:
        yield
    finally:
        for number, (timer, _) in timers.items():
            signal.setitimer(timer, 0)
            signal.signal(number, before[number])
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))


def refused(
    call: Callable[[], Any],
    match: str,
    kind: type[Exception] | tuple[type[Exception], ...] = EvfrError,
    **limits: float,
) -> str:
    """See that a call is refused by one of our errors, in one short line; return its text."""
    with bounded(**limits), pytest.raises(kind, match=match) as caught:
        call()
    text = str(caught.value)
    assert len(text) < 1500
    assert "SENTINEL" not in text
    return text


def cli(*words: object) -> int:
    """Run a command line in this process; return its exit code."""
    with pytest.raises(SystemExit) as ended:
        main([str(word) for word in words])
    return int(ended.value.code or 0)

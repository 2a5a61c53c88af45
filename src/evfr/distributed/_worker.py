"""The child's side of the ``processes`` executor; run as a script, talks pickles with its supervisor.

Descriptor 0 brings first the set-up, then one task after the other; what goes back over the descriptor named
on the command line is a length (8 bytes, little-endian) and a pickle.
"""

from __future__ import annotations

import contextlib
import importlib
import os
import pickle
import signal
import struct
import sys
import time
from typing import Any

_BEAT_SECONDS = 0.05
_PR_SET_PDEATHSIG = 1
LOADING = "EVFR_WORKER_IS_LOADING"


def main() -> None:
    """Serve tasks until the supervisor closes its end."""
    parent, descriptor = int(sys.argv[1]), int(sys.argv[2])
    _die_with(parent)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the supervisor alone decides what Ctrl-C means
    os.set_inheritable(descriptor, False)
    tasks = os.fdopen(os.dup(0), "rb")
    with open(os.devnull, "rb") as nothing:  # noqa: PTH123  (starts without pathlib)
        os.dup2(nothing.fileno(), 0)

    def send(*message: Any) -> None:
        data = pickle.dumps(message, protocol=5)
        view = memoryview(struct.pack("<Q", len(data)) + data)
        while view:
            view = view[os.write(descriptor, view) :]

    setup = pickle.load(tasks)
    sys.path[:] = setup["path"]
    if setup["main"]:
        # Functions of the user's script: as multiprocessing does it, under a name that is not "__main__".
        from multiprocessing import spawn

        os.environ[LOADING] = "1"
        spawn.prepare(setup["main"])
        del os.environ[LOADING]
    from evfr.distributed._boundary import run_item

    fn = pickle.loads(setup["fn"])
    dumps = importlib.import_module(setup["pickler"]).dumps
    send("ready")

    last = 0.0

    def heartbeat(done: int, total: int | None) -> None:
        nonlocal last
        now = time.monotonic()
        if now - last >= _BEAT_SECONDS or done == total:
            last = now
            send("beat", done, total)

    def call(pickled: bytes, heartbeat: Any) -> bytes:
        # Inside the boundary: what does not pickle is this item's problem.
        data: bytes = dumps(fn(pickle.loads(pickled), heartbeat), protocol=5)
        return data

    while True:
        try:
            index, attempts, source, pickled = pickle.load(tasks)
        except EOFError:
            return
        last = 0.0
        send("outcome", run_item(call, index, pickled, heartbeat, attempts=attempts, source=source))


def _die_with(parent: int) -> None:
    if sys.platform == "linux":
        import ctypes

        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        # If memory runs out, the kernel shall take a worker, which is replaced, and not its supervisor.
        with contextlib.suppress(OSError), open("/proc/self/oom_score_adj", "w") as file:  # noqa: PTH123  (starts without pathlib)
            file.write("500")
    if os.getppid() != parent:
        os._exit(1)


if __name__ == "__main__":
    main()

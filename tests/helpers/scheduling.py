"""Undo what an encoder does to the process that calls it.

SVT-AV1 makes its caller's thread a real-time one (SCHED_FIFO, priority 99) when it runs as root, and leaves it so. What
the test then starts inherits that: a browser or a cluster that spins keeps everything else from running at all.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["is_usual", "usual_scheduling"]


def is_usual() -> bool:
    """Whether this thread shares the processor as all others do."""
    return not hasattr(os, "sched_getscheduler") or os.sched_getscheduler(0) == os.SCHED_OTHER


@contextmanager
def usual_scheduling() -> Iterator[None]:
    """Share the processor as before when the block ends."""
    try:
        yield
    finally:
        if not is_usual():
            os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))

"""One item after the other, in this process: simple to debug, nothing to start."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from evfr.distributed._boundary import ExecutionOptions, Heartbeat, Outcome, run_item

__all__ = ["run_serial"]


def run_serial(
    fn: Callable[[Any, Heartbeat], Any], items: Sequence[Any], options: ExecutionOptions, /
) -> Iterator[Outcome]:
    """Yield the outcomes in input order.

    Parameters
    ----------
    fn : callable
        ``fn(item, heartbeat) -> value``.
    items : sequence
        The inputs.
    options : ExecutionOptions
        Only ``on_progress`` means something here: nothing can stop a call in its own process, so the limits
        are those of child processes.

    Yields
    ------
    Outcome
    """
    for index, item in enumerate(items):

        def heartbeat(done: int, total: int | None, index: int = index) -> None:
            if options.on_progress is not None:
                options.on_progress(index, done, total)

        yield run_item(fn, index, item, heartbeat)

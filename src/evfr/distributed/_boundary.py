"""The per-video boundary: run one item, and turn whatever goes wrong into a recorded problem."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from evfr._core.types import Problem
from evfr.errors import EvfrError, ProblemCode, VideoError

__all__ = ["ExecutionOptions", "Executor", "Heartbeat", "Outcome", "run_item", "source_name"]

Heartbeat = Callable[[int, "int | None"], None]
"""``heartbeat(done, total)``: progress of one item, and proof that it is alive."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """Say how one item ended.

    Attributes
    ----------
    item_index : int
        Its place in the input.
    value : object or None
        What the function returned; None where it failed.
    problem : Problem or None
        Why it failed; None where it did not.
    attempts : int
        How often it was started, 1 or more.
    traceback : str or None
        For people who debug: the Python trace of a bug, or the last output of a process that died.
    """

    item_index: int
    value: Any = field(repr=False)
    problem: Problem | None
    attempts: int = 1
    traceback: str | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        if self.item_index < 0 or self.attempts < 1:
            raise ValueError(
                "item_index must be 0 or more and attempts 1 or more, "
                f"got {self.item_index} and {self.attempts}"
            )
        if self.problem is not None and self.value is not None:
            raise ValueError("an outcome with a problem has no value; pass value=None")

    @property
    def is_ok(self) -> bool:
        """Whether the function returned."""
        return self.problem is None


@dataclass(frozen=True, slots=True)
class ExecutionOptions:
    """What an executor is told; see `map_videos` for the meaning of each.

    Attributes
    ----------
    jobs : int
        How many items at once, 1 or more.
    memory_limit_mb : int or None
        Resident memory of one worker, in MiB.
    timeout_seconds : float or None
        Longest silence of one item.
    tries : int
        How often an item whose worker dies is started.
    on_progress : callable or None
        ``on_progress(item_index, done, total)``.
    has_default_jobs : bool
        Whether the caller left ``jobs`` open, so that it is only the number of cores here: an executor with
        other machines may use all of theirs.
    gpus_per_worker : float
        GPUs that each worker gets for itself, 0 or more; a part of one may be asked for.
    """

    jobs: int = 1
    memory_limit_mb: int | None = None
    timeout_seconds: float | None = None
    tries: int = 3
    on_progress: Callable[[int, int, int | None], None] | None = None
    has_default_jobs: bool = False
    gpus_per_worker: float = 0.0

    def __post_init__(self) -> None:
        for name in ("jobs", "tries"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be 1 or more, got {getattr(self, name)}")
        for name in ("memory_limit_mb", "timeout_seconds"):
            value = getattr(self, name)
            if value is not None and not value > 0:
                raise ValueError(f"{name} must be positive or None, got {value}")
        if not self.gpus_per_worker >= 0:
            raise ValueError(f"gpus_per_worker must be 0 or more, got {self.gpus_per_worker}")


class Executor(Protocol):
    """What `map_videos` takes as ``executor``: yield one `Outcome` for each item, in any order."""

    def __call__(
        self, fn: Callable[[Any, Heartbeat], Any], items: Sequence[Any], options: ExecutionOptions, /
    ) -> Iterator[Outcome]:
        """Run ``fn(item, heartbeat)`` for all items; call `run_item` where the work happens."""


def run_item(
    fn: Callable[[Any, Heartbeat], Any],
    item_index: int,
    item: Any,
    heartbeat: Heartbeat,
    *,
    attempts: int = 1,
    source: str | None = None,
) -> Outcome:
    """Run one item; an exception becomes the item's problem and never stops the others.

    Parameters
    ----------
    fn : callable
        ``fn(item, heartbeat) -> value``.
    item_index : int
        The item's place in the input.
    item : object
        What ``fn`` gets.
    heartbeat : callable
        What ``fn`` gets to report progress.
    attempts : int
        How often this item was started, with this time.
    source : str, optional
        What a problem calls the item; by default see `source_name`.

    Returns
    -------
    Outcome
        With a value or with a problem. ``KeyboardInterrupt`` and ``SystemExit`` pass through.
    """
    name = source_name(item, item_index) if source is None else source
    try:
        return Outcome(item_index, fn(item, heartbeat), None, attempts)
    except VideoError as error:
        problem, trace = error.problem, traceback.format_exc()
    except EvfrError as error:
        problem, trace = Problem(ProblemCode.E_FAILED, str(error), name), traceback.format_exc()
    except MemoryError:
        text = "the system refused more memory; use fewer jobs or a smaller video"
        problem, trace = Problem(ProblemCode.E_MEMORY, text, name), traceback.format_exc()
    except Exception as error:  # noqa: BLE001  (the one place: a bug on one video must not stop the others)
        text = f"a bug: {type(error).__name__}: {error}; run with --debug and report the trace"
        problem, trace = Problem(ProblemCode.E_CRASH, text, name), traceback.format_exc()
    return Outcome(item_index, None, problem, attempts, trace)


def source_name(item: Any, item_index: int) -> str:
    """Return what a problem calls the item: its ``video_id``, itself if it is a path, or its number.

    Parameters
    ----------
    item : object
        What is mapped over.
    item_index : int
        Its place in the input.

    Returns
    -------
    str
        Printable.
    """
    name = getattr(item, "video_id", None)
    if isinstance(name, str):
        return name
    if isinstance(item, str) or hasattr(item, "__fspath__"):
        return str(item).encode("utf-8", "backslashreplace").decode()
    return f"item {item_index}"

"""Run one function over many videos with progress, and give each failure its video's name."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from evfr.distributed import Outcome

__all__ = ["run_videos"]


def run_videos(
    fn: Callable[[Any, Callable[[int, int | None], None]], Any],
    items: Sequence[Any],
    names: Sequence[str],
    *,
    label: str,
    executor: str,
    jobs: int | None,
    memory_limit_mb: int | None,
    timeout_seconds: float | None,
) -> list[Outcome]:
    """Map ``fn`` over ``items``; return outcomes in input order, their problems named by ``names``.

    Parameters
    ----------
    fn : callable
        ``fn(item, heartbeat)``, picklable.
    items : sequence
        One per video.
    names : sequence of str
        Video ids, for progress and problems.
    label : str
        What is being done, for the progress line.
    executor, jobs, memory_limit_mb, timeout_seconds
        As in `evfr.distributed.map_videos`.

    Returns
    -------
    list of Outcome
        One per item.
    """
    from evfr._core.progress import current_progress
    from evfr.distributed import map_videos

    progress = current_progress()
    progress.start(label, len(items))
    shown = [0.0] * len(items)

    def on_progress(index: int, done: int, total: int | None) -> None:
        # A video counts for one step; inside it only a known length can move the bar, and never past its end.
        part = min(done / total, 0.999) if total else 0.0
        if part > shown[index]:
            progress.advance(part - shown[index], f"{names[index]} ({done} frames)")
            shown[index] = part
        else:
            progress.advance(0, f"{names[index]} ({done} frames)")

    def on_outcome(outcome: Outcome) -> None:
        progress.advance(1.0 - shown[outcome.item_index], names[outcome.item_index])

    try:
        outcomes = map_videos(
            fn,
            items,
            executor=executor,
            jobs=jobs,
            memory_limit_mb=memory_limit_mb,
            timeout_seconds=timeout_seconds,
            on_progress=on_progress,
            on_outcome=on_outcome,
        )
    finally:
        progress.finish()
    return [
        outcome
        if outcome.problem is None
        else replace(outcome, problem=replace(outcome.problem, source=names[outcome.item_index]))
        for outcome in outcomes
    ]

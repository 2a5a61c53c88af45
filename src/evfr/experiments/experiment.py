"""`evfr experiment plan|run|report`: the three steps of an experiment under one name."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from evfr.experiments._make_plan import plan
from evfr.experiments._report import report
from evfr.experiments._run import run

__all__ = ["ACTIONS", "experiment"]

ACTIONS: dict[str, Callable[..., Any]] = {"plan": plan, "run": run, "report": report}
"""The steps: ``(folder, ...)``; planning takes the videos."""


def experiment(
    action: str,
    folder: Path,
    videos: Sequence[str | Path] = (),
    *,
    action_options: Mapping[str, object] | None = None,
) -> Any:
    """Prove what reduced data is worth: plan a grid of trainings, run what is missing, report tables and verdicts.

    Parameters
    ----------
    action : str
        ``plan`` writes arms, frames and predicted time; ``run`` trains the cells that have no row yet; ``report``
        writes tables, figures and verdicts.
    folder : Path
        Of the experiment.
    videos : sequence of path
        With ``plan``: the labelled videos, training and test alike.
    action_options : mapping or None
        Options of the step.

    Returns
    -------
    PlanResult, RunResult or ReportResult
        What the step returns.

    Raises
    ------
    InputError
        If a file is wrong or missing.
    ValueError
        If there is no such step or option, or videos are given to another step.

    Examples
    --------
    >>> import evfr
    >>> evfr.experiment("run", "grid", action_options={"workers": 2})  # doctest: +SKIP
    """
    import inspect

    if action not in ACTIONS:
        raise ValueError(f"action must be one of {', '.join(ACTIONS)}, got {action!r}")
    options: dict[str, Any] = dict(action_options or {})
    own = [name for name in inspect.signature(ACTIONS[action]).parameters if name not in ("folder", "videos")]
    if unknown := [name for name in options if name not in own]:
        raise ValueError(f"{action} has no option {unknown[0]!r}; it has {', '.join(own)}")
    if action == "plan":
        return plan(Path(folder), videos, **options)
    if videos:
        raise ValueError(f"{action} takes the folder alone; videos belong to plan, got {videos[0]}")
    return ACTIONS[action](Path(folder), **options)

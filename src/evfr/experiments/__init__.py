"""Prove what reduced data is worth: the papers' protocols as grids, resumable runs, tables and verdicts.

`plan` writes a grid of arms (which frames, trained how) and seeds, with the frames of every cell and the class check;
`run` trains what has no row yet, on any number of workers and machines, and survives being killed; `report` turns
rows into tables, figures and verdicts in words. The statistics are pure functions of scores: `paired`,
`hierarchical_bootstrap`, `judge`, and `fit_learning_curve`, which `evfr.advise` asks how many labels are enough.

To add a protocol: write a function that returns arms and comparisons in ``_arms.py``, and one line where
``_plan_parts.py`` chooses. Names are loaded when they are asked for, since the command line reads the signatures here.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from evfr.experiments._advise_result import AdviseResult
    from evfr.experiments._arms import Arm, Comparison
    from evfr.experiments._command import run_command
    from evfr.experiments._curves import Advice, Curve, fit_learning_curve, frames_for
    from evfr.experiments._make_plan import PlanResult, plan
    from evfr.experiments._plan import Cell, Plan, read_plan
    from evfr.experiments._plan_write import write_experiment
    from evfr.experiments._report import ReportResult, report
    from evfr.experiments._run import RunResult, run
    from evfr.experiments._statistics import (
        Interval,
        PairedDifference,
        hierarchical_bootstrap,
        hierarchical_interval,
        paired,
    )
    from evfr.experiments._surface import Surface, fit_surface
    from evfr.experiments._verdicts import Verdict, judge, seeds_needed

_EXPORTS = {
    "AdviseResult": "_advise_result",
    "Advice": "_curves",
    "Arm": "_arms",
    "Cell": "_plan",
    "Comparison": "_arms",
    "Curve": "_curves",
    "Interval": "_statistics",
    "PairedDifference": "_statistics",
    "Plan": "_plan",
    "PlanResult": "_make_plan",
    "ReportResult": "_report",
    "RunResult": "_run",
    "Surface": "_surface",
    "Verdict": "_verdicts",
    "fit_learning_curve": "_curves",
    "fit_surface": "_surface",
    "frames_for": "_curves",
    "hierarchical_bootstrap": "_statistics",
    "hierarchical_interval": "_statistics",
    "judge": "_verdicts",
    "paired": "_statistics",
    "plan": "_make_plan",
    "read_plan": "_plan",
    "report": "_report",
    "run": "_run",
    "run_command": "_command",
    "seeds_needed": "_verdicts",
    "write_experiment": "_plan_write",
}

__all__ = [
    "Advice",
    "AdviseResult",
    "Arm",
    "Cell",
    "Comparison",
    "Curve",
    "Interval",
    "PairedDifference",
    "Plan",
    "PlanResult",
    "ReportResult",
    "RunResult",
    "Surface",
    "Verdict",
    "fit_learning_curve",
    "fit_surface",
    "frames_for",
    "hierarchical_bootstrap",
    "hierarchical_interval",
    "judge",
    "paired",
    "plan",
    "read_plan",
    "report",
    "run",
    "run_command",
    "seeds_needed",
    "write_experiment",
]


def __getattr__(name: str) -> Any:
    if name in _EXPORTS:
        return getattr(importlib.import_module(f"evfr.experiments.{_EXPORTS[name]}"), name)
    raise AttributeError(f"module 'evfr.experiments' has no attribute {name!r}")

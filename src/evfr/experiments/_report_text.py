"""An experiment's results in words: Markdown for people and for docs, CSV for everything else."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from evfr.experiments._plan import Plan
    from evfr.experiments._table import ArmSummary, Judged

__all__ = ["KINDS", "arm_rows", "csv_text", "interval", "markdown", "no_signal", "of_clips"]

KINDS = {
    "as published": "As the papers compare",
    "like for like": "Like for like: the same augmentation on both sides",
    "ours": "Comparisons that we add",
}


def interval(low: float, high: float, digits: int = 3) -> str:
    """Return an interval for people; a dash where there is none."""
    if not (math.isfinite(low) and math.isfinite(high)):
        return "-"
    ends = [round(end, digits) + 0.0 for end in (low, high)]  # -0.0 + 0.0 is 0.0
    return f"{ends[0]:.{digits}f} to {ends[1]:.{digits}f}"


def no_signal(summaries: Sequence[ArmSummary], test: str) -> str:
    """Say that nothing was learnt, where no arm scores above its own predictions on other pictures; else nothing."""
    mine = [item for item in summaries if item.test == test]
    if not mine or any(item.has_signal for item in mine):
        return ""
    if all(item.seeds < 2 for item in mine):
        return "One seed shows no signal and no lack of it: run more seeds before the figures are taken for anything."
    best = max(mine, key=lambda item: -math.inf if math.isnan(item.mean) else item.mean)
    return (
        f"No signal: no arm is proven to score above what its predictions score on other pictures (the best, "
        f"{best.arm}: {best.mean:.3f} against {best.blind:.3f}). Comparisons of these arms mean nothing; look at the "
        "labels, or train longer."
    )


def markdown(
    plan: Plan,
    summaries: Sequence[ArmSummary],
    verdicts: Sequence[Judged],
    *,
    score: str,
    margin: float,
    done: int,
    facts: Sequence[tuple[str, str]],
    figures: Sequence[str] = (),
) -> str:
    """Return the report as Markdown: what was run, arms with intervals, verdicts in words.

    Parameters
    ----------
    plan : Plan
        The experiment.
    summaries, verdicts
        Of `summarise`.
    score : str
        What arms are compared by.
    margin : float
        Of the verdicts.
    done : int
        Cells that are done.
    facts : sequence of (str, str)
        What else was noted, such as machine and versions.
    figures : sequence of str
        Names of picture files beside the report.

    Returns
    -------
    str
        The text.
    """
    lines = [f"# Experiment: {plan.protocol} with {plan.model}", ""]
    if done < len(plan.cells):
        lines += [f"**Unfinished: {done} of {len(plan.cells)} cells.** Every figure may still change.", ""]
    lines += [f"- {name}: {value}" for name, value in facts]
    lines += [""]
    for test in plan.tests:
        lines += [f"## Test: {test} videos", ""]
        if text := no_signal(summaries, test):
            lines += [f"**{text}**", ""]
        lines += _arm_table([item for item in summaries if item.test == test], score)
        for kind, title in KINDS.items():
            mine = [item for item in verdicts if item.test == test and item.kind == kind]
            if mine:
                lines += [f"### {title}", ""]
                lines += [f"- {item.verdict.text}{of_clips(item)}" for item in mine]
                lines += [""]
    lines += [f"![{name}]({name})" for name in figures]
    lines += [
        "",
        f"Scores are {score}; intervals are 95 % over seeds and test clips (Student's t on seeds, and on the spread "
        f'that weighted test clips add). "Not worse" is: the one-sided 95 % bound lies above -{margin:g}, the margin '
        "of the plan. Arms share seeds, and differences are paired. Each verdict stands alone: with many of them, "
        "some are wrong.",
        "",
    ]
    return "\n".join(lines)


def csv_text(summaries: Sequence[ArmSummary]) -> str:
    """Return what arms reach, as CSV."""
    sink = io.StringIO()
    writer = csv.writer(sink, lineterminator="\n")
    names = ["test", "arm", "seeds", "n_frames", "n_objects", "n_clips", "mean", "low", "high", "blind"]
    figures = list(summaries[0].figures)
    writer.writerow([*names, *figures])
    for item in summaries:
        row: list[Any] = [getattr(item, name) for name in names]
        row += [item.figures.get(name, math.nan) for name in figures]
        writer.writerow(
            [
                "" if isinstance(value, float) and not math.isfinite(value) else _no_formula(value)
                for value in row
            ]
        )
    return sink.getvalue()


def _no_formula(value: Any) -> Any:
    """Return a text that no spreadsheet takes for a formula (a quote before it makes it text) or for two rows."""
    if not isinstance(value, str):
        return value
    text = "".join(char if char.isprintable() else repr(char)[1:-1] for char in value)
    return f"'{text}" if text.startswith(("=", "+", "-", "@")) else text


def arm_rows(summaries: Sequence[ArmSummary], score: str) -> list[list[str]]:
    """Return what arms reach as cells of a table, its head first."""
    others = [name for name in summaries[0].figures if name != score]
    rows = [["arm", "frames", "objects", "seeds", score, "95 % interval", *others, "on other pictures"]]
    for item in summaries:
        figures = [item.figures.get(name, math.nan) for name in others]
        rows.append(
            [
                item.arm,
                f"{item.n_frames:g}",
                f"{item.n_objects:.0f}",
                str(item.seeds),
                f"{item.mean:.3f}",
                interval(item.low, item.high),
                *(f"{value:.3f}" for value in [*figures, item.blind]),
            ]
        )
    return rows


def of_clips(item: Judged) -> str:
    """Say where a verdict speaks of the test clips alone."""
    return "" if item.clip_count > 1 else " (these test clips alone)"


def _arm_table(summaries: Sequence[ArmSummary], score: str) -> list[str]:
    if not summaries:
        return ["No cell is done.", ""]
    head, *rows = ([cell.replace("|", "\\|") for cell in row] for row in arm_rows(summaries, score))
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    return [*lines, *("| " + " | ".join(row) + " |" for row in rows), ""]

"""`evfr experiment report`: tables, figures and verdicts of what was run."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from evfr.experiments._plan import Plan
    from evfr.experiments._table import ArmSummary, Judged

__all__ = ["ReportResult", "report"]


@dataclass(frozen=True, slots=True)
class ReportResult:
    """Hold what `report` found and wrote.

    Attributes
    ----------
    folder : Path
        Where the report is: ``report.html``, ``report.md``, ``results.parquet``, ``arms.csv`` and figures.
    score : str
        What arms are compared by.
    done, cell_count : int
        Cells that are done, of how many.
    arms : tuple of ArmSummary
        What each arm reaches.
    verdicts : tuple of Judged
        What is proven.
    notices : tuple of str
        What must be known first, such as that there is no signal.
    """

    folder: Path
    score: str
    done: int
    cell_count: int
    arms: tuple[ArmSummary, ...]
    verdicts: tuple[Judged, ...]
    notices: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON-ready dict."""
        from dataclasses import asdict

        return {
            "folder": str(self.folder),
            "score": self.score,
            "done": self.done,
            "cell_count": self.cell_count,
            "arms": [asdict(arm) for arm in self.arms],
            "verdicts": [asdict(verdict) for verdict in self.verdicts],
            "notices": list(self.notices),
        }

    def __str__(self) -> str:
        from evfr.experiments._report_text import interval

        lines = [f"{self.done} of {self.cell_count} cells", *self.notices]
        width = max(len(arm.arm) for arm in self.arms)
        for test in dict.fromkeys(arm.test for arm in self.arms):
            lines.append(f"test on {test} videos, {self.score}:")
            lines += [
                f"  {arm.arm:<{width}}  {arm.n_frames:>7g} frames  {arm.mean:.3f}  ({interval(arm.low, arm.high)})"
                for arm in self.arms
                if arm.test == test
            ]
            lines += [f"  {item.verdict.text}" for item in self.verdicts if item.test == test]
        return "\n".join([*lines, f"see {self.folder / 'report.html'}"])


def report(
    folder: Path,
    *,
    score: str | None = None,
    margin: float | None = None,
    draws: int = 200,
    no_figures: bool = False,
) -> ReportResult:
    """Write tables, figures and verdicts of the cells that are done, finished or not.

    Parameters
    ----------
    folder : Path
        Of the experiment; the report goes to ``report/`` in it.
    score : str or None
        What arms are compared by: ``mask_ap``, ``box_ap``; ``accuracy``, ``iou``, ``gscore``, ``mean_iou``. None is
        ``mask_ap`` or ``gscore``.
    margin : float or None
        Another margin than the plan's; the report then says that it was chosen afterwards.
    draws : int
        Weightings of the test clips; 0 speaks of these clips alone.
    no_figures : bool
        Draw nothing; figures need the extra ``plot``.

    Returns
    -------
    ReportResult
        Arms, verdicts and where they were written.

    Raises
    ------
    InputError
        If no cell is done, or a file of the experiment is damaged.
    MissingExtraError
        If matplotlib is not installed.
    ValueError
        If the score is not one that was measured, or a number is out of range.
    """
    import pyarrow.parquet as pq

    from evfr._core.atomic import atomic_file, atomic_write_bytes, make_folder
    from evfr.experiments._plan import read_plan
    from evfr.experiments._report_figures import draw_figures
    from evfr.experiments._report_page import page
    from evfr.experiments._report_text import csv_text, markdown, no_signal
    from evfr.experiments._score import FIGURES
    from evfr.experiments._table import read_rows, summarise

    folder = Path(folder)
    plan = read_plan(folder)
    allowed = ("mask_ap", "box_ap") if plan.kind == "instances" else FIGURES["pixels"]
    score = score or ("mask_ap" if plan.kind == "instances" else "gscore")
    if score not in allowed:
        raise ValueError(f"score must be one of {', '.join(allowed)} for {plan.model}, got {score!r}")
    if draws < 0:
        raise ValueError(f"draws must be 0 or more, got {draws}")
    table = read_rows(plan, folder)
    used = plan.margin if margin is None else margin
    summaries, verdicts = summarise(plan, folder, table, score=score, draws=draws, margin=used)
    out = folder / "report"
    make_folder(out)
    with atomic_file(out / "results.parquet") as file:
        pq.write_table(table, file)
    atomic_write_bytes(out / "arms.csv", csv_text(summaries).encode("utf-8"))
    figures = () if no_figures else draw_figures(plan, summaries, out, score=score)
    done = len({(row["arm"], row["seed"]) for row in table.select(["arm", "seed"]).to_pylist()})
    facts = _facts(plan, folder, used)
    common: dict[str, Any] = {"score": score, "margin": used, "done": done, "facts": facts}
    text = markdown(plan, summaries, verdicts, figures=[path.name for path in figures], **common)
    atomic_write_bytes(out / "report.md", text.encode("utf-8"))
    atomic_write_bytes(
        out / "report.html", page(plan, summaries, verdicts, figures=figures, **common).encode("ascii")
    )
    notices = tuple(text for test in plan.tests if (text := no_signal(summaries, test)))
    return ReportResult(
        folder=out,
        score=score,
        done=done,
        cell_count=len(plan.cells),
        arms=tuple(summaries),
        verdicts=tuple(verdicts),
        notices=notices,
    )


def _facts(plan: Plan, folder: Path, margin: float) -> Sequence[tuple[str, str]]:
    """Return what a reader needs to run it again: sources, recipe, machine, time."""
    from evfr.errors import InputError

    recipe = plan.recipe
    steps = sorted({plan.recipe_of(cell).iterations for cell in plan.cells})
    iterations = str(steps[0]) if len(steps) == 1 else f"{steps[0]} to {steps[-1]}, by the number of frames"
    facts = [
        (
            "training",
            f"{iterations} iterations, {recipe.optimizer}, {recipe.schedule}, peak {recipe.learning_rate:g}",
        ),
        ("model options", ", ".join(f"{k}={v}" for k, v in plan.model_options.items()) or "defaults"),
        ("seeds", f"{plan.seeds} of each arm, the same for all"),
        (
            "margin",
            f"{margin:g}"
            + ("" if margin == plan.margin else f", chosen afterwards; planned {plan.margin:g}"),
        ),
        *(
            (name, ", ".join(map(str, value)) if isinstance(value, list) else str(value))
            for name, value in plan.sources.items()
        ),
    ]
    logs = []
    for cell in plan.cells:
        path = folder / "logs" / f"{cell.file_name}.json"
        if path.exists():
            try:
                logs.append(json.loads(path.read_text(encoding="utf-8")))
            except ValueError as error:
                raise InputError(f"{path} is damaged ({error}); delete it") from error
    if logs:
        seconds = math.fsum(float(log["seconds"]) for log in logs)
        facts += [
            (name, ", ".join(sorted({str(log[name]) for log in logs})))
            for name in ("device", "threads", "host", "evfr")
        ]
        facts.append(("time", f"{seconds:.0f} s over {len(logs)} cells"))
    return facts

"""The rows of an experiment, what each arm reaches with its interval, and the verdicts."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from evfr.errors import InputError
from evfr.experiments._cell import SCHEMA, has_row, row_path, scores_path
from evfr.experiments._plan import Plan, load_clips
from evfr.experiments._score import FIGURES, InstanceScores, PixelClipScores
from evfr.experiments._statistics import clip_weights, hierarchical_interval
from evfr.experiments._verdicts import Verdict, judge

if TYPE_CHECKING:
    import pyarrow as pa
    from numpy.typing import NDArray

__all__ = ["ArmSummary", "Judged", "read_rows", "summarise"]

Key = tuple[str, str]


@dataclass(frozen=True, slots=True)
class ArmSummary:
    """Hold what one arm reaches on one test set.

    Attributes
    ----------
    arm, test : str
        Which.
    n_frames, n_objects, n_clips : float
        Training frames, objects on them and clips: means over the seeds.
    seeds : int
        Cells that are done.
    mean, low, high : float
        Score with its 95 % interval over seeds and test clips; infinite with one seed.
    blind : float
        Mean score of the same predictions on other pictures.
    has_signal : bool
        Whether the score is proven to be above that.
    figures : mapping of str to float
        Means of everything measured.
    """

    arm: str
    test: str
    n_frames: float
    n_objects: float
    n_clips: float
    seeds: int
    mean: float
    low: float
    high: float
    blind: float
    has_signal: bool
    figures: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Judged:
    """Hold one comparison on one test set.

    Attributes
    ----------
    arm, baseline, kind, test : str
        Which.
    verdict : Verdict
        What is proven.
    clip_count : int
        Test clips that the interval speaks of; 1 where it speaks of these clips alone.
    """

    arm: str
    baseline: str
    kind: str
    test: str
    verdict: Verdict
    clip_count: int


def read_rows(plan: Plan, folder: Path) -> pa.Table:
    """Read the rows of all cells that are done, in the order of the plan.

    Raises
    ------
    InputError
        If no cell is done, or a row cannot be read.
    """
    import pyarrow as pa

    from evfr._core.parquet_tables import read_parquet

    parts = []
    for cell in plan.cells:
        if has_row(folder, cell):
            path = row_path(folder, cell)
            try:
                part = read_parquet(path)
            except (OSError, pa.ArrowException) as error:
                raise InputError(f"{path} cannot be read ({error}); delete it and run again") from error
            if part.column_names != list(SCHEMA):
                raise InputError(f"{path} has other columns than this evfr writes; delete it and run again")
            parts.append(part)
    if not parts:
        raise InputError(f"{folder}: no cell is done; run it first: evfr experiment run {folder}")
    return pa.concat_tables(parts)


def summarise(
    plan: Plan, folder: Path, table: pa.Table, *, score: str, draws: int, margin: float
) -> tuple[list[ArmSummary], list[Judged]]:
    """Sum up arms, and judge the comparisons of the plan by common seeds and test clips.

    Parameters
    ----------
    plan : Plan
        The experiment.
    folder : Path
        Where its scores are.
    table : pyarrow.Table
        Of `read_rows`.
    score : str
        What arms are compared by.
    draws : int
        Of the bootstrap over test clips; 0 judges by seeds on these test clips alone.
    margin : float
        As in `judge`.

    Returns
    -------
    (list of ArmSummary, list of Judged)
        In the order of the plan, for each test set.
    """
    rows: dict[tuple[Key, int], Mapping[str, Any]] = {
        ((row["arm"], row["test"]), row["seed"]): row for row in table.to_pylist()
    }
    drawn = _Drawn(plan, folder, score, draws)
    summaries: list[ArmSummary] = []
    verdicts = []
    for test in plan.tests:
        for arm in plan.arms:
            done = [seed for seed in range(plan.seeds) if ((arm.name, test), seed) in rows]
            if done:
                mine = [rows[(arm.name, test), seed] for seed in done]
                summaries.append(_summary(mine, arm.name, test, score, drawn, done))
        for pair in plan.comparisons:
            names = (pair.arm, pair.baseline)
            sides = [
                np.array([_value(rows.get(((name, test), seed)), score) for seed in range(plan.seeds)])
                for name in names
            ]
            both = np.flatnonzero(np.isfinite(sides[0]) & np.isfinite(sides[1])).tolist()
            clip_sd, clip_degrees, clips = 0.0, None, 1
            if len(both) > 1 and drawn.clip_count(test) > 1:
                part = drawn.of(pair.arm, test, both) - drawn.of(pair.baseline, test, both)
                interval = hierarchical_interval(
                    (sides[0] - sides[1])[both], part, clips=drawn.clip_count(test)
                )
                if math.isfinite(interval.clip_sd):
                    clip_sd, clip_degrees = interval.clip_sd, interval.clip_degrees
                    clips = drawn.clip_count(test)
            verdict = judge(
                sides[0],
                sides[1],
                margin=margin,
                clip_sd=clip_sd,
                clip_degrees=clip_degrees,
                name_a=pair.arm,
                name_b=pair.baseline,
            )
            sure = [item for item in summaries if item.test == test and item.arm in names and item.seeds > 1]
            if len(both) > 1 and not any(item.has_signal for item in sure):
                told = verdict.text.removeprefix("undecided: ")
                text = f"undecided: neither arm shows a signal, so that this means nothing: {told}"
                verdict = replace(verdict, word="undecided", text=text, more_seeds=0)
            verdicts.append(Judged(pair.arm, pair.baseline, pair.kind, test, verdict, clips))
    return summaries, verdicts


class _Drawn:
    """Scores of cells under common weights of the test clips, made once for each cell."""

    def __init__(self, plan: Plan, folder: Path, score: str, draws: int) -> None:
        self._plan, self._folder, self._score, self._draws = plan, folder, score, draws
        self._lengths = {
            test: np.array([len(clip) for clip in load_clips(folder.absolute(), test)], np.int64)
            for test in plan.tests
        }
        self._known: dict[tuple[str, str, int], NDArray[np.float64]] = {}

    def clip_count(self, test: str) -> int:
        return len(self._lengths[test]) if self._draws else 1

    def of(self, arm: str, test: str, seeds: Sequence[int]) -> NDArray[np.float64]:
        """Return (draws, S) float64."""
        return np.stack([self._cell(arm, test, seed) for seed in seeds], axis=1)

    def _cell(self, arm: str, test: str, seed: int) -> NDArray[np.float64]:
        from evfr.experiments._plan import Cell

        key = (arm, test, seed)
        if key not in self._known:
            kind: Any = InstanceScores if self._plan.kind == "instances" else PixelClipScores
            path = scores_path(self._folder, Cell(arm, seed), test)
            scores = kind.load(path, self._lengths[test])
            weights = clip_weights(len(self._lengths[test]), self._draws)
            self._known[key] = np.array([scores.weighted(self._score, row) for row in weights])
        return self._known[key]


def _summary(
    rows: Sequence[Mapping[str, Any]], arm: str, test: str, score: str, drawn: _Drawn, seeds: Sequence[int]
) -> ArmSummary:
    values = np.array([_value(row, score) for row in rows])
    blind = np.array([_value(row, "blind") for row in rows])
    figures = {
        name: _mean([_value(row, name) for row in rows])
        for name in (*FIGURES["instances"], *FIGURES["pixels"])
        if any(row[name] is not None for row in rows)
    }
    low, high = -math.inf, math.inf
    if len(rows) > 1 and np.isfinite(values).all():
        if drawn.clip_count(test) > 1:
            whole = hierarchical_interval(values, drawn.of(arm, test, seeds), clips=drawn.clip_count(test))
            low, high = whole.low, whole.high
        else:
            alone = judge(values, np.zeros(len(values)), margin=0.0)
            low, high = alone.low, alone.high
    signal = judge(values, blind, margin=0.0)
    return ArmSummary(
        arm=arm,
        test=test,
        n_frames=_mean([row["n_frames"] for row in rows]),
        n_objects=_mean([row["n_objects"] for row in rows]),
        n_clips=_mean([row["n_clips"] for row in rows]),
        seeds=len(rows),
        mean=_mean(values),
        low=low,
        high=high,
        blind=_mean(blind),
        has_signal=signal.word == "better",
        figures=figures,
    )


def _value(row: Mapping[str, Any] | None, name: str) -> float:
    return math.nan if row is None or row[name] is None else float(row[name])


def _mean(values: Any) -> float:
    finite = np.asarray(values, np.float64)
    finite = finite[np.isfinite(finite)]
    return float(finite.mean()) if len(finite) else math.nan

"""Write an experiment's folder: clips, the frames of each cell, the class check, and last the plan."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from evfr._core.atomic import make_folder
from evfr.errors import InputError
from evfr.experiments._make_plan import PlanResult
from evfr.experiments._plan import CLIPS, PLAN, SUBSETS, Plan, save_clips, write_plan, write_subset
from evfr.experiments._plan_parts import predicted_seconds, write_class_check
from evfr.experiments._subsets import ClipMeasures, choose, instance_counts

if TYPE_CHECKING:
    from evfr._core.labelled import LabelledClip

__all__ = ["refuse_second", "write_experiment"]


def refuse_second(folder: Path) -> None:
    """Refuse a folder that holds a plan.

    Raises
    ------
    InputError
        If it does.
    """
    if (folder / PLAN).exists():
        raise InputError(f"{folder} holds a plan already; run it, or plan into another folder")


def write_experiment(
    plan: Plan,
    folder: str | Path,
    train: Sequence[LabelledClip],
    tests: Mapping[str, Sequence[LabelledClip]],
    *,
    timed_on: str | None = None,
) -> PlanResult:
    """Write what `run` needs, for clips that are in memory (ours).

    Parameters
    ----------
    plan : Plan
        The experiment.
    folder : path
        Where.
    train : sequence of LabelledClip
        All that may be trained on: of one size and one list of classes.
    tests : mapping of str to sequence of LabelledClip
        The plan's test sets.
    timed_on : str or None
        A device on which a few steps are timed; None predicts no time.

    Returns
    -------
    PlanResult
        What was planned.

    Raises
    ------
    InputError
        If the folder holds a plan, clips do not have the frames that an arm asks for, or are not alike.
    """
    folder = Path(folder)
    refuse_second(folder)
    _check(plan, train, tests)
    measures = ClipMeasures(train)
    first = {arm.name: choose(arm, train, measures, 0) for arm in plan.arms}
    for name in ("", CLIPS, SUBSETS):
        make_folder(folder / name)
    save_clips(train, folder, "train")
    for name, clips in tests.items():
        save_clips(clips, folder, name)
    for cell in plan.cells:
        arm = plan.arm(cell.arm)
        chosen = choose(arm, train, measures, cell.seed) if arm.is_drawn else first[arm.name]
        frames = {train[row].video_id: train[row].frame_index[places] for row, places in chosen.items()}
        write_subset(folder, cell, arm.copies, frames)
    warnings = write_class_check(folder, train, first)
    seconds = math.nan if timed_on is None else predicted_seconds(plan, train, tests, first, timed_on)
    write_plan(plan, folder)  # last: a folder with a plan is whole
    return PlanResult(
        folder=folder,
        protocol=plan.protocol,
        model=plan.model,
        cell_count=len(plan.cells),
        seeds=plan.seeds,
        frames={name: sum(len(places) for places in chosen.values()) for name, chosen in first.items()},
        objects={
            name: sum(sum(counts.values()) for counts in instance_counts(train, chosen).values())
            for name, chosen in first.items()
        },
        warnings=warnings,
        tests={name: sum(len(clip) for clip in clips) for name, clips in tests.items()},
        seconds=seconds,
    )


def _check(plan: Plan, train: Sequence[LabelledClip], tests: Mapping[str, Sequence[LabelledClip]]) -> None:
    if not train:
        raise InputError("there is no clip to train on")
    if {name: tuple(clip.video_id for clip in clips) for name, clips in tests.items()} != dict(plan.tests):
        raise InputError(f"the test clips are not those of the plan: {dict(plan.tests)}")
    shape, classes = train[0].images.shape[1:], train[0].classes
    names = [clip.video_id for clip in train]
    if twice := [name for name in names if names.count(name) > 1]:
        raise InputError(f"each clip needs its own name, got {twice[0]!r} twice")
    for clip in [*train, *(clip for clips in tests.values() for clip in clips)]:
        if clip.images.shape[1:] != shape or clip.classes != classes:
            raise InputError(
                f"clips must have one size and one list of classes: {clip.video_id} has {clip.images.shape[1:]} and "
                f"{clip.classes}, {train[0].video_id} {shape} and {classes}"
            )
        if not len(clip):
            raise InputError(f"{clip.video_id} has no labelled frame")

"""Small experiments for tests: drawn clips, a plan of two arms, a command that learns nothing."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from evfr._core.labelled import LabelledClip
from evfr.experiments import Arm, Comparison, Plan, PlanResult, write_experiment
from evfr.training import Recipe

TWO_ARMS = (Arm("all", stride=1), Arm("half", stride=2))
ECHO = Path(__file__).with_name("echo_trainer.py")
"""A trainer that gives back the labels of the first training picture for every test picture, as far as seeds go."""


def clips(count: int, *, first_seed: int, frames: int = 6, side: int = 32) -> list[LabelledClip]:
    from evfr.datasets import moving_objects

    return [
        moving_objects(first_seed + number, frames=frames, width=side, height=side) for number in range(count)
    ]


def planned(
    folder: Path,
    *,
    arms: Sequence[Arm] = TWO_ARMS,
    comparisons: Sequence[Comparison] = (Comparison("half", "all"),),
    model: str = "tiny",
    kind: Any = "instances",
    options: Mapping[str, Any] | None = None,
    iterations: int = 4,
    seeds: int = 2,
    train: Sequence[LabelledClip] | None = None,
    test: Sequence[LabelledClip] | None = None,
    protocol: str = "custom",
    margin: float = 0.01,
) -> PlanResult:
    train = clips(2, first_seed=0) if train is None else train
    test = clips(2, first_seed=100, frames=4) if test is None else test
    if options is None:
        options = {"batch_size": 2} if model == "tiny" else {}
    plan = Plan(
        protocol=protocol,
        model=model,
        kind=kind,
        model_options=options,
        recipe=Recipe(iterations=iterations, learning_rate=1e-3, checkpoint_every=2),
        arms=tuple(arms),
        comparisons=tuple(comparisons),
        seeds=seeds,
        tests={"new": tuple(clip.video_id for clip in test)},
        classes=train[0].classes,
        margin=margin,
    )
    return write_experiment(plan, folder, train, {"new": test})


def echo(extra: str = "") -> str:
    return f"cmd: {sys.executable} {ECHO} {{train}} {{val}} {{iters}} {{out}} {{seed}} {extra}".strip()

"""Scenes that a small network learns something of in 300 iterations: two shapes, little texture, nothing in the way."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from evfr._core.labelled import LabelledClip
from evfr.datasets import SceneOptions, moving_objects
from evfr.experiments import Arm, Comparison, ReportResult, report, run
from evfr.experiments._plan import load_clips
from helpers.experiments import planned

EASY = SceneOptions(objects=2.5, distractors=0.0, sizes=(0.16, 0.26), clutter=0.0, pattern=0.2, noise=1.0)
SCENE: dict[str, Any] = {"width": 96, "height": 64, "classes": ("disc", "star"), "options": EASY}
PLAIN: dict[str, Any] = {"jitter": "standard", "flip": 0.5}
S1 = Arm("S1", stride=1, **PLAIN)
S5 = Arm("S5", stride=5, **PLAIN)


def drawn(
    count: int, *, first_seed: int, frames: int = 60, unique: bool = True, repeat: int = 1
) -> list[LabelledClip]:
    return [
        moving_objects(first_seed + number, frames=frames, unique=unique, repeat=repeat, **SCENE)
        for number in range(count)
    ]


def answered(
    folder: Path,
    train: list[LabelledClip],
    arms: tuple[Arm, ...],
    comparisons: tuple[Comparison, ...],
    *,
    seeds: int = 4,
    test_clips: int = 6,
    colour: float = 0.5,
) -> ReportResult:
    planned(
        folder,
        arms=arms,
        comparisons=comparisons,
        options={"batch_size": 8, "colour": colour},
        iterations=300,
        seeds=seeds,
        train=train,
        test=drawn(test_clips, first_seed=500, frames=10),
        margin=0.05,
    )
    load_clips.cache_clear()
    assert run(folder).left == 0
    found = report(folder, draws=100, no_figures=True)
    print(found)
    return found

"""The grids on drawn videos that docs/results publishes: Yoon & Choi's, Chataigner's frames, clips by frames.

Scenes are the easy ones that a small network learns something of on a CPU in seconds: two shapes, little texture. Test
clips have seeds of their own. Run it again after any interruption: it goes on.

Run: python benchmarks/results_drawn.py OUT [evfr|pertinence|two-axis ...] [--workers 2]
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from evfr._cli.terminal import TerminalProgress
from evfr._core.progress import use_progress
from evfr.datasets import LabelledClip, SceneOptions, moving_objects
from evfr.experiments import Arm, Comparison, Plan, report, run, write_experiment
from evfr.experiments._arms import evfr_arms, pertinence_arms, two_axis_arms
from evfr.training import Recipe

EASY = SceneOptions(objects=2.5, distractors=0.0, sizes=(0.16, 0.26), clutter=0.0, pattern=0.2, noise=1.0)
TRAIN_SEED, TEST_SEED = 2000, 3000
RECIPE = Recipe(iterations=300, learning_rate=4e-3, warmup=10)


def clips(count: int, first_seed: int, frames: int) -> list[LabelledClip]:
    """Draw clips of consecutive seeds."""
    return [
        moving_objects(seed, frames=frames, width=96, height=64, classes=("disc", "star"), options=EASY)
        for seed in range(first_seed, first_seed + count)
    ]


def grids() -> dict[str, tuple[tuple[Arm, ...], tuple[Comparison, ...], list[LabelledClip], int]]:
    """Return arms, comparisons, training clips and seeds of each grid."""
    samplers = ("uniform", "random", "adaptive")
    published, pairs = pertinence_arms(10, 10)
    return {
        "evfr": (*evfr_arms((1, 3, 10), samplers, "uniform"), clips(6, TRAIN_SEED, 60), 5),
        "pertinence": (published, pairs, clips(4, TRAIN_SEED, 110), 5),
        "two-axis": (*two_axis_arms((1, 2, 4, 8), (2, 8)), clips(8, TRAIN_SEED, 60), 5),
    }


def main() -> None:
    """Plan what is not planned, run what is missing, report."""
    parser = argparse.ArgumentParser()
    parser.add_argument("out", type=Path)
    parser.add_argument("grids", nargs="*")
    parser.add_argument("--workers", type=int, default=2)
    given = parser.parse_args()
    test = clips(8, TEST_SEED, 10)
    for name, (arms, comparisons, train, seeds) in grids().items():
        if given.grids and name not in given.grids:
            continue
        folder = given.out / name
        if not (folder / "plan.json").exists():
            plan = Plan(
                protocol=name,
                model="tiny",
                kind="instances",
                model_options={"batch_size": 8},
                recipe=RECIPE,
                arms=arms,
                comparisons=comparisons,
                seeds=seeds,
                tests={"new": tuple(clip.video_id for clip in test)},
                classes=test[0].classes,
                margin=0.02,
                sources={
                    "command": f"python benchmarks/results_drawn.py OUT {name}",
                    "clips": "drawn, 96x64",
                },
            )
            write_experiment(plan, folder, train, {"new": test})
        with use_progress(TerminalProgress()):
            print(run(folder, workers=given.workers), flush=True)
        print(report(folder), flush=True)


if __name__ == "__main__":
    sys.exit(main())

"""Experiments whose answer is known before they are run, trained for real: minutes, so they are slow tests.

The scenes are easy ones (two shapes, little texture), so that a small network learns something in 300 iterations.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from evfr._core.labelled import LabelledClip
from evfr.augmentation import Augmentation
from evfr.datasets import SceneOptions, moving_objects, shuffle_labels
from evfr.experiments import Arm, Comparison, ReportResult, report, run
from evfr.experiments._plan import load_clips
from helpers.experiments import planned

pytestmark = pytest.mark.slow

EASY = SceneOptions(objects=2.5, distractors=0.0, sizes=(0.16, 0.26), clutter=0.0, pattern=0.2, noise=1.0)
SCENE = {"width": 96, "height": 64, "classes": ("disc", "star"), "options": EASY}
PLAIN = {"jitter": "standard", "flip": 0.5}
S1 = Arm("S1", stride=1, **PLAIN)  # type: ignore[arg-type]
S5 = Arm("S5", stride=5, **PLAIN)  # type: ignore[arg-type]


def drawn(
    count: int, *, first_seed: int, frames: int = 60, unique: bool = True, repeat: int = 1
) -> list[LabelledClip]:
    return [
        moving_objects(first_seed + number, frames=frames, unique=unique, repeat=repeat, **SCENE)  # type: ignore[arg-type]
        for number in range(count)
    ]


def answered(
    folder: Path,
    train: list[LabelledClip],
    *,
    arms: tuple[Arm, ...] = (S1, S5),
    comparisons: tuple[Comparison, ...] = (Comparison("S5", "S1"),),
    seeds: int = 4,
    margin: float = 0.05,
) -> ReportResult:
    planned(
        folder,
        arms=arms,
        comparisons=comparisons,
        options={"batch_size": 8},
        iterations=300,
        seeds=seeds,
        train=train,
        test=drawn(6, first_seed=500, frames=10),
        margin=margin,
    )
    load_clips.cache_clear()
    assert run(folder).left == 0
    found = report(folder, draws=100, no_figures=True)
    print(found)
    return found


def test_every_frame_five_times_a_fifth_is_not_worse(tmp_path: Path) -> None:
    (verdict,) = answered(tmp_path / "e", drawn(4, first_seed=0, repeat=5)).verdicts
    assert verdict.verdict.word in ("not worse", "better"), verdict.verdict.text


def test_every_frame_a_scene_of_its_own_a_fifth_is_worse(tmp_path: Path) -> None:
    (verdict,) = answered(tmp_path / "e", drawn(4, first_seed=0)).verdicts
    assert verdict.verdict.word == "worse", verdict.verdict.text


def test_shuffled_labels_have_no_signal_and_the_report_says_so(tmp_path: Path) -> None:
    train = shuffle_labels(drawn(4, first_seed=0), seed=1)
    found = answered(tmp_path / "e", train, arms=(S1,), comparisons=(), seeds=3)
    assert [arm.has_signal for arm in found.arms] == [False]
    assert "No signal" in found.notices[0]


def test_spaced_frames_beat_successive_ones_and_noise_copies_do_not_help(tmp_path: Path) -> None:
    """The order that Chataigner et al. 2019 claim, at equal counts and equal iterations."""
    spaced = tuple(range(0, 100, 10))
    arms = (
        Arm("1", positions=(0,), **PLAIN),  # type: ignore[arg-type]
        Arm("1x10", positions=(0,), copies=10, noise_window=10, **PLAIN),  # type: ignore[arg-type]
        Arm("10", positions=tuple(range(10)), **PLAIN),  # type: ignore[arg-type]
        Arm("1by10", positions=spaced, **PLAIN),  # type: ignore[arg-type]
    )
    assert arms[0].augmentation == Augmentation("standard", 0.5)
    pairs = (Comparison("1by10", "10", "ours"), Comparison("1x10", "1", "ours"))
    found = answered(
        tmp_path / "e",
        drawn(4, first_seed=0, frames=110, unique=False),
        arms=arms,
        comparisons=pairs,
    )
    by_spacing, by_noise = (item.verdict for item in found.verdicts)
    assert by_spacing.word == "better", by_spacing.text
    assert by_noise.word != "better", by_noise.text

"""Experiments whose answer is known before they are run, trained for real: minutes, so they are slow tests.

The scenes are easy ones (two shapes, little texture), so that a small network learns something in 300 iterations.
Colours are mixed less than by default: mixed more, 48 unlike scenes teach nearly what 240 do, and 4 seeds do not tell
them apart.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from evfr.datasets import shuffle_labels
from evfr.experiments import Comparison
from helpers.easy_scenes import S1, S5, answered, drawn

pytestmark = pytest.mark.slow

PAIR = Comparison("S5", "S1")


def test_every_frame_five_times_a_fifth_is_not_worse(tmp_path: Path) -> None:
    (verdict,) = answered(
        tmp_path / "e", drawn(4, first_seed=0, repeat=5), (S1, S5), (PAIR,), colour=0.2
    ).verdicts
    assert verdict.verdict.word in ("not worse", "better"), verdict.verdict.text


def test_every_frame_a_scene_of_its_own_a_fifth_is_worse(tmp_path: Path) -> None:
    (verdict,) = answered(tmp_path / "e", drawn(4, first_seed=0), (S1, S5), (PAIR,), colour=0.2).verdicts
    assert verdict.verdict.word == "worse", verdict.verdict.text


def test_shuffled_labels_have_no_signal_and_the_report_says_so(tmp_path: Path) -> None:
    train = shuffle_labels(drawn(4, first_seed=0), seed=1)
    found = answered(tmp_path / "e", train, (S1,), (), seeds=3, colour=0.2)
    assert [arm.has_signal for arm in found.arms] == [False]
    assert "No signal" in found.notices[0]

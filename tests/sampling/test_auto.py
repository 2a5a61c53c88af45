from __future__ import annotations

import numpy as np
import pytest

from evfr.sampling import auto, systematic, uniform
from evfr.sampling._auto import shot_bounds, shot_dynamicity

EVEN = [1.0, 1.1] * 30
BURST = [0.01] * 50 + [5.0] * 4 + [0.01] * 26


def test_each_shot_gets_the_strategy_of_its_dynamicity():
    sample = auto(EVEN + BURST, 14, cuts=[60])
    first, second = sample.segments
    assert (first.start, first.stop, first.strategy) == (0, 60, "uniform")
    assert (second.start, second.stop, second.strategy) == (60, 140, "systematic")
    # 14 frames over 60 and 80: 6 and 8.
    assert (first.n, second.n) == (6, 8)
    expected = uniform(EVEN, 6, start="middle").indices.tolist()
    expected += (systematic(BURST, 8).indices + 60).tolist()
    assert sample.indices.tolist() == expected
    assert first.reason == f"shot 1: dynamicity {first.dynamicity:.3g} < 0.9: uniform"
    assert second.reason == f"shot 2: dynamicity {second.dynamicity:.3g} >= 0.9: systematic"
    assert all(reason.startswith("auto: shot ") for reason in sample.reasons)
    assert sample.probabilities.sum() == pytest.approx(14)


def test_dynamicity_by_hand():
    """Weights 1, 3 (and the last frame's, which is not counted): mean 2, deviation 1, CV 1/2."""
    assert shot_dynamicity(np.array([1.0, 3.0, 99.0])) == 0.5
    assert shot_dynamicity(np.array([1.0, np.nan, 3.0, 99.0])) == 0.5
    assert shot_dynamicity(np.array([0.0, 0.0, 99.0])) == 0.0
    assert shot_dynamicity(np.array([7.0])) == 0.0


def test_dynamicity_against_numpy():
    weights = np.random.default_rng(0).gamma(0.4, size=1000)
    assert shot_dynamicity(weights) == pytest.approx(weights[:-1].std() / weights[:-1].mean(), rel=1e-12)


def test_one_whole_video_at_the_threshold():
    weights = np.array([1.0, 3.0, 1.0, 3.0, 0.0])
    assert auto(weights, 2, threshold=0.5).segments[0].strategy == "systematic"
    assert auto(weights, 2, threshold=0.5000001).segments[0].strategy == "uniform"


def test_fewer_frames_than_shots_gives_one_per_shot_longest_first():
    sample = auto(np.ones(100), 2, cuts=[10, 50, 60])
    assert [segment.n for segment in sample.segments] == [0, 1, 0, 1]
    assert sample.indices.tolist() == [30, 80]
    assert "one per shot, longest first" in sample.segments[1].reason


def test_every_shot_gets_one_when_there_are_enough():
    sample = auto(np.ones(1000), 5, cuts=[1, 2, 3, 4])
    assert sample.indices.tolist() == [0, 1, 2, 3, 502]


def test_the_first_ranks_cover_the_shots():
    sample = auto(EVEN + BURST + EVEN, 30, cuts=[60, 140])
    shots = np.searchsorted([60, 140], sample.indices[sample.rank < 3], side="right")
    assert sorted(shots.tolist()) == [0, 1, 2]


def test_shot_bounds():
    assert shot_bounds(10, [4, 2, 4]) == [(0, 2), (2, 4), (4, 10)]
    assert shot_bounds(0, None) == []
    assert len(auto([], 0)) == 0


@pytest.mark.parametrize("cuts", [[0], [10], [-1], [3, 12]])
def test_cuts_out_of_range(cuts):
    with pytest.raises(ValueError, match=r"cuts must be in 1\.\.9, got"):
        auto(np.ones(10), 3, cuts=cuts)


@pytest.mark.parametrize("threshold", [-0.1, float("nan"), float("inf")])
def test_wrong_threshold(threshold):
    with pytest.raises(ValueError, match="threshold must be finite and 0 or more"):
        auto(np.ones(10), 3, threshold=threshold)

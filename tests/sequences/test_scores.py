"""Eq. 1: class probabilities over the frames of a sequence."""

from __future__ import annotations

import numpy as np
import pytest

from evfr.sequences import score_sequences

PROBABILITIES = [
    [[0.9, 0.1], [0.5, 0.2], [np.nan, np.nan]],
    [[np.nan, 7.0], [np.nan, np.nan], [-1.0, np.nan]],
    [[0.2, 0.8], [0.2, 0.8], [0.2, 0.8]],
]
THERE = [[True, True, False], [False, False, False], [True, True, True]]


def test_over_the_frames_where_it_is():
    found = score_sequences(PROBABILITIES, THERE)
    assert found.category_scores.tolist() == [
        [pytest.approx(0.7), pytest.approx(0.15)],
        [0, 0],
        [pytest.approx(0.2), pytest.approx(0.8)],
    ]
    assert found.score.tolist() == [pytest.approx(0.7), 0, pytest.approx(0.8)]
    assert found.is_background.tolist() == [False, True, False]


def test_over_all_frames():
    found = score_sequences(PROBABILITIES, THERE, over="all")
    assert found.category_scores[0].tolist() == [pytest.approx(1.4 / 3), pytest.approx(0.1)]
    assert found.category_scores[2].tolist() == [pytest.approx(0.2), pytest.approx(0.8)]


def test_a_mean_of_ones_is_one():
    found = score_sequences(np.ones((1, 49, 1)), np.ones((1, 49), bool))
    assert found.score.tolist() == [1.0]


@pytest.mark.parametrize("shape", [(0, 3, 2), (2, 0, 2), (2, 3, 0)])
def test_nothing(shape):
    found = score_sequences(np.ones(shape), np.ones(shape[:2], bool))
    assert found.category_scores.shape == (shape[0], shape[2])
    assert found.score.tolist() == [0.0] * shape[0]
    assert found.is_background.tolist() == [shape[1] == 0] * shape[0]


@pytest.mark.parametrize("value", [np.nan, np.inf, -0.1, 1.1])
def test_wrong_probability(value):
    wrong = np.full((2, 3, 4), 0.5)
    wrong[1, 2, 3] = value
    with pytest.raises(
        ValueError, match=rf"sequence 1, frame 2: the probability of class 3 must be in 0..1, got {value:g}"
    ):
        score_sequences(wrong, np.ones((2, 3), bool))


def test_wrong_arguments():
    with pytest.raises(
        ValueError, match=r"must be \(N, T, C\) and is_there \(N, T\), got \(2, 3\) and \(2, 3\)"
    ):
        score_sequences(np.ones((2, 3)), np.ones((2, 3), bool))
    with pytest.raises(ValueError, match="over must be 'present' or 'all', got 'some'"):
        score_sequences(np.ones((2, 3, 1)), np.ones((2, 3), bool), over="some")

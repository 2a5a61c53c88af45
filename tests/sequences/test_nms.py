"""Hard and soft suppression: by hand, against the definition written as plain loops, and what must always hold."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evfr.sequences import DECAYS, hard_nms, soft_nms
from helpers.drawn_sequences import slow_hard_nms, slow_soft_nms

EXAMPLE = np.array([[1.0, 0.482], [0.482, 1.0]])


@st.composite
def cases(draw, most=9):
    """Draw scores, few of them different, and a symmetric matrix whose values often lie on a threshold."""
    n = draw(st.integers(0, most))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    scores = rng.choice([0.0, 0.01, 0.05, 0.3, 0.5, 0.9, 1.0], n) if draw(st.booleans()) else rng.random(n)
    upper = np.triu(rng.choice([0.0, 0.2, 0.5, 0.7, 0.9, 1.0], (n, n)) * rng.choice([1.0, 0.99], (n, n)), 1)
    return scores, upper + upper.T + np.eye(n)


def test_hard_by_hand():
    """1 is best and covers 0; 2 is only covered by 0, which is gone; 3 is below the floor; 4 covers nothing."""
    iou = np.eye(5)
    for i, j, value in [(1, 0, 0.9), (0, 2, 0.95), (1, 3, 1.0), (1, 4, 0.899)]:
        iou[i, j] = iou[j, i] = value
    found = hard_nms([0.8, 0.9, 0.3, 0.04, 0.05], iou)
    assert found.kept.tolist() == [1, 2, 4]
    assert found.suppressed_by.tolist() == [1, -1, -1, -2, -1]


@settings(max_examples=150, deadline=None)
@given(cases(), st.sampled_from([0.2, 0.5, 0.9, 1.0]), st.sampled_from([0.0, 0.05, 0.5]))
def test_hard_is_the_definition(case, threshold, floor):
    scores, iou = case
    found = hard_nms(scores, iou, threshold=threshold, floor=floor)
    assert found.kept.tolist() == slow_hard_nms(scores, iou, threshold, floor)
    assert sorted(found.kept.tolist()) == np.flatnonzero(found.suppressed_by == -1).tolist()
    for i, by in enumerate(found.suppressed_by.tolist()):
        if by >= 0:
            assert found.suppressed_by[by] == -1
            assert iou[by, i] >= threshold
            assert scores[by] >= scores[i]
        elif by == -2:
            assert scores[i] < floor
    lazy = hard_nms(scores, lambda i: iou[i], threshold=threshold, floor=floor)
    assert lazy.suppressed_by.tolist() == found.suppressed_by.tolist()


@settings(max_examples=80, deadline=None)
@given(cases())
def test_hard_twice_is_hard_once(case):
    scores, iou = case
    kept = hard_nms(scores, iou, threshold=0.5).kept
    again = hard_nms(scores[kept], iou[np.ix_(kept, kept)], threshold=0.5)
    assert again.kept.tolist() == list(range(len(kept)))


def test_at_least_one_is_kept_and_none_of_none():
    assert hard_nms([0.01, 0.02, 0.02], np.eye(3)).kept.tolist() == [1]
    assert hard_nms([0.01, 0.02, 0.02], np.eye(3)).suppressed_by.tolist() == [-2, -1, -2]
    assert hard_nms([], np.zeros((0, 0))).kept.tolist() == []
    assert hard_nms([], []).suppressed_by.shape == (0,)
    assert soft_nms([], []).order.shape == (0,)


def test_their_example():
    """.78 -> .49 (Lin et al. 2021): the Gaussian of sigma .5 at an IoU of .482."""
    found = soft_nms([0.9, 0.78], EXAMPLE)
    assert found.scores[1] == pytest.approx(0.49, abs=5e-4)
    assert found.scores[1] == pytest.approx(0.78 * math.exp(-(0.482**2) / 0.5), rel=1e-14)
    assert found.order.tolist() == [0, 1]
    assert found.lowered_by.tolist() == [-1, 0]


def test_linear_lowers_from_its_threshold_on():
    assert soft_nms([0.9, 0.78], EXAMPLE, decay="linear").scores.tolist() == [0.9, 0.78]
    assert soft_nms([0.9, 0.78], EXAMPLE, decay="linear", threshold=0.482).scores[1] == pytest.approx(
        0.78 * 0.518
    )


def test_the_survivor_that_took_most_is_named():
    """2 loses little to 0 and much to 1; 3 falls below the floor by 0 alone; 4 loses much to 0 and little to 1."""
    iou = np.eye(5)
    for i, j, value in [(0, 2, 0.2), (1, 2, 0.8), (0, 3, 0.9), (0, 4, 0.8), (1, 4, 0.2)]:
        iou[i, j] = iou[j, i] = value
    found = soft_nms([0.9, 0.8, 0.7, 0.002, 0.6], iou)
    assert found.order.tolist() == [0, 1, 2, 4]
    assert found.lowered_by.tolist() == [-1, -1, 1, 0, 0]
    assert found.scores[2] == pytest.approx(0.7 * math.exp(-0.04 / 0.5) * math.exp(-0.64 / 0.5))
    assert found.final[3] == pytest.approx(0.002 * math.exp(-0.81 / 0.5))
    assert found.final[found.order].tolist() == found.scores.tolist()


@pytest.mark.parametrize("decay", list(DECAYS))
@settings(max_examples=100, deadline=None)
@given(
    case=cases(),
    limit=st.integers(1, 10),
    sigma=st.sampled_from([0.1, 0.5, 2.0]),
    floor=st.sampled_from([0, 0.01]),
)
def test_soft_is_the_definition(decay, case, limit, sigma, floor):
    scores, iou = case
    options = {"sigma": sigma} if decay == "gaussian" else {"threshold": 0.5}
    found = soft_nms(scores, iou, decay=decay, limit=limit, floor=floor, **options)
    want = slow_soft_nms(scores, iou, limit=limit, floor=floor, **options)
    assert found.order.tolist() == [i for i, _ in want]
    assert found.scores.tolist() == pytest.approx([score for _, score in want], rel=1e-12)
    lazy = soft_nms(scores, lambda i: iou[i], decay=decay, limit=limit, floor=floor, **options)
    assert lazy.final.tolist() == found.final.tolist()


@pytest.mark.parametrize("decay", list(DECAYS))
@settings(max_examples=60, deadline=None)
@given(case=cases())
def test_soft_never_raises_a_score(decay, case):
    scores, iou = case
    found = soft_nms(scores, iou, decay=decay)
    assert (found.scores <= scores[found.order]).all()
    assert (found.final <= scores).all()
    assert (np.diff(found.scores) <= 0).all()
    assert (found.scores >= 1e-3).all()
    assert len(found.order) <= 10
    is_lowered = found.final < scores
    assert (found.lowered_by[is_lowered] >= 0).all()
    assert (found.lowered_by[~is_lowered] == -1).all()
    assert np.isin(found.lowered_by[is_lowered], found.order).all()


@settings(max_examples=60, deadline=None)
@given(case=cases(), seed=st.integers(0, 2**32))
def test_order_given_does_not_matter(case, seed):
    _, iou = case
    n = len(iou)
    rng = np.random.default_rng(seed)
    scores = rng.permutation(n) / max(n, 1) + 0.05
    move = rng.permutation(n)
    turned = iou[np.ix_(move, move)]
    hard, soft = hard_nms(scores, iou, threshold=0.5), soft_nms(scores, iou)
    # With scores 1/n apart two of them may meet on the way down; only then may the order given decide.
    assert move[hard_nms(scores[move], turned, threshold=0.5).kept].tolist() == hard.kept.tolist()
    again = soft_nms(scores[move], turned)
    assert again.scores.tolist() == soft.scores.tolist()


def test_ties_are_taken_in_the_order_given():
    iou = np.array([[1, 0.95, 0.1], [0.95, 1, 0.1], [0.1, 0.1, 1.0]])
    for scores in itertools.product([0.5, 0.6], repeat=3):
        best = int(np.argmax(scores))
        assert hard_nms(scores, iou).kept[0] == soft_nms(scores, iou).order[0] == best
    assert hard_nms([0.5] * 3, iou).kept.tolist() == [0, 2]
    assert hard_nms([0.5] * 3, iou).suppressed_by.tolist() == [-1, 0, -1]


def test_a_callable_is_asked_only_for_survivors():
    asked = []

    def row(i):
        asked.append(i)
        return np.ones(1000)

    assert hard_nms(np.linspace(0.1, 0.9, 1000), row).kept.tolist() == [999]
    assert asked == [999]
    soft_nms(np.linspace(0.1, 0.9, 1000), lambda i: asked.append(i) or np.zeros(1000), limit=4)
    assert asked == [999, 999, 998, 997]


@pytest.mark.parametrize("nms", [hard_nms, soft_nms])
@pytest.mark.parametrize(
    ("scores", "iou", "message"),
    [
        ([0.1, np.nan], np.eye(2), "score 1 must be a finite number, got nan"),
        ([np.inf, 0.1], np.eye(2), "score 0 must be a finite number, got inf"),
        ([[0.1]], np.eye(1), r"scores must be \(N,\), got \(1, 1\)"),
        ([0.1, 0.2], np.eye(3), r"iou must be \(2, 2\) for 2 scores, got \(3, 3\)"),
        ([0.1, 0.2], lambda i: np.zeros(3), r"row 1 of iou must be \(2,\), got \(3,\)"),
    ],
)
def test_wrong_input(nms, scores, iou, message):
    with pytest.raises(ValueError, match=message):
        nms(scores, iou, floor=0.01)


@pytest.mark.parametrize(
    ("nms", "options", "message"),
    [
        (hard_nms, {"threshold": 0.0}, "threshold must be above 0 and at most 1, got 0.0"),
        (hard_nms, {"threshold": math.nan}, "threshold must be above 0 and at most 1, got nan"),
        (hard_nms, {"floor": -0.1}, "floor must be 0 or more, got -0.1"),
        (soft_nms, {"decay": "cosine"}, r"decay must be one of \['gaussian', 'linear'\], got 'cosine'"),
        (soft_nms, {"sigma": 0.0}, "sigma must be above 0, got 0.0"),
        (soft_nms, {"threshold": 1.1}, "threshold must be in 0..1, got 1.1"),
        (soft_nms, {"floor": math.nan}, "floor must be 0 or more, got nan"),
        (soft_nms, {"limit": 0}, "limit must be 1 or more, got 0"),
    ],
)
def test_wrong_options(nms, options, message):
    with pytest.raises(ValueError, match=message):
        nms([0.5], np.eye(1), **options)


def test_a_negative_score_cannot_be_lowered():
    with pytest.raises(ValueError, match=r"score 1 must be 0 or more to be lowered, got -0\.5"):
        soft_nms([0.5, -0.5], np.eye(2))

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from evfr.errors import ConstraintError
from evfr.sampling import Constraints, Sample, adaptive, feasible_range, sample, systematic, uniform
from helpers.sampling_cases import ON_WEIGHTS
from helpers.subsets import constrained_videos, satisfies


@settings(max_examples=100, deadline=None)
@given(
    video=constrained_videos(max_frames=150),
    method=st.sampled_from(sorted(ON_WEIGHTS)),
    share=st.floats(0, 1),
    seed=st.integers(0, 2**31),
)
def test_any_sampler_any_constraints(video, method, share, seed):
    """Exactly n unique increasing indices that satisfy the constraints; the same arguments, the same bytes."""
    n_frames, times, constraints = video
    try:
        low, high = feasible_range(n_frames, constraints, times)
    except ConstraintError:
        assume(False)
    n = low + round(share * (high - low))
    rng = np.random.default_rng(seed)
    weights = rng.gamma(0.3, size=n_frames)
    weights[rng.random(n_frames) < 0.1] = np.nan
    cuts = np.unique(rng.integers(1, n_frames, 3)) if n_frames > 1 else None
    got = [
        sample(method, weights, n, times=times, seed=seed, constraints=constraints, cuts=cuts)
        for _ in range(2)
    ]
    assert len(got[0]) == n
    assert np.all(np.diff(got[0].indices) > 0)
    assert satisfies(got[0].indices.tolist(), n_frames, constraints, times)
    assert got[0].nan_count == int(np.isnan(weights).sum())
    for name in ("indices", "inclusion", "rank"):
        assert getattr(got[0], name).tobytes() == getattr(got[1], name).tobytes()
    assert got[0].reasons == got[1].reasons


def test_no_constraints_is_the_sampler_itself():
    weights = np.random.default_rng(0).random(80)
    got, own = sample("systematic", weights, 9, options={"mixing": 0.2}), systematic(weights, 9, mixing=0.2)
    assert got.indices.tolist() == own.indices.tolist()
    assert got.reasons == own.reasons


def test_a_nested_order_stays_put_when_frames_are_ruled_out():
    weights = np.random.default_rng(0).random(60)
    whole = adaptive(weights, 60, seed=3).order.tolist()
    gone = tuple(whole[2:5])
    got = sample("adaptive", weights, 10, seed=3, constraints=Constraints(exclude=gone, labeled=(whole[8],)))
    expected = [i for i in whole if i not in gone and i != whole[8]]
    assert got.indices.tolist() == sorted(expected[:10])
    assert got.order.tolist() == expected
    assert got.indices[np.argsort(got.rank)].tolist() == expected[:10]
    late = got.reasons[got.indices.tolist().index(expected[9])]
    assert (
        late
        == f"adaptive: place {whole.index(expected[9]) + 1} of its order; frames before it were ruled out"
    )


def test_included_frames_come_first_in_a_nested_order():
    got = sample("random", np.ones(50), 8, seed=1, constraints=Constraints(include=(7, 30)))
    assert got.order[:2].tolist() == [7, 30]
    assert got.indices.tolist() == sorted(got.order[:8].tolist())
    assert got.reasons[got.indices.tolist().index(30)] == "include: asked for"
    expected = np.where(np.isin(got.indices, [7, 30]), 1.0, 6 / 48)
    np.testing.assert_allclose(got.inclusion, expected)


def test_inclusion_under_eligibility_is_that_of_the_frames_left():
    constraints = Constraints(selectable=np.arange(40) % 4 > 0)
    got = sample("uniform", np.ones(40), 6, constraints=constraints)
    np.testing.assert_allclose(got.inclusion, 6 / 30)
    assert got.probabilities.tolist() == [0.0 if i % 4 == 0 else 6 / 30 for i in range(40)]
    assert not np.any(got.indices % 4 == 0)


def test_inclusion_is_unknown_under_gaps():
    got = sample("random", np.ones(40), 6, constraints=Constraints(min_gap=3, include=(4,)))
    assert np.isnan(got.inclusion).sum() == 5
    assert got.inclusion[got.indices == 4].tolist() == [1.0]
    assert got.probabilities is None
    assert got.order is None


def test_targets_are_replaced_by_included_frames():
    """Targets 0, 10, .., 90: frame 20 is one, 34 takes 30, 36 then takes 40, 99 takes 90."""
    got = sample("uniform", np.ones(100), 10, constraints=Constraints(include=(20, 34, 36, 99)))
    assert got.indices.tolist() == [0, 10, 20, 34, 36, 50, 60, 70, 80, 99]
    assert got.indices[got.rank < 4].tolist() == [20, 34, 36, 99]


def test_a_hole_does_not_pile_frames_at_its_edges():
    selectable = np.ones(100, dtype=bool)
    selectable[30:70] = False
    got = sample("uniform", np.ones(100), 10, constraints=Constraints(selectable=selectable))
    assert got.indices.tolist() == [0, 6, 12, 18, 24, 70, 76, 82, 88, 94]


def test_lost_targets_move_to_the_nearest_frame_that_fits():
    constraints = Constraints(min_gap=5, labeled=(21,))
    got = sample("uniform", np.ones(100), 10, constraints=constraints)
    targets = uniform(np.ones(99), 10).indices
    assert len(got) == 10
    assert len(set(got.indices.tolist()) & set((targets + (targets >= 21)).tolist())) == 9
    assert sum("by the constraints" in reason for reason in got.reasons) == 1
    assert got.notes == ("uniform: 1 of 10 frames were moved by the constraints",)


def test_auto_keeps_its_shots_when_frames_are_ruled_out():
    weights = np.r_[np.ones(50), np.tile([0.0, 0.0, 0.0, 9.0, 0.0], 10)]
    selectable = np.arange(100) % 10 > 0
    got = sample("auto", weights, 12, cuts=[50], constraints=Constraints(selectable=selectable))
    assert [(s.start, s.stop, s.strategy) for s in got.segments] == [
        (1, 50, "uniform"),
        (51, 100, "systematic"),
    ]
    assert (got.indices < 50).sum() == 6
    assert not np.any(got.indices % 10 == 0)


def test_a_bare_callable_may_return_indices():
    def last(weights, n, *, seed=0, skip=0):
        return np.arange(len(weights) - n - skip, len(weights) - skip)

    got = sample(last, np.ones(10), 3, options={"skip": 2})
    assert isinstance(got, Sample)
    assert got.indices.tolist() == [5, 6, 7]
    assert got.method == "last"
    assert np.isnan(got.inclusion).all()
    gapped = sample(last, np.ones(10), 3, constraints=Constraints(min_gap=3, exclude=(9,)))
    assert np.diff(gapped.indices).min() >= 3


def test_a_bare_callable_that_breaks_the_contract():
    def short(weights, n, *, seed=0):
        return [0]

    def floats(weights, n, *, seed=0):
        return np.linspace(0, 1, n)

    def twice(weights, n, *, seed=0):
        return [1, 1, 2]

    with pytest.raises(ValueError, match="sampler 'short' must return 3 indices below 10"):
        sample(short, np.ones(10), 3)
    with pytest.raises(
        ValueError, match="sampler 'floats' must return a Sample or a one-dimensional array of int"
    ):
        sample(floats, np.ones(10), 3)
    with pytest.raises(ValueError, match="indices must be strictly increasing"):
        sample(twice, np.ones(10), 3)


def test_wrong_method_and_options():
    with pytest.raises(
        ValueError,
        match=r"method must be one of uniform, random, .* or a callable, got 'best'",
    ):
        sample("best", np.ones(10), 3)
    with pytest.raises(
        ValueError, match="method 'systematic' has no option 'gamma'; it has: mixing, power, start"
    ):
        sample("systematic", np.ones(10), 3, options={"gamma": 1})
    with pytest.raises(ValueError, match="method 'random' has no option 'start'; it has none"):
        sample("random", np.ones(10), 3, options={"start": "first"})


def test_stride_runs_over_the_frames_that_may_be_chosen():
    constraints = Constraints(selectable=np.arange(30) >= 3)
    got = sample("uniform", np.ones(30), 9, options={"stride": 3}, constraints=constraints)
    assert got.indices.tolist() == list(range(3, 30, 3))


def test_a_long_video_is_solved():
    """Two hours at 30 frames per second, 10 %, gaps on both sides."""
    n_frames, n = 216_000, 21_600
    weights = np.random.default_rng(0).gamma(0.3, size=n_frames)
    constraints = Constraints(min_gap=3, max_gap=12)
    for method in ON_WEIGHTS:
        got = sample(method, weights, n, constraints=constraints)
        steps = np.diff(got.indices)
        assert len(got) == n
        assert steps.min() >= 3
        assert max(steps.max(), got.indices[0], n_frames - 1 - got.indices[-1]) <= 12


@pytest.mark.parametrize("cuts", [[0, 4], [10]])
def test_cuts_out_of_range(cuts):
    with pytest.raises(ValueError, match=r"cuts must be in 1\.\.9, got"):
        sample("auto", np.ones(10), 3, cuts=cuts)


def test_no_slack_at_all_is_solved():
    """Exactly one frame in ten fits: nearly every target moves, which must not sweep the video once per frame."""
    constraints = Constraints(min_gap=7, max_gap=10)
    got = sample("uniform", np.ones(216_000), 21_599, constraints=constraints)
    assert np.diff(got.indices).max() == 10

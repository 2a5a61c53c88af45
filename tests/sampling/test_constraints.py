from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings

from evfr.errors import ConstraintError
from evfr.sampling import Constraints, feasible_range, sample
from helpers.sampling_cases import ON_WEIGHTS
from helpers.subsets import constrained_videos, feasible_counts, satisfies


@settings(max_examples=80, deadline=None)
@given(constrained_videos(max_frames=11))
def test_exact_against_all_subsets(video):
    """`sample` raises if and only if no subset of n frames satisfies the constraints, for every sampler and n."""
    n_frames, times, constraints = video
    counts = feasible_counts(n_frames, constraints, times)
    weights = np.random.default_rng(n_frames).integers(0, 4, n_frames).astype(float)
    if counts:
        low, high = feasible_range(n_frames, constraints, times)
        assert counts == set(range(low, high + 1))
    else:
        with pytest.raises(ConstraintError, match=r"frame|gap"):
            feasible_range(n_frames, constraints, times)
    for method in ON_WEIGHTS:
        for n in range(n_frames + 1):
            if n in counts:
                chosen = sample(method, weights, n, times=times, seed=n, constraints=constraints)
                assert len(chosen) == n
                assert satisfies(chosen.indices.tolist(), n_frames, constraints, times)
            else:
                with pytest.raises(ConstraintError, match=r"frame|gap"):
                    sample(method, weights, n, times=times, seed=n, constraints=constraints)


@settings(max_examples=60, deadline=None)
@given(constrained_videos(max_frames=10))
def test_the_order_is_honoured_as_far_as_possible(video):
    """Of all subsets that fit, the random sampler's is the one that comes first in its order, frame by frame."""
    n_frames, times, constraints = video
    counts = feasible_counts(n_frames, constraints, times)
    order = sample("random", np.ones(n_frames), 0, seed=1).order.tolist()
    for n in counts:
        chosen = sample("random", np.ones(n_frames), n, seed=1, times=times, constraints=constraints)
        assert sorted(chosen.indices.tolist()) == best_subset(order, n, n_frames, constraints, times)


def best_subset(order, n, n_frames, constraints, times):
    """Take frames in order whenever some subset of n frames holds them all, found by enumeration."""
    fits = [
        set(s)
        for s in itertools.combinations(range(n_frames), n)
        if satisfies(s, n_frames, constraints, times)
    ]
    taken = set()
    for i in [*constraints.include, *order]:
        if len(taken) < n and any(taken | {i} <= s for s in fits):
            taken.add(i)
    return sorted(taken)


@pytest.mark.parametrize(
    ("n", "constraints", "message"),
    [
        (8, Constraints(max_gap=8), "max_gap=8 needs at least 12 frames, n is 8"),
        (20, Constraints(min_gap=10), "min_gap=10 leaves room for at most 10 frames, n is 20"),
        (
            14,
            Constraints(min_gap=8, max_gap=9),
            "^min_gap=8 leaves room for at most 13 frames, n is 14",
        ),
        (5, Constraints(max_gap_seconds=0.5), "max_gap_seconds=0.5 needs at least 9 frames, n is 5"),
        (
            30,
            Constraints(
                max_gap=9, selectable=np.r_[np.ones(40, bool), np.zeros(20, bool), np.ones(40, bool)]
            ),
            "max_gap=9 cannot hold: no frame between 39 and 60 may be selected",
        ),
        (
            30,
            Constraints(max_gap=4, exclude=tuple(range(10))),
            "max_gap=4 cannot hold: no frame between 0 and 10",
        ),
        (
            30,
            Constraints(max_gap=4, exclude=tuple(range(90, 100))),
            "no frame between 89 and 99 may be selected",
        ),
        (
            30,
            Constraints(min_gap=5, include=(7, 10)),
            r"min_gap=5 cannot hold between frames 7 and 10 \(include",
        ),
        (30, Constraints(min_gap=5, include=(7,), labeled=(10,)), r"frames 7 and 10 \(include and labeled\)"),
        (
            12,
            Constraints(min_gap=7, max_gap=8, labeled=(2, 22)),
            "min_gap=7 and max_gap=8 cannot both hold between",
        ),
        (
            8,
            Constraints(max_gap=8, max_gap_seconds=9.0, min_gap=2),
            "^max_gap=8 needs at least 12 frames, n is 8",
        ),
        (
            9,
            Constraints(max_gap=90, min_gap_seconds=0.1, min_gap=20),
            "^min_gap=20 leaves room for at most 5",
        ),
        (
            20,
            Constraints(min_gap=2, max_gap_seconds=0.2, max_gap=50, exclude=tuple(range(30, 50))),
            "^max_gap_seconds=0.2 cannot hold: no frame between 29 and 50 may be selected",
        ),
        (1, Constraints(include=(1, 2)), "include has 2 frames, n is 1"),
        (3, Constraints(include=(100,)), r"include has frame 100, but the video has 100 frames \(0\.\.99\)"),
        (3, Constraints(labeled=(100,)), "labeled has frame 100"),
        (3, Constraints(include=(4,), exclude=(4,)), "frame 4 is in include and in exclude"),
        (3, Constraints(include=(4,), labeled=(4,)), "frame 4 is in include and in labeled"),
        (
            3,
            Constraints(include=(4,), selectable=np.arange(100) != 4),
            "frame 4 is in include, but may not be selected",
        ),
        (
            99,
            Constraints(exclude=(1, 2), labeled=(3,), selectable=np.arange(100) != 9),
            r"n=99 is more than the 96 of 100 frames that can be selected \(2 excluded, 1 labelled, 1 not selectable\)",
        ),
    ],
)
def test_the_error_names_the_constraint(n, constraints, message):
    times = np.arange(100) / 20
    with pytest.raises(ConstraintError, match=message):
        sample("uniform", np.ones(100), n, times=times, constraints=constraints)


@pytest.mark.parametrize(
    ("keywords", "message"),
    [
        ({"min_gap": 0}, "min_gap must be 1 frame or more, got 0"),
        ({"max_gap": -3}, "max_gap must be 1 frame or more, got -3"),
        ({"min_gap_seconds": 0.0}, "min_gap_seconds must be above 0 and at most 1e9 seconds, got 0.0"),
        ({"max_gap_seconds": float("nan")}, "max_gap_seconds must be above 0"),
        ({"include": (-1,)}, "include must hold frame indices of 0 or more, got -1"),
        ({"selectable": np.ones(3)}, r"selectable must be \(N,\) bool, got \(3,\) float64"),
    ],
)
def test_wrong_constraints(keywords, message):
    with pytest.raises(ValueError, match=message):
        Constraints(**keywords)


def test_wrong_arrays():
    with pytest.raises(ValueError, match=r"selectable must be \(5,\) bool, got \(4,\)"):
        feasible_range(5, Constraints(selectable=np.ones(4, bool)))
    with pytest.raises(ValueError, match="gaps in seconds need the times of the frames; pass times="):
        feasible_range(5, Constraints(max_gap_seconds=1.0))
    with pytest.raises(ValueError, match=r"times must be \(5,\) finite seconds"):
        feasible_range(5, Constraints(max_gap_seconds=1.0), [0, 1, 2, 3, float("nan")])
    with pytest.raises(ValueError, match="n_frames must be 0 or more, got -1"):
        feasible_range(-1, Constraints())


def test_lists_are_sorted_and_unique():
    constraints = Constraints(include=(5, 1, 5), max_gap=7, selectable=np.arange(9) > 0)
    assert constraints.include == (1, 5)
    assert repr(constraints) == "Constraints(max_gap=7, 2 include, 8 of 9 selectable)"


def test_gaps_in_seconds_follow_true_time():
    """A slide show: frames 0..9 are 1 s apart, 10..109 are 10 ms apart; half a second is 1 or 50 frames."""
    times = np.r_[np.arange(10.0), 10 + np.arange(100) / 100]
    constraints = Constraints(min_gap_seconds=0.5)
    assert feasible_range(110, constraints, times) == (0, 12)
    chosen = sample("uniform", np.ones(110), 12, times=times, constraints=constraints).indices
    assert np.diff(times[chosen]).min() >= 0.5 - 1e-6
    assert set(range(10)) <= set(chosen.tolist())


@pytest.mark.parametrize("denominator", [90_000, 15_360, 16_384, 30_000, 1000, 12_800])
def test_a_gap_of_whole_frames_in_seconds_is_that_gap_in_frames(denominator):
    """The steps are exact in the file's ticks; doubles of seconds are not, the microsecond absorbs that."""
    ticks = denominator * 3 // 100
    times = np.arange(20_000) * ticks / denominator
    seconds = round(7 * ticks / denominator, 9)
    by_time = Constraints(min_gap_seconds=seconds, max_gap_seconds=seconds)
    by_frame = Constraints(min_gap=7, max_gap=7)
    assert feasible_range(20_000, by_time, times) == feasible_range(20_000, by_frame)


def test_times_that_step_back_are_noted():
    times = np.arange(50) / 10.0
    times[20] = 0.0
    chosen = sample("random", np.ones(50), 5, times=times, constraints=Constraints(min_gap_seconds=0.5))
    assert chosen.notes == ("time stamps step back; gaps in seconds use the latest time shown so far",)


def test_labeled_frames_are_neighbours_but_no_picks():
    constraints = Constraints(min_gap=10, labeled=(50, 52))
    chosen = sample("uniform", np.ones(100), 6, constraints=constraints).indices
    marks = np.sort(np.r_[chosen, 50, 52])
    steps = np.diff(marks)
    assert len(chosen) == 6
    assert sorted(steps.tolist())[:2] == [2, 10]

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evfr.sampling import systematic, uniform
from evfr.sampling._systematic import GRID, mend_grid, systematic_grid


def rational_chances(weights: list[Fraction], n: int, mixing: Fraction) -> list[Fraction]:
    """Iterate the cap in exact arithmetic; ``weights`` are already raised to the power."""
    total, whole = len(weights), sum(weights)
    spread = [
        (1 - mixing) / total + mixing * w / whole if whole and mixing else Fraction(1, total) for w in weights
    ]
    capped: set[int] = set()
    while True:
        rest = sum(u for i, u in enumerate(spread) if i not in capped)
        chances = [Fraction(1) if i in capped else (n - len(capped)) / rest * u for i, u in enumerate(spread)]
        newly = {i for i, p in enumerate(chances) if p >= 1} - capped
        if not newly:
            return chances
        capped |= newly
        if len(capped) == total:
            return [Fraction(1)] * total


def brute_force(weights: list[Fraction], n: int, mixing: Fraction, point: Fraction) -> list[int]:
    """Take the first frame at which the exact cumulative sum passes u, u + 1, ..."""
    picks, running = [], Fraction(0)
    targets = [point + k for k in range(n)]
    for i, p in enumerate(rational_chances(weights, n, mixing)):
        picks += [i for t in targets if running <= t < running + p]
        running += p
    assert running == n
    return picks


@settings(max_examples=150, deadline=None)
@given(
    weights=st.lists(st.integers(0, 12), min_size=1, max_size=40),
    share=st.floats(0, 1),
    mixing=st.sampled_from([Fraction(0), Fraction(1, 4), Fraction(1, 2), Fraction(7, 8)]),
    is_root=st.booleans(),
)
def test_against_brute_force_rational_arithmetic(weights, share, mixing, is_root):
    """Whole weights at gamma = 1, their squares at gamma = 1/2: rational, so the oracle is exact, ties too."""
    n = max(1, round(share * len(weights)))
    given_weights = [w * w for w in weights] if is_root else weights
    sample = systematic(given_weights, n, mixing=float(mixing), power=0.5 if is_root else 1.0)
    exact = [Fraction(w) for w in weights]
    assert sample.indices.tolist() == brute_force(exact, n, mixing, Fraction(1, 2))
    chances = rational_chances(exact, n, mixing)
    np.testing.assert_allclose(sample.probabilities, [float(p) for p in chances], atol=1.5 / GRID)


def test_by_hand():
    """T = 4, n = 2, weights 9, 1, 1, 1, lambda = 1/2, gamma = 1/2: u = 3/8, 5/24 x 3; pi = 3/4, 5/12 x 3."""
    sample = systematic([9, 1, 1, 1], 2)
    np.testing.assert_allclose(sample.probabilities, [3 / 4, 5 / 12, 5 / 12, 5 / 12], atol=1 / GRID)
    # Cumulative .75, 1.17, 1.58, 2: the points .5 and 1.5 fall on frames 0 and 2.
    assert sample.indices.tolist() == [0, 2]


def test_the_cap_is_iterated():
    """Capping the heaviest frame lifts the next one above 1: one round would leave it there."""
    weights = np.array([100.0, 30.0, 1, 1, 1, 1])
    chances = systematic(weights, 3, mixing=0.99, power=1.0).probabilities
    assert chances.max() == 1.0
    assert (chances == 1.0).sum() == 2
    assert chances.sum() == 3.0


def test_no_mixing_is_uniform_from_the_middle():
    rng = np.random.default_rng(0)
    for n_frames in range(1, 60):
        for n in range(n_frames + 1):
            got = systematic(rng.random(n_frames), n, mixing=0.0).indices
            assert got.tolist() == uniform(np.ones(n_frames), n, start="middle").indices.tolist()


@settings(max_examples=200, deadline=None)
@given(
    chances=st.lists(st.sampled_from([0.0, 0.25, 0.5, 1.0, 1.0]), min_size=1, max_size=30),
    errors=st.lists(st.integers(-3, 3), min_size=30, max_size=30),
)
def test_rounding_is_mended(chances, errors):
    """Whatever a few units of rounding do, steps stay within GRID and the end is n GRID: n unique frames."""
    n = max(1, round(sum(chances)))
    rounded = np.maximum.accumulate(
        np.round(np.cumsum(chances) * GRID).astype(np.int64) + errors[: len(chances)]
    )
    grid = mend_grid(np.maximum(rounded, 0), n)
    steps = np.diff(grid, prepend=0)
    assert steps.min() >= 0
    assert steps.max() <= GRID
    assert grid[-1] == n * GRID
    if sum(chances) == n:
        assert np.abs(grid - np.cumsum(chances) * GRID).max() <= 6


def test_a_step_above_the_grid_is_cut():
    """1, then a step of GRID + 1, then the rest: the step becomes GRID, the end stays."""
    assert mend_grid(np.array([0, GRID + 1, 2 * GRID]), 2).tolist() == [0, GRID, 2 * GRID]
    assert mend_grid(np.array([5, GRID - 1]), 1).tolist() == [5, GRID]


def test_inclusion_is_exact_over_all_starts():
    """Count, for every frame, the starts p in 0..GRID-1 that take it: exactly pi_i GRID of them."""
    weights = np.random.default_rng(1).gamma(0.3, size=30)
    grid = systematic_grid(weights, 7, 0.5, 0.5)
    sample = systematic(weights, 7)
    steps = np.diff(grid, prepend=0)
    assert steps.min() > 0
    assert steps.max() <= GRID
    assert grid[-1] == 7 * GRID
    np.testing.assert_array_equal(sample.probabilities, steps / GRID)


def test_inclusion_over_5000_draws():
    weights = np.array([8, 4, 2, 1, 1, 0, 1, 1, 1], dtype=float)
    counts = np.zeros(9)
    for seed in range(5_000):
        counts[systematic(weights, 4, seed=seed, start="random").indices] += 1
    p = systematic(weights, 4).probabilities
    assert np.all(np.abs(counts / 5_000 - p) < 4 * np.sqrt(p * (1 - p) / 5_000) + 1e-12)


@settings(max_examples=120, deadline=None)
@given(
    n_frames=st.integers(1, 400),
    share=st.floats(0.001, 1),
    mixing=st.floats(0, 0.999),
    power=st.sampled_from([0.0, 0.5, 0.7, 1.0, 3.0]),
    seed=st.integers(0, 2**31),
    start=st.sampled_from(["centre", "random"]),
)
def test_exactly_n_unique_and_no_large_gap(n_frames, share, mixing, power, seed, start):
    rng = np.random.default_rng(seed)
    weights = rng.gamma(rng.choice([0.01, 0.3, 5.0]), size=n_frames) * (rng.random(n_frames) < 0.7)
    n = max(1, round(share * n_frames))
    sample = systematic(weights, n, seed=seed, mixing=mixing, power=power, start=start)
    assert len(set(sample.indices.tolist())) == n
    bound = n_frames / ((1 - mixing) * n) + 1
    assert np.all(np.diff(sample.indices) <= bound)
    assert math.fsum(sample.probabilities) == n


def test_long_video_with_huge_contrast():
    weights = np.where(np.random.default_rng(0).random(216_000) < 0.001, 1e300, 1e-300)
    sample = systematic(weights, 21_600)
    assert len(np.unique(sample.indices)) == 21_600
    assert np.diff(sample.indices).max() <= 2 * 10 + 1


def test_centre_start_ignores_the_seed():
    weights = np.random.default_rng(0).random(99)
    assert systematic(weights, 9, seed=1).indices.tolist() == systematic(weights, 9, seed=2).indices.tolist()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"mixing": 1.0}, r"mixing must be in \[0, 1\), got 1.0"),
        ({"mixing": float("nan")}, r"mixing must be in \[0, 1\), got nan"),
        ({"power": -0.5}, r"power must be in \[0, 4\], got -0.5"),
        ({"start": "first"}, "start must be 'centre' or 'random', got 'first'"),
    ],
)
def test_wrong_options(options, message):
    with pytest.raises(ValueError, match=message):
        systematic(np.ones(5), 2, **options)

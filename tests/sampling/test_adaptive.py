from __future__ import annotations

import itertools

import numpy as np
import pytest

from evfr.sampling import adaptive, draw_weighted, random, successive_inclusion

WEIGHTS = np.array([8, 4, 2, 1, 1, 1, 1, 1, 1], dtype=float)


def exact_inclusion(weights: np.ndarray, n: int) -> np.ndarray:
    """Sum the probabilities of all ordered draws of n frames: the definition, by enumeration."""
    chance = np.zeros(len(weights))
    for path in itertools.permutations(range(len(weights)), n):
        probability, left = 1.0, weights.sum()
        for i in path:
            probability *= weights[i] / left
            left -= weights[i]
        chance[list(path)] += probability
    return chance


def test_the_law_is_that_of_sequential_draws():
    """The figures .93, .77, .52, .30 of the weights 8, 4, 2, 1 x 6 at n = 4, and 5,000 draws of ours."""
    exact = exact_inclusion(WEIGHTS, 4)
    np.testing.assert_allclose(exact[:4], [0.93, 0.77, 0.52, 0.30], atol=0.005)
    counts = np.zeros(9)
    for seed in range(5_000):
        counts[adaptive(WEIGHTS, 4, seed=seed).indices] += 1
    assert np.all(np.abs(counts / 5_000 - exact) < 4 * np.sqrt(exact * (1 - exact) / 5_000))


def test_the_law_is_that_of_numpy_choice():
    rng = np.random.default_rng(0)
    counts = np.zeros(9)
    for _ in range(8_000):
        counts[rng.choice(9, 4, replace=False, p=WEIGHTS / WEIGHTS.sum())] += 1
    exact = exact_inclusion(WEIGHTS, 4)
    assert np.all(np.abs(counts / 8_000 - exact) < 4 * np.sqrt(exact * (1 - exact) / 8_000))


def test_pairs_are_drawn_together_as_often_as_by_sequential_draws():
    """Inclusion alone would not tell the law from another one: two frames, in this order, by hand."""
    w = np.array([5.0, 3.0, 2.0])
    # P({0, 1}) = 5/10 * 3/5 + 3/10 * 5/7; P({0, 2}) = 5/10 * 2/5 + 2/10 * 5/8.
    expected = {(0, 1): 0.3 + 3 / 14, (0, 2): 0.2 + 1 / 8, (1, 2): 3 / 10 * 2 / 7 + 2 / 10 * 3 / 8}
    counts = dict.fromkeys(expected, 0)
    for seed in range(4_000):
        counts[tuple(adaptive(w, 2, seed=seed).indices.tolist())] += 1
    for pair, p in expected.items():
        assert abs(counts[pair] / 4_000 - p) < 4 * np.sqrt(p * (1 - p) / 4_000)


def test_keys_by_hand():
    """Exponential draws of seed 0 divided by the weights, sorted by hand."""
    draws = np.random.Generator(np.random.PCG64(0)).standard_exponential(5)
    weights = np.array([1.0, 0.0, 4.0, 2.0, 0.0])
    positive = sorted([0, 2, 3], key=lambda i: draws[i] / weights[i])
    zero = sorted([1, 4], key=lambda i: draws[i])
    assert adaptive(weights, 5, seed=0).order.tolist() == positive + zero


@pytest.mark.parametrize("kind", ["gamma", "sparse", "equal", "ladder", "extreme"])
@pytest.mark.parametrize("n_frames", [1, 2, 7, 300, 9_000])
def test_order_and_draw_equal_the_plain_sort(kind, n_frames):
    """Keys sorted by one lexsort over all frames: weighted first, then key, then draw, then index."""
    rng = np.random.default_rng(n_frames)
    weights = {
        "gamma": lambda: rng.gamma(0.3, size=n_frames),
        "sparse": lambda: rng.gamma(0.3, size=n_frames) * (rng.random(n_frames) < 0.1),
        "equal": lambda: np.ones(n_frames),
        "ladder": lambda: 2.0 ** rng.integers(-40, 40, n_frames),
        "extreme": lambda: rng.choice([0.0, 1e-310, 1.0, 1e300, np.nan], n_frames),
    }[kind]()
    draws = np.random.Generator(np.random.PCG64(11)).standard_exponential(n_frames)
    values = np.nan_to_num(weights)
    with np.errstate(over="ignore", divide="ignore"):
        keys = np.where(values > 0, draws / values, np.inf)
    plain = np.lexsort((np.arange(n_frames), draws, keys, values == 0))
    assert adaptive(weights, 0, seed=11).order.tolist() == plain.tolist()
    for n in {0, 1, n_frames // 50, n_frames // 5, n_frames // 2, n_frames - 1, n_frames}:
        drawn = draw_weighted(weights, n, seed=11)
        assert drawn.dtype == np.int64
        assert drawn.tolist() == sorted(plain[:n].tolist())


def test_keys_that_share_their_upper_bits_are_told_apart(monkeypatch):
    """The sort carries indices in the low bits of the keys; runs of equal upper bits are sorted again."""
    draws = 1.0 + np.random.default_rng(0).permutation(1_000) * 2.0**-52

    class Drawn:
        def standard_exponential(self, size):
            return draws[:size]

    monkeypatch.setattr("evfr.sampling._adaptive.generator", lambda seed: Drawn())
    assert adaptive(np.ones(1_000), 3).order.tolist() == np.argsort(draws).tolist()
    assert draw_weighted(np.ones(1_000), 300).tolist() == np.sort(np.argsort(draws)[:300]).tolist()


def test_nested():
    rng = np.random.default_rng(1)
    weights = rng.gamma(0.3, size=200) * (rng.random(200) < 0.5)
    samples = [set(adaptive(weights, n, seed=4).indices.tolist()) for n in range(201)]
    assert all(a < b for a, b in itertools.pairwise(samples))
    assert samples[30] == set(adaptive(weights, 5, seed=4).order[:30].tolist())


def test_too_few_weights_fall_back_aloud():
    sample = adaptive([0, 2, 0, float("nan"), 1], 4, seed=1)
    assert {1, 4} < set(sample.indices.tolist())
    assert sample.is_fallback
    assert sample.nan_count == 1
    assert "only 2 of 5 frames have a weight" in sample.notes[0]
    np.testing.assert_allclose(sample.probabilities, [2 / 3, 1, 2 / 3, 2 / 3, 1])
    assert not sample.is_inclusion_approximate
    assert not adaptive([0, 2, 0, 0, 1], 2).is_fallback
    assert adaptive([0, 2, 0, 0, 1], 3).is_fallback


def test_all_zero_is_random_sampling():
    sample = adaptive(np.zeros(30), 6, seed=8)
    assert sample.is_fallback
    assert sample.indices.tolist() == random(np.ones(30), 6, seed=8).indices.tolist()
    np.testing.assert_allclose(sample.inclusion, 0.2)


@pytest.mark.parametrize("n", [0, 1, 3, 4, 9])
def test_approximate_inclusion_is_close_and_sums_to_n(n):
    got = successive_inclusion(WEIGHTS, n)
    assert got.sum() == pytest.approx(n, abs=1e-9)
    np.testing.assert_allclose(got, exact_inclusion(WEIGHTS, n) if n < 9 else np.ones(9), atol=0.07)


def test_approximate_inclusion_at_the_known_figures():
    np.testing.assert_allclose(successive_inclusion(WEIGHTS, 4)[:4], [0.93, 0.77, 0.52, 0.30], atol=0.015)
    assert adaptive(WEIGHTS, 4).is_inclusion_approximate


def test_approximate_inclusion_on_a_long_video():
    """1,500 draws of 60 of 600 frames; five standard deviations, plus .002 for the approximation."""
    weights = np.random.default_rng(3).gamma(0.5, size=600)
    counts = np.zeros(600)
    for seed in range(1_500):
        counts[adaptive(weights, 60, seed=seed).order[:60]] += 1
    p = successive_inclusion(weights, 60)
    assert np.all(np.abs(counts / 1_500 - p) < 5 * np.sqrt(p * (1 - p) / 1_500) + 0.002)


@pytest.mark.parametrize("scale", [1e-300, 1.0, 1e300])
def test_scale_does_not_matter(scale):
    assert (
        adaptive(WEIGHTS * scale, 4, seed=2).indices.tolist() == adaptive(WEIGHTS, 4, seed=2).indices.tolist()
    )


def test_weights_far_apart():
    sample = adaptive([1e-320, 1e300, 1.0, 0.0], 3, seed=0)
    assert sample.indices.tolist() == [0, 1, 2]
    assert not sample.is_fallback


@pytest.mark.parametrize("bad", [-1.0, float("inf")])
def test_bad_weights(bad):
    with pytest.raises(ValueError, match=r"weights must be finite and 0 or more, got .* at frame 1"):
        adaptive([1.0, bad], 1)

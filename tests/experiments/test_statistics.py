from __future__ import annotations

import math
from dataclasses import astuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import special

from evfr.experiments._statistics import (
    clip_weights,
    hierarchical_bootstrap,
    hierarchical_interval,
    paired,
)
from evfr.experiments._student import combine_errors, t_quantile, t_tail
from helpers.drawn_runs import Noise, draw_table


@settings(max_examples=80, deadline=None)
@given(probability=st.floats(0.0005, 0.9995), degrees=st.floats(0.6, 500))
def test_quantiles_of_t_against_scipy(probability: float, degrees: float) -> None:
    expected = float(special.stdtrit(degrees, probability))
    assert t_quantile(probability, degrees) == pytest.approx(expected, rel=1e-7, abs=1e-7)
    assert t_tail(expected, degrees) == pytest.approx(1.0 - probability, rel=1e-7)


def test_quantiles_of_t_in_closed_form() -> None:
    assert t_quantile(0.975, 2) == pytest.approx(0.95 / math.sqrt(2 * 0.975 * 0.025), rel=1e-10)
    assert t_quantile(0.75, 1) == pytest.approx(1.0, rel=1e-10)
    assert t_quantile(0.5, 3.7) == 0.0
    assert t_quantile(0.025, 7) == -t_quantile(0.975, 7)
    assert t_quantile(0.975, 1e7) == pytest.approx(1.959964, rel=1e-6)
    assert t_tail(1.0, 1e7) == pytest.approx(0.158655, rel=1e-5)
    assert t_quantile(0.9, 0.004) > 1e100  # far beyond where the density is 0 in floating point


@pytest.mark.parametrize(("probability", "degrees"), [(0.0, 3), (1.0, 3), (math.nan, 3)])
def test_quantile_refuses_probabilities(probability: float, degrees: float) -> None:
    with pytest.raises(ValueError, match=r"probability in \(0, 1\)"):
        t_quantile(probability, degrees)


@pytest.mark.parametrize("degrees", [0, -1, math.nan])
def test_quantile_refuses_degrees(degrees: float) -> None:
    with pytest.raises(ValueError, match="more than 0 degrees"):
        t_quantile(0.9, degrees)


@settings(max_examples=40, deadline=None)
@given(
    values=st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1)), min_size=2, max_size=8),
    confidence=st.sampled_from([0.8, 0.9, 0.95, 0.99]),
)
def test_paired_against_scipy(values: list[tuple[float, float]], confidence: float) -> None:
    a, b = np.array(values).T
    difference = a - b
    if difference.std() < 1e-6:
        return
    found = paired(a, b, confidence=confidence)
    error = difference.std(ddof=1) / math.sqrt(len(difference))
    two, one = special.stdtrit(len(difference) - 1, [0.5 + confidence / 2, confidence]) * error
    expected = (difference.mean() - two, difference.mean() + two, difference.mean() - one)
    assert (found.low, found.high, found.one_sided_low) == pytest.approx(expected, rel=1e-7, abs=1e-9)
    swapped = paired(b, a, confidence=confidence)
    assert (swapped.low, swapped.one_sided_high) == pytest.approx(
        (-found.high, -found.one_sided_low), abs=1e-12
    )


def test_paired_by_hand() -> None:
    found = paired([0.5, 0.6, 0.7], [0.4, 0.6, 0.5])  # differences .1, 0, .2: mean .1, sd .1
    assert found.mean == pytest.approx(0.1)
    assert found.seed_sd == pytest.approx(0.1)
    assert found.high - found.mean == pytest.approx(4.302653 * 0.1 / math.sqrt(3), rel=1e-6)
    assert found.one_sided_low == pytest.approx(0.1 - 2.919986 * 0.1 / math.sqrt(3), rel=1e-5)
    assert (found.n, found.missing, found.degrees) == (3, 0, 2.0)


def test_cells_without_a_score_are_left_out_in_pairs_and_counted() -> None:
    found = paired([0.5, math.nan, 0.7, 0.9], [0.4, 0.1, math.nan, 0.6])
    assert (found.n, found.missing) == (2, 2)
    assert found.mean == pytest.approx(0.2)


def test_one_seed_has_an_infinite_interval_and_none_has_nan() -> None:
    one = paired([0.5], [0.4])
    assert (one.n, one.low, one.high, one.one_sided_low) == (1, -math.inf, math.inf, -math.inf)
    assert math.isnan(one.seed_sd)
    none = paired([math.nan], [0.4])
    assert none.n == 0
    assert math.isnan(none.mean)
    assert math.isnan(none.low)


def test_equal_differences_have_no_spread_whatever_their_rounding() -> None:
    assert paired([0.3, 0.5, 0.7], [0.1, 0.3, 0.5]).seed_sd == 0.0


@pytest.mark.parametrize(
    ("a", "b", "options", "message"),
    [
        ([0.1, 0.2], [0.1], {}, "a has 2 seeds and b has 1"),
        ([[0.1]], [0.1], {}, r"a must have shape \(S,\)"),
        ([0.1, math.inf], [0.1, 0.2], {}, r"a\[1\] is infinite"),
        ([0.1], [0.1], {"confidence": 95}, r"confidence must be in \(0.5, 1\)"),
        ([0.1], [0.1], {"clip_sd": -1.0}, "clip_sd must be 0 or more"),
        ([0.1], [0.1], {"clip_sd": math.nan}, "clip_sd must be 0 or more"),
        ([0.1], [0.1], {"clip_sd": 0.1}, "clip_sd needs clip_degrees"),
        ([0.1], [0.1], {"clip_sd": 0.1, "clip_degrees": 0.0}, "clip_sd needs clip_degrees"),
    ],
)
def test_paired_refuses(a: list[float], b: list[float], options: dict[str, float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        paired(a, b, **options)


def test_errors_of_seeds_and_clips_combine_as_satterthwaite_says() -> None:
    error, degrees = combine_errors(0.02, 4, 0.01, 7.0)
    assert error == pytest.approx(math.sqrt(0.0001 + 0.0001))
    assert degrees == pytest.approx(0.0002**2 / (0.0001**2 / 3 + 0.0001**2 / 7))
    assert combine_errors(0.02, 4, 0.0, None) == (pytest.approx(0.01), pytest.approx(3.0))
    assert combine_errors(0.0, 4, 0.0, None) == (0.0, 3.0)
    assert combine_errors(0.02, 1, 0.5, 7.0) == (math.inf, 0.0)
    assert combine_errors(0.0, 4, 0.1, 0.01)[1] == 1.0


def test_weights_of_clips_are_those_of_the_bayesian_bootstrap() -> None:
    weights = clip_weights(6, 20_000, seed=3)
    assert weights.sum(axis=1) == pytest.approx(6.0)
    assert (weights > 0).all()
    assert weights.mean(axis=0) == pytest.approx(1.0, abs=0.03)
    # Dirichlet(1): the variance of one share is (K - 1) / (K^2 (K + 1)).
    assert weights.var(axis=0) == pytest.approx(5 / 7, rel=0.05)
    assert (clip_weights(6, 10, seed=3) == clip_weights(6, 10, seed=3)).all()


def test_errors_of_both_levels_are_those_of_the_analysis_of_variance() -> None:
    """For a mean, the bootstrap's parts have closed forms: mean squares of a table of seeds and clips."""
    table = draw_table(np.random.default_rng(5), 4, 12, Noise(arm_clip=0.05), 0.02)
    difference = table[0] - table[1]
    found = hierarchical_interval(
        difference.mean(axis=1), clip_weights(12, 40_000) @ difference.T / 12, clips=12
    )
    by_seed, by_clip, mean = difference.mean(axis=1), difference.mean(axis=0), difference.mean()
    residual = ((difference - by_seed[:, None] - by_clip + mean) ** 2).sum() / (3 * 11)
    expected = (4 * by_clip.var(ddof=1) - residual) / (4 * 12)
    assert found.value == pytest.approx(mean)
    assert found.seed_sd == pytest.approx(by_seed.std(ddof=1))
    assert found.clip_sd == pytest.approx(math.sqrt(expected), rel=0.02)
    wanted = expected**2 / ((by_clip.var(ddof=1) / 12) ** 2 / 11 + (residual / 48) ** 2 / 33)
    assert found.clip_degrees == pytest.approx(wanted, rel=0.04)


def test_the_bootstrap_is_the_interval_of_its_draws() -> None:
    scores = draw_table(np.random.default_rng(1), 3, 8, Noise(arm_clip=0.05), 0.0)[0]

    def statistic(rows: np.ndarray, weights: np.ndarray) -> float:
        assert (rows.dtype, rows.shape) == (np.int64, (1,))
        return float(weights @ scores[rows[0]] / weights.sum())

    found = hierarchical_bootstrap(statistic, seeds=3, clips=8, draws=200, seed=4)
    drawn = clip_weights(8, 200, seed=4) @ scores.T / 8
    expected = hierarchical_interval(scores.mean(axis=1), drawn, clips=8)
    assert astuple(found) == pytest.approx(astuple(expected), rel=1e-9)


def test_clips_that_do_not_matter_add_nothing() -> None:
    whole = np.array([0.1, 0.2, 0.4])
    found = hierarchical_interval(whole, np.tile(whole, (50, 1)), clips=9)
    assert (found.clip_sd, found.clip_degrees) == (0.0, None)
    plain = paired(whole, np.zeros(3))
    assert (found.low, found.high) == pytest.approx((plain.low, plain.high))


def test_values_without_a_number_are_left_out_and_counted() -> None:
    whole = np.array([0.1, math.nan, 0.4])
    drawn = np.random.default_rng(0).normal(0.2, 0.1, (20, 3))
    drawn[3, 0] = math.nan
    drawn[:, 1] = math.nan
    found = hierarchical_interval(whole, drawn, clips=5)
    assert (found.seeds, found.missing, found.missing_draws) == (2, 1, 1)
    assert found.value == pytest.approx(0.25)
    nothing = hierarchical_interval([math.nan], [[0.1], [0.2]], clips=5)
    assert nothing.seeds == 0
    assert math.isnan(nothing.value)
    assert math.isnan(nothing.low)


def test_one_clip_says_nothing_about_others_and_one_seed_nothing_at_all() -> None:
    found = hierarchical_interval([0.1, 0.2], [[0.1, 0.2], [0.1, 0.2]], clips=1)
    assert math.isnan(found.clip_sd)
    assert math.isfinite(found.low)
    alone = hierarchical_interval([0.1], [[0.12], [0.09]], clips=4)
    assert (alone.low, alone.high) == (-math.inf, math.inf)
    assert alone.clip_sd > 0


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: clip_weights(0, 5), "clips and draws must be 1 or more"),
        (lambda: hierarchical_interval([0.1, 0.2], [[0.1]], clips=3), r"shape \(draws, 2\)"),
        (lambda: hierarchical_interval([0.1], [[0.1]], clips=0), "clips must be 1 or more, got 0"),
        (lambda: hierarchical_interval([0.1], [[0.1]], clips=2, confidence=0.5), "confidence must be"),
        (lambda: hierarchical_bootstrap(lambda r, w: 0.0, seeds=0, clips=2), "seeds must be 1 or more"),
        (lambda: hierarchical_bootstrap(lambda r, w: 0.0, seeds=1, clips=2, draws=1), "draws 2 or more"),
    ],
)
def test_bootstrap_refuses(call: object, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()  # type: ignore[operator]


def test_percentiles_over_three_seeds_would_be_far_too_narrow() -> None:
    """Why t: the plain bootstrap of 3 seeds misses the truth in a third of the tables, t in one of twenty."""
    rng = np.random.default_rng(0)
    misses = {"t": 0, "percentile": 0}
    for _ in range(250):
        difference = rng.normal(0.0, 1.0, 3)
        found = paired(difference, np.zeros(3))
        misses["t"] += not found.low <= 0.0 <= found.high
        means = difference[rng.integers(3, size=(500, 3))].mean(axis=1)
        misses["percentile"] += not np.quantile(means, 0.025) <= 0.0 <= np.quantile(means, 0.975)
    assert misses["t"] <= 22
    assert misses["percentile"] >= 45

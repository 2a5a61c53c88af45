from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evfr.experiments._statistics import paired
from evfr.experiments._verdicts import judge, seeds_needed
from helpers.drawn_runs import Noise, verdict_rates

NOISE = Noise()


def test_better() -> None:
    found = judge([0.42, 0.40, 0.43], [0.30, 0.29, 0.31], margin=0.01, name_a="S5", name_b="S1")
    assert (found.word, found.more_seeds, found.seeds) == ("better", 0, 3)
    assert found.text == "S5 is better than S1 (difference 0.117, 95 % interval 0.102 to 0.131, 3 seeds)"


def test_worse() -> None:
    found = judge([0.30, 0.29, 0.31], [0.42, 0.40, 0.43], margin=0.01, name_a="S5", name_b="S1")
    assert found.word == "worse"
    assert found.text == "S5 is worse than S1 (difference -0.117, 95 % interval -0.131 to -0.102, 3 seeds)"


def test_not_worse_in_the_words_of_the_papers() -> None:
    b = [0.31, 0.30, 0.29, 0.32, 0.28]
    shift = np.array([-0.002, 0.001, -0.005, 0.0, -0.004])
    found = judge(b + shift, b, margin=0.01, name_a="S5", name_b="S1")
    assert found.word == "not worse"
    assert found.text == (
        "S5 is not worse than S1 by more than 0.010 "
        "(difference -0.002, 95 % interval -0.005 to 0.001, 5 seeds)"
    )


def test_not_worse_says_so_when_it_is_lower_and_when_only_the_one_sided_bound_decides() -> None:
    b = np.array([0.3, 0.31, 0.29, 0.32])
    lower = judge(b - np.array([0.004, 0.005, 0.006, 0.005]), b, margin=0.01, name_a="S2", name_b="S1")
    assert lower.word == "not worse"
    assert "by more than 0.010, though lower (difference -0.005" in lower.text
    shift = np.array([0.0, -0.01, 0.002, -0.004])
    narrow = judge(b + shift, b, margin=0.01, name_a="S2", name_b="S1")
    assert narrow.low <= -0.01 < narrow.one_sided_low
    assert narrow.word == "not worse"
    assert "interval -0.011 to 0.005, one-sided bound -0.009, 4 seeds" in narrow.text


def test_undecided_counts_the_seeds_to_add() -> None:
    found = judge([0.31, 0.30, 0.36], [0.30, 0.28, 0.32], margin=0.001, name_a="S5", name_b="S1")
    assert (found.word, found.more_seeds) == ("undecided", 2)
    assert found.text.startswith("undecided: 2 more seeds (S5 - S1: difference 0.023, 95 % interval")
    one = judge([0.31, 0.318], [0.30, 0.30], margin=0.0)
    assert one.text.startswith("undecided: 1 more seed (A - B")


def test_one_seed_is_undecided_and_says_why() -> None:
    found = judge([0.5], [0.1], margin=0.01, name_a="S5", name_b="S1")
    assert (found.word, found.more_seeds) == ("undecided", 2)
    assert found.text == "undecided: 2 more seeds (S5 - S1: difference 0.400, one seed has no spread)"
    none = judge([math.nan], [0.1], margin=0.01)
    assert none.text == (
        "undecided: 3 more seeds (A - B: no seed has both scores; 1 of 1 seeds without a score)"
    )


def test_cells_without_a_score_are_told() -> None:
    found = judge([0.42, math.nan, 0.43, 0.41], [0.30, 0.29, 0.31, 0.3], margin=0.01)
    assert (found.seeds, found.missing) == (3, 1)
    assert found.text.endswith("3 seeds; 1 of 4 seeds without a score)")


def test_equal_scores_in_every_seed_are_not_worse_where_a_margin_allows_it() -> None:
    scores = [0.41, 0.40, 0.43]
    assert judge(scores, scores, margin=0.01).word == "not worse"
    assert judge(scores, scores, margin=0.0).word == "undecided"
    assert judge(scores, scores, margin=0.0).more_seeds == 0


def test_scores_that_are_all_the_same_number_prove_nothing() -> None:
    found = judge([0.0, 0.0, 0.0], [0.0, 0.0, 0.0], margin=0.01)
    assert found.word == "undecided"
    assert "every score is 0.000, so there is no signal" in found.text


def test_seeds_that_do_not_vary_prove_nothing_but_clips_may() -> None:
    a, b = [0.40, 0.42, 0.43], [0.30, 0.32, 0.33]
    found = judge(a, b, margin=0.01)
    assert (found.word, found.more_seeds) == ("undecided", 0)
    assert "the same in every seed" in found.text
    assert judge(a, b, margin=0.01, clip_sd=0.01, clip_degrees=7.0).word == "better"


def test_clips_widen_the_interval_and_no_seed_can_mend_them() -> None:
    a, b = [0.35, 0.33, 0.36, 0.32], [0.31, 0.30, 0.33, 0.28]
    assert judge(a, b, margin=0.01).word == "better"
    found = judge(a, b, margin=0.01, clip_sd=0.05, clip_degrees=7.0)
    assert (found.word, found.more_seeds) == ("undecided", 0)
    assert "more seeds would not settle it, more test clips may" in found.text


def test_differences_too_small_for_the_experiment_are_called_so() -> None:
    found = judge([0.31, 0.35, 0.25], [0.30, 0.30, 0.310], margin=0.0)
    assert (found.word, found.more_seeds) == ("undecided", 0)
    assert "more than 100 more seeds" in found.text


def test_small_scores_get_the_decimals_that_they_need() -> None:
    found = judge([0.00021, 0.00022, 0.00024], [0.0001, 0.0001, 0.00012], margin=0.00005)
    assert "difference 0.00012, 95 % interval 0.00010 to 0.00013" in found.text
    zero = judge([0.3, 0.3004, 0.2996], [0.3004, 0.2996, 0.3], margin=0.01)
    assert "difference 0.000," in zero.text
    assert "-0.000," not in zero.text


@pytest.mark.parametrize("margin", [-0.01, math.nan, math.inf])
def test_margin_is_refused(margin: float) -> None:
    with pytest.raises(ValueError, match="margin must be 0 or more"):
        judge([0.1, 0.2], [0.1, 0.2], margin=margin)


@pytest.mark.parametrize("power", [0.0, 1.0, 80.0])
def test_power_is_refused(power: float) -> None:
    with pytest.raises(ValueError, match=r"power must be in \(0, 1\)"):
        seeds_needed(paired([0.1, 0.3], [0.1, 0.2]), margin=0.0, power=power)


@settings(max_examples=60, deadline=None)
@given(
    pairs=st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1)), min_size=2, max_size=6),
    margin=st.floats(0, 0.3),
)
def test_every_word_is_what_its_bound_says(pairs: list[tuple[float, float]], margin: float) -> None:
    a, b = np.array(pairs).T
    found = judge(a, b, margin=margin)
    if found.word == "better":
        assert found.low > 0
    elif found.word == "worse":
        assert found.high < 0
        assert found.one_sided_low <= -margin
    elif found.word == "not worse":
        assert found.one_sided_low > -margin
        assert found.low <= 0
    assert (found.more_seeds > 0) <= (found.word == "undecided")
    assert "\n" not in found.text


def test_more_seeds_do_decide_when_the_spread_stays() -> None:
    """The seeds asked for give a verdict in about 80 % of the tables that keep the same mean and spread."""
    rng = np.random.default_rng(0)
    base = paired([0.0, 0.01, 0.02], np.zeros(3))
    for mean, margin in ((0.008, 0.0), (-0.004, 0.02), (-0.009, 0.0)):
        found = replace(base, mean=mean)
        seeds = seeds_needed(found, margin=margin)
        assert seeds is not None
        draws = rng.normal(mean, base.seed_sd, (400, seeds))
        decided = [judge(row, np.zeros(seeds), margin=margin).word != "undecided" for row in draws]
        assert 0.72 <= np.mean(decided) <= 0.95


def rates(count: int, **options: object) -> dict[str, float]:
    """Return `verdict_rates` of the usual table."""
    usual = {
        "seeds": 5,
        "clips": 16,
        "noise": NOISE,
        "gain": 0.0,
        "margin": 0.01,
        "over_clips": False,
        "draw": 1,
    }
    return verdict_rates(count, **{**usual, **options})  # type: ignore[arg-type]


def test_one_arm_under_two_names_is_rarely_better_or_worse() -> None:
    assert rates(400)["proven"] <= 0.08
    assert rates(150, seeds=3, over_clips=True)["proven"] <= 0.09


def test_a_true_gain_is_found() -> None:
    assert rates(200, gain=2.0 * NOISE.of_difference(16))["better"] >= 0.75


def test_a_loss_of_the_margin_is_rarely_called_none() -> None:
    margin = 2.0 * NOISE.of_difference(16)
    assert rates(400, gain=-margin, margin=margin)["no loss"] <= 0.08


@pytest.mark.slow
@pytest.mark.parametrize(
    ("seeds", "clips", "arm_clip", "over_clips"),
    [
        *[(3, 8, 0.0, False), (5, 32, 0.0, False)],
        *[(3, 8, 0.0, True), (3, 32, 0.0, True), (5, 8, 0.0, True), (5, 32, 0.0, True)],
        *[(3, 32, 0.03, True), (5, 8, 0.03, True)],
    ],
)
def test_bars_over_thousands_of_tables(seeds: int, clips: int, arm_clip: float, over_clips: bool) -> None:
    """6 % and 75 % as the issue asks, over 3,000 tables so that chance (0.4 %) does not decide.

    ``arm_clip``: clips that favour one arm; whoever judges over clips must not take that for a difference of the arms.
    """
    noise = replace(NOISE, arm_clip=arm_clip)
    common = {"seeds": seeds, "clips": clips, "noise": noise, "over_clips": over_clips, "draw": 11}
    margin = 2.0 * math.hypot(noise.of_difference(clips), arm_clip * math.sqrt(2 * seeds / clips))
    assert rates(3000, **common)["proven"] <= 0.06
    assert rates(3000, **common, gain=-margin, margin=margin)["no loss"] <= 0.06
    if seeds == 5 and not arm_clip:
        assert rates(1000, **common, gain=2.0 * noise.of_difference(clips))["better"] >= 0.75

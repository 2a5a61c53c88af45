from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import least_squares

from evfr.errors import InputError
from evfr.experiments._curve_fit import fit_and_draw, fit_powers
from evfr.experiments._curves import fit_learning_curve, frames_for
from evfr.experiments._surface import fit_surface
from helpers.drawn_runs import curve_rates, draw_curve

LEVELS = [25, 50, 100, 200, 400, 800]


def clean(a: float, b: float, c: float, levels: list[int] = LEVELS) -> list[float]:
    """Return the scores of a curve without noise."""
    return [a - b * n**-c for n in levels]


@settings(max_examples=12, deadline=None)
@given(a=st.floats(0.2, 0.9), loss=st.floats(0.05, 0.9), c=st.floats(0.15, 2.0))
def test_a_curve_without_noise_comes_back(a: float, loss: float, c: float) -> None:
    b = loss * a * 25**c
    curve = fit_learning_curve(LEVELS, clean(a, b, c), draws=20)
    for n in (25, 300, 1600):
        assert curve.score(n) == pytest.approx(a - b * n**-c, abs=1e-4)
    assert curve.gain == pytest.approx(b * 800**-c * (1 - 2**-c), abs=1e-4)


@pytest.mark.parametrize("seed", range(4))
def test_the_fit_is_scipys_soft_l1(seed: int) -> None:
    drawn = draw_curve(np.random.default_rng(seed))
    x = drawn.n / drawn.n.max()
    fit, noise, *_ = fit_and_draw(x[:, None], drawn.score, None, 1.0, 20, 0)
    soft = 1.5 * noise

    def residuals(p: np.ndarray) -> np.ndarray:
        return p[0] - p[1] * x ** -p[2] - drawn.score

    bounds = ([-10, 0, 0.05], [1.0, 10, 4.0])
    starts = [
        least_squares(residuals, [0.5, 0.05, c], bounds=bounds, loss="soft_l1", f_scale=soft)
        for c in (0.2, 0.7, 2)
    ]
    best = min(starts, key=lambda found: found.cost)
    cost = soft**2 * (np.sqrt(1 + (residuals(fit) / soft) ** 2) - 1).sum()
    assert cost <= best.cost * (1 + 1e-6)
    at = np.array([0.1, 0.5, 1.0])
    ours, theirs = (p[0] - p[1] * at ** -p[2] for p in (fit, best.x))
    np.testing.assert_allclose(ours, theirs, atol=2e-4)


def test_soft_l1_forgives_one_run_that_failed() -> None:
    n = np.repeat(LEVELS, 3)
    score = np.array(clean(0.5, 1.2, 0.5)).repeat(3) + np.tile([-0.004, 0.0, 0.004], 6)
    good = fit_learning_curve(n, score, draws=20)
    score[16] = 0.05
    bad = fit_learning_curve(n, score, draws=20)
    assert bad.score(800) == pytest.approx(good.score(800), abs=0.02)
    plain = fit_powers((n / 800)[:, None], score[None], scale=None, ceiling=1.0)
    assert abs(plain[0][0] - plain[1][0, 0] - good.score(800)) > 0.05


def test_plateau_is_kept_below_the_ceiling_and_the_loss_above_zero() -> None:
    rising = fit_learning_curve(LEVELS, [0.05 + 0.13 * k for k in range(6)], draws=20)
    assert rising.a <= 1.0
    percent = fit_learning_curve(LEVELS, [100 * s for s in clean(0.5, 1.2, 0.5)], draws=20, ceiling=100)
    assert percent.a == pytest.approx(50.0, abs=0.1)
    falling = fit_learning_curve(LEVELS, [0.5 - 0.01 * k for k in range(6)], draws=20)
    assert falling.b == 0.0
    assert falling.gain == 0.0


def test_saturated_says_from_where_on() -> None:
    curve = fit_learning_curve(LEVELS, clean(0.4, 0.9, 0.6), draws=50)
    assert curve.is_saturated
    truth = 800 * (0.9 * 800**-0.6 * (1 - 2**-0.6) / 0.01) ** (1 / 0.6)
    assert curve.enough == pytest.approx(truth, rel=0.01)
    assert curve.text == (
        "saturated: from 300 frames on (95 % interval 299 to 299), twice as many gain no more than 0.01; "
        "1600 frames instead of 800 would gain 0.006 (95 % interval 0.006 to 0.006)"
    )
    assert repr(curve) == "Curve(0.400 - 0.9 n^-0.60, n 25 to 800, saturated)"


def test_flat_scores_are_saturated_from_the_least_on() -> None:
    curve = fit_learning_curve(np.repeat(LEVELS, 3), 0.3 + np.tile([-0.002, 0.0, 0.002], 6), draws=100)
    assert curve.is_saturated
    assert "no rise is seen from 25 to 800 frames" in curve.text
    assert frames_for(curve, 0.29).where == "below"


def test_not_saturated_says_how_many_more_and_never_beyond_twice() -> None:
    near = fit_learning_curve(LEVELS, clean(0.5, 1.2, 0.5), draws=50)
    assert near.state == "not saturated"
    assert 800 < near.enough < 1600
    assert near.text.startswith(f"not saturated: label {near.enough - 800} more; 1600 frames instead of 800")
    far = fit_learning_curve(LEVELS, clean(0.9, 2.0, 0.25), draws=50)
    assert far.text.startswith("not saturated: label 800 more and measure again; 1600 frames")


def test_a_gain_below_the_tolerance_that_is_not_sure_is_said_so() -> None:
    n = np.tile(LEVELS, 3)
    score = np.array(clean(0.4, 0.9, 0.6) * 3) + np.random.default_rng(0).normal(0, 0.012, 18)
    curve = fit_learning_curve(n, score, draws=200)
    assert curve.state == "unsure"
    assert curve.text.startswith("not proven saturated: 1600 frames instead of 800 would gain")
    assert "run more seeds, or label 800 more" in curve.text
    assert not curve.is_saturated


def test_frames_for_a_score() -> None:
    curve = fit_learning_curve(LEVELS, clean(0.5, 1.2, 0.5), draws=50)
    within = frames_for(curve, 0.44)
    assert (within.n, within.where, within.more) == (400, "measured", 0)
    assert within.text == "0.440 is reached with 400 frames (95 % interval 400 to 400)"
    above = frames_for(curve, 0.5 - 1.2 * 1200**-0.5)
    assert (above.n, above.where, above.more, above.chance) == (1200, "extrapolated", 400, 1.0)
    assert "label 400 more than the 800 measured" in above.text
    beyond = frames_for(curve, 0.48)
    assert (beyond.n, beyond.high, beyond.where, beyond.more) == (None, None, "beyond", 800)
    assert "needs more than 1600 frames, twice what was measured" in beyond.text
    assert "label 800 more, which would reach 0.470" in beyond.text
    below = frames_for(curve, 0.1)
    assert (below.n, below.where) == (25, "below")
    assert "25 frames or fewer, the least that was measured" in below.text


def test_a_score_above_a_plateau_is_out_of_reach() -> None:
    curve = fit_learning_curve(LEVELS, clean(0.4, 9.0, 1.2), draws=50, unit="clips")
    found = frames_for(curve, 0.5)
    assert (found.n, found.more, found.chance) == (None, 0, 0.0)
    assert "0.500 is out of reach: the curve levels off, 1600 clips would reach 0.399" in found.text
    with pytest.raises(ValueError, match="must be a finite number"):
        frames_for(curve, math.nan)


@pytest.mark.parametrize("n", [24, 1601])
def test_nothing_is_said_outside(n: int) -> None:
    curve = fit_learning_curve(LEVELS, clean(0.5, 1.2, 0.5), draws=20)
    with pytest.raises(ValueError, match="is outside 25 to 1600: measured was 25 to 800 frames"):
        curve.score(n)
    with pytest.raises(ValueError, match="is outside 25 to 1600"):
        curve.score_interval(n)


def test_same_seed_same_curve_and_groups_matter() -> None:
    drawn = draw_curve(np.random.default_rng(5))
    first, again = (
        fit_learning_curve(drawn.n, drawn.score, groups=drawn.groups, seed=7, draws=60) for _ in range(2)
    )
    assert (first.samples == again.samples).all()
    shifted = drawn.score + np.array([-0.05, 0.0, 0.05, 0.02, -0.02])[drawn.groups]
    alone = fit_learning_curve(drawn.n, shifted, draws=200)
    grouped = fit_learning_curve(drawn.n, shifted, groups=drawn.groups, draws=200)
    # A shift common to a seed's runs says little about the slope: with groups, the gain is known better.
    assert np.ptp(grouped.gain_interval) < 0.6 * np.ptp(alone.gain_interval)
    # But it says little about the height either: three or five seeds are no more than that many.
    assert np.ptp(grouped.score_interval(grouped.n_max)) > 0.04


def test_scores_that_follow_another_curve_are_told() -> None:
    rng = np.random.default_rng(0)
    exponential = [
        fit_learning_curve(d.n, d.score, groups=d.groups, draws=40)
        for d in (draw_curve(rng, noise=0.004, is_exponential=True) for _ in range(4))
    ]
    assert sum(curve.has_misfit for curve in exponential) >= 2
    told = next(curve for curve in exponential if curve.has_misfit)
    assert told.text.endswith(
        "; but the scores leave this curve by more than their noise, so its numbers are rough"
    )
    powers = [
        fit_learning_curve(d.n, d.score, groups=d.groups, draws=40)
        for d in (draw_curve(rng) for _ in range(4))
    ]
    assert sum(curve.has_misfit for curve in powers) <= 1
    alone = draw_curve(rng, is_exponential=True)
    single = alone.groups == 0
    assert not fit_learning_curve(alone.n[single], alone.score[single], draws=50).has_misfit


def test_runs_without_a_score_are_left_out() -> None:
    n, score = [*LEVELS, 1600], [*clean(0.5, 1.2, 0.5), math.nan]
    curve = fit_learning_curve(n, score, draws=20, groups=[0, 0, 0, 1, 1, 1, 1])
    assert (curve.n_min, curve.n_max) == (25, 800)


@pytest.mark.parametrize(
    ("n", "score", "options", "message"),
    [
        ([25, 50], [0.1], {}, "one shape"),
        ([0, 50, 100, 200], [0.1] * 4, {}, "whole numbers above 0"),
        ([2.5, 50, 100, 200], [0.1] * 4, {}, "whole numbers above 0"),
        (LEVELS, [math.inf] * 6, {}, "a score is infinite"),
        (LEVELS, [0.1] * 6, {"groups": [1, 2]}, "groups must have the shape of n"),
        (LEVELS, [30.0] * 6, {}, "a score of 30 is above the ceiling 1; give ceiling=100"),
        (LEVELS, [0.1] * 6, {"draws": 5}, "draws must be 20 or more"),
        (LEVELS, [0.1] * 6, {"tolerance": 0.0}, "tolerance must be above 0"),
        (LEVELS, [0.1] * 6, {"confidence": 1.0}, r"confidence must be in \(0.5, 1\)"),
    ],
)
def test_fit_refuses(n: list[float], score: list[float], options: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        fit_learning_curve(n, score, **options)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("n", "score"),
    [([100, 100, 200, 200], [0.1] * 4), ([100, 200, 400], [0.1] * 3), ([100, 200, 400, 800], [math.nan] * 4)],
)
def test_too_few_runs_are_refused(n: list[int], score: list[float]) -> None:
    with pytest.raises(InputError, match="a curve needs 4 runs at 3 or more numbers of frames"):
        fit_learning_curve(n, score)


K, N = (grid.ravel().repeat(2) for grid in np.meshgrid([4, 8, 16, 32], [100, 200, 400, 800]))


def test_two_axes_come_back_and_say_what_to_add() -> None:
    noise = np.random.default_rng(0).normal(0, 0.004, len(K))
    found = fit_surface(K, N, 0.6 - 0.5 * K**-0.5 - 3.0 * N**-1.0 + noise, draws=20)
    assert found.verdict == "clips"
    assert found.clip_gain == pytest.approx(0.5 * 32**-0.5 * (1 - 2**-0.5), abs=0.006)
    assert found.frame_gain == pytest.approx(3.0 / 800 / 2, abs=0.004)
    assert found.text.startswith(
        "not saturated: label other clips rather than more frames of these; twice the clips (64, at 800 frames)"
    )
    exact = fit_surface(K, N, 0.6 - 0.5 * K**-0.5 - 3.0 * N**-1.0, draws=20)
    assert exact.score(64, 1600) == pytest.approx(0.6 - 0.5 / 8 - 3.0 / 1600, abs=2e-3)
    low, high = exact.score_interval(16, 400)
    assert low <= exact.score(16, 400) + 1e-3
    assert high >= exact.score(16, 400) - 1e-3
    assert repr(exact).startswith("Surface(0.6")


@pytest.mark.parametrize(
    ("loss", "verdict", "words"),
    [
        (
            lambda k, n: 0.3 / k**2 + 2.0 * n**-0.4,
            "frames",
            "label more frames of these clips rather than other",
        ),
        (lambda k, n: 0.01 / k + 0.5 / n, "neither", "saturated: neither gains 0.01"),
        (
            lambda k, n: 0.3 * (k / 4) ** -0.5 + 0.3 * (n / 100) ** -0.5,
            "either",
            "which of them is not proven",
        ),
    ],
)
def test_what_to_add(loss: object, verdict: str, words: str) -> None:
    noise = np.random.default_rng(2).normal(0, 0.003, len(K))
    found = fit_surface(K, N, 0.8 - loss(K, N) + noise, groups=np.tile([0, 1], 16), draws=30)  # type: ignore[operator]
    assert found.verdict == verdict
    assert words in found.text


@pytest.mark.parametrize(
    ("clips", "frames", "score", "error", "message"),
    [
        (K, N, N[:3] * 0.1, ValueError, "one shape"),
        (K * 0, N, N * 0.0, ValueError, "whole numbers above 0"),
        ([2, 2, 4, 4], [10, 20, 10, 20], [0.1] * 4, InputError, "two axes need 6 runs at 3 or more"),
        (K, K * 20, K * 0.01, InputError, "always change together"),
    ],
)
def test_surface_refuses(clips: object, frames: object, score: object, error: type, message: str) -> None:
    with pytest.raises(error, match=message):
        fit_surface(clips, frames, score)  # type: ignore[arg-type]


def test_nothing_is_said_of_clips_outside() -> None:
    found = fit_surface(K, N, 0.6 - 0.5 * K**-0.5 - 3.0 * N**-1.0, draws=20)
    with pytest.raises(ValueError, match="65 clips is outside 4 to 64"):
        found.score(65, 800)
    with pytest.raises(ValueError, match="99 frames is outside 100 to 1600"):
        found.score_interval(8, 99)


def test_drawn_curves_are_told_apart() -> None:
    rates = curve_rates(6, draw=2, draws=40)
    assert rates["n of target"] >= 0.8
    assert rates["not saturated"] >= 0.9
    assert rates["gain covered"] >= 0.75


@pytest.mark.slow
def test_bars_over_two_hundred_curves() -> None:
    rates = curve_rates(200, draw=17, draws=100)
    assert rates["n of target"] >= 0.8
    assert rates["not saturated"] >= 0.9
    assert rates["saturated"] >= 0.9
    assert rates["gain covered"] >= 0.88
    assert rates["n covered"] >= 0.85

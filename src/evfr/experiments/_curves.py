"""Fit learning curves a - b n^-c, and ask them how many labels reach a score."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

import numpy as np

from evfr.errors import InputError
from evfr.experiments._curve import REACH, Curve, show_bound, state_text, whole_n
from evfr.experiments._curve_fit import check_fit_options, fit_and_draw, percentiles

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

__all__ = ["REACH", "Advice", "Curve", "fit_learning_curve", "frames_for"]

MISFIT = 0.01
"""Below this agreement the runs are said to follow another curve; one in a hundred that do not is called so."""


@dataclass(frozen=True, slots=True)
class Advice:
    """Say how many labels reach a score.

    Attributes
    ----------
    target : float
        The score asked for.
    n : int or None
        Labels that reach it by the fitted curve; None where that is beyond the reach.
    low, high : int or None
        Its interval; None is beyond the reach.
    where : {"below", "measured", "extrapolated", "beyond"}
        At or below the smallest n measured; within; above, up to twice the largest; further.
    chance : float
        Share of the bootstrap's curves that reach the target within the reach.
    more : int
        Labels to add to the largest n measured: 0 where the target was passed.
    text : str
        The advice in one sentence.
    """

    target: float
    n: int | None
    low: int | None
    high: int | None
    where: Literal["below", "measured", "extrapolated", "beyond"]
    chance: float
    more: int
    text: str


def fit_learning_curve(
    n: ArrayLike,
    score: ArrayLike,
    *,
    groups: ArrayLike | None = None,
    seed: int = 0,
    draws: int = 500,
    tolerance: float = 0.01,
    ceiling: float = 1.0,
    confidence: float = 0.95,
    unit: str = "frames",
) -> Curve:
    """Fit a - b n^-c by soft-L1 and bootstrap it (inverse power law, Cortes et al. 1993; METHODS, statistics).

    Parameters
    ----------
    n : (N,) array_like
        Labelled frames (or clips, objects) of each run, whole numbers above 0.
    score : (N,) array_like
        What each run reached, at most ``ceiling``; NaN is a run without a score and is left out.
    groups : (N,) array_like or None
        Seed of each run: runs of one seed share a shift. None takes them as independent.
    seed : int
        Of the bootstrap.
    draws : int
        Bootstrapped data sets, 20 or more.
    tolerance : float
        Gain of twice the labels that is not worth them, above 0, in the score's unit.
    ceiling : float
        Largest possible score: 1 for shares, 100 for per cent.
    confidence : float
        In (0.5, 1).
    unit : str
        What n counts, for the texts.

    Returns
    -------
    Curve
        With b = 0 where no rise is seen.

    Raises
    ------
    ValueError
        If shapes or options do not fit.
    InputError
        If fewer than three different n have a score, or fewer than four runs: three parameters cannot be told.

    Notes
    -----
    b >= 0 and a <= ceiling. The bootstrap resamples residuals, grown for the parameters fitted, and shifts each seed.
    "Saturated" needs the one-sided bound of the gain of doubling below the tolerance: the plateau a itself is known
    badly, the gain of the next doubling well.

    References
    ----------
    Cortes, Jackel, Solla, Vapnik & Denker, "Learning curves: asymptotic values and rate of convergence", NIPS 6
    (1993).

    Examples
    --------
    >>> n = [25, 50, 100, 200, 400, 800]
    >>> curve = fit_learning_curve(n, [0.4 - 0.9 * k**-0.6 for k in n], draws=50)
    >>> print(f"{curve.a:.3f} {curve.c:.2f} {frames_for(curve, 0.35).n}")
    0.400 0.60 124
    """
    sizes, scores, seeds = _points(n, score, groups)
    check_fit_options(draws, tolerance, confidence)
    if scores.max(initial=-math.inf) > ceiling:
        raise ValueError(
            f"a score of {scores.max():g} is above the ceiling {ceiling:g}; give ceiling=100 for per cent"
        )
    different = np.unique(sizes)
    if len(different) < 3 or len(sizes) < 4:
        raise InputError(
            f"a curve needs 4 runs at 3 or more numbers of {unit}, got {len(sizes)} with a score at "
            f"{', '.join(f'{value:g}' for value in different) or 'none'}; run more subsets"
        )
    n_min, n_max = int(different[0]), int(different[-1])
    x = (sizes / n_max)[:, np.newaxis]
    (a, loss, c), noise, samples, agreement = fit_and_draw(x, scores, seeds, ceiling, draws, seed)
    drawn_loss, drawn_c = samples[:, 1], samples[:, 2]
    drawn_gain = drawn_loss * (1.0 - 2.0**-drawn_c)
    gain = loss * (1.0 - 2.0**-c)
    enough = float(_enough(np.array([gain]), np.array([c]), tolerance, n_min, n_max)[0])
    state: Literal["saturated", "not saturated", "unsure"] = (
        "not saturated"
        if gain >= tolerance
        else "saturated"
        if np.quantile(drawn_gain, confidence) < tolerance
        else "unsure"
    )
    gain_interval = percentiles(drawn_gain, confidence)
    enough_interval = percentiles(_enough(drawn_gain, drawn_c, tolerance, n_min, n_max), confidence)
    with np.errstate(over="ignore"):
        b_interval = percentiles(drawn_loss * float(n_max) ** drawn_c, confidence)
    curve = Curve(
        a=a,
        b=loss * float(n_max) ** c,
        c=c,
        a_interval=percentiles(samples[:, 0], confidence),
        b_interval=b_interval,
        c_interval=percentiles(drawn_c, confidence),
        n_min=n_min,
        n_max=n_max,
        gain=gain,
        gain_interval=gain_interval,
        enough=math.ceil(min(enough - 1e-9, 1e15)),
        enough_interval=enough_interval,
        tolerance=tolerance,
        confidence=confidence,
        noise=noise,
        state=state,
        has_misfit=agreement < MISFIT,
        text="",
        unit=unit,
        samples=samples,
    )
    return replace(curve, text=state_text(curve))


def frames_for(curve: Curve, score: float) -> Advice:
    """Say how many labels reach a score, up to twice the largest number measured.

    Parameters
    ----------
    curve : Curve
        Of `fit_learning_curve`.
    score : float
        The score to reach.

    Returns
    -------
    Advice
        With ``n`` None where the curve does not reach it within its reach, and what to label then.

    Raises
    ------
    ValueError
        If ``score`` is not finite.
    """
    if not math.isfinite(score):
        raise ValueError(f"the score to reach must be a finite number, got {score}")
    loss = curve.b * float(curve.n_max) ** -curve.c
    point = _inverse(np.array([[curve.a, loss, curve.c]]), score, curve.n_min, curve.n_max)[0]
    drawn = _inverse(curve.samples, score, curve.n_min, curve.n_max)
    chance = float((drawn <= curve.n_limit).mean())
    low, high = (whole_n(value, curve.n_limit) for value in percentiles(drawn, curve.confidence))
    n = whole_n(point, curve.n_limit)
    unit, level = curve.unit, f"{100 * curve.confidence:.4g} %"
    if n is None:
        best_low, best_high = curve.score_interval(curve.n_limit)
        best = f"{curve.score(curve.n_limit):.3f} ({level} interval {best_low:.3f} to {best_high:.3f})"
        if curve.is_saturated and score > best_high:
            text = (
                f"{score:.3f} is out of reach: the curve levels off, {curve.n_limit} {unit} would reach {best}; "
                "change the frames, the labels or the model, not their number"
            )
            return Advice(score, None, low, high, "beyond", chance, 0, text)
        more = curve.n_limit - curve.n_max
        text = (
            f"{score:.3f} needs more than {curve.n_limit} {unit}, twice what was measured, and no curve tells how "
            f"many; label {more} more, which would reach {best}, and measure again"
        )
        return Advice(score, None, low, high, "beyond", chance, more, text)
    shown = f"{show_bound(low, curve.n_limit)} to {show_bound(high, curve.n_limit)}"
    if n <= curve.n_min:
        return Advice(
            *(score, curve.n_min, low, high, "below", chance, 0),
            f"{score:.3f} is reached with {curve.n_min} {unit} or fewer, the least that was measured "
            f"({level} interval {shown})",
        )
    if n <= curve.n_max:
        return Advice(
            *(score, n, low, high, "measured", chance, 0),
            f"{score:.3f} is reached with {n} {unit} ({level} interval {shown})",
        )
    return Advice(
        *(score, n, low, high, "extrapolated", chance, n - curve.n_max),
        f"{score:.3f} is reached with {n} {unit} ({level} interval {shown}): label {n - curve.n_max} more "
        f"than the {curve.n_max} measured",
    )


def _points(
    n: ArrayLike, score: ArrayLike, groups: ArrayLike | None
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.int64] | None]:
    """Return the runs that have a score, their seeds numbered from 0 (None where there are not two)."""
    sizes, scores = np.asarray(n, dtype=np.float64), np.asarray(score, dtype=np.float64)
    if sizes.ndim != 1 or sizes.shape != scores.shape:
        raise ValueError(f"n and score must have one shape (N,), got {sizes.shape} and {scores.shape}")
    if not ((sizes > 0) & (sizes == np.floor(sizes)) & np.isfinite(sizes)).all():
        raise ValueError("n must be whole numbers above 0")
    if np.isinf(scores).any():
        raise ValueError("a score is infinite; a run without a score is NaN")
    usable = np.isfinite(scores)
    seeds = None
    if groups is not None:
        names = np.asarray(groups)
        if names.shape != sizes.shape:
            raise ValueError(f"groups must have the shape of n, {sizes.shape}, got {names.shape}")
        values, numbers = np.unique(names[usable], return_inverse=True)
        # A seed with one run cannot tell its shift from that run's noise.
        if len(values) > 1 and np.bincount(numbers).min() > 1:
            seeds = numbers.astype(np.int64)
    return sizes[usable], scores[usable], seeds


def _enough(
    gain: NDArray[np.float64], c: NDArray[np.float64], tolerance: float, n_min: int, n_max: int
) -> NDArray[np.float64]:
    """Return from which n twice as many gain no more than the tolerance: gain (n / n_max)^-c = tolerance."""
    with np.errstate(over="ignore"):
        return np.maximum(n_max * (gain / tolerance) ** (1.0 / c), float(n_min))


def _inverse(samples: NDArray[np.float64], score: float, n_min: int, n_max: int) -> NDArray[np.float64]:
    """Return the n at which each curve passes the score, at least ``n_min``; infinite where it never does."""
    a, loss, c = samples.T
    room = a - score
    with np.errstate(over="ignore", divide="ignore", invalid="ignore"):
        n = n_max * (loss / room) ** (1.0 / c)
    return np.where(
        room > 0.0, np.maximum(n, float(n_min)), np.where((room == 0.0) & (loss == 0.0), n_min, np.inf)
    )

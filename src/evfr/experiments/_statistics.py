"""Intervals of few seeds and few clips: Student's t where a percentile bootstrap would be far too narrow."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from evfr._core.rng import generator
from evfr.experiments._student import combine_errors, t_bounds

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

__all__ = [
    "Interval",
    "PairedDifference",
    "clip_weights",
    "hierarchical_bootstrap",
    "hierarchical_interval",
    "paired",
]


@dataclass(frozen=True, slots=True)
class PairedDifference:
    """Hold the mean difference of two arms over common seeds, with its intervals.

    Attributes
    ----------
    mean : float
        Mean of a - b over the seeds that have both scores; NaN without any.
    low, high : float
        Two-sided interval; infinite where one seed is all there is.
    one_sided_low, one_sided_high : float
        One-sided bounds of the same confidence, each on its own.
    n : int
        Seeds that have both scores.
    missing : int
        Seeds left out because a score is NaN.
    seed_sd : float
        Standard deviation of one seed's difference; NaN below two seeds.
    clip_sd : float
        Standard error that the choice of test clips adds; 0 where the test clips are all there is.
    clip_degrees : float or None
        Its degrees of freedom.
    degrees : float
        Degrees of freedom of the t distribution; 0 below two seeds.
    confidence : float
        Of the intervals, for example 0.95.
    """

    mean: float
    low: float
    high: float
    one_sided_low: float
    one_sided_high: float
    n: int
    missing: int
    seed_sd: float
    clip_sd: float
    clip_degrees: float | None
    degrees: float
    confidence: float


@dataclass(frozen=True, slots=True)
class Interval:
    """Hold a statistic of several seeds on a sample of clips, with what either level adds to its error.

    Attributes
    ----------
    value : float
        Mean over the seeds, every clip at weight 1.
    low, high : float
        Two-sided interval.
    one_sided_low, one_sided_high : float
        One-sided bounds of the same confidence, each on its own.
    seed_sd : float
        Standard deviation from seed to seed, every clip at weight 1; NaN below two seeds.
    clip_sd : float
        Standard error that the choice of clips adds; NaN where one clip is all there is.
    clip_degrees : float or None
        Degrees of freedom of ``clip_sd``; None where it is 0 or NaN.
    degrees : float
        Degrees of freedom of the t distribution (Satterthwaite).
    seeds, clips : int
        Usable seeds, and clips.
    missing : int
        Seeds left out because their value is NaN.
    missing_draws : int
        Draws of clips left out because a seed's value is NaN there.
    """

    value: float
    low: float
    high: float
    one_sided_low: float
    one_sided_high: float
    seed_sd: float
    clip_sd: float
    clip_degrees: float | None
    degrees: float
    seeds: int
    clips: int
    missing: int
    missing_draws: int


def paired(
    a: ArrayLike,
    b: ArrayLike,
    *,
    confidence: float = 0.95,
    clip_sd: float = 0.0,
    clip_degrees: float | None = None,
) -> PairedDifference:
    """Compare two arms over common seeds by the paired t interval (Student 1908).

    Parameters
    ----------
    a, b : (S,) array_like
        Scores of two arms; place s of both is the same seed. NaN is a cell without a score: its seed is left out
        and counted.
    confidence : float
        In (0.5, 1).
    clip_sd : float
        Standard error that the choice of test clips adds (`Interval.clip_sd`); 0 where they are all there is.
    clip_degrees : float or None
        Its degrees of freedom (`Interval.clip_degrees`), above 0; must be given with it.

    Returns
    -------
    PairedDifference
        Of a - b.

    Raises
    ------
    ValueError
        If the shapes differ, a score is infinite, or an option is out of range.

    Notes
    -----
    The mean's variance is s^2 / S + clip_sd^2, where s is the standard deviation of the seeds' differences; its
    degrees of freedom are those of Satterthwaite (1946),
    (s^2 / S + clip_sd^2)^2 / ((s^2 / S)^2 / (S - 1) + clip_sd^4 / clip_degrees).

    References
    ----------
    Student, "The probable error of a mean", Biometrika 6 (1908), doi:10.2307/2331554.
    Satterthwaite, "An approximate distribution of estimates of variance components", Biometrics Bulletin 2
    (1946), doi:10.2307/3002019.

    Examples
    --------
    >>> found = paired([0.31, 0.30, 0.33], [0.30, 0.28, 0.32])
    >>> print(f"{found.mean:.4f} {found.low:.4f} {found.high:.4f}")
    0.0133 -0.0010 0.0277
    """
    first, second = _scores(a, "a"), _scores(b, "b")
    if first.shape != second.shape:
        raise ValueError(
            f"a has {len(first)} seeds and b has {len(second)}; give one score per common seed, NaN where none is"
        )
    _check_confidence(confidence)
    if not (clip_sd >= 0.0 and math.isfinite(clip_sd)):
        raise ValueError(f"clip_sd must be 0 or more, got {clip_sd}")
    if clip_sd > 0.0 and not (clip_degrees is not None and clip_degrees > 0.0):
        raise ValueError(f"clip_sd needs clip_degrees, above 0, got {clip_degrees}")
    both = np.isfinite(first) & np.isfinite(second)
    difference = first[both] - second[both]
    n = len(difference)
    mean = float(difference.mean()) if n else math.nan
    sd = float(difference.std(ddof=1)) if n > 1 else math.nan
    # Equal differences (0.3 - 0.1 and 0.5 - 0.3) differ by rounding; that is no spread.
    if n > 1 and sd <= 1e-12 * max(1.0, float(np.abs(first[both]).max()), float(np.abs(second[both]).max())):
        sd = 0.0
    error, degrees = combine_errors(sd, n, clip_sd, clip_degrees)
    low, high, one_low, one_high = t_bounds(mean, error, degrees, confidence)
    return PairedDifference(
        *(mean, low, high, one_low, one_high, n, len(first) - n),
        *(sd, clip_sd, clip_degrees, degrees, confidence),
    )


def clip_weights(clips: int, draws: int, *, seed: int = 0) -> NDArray[np.float64]:
    """Draw weights of clips for a bootstrap: Dirichlet(1, ..., 1) times the number of clips (Rubin 1981).

    Unlike counts of a resampling, no weight is 0: a class that one clip alone has does not vanish.

    Parameters
    ----------
    clips, draws : int
        1 or more.
    seed : int
        Equal seeds give equal weights, so that arms compare on common draws.

    Returns
    -------
    (draws, clips) float64
        Above 0; each row sums to ``clips``.

    Raises
    ------
    ValueError
        If ``clips`` or ``draws`` is below 1.

    References
    ----------
    Rubin, "The Bayesian bootstrap", Annals of Statistics 9 (1981), doi:10.1214/aos/1176345338.
    """
    if clips < 1 or draws < 1:
        raise ValueError(f"clips and draws must be 1 or more, got {clips} and {draws}")
    weights = generator(seed).standard_exponential((draws, clips))
    scaled: NDArray[np.float64] = weights * (clips / weights.sum(axis=1, keepdims=True))
    return scaled


def hierarchical_interval(
    whole: ArrayLike, drawn: ArrayLike, *, clips: int, confidence: float = 0.95
) -> Interval:
    """Return the interval of a mean over seeds from each seed's values under `clip_weights`.

    Parameters
    ----------
    whole : (S,) array_like
        The statistic of each seed (or its difference of two arms), every clip at weight 1. NaN: left out, counted.
    drawn : (draws, S) array_like
        The same under each row of ``clip_weights(clips, draws)``. Draws with a NaN are left out and counted.
    clips : int
        Clips behind the weights; 1 says nothing about other clips, so that ``clip_sd`` is NaN.
    confidence : float
        In (0.5, 1).

    Returns
    -------
    Interval
        With NaN for what cannot be told.

    Raises
    ------
    ValueError
        If shapes do not fit, or an option is out of range.

    Notes
    -----
    Seeds and clips are crossed: value(s, k) = mean + u_s + v_k + e_sk. The seeds' variance at weight 1 is
    var(u) + var(e) / K; that of the drawn mean over seeds is (var(v) + var(e) / S) / K, (K - 1) / (K + 1) of
    which the Dirichlet weights show; and the drawn values spread among seeds by var(e) / K around their own
    values. So clip_sd^2 = var(v) / K, at least 0, counts var(e) once only. Percentiles of a bootstrap over
    3 to 5 seeds would be far too narrow: it never sees more than those, and its variance is
    (S - 1) / S of the right one. Student's t with Satterthwaite's degrees takes their place.
    """
    values, table = _scores(whole, "whole"), np.asarray(drawn, dtype=np.float64)
    if table.ndim != 2 or table.shape[1] != len(values) or not len(table):
        raise ValueError(
            f"drawn must have shape (draws, {len(values)}) as whole has {len(values)} seeds, got {table.shape}"
        )
    if clips < 1:
        raise ValueError(f"clips must be 1 or more, got {clips}")
    _check_confidence(confidence)
    usable = np.isfinite(values)
    values, table = values[usable], table[:, usable]
    is_drawn = np.isfinite(table).all(axis=1)
    table = table[is_drawn]
    seeds = len(values)
    value = float(values.mean()) if seeds else math.nan
    seed_sd = float(values.std(ddof=1)) if seeds > 1 else math.nan
    clip_sd, clip_degrees = _clip_error(values, table, clips)
    error, degrees = combine_errors(seed_sd, seeds, 0.0 if math.isnan(clip_sd) else clip_sd, clip_degrees)
    low, high, one_low, one_high = t_bounds(value, error, degrees, confidence)
    return Interval(
        *(value, low, high, one_low, one_high, seed_sd, clip_sd, clip_degrees, degrees),
        *(seeds, clips, int((~usable).sum()), int((~is_drawn).sum())),
    )


def hierarchical_bootstrap(
    statistic: Callable[[NDArray[np.int64], NDArray[np.float64]], float],
    *,
    seeds: int,
    clips: int,
    draws: int = 1000,
    seed: int = 0,
    confidence: float = 0.95,
) -> Interval:
    """Return the interval of a statistic over seeds and test clips (see `hierarchical_interval`).

    Parameters
    ----------
    statistic : callable
        Takes rows of seeds, (1,) int64, and weights of clips, (K,) float64 that sum to K; returns the score of that
        seed, or the difference of two arms. NaN says that there is none.
    seeds, clips : int
        S and K, 1 or more.
    draws : int
        Weightings of the clips, 2 or more; the statistic is called (draws + 1) S times. 200 tell a standard error to
        5 %.
    seed : int
        Of the weights.
    confidence : float
        In (0.5, 1).

    Returns
    -------
    Interval
        Of the mean over seeds.

    Raises
    ------
    ValueError
        If an option is out of range.

    Examples
    --------
    >>> scores = np.array([[0.4, 0.6, 0.5], [0.5, 0.6, 0.7]])
    >>> found = hierarchical_bootstrap(
    ...     lambda rows, weights: float(np.average(scores[rows[0]], weights=weights)), seeds=2, clips=3
    ... )
    >>> print(f"{found.value:.3f} {found.seed_sd:.3f}")
    0.550 0.071
    """
    if seeds < 1 or draws < 2:
        raise ValueError(f"seeds must be 1 or more and draws 2 or more, got {seeds} and {draws}")
    rows = [np.array([s], dtype=np.int64) for s in range(seeds)]
    weights = clip_weights(clips, draws, seed=seed)
    ones = np.ones(clips)
    whole = [statistic(row, ones) for row in rows]
    drawn = [[statistic(row, weight) for row in rows] for weight in weights]
    return hierarchical_interval(whole, drawn, clips=clips, confidence=confidence)


def _clip_error(
    values: NDArray[np.float64], drawn: NDArray[np.float64], clips: int
) -> tuple[float, float | None]:
    """Return the standard error that the clips add to a mean over seeds, and its degrees of freedom."""
    seeds = len(values)
    if clips < 2 or len(drawn) < 2 or not seeds:
        return math.nan, None
    factor = (clips + 1) / (clips - 1)
    of_mean = factor * float(drawn.mean(axis=1).var(ddof=1))
    shared = 0.0
    if seeds > 1:
        shared = factor * float((drawn - values).var(axis=1, ddof=1).mean()) / seeds
    variance = of_mean - shared
    if variance <= (1e-12 * max(1.0, float(np.abs(values).max()))) ** 2:  # rounding
        return 0.0, None
    # A difference of two mean squares has fewer degrees than K - 1: their errors add, their values do not.
    spread = of_mean**2 / (clips - 1) + shared**2 / max((clips - 1) * (seeds - 1), 1)
    return math.sqrt(variance), variance**2 / spread


def _scores(values: ArrayLike, name: str) -> NDArray[np.float64]:
    array = np.asarray(values, dtype=np.float64)
    if array.ndim != 1:
        raise ValueError(f"{name} must have shape (S,), got {array.shape}")
    if np.isinf(array).any():
        place = int(np.flatnonzero(np.isinf(array))[0])
        raise ValueError(f"{name}[{place}] is infinite; a cell without a score is NaN")
    return array


def _check_confidence(confidence: float) -> None:
    if not 0.5 < confidence < 1.0:
        raise ValueError(f"confidence must be in (0.5, 1), for example 0.95, got {confidence}")

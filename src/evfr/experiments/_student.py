"""Student's t for any degrees of freedom, without SciPy, and the errors and bounds that use it."""

from __future__ import annotations

import functools
import math
from statistics import NormalDist

__all__ = ["combine_errors", "t_bounds", "t_quantile", "t_tail"]

_BY_NORMAL = 1e6  # from so many degrees of freedom on, t and normal agree to 1e-6


def t_tail(x: float, degrees: float) -> float:
    """Return P(T > x) of Student's t, by the incomplete beta function's continued fraction (Lentz 1976).

    Parameters
    ----------
    x : float
        Any number.
    degrees : float
        Above 0; need not be whole.

    Returns
    -------
    float
        In [0, 1], to about 1e-12.
    """
    if degrees >= _BY_NORMAL:
        return NormalDist().cdf(-x)
    tail = 0.5 * _incomplete_beta(degrees / 2, 0.5, degrees / (degrees + x * x))
    return tail if x >= 0 else 1.0 - tail


@functools.lru_cache(maxsize=4096)
def t_quantile(probability: float, degrees: float) -> float:
    """Return the quantile of Student's t: Newton's steps on `t_tail`, kept inside a bracket.

    Parameters
    ----------
    probability : float
        In (0, 1).
    degrees : float
        Above 0; need not be whole.

    Returns
    -------
    float
        x with P(T <= x) = probability, to about 1e-9.

    Raises
    ------
    ValueError
        If an argument is out of range.
    """
    if not 0.0 < probability < 1.0:
        raise ValueError(f"a quantile needs a probability in (0, 1), got {probability}")
    if not degrees > 0.0:
        raise ValueError(f"Student's t needs more than 0 degrees of freedom, got {degrees}")
    z = NormalDist().inv_cdf(probability)
    if degrees >= _BY_NORMAL:
        return z
    if probability == 0.5:
        return 0.0
    if probability < 0.5:
        return -t_quantile(1.0 - probability, degrees)
    target = 1.0 - probability
    low, high = 0.0, max(2.0 * z, 1.0)
    while t_tail(high, degrees) > target:
        low, high = high, 2.0 * high
    x = 0.5 * (low + high)
    scale = math.exp(math.lgamma((degrees + 1) / 2) - math.lgamma(degrees / 2)) / math.sqrt(degrees * math.pi)
    for _ in range(200):
        excess = t_tail(x, degrees) - target
        low, high = (x, high) if excess > 0 else (low, x)
        density = scale * (1 + x * x / degrees) ** (-(degrees + 1) / 2)
        previous, x = x, x + (excess / density if density > 0.0 else math.inf)
        if not low <= x <= high:
            x = 0.5 * (low + high)
        if abs(x - previous) <= 1e-11 * max(1.0, x):
            break
    return x


def combine_errors(
    seed_sd: float, seeds: int, clip_sd: float, clip_degrees: float | None
) -> tuple[float, float]:
    """Return the standard error of a mean over seeds and clips, and its degrees of freedom (Satterthwaite 1946).

    Parameters
    ----------
    seed_sd : float
        Standard deviation from seed to seed.
    seeds : int
        Below 2 the error is unknown: infinite, with 0 degrees.
    clip_sd : float
        Standard error that the clips add.
    clip_degrees : float or None
        Its degrees of freedom; None where it is 0.

    Returns
    -------
    error, degrees : float
        Of the mean; where both are known, not below 1 degree.
    """
    if seeds < 2:
        return math.inf, 0.0
    of_seeds, of_clips = seed_sd**2 / seeds, clip_sd**2
    total = of_seeds + of_clips
    if total == 0.0:
        return 0.0, float(seeds - 1)
    shares = of_seeds**2 / (seeds - 1)
    if clip_degrees is not None:
        shares += of_clips**2 / clip_degrees
    return math.sqrt(total), max(total**2 / shares, 1.0)


def t_bounds(
    mean: float, error: float, degrees: float, confidence: float
) -> tuple[float, float, float, float]:
    """Return a two-sided interval of a mean, and two one-sided bounds of the same confidence.

    Parameters
    ----------
    mean, error, degrees : float
        Of the mean; an infinite error gives infinite bounds, a NaN mean NaN.
    confidence : float
        In (0.5, 1).

    Returns
    -------
    low, high, one_sided_low, one_sided_high : float
        The bounds.
    """
    if math.isnan(mean):
        return math.nan, math.nan, math.nan, math.nan
    if math.isinf(error):
        return -math.inf, math.inf, -math.inf, math.inf
    two = t_quantile(0.5 + confidence / 2, degrees) * error
    one = t_quantile(confidence, degrees) * error
    return mean - two, mean + two, mean - one, mean + one


def _incomplete_beta(a: float, b: float, x: float) -> float:
    """Return I_x(a, b), regularised."""
    if x <= 0.0 or x >= 1.0:
        return float(x >= 1.0)
    if x > (a + 1) / (a + b + 2):
        return 1.0 - _incomplete_beta(b, a, 1.0 - x)
    front = math.exp(
        math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b) + a * math.log(x) + b * math.log1p(-x)
    )
    tiny = 1e-300
    c, d = 1.0, 1.0 / max(1.0 - (a + b) * x / (a + 1), tiny)
    fraction = d
    for m in range(1, 1000):
        for step in (
            m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m)),
            -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1)),
        ):
            d = 1.0 + step * d
            d = 1.0 / (d if abs(d) > tiny else tiny)
            c = 1.0 + step / c
            c = c if abs(c) > tiny else tiny
            fraction *= c * d
        if abs(c * d - 1.0) < 1e-15:
            break
    return front * fraction / a

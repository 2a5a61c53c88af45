"""Fit sums of falling powers by soft-L1, many data sets at once: exponents on a grid, the rest in closed form."""

from __future__ import annotations

import itertools
import math
from typing import TYPE_CHECKING

import numpy as np

from evfr._core.rng import generator

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["check_fit_options", "fit_and_draw", "fit_powers", "percentiles", "residual_draws", "robust_scale"]

LOWEST_EXPONENT, HIGHEST_EXPONENT = 0.05, 4.0
_COARSE = {1: 36, 2: 10}
_FINE = {1: 9, 2: 5}
_REWEIGHTINGS = 6
_SOFTNESS = 1.5
"""Residuals beyond so many standard deviations count by their size, not by its square."""


def fit_powers(
    x: NDArray[np.float64], y: NDArray[np.float64], *, scale: float | None, ceiling: float, rounds: int = 2
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Fit y = a - sum over t of b_t x_t^-c_t with b_t >= 0 and a <= ceiling to each row of y.

    Parameters
    ----------
    x : (N, T) float64
        Sizes over the largest, in (0, 1]; T is 1 or 2.
    y : (D, N) float64
        Data sets.
    scale : float or None
        Standard deviation of the noise, above 0, for soft-L1; None is least squares.
    ceiling : float
        Largest a.
    rounds : int
        How often the grid of exponents is narrowed around the best.

    Returns
    -------
    a : (D,) float64
        Plateaus.
    b : (D, T) float64
        What is missing to the plateau at the largest size.
    c : (D, T) float64
        Exponents, `LOWEST_EXPONENT` to `HIGHEST_EXPONENT`.

    Notes
    -----
    For given exponents the model is linear (variable projection, Golub & Pereyra 1973), so that a local minimum
    cannot catch the fit; soft-L1, sum of 2 s^2 (sqrt(1 + (r / s)^2) - 1), by reweighting with
    1 / sqrt(1 + (r / s)^2).
    """
    terms = x.shape[1]
    count = _COARSE[terms]
    axis = np.geomspace(LOWEST_EXPONENT, HIGHEST_EXPONENT, count)
    exponents = np.array(list(itertools.product(axis, repeat=terms)))[np.newaxis]  # (1, G, T)
    ratio = float(axis[1] / axis[0])
    local = np.array(list(itertools.product(np.linspace(-1.0, 1.0, _FINE[terms]), repeat=terms)))
    for turn in range(rounds + 1):
        powers = x[np.newaxis, np.newaxis] ** -exponents[:, :, np.newaxis, :]  # (1 or D, G, N, T)
        a, b, cost = _best_linear(powers, y, scale, ceiling)
        rows, best = np.arange(len(y)), cost.argmin(axis=1)
        c = exponents[rows if len(exponents) > 1 else 0, best]
        if turn < rounds:
            exponents = np.clip(c[:, np.newaxis] * ratio**local, LOWEST_EXPONENT, HIGHEST_EXPONENT)
            ratio **= 2.0 / (_FINE[terms] - 1)
    return a[rows, best], b[rows, best], c


def robust_scale(residuals: NDArray[np.float64], parameters: int) -> float:
    """Return the noise's standard deviation by the median of |r|, grown by the parameters that were fitted.

    Parameters
    ----------
    residuals : (N,) float64
        Of a fit.
    parameters : int
        Fitted ones, fewer than N.

    Returns
    -------
    float
        Above 0.
    """
    count = len(residuals)
    raw = 1.4826 * float(np.median(np.abs(residuals))) * math.sqrt(count / (count - parameters))
    return max(raw, 1e-9)


def residual_draws(
    fitted: NDArray[np.float64],
    residuals: NDArray[np.float64],
    groups: NDArray[np.int64] | None,
    parameters: int,
    draws: int,
    rng: np.random.Generator,
) -> NDArray[np.float64]:
    """Draw data sets around a fit: a shift of each seed, and residuals resampled.

    Parameters
    ----------
    fitted, residuals : (N,) float64
        Of the fit to the data.
    groups : (N,) int64 or None
        Seed of each point, 0..S-1: scores of one seed share a shift, as arms share their random numbers.
    parameters : int
        Fitted ones.
    draws : int
        Data sets to draw.
    rng : numpy.random.Generator
        Where they come from.

    Returns
    -------
    (draws, N) float64
        Data sets.
    """
    count, used = len(fitted), parameters
    shifts = np.zeros((draws, count))
    rest = residuals
    if groups is not None:
        sizes = np.bincount(groups)
        seeds = len(sizes)
        means = np.bincount(groups, weights=residuals) / sizes
        means -= means.mean()
        rest = residuals - means[groups]
        used += seeds - 1
        # Resampling 3 to 5 shifts would only ever show those. Their spread is as little known: Student's t, not normal.
        spread = float(np.sqrt((means**2).sum() / (seeds - 1)))
        widths = spread * np.sqrt((seeds - 1) / rng.chisquare(seeds - 1, (draws, 1)))
        shifts = (widths * rng.normal(0.0, 1.0, (draws, seeds)))[:, groups]
    rest = (rest - rest.mean()) * np.sqrt(count / max(count - used, 1))
    drawn: NDArray[np.float64] = fitted + shifts + rest[rng.integers(count, size=(draws, count))]
    return drawn


def fit_and_draw(
    x: NDArray[np.float64],
    scores: NDArray[np.float64],
    groups: NDArray[np.int64] | None,
    ceiling: float,
    draws: int,
    seed: int,
) -> tuple[NDArray[np.float64], float, NDArray[np.float64], float]:
    """Fit one data set by soft-L1, and bootstrap it.

    Parameters
    ----------
    x : (N, T) float64
        Sizes over the largest.
    scores : (N,) float64
        One data set.
    groups : (N,) int64 or None
        Seeds.
    ceiling : float
        Largest a.
    draws, seed : int
        Of the bootstrap.

    Returns
    -------
    fit : (1 + 2 T,) float64
        Plateau, losses at the largest size, exponents.
    noise : float
        Standard deviation around the fit.
    samples : (draws, 1 + 2 T) float64
        The same of each draw.
    agreement : float
        Share of the draws whose means at each size leave their own fit as much as the data's leave theirs; near 0
        where the data follow another law. 1 where no size has two runs.
    """
    parameters = 1 + 2 * x.shape[1]
    spare = max(1, min(parameters, len(scores) - 1))
    data = scores[np.newaxis]
    first = fit_powers(x, data, scale=None, ceiling=ceiling)
    scale = robust_scale(scores - _model(x, *first)[0], spare)
    a, b, c = fit_powers(x, data, scale=scale, ceiling=ceiling, rounds=6)
    fitted = _model(x, a, b, c)[0]
    drawn = residual_draws(fitted, scores - fitted, groups, spare, draws, generator(seed))
    drawn_fit = fit_powers(x, drawn, scale=scale, ceiling=ceiling)
    misfits = _misfit(x, drawn - _model(x, *drawn_fit), groups)
    agreement = float((misfits >= _misfit(x, (scores - fitted)[np.newaxis], groups) - 1e-9).mean())
    return np.concatenate([a, b[0], c[0]]), scale, np.column_stack(drawn_fit), agreement


def check_fit_options(draws: int, tolerance: float, confidence: float) -> None:
    """Raise unless the options of a fit are in range.

    Parameters
    ----------
    draws : int
        20 or more.
    tolerance : float
        Above 0.
    confidence : float
        In (0.5, 1).

    Raises
    ------
    ValueError
        If one is not.
    """
    if draws < 20:
        raise ValueError(f"draws must be 20 or more, got {draws}")
    if not (tolerance > 0.0 and math.isfinite(tolerance)):
        raise ValueError(f"tolerance must be above 0, in the score's unit, got {tolerance}")
    if not 0.5 < confidence < 1.0:
        raise ValueError(f"confidence must be in (0.5, 1), for example 0.95, got {confidence}")


def percentiles(values: NDArray[np.float64], confidence: float) -> tuple[float, float]:
    """Return the central interval of values, infinite ones allowed.

    Parameters
    ----------
    values : (draws,) float64
        No NaN.
    confidence : float
        Share inside.

    Returns
    -------
    low, high : float
        Values that occur (no mean of a number and infinity).
    """
    ordered = np.sort(values)
    place = round((0.5 - confidence / 2) * (len(ordered) - 1))
    return float(ordered[place]), float(ordered[-1 - place])


def _model(
    x: NDArray[np.float64], a: NDArray[np.float64], b: NDArray[np.float64], c: NDArray[np.float64]
) -> NDArray[np.float64]:
    fitted: NDArray[np.float64] = a[:, np.newaxis] - (b[:, np.newaxis] * x ** -c[:, np.newaxis]).sum(axis=-1)
    return fitted


def _misfit(
    x: NDArray[np.float64], residuals: NDArray[np.float64], groups: NDArray[np.int64] | None
) -> NDArray[np.float64]:
    """Return which share of each data set's squared residuals its means at each size have, shifts of seeds aside."""
    count = len(x)
    if groups is not None:
        sums = residuals @ (groups[:, np.newaxis] == np.unique(groups))
        residuals = residuals - (sums / np.bincount(groups))[:, groups]
    _, places = np.unique(x, axis=0, return_inverse=True)
    is_at = (places.reshape(count, 1) == np.unique(places)).astype(np.float64)
    of_means = ((residuals @ is_at) ** 2 / is_at.sum(axis=0)).sum(axis=1)
    share: NDArray[np.float64] = of_means / np.maximum((residuals**2).sum(axis=1), 1e-300)
    return share


def _best_linear(
    powers: NDArray[np.float64], y: NDArray[np.float64], scale: float | None, ceiling: float
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Return a (D, G), b (D, G, T) and the cost (D, G) for each data set and each exponent of the grid."""
    data = y[:, np.newaxis, :]
    soft = None if scale is None else _SOFTNESS * scale
    weights = np.ones((len(y), powers.shape[1], y.shape[1]))
    for _ in range(1 if soft is None else _REWEIGHTINGS):
        a, b = _linear(powers, data, weights, ceiling)
        residuals = data - a[..., np.newaxis] + (powers * b[:, :, np.newaxis, :]).sum(axis=-1)
        if soft is not None:
            root = np.sqrt(1.0 + (residuals / soft) ** 2)
            weights = 1.0 / root
    cost = (residuals**2).sum(axis=-1) if soft is None else 2.0 * soft**2 * (root - 1.0).sum(axis=-1)
    return a, b, cost


def _linear(
    powers: NDArray[np.float64], y: NDArray[np.float64], weights: NDArray[np.float64], ceiling: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Solve weighted least squares for a <= ceiling and b >= 0, for each data set and exponent."""
    total = weights.sum(axis=-1)
    mean_y = (weights * y).sum(axis=-1) / total
    mean_x = np.einsum("dgn,dgnt->dgt", weights, np.broadcast_to(powers, (*weights.shape, powers.shape[-1])))
    mean_x /= total[..., np.newaxis]
    b = _slopes(powers - mean_x[:, :, np.newaxis, :], mean_y[..., np.newaxis] - y, weights)
    a = mean_y + (b * mean_x).sum(axis=-1)
    is_above = a > ceiling
    if is_above.any():
        capped = _slopes(powers, ceiling - y, weights)
        b = np.where(is_above[..., np.newaxis], capped, b)
        a = np.where(is_above, ceiling, a)
    return a, b


def _slopes(
    x: NDArray[np.float64], y: NDArray[np.float64], weights: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return b >= 0 that brings x b nearest y, without an intercept; x has one or two columns."""
    tiny = 1e-300
    weighted = weights[..., np.newaxis] * x
    moment = (weighted * y[..., np.newaxis]).sum(axis=2)
    square = (weighted * x).sum(axis=2)
    alone: NDArray[np.float64] = np.maximum(moment / np.maximum(square, tiny), 0.0)
    if x.shape[-1] == 1:
        return alone
    cross = (weighted[..., 0] * x[..., 1]).sum(axis=2)
    determinant = square[..., 0] * square[..., 1] - cross**2
    both = np.stack(
        [
            square[..., 1] * moment[..., 0] - cross * moment[..., 1],
            square[..., 0] * moment[..., 1] - cross * moment[..., 0],
        ],
        axis=-1,
    )
    is_inside = (determinant > 1e-12 * square.prod(axis=-1)) & (both >= 0.0).all(axis=-1)
    both /= np.where(is_inside, determinant, 1.0)[..., np.newaxis]
    # Outside, one of the two is 0: keep the one that explains more.
    gains = alone * moment
    is_first = gains[..., 0] >= gains[..., 1]
    edge = alone * np.stack([is_first, ~is_first], axis=-1)
    chosen: NDArray[np.float64] = np.where(is_inside[..., np.newaxis], both, edge)
    return chosen

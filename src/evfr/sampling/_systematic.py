"""Frames at equal steps of a mixture of time and motion."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np

from evfr._core.rng import generator
from evfr.sampling._sample import Sample, check_budget, check_weights, spread_rank

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

__all__ = ["GRID", "systematic", "systematic_grid", "systematic_point"]

GRID = 2**24
"""Steps per selected frame: inclusion probabilities are whole multiples of 1 / GRID."""


def _sequential_sum(values: NDArray[np.float64]) -> float:
    """Add from left to right (np.sum adds in pairs, which no plain loop repeats bit for bit)."""
    return float(np.cumsum(values)[-1]) if len(values) else 0.0


def systematic_point(start: str, seed: int = 0) -> int:
    """Return the first point p in 0..GRID-1 on the cumulative grid; it does not depend on n.

    Parameters
    ----------
    start : {"centre", "random"}
        GRID / 2 (the "u = .5" of the method), or drawn.
    seed : int
        Used by ``"random"`` only.

    Returns
    -------
    int
        In 0..GRID-1.

    Raises
    ------
    ValueError
        If ``start`` is none of the two.
    """
    if start == "centre":
        return GRID // 2
    if start == "random":
        return int(generator(seed).integers(GRID))
    raise ValueError(f"start must be 'centre' or 'random', got {start!r}")


def systematic_grid(weights: NDArray[np.float64], n: int, mixing: float, power: float) -> NDArray[np.int64]:
    """Return the cumulative inclusion probabilities as integers: steps 1 to 7 of `systematic`'s notes.

    Parameters
    ----------
    weights : (N,) float64
        0 or more, finite, no NaN; N >= 1.
    n : int
        1 <= n <= N.
    mixing, power : float
        lambda and gamma.

    Returns
    -------
    (N,) int64
        C_1..C_N: non-decreasing, steps of at most GRID, C_N = n GRID.
    """
    total = len(weights)
    largest = float(weights.max())
    if largest > 0.0 and mixing > 0.0:
        relative = weights / largest
        density = np.sqrt(relative) if power == 0.5 else relative if power == 1.0 else relative**power
        spread = (1.0 - mixing) / total + (mixing * density) / _sequential_sum(density)
    else:
        spread = np.full(total, 1.0 / total)
    is_capped = np.zeros(total, dtype=np.bool_)
    chance = np.ones(total)
    while True:
        free = ~is_capped
        rest = _sequential_sum(np.where(free, spread, 0.0))
        if rest <= 0.0:
            break
        scale = (n - int(is_capped.sum())) / rest
        chance = np.where(free, scale * spread, 1.0)
        newly = free & (chance >= 1.0)
        if not newly.any():
            break
        is_capped |= newly
        chance[newly] = 1.0
    return mend_grid(np.floor(np.cumsum(chance) * GRID + 0.5).astype(np.int64), n)


def mend_grid(cumulative: NDArray[np.int64], n: int) -> NDArray[np.int64]:
    """Undo what rounding may do to a cumulative grid: a step above GRID, an end off n GRID (steps 6 and 7).

    Parameters
    ----------
    cumulative : (N,) int64
        F_1..F_N, non-decreasing.
    n : int
        1 <= n <= N.

    Returns
    -------
    (N,) int64
        C_1..C_N: non-decreasing, steps of at most GRID, C_N = n GRID.
    """
    total = len(cumulative)
    ramp = np.arange(1, total + 1, dtype=np.int64) * GRID
    lag = np.minimum.accumulate(np.minimum(cumulative - ramp, 0))
    mended: NDArray[np.int64] = np.minimum(np.maximum(lag, (n - total) * GRID) + ramp, n * GRID)
    return mended


def systematic(
    weights: ArrayLike,
    n: int,
    *,
    seed: int = 0,
    mixing: float = 0.5,
    power: float = 0.5,
    start: Literal["centre", "random"] = "centre",
) -> Sample:
    """Take n frames at equal steps of a mixture of time and motion, so that no time is left uncovered.

    Weighted draws leave stretches of time without a frame when n is small, which Yoon & Choi 2023 state as
    their failure case; systematic sampling with unequal probabilities (Madow 1949) does not.

    Parameters
    ----------
    weights : (N,) array_like
        0 or more, any scale; NaN counts as 0.
    n : int
        Frames to choose, 0 <= n <= N.
    seed : int
        Used by ``start="random"`` only.
    mixing : float
        lambda in [0, 1): share of the density that follows the weights; 0 is uniform sampling.
    power : float
        gamma in [0, 4], exponent on the weights; 1/2 minimises the mean distance to the nearest sample on a
        path of speed w.
    start : {"centre", "random"}
        Fixed (the same for every seed) or drawn.

    Returns
    -------
    Sample
        ``inclusion`` is exactly pi_i (a multiple of 2^-24); the largest step between neighbouring picks is
        at most N / ((1 - lambda) n) + 1; not nested.

    Raises
    ------
    ValueError
        If an option or a weight is not allowed.
    ConstraintError
        If n > N.

    Notes
    -----
    u_i = (1 - lambda) / N + lambda w_i^gamma / sum(w^gamma); pi_i = min(1, c u_i) with sum(pi) = n; frames
    are taken where the cumulative sum of pi passes u, u + 1, ..., u + n - 1. Exactly, in double precision,
    all sums from left to right:

    1. NaN weights become 0. m = max(w). If m = 0 or lambda = 0, every u_i = 1 / N; go to 4.
    2. v_i = (w_i / m)^gamma: sqrt for gamma = 1/2, unchanged for 1. (Other exponents use the platform's
       ``pow``, which two languages may round differently.)
    3. V = v_1 + ... + v_N; u_i = (1 - lambda) / N + (lambda v_i) / V.
    4. No frame is capped. Repeat: R = sum of u_i over the frames not capped, in index order; stop if R is 0;
       c = (n - number capped) / R; pi_i = c u_i for the frames not capped and 1 for the others; every frame
       with pi_i >= 1 becomes capped with pi_i = 1; stop when none was added.
    5. With G = 2^24: F_i = floor((pi_1 + ... + pi_i) G + .5), the sum being the running one.
    6. L_0 = 0; L_i = min(L_(i-1), F_i - i G).
    7. C_i = min(max(L_i, (n - N) G) + i G, n G), C_0 = 0. Now C_N = n G and 0 <= C_i - C_(i-1) <= G.
    8. p = G / 2 (centre) or drawn from 0..G-1 (independent of n). For k = 0..n-1 take the first i with
       C_i > p + k G. Its inclusion probability is (C_i - C_(i-1)) / G, exactly.

    References
    ----------
    Madow, "On the theory of systematic sampling, II", Annals of Mathematical Statistics 20 (1949),
    doi:10.1214/aoms/1177729988.

    Examples
    --------
    >>> systematic([1, 1, 1, 1, 9, 9, 9, 1, 1, 1], 4, mixing=0.0).indices.tolist()
    [1, 3, 6, 8]
    >>> systematic([1, 1, 1, 1, 9, 9, 9, 1, 1, 1], 4).indices.tolist()
    [1, 4, 6, 8]
    """
    values, nan_count = check_weights(weights)
    total = len(values)
    n = check_budget(n, total)
    if not 0.0 <= mixing < 1.0:
        raise ValueError(
            f"mixing must be in [0, 1), got {mixing}; 1 would leave still frames without any chance"
        )
    if not 0.0 <= power <= 4.0:
        raise ValueError(f"power must be in [0, 4], got {power}")
    point = systematic_point(start, seed)
    if n == 0:
        indices = np.zeros(0, dtype=np.int64)
        chance = np.zeros(total)
    else:
        grid = systematic_grid(values, n, mixing, power)
        targets = point + np.arange(n, dtype=np.int64) * GRID
        indices = np.searchsorted(grid, targets, side="right").astype(np.int64)
        chance = np.diff(grid, prepend=0) / GRID
    return Sample(
        indices=indices,
        inclusion=chance[indices],
        rank=spread_rank(n),
        reasons=tuple(f"systematic: point {k + 1} of {n}, pi {chance[i]:.3g}" for k, i in enumerate(indices)),
        method="systematic",
        probabilities=chance,
        nan_count=nan_count,
    )

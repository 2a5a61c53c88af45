"""Frames drawn in proportion to their weights."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from evfr._core.rng import generator
from evfr.sampling._sample import Sample, check_budget, check_weights

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

__all__ = ["adaptive", "draw_weighted", "successive_inclusion"]


def successive_inclusion(weights: ArrayLike, n: int) -> NDArray[np.float64]:
    """Approximate the inclusion probabilities of successive sampling, which have no closed form.

    Parameters
    ----------
    weights : (N,) array_like
        0 or more; NaN counts as 0.
    n : int
        Frames drawn, 0 <= n <= N.

    Returns
    -------
    (N,) float64
        In [0, 1], sum n. Frames of weight 0 share what is left once all others are taken.

    Notes
    -----
    pi_i = 1 - exp(-w_i t), with t such that the sum is n: the chance that frame i's exponential clock of rate
    w_i rings before the time at which n clocks are expected to have rung. Exact as N grows; for weights
    8, 4, 2, 1, 1, 1, 1, 1, 1 and n = 4 it gives .941, .758, .508, .299 where 400,000 draws give
    .929, .770, .520, .297. Note that pi_i is not n w_i / sum(w).

    References
    ----------
    Rosen, "Asymptotic theory for successive sampling with varying probabilities without replacement",
    Annals of Mathematical Statistics 43 (1972).

    Examples
    --------
    >>> successive_inclusion([8, 4, 2, 1, 1, 1, 1, 1, 1], 4).round(3).tolist()[:4]
    [0.941, 0.758, 0.508, 0.299]
    """
    values, _ = check_weights(weights)
    total = len(values)
    n = check_budget(n, total)
    positive = values > 0
    n_positive = int(positive.sum())
    chance = np.zeros(total)
    if n >= n_positive:
        chance[positive] = 1.0
        if total > n_positive:
            chance[~positive] = (n - n_positive) / (total - n_positive)
        return chance
    if n == 0:
        return chance
    rate = values[positive] / values.max()
    # The sum is concave in t, so Newton's steps from below rise to the root and never pass it.
    t = n / float(rate.sum())
    for _ in range(200):
        survive = np.exp(-rate * t)
        missing = n - float((1.0 - survive).sum())
        slope = float((rate * survive).sum())
        if missing <= 1e-12 * n or slope <= 0.0:
            break
        t = min(t + missing / slope, np.finfo(np.float64).max)
    chance[positive] = np.maximum(-np.expm1(-rate * t), np.finfo(np.float64).tiny)
    return chance


def adaptive(weights: ArrayLike, n: int, *, seed: int = 0) -> Sample:
    """Draw n frames without replacement in proportion to the weights (AFS, Listing 1 of Yoon & Choi 2023).

    Parameters
    ----------
    weights : (N,) array_like
        0 or more, any scale (the FVI); NaN counts as 0.
    n : int
        Frames to choose, 0 <= n <= N.
    seed : int
        Same seed, same frames.

    Returns
    -------
    Sample
        Nested. ``inclusion`` is approximate, see `successive_inclusion`. Where fewer than n frames have any
        weight, all of them are taken, the rest is drawn uniformly from the others and ``is_fallback`` is set.

    Raises
    ------
    ValueError
        If a weight is negative or infinite, or ``seed`` is negative.
    ConstraintError
        If n > N.

    Notes
    -----
    The law is that of n sequential draws without replacement with p = w, which is the law of
    ``numpy.random.Generator.choice(N, n, replace=False, p=w)``: frame i gets the key E_i / w_i with E_i
    standard exponential, drawn in index order, and the n smallest keys win. Frames of weight 0 follow all
    others, ordered by E_i; all weights 0 is therefore plain random sampling.

    References
    ----------
    Yoon & Choi, "Exploring Video Frame Redundancies for Efficient Data Sampling and Annotation in Instance
    Segmentation", CVPR Workshops 2023. Efraimidis & Spirakis, "Weighted random sampling with a reservoir",
    Information Processing Letters 97 (2006), doi:10.1016/j.ipl.2005.11.003.

    Examples
    --------
    >>> adaptive([0.0, 3.0, 0.0, 1.0], 2, seed=5).indices.tolist()
    [1, 3]
    >>> adaptive([0.0, 3.0, 0.0, 1.0], 3, seed=5).is_fallback
    True
    """
    values, nan_count = check_weights(weights)
    total = len(values)
    n = check_budget(n, total)
    keys, draws = _keys(values, seed)
    order = _ordered(keys, draws, values > 0)
    n_positive = int(np.count_nonzero(values))
    chance = successive_inclusion(values, n)
    rank = np.argsort(order[:n]).astype(np.int64)
    indices = order[:n][rank]
    notes: tuple[str, ...] = ()
    if n > n_positive:
        notes = (
            f"adaptive: only {n_positive} of {total} frames have a weight; the rest was drawn uniformly",
        )
    relative = values / values.max() if n_positive else values
    mean = float(relative.mean()) if n_positive else 1.0
    reasons = tuple(
        f"adaptive: draw {k}, weight {share:.3g} x the mean"
        if is_weighted
        else f"adaptive: draw {k}, weight 0, filled uniformly"
        for share, is_weighted, k in zip(
            (relative[indices] / mean).tolist(),
            (values[indices] > 0).tolist(),
            (rank + 1).tolist(),
            strict=True,
        )
    )
    return Sample(
        indices=indices,
        inclusion=chance[indices],
        rank=rank,
        reasons=reasons,
        order=order,
        is_fallback=n > n_positive,
        notes=notes,
        method="adaptive",
        probabilities=chance,
        is_inclusion_approximate=0 < n < n_positive,
        nan_count=nan_count,
    )


def draw_weighted(weights: ArrayLike, n: int, *, seed: int = 0) -> NDArray[np.int64]:
    """Draw the frames of `adaptive` and nothing else: no order, reasons or probabilities.

    Parameters
    ----------
    weights : (N,) array_like
        0 or more, any scale; NaN counts as 0.
    n : int
        Frames to choose, 0 <= n <= N.
    seed : int
        Same seed, same frames.

    Returns
    -------
    (n,) int64
        Strictly increasing; equal to ``adaptive(weights, n, seed=seed).indices``.

    Raises
    ------
    ValueError
        If a weight is negative or infinite, or ``seed`` is negative.
    ConstraintError
        If n > N.

    Examples
    --------
    >>> draw_weighted([0.0, 3.0, 0.0, 1.0], 2, seed=5).tolist()
    [1, 3]
    """
    values, _ = check_weights(weights)
    total = len(values)
    n = check_budget(n, total)
    keys, draws = _keys(values, seed)
    if n in (0, total):
        return np.arange(n, dtype=np.int64)
    last = _nth_smallest(keys, n)
    chosen = np.flatnonzero(keys <= last)
    if len(chosen) > n:
        # Equal keys at the border (all frames of weight 0 among them): the order of `adaptive` decides.
        place = _ordered(keys[chosen], draws[chosen], values[chosen] > 0)
        chosen = np.sort(chosen[place[:n]])
    return chosen.astype(np.int64, copy=False)


def _keys(values: NDArray[np.float64], seed: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return one key per frame (infinite for weight 0) and the exponential draw behind it."""
    draws = generator(seed).standard_exponential(len(values))
    with np.errstate(over="ignore", divide="ignore", invalid="ignore"):
        keys = draws / values
    keys[values == 0] = np.inf
    return keys, draws


def _nth_smallest(keys: NDArray[np.float64], n: int) -> float:
    """Return the n-th smallest key: bracketed by a part of the keys, then exact among those between."""
    total = len(keys)
    some = np.sort(keys[:: max(1, total // 2_048)])
    share = n / total
    spread = 4.0 * (len(some) * share * (1.0 - share)) ** 0.5 + 2.0
    low = some[max(0, int(len(some) * share - spread))]
    high = some[min(len(some) - 1, int(len(some) * share + spread))]
    below = int(np.count_nonzero(keys < low))
    between = keys[(keys >= low) & (keys <= high)]
    if not below < n <= below + len(between):
        below, between = 0, keys
    return float(np.partition(between, n - 1 - below)[n - 1 - below])


def _ordered(
    keys: NDArray[np.float64], draws: NDArray[np.float64], positive: NDArray[np.bool_]
) -> NDArray[np.int64]:
    """Return the frames by key, weighted ones first, ties by draw and then by index."""
    # Keys are 0 or more, so their bits sort as they do. Sorting whole words that carry the index in their low
    # bits is several times faster than sorting indices; runs that share the upper bits are sorted once more.
    low = np.uint64(max(len(keys) - 1, 1).bit_length())
    words = (keys.view(np.uint64) >> low) << low
    words |= np.arange(len(keys), dtype=np.uint64)
    words.sort()
    order = (words & ((np.uint64(1) << low) - np.uint64(1))).astype(np.int64)
    words >>= low
    is_tied = np.zeros(len(keys) + 1, bool)
    np.equal(words[1:], words[:-1], out=is_tied[1:-1])
    tied = np.flatnonzero(is_tied[1:] | is_tied[:-1])
    if len(tied):
        some = order[tied]
        order[tied] = some[np.lexsort((some, draws[some], keys[some], ~positive[some], words[tied]))]
    return order

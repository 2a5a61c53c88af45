"""Uniform where motion is even, systematic where it is not, shot by shot."""

from __future__ import annotations

import itertools
import math
from typing import TYPE_CHECKING

import numpy as np

from evfr.sampling._allocate import allocate
from evfr.sampling._sample import Sample, Segment, check_budget, check_weights, spread_rank
from evfr.sampling._systematic import systematic
from evfr.sampling._uniform import uniform

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import ArrayLike, NDArray

__all__ = ["auto", "shot_bounds", "shot_dynamicity"]


def shot_bounds(n_frames: int, cuts: ArrayLike | None) -> list[tuple[int, int]]:
    """Return the shots as (start, stop) pairs that cover 0..N without overlap.

    Parameters
    ----------
    n_frames : int
        N, 0 or more.
    cuts : (K,) array_like of int, or None
        First frame of every shot after the first, in 1..N-1, in any order; repeats are one cut.

    Returns
    -------
    list of (int, int)
        One pair per shot; empty for N = 0.

    Raises
    ------
    ValueError
        If a cut is out of range.
    """
    first = np.unique(np.asarray([] if cuts is None else cuts, dtype=np.int64))
    if len(first) and not (first[0] >= 1 and first[-1] < n_frames):
        raise ValueError(f"cuts must be in 1..{n_frames - 1}, got {first[0]} to {first[-1]}")
    edges = [0, *first.tolist(), n_frames]
    return [(a, b) for a, b in itertools.pairwise(edges) if a < b]


def shot_dynamicity(weights: NDArray[np.float64]) -> float:
    """Return the coefficient of variation of one shot's weights, without its last (Fig. 8 of Yoon & Choi 2023).

    Parameters
    ----------
    weights : (N,) float64
        Weights of the shot's frames; NaN is left out.

    Returns
    -------
    float
        Population standard deviation over mean; 0 where fewer than two pairs were measured or all are 0.

    Notes
    -----
    The last frame of a shot has no successor inside it, so its weight measures nothing. Exactly, in double
    precision, sums from left to right over the m measured weights: a = (sum of w) / m;
    CV = sqrt((sum of (w - a) (w - a)) / m) / a.
    """
    values = [x for x in weights[:-1].tolist() if not math.isnan(x)]
    total = 0.0
    for x in values:
        total += x
    if total <= 0.0:
        return 0.0
    mean = total / len(values)
    squares = 0.0
    for x in values:
        squares += (x - mean) * (x - mean)
    return math.sqrt(squares / len(values)) / mean


def auto(
    weights: ArrayLike,
    n: int,
    *,
    seed: int = 0,
    threshold: float = 0.9,
    mixing: float = 0.5,
    power: float = 0.5,
    cuts: Sequence[int] | NDArray[np.int64] | None = None,
) -> Sample:
    """Choose uniform or systematic sampling for each shot by its dynamicity (section 4.7 of Yoon & Choi 2023).

    The paper recommends a strategy by how unevenly motion is spread; this makes the advice an algorithm.

    Parameters
    ----------
    weights : (N,) array_like
        0 or more, any scale; NaN counts as 0 and is left out of the dynamicity.
    n : int
        Frames to choose, 0 <= n <= N.
    seed : int
        Not used: the choice is deterministic.
    threshold : float
        Shots whose weights have a coefficient of variation of at least this are sampled systematically, the
        others uniformly from the middle of their stretches; 0 or more.
    mixing : float
        Share of the density that follows the weights in systematic shots, in [0, 1).
    power : float
        Exponent on the weights in systematic shots, in [0, 4].
    cuts : (K,) sequence of int, or None
        First frame of every shot after the first; None is one shot.

    Returns
    -------
    Sample
        ``segments`` holds the plan with its reasons; not nested.

    Raises
    ------
    ValueError
        If an option, a weight or a cut is not allowed.
    ConstraintError
        If n > N.

    Notes
    -----
    1. Shots are the stretches between cuts; T_s is the length of shot s in frames.
    2. n_s = allocate(n, T_s, minimum 1, maximum T_s) where n is at least the number of shots, else
       allocate(n, T_s, minimum 0, maximum 1): one per shot comes first, longest shots before others.
    3. CV of each shot as in `shot_dynamicity`.
    4. CV < threshold: `uniform` with start "middle" on the shot's n_s; else `systematic` with start "centre"
       on the shot's weights. Indices are shifted by the first frame of the shot.

    References
    ----------
    Yoon & Choi, "Exploring Video Frame Redundancies for Efficient Data Sampling and Annotation in Instance
    Segmentation", CVPR Workshops 2023.

    Examples
    --------
    >>> sample = auto([1.0] * 6 + [0, 0, 0, 8, 0, 0], 4, cuts=[6])
    >>> sample.indices.tolist(), [segment.strategy for segment in sample.segments]
    ([1, 4, 8, 9], ['uniform', 'systematic'])
    """
    values, nan_count = check_weights(weights)
    raw = np.asarray(weights, dtype=np.float64)
    total = len(values)
    n = check_budget(n, total)
    if not threshold >= 0.0 or math.isinf(threshold):
        raise ValueError(f"threshold must be finite and 0 or more, got {threshold}")
    shots = shot_bounds(total, cuts)
    lengths = [b - a for a, b in shots]
    one_each = n < len(shots)
    shares = allocate(
        n,
        lengths,
        minimum=[0 if one_each else 1] * len(shots),
        maximum=[1] * len(shots) if one_each else lengths,
    ).tolist()
    segments: list[Segment] = []
    parts: list[Sample] = []
    for k, ((a, b), share) in enumerate(zip(shots, shares, strict=True)):
        cv = shot_dynamicity(raw[a:b])
        is_even = cv < threshold
        if is_even:
            part = uniform(values[a:b], share, start="middle")
            why = f"dynamicity {cv:.3g} < {threshold:g}: uniform"
        else:
            part = systematic(values[a:b], share, mixing=mixing, power=power)
            why = f"dynamicity {cv:.3g} >= {threshold:g}: systematic"
        if one_each:
            why += f"; {n} frames for {len(shots)} shots: one per shot, longest first"
        segments.append(
            Segment(a, b, share, "uniform" if is_even else "systematic", cv, f"shot {k + 1}: {why}")
        )
        parts.append(part)
    return _join(parts, segments, nan_count)


def _join(parts: list[Sample], segments: list[Segment], nan_count: int) -> Sample:
    """Concatenate the shots' samples; rank them so that every shot gets its first frame before any a second."""
    empty_int, empty_float = [np.zeros(0, dtype=np.int64)], [np.zeros(0)]
    n = sum(len(part) for part in parts)
    indices = np.concatenate(empty_int + [p.indices + s.start for p, s in zip(parts, segments, strict=True)])
    depth = np.concatenate(empty_float + [p.rank / max(len(p), 1) for p in parts])
    chances = [
        np.zeros(s.stop - s.start) if p.probabilities is None else p.probabilities
        for p, s in zip(parts, segments, strict=True)
    ]
    rank = np.empty(n, dtype=np.int64)
    rank[np.lexsort((spread_rank(n), depth))] = np.arange(n)
    reasons = [
        f"auto: shot {k + 1}, dynamicity {s.dynamicity:.3g}, {reason}"
        for k, (p, s) in enumerate(zip(parts, segments, strict=True))
        for reason in p.reasons
    ]
    return Sample(
        indices=indices,
        inclusion=np.concatenate(empty_float + [p.inclusion for p in parts]),
        rank=rank,
        reasons=tuple(reasons),
        method="auto",
        segments=tuple(segments),
        probabilities=np.concatenate(empty_float + chances),
        nan_count=nan_count,
    )

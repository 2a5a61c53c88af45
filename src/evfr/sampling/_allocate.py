"""Split one budget over videos or shots, in whole frames."""

from __future__ import annotations

import math
import operator
from fractions import Fraction
from typing import TYPE_CHECKING, Literal

import numpy as np

from evfr.errors import ConstraintError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import ArrayLike, NDArray

__all__ = ["STRIDES", "allocate", "budget"]

STRIDES = (1, 2, 3, 4, 5, 7, 10)
"""Strides of the reduced datasets S1..S10 (section 4.2 of Yoon & Choi 2023)."""


def budget(n_frames: int, n: int | None = None, ratio: float | None = None, stride: int | None = None) -> int:
    """Turn n, a ratio or a stride into a number of frames.

    Parameters
    ----------
    n_frames : int
        Frames there are, 0 or more.
    n : int or None
        The number itself.
    ratio : float or None
        In (0, 1]: ratio x n_frames, rounded half up as a decimal number, at least 1 where there is a frame.
    stride : int or None
        One frame in ``stride``: ceil(n_frames / stride).

    Returns
    -------
    int
        In 0..n_frames.

    Raises
    ------
    ValueError
        If not exactly one of the three is given, or it is out of range.
    ConstraintError
        If ``n`` is larger than ``n_frames``.

    Examples
    --------
    >>> budget(1000, ratio=0.2), budget(1001, stride=10), budget(3, ratio=0.01)
    (200, 101, 1)
    """
    if n_frames < 0:
        raise ValueError(f"n_frames must be 0 or more, got {n_frames}")
    if sum(value is not None for value in (n, ratio, stride)) != 1:
        raise ValueError(
            f"give exactly one of n, ratio and stride, got n={n}, ratio={ratio}, stride={stride}"
        )
    if n is not None:
        if operator.index(n) < 0:
            raise ValueError(f"n must be 0 or more, got {n}")
        if n > n_frames:
            raise ConstraintError(f"n={n} is more than the {n_frames} frames there are; lower n")
        return operator.index(n)
    if stride is not None:
        if operator.index(stride) < 1:
            raise ValueError(f"stride must be 1 or more, got {stride}")
        return -(-n_frames // operator.index(stride))
    if ratio is None or not 0.0 < ratio <= 1.0:
        raise ValueError(f"ratio must be in (0, 1], got {ratio}")
    exact = Fraction(str(float(ratio))) * n_frames
    return min(n_frames, max(1, math.floor(exact + Fraction(1, 2))))


def _bounds(values: ArrayLike | None, count: int, default: int, name: str) -> list[int]:
    if values is None:
        return [default] * count
    array = np.asarray(values)
    if array.ndim == 0:
        array = np.full(count, array)
    if array.shape != (count,) or (count and array.dtype.kind not in "iu"):
        raise ValueError(f"{name} must be {count} integers, got {array.shape} {array.dtype}")
    bounds: list[int] = array.tolist()
    if bounds and min(bounds) < 0:
        raise ValueError(f"{name} must be 0 or more, got {min(bounds)}")
    return bounds


def _shares(durations: list[float], activities: list[float] | None, rule: str) -> list[float]:
    if rule == "duration":
        return durations
    if rule == "equal":
        return [1.0] * len(durations)
    if rule != "activity":
        raise ValueError(f"rule must be 'duration', 'equal' or 'activity', got {rule!r}")
    if activities is None:
        raise ValueError("rule 'activity' needs the activities of the videos; pass them, or use 'duration'")
    return [math.sqrt(a * d) for a, d in zip(activities, durations, strict=True)]


def _numbers(values: ArrayLike, name: str) -> list[float]:
    array = np.asarray(values, dtype=np.float64)
    if array.ndim != 1:
        raise ValueError(f"{name} must be one-dimensional, got shape {array.shape}")
    numbers = [0.0 if math.isnan(x) else x for x in array.tolist()]
    for x in numbers:
        if not 0.0 <= x <= 1e150:
            raise ValueError(f"{name} must be in [0, 1e150] (NaN counts as 0), got {x}")
    return numbers


def allocate(
    total: int,
    durations: ArrayLike,
    activities: ArrayLike | None = None,
    *,
    rule: Literal["duration", "equal", "activity"] = "duration",
    minimum: ArrayLike | None = None,
    maximum: ArrayLike | None = None,
) -> NDArray[np.int64]:
    """Split a budget over videos (or shots) in whole frames that sum to it exactly.

    Parameters
    ----------
    total : int
        Frames to give out, 0 or more.
    durations : (V,) array_like
        Length of each video, in frames or seconds; 0 or more.
    activities : (V,) array_like or None
        Mean dissimilarity of each video, needed by the rule ``"activity"``; NaN counts as 0.
    rule : {"duration", "equal", "activity"}
        Shares in proportion to the duration, all alike, or to sqrt(activity x duration).
    minimum, maximum : (V,) array_like of int, int, or None
        Bounds per video; None is 0 and no bound.

    Returns
    -------
    (V,) int64
        Sums to ``total``, within the bounds.

    Raises
    ------
    ValueError
        If an argument is out of range or has the wrong length.
    ConstraintError
        If no split within the bounds sums to ``total``; the text names the bound.

    Notes
    -----
    The real-valued split is the one in which every video that touches no bound gets the same multiple of its
    share. Exactly, in double precision, sums from left to right over the free videos in index order:

    1. s_i = duration, 1, or sqrt(activity_i * duration_i). NaN is 0. No video is fixed.
    2. R = total - sum of the fixed amounts; S = sum of s_i over the free videos. If S = 0, use the durations
       as s_i of the free videos from here on; if they sum to 0 as well, 1 for each.
    3. x_i = (R * s_i) / S for the free videos. e = sum of max(min_i - x_i, 0) minus sum of
       max(x_i - max_i, 0), each sum in index order.
    4. If no x_i is out of its bounds, go to 6. If e > 0, fix every free video with x_i < min_i at min_i; if
       e < 0, every one with x_i > max_i at max_i; if e = 0, both kinds.
    5. If a video is free, go to 2.
    6. Free videos get floor(x_i). The frames left over go one each to the free videos by falling x_i -
       floor(x_i), ties to the lower index, passing over a video at its maximum, again and again until none is
       left. (Should rounding have given out a frame too many, it is taken back in the reverse order from
       videos above their minimum.)

    References
    ----------
    Largest remainders: Hamilton's method of apportionment.

    Examples
    --------
    >>> allocate(10, [100, 100, 50]).tolist()
    [4, 4, 2]
    >>> allocate(10, [900, 50, 50], minimum=2).tolist()
    [6, 2, 2]
    """
    amount = operator.index(total)
    if amount < 0:
        raise ValueError(f"total must be 0 or more, got {amount}")
    lengths = _numbers(durations, "durations")
    count = len(lengths)
    motion = None if activities is None else _numbers(activities, "activities")
    if motion is not None and len(motion) != count:
        raise ValueError(f"activities must have {count} entries, one per video, got {len(motion)}")
    shares = _shares(lengths, motion, rule)
    low = _bounds(minimum, count, 0, "minimum")
    high = _bounds(maximum, count, amount, "maximum")
    _check_feasible(amount, low, high)
    result = _split(amount, shares, lengths, low, high)
    return np.array(result, dtype=np.int64)


def _check_feasible(total: int, low: Sequence[int], high: Sequence[int]) -> None:
    for i, (a, b) in enumerate(zip(low, high, strict=True)):
        if a > b:
            raise ConstraintError(f"minimum={a} is above maximum={b} for entry {i}; lower the minimum")
    if sum(low) > total:
        raise ConstraintError(f"the minimum asks for {sum(low)} frames in all, the budget is {total}")
    if sum(high) < total:
        raise ConstraintError(f"the maximum allows {sum(high)} frames in all, the budget is {total}")


def _split(
    total: int, shares: list[float], lengths: list[float], low: Sequence[int], high: Sequence[int]
) -> list[int]:
    result = [0] * len(shares)
    free = list(range(len(shares)))
    rest = total
    ideal: dict[int, float] = {}
    while free:
        scale = _left_sum([shares[i] for i in free])
        if scale <= 0.0:
            shares = lengths if _left_sum([lengths[i] for i in free]) > 0.0 else [1.0] * len(lengths)
            scale = _left_sum([shares[i] for i in free])
        ideal = {i: (rest * shares[i]) / scale for i in free}
        below = [i for i in free if ideal[i] < low[i]]
        above = [i for i in free if ideal[i] > high[i]]
        if not below and not above:
            break
        excess = _left_sum([low[i] - ideal[i] for i in below]) - _left_sum(
            [ideal[i] - high[i] for i in above]
        )
        fixed = (below if excess >= 0.0 else []) + (above if excess <= 0.0 else [])
        for i in fixed:
            result[i] = low[i] if ideal[i] < low[i] else high[i]
            rest -= result[i]
        gone = set(fixed)
        free = [i for i in free if i not in gone]
    for i in free:
        result[i] = math.floor(ideal[i])
    _settle(result, free, ideal, total, low, high)
    return result


def _left_sum(values: Sequence[float]) -> float:
    total = 0.0
    for value in values:
        total += value
    return total


def _settle(
    result: list[int],
    free: list[int],
    ideal: dict[int, float],
    total: int,
    low: Sequence[int],
    high: Sequence[int],
) -> None:
    ranked = sorted(free, key=lambda i: (-(ideal[i] - math.floor(ideal[i])), i))
    left = total - sum(result)
    while left > 0:
        for i in ranked:
            if left > 0 and result[i] < high[i]:
                result[i] += 1
                left -= 1
    while left < 0:
        for i in reversed(ranked):
            if left < 0 and result[i] > low[i]:
                result[i] -= 1
                left += 1

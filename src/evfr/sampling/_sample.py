"""What every sampler takes and returns."""

from __future__ import annotations

import inspect
import operator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from evfr.errors import ConstraintError

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import ArrayLike, NDArray

__all__ = [
    "SUPPLIED",
    "Sample",
    "Sampler",
    "Segment",
    "check_budget",
    "check_weights",
    "spread_rank",
    "takes_embeddings",
]


SUPPLIED = ("seed", "cuts", "times", "initial", "usable", "accept")
"""Keywords of samplers that are no options of the method: whoever calls it for a video fills them in."""


@dataclass(frozen=True, slots=True)
class Segment:
    """Say how one stretch of a video (a shot) was sampled, and why.

    Attributes
    ----------
    start, stop : int
        Frames ``start <= frame_index < stop``.
    n : int
        Frames chosen in the stretch, before constraints move any of them.
    strategy : str
        ``"uniform"`` or ``"systematic"``.
    dynamicity : float
        Coefficient of variation of the weights inside the stretch, 0 or more.
    reason : str
        One sentence for people: the figure, the threshold, what follows.
    """

    start: int
    stop: int
    n: int
    strategy: str
    dynamicity: float
    reason: str

    def __post_init__(self) -> None:
        if not 0 <= self.start < self.stop:
            raise ValueError(f"a segment needs 0 <= start < stop, got {self.start} and {self.stop}")


@dataclass(frozen=True, slots=True, eq=False)
class Sample:
    """Hold the frames that a sampler chose from one video, and what is known about the choice.

    Attributes
    ----------
    indices : (n,) int64
        Chosen frame indices, strictly increasing.
    inclusion : (n,) float64
        Probability, in (0, 1], that the design includes each chosen frame; NaN where it is unknown. A fixed
        start (``"first"``, ``"middle"``, ``"centre"``) carries the probability of the random start it fixes.
    rank : (n,) int64
        A permutation of 0..n-1: 0 is the first frame to keep (or label) at a smaller budget.
    reasons : tuple of str
        Why each frame was chosen, one per index.
    order : (M,) int64 or None
        All frames that may be chosen, best first, where the method is nested: the sample for any smaller n is
        the sorted prefix of length n. None where smaller samples are no subsets.
    is_fallback : bool
        Whether frames of weight 0 had to be taken because too few have any weight.
    notes : tuple of str
        What a reader of the report should know, one sentence each.
    method : str
        Name of the sampler.
    segments : tuple of Segment
        The plan per shot, for samplers that make one; else empty.
    probabilities : (N,) float64 or None
        Inclusion probability of every frame of the video, chosen or not; None where unknown.
    is_inclusion_approximate : bool
        Whether the probabilities are an approximation (successive sampling has no closed form).
    nan_count : int
        Weights that were NaN (unmeasured) and counted as 0, or embedding rows that cannot be used.
    gains : (n,) float64 or None
        What each chosen frame added when it was taken, in the method's own unit (farthest: the distance to the
        nearest frame taken before; facility: the rise of the objective), by index; NaN where it has none. None
        for methods without gains.
    """

    indices: NDArray[np.int64]
    inclusion: NDArray[np.float64]
    rank: NDArray[np.int64]
    reasons: tuple[str, ...]
    order: NDArray[np.int64] | None = None
    is_fallback: bool = False
    notes: tuple[str, ...] = ()
    method: str = ""
    segments: tuple[Segment, ...] = ()
    probabilities: NDArray[np.float64] | None = None
    is_inclusion_approximate: bool = False
    nan_count: int = 0
    gains: NDArray[np.float64] | None = None

    def __post_init__(self) -> None:
        n = len(self.indices)
        expected = {"indices": np.int64, "inclusion": np.float64, "rank": np.int64}
        for name, dtype in expected.items():
            array = getattr(self, name)
            if array.shape != (n,) or array.dtype != dtype:
                raise ValueError(
                    f"{name} must be ({n},) {np.dtype(dtype)}, got {array.shape} {array.dtype}; "
                    "return one entry per chosen frame"
                )
        if self.gains is not None and (self.gains.shape != (n,) or self.gains.dtype != np.float64):
            raise ValueError(f"gains must be ({n},) float64, got {self.gains.shape} {self.gains.dtype}")
        if len(self.reasons) != n:
            raise ValueError(f"reasons must have {n} entries, one per chosen frame, got {len(self.reasons)}")
        if n and (self.indices[0] < 0 or np.any(np.diff(self.indices) <= 0)):
            raise ValueError("indices must be strictly increasing and 0 or more; sort them and drop repeats")
        if not np.array_equal(np.sort(self.rank), np.arange(n)):
            raise ValueError(f"rank must be a permutation of 0..{n - 1}")
        if np.any(self.inclusion <= 0) or np.any(self.inclusion > 1):
            raise ValueError("inclusion must be in (0, 1] or NaN")

    def __len__(self) -> int:
        return len(self.indices)

    def __repr__(self) -> str:
        flags = ", fallback" if self.is_fallback else ""
        return f"Sample({self.method}, n={len(self)}{flags})"


class Sampler(Protocol):
    """Choose n of N frames from an array; options of the method follow as keywords."""

    def __call__(self, weights: NDArray[np.float64], n: int, *, seed: int = 0) -> Sample:
        """Return n frames of ``len(weights)``; the same arguments give the same bytes."""


def takes_embeddings(sampler: Callable[..., Any]) -> bool:
    """Say whether a sampler works on embeddings (N, D) instead of weights (N,).

    Parameters
    ----------
    sampler : callable
        One of `SAMPLERS`, or your own.

    Returns
    -------
    bool
        Whether its first parameter is called ``embeddings``.

    Examples
    --------
    >>> from evfr.sampling import SAMPLERS
    >>> takes_embeddings(SAMPLERS["uniform"])
    False
    """
    return next(iter(inspect.signature(sampler).parameters), "") == "embeddings"


def check_weights(weights: ArrayLike) -> tuple[NDArray[np.float64], int]:
    """Return the weights as float64 with NaN replaced by 0, and how many were NaN.

    Parameters
    ----------
    weights : (N,) array_like
        0 or more, finite; NaN stands for "not measured".

    Returns
    -------
    values : (N,) float64
        A copy without NaN.
    nan_count : int
        How many NaN were replaced.

    Raises
    ------
    ValueError
        If the array is not one-dimensional, or holds a negative or infinite value.
    """
    values = np.array(weights, dtype=np.float64)
    if values.ndim != 1:
        raise ValueError(f"weights must be (N,), got shape {values.shape}; pass one weight per frame")
    is_nan = np.isnan(values)
    values[is_nan] = 0.0
    bad = np.flatnonzero((values < 0) | np.isinf(values))
    if len(bad):
        raise ValueError(
            f"weights must be finite and 0 or more, got {values[bad[0]]} at frame {bad[0]}; "
            "use NaN for a frame that was not measured"
        )
    return values, int(is_nan.sum())


def check_budget(n: int, n_frames: int) -> int:
    """Return ``n`` as a plain int between 0 and ``n_frames``.

    Parameters
    ----------
    n : int
        Frames to choose.
    n_frames : int
        Frames there are.

    Returns
    -------
    int
        ``n``.

    Raises
    ------
    TypeError
        If ``n`` is no integer.
    ValueError
        If ``n`` is negative.
    ConstraintError
        If ``n`` is larger than ``n_frames``.
    """
    if isinstance(n, bool | np.bool_):
        raise TypeError(f"n must be an integer, got {n!r}")
    try:
        value = operator.index(n)
    except TypeError as error:
        raise TypeError(f"n must be an integer, got {n!r}") from error
    if value < 0:
        raise ValueError(f"n must be 0 or more, got {value}")
    if value > n_frames:
        raise ConstraintError(f"n={value} is more than the {n_frames} frames that can be selected; lower n")
    return value


def spread_rank(n: int) -> NDArray[np.int64]:
    """Rank n evenly spread picks so that every prefix of the ranking is spread as well (bit reversal).

    Parameters
    ----------
    n : int
        Number of picks.

    Returns
    -------
    (n,) int64
        Rank of each pick: position of k among 0..n-1 sorted by their reversed bits.

    Examples
    --------
    >>> spread_rank(8).tolist()
    [0, 4, 2, 6, 1, 5, 3, 7]
    """
    k = np.arange(n, dtype=np.int64)
    reverse = np.zeros(n, dtype=np.int64)
    for bit in range(max(n - 1, 0).bit_length()):
        reverse = (reverse << 1) | ((k >> bit) & 1)
    rank = np.empty(n, dtype=np.int64)
    rank[np.argsort(reverse, kind="stable")] = k
    return rank

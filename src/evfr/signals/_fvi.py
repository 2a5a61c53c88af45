"""From dissimilarities to weights: the Frame Variance Index, dynamicity and activity."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

__all__ = ["FviResult", "activity", "dynamicity", "fvi"]


@dataclass(frozen=True, slots=True, eq=False)
class FviResult:
    """Hold the weights of a video's frames.

    Attributes
    ----------
    weights : (N,) float64
        Frame Variance Index: 0 or more, sums to 1 (empty for no frames).
    is_static : bool
        Nothing moves: the weights are uniform over the measured frames.
    nan_count : int
        Frames without a measurement. Their weight is 0; where no pair at all could be measured, all
        weights are 1/N.
    """

    weights: NDArray[np.float64]
    is_static: bool
    nan_count: int

    def __post_init__(self) -> None:
        if self.weights.ndim != 1 or self.weights.dtype != np.float64:
            raise ValueError(f"weights must be (N,) float64, got {self.weights.shape} {self.weights.dtype}")

    def __repr__(self) -> str:
        return (
            f"FviResult({len(self.weights)} frames, is_static={self.is_static}, nan_count={self.nan_count})"
        )


def fvi(
    d: ArrayLike, *, last: Literal["repeat", "zero"] = "repeat", cuts: ArrayLike | None = None
) -> FviResult:
    """Normalise dissimilarities to weights that sum to 1 (FVI, section 3 of Yoon & Choi 2023).

    Parameters
    ----------
    d : (N,) float
        ``d[t]`` is the dissimilarity of frames t and t + 1, 0 or more, NaN where it could not be measured.
        The last entry has no successor and is not read.
    last : {"repeat", "zero"}
        Weight of a shot's last frame: that of the pair before it (ours), or 0 as in the paper, so that the
        last frame is never drawn.
    cuts : (K,) int, optional
        First frame of each shot but the first, as `find_cuts` returns them. A pair across a cut says that
        the scene changes, not that something moves, so its value is not used.

    Returns
    -------
    FviResult
        Weights, whether the video is static, and how many frames could not be measured.

    Raises
    ------
    ValueError
        If ``d`` has a negative or infinite value, or is not one-dimensional; if ``cuts`` are not inside the
        video; if ``last`` is unknown.

    Notes
    -----
    w = d / sum(d), the L1 norm (the paper says "unit length"). With cuts, each shot is treated as a clip of
    its own: the frame before a cut is a last frame like that of the video. A shot of one frame has no pair
    inside; with ``last="repeat"`` it gets the mean of the measured pairs, so that it is neither certain to
    be drawn nor never drawn. NaN stays NaN where it is repeated, is counted, and weighs 0.

    Examples
    --------
    >>> fvi([1.0, 3.0, 4.0, 0.0], last="zero").weights
    array([0.125, 0.375, 0.5  , 0.   ])
    >>> fvi([1.0, 3.0, 6.0, 0.0]).weights
    array([0.0625, 0.1875, 0.375 , 0.375 ])
    """
    if last not in ("repeat", "zero"):
        raise ValueError(f"last must be 'repeat' or 'zero', got {last!r}")
    values, ends = _values_and_ends(d, cuts)
    count = len(values)
    if count == 0:
        return FviResult(np.zeros(0), is_static=True, nan_count=0)
    inside = _inside(values, ends)
    filled = values.copy()
    if last == "zero":
        filled[ends] = 0.0
    else:
        mean = math.fsum(inside) / len(inside) if len(inside) else 0.0
        begin = 0
        for end in ends.tolist():
            filled[end] = values[end - 1] if end > begin else mean
            begin = end + 1
    is_nan = np.isnan(filled)
    filled[is_nan] = 0.0
    largest = float(filled.max())
    nan_count = int(is_nan.sum())
    if largest == 0.0:
        if len(inside) == 0:
            return FviResult(np.full(count, 1.0 / count), is_static=nan_count == 0, nan_count=nan_count)
        measured = ~is_nan
        return FviResult(measured / float(measured.sum()), is_static=True, nan_count=nan_count)
    scaled = _unit_range(filled, largest)
    return FviResult(scaled / math.fsum(scaled), is_static=False, nan_count=nan_count)


def dynamicity(d: ArrayLike, cuts: ArrayLike | None = None) -> float:
    """Measure how unevenly motion is spread over a video (dynamicity, Fig. 8 of Yoon & Choi 2023).

    Parameters
    ----------
    d : (N,) float
        As in `fvi`; the last entry, NaN and pairs across a cut are left out.
    cuts : (K,) int, optional
        As in `fvi`.

    Returns
    -------
    float
        Coefficient of variation std(d) / mean(d) (population std), 0 or more, the same for a longer video
        of the same kind. 0.0 where nothing moves; NaN where nothing could be measured.

    Raises
    ------
    ValueError
        As in `fvi`.

    Notes
    -----
    Constant fast motion has dynamicity 0 and is not redundant: see `activity`. The standard deviation of
    the weights themselves would fall as 1/N.

    Examples
    --------
    >>> dynamicity([1.0, 3.0, 1.0, 3.0, 0.0])
    0.5
    """
    inside = _inside(*_values_and_ends(d, cuts))
    if len(inside) == 0:
        return math.nan
    largest = float(inside.max())
    if largest == 0.0:
        return 0.0
    inside = _unit_range(inside, largest)
    mean = math.fsum(inside) / len(inside)
    return math.sqrt(math.fsum((inside - mean) ** 2) / len(inside)) / mean


def activity(d: ArrayLike, cuts: ArrayLike | None = None) -> float:
    """Measure how much moves on average, which says how many frames a video needs (ours).

    Parameters
    ----------
    d : (N,) float
        As in `fvi`; the last entry, NaN and pairs across a cut are left out.
    cuts : (K,) int, optional
        As in `fvi`.

    Returns
    -------
    float
        Mean of d, in d's unit; NaN where nothing could be measured.

    Raises
    ------
    ValueError
        As in `fvi`.

    Examples
    --------
    >>> activity([1.0, 3.0, 1.0, 3.0, 0.0])
    2.0
    """
    inside = _inside(*_values_and_ends(d, cuts))
    return math.fsum(inside) / len(inside) if len(inside) else math.nan


def _values_and_ends(d: ArrayLike, cuts: ArrayLike | None) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Check ``d`` and return it with the index of each shot's last frame, in increasing order."""
    values = np.array(d, dtype=np.float64)
    if values.ndim != 1:
        raise ValueError(f"d must be (N,), got shape {values.shape}")
    count = len(values)
    if (values < 0).any() or np.isinf(values).any():
        bad = int(np.flatnonzero((values < 0) | np.isinf(values))[0])
        raise ValueError(
            f"d must be finite and 0 or more (NaN if unmeasured), got {values[bad]} at index {bad}"
        )
    first = np.unique(np.asarray([] if cuts is None else cuts, dtype=np.int64))
    if len(first) and not (first[0] > 0 and first[-1] < count):
        raise ValueError(f"cuts must lie in 1..{count - 1}, got {first.tolist()}")
    if count == 0:
        return values, np.zeros(0, dtype=np.int64)
    return values, np.append(first - 1, count - 1)


def _unit_range(values: NDArray[np.float64], largest: float) -> NDArray[np.float64]:
    """Scale by a power of two, hence exactly, so that neither sums nor squares under- or overflow."""
    return np.ldexp(values, -math.frexp(largest)[1])


def _inside(values: NDArray[np.float64], ends: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return the measured dissimilarities of pairs that lie inside a shot."""
    measured = ~np.isnan(values)
    measured[ends] = False
    return values[measured]

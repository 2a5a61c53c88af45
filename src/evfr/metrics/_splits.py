"""Scores by what may explain them: the size of the object, the distance to the nearest label."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from evfr.metrics._davis import mean_or_nan, none_if_nan

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from evfr.metrics._masks import MaskScores

__all__ = ["SIZE_LIMITS", "GapSplit", "SizeSplit", "gap_splits", "size_splits"]

SIZE_LIMITS = (10_000, 30_000)
"""Pixels that part small, medium and large objects (Xu & Yao 2022)."""

_GAP_EDGES = (1, 3, 6, 13, 26, 51, 101)


@dataclass(frozen=True, slots=True)
class SizeSplit:
    """Hold the scores of objects of one size.

    Attributes
    ----------
    low, high : int or None
        Pixels of the true mask: low <= area <= high; None is open.
    row_count : int
        Objects in frames.
    region, boundary : float
        Mean J and F over them; NaN without any.
    """

    low: int | None
    high: int | None
    row_count: int
    region: float
    boundary: float

    @property
    def j_and_f(self) -> float:
        """J&F: the mean of the two."""
        return (self.region + self.boundary) / 2

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON-ready dict."""
        return {
            "low": self.low,
            "high": self.high,
            "row_count": self.row_count,
            "j": none_if_nan(self.region),
            "f": none_if_nan(self.boundary),
            "j_and_f": none_if_nan(self.j_and_f),
        }


def size_splits(scores: MaskScores, limits: Sequence[int] = SIZE_LIMITS) -> tuple[SizeSplit, ...]:
    """Split J and F on frames without labels by the size of the object (CoVOS, Xu & Yao 2022).

    Parameters
    ----------
    scores : MaskScores
        Rows of any number of videos. Without named keys, the frame in which an object is given and those before it
        are left out instead.
    limits : sequence of int
        Increasing numbers of pixels: below the first, from each to the next (both included), above the last.

    Returns
    -------
    tuple of SizeSplit
        One more than there are limits; an object counts by its true size in each frame, absent ones are left out.

    Raises
    ------
    ValueError
        If the limits do not increase from 1 on.
    """
    if not limits or list(limits) != sorted(set(limits)) or limits[0] < 1:
        raise ValueError(f"limits must increase from 1 pixel on, got {list(limits)}")
    counted = np.where(scores.gap >= 0, scores.gap > 0, ~scores.is_given) & (scores.area > 0)
    found = []
    # The paper's middle class is 10k to 30k with both borders.
    edges: list[int | None] = [1, *limits[:1], *[limit + 1 for limit in limits[1:]], None]
    for low, after in pairwise(edges):
        rows = counted & (scores.area >= (low or 0))
        rows &= scores.area < after if after is not None else True
        found.append(
            SizeSplit(
                low if low != 1 else None,
                None if after is None else after - 1,
                int(rows.sum()),
                mean_or_nan(scores.region[rows]),
                mean_or_nan(scores.boundary[rows]),
            )
        )
    return tuple(found)


@dataclass(frozen=True, slots=True)
class GapSplit:
    """Hold the mean of a score at some distances from the nearest label.

    Attributes
    ----------
    low, high : int or None
        Frames to the nearest label: low <= gap <= high; None is open.
    row_count : int
        Objects in frames.
    mean : float
        Of the score.
    """

    low: int
    high: int | None
    row_count: int
    mean: float

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON-ready dict."""
        return {
            "low": self.low,
            "high": self.high,
            "row_count": self.row_count,
            "mean": none_if_nan(self.mean),
        }


def gap_splits(values: NDArray[np.float64], gap: NDArray[np.int64]) -> tuple[GapSplit, ...]:
    """Split a score by the distance to the nearest label.

    Parameters
    ----------
    values : (N,) float64
        J, F or IoU; NaN is left out.
    gap : (N,) int64
        Frames to the nearest label; 0 (labelled) and -1 (unknown) are left out.

    Returns
    -------
    tuple of GapSplit
        1 to 2 frames, 3 to 5, 6 to 12, 13 to 25, 26 to 50, 51 to 100, more; those without rows are left out.

    Raises
    ------
    ValueError
        If the lengths differ.
    """
    if values.ndim != 1 or values.shape != gap.shape:
        raise ValueError(f"values and gap must be (N,) and equally long, got {values.shape} and {gap.shape}")
    found = []
    for low, after in zip(_GAP_EDGES, (*_GAP_EDGES[1:], None), strict=True):
        rows = (gap >= low) & ~np.isnan(values)
        rows &= gap < after if after is not None else True
        if rows.any():
            high = None if after is None else after - 1
            found.append(GapSplit(low, high, int(rows.sum()), mean_or_nan(values[rows])))
    return tuple(found)

"""DAVIS' summary of masks: mean, recall and decay of J and F, and J&F."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from evfr.metrics._masks import MaskScores

__all__ = ["DavisObject", "DavisScores", "SeriesScores", "davis_scores", "decay", "series_scores"]

RECALL_ABOVE = 0.5
QUARTERS = 4


@dataclass(frozen=True, slots=True)
class SeriesScores:
    """Hold what DAVIS says of one series of values over time.

    Attributes
    ----------
    mean : float
        Mean over frames.
    recall : float
        Share of frames above 0.5.
    decay : float
        Mean of the first quarter of the frames minus that of the last: above 0 it gets worse.
    """

    mean: float
    recall: float
    decay: float

    def to_dict(self) -> dict[str, float | None]:
        """Return a JSON-ready dict; NaN is None."""
        return {name: none_if_nan(getattr(self, name)) for name in self.__slots__}


def decay(values: ArrayLike) -> float:
    """Return how much a series loses from its first quarter to its last (Perazzi et al. 2016, Section 5).

    Parameters
    ----------
    values : (T,) float
        One value per frame in order of time.

    Returns
    -------
    float
        Mean of the first quarter minus mean of the last; NaN without values. Quarters share their border frames,
        as in the benchmark's evaluation, which beyond 255 frames wraps its 8-bit frame numbers; this does not.

    Examples
    --------
    >>> decay([1.0, 1.0, 1.0, 0.75, 0.75, 0.5, 0.5, 0.5])
    0.5
    """
    series = np.asarray(values, np.float64)
    if not len(series):
        return float("nan")
    # Halves round to even, but the tiny addend lifts them: 2.5 becomes 3.
    marks = np.round(np.linspace(1, len(series), QUARTERS + 1) + 1e-10).astype(np.int64) - 1
    first, last = series[marks[0] : marks[1] + 1], series[marks[-2] : marks[-1] + 1]
    return float(first.mean() - last.mean())


def series_scores(values: ArrayLike) -> SeriesScores:
    """Return mean, recall and decay of one object's values.

    Parameters
    ----------
    values : (T,) float
        J or F per frame in order of time.

    Returns
    -------
    SeriesScores
        All NaN without values.
    """
    series = np.asarray(values, np.float64)
    if not len(series):
        return SeriesScores(float("nan"), float("nan"), float("nan"))
    return SeriesScores(float(series.mean()), float((series > RECALL_ABOVE).mean()), decay(series))


@dataclass(frozen=True, slots=True)
class DavisObject:
    """Hold the scores of one object.

    Attributes
    ----------
    video_id, track_id, category : str, int, str
        Which object.
    frame_count : int
        Frames that counted.
    region, boundary : SeriesScores
        Of J and of F; NaN where no frame counted.
    """

    video_id: str
    track_id: int
    category: str
    frame_count: int
    region: SeriesScores
    boundary: SeriesScores

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON-ready dict."""
        return {
            "video_id": self.video_id,
            "track_id": self.track_id,
            "category": self.category,
            "frame_count": self.frame_count,
            "j": self.region.to_dict(),
            "f": self.boundary.to_dict(),
        }


@dataclass(frozen=True, slots=True)
class DavisScores:
    """Hold DAVIS' scores of a set of videos.

    Attributes
    ----------
    objects : tuple of DavisObject
        By video and track.
    """

    objects: tuple[DavisObject, ...]

    @property
    def region(self) -> SeriesScores:
        """J: means over objects, each counting the same, those without a frame left out."""
        return _mean_over([item.region for item in self.objects])

    @property
    def boundary(self) -> SeriesScores:
        """F: means over objects, each counting the same, those without a frame left out."""
        return _mean_over([item.boundary for item in self.objects])

    @property
    def j_and_f(self) -> float:
        """J&F: the mean of the two means."""
        return (self.region.mean + self.boundary.mean) / 2

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON-ready dict."""
        return {
            "j_and_f": none_if_nan(self.j_and_f),
            "j": self.region.to_dict(),
            "f": self.boundary.to_dict(),
            "objects": [item.to_dict() for item in self.objects],
        }


def davis_scores(scores: MaskScores, *, without_ends: bool = True, without_keys: bool = False) -> DavisScores:
    """Sum up J and F as DAVIS does (Perazzi et al. 2016; several objects: Pont-Tuset et al. 2017).

    Parameters
    ----------
    scores : MaskScores
        Rows of any number of videos.
    without_ends : bool
        Leave out the first and the last annotated frame, as the semi-supervised protocol says: the first is given.
    without_keys : bool
        Leave out frames that had labels.

    Returns
    -------
    DavisScores
        One entry per object.

    References
    ----------
    Pont-Tuset et al., "The 2017 DAVIS challenge on video object segmentation", arXiv:1704.00675.
    """
    counted = np.ones(len(scores), np.bool_)
    if without_ends:
        counted &= ~scores.is_end
    if without_keys:
        counted &= scores.gap != 0
    objects = []
    for rows in rows_by_object(scores):
        first, kept = rows[0], rows[counted[rows]]
        objects.append(
            DavisObject(
                scores.video_ids[scores.video_row[first]],
                int(scores.track_id[first]),
                scores.categories[scores.category_row[first]],
                len(kept),
                series_scores(scores.region[kept]),
                series_scores(scores.boundary[kept]),
            )
        )
    return DavisScores(tuple(objects))


def rows_by_object(scores: Any) -> list[np.ndarray[Any, np.dtype[np.int64]]]:
    """Return the rows of each object of a table, in order of time, objects by video and track."""
    order = np.lexsort((scores.frame_index, scores.track_id, scores.video_row))
    if not len(order):
        return []
    keys = np.stack([scores.video_row[order], scores.track_id[order]])
    starts = np.flatnonzero((np.diff(keys, axis=1) != 0).any(axis=0)) + 1
    return list(np.split(order, starts))


def none_if_nan(value: float) -> float | None:
    """Return None for NaN, which JSON does not have."""
    return float(value) if value == value else None


def mean_or_nan(values: ArrayLike) -> float:
    """Return the mean of what is not NaN; NaN without any."""
    kept = np.asarray(values, np.float64)
    kept = kept[~np.isnan(kept)]
    return float(kept.mean()) if len(kept) else float("nan")


def _mean_over(parts: Sequence[SeriesScores]) -> SeriesScores:
    means = (mean_or_nan([getattr(part, name) for part in parts]) for name in SeriesScores.__slots__)
    return SeriesScores(*means)

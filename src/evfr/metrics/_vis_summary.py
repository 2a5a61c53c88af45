"""Average precision and recall of video instance segmentation, from matches (Yang et al. 2019; COCO's sums)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from evfr.metrics._coco_kernels import IGNORED, RECALL_COUNT, precision_and_recall
from evfr.metrics._davis import mean_or_nan, none_if_nan
from evfr.metrics._vis import VIS_AREAS, VIS_LIMITS, VIS_THRESHOLDS, VisScores

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

__all__ = [
    "VIS_FIGURES",
    "VisCategory",
    "VisFigures",
    "VisSummary",
    "accumulate",
    "class_figures",
    "mean_figures",
    "summarise_vis",
]


@dataclass(frozen=True, slots=True)
class VisFigures:
    """Hold the twelve figures of the benchmark; NaN where there is no true object to find.

    Attributes
    ----------
    ap, ap50, ap75 : float
        Average precision, mean over the IoU thresholds, at .50, and at .75; 100 detections per video and class.
    ap_small, ap_medium, ap_large : float
        Average precision by mean area (limits 128^2 and 256^2 pixels).
    ar1, ar10, ar100 : float
        Recall with 1, 10 and 100 detections per video and class, mean over the thresholds.
    ar_small, ar_medium, ar_large : float
        Recall by mean area, with 100.
    """

    ap: float
    ap50: float
    ap75: float
    ap_small: float
    ap_medium: float
    ap_large: float
    ar1: float
    ar10: float
    ar100: float
    ar_small: float
    ar_medium: float
    ar_large: float

    def figures(self) -> dict[str, float | None]:
        """Return the twelve figures by name, None where one is not defined.

        Returns
        -------
        dict of str to float or None
            JSON-ready.
        """
        return {name: none_if_nan(getattr(self, name)) for name in VIS_FIGURES}


VIS_FIGURES = tuple(VisFigures.__dataclass_fields__)
"""Names of the figures, in the order in which the benchmark prints them."""


@dataclass(frozen=True, slots=True)
class VisCategory(VisFigures):
    """Hold the figures of one class.

    Attributes
    ----------
    category_id, name : int, str
        The class.
    truth_count : int
        True objects that count, groups left out.
    detection_count : int
        Detections, at most 100 per video.
    ap, ap50, ap75, ap_small, ap_medium, ap_large, ar1, ar10, ar100, ar_small, ar_medium, ar_large : float
        See `VisFigures`.
    """

    category_id: int
    name: str
    truth_count: int
    detection_count: int

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON-ready dict."""
        return {
            "category_id": self.category_id,
            "category": self.name,
            "truth_count": self.truth_count,
            "detection_count": self.detection_count,
            **self.figures(),
        }


@dataclass(frozen=True, slots=True)
class VisSummary(VisFigures):
    """Hold the figures of a set of videos: means over the classes that have a true object.

    Attributes
    ----------
    categories : tuple of VisCategory
        Each class of the truth, by id.
    ap, ap50, ap75, ap_small, ap_medium, ap_large, ar1, ar10, ar100, ar_small, ar_medium, ar_large : float
        See `VisFigures`.
    """

    categories: tuple[VisCategory, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON-ready dict."""
        return {**self.figures(), "categories": [item.to_dict() for item in self.categories]}


def summarise_vis(scores: VisScores, *, videos: ArrayLike | None = None) -> VisSummary:
    """Sum up matches as the YouTube-VIS challenge does (Yang et al. 2019, Section 3; COCO's 101 points).

    Parameters
    ----------
    scores : VisScores
        Matches of any number of videos.
    videos : (B,) int or None
        Rows of the videos that count, repeats allowed: a bootstrap sums again and matches nothing. None counts all.

    Returns
    -------
    VisSummary
        A class without a true object is left out of the means, as is an area without one.

    Raises
    ------
    ValueError
        If a row is no video.

    References
    ----------
    Yang, Fan & Xu, "Video instance segmentation", ICCV 2019, doi:10.1109/ICCV.2019.00529; Lin et al., "Microsoft COCO:
    common objects in context", ECCV 2014, doi:10.1007/978-3-319-10602-1_48.
    """
    count = len(scores.video_ids)
    rows = np.arange(count) if videos is None else np.asarray(videos, np.int64)
    if rows.size and not -1 < rows.min() <= rows.max() < count:
        raise ValueError(f"videos must be rows from 0 to {count - 1}, got {rows.min()} to {rows.max()}")
    weight = np.bincount(rows, minlength=count)
    precision, recall = accumulate(scores, rows)
    table = [class_figures(*arrays) for arrays in zip(precision, recall, strict=True)]
    categories = tuple(
        VisCategory(
            category_id=category.category_id,
            name=category.name,
            truth_count=int(weight[scores.truth_video_row[_countable(scores, k)]].sum()),
            detection_count=int(weight[scores.video_row[scores.category_row == k]].sum()),
            **dict(zip(VIS_FIGURES, table[k], strict=True)),
        )
        for k, category in enumerate(scores.categories)
    )
    return VisSummary(categories=categories, **mean_figures(table))


def _countable(scores: VisScores, k: int) -> NDArray[np.bool_]:
    there: NDArray[np.bool_] = (scores.truth_category_row == k) & ~scores.is_left_out[:, 0]
    return there


def class_figures(precision: NDArray[np.float64], recall: NDArray[np.float64]) -> list[float]:
    """Return the twelve figures of one class, from precision (A, M, T, R) and recall (A, M, T); NaN stays NaN."""
    most = len(VIS_LIMITS) - 1
    half, three_quarters = 0, 5
    values = [
        precision[0, most],
        precision[0, most, half],
        precision[0, most, three_quarters],
        *precision[1:, most],
        *recall[0],
        *recall[1:, most],
    ]
    return [float(value.mean()) for value in values]


def mean_figures(table: Sequence[Sequence[float]]) -> dict[str, float]:
    """Return the twelve figures by name, each the mean over the classes that have it; NaN if none has."""
    columns = np.array(table, np.float64).reshape(-1, len(VIS_FIGURES)).T
    return {name: mean_or_nan(column) for name, column in zip(VIS_FIGURES, columns, strict=True)}


def accumulate(
    scores: VisScores, videos: NDArray[np.int64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return precision (K, 4, 3, 10, 101) and recall (K, 4, 3, 10) by class, area, limit, threshold and recall point.

    NaN where no true object counts.
    """
    shape = (len(scores.categories), len(VIS_AREAS), len(VIS_LIMITS), len(VIS_THRESHOLDS))
    precision, recall = np.full((*shape, RECALL_COUNT), np.nan), np.full(shape, np.nan)
    detections = _by_class(scores.video_row, scores.category_row, videos, shape[0])
    truth = _by_class(scores.truth_video_row, scores.truth_category_row, videos, shape[0])
    limits = np.array(VIS_LIMITS)
    for k in range(shape[0]):
        rows = detections[k][np.argsort(-scores.score[detections[k]], kind="stable")]
        outcome = np.where(scores.is_ignored[rows], IGNORED, scores.is_matched[rows]).astype(np.uint8)
        # A video that is drawn twice is there twice: its rows are repeated, none is weighted.
        precision_and_recall(
            np.ascontiguousarray(outcome.transpose(1, 2, 0)),
            scores.rank[rows],
            np.ones(len(rows)),
            (~scores.is_left_out[truth[k]]).sum(axis=0, dtype=np.float64),
            limits,
            True,
            precision[k],
            recall[k],
        )
    return precision, recall


def _by_class(
    video_row: NDArray[np.int64], category_row: NDArray[np.int64], videos: NDArray[np.int64], count: int
) -> list[NDArray[np.int64]]:
    """Return the rows of each class, videos in the given order, each as often as it is named."""
    first, last = np.searchsorted(video_row, videos), np.searchsorted(video_row, videos, side="right")
    rows = np.concatenate(
        [np.zeros(0, np.int64), *[np.arange(a, b) for a, b in zip(first, last, strict=True)]]
    )
    kinds = category_row[rows]
    return [rows[kinds == k] for k in range(count)]

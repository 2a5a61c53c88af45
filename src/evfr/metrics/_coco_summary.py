"""Average precision and recall of detections in pictures, from matches: COCO's twelve figures, with weights."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from evfr.metrics._coco import COCO_AREAS, COCO_LIMITS, CocoMatches
from evfr.metrics._coco_kernels import RECALL_COUNT, THRESHOLDS, mean_precision, precision_and_recall
from evfr.metrics._vis_summary import VIS_FIGURES, VisFigures, class_figures, mean_figures

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

__all__ = ["CocoCategory", "CocoSummary", "coco_ap", "summarise_coco"]


@dataclass(frozen=True, slots=True)
class CocoCategory(VisFigures):
    """Hold the figures of one class; NaN where there is no true object to find.

    Attributes
    ----------
    category : int
        Index of the class.
    truth_count, detection_count : float
        True objects that count, crowds left out, and detections, at most 100 per picture: each as often as its
        picture weighs.
    ap, ap50, ap75, ap_small, ap_medium, ap_large, ar1, ar10, ar100, ar_small, ar_medium, ar_large : float
        See `CocoSummary`.
    """

    category: int
    truth_count: float
    detection_count: float

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON-ready dict."""
        counts = {name: getattr(self, name) for name in ("category", "truth_count", "detection_count")}
        return {**counts, **self.figures()}


@dataclass(frozen=True, slots=True)
class CocoSummary(VisFigures):
    """Hold COCO's twelve figures: means over the classes that have a true object; NaN where none has.

    Attributes
    ----------
    ap, ap50, ap75 : float
        Average precision, mean over the IoU thresholds .50, .55, ..., .95, at .50, and at .75; 100 detections per
        picture and class.
    ap_small, ap_medium, ap_large : float
        Average precision by area: up to 32^2, to 96^2, and from 96^2 pixels.
    ar1, ar10, ar100 : float
        Recall with 1, 10 and 100 detections per picture and class, mean over the thresholds.
    ar_small, ar_medium, ar_large : float
        Recall by area, with 100.
    categories : tuple of CocoCategory
        Each class, in order.
    """

    categories: tuple[CocoCategory, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON-ready dict."""
        return {**self.figures(), "categories": [item.to_dict() for item in self.categories]}


def summarise_coco(matches: CocoMatches, *, weights: ArrayLike | None = None) -> CocoSummary:
    """Sum up matches as pycocotools does, pictures weighted (Lin et al. 2014).

    Parameters
    ----------
    matches : CocoMatches
        Of I pictures.
    weights : (I,) float, optional
        How often each picture counts: 2 is the picture twice, fractions are allowed. 1 for all if not given.

    Returns
    -------
    CocoSummary
        Overall and per class. A class or an area without a true object of positive weight is NaN (-1 in pycocotools)
        and left out of the means.

    Raises
    ------
    ValueError
        If the weights are not one finite number of 0 or more per picture.

    Notes
    -----
    Nothing is matched again, so that a bootstrap may draw pictures by the thousand; `coco_ap` is the fast way to the
    first figure. Of equal scores, the copies of a detection follow each other.

    References
    ----------
    Lin et al., "Microsoft COCO: common objects in context", ECCV 2014, doi:10.1007/978-3-319-10602-1_48.
    """
    weight, is_whole = image_weights(weights, len(matches))
    shape = len(COCO_AREAS), len(COCO_LIMITS), len(THRESHOLDS)
    precision, recall = np.empty((*shape, RECALL_COUNT)), np.empty(shape)
    first = _first_of_classes(matches)
    own = weight[matches.image_row]
    wanted = _wanted(matches, weight)
    limits = np.array(COCO_LIMITS)
    table = [[np.nan] * len(VIS_FIGURES)] * matches.class_count
    for k in np.flatnonzero(wanted[:, 0]).tolist():
        low, high = first[k : k + 2].tolist()
        precision[:], recall[:] = np.nan, np.nan
        precision_and_recall(
            np.ascontiguousarray(matches.outcome[:, :, low:high]),
            matches.rank[low:high],
            own[low:high],
            wanted[k],
            limits,
            is_whole,
            precision,
            recall,
        )
        table[k] = class_figures(precision, recall)
    categories = tuple(
        CocoCategory(
            category=k,
            truth_count=float(wanted[k, 0]),
            detection_count=float(own[first[k] : first[k + 1]].sum()),
            **dict(zip(VIS_FIGURES, table[k], strict=True)),
        )
        for k in range(matches.class_count)
    )
    return CocoSummary(categories=categories, **mean_figures(table))


def coco_ap(matches: CocoMatches, weights: ArrayLike | None = None) -> float:
    """Return COCO's AP alone, pictures weighted: ``summarise_coco(...).ap``, fast enough for bootstraps.

    Parameters
    ----------
    matches : CocoMatches
        Of I pictures.
    weights : (I,) float, optional
        How often each picture counts; see `summarise_coco`.

    Returns
    -------
    float
        In [0, 1]; NaN without a true object of positive weight.

    Raises
    ------
    ValueError
        If the weights are not one finite number of 0 or more per picture.
    """
    weight, is_whole = image_weights(weights, len(matches))
    counted = ~matches.is_left_out[0]
    wanted: NDArray[np.float64] = np.bincount(
        matches.truth_category[counted],
        weights=weight[matches.truth_image_row[counted]],
        minlength=matches.class_count,
    ).astype(np.float64, copy=False)
    mean = mean_precision(
        matches.outcome[0],
        matches.rank,
        _first_of_classes(matches),
        weight[matches.image_row],
        wanted,
        COCO_LIMITS[-1],
        is_whole,
    )
    return float(mean)


def image_weights(weights: ArrayLike | None, count: int) -> tuple[NDArray[np.float64], bool]:
    """Return one weight a picture, and whether all are whole numbers, for which sums are exact."""
    if weights is None:
        return np.ones(count), True
    values = np.asarray(weights, np.float64)
    if values.shape != (count,) or not np.isfinite(values).all() or (values < 0).any():
        raise ValueError(
            f"weights must be {count} finite numbers of 0 or more, one a picture, got {values.shape}, "
            f"{values.min(initial=0.0)} to {values.max(initial=0.0)}"
        )
    return values, bool((values == np.floor(values)).all())


def _first_of_classes(matches: CocoMatches) -> NDArray[np.int64]:
    """Return where the detections of each class begin, and where the last end, (C+1,)."""
    return np.searchsorted(matches.category, np.arange(matches.class_count + 1)).astype(np.int64)


def _wanted(matches: CocoMatches, weight: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the weight of the true objects to find by class and area, (C, A)."""
    each = weight[matches.truth_image_row]
    count = matches.class_count
    sums = [
        np.bincount(matches.truth_category[kept], weights=each[kept], minlength=count)
        for kept in ~matches.is_left_out
    ]
    return np.ascontiguousarray(np.stack(sums, axis=1))

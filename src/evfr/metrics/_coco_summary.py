"""Average precision and recall of detections in pictures, from matches: COCO's twelve figures, with weights."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from evfr.metrics._coco import COCO_AREAS, COCO_LIMITS, CocoMatches
from evfr.metrics._coco_kernels import THRESHOLDS, mean_precision, precision_and_recall
from evfr.metrics._vis_summary import VisFigures

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
    raise NotImplementedError


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
    raise NotImplementedError

"""How good labels are, against a truth: masks, outlines, boxes, pixels, tracks.

Every metric computes one video and merges: ``mask_scores``, ``box_scores`` and ``pixel_scores`` take truth, prediction
and the name of one video, and return a frozen value with ``merge``, so that videos may be scored anywhere and in any
order and the sums come out the same. What a benchmark prints (DAVIS, YouTube-VOS, by size, by distance to the nearest
label) is a pure function of the merged value. Objects are the same where their track ids are; nothing is matched by
guess, but by overlap where a benchmark says so (video instances, COCO); a score that is not defined is NaN.

To add a metric: one file with a function of one video that returns a frozen dataclass with ``merge``, and its names
below.
"""

from evfr.metrics._boundary import BOUNDARY_TOLERANCE, boundary_f, boundary_pixels, boundary_radius
from evfr.metrics._boxes import BoxObject, BoxScores, BoxSummary, box_scores, summarise_boxes
from evfr.metrics._coco import COCO_AREAS, COCO_LIMITS, CocoMatches, coco_matches
from evfr.metrics._coco_summary import CocoCategory, CocoSummary, coco_ap, summarise_coco
from evfr.metrics._coco_videos import CocoScores, coco_scores
from evfr.metrics._confusion import Confusion, ConfusionSummary, label_confusion, summarise_confusion
from evfr.metrics._davis import DavisObject, DavisScores, SeriesScores, davis_scores, decay, series_scores
from evfr.metrics._masks import MaskScores, mask_scores
from evfr.metrics._pixels import PixelCounts, PixelScores, pixel_counts, pixel_scores
from evfr.metrics._region import region_similarity
from evfr.metrics._splits import SIZE_LIMITS, GapSplit, SizeSplit, gap_splits, size_splits
from evfr.metrics._tracking import TrackingScores, merge_tracking, tracking_scores
from evfr.metrics._unsupervised import Proposals, pick_proposals, unsupervised_scores
from evfr.metrics._vis import VIS_AREAS, VIS_LIMITS, VIS_THRESHOLDS, VisScores, vis_scores
from evfr.metrics._vis_summary import VIS_FIGURES, VisCategory, VisFigures, VisSummary, summarise_vis
from evfr.metrics._ytvos import YtvosScores, ytvos_scores

__all__ = [
    "BOUNDARY_TOLERANCE",
    "COCO_AREAS",
    "COCO_LIMITS",
    "SIZE_LIMITS",
    "VIS_AREAS",
    "VIS_FIGURES",
    "VIS_LIMITS",
    "VIS_THRESHOLDS",
    "BoxObject",
    "BoxScores",
    "BoxSummary",
    "CocoCategory",
    "CocoMatches",
    "CocoScores",
    "CocoSummary",
    "Confusion",
    "ConfusionSummary",
    "DavisObject",
    "DavisScores",
    "GapSplit",
    "MaskScores",
    "PixelCounts",
    "PixelScores",
    "Proposals",
    "SeriesScores",
    "SizeSplit",
    "TrackingScores",
    "VisCategory",
    "VisFigures",
    "VisScores",
    "VisSummary",
    "YtvosScores",
    "boundary_f",
    "boundary_pixels",
    "boundary_radius",
    "box_scores",
    "coco_ap",
    "coco_matches",
    "coco_scores",
    "davis_scores",
    "decay",
    "gap_splits",
    "label_confusion",
    "mask_scores",
    "merge_tracking",
    "pick_proposals",
    "pixel_counts",
    "pixel_scores",
    "region_similarity",
    "series_scores",
    "size_splits",
    "summarise_boxes",
    "summarise_coco",
    "summarise_confusion",
    "summarise_vis",
    "tracking_scores",
    "unsupervised_scores",
    "vis_scores",
    "ytvos_scores",
]

"""How well objects are followed: MOTA, MOTP, IDF1 and HOTA; identities and HOTA are counted by the library motrics.

The CLEAR counts are our own: motrics 0.3.0 keeps a pair of the frame before even where its overlap has fallen below the
threshold, and then differs from TrackEval (in 207 of 2000 random scenes; identities and HOTA were equal in all).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from evfr._core.annotations import NO_TRACK, VideoAnnotations
from evfr._core.lazy import require
from evfr._core.masks import Rle, box_iou, intersection_area, iou_matrix
from evfr.errors import AnnotationError
from evfr.metrics._clear import clear_counts

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["TrackingScores", "merge_tracking", "tracking_scores"]

_NAN = math.nan


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class TrackingScores:
    """Hold the counts of one video or several; the scores follow from them, so that counts of parts can be added.

    Attributes
    ----------
    frames, truth, predicted : int
        Frames compared, true objects and predicted ones in them.
    matches, false_positives, misses, id_switches, fragments : int
        CLEAR counts at the given IoU (Bernardin & Stiefelhagen 2008).
    iou_sum : float
        Sum of the IoU of the matches.
    mostly_tracked, mostly_lost : int
        True tracks matched in more than 80 % and in less than 20 % of their frames.
    id_true_positives, id_false_positives, id_misses : int
        Identity counts (Ristani et al. 2016).
    hota_matches, hota_misses, hota_false_positives : (19,) float64
        Counts at the IoU thresholds .05, .10, ..., .95 (Luiten et al. 2021).
    association : (19,) float64
        Association accuracy at each of them.
    """

    frames: int
    truth: int
    predicted: int
    matches: int
    false_positives: int
    misses: int
    id_switches: int
    fragments: int
    iou_sum: float
    mostly_tracked: int
    mostly_lost: int
    id_true_positives: int
    id_false_positives: int
    id_misses: int
    hota_matches: NDArray[np.float64]
    hota_misses: NDArray[np.float64]
    hota_false_positives: NDArray[np.float64]
    association: NDArray[np.float64]

    def __repr__(self) -> str:
        return (
            f"TrackingScores({self.frames} frames, {self.truth} true, {self.predicted} predicted: "
            f"MOTA {self.mota:.4f}, IDF1 {self.idf1:.4f}, HOTA {self.hota:.4f})"
        )

    @property
    def mota(self) -> float:
        """1 - (misses + false positives + switches) / true objects; at most 1, NaN without true objects."""
        wrong = self.misses + self.false_positives + self.id_switches
        return 1 - wrong / self.truth if self.truth else _NAN

    @property
    def motp(self) -> float:
        """Mean IoU of the matches; NaN without a match."""
        return self.iou_sum / self.matches if self.matches else _NAN

    @property
    def idf1(self) -> float:
        """F1 of the identities; NaN where nothing is true and nothing predicted."""
        return _ratio(2 * self.id_true_positives, self.id_false_positives + self.id_misses)

    @property
    def id_precision(self) -> float:
        """Share of predicted objects with the right identity; NaN without predictions."""
        return _ratio(self.id_true_positives, self.id_false_positives)

    @property
    def id_recall(self) -> float:
        """Share of true objects with the right identity; NaN without true objects."""
        return _ratio(self.id_true_positives, self.id_misses)

    @property
    def hota(self) -> float:
        """Mean over the thresholds of sqrt(detection * association); NaN where nothing is true or predicted."""
        return float(np.mean(np.sqrt(self._detection() * self.association)))

    @property
    def det_a(self) -> float:
        """Detection accuracy, mean over the thresholds; NaN where nothing is true and nothing predicted."""
        return float(np.mean(self._detection()))

    @property
    def ass_a(self) -> float:
        """Association accuracy, mean over the thresholds."""
        return float(np.mean(self.association))

    def _detection(self) -> NDArray[np.float64]:
        everything = self.hota_matches + self.hota_misses + self.hota_false_positives
        with np.errstate(invalid="ignore"):
            share: NDArray[np.float64] = self.hota_matches / everything
        return share


def _ratio(right: float, wrong: float) -> float:
    return right / (right + wrong) if right + wrong else _NAN


def tracking_scores(
    truth: VideoAnnotations,
    predicted: VideoAnnotations,
    video_id: str,
    iou_threshold: float = 0.5,
    *,
    on: Literal["boxes", "masks"] = "boxes",
    is_class_aware: bool = True,
) -> TrackingScores:
    """Compare predicted tracks with true ones (MOTA, MOTP, IDF1, HOTA of the papers below).

    Parameters
    ----------
    truth, predicted : VideoAnnotations
        Both with the video. Compared are the frames that are annotated in ``truth``: what is predicted on others
        cannot be judged and is left out.
    video_id : str
        The video.
    iou_threshold : float
        In (0, 1]: the least IoU of a match, for all scores but HOTA, which sweeps it.
    on : {"boxes", "masks"}
        What overlaps. Objects with a mask only are compared by its tight box under ``"boxes"``; an object whose mask
        is empty is absent.
    is_class_aware : bool
        Whether objects of different category names never match.

    Returns
    -------
    TrackingScores
        Counts and scores.

    Raises
    ------
    AnnotationError
        If the video is missing in one of them, an object has no track, or neither box nor mask as asked for.
    ValueError
        If an option is not allowed.
    MissingExtraError
        If motrics or SciPy is not installed.

    Notes
    -----
    True objects that are crowds, or have the attribute ``ignored``, count neither way: a predicted object that lies
    in one of them by more than half of its own area, and matches no other true object, is left out.

    References
    ----------
    Bernardin & Stiefelhagen, "Evaluating multiple object tracking performance: the CLEAR MOT metrics", 2008,
    doi:10.1155/2008/246309. Ristani et al., "Performance measures and a data set for multi-target, multi-camera
    tracking", 2016, arXiv 1609.01775. Luiten et al., "HOTA: A higher order metric for evaluating multi-object
    tracking", IJCV 2021, doi:10.1007/s11263-020-01375-2.
    """
    if on not in ("boxes", "masks"):
        raise ValueError(f"on must be 'boxes' or 'masks', got {on!r}")
    if not 0.0 < iou_threshold <= 1.0:
        raise ValueError(f"iou_threshold must be in (0, 1], got {iou_threshold}")
    motrics = require("motrics", extra="metrics")
    true_part, predicted_part = (
        _tracked(labels, video_id, on, name)
        for labels, name in ((truth, "true labels"), (predicted, "predicted labels"))
    )
    true_ids, predicted_ids, similarity = [], [], []
    for frame in true_part.videos[0].frame_index.tolist():
        rows = [part.rows_at(video_id, frame) for part in (true_part, predicted_part)]
        overlap = _overlap(true_part, rows[0], predicted_part, rows[1], on)
        if is_class_aware:
            names = [_names(part, row) for part, row in zip((true_part, predicted_part), rows, strict=True)]
            overlap = overlap * (names[0][:, None] == names[1][None, :])
        ignored = _is_ignored(true_part, rows[0])
        counted = overlap[~ignored]
        left_out = _lies_in(true_part, rows[0][ignored], predicted_part, rows[1], on)
        left_out &= ~(counted >= iou_threshold).any(axis=0)
        true_ids.append(true_part.track_id[rows[0][~ignored]].tolist())
        predicted_ids.append(predicted_part.track_id[rows[1][~left_out]].tolist())
        similarity.append(counted[:, ~left_out])
    clear = clear_counts(true_ids, predicted_ids, similarity, iou_threshold)
    lists = [matrix.tolist() for matrix in similarity]
    identity = motrics.compute_identity_from_similarity(true_ids, predicted_ids, lists, iou_threshold)
    hota = motrics.compute_hota_from_similarity(true_ids, predicted_ids, lists)
    return TrackingScores(
        frames=len(true_ids),
        truth=sum(map(len, true_ids)),
        predicted=sum(map(len, predicted_ids)),
        **clear._asdict(),
        id_true_positives=identity.idtp,
        id_false_positives=identity.idfp,
        id_misses=identity.idfn,
        hota_matches=np.array(hota.hota_tp_alphas, np.float64),
        hota_misses=np.array(hota.hota_fn_alphas, np.float64),
        hota_false_positives=np.array(hota.hota_fp_alphas, np.float64),
        association=np.array(hota.assa_alphas, np.float64),
    )


def merge_tracking(parts: Sequence[TrackingScores]) -> TrackingScores:
    """Add the counts of several videos, as the MOT Challenge combines sequences.

    Parameters
    ----------
    parts : sequence of TrackingScores
        One or more, of different videos.

    Returns
    -------
    TrackingScores
        Sums; the association is the mean weighted by the matches at each threshold.

    Raises
    ------
    ValueError
        If there is no part.
    """
    if not parts:
        raise ValueError("there is nothing to merge; give the scores of one video or more")
    weight = np.sum([part.hota_matches for part in parts], axis=0)
    summed = np.sum([part.association * part.hota_matches for part in parts], axis=0)
    counts = {
        name: sum(getattr(part, name) for part in parts)
        for name in TrackingScores.__dataclass_fields__
        if name != "association"
    }
    return TrackingScores(**counts, association=summed / np.maximum(weight, 1.0))


def _tracked(labels: VideoAnnotations, video_id: str, on: str, what: str) -> VideoAnnotations:
    """Return the labels of one video, boxes made, objects that are absent left out; everything must be followed."""
    try:
        part = labels.of_video(video_id)
    except KeyError as error:
        raise AnnotationError(f"the {what} have no video {video_id!r}: {error.args[0]}") from error
    part = part.with_boxes() if on == "boxes" else part
    is_empty = np.array([mask is not None and mask.is_empty for mask in part.masks], np.bool_)
    has_box = ~np.isnan(part.boxes_xyxy).any(axis=1)
    has_mask = np.array([mask is not None for mask in part.masks], np.bool_)
    is_absent = is_empty & ~has_box if on == "boxes" else is_empty
    lacking = ~is_absent & ~(has_box if on == "boxes" else has_mask)
    untracked = ~is_absent & (part.track_id == NO_TRACK) & ~_is_ignored(part, np.arange(len(part)))
    for wrong, text in (
        (lacking, f"has no {on[:-1] if on == 'boxes' else 'mask'}"),
        (untracked, "has no track"),
    ):
        if wrong.any():
            row = int(np.flatnonzero(wrong)[0])
            raise AnnotationError(
                f"the {what} of {video_id!r}: an object on frame {int(part.frame_index[row])} {text}, so tracks cannot "
                "be compared; give it one or leave it out"
            )
    return part.take(~is_absent)


def _is_ignored(part: VideoAnnotations, rows: NDArray[np.int64]) -> NDArray[np.bool_]:
    marked = [bool(part.attributes and part.attributes[row].get("ignored")) for row in rows.tolist()]
    return part.is_crowd[rows] | np.array(marked, np.bool_)


def _names(part: VideoAnnotations, rows: NDArray[np.int64]) -> NDArray[np.str_]:
    names = {category.category_id: category.name for category in part.categories}
    return np.array([names[category] for category in part.category_id[rows].tolist()], np.str_)


def _masks(part: VideoAnnotations, rows: NDArray[np.int64]) -> list[Rle]:
    masks = [part.masks[row] for row in rows.tolist()]
    return [mask for mask in masks if mask is not None]


def _overlap(
    a: VideoAnnotations, rows_a: NDArray[np.int64], b: VideoAnnotations, rows_b: NDArray[np.int64], on: str
) -> NDArray[np.float64]:
    if on == "boxes":
        return box_iou(a.boxes_xyxy[rows_a], b.boxes_xyxy[rows_b])
    try:
        return iou_matrix(_masks(a, rows_a), _masks(b, rows_b))
    except ValueError as error:
        raise AnnotationError(f"video {a.videos[0].video_id!r}: {error}") from error


def _lies_in(
    regions: VideoAnnotations,
    rows_a: NDArray[np.int64],
    part: VideoAnnotations,
    rows_b: NDArray[np.int64],
    on: str,
) -> NDArray[np.bool_]:
    """Whether each object lies in one of the regions by more than half of its own area."""
    inside = np.zeros(len(rows_b), np.bool_)
    for region in rows_a.tolist():
        if on == "boxes":
            box, boxes = regions.boxes_xyxy[region], part.boxes_xyxy[rows_b]
            sides = np.minimum(boxes[:, 2:], box[2:]) - np.maximum(boxes[:, :2], box[:2])
            shared = np.prod(np.maximum(sides, 0.0), axis=1)
            areas = np.prod(boxes[:, 2:] - boxes[:, :2], axis=1)
        else:
            masks = _masks(part, rows_b)
            whole = _masks(regions, np.array([region]))[0]
            shared = np.array([intersection_area(mask, whole) for mask in masks], np.float64)
            areas = np.array([mask.area for mask in masks], np.float64)
        inside |= shared > areas / 2
    return inside

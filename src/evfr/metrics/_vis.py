"""Video instance segmentation: which detection takes which true object, video by video (Yang et al. 2019).

The matching and the sums are written here rather than given to COCOeval of pycocotools: its loops are bound to one IoU
per picture, to crowds that shrink that IoU, and to areas of pictures, so that the official evaluation is a changed copy
of it. Three hundred lines of numpy keep pycocotools out of the core, keep the matches of each video for bootstraps, and
are held to pycocotools in the tests wherever the two definitions meet.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from evfr._core.annotations import Category
from evfr.errors import AnnotationError
from evfr.metrics._table import frames_to_score, names_to_merge, paired_videos
from evfr.metrics._vis_kernels import NO_MATCH, match_detections
from evfr.metrics._vis_sequences import (
    VisSequences,
    check_categories,
    iou_of_boxes,
    iou_of_masks,
    sequences_in,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from evfr._core.annotations import VideoAnnotations

__all__ = ["VIS_AREAS", "VIS_LIMITS", "VIS_THRESHOLDS", "VisScores", "match_sequences", "vis_scores"]

VIS_THRESHOLDS = tuple(np.linspace(0.5, 0.95, 10).tolist())
"""Sequence IoUs from which on a detection is right: .50, .55, ..., .95."""

VIS_AREAS: dict[str, tuple[float, float]] = {
    "all": (0.0, 1e5**2),
    "small": (0.0, 128.0**2),
    "medium": (128.0**2, 256.0**2),
    "large": (256.0**2, 1e5**2),
}
"""Ranges of the mean area in pixels, both ends included, as in the official code."""

VIS_LIMITS = (1, 10, 100)
"""Most detections per video and class that count; more than the last are never looked at."""

_DETECTIONS = ("category_row", "score", "rank", "track_id", "is_matched", "is_ignored")
_TRUTH = ("truth_category_row", "truth_id", "is_left_out")


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class VisScores:
    """Hold how the detections of videos match the true objects; average precision follows by `summarise_vis`.

    Attributes
    ----------
    video_ids : tuple of str
        Names of the V videos.
    video_place : (V,) int64
        Place of each in the list of the truth, which orders equal scores of different videos.
    categories : tuple of Category
        The K classes of the truth, by id; the same in all parts that are merged.
    video_row, category_row : (D,) int64
        Video and class of each detection; ordered by video, class and rank.
    score : (D,) float64
        Their scores.
    rank : (D,) int64
        Place among the detections of that video and class by score, 0 to 99.
    track_id : (D,) int64
        Their tracks.
    is_matched, is_ignored : (D, 4, 10) bool
        For each of `VIS_AREAS` and `VIS_THRESHOLDS`: whether it takes a true object; whether it counts neither as right
        nor as wrong.
    truth_video_row, truth_category_row, truth_id : (G,) int64
        Video, class and track of each true object.
    is_left_out : (G, 4) bool
        Whether it does not count in an area range: a group, or of another area.
    unknown_count, beyond_count : (V,) int64
        Detections that do not count: those of a class that the truth does not list, and those beyond the best 100 of
        their video and class.

    Raises
    ------
    ValueError
        If the columns do not fit each other.
    """

    video_ids: tuple[str, ...]
    video_place: NDArray[np.int64]
    categories: tuple[Category, ...]
    video_row: NDArray[np.int64]
    category_row: NDArray[np.int64]
    score: NDArray[np.float64]
    rank: NDArray[np.int64]
    track_id: NDArray[np.int64]
    is_matched: NDArray[np.bool_]
    is_ignored: NDArray[np.bool_]
    truth_video_row: NDArray[np.int64]
    truth_category_row: NDArray[np.int64]
    truth_id: NDArray[np.int64]
    is_left_out: NDArray[np.bool_]
    unknown_count: NDArray[np.int64]
    beyond_count: NDArray[np.int64]

    def __post_init__(self) -> None:
        detections = {name: len(getattr(self, name)) for name in ("video_row", *_DETECTIONS)}
        truth = {name: len(getattr(self, name)) for name in ("truth_video_row", *_TRUTH)}
        for lengths in (detections, truth):
            if len(set(lengths.values())) > 1:
                raise ValueError(f"the columns of matches must be equally long, got {lengths}")

    def __len__(self) -> int:
        return len(self.score)

    def __repr__(self) -> str:
        counts = f"{len(self)} detections, {len(self.truth_id)} true objects"
        return f"VisScores({counts}, {len(self.video_ids)} videos)"

    @classmethod
    def merge(cls, parts: Sequence[VisScores]) -> VisScores:
        """Join the matches of different videos.

        Parameters
        ----------
        parts : sequence of VisScores
            One or more, against one truth.

        Returns
        -------
        VisScores
            The same, bit for bit, however the videos were shared out; their order is that of the truth.

        Raises
        ------
        ValueError
            If there is no part, or a video is in two of them.
        AnnotationError
            If two parts have different classes.
        """
        names = names_to_merge(parts)
        places = np.concatenate([part.video_place for part in parts])
        order = sorted(range(len(names)), key=lambda row: (int(places[row]), names[row]))
        starts = np.cumsum([0, *[len(part.video_ids) for part in parts]])
        return _picked(_stacked(parts, starts), np.array(order, np.int64), [names[row] for row in order])

    def of_videos(self, rows: NDArray[np.int64]) -> VisScores:
        """Return the matches of some videos, so that each can be summed up alone.

        Parameters
        ----------
        rows : (B,) int64
            Different indices into ``video_ids``.

        Returns
        -------
        VisScores
            Of these videos, in that order.

        Raises
        ------
        ValueError
            If a row is named twice.
        """
        if len(np.unique(rows)) < len(rows):
            raise ValueError("a video is named twice; give rows with repeats to summarise_vis(videos=...)")
        return _picked(self, rows, [self.video_ids[row] for row in rows.tolist()])


def _stacked(parts: Sequence[VisScores], starts: NDArray[np.int64]) -> VisScores:
    columns: dict[str, Any] = {}
    for item in fields(VisScores):
        if item.name in ("video_ids", "categories"):
            continue
        values = [getattr(part, item.name) for part in parts]
        if item.name in ("video_row", "truth_video_row"):
            values = [value + start for value, start in zip(values, starts[:-1], strict=True)]
        columns[item.name] = np.concatenate(values)
    names = tuple(name for part in parts for name in part.video_ids)
    return VisScores(video_ids=names, categories=parts[0].categories, **columns)


def _picked(scores: VisScores, rows: NDArray[np.int64], names: Sequence[str]) -> VisScores:
    columns: dict[str, Any] = {
        name: getattr(scores, name)[rows] for name in ("video_place", "unknown_count", "beyond_count")
    }
    for video, own in (("video_row", _DETECTIONS), ("truth_video_row", _TRUTH)):
        column = getattr(scores, video)
        bounds = np.searchsorted(column, rows), np.searchsorted(column, rows, side="right")
        there = [np.arange(low, high) for low, high in zip(*bounds, strict=True)]
        at = np.concatenate([np.zeros(0, np.int64), *there])
        columns |= {name: getattr(scores, name)[at] for name in own}
        columns[video] = np.repeat(np.arange(len(rows)), [len(item) for item in there])
    return VisScores(video_ids=tuple(names), categories=scores.categories, **columns)


def vis_scores(
    truth: VideoAnnotations,
    predicted: VideoAnnotations,
    video_id: str,
    *,
    strict_official: bool = False,
    on: Literal["masks", "boxes"] = "masks",
    missing: str = "fail",
) -> VisScores:
    """Match the detections of one video with its true objects, as the YouTube-VIS challenge does (Yang et al. 2019).

    Parameters
    ----------
    truth, predicted : VideoAnnotations
        A sequence is the rows of one track and class. Its score is that of its rows, or their mean where they differ;
        equal scores are taken in the order of the tracks (for a list of results: of the file).
    video_id : str
        A video of both.
    strict_official : bool
        Do as the official code does where it is known to be wrong: compare frames by their place in the video's list,
        and cut the longer of two lists of frames; count a detection that takes the true object 0 as unmatched.
    on : {"masks", "boxes"}
        What the IoU is of. Areas are those of the same: masks' pixels, or boxes' width times height.
    missing : {"fail", "skip", "empty"}
        What becomes of frames that the truth annotates and the prediction does not.

    Returns
    -------
    VisScores
        Of this video; frames that the truth does not annotate do not count.

    Raises
    ------
    AnnotationError
        If the video is missing or of another size, frames are missing, one class has two ids or one id two classes, a
        detection has no finite score, or there is no frame.
    ValueError
        If an argument is out of range.

    Notes
    -----
    IoU of two sequences is the sum over frames of shared pixels by the sum of joint pixels. Detections in descending
    score take the free true object of highest IoU; of equal ones the later. A true group (crowd) is ignored, and may be
    taken many times; unlike in COCO its IoU is the ordinary one. A detection that takes what is ignored is ignored, and
    so is an unmatched one whose own mean area lies outside the range.

    References
    ----------
    Yang, Fan & Xu, "Video instance segmentation", ICCV 2019, doi:10.1109/ICCV.2019.00529.
    """
    if on not in ("masks", "boxes"):
        raise ValueError(f"on must be 'masks' or 'boxes', got {on!r}")
    one, other = paired_videos(truth, predicted, video_id)
    check_categories(truth.categories, predicted.categories)
    if not len(one.frame_index):
        raise AnnotationError(
            f"video {video_id!r}: the truth annotates no frame, so there is nothing to compare"
        )
    true_frames = frames = one.frame_index
    if strict_official:
        frames = other.frame_index
    else:
        true_frames = frames = frames_to_score(one, other, missing)[0]
    sides = (
        sequences_in(truth, video_id, true_frames, on=on, is_truth=True),
        sequences_in(predicted, video_id, frames, on=on, is_truth=False),
    )
    place = [video.video_id for video in truth.videos].index(video_id)
    return match_sequences(*sides, truth.categories, video_id, place, strict_official=strict_official)


def match_sequences(
    truth: VisSequences,
    predicted: VisSequences,
    categories: Sequence[Category],
    video_id: str,
    place: int,
    *,
    strict_official: bool,
) -> VisScores:
    """Match the sequences of one video, class by class; boxes where the truth or the prediction holds some."""
    kinds = sorted(categories, key=lambda category: category.category_id)
    ids = np.array([category.category_id for category in kinds], np.int64)
    known = np.isin(predicted.category_id, ids)
    # Stable: equal scores keep their order.
    by_score = np.argsort(-predicted.score, kind="stable")
    rows_of, beyond = [], 0
    for number in ids.tolist():
        mine = by_score[predicted.category_id[by_score] == number]
        beyond += max(len(mine) - VIS_LIMITS[-1], 0)
        rows_of.append(mine[: VIS_LIMITS[-1]])
    truth_rows = [np.flatnonzero(truth.category_id == number) for number in ids.tolist()]
    iou = _iou_of_rows(truth, predicted, truth_rows, rows_of)
    limits = np.array(list(VIS_AREAS.values()))
    is_outside = (truth.mean_area[:, None] < limits[:, 0]) | (truth.mean_area[:, None] > limits[:, 1])
    is_left_out = is_outside | truth.is_crowd[:, None]
    is_far = (predicted.mean_area[:, None] < limits[:, 0]) | (predicted.mean_area[:, None] > limits[:, 1])
    thresholds = np.array(VIS_THRESHOLDS)
    matched, ignored = [], []
    for mine, true_rows, values in zip(rows_of, truth_rows, iou, strict=True):
        if len(mine) and len(true_rows):
            left_out = np.ascontiguousarray(is_left_out[true_rows].T)
            found = match_detections(values, thresholds, left_out, truth.is_crowd[true_rows])
            found = found.transpose(1, 0, 2)
            is_hit = found != NO_MATCH
            taken = np.where(is_hit, true_rows[found], 0)
            takes_ignored = is_hit & is_left_out[taken, np.arange(len(limits))[None, :, None]]
            if strict_official:
                # The official code marks a match by the id of the true object, and reads 0 as "none".
                is_hit &= truth.entry_id[taken] != 0
        else:
            is_hit = np.zeros((len(mine), len(limits), len(thresholds)), np.bool_)
            takes_ignored = is_hit
        matched.append(is_hit)
        ignored.append(takes_ignored | (~is_hit & is_far[mine][:, :, None]))
    order = np.concatenate([np.zeros(0, np.int64), *rows_of])
    truth_order = np.concatenate([np.zeros(0, np.int64), *truth_rows])
    none = np.zeros((0, len(limits), len(thresholds)), np.bool_)
    rows = np.arange(len(ids))
    return VisScores(
        video_ids=(video_id,),
        video_place=np.array([place], np.int64),
        categories=tuple(kinds),
        video_row=np.zeros(len(order), np.int64),
        category_row=np.repeat(rows, [len(item) for item in rows_of]),
        score=predicted.score[order],
        rank=np.concatenate([np.zeros(0, np.int64), *[np.arange(len(item)) for item in rows_of]]),
        track_id=predicted.entry_id[order],
        is_matched=np.concatenate([none, *matched]),
        is_ignored=np.concatenate([none, *ignored]),
        truth_video_row=np.zeros(len(truth_order), np.int64),
        truth_category_row=np.repeat(rows, [len(item) for item in truth_rows]),
        truth_id=truth.entry_id[truth_order],
        is_left_out=is_left_out[truth_order],
        unknown_count=np.array([(~known).sum()], np.int64),
        beyond_count=np.array([beyond], np.int64),
    )


def _iou_of_rows(
    truth: VisSequences,
    predicted: VisSequences,
    truth_rows: Sequence[NDArray[np.int64]],
    rows_of: Sequence[NDArray[np.int64]],
) -> list[NDArray[np.float64]]:
    """Return the IoU of detections and true objects of each class; equal sequences of several classes are met once."""
    wanted = [
        row for rows, true in zip(rows_of, truth_rows, strict=True) if len(true) for row in rows.tolist()
    ]
    true_wanted = [
        row for rows, true in zip(rows_of, truth_rows, strict=True) if len(rows) for row in true.tolist()
    ]
    if predicted.masks:
        first: dict[Any, int] = {}
        stands_for = {row: first.setdefault(predicted.masks[row], row) for row in wanted}
    else:
        stands_for = {row: row for row in wanted}
    ours = np.array(sorted(set(stands_for.values())), np.int64)
    theirs = np.array(sorted(true_wanted), np.int64)
    compare = iou_of_masks if predicted.masks and truth.masks else iou_of_boxes
    matrix = compare(predicted, ours, truth, theirs) if len(ours) and len(theirs) else np.zeros((0, 0))
    found = []
    for rows, true in zip(rows_of, truth_rows, strict=True):
        if not (len(rows) and len(true)):
            found.append(np.zeros((len(rows), len(true))))
            continue
        at = np.searchsorted(ours, [stands_for[row] for row in rows.tolist()])
        found.append(np.ascontiguousarray(matrix[np.ix_(at, np.searchsorted(theirs, true))]))
    return found

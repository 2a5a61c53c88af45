"""How well boxes fit: IoU of every object in every frame."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from evfr._core.masks import box_iou
from evfr.errors import AnnotationError
from evfr.metrics._davis import mean_or_nan, none_if_nan, rows_by_object
from evfr.metrics._splits import GapSplit, gap_splits
from evfr.metrics._table import (
    check_table,
    check_tracks,
    frames_to_score,
    gaps_to_keys,
    merge_tables,
    paired_videos,
)

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    from evfr._core.annotations import VideoAnnotations

__all__ = ["BoxObject", "BoxScores", "BoxSummary", "box_scores", "summarise_boxes"]


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class BoxScores:
    """Hold the box IoU of objects in frames, one row each, by video, track and frame.

    Attributes
    ----------
    video_ids : tuple of str
        Names of the videos.
    categories : tuple of str
        Names of the classes.
    video_row, category_row : (N,) int64
        Indices into these.
    track_id, frame_index : (N,) int64
        The object and the frame.
    iou : (N,) float64
        In [0, 1]; 0 where only one of truth and prediction has the object.
    is_true, is_predicted : (N,) bool
        Which of them has it; at least one does.
    gap : (N,) int64
        Frames to the nearest labelled frame, 0 on it; -1 where none was named.

    Raises
    ------
    ValueError
        If the columns do not fit each other.
    """

    video_ids: tuple[str, ...]
    categories: tuple[str, ...]
    video_row: NDArray[np.int64]
    category_row: NDArray[np.int64]
    track_id: NDArray[np.int64]
    frame_index: NDArray[np.int64]
    iou: NDArray[np.float64]
    is_true: NDArray[np.bool_]
    is_predicted: NDArray[np.bool_]
    gap: NDArray[np.int64]

    def __post_init__(self) -> None:
        check_table(self)

    def __len__(self) -> int:
        return len(self.iou)

    def __repr__(self) -> str:
        return f"BoxScores({len(self)} objects in frames of {len(self.video_ids)} videos)"

    @classmethod
    def merge(cls, parts: Sequence[BoxScores]) -> BoxScores:
        """Join the scores of different videos.

        Parameters
        ----------
        parts : sequence of BoxScores
            One or more.

        Returns
        -------
        BoxScores
            The same, bit for bit, however the videos were shared out.

        Raises
        ------
        ValueError
            If there is no part, or a video is in two of them.
        """
        return merge_tables(cls, parts)


def box_scores(
    truth: VideoAnnotations,
    predicted: VideoAnnotations,
    video_id: str,
    *,
    keys: ArrayLike | None = None,
    missing: str = "fail",
) -> BoxScores:
    """Score the boxes of one video: IoU of every object in every frame that the truth annotates.

    Parameters
    ----------
    truth, predicted : VideoAnnotations
        Objects are the same where their track ids are. Objects with a mask and no box get its tight box.
    video_id : str
        A video of both.
    keys : (L,) int or None
        Frames that had labels when the prediction was made.
    missing : {"fail", "skip", "empty"}
        What becomes of frames that the prediction does not annotate.

    Returns
    -------
    BoxScores
        One row per object and annotated frame in which truth or prediction has it. True groups (crowds) are left
        out.

    Raises
    ------
    AnnotationError
        If a video is missing or of another size, frames are missing, or an object has no track, no box and no mask.
    ValueError
        If an argument is out of range.
    """
    one, other = paired_videos(truth, predicted, video_id)
    mine, theirs = truth.of_video(video_id), predicted.of_video(video_id)
    mine = mine.take(~mine.is_crowd)
    check_tracks(mine, "truth")
    check_tracks(theirs, "prediction")
    frames = set(frames_to_score(one, other, missing)[0].tolist())
    true_boxes, boxes = _by_object(mine, "truth"), _by_object(theirs, "prediction")
    pairs = sorted(key for key in true_boxes.keys() | boxes.keys() if key[1] in frames)
    names = {
        category.category_id: category.name for labels in (theirs, mine) for category in labels.categories
    }
    kinds = {
        track: names[category]
        for labels in (theirs, mine)
        for track, category in zip(labels.track_id.tolist(), labels.category_id.tolist(), strict=True)
    }
    categories = sorted({kinds[track] for track, _ in pairs})
    found = np.zeros(len(pairs))
    for row, key in enumerate(pairs):
        if key in true_boxes and key in boxes:
            found[row] = box_iou(true_boxes[key][None], boxes[key][None])[0, 0]
    frame_column = np.array([frame for _, frame in pairs], np.int64)
    return BoxScores(
        video_ids=(video_id,),
        categories=tuple(categories),
        video_row=np.zeros(len(pairs), np.int64),
        category_row=np.array([categories.index(kinds[track]) for track, _ in pairs], np.int64),
        track_id=np.array([track for track, _ in pairs], np.int64),
        frame_index=frame_column,
        iou=found,
        is_true=np.array([key in true_boxes for key in pairs], np.bool_),
        is_predicted=np.array([key in boxes for key in pairs], np.bool_),
        gap=gaps_to_keys(frame_column, keys),
    )


def _by_object(labels: VideoAnnotations, name: str) -> dict[tuple[int, int], NDArray[np.float64]]:
    labels = labels.with_boxes()
    found: dict[tuple[int, int], NDArray[np.float64]] = {}
    for row, (track, frame) in enumerate(
        zip(labels.track_id.tolist(), labels.frame_index.tolist(), strict=True)
    ):
        box, mask = labels.boxes_xyxy[row], labels.masks[row]
        if not np.isnan(box).any():
            found[track, frame] = box
        elif mask is None:
            raise AnnotationError(
                f"video {labels.videos[0].video_id!r}, frame {frame}: track {track} of the {name} has neither a box "
                "nor a mask; correct the file"
            )
    return found


@dataclass(frozen=True, slots=True)
class BoxObject:
    """Hold the scores of one object.

    Attributes
    ----------
    video_id, track_id, category : str, int, str
        Which object.
    frame_count : int
        Frames in which truth or prediction has it.
    mean_iou : float
        Over these frames.
    missed_count, extra_count : int
        Frames in which only the truth, only the prediction has it.
    """

    video_id: str
    track_id: int
    category: str
    frame_count: int
    mean_iou: float
    missed_count: int
    extra_count: int

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON-ready dict."""
        values = {name: getattr(self, name) for name in self.__slots__}
        return {**values, "mean_iou": none_if_nan(self.mean_iou)}


@dataclass(frozen=True, slots=True)
class BoxSummary:
    """Hold the scores of a set of videos.

    Attributes
    ----------
    objects : tuple of BoxObject
        By video and track.
    mean_iou : float
        Over all objects in frames, each counting the same; NaN without any.
    gaps : tuple of GapSplit
        The same by frames to the nearest label; empty where no labelled frames were named.
    """

    objects: tuple[BoxObject, ...]
    mean_iou: float
    gaps: tuple[GapSplit, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON-ready dict."""
        return {
            "mean_iou": none_if_nan(self.mean_iou),
            "missed_count": sum(item.missed_count for item in self.objects),
            "extra_count": sum(item.extra_count for item in self.objects),
            "gaps": [split.to_dict() for split in self.gaps],
            "objects": [item.to_dict() for item in self.objects],
        }


def summarise_boxes(scores: BoxScores, *, without_keys: bool = False) -> BoxSummary:
    """Sum up box IoU per object, over all, and by distance to the nearest label.

    Parameters
    ----------
    scores : BoxScores
        Rows of any number of videos.
    without_keys : bool
        Leave out frames that had labels.

    Returns
    -------
    BoxSummary
        The means.
    """
    counted = scores.gap != 0 if without_keys else np.ones(len(scores), np.bool_)
    objects = []
    for rows in rows_by_object(scores):
        first, kept = rows[0], rows[counted[rows]]
        objects.append(
            BoxObject(
                scores.video_ids[scores.video_row[first]],
                int(scores.track_id[first]),
                scores.categories[scores.category_row[first]],
                len(kept),
                mean_or_nan(scores.iou[kept]),
                int((~scores.is_predicted[kept]).sum()),
                int((~scores.is_true[kept]).sum()),
            )
        )
    return BoxSummary(tuple(objects), mean_or_nan(scores.iou[counted]), gap_splits(scores.iou, scores.gap))

"""One side of a video as YouTube-VIS compares it: sequences of masks or boxes, each with a class, a score, an area."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from evfr._core.annotations import NO_TRACK
from evfr._core.packed import pack_sequences, sequence_iou
from evfr.errors import AnnotationError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from evfr._core.annotations import Category, VideoAnnotations
    from evfr._core.masks import Rle

__all__ = [
    "VisSequences",
    "check_categories",
    "iou_of_boxes",
    "iou_of_masks",
    "mean_area",
    "sequences_in",
    "tight_boxes",
]


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class VisSequences:
    """Hold the true objects, or the detections, of one video, in the order in which equal scores are taken.

    Attributes
    ----------
    height, width : int
        Size of the pictures.
    entry_id : (N,) int64
        Track, or the id of the annotation in its file.
    category_id : (N,) int64
        Classes.
    score : (N,) float64
        Finite for detections, NaN for true objects.
    is_crowd : (N,) bool
        Groups.
    mean_area : (N,) float64
        Pixels, mean over the frames in which the area is above 0; 0 without any.
    masks : tuple of N tuples of Rle or None
        One entry a frame; empty where boxes are compared.
    boxes_xyxy : tuple of N (T, 4) float64
        One row a frame, NaN where there is none; empty where masks are compared.
    """

    height: int
    width: int
    entry_id: NDArray[np.int64]
    category_id: NDArray[np.int64]
    score: NDArray[np.float64]
    is_crowd: NDArray[np.bool_]
    mean_area: NDArray[np.float64]
    masks: tuple[tuple[Rle | None, ...], ...] = ()
    boxes_xyxy: tuple[NDArray[np.float64], ...] = ()

    def __len__(self) -> int:
        return len(self.entry_id)

    def __repr__(self) -> str:
        return f"VisSequences({len(self)} of {'boxes' if self.boxes_xyxy else 'masks'})"


def check_categories(truth: Sequence[Category], predicted: Sequence[Category]) -> None:
    """Refuse two lists of classes in which one name has two ids, or one id two names."""
    by_id = {category.category_id: category.name for category in truth}
    by_name = {category.name: category.category_id for category in truth if category.name}
    for category in predicted:
        number, name = category.category_id, category.name
        if by_id.get(number, name) != name:
            raise AnnotationError(
                f"category {number} is {by_id[number]!r} in the truth and {name!r} in the prediction; classes are "
                "compared by id: give a category map, which matches them by name"
            )
        if by_name.get(name, number) != number:
            raise AnnotationError(
                f"category {name!r} has the id {by_name[name]} in the truth and {number} in the prediction; classes "
                "are compared by id: give a category map, which matches them by name"
            )


def sequences_in(
    labels: VideoAnnotations, video_id: str, frames: NDArray[np.int64], *, on: str, is_truth: bool
) -> VisSequences:
    """Return the sequences of one video on the given frames.

    A sequence is the rows of one track and class (and, in the truth, of one kind: group or not); a row without a
    track is a sequence of its own. They are ordered by track, those without last. One without a row on these frames
    is left out.
    """
    place = [video.video_id for video in labels.videos].index(video_id)
    video = labels.videos[place]
    # The columns are sorted by video; taking the rows out as labels would check them all over again.
    first, last = np.searchsorted(labels.video_row, [place, place + 1])
    rows = first + np.flatnonzero(np.isin(labels.frame_index[first:last], frames))
    tracks, kinds, crowds = (
        column[rows].tolist() for column in (labels.track_id, labels.category_id, labels.is_crowd)
    )
    places = np.searchsorted(frames, labels.frame_index[rows])
    masks = [labels.masks[row] for row in rows.tolist()]
    corners = labels.boxes_xyxy[rows] if on == "masks" else tight_boxes(labels.boxes_xyxy[rows], masks)
    has_box = np.asarray(np.isfinite(corners).all(axis=1))
    what = "truth" if is_truth else "prediction"
    groups: dict[tuple[int, int, bool, int], list[int]] = {}
    for at, (track, kind, crowd) in enumerate(zip(tracks, kinds, crowds, strict=True)):
        if on == "masks" and masks[at] is None and has_box[at]:
            raise AnnotationError(
                f"video {video_id!r}, frame {int(labels.frame_index[rows[at]])}: track {track} of the {what} has a box "
                "and no mask; give it one, or compare boxes"
            )
        own = at if track == NO_TRACK else -1
        groups.setdefault((track, kind, crowd and is_truth, own), []).append(at)
    order = sorted(groups, key=lambda key: (key[0] == NO_TRACK, key[0], groups[key][0]))
    sequences, outlines, areas, scores = [], [], [], []
    known: dict[int, int] = {}
    for key in order:
        mine = groups[key]
        if on == "masks":
            entries: list[Rle | None] = [None] * len(frames)
            for at in mine:
                entries[places[at]] = masks[at]
            sequences.append(tuple(entries))
            areas.append(mean_area([_area(mask, known) for mask in entries]))
        else:
            boxes = np.full((len(frames), 4), np.nan)
            boxes[places[mine]] = corners[mine]
            outlines.append(boxes)
            areas.append(mean_area(np.nan_to_num(np.prod(boxes[:, 2:] - boxes[:, :2], axis=1))))
        scores.append(math.nan if is_truth else _score(labels, rows[mine]))
    return VisSequences(
        video.height,
        video.width,
        np.array([key[0] for key in order], np.int64),
        np.array([key[1] for key in order], np.int64),
        np.array(scores, np.float64),
        np.array([key[2] for key in order], np.bool_),
        np.array(areas, np.float64),
        tuple(sequences),
        tuple(outlines),
    )


def tight_boxes(boxes: NDArray[np.float64], masks: Sequence[Rle | None]) -> NDArray[np.float64]:
    """Return the boxes, the tight one of its mask where there is none."""
    out = boxes.copy()
    for at in np.flatnonzero(np.isnan(boxes).all(axis=1)).tolist():
        mask = masks[at]
        if mask is not None and not mask.is_empty:
            out[at] = mask.box_xyxy
    return out


def _area(mask: Rle | None, known: dict[int, int]) -> int:
    """Return the pixels of a mask; one that several sequences share is counted once."""
    if mask is None:
        return 0
    area = known.get(id(mask))
    if area is None:
        area = known[id(mask)] = mask.area
    return area


def _score(labels: VideoAnnotations, rows: NDArray[np.int64]) -> float:
    """Return the score of one sequence: that of its rows, or their mean where they differ."""
    scores = labels.score[rows].tolist()
    for row, score in zip(rows.tolist(), scores, strict=True):
        if not math.isfinite(score):
            raise AnnotationError(
                f"video {labels.videos[labels.video_row[row]].video_id!r}, frame {int(labels.frame_index[row])}: track "
                f"{int(labels.track_id[row])} of the prediction has the score {score}; the order of the detections "
                "makes the precision: give each a finite score"
            )
    return float(scores[0]) if len(set(scores)) == 1 else math.fsum(scores) / len(scores)


def mean_area(areas: Sequence[float] | NDArray[np.float64]) -> float:
    """Return the mean of the areas above 0, 0 without any."""
    values = np.asarray(areas, np.float64)
    values = values[values > 0]
    return float(values.mean()) if values.size else 0.0


def iou_of_masks(
    a: VisSequences, rows_a: NDArray[np.int64], b: VisSequences, rows_b: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Return the sequence IoU of each pair, (len(rows_a), len(rows_b)); lists of two lengths are cut to the shorter."""
    out = np.zeros((len(rows_a), len(rows_b)))
    lists_a, lists_b = [a.masks[row] for row in rows_a.tolist()], [b.masks[row] for row in rows_b.tolist()]
    lengths_a, lengths_b = (np.array([len(item) for item in lists], np.int64) for lists in (lists_a, lists_b))
    for one in np.unique(lengths_a).tolist():
        for other in np.unique(lengths_b).tolist():
            length = min(one, other)
            if not length:
                continue
            at_a, at_b = np.flatnonzero(lengths_a == one), np.flatnonzero(lengths_b == other)
            packs = [
                pack_sequences(
                    [lists[row][:length] for row in at.tolist()],
                    height=a.height,
                    width=a.width,
                    frame_count=length,
                )
                for lists, at in ((lists_a, at_a), (lists_b, at_b))
            ]
            out[np.ix_(at_a, at_b)] = sequence_iou(*packs)
    return out


def iou_of_boxes(
    a: VisSequences, rows_a: NDArray[np.int64], b: VisSequences, rows_b: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Return the sequence IoU of boxes of each pair: areas shared over all frames by areas joint over all frames."""
    out = np.zeros((len(rows_a), len(rows_b)))
    for i, row in enumerate(rows_a.tolist()):
        for j, other in enumerate(rows_b.tolist()):
            one, two = a.boxes_xyxy[row], b.boxes_xyxy[other]
            length = min(len(one), len(two))
            one, two = one[:length], two[:length]
            with np.errstate(invalid="ignore"):
                sides = np.minimum(one[:, 2:], two[:, 2:]) - np.maximum(one[:, :2], two[:, :2])
            shared = np.nan_to_num(np.prod(np.maximum(sides, 0.0), axis=1)).sum()
            each = [np.nan_to_num(np.prod(item[:, 2:] - item[:, :2], axis=1)).sum() for item in (one, two)]
            joint = each[0] + each[1] - shared
            out[i, j] = shared / joint if joint > 0 else 0.0
    return out

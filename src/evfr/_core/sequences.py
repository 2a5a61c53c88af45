"""Sequences of masks of one video with class scores: what is proposed, reduced and evaluated (Lin et al. 2021).

Labels (`VideoAnnotations`) are rows of one object, frame and class. A `MaskSequence` is one object over a whole video
with a score for every class. `sequences_of` and `annotations_of` go from one to the other.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

import numpy as np

from evfr._core._annotation_parts import owned_column
from evfr._core.annotations import NO_TRACK, SOURCES, AnnotatedVideo, Category, ObjectRow, VideoAnnotations
from evfr._core.masks import Rle
from evfr.errors import AnnotationError

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["MaskSequence", "Provenance", "SequenceSet", "annotations_of", "join_classes", "sequences_of"]


@dataclass(frozen=True, slots=True)
class Provenance:
    """Say where a sequence came from.

    Attributes
    ----------
    source : str
        Who made it: the name of a file, a detector, or one of `SOURCES`; empty where unknown.
    frame_index : int
        The key frame it was carried from; -1 where unknown.
    entry : int
        Its track, row of a file, or number of the detection; -1 where unknown.
    """

    source: str = ""
    frame_index: int = -1
    entry: int = -1


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class MaskSequence:
    """Hold the masks of one object over a video, with its scores.

    Attributes
    ----------
    masks : tuple of T Rle or None
        One a frame; None and a mask without pixels both say that the object is not there.
    category_scores : (C,) float64
        Score of each class, in [0, 1].
    score : float
        Score whatever the class (C_agn), in [0, 1].
    category : int
        Index into the set's categories; -1 for several or undecided.
    provenance : Provenance
        Where it came from.

    Raises
    ------
    AnnotationError
        If a score is NaN, infinite or outside [0, 1].
    """

    masks: tuple[Rle | None, ...]
    category_scores: NDArray[np.float64]
    score: float
    category: int = -1
    provenance: Provenance = field(default_factory=Provenance)

    def __post_init__(self) -> None:
        scores = owned_column(self.category_scores, np.float64)
        object.__setattr__(self, "masks", tuple(self.masks))
        object.__setattr__(self, "category_scores", scores)
        where = _name(self.provenance)
        if scores.ndim != 1:
            raise AnnotationError(f"{where}: category_scores must be one score a class, got {scores.shape}")
        # NaN fails both comparisons
        wrong = ~((scores >= 0.0) & (scores <= 1.0))
        if wrong.any():
            place = int(np.flatnonzero(wrong)[0])
            raise AnnotationError(
                f"{where}: the score of class {place} must be in 0..1, got {scores[place]:g}; mend or scale the scores"
            )
        if not 0.0 <= self.score <= 1.0:
            raise AnnotationError(
                f"{where}: the score must be in 0..1, got {self.score:g}; mend or scale the scores"
            )

    def __repr__(self) -> str:
        there = sum(mask is not None and not mask.is_empty for mask in self.masks)
        return (
            f"MaskSequence({len(self.masks)} frames, {there} with pixels, {len(self.category_scores)} classes, "
            f"score {self.score:.3g})"
        )

    @property
    def is_empty(self) -> bool:
        """Whether it has no pixel in any frame."""
        return all(mask is None or mask.is_empty for mask in self.masks)


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class SequenceSet:
    """Hold the sequences of one video.

    Attributes
    ----------
    video : AnnotatedVideo
        Its ``frame_index`` are the T frames; its size is that of all masks.
    categories : tuple of C Category
        The classes that ``category_scores`` are of.
    sequences : tuple of N MaskSequence
        None is allowed.

    Raises
    ------
    AnnotationError
        If a sequence has not T masks or C scores, a mask of another size, or a category that is not there.
    """

    video: AnnotatedVideo
    categories: tuple[Category, ...]
    sequences: tuple[MaskSequence, ...]

    def __post_init__(self) -> None:
        object.__setattr__(self, "categories", tuple(self.categories))
        object.__setattr__(self, "sequences", tuple(self.sequences))
        frames, classes = len(self.video.frame_index), len(self.categories)
        for place, sequence in enumerate(self.sequences):
            where = f"video {self.video.video_id!r}, {_name(sequence.provenance, place)}"
            if len(sequence.masks) != frames:
                raise AnnotationError(
                    f"{where}: it has {len(sequence.masks)} masks for the video's {frames} frames; give one a frame, "
                    "None where the object is not there"
                )
            if len(sequence.category_scores) != classes:
                raise AnnotationError(
                    f"{where}: it has {len(sequence.category_scores)} scores for {classes} categories"
                )
            if not -1 <= sequence.category < classes:
                raise AnnotationError(
                    f"{where}: category {sequence.category} is no index of the {classes} categories (-1 for several)"
                )
            for t, mask in enumerate(sequence.masks):
                if mask is not None and (mask.height, mask.width) != (self.video.height, self.video.width):
                    raise AnnotationError(
                        f"{where}, frame {int(self.video.frame_index[t])}: a mask of {mask.width}x{mask.height} "
                        f"pixels in a video of {self.video.width}x{self.video.height}; scale the labels"
                    )

    def __len__(self) -> int:
        return len(self.sequences)

    def __repr__(self) -> str:
        return (
            f"SequenceSet({self.video.video_id!r}, {len(self)} sequences, {len(self.video.frame_index)} frames, "
            f"{len(self.categories)} categories)"
        )

    @property
    def category_scores(self) -> NDArray[np.float64]:
        """Scores of all sequences, (N, C) float64."""
        rows = [sequence.category_scores for sequence in self.sequences]
        return np.array(rows, np.float64).reshape(len(rows), len(self.categories))

    @property
    def scores(self) -> NDArray[np.float64]:
        """Scores whatever the class, (N,) float64."""
        return np.array([sequence.score for sequence in self.sequences], np.float64)


def _name(provenance: Provenance, place: int = -1) -> str:
    """Name a sequence in an error: by its entry where it has one."""
    of = f" of {provenance.source}" if provenance.source else ""
    if provenance.entry >= 0:
        return f"sequence{of} with entry {provenance.entry}"
    at = f" from frame {provenance.frame_index}" if provenance.frame_index >= 0 else ""
    return f"sequence {place}{of}{at}" if place >= 0 else f"a sequence{of}{at}"


def sequences_of(
    annotations: VideoAnnotations, video_id: str, *, on_boxes: Literal["refuse", "fill"] = "refuse"
) -> SequenceSet:
    """Turn the labels of one video into sequences.

    Parameters
    ----------
    annotations : VideoAnnotations
        Labels with scores, as a tool's results have them.
    video_id : str
        The video.
    on_boxes : {"refuse", "fill"}
        What to do with a label that has a box and no mask: refuse it, or take the filled box (borders rounded to
        pixels, cut at the picture's edge) for its mask.

    Returns
    -------
    SequenceSet
        A sequence for each track and category, in order of their first rows; a label without a track is a sequence of
        one frame. Tracks with equal masks in all frames and different categories become one sequence with several
        class scores. The score of a category is that of its rows, their mean where they differ; ``score`` is the
        largest. ``entry`` is the (first) track, ``source`` who made its first label.

    Raises
    ------
    AnnotationError
        If a label has no score, or one outside [0, 1], or no mask (see ``on_boxes``).
    KeyError
        If there is no such video.
    ValueError
        If ``on_boxes`` is none of the two.
    """
    if on_boxes not in ("refuse", "fill"):
        raise ValueError(f"on_boxes must be 'refuse' or 'fill', got {on_boxes!r}")
    part = annotations.of_video(video_id)
    video = part.videos[0]
    place_of = {frame: place for place, frame in enumerate(video.frame_index.tolist())}
    class_of = {category.category_id: place for place, category in enumerate(part.categories)}
    groups: dict[tuple[int, int, int], list[int]] = {}
    columns = zip(part.track_id.tolist(), part.category_id.tolist(), strict=True)
    for row, (track, category) in enumerate(columns):
        groups.setdefault((track, category, row if track == NO_TRACK else -1), []).append(row)
    entries = []
    for (track, category, _), rows in groups.items():
        masks: list[Rle | None] = [None] * len(place_of)
        for row in rows:
            masks[place_of[int(part.frame_index[row])]] = _mask_of(part, row, on_boxes)
        start = int(part.frame_index[rows[0]]) if track == NO_TRACK else -1
        origin = Provenance(SOURCES[part.source[rows[0]]], start, track)
        entries.append((tuple(masks), class_of[category], _score_of(part, rows), origin))
    return SequenceSet(video, part.categories, join_classes(entries, len(part.categories)))


def join_classes(
    entries: Iterable[tuple[Sequence[Rle | None], int, float, Provenance]], class_count: int
) -> tuple[MaskSequence, ...]:
    """Make sequences of entries that each score one class: those of equal masks and different classes are one.

    Parameters
    ----------
    entries : iterable of (masks, class, score, provenance)
        T masks, None or empty where there is nothing; index of the class; its score in [0, 1].
    class_count : int
        C.

    Returns
    -------
    tuple of MaskSequence
        In the order of first entries, whose provenance they have. The same masks with the same class twice are two
        proposals, whatever else they share.

    Raises
    ------
    AnnotationError
        If a score is out of range.
    """
    found: list[tuple[tuple[Rle | None, ...], dict[int, float], Provenance]] = []
    alike: dict[tuple[bytes | None, ...], list[int]] = {}
    for masks, own, score, origin in entries:
        there = tuple(None if mask is None or mask.is_empty else mask for mask in masks)
        same = alike.setdefault(tuple(None if mask is None else mask.counts.tobytes() for mask in there), [])
        joined = next((place for place in same if own not in found[place][1]), None)
        if joined is not None:
            found[joined][1][own] = score
            continue
        same.append(len(found))
        found.append((there, {own: score}, origin))
    sequences = []
    for there, scores, origin in found:
        by_class = np.zeros(class_count)
        by_class[list(scores)] = list(scores.values())
        category = next(iter(scores)) if len(scores) == 1 else -1
        sequences.append(MaskSequence(there, by_class, float(by_class.max()), category, origin))
    return tuple(sequences)


def _row_name(part: VideoAnnotations, row: int) -> str:
    video, frame = part.videos[0].video_id, int(part.frame_index[row])
    return f"video {video!r}, track {int(part.track_id[row])}, frame {frame}"


def _score_of(part: VideoAnnotations, rows: Sequence[int]) -> float:
    scores = part.score[list(rows)]
    wrong = ~((scores >= 0.0) & (scores <= 1.0))
    if wrong.any():
        place = int(np.flatnonzero(wrong)[0])
        raise AnnotationError(
            f"{_row_name(part, rows[place])}: a sequence needs a score in 0..1, got {scores[place]:g}; "
            "give results with scores"
        )
    return float(scores[0] if (scores == scores[0]).all() else scores.mean())


def _mask_of(part: VideoAnnotations, row: int, on_boxes: str) -> Rle:
    mask = part.masks[row]
    if mask is not None:
        return mask
    box = part.boxes_xyxy[row]
    if np.isnan(box).all():
        raise AnnotationError(f"{_row_name(part, row)}: the label has neither mask nor box")
    if on_boxes == "refuse":
        raise AnnotationError(
            f"{_row_name(part, row)}: the label has a box and no mask; give masks, or take filled boxes with "
            "on_boxes='fill'"
        )
    return Rle.from_box(box, part.videos[0].height, part.videos[0].width)


def annotations_of(sets: Sequence[SequenceSet]) -> VideoAnnotations:
    """Turn sequences into labels: each sequence once for each class with a score above 0.

    Parameters
    ----------
    sets : sequence of SequenceSet
        One a video.

    Returns
    -------
    VideoAnnotations
        Tracks are numbered from 1 in each video, in the order of sequences and classes; a sequence without a class
        score above 0 has none. Frames without pixels have no row; boxes are those of the masks. The source is
        "detected", and "carried" off the frame that the provenance names.

    Raises
    ------
    AnnotationError
        If two sets are of one video, or have different categories under one id.
    """
    categories: dict[int, Category] = {}
    for one in sets:
        for category in one.categories:
            known = categories.setdefault(category.category_id, category)
            if known != category:
                raise AnnotationError(
                    f"category {category.category_id} is {known.name!r} in one set and {category.name!r} in that of "
                    f"video {one.video.video_id!r}; map the categories first"
                )
    rows = [row for one in sets for row in _rows(one)]
    return VideoAnnotations.build([one.video for one in sets], list(categories.values()), rows)


def _rows(one: SequenceSet) -> Iterator[ObjectRow]:
    track = 0
    frames = one.video.frame_index.tolist()
    for sequence in one.sequences:
        start = sequence.provenance.frame_index
        there = [
            (frame, mask.box_xyxy, mask)
            for frame, mask in zip(frames, sequence.masks, strict=True)
            if mask is not None and not mask.is_empty
        ]
        for place in np.flatnonzero(sequence.category_scores > 0.0).tolist():
            track += 1
            for frame, box, mask in there:
                yield ObjectRow(
                    one.video.video_id,
                    frame,
                    one.categories[place].category_id,
                    track,
                    box,
                    mask,
                    float(sequence.category_scores[place]),
                    "detected" if start in (-1, frame) else "carried",
                )

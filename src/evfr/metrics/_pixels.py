"""Pixels right and wrong: accuracy, IoU of the positive class, gscore."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce
from typing import TYPE_CHECKING, Any

from evfr._core.masks import Rle, intersection_area, union
from evfr.errors import AnnotationError
from evfr.metrics._davis import none_if_nan
from evfr.metrics._table import frames_to_score, gaps_to_keys, paired_videos

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from evfr._core.annotations import VideoAnnotations

__all__ = ["PixelCounts", "PixelScores", "pixel_counts", "pixel_scores"]


@dataclass(frozen=True, slots=True)
class PixelCounts:
    """Count pixels of a positive class.

    Attributes
    ----------
    hit, extra, missed, rejected : int, or float
        Pixels that are positive in both, only in the prediction, only in the truth, in neither; fractions where
        pictures have weights.

    Raises
    ------
    ValueError
        If a count is negative.

    Examples
    --------
    >>> counts = PixelCounts(hit=30, extra=10, missed=20, rejected=40)
    >>> counts.accuracy, counts.iou, counts.precision, counts.recall, counts.gscore
    (0.7, 0.5, 0.75, 0.6, 0.45)
    """

    hit: float
    extra: float
    missed: float
    rejected: float

    def __post_init__(self) -> None:
        if min(self.hit, self.extra, self.missed, self.rejected) < 0:
            raise ValueError(f"pixel counts must be 0 or more, got {self}")

    def __add__(self, other: PixelCounts) -> PixelCounts:
        return PixelCounts(
            self.hit + other.hit,
            self.extra + other.extra,
            self.missed + other.missed,
            self.rejected + other.rejected,
        )

    @classmethod
    def merge(cls, parts: Sequence[PixelCounts]) -> PixelCounts:
        """Add counts up.

        Parameters
        ----------
        parts : sequence of PixelCounts
            Any number.

        Returns
        -------
        PixelCounts
            The sums: exact, in any order.
        """
        return reduce(cls.__add__, parts, cls(0, 0, 0, 0))

    @property
    def accuracy(self) -> float:
        """Share of pixels that are right; NaN without pixels."""
        return _ratio(self.hit + self.rejected, self.hit + self.extra + self.missed + self.rejected)

    @property
    def iou(self) -> float:
        """Intersection over union of the positive class; NaN if it is nowhere."""
        return _ratio(self.hit, self.hit + self.extra + self.missed)

    @property
    def precision(self) -> float:
        """Share of predicted positives that are right; NaN if nothing is predicted."""
        return _ratio(self.hit, self.hit + self.extra)

    @property
    def recall(self) -> float:
        """Share of true positives that are found; NaN if there is none."""
        return _ratio(self.hit, self.hit + self.missed)

    @property
    def gscore(self) -> float:
        """Precision times recall (Chataigner et al.); 0 if nothing is predicted, NaN if nothing is true."""
        if self.hit + self.missed and not self.hit + self.extra:
            return 0.0
        # In this order the division is exact where precision and recall are.
        return _ratio(self.hit * self.hit, (self.hit + self.extra) * (self.hit + self.missed))

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON-ready dict: counts and scores; NaN is None."""
        counts = {name: getattr(self, name) for name in self.__slots__}
        names = ("accuracy", "iou", "precision", "recall", "gscore")
        return {**{name: none_if_nan(getattr(self, name)) for name in names}, **counts}


def _ratio(part: float, whole: float) -> float:
    return part / whole if whole else float("nan")


def pixel_counts(truth: Rle, predicted: Rle) -> PixelCounts:
    """Count the pixels of two masks.

    Parameters
    ----------
    truth, predicted : Rle
        Masks of one size.

    Returns
    -------
    PixelCounts
        They add up to the pixels of the picture.

    Raises
    ------
    ValueError
        If the sizes differ.
    """
    hit = intersection_area(truth, predicted)
    extra, missed = predicted.area - hit, truth.area - hit
    return PixelCounts(hit, extra, missed, truth.height * truth.width - hit - extra - missed)


@dataclass(frozen=True, slots=True)
class PixelScores:
    """Hold pixel counts by video and class.

    Attributes
    ----------
    counts : tuple of (str, str, PixelCounts)
        Video, class, counts over all scored frames; by video and class.
    """

    counts: tuple[tuple[str, str, PixelCounts], ...]

    @classmethod
    def merge(cls, parts: Sequence[PixelScores]) -> PixelScores:
        """Join the scores of different videos.

        Parameters
        ----------
        parts : sequence of PixelScores
            Any number.

        Returns
        -------
        PixelScores
            In order of video and class.

        Raises
        ------
        ValueError
            If a video and class is in two of them.
        """
        rows = sorted((row for part in parts for row in part.counts), key=lambda row: row[:2])
        keys = [row[:2] for row in rows]
        if len(set(keys)) < len(keys):
            raise ValueError("a video is in several of the parts; score each video once")
        return cls(tuple(rows))

    @property
    def total(self) -> PixelCounts:
        """All videos and classes together."""
        return PixelCounts.merge([row[2] for row in self.counts])

    def by_category(self) -> dict[str, PixelCounts]:
        """Return the counts of each class over all videos."""
        names = sorted({category for _, category, _ in self.counts})
        return {name: PixelCounts.merge([row[2] for row in self.counts if row[1] == name]) for name in names}

    def by_video(self) -> dict[str, PixelCounts]:
        """Return the counts of each video over all classes."""
        names = sorted({video for video, _, _ in self.counts})
        return {name: PixelCounts.merge([row[2] for row in self.counts if row[0] == name]) for name in names}

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON-ready dict."""
        return {
            "total": self.total.to_dict(),
            "categories": {name: counts.to_dict() for name, counts in self.by_category().items()},
            "videos": {name: counts.to_dict() for name, counts in self.by_video().items()},
        }


def pixel_scores(
    truth: VideoAnnotations,
    predicted: VideoAnnotations,
    video_id: str,
    *,
    keys: ArrayLike | None = None,
    without_keys: bool = False,
    missing: str = "fail",
) -> PixelScores:
    """Count right and wrong pixels of one video, for each class; objects of a class are one mask.

    Parameters
    ----------
    truth, predicted : VideoAnnotations
        Classes are the same where their names are; tracks do not matter.
    video_id : str
        A video of both.
    keys : (L,) int or None
        Frames that had labels when the prediction was made.
    without_keys : bool
        Leave those out.
    missing : {"fail", "skip", "empty"}
        What becomes of frames that the prediction does not annotate.

    Returns
    -------
    PixelScores
        One entry per class that truth or prediction has in this video; crowds count like objects.

    Raises
    ------
    AnnotationError
        If a video is missing or of another size, frames are missing, or an object has no mask.
    ValueError
        If an argument is out of range.
    """
    one, other = paired_videos(truth, predicted, video_id)
    frames, _ = frames_to_score(one, other, missing)
    if without_keys:
        frames = frames[gaps_to_keys(frames, keys) != 0]
    masks = [
        _by_class(labels.of_video(video_id), name)
        for labels, name in ((truth, "truth"), (predicted, "prediction"))
    ]
    nothing = Rle.empty(one.height, one.width)
    found = []
    for category in sorted({category for part in masks for category, _ in part}):
        pairs = [[part.get((category, frame), nothing) for part in masks] for frame in frames.tolist()]
        counts = PixelCounts.merge([pixel_counts(a, b) for a, b in pairs])
        found.append((video_id, category, counts))
    return PixelScores(tuple(found))


def _by_class(labels: VideoAnnotations, name: str) -> dict[tuple[str, int], Rle]:
    names = {category.category_id: category.name for category in labels.categories}
    found: dict[tuple[str, int], Rle] = {}
    for row, mask in enumerate(labels.masks):
        frame = int(labels.frame_index[row])
        if mask is None:
            raise AnnotationError(
                f"video {labels.videos[0].video_id!r}, frame {frame}: an object of the {name} has no mask; score boxes "
                "instead"
            )
        key = names[int(labels.category_id[row])], frame
        found[key] = union([found[key], mask]) if key in found else mask
    return found

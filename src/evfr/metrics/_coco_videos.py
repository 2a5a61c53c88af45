"""COCO's matching of the annotated frames of videos, one video at a time, and how videos become one set."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Literal

import numpy as np

from evfr._core.labelled import FrameObjects
from evfr.errors import AnnotationError
from evfr.metrics._coco import CocoMatches, coco_matches
from evfr.metrics._table import check_pair, frames_to_score, names_to_merge
from evfr.metrics._vis_sequences import check_categories, tight_boxes

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    from evfr._core.annotations import Category, VideoAnnotations

__all__ = ["CocoScores", "coco_scores"]

_VOID = "void"


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class CocoScores:
    """Hold what became of each detection in the frames of videos; `summarise_coco` of ``matches`` sums up.

    Attributes
    ----------
    video_ids : tuple of str
        Names of the V videos.
    video_place : (V,) int64
        Place of each in the list of the truth.
    categories : tuple of Category
        The classes of the truth, by id; the same in all parts that are merged.
    matches : CocoMatches
        Of I frames, each a picture; class k is ``categories[k]``.
    video_row, frame_index : (I,) int64
        Which frame of which video each is.
    image_place : (I,) int64
        What orders the frames, and by that equal scores of different frames.
    unknown_count : (V,) int64
        Detections of a class that the truth does not list, which do not count.

    Raises
    ------
    ValueError
        If the columns do not fit each other.
    """

    video_ids: tuple[str, ...]
    video_place: NDArray[np.int64]
    categories: tuple[Category, ...]
    matches: CocoMatches
    video_row: NDArray[np.int64]
    frame_index: NDArray[np.int64]
    image_place: NDArray[np.int64]
    unknown_count: NDArray[np.int64]

    def __post_init__(self) -> None:
        images = [len(self.matches), *[len(getattr(self, name)) for name in _IMAGES]]
        videos = [len(self.video_ids), len(self.video_place), len(self.unknown_count)]
        if len(set(images)) > 1 or len(set(videos)) > 1:
            raise ValueError(f"the columns must be equally long, got {images} frames and {videos} videos")

    def __repr__(self) -> str:
        return f"CocoScores({len(self.video_ids)} videos, {self.matches!r})"

    @classmethod
    def merge(cls, parts: Sequence[CocoScores]) -> CocoScores:
        """Join the matches of different videos.

        Parameters
        ----------
        parts : sequence of CocoScores
            One or more, against one truth.

        Returns
        -------
        CocoScores
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
        starts = np.cumsum([0, *[len(part.video_ids) for part in parts]])[:-1].tolist()
        rows = np.concatenate([part.video_row + start for part, start in zip(parts, starts, strict=True)])
        order = np.array(sorted(range(len(names)), key=lambda row: (places[row], names[row])), np.int64)
        images = np.concatenate([part.image_place for part in parts])
        whole = cls(
            tuple(names),
            places,
            parts[0].categories,
            CocoMatches.merge([part.matches for part in parts]),
            rows,
            np.concatenate([part.frame_index for part in parts]),
            images,
            np.concatenate([part.unknown_count for part in parts]),
        )
        return whole._taken(order, np.argsort(images, kind="stable"))

    def of_videos(self, rows: ArrayLike) -> CocoScores:
        """Return the matches of some videos, so that each can be summed up alone.

        Parameters
        ----------
        rows : (B,) int
            Different indices into ``video_ids``.

        Returns
        -------
        CocoScores
            Of these videos, in that order.

        Raises
        ------
        ValueError
            If a row is named twice.
        """
        picked = np.asarray(rows, np.int64).reshape(-1)
        if len(np.unique(picked)) < len(picked):
            raise ValueError("a video is named twice; give repeats as weights to summarise_coco")
        return self._taken(picked, np.flatnonzero(np.isin(self.video_row, picked)))

    def _taken(self, videos: NDArray[np.int64], images: NDArray[np.int64]) -> CocoScores:
        new = np.zeros(len(self.video_ids), np.int64)
        new[videos] = np.arange(len(videos))
        return CocoScores(
            tuple(self.video_ids[row] for row in videos.tolist()),
            self.video_place[videos],
            self.categories,
            self.matches.of_images(images),
            new[self.video_row[images]],
            self.frame_index[images],
            self.image_place[images],
            self.unknown_count[videos],
        )


_IMAGES = ("video_row", "frame_index", "image_place")


def coco_scores(
    truth: VideoAnnotations,
    predicted: VideoAnnotations,
    video_ids: str | Sequence[str],
    *,
    on: Literal["masks", "boxes"] = "masks",
    missing: str = "fail",
    truth_areas: NDArray[np.float64] | None = None,
    image_places: Mapping[str, NDArray[np.int64]] | None = None,
) -> CocoScores:
    """Match the detections in the frames of videos with the true objects, as pycocotools does (Lin et al. 2014).

    Parameters
    ----------
    truth, predicted : VideoAnnotations
        Each annotated frame of the truth is a picture; tracks do not matter. Equal scores are taken in the order of
        the rows.
    video_ids : str or sequence of str
        One or more videos of both.
    on : {"masks", "boxes"}
        What the IoU is of. An object without a box has that of its mask, all zeros if that is empty.
    missing : {"fail", "skip", "empty"}
        What becomes of frames that the truth annotates and the prediction does not.
    truth_areas : (N,) float64, optional
        Areas in pixels that a file states for the rows of the truth; NaN for one without.
    image_places : mapping of str to (F,) int64, optional
        What orders each video's annotated frames among those of all videos, for equal scores: in a COCO file the ids of
        the images. The order of the truth otherwise.

    Returns
    -------
    CocoScores
        Of these videos.

    Raises
    ------
    AnnotationError
        If a video is missing or of another size, frames are missing, one class has two ids or one id two classes, an
        object has no mask or box, or a detection no finite score.
    ValueError
        If an argument is out of range.

    Notes
    -----
    A crowd of the class ``void``, as evfr's readers call pixels that nobody labelled, is a crowd of every class.

    References
    ----------
    Lin et al., "Microsoft COCO: common objects in context", ECCV 2014, doi:10.1007/978-3-319-10602-1_48.
    """
    if on not in ("masks", "boxes"):
        raise ValueError(f"on must be 'masks' or 'boxes', got {on!r}")
    check_categories(truth.categories, predicted.categories)
    categories = tuple(sorted(truth.categories, key=lambda category: category.category_id))
    if not categories:
        raise AnnotationError(
            "the truth lists no class, so that there is nothing to find; give it its classes"
        )
    names = (video_ids,) if isinstance(video_ids, str) else tuple(video_ids)
    places, frames = [], []
    rows_of = [{video.video_id: row for row, video in enumerate(side.videos)} for side in (truth, predicted)]
    starts = np.cumsum([0, *[len(video.frame_index) for video in truth.videos]])
    for name in names:
        for rows, what in zip(rows_of, ("truth", "prediction"), strict=True):
            if name not in rows:
                raise AnnotationError(f"the {what} has no video {name!r}; it has {list(rows)[:20]}")
        one, other = (side.videos[rows[name]] for side, rows in zip((truth, predicted), rows_of, strict=True))
        check_pair(one, other)
        wanted, _ = frames_to_score(one, other, missing)
        own = starts[rows_of[0][name]] + np.arange(len(one.frame_index))
        own = own if image_places is None else np.asarray(image_places[name], np.int64)
        places.append(own[np.searchsorted(one.frame_index, wanted)])
        frames.append(wanted)
    video_row = np.repeat(np.arange(len(names)), [len(item) for item in frames])
    frame_index = np.concatenate([np.zeros(0, np.int64), *frames])
    pictures, unknown, areas = [], np.zeros(len(names), np.int64), None
    for labels, rows, is_truth in zip((truth, predicted), rows_of, (True, False), strict=True):
        of_video = np.array([rows[name] for name in names], np.int64)
        taken, bounds = _rows_of_frames(labels, of_video[video_row], frame_index)
        kind = _classes(labels, taken, categories, is_truth=is_truth)
        _check(labels, taken[is_truth | (kind >= 0)], on, is_truth=is_truth)
        pictures.append(_pictures(labels, taken, bounds, kind, on, is_truth=is_truth))
        if is_truth and truth_areas is not None:
            areas = [truth_areas[taken[low:high]] for low, high in pairwise(bounds.tolist())]
        if not is_truth:
            lost = np.searchsorted(bounds, np.flatnonzero(kind < 0), side="right") - 1
            unknown = np.bincount(video_row[lost], minlength=len(names)).astype(np.int64)
    heads = [truth.videos[rows_of[0][name]] for name in names]
    return CocoScores(
        names,
        np.array([rows_of[0][name] for name in names], np.int64),
        categories,
        _matches(
            pictures, areas, [(head.height, head.width) for head in heads], video_row, len(categories), on
        ),
        video_row,
        frame_index,
        np.concatenate([np.zeros(0, np.int64), *places]),
        unknown,
    )


def _matches(
    pictures: Sequence[Sequence[FrameObjects]],
    areas: Sequence[NDArray[np.float64]] | None,
    sizes: Sequence[tuple[int, int]],
    video_row: NDArray[np.int64],
    class_count: int,
    on: Literal["masks", "boxes"],
) -> CocoMatches:
    """Match the frames, those of one size at a time."""
    each, number = np.unique(np.array(sizes, np.int64).reshape(-1, 2), axis=0, return_inverse=True)
    parts, order = [], []
    for place, (height, width) in enumerate(each.tolist()):
        at = np.flatnonzero(number.reshape(-1)[video_row] == place).tolist()
        truth, found = ([side[row] for row in at] for side in pictures)
        stated = None if areas is None else [areas[row] for row in at]
        parts.append(
            coco_matches(
                truth, found, class_count=class_count, on=on, height=height, width=width, truth_areas=stated
            )
        )
        order += at
    whole = CocoMatches.merge(parts)
    return whole if len(parts) == 1 else whole.of_images(np.argsort(order))


def _rows_of_frames(
    labels: VideoAnnotations, video_row: NDArray[np.int64], frame_index: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the rows on the given frames, frame by frame, and where those of each frame begin among them, (I+1,)."""
    most = int(max(labels.frame_index.max(initial=0), frame_index.max(initial=0))) + 1
    keys, wanted = labels.video_row * most + labels.frame_index, video_row * most + frame_index
    low, high = np.searchsorted(keys, wanted), np.searchsorted(keys, wanted, side="right")
    bounds = np.cumsum([0, *(high - low)])
    rows = np.repeat(low - bounds[:-1], high - low) + np.arange(bounds[-1])
    return rows, bounds


def _classes(
    labels: VideoAnnotations, rows: NDArray[np.int64], categories: Sequence[Category], *, is_truth: bool
) -> NDArray[np.int64]:
    """Return the class of each row as an index; -1 for a crowd of every class, or a class that is not listed."""
    ids = np.array([category.category_id for category in categories], np.int64)
    given = labels.category_id[rows]
    at = np.minimum(np.searchsorted(ids, given), len(ids) - 1)
    kind = np.where(ids[at] == given, at, -1)
    if is_truth:
        is_void = np.array([category.name.casefold() == _VOID for category in categories], np.bool_)
        kind = np.where(is_void[kind] & labels.is_crowd[rows], -1, kind)
    return kind


def _check(labels: VideoAnnotations, rows: NDArray[np.int64], on: str, *, is_truth: bool) -> None:
    """Refuse objects that cannot be compared."""
    what = "truth" if is_truth else "prediction"
    if on == "masks":
        bare = [row for row in rows.tolist() if labels.masks[row] is None]
        why = f"an object of the {what} has no mask; give it one, or compare boxes"
    else:
        has_box = np.isfinite(labels.boxes_xyxy[rows]).all(axis=1)
        bare = [row for row in rows[~has_box].tolist() if labels.masks[row] is None]
        why = f"an object of the {what} has neither box nor mask; give it one"
    if not bare and not is_truth:
        bare = rows[~np.isfinite(labels.score[rows])].tolist()
        why = (
            "a detection has no finite score; the order of the detections makes the precision: give each one"
        )
    if bare:
        video = labels.videos[labels.video_row[bare[0]]].video_id
        frame = int(labels.frame_index[bare[0]])
        raise AnnotationError(f"video {video!r}, frame {frame}: {why} ({len(bare)} such in this video)")


def _pictures(
    labels: VideoAnnotations,
    rows: NDArray[np.int64],
    bounds: NDArray[np.int64],
    kind: NDArray[np.int64],
    on: str,
    *,
    is_truth: bool,
) -> list[FrameObjects]:
    """Return the objects of each frame; detections of a class that is not listed are left out."""
    masks = [labels.masks[row] for row in rows.tolist()]
    boxes = labels.boxes_xyxy[rows]
    if on == "boxes":
        # An empty mask has the box without any area that pycocotools gives it.
        boxes = np.nan_to_num(tight_boxes(boxes, masks))
    crowd = labels.is_crowd[rows] & is_truth
    score = np.full(len(rows), np.nan) if is_truth else labels.score[rows]
    found = []
    for low, high in pairwise(bounds.tolist()):
        at = np.arange(low, high)
        if not is_truth:
            at = at[kind[at] >= 0]
        found.append(
            FrameObjects(kind[at], boxes[at], tuple(masks[row] for row in at.tolist()), score[at], crowd[at])
        )
    return found

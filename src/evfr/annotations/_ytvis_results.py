"""Lists of results of YouTube-VIS: entries of a video, a class, a score and a mask or null for every frame.

Such a list knows neither its videos nor its classes; a companion, the annotation file, does. A list is parsed once and
its masks are decoded video by video, because a hundred thousand entries have millions of masks.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from evfr._core.annotations import NO_TRACK, AnnotatedVideo, Category, ObjectRow, VideoAnnotations
from evfr._core.masks import Rle
from evfr._core.sequences import MaskSequence, Provenance, SequenceSet
from evfr.annotations._coco_fields import box_from_coco, categories_from_coco, mask_from_coco
from evfr.annotations._json import dump_json, entries, load_json, whole
from evfr.annotations._numbering import NamePattern, Numbering
from evfr.annotations._ytvis_videos import frame_list, videos_of
from evfr.errors import AnnotationError

__all__ = [
    "Companion",
    "ResultsList",
    "looks_like_results",
    "read_companion",
    "read_results",
    "result_entries",
    "sequences_of_results",
    "write_results",
]


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Companion:
    """Hold the videos and classes that a list of results is about.

    Attributes
    ----------
    path : Path
        The annotation file.
    videos : mapping of int to AnnotatedVideo
        By their ids in the file.
    categories : tuple of Category
        With the ids of the file.
    """

    path: Path
    videos: Mapping[int, AnnotatedVideo]
    categories: tuple[Category, ...]

    def key_of(self, video: AnnotatedVideo, where: str) -> int:
        """Return the id of a video of the same name and size.

        Parameters
        ----------
        video : AnnotatedVideo
            Of other labels.
        where : str
            For the error's text.

        Returns
        -------
        int
            Its id in the file.

        Raises
        ------
        AnnotationError
            If there is none or several, or it has another size.
        """
        keys = [key for key, item in self.videos.items() if item.video_id == video.video_id]
        if len(keys) != 1:
            known = [item.video_id for item in self.videos.values()]
            found = f"{len(keys)} videos" if keys else "no video"
            raise AnnotationError(
                f"{where}: {self.path} has {found} of the name {video.video_id!r}, it has {known[:20]}; give the "
                "annotations of these videos"
            )
        mine = self.videos[keys[0]]
        if (mine.width, mine.height) != (video.width, video.height):
            raise AnnotationError(
                f"{where}: video {video.video_id!r} has {video.width}x{video.height} pixels, but {mine.width}x"
                f"{mine.height} in {self.path}; scale the labels"
            )
        return keys[0]

    def check_categories(self, categories: Sequence[Category], where: str) -> None:
        """Raise if a class is not one of the file's, with its name.

        Parameters
        ----------
        categories : sequence of Category
            Of other labels.
        where : str
            For the error's text.

        Raises
        ------
        AnnotationError
            If the file lacks an id or gives it another name.
        """
        names = {category.category_id: category.name for category in self.categories}
        for category in categories:
            if names.get(category.category_id) != category.name:
                theirs = names.get(category.category_id)
                raise AnnotationError(
                    f"{where}: category {category.category_id} is {category.name!r}, but "
                    f"{'not there' if theirs is None else repr(theirs)} in {self.path}; map the categories first"
                )


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class ResultsList:
    """Hold a list of results as parsed: masks are still text.

    Attributes
    ----------
    path : Path
        The file.
    companion : Companion
        Its videos and classes.
    entries : list of mapping
        The file's entries.
    of_video : mapping of int to list of int
        The entries of each of the companion's videos, in file order; empty for a video without entries.
    """

    path: Path
    companion: Companion
    entries: list[Mapping[str, Any]]
    of_video: Mapping[int, list[int]]


def looks_like_results(data: Any) -> bool:
    """Whether parsed JSON is a list whose first entry is a result of a video."""
    first = data[0] if isinstance(data, list) and data else None
    return (
        isinstance(first, dict) and "video_id" in first and bool({"segmentations", "bboxes"} & first.keys())
    )


def read_companion(
    path: Path, *, pattern: str | None = None, start: int = 0, stride: int = 1, first_frame: int = 0
) -> Companion:
    """Read the videos and classes of an annotation file.

    Parameters
    ----------
    path : Path
        The JSON file.
    pattern, start, stride, first_frame
        As in `evfr.annotations.FORMATS`' reader of ``ytvis``.

    Returns
    -------
    Companion
        Without the file's annotations.

    Raises
    ------
    AnnotationError
        If the file is wrong, or is itself a list of results.
    """
    head = load_json(path)
    if isinstance(head, list):
        raise AnnotationError(
            f"{path} is a list, but the companion of results is the annotation file with videos and categories; give "
            "that file"
        )
    shape = NamePattern(pattern) if pattern else None
    videos = videos_of(head, path, shape, Numbering(start, stride, first_frame))
    return Companion(path, videos, categories_from_coco(head, str(path)))


def read_results(path: Path, data: Any, companion: Companion) -> ResultsList:
    """Sort the entries of a list by video; masks stay as they are.

    Parameters
    ----------
    path : Path
        The file.
    data : object
        Its parsed JSON.
    companion : Companion
        Its videos and classes.

    Returns
    -------
    ResultsList
        With every video of the companion.

    Raises
    ------
    AnnotationError
        If it is no list of objects, or an entry's video or class is unknown or its video has no frames.
    """
    found = entries({"results": data}, "results", str(path))
    known = {category.category_id for category in companion.categories}
    of_video: dict[int, list[int]] = {key: [] for key in companion.videos}
    for number, entry in enumerate(found):
        where = f"{path}: result {number}"
        key, category = whole(entry, "video_id", where), whole(entry, "category_id", where)
        if key not in of_video:
            raise AnnotationError(
                f"{where}: video_id {key} is none of the {len(of_video)} videos of {companion.path}; give the "
                "annotations that these results are for"
            )
        if category not in known:
            raise AnnotationError(
                f"{where}: category_id {category} is none of the categories {sorted(known)[:20]} of {companion.path}; "
                "give the annotations that these results are for, or map the categories first"
            )
        if not len(companion.videos[key].frame_index):
            raise AnnotationError(
                f"{where}: video {key} ({companion.videos[key].video_id!r}) has no frames in {companion.path}; remove "
                "the entry or name the video's files"
            )
        of_video[key].append(number)
    return ResultsList(path, companion, found, of_video)


def sequences_of_results(
    results: ResultsList, key: int, *, boxes: Literal["refuse", "fill"] = "refuse"
) -> SequenceSet:
    """Decode the sequences of one video.

    Entries with equal masks and different classes, as tools write that score several classes, are one sequence; of
    equal masks and equal classes each is its own.

    Parameters
    ----------
    results : ResultsList
        The list.
    key : int
        The video's id.
    boxes : {"refuse", "fill"}
        What to do where an entry has a box and no mask: raise, or fill the box, rounded to pixels.

    Returns
    -------
    SequenceSet
        In file order; ``provenance.entry`` is the number of the (first) entry.

    Raises
    ------
    AnnotationError
        If an entry is wrong: the text names it.
    """
    video, categories = results.companion.videos[key], results.companion.categories
    columns = {category.category_id: column for column, category in enumerate(categories)}
    known: dict[str, Rle] = {}
    groups: dict[tuple[bytes | None, ...], list[int]] = {}
    masks_of: list[tuple[Rle | None, ...]] = []
    scores_of: list[dict[int, float]] = []
    first_of: list[int] = []
    for number in results.of_video[key]:
        entry = results.entries[number]
        where = f"{results.path}: result {number}"
        try:
            score = _score(entry, where)
            masks = tuple(_masks(entry, video, boxes, known, where))
        except AnnotationError as error:
            raise AnnotationError(f"{error}; correct the entry or remove it") from error
        column = columns[int(entry["category_id"])]
        same = groups.setdefault(tuple(None if mask is None else mask.counts.tobytes() for mask in masks), [])
        place = next((place for place in same if column not in scores_of[place]), None)
        if place is None:
            same.append(len(masks_of))
            masks_of.append(masks)
            scores_of.append({column: score})
            first_of.append(number)
        else:
            scores_of[place][column] = score
    found = []
    for masks, by_column, number in zip(masks_of, scores_of, first_of, strict=True):
        scores = np.zeros(len(categories))
        scores[list(by_column)] = list(by_column.values())
        only = next(iter(by_column)) if len(by_column) == 1 else -1
        origin = Provenance(source=str(results.path), entry=number)
        found.append(MaskSequence(masks, scores, float(scores.max()), only, origin))
    return SequenceSet(video, categories, tuple(found))


def _score(entry: Mapping[str, Any], where: str) -> float:
    value = entry.get("score")
    if isinstance(value, int | float) and not isinstance(value, bool) and 0.0 <= value <= 1.0:
        return float(value)
    raise AnnotationError(f"{where}: score must be a number from 0 to 1, got {value!r:.80}")


def _masks(
    entry: Mapping[str, Any],
    video: AnnotatedVideo,
    boxes: Literal["refuse", "fill"],
    known: dict[str, Rle],
    where: str,
) -> Iterator[Rle | None]:
    """Yield the mask of each frame; None where there is none or it is empty."""
    n, height, width = len(video.frame_index), video.height, video.width
    masks = frame_list(entry, "segmentations", n, where)
    outlines = frame_list(entry, "bboxes", n, where)
    if masks is None and outlines is None:
        raise AnnotationError(f"{where}: it has neither segmentations nor bboxes")
    for place in range(n):
        at = f"{where}, frame {place}"
        value = None if masks is None else masks[place]
        # Tools that score several classes repeat their masks: each text is decoded once.
        text = (
            value.get("counts") if isinstance(value, dict) and value.get("size") == [height, width] else None
        )
        text = text if isinstance(text, str) else ""
        mask = known.get(text) or mask_from_coco(value, height, width, at)
        if mask is None and outlines is not None and (box := box_from_coco(outlines[place], at)):
            if boxes == "refuse":
                raise AnnotationError(f"{at}: it has a box and no mask; let boxes be filled")
            mask = _filled(box, height, width)
        elif mask is not None and text:
            known[text] = mask
        yield None if mask is None or mask.is_empty else mask


def _filled(box: tuple[float, float, float, float], height: int, width: int) -> Rle:
    """Return the mask of a box, its borders at the nearest pixel borders, as `sequences_of` does."""
    x0, y0, x1, y1 = np.clip(np.floor(np.array(box) + 0.5), 0, [width, height, width, height]).astype(
        np.int64
    )
    mask = np.zeros((height, width), np.bool_)
    mask[y0:y1, x0:x1] = True
    return Rle.from_mask(mask)


def result_entries(sequences: SequenceSet, key: int) -> list[dict[str, Any]]:
    """Return a sequence once for each class in which its score is above 0.

    Parameters
    ----------
    sequences : SequenceSet
        Of one video.
    key : int
        The video's id.

    Returns
    -------
    list of dict
        Entries of a list of results, in the order of sequences and classes.
    """
    found = []
    for sequence in sequences.sequences:
        frames = [None if mask is None else mask.to_coco() for mask in sequence.masks]
        for column in np.flatnonzero(sequence.category_scores > 0).tolist():
            category_id = sequences.categories[column].category_id
            found.append(_entry(key, category_id, float(sequence.category_scores[column]), frames))
    return found


def _entry(key: int, category_id: int, score: float, frames: list[Any]) -> dict[str, Any]:
    return {"video_id": key, "category_id": category_id, "score": score, "segmentations": frames}


def write_results(annotations: VideoAnnotations, path: Path, companion: Path | None) -> Path:
    """Write labels as a list of results: see `evfr.annotations._ytvis.write_ytvis`.

    Parameters
    ----------
    annotations : VideoAnnotations
        Labels with masks and scores.
    path : Path
        The JSON file.
    companion : Path or None
        The annotation file whose ids and frames to use.

    Returns
    -------
    Path
        The file.

    Raises
    ------
    AnnotationError
        If an object has no mask or no score, or does not fit the companion.
    """
    numbers = {video.video_id: number for number, video in enumerate(annotations.videos, 1)}
    frames = {video.video_id: video.frame_index for video in annotations.videos}
    if companion is not None:
        head = read_companion(companion)
        head.check_categories(annotations.categories, str(path))
        numbers = {video.video_id: head.key_of(video, str(path)) for video in annotations.videos}
        frames = {name: head.videos[key].frame_index for name, key in numbers.items()}
    groups: dict[tuple[Any, ...], list[ObjectRow]] = {}
    for row, item in enumerate(annotations.objects()):
        own = row if item.track_id == NO_TRACK else None
        groups.setdefault((item.video_id, item.track_id, item.category_id, own), []).append(item)
    places = {name: {int(t): place for place, t in enumerate(index)} for name, index in frames.items()}
    data = [
        _tracked(rows, numbers[video_id], places[video_id], f"{path}: video {video_id!r}, track {track_id}")
        for (video_id, track_id, _, _), rows in groups.items()
    ]
    return dump_json(path, data)


def _tracked(rows: list[ObjectRow], key: int, places: Mapping[int, int], where: str) -> dict[str, Any]:
    masks: list[Any] = [None] * len(places)
    for row in rows:
        at = f"{where}, frame {row.frame_index}"
        if row.frame_index not in places:
            raise AnnotationError(
                f"{at}: the companion's video has no such frame; give the annotations of it"
            )
        if row.mask is None:
            raise AnnotationError(f"{at}: results are masks, and it has none; write it in another format")
        if not math.isfinite(row.score):
            raise AnnotationError(f"{at}: results need a finite score, got {row.score}; score the object")
        masks[places[row.frame_index]] = row.mask.to_coco()
    scores = {row.score for row in rows}
    score = scores.pop() if len(scores) == 1 else math.fsum(row.score for row in rows) / len(rows)
    return _entry(key, rows[0].category_id, score, masks)

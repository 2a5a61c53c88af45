"""Write lists of results of YouTube-VIS, with the ids and frames of a companion."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from evfr._core.annotations import NO_TRACK, ObjectRow, VideoAnnotations
from evfr._core.sequences import SequenceSet
from evfr.annotations._json import dump_json
from evfr.annotations._ytvis_results import read_companion
from evfr.errors import AnnotationError

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["result_entries", "write_result_entries", "write_results"]


def result_entries(
    sequences: SequenceSet, key: int, frames: NDArray[np.int64] | None = None
) -> list[dict[str, Any]]:
    """Return a sequence once for each class in which its score is above 0.

    Parameters
    ----------
    sequences : SequenceSet
        Of one video.
    key : int
        The video's id.
    frames : (F,) int64, optional
        The frames of the companion's video; those of the sequences if not given.

    Returns
    -------
    list of dict
        Entries of a list of results, in the order of sequences and classes.

    Raises
    ------
    AnnotationError
        If there is a mask on a frame that is none of ``frames``.
    """
    own = sequences.video.frame_index
    wanted = own if frames is None else frames
    places = {int(t): place for place, t in enumerate(own)}
    extra = [places[t] for t in places.keys() - set(wanted.tolist())]
    found = []
    for sequence in sequences.sequences:
        if beyond := [place for place in extra if sequence.masks[place] is not None]:
            raise AnnotationError(
                f"video {sequences.video.video_id!r}: there is a mask on frame {int(own[min(beyond)])}, which the "
                "companion's video has not; give the annotations of these frames"
            )
        at_places = [sequence.masks[places[t]] if t in places else None for t in wanted.tolist()]
        masks = [None if mask is None else mask.to_coco() for mask in at_places]
        for column in np.flatnonzero(sequence.category_scores > 0).tolist():
            category_id = sequences.categories[column].category_id
            found.append(_entry(key, category_id, float(sequence.category_scores[column]), masks))
    return found


def write_result_entries(entries: list[dict[str, Any]], path: Path) -> Path:
    """Write entries as a list of results.

    Parameters
    ----------
    entries : list of dict
        Of `result_entries`, of all videos.
    path : Path
        The JSON file.

    Returns
    -------
    Path
        The file.
    """
    return dump_json(path, entries)


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

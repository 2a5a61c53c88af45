"""Tables of scores, one row per object and frame, and how tables of several videos become one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import fields
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from evfr._core.annotations import NO_TRACK
from evfr.errors import AnnotationError

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    from evfr._core.annotations import AnnotatedVideo, VideoAnnotations

__all__ = [
    "NO_GAP",
    "check_pair",
    "check_table",
    "frames_to_score",
    "gaps_to_keys",
    "merge_tables",
    "names_to_merge",
    "paired_videos",
]

NO_GAP = -1
"""Stands for "no labelled frames were named"."""

_NAMES = ("video_ids", "categories")
T = TypeVar("T")


def names_to_merge(parts: Sequence[Any]) -> list[str]:
    """Return the videos of parts with ``video_ids`` and ``categories``, in their order.

    Raises
    ------
    ValueError
        If there is no part, or a video is in two of them.
    AnnotationError
        If two parts have different classes.
    """
    if not parts:
        raise ValueError("there is nothing to merge; give the matches of one video or more")
    names = [name for part in parts for name in part.video_ids]
    if len(set(names)) < len(names):
        raise ValueError(
            f"{len(names) - len(set(names))} videos are in several of the parts; score each video once"
        )
    for part in parts[1:]:
        if part.categories != parts[0].categories:
            raise AnnotationError(
                "parts that are merged need one list of classes; score them against one truth, or map the classes"
            )
    return names


def check_table(table: Any) -> None:
    """Check that all columns of a table are equally long and its names are in range."""
    columns = [item.name for item in fields(table) if item.name not in _NAMES]
    lengths = {name: len(getattr(table, name)) for name in columns}
    if len(set(lengths.values())) > 1:
        raise ValueError(f"the columns of a table of scores must be equally long, got {lengths}")
    for rows, names in (("video_row", table.video_ids), ("category_row", table.categories)):
        values = getattr(table, rows)
        if len(values) and not 0 <= values.min() <= values.max() < len(names):
            raise ValueError(f"{rows} must lie in 0..{len(names) - 1}")


def merge_tables(make: Callable[..., T], parts: Sequence[T]) -> T:
    """Join tables of different videos into the one that would have been made at once.

    Rows are ordered by video, object and frame, so that sums come out the same bit for bit however the videos were
    shared out.
    """
    if not parts:
        raise ValueError("there is nothing to merge; give one table of scores or more")
    tables: Sequence[Any] = parts
    videos = sorted({name for table in tables for name in table.video_ids})
    count = sum(len(table.video_ids) for table in tables)
    if count > len(videos):
        raise ValueError(f"{count - len(videos)} videos are in several of the tables; score each video once")
    categories = sorted({name for table in tables for name in table.categories})
    columns: dict[str, NDArray[Any]] = {}
    for item in fields(tables[0]):
        if item.name in _NAMES:
            continue
        values = [getattr(table, item.name) for table in tables]
        if item.name == "video_row":
            values = [
                _moved(rows, table.video_ids, videos) for rows, table in zip(values, tables, strict=True)
            ]
        elif item.name == "category_row":
            values = [
                _moved(rows, table.categories, categories) for rows, table in zip(values, tables, strict=True)
            ]
        columns[item.name] = np.concatenate(values)
    order = np.lexsort((columns["frame_index"], columns["track_id"], columns["video_row"]))
    columns = {name: values[order] for name, values in columns.items()}
    return make(video_ids=tuple(videos), categories=tuple(categories), **columns)


def _moved(rows: NDArray[np.int64], old: Sequence[str], new: Sequence[str]) -> NDArray[np.int64]:
    places = np.array([new.index(name) for name in old], np.int64)
    return places[rows] if len(rows) else np.zeros(0, np.int64)


def paired_videos(
    truth: VideoAnnotations, predicted: VideoAnnotations, video_id: str
) -> tuple[AnnotatedVideo, AnnotatedVideo]:
    """Return one video of both, after checking that they can be the same one."""
    for name, labels in (("truth", truth), ("prediction", predicted)):
        if video_id not in [video.video_id for video in labels.videos]:
            raise AnnotationError(
                f"the {name} has no video {video_id!r}; it has {[v.video_id for v in labels.videos][:20]}"
            )
    one, other = truth.video(video_id), predicted.video(video_id)
    check_pair(one, other)
    return one, other


def check_pair(one: AnnotatedVideo, other: AnnotatedVideo) -> None:
    """Refuse truth and prediction that cannot be of one video."""
    video_id = one.video_id
    if (one.width, one.height) != (other.width, other.height):
        raise AnnotationError(
            f"video {video_id!r} is {one.width}x{one.height} in the truth and {other.width}x{other.height} in the "
            "prediction; scale one of them first"
        )
    if one.content_hash and other.content_hash and one.content_hash != other.content_hash:
        raise AnnotationError(
            f"video {video_id!r}: truth and prediction were made from different files (content hashes "
            f"{one.content_hash[:12]} and {other.content_hash[:12]}); use labels of the same file"
        )


def frames_to_score(
    one: AnnotatedVideo, other: AnnotatedVideo, missing: str
) -> tuple[NDArray[np.int64], int]:
    """Return the truth's annotated frames that are scored, and how many are not because the prediction lacks them."""
    lost = np.setdiff1d(one.frame_index, other.frame_index)
    if missing not in ("fail", "skip", "empty"):
        raise ValueError(f"missing must be 'fail', 'skip' or 'empty', got {missing!r}")
    if lost.size and missing == "fail":
        raise AnnotationError(
            f"video {one.video_id!r}: the prediction says nothing about {lost.size} of {len(one.frame_index)} frames "
            f"that the truth annotates, the first is frame {int(lost[0])}; predict them, or choose to skip them or to "
            "count them as empty"
        )
    if missing == "skip":
        return np.intersect1d(one.frame_index, other.frame_index), len(lost)
    return one.frame_index, 0


def gaps_to_keys(frames: NDArray[np.int64], keys: ArrayLike | None) -> NDArray[np.int64]:
    """Return the distance of each frame to the nearest labelled one, `NO_GAP` where none is named."""
    marks = np.zeros(0, np.int64) if keys is None else np.unique(np.asarray(keys, np.int64))
    if not len(marks):
        return np.full(len(frames), NO_GAP, np.int64)
    after = np.searchsorted(marks, frames)
    right = np.abs(marks[np.minimum(after, len(marks) - 1)] - frames)
    left = np.abs(frames - marks[np.maximum(after - 1, 0)])
    gaps: NDArray[np.int64] = np.minimum(left, right)
    return gaps


def check_tracks(labels: VideoAnnotations, name: str) -> None:
    """Refuse objects that nobody follows: scores of objects over time need to know which is which."""
    lost = np.flatnonzero(labels.track_id == NO_TRACK)
    if lost.size:
        row = int(lost[0])
        raise AnnotationError(
            f"video {labels.videos[labels.video_row[row]].video_id!r}, frame {int(labels.frame_index[row])}: "
            f"the {name} has an object without a track ({lost.size} in all); give each object a track id"
        )

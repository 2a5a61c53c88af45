"""What must hold between the columns of labels, and how labels of several files are joined."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from evfr._core._annotation_parts import NO_TRACK, SOURCES, Category
from evfr.errors import AnnotationError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from evfr._core.annotations import VideoAnnotations

__all__ = ["COLUMNS", "check_rows", "concatenate", "first_twice"]

COLUMNS: dict[str, Any] = {
    "video_row": np.int64,
    "frame_index": np.int64,
    "track_id": np.int64,
    "category_id": np.int64,
    "boxes_xyxy": np.float64,
    "score": np.float64,
    "source": np.int8,
    "trust": np.float64,
    "is_crowd": np.bool_,
}


def check_rows(labels: VideoAnnotations, category_ids: Sequence[int]) -> None:
    """Raise if a row does not fit its video, its frame or the classes."""
    bounds = np.searchsorted(labels.video_row, np.arange(len(labels.videos) + 1))
    for row, video in enumerate(labels.videos):
        mine = labels.frame_index[bounds[row] : bounds[row + 1]]
        lost = mine[~np.isin(mine, video.frame_index)]
        if lost.size:
            raise AnnotationError(
                f"video {video.video_id!r}: an object lies on frame {int(lost[0])}, which is not one of its "
                f"{len(video.frame_index)} annotated frames"
            )
    unknown = ~np.isin(labels.category_id, category_ids)
    if unknown.any():
        raise _wrong(labels, unknown, f"has an unknown category, known are {sorted(category_ids)[:20]}")
    if ((labels.source < 0) | (labels.source >= len(SOURCES))).any():
        raise AnnotationError(f"source must be an index into {SOURCES}")
    boxes = labels.boxes_xyxy
    has_box = ~np.isnan(boxes).all(axis=1)
    wrong = has_box & (
        ~np.isfinite(boxes).all(axis=1) | (boxes[:, 2] < boxes[:, 0]) | (boxes[:, 3] < boxes[:, 1])
    )
    if wrong.any():
        raise _wrong(labels, wrong, "has a box that is not finite or has its corners exchanged")
    with np.errstate(invalid="ignore"):
        wrong = ~np.isnan(labels.trust) & ~((labels.trust >= 0) & (labels.trust <= 1))
    if wrong.any():
        raise _wrong(labels, wrong, "has a trust outside 0..1")
    sizes = np.array([(video.height, video.width) for video in labels.videos], np.int64).reshape(-1, 2)
    wrong = np.array(
        [
            mask is not None and (mask.height, mask.width) != tuple(sizes[labels.video_row[row]])
            for row, mask in enumerate(labels.masks)
        ],
        np.bool_,
    )
    if wrong.any():
        mask = labels.masks[int(np.flatnonzero(wrong)[0])]
        assert mask is not None
        raise _wrong(
            labels,
            wrong,
            f"has a mask of {mask.width}x{mask.height} pixels, not of its video's size; scale the labels",
        )
    followed = np.flatnonzero(labels.track_id != NO_TRACK)
    keys = np.stack([c[followed] for c in (labels.video_row, labels.frame_index, labels.track_id)], axis=1)
    _, first = np.unique(keys, axis=0, return_index=True)
    if len(first) < len(keys):
        wrong = np.zeros(len(labels), np.bool_)
        wrong[np.setdiff1d(followed, followed[first])] = True
        raise _wrong(labels, wrong, "has a track that is in this frame twice; give each object its own track")


def _wrong(labels: VideoAnnotations, rows: NDArray[np.bool_], text: str) -> AnnotationError:
    row = int(np.flatnonzero(rows)[0])
    more = int(rows.sum()) - 1
    video = labels.videos[labels.video_row[row]]
    return AnnotationError(
        f"video {video.video_id!r}, frame {int(labels.frame_index[row])}: the object with "
        f"track {int(labels.track_id[row])} and category {int(labels.category_id[row])} {text}"
        + (f" ({more} more like it)" if more else "")
    )


def concatenate(parts: Sequence[VideoAnnotations]) -> VideoAnnotations:
    """Join labels of different videos.

    Parameters
    ----------
    parts : sequence of VideoAnnotations
        One or more; a category that several have must be the same in all.

    Returns
    -------
    VideoAnnotations
        All videos and rows.

    Raises
    ------
    AnnotationError
        If two parts have a video of one name, or one category id for different classes.
    ValueError
        If there is no part.
    """
    if not parts:
        raise ValueError("there is nothing to join; give one VideoAnnotations or more")
    categories: dict[int, Category] = {}
    for part in parts:
        for category in part.categories:
            known = categories.setdefault(category.category_id, category)
            if known != category:
                raise AnnotationError(
                    f"category {category.category_id} is {known.name!r} in one file and {category.name!r} in another; "
                    "map the categories first"
                )
    starts = np.cumsum([0, *[len(part.videos) for part in parts]])
    columns = {name: np.concatenate([getattr(part, name) for part in parts]) for name in COLUMNS}
    columns["video_row"] = np.concatenate(
        [part.video_row + start for part, start in zip(parts, starts[:-1], strict=True)]
    )
    has_attributes = any(part.attributes for part in parts)
    return type(parts[0])(
        tuple(video for part in parts for video in part.videos),
        tuple(categories.values()),
        **columns,
        masks=tuple(mask for part in parts for mask in part.masks),
        attributes=tuple(item for part in parts for item in (part.attributes or ({},) * len(part)))
        if has_attributes
        else (),
    )


def first_twice(values: Sequence[Any]) -> Any:
    """Return the first value that comes a second time, or None."""
    seen = set()
    for value in values:
        if value in seen:
            return value
        seen.add(value)
    return None

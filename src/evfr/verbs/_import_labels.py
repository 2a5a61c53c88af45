"""Put the labels of a tool onto the frames of the original videos."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from evfr._core.annotations import AnnotatedVideo, Category, ObjectRow, VideoAnnotations
    from evfr.verbs._export_package import ExportFrame, ExportPackage
    from evfr.verbs._import_match import Matches

__all__ = ["Placed", "place_labels"]

Untouched = Literal["carried", "human"]
ContextLabels = Literal["drop", "keep", "fail"]
EmptyPictures = Literal["keep", "drop"]
Tracks = Literal["keep", "category"]

_SLACK = 0.02
"""Pixels by which a box may differ that nobody touched: CVAT writes two decimals."""


@dataclass(frozen=True, slots=True)
class Placed:
    """Hold labels on the frames of the original videos, and what became of the rest.

    Attributes
    ----------
    labels : VideoAnnotations
        By video of the export; those without a labelled frame are left out.
    untouched : int
        Objects that are as they were exported.
    context_pictures, context_objects : int
        Pictures of context with labels on them, and how many labels.
    empty : int
        Pictures without an object.
    new_categories : tuple of str
        Classes that the export did not have.
    untracked : int
        Objects without a track.
    """

    labels: VideoAnnotations
    untouched: int
    context_pictures: int
    context_objects: int
    empty: int
    new_categories: tuple[str, ...]
    untracked: int


def place_labels(
    labels: VideoAnnotations,
    matches: Matches,
    package: ExportPackage,
    *,
    untouched: Untouched,
    context_labels: ContextLabels,
    empty: EmptyPictures,
    tracks: Tracks,
) -> Placed:
    """Return the labels of the pictures that were found, on their frames.

    Parameters
    ----------
    labels : VideoAnnotations
        By picture.
    matches : Matches
        Which frame each picture is, in the same order.
    package : ExportPackage
        The export.
    untouched, context_labels, empty, tracks
        As in `evfr.import_`.

    Returns
    -------
    Placed
        The labels.

    Raises
    ------
    AnnotationError
        If there are labels on context and ``context_labels`` is ``"fail"``, an attribute ``track_id`` is no whole
        number, a track comes twice in a frame, or ``tracks`` is ``"category"`` and a frame has two objects of a class.
    """
    from evfr._core.annotations import NO_TRACK, VideoAnnotations

    categories, ids, new = _categories(labels.categories, package.categories)
    counts = [0] * len(labels.videos)
    for row in labels.video_row.tolist():
        counts[row] += 1
    frames = _wanted(matches, counts, context_labels, empty)
    before = _before(package, untouched)
    rows: list[ObjectRow] = []
    same = 0
    for place, row in zip(labels.video_row.tolist(), labels.objects(), strict=True):
        frame = frames[place]
        if frame is None:
            continue
        moved = replace(
            _tracked(row),
            video_id=frame.video_id,
            frame_index=frame.frame_index,
            category_id=ids[row.category_id],
        )
        old = _take_same(before.get((frame.video_id, frame.frame_index), []), moved)
        if old is not None:
            same += 1
            moved = old
        elif moved.source == "carried" and (package.labels is not None or untouched == "human"):
            moved = replace(moved, source="human", trust=float("nan"))
        rows.append(moved)
    if tracks == "category":
        rows = _track_of_category(rows, {category.category_id: category.name for category in categories})
    videos = _videos(package, [frame for frame in frames if frame is not None])
    context = [
        (picture, count)
        for picture, count in zip(matches.pictures, counts, strict=True)
        if picture.is_taken and picture.frame is not None and picture.frame.role == "context" and count
    ]
    return Placed(
        VideoAnnotations.build(videos, categories, rows),
        same,
        len(context),
        sum(count for _, count in context),
        sum(
            picture.is_taken and not count
            for picture, count in zip(matches.pictures, counts, strict=True)
            if picture.frame is not None and picture.frame.role == "label"
        ),
        new,
        sum(row.track_id == NO_TRACK for row in rows),
    )


def _wanted(
    matches: Matches, counts: Sequence[int], context_labels: ContextLabels, empty: EmptyPictures
) -> list[ExportFrame | None]:
    """Return the frame of each picture, None for those that are not taken."""
    from evfr.errors import AnnotationError

    frames: list[ExportFrame | None] = []
    for picture, count in zip(matches.pictures, counts, strict=True):
        frame = picture.frame if picture.is_taken else None
        if frame is not None and frame.role == "context":
            if count and context_labels == "fail":
                raise AnnotationError(
                    f"{picture.name!r} is context of frame {frame.of} of {frame.video_id!r}, not to be labelled, and "
                    f"has {count} labels; give context_labels 'drop' or 'keep'"
                )
            frame = frame if count and context_labels == "keep" else None
        elif frame is not None and not count and empty == "drop":
            frame = None
        frames.append(frame)
    return frames


def _categories(
    found: Sequence[Category], known: Sequence[Category]
) -> tuple[tuple[Category, ...], dict[int, int], tuple[str, ...]]:
    """Return the categories, the tool's ids to ours by name, and the names that are new."""
    by_name = {category.name: category.category_id for category in known}
    free = max((category.category_id for category in known), default=0)
    categories, ids, new = list(known), {}, []
    for category in found:
        if category.name not in by_name:
            free += 1
            by_name[category.name] = free
            categories.append(replace(category, category_id=free))
            new.append(category.name)
        ids[category.category_id] = by_name[category.name]
    return tuple(categories), ids, tuple(new)


def _before(package: ExportPackage, untouched: Untouched) -> dict[tuple[str, int], list[ObjectRow]]:
    """Return the objects that were exported, by frame; none where it does not matter who made them."""
    found: dict[tuple[str, int], list[ObjectRow]] = {}
    if package.labels is not None and untouched == "carried":
        for row in package.labels.objects():
            found.setdefault((row.video_id, row.frame_index), []).append(row)
    return found


def _take_same(before: list[ObjectRow], row: ObjectRow) -> ObjectRow | None:
    """Take out and return the exported object that this one is, if nobody changed it."""
    for place, old in enumerate(before):
        if old.category_id == row.category_id and _is_same(old, row):
            return before.pop(place)
    return None


def _is_same(old: ObjectRow, row: ObjectRow) -> bool:
    from evfr._core.annotations import NO_TRACK

    if row.track_id not in (NO_TRACK, old.track_id):
        return False
    if row.mask is not None:
        return old.mask == row.mask
    if row.box_xyxy is None:
        return False
    boxes = [old.box_xyxy]
    if old.mask is not None and not old.mask.is_empty:
        boxes.append(old.mask.box_xyxy)
    return any(box is not None and _is_near(box, row.box_xyxy) for box in boxes)


def _is_near(box: Sequence[float], other: Sequence[float]) -> bool:
    return all(abs(a - b) <= _SLACK for a, b in zip(box, other, strict=True))


def _tracked(row: ObjectRow) -> ObjectRow:
    """Return an object whose attribute ``track_id``, which many tools can hold, is its track."""
    from evfr._core.annotations import NO_TRACK
    from evfr.errors import AnnotationError

    if "track_id" not in row.attributes:
        return row
    attributes = {name: value for name, value in row.attributes.items() if name != "track_id"}
    text = str(row.attributes["track_id"]).strip()
    if row.track_id != NO_TRACK or text in ("", "None"):
        return replace(row, attributes=attributes)
    if not (text.isascii() and text.removesuffix(".0").isdigit() and len(text) < 18):
        raise AnnotationError(
            f"{row.video_id!r}: the attribute track_id of an object must be a whole number of 0 or more, got "
            f"{text!r:.80}"
        )
    return replace(row, track_id=int(text.removesuffix(".0")), attributes=attributes)


def _track_of_category(rows: Sequence[ObjectRow], names: Mapping[int, str]) -> list[ObjectRow]:
    """Give the objects without a track one for their class, where no frame has two of it."""
    from evfr._core.annotations import NO_TRACK
    from evfr.errors import AnnotationError

    free: dict[str, int] = {}
    for row in rows:
        free[row.video_id] = max(free.get(row.video_id, 0), row.track_id + 1)
    seen: dict[tuple[str, int], set[int]] = {}
    kinds: dict[tuple[str, int], set[bool]] = {}
    numbers: dict[tuple[str, int], int] = {}
    numbered = []
    for row in sorted(rows, key=lambda row: (row.video_id, row.frame_index)):
        key = (row.video_id, row.category_id)
        kinds.setdefault(key, set()).add(row.track_id == NO_TRACK)
        if len(kinds[key]) > 1:
            raise AnnotationError(
                f"{row.video_id!r}: some objects of the class {names[row.category_id]!r} have a track and some have "
                "none; give tracks='keep' and the missing ones in the tool"
            )
        if row.track_id != NO_TRACK:
            numbered.append(row)
            continue
        there = seen.setdefault((row.video_id, row.frame_index), set())
        if row.category_id in there:
            raise AnnotationError(
                f"frame {row.frame_index} of {row.video_id!r} has two objects of the class "
                f"{names[row.category_id]!r}, so that the class is no track; give tracks='keep' and tracks in the tool"
            )
        there.add(row.category_id)
        if key not in numbers:
            numbers[key] = free[row.video_id]
            free[row.video_id] += 1
        numbered.append(replace(row, track_id=numbers[key]))
    return numbered


def _videos(package: ExportPackage, frames: Sequence[ExportFrame]) -> list[AnnotatedVideo]:
    import numpy as np

    from evfr._core.annotations import AnnotatedVideo
    from evfr._core.types import PTS_NONE

    of_video: Mapping[str, list[ExportFrame]] = {video.video_id: [] for video in package.videos}
    for frame in frames:
        of_video[frame.video_id].append(frame)
    videos = []
    for source in package.videos:
        own = sorted(of_video[source.video_id], key=lambda frame: frame.frame_index)
        if own:
            videos.append(
                AnnotatedVideo(
                    source.video_id,
                    source.width,
                    source.height,
                    np.array([frame.frame_index for frame in own], np.int64),
                    np.array([PTS_NONE if frame.pts is None else frame.pts for frame in own], np.int64),
                    own[0].time_base,
                    source.frame_count,
                    source.digest,
                    source.path,
                    tuple(frame.name for frame in own),
                )
            )
    return videos

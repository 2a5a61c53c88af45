"""YouTube-VIS: one annotation an object and video, with a list entry for every frame (Yang et al. 2019)."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from evfr._core.annotations import NO_TRACK, AnnotatedVideo, ObjectRow, VideoAnnotations
from evfr._core.types import PTS_NONE
from evfr.annotations._coco_fields import (
    box_from_coco,
    box_to_coco,
    categories_from_coco,
    categories_to_coco,
    extra_of,
    finite_fields,
    mask_from_coco,
    source_and_trust,
    video_to_coco,
)
from evfr.annotations._json import (
    attributes_of,
    dump_json,
    entries,
    finite,
    load_json,
    peek_json,
    whole,
)
from evfr.annotations._numbering import NamePattern, Numbering
from evfr.annotations._paths import safe_name
from evfr.annotations._ytvis_results_write import write_results
from evfr.annotations._ytvis_videos import frame_list, videos_of
from evfr.errors import AnnotationError

__all__ = ["read_ytvis", "recognises_ytvis", "write_ytvis"]


def read_ytvis(
    path: str | Path,
    *,
    companion: str | Path | None = None,
    pattern: str | None = None,
    start: int = 0,
    stride: int = 1,
    first_frame: int = 0,
) -> VideoAnnotations:
    """Read YouTube-VIS (also OVIS, BURST-like) annotations or a list of results (Yang et al. 2019).

    Parameters
    ----------
    path : str or Path
        The JSON file: an object with ``videos``, ``annotations``, ``categories``, or a list of results.
    companion : str or Path, optional
        The annotation file that names the videos and categories of a list of results.
    pattern : str, optional
        The frame is the number in each of ``file_names``, as in ``"{video}/{frame}.jpg"``; otherwise it is the place
        in the list, which is how the format counts.
    start, stride, first_frame : int
        Number or place n is frame ``first_frame + (n - start) * stride``.

    Returns
    -------
    VideoAnnotations
        All frames of ``file_names`` are annotated. Videos are named by ``name``, by the folder of their files, or by
        their id. Tracks are the annotations' ids; results, which have none, are numbered from 1 in file order.

    Raises
    ------
    AnnotationError
        If an entry is wrong: the text names it. A list that is not as long as its video's ``file_names`` is an error.

    Notes
    -----
    null in both ``segmentations`` and ``bboxes`` means that the object is not there; run lengths without any pixel
    are an empty mask of an object that is. Files that evfr wrote state their frames, which ``pattern`` overrides.
    """
    path = Path(path)
    data = load_json(path)
    is_results = isinstance(data, list)
    if is_results and companion is None:
        raise AnnotationError(
            f"{path} is a list of results without videos and categories; give companion=, the annotation file"
        )
    head_path = Path(companion) if is_results and companion is not None else path
    head = load_json(head_path) if is_results else data
    shape = NamePattern(pattern) if pattern else None
    videos = videos_of(head, head_path, shape, Numbering(start, stride, first_frame))
    categories = categories_from_coco(head, str(head_path))
    known = {category.category_id for category in categories}
    key = "results" if is_results else "annotations"
    found = entries({key: data} if is_results else data, key, str(path))
    rows: list[ObjectRow] = []
    for number, entry in enumerate(found):
        where = f"{path}: {key[:-1]} {number}"
        video_key = whole(entry, "video_id", where)
        if video_key not in videos:
            raise AnnotationError(f"{where}: video_id {video_key} is none of the file's videos")
        category = whole(entry, "category_id", where)
        if category not in known:
            raise AnnotationError(
                f"{where}: category_id {category} is none of the file's categories {sorted(known)[:20]}"
            )
        rows += _objects(entry, where, videos[video_key], category, number + 1 if is_results else None)
    try:
        return VideoAnnotations.build(list(videos.values()), categories, rows)
    except AnnotationError as error:
        raise AnnotationError(f"{path}: {error}") from error


def recognises_ytvis(path: Path) -> bool:
    """Whether a JSON file has videos, annotations and categories, and no images."""
    kind, keys = peek_json(path)
    return kind is dict and {"videos", "annotations", "categories"} <= keys and "images" not in keys


def _objects(
    entry: Mapping[str, Any], where: str, video: AnnotatedVideo, category: int, number: int | None
) -> Iterator[ObjectRow]:
    n = len(video.frame_index)
    masks = frame_list(entry, "segmentations", n, where)
    boxes = frame_list(entry, "bboxes", n, where)
    if masks is None and boxes is None:
        raise AnnotationError(f"{where}: it has neither segmentations nor bboxes")
    extra = extra_of(entry, where)
    if number is None:
        track = (
            whole(extra, "track_id", where, low=NO_TRACK)
            if "track_id" in extra
            else whole(entry, "id", where)
        )
    else:
        track = number
    crowd = entry.get("iscrowd", 0)
    if crowd not in (0, 1):
        raise AnnotationError(f"{where}: iscrowd must be 0 or 1, got {crowd!r:.80}")
    has_score = number is not None or entry.get("score") is not None
    score = finite(entry.get("score"), "score", where) if has_score else math.nan
    details = frame_list(extra, "frames", n, where)
    for place in range(n):
        at = f"{where}, frame {place}"
        detail = extra_of({"evfr": (details[place] if details else None) or {}}, at)
        has_box = detail.get("has_box", True)
        box = box_from_coco(boxes[place], at) if boxes is not None and has_box else None
        mask = mask_from_coco(masks[place], video.height, video.width, at) if masks is not None else None
        if box is None and mask is None:
            continue
        source, trust = source_and_trust(detail, "human" if number is None else "detected", at)
        own = detail.get("score")
        yield ObjectRow(
            video.video_id,
            int(video.frame_index[place]),
            category,
            track,
            box,
            mask,
            score if own is None else finite(own, "score", at),
            source,
            trust,
            bool(crowd),
            attributes_of(detail.get("attributes"), at),
        )


def write_ytvis(
    annotations: VideoAnnotations,
    path: str | Path,
    *,
    pattern: str = "{video}/{frame:05d}.jpg",
    results: bool = False,
    companion: str | Path | None = None,
) -> Path:
    """Write YouTube-VIS annotations, or a list of results that its evaluation reads (Yang et al. 2019).

    Parameters
    ----------
    annotations : VideoAnnotations
        The labels.
    path : str or Path
        The JSON file.
    pattern : str
        ``file_names`` of frames that have none.
    results : bool
        Write a list of results: of each track and class its video, category, score, and a mask or null for each frame.
    companion : str or Path, optional
        Of a list of results: the annotation file whose ids and frames it uses. Otherwise videos are numbered from 1,
        as in annotations that are written from the same labels.

    Returns
    -------
    Path
        The file.

    Raises
    ------
    AnnotationError
        If an object has neither box nor mask, a value is not finite where JSON needs it, or a name is not safe. Of
        results: if an object has no mask or no score, or does not fit the companion.
    ValueError
        If there is a companion, but not of results.

    Notes
    -----
    ``file_names`` are the annotated frames. An object without a track, or a track that changes its category, makes
    several annotations, because one has one category. What the format lacks stands under ``evfr``.

    A list of results has one score for a track: that of its rows, or their mean where they differ. It has no place
    for boxes, sources, trust, crowds, attributes, nor for the videos and categories, which are the companion's.
    """
    if results:
        return write_results(annotations, Path(path), None if companion is None else Path(companion))
    if companion is not None:
        raise ValueError("companion belongs to results=True; annotations say their own videos and categories")
    path = Path(path)
    shape = NamePattern(pattern)
    videos = []
    places: dict[tuple[str, int], int] = {}
    numbers: dict[str, int] = {}
    for number, video in enumerate(annotations.videos, 1):
        index = video.frame_index.tolist()
        files = video.file_names or tuple(shape.format(video.video_id, frame) for frame in index)
        extra = video_to_coco(video).get("evfr", {}) | {"frame_index": index}
        if video.time_base is not None:
            extra["pts"] = [None if pts == PTS_NONE else pts for pts in video.pts.tolist()]
        numbers[video.video_id] = number
        places.update({(video.video_id, frame): place for place, frame in enumerate(index)})
        videos.append(
            {
                "id": number,
                "name": video.video_id,
                "width": video.width,
                "height": video.height,
                "length": len(index),
                "file_names": [safe_name(name, f"{path}: video {video.video_id!r}") for name in files],
                "evfr": extra,
            }
        )
    groups: dict[tuple[Any, ...], list[ObjectRow]] = {}
    for row, item in enumerate(annotations.objects()):
        own = row if item.track_id == NO_TRACK else None
        groups.setdefault((item.video_id, item.track_id, item.category_id, item.is_crowd, own), []).append(
            item
        )
    lengths = {video.video_id: len(video.frame_index) for video in annotations.videos}
    data = {
        "videos": videos,
        "annotations": [
            _annotation(group, number, numbers, places, lengths, path)
            for number, group in enumerate(groups.values(), 1)
        ],
        "categories": categories_to_coco(annotations.categories, str(path)),
    }
    return dump_json(path, data)


def _annotation(
    group: list[ObjectRow],
    number: int,
    numbers: Mapping[str, int],
    places: Mapping[tuple[str, int], int],
    lengths: Mapping[str, int],
    path: Path,
) -> dict[str, Any]:
    first = group[0]
    n = lengths[first.video_id]
    masks: list[Any] = [None] * n
    boxes, areas, details = masks.copy(), masks.copy(), masks.copy()
    for row in group:
        where = f"{path}: track {row.track_id} on frame {row.frame_index} of {row.video_id!r}"
        place = places[row.video_id, row.frame_index]
        boxes[place] = box = box_to_coco(row.box_xyxy, row.mask, where)
        masks[place] = None if row.mask is None else row.mask.to_coco()
        areas[place] = box[2] * box[3] if row.mask is None else row.mask.area
        detail: dict[str, Any] = finite_fields(where, score=row.score, trust=row.trust)
        if row.source != "human":
            detail["source"] = row.source
        if row.box_xyxy is None:
            detail["has_box"] = False
        if row.attributes:
            detail["attributes"] = attributes_of(dict(row.attributes), where)
        details[place] = detail or None
    extra: dict[str, Any] = {"track_id": first.track_id}
    if any(details):
        extra["frames"] = details
    return {
        "id": number,
        "video_id": numbers[first.video_id],
        "category_id": first.category_id,
        "iscrowd": int(first.is_crowd),
        "length": n,
        "segmentations": masks,
        "bboxes": boxes,
        "areas": areas,
        "evfr": extra,
    }

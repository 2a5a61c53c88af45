"""Write Label Studio JSON."""

from __future__ import annotations

import math
from collections import defaultdict
from pathlib import Path
from typing import Any, Literal

from evfr._core.annotations import NO_TRACK, AnnotatedVideo, ObjectRow, VideoAnnotations
from evfr.annotations._json import dump_json
from evfr.annotations._label_studio_brush import encode_brush
from evfr.annotations._parse import extra_facts, only_video
from evfr.errors import AnnotationError

__all__ = ["write_label_studio"]


def write_label_studio(
    annotations: VideoAnnotations,
    path: Path,
    *,
    mode: Literal["video", "images"] = "video",
    control: str = "box",
    target: str | None = None,
) -> Path:
    """Write tasks with annotations that Label Studio imports.

    Parameters
    ----------
    annotations : VideoAnnotations
        Any number of videos (images: one).
    path : Path
        The JSON file.
    mode : {"video", "images"}
        ``"video"``: a task for each video, boxes tracked through it (``VideoRectangle``); each label is a key frame,
        and an object is not enabled where the next frame has no label of it. ``"images"``: a task for each annotated
        frame; masks become brushes, other objects boxes.
    control : str
        Name of the control tag in the labelling configuration (``from_name``).
    target : str or None
        Name of the video or image tag (``to_name``); None: the mode's own name.

    Returns
    -------
    Path
        ``path``.

    Raises
    ------
    AnnotationError
        If an object has neither box nor mask, a mask is to stand in a video task, a track changes its category, or
        images are asked for of several videos.
    ValueError
        If ``mode`` is not allowed.
    StoreError
        If the file cannot be written.

    Notes
    -----
    What Label Studio has no field for (annotated frames, sizes, attributes, source, trust) stands under ``evfr`` in the
    task's data and in key frames or the region's meta, and comes back from files that were not labelled on since.
    """
    if mode not in ("video", "images"):
        raise ValueError(f"mode must be 'video' or 'images', got {mode!r}")
    path = Path(path)
    labels = {category.category_id: category.name for category in annotations.categories}
    names = {"from_name": control, "to_name": target or ("video" if mode == "video" else "image")}
    rows: dict[str, list[ObjectRow]] = defaultdict(list)
    for row in annotations.objects():
        if row.box_xyxy is None and row.mask is None:
            raise AnnotationError(f"{_where(row)}: the object has neither box nor mask; leave it out")
        rows[row.video_id].append(row)
    if mode == "images":
        video = only_video(annotations.videos, path, "label-studio")
        return dump_json(path, _image_tasks(video, rows[video.video_id], labels, names))
    return dump_json(
        path, [_video_task(video, rows[video.video_id], labels, names) for video in annotations.videos]
    )


def _where(row: ObjectRow) -> str:
    return f"video {row.video_id!r}, frame {row.frame_index}, track {row.track_id}"


def _own(video: AnnotatedVideo) -> dict[str, Any]:
    return {"video_id": video.video_id, "width": video.width, "height": video.height}


def _percent(box: tuple[float, float, float, float], video: AnnotatedVideo) -> dict[str, float]:
    x0, y0, x1, y1 = box
    across, down = 100 / video.width, 100 / video.height
    return {
        "x": x0 * across,
        "y": y0 * down,
        "width": (x1 - x0) * across,
        "height": (y1 - y0) * down,
        "rotation": 0,
    }


def _video_task(
    video: AnnotatedVideo, rows: list[ObjectRow], labels: dict[int, str], names: dict[str, str]
) -> dict[str, Any]:
    count = video.frame_count or int(max(video.frame_index, default=-1)) + 1
    of_track: dict[int, list[ObjectRow]] = defaultdict(list)
    free = max((row.track_id for row in rows), default=0) + 1
    for row in rows:
        key = row.track_id
        if key == NO_TRACK:
            key, free = free, free + 1
        elif key < 0:
            raise AnnotationError(f"{_where(row)}: track ids are 0 or more here")
        of_track[key].append(row)
    results = []
    for track, members in sorted(of_track.items()):
        sequence = []
        for place, row in enumerate(members):
            if row.box_xyxy is None or row.mask is not None:
                raise AnnotationError(
                    f"{_where(row)}: Label Studio tracks boxes, this object has a mask; write mode='images', or "
                    "its boxes only"
                )
            if row.category_id != members[0].category_id:
                raise AnnotationError(
                    f"{_where(row)}: the track changes from {labels[members[0].category_id]!r} to "
                    f"{labels[row.category_id]!r}, but a region has one label"
                )
            is_followed = place + 1 < len(members) and members[place + 1].frame_index == row.frame_index + 1
            is_last = row.frame_index == count - 1
            entry: dict[str, Any] = {
                "frame": row.frame_index + 1,
                "enabled": is_followed or is_last,
                **_percent(row.box_xyxy, video),
            }
            if row.source == "interpolated":
                entry["auto"] = True
            facts = extra_facts(row, "trust", "score", "is_crowd", "untracked", *_source_of(row))
            if facts:
                entry["evfr"] = facts
            sequence.append(entry)
        value = {"framesCount": count, "sequence": sequence, "labels": [labels[members[0].category_id]]}
        results.append(
            {"id": f"evfr-{track}", "type": "videorectangle", "origin": "manual", "value": value, **names}
        )
    own = {**_own(video), "frames": video.frame_index.tolist(), "frame_count": video.frame_count}
    data = {"video": video.path or video.video_id, "evfr": own}
    return {"data": data, "annotations": [{"result": results}]}


def _source_of(row: ObjectRow) -> tuple[str, ...]:
    return () if row.source == "interpolated" else ("source",)


def _image_tasks(
    video: AnnotatedVideo, rows: list[ObjectRow], labels: dict[int, str], names: dict[str, str]
) -> list[dict[str, Any]]:
    of_frame: dict[int, list[ObjectRow]] = defaultdict(list)
    for row in rows:
        of_frame[row.frame_index].append(row)
    tasks = []
    for place, frame in enumerate(video.frame_index.tolist()):
        results = []
        for number, row in enumerate(of_frame[frame]):
            if row.mask is not None:
                kind = "brushlabels"
                value: dict[str, Any] = {"format": "rle", "rle": encode_brush(row.mask)}
            else:
                assert row.box_xyxy is not None  # checked before
                kind = "rectanglelabels"
                value = dict(_percent(row.box_xyxy, video))
            if row.track_id < NO_TRACK:
                raise AnnotationError(f"{_where(row)}: track ids are 0 or more here")
            value[kind] = [labels[row.category_id]]
            result: dict[str, Any] = {
                "id": f"untracked-{number}" if row.track_id == NO_TRACK else f"evfr-{row.track_id}",
                "type": kind,
                "origin": "manual",
                "original_width": video.width,
                "original_height": video.height,
                "image_rotation": 0,
                "value": value,
                **names,
            }
            if not math.isnan(row.score):
                result["score"] = row.score
            facts = extra_facts(row, "source", "trust", "is_crowd", "box")
            if facts:
                result["meta"] = {"evfr": facts}
            results.append(result)
        own = {**_own(video), "frame": frame, "is_file": bool(video.file_names)}
        file = video.file_names[place] if video.file_names else f"{video.video_id}-{frame:07d}"
        tasks.append({"data": {"image": file, "evfr": own}, "annotations": [{"result": results}]})
    return tasks

"""Write CVAT XML 1.1."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path
from typing import Literal

import numpy as np

from evfr._core.annotations import NO_TRACK, AnnotatedVideo, ObjectRow, VideoAnnotations
from evfr._core.atomic import atomic_write_bytes
from evfr.annotations._cvat_shapes import crop_runs
from evfr.annotations._parse import extra_facts, only_video, plain
from evfr.annotations._xml import tag
from evfr.errors import AnnotationError

__all__ = ["write_cvat"]

_NO_FIELD = ("trust", "score", "is_crowd", "box")


def write_cvat(
    annotations: VideoAnnotations, path: Path, *, mode: Literal["video", "images"] = "video"
) -> Path:
    """Write one video as "CVAT for video 1.1" or "CVAT for images 1.1".

    Parameters
    ----------
    annotations : VideoAnnotations
        One video. An object with a mask is written as a mask, others as boxes; source, trust, score, crowds and the
        box beside a mask become attributes named ``evfr_...`` where they say something.
    path : Path
        The XML file.
    mode : {"video", "images"}
        ``"video"``: tracks; the annotated frames must lie at equal steps, for a CVAT task has no others. A track is
        closed (outside) where the next annotated frame does not have it. Labels that were interpolated are no key
        frames: CVAT fills them in again on import. ``"images"``: a list of any frames, tracks as attribute
        ``track_id``.

    Returns
    -------
    Path
        ``path``.

    Raises
    ------
    AnnotationError
        If there is not exactly one video, an object has neither box nor mask, a track changes its category, frames lie
        at unequal steps (video), or a text has a control character.
    ValueError
        If ``mode`` is not allowed.
    StoreError
        If the file cannot be written.
    """
    if mode not in ("video", "images"):
        raise ValueError(f"mode must be 'video' or 'images', got {mode!r}")
    path = Path(path)
    video = only_video(annotations.videos, path, "cvat")
    rows = list(annotations.objects())
    labels = {category.category_id: category.name for category in annotations.categories}
    facts = [_facts(row, mode) for row in rows]
    lines = ['<?xml version="1.0" encoding="utf-8"?>', "<annotations>", tag("version", {}, "1.1")]
    lines += _head(video, annotations, mode, rows, facts)
    lines += _tracks(video, rows, facts, labels) if mode == "video" else _images(video, rows, facts, labels)
    lines.append("</annotations>\n")
    atomic_write_bytes(path, "\n".join(lines).encode("utf-8"))
    return path


Facts = dict[str, str | int | float | bool]


def _facts(row: ObjectRow, mode: str) -> Facts:
    if row.box_xyxy is None and row.mask is None:
        raise AnnotationError(
            f"video {row.video_id!r}, frame {row.frame_index}, track {row.track_id}: the object has neither box nor "
            "mask; leave it out"
        )
    fields = {*_NO_FIELD, "source", "untracked"}
    if mode == "images":
        fields.remove("untracked")
    elif row.source == "interpolated":
        fields.remove("source")  # said by keyframe="0"
    facts = extra_facts(row, *sorted(fields))
    if mode == "images" and row.track_id != NO_TRACK:
        facts["track_id"] = row.track_id
    return facts


def _head(
    video: AnnotatedVideo, annotations: VideoAnnotations, mode: str, rows: list[ObjectRow], facts: list[Facts]
) -> list[str]:
    frames = _numbers(video) if mode == "video" else range(len(video.frame_index))
    kinds: dict[int, dict[str, set[str]]] = defaultdict(lambda: defaultdict(set))
    for row, extra in zip(rows, facts, strict=True):
        for name, value in extra.items():
            if not _is_field(name, value):
                kinds[row.category_id][name].add(_kind(value))
    lines = ["<meta>", "<task>", tag("name", {}, video.video_id), tag("size", {}, str(len(frames)))]
    lines.append(tag("mode", {}, "interpolation" if mode == "video" else "annotation"))
    if mode == "video" and frames:
        lines += [tag("start_frame", {}, str(frames.start)), tag("stop_frame", {}, str(frames[-1]))]
        lines.append(tag("frame_filter", {}, f"step={frames.step}"))
    lines.append("<labels>")
    for category in annotations.categories:
        lines += ["<label>", tag("name", {}, category.name), "<attributes>"]
        for name, found in kinds[category.category_id].items():
            kind = found.pop() if len(found) == 1 else "text"
            lines += ["<attribute>", tag("name", {}, name), tag("mutable", {}, "True")]
            lines += [
                tag("input_type", {}, kind),
                tag("default_value", {}, ""),
                tag("values", {}, ""),
                "</attribute>",
            ]
        lines += ["</attributes>", "</label>"]
    lines += ["</labels>", "<original_size>", tag("width", {}, str(video.width))]
    return [*lines, tag("height", {}, str(video.height)), "</original_size>", "</task>", "</meta>"]


def _kind(value: str | int | float | bool) -> str:
    return "checkbox" if isinstance(value, bool) else "text" if isinstance(value, str) else "number"


def _is_field(name: str, value: object) -> bool:
    """Whether CVAT has a field of its own for this attribute."""
    return (name == "occluded" and value is True) or (
        name == "z_order" and isinstance(value, int) and not isinstance(value, bool) and value != 0
    )


def _numbers(video: AnnotatedVideo) -> range:
    index = video.frame_index.tolist()
    if not index:
        return range(0)
    steps = np.unique(np.diff(index))
    if len(steps) > 1:
        raise AnnotationError(
            f"video {video.video_id!r}: its annotated frames lie {', '.join(map(str, steps.tolist()[:5]))} apart, but "
            "a CVAT task has equal steps; write mode='images', which lists any frames"
        )
    return range(index[0], index[-1] + 1, int(steps[0]) if len(steps) else 1)


def _shape(row: ObjectRow, facts: Facts, fields: Mapping[str, str]) -> str:
    """Return the element of one object with its attributes."""
    own = {name: value for name, value in facts.items() if _is_field(name, value)}
    attributes = {
        **fields,
        "occluded": str(int(bool(own.get("occluded", False)))),
        "z_order": str(own.get("z_order", 0)),
    }
    if row.mask is not None:
        name = "mask"
        attributes.update(crop_runs(row.mask))
    else:
        name = "box"
        assert row.box_xyxy is not None  # checked with the facts
        attributes.update(zip(("xtl", "ytl", "xbr", "ybr"), map(plain, row.box_xyxy), strict=True))
    children = [
        tag("attribute", {"name": key}, _value(value)) for key, value in facts.items() if key not in own
    ]
    return "\n".join([tag(name, attributes, is_open=True), *children, f"</{name}>"])


def _value(value: str | int | float | bool) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return value if isinstance(value, str) else repr(value)


def _tracks(
    video: AnnotatedVideo, rows: list[ObjectRow], facts: list[Facts], labels: Mapping[int, str]
) -> list[str]:
    frames = video.frame_index.tolist()
    following = dict(pairwise(frames))
    of_track: dict[int, list[int]] = defaultdict(list)
    free = max((row.track_id for row in rows), default=-1) + 1
    for place, row in enumerate(rows):
        key = row.track_id
        if key == NO_TRACK:
            key, free = free, free + 1
        elif key < 0:
            raise AnnotationError(f"video {video.video_id!r}: CVAT's track ids are 0 or more, got {key}")
        of_track[key].append(place)
    lines = []
    for track, places in sorted(of_track.items()):
        first = rows[places[0]]
        lines.append(
            tag(
                "track",
                {"id": str(track), "label": labels[first.category_id], "source": "manual"},
                is_open=True,
            )
        )
        for at, place in enumerate(places):
            row = rows[place]
            if row.category_id != first.category_id:
                raise AnnotationError(
                    f"video {row.video_id!r}, frame {row.frame_index}: track {track} changes from "
                    f"{labels[first.category_id]!r} to {labels[row.category_id]!r}, but a track of CVAT has one label"
                )
            keyframe = str(int(row.source != "interpolated"))
            fields = {"frame": str(row.frame_index), "keyframe": keyframe, "outside": "0"}
            lines.append(_shape(row, facts[place], fields))
            after = following.get(row.frame_index)
            has_after = at + 1 < len(places) and rows[places[at + 1]].frame_index == after
            if after is not None and not has_after:
                lines.append(_shape(row, {}, {"frame": str(after), "keyframe": "1", "outside": "1"}))
        lines.append("</track>")
    return lines


def _images(
    video: AnnotatedVideo, rows: list[ObjectRow], facts: list[Facts], labels: Mapping[int, str]
) -> list[str]:
    of_frame: dict[int, list[int]] = defaultdict(list)
    for place, row in enumerate(rows):
        of_frame[row.frame_index].append(place)
    lines = []
    for at, frame in enumerate(video.frame_index.tolist()):
        name = video.file_names[at] if video.file_names else f"frame_{frame:06d}"
        size = {"width": str(video.width), "height": str(video.height)}
        lines.append(tag("image", {"id": str(frame), "name": name, **size}, is_open=True))
        lines += [
            _shape(rows[place], facts[place], {"label": labels[rows[place].category_id], "source": "manual"})
            for place in of_frame[frame]
        ]
        lines.append("</image>")
    return lines

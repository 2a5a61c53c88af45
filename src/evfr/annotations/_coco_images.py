"""The images of a COCO file: which frame of which video each is."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from evfr._core.annotations import AnnotatedVideo
from evfr._core.natural import natural_key
from evfr._core.types import PTS_NONE
from evfr.annotations._coco_fields import extra_of, video_from_coco
from evfr.annotations._json import entries, optional_text, whole
from evfr.annotations._numbering import NamePattern, Numbering
from evfr.annotations._paths import safe_name
from evfr.errors import AnnotationError

__all__ = ["Image", "group_videos", "ordered", "read_images", "video_names"]


@dataclass(frozen=True, slots=True)
class Image:
    """One image of the file and the frame it is."""

    video_id: str
    frame_index: int
    pts: int
    width: int
    height: int
    file_name: str


def video_names(head: Any, path: Path) -> dict[int, str]:
    """Return the name of each video of the file by its id."""
    if not isinstance(head, dict) or "videos" not in head:
        return {}
    names: dict[int, str] = {}
    for number, entry in enumerate(entries(head, "videos", str(path))):
        where = f"{path}: video {number}"
        key = whole(entry, "id", where)
        if key in names:
            raise AnnotationError(f"{where}: the id {key} is taken by a video before it")
        names[key] = (
            optional_text(entry, "name", where) or optional_text(entry, "file_name", where) or str(key)
        )
    return names


def read_images(
    head: Any,
    path: Path,
    names: Mapping[int, str],
    default: str,
    pattern: NamePattern | None,
    parse: Callable[[str], Any] | None,
    stills: bool,
    by_order: bool,
    numbering: Numbering,
) -> dict[int, Image]:
    """Return the images of the file by their ids; frame -1 where nothing says which frame an image is."""
    images: dict[int, Image] = {}
    for number, entry in enumerate(entries(head, "images", str(path))):
        where = f"{path}: image {number}"
        key = whole(entry, "id", where)
        if key in images:
            raise AnnotationError(f"{where}: the id {key} is taken by an image before it")
        name = safe_name(entry["file_name"], where) if entry.get("file_name") is not None else ""
        video = default
        if entry.get("video_id") is not None and not stills:
            video_key = whole(entry, "video_id", where)
            if video_key not in names:
                raise AnnotationError(f"{where}: video_id {video_key} is none of the file's videos")
            video = names[video_key]
        elif names and not (pattern or parse or stills):
            raise AnnotationError(f"{where}: the file has videos, but this image has no video_id")
        extra = extra_of(entry, where)
        pts = PTS_NONE if extra.get("pts") is None else whole(extra, "pts", where, low=-(2**63) + 1)
        if stills:
            video, index = name or str(key), 0
        elif pattern is not None:
            said = pattern.parse(name)
            if said is None:
                raise AnnotationError(f"{where}: the name {name!r} does not fit pattern={pattern.pattern!r}")
            video = said[0] or video
            index = numbering.index_of(said[1], where)
        elif parse is not None:
            try:
                named, index, pts = parse(name.rsplit("/", 1)[-1])
            except ValueError as error:
                raise AnnotationError(f"{where}: {error}") from error
            video = named or video
        elif not by_order and (key_name := _frame_key(entry)):
            index = numbering.index_of(whole(entry, key_name, where), where)
        else:
            index = -1  # by_order gives it later, or the caller hears what to give
        width, height = whole(entry, "width", where, low=1), whole(entry, "height", where, low=1)
        images[key] = Image(video, index, pts, width, height, name)
    return images


def ordered(images: Mapping[int, Image]) -> dict[int, Image]:
    """Number the images of each video 0, 1, 2, ... in natural order of their names."""
    order = sorted(images, key=lambda key: (images[key].video_id, natural_key(images[key].file_name)))
    counts: dict[str, int] = {}
    placed = {}
    for key in order:
        index = counts.get(images[key].video_id, 0)
        counts[images[key].video_id] = index + 1
        placed[key] = replace(images[key], frame_index=index)
    return placed


def group_videos(
    images: Mapping[int, Image], names: Mapping[int, str], head: Mapping[str, Any], path: Path
) -> list[AnnotatedVideo]:
    """Gather the images into videos of one size and different frames."""
    facts: dict[str, dict[str, Any]] = {}
    sizes: dict[str, tuple[int, int]] = {}
    for number, entry in enumerate(head.get("videos", ())):
        where = f"{path}: video {number}"
        name = names[entry["id"]]
        if name in facts:
            raise AnnotationError(f"{where}: the name {name!r} is taken by a video before it")
        facts[name] = video_from_coco(entry, where)
        if entry.get("width") is not None and entry.get("height") is not None:
            sizes[name] = (whole(entry, "width", where, low=1), whole(entry, "height", where, low=1))
    groups: dict[str, list[Image]] = {name: [] for name in facts}
    for image in images.values():
        groups.setdefault(image.video_id, []).append(image)
    videos = []
    for name, group in groups.items():
        where = f"{path}: video {name!r}"
        frames = sorted(group, key=lambda image: image.frame_index)
        if frames and frames[0].frame_index < 0:
            raise AnnotationError(
                f"{path}: nothing says which frame the image {frames[0].file_name!r} is; give pattern=, parse= (for "
                "images that evfr extract wrote), by_order=True (frames 0, 1, 2, ... by name) or stills=True"
            )
        if not frames and name not in sizes:
            raise AnnotationError(f"{where} has no image and no size; leave it out or give width and height")
        size = sizes.get(name) or (frames[0].width, frames[0].height)
        for before, image in zip([None, *frames], frames, strict=False):
            if before is not None and before.frame_index == image.frame_index:
                raise AnnotationError(
                    f"{where}: the images {before.file_name!r} and {image.file_name!r} are both frame "
                    f"{image.frame_index}; give pattern= or another rule"
                )
            if (image.width, image.height) != size:
                raise AnnotationError(
                    f"{where}: the image {image.file_name!r} has {image.width}x{image.height} pixels, the video "
                    f"{size[0]}x{size[1]}; frames of one video have one size (stills=True for single pictures)"
                )
        # pts in the names of extracted frames have no time base here; `bind` checks them against the video.
        is_untimed = facts.get(name, {}).get("time_base") is None
        has_files = facts.get(name, {}).pop("has_files", True) and all(image.file_name for image in frames)
        try:
            videos.append(
                AnnotatedVideo(
                    name,
                    *size,
                    np.array([image.frame_index for image in frames], np.int64),
                    np.array([PTS_NONE if is_untimed else image.pts for image in frames], np.int64),
                    file_names=tuple(image.file_name for image in frames) if has_files else (),
                    **facts.get(name, {}),
                )
            )
        except AnnotationError as error:
            raise AnnotationError(f"{path}: {error}") from error
    return videos


def _frame_key(entry: Mapping[str, Any]) -> str | None:
    return next((key for key in ("frame_id", "frame_index") if entry.get(key) is not None), None)

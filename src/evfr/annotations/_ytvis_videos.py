"""What YouTube-VIS annotations and results share: the videos of a file, and lists with an entry for every frame."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from evfr._core.annotations import AnnotatedVideo
from evfr._core.types import PTS_NONE
from evfr.annotations._coco_fields import extra_of, video_from_coco
from evfr.annotations._json import entries, optional_text, whole
from evfr.annotations._numbering import NamePattern, Numbering
from evfr.annotations._paths import safe_name
from evfr.errors import AnnotationError

__all__ = ["frame_list", "videos_of"]


def videos_of(
    head: Any, path: Path, pattern: NamePattern | None, numbering: Numbering
) -> dict[int, AnnotatedVideo]:
    """Return the videos of a file by their ids."""
    videos: dict[int, AnnotatedVideo] = {}
    for number, entry in enumerate(entries(head, "videos", str(path))):
        where = f"{path}: video {number}"
        key = whole(entry, "id", where)
        if key in videos:
            raise AnnotationError(f"{where}: the id {key} is taken by a video before it")
        files = entry.get("file_names")
        if not isinstance(files, list):
            raise AnnotationError(f"{where}: file_names must be a list, got {type(files).__name__}")
        files = [safe_name(name, where) for name in files]
        folders = {name.rpartition("/")[0] for name in files}
        name = optional_text(entry, "name", where) or (folders.pop() if len(folders) == 1 else "") or str(key)
        extra = extra_of(entry, where)
        stated = _stated(extra, "frame_index", len(files), where)
        if pattern is not None:
            index = [_number(pattern, numbering, file, where) for file in files]
        elif stated is not None:
            index = stated
        else:
            index = [numbering.index_of(place + numbering.start, where) for place in range(len(files))]
        pts = _stated(extra, "pts", len(files), where) or [None] * len(files)
        facts = video_from_coco(entry, where)
        has_files = facts.pop("has_files")
        try:
            videos[key] = AnnotatedVideo(
                name,
                whole(entry, "width", where, low=1),
                whole(entry, "height", where, low=1),
                np.array(index, np.int64),
                np.array([PTS_NONE if value is None else value for value in pts], np.int64),
                file_names=tuple(files) if has_files else (),
                **facts,
            )
        except AnnotationError as error:
            raise AnnotationError(f"{path}: {error}") from error
    return videos


def frame_list(entry: Mapping[str, Any], key: str, n: int, where: str) -> list[Any] | None:
    """Return ``entry[key]``, which must have one entry for each of n frames; None where there is no list."""
    values = entry.get(key)
    if values is None:
        return None
    if not isinstance(values, list) or len(values) != n:
        got = f"{len(values)} entries" if isinstance(values, list) else type(values).__name__
        raise AnnotationError(
            f"{where}: {key} must have one entry for each of the video's {n} frames, got {got}"
        )
    return values


def _number(pattern: NamePattern, numbering: Numbering, name: str, where: str) -> int:
    said = pattern.parse(name)
    if said is None:
        raise AnnotationError(f"{where}: the name {name!r} does not fit pattern={pattern.pattern!r}")
    return numbering.index_of(said[1], f"{where}: {name!r}")


def _stated(extra: Mapping[str, Any], key: str, n: int, where: str) -> list[Any] | None:
    values = extra.get(key)
    if values is None:
        return None
    if not isinstance(values, list) or len(values) != n:
        raise AnnotationError(f"{where}: evfr.{key} must be a list of {n} values, one a file name")
    low = 0 if key == "frame_index" else -(2**63) + 1
    return [
        None if value is None and key == "pts" else whole({key: value}, key, where, low=low)
        for value in values
    ]

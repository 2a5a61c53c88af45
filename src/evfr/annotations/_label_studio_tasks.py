"""The tasks of Label Studio's JSON: which results count, what their file is called, how regions are numbered."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

from evfr.annotations._json import entries
from evfr.annotations._parse import shown, whole
from evfr.errors import AnnotationError

__all__ = [
    "IMAGE_TYPES",
    "VIDEO_TYPE",
    "Task",
    "labels_of",
    "own_frames",
    "own_name",
    "own_size",
    "relative_file",
    "stem_of",
    "tasks_of",
    "tracks_of",
]

IMAGE_TYPES = ("rectanglelabels", "polygonlabels", "brushlabels")
VIDEO_TYPE = "videorectangle"
_OWN_ID = re.compile(r"evfr-([0-9]{1,18})")
_UPLOAD = re.compile(r"[0-9a-f]{8}-(?=.)")


class Task(NamedTuple):
    """One task with the results that count: where it stands, its file, what we wrote into its data."""

    where: str
    place: int
    file: str
    own: Mapping[str, Any]
    is_video: bool
    results: Sequence[Mapping[str, Any]]


def tasks_of(path: Path, tasks: Sequence[Mapping[str, Any]], kind: str, annotation: str) -> Iterator[Task]:
    for place, task in enumerate(tasks):
        where = f"{path}, tasks[{place}]"
        done = [
            item
            for item in entries({kind: task.get(kind) or []}, kind, where)
            if not item.get("was_cancelled")
        ]
        if not done:
            continue
        if len(done) > 1 and annotation == "only":
            raise AnnotationError(
                f"{where}: the task has {len(done)} {kind}; say which counts with annotation='first' or 'last'"
            )
        results = entries(done[-1 if annotation == "last" else 0], "result", where)
        data = task.get("data")
        if not isinstance(data, dict):
            raise AnnotationError(f"{where}: a task needs data, got {shown(data)}")
        own = data.get("evfr", {})
        if not isinstance(own, dict):
            raise AnnotationError(f"{where}: data.evfr must be an object, got {shown(own)}")
        types = {str(result.get("type")) for result in results}
        is_video = VIDEO_TYPE in types or ("video" in data and not types & set(IMAGE_TYPES))
        files = [
            data[key]
            for key in (("video",) if is_video else ("image", "img"))
            if isinstance(data.get(key), str)
        ]
        texts = [value for value in data.values() if isinstance(value, str)]
        if not files and len(texts) != 1:
            raise AnnotationError(
                f"{where}: data must name the file under 'video' or 'image', got {shown(data)}"
            )
        yield Task(where, place, (files or texts)[0], own, is_video, results)


def labels_of(result: Mapping[str, Any]) -> list[Any]:
    """Return the labels of a region, which stand under its type, or under ``labels``."""
    value = result.get("value")
    found = []
    for key in ("labels", *IMAGE_TYPES):
        listed = value.get(key) if isinstance(value, dict) else None
        found += listed if isinstance(listed, list) else []
    return found


def stem_of(file: str) -> str:
    """Return the name of a task's file without folder, query, upload prefix and ending."""
    name = file.rsplit("?d=", 1)[-1].split("?", 1)[0].rstrip("/").rsplit("/", 1)[-1]
    return PurePosixPath(_UPLOAD.sub("", name, count=1)).stem or file


def tracks_of(regions: Sequence[Mapping[str, Any]], where: str, *, others: int | None = None) -> list[int]:
    """Return a track for each region: the number that we wrote, else ``others``, or the order of appearance."""
    texts = []
    for region in regions:
        text = region.get("id")
        if not isinstance(text, str) or not text or text in texts:
            raise AnnotationError(f"{where}: each region needs an id of its own, got {shown(text)}")
        texts.append(text)
    found = [_OWN_ID.fullmatch(text) for text in texts]
    free = max((int(match[1]) for match in found if match), default=0) + 1
    numbers = []
    for match in found:
        if match:
            numbers.append(int(match[1]))
        elif others is not None:
            numbers.append(others)
        else:
            numbers.append(free)
            free += 1
    return numbers


def own_size(own: Mapping[str, Any], where: str) -> tuple[int, int]:
    return (
        whole(own.get("height"), where, "data.evfr.height", least=1),
        whole(own.get("width"), where, "data.evfr.width", least=1),
    )


def own_name(own: Mapping[str, Any], where: str) -> str:
    name = own.get("video_id", "")
    if not isinstance(name, str):
        raise AnnotationError(f"{where}: data.evfr.video_id must be a text, got {shown(name)}")
    return name


def own_frames(frames: Any, where: str) -> list[int]:
    if not isinstance(frames, list):
        raise AnnotationError(f"{where}: data.evfr.frames must be a list, got {shown(frames)}")
    return [whole(frame, where, "data.evfr.frames", least=0) for frame in frames]


def relative_file(file: str) -> str:
    """Return the part of a task's address that names a file below the data's root."""
    if "?d=" in file:
        return file.rsplit("?d=", 1)[-1]
    if "://" in file:
        return file.split("://", 1)[1].split("?", 1)[0].partition("/")[2]
    return file.removeprefix("/data/upload/").removeprefix("/data/") if file.startswith("/data/") else file

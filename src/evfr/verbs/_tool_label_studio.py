"""Label Studio: tasks of pictures with predictions, tasks of videos where there is context, and its JSON back."""

from __future__ import annotations

import math
import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evfr.errors import AnnotationError

if TYPE_CHECKING:
    from evfr._core.annotations import ObjectRow, VideoAnnotations
    from evfr.annotations._label_studio import _Regions
    from evfr.annotations._label_studio_tasks import Task
    from evfr.verbs._export_package import ExportFrame, ExportPackage
    from evfr.verbs._import_match import NameIndex

__all__ = ["read", "write"]

FOLDER = "label-studio"
_FACTS = ("source", "trust", "is_crowd", "box")
_FROM_PREDICTION = "prediction"
_OWN_TRACK = re.compile(r"evfr-[0-9]{1,18}")

Picture = tuple[str, int, int, list["ObjectRow"]]


def write(package: ExportPackage) -> tuple[Path, ...]:
    """Write what Label Studio projects are made from.

    Parameters
    ----------
    package : ExportPackage
        The export.

    Returns
    -------
    tuple of Path
        The folder ``label-studio``; in it ``tasks.json`` with a task for each picture to label, ``config.xml`` where
        classes are known; and with context ``videos.json``, ``config-videos.xml`` and a video for each source.

    Raises
    ------
    AnnotationError
        If an object has neither box nor mask, or a text has a character that XML cannot hold.
    VideoError
        If this PyAV has no H.264 encoder, and there is context.

    Notes
    -----
    Pictures are named below the folder of the export as Label Studio's local files
    (https://labelstud.io/guide/storage#Local-storage); its document root is to be that folder. Labels that are there
    already are predictions: masks as brushes, others as rectangles; what Label Studio has no field for stands in a
    region's ``meta``. Tasks of videos have rectangles only, which is all that Label Studio tracks.
    """
    from evfr._core.atomic import atomic_write_bytes
    from evfr.annotations._json import dump_json
    from evfr.verbs._tool_sequence import video_stem, write_video

    folder = package.folder / FOLDER
    folder.mkdir(exist_ok=True)
    made = [folder, dump_json(folder / "tasks.json", list(_picture_tasks(package)))]
    if package.categories:
        atomic_write_bytes(folder / "config.xml", _picture_config(package).encode())
        made.append(folder / "config.xml")
    if all(frame.role == "label" for frame in package.frames):
        return tuple(made)
    tasks = []
    for video in package.videos:
        frames = package.sequence(video.video_id)
        path = folder / f"{video_stem(package, video.video_id)}.mp4"
        made.append(write_video(package, frames, path, kind="h264"))
        tasks.append(_video_task(package, frames, path))
    made.append(dump_json(folder / "videos.json", tasks))
    if package.categories:
        atomic_write_bytes(folder / "config-videos.xml", _video_config(package).encode())
        made.append(folder / "config-videos.xml")
    return tuple(made)


def read(path: Path, package: ExportPackage) -> VideoAnnotations:
    """Read Label Studio's JSON export (the full one, not JSON-MIN) by picture.

    Parameters
    ----------
    path : Path
        The JSON.
    package : ExportPackage
        The export.

    Returns
    -------
    VideoAnnotations
        One video a picture, named as the task's file. Tasks without an annotation are left out: nobody has looked at
        them. Of a task of a video, all pictures to label, and those of context that have boxes, named as in the
        export. Regions are ``human``; those that came from a prediction and were not changed keep what it said.

    Raises
    ------
    AnnotationError
        If an entry is wrong, a task has several annotations, or regions that are none of rectangles, polygons,
        brushes and, in videos, tracked rectangles.
    """
    from evfr.annotations._json import entries, load_json
    from evfr.annotations._label_studio import _Regions
    from evfr.annotations._label_studio_tasks import labels_of, tasks_of
    from evfr.annotations._parse import named_categories
    from evfr.verbs._import_match import NameIndex
    from evfr.verbs._tool_sequence import by_picture

    tasks = list(
        tasks_of(path, entries({"tasks": load_json(path)}, "tasks", str(path)), "annotations", "only")
    )
    found = {
        label
        for task in tasks
        for result in task.results
        for label in labels_of(result)
        if isinstance(label, str)
    }
    known = [category.name for category in package.categories]
    names = [*known, *sorted(found - set(known) - {""})] or ["object"]
    categories = named_categories(names)
    regions = _Regions({c.name: c.category_id for c in categories}, False, "human")
    index = NameIndex(package.frames)
    pictures: list[Picture] = []
    for task in tasks:
        _check_types(task)
        pictures += (
            _pictures_of_video(task, package, regions)
            if task.is_video
            else [_picture(task, path, index, regions)]
        )
    return by_picture(pictures, categories)


def _check_types(task: Task) -> None:
    from evfr.annotations._label_studio_tasks import IMAGE_TYPES, VIDEO_TYPE

    allowed = (VIDEO_TYPE, "labels") if task.is_video else IMAGE_TYPES
    for result in task.results:
        if result.get("type") not in allowed:
            raise AnnotationError(
                f"{task.where}: a result of the type {str(result.get('type'))[:40]!r} is no label that evfr keeps; "
                f"here they are {', '.join(allowed)}: remove that control from the project's configuration"
            )


def _picture(task: Task, path: Path, index: NameIndex, regions: _Regions) -> Picture:
    from evfr.annotations._label_studio_tasks import relative_file

    name = relative_file(task.file)
    own: dict[str, Any] = {"frame": 0}
    size = None
    if {"width", "height"} <= task.own.keys():
        own |= {"width": task.own["width"], "height": task.own["height"]}
    else:
        # A picture without a region says no size: it is that of the frame, or the name fits none and is listed.
        frame, _ = index.find(name)
        size = (1, 1) if frame is None else (frame.height, frame.width)
    stripped = task._replace(own=own if size is None else {}, place=0)
    video, rows = regions.images(path, [stripped], None if task.results else size, name)
    kept = [_as_said(row, region.get("origin")) for row, region in zip(rows, task.results, strict=True)]
    return name, video.width, video.height, kept


def _pictures_of_video(task: Task, package: ExportPackage, regions: _Regions) -> Iterator[Picture]:
    from evfr._core.annotations import NO_TRACK
    from evfr.annotations._label_studio_tasks import tracks_of
    from evfr.verbs._tool_sequence import find_video, padded_size

    frames = find_video(package, [task.file.rpartition("?d=")[2].partition("?")[0]], task.where)
    width, height = padded_size(frames[0])
    _, rows = regions.video(task._replace(own={}), (height, width), len(frames), frames[0].video_id)
    boxes = [result for result in task.results if result.get("type") != "labels"]
    of_region = dict(zip(tracks_of(boxes, task.where), boxes, strict=True))
    counts = Counter(row.track_id for row in rows)
    of_frame: dict[int, list[ObjectRow]] = defaultdict(list)
    for row in rows:
        region = of_region[row.track_id]
        said = _as_said(row, region.get("origin"))
        # What is on one frame only is no track, unless the export said so.
        is_track = counts[row.track_id] > 1 or _OWN_TRACK.fullmatch(str(region.get("id")))
        of_frame[row.frame_index].append(said if is_track else replace(said, track_id=NO_TRACK))
    for place, frame in enumerate(frames):
        if frame.role == "label" or of_frame[place]:
            yield frame.name, frame.width, frame.height, of_frame[place]


def _as_said(row: ObjectRow, origin: object) -> ObjectRow:
    """Return a region as a person's, unless it is a prediction that nobody changed; its track may stand in meta."""
    from evfr._core.annotations import NO_TRACK

    attributes = dict(row.attributes)
    track = attributes.pop("track_id", row.track_id)
    if row.track_id == NO_TRACK and isinstance(track, int) and track >= 0:
        row = replace(row, track_id=track)
    if origin != _FROM_PREDICTION and row.source not in ("human", "interpolated"):
        row = replace(row, source="human", trust=math.nan)
    return replace(row, attributes=attributes)


def _picture_tasks(package: ExportPackage) -> Iterator[dict[str, Any]]:
    of_frame: dict[tuple[str, int], list[ObjectRow]] = defaultdict(list)
    for row in () if package.labels is None else package.labels.objects():
        of_frame[row.video_id, row.frame_index].append(row)
    names = {category.category_id: category.name for category in package.categories}
    for frame in package.label_frames:
        data = {
            "image": _local(package, package.path_of(frame)),
            "evfr": {
                "video_id": frame.video_id,
                "frame": frame.frame_index,
                "is_file": True,
                "width": frame.width,
                "height": frame.height,
            },
        }
        rows = of_frame[frame.video_id, frame.frame_index]
        task: dict[str, Any] = {"data": data}
        if rows:
            results = [_region(row, number, names, frame) for number, row in enumerate(rows)]
            task["predictions"] = [{"model_version": "evfr", "result": results}]
        yield task


def _local(package: ExportPackage, path: Path) -> str:
    """Return the address of a file below the document root; names of exports need no escapes."""
    return f"/data/local-files/?d={path.relative_to(package.folder).as_posix()}"


def _region(row: ObjectRow, number: int, names: Mapping[int, str], frame: ExportFrame) -> dict[str, Any]:
    from evfr._core.annotations import NO_TRACK
    from evfr.annotations._label_studio_brush import encode_brush
    from evfr.annotations._parse import extra_facts

    if row.mask is not None:
        control, kind = "brush", "brushlabels"
        value: dict[str, Any] = {"format": "rle", "rle": encode_brush(row.mask)}
    elif row.box_xyxy is not None:
        control, kind = "box", "rectanglelabels"
        value = _percent(row.box_xyxy, frame.width, frame.height)
    else:
        raise AnnotationError(
            f"{frame.name}: an object with track {row.track_id} has neither box nor mask; leave it out"
        )
    value[kind] = [names[row.category_id]]
    is_tracked = row.track_id != NO_TRACK
    facts: dict[str, Any] = extra_facts(row, *_FACTS)
    if is_tracked:
        facts["track_id"] = row.track_id
    region: dict[str, Any] = {
        "id": f"evfr-{row.track_id}" if is_tracked else f"evfr-none-{number}",
        "from_name": control,
        "to_name": "image",
        "type": kind,
        "original_width": frame.width,
        "original_height": frame.height,
        "image_rotation": 0,
        "value": value,
    }
    if not math.isnan(row.score):
        region["score"] = row.score
    if facts:
        region["meta"] = {"evfr": facts}
    return region


def _percent(box: Sequence[float], width: int, height: int) -> dict[str, Any]:
    x0, y0, x1, y1 = box
    return {
        "x": x0 * 100 / width,
        "y": y0 * 100 / height,
        "width": (x1 - x0) * 100 / width,
        "height": (y1 - y0) * 100 / height,
        "rotation": 0,
    }


def _video_task(package: ExportPackage, frames: Sequence[ExportFrame], path: Path) -> dict[str, Any]:
    from evfr._core.annotations import NO_TRACK
    from evfr.verbs._tool_sequence import FPS, padded_size

    width, height = padded_size(frames[0])
    places = {frame.frame_index: place for place, frame in enumerate(frames)}
    names = {category.category_id: category.name for category in package.categories}
    groups: dict[tuple[int, ...], list[ObjectRow]] = defaultdict(list)
    for number, row in enumerate(() if package.labels is None else package.labels.objects()):
        if row.video_id == frames[0].video_id:
            groups[(-1, number) if row.track_id == NO_TRACK else (row.track_id, row.category_id)].append(row)
    results = []
    seen: set[int] = set()
    for number, ((track, *_), rows) in enumerate(groups.items()):
        at = {places[row.frame_index] for row in rows}
        sequence = []
        for row in rows:
            box = row.box_xyxy if row.box_xyxy is not None or row.mask is None else row.mask.box_xyxy
            if box is None:
                raise AnnotationError(
                    f"{frames[0].video_id!r}, frame {row.frame_index}: an object with track {row.track_id} has "
                    "neither box nor mask; leave it out"
                )
            place = places[row.frame_index]
            is_followed = place + 1 in at or place + 1 == len(frames)
            fields = {"frame": place + 1, "enabled": is_followed, "time": place / FPS}
            sequence.append(fields | _percent(box, width, height))
        value = {
            "framesCount": len(frames),
            "duration": len(frames) / FPS,
            "sequence": sequence,
            "labels": [names[rows[0].category_id]],
        }
        # A track that changes its class is two regions; ids are unique, so that the second has one of its own.
        is_named = track == NO_TRACK or track in seen
        region = f"evfr-none-{number}" if is_named else f"evfr-{track}"
        seen.add(track)
        results.append(
            {
                "id": region,
                "from_name": "box",
                "to_name": "video",
                "type": "videorectangle",
                "value": value,
            }
        )
    task: dict[str, Any] = {"data": {"video": _local(package, path)}}
    if results:
        task["predictions"] = [{"model_version": "evfr", "result": results}]
    return task


def _labels(package: ExportPackage) -> str:
    from evfr.annotations._xml import tag

    return "\n".join("    " + tag("Label", {"value": category.name}) for category in package.categories)


def _picture_config(package: ExportPackage) -> str:
    controls = {"RectangleLabels": "box", "PolygonLabels": "polygon", "BrushLabels": "brush"}
    lines = ["<View>", '  <Image name="image" value="$image" zoom="true"/>']
    for control, name in controls.items():
        lines += [f'  <{control} name="{name}" toName="image">', _labels(package), f"  </{control}>"]
    return "\n".join([*lines, "</View>\n"])


def _video_config(package: ExportPackage) -> str:
    from evfr.verbs._tool_sequence import FPS

    lines = ["<View>", '  <Labels name="labels" toName="video">', _labels(package), "  </Labels>"]
    lines.append(f'  <Video name="video" value="$video" framerate="{FPS}"/>')
    return "\n".join([*lines, '  <VideoRectangle name="box" toName="video"/>', "</View>\n"])

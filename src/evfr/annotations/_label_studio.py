"""Label Studio JSON: boxes tracked through videos, and boxes, polygons and brushes on images, all in percent."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np

from evfr._core.annotations import NO_TRACK, AnnotatedVideo, ObjectRow, VideoAnnotations
from evfr._core.masks import Rle
from evfr.annotations._json import attributes_of, entries, load_json, peek_json
from evfr.annotations._label_studio_brush import decode_brush
from evfr.annotations._label_studio_tasks import (
    IMAGE_TYPES,
    VIDEO_TYPE,
    Task,
    labels_of,
    own_frames,
    own_name,
    own_size,
    relative_file,
    stem_of,
    tasks_of,
    tracks_of,
)
from evfr.annotations._parse import (
    FRAMES_MOST,
    category_of,
    check_rows_most,
    named_categories,
    number,
    shown,
    split_facts,
    whole,
)
from evfr.annotations._paths import safe_name
from evfr.errors import AnnotationError

__all__ = ["looks_like_label_studio", "read_label_studio"]


def read_label_studio(
    path: Path,
    *,
    width: int | None = None,
    height: int | None = None,
    frame_count: int | None = None,
    categories: Sequence[str] | None = None,
    results: Literal["annotations", "predictions"] = "annotations",
    annotation: Literal["only", "first", "last"] = "only",
    unsupported: Literal["error", "skip"] = "error",
    video_id: str | None = None,
) -> VideoAnnotations:
    """Read Label Studio's JSON export (of tasks with their annotations).

    Parameters
    ----------
    path : Path
        The JSON file. Tasks without an annotation are left out: nobody has looked at them.
    width, height : int or None
        Size of the videos, which the export does not say (of images it does).
    frame_count : int or None
        Frames of each video; None: ``framesCount``, which a browser derives from the duration and may miss by one.
    categories : sequence of str or None
        Names of categories 1, 2, ...; None: the labels in use, in alphabetical order.
    results : {"annotations", "predictions"}
        What people did (``human``), or what models said (``detected``).
    annotation : {"only", "first", "last"}
        Which of a task's several annotations counts; ``"only"`` makes several an error. Cancelled ones never count.
    unsupported : {"error", "skip"}
        What to do with regions that are none of the boxes, polygons and brushes known here.
    video_id : str or None
        Name of the video, or of the collection of images. None: the name of each video's file without the eight
        digits that an upload puts before it; for images, of the JSON file.

    Returns
    -------
    VideoAnnotations
        A video for each video task: all its frames count as annotated. Key frames are ``human``, what lies between is
        filled in linearly and ``interpolated``, up to a key frame that is not ``enabled`` (on which the object is
        seen last), or to the end of the video. Image tasks make one collection: frame k is task k of the file. A
        region's id is its track in the order of appearance.

    Raises
    ------
    AnnotationError
        If an entry is wrong, a box is turned, a label unknown or missing, a size or length not known, or images and
        videos are mixed.
    ValueError
        If an option is not allowed.

    Notes
    -----
    https://labelstud.io/guide/task_format and https://labelstud.io/tags/videorectangle. Frames count from 1 in the
    file, percents are of width and height.
    """
    if results not in ("annotations", "predictions"):
        raise ValueError(f"results must be 'annotations' or 'predictions', got {results!r}")
    if annotation not in ("only", "first", "last"):
        raise ValueError(f"annotation must be 'only', 'first' or 'last', got {annotation!r}")
    if unsupported not in ("error", "skip"):
        raise ValueError(f"unsupported must be 'error' or 'skip', got {unsupported!r}")
    path = Path(path)
    data = load_json(path)
    tasks = list(tasks_of(path, entries({"tasks": data}, "tasks", str(path)), results, annotation))
    if len({task.is_video for task in tasks}) > 1:
        raise AnnotationError(f"{path} has both image and video tasks; export them apart")
    labels = {
        label
        for task in tasks
        for result in task.results
        for label in labels_of(result)
        if isinstance(label, str) and label
    }
    known = named_categories(categories if categories is not None else sorted(labels) or ["object"])
    ids = {category.name: category.category_id for category in known}
    regions = _Regions(ids, unsupported == "skip", "human" if results == "annotations" else "detected")
    size = None if width is None or height is None else (height, width)
    if tasks and tasks[0].is_video:
        parts = [regions.video(task, size, frame_count, video_id) for task in tasks]
        return VideoAnnotations.build([p[0] for p in parts], known, [row for p in parts for row in p[1]])
    video, rows = regions.images(path, tasks, size, video_id)
    return VideoAnnotations.build([video], known, rows)


class _Regions:
    """Turn regions into rows; state is the numbering of ids."""

    def __init__(self, ids: Mapping[str, int], is_skipping: bool, source: str) -> None:
        self.ids, self.is_skipping, self.source = ids, is_skipping, source

    def video(
        self, task: Task, size: tuple[int, int] | None, frame_count: int | None, video_id: str | None
    ) -> tuple[AnnotatedVideo, list[ObjectRow]]:
        """Return the video of a task and its expanded regions."""
        own = task.own
        if size is None and {"width", "height"} <= own.keys():
            size = own_size(own, task.where)
        if size is None:
            raise AnnotationError(
                f"{task.where}: Label Studio does not say the size of a video; give width= and height="
            )
        name = video_id or own_name(own, task.where) or stem_of(task.file)
        companions = {
            result.get("id"): labels_of(result) for result in task.results if result.get("type") == "labels"
        }
        regions = [result for result in task.results if result.get("type") != "labels"]
        tracks = tracks_of(regions, task.where)
        count = frame_count
        rows: list[ObjectRow] = []
        for place, region in enumerate(regions):
            where = f"{task.where}, region {shown(region.get('id'))}"
            if region.get("type") != VIDEO_TYPE:
                self._refuse(region, where)
                continue
            value = _value(region, where)
            stated = value.get("framesCount")
            if count is None and stated:
                count = whole(stated, where, "framesCount", least=1, most=FRAMES_MOST)
            labels = labels_of(region) or companions.get(region.get("id"), [])
            category = self._category(labels, where)
            score = region.get("score")
            for index, box, is_key, facts in _expand(value, where, count):
                check_rows_most(len(rows), where)
                x, y, w, h = box
                x0, y0 = x * size[1] / 100, y * size[0] / 100
                row = ObjectRow(
                    name,
                    index,
                    category,
                    tracks[place],
                    (x0, y0, x0 + w * size[1] / 100, y0 + h * size[0] / 100),
                    score=math.nan if score is None else number(score, where, "score"),
                    source=self.source if is_key else "interpolated",
                )
                rows.append(split_facts(row, facts.items(), where))
        frames = own.get("frames")
        if frames is None and count is None:
            raise AnnotationError(
                f"{task.where}: nothing says how many frames the video has; give frame_count="
            )
        annotated = range(count or 0) if frames is None else own_frames(frames, task.where)
        stated = own.get("frame_count") if frame_count is None and own else count
        video = AnnotatedVideo(
            name,
            size[1],
            size[0],
            np.array(annotated, np.int64),
            frame_count=None
            if stated is None
            else whole(stated, task.where, "the number of frames", least=1),
        )
        return video, rows

    def images(
        self, path: Path, tasks: Sequence[Task], size: tuple[int, int] | None, video_id: str | None
    ) -> tuple[AnnotatedVideo, list[ObjectRow]]:
        """Return the collection of image tasks and its regions."""
        name = (
            video_id or next((own_name(task.own, task.where) for task in tasks if task.own), "") or path.stem
        )
        rows: list[ObjectRow] = []
        files: dict[int, str] = {}
        for task in tasks:
            index = whole(task.own.get("frame", task.place), task.where, "the frame", least=0)
            if index in files:
                raise AnnotationError(f"{task.where}: there is another task of frame {index}")
            files[index] = (
                "" if task.own.get("is_file") is False else safe_name(relative_file(task.file), task.where)
            )
            here = own_size(task.own, task.where) if task.own else None
            known = [region for region in task.results if region.get("type") in IMAGE_TYPES]
            if len(known) < len(task.results):
                self._refuse(next(r for r in task.results if r.get("type") not in IMAGE_TYPES), task.where)
            tracks = tracks_of(known, task.where, others=NO_TRACK)
            for region, track in zip(known, tracks, strict=True):
                where = f"{task.where}, region {shown(region['id'])}"
                here = (
                    whole(region.get("original_height"), where, "original_height", least=1),
                    whole(region.get("original_width"), where, "original_width", least=1),
                )
                rows.append(self._image_row(region, where, name, index, here, track))
                if size is not None and size != here:
                    raise AnnotationError(
                        f"{where}: an image of {here[1]}x{here[0]} pixels among images of {size[1]}x{size[0]}; export "
                        "images of one size into one file"
                    )
                size = here
            size = size or here
        if size is None:
            raise AnnotationError(
                f"{path} has no region, so the size of the images is not known; give width= and height="
            )
        annotated = sorted(files)
        names = tuple(files[index] for index in annotated)
        names = names if all(names) else ()
        video = AnnotatedVideo(name, size[1], size[0], np.array(annotated, np.int64), file_names=names)
        return video, rows

    def _refuse(self, region: Mapping[str, Any], where: str) -> None:
        if not self.is_skipping:
            raise AnnotationError(
                f"{where}: a region of the type {shown(region.get('type'))} is neither a box nor a mask known here; "
                "unsupported='skip' leaves it out"
            )

    def _category(self, labels: list[Any], where: str) -> int:
        if len(labels) != 1:
            raise AnnotationError(f"{where}: a region needs exactly one label, got {shown(labels)}")
        return category_of(labels[0], self.ids, where)

    def _image_row(
        self, region: Mapping[str, Any], where: str, name: str, index: int, size: tuple[int, int], track: int
    ) -> ObjectRow:
        value = _value(region, where)
        score = region.get("score")
        box, mask = None, None
        if region.get("image_rotation"):
            raise AnnotationError(
                f"{where}: the image was turned while it was labelled; turn the file itself"
            )
        if region["type"] == "rectanglelabels":
            x, y, w, h = _percent(value, where)
            x0, y0 = x * size[1] / 100, y * size[0] / 100
            box = (x0, y0, x0 + w * size[1] / 100, y0 + h * size[0] / 100)
        elif region["type"] == "polygonlabels":
            mask = _polygon(value.get("points"), size, where)
        else:
            if value.get("format") != "rle":
                raise AnnotationError(
                    f"{where}: format of a brush must be 'rle', got {shown(value.get('format'))}"
                )
            mask = decode_brush(value.get("rle"), *size, where)
        row = ObjectRow(
            name,
            index,
            self._category(labels_of(region), where),
            track,
            box,
            mask,
            score=math.nan if score is None else number(score, where, "score"),
            source=self.source,
        )
        meta = region.get("meta")
        facts = attributes_of(meta.get("evfr") if isinstance(meta, dict) else None, where)
        return split_facts(row, facts.items(), where)


def _value(region: Mapping[str, Any], where: str) -> Mapping[str, Any]:
    value = region.get("value")
    if not isinstance(value, dict):
        raise AnnotationError(f"{where}: a region needs a value, got {shown(value)}")
    return value


def _percent(value: Mapping[str, Any], where: str) -> tuple[float, float, float, float]:
    x, y = (number(value.get(key), where, key) for key in ("x", "y"))
    w, h = (number(value.get(key), where, key, least=0.0) for key in ("width", "height"))
    if number(value.get("rotation") or 0, where, "rotation") % 360:
        raise AnnotationError(
            f"{where}: the box is turned by {value['rotation']} degrees; boxes here are upright"
        )
    return x, y, w, h


def _polygon(points: Any, size: tuple[int, int], where: str) -> Rle:
    if not isinstance(points, list) or not all(
        isinstance(point, list) and len(point) == 2 for point in points
    ):
        raise AnnotationError(f"{where}: points of a polygon must be [[x, y], ...], got {shown(points)}")
    flat = [
        number(value, where, "a coordinate of a polygon") * size[1 - axis] / 100
        for point in points
        for axis, value in enumerate(point)
    ]
    try:
        return Rle.from_polygons([flat], *size)
    except ValueError as error:
        raise AnnotationError(f"{where}: {error}") from error


Step = tuple[int, tuple[float, float, float, float], bool, dict[str, Any]]


def _expand(value: Mapping[str, Any], where: str, count: int | None) -> Iterator[Step]:
    """Yield frame index, box in percent, whether a key frame, and our facts, for each frame where a region is seen."""
    keys = []
    for entry in entries(value, "sequence", where):
        frame = whole(entry.get("frame"), where, "the frame of a key frame", least=1, most=FRAMES_MOST)
        here = f"{where}, frame {frame}"
        is_enabled = entry.get("enabled", True)
        if not isinstance(is_enabled, bool):
            raise AnnotationError(f"{here}: enabled must be true or false, got {shown(is_enabled)}")
        if count is not None and frame > count:
            raise AnnotationError(
                f"{here}: the key frame lies behind the video's {count} frames; give the right frame_count="
            )
        facts = attributes_of(entry.get("evfr"), here)
        keys.append(
            (frame, np.array(_percent(entry, here)), is_enabled, entry.get("auto") is not True, facts)
        )
    keys.sort(key=lambda key: key[0])
    for place, (frame, box, is_enabled, is_key, facts) in enumerate(keys):
        after = keys[place + 1] if place + 1 < len(keys) else None
        if after is not None and after[0] == frame:
            raise AnnotationError(f"{where}: frame {frame} has two key frames")
        yield frame - 1, _four(box), is_key, facts
        if not is_enabled:
            continue
        if after is None and count is None:
            raise AnnotationError(
                f"{where}: the object stays to the end of the video, whose length is not stated; give frame_count="
            )
        end = after[0] if after is not None else (count or 0) + 1
        target = after[1] if after is not None else box
        for step in range(frame + 1, end):
            yield step - 1, _four(box + (target - box) * ((step - frame) / (end - frame))), False, {}


def _four(box: np.ndarray[Any, np.dtype[np.float64]]) -> tuple[float, float, float, float]:
    x, y, w, h = box.tolist()
    return x, y, w, h


def looks_like_label_studio(path: Path) -> bool:
    """Whether a JSON file lists tasks with data and annotations or predictions."""
    if path.is_dir() or path.suffix.lower() != ".json":
        return False
    kind, keys = peek_json(path)
    return kind is list and "data" in keys and bool(keys & {"annotations", "predictions"})

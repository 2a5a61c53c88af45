"""CVAT XML 1.1: "for video" (tracks) and "for images"."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple

import numpy as np

from evfr._core.annotations import NO_TRACK, AnnotatedVideo, Category, ObjectRow, VideoAnnotations
from evfr._core.masks import Rle
from evfr.annotations._cvat_shapes import (
    KNOWN_SHAPES,
    OTHER_SHAPES,
    Shape,
    expand_track,
    read_attributes,
    read_shape,
)
from evfr.annotations._parse import FRAMES_MOST, category_of, check_rows_most, shown, split_facts, whole
from evfr.annotations._paths import open_place, read_bytes, safe_name
from evfr.annotations._xml import parse_xml
from evfr.errors import AnnotationError

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element

__all__ = ["looks_like_cvat", "read_cvat"]

_SOURCES = {"manual": "human", "semi-auto": "human", "file": "human", "auto": "detected"}


class Job(NamedTuple):
    """What the head of the file says."""

    name: str
    size: tuple[int, int] | None
    numbers: range | None
    categories: tuple[Category, ...]
    kinds: Mapping[str, Mapping[str, str]]


def read_cvat(
    path: Path,
    *,
    unsupported: Literal["error", "skip"] = "error",
    width: int | None = None,
    height: int | None = None,
    video_id: str | None = None,
    stills: bool = False,
) -> VideoAnnotations:
    """Read CVAT's own format, "CVAT for video 1.1" or "CVAT for images 1.1".

    Parameters
    ----------
    path : Path
        The XML file, or the zip or folder with ``annotations.xml`` that CVAT exports.
    unsupported : {"error", "skip"}
        What to do with points, lines, ellipses, cuboids, skeletons and tags, which are neither boxes nor masks.
    width, height : int or None
        Size of the pictures, where the file does not say it (old exports).
    video_id : str or None
        Name of the video; None: of the task, else of the file.
    stills : bool
        For images: each image is a video of one frame, named by its file, so that they may differ in size.

    Returns
    -------
    VideoAnnotations
        One video. Frame numbers are CVAT's: frames of the whole video, from 0. For video, every frame of the job
        counts as annotated, and tracks are expanded: shapes that a person placed (key frames) are ``human``, what CVAT
        or this reader filled in linearly is ``interpolated``. For images, the frames are the images listed, and a
        track is what the attribute ``track_id`` says. Polygons become masks. Shapes that CVAT's models made
        (``source="auto"``) are ``detected``.

    Raises
    ------
    AnnotationError
        If the file is no such XML, has a document type, shapes that are wrong or not supported, unknown labels,
        images of different sizes, or a name that leads out of its folder.
    ValueError
        If ``unsupported`` is not allowed.

    Notes
    -----
    https://docs.cvat.ai/docs/other/xml_format states the format. Box edges are continuous coordinates, right and
    bottom edges exclusive; runs of a mask follow the rows of its box.
    """
    if unsupported not in ("error", "skip"):
        raise ValueError(f"unsupported must be 'error' or 'skip', got {unsupported!r}")
    path = Path(path)
    if path.is_dir() or path.suffix.lower() == ".zip":
        with open_place(path) as place:
            names = [name for name in place.names if name.rsplit("/", 1)[-1] == "annotations.xml"]
            if len(names) != 1:
                raise AnnotationError(
                    f"{path} holds {len(names)} files annotations.xml; give one export of one task"
                )
            root = parse_xml(place.read(names[0]), path)
    else:
        root = parse_xml(read_bytes(path), path)
    if root.tag != "annotations":
        raise AnnotationError(f"{path} has the root <{root.tag[:60]}>, CVAT's is <annotations>")
    version = root.findtext("version")
    if version is not None and version.split(".")[0] != "1":
        raise AnnotationError(f"{path} has version {shown(version)}, known is 1.1; export 'CVAT 1.1'")
    size = None if width is None or height is None else (height, width)
    job = _read_job(root, path, size)
    job = job._replace(name=video_id or job.name or path.stem)
    tracks, images = root.findall("track"), root.findall("image")
    if tracks and images:
        raise AnnotationError(
            f"{path} has both tracks and images; export it as 'CVAT for video' or 'CVAT for images'"
        )
    is_skipping = unsupported == "skip"
    if stills:
        if tracks:
            raise AnnotationError(
                f"{path} has tracks, which name frames by numbers; export it as 'CVAT for images 1.1', which names "
                "the pictures"
            )
        return _from_stills(path, images, job, is_skipping)
    if images or (not tracks and _text(root, "mode") == "annotation"):
        return _from_images(path, images, job, is_skipping)
    return _from_tracks(path, tracks, job, is_skipping)


def _text(root: Element, key: str) -> str | None:
    """Return a field of the head, which stands under task or job."""
    for kind in ("task", "job"):
        found = root.findtext(f"meta/{kind}/{key}")
        if found is not None:
            return found.strip()
    return None


def _read_job(root: Element, path: Path, size: tuple[int, int] | None) -> Job:
    if root.find("meta/project") is not None:
        raise AnnotationError(f"{path} is the export of a whole project; export each task by itself")
    where = f"{path}, meta"
    for place in ("meta/original_size", "meta/task/original_size", "meta/job/original_size"):
        if size is None and (stated := root.find(place)) is not None:
            size = (
                whole(stated.findtext("height"), where, "the height", least=1),
                whole(stated.findtext("width"), where, "the width", least=1),
            )
    start = whole(_text(root, "start_frame") or "0", where, "start_frame", least=0)
    step_text = (_text(root, "frame_filter") or "step=1").replace(" ", "")
    step = whole(step_text.removeprefix("step="), where, f"the frame_filter {shown(step_text)}", least=1)
    numbers = None
    if stop := _text(root, "stop_frame"):
        numbers = range(start, whole(stop, where, "stop_frame", least=start, most=FRAMES_MOST) + 1, step)
    elif count := _text(root, "size"):
        numbers = range(start, start + whole(count, where, "size", least=0, most=FRAMES_MOST) * step, step)
    names: list[str] = []
    kinds: dict[str, dict[str, str]] = {}
    for label in root.iterfind("meta/*/labels/label"):
        name = (label.findtext("name") or "").strip()
        if not name or name in names:
            raise AnnotationError(f"{where}: each label needs a name of its own, got {shown(name)}")
        names.append(name)
        kinds[name] = {
            (item.findtext("name") or "").strip(): (item.findtext("input_type") or "").strip()
            for item in label.iterfind("attributes/attribute")
        }
    categories = tuple(Category(place + 1, name) for place, name in enumerate(names))
    return Job(_text(root, "name") or "", size, numbers, categories, kinds)


def _labels(elements: list[Element], job: Job) -> tuple[Category, ...]:
    """Return the head's labels, or, in a file without any, those in use, in the order of their names."""
    if job.categories:
        return job.categories
    names = sorted({element.get("label") or "" for element in elements} - {""})
    return tuple(Category(place + 1, name) for place, name in enumerate(names))


def _supported(element: Element, where: str, is_skipping: bool) -> list[Element]:
    """Return the shapes below an element that are boxes or masks."""
    shapes = []
    for child in element:
        if child.tag in KNOWN_SHAPES:
            shapes.append(child)
        elif child.tag in OTHER_SHAPES:
            if not is_skipping:
                raise AnnotationError(
                    f"{where}: a {child.tag} is neither a box nor a mask; unsupported='skip' leaves such shapes out"
                )
        elif child.tag != "attribute":
            raise AnnotationError(f"{where}: unknown element <{child.tag[:60]}>")
    return shapes


def _row(
    shape: Shape, job: Job, size: tuple[int, int], category: int, track: int, source: str, where: str
) -> ObjectRow:
    mask = shape.mask
    if shape.kind == "polygon":
        try:
            mask = Rle.from_polygons([shape.points], *size)
        except ValueError as error:
            raise AnnotationError(f"{where}: {error}") from error
    box = shape.points if shape.kind == "box" else None
    row = ObjectRow(
        job.name,
        shape.frame,
        category,
        track,
        (box[0], box[1], box[2], box[3]) if box is not None else None,
        mask,
        source=source,
    )
    return split_facts(row, shape.attributes.items(), where)


def _source(element: Element, where: str) -> str:
    stated = element.get("source", "manual")
    if stated not in _SOURCES:
        raise AnnotationError(f"{where}: source must be one of {', '.join(_SOURCES)}, got {shown(stated)}")
    return _SOURCES[stated]


def _from_tracks(path: Path, tracks: list[Element], job: Job, is_skipping: bool) -> VideoAnnotations:
    categories = _labels(tracks, job)
    ids = {category.name: category.category_id for category in categories}
    if job.size is None:
        raise AnnotationError(f"{path} does not state the size of the video; give width= and height=")
    read: list[tuple[str, int, int, str, list[Shape]]] = []
    seen: set[int] = set()
    for place, track in enumerate(tracks):
        track_id = whole(track.get("id"), f"{path}, track {place + 1}", "the id", least=0)
        where = f"{path}, track {track_id}"
        if track_id in seen:
            raise AnnotationError(f"{where}: there is another track of this id")
        seen.add(track_id)
        label = track.get("label") or ""
        kinds = job.kinds.get(label, {})
        common = read_attributes(track, where, kinds)
        shapes = []
        for element in _supported(track, where, is_skipping):
            frame = whole(element.get("frame"), where, "the frame of a shape", least=0, most=FRAMES_MOST)
            shape = read_shape(element, f"{where}, frame {frame}", frame, job.size, kinds)
            shapes.append(replace(shape, attributes={**common, **shape.attributes}))
        read.append((where, track_id, category_of(label, ids, where), _source(track, where), shapes))
    numbers = job.numbers
    if numbers is None:
        in_view = [shape.frame for *_, shapes in read for shape in shapes if not shape.is_outside]
        numbers = range(max(in_view, default=-1) + 1)
    rows: list[ObjectRow] = []
    for where, track_id, category, source, shapes in read:
        for shape in expand_track(shapes, numbers, where):
            check_rows_most(len(rows), where)
            origin = source if shape.is_keyframe else "interpolated"
            rows.append(_row(shape, job, job.size, category, track_id, origin, where))
    height, width = job.size
    return VideoAnnotations.build(
        [AnnotatedVideo(job.name, width, height, np.array(numbers))], categories, rows
    )


def _from_images(path: Path, images: list[Element], job: Job, is_skipping: bool) -> VideoAnnotations:
    categories = _labels([shape for image in images for shape in image], job)
    ids = {category.name: category.category_id for category in categories}
    size = job.size
    frames: dict[int, str] = {}
    rows: list[ObjectRow] = []
    for place, image in enumerate(images):
        frame = whole(image.get("id"), f"{path}, image {place + 1}", "the id", least=0)
        where = f"{path}, image {frame}"
        if frame in frames:
            raise AnnotationError(f"{where}: there is another image of this id")
        frames[frame] = safe_name(image.get("name"), where)
        height, width = (whole(image.get(key), where, f"the {key}", least=1) for key in ("height", "width"))
        if size is not None and size != (height, width):
            raise AnnotationError(
                f"{where}: {width}x{height} pixels, the images before have {size[1]}x{size[0]}; export images of one "
                "size into one file"
            )
        size = (height, width)
        rows += _image_rows(image, where, frame, job, size, ids, is_skipping)
    if size is None:
        raise AnnotationError(f"{path} has no image, so their size is not known; give width= and height=")
    index = sorted(frames)
    # CVAT names the frames of a video frame_000012; there is no such file.
    is_video = all(name == f"frame_{frame:06d}" for frame, name in frames.items())
    names = () if is_video else tuple(frames[frame] for frame in index)
    video = AnnotatedVideo(job.name, size[1], size[0], np.array(index, np.int64), file_names=names)
    return VideoAnnotations.build([video], categories, rows)


def _from_stills(path: Path, images: list[Element], job: Job, is_skipping: bool) -> VideoAnnotations:
    categories = _labels([shape for image in images for shape in image], job)
    ids = {category.name: category.category_id for category in categories}
    videos: list[AnnotatedVideo] = []
    rows: list[ObjectRow] = []
    for place, image in enumerate(images):
        where = f"{path}, image {shown(image.get('name'))}, the {place + 1}. in the file"
        name = safe_name(image.get("name"), where)
        height, width = (whole(image.get(key), where, f"the {key}", least=1) for key in ("height", "width"))
        videos.append(AnnotatedVideo(name, width, height, np.zeros(1, np.int64), file_names=(name,)))
        still = job._replace(name=name)
        rows += _image_rows(image, where, 0, still, (height, width), ids, is_skipping)
    try:
        return VideoAnnotations.build(videos, categories, rows)
    except AnnotationError as error:
        raise AnnotationError(f"{path}: {error}") from error


def _image_rows(
    image: Element,
    where: str,
    frame: int,
    job: Job,
    size: tuple[int, int],
    ids: Mapping[str, int],
    is_skipping: bool,
) -> Iterator[ObjectRow]:
    for element in _supported(image, where, is_skipping):
        label = element.get("label") or ""
        shape = read_shape(element, where, frame, size, job.kinds.get(label, {}))
        attributes = dict(shape.attributes)
        stated = attributes.pop("track_id", "")
        track = NO_TRACK if stated == "" else whole(str(stated), where, "the attribute track_id", least=0)
        shape = replace(shape, attributes=attributes)
        yield _row(shape, job, size, category_of(label, ids, where), track, _source(element, where), where)


def looks_like_cvat(path: Path) -> bool:
    """Whether the file begins as CVAT's XML does (a zip or folder: has annotations.xml)."""
    try:
        if path.is_dir() or path.suffix.lower() == ".zip":
            with open_place(path) as place:
                return any(name.rsplit("/", 1)[-1] == "annotations.xml" for name in place.names)
        with path.open("rb") as stream:
            return b"<annotations" in stream.read(2000)
    except (AnnotationError, OSError):
        return False

"""CVAT, tasks of videos: a video of the pictures of each source, and "CVAT for video 1.1" there and back."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from evfr.errors import AnnotationError

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element

    from evfr._core.annotations import ObjectRow, VideoAnnotations
    from evfr.verbs._export_package import ExportFrame, ExportPackage

__all__ = ["read", "write"]

FOLDER = "cvat-video"
_NO_FIELD = ("box", "is_crowd", "score", "source", "trust")
_SIZES = ("meta/original_size", "meta/task/original_size", "meta/job/original_size")
_FRAME_NAME = re.compile(r"frame_([0-9]{6,12})(\.[A-Za-z]+)?")


def write(package: ExportPackage) -> tuple[Path, ...]:
    """Write what CVAT tasks of videos are made from, one task for each video.

    Parameters
    ----------
    package : ExportPackage
        The export.

    Returns
    -------
    tuple of Path
        The folder ``cvat-video``; in it, for each video, the file to make the task from (frame k is number k of
        the video's sequence in ``export.json``), ``NAME.xml`` where labels are there already; and ``labels.json``.

    Raises
    ------
    AnnotationError
        If an object has neither box nor mask, or a text has a character that XML cannot hold.
    VideoError
        If this PyAV has no FFV1 encoder.

    Notes
    -----
    The video is FFV1 in Matroska: CVAT gets every pixel of the pictures, in frames of their own. Boxes of one track
    become a track, which is closed on the frame after each label, so that CVAT fills in nothing between picks. CVAT
    has no tracks of masks and takes the first one of such a track only: each mask is a track by itself here, and the
    attribute ``track_id`` says which belong together, also where CVAT numbers tracks anew.
    """
    from evfr._core.atomic import atomic_write_bytes
    from evfr.verbs._tool_cvat import write_labels
    from evfr.verbs._tool_sequence import video_stem, write_video

    folder = package.folder / FOLDER
    made = [folder]
    for video in package.videos:
        frames = package.sequence(video.video_id)
        stem = video_stem(package, video.video_id)
        made.append(write_video(package, frames, folder / f"{stem}.mkv", kind="ffv1"))
        if package.labels is not None:
            path = folder / f"{stem}.xml"
            atomic_write_bytes(path, "\n".join(_xml(package, video.video_id, frames)).encode())
            made.append(path)
    made += write_labels(package, folder)
    return tuple(made)


def read(path: Path, package: ExportPackage) -> VideoAnnotations:
    """Read what CVAT exports of such a task, "CVAT for video 1.1" or "CVAT for images 1.1", by picture.

    Parameters
    ----------
    path : Path
        The XML, or the zip or folder with ``annotations.xml``.
    package : ExportPackage
        The export.

    Returns
    -------
    VideoAnnotations
        One video a picture, named as in the export: all to label, and those of context that have objects. What the
        file does not list is not filled in: CVAT writes every frame on which an object is, and leaves out the end of
        single shapes near the end of a task.

    Raises
    ------
    AnnotationError
        If it is no such file, names no video of the export, or has another number of frames than its video.

    Notes
    -----
    The video is found by the name of its file, which CVAT writes under ``source``, or by the name of the task; its
    frames by their numbers, which are those of the file that the export wrote.
    """
    from evfr.annotations._cvat import read_cvat
    from evfr.verbs._tool_sequence import by_picture, find_video

    root = _root(path)
    if root.find("meta/project") is not None:
        raise AnnotationError(f"{path} is the export of a whole project; export each task by itself")
    said = [
        root.findtext(f"meta/{key}") for key in ("source", "task/source", "task/name", "job/name", "name")
    ]
    frames = find_video(package, [text.strip() for text in said if text], str(path))
    width, height = frames[0].width, frames[0].height
    _check_sizes(root, (width, height), path)
    if root.find("image") is not None:
        labels = read_cvat(path, stills=True)
        numbers = [_number_of(video.video_id, path) for video in labels.videos]
        rows = [replace(row, frame_index=_number_of(row.video_id, path)) for row in labels.objects()]
    else:
        labels = read_cvat(path, width=width, height=height)
        numbers = labels.videos[0].frame_index.tolist()
        listed = _listed(root)
        rows = [row for row in labels.objects() if (row.track_id, row.frame_index) in listed]
    _check_count(root, numbers, frames, path)
    rows = _tracked(rows, is_video=root.find("image") is None, where=str(path))
    of_frame: dict[int, list[ObjectRow]] = defaultdict(list)
    for row in rows:
        of_frame[row.frame_index].append(row)
    taken = [k for k in numbers if frames[k].role == "label" or of_frame[k]]
    return by_picture([(frames[k].name, width, height, of_frame[k]) for k in taken], labels.categories)


def _root(path: Path) -> Element:
    from evfr.annotations._paths import open_place, read_bytes
    from evfr.annotations._xml import parse_xml

    if not path.is_dir() and path.suffix.lower() != ".zip":
        return parse_xml(read_bytes(path), path)
    with open_place(path) as place:
        names = [name for name in place.names if name.rsplit("/", 1)[-1] == "annotations.xml"]
        if len(names) != 1:
            raise AnnotationError(
                f"{path} holds {len(names)} files annotations.xml; give one export of one task"
            )
        return parse_xml(place.read(names[0]), path)


def _listed(root: Element) -> set[tuple[int, int]]:
    """Return (track, frame) of every shape that the file lists in view; `read_cvat` has checked them."""
    return {
        (int(float(track.get("id", "-1"))), int(float(shape.get("frame", "-1"))))
        for track in root.iterfind("track")
        for shape in track
        if shape.get("frame") is not None and shape.get("outside", "0") == "0"
    }


def _check_sizes(root: Element, size: tuple[int, int], path: Path) -> None:
    from evfr.annotations._parse import whole

    stated = [found for place in _SIZES if (found := root.find(place)) is not None]
    texts = [(element.findtext("width"), element.findtext("height")) for element in stated]
    texts += [(image.get("width"), image.get("height")) for image in root.iterfind("image")]
    for across, down in texts:
        width, height = whole(across, str(path), "the width"), whole(down, str(path), "the height")
        if (width, height) != size:
            raise AnnotationError(
                f"{path}: the pictures have {width}x{height} pixels, the exported video {size[0]}x{size[1]}; make "
                "the task from the file that was exported"
            )


def _number_of(name: str, path: Path) -> int:
    match = _FRAME_NAME.fullmatch(name.rpartition("/")[2])
    if match is None:
        raise AnnotationError(
            f"{path}: the picture {name[:60]!r} is no frame of a video (frame_000012), as CVAT names them; a task of "
            "pictures is read with format='cvat'"
        )
    return int(match[1])


def _check_count(root: Element, numbers: Sequence[int], frames: Sequence[ExportFrame], path: Path) -> None:
    """Compare the frames of the task with those of the video; a task may leave out some, a job has a part."""
    count = len(frames)
    is_part = root.find("meta/task") is None or bool(root.findtext("meta/task/frame_filter"))
    if (numbers and max(numbers) >= count) or (not is_part and len(numbers) != count):
        raise AnnotationError(
            f"{path} has {len(numbers)} frames, up to number {max(numbers, default=-1)}, the exported video has "
            f"{count}; make the task from the file that was exported, without leaving out frames"
        )


def _tracked(rows: Sequence[ObjectRow], *, is_video: bool, where: str) -> list[ObjectRow]:
    """Give rows the track that the attribute says; other tracks of the file get free numbers."""
    from evfr._core.annotations import NO_TRACK
    from evfr.annotations._parse import whole

    if not is_video:
        return list(rows)  # read_cvat has done so
    said = []
    for row in rows:
        attributes = dict(row.attributes)
        text = str(attributes.pop("track_id", "")).strip()
        track = None if text == "" else whole(text, where, "the attribute track_id", least=0)
        said.append((replace(row, attributes=attributes), track))
    free = max((track for _, track in said if track is not None), default=0) + 1
    new: dict[int, int] = {}
    counts: dict[int, int] = defaultdict(int)
    for row, _ in said:
        counts[row.track_id] += 1
    out = []
    for row, track in said:
        if track is None and counts[row.track_id] == 1:
            track = NO_TRACK  # a single shape: CVAT writes it as a track of its own
        elif track is None:
            track = new.setdefault(row.track_id, free + len(new))
        out.append(replace(row, track_id=track))
    return out


def _xml(package: ExportPackage, video_id: str, frames: Sequence[ExportFrame]) -> Iterator[str]:
    from evfr._core.annotations import NO_TRACK
    from evfr.annotations._xml import tag

    assert package.labels is not None
    places = {frame.frame_index: place for place, frame in enumerate(frames)}
    groups: dict[tuple[int, ...], list[ObjectRow]] = defaultdict(list)
    for number, row in enumerate(package.labels.objects()):
        if row.video_id == video_id:
            is_alone = row.mask is not None or row.track_id == NO_TRACK
            groups[(-1, number) if is_alone else (row.track_id, row.category_id)].append(row)
    names = {category.category_id: category.name for category in package.categories}
    yield '<?xml version="1.0" encoding="utf-8"?>'
    yield "<annotations>"
    yield tag("version", {}, "1.1")
    yield from _meta(package, video_id, frames)
    for number, rows in enumerate(groups.values()):
        source = "manual" if all(row.source == "human" for row in rows) else "auto"
        head = {"id": str(number), "label": names[rows[0].category_id], "source": source}
        yield tag("track", head, is_open=True)
        at = {places[row.frame_index] for row in rows}
        for row in rows:
            place = places[row.frame_index]
            yield from _shape(row, place, frames[place], is_outside=False)
            if place + 1 < len(frames) and place + 1 not in at:
                yield from _shape(row, place + 1, frames[place], is_outside=True)
        yield "</track>"
    yield "</annotations>\n"


def _meta(package: ExportPackage, video_id: str, frames: Sequence[ExportFrame]) -> Iterator[str]:
    """Yield what CVAT itself writes at the head of such a file; it does not read it, other programs do."""
    from evfr.annotations._xml import tag
    from evfr.verbs._tool_cvat import label_constructor
    from evfr.verbs._tool_sequence import video_stem

    stem = video_stem(package, video_id)
    yield "<meta><task>"
    yield tag("name", {}, stem) + tag("size", {}, str(len(frames))) + tag("mode", {}, "interpolation")
    yield tag("start_frame", {}, "0") + tag("stop_frame", {}, str(len(frames) - 1))
    yield "<labels>"
    for label in label_constructor(package):
        yield "<label>" + tag("name", {}, label["name"]) + "<attributes>"
        for item in label["attributes"]:
            yield "<attribute>" + tag("name", {}, item["name"]) + tag("mutable", {}, "True")
            yield tag("input_type", {}, item["input_type"])
            yield tag("default_value", {}, item["default_value"]) + tag("values", {}, item["values"][0])
            yield "</attribute>"
        yield "</attributes></label>"
    yield "</labels></task><original_size>"
    yield tag("width", {}, str(frames[0].width)) + tag("height", {}, str(frames[0].height))
    yield f"</original_size>{tag('source', {}, f'{stem}.mkv')}</meta>"


def _shape(row: ObjectRow, place: int, frame: ExportFrame, *, is_outside: bool) -> Iterator[str]:
    from evfr._core.annotations import NO_TRACK
    from evfr.annotations._cvat_shapes import crop_runs
    from evfr.annotations._parse import extra_facts, plain
    from evfr.annotations._xml import tag

    facts = extra_facts(row, *_NO_FIELD)
    if row.track_id != NO_TRACK:
        facts["track_id"] = row.track_id
    fields = {
        "frame": str(place),
        "keyframe": "1",
        "outside": str(int(is_outside)),
        "occluded": str(int(facts.pop("occluded", False) is True)),
        "z_order": str(facts.pop("z_order", 0)),
    }
    if row.mask is not None:
        kind = "mask"
        fields |= crop_runs(row.mask)
    elif row.box_xyxy is not None:
        kind = "box"
        fields |= dict(zip(("xtl", "ytl", "xbr", "ybr"), map(plain, row.box_xyxy), strict=True))
    else:
        raise AnnotationError(
            f"{frame.name}: an object with track {row.track_id} has neither box nor mask; leave it out"
        )
    yield tag(kind, fields, is_open=True)
    for name, value in facts.items():
        yield tag("attribute", {"name": name}, str(value).lower() if isinstance(value, bool) else str(value))
    yield f"</{kind}>"

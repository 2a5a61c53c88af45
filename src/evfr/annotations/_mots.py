"""MOTS and KITTI MOTS: masks with object ids (class * 1000 + instance), as text of run lengths or 16-bit PNG."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import Literal

import numpy as np

from evfr._core.annotations import NO_TRACK, Category, ObjectRow, VideoAnnotations
from evfr._core.atomic import atomic_write_bytes
from evfr._core.masks import Rle, intersection_area
from evfr.annotations._numbering import Numbering
from evfr.annotations._parse import decode_text, named_categories, only_video, read_text, whole
from evfr.annotations._paths import open_place, safe_name
from evfr.annotations._png import frame_number, read_png, write_png
from evfr.annotations._sequence import annotated_video, sequence_info, sequence_name
from evfr.errors import AnnotationError

__all__ = ["IGNORE_CLASS", "IGNORE_ID", "MOTS_CLASSES", "looks_like_mots", "read_mots", "write_mots"]

MOTS_CLASSES = ("car", "pedestrian")
"""Classes 1 and 2 (Voigtlaender et al. 2019)."""

IGNORE_CLASS = 10
IGNORE_ID = 10_000
"""Class and id of regions that count neither way; in memory a crowd without a track."""

_IGNORE = Category(IGNORE_CLASS, "ignore")


def read_mots(
    path: Path,
    *,
    start: int | None = None,
    stride: int = 1,
    first_frame: int = 0,
    length: int | None = None,
    categories: Sequence[str] = MOTS_CLASSES,
    video_id: str | None = None,
) -> VideoAnnotations:
    """Read masks of MOTS or KITTI MOTS (Voigtlaender et al. 2019), text or PNG.

    Parameters
    ----------
    path : Path
        A text file of lines "frame id class height width rle"; or a folder or zip of such files (one a video), or of
        16-bit PNG files, one a frame and one folder a video, with class * 1000 + instance in each pixel. The name of
        a PNG ends in the frame's number.
    start : int or None
        The number of ``first_frame``: 0 in KITTI MOTS, 1 in MOTS Challenge. None: 1 if a ``seqinfo.ini`` stands
        beside (the Challenge's layout), 0 if a frame 0 occurs; else it cannot be known and is an error.
    stride, first_frame : int
        Number n is frame ``first_frame + (n - start) * stride``.
    length : int or None
        How many frames are numbered: then all of them count as annotated. None: from seqinfo.ini; else those with a
        line or a PNG. One video only.
    categories : sequence of str
        Names of classes 1, 2, ...; class 10 is the ignore region unless ten names are given.
    video_id : str or None
        Name of the video; None: of the sequence, folder or file. One video only.

    Returns
    -------
    VideoAnnotations
        ``track_id`` is the object's whole id (2005 for pedestrian 5). Ignore regions are crowds of class 10 without
        a track.

    Raises
    ------
    AnnotationError
        If numbering is not known, a line or picture is wrong, a class is unknown, or an id is twice in a frame.
    ValueError
        If ``categories`` is not allowed.

    References
    ----------
    Voigtlaender, Krause, Osep, Luiten, Sekar, Geiger & Leibe, "MOTS: Multi-object tracking and segmentation", CVPR
    2019, arXiv 1902.03604.
    """
    path = Path(path)
    known = named_categories(categories)
    if len(known) >= 1000:
        raise ValueError(f"ids of MOTS leave room for fewer than 1000 classes, got {len(known)}")
    if len(known) < IGNORE_CLASS:
        known = (*known, _IGNORE)
    parts: list[tuple[str, list[ObjectRow], list[int], tuple[int, int]]] = []
    if path.is_file() and path.suffix.lower() != ".zip":
        info = sequence_info(path)
        if info is not None:
            start = 1 if start is None else start
            length = info.length if length is None else length
        name = info.name if info is not None else sequence_name(path)
        parts.append(_text_part(str(path), read_text(path), name, known, info and (info.height, info.width)))
    else:
        with open_place(path) as place:
            texts = [name for name in place.names if name.lower().endswith(".txt")]
            pictures = [name for name in place.names if name.lower().endswith(".png")]
            if bool(texts) == bool(pictures):
                raise AnnotationError(
                    f"{path} holds {len(texts)} text files and {len(pictures)} PNG files; give a folder with either"
                )
            for name in sorted(texts, key=lambda name: PurePosixPath(name).stem):
                text = decode_text(place.read(name), f"{path}/{name}")
                parts.append(_text_part(f"{path}/{name}", text, PurePosixPath(name).stem, known, None))
            folders = defaultdict(list)
            for name in pictures:
                folders[PurePosixPath(name).parent].append(name)
            for folder, names in sorted(folders.items(), key=lambda item: item[0].name):
                read = ((f"{path}/{name}", frame_number(name, str(path)), place.read(name)) for name in names)
                parts.append(_png_part(folder.name or path.stem, read, known))
    if len(parts) > 1 and (video_id is not None or length is not None):
        raise AnnotationError(f"{path} holds {len(parts)} videos; video_id and length are for one")
    if start is None:
        numbers = [number for _, _, frames, _ in parts for number in frames]
        if 0 not in numbers:
            raise AnnotationError(
                f"{path}: frames are numbered from {min(numbers, default=0)}, and nothing says whether the first is "
                "0 or 1; give start=0 (KITTI MOTS) or start=1 (MOTS Challenge)"
            )
        start = 0
    numbering = Numbering(start, stride, first_frame)
    videos, rows = [], []
    for name, objects, frames, (height, width) in parts:
        name = video_id or name
        index = sorted(numbering.index_of(number, f"{path}, video {name!r}") for number in frames)
        videos.append(annotated_video(str(path), name, (width, height), index, numbering, length, True))
        rows += [
            replace(row, video_id=name, frame_index=numbering.index_of(row.frame_index, name))
            for row in objects
        ]
    return VideoAnnotations.build(videos, known, rows)


def _row(
    number: int, category: int, object_id: int, mask: Rle, known: tuple[Category, ...], where: str
) -> ObjectRow:
    ids = [c.category_id for c in known]
    if category not in ids:
        raise AnnotationError(f"{where}: unknown class {category}, known are {ids[:20]}; give categories=")
    is_ignored = known[-1] is _IGNORE and category == IGNORE_CLASS
    return ObjectRow(
        "", number, category, NO_TRACK if is_ignored else object_id, None, mask, is_crowd=is_ignored
    )


def _text_part(
    file: str, text: str, name: str, known: tuple[Category, ...], size: tuple[int, int] | None
) -> tuple[str, list[ObjectRow], list[int], tuple[int, int]]:
    rows: list[ObjectRow] = []
    seen: dict[tuple[int, int], int] = {}
    for place, line in enumerate(text.splitlines(), start=1):
        if not line.strip():
            continue
        where = f"{file}, line {place}"
        fields = line.split()
        if len(fields) != 6:
            raise AnnotationError(
                f"{where}: a line of MOTS text has 6 columns (frame id class height width rle), got {len(fields)}"
            )
        frame, object_id, category = (
            whole(fields[k], where, ("the frame", "the id", "the class")[k], least=0) for k in range(3)
        )
        height, width = (whole(fields[k], where, ("the height", "the width")[k - 3], least=1) for k in (3, 4))
        if size is not None and size != (height, width):
            raise AnnotationError(
                f"{where}: a mask of {width}x{height} pixels in a video of {size[1]}x{size[0]}; one file is one size"
            )
        size = (height, width)
        try:
            mask = Rle.from_coco({"size": size, "counts": fields[5]})
        except ValueError as error:
            raise AnnotationError(f"{where}: {error}") from error
        row = _row(frame, category, object_id, mask, known, where)
        if not row.is_crowd and (frame, object_id) in seen:
            raise AnnotationError(
                f"{where}: id {object_id} is already in frame {frame}, at line {seen[frame, object_id]}"
            )
        seen[frame, object_id] = place
        rows.append(row)
    if size is None:
        raise AnnotationError(f"{file} has no line, so the size of the pictures is not known; leave it out")
    return name, rows, sorted({row.frame_index for row in rows}), size


def _png_part(
    name: str, pictures: Iterable[tuple[str, int, bytes]], known: tuple[Category, ...]
) -> tuple[str, list[ObjectRow], list[int], tuple[int, int]]:
    rows: list[ObjectRow] = []
    frames: list[int] = []
    size: tuple[int, int] | None = None
    for where, frame, data in pictures:
        ids = read_png(data, where, ("I;16", "I;16B", "I"))
        if size is not None and ids.shape != size:
            raise AnnotationError(
                f"{where}: {ids.shape[1]}x{ids.shape[0]} pixels in a video of {size[1]}x{size[0]}; one folder "
                "is one size"
            )
        if frame in frames:
            raise AnnotationError(f"{where}: there is another picture of frame {frame}; give each frame one")
        size = (ids.shape[0], ids.shape[1])
        frames.append(frame)
        rows += [
            _row(frame, object_id // 1000, object_id, Rle.from_mask(ids == object_id), known, where)
            for object_id in np.unique(ids[ids != 0]).tolist()
        ]
    assert size is not None  # a folder is listed because it has a picture
    return name, rows, frames, size


def write_mots(
    annotations: VideoAnnotations,
    path: Path,
    *,
    kind: Literal["text", "png"] = "text",
    start: int = 0,
    stride: int = 1,
    first_frame: int = 0,
    renumber: bool = False,
) -> Path:
    """Write masks as MOTS text (one video, one file) or as a folder of 16-bit PNG (one folder a video).

    Parameters
    ----------
    annotations : VideoAnnotations
        Masks that share no pixel, as MOTS demands. Crowds become ignore regions (class 10, id 10000).
    path : Path
        The text file; or the folder that gets ``VIDEO/000000.png`` for each annotated frame.
    kind : {"text", "png"}
        Text holds only frames with objects; PNG all annotated ones.
    start, stride, first_frame : int
        Frame ``first_frame + k * stride`` gets the number ``start + k``: start 0 for KITTI MOTS, 1 for MOTS Challenge.
    renumber : bool
        Give each track a new id, class * 1000 + 1, 2, ..., in the order of track ids. False: track ids must be of
        that form already.

    Returns
    -------
    Path
        ``path``.

    Raises
    ------
    AnnotationError
        If text is asked for several videos, an object has no mask (PNG: an empty one) or no track, masks overlap, a
        track changes its class, or an id is not class * 1000 + instance.
    ValueError
        If ``kind`` is not allowed.
    StoreError
        If a file cannot be written.
    """
    if kind not in ("text", "png"):
        raise ValueError(f"kind must be 'text' or 'png', got {kind!r}")
    path = Path(path)
    if kind == "text":
        only_video(annotations.videos, path, "mots")
    numbering = Numbering(start, stride, first_frame)
    lines = []
    for video in annotations.videos:
        ids = _object_ids(annotations, video.video_id, renumber)
        for frame in video.frame_index.tolist():
            number = numbering.number_of(frame, f"video {video.video_id!r}")
            rows = annotations.rows_at(video.video_id, frame)
            picture = np.zeros((video.height, video.width), np.uint16)
            masks: list[tuple[int, Rle]] = []
            for row in rows.tolist():
                where = f"video {video.video_id!r}, frame {frame}, track {int(annotations.track_id[row])}"
                mask = annotations.masks[row]
                if mask is None:
                    raise AnnotationError(f"{where}: MOTS holds masks, this object has none; leave it out")
                object_id = IGNORE_ID if annotations.is_crowd[row] else ids[int(annotations.track_id[row])]
                if kind == "png" and mask.is_empty:
                    raise AnnotationError(
                        f"{where}: an empty mask leaves nothing in a PNG; leave the object out"
                    )
                for other, taken in masks:
                    if intersection_area(mask, taken):
                        raise AnnotationError(
                            f"{where}: its mask shares pixels with that of {other}, which MOTS does not allow; make "
                            "them disjoint or write another format"
                        )
                masks.append((object_id, mask))
                category = IGNORE_CLASS if object_id == IGNORE_ID else int(annotations.category_id[row])
                counts = mask.to_coco()["counts"]
                lines.append(f"{number} {object_id} {category} {video.height} {video.width} {counts}\n")
                if kind == "png":
                    picture[mask.to_mask()] = object_id
            if kind == "png":
                folder = path / safe_name(video.video_id, "the name of a video")
                atomic_write_bytes(folder / f"{number:06d}.png", write_png(picture))
    if kind == "text":
        atomic_write_bytes(path, "".join(lines).encode())
    return path


def _object_ids(annotations: VideoAnnotations, video_id: str, renumber: bool) -> dict[int, int]:
    """Return the object id of each track of a video."""
    part = annotations.of_video(video_id)
    classes: dict[int, int] = {}
    for track, category, is_crowd, frame in zip(
        part.track_id.tolist(),
        part.category_id.tolist(),
        part.is_crowd.tolist(),
        part.frame_index.tolist(),
        strict=True,
    ):
        if is_crowd:
            continue
        where = f"video {video_id!r}, frame {frame}, track {track}"
        if track == NO_TRACK:
            raise AnnotationError(f"{where}: MOTS needs a track for each object; give tracks")
        if classes.setdefault(track, category) != category:
            raise AnnotationError(
                f"{where}: the track changes from class {classes[track]} to {category}, but an id of MOTS has one "
                "class; give the parts tracks of their own"
            )
    ids: dict[int, int] = {}
    used: dict[int, int] = defaultdict(int)
    for track in sorted(classes):
        category = classes[track]
        used[category] += 1
        ids[track] = category * 1000 + used[category] if renumber else track
        is_right = (
            category >= 1 and ids[track] // 1000 == category and ids[track] < 65536 and used[category] < 1000
        )
        if not is_right or ids[track] == IGNORE_ID:
            raise AnnotationError(
                f"video {video_id!r}: track {track} of class {category} is no id of MOTS, which is class * 1000 + "
                "instance (at most 65535, not 10000); give renumber=True, or map the classes to 1, 2, ... first"
            )
    return ids


def looks_like_mots(path: Path) -> bool:
    """Whether the first line is "frame id class height width rle" (files only)."""
    try:
        with path.open("rb") as stream:
            line = stream.readline(1 << 20).decode("utf-8-sig")
        fields = line.split()
        return len(fields) == 6 and all(field.isdecimal() for field in fields[:5])
    except (OSError, ValueError):
        return False

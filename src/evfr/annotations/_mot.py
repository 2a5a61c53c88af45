"""MOT Challenge text: one line per box, "frame,id,left,top,width,height,flag or confidence,class,visibility"."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from evfr._core.annotations import NO_TRACK, Category, ObjectRow, VideoAnnotations
from evfr._core.atomic import atomic_write_bytes
from evfr.annotations._numbering import Numbering
from evfr.annotations._parse import named_categories, number, only_video, plain, read_text, shown, whole
from evfr.annotations._sequence import annotated_video, sequence_info, sequence_name
from evfr.errors import AnnotationError

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["MOT_CLASSES", "looks_like_mot", "read_mot", "write_mot"]

MOT_CLASSES = (
    "pedestrian",
    "person on vehicle",
    "car",
    "bicycle",
    "motorbike",
    "non motorized vehicle",
    "static person",
    "distractor",
    "occluder",
    "occluder on the ground",
    "occluder full",
    "reflection",
    "crowd",
)
"""Classes 1 to 13 of MOT16 and later (Milan et al. 2016, Table 3)."""

_FILES = {"truth": "gt/gt.txt", "detected": "det/det.txt"}
_WORLD = ("world_x", "world_y", "world_z")


def read_mot(
    path: Path,
    *,
    kind: Literal["truth", "detected"] = "truth",
    start: int = 1,
    stride: int = 1,
    first_frame: int = 0,
    first_pixel: int = 1,
    width: int | None = None,
    height: int | None = None,
    length: int | None = None,
    annotated: Literal["all", "listed"] = "all",
    categories: Sequence[str] | None = None,
    video_id: str | None = None,
) -> VideoAnnotations:
    """Read the boxes of one sequence in MOT Challenge text (Milan et al. 2016, section 3.3).

    Parameters
    ----------
    path : Path
        The text file, or the folder of a sequence (with ``seqinfo.ini`` and ``gt/gt.txt`` or ``det/det.txt``). A
        ``seqinfo.ini`` beside the file, or beside its folder ``gt`` or ``det``, gives name, length and size.
    kind : {"truth", "detected"}
        ``"truth"``: the seventh column is a flag, and boxes with 0 get the attribute ``ignored``. ``"detected"``
        (detections and tracker results): it is the confidence, -1 is none; an id of -1 is no track.
    start, stride, first_frame : int
        Number n in the first column is frame ``first_frame + (n - start) * stride``; official files start with 1.
    first_pixel : {0, 1}
        Coordinate of the first pixel's left and top edge: 1 in the official files (their tools count pixels from
        1), 0 in files of tools that count from 0.
    width, height : int or None
        Size of the pictures that the coordinates refer to; None: from seqinfo.ini.
    length : int or None
        How many frames are numbered; None: from seqinfo.ini.
    annotated : {"all", "listed"}
        Which frames count as annotated: all of the sequence where its length is known (as the Challenge means it),
        or those with a line.
    categories : sequence of str or None
        Names of classes 1, 2, ...; None: from ``labels.txt`` beside the file, else `MOT_CLASSES`. A line without a
        class, or with -1, has class 1.
    video_id : str or None
        Name of the video; None: of the sequence, else of the file.

    Returns
    -------
    VideoAnnotations
        One video. Lines of ten columns (MOT15) have world coordinates instead of a class: attributes ``world_x``,
        ``world_y``, ``world_z``, left out where all three are -1.

    Raises
    ------
    AnnotationError
        If the size is not known, a line is wrong, a box is no box, or a track is twice in a frame.
    ValueError
        If an option is not allowed.

    References
    ----------
    Milan, Leal-Taixe, Reid, Roth & Schindler, "MOT16: A benchmark for multi-object tracking", arXiv 1603.00831.
    """
    if kind not in _FILES:
        raise ValueError(f"kind must be 'truth' or 'detected', got {kind!r}")
    if annotated not in ("all", "listed"):
        raise ValueError(f"annotated must be 'all' or 'listed', got {annotated!r}")
    if first_pixel not in (0, 1):
        raise ValueError(f"first_pixel must be 0 or 1, got {first_pixel!r}")
    path = Path(path)
    file = path / _FILES[kind] if path.is_dir() else path
    info = sequence_info(file)
    names = named_categories(categories) if categories is not None else _categories_beside(file)
    if info is not None:
        width = info.width if width is None else width
        height = info.height if height is None else height
        length = info.length if length is None else length
        video_id = video_id or info.name
    if width is None or height is None:
        raise AnnotationError(
            f"{file}: MOT text does not say the size of the pictures, and no seqinfo.ini stands beside it; give "
            "width= and height= of the pictures that the coordinates refer to"
        )
    name = video_id or sequence_name(file)
    numbering = Numbering(start, stride, first_frame)
    rows = list(_rows(file, read_text(file), kind, numbering, first_pixel, names, name))
    listed = sorted({row.frame_index for row in rows})
    video = annotated_video(str(file), name, (width, height), listed, numbering, length, annotated == "all")
    return VideoAnnotations.build([video], names, rows)


def _rows(
    file: Path,
    text: str,
    kind: str,
    numbering: Numbering,
    first_pixel: int,
    categories: tuple[Category, ...],
    video_id: str,
) -> Iterator[ObjectRow]:
    seen: dict[tuple[int, int], int] = {}
    for place, line in enumerate(text.splitlines(), start=1):
        if not line.strip():
            continue
        where = f"{file}, line {place}"
        fields = line.rstrip().rstrip(",").split(",")
        if not 6 <= len(fields) <= 10:
            raise AnnotationError(f"{where}: a line of MOT text has 6 to 10 columns, got {len(fields)}")
        frame = numbering.index_of(whole(fields[0], where, "the frame"), where)
        track = whole(fields[1], where, "the id", least=-1)
        left, top = (number(fields[k], where, ("left", "top")[k - 2]) - first_pixel for k in (2, 3))
        across, down = (
            number(fields[k], where, ("the width", "the height")[k - 4], least=0.0) for k in (4, 5)
        )
        attributes: dict[str, str | int | float | bool] = {}
        score = math.nan
        if len(fields) > 6:
            confidence = number(fields[6], where, "the seventh column")
            if kind == "detected":
                score = math.nan if confidence == -1 else confidence
            elif confidence == 0:
                attributes["ignored"] = True
            elif confidence != 1:
                raise AnnotationError(
                    f"{where}: the flag of a true box is 0 or 1, got {plain(confidence)}; detections and results are "
                    "read with kind='detected'"
                )
        category = 1
        if len(fields) == 10:
            world = [number(fields[k], where, "a world coordinate") for k in (7, 8, 9)]
            if world != [-1.0, -1.0, -1.0]:
                attributes.update(zip(_WORLD, world, strict=True))
        else:
            if len(fields) > 7:
                stated = whole(fields[7], where, "the class")
                category = 1 if stated == -1 else stated
                if not 1 <= category <= len(categories):
                    raise AnnotationError(
                        f"{where}: unknown class {category}, known are 1 to {len(categories)}; give categories="
                    )
            if len(fields) > 8 and (visibility := number(fields[8], where, "the visibility")) != -1:
                attributes["visibility"] = visibility
        if track == NO_TRACK:
            if kind == "truth":
                raise AnnotationError(
                    f"{where}: the id of a true box is 0 or more; detections are read with kind='detected'"
                )
        elif (frame, track) in seen:
            raise AnnotationError(
                f"{where}: id {track} is already in this frame, at line {seen[frame, track]}"
            )
        seen[frame, track] = place
        yield ObjectRow(
            video_id,
            frame,
            category,
            track,
            (left, top, left + across, top + down),
            score=score,
            source="human" if kind == "truth" else "detected",
            attributes=attributes,
        )


def _categories_beside(file: Path) -> tuple[Category, ...]:
    place = file.parent / "labels.txt"
    if not place.is_file() or place == file:
        return named_categories(MOT_CLASSES)
    names = [line.strip() for line in read_text(place).splitlines() if line.strip()]
    try:
        return named_categories(names)
    except ValueError as error:
        raise AnnotationError(f"{place}: {error}") from error


def write_mot(
    annotations: VideoAnnotations,
    path: Path,
    *,
    kind: Literal["truth", "detected"] = "truth",
    start: int = 1,
    stride: int = 1,
    first_frame: int = 0,
    first_pixel: int = 1,
) -> Path:
    """Write the boxes of one video as MOT Challenge text, nine columns.

    Parameters
    ----------
    annotations : VideoAnnotations
        One video. Objects with a mask only get its tight box.
    path : Path
        A name that ends in ``.txt`` is the text file alone. Any other is a folder that gets ``seqinfo.ini``,
        ``gt/gt.txt`` (or ``det/det.txt``) and ``labels.txt``, so that size, name, classes and length (up to the last
        annotated frame, where the video's is not known) are kept.
    kind : {"truth", "detected"}
        What the seventh column is: the flag, 0 for crowds and objects with the attribute ``ignored``, or the score
        (-1 where there is none).
    start, stride, first_frame : int
        Frame ``first_frame + k * stride`` gets the number ``start + k``.
    first_pixel : {0, 1}
        Coordinate of the first pixel's edge.

    Returns
    -------
    Path
        ``path``.

    Raises
    ------
    AnnotationError
        If there is not exactly one video, an object has no box, a true object has no track, a frame has no number,
        or categories are not 1, 2, ... without a gap.
    ValueError
        If an option is not allowed.
    StoreError
        If the file cannot be written.
    """
    if kind not in _FILES:
        raise ValueError(f"kind must be 'truth' or 'detected', got {kind!r}")
    if first_pixel not in (0, 1):
        raise ValueError(f"first_pixel must be 0 or 1, got {first_pixel!r}")
    path = Path(path)
    video = only_video(annotations.videos, path, "mot")
    numbering = Numbering(start, stride, first_frame)
    lines = []
    for row in annotations.with_boxes().objects():
        where = f"video {row.video_id!r}, frame {row.frame_index}, track {row.track_id}"
        if row.box_xyxy is None:
            raise AnnotationError(f"{where}: MOT text holds boxes, this object has none; leave it out")
        if kind == "truth" and row.track_id == NO_TRACK:
            raise AnnotationError(f"{where}: a true box needs a track; give tracks or kind='detected'")
        x0, y0, x1, y1 = row.box_xyxy
        if kind == "truth":
            seventh = "0" if row.is_crowd or row.attributes.get("ignored") else "1"
        else:
            seventh = "-1" if math.isnan(row.score) else plain(row.score)
        visibility = row.attributes.get("visibility", -1)
        if isinstance(visibility, str):
            raise AnnotationError(
                f"{where}: the attribute visibility must be a number, got {shown(visibility)}"
            )
        numbers = (x0 + first_pixel, y0 + first_pixel, x1 - x0, y1 - y0)
        lines.append(
            f"{numbering.number_of(row.frame_index, where)},{row.track_id},{','.join(map(plain, numbers))},{seventh},"
            f"{row.category_id},{plain(visibility)}\n"
        )
    names = [category.name for category in sorted(annotations.categories, key=lambda c: c.category_id)]
    if sorted(category.category_id for category in annotations.categories) != list(range(1, len(names) + 1)):
        raise AnnotationError(
            "classes of MOT text are numbered 1, 2, ... without a gap, these categories have the ids "
            f"{sorted(c.category_id for c in annotations.categories)}; map them first"
        )
    text = "".join(lines).encode()
    if path.suffix.lower() == ".txt":
        atomic_write_bytes(path, text)
        return path
    if any("\n" in name or name != name.strip() for name in [*names, video.video_id]):
        raise AnnotationError(
            "a name with a line break, or with blanks around it, cannot stand in labels.txt or seqinfo.ini"
        )
    last = (video.frame_count or max(video.frame_index.tolist(), default=first_frame) + 1) - 1
    length = (last - first_frame) // stride + 1
    info = f"[Sequence]\nname={video.video_id}\nseqLength={length}\nimWidth={video.width}\nimHeight={video.height}\n"
    file = path / _FILES[kind]
    atomic_write_bytes(file, text)
    atomic_write_bytes(file.parent / "labels.txt", "".join(f"{name}\n" for name in names).encode())
    atomic_write_bytes(path / "seqinfo.ini", info.encode())
    return path


def looks_like_mot(path: Path) -> bool:
    """Whether the first line has 6 to 10 numbers between commas (a folder: of its gt.txt or det.txt)."""
    files = [path / name for name in _FILES.values()] if path.is_dir() else [path]
    file = next((file for file in files if file.is_file()), None)
    if file is None:
        return False
    try:
        with file.open("rb") as stream:
            fields = stream.readline(2000).decode("utf-8-sig").strip().rstrip(",").split(",")
        return 6 <= len(fields) <= 10 and all(math.isfinite(float(field)) for field in fields)
    except (OSError, ValueError):
        return False

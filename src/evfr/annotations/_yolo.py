"""YOLO text: one file a frame, one line an object, numbers as shares of the picture's size (Ultralytics)."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from evfr._core.annotations import NO_TRACK, AnnotatedVideo, Category, ObjectRow, VideoAnnotations
from evfr._core.masks import Rle
from evfr.annotations._label_pictures import write_tree
from evfr.annotations._numbering import NamePattern, Numbering, place_files
from evfr.annotations._outline import outline
from evfr.annotations._palette import picture_size
from evfr.annotations._paths import open_place
from evfr.annotations._yaml_names import yaml_names
from evfr.errors import AnnotationError

if TYPE_CHECKING:
    from evfr.annotations._paths import Place

__all__ = ["read_yolo", "recognises_yolo", "write_yolo"]

Shape = Literal["box", "polygon"]
Extra = Literal["none", "score", "track", "score track"]

_EXTRAS: dict[str, tuple[str, ...]] = {
    "none": (),
    "score": ("score",),
    "track": ("track",),
    "score track": ("score", "track"),
}
_PICTURES = (".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".webp")
_SLACK = 1e-6


def read_yolo(
    path: str | Path,
    *,
    shape: Shape = "box",
    extra: Extra = "none",
    names: Sequence[str] | Mapping[int, str] | None = None,
    size: tuple[int, int] | Callable[[str], tuple[int, int]] | None = None,
    folder: str | None = None,
    pattern: str = "{frame:06d}.txt",
    start: int = 0,
    stride: int = 1,
    first_frame: int = 0,
    parse: Callable[[str], Any] | None = None,
    frames: Sequence[str] | Mapping[str, int] | None = None,
    video_id: str | None = None,
) -> VideoAnnotations:
    """Read YOLO labels: ``labels/<name>.txt`` with ``class x y w h`` or ``class x1 y1 x2 y2 ...`` (Ultralytics).

    Parameters
    ----------
    path : str or Path
        The folder or zip that holds ``labels`` (and perhaps ``images``, ``data.yaml``, ``classes.txt``).
    shape : {"box", "polygon"}
        What follows the class: centre and size of a box, or the corners of a polygon (a line of a box may stand among
        polygons).
    extra : {"none", "score", "track", "score track"}
        What stands at the end of each line. It cannot be told from the numbers, so it must be said.
    names : sequence of str or mapping of int to str, optional
        Names of the classes; otherwise ``names:`` of ``data.yaml`` or the lines of ``classes.txt``.
    size : (int, int) or callable, optional
        Width and height of the pictures in pixels, or what returns them for the path of a text file; otherwise those
        of the pictures of the same names in ``images``.
    folder : str, optional
        Where the text files lie; ``labels`` otherwise, if it is there.
    pattern, start, stride, first_frame, parse, frames, video_id
        Which frame a text file is, as in ``read_masks``.

    Returns
    -------
    VideoAnnotations
        A text file is an annotated frame, also an empty one. Category ids are the classes, from 0. Lines with a score
        are ``detected``.

    Raises
    ------
    AnnotationError
        If a line is wrong (file and line are named), a class has no name, or the size of a picture is not known.
    ValueError
        If an option is none of the above.

    Notes
    -----
    Shares are not clamped: a centre or a corner outside 0..1 is an error, for it means pixels or a wrong column.
    Polygons are filled as COCO does.
    """
    path = Path(path)
    if shape not in ("box", "polygon") or extra not in _EXTRAS:
        raise ValueError(
            f"shape must be 'box' or 'polygon' and extra one of {', '.join(_EXTRAS)}, got {shape!r} and {extra!r}"
        )
    if parse is not None and frames is not None:
        raise ValueError("give parse or frames, not both: each says which frame a file is")
    with open_place(path) as place:
        if folder is None:
            folder = "labels" if any(name.startswith("labels/") for name in place.names) else ""
        prefix = folder.strip("/") + "/" if folder.strip("/") else ""
        found = {
            name[len(prefix) :]: name
            for name in place.names
            if name.startswith(prefix) and name.endswith(".txt") and name != "classes.txt"
        }
        if not found:
            raise AnnotationError(f"{path} has no .txt file below {prefix or './'}; give folder=")
        categories = _categories(place, names)
        sizes = None if size else _Sizes(place, prefix)
        places = place_files(
            found,
            str(path),
            video_id=video_id or path.stem,
            pattern=pattern,
            numbering=Numbering(start, stride, first_frame),
            parse=parse,
            frames=frames,
        )
        known = {category.category_id for category in categories}
        index: dict[str, list[int]] = {}
        whole: dict[str, tuple[int, int]] = {}
        rows: list[ObjectRow] = []
        for item in places:
            where = f"{path}: {found[item.name]}"
            if sizes is None:
                own = size(item.name) if callable(size) else size or (0, 0)
            else:
                own = sizes.of(item.name, where)
            if whole.setdefault(item.video_id, own) != own:
                raise AnnotationError(
                    f"{where}: its picture has {own[0]}x{own[1]} pixels, those before "
                    f"{whole[item.video_id][0]}x{whole[item.video_id][1]}; frames of one video have one size"
                )
            index.setdefault(item.video_id, []).append(item.frame_index)
            lines = _lines(place.read(found[item.name]), where, shape, _EXTRAS[extra], known, own)
            rows += [
                ObjectRow(item.video_id, item.frame_index, category, **fields) for category, fields in lines
            ]
    videos = [AnnotatedVideo(name, *whole[name], np.array(own, np.int64)) for name, own in index.items()]
    try:
        return VideoAnnotations.build(videos, categories, rows)
    except AnnotationError as error:
        raise AnnotationError(f"{path}: {error}") from error


def recognises_yolo(path: Path) -> bool:
    """Whether a folder or zip has text files in ``labels`` and names of classes."""
    try:
        with open_place(path) as place:
            is_named = "classes.txt" in place.names or "data.yaml" in place.names
            return is_named and any(n.startswith("labels/") and n.endswith(".txt") for n in place.names)
    except AnnotationError:
        return False


class _Sizes:
    """Sizes of the pictures beside the labels, read from their headers."""

    def __init__(self, place: Place, prefix: str) -> None:
        self._place = place
        root = prefix.rstrip("/")
        images = "images/" if root in ("labels", "") else root.replace("labels", "images", 1) + "/"
        self._names = {
            str(PurePosixPath(name[len(images) :]).with_suffix("")): name
            for name in place.names
            if name.startswith(images) and name.lower().endswith(_PICTURES)
        }

    def of(self, name: str, where: str) -> tuple[int, int]:
        picture = self._names.get(str(PurePosixPath(name).with_suffix("")))
        if picture is None:
            raise AnnotationError(
                f"{where}: YOLO's numbers are shares of the picture, and there is no picture of this name in images/; "
                "give size=(width, height)"
            )
        return picture_size(self._place.read(picture), f"{self._place.path}: {picture}")


def _categories(place: Place, names: Sequence[str] | Mapping[int, str] | None) -> tuple[Category, ...]:
    if names is None:
        if "data.yaml" in place.names:
            text = _text(place.read("data.yaml"), f"{place.path}: data.yaml")
            names = yaml_names(text, f"{place.path}: data.yaml")
        elif "classes.txt" in place.names:
            lines = _text(place.read("classes.txt"), f"{place.path}: classes.txt").splitlines()
            names = [line.strip() for line in lines if line.strip()]
        else:
            raise AnnotationError(
                f"{place.path} has neither data.yaml nor classes.txt; give names=, the names of the classes in order"
            )
    pairs = names.items() if isinstance(names, Mapping) else enumerate(names)
    return tuple(Category(int(number), str(name)) for number, name in pairs)


def _text(data: bytes, where: str) -> str:
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise AnnotationError(f"{where} is no UTF-8 text: {error}") from error


def _lines(
    data: bytes,
    where: str,
    shape: Shape,
    extras: tuple[str, ...],
    known: set[int],
    size: tuple[int, int],
) -> Iterator[tuple[int, dict[str, Any]]]:
    for number, line in enumerate(_text(data, where).splitlines(), 1):
        words = line.split()
        if not words:
            continue
        at = f"{where}, line {number}"
        try:
            values = [float(word) for word in words]
        except ValueError as error:
            raise AnnotationError(f"{at}: every word must be a number, got {line[:80]!r}") from error
        if not all(math.isfinite(value) for value in values):
            raise AnnotationError(f"{at}: every number must be finite, got {line[:80]!r}")
        middle = values[1 : len(values) - len(extras)]
        is_polygon = shape == "polygon" and len(middle) >= 6 and len(middle) % 2 == 0
        if not is_polygon and len(middle) != 4:
            wanted = "4, or 6 or more (x and y of each corner)" if shape == "polygon" else "4 (x y w h)"
            raise AnnotationError(
                f"{at}: {len(middle)} numbers between the class and the {len(extras)} of extra=, but {shape} needs "
                f"{wanted}; give shape= and extra= as the file has them"
            )
        outside = [value for value in middle if not -_SLACK <= value <= 1 + _SLACK]
        if outside:
            raise AnnotationError(
                f"{at}: {outside[0]:g} is no share of the picture (0 to 1); are these pixels?"
            )
        category = values[0]
        if category not in known:
            raise AnnotationError(f"{at}: the class {category:g} has no name; known are {sorted(known)[:20]}")
        fields: dict[str, Any] = {}
        tail = dict(zip(extras, values[len(values) - len(extras) :], strict=True))
        if "score" in tail:
            fields |= {"score": tail["score"], "source": "detected"}
        if "track" in tail:
            track = tail["track"]
            if not track.is_integer() or not NO_TRACK <= track < 2**53:
                raise AnnotationError(f"{at}: the track must be a whole number of 0 or more, got {track:g}")
            fields["track_id"] = int(track)
        if is_polygon:
            corners = np.array(middle).reshape(-1, 2) * size
            fields["mask"] = Rle.from_polygons([corners.reshape(-1)], size[1], size[0])
        else:
            x, y, w, h = np.array(middle) * (*size, *size)
            fields["box_xyxy"] = (x - w / 2, y - h / 2, x + w / 2, y + h / 2)
        yield int(category), fields


def write_yolo(
    annotations: VideoAnnotations,
    path: str | Path,
    *,
    shape: Shape = "box",
    extra: Extra = "none",
    pattern: str | None = None,
    start: int = 0,
    stride: int = 1,
    first_frame: int = 0,
) -> Path:
    """Write YOLO labels: ``labels/<name>.txt``, ``classes.txt`` and ``data.yaml`` (Ultralytics).

    Parameters
    ----------
    annotations : VideoAnnotations
        The labels.
    path : str or Path
        A folder that is new or empty, or a path that ends in ``.zip``.
    shape : {"box", "polygon"}
        ``"box"``: the box, or that of the mask. ``"polygon"``: the outline of the mask; an object without a mask is
        written as a box.
    extra : {"none", "score", "track", "score track"}
        What to add to each line; every object must have it.
    pattern : str, optional
        The names: ``"{frame:06d}.txt"`` for one video, ``"{video}/{frame:06d}.txt"`` for several.
    start, stride, first_frame : int
        Frame ``first_frame + k * stride`` is number ``start + k``.

    Returns
    -------
    Path
        The folder or zip.

    Raises
    ------
    AnnotationError
        If an object cannot be written so: nothing but an empty mask, a centre outside the picture, no score or track.
    ValueError
        If an option is none of the above.

    Notes
    -----
    Classes are the categories in order, from 0; other ids are lost, as are sources, trust and the rest. An outline
    follows the edges of pixels; parts and holes are joined by bridges of no width, so that filling it gives back the
    mask exactly. Numbers have nine decimals.
    """
    path = Path(path)
    if shape not in ("box", "polygon") or extra not in _EXTRAS:
        raise ValueError(
            f"shape must be 'box' or 'polygon' and extra one of {', '.join(_EXTRAS)}, got {shape!r} and {extra!r}"
        )
    several = len(annotations.videos) > 1
    names = NamePattern(pattern or ("{video}/{frame:06d}.txt" if several else "{frame:06d}.txt"))
    if several and not names.has_video:
        raise AnnotationError(
            f"{path}: labels of {len(annotations.videos)} videos need {{video}} in pattern="
        )
    numbering = Numbering(start, stride, first_frame)
    classes = {category.category_id: number for number, category in enumerate(annotations.categories)}

    def files() -> Iterator[tuple[str, bytes]]:
        listed = [category.name for category in annotations.categories]
        if any(not name.strip() or name != name.strip() or "\n" in name or "\r" in name for name in listed):
            raise AnnotationError(
                f"{path}: names of classes must be one line of text each, got {listed[:20]}"
            )
        yield "classes.txt", "".join(f"{name}\n" for name in listed).encode()
        quoted = "".join(
            "  {}: '{}'\n".format(number, name.replace("'", "''")) for number, name in enumerate(listed)
        )
        head = "path: .\ntrain: images\nval: images\nnames:\n" if listed else "names: []\n"
        yield "data.yaml", (head + quoted).encode()
        for video in annotations.videos:
            part = annotations.of_video(video.video_id)
            objects = list(part.objects())
            size = (video.width, video.height)
            for frame in video.frame_index.tolist():
                where = f"video {video.video_id!r}, frame {frame}"
                rows = [objects[row] for row in part.rows_at(video.video_id, frame)]
                lines = [
                    _line(row, classes[row.category_id], size, shape, _EXTRAS[extra], where) for row in rows
                ]
                name = names.format(video.video_id, numbering.number_of(frame, where))
                yield f"labels/{name}", "".join(f"{line}\n" for line in lines).encode()

    return write_tree(path, files())


def _line(
    row: ObjectRow, number: int, size: tuple[int, int], shape: Shape, extras: tuple[str, ...], where: str
) -> str:
    at = f"{where}: the object with track {row.track_id}"
    if row.box_xyxy is None and (row.mask is None or row.mask.is_empty):
        raise AnnotationError(f"{at} has no box and no pixel; YOLO has no line for it: leave it out")
    if shape == "polygon" and row.mask is not None and not row.mask.is_empty:
        values = (outline(row.mask) / size).reshape(-1).tolist()
    else:
        x0, y0, x1, y1 = row.box_xyxy or (row.mask.box_xyxy if row.mask is not None else (0.0,) * 4)
        values = [(x0 + x1) / 2 / size[0], (y0 + y1) / 2 / size[1], (x1 - x0) / size[0], (y1 - y0) / size[1]]
        if not all(0 <= value <= 1 for value in values):
            raise AnnotationError(
                f"{at} has a box whose centre or size lies outside the picture; cut it first"
            )
    words = [str(number), *(f"{value:.9f}".rstrip("0").rstrip(".") for value in values)]
    if "score" in extras:
        if not math.isfinite(row.score):
            raise AnnotationError(f"{at} has no score; leave extra='score' out")
        words.append(repr(row.score))
    if "track" in extras:
        if row.track_id < 0:
            raise AnnotationError(f"{at} has no track; leave extra='track' out")
        words.append(str(row.track_id))
    return " ".join(words)

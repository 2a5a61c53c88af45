"""BDD100K and Scalabel JSON: frames with 2D boxes, run lengths or polygons, category names and attributes."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np

from evfr._core.annotations import NO_TRACK, AnnotatedVideo, Category, ObjectRow, VideoAnnotations
from evfr._core.masks import Rle
from evfr.annotations._bdd_bitmask import read_bitmasks
from evfr.annotations._bdd_polygon import flatten_polygons
from evfr.annotations._json import attributes_of, entries, load_json, peek_json
from evfr.annotations._numbering import Numbering
from evfr.annotations._parse import (
    category_of,
    named_categories,
    number,
    shown,
    split_facts,
    whole,
)
from evfr.annotations._paths import open_place, safe_name
from evfr.errors import AnnotationError

__all__ = ["BDD_CLASSES", "looks_like_bdd", "read_bdd"]

BDD_CLASSES = ("pedestrian", "rider", "car", "truck", "bus", "train", "motorcycle", "bicycle")
"""Classes 1 to 8 of the segmentation tracking set, as its bitmasks number them."""

_ID = re.compile(r"-?[0-9]{1,18}")


def read_bdd(
    path: Path,
    *,
    start: int | None = None,
    stride: int = 1,
    first_frame: int = 0,
    categories: Sequence[str] | None = None,
    unsupported: Literal["error", "skip"] = "error",
    width: int | None = None,
    height: int | None = None,
) -> VideoAnnotations:
    """Read BDD100K's labels: Scalabel JSON, or the bitmasks of its segmentation tracking set.

    Parameters
    ----------
    path : Path
        A JSON file; a folder of them; or a folder or zip of bitmasks (RGBA PNG, one folder a video, names that end in
        the number of the frame).
    start : int or None
        The number of ``first_frame``; None: 0 for ``frameIndex`` in JSON, 1 for names of bitmasks, as BDD100K has it.
    stride, first_frame : int
        Number n is frame ``first_frame + (n - start) * stride``. BDD100K labels its extracted images (5 a second); its
        numbers count those, not frames of the 30 a second videos.
    categories : sequence of str or None
        Names of categories 1, 2, ...; others are an error. None: of the file's ``config``; else the names in use in
        alphabetical order (bitmasks: `BDD_CLASSES`).
    unsupported : {"error", "skip"}
        What to do with 3D boxes, graphs, open lines and labels of whole images.
    width, height : int or None
        Size of the pictures where the file does not say it: 1280 and 720 for BDD100K.

    Returns
    -------
    VideoAnnotations
        A video for each ``videoName``; frames without one make one collection named after the file, in file order,
        whose labels are not followed. ``id`` is the track: its number, or, for other texts, a number by first
        appearance with the text in the attribute ``label_id``. ``crowd`` becomes ``is_crowd``.

    Raises
    ------
    AnnotationError
        If an entry is wrong, a category unknown, a size not known or not constant, an id twice in a frame, or a name
        leads out of its folder.
    ValueError
        If an option is not allowed.

    Notes
    -----
    https://doc.bdd100k.com/format.html and https://doc.scalabel.ai/format.html. Their tools count x2 and y2 of a box as
    inside (width x2 - x1 + 1); in memory the right and bottom edges are exclusive.
    """
    if unsupported not in ("error", "skip"):
        raise ValueError(f"unsupported must be 'error' or 'skip', got {unsupported!r}")
    path = Path(path)
    known = None if categories is None else named_categories(categories)
    if path.is_file() and path.suffix.lower() == ".json":
        files = [path]
    else:
        with open_place(path) as place:
            names = [name for name in place.names if name.lower().endswith(".json")]
            if not names:
                numbering = Numbering(1 if start is None else start, stride, first_frame)
                return read_bitmasks(place, numbering, known or named_categories(BDD_CLASSES))
            if not path.is_dir():
                raise AnnotationError(f"{path}: unpack the zip to read its JSON files")
            files = [path / name for name in names]
    numbering = Numbering(0 if start is None else start, stride, first_frame)
    size = None if width is None or height is None else (height, width)
    loaded = [(file, load_json(file)) for file in files]
    if known is None:
        known = _categories(loaded)
    ids = {category.name: category.category_id for category in known}
    videos, rows = [], []
    for file, data in loaded:
        part = _File(file, data, numbering, ids, unsupported == "skip", size)
        videos += part.videos
        rows += part.rows
    return VideoAnnotations.build(videos, known, rows)


def _frames(data: Any, where: str) -> list[Mapping[str, Any]]:
    return entries({"frames": data} if isinstance(data, list) else data, "frames", where)


def _categories(loaded: Sequence[tuple[Path, Any]]) -> tuple[Category, ...]:
    """Return the categories of the first config, or those in use in alphabetical order."""
    for file, data in loaded:
        config = data.get("config") if isinstance(data, dict) else None
        if isinstance(config, dict) and config.get("categories"):
            leaves = list(_leaves(entries(config, "categories", f"{file}, config"), "", f"{file}, config"))
            return tuple(
                Category(place + 1 if stated is None else stated, name, group)
                for place, (name, group, stated) in enumerate(leaves)
            )
    names = {
        str(label["category"])
        for file, data in loaded
        for frame in _frames(data, str(file))
        if isinstance(frame.get("labels"), list)
        for label in frame["labels"]
        if isinstance(label, dict) and isinstance(label.get("category"), str)
    }
    return tuple(Category(place + 1, name) for place, name in enumerate(sorted(names)))


def _leaves(
    listed: Sequence[Mapping[str, Any]], group: str, where: str, depth: int = 0
) -> Iterator[tuple[str, str, int | None]]:
    for entry in listed:
        name = entry.get("name")
        if not isinstance(name, str) or not name or depth > 20:
            raise AnnotationError(f"{where}: a category needs a name, got {shown(name)}")
        if entry.get("subcategories"):
            yield from _leaves(entries(entry, "subcategories", where), name, where, depth + 1)
        else:
            stated = entry.get("id")
            yield (
                name,
                str(entry.get("supercategory", group)),
                None if stated is None else whole(stated, where, "the id of a category"),
            )


class _File:
    """Read one JSON file; state is what has been seen of each video so far."""

    def __init__(
        self,
        file: Path,
        data: Any,
        numbering: Numbering,
        ids: Mapping[str, int],
        is_skipping: bool,
        size: tuple[int, int] | None,
    ) -> None:
        self.file, self.ids, self.is_skipping = file, ids, is_skipping
        config = data.get("config") if isinstance(data, dict) else None
        stated = config.get("imageSize") if isinstance(config, dict) else None
        self.size = size if size is not None or stated is None else _size(stated, f"{file}, config")
        frames: dict[str, dict[int, str]] = defaultdict(dict)
        sizes: dict[str, tuple[int, int]] = {}
        self.tracks: dict[str, dict[str, int]] = defaultdict(dict)
        self.rows: list[ObjectRow] = []
        for place, frame in enumerate(_frames(data, str(file))):
            where = f"{file}, frames[{place}]"
            name = safe_name(frame.get("name"), where)
            video = frame.get("videoName")
            if video is not None and (not isinstance(video, str) or not video):
                raise AnnotationError(f"{where}: videoName must be a text, got {shown(video)}")
            index = place
            if video is not None:
                index = numbering.index_of(whole(frame.get("frameIndex"), where, "frameIndex"), where)
            key = file.stem if video is None else video
            if index in frames[key]:
                raise AnnotationError(f"{where}: frame {index} of {key!r} is listed twice")
            frames[key][index] = name
            size_here = _size(frame["size"], where) if frame.get("size") is not None else self.size
            found = list(
                self._labels(frame, where, key, index, size_here or sizes.get(key), video is not None)
            )
            for mask in (row.mask for row in found if row.mask is not None):
                size_here = size_here or (mask.height, mask.width)
            if size_here is not None and sizes.setdefault(key, size_here) != size_here:
                raise AnnotationError(
                    f"{where}: {size_here[1]}x{size_here[0]} pixels in a video of {sizes[key][1]}x{sizes[key][0]}; one "
                    "video is one size"
                )
            self.rows += found
        self.videos = [self._video(name, listed, sizes.get(name)) for name, listed in frames.items()]

    def _video(self, name: str, listed: Mapping[int, str], size: tuple[int, int] | None) -> AnnotatedVideo:
        if size is None:
            raise AnnotationError(
                f"{self.file} does not state the size of {name!r}; give width= and height= (BDD100K: 1280 and 720)"
            )
        index = sorted(listed)
        names = tuple(listed[place] for place in index)
        is_file = any(re.search(r"\.[A-Za-z0-9]{2,4}$", text) for text in names)
        return AnnotatedVideo(
            name, size[1], size[0], np.array(index, np.int64), file_names=names if is_file else ()
        )

    def _labels(
        self,
        frame: Mapping[str, Any],
        where: str,
        video: str,
        index: int,
        size: tuple[int, int] | None,
        is_followed: bool,
    ) -> Iterator[ObjectRow]:
        seen: set[int] = set()
        listed = [] if frame.get("labels") is None else entries(frame, "labels", where)
        for place, label in enumerate(listed):
            here = f"{where}, labels[{place}]"
            box = _box(label["box2d"], here) if label.get("box2d") is not None else None
            mask = self._mask(label, here, size)
            other = [key for key in ("box3d", "graph") if label.get(key) is not None]
            if label.get("poly2d") is not None and mask is None:
                other.append("open poly2d")
            if box is None and mask is None and not other:
                other.append("label of the whole image")
            if other and not self.is_skipping:
                raise AnnotationError(
                    f"{here}: a {other[0]} is neither a box nor a mask; unsupported='skip' leaves it out"
                )
            if box is None and mask is None:
                continue
            attributes = attributes_of(label.get("attributes"), here)
            is_crowd = attributes.get("crowd") is True
            rest = {name: value for name, value in attributes.items() if name != "crowd"}
            track, text = self._track(label.get("id"), here, video) if is_followed else (NO_TRACK, "")
            if track != NO_TRACK:
                if track in seen:
                    raise AnnotationError(f"{here}: the id {label.get('id')!r} is already in this frame")
                seen.add(track)
            if text:
                rest["label_id"] = text
            score = label.get("score")
            row = ObjectRow(
                video,
                index,
                category_of(label.get("category"), self.ids, here),
                track,
                box,
                mask,
                score=np.nan if score is None else number(score, here, "score"),
                is_crowd=is_crowd,
            )
            yield split_facts(row, rest.items(), here)

    def _mask(self, label: Mapping[str, Any], where: str, size: tuple[int, int] | None) -> Rle | None:
        try:
            if label.get("rle") is not None:
                mask = Rle.from_coco(label["rle"])
                if size is not None and (mask.height, mask.width) != size:
                    raise AnnotationError(
                        f"{where}: a mask of {mask.width}x{mask.height} pixels in a frame of {size[1]}x{size[0]}"
                    )
                return mask
            polygons = flatten_polygons(label["poly2d"], where) if label.get("poly2d") is not None else []
            if not polygons:
                return None
            if size is None:
                raise AnnotationError(
                    f"{where}: to fill a polygon the size must be known; give width= and height="
                )
            return Rle.from_polygons(polygons, *size)
        except (ValueError, TypeError) as error:
            raise AnnotationError(f"{where}: {error}") from error

    def _track(self, stated: object, where: str, video: str) -> tuple[int, str]:
        """Return the track of an id, and the id's text where it is no number."""
        if isinstance(stated, int) and not isinstance(stated, bool):
            stated = str(stated)
        if not isinstance(stated, str) or not stated:
            raise AnnotationError(f"{where}: a label needs an id, got {shown(stated)}")
        if _ID.fullmatch(stated):
            return int(stated), ""
        known = self.tracks[video]
        # Far above the numbers in use, so that texts and numbers in one file do not meet.
        return known.setdefault(stated, 10**12 + len(known)), stated


def _size(value: Any, where: str) -> tuple[int, int]:
    if not isinstance(value, dict):
        raise AnnotationError(f"{where}: a size must have width and height, got {shown(value)}")
    return whole(value.get("height"), where, "the height", least=1), whole(
        value.get("width"), where, "the width", least=1
    )


def _box(value: Any, where: str) -> tuple[float, float, float, float]:
    if not isinstance(value, dict):
        raise AnnotationError(f"{where}: box2d must have x1, y1, x2, y2, got {shown(value)}")
    x1, y1, x2, y2 = (number(value.get(key), where, f"{key} of box2d") for key in ("x1", "y1", "x2", "y2"))
    if x2 + 1 < x1 or y2 + 1 < y1:
        raise AnnotationError(f"{where}: box2d {(x1, y1, x2, y2)} has its corners exchanged")
    return x1, y1, x2 + 1, y2 + 1


def looks_like_bdd(path: Path) -> bool:
    """Whether a JSON file lists frames as Scalabel does."""
    if path.is_dir() or path.suffix.lower() != ".json":
        return False
    kind, keys = peek_json(path)
    return {"name", "labels"} <= keys and "annotations" not in keys if kind is list else "frames" in keys

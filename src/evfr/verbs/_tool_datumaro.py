"""Datumaro: a dataset of its own format, there and back."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evfr.errors import AnnotationError

if TYPE_CHECKING:
    from evfr._core.annotations import ObjectRow, VideoAnnotations
    from evfr._core.masks import Rle
    from evfr.verbs._export_package import ExportFrame, ExportPackage

__all__ = ["read", "write"]

FOLDER = "datumaro"
_NO_FIELD = ("box", "score", "source", "trust")
_NONE = -1
_KINDS = ("bbox", "mask", "polygon")


def write(package: ExportPackage) -> tuple[Path, ...]:
    """Write a dataset of Datumaro: the subset ``label`` of what is to be labelled, and ``context`` beside it.

    Parameters
    ----------
    package : ExportPackage
        The export.

    Returns
    -------
    tuple of Path
        The folder ``datumaro``, for ``datumaro.Dataset.import_from(folder, "datumaro")``.

    Raises
    ------
    AnnotationError
        If an object has neither box nor mask.

    Notes
    -----
    Datumaro opens pictures below the folder only, so they stand there under a second name (a hard link where the
    system has them). Items are named as the pictures, and have ``video_id``, ``frame_index``, ``pts`` and
    ``time_seconds`` as attributes; an object's track is ``object_id`` and the attribute ``track_id``.
    """
    from evfr._core.atomic import atomic_write_bytes
    from evfr.verbs._export_copy import link_or_copy

    folder = package.folder / FOLDER
    made = [folder]
    for role in ("label", "context"):
        frames = [frame for frame in package.frames if frame.role == role]
        if not frames:
            continue
        for frame in frames:
            link_or_copy(package.path_of(frame), folder / "images" / role / frame.name)
        path = folder / "annotations" / f"{role}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        # Not sorted: Datumaro looks for the version in the first thousand characters.
        data = {
            "dm_format_version": "1.0",
            "media_type": 2,
            "infos": {"evfr": "export.json says which item is which frame"},
            "categories": _categories(package),
            "items": list(_items(package, frames)),
        }
        atomic_write_bytes(path, json.dumps(data, allow_nan=False).encode() + b"\n")
        made.append(path)
    return tuple(made)


def read(path: Path, package: ExportPackage) -> VideoAnnotations:
    """Read Datumaro's own format by picture, all subsets.

    Parameters
    ----------
    path : Path
        The folder or zip with ``annotations/*.json``, or one such file.
    package : ExportPackage
        The export.

    Returns
    -------
    VideoAnnotations
        One video a picture, named by its path, or else by the item's id. Boxes, masks and polygons; polygons of one
        group and label are one mask. Items of context without an object are left out.

    Raises
    ------
    AnnotationError
        If it is no such dataset, or has annotations of other kinds.
    """
    from evfr._core.annotations import Category
    from evfr.verbs._import_match import NameIndex
    from evfr.verbs._tool_sequence import by_picture

    ids = {category.name: category.category_id for category in package.categories}
    index = NameIndex(package.frames)
    pictures = []
    for where, data in _files(path):
        names = _label_names(data, where)
        for name in names:
            ids.setdefault(name, max(ids.values(), default=0) + 1)
        for number, item in enumerate(_list(data, "items", where)):
            here = f"{where}, item {number + 1}"
            said, size = _picture_of(item, here)
            frame, _ = index.find(said)
            if size is None:
                size = (1, 1) if frame is None else (frame.height, frame.width)
            rows = list(_rows(item, names, ids, size, here))
            if rows or frame is None or frame.role == "label":
                pictures.append((said, size[1], size[0], rows))
    categories = [Category(number, name) for name, number in ids.items()] or [Category(1, "object")]
    return by_picture(pictures, categories)


def _files(path: Path) -> Iterator[tuple[str, Mapping[str, Any]]]:
    from evfr.annotations._paths import open_place, read_bytes

    if not path.is_dir() and path.suffix.lower() == ".json":
        yield str(path), _parse(read_bytes(path), str(path))
        return
    with open_place(path) as place:
        names = [
            name for name in place.names if name.endswith(".json") and "annotations" in name.split("/")[-2:-1]
        ]
        if not names:
            raise AnnotationError(
                f"{path} has no annotations/*.json; export the dataset with the format 'datumaro', not its binary one"
            )
        for name in names:
            yield f"{path}: {name}", _parse(place.read(name), f"{path}: {name}")


def _parse(data: bytes, where: str) -> Mapping[str, Any]:
    try:
        found = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise AnnotationError(f"{where} is no readable JSON: {error!s:.200}") from error
    if not isinstance(found, dict) or "items" not in found:
        raise AnnotationError(f"{where} has no items; it is no dataset of Datumaro")
    return found


def _list(data: Mapping[str, Any], key: str, where: str) -> list[Mapping[str, Any]]:
    found = data.get(key, [])
    if not isinstance(found, list) or not all(isinstance(entry, dict) for entry in found):
        raise AnnotationError(f"{where}: {key} must be a list of objects, got {str(found)[:80]!r}")
    return found


def _label_names(data: Mapping[str, Any], where: str) -> list[str]:
    categories = data.get("categories")
    label = categories.get("label") if isinstance(categories, dict) else None
    entries = _list(label, "labels", where) if isinstance(label, dict) else []
    names = [entry.get("name") for entry in entries]
    if not all(isinstance(name, str) and name for name in names) or len(set(names)) != len(names):
        raise AnnotationError(f"{where}: each label needs a name of its own, got {str(names)[:120]}")
    return [str(name) for name in names]


def _picture_of(item: Mapping[str, Any], where: str) -> tuple[str, tuple[int, int] | None]:
    """Return the name of an item's picture, and its height and width where they are stated."""
    from evfr.annotations._parse import whole

    image = item.get("image")
    image = image if isinstance(image, dict) else {}
    name = image.get("path") or item.get("id")
    if not isinstance(name, str) or not name:
        raise AnnotationError(f"{where}: an item needs an id or the path of its picture, got {name!r:.80}")
    size = image.get("size")
    if size is None:
        return name, None
    if not isinstance(size, list) or len(size) != 2:
        raise AnnotationError(f"{where}: size must be height and width, got {size!r:.80}")
    return name, (
        whole(size[0], where, "the height", least=1),
        whole(size[1], where, "the width", least=1),
    )


def _rows(
    item: Mapping[str, Any], names: Sequence[str], ids: Mapping[str, int], size: tuple[int, int], where: str
) -> Iterator[ObjectRow]:
    from evfr.annotations._parse import whole

    parts: dict[tuple[int, int], list[list[float]]] = defaultdict(list)
    first: dict[tuple[int, int], Mapping[str, Any]] = {}
    for number, entry in enumerate(_list(item, "annotations", where)):
        here = f"{where}, annotation {number + 1}"
        kind = entry.get("type")
        if kind not in _KINDS:
            raise AnnotationError(
                f"{here}: a {str(kind)[:40]!r} is neither a box nor a mask; export {', '.join(_KINDS)} only"
            )
        label = whole(entry.get("label_id"), here, "label_id", least=0, most=len(names) - 1)
        if kind == "polygon":
            group = whole(entry.get("group") or 0, here, "group", least=0)
            key = (group, label) if group else (-1 - number, label)
            parts[key].append(_points(entry, here))
            first.setdefault(key, entry)
            continue
        mask = _mask_of(entry, size, here) if kind == "mask" else None
        yield _row(entry, ids[names[label]], None if mask is not None else _box_of(entry, here), mask, here)
    for key, polygons in parts.items():
        yield _row(first[key], ids[names[key[1]]], None, _filled(polygons, size, where), where)


def _row(
    entry: Mapping[str, Any],
    category: int,
    box: tuple[float, float, float, float] | None,
    mask: Rle | None,
    where: str,
) -> ObjectRow:
    from evfr._core.annotations import NO_TRACK, ObjectRow
    from evfr.annotations._json import attributes_of
    from evfr.annotations._parse import split_facts, whole

    given = entry.get("attributes")
    attributes = dict(attributes_of(given or None, where))
    said = attributes.pop("track_id", None)
    track = entry.get("object_id")
    if track is None or track == _NONE:
        track = said
    # What other formats leave behind in Datumaro says nothing: not occluded, not a crowd, an id of a file.
    for name in ("occluded", "is_crowd"):
        if attributes.get(name) is False:
            del attributes[name]
    is_crowd = attributes.pop("is_crowd", False) is True
    z_order = whole(entry.get("z_order") or 0, where, "z_order")
    if z_order:
        attributes["z_order"] = z_order
    row = ObjectRow(
        "",
        0,
        category,
        NO_TRACK if track is None else whole(track, where, "object_id", least=NO_TRACK),
        box,
        mask,
        is_crowd=is_crowd,
    )
    return split_facts(row, attributes.items(), where)


def _box_of(entry: Mapping[str, Any], where: str) -> tuple[float, float, float, float]:
    from evfr.annotations._parse import number

    box = entry.get("bbox")
    if not isinstance(box, list) or len(box) != 4:
        raise AnnotationError(f"{where}: bbox must be x, y, width, height, got {box!r:.80}")
    x, y = (number(value, where, "bbox") for value in box[:2])
    w, h = (number(value, where, "bbox", least=0.0) for value in box[2:])
    return x, y, x + w, y + h


def _mask_of(entry: Mapping[str, Any], size: tuple[int, int], where: str) -> Rle:
    from evfr._core.masks import Rle
    from evfr.annotations._parse import check_pixels

    rle = entry.get("rle")
    if not isinstance(rle, dict) or rle.get("size") != list(size):
        raise AnnotationError(
            f"{where}: the mask must have the size of its picture, {list(size)}, got "
            f"{rle.get('size') if isinstance(rle, dict) else rle!r:.80}"
        )
    check_pixels(*size, where)
    try:
        return Rle.from_coco(rle)
    except (ValueError, TypeError, KeyError) as error:
        raise AnnotationError(f"{where}: the mask cannot be read: {error!s:.120}") from error


def _points(entry: Mapping[str, Any], where: str) -> list[float]:
    from evfr.annotations._parse import number

    points = entry.get("points")
    if not isinstance(points, list) or len(points) < 6 or len(points) % 2:
        raise AnnotationError(f"{where}: points of a polygon must be three pairs or more, got {points!r:.80}")
    return [number(value, where, "a coordinate of a polygon") for value in points]


def _filled(polygons: Sequence[Sequence[float]], size: tuple[int, int], where: str) -> Rle:
    from evfr._core.masks import Rle
    from evfr.annotations._parse import check_pixels

    check_pixels(*size, where)
    try:
        return Rle.from_polygons(polygons, *size)
    except ValueError as error:
        raise AnnotationError(f"{where}: {error}") from error


def _categories(package: ExportPackage) -> dict[str, Any]:
    """Return the labels, each with the attributes in use: Datumaro leaves out others where it writes CVAT's XML."""
    used: dict[int, set[str]] = defaultdict(set)
    for row in () if package.labels is None else package.labels.objects():
        used[row.category_id] |= _facts(row).keys()
    labels = [
        {"name": category.name, "parent": "", "attributes": sorted(used[category.category_id] | {"track_id"})}
        for category in package.categories
    ]
    return {"label": {"labels": labels, "label_groups": [], "attributes": []}}


def _items(package: ExportPackage, frames: Sequence[ExportFrame]) -> Iterator[dict[str, Any]]:
    of_frame: dict[tuple[str, int], list[ObjectRow]] = defaultdict(list)
    for row in () if package.labels is None else package.labels.objects():
        of_frame[row.video_id, row.frame_index].append(row)
    places = {category.category_id: place for place, category in enumerate(package.categories)}
    for frame in frames:
        attributes = {
            "video_id": frame.video_id,
            "frame_index": frame.frame_index,
            "pts": frame.pts,
            "time_seconds": frame.time_seconds,
        }
        rows = of_frame[frame.video_id, frame.frame_index] if frame.role == "label" else []
        yield {
            "id": frame.stem,
            "annotations": [_annotation(row, number, places, frame) for number, row in enumerate(rows)],
            "attr": {name: value for name, value in attributes.items() if value is not None},
            "image": {"path": frame.name, "size": [frame.height, frame.width]},
        }


def _facts(row: ObjectRow) -> dict[str, str | int | float | bool]:
    from evfr._core.annotations import NO_TRACK
    from evfr.annotations._parse import extra_facts

    facts = extra_facts(row, *_NO_FIELD)
    if row.is_crowd:
        facts["is_crowd"] = True  # an attribute that Datumaro itself knows
    if row.track_id != NO_TRACK:
        facts["track_id"] = row.track_id
    return facts


def _annotation(row: ObjectRow, number: int, places: Mapping[int, int], frame: ExportFrame) -> dict[str, Any]:
    from evfr._core.annotations import NO_TRACK

    facts = _facts(row)
    z_order = facts.get("z_order", 0)
    is_field = isinstance(z_order, int) and not isinstance(z_order, bool)
    if is_field:
        facts.pop("z_order", None)
    entry: dict[str, Any] = {
        "id": number,
        "attributes": facts,
        "group": 0,
        "label_id": places[row.category_id],
        "object_id": row.track_id if row.track_id != NO_TRACK else _NONE,
        "z_order": z_order if is_field else 0,
    }
    if row.mask is not None:
        return {"type": "mask", **entry, "rle": row.mask.to_coco()}
    if row.box_xyxy is None:
        raise AnnotationError(
            f"{frame.name}: an object with track {row.track_id} has neither box nor mask; leave it out"
        )
    x0, y0, x1, y1 = row.box_xyxy
    return {"type": "bbox", **entry, "bbox": [x0, y0, x1 - x0, y1 - y0]}

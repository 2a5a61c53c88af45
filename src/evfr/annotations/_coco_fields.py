"""Fields that COCO and YouTube-VIS files share, and those that evfr adds under the key ``evfr``."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import Any

from evfr._core.annotations import SOURCES, AnnotatedVideo, Category
from evfr._core.masks import Rle
from evfr.annotations._json import entries, finite, optional_text, whole
from evfr.errors import AnnotationError

__all__ = [
    "box_from_coco",
    "box_to_coco",
    "categories_from_coco",
    "categories_to_coco",
    "extra_of",
    "finite_fields",
    "mask_from_coco",
    "source_and_trust",
    "video_from_coco",
    "video_to_coco",
]

Box = tuple[float, float, float, float]


def categories_from_coco(head: Any, where: str) -> tuple[Category, ...]:
    """Return the file's categories."""
    categories: dict[int, Category] = {}
    for number, entry in enumerate(entries(head, "categories", where)):
        at = f"{where}: category {number}"
        key = whole(entry, "id", at)
        if key in categories:
            raise AnnotationError(f"{at}: the id {key} is taken by a category before it")
        categories[key] = Category(
            key, optional_text(entry, "name", at), optional_text(entry, "supercategory", at)
        )
    return tuple(categories.values())


def categories_to_coco(categories: Sequence[Category], where: str) -> list[dict[str, Any]]:
    """Return COCO's list of categories; ids must be 0 or more."""
    for category in categories:
        if category.category_id < 0:
            raise AnnotationError(f"{where}: category ids must be 0 or more, got {category.category_id}")
    return [{"id": c.category_id, "name": c.name, "supercategory": c.supercategory} for c in categories]


def box_from_coco(value: Any, where: str) -> Box | None:
    """Turn x, y, width, height into corners; None where there is no box."""
    if value is None or value == []:
        return None
    if not isinstance(value, list) or len(value) != 4:
        raise AnnotationError(f"{where}: bbox must be [x, y, width, height], got {value!r:.80}")
    x, y, width, height = (finite(part, "bbox", where) for part in value)
    if width < 0 or height < 0:
        raise AnnotationError(f"{where}: bbox must have a width and height of 0 or more, got {value!r:.80}")
    return x, y, x + width, y + height


def box_to_coco(box: Box | None, mask: Rle | None, where: str) -> list[float]:
    """Return x, y, width, height of the box, or of the mask where there is no box."""
    if box is None:
        if mask is None:
            raise AnnotationError(f"{where} has neither box nor mask")
        box = mask.box_xyxy
    x0, y0, x1, y1 = box
    return [x0, y0, x1 - x0, y1 - y0]


def mask_from_coco(value: Any, height: int, width: int, where: str) -> Rle | None:
    """Read polygons or run lengths, compressed or not; everything is checked before a kernel sees it."""
    if value is None or value == []:
        return None
    try:
        if isinstance(value, dict):
            size = value.get("size")
            if size != [height, width]:
                raise AnnotationError(
                    f"{where}: the mask's size is {size!r:.80}, but the picture has [{height}, {width}] (height, width)"
                )
            return Rle.from_coco(value)
        if not isinstance(value, list) or not all(isinstance(polygon, list) for polygon in value):
            raise AnnotationError(
                f"{where}: segmentation must be a list of polygons [[x, y, ...], ...] or an object with size and "
                f"counts, got {value!r:.80}"
            )
        for polygon in value:
            for coordinate in polygon:
                finite(coordinate, "a polygon's coordinate", where)
        return Rle.from_polygons(value, height, width)
    except ValueError as error:
        raise AnnotationError(f"{where}: {error}") from error


def extra_of(entry: Mapping[str, Any], where: str) -> Mapping[str, Any]:
    """Return what evfr wrote beside the format's own fields."""
    extra = entry.get("evfr", {})
    if not isinstance(extra, dict):
        raise AnnotationError(f"{where}: 'evfr' must be an object, got {type(extra).__name__}")
    return extra


def source_and_trust(extra: Mapping[str, Any], default: str, where: str) -> tuple[str, float]:
    """Return who made a label and how far it is trusted, from what evfr wrote."""
    source = extra.get("source", default)
    if source not in SOURCES:
        raise AnnotationError(f"{where}: source must be one of {', '.join(SOURCES)}, got {source!r:.80}")
    trust = extra.get("trust")
    return source, math.nan if trust is None else finite(trust, "trust", where)


def finite_fields(where: str, **values: float) -> dict[str, float]:
    """Return the values that are there (not NaN); infinite ones cannot stand in JSON."""
    for name, value in values.items():
        if math.isinf(value):
            raise AnnotationError(f"{where}: {name} is infinite; JSON holds finite numbers only")
    return {name: value for name, value in values.items() if not math.isnan(value)}


def video_from_coco(entry: Mapping[str, Any], where: str) -> dict[str, Any]:
    """Return fields of `AnnotatedVideo` beyond COCO's own, and ``has_files``."""
    extra = extra_of(entry, where)
    time_base = extra.get("time_base")
    try:
        tick = None if time_base is None else Fraction(optional_text(extra, "time_base", where))
    except (ValueError, ZeroDivisionError) as error:
        raise AnnotationError(
            f"{where}: time_base must be a fraction as '1/90000', got {time_base!r:.80}"
        ) from error
    return {
        "time_base": tick,
        "frame_count": None if extra.get("frame_count") is None else whole(extra, "frame_count", where),
        "content_hash": optional_text(extra, "content_hash", where),
        "path": optional_text(extra, "path", where),
        "has_files": extra.get("has_files", True) is not False,
    }


def video_to_coco(video: AnnotatedVideo) -> dict[str, Any]:
    """Return what `video_from_coco` reads, under ``evfr``; only what is known."""
    extra: dict[str, Any] = {}
    if video.time_base is not None:
        extra["time_base"] = str(video.time_base)
    if video.frame_count is not None:
        extra["frame_count"] = video.frame_count
    if video.content_hash:
        extra["content_hash"] = video.content_hash
    if video.path:
        extra["path"] = video.path
    if not video.file_names:
        extra["has_files"] = False
    return {"evfr": extra} if extra else {}

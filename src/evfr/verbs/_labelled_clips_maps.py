"""One map of objects a frame: masks, boxes and crowds painted at the size of the result, smaller objects on top."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from evfr._core.annotations import AnnotatedVideo, VideoAnnotations
    from evfr._core.masks import Rle

__all__ = ["DrawnMap", "MapRule", "draw_map", "map_rule"]

OBJECTS_MOST = 254
VOID = "void"
"""Name of the class that readers give to pixels that count for nothing."""


@dataclass(frozen=True, slots=True)
class MapRule:
    """Say how labels become maps.

    Attributes
    ----------
    width, height : int
        Size of the maps.
    classes : tuple of str
        Names of the classes, in order.
    class_of : mapping of int to int
        From the id of a category to the class; other categories are not learnt.
    void_ids : tuple of int
        Ids of categories whose pixels count for nothing.
    is_filling : bool
        Whether boxes stand for masks where there is none.
    ignores_others : bool
        Whether objects that are not learnt are ignored pixels.
    components : bool
        Whether each connected part is an object.
    least_pixels : int
        Objects of fewer pixels in the map are ignored pixels.
    """

    width: int
    height: int
    classes: tuple[str, ...]
    class_of: Mapping[int, int]
    void_ids: tuple[int, ...]
    is_filling: bool
    ignores_others: bool
    components: bool
    least_pixels: int


@dataclass(frozen=True, slots=True, eq=False)
class DrawnMap:
    """Hold the map of one frame; the counts are those of `ClipCounts`."""

    ids: NDArray[np.uint8]
    category: tuple[int, ...]
    vanished: int
    covered: int
    small: int
    others: int
    empty: int

    @property
    def objects(self) -> int:
        """How many objects can be seen."""
        return len(self.category)


def map_rule(
    labels: VideoAnnotations,
    *,
    width: int,
    height: int,
    classes: Sequence[str] | None,
    on_boxes: str,
    others: str,
    components: bool,
    least_pixels: int,
) -> MapRule:
    """Check the options of `labelled_clips` against the classes of the labels.

    Raises
    ------
    AnnotationError
        If a class is none of the labels', or there is none or more than 254.
    ValueError
        If an option is out of range.
    """
    from evfr.errors import AnnotationError

    if min(width, height) < 1:
        raise ValueError(f"width and height must be 1 or more, got {width} and {height}")
    if on_boxes not in ("fail", "fill"):
        raise ValueError(f"on_boxes must be fail or fill, got {on_boxes!r}")
    if others not in ("background", "ignore"):
        raise ValueError(f"others must be background or ignore, got {others!r}")
    if least_pixels < 1:
        raise ValueError(f"least_pixels must be 1 or more, got {least_pixels}")
    known = list(dict.fromkeys(item.name for item in labels.categories if item.name != VOID))
    names = tuple(known if classes is None else classes)
    if isinstance(classes, str) or len(set(names)) != len(names):
        raise ValueError(f"classes must be a list of different names, got {classes!r}")
    if unknown := [name for name in names if name not in known]:
        raise AnnotationError(
            f"the labels have no class {unknown[0]!r}; they have {known[:20]}: name those, or join classes with a "
            "category map"
        )
    if not 1 <= len(names) <= OBJECTS_MOST:
        raise AnnotationError(f"there must be 1 to {OBJECTS_MOST} classes, got {len(names)}; give classes=")
    return MapRule(
        width=width,
        height=height,
        classes=names,
        class_of={
            item.category_id: names.index(item.name) for item in labels.categories if item.name in names
        },
        void_ids=tuple(item.category_id for item in labels.categories if item.name == VOID),
        is_filling=on_boxes == "fill",
        ignores_others=others == "ignore",
        components=components,
        least_pixels=least_pixels,
    )


def draw_map(labels: VideoAnnotations, video: AnnotatedVideo, frame: int, rule: MapRule) -> DrawnMap:
    """Paint the objects of one frame.

    Parameters
    ----------
    labels : VideoAnnotations
        Of this video.
    video : AnnotatedVideo
        The video.
    frame : int
        The frame.
    rule : MapRule
        How.

    Returns
    -------
    DrawnMap
        Objects are numbered 1, 2, ... from the largest to the smallest.

    Raises
    ------
    AnnotationError
        If an object has no mask and boxes are not filled, or more than 254 can be seen.
    """
    import numpy as np

    from evfr._core.labelled import IGNORE_ID
    from evfr.errors import AnnotationError

    where = f"{video.video_id} frame {frame}"
    at = _sample_points(video.height, video.width, rule.height, rule.width)
    ignored = np.zeros(rule.height * rule.width, np.bool_)
    shapes: list[tuple[int, int, NDArray[np.bool_]]] = []
    vanished = others = empty = 0
    for row in labels.rows_at(video.video_id, frame).tolist():
        category = int(labels.category_id[row])
        is_ignored = bool(labels.attributes and labels.attributes[row].get("ignored"))
        is_void = category in rule.void_ids
        is_other = (category not in rule.class_of or is_ignored) and not is_void
        others += is_other
        if is_other and not rule.ignores_others:
            continue
        mask = _mask(labels, row, video, rule, where)
        if mask.is_empty:
            empty += not (is_void or is_other or labels.is_crowd[row])
        elif is_void or is_other or labels.is_crowd[row]:
            ignored |= _sampled(mask, at)
        else:
            for area, pixels in _parts(mask, at, rule):
                if pixels.any():
                    shapes.append((area, rule.class_of[category], pixels))
                else:
                    vanished += 1
    shapes.sort(key=lambda shape: -shape[0])
    numbers = np.zeros(len(ignored), np.int64)
    for number, (_, _, pixels) in enumerate(shapes, start=1):
        numbers[pixels] = number
    seen = np.bincount(numbers, minlength=len(shapes) + 1)[1:]
    keep = np.flatnonzero(seen >= rule.least_pixels)
    if len(keep) > OBJECTS_MOST:
        raise AnnotationError(
            f"{where}: {len(keep)} objects can be seen, a map holds {OBJECTS_MOST}; leave small ones out with "
            "least_pixels, or some classes"
        )
    covered = int((seen == 0).sum())
    small = len(shapes) - covered - len(keep)
    lookup = np.full(len(shapes) + 1, IGNORE_ID, np.uint8)
    lookup[0] = 0
    lookup[keep + 1] = np.arange(1, len(keep) + 1)
    ids = lookup[numbers]
    ids[ignored & (numbers == 0)] = IGNORE_ID
    return DrawnMap(
        # Points are listed column by column, as the runs of masks are.
        np.ascontiguousarray(ids.reshape(rule.width, rule.height).T),
        tuple(shapes[place][1] for place in keep.tolist()),
        vanished,
        covered,
        small,
        others,
        empty,
    )


def _mask(labels: VideoAnnotations, row: int, video: AnnotatedVideo, rule: MapRule, where: str) -> Rle:
    from evfr._core.masks import Rle
    from evfr.errors import AnnotationError

    mask = labels.masks[row]
    if mask is not None:
        return mask
    box = labels.boxes_xyxy[row]
    if box[0] != box[0]:
        raise AnnotationError(f"{where}: an object has neither mask nor box; leave it out")
    if not rule.is_filling:
        raise AnnotationError(
            f"{where}: an object has a box and no mask; give on_boxes='fill' to take all of the box, or masks"
        )
    return Rle.from_box(box, video.height, video.width)


class _Points(NamedTuple):
    """Places of pixels in the runs of masks, and whether they increase, which makes them fast to look up."""

    places: NDArray[np.int64]
    is_increasing: bool


@functools.lru_cache(maxsize=16)
def _sample_points(height: int, width: int, to_height: int, to_width: int) -> _Points:
    """Return the pixels that lie under the centres of those of another picture, column by column."""
    import numpy as np

    rows = (2 * np.arange(to_height) + 1) * height // (2 * to_height)
    columns = (2 * np.arange(to_width) + 1) * width // (2 * to_width)
    places = np.asarray((columns[:, None] * height + rows[None, :]).ravel(), np.int64)
    # In a wider picture columns repeat.
    return _Points(places, to_width <= width)


def _sampled(mask: Rle, at: _Points) -> NDArray[np.bool_]:
    """Return a mask at some pixels; painting what is sampled gives the same as sampling what is painted."""
    import numpy as np

    # Runs of zeros and ones alternate, zeros first: the number of ends up to a pixel is odd inside the mask.
    ends = np.cumsum(mask.counts, dtype=np.int64)
    if not at.is_increasing:
        return np.asarray(np.searchsorted(ends, at.places, side="right") & 1, np.bool_)
    passed = np.bincount(np.searchsorted(at.places, ends), minlength=len(at.places) + 1)
    return np.asarray(np.cumsum(passed[:-1]) & 1, np.bool_)


def _parts(mask: Rle, at: _Points, rule: MapRule) -> Iterator[tuple[int, NDArray[np.bool_]]]:
    """Yield area and sampled pixels of an object, or of each of its connected parts."""
    import cv2
    import numpy as np

    if not rule.components:
        yield mask.area, _sampled(mask, at)
        return
    dense = mask.to_mask().view(np.uint8)
    count, parts, facts, _ = cv2.connectedComponentsWithStats(dense, connectivity=8)
    points = parts.T.ravel()[at.places]
    for part in range(1, count):
        yield int(facts[part, cv2.CC_STAT_AREA]), points == part

"""The shapes of CVAT's XML: boxes, polygons and masks, alone or along a track."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from evfr._core.masks import Rle
from evfr.annotations._parse import check_pixels, number, shown, whole
from evfr.errors import AnnotationError

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element

__all__ = [
    "KNOWN_SHAPES",
    "OTHER_SHAPES",
    "Shape",
    "crop_runs",
    "expand_track",
    "read_attributes",
    "read_shape",
]

KNOWN_SHAPES = ("box", "polygon", "mask")
OTHER_SHAPES = ("polyline", "points", "ellipse", "cuboid", "skeleton", "tag")

Attributes = Mapping[str, str | int | float | bool]


@dataclass(frozen=True, slots=True)
class Shape:
    """Hold one shape of one frame.

    Attributes
    ----------
    frame : int
        Its number in the file.
    kind : str
        One of `KNOWN_SHAPES`.
    points : tuple of float
        x0, y0, x1, y1 of a box; x, y in turn of a polygon; empty for a mask.
    mask : Rle or None
        Of a mask.
    is_outside, is_keyframe : bool
        Whether the object is out of view, and whether a person placed it here.
    attributes : mapping
        ``occluded`` and ``z_order`` where they say something, and the label's own.
    """

    frame: int
    kind: str
    points: tuple[float, ...]
    mask: Rle | None
    is_outside: bool
    is_keyframe: bool
    attributes: Attributes


def read_shape(
    element: Element, where: str, frame: int, size: tuple[int, int], kinds: Mapping[str, str]
) -> Shape:
    """Read a box, polygon or mask.

    Parameters
    ----------
    element : Element
        Its element.
    where : str
        File and entry, for the error's text.
    frame : int
        The frame's number.
    size : (int, int)
        Height and width of the picture.
    kinds : mapping
        What the label says of its attributes: name -> input type.

    Returns
    -------
    Shape
        The shape.

    Raises
    ------
    AnnotationError
        If a field is missing or wrong, or a box is turned.
    """
    fields = element.attrib

    def numeric(key: str) -> float:
        return number(fields.get(key), where, f"{key} of a {element.tag}")

    points: tuple[float, ...] = ()
    mask = None
    if element.tag == "box":
        points = (numeric("xtl"), numeric("ytl"), numeric("xbr"), numeric("ybr"))
        if points[2] < points[0] or points[3] < points[1]:
            raise AnnotationError(f"{where}: the box {points} has its corners exchanged (xtl ytl xbr ybr)")
        if "rotation" in fields and numeric("rotation") % 360:
            raise AnnotationError(
                f"{where}: the box is turned by {numeric('rotation'):g} degrees; draw it as a polygon"
            )
    elif element.tag == "polygon":
        pairs = [pair.split(",") for pair in fields.get("points", "").split(";")]
        if len(pairs) < 3 or any(len(pair) != 2 for pair in pairs):
            raise AnnotationError(
                f"{where}: a polygon needs three points x,y;x,y;x,y or more, got {shown(fields.get('points'))}"
            )
        points = tuple(number(value, where, "a coordinate of a polygon") for pair in pairs for value in pair)
    else:
        mask = _read_mask(fields, where, size)
    attributes: dict[str, str | int | float | bool] = {}
    if flag(fields, "occluded", where):
        attributes["occluded"] = True
    if z_order := whole(fields.get("z_order", "0"), where, "z_order"):
        attributes["z_order"] = z_order
    attributes.update(read_attributes(element, where, kinds))
    return Shape(
        frame,
        element.tag,
        points,
        mask,
        flag(fields, "outside", where),
        flag(fields, "keyframe", where, "1"),
        attributes,
    )


def flag(fields: Mapping[str, str], key: str, where: str, default: str = "0") -> bool:
    """Return a flag 0 or 1."""
    value = fields.get(key, default)
    if value not in ("0", "1"):
        raise AnnotationError(f"{where}: {key} must be 0 or 1, got {shown(value)}")
    return value == "1"


def read_attributes(
    element: Element, where: str, kinds: Mapping[str, str]
) -> dict[str, str | int | float | bool]:
    """Return the ``<attribute name="...">`` of an element, typed as the label declares them."""
    found: dict[str, str | int | float | bool] = {}
    for child in element.iterfind("attribute"):
        name, text = child.get("name"), child.text or ""
        if not name:
            raise AnnotationError(f"{where}: an attribute has no name")
        if kinds.get(name) == "checkbox":
            if text.lower() not in ("true", "false"):
                raise AnnotationError(
                    f"{where}: the checkbox {name!r} must be true or false, got {shown(text)}"
                )
            found[name] = text.lower() == "true"
        elif kinds.get(name) == "number":
            value = number(text, where, f"the attribute {name!r}")
            found[name] = int(value) if text.strip().lstrip("+-").isdecimal() else value
        else:
            found[name] = text
    return found


def _read_mask(fields: Mapping[str, str], where: str, size: tuple[int, int]) -> Rle:
    left, top = (whole(fields.get(key), where, f"{key} of a mask", least=0) for key in ("left", "top"))
    width, height = (
        whole(fields.get(key), where, f"{key} of a mask", least=1) for key in ("width", "height")
    )
    check_pixels(*size, where)
    if top + height > size[0] or left + width > size[1]:
        raise AnnotationError(
            f"{where}: the mask's box of {width}x{height} at {left},{top} leaves the picture of {size[1]}x{size[0]}"
        )
    text = fields.get("rle", "")
    runs = [whole(part, where, "a run of a mask", least=0, most=width * height) for part in text.split(",")]
    if sum(runs) != width * height:
        raise AnnotationError(
            f"{where}: the runs of the mask add up to {sum(runs)}, but its box has {width}x{height} = {width * height} "
            "pixels"
        )
    inside = np.repeat(np.arange(len(runs)) % 2 == 1, runs).reshape(height, width)
    full = np.zeros(size, np.bool_)
    full[top : top + height, left : left + width] = inside
    return Rle.from_mask(full)


def crop_runs(mask: Rle) -> dict[str, str]:
    """Return a mask as CVAT writes it: run lengths along the rows of its tight box, zeros first."""
    if mask.is_empty:
        return {"rle": "1", "left": "0", "top": "0", "width": "1", "height": "1"}
    x0, y0, x1, y1 = (int(value) for value in mask.box_xyxy)
    check_pixels(mask.height, mask.width, "a mask")
    flat = mask.to_mask()[y0:y1, x0:x1].ravel()
    edges = np.flatnonzero(np.diff(flat)) + 1
    runs = np.diff(np.concatenate(([0], edges, [flat.size]))).tolist()
    if flat[0]:
        runs.insert(0, 0)
    return {
        "rle": ", ".join(map(str, runs)),
        "left": str(x0),
        "top": str(y0),
        "width": str(x1 - x0),
        "height": str(y1 - y0),
    }


def expand_track(shapes: Sequence[Shape], numbers: range, where: str) -> Iterator[Shape]:
    """Yield the shape of a track in each frame where it is in view.

    Between two shapes the corners move linearly, in time counted in frames; after the last one the object stays, unless
    it is outside. Masks are not interpolated: they are in their own frames only.

    Parameters
    ----------
    shapes : sequence of Shape
        In any order, each frame once.
    numbers : range
        Numbers of the frames of the job.
    where : str
        File and track, for the error's text.

    Yields
    ------
    Shape
        By frame; what was filled in is no key frame.

    Raises
    ------
    AnnotationError
        If a frame comes twice or is no frame of the job, or polygons of different numbers of points must be
        interpolated.
    """
    ordered = sorted(shapes, key=lambda shape: shape.frame)
    for place, shape in enumerate(ordered):
        after = ordered[place + 1] if place + 1 < len(ordered) else None
        if after is not None and after.frame == shape.frame:
            raise AnnotationError(f"{where}: there are two shapes on frame {shape.frame}")
        if shape.is_outside:
            continue
        if shape.frame not in numbers:
            raise AnnotationError(
                f"{where}: frame {shape.frame} is none of the job's frames ({numbers.start} to {numbers[-1]}, step "
                f"{numbers.step})"
                if numbers
                else f"{where}: frame {shape.frame} lies in a job without frames"
            )
        yield shape
        between = numbers[numbers.index(shape.frame) + 1 :]
        if after is not None:
            between = range(between.start, min(between.stop, after.frame), numbers.step)
        if shape.mask is not None or not between:
            continue
        fits = after is not None and after.kind == shape.kind and len(after.points) == len(shape.points)
        if after is not None and not fits and not after.is_outside:
            raise AnnotationError(
                f"{where}: from frame {shape.frame} to {after.frame} a {shape.kind} of {len(shape.points) // 2} points "
                f"becomes a {after.kind} of {len(after.points) // 2}, which cannot be interpolated; export the task "
                "from CVAT, which writes every frame"
            )
        start = np.array(shape.points)
        # Towards the place where it leaves an object moves as well, as in CVAT.
        way = np.array(after.points) - start if after is not None and fits else np.zeros_like(start)
        span = after.frame - shape.frame if after is not None else 1
        for frame in between:
            points = start + way * ((frame - shape.frame) / span)
            yield replace(shape, frame=frame, points=tuple(points.tolist()), is_keyframe=False)

"""CVAT, task of images: ``images.zip`` with related images, ``labels.json``, ``annotations.xml`` (for images 1.1)."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from evfr._core.annotations import ObjectRow, VideoAnnotations
    from evfr.verbs._export_package import ExportFrame, ExportPackage

__all__ = ["label_constructor", "read", "write", "write_labels"]

_NO_FIELD = ("box", "is_crowd", "score", "source", "trust")


def write(package: ExportPackage) -> tuple[Path, ...]:
    """Write what a CVAT task of images is made from.

    Parameters
    ----------
    package : ExportPackage
        The export.

    Returns
    -------
    tuple of Path
        ``images.zip`` (or the folder ``images``), ``labels.json`` where classes are known, and ``annotations.xml``
        where there are labels already.

    Raises
    ------
    AnnotationError
        If a text has a character that XML cannot hold.

    Notes
    -----
    CVAT sorts the pictures of a task by name, and an image of the XML is the frame of that number; ids here follow
    that order, and names are the same. Context of ``a.png`` lies in ``related_images/a_png``
    (https://docs.cvat.ai/docs/manual/advanced/contextual-images/).
    """
    from evfr._core.atomic import atomic_write_bytes
    from evfr.verbs._export_copy import link_or_copy, pack_zip

    if package.has_zip:
        pictures = pack_zip(package.folder / "images.zip", _files(package))
    else:
        pictures = package.folder / "images"
        for name, file in _files(package):
            link_or_copy(file, pictures / name)
    made = [pictures]
    made += write_labels(package, package.folder)
    if package.labels is not None:
        path = package.folder / "annotations.xml"
        atomic_write_bytes(path, "\n".join(_xml(package)).encode())
        made.append(path)
    return tuple(made)


def read(path: Path, package: ExportPackage) -> VideoAnnotations:
    """Read "CVAT for images 1.1" by picture.

    Parameters
    ----------
    path : Path
        The XML, or the zip or folder with ``annotations.xml``.
    package : ExportPackage
        The export.

    Returns
    -------
    VideoAnnotations
        One video a picture, named as the file says.

    Raises
    ------
    AnnotationError
        If it is no such file, or has shapes that are neither box nor mask.
    """
    from evfr.annotations._cvat import read_cvat

    return read_cvat(path, stills=True)


def write_labels(package: ExportPackage, folder: Path) -> list[Path]:
    """Write ``labels.json``, what `label_constructor` returns, into a folder; nothing where there are no classes."""
    from evfr._core.atomic import atomic_write_bytes

    if not package.categories:
        return []
    path = folder / "labels.json"
    atomic_write_bytes(path, json.dumps(label_constructor(package), indent=1).encode() + b"\n")
    return [path]


def label_constructor(package: ExportPackage) -> list[dict[str, Any]]:
    """Return what CVAT's label constructor takes under "Raw": classes, each with the attributes that come back.

    Parameters
    ----------
    package : ExportPackage
        The export.

    Returns
    -------
    list of dict
        One a class: ``track_id``, and what the labels that are there already have besides.
    """
    used: dict[int, dict[str, bool]] = defaultdict(dict)
    for row in () if package.labels is None else package.labels.objects():
        for name, value in _facts(row).items():
            used[row.category_id][name] = used[row.category_id].get(name, True) and isinstance(value, bool)
    labels = []
    for category in package.categories:
        names = {"track_id": False} | used[category.category_id]
        labels.append(
            {
                "name": category.name,
                "attributes": [
                    {
                        "name": name,
                        "mutable": True,
                        "input_type": "checkbox" if is_flag else "text",
                        "default_value": "false" if is_flag else "",
                        "values": ["false" if is_flag else ""],
                    }
                    for name, is_flag in names.items()
                    if name not in ("occluded", "z_order")
                ],
            }
        )
    return labels


def _files(package: ExportPackage) -> Iterator[tuple[str, Path]]:
    for frame, context in sorted(package.picks(), key=lambda pick: pick[0].name):
        yield frame.name, package.path_of(frame)
        folder = "_".join(frame.name.rsplit(".", 1))
        for other in context:
            yield f"related_images/{folder}/{other.name}", package.path_of(other)


def _facts(row: ObjectRow) -> dict[str, str | int | float | bool]:
    from evfr._core.annotations import NO_TRACK
    from evfr.annotations._parse import extra_facts

    facts = extra_facts(row, *_NO_FIELD)
    if row.track_id != NO_TRACK:
        facts["track_id"] = row.track_id
    return facts


def _xml(package: ExportPackage) -> Iterator[str]:
    from evfr.annotations._xml import tag

    assert package.labels is not None
    of_frame: dict[tuple[str, int], list[ObjectRow]] = defaultdict(list)
    for row in package.labels.objects():
        of_frame[row.video_id, row.frame_index].append(row)
    names = {category.category_id: category.name for category in package.categories}
    yield '<?xml version="1.0" encoding="utf-8"?>'
    yield "<annotations>"
    yield tag("version", {}, "1.1")
    yield from _meta(package)
    for number, frame in enumerate(sorted(package.label_frames, key=lambda frame: frame.name)):
        yield tag(
            "image",
            {
                "id": str(number),
                "name": frame.name,
                "width": str(frame.width),
                "height": str(frame.height),
            },
            is_open=True,
        )
        yield from _shapes(of_frame[frame.video_id, frame.frame_index], names, frame)
        yield "</image>"
    yield "</annotations>\n"


def _meta(package: ExportPackage) -> Iterator[str]:
    """Yield the head that CVAT writes; it reads none of it, but other tools do."""
    from evfr.annotations._xml import tag

    yield "<meta><task>"
    yield tag("name", {}, (package.home or package.folder).name)
    yield tag("size", {}, str(len(package.label_frames)))
    yield tag("mode", {}, "annotation")
    yield "<labels>"
    for label in label_constructor(package):
        yield f"<label>{tag('name', {}, label['name'])}<attributes>"
        for attribute in label["attributes"]:
            yield "<attribute>"
            for key in ("name", "mutable", "input_type", "default_value"):
                yield tag(key, {}, str(attribute[key]))
            yield tag("values", {}, attribute["values"][0])
            yield "</attribute>"
        yield "</attributes></label>"
    yield "</labels></task></meta>"


def _shapes(rows: Iterable[ObjectRow], names: dict[int, str], frame: ExportFrame) -> Iterator[str]:
    from evfr.annotations._cvat_shapes import crop_runs
    from evfr.annotations._parse import plain
    from evfr.annotations._xml import tag
    from evfr.errors import AnnotationError

    for row in rows:
        facts = _facts(row)
        fields = {
            "label": names[row.category_id],
            "source": "auto" if row.source in ("carried", "detected", "interpolated") else "manual",
            "occluded": str(int(facts.pop("occluded", False) is True)),
            "z_order": str(facts.pop("z_order", 0)),
        }
        if row.mask is not None:
            kind = "mask"
            fields.update(crop_runs(row.mask))
        elif row.box_xyxy is not None:
            kind = "box"
            fields.update(zip(("xtl", "ytl", "xbr", "ybr"), map(plain, row.box_xyxy), strict=True))
        else:
            raise AnnotationError(
                f"{frame.name}: an object with track {row.track_id} has neither box nor mask; leave it out"
            )
        yield tag(kind, fields, is_open=True)
        for name, value in facts.items():
            text = str(value).lower() if isinstance(value, bool) else str(value)
            yield tag("attribute", {"name": name}, text)
        yield f"</{kind}>"

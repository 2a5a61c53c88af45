"""Annotation tools that see nothing but the pictures they are given, and write their labels as the real ones do.

The object of a picture is drawn where its bar code says: a tool reads the code in the picture and places the box of
that number. A label that comes back on another frame than the one it was drawn on shows at once.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any
from xml.sax.saxutils import quoteattr

import av
import cv2
import numpy as np

from helpers.barcode import index_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from fractions import Fraction

__all__ = ["box_of", "coco_tool", "codes_of_pictures", "codes_of_video", "cvat_tool", "yolo_tool"]


def box_of(code: int) -> tuple[float, float, float, float]:
    """Return x0, y0, x1, y1 of the object in the frame with this bar code."""
    return (float(code), code / 4, code + 20.0, code / 4 + 20)


def codes_of_pictures(folder: Path, *, rotation: int = 0) -> dict[str, int]:
    """Read the bar code of every picture of a folder, by file name."""
    codes = {}
    for path in sorted(folder.iterdir()):
        image = cv2.imread(str(path), cv2.IMREAD_COLOR)
        assert image is not None
        codes[path.name] = index_of(np.ascontiguousarray(image[..., ::-1]), rotation=rotation)
    return codes


def codes_of_video(path: Path) -> tuple[list[tuple[int | None, int]], Fraction]:
    """Return pts and bar code of each frame that a decoder presents, and the time base, straight from PyAV."""
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        codes = [
            (frame.pts, index_of(frame.to_ndarray(format="rgb24"))) for frame in container.decode(stream)
        ]
        assert stream.time_base is not None
        return codes, stream.time_base


def coco_tool(codes: Mapping[str, int], out: Path, *, size: tuple[int, int], prefix: str = "") -> Path:
    """Write COCO with images and categories numbered anew and listed backwards, and nothing of evfr's in it."""
    images, annotations = [], []
    for number, (name, code) in enumerate(sorted(codes.items(), reverse=True)):
        x0, y0, x1, y1 = box_of(code)
        images.append(
            {
                "id": 1000 + number,
                "file_name": prefix + name,
                "width": size[0],
                "height": size[1],
                "video_id": 9,  # left behind by whoever dropped the videos
            }
        )
        annotations.append(
            {
                "id": number + 1,
                "image_id": 1000 + number,
                "category_id": 77,
                "bbox": [x0, y0, x1 - x0, y1 - y0],
                "area": (x1 - x0) * (y1 - y0),
                "segmentation": [],
                "iscrowd": 0,
            }
        )
    data: dict[str, Any] = {
        "info": {},
        "licenses": [],
        "images": images,
        "annotations": annotations,
        "categories": [{"id": 76, "name": "car"}, {"id": 77, "name": "square"}],
    }
    out.write_text(json.dumps(data))
    return out


def yolo_tool(codes: Mapping[str, int], out: Path, *, size: tuple[int, int]) -> Path:
    """Write YOLO text below ``labels/val``, the classes in another order than they were exported in."""
    (out / "labels" / "val").mkdir(parents=True)
    (out / "data.yaml").write_text("names:\n  0: square\n  1: car\nval: images/val\n")
    for name, code in codes.items():
        x0, y0, x1, y1 = box_of(code)
        shares = ((x0 + x1) / 2 / size[0], (y0 + y1) / 2 / size[1], (x1 - x0) / size[0], (y1 - y0) / size[1])
        line = " ".join(["0", *(f"{share:.6f}" for share in shares)])
        (out / "labels" / "val" / f"{Path(name).stem}.txt").write_text(line + "\n")
    return out


def cvat_tool(
    codes: Mapping[str, int], out: Path, *, size: tuple[int, int], shapes: Iterable[str] = ()
) -> Path:
    """Write "CVAT for images 1.1" as CVAT 2 does: ids are places in the sorted task, two decimals, all attributes."""
    lines = [
        '<?xml version="1.0" encoding="utf-8"?>',
        "<annotations>",
        "<version>1.1</version>",
        "<meta><task>",
    ]
    lines += ["<name>a task</name>", f"<size>{len(codes)}</size>", "<mode>annotation</mode>", "<labels>"]
    for label in ("square", "car"):
        lines += [f"<label><name>{label}</name><color>#fa3253</color><type>any</type><attributes>"]
        for name in ("track_id", "evfr_trust"):
            lines += [f"<attribute><name>{name}</name><mutable>True</mutable><input_type>text</input_type>"]
            lines += ["<default_value></default_value><values></values></attribute>"]
        lines += ["</attributes></label>"]
    lines += ["</labels></task></meta>"]
    for number, (name, code) in enumerate(sorted(codes.items())):
        lines.append(
            f'<image id="{number}" name={quoteattr(name)} width="{size[0]}" height="{size[1]}" subset="default">'
        )
        x0, y0, x1, y1 = box_of(code)
        lines.append(
            f'<box label="square" source="manual" occluded="0" xtl="{x0:.2f}" ytl="{y0:.2f}" xbr="{x1:.2f}" '
            f'ybr="{y1:.2f}" z_order="0">'
        )
        lines += [
            '<attribute name="track_id">7</attribute>',
            '<attribute name="evfr_trust"></attribute>',
            "</box>",
        ]
        lines += shapes
        lines.append("</image>")
    lines.append("</annotations>\n")
    out.write_text("\n".join(lines))
    return out

"""Write BDD100K and Scalabel JSON, and BDD100K's bitmasks."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np

from evfr._core.annotations import ObjectRow, VideoAnnotations
from evfr.annotations._bdd_bitmask import write_bitmasks
from evfr.annotations._json import dump_json
from evfr.annotations._numbering import Numbering
from evfr.annotations._parse import extra_facts
from evfr.errors import AnnotationError

__all__ = ["write_bdd"]


def write_bdd(
    annotations: VideoAnnotations,
    path: Path,
    *,
    kind: Literal["json", "bitmask"] = "json",
    start: int | None = None,
    stride: int = 1,
    first_frame: int = 0,
) -> Path:
    """Write Scalabel JSON, or BDD100K's bitmasks.

    Parameters
    ----------
    annotations : VideoAnnotations
        Any number of videos.
    path : Path
        The JSON file; or the folder that gets ``VIDEO/VIDEO-0000001.png`` for each annotated frame.
    kind : {"json", "bitmask"}
        JSON keeps everything but time and hashes (source and trust become attributes named ``evfr_...``). Bitmasks
        keep disjoint masks with category (1 to 255), track (0 to 65535), crowds, and the attributes ``truncated``,
        ``occluded`` and ``ignored``.
    start : int or None
        The number of ``first_frame``; None: 0 for JSON, 1 for bitmasks.
    stride, first_frame : int
        Frame ``first_frame + k * stride`` gets the number ``start + k``.

    Returns
    -------
    Path
        ``path``.

    Raises
    ------
    AnnotationError
        If an object has neither box nor mask; for bitmasks if masks overlap or are empty, or a category or track does
        not fit; or if a frame has no number.
    ValueError
        If ``kind`` is not allowed.
    StoreError
        If a file cannot be written.
    """
    if kind not in ("json", "bitmask"):
        raise ValueError(f"kind must be 'json' or 'bitmask', got {kind!r}")
    path = Path(path)
    if kind == "bitmask":
        return write_bitmasks(
            annotations, path, Numbering(1 if start is None else start, stride, first_frame)
        )
    numbering = Numbering(0 if start is None else start, stride, first_frame)
    names = {category.category_id: category.name for category in annotations.categories}
    rows: dict[tuple[str, int], list[dict[str, Any]]] = defaultdict(list)
    for row in annotations.objects():
        rows[row.video_id, row.frame_index].append(_label(row, names[row.category_id]))
    frames = [
        {
            "name": video.file_names[at] if video.file_names else f"{video.video_id}-{index:07d}",
            "videoName": video.video_id,
            "frameIndex": numbering.number_of(index, f"video {video.video_id!r}"),
            "size": {"width": video.width, "height": video.height},
            "labels": rows[video.video_id, index],
        }
        for video in annotations.videos
        for at, index in enumerate(video.frame_index.tolist())
    ]
    listed = []
    for place, category in enumerate(annotations.categories):
        entry: dict[str, Any] = {"name": category.name}
        if category.category_id != place + 1:
            entry["id"] = category.category_id
        if category.supercategory:
            entry["supercategory"] = category.supercategory
        listed.append(entry)
    return dump_json(path, {"frames": frames, "config": {"categories": listed}})


def _label(row: ObjectRow, category: str) -> dict[str, Any]:
    if row.box_xyxy is None and row.mask is None:
        raise AnnotationError(
            f"video {row.video_id!r}, frame {row.frame_index}, track {row.track_id}: the object has neither box nor "
            "mask; leave it out"
        )
    row = replace(row, attributes={key: value for key, value in row.attributes.items() if key != "label_id"})
    attributes = extra_facts(row, "source", "trust")
    if row.is_crowd:
        attributes["crowd"] = True
    label: dict[str, Any] = {"id": str(row.track_id), "category": category, "attributes": attributes}
    if not np.isnan(row.score):
        label["score"] = row.score
    if row.box_xyxy is not None:
        x0, y0, x1, y1 = row.box_xyxy
        label["box2d"] = {"x1": x0, "y1": y0, "x2": x1 - 1, "y2": y1 - 1}
    if row.mask is not None:
        label["rle"] = row.mask.to_coco()
    return label

"""COCO instances (Lin et al. 2014): images, which may be frames of videos, with boxes, polygons and run lengths."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from evfr._core.annotations import NO_TRACK, ObjectRow, VideoAnnotations
from evfr._core.types import PTS_NONE
from evfr.annotations._coco_fields import (
    box_from_coco,
    box_to_coco,
    categories_from_coco,
    categories_to_coco,
    extra_of,
    finite_fields,
    mask_from_coco,
    source_and_trust,
    video_to_coco,
)
from evfr.annotations._coco_images import Image, group_videos, ordered, read_images, video_names
from evfr.annotations._json import (
    attributes_of,
    dump_json,
    entries,
    finite,
    load_json,
    peek_json,
    whole,
)
from evfr.annotations._numbering import NamePattern, Numbering
from evfr.annotations._paths import safe_name
from evfr.errors import AnnotationError

__all__ = ["read_coco", "recognises_coco", "write_coco"]


def read_coco(
    path: str | Path,
    *,
    companion: str | Path | None = None,
    video_id: str | None = None,
    pattern: str | None = None,
    parse: Callable[[str], Any] | None = None,
    by_order: bool = False,
    stills: bool = False,
    start: int = 0,
    stride: int = 1,
    first_frame: int = 0,
) -> VideoAnnotations:
    """Read COCO instances, of images or of frames, or a list of COCO results (Lin et al. 2014).

    Parameters
    ----------
    path : str or Path
        The JSON file: an object with ``images``, ``annotations``, ``categories`` and perhaps ``videos``, or a list of
        results.
    companion : str or Path, optional
        The instances file that names the images and categories of a list of results.
    video_id : str, optional
        The video of images without ``video_id``; the file's name without ending otherwise.
    pattern : str, optional
        The frame is the number in ``file_name``, as in ``"{video}/{frame:06d}.jpg"``.
    parse : callable, optional
        ``parse(file name without folder) -> (video_id, frame_index, pts)``, such as
        ``evfr.video.parse_frame_file_name`` for images that ``evfr extract`` wrote.
    by_order : bool
        The images of a video, in natural order of their names, are its frames 0, 1, 2, ...
    stills : bool
        Each image is a video of one frame, named by its file; what the file says of videos is not asked.
    start, stride, first_frame : int
        Number n (``frame_id``, or found by ``pattern``) is frame ``first_frame + (n - start) * stride``.

    Returns
    -------
    VideoAnnotations
        Every image is an annotated frame. Tracks are ``track_id`` or ``instance_id``; results are ``detected``.

    Raises
    ------
    AnnotationError
        If an entry is wrong (the text names it), or nothing says which frame an image is: without ``pattern``,
        ``parse``, ``by_order`` or ``stills`` every image needs ``frame_id`` (or ``frame_index``).
    ValueError
        If two of these rules are given at once.

    Notes
    -----
    Boxes are x, y, width, height in pixels; polygons are filled as pycocotools does. A ``segmentation`` that is
    missing or an empty list means no mask. What evfr writes besides (source, trust, pts, ...) is read back.
    """
    path = Path(path)
    if sum((pattern is not None, parse is not None, by_order, stills)) > 1:
        raise ValueError("give one of pattern, parse, by_order and stills: each says which frame an image is")
    data = load_json(path)
    is_results = isinstance(data, list)
    if is_results and companion is None:
        raise AnnotationError(
            f"{path} is a list of results without images and categories; give companion=, the instances file"
        )
    head_path = Path(companion) if is_results and companion is not None else path
    head = load_json(head_path) if is_results else data
    numbering = Numbering(start, stride, first_frame)
    default = video_id or head_path.stem
    names = {} if stills else video_names(head, head_path)
    images = read_images(
        head,
        head_path,
        names,
        default,
        NamePattern(pattern) if pattern else None,
        parse,
        stills,
        by_order,
        numbering,
    )
    if by_order:
        images = ordered(images)
    categories = categories_from_coco(head, str(head_path))
    videos = group_videos(images, names, {} if stills else head, head_path)
    found = (
        entries({"results": data}, "results", str(path))
        if is_results
        else entries(data, "annotations", str(path))
    )
    known = {category.category_id for category in categories}
    rows = [
        _row(entry, f"{path}: {'result' if is_results else 'annotation'} {number}", images, known, is_results)
        for number, entry in enumerate(found)
    ]
    try:
        return VideoAnnotations.build(videos, categories, rows)
    except AnnotationError as error:
        raise AnnotationError(f"{path}: {error}") from error


def _row(
    entry: Mapping[str, Any], where: str, images: Mapping[int, Image], known: set[int], is_result: bool
) -> ObjectRow:
    key = whole(entry, "image_id", where)
    if key not in images:
        raise AnnotationError(f"{where}: image_id {key} is none of the file's images")
    image = images[key]
    category = whole(entry, "category_id", where)
    if category not in known:
        raise AnnotationError(
            f"{where}: category_id {category} is none of the file's categories {sorted(known)[:20]}"
        )
    extra = extra_of(entry, where)
    box = box_from_coco(entry.get("bbox"), where) if extra.get("has_box", True) else None
    mask = mask_from_coco(entry.get("segmentation"), image.height, image.width, where)
    if box is None and mask is None:
        raise AnnotationError(f"{where}: it has neither bbox nor segmentation")
    track = "track_id" if entry.get("track_id") is not None else "instance_id"
    source, trust = source_and_trust(extra, "detected" if is_result else "human", where)
    crowd = entry.get("iscrowd", 0)
    if crowd not in (0, 1):
        raise AnnotationError(f"{where}: iscrowd must be 0 or 1, got {crowd!r:.80}")
    has_score = is_result or entry.get("score") is not None
    return ObjectRow(
        image.video_id,
        image.frame_index,
        category,
        NO_TRACK if entry.get(track) is None else whole(entry, track, where, low=NO_TRACK),
        box,
        mask,
        finite(entry.get("score"), "score", where) if has_score else math.nan,
        source,
        trust,
        bool(crowd),
        attributes_of(entry.get("attributes"), where),
    )


def recognises_coco(path: Path) -> bool:
    """Whether a JSON file has images, annotations and categories."""
    kind, keys = peek_json(path)
    return kind is dict and {"images", "annotations", "categories"} <= keys


def write_coco(
    annotations: VideoAnnotations,
    path: str | Path,
    *,
    pattern: str = "{video}/{frame:06d}.jpg",
) -> Path:
    """Write COCO instances with ``videos``, ``video_id``, ``frame_id`` and ``track_id`` (Lin et al. 2014).

    Parameters
    ----------
    annotations : VideoAnnotations
        The labels.
    path : str or Path
        The JSON file.
    pattern : str
        ``file_name`` of frames that have none.

    Returns
    -------
    Path
        The file.

    Raises
    ------
    AnnotationError
        If an object has neither box nor mask, a value is not finite where JSON needs it, or a name is not safe.

    Notes
    -----
    Masks are compressed run lengths. ``bbox`` is that of the mask where an object has no other; ``has_box`` is then
    false. Fields that COCO lacks (``source``, ``trust``, ``pts``, ``content_hash``, ...) stand beside its own, which
    other tools ignore; `read_coco` gives all back.
    """
    path = Path(path)
    shape = NamePattern(pattern)
    images: list[dict[str, Any]] = []
    image_ids: dict[tuple[str, int], int] = {}
    videos = []
    for number, video in enumerate(annotations.videos, 1):
        videos.append(
            {"id": number, "name": video.video_id, "width": video.width, "height": video.height}
            | video_to_coco(video)
        )
        for place, (index, pts) in enumerate(
            zip(video.frame_index.tolist(), video.pts.tolist(), strict=True)
        ):
            name = video.file_names[place] if video.file_names else shape.format(video.video_id, index)
            image_ids[video.video_id, index] = len(images) + 1
            images.append(
                {
                    "id": len(images) + 1,
                    "video_id": number,
                    "frame_id": index,
                    "file_name": safe_name(name, f"{path}: video {video.video_id!r}"),
                    "width": video.width,
                    "height": video.height,
                    **({} if pts == PTS_NONE else {"evfr": {"pts": pts}}),
                }
            )
    data = {
        "videos": videos,
        "images": images,
        "annotations": list(_annotations(annotations, image_ids, path)),
        "categories": categories_to_coco(annotations.categories, str(path)),
    }
    return dump_json(path, data)


def _annotations(
    annotations: VideoAnnotations, image_ids: Mapping[tuple[str, int], int], path: Path
) -> Iterator[dict[str, Any]]:
    for number, row in enumerate(annotations.objects(), 1):
        where = f"{path}: the object {number} on frame {row.frame_index} of {row.video_id!r}"
        box = box_to_coco(row.box_xyxy, row.mask, where)
        extra: dict[str, Any] = finite_fields(where, trust=row.trust)
        if row.source != "human":
            extra["source"] = row.source
        if row.box_xyxy is None:
            extra["has_box"] = False
        yield {
            "id": number,
            "image_id": image_ids[row.video_id, row.frame_index],
            "category_id": row.category_id,
            "bbox": box,
            "area": box[2] * box[3] if row.mask is None else row.mask.area,
            "segmentation": [] if row.mask is None else row.mask.to_coco(),
            "iscrowd": int(row.is_crowd),
            **({} if row.track_id == NO_TRACK else {"track_id": row.track_id}),
            **finite_fields(where, score=row.score),
            **({"attributes": attributes_of(dict(row.attributes), where)} if row.attributes else {}),
            **({"evfr": extra} if extra else {}),
        }

"""Label files: one value in memory, many formats on disk.

Every reader gives a `VideoAnnotations`: videos with their annotated frames (0-based indices in presentation order), and
objects with track, category, box and/or mask, score, source and trust. A format is two functions, ``read(path, *,
<own options>) -> VideoAnnotations`` and ``write(annotations, path, *, <own options>) -> Path``. Labels are matched to
frames by numbers and names that are stated, never by guess; a file that is wrong raises one `AnnotationError` that
names the file and the entry, and `bind` fits labels to the true frames of a video.

To add a format: write one file with the two functions, and one line in `FORMATS` that says what it keeps.
"""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any

from evfr._core.annotations import (
    NO_TRACK,
    SOURCES,
    AnnotatedVideo,
    Category,
    FrameLabels,
    ObjectRow,
    VideoAnnotations,
    concatenate,
)
from evfr._core.masks import Rle
from evfr.annotations._bdd import looks_like_bdd, read_bdd
from evfr.annotations._bdd_write import write_bdd
from evfr.annotations._bind import bind
from evfr.annotations._camvid import read_camvid, recognises_camvid, write_camvid
from evfr.annotations._category_map import (
    CATEGORY_MAPS,
    CategoryMap,
    match_categories,
    merge_categories,
    merged_names,
    read_category_map,
)
from evfr.annotations._cdnet import read_cdnet, recognises_cdnet, write_cdnet
from evfr.annotations._coco import read_coco, recognises_coco, write_coco
from evfr.annotations._cvat import looks_like_cvat, read_cvat
from evfr.annotations._cvat_write import write_cvat
from evfr.annotations._davis import read_davis, recognises_davis, write_davis
from evfr.annotations._formats import FACTS, Fact, Format, stated_facts
from evfr.annotations._label_studio import looks_like_label_studio, read_label_studio
from evfr.annotations._label_studio_write import write_label_studio
from evfr.annotations._masks import read_masks, write_masks
from evfr.annotations._mot import looks_like_mot, read_mot, write_mot
from evfr.annotations._mots import looks_like_mots, read_mots, write_mots
from evfr.annotations._native import read_native, recognises_native, write_native
from evfr.annotations._yolo import read_yolo, recognises_yolo, write_yolo
from evfr.annotations._ytvis import read_ytvis, recognises_ytvis, write_ytvis
from evfr.errors import AnnotationError

__all__ = [
    "CATEGORY_MAPS",
    "FACTS",
    "FORMATS",
    "NO_TRACK",
    "SOURCES",
    "AnnotatedVideo",
    "Category",
    "CategoryMap",
    "Fact",
    "Format",
    "FrameLabels",
    "ObjectRow",
    "Rle",
    "VideoAnnotations",
    "bind",
    "concatenate",
    "lost",
    "match_categories",
    "merge_categories",
    "merged_names",
    "read",
    "read_category_map",
    "write",
]

FORMATS: dict[str, Format] = {
    "evfr": Format(
        "evfr",
        read_native,
        write_native,
        (".parquet",),
        "evfr's own table in one Parquet file: keeps everything",
        frozenset(FACTS),
        recognises_native,
    ),
    "coco": Format(
        "coco",
        read_coco,
        write_coco,
        (".json",),
        "COCO instances, of images or of the frames of videos: boxes, polygons, run lengths",
        frozenset(FACTS),
        recognises_coco,
    ),
    "ytvis": Format(
        "ytvis",
        read_ytvis,
        write_ytvis,
        (".json",),
        "YouTube-VIS: one annotation an object, with boxes and masks for all frames",
        frozenset(FACTS),
        recognises_ytvis,
    ),
    "davis": Format(
        "davis",
        read_davis,
        write_davis,
        ("", ".zip"),
        "DAVIS: palette pictures in Annotations/<resolution>/<video>, the value is the track",
        frozenset({"masks", "tracks", "empty_frames", "frame_numbers"}),
        recognises_davis,
    ),
    "masks": Format(
        "masks",
        read_masks,
        write_masks,
        ("", ".zip"),
        "a folder or zip of grey pictures, one a frame: 0/1, 0/255, tracks or classes",
        frozenset({"masks", "tracks", "empty_frames", "frame_numbers"}),
    ),
    "yolo": Format(
        "yolo",
        read_yolo,
        write_yolo,
        ("", ".zip"),
        "YOLO text, one file a frame: boxes or polygons as shares of the picture, with score and track if asked",
        frozenset({"boxes", "masks", "tracks", "categories", "score", "empty_frames", "frame_numbers"}),
        recognises_yolo,
    ),
    "mot": Format(
        "mot",
        read_mot,
        write_mot,
        (".txt", ""),
        "MOT Challenge text: boxes and tracks of one sequence",
        frozenset({"boxes", "tracks", "categories", "score", "frame_numbers"}),
        looks_like_mot,
    ),
    "mots": Format(
        "mots",
        read_mots,
        write_mots,
        (".txt", "", ".zip"),
        "MOTS and KITTI MOTS: disjoint masks with ids of class * 1000 + instance, as text or 16-bit PNG",
        frozenset({"masks", "tracks", "categories", "is_crowd", "frame_numbers"}),
        looks_like_mots,
    ),
    "cvat": Format(
        "cvat",
        read_cvat,
        write_cvat,
        (".xml", ".zip", ""),
        "CVAT XML 1.1, for video (tracks, expanded) and for images",
        frozenset(FACTS) - {"time", "content_hash"},
        looks_like_cvat,
    ),
    "bdd100k": Format(
        "bdd100k",
        read_bdd,
        write_bdd,
        (".json", "", ".zip"),
        "BDD100K and Scalabel JSON, and BDD100K's bitmasks",
        frozenset(FACTS) - {"time", "content_hash"},
        looks_like_bdd,
    ),
    "label-studio": Format(
        "label-studio",
        read_label_studio,
        write_label_studio,
        (".json",),
        "Label Studio JSON: boxes tracked through videos; boxes, polygons and brushes on images",
        frozenset(FACTS) - {"time", "content_hash"},
        looks_like_label_studio,
    ),
    "camvid": Format(
        "camvid",
        read_camvid,
        write_camvid,
        ("", ".zip"),
        "CamVid: pictures of classes (0 to 10, 11 void) of some frames of sequences, beside the pictures",
        frozenset({"masks", "categories", "is_crowd", "frame_numbers"}),
        recognises_camvid,
    ),
    "cdnet": Format(
        "cdnet",
        read_cdnet,
        write_cdnet,
        ("", ".zip"),
        "CDnet: pictures that say which pixels move; shadow is background, outside and unknown are void",
        frozenset({"masks", "is_crowd", "empty_frames", "frame_numbers"}),
        recognises_cdnet,
    ),
}


def read(path: str | Path, *, format: str = "auto", **options: Any) -> VideoAnnotations:
    """Read labels of any known format (ours).

    Parameters
    ----------
    path : str or Path
        The label file, folder or zip.
    format : str
        A key of `FORMATS`, or ``"auto"``: the one format whose ending and content fit; more or fewer than one is an
        error that says which to name.
    **options : Any
        The keywords of that format's own reader (``FORMATS[name].read``).

    Returns
    -------
    VideoAnnotations
        Videos, annotated frames and objects.

    Raises
    ------
    AnnotationError
        If the file is wrong, or ``"auto"`` finds no format or several.
    ValueError
        If there is no such format.
    TypeError
        If the format's reader has no such option.
    """
    path = Path(path)
    chosen = _recognise(path) if format == "auto" else _format(format)
    _check_options(chosen.name, "reader", chosen.read, options)
    return chosen.read(path, **options)


def write(annotations: VideoAnnotations, path: str | Path, *, format: str, **options: Any) -> Path:
    """Write labels in any known format (ours).

    Parameters
    ----------
    annotations : VideoAnnotations
        The labels.
    path : str or Path
        The file or folder to make.
    format : str
        A key of `FORMATS`.
    **options : Any
        The keywords of that format's own writer (``FORMATS[name].write``).

    Returns
    -------
    Path
        What was written.

    Raises
    ------
    AnnotationError
        If these labels cannot stand in that format.
    ValueError
        If there is no such format.
    TypeError
        If the format's writer has no such option.
    """
    chosen = _format(format)
    _check_options(chosen.name, "writer", chosen.write, options)
    return chosen.write(annotations, Path(path), **options)


def lost(annotations: VideoAnnotations, format: str) -> tuple[Fact, ...]:
    """Say what of these labels a file of a format cannot hold (ours).

    Parameters
    ----------
    annotations : VideoAnnotations
        The labels.
    format : str
        A key of `FORMATS`.

    Returns
    -------
    tuple of str
        Those of `FACTS` that the labels state and the format does not keep, in their order.

    Raises
    ------
    ValueError
        If there is no such format.
    """
    return tuple(fact for fact in stated_facts(annotations) if fact not in _format(format).keeps)


def _format(name: str) -> Format:
    if name not in FORMATS:
        raise ValueError(f"format must be one of {', '.join(FORMATS)} (or auto, for reading), got {name!r}")
    return FORMATS[name]


def _check_options(name: str, what: str, function: Any, options: dict[str, Any]) -> None:
    parameters = inspect.signature(function).parameters.values()
    allowed = [p.name for p in parameters if p.kind is p.KEYWORD_ONLY]
    for option in options:
        if option not in allowed:
            known = ", ".join(allowed) or "none"
            raise TypeError(f"the {what} of {name!r} has no option {option!r}; it has: {known}")


def _recognise(path: Path) -> Format:
    if not path.exists():
        raise AnnotationError(f"{path} does not exist; check the path")
    suffix = "" if path.is_dir() else path.suffix.lower()
    by_suffix = [item for item in FORMATS.values() if suffix in item.suffixes]
    fitting = [item for item in by_suffix if item.recognises is not None and item.recognises(path)]
    if len(fitting) == 1:
        return fitting[0]
    names = ", ".join(item.name for item in fitting or by_suffix or FORMATS.values())
    found = "several formats fit" if fitting else "its format cannot be told from its ending and content"
    raise AnnotationError(f"{path}: {found}; say which with format=, one of: {names}")

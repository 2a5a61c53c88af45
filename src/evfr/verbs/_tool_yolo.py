"""YOLO labels in Ultralytics' layout: ``data.yaml``, ``images/train`` and ``labels/train``."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from evfr.errors import AnnotationError

if TYPE_CHECKING:
    from evfr._core.annotations import VideoAnnotations
    from evfr.annotations._paths import Place
    from evfr.verbs._export_package import ExportPackage

__all__ = ["read", "write"]

FOLDER = "yolo"
_SPLIT = "train"
_DARKNET = re.compile(r"(obj_[^/]+_data)/")


def write(package: ExportPackage) -> tuple[Path, ...]:
    """Write the folder ``yolo``.

    Parameters
    ----------
    package : ExportPackage
        The export.

    Returns
    -------
    tuple of Path
        The folder.

    Raises
    ------
    AnnotationError
        If a label cannot stand in YOLO's text.

    Notes
    -----
    Where all labels that are there already have masks they are outlines, otherwise boxes: a data set of Ultralytics
    is for segmentation or for detection. A frame without labels yet has no text file; one that was labelled and found
    empty has an empty one. A box is cut at the edge of the picture.
    """
    import shutil

    from evfr.annotations import write as write_labels
    from evfr.verbs._export_copy import link_or_copy
    from evfr.verbs._export_labels import annotate_package

    folder = package.folder / FOLDER
    labels = annotate_package(package)
    ids = {video.video_id: f"v{number}" for number, video in enumerate(labels.videos)}
    is_outlines = bool(len(labels)) and all(mask is not None and not mask.is_empty for mask in labels.masks)
    # The writer numbers its files, and video ids may be no file names: both are given the pictures' names after.
    write_labels(
        replace(
            labels,
            videos=tuple(
                replace(video, video_id=ids[video.video_id], file_names=()) for video in labels.videos
            ),
            boxes_xyxy=_cut(labels),
        ),
        folder,
        format="yolo",
        shape="polygon" if is_outlines else "box",
        pattern="{video}/{frame:06d}.txt",
    )
    begun = _begun(package)
    for frame in package.label_frames:
        link_or_copy(package.path_of(frame), folder / "images" / _SPLIT / frame.name)
        file = folder / "labels" / ids[frame.video_id] / f"{frame.frame_index:06d}.txt"
        if (frame.video_id, frame.frame_index) in begun:
            target = folder / "labels" / _SPLIT / f"{frame.stem}.txt"
            target.parent.mkdir(exist_ok=True)
            file.replace(target)
    for name in ids.values():
        shutil.rmtree(folder / "labels" / name)
    # Without `path:` the folder of the file itself counts, wherever it is moved.
    text = (folder / "data.yaml").read_text()
    (folder / "data.yaml").write_text(
        text.replace("path: .\n", "").replace(": images\n", f": images/{_SPLIT}\n")
    )
    return (folder,)


def read(path: Path, package: ExportPackage) -> VideoAnnotations:
    """Read YOLO text by picture: a text file belongs to the picture of its name.

    Parameters
    ----------
    path : Path
        The folder or zip with ``labels`` and the names of the classes (a YAML file or ``classes.txt``; otherwise
        those of the export count, in their order); or darknet's layout, as CVAT's "YOLO 1.1".
    package : ExportPackage
        The export: its sizes turn shares into pixels.

    Returns
    -------
    VideoAnnotations
        One video a text file, named as the file without ending.

    Raises
    ------
    AnnotationError
        If a line is wrong, or there are several subsets of darknet's.
    """
    from evfr._core.types import PTS_NONE
    from evfr.annotations import FORMATS
    from evfr.annotations._paths import open_place
    from evfr.verbs._import_match import NameIndex

    with open_place(path) as place:
        folder, names = _layout(place)
    index = NameIndex(package.frames)

    def size(name: str) -> tuple[int, int]:
        frame, _ = index.find(PurePosixPath(name).stem)
        # The size of a picture that is not known does not matter: its labels are not imported, but listed.
        return (frame.width, frame.height) if frame is not None else (1, 1)

    labels: VideoAnnotations = FORMATS["yolo"].read(
        path,
        shape="polygon",
        size=size,
        folder=folder,
        parse=lambda name: (PurePosixPath(name).stem, 0, PTS_NONE),
        names=[category.name for category in package.categories] if names is None else names,
    )
    return labels


def _layout(place: Place) -> tuple[str | None, Any]:
    """Return the folder of the text files (None: the reader finds it) and the names of the classes.

    Ultralytics has ``labels`` and one YAML file, also called ``dataset.yaml`` (FiftyOne); darknet, as CVAT's
    "YOLO 1.1" and Datumaro write it, ``obj_<subset>_data`` and ``obj.names``.
    """
    from evfr.annotations._yaml_names import yaml_names

    folders = sorted({match[1] for name in place.names if (match := _DARKNET.match(name))})
    if len(folders) > 1:
        raise AnnotationError(
            f"{place.path} has {', '.join(folders)}; give the export of one subset, or one of these folders beside "
            "obj.names"
        )
    texts = [name for name in place.names if "/" not in name and name.lower().endswith((".yaml", ".yml"))]
    text = "data.yaml" if "data.yaml" in texts else texts[0] if len(texts) == 1 else None
    names: Any = None
    if text is not None:
        names = yaml_names(place.read(text).decode("utf-8-sig", "replace"), f"{place.path}: {text}")
    else:
        for name in ("classes.txt", "obj.names"):
            if name in place.names:
                lines = place.read(name).decode("utf-8-sig", "replace").splitlines()
                names = [line.strip() for line in lines if line.strip()]
                break
    return (folders[0] if folders else None), names


def _cut(labels: VideoAnnotations) -> Any:
    """Return the boxes, cut at the edges of their pictures."""
    import numpy as np

    sizes = np.array([(v.width, v.height, v.width, v.height) for v in labels.videos], np.float64).reshape(
        -1, 4
    )
    boxes = labels.boxes_xyxy
    return np.clip(boxes, 0.0, sizes[labels.video_row]) if len(boxes) else boxes


def _begun(package: ExportPackage) -> set[tuple[str, int]]:
    """Return the frames that have labels already, or were found empty."""
    if package.labels is None:
        return set()
    return {
        (video.video_id, index) for video in package.labels.videos for index in video.frame_index.tolist()
    }

"""DAVIS: a folder of palette pictures for each video; the value of a pixel is the track (Pont-Tuset et al. 2017)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from evfr._core.annotations import NO_TRACK, AnnotatedVideo, Category, ObjectRow, VideoAnnotations
from evfr._core.masks import Rle
from evfr._core.types import PTS_NONE
from evfr.annotations._label_pictures import Priority, paint, write_tree
from evfr.annotations._numbering import NamePattern, Numbering, place_files
from evfr.annotations._palette import DAVIS_PALETTE, read_labels, write_labels
from evfr.annotations._paths import open_place
from evfr.errors import AnnotationError

if TYPE_CHECKING:
    from evfr.annotations._paths import Place

__all__ = ["VOID", "read_davis", "recognises_davis", "write_davis"]

VOID = 255
"""The value of pixels that count for nothing."""

_OBJECT = Category(1, "object")
_VOID = Category(VOID, "void")


def read_davis(
    path: str | Path,
    *,
    resolution: str | None = None,
    video_id: str | None = None,
    start: int = 0,
    stride: int = 1,
    first_frame: int = 0,
) -> VideoAnnotations:
    """Read DAVIS masks: ``Annotations/<resolution>/<video>/00000.png`` (Pont-Tuset et al. 2017).

    Parameters
    ----------
    path : str or Path
        The folder (or zip) that holds ``Annotations``, or any folder further down. Only ``.png`` files are read; in a
        tree without a folder ``Annotations`` the folders are the video's name.
    resolution : str, optional
        Which folder below ``Annotations`` (``"480p"``), where there are several.
    video_id : str, optional
        The name of the video where the pictures lie in no folder; the folder's or zip's name otherwise.
    start, stride, first_frame : int
        Picture number n is frame ``first_frame + (n - start) * stride``.

    Returns
    -------
    VideoAnnotations
        One category ``object`` (1); the value of a pixel is the track. Every picture is an annotated frame. Pixels of
        255 (void) become one object a frame of the category ``void`` (255) without track, marked as crowd.

    Raises
    ------
    AnnotationError
        If a name is not a number, a picture is broken, of another size, not of palette or grey values, or grey with
        255 as DAVIS 2016 has: there 255 is the object (read those with ``format="masks"``).
    """
    path = Path(path)
    numbering = Numbering(start, stride, first_frame)
    with open_place(path) as place:
        files = _find(place, resolution, video_id or path.stem)
        videos, rows = [], []
        has_void = False
        for name, members in files.items():
            shown = f"{path}: video {name!r}"
            places = place_files(members, shown, video_id=name, pattern="{frame}.png", numbering=numbering)
            size: tuple[int, int] | None = None
            for item in places:
                where = f"{path}: {members[item.name]}"
                labels, has_palette = read_labels(place.read(members[item.name]), where, size)
                size = (labels.shape[1], labels.shape[0])
                found = [int(value) for value in np.unique(labels) if value]
                if VOID in found and not has_palette:
                    raise AnnotationError(
                        f"{where} is grey and has pixels of 255: an object in DAVIS 2016, void in DAVIS 2017; read it "
                        "with format='masks', values='binary', or save it with a palette"
                    )
                if found and found[-1] > VOID:
                    raise AnnotationError(f"{where} has the value {found[-1]}; DAVIS holds tracks 1 to 254")
                for value in found:
                    is_void = value == VOID
                    has_void |= is_void
                    rows.append(
                        ObjectRow(
                            name,
                            item.frame_index,
                            VOID if is_void else 1,
                            NO_TRACK if is_void else value,
                            None,
                            Rle.from_mask(labels == value),
                            is_crowd=is_void,
                        )
                    )
            assert size is not None
            index = np.array([item.frame_index for item in places], np.int64)
            videos.append(AnnotatedVideo(name, *size, index, np.full(len(index), PTS_NONE)))
    return VideoAnnotations.build(videos, (_OBJECT, _VOID) if has_void else (_OBJECT,), rows)


def recognises_davis(path: Path) -> bool:
    """Whether a folder or zip has ``Annotations`` with pictures in it."""
    try:
        with open_place(path) as place:
            return any("Annotations" in _folders(name) for name in place.names if name.endswith(".png"))
    except AnnotationError:
        return False


def _folders(name: str) -> list[str]:
    return name.split("/")[:-1]


def _find(place: Place, resolution: str | None, default: str) -> dict[str, dict[str, str]]:
    """Return the pictures by video: number's file name -> name in the place."""
    names = [name for name in place.names if name.lower().endswith(".png")]
    below = [name for name in names if "Annotations" in _folders(name)]
    is_tree = bool(below) or place.path.name == "Annotations"
    parts = {}
    for name in below or names:
        folders = _folders(name)
        parts[name] = folders[folders.index("Annotations") + 1 :] if below else folders
    if is_tree:
        found = sorted({folders[0] for folders in parts.values() if folders})
        if resolution is None and len(found) > 1:
            raise AnnotationError(
                f"{place.path} has masks of several resolutions; give resolution=, one of {', '.join(found[:20])}"
            )
        chosen = found[0] if resolution is None and found else resolution
        if chosen not in found:
            raise AnnotationError(
                f"{place.path} has no masks of the resolution {chosen!r}; it has {', '.join(found[:20]) or 'none'}"
            )
        parts = {name: folders[1:] for name, folders in parts.items() if folders and folders[0] == chosen}
    elif resolution is not None:
        raise AnnotationError(
            f"{place.path} has no folder Annotations, so resolution={resolution!r} says nothing"
        )
    if not parts:
        raise AnnotationError(f"{place.path} has no .png file; give the folder that holds Annotations")
    videos: dict[str, dict[str, str]] = {}
    for name, folders in parts.items():
        videos.setdefault("/".join(folders) or default, {})[name.rsplit("/", 1)[-1]] = name
    return videos


def write_davis(
    annotations: VideoAnnotations,
    path: str | Path,
    *,
    resolution: str = "480p",
    priority: Priority | None = None,
    start: int = 0,
    stride: int = 1,
    first_frame: int = 0,
) -> Path:
    """Write DAVIS masks with DAVIS's palette: ``Annotations/<resolution>/<video>/00000.png`` (Pont-Tuset et al. 2017).

    Parameters
    ----------
    annotations : VideoAnnotations
        The labels; every object needs a mask and a track of 1 to 254.
    path : str or Path
        A folder that is new or empty, or a path that ends in ``.zip``.
    resolution : str
        The name of the folder.
    priority : {"low", "high", "small"} or None
        Who is in front where objects overlap: the lowest or highest track, or the smallest mask. None: an error.
    start, stride, first_frame : int
        Frame ``first_frame + k * stride`` is picture ``start + k``.

    Returns
    -------
    Path
        The folder or zip.

    Raises
    ------
    AnnotationError
        If an object has no mask or no such track, objects overlap, a frame has no number, or the folder is not empty.

    Notes
    -----
    Kept are masks, tracks and which frames are annotated. An object of a category named ``void`` without a track is
    written as 255. Boxes, categories, scores and all else are lost, as are masks without pixels.
    """
    path = Path(path)
    numbering = Numbering(start, stride, first_frame)
    void = {c.category_id for c in annotations.categories if c.name == "void"}

    def files() -> Iterator[tuple[str, bytes]]:
        shape = NamePattern("{frame:05d}.png")
        for video in annotations.videos:
            part = annotations.of_video(video.video_id)
            objects = list(part.objects())
            for frame in video.frame_index.tolist():
                where = f"video {video.video_id!r}, frame {frame}"
                rows = [objects[row] for row in part.rows_at(video.video_id, frame)]
                values = [_value(row, void, where) for row in rows]
                picture = paint(rows, values, (video.width, video.height), priority, where)
                number = shape.format(video.video_id, numbering.number_of(frame, where))
                yield (
                    f"Annotations/{resolution}/{video.video_id}/{number}",
                    write_labels(picture, palette=DAVIS_PALETTE),
                )

    return write_tree(path, files())


def _value(row: ObjectRow, void: set[int], where: str) -> int:
    if row.track_id == NO_TRACK and row.category_id in void:
        return VOID
    if not 1 <= row.track_id < VOID:
        raise AnnotationError(
            f"{where}: DAVIS holds tracks 1 to 254, got {row.track_id}; number the tracks anew"
        )
    return row.track_id

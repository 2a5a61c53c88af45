"""CDnet: one picture a frame that says which pixels move (Goyette et al. 2012; Wang et al. 2014)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from evfr._core.annotations import NO_TRACK, AnnotatedVideo, Category, ObjectRow, VideoAnnotations
from evfr._core.masks import Rle
from evfr.annotations._label_pictures import write_tree
from evfr.annotations._numbering import NamePattern, Numbering
from evfr.annotations._palette import read_labels, write_labels
from evfr.annotations._parse import check_pixels, only_video
from evfr.annotations._paths import open_place
from evfr.annotations._semantic import class_masks
from evfr.errors import AnnotationError

if TYPE_CHECKING:
    from evfr.annotations._paths import Place

__all__ = ["read_cdnet", "recognises_cdnet", "write_cdnet"]

STATIC, SHADOW, OUTSIDE, UNKNOWN, MOVING = 0, 50, 85, 170, 255
_VALUES = (STATIC, SHADOW, OUTSIDE, UNKNOWN, MOVING)
_NAME = NamePattern("gt{frame:06d}.png")
_LIMITS = "temporalROI.txt"
_MOVING_ID, _VOID_ID = 1, 255


def read_cdnet(
    path: str | Path,
    *,
    first: int | None = None,
    last: int | None = None,
    start: int = 1,
    first_frame: int = 0,
    components: bool = False,
    category: str = "moving",
    video_id: str | None = None,
) -> VideoAnnotations:
    """Read CDnet's truth: ``gt000001.png``, ... with 0, 50, 85, 170 and 255 (Goyette et al. 2012).

    Parameters
    ----------
    path : str or Path
        The folder or zip of a sequence (with ``groundtruth``), or of the pictures.
    first, last : int, optional
        First and last number that are read; those in ``temporalROI.txt`` otherwise, where that is beside the pictures
        or above them.
    start, first_frame : int
        Number n is frame ``first_frame + n - start``: CDnet counts from 1.
    components : bool
        Make each connected part an object of its own.
    category : str
        What moving pixels are called.
    video_id : str, optional
        The name of the video; the folder's or zip's name otherwise.

    Returns
    -------
    VideoAnnotations
        255 (moving) is one object a frame, without track; 85 and 170 (outside, unknown) are one object a frame of the
        category ``void``, marked as crowd; 0 and 50 (shadow) are background. A picture of which nothing is known is no
        annotated frame.

    Raises
    ------
    AnnotationError
        If there are no such pictures, one is broken or of another size, or has another value.

    References
    ----------
    Goyette, Jodoin, Porikli, Konrad & Ishwar, "changedetection.net: a new change detection benchmark dataset", CVPR
    workshops 2012. Wang et al., "CDnet 2014", CVPR workshops 2014.
    """
    path = Path(path)
    name = video_id or path.resolve().stem
    numbering = Numbering(start, 1, first_frame)
    rows, frames = [], []
    size: tuple[int, int] | None = None
    has_void = False
    with open_place(path) as place:
        files = _files(place)
        low, high = _limits(place, first, last)
        for number, file in files:
            if not low <= number <= high:
                continue
            where = f"{path}: {file}"
            labels, _ = read_labels(place.read(file), where, size)
            size = (labels.shape[1], labels.shape[0])
            known = np.bincount(labels.ravel(), minlength=256)
            if wrong := [value for value in np.flatnonzero(known).tolist() if value not in _VALUES]:
                raise AnnotationError(
                    f"{where} has pixels of {wrong[0]}; CDnet's truth has {', '.join(map(str, _VALUES))}: read other "
                    "masks with format='masks'"
                )
            if not known[[STATIC, SHADOW, MOVING]].any():
                continue
            frame = numbering.index_of(number, where)
            frames.append(frame)
            rows += [
                ObjectRow(name, frame, _MOVING_ID, NO_TRACK, None, mask)
                for mask in class_masks(np.asarray(labels == MOVING, np.bool_), components)
            ]
            if known[[OUTSIDE, UNKNOWN]].any():
                has_void = True
                hidden = Rle.from_mask((labels == OUTSIDE) | (labels == UNKNOWN))
                rows.append(ObjectRow(name, frame, _VOID_ID, NO_TRACK, None, hidden, is_crowd=True))
    if size is None or not frames:
        raise AnnotationError(
            f"{path}: nothing is known of any picture numbered {low} to {high}; check first and last"
        )
    categories = [Category(_MOVING_ID, category)] + [Category(_VOID_ID, "void")] * has_void
    video = AnnotatedVideo(name, *size, np.array(frames, np.int64))
    return VideoAnnotations.build([video], categories, rows)


def recognises_cdnet(path: Path) -> bool:
    """Whether a folder or zip has pictures named as CDnet's truth is."""
    try:
        with open_place(path) as place:
            return bool(_files(place))
    except AnnotationError:
        return False


def _files(place: Place) -> list[tuple[int, str]]:
    """Return (number, name) of the pictures, increasing."""
    found: dict[int, str] = {}
    for name in place.names:
        folder, _, file = name.rpartition("/")
        fits = _NAME.parse(file)
        if fits is None or (folder and folder.rpartition("/")[2] != "groundtruth"):
            continue
        if fits[1] in found:
            raise AnnotationError(
                f"{place.path}: {found[fits[1]]!r} and {name!r} have one number; give the folder of one sequence"
            )
        found[fits[1]] = name
    if not found:
        raise AnnotationError(
            f"{place.path} has no picture gt000001.png, ... in it or in groundtruth; give a sequence of CDnet"
        )
    return sorted(found.items())


def _limits(place: Place, first: int | None, last: int | None) -> tuple[int, int]:
    """Return the first and last number that count."""
    low, high = 0, 10**18
    beside = place.path.parent / _LIMITS
    text = None
    inside = [name for name in place.names if name.rpartition("/")[2] == _LIMITS]
    if len(inside) == 1:
        text = place.read(inside[0])
    elif place.path.name == "groundtruth" and beside.is_file():
        text = beside.read_bytes()
    if text is not None:
        found = re.fullmatch(rb"\s*(\d{1,9})\s+(\d{1,9})\s*", text)
        if found is None:
            raise AnnotationError(f"{place.path}: {_LIMITS} must hold two numbers, got {text[:40]!r}")
        low, high = int(found[1]), int(found[2])
    return (low if first is None else first), (high if last is None else last)


def write_cdnet(
    annotations: VideoAnnotations, path: str | Path, *, start: int = 1, first_frame: int = 0
) -> Path:
    """Write CDnet's truth: 255 where there is an object, 170 in crowds, 0 elsewhere (Goyette et al. 2012).

    Parameters
    ----------
    annotations : VideoAnnotations
        The labels of one video; every object needs a mask.
    path : str or Path
        A folder that is new or empty, or a path that ends in ``.zip``.
    start, first_frame : int
        Frame ``first_frame + k`` is number ``start + k``.

    Returns
    -------
    Path
        The folder or zip.

    Raises
    ------
    AnnotationError
        If there are several videos, an object has no mask, a frame has no number, nothing would be known of a frame, or
        the folder is not empty.
    """
    path = Path(path)
    numbering = Numbering(start, 1, first_frame)
    video = only_video(annotations.videos, path, "cdnet")

    def files() -> Iterator[tuple[str, bytes]]:
        for frame in video.frame_index.tolist():
            where = f"video {video.video_id!r}, frame {frame}"
            check_pixels(video.height, video.width, where)
            picture = np.zeros((video.height, video.width), np.uint8)
            rows = annotations.rows_at(video.video_id, frame)
            # Objects are painted after crowds, so that they stay whole.
            for row in sorted(rows.tolist(), key=lambda row: not annotations.is_crowd[row]):
                mask = annotations.masks[row]
                if mask is None:
                    raise AnnotationError(
                        f"{where}: an object has a box and no mask; CDnet's truth holds pixels"
                    )
                picture[mask.to_mask()] = UNKNOWN if annotations.is_crowd[row] else MOVING
            if (picture == UNKNOWN).all():
                raise AnnotationError(
                    f"{where} is a crowd as a whole, which CDnet takes for a frame that is not labelled; leave it out"
                )
            yield _NAME.format(video.video_id, numbering.number_of(frame, where)), write_labels(picture)

    return write_tree(path, files())

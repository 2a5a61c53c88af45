"""BDD100K's bitmasks: RGBA pictures whose channels are category, flags and instance."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

import numpy as np

from evfr._core.annotations import AnnotatedVideo, Category, ObjectRow, VideoAnnotations
from evfr._core.atomic import atomic_write_bytes
from evfr._core.masks import Rle
from evfr.annotations._numbering import Numbering
from evfr.annotations._paths import Place, safe_name
from evfr.annotations._png import frame_number, read_png, write_png
from evfr.errors import AnnotationError

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["read_bitmasks", "write_bitmasks"]

_FLAGS = {"ignored": 1, "crowd": 2, "occluded": 4, "truncated": 8}
"""Bits of the second channel."""


def read_bitmasks(place: Place, numbering: Numbering, categories: tuple[Category, ...]) -> VideoAnnotations:
    """Read a folder or zip of bitmasks: R is the category, G flags, B * 256 + A the track.

    Parameters
    ----------
    place : Place
        The open folder or zip; each folder in it is a video.
    numbering : Numbering
        What the number at the end of a name means.
    categories : tuple of Category
        What R means.

    Returns
    -------
    VideoAnnotations
        Every picture is an annotated frame.

    Raises
    ------
    AnnotationError
        If there is no PNG, one is wrong or of another size, or R is no category.
    """
    folders = defaultdict(list)
    for name in place.names:
        if name.lower().endswith(".png"):
            folders[PurePosixPath(name).parent].append(name)
    if not folders:
        raise AnnotationError(f"{place.path} holds neither JSON files nor PNG bitmasks")
    known = {category.category_id for category in categories}
    videos, rows = [], []
    for folder, names in sorted(folders.items(), key=lambda item: item[0].name):
        video_id = folder.name or place.path.stem
        size: tuple[int, int] | None = None
        frames: set[int] = set()
        for name in names:
            where = f"{place.path}/{name}"
            index = numbering.index_of(frame_number(name, str(place.path)), where)
            if index in frames:
                raise AnnotationError(f"{where}: there is another picture of frame {index}")
            frames.add(index)
            pixels = read_png(place.read(name), where, ("RGBA",)).astype(np.uint32)
            if size is not None and pixels.shape[:2] != size:
                raise AnnotationError(
                    f"{where}: {pixels.shape[1]}x{pixels.shape[0]} pixels in a video of {size[1]}x{size[0]}; one "
                    "folder is one size"
                )
            size = (pixels.shape[0], pixels.shape[1])
            packed = pixels @ np.array([1 << 24, 1 << 16, 1 << 8, 1], np.uint32)
            values = np.unique(packed[packed != 0]).tolist()
            tracks = [value & 65535 for value in values]
            if len(set(tracks)) < len(tracks):
                twice = next(track for track in tracks if tracks.count(track) > 1)
                raise AnnotationError(f"{where}: instance {twice} has pixels of several categories or flags")
            rows += [_row(video_id, index, value, packed == value, known, where) for value in values]
        assert size is not None  # a folder is listed because it has a picture
        videos.append(AnnotatedVideo(video_id, size[1], size[0], np.array(sorted(frames))))
    return VideoAnnotations.build(videos, categories, rows)


def _row(
    video_id: str, index: int, value: int, inside: NDArray[np.bool_], known: set[int], where: str
) -> ObjectRow:
    category, flags, track = value >> 24, value >> 16 & 255, value & 65535
    if category not in known:
        raise AnnotationError(
            f"{where}: instance {track} has category {category}, known are {sorted(known)[:20]}; give categories= "
            "(category 0 with an instance means that the alpha channel was lost)"
        )
    if flags > 15:
        raise AnnotationError(
            f"{where}: instance {track} has the unknown flags {flags}, known are bits 1, 2, 4 and 8"
        )
    set_flags = {name: True for name, bit in _FLAGS.items() if flags & bit and name != "crowd"}
    return ObjectRow(
        video_id,
        index,
        category,
        track,
        mask=Rle.from_mask(inside),
        is_crowd=bool(flags & _FLAGS["crowd"]),
        attributes=set_flags,
    )


def write_bitmasks(annotations: VideoAnnotations, path: Path, numbering: Numbering) -> Path:
    """Write each annotated frame as ``VIDEO/VIDEO-0000001.png`` (see `evfr.annotations.write`, kind="bitmask")."""
    for video in annotations.videos:
        name = safe_name(video.video_id, "the name of a video")
        for frame in video.frame_index.tolist():
            picture = np.zeros((video.height, video.width, 4), np.uint8)
            taken = np.zeros((video.height, video.width), np.bool_)
            for row in annotations.rows_at(video.video_id, frame).tolist():
                track, category = int(annotations.track_id[row]), int(annotations.category_id[row])
                where = f"video {video.video_id!r}, frame {frame}, track {track}"
                mask = annotations.masks[row]
                if mask is None or mask.is_empty:
                    raise AnnotationError(
                        f"{where}: a bitmask holds masks, this object has none; leave it out"
                    )
                if not 0 <= track <= 65535 or not 1 <= category <= 255:
                    raise AnnotationError(
                        f"{where}, category {category}: a bitmask has room for tracks 0 to 65535 and categories "
                        "1 to 255"
                    )
                inside = mask.to_mask()
                if (inside & taken).any():
                    raise AnnotationError(
                        f"{where}: its mask shares pixels with another, which a bitmask cannot hold; make them "
                        "disjoint or write JSON"
                    )
                taken |= inside
                attributes = dict(annotations.attributes[row]) if annotations.attributes else {}
                attributes["crowd"] = bool(annotations.is_crowd[row])
                flags = sum(bit for key, bit in _FLAGS.items() if attributes.get(key) is True)
                picture[inside] = (category, flags, track >> 8, track & 255)
            number = numbering.number_of(frame, f"video {video.video_id!r}")
            atomic_write_bytes(
                path / name / f"{PurePosixPath(name).name}-{number:07d}.png", write_png(picture)
            )
    return path

"""Fit labels to the true frames of a video: by index, by time or by file name, and never by guess."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from fractions import Fraction
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from evfr._core.masks import Rle
from evfr._core.types import PTS_NONE
from evfr.annotations._numbering import Numbering
from evfr.errors import AnnotationError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from evfr._core.annotations import AnnotatedVideo, VideoAnnotations
    from evfr._core.types import FrameTable

__all__ = ["bind"]


def bind(
    annotations: VideoAnnotations,
    table: FrameTable,
    *,
    video_id: str | None = None,
    by: Literal["index", "pts", "name"] = "index",
    frame_of: Callable[[str], Any] | Mapping[str, int] | None = None,
    start: int = 0,
    stride: int = 1,
    first_frame: int = 0,
    scale: float | tuple[float, float] | None = None,
    content_hash: str = "",
    name: str | None = None,
    path: str = "",
) -> VideoAnnotations:
    """Fit the labels of one video to the frames that it truly has (ours).

    Parameters
    ----------
    annotations : VideoAnnotations
        The labels.
    table : FrameTable
        The frames of the video, as ``evfr.video.scan(path)[0]`` gives them.
    video_id : str, optional
        Which video of the labels; may be left out where there is one.
    by : {"index", "pts", "name"}
        Match by frame index; by time stamp (the time of a label equals that of one frame exactly); or by file name.
    frame_of : callable or mapping, optional
        For ``by="name"``: the name of a file without its folder to its frame index, or to
        ``(video_id or None, frame_index, pts)`` as ``evfr.video.parse_frame_file_name`` returns it.
    start, stride, first_frame : int
        For ``by="index"``: index n of the labels is frame ``first_frame + (n - start) * stride``.
    scale : float or (float, float), optional
        Size of the video over the size that the labels were made at, or x and y of it. Without it sizes must be equal.
    content_hash : str
        Hash of the video's bytes; compared where the labels have one too.
    name : str, optional
        The new ``video_id``; the old one otherwise.
    path : str
        Where the video is.

    Returns
    -------
    VideoAnnotations
        The one video with the size, pts, time base and frame count of ``table``. Masks are scaled to the nearest
        pixel.

    Raises
    ------
    AnnotationError
        If the hash, the size or a time stamp differs, a label lies on a frame that does not exist, or two labelled
        frames become one.
    ValueError
        If an option does not go with ``by``, or ``scale`` is not positive.
    KeyError
        If the labels have no such video.

    Notes
    -----
    Where labels carry time stamps, ``by="index"`` holds them against the video's, so that labels of another cut or
    encoding are found out. Frames that are known to exist but do not decode may have labels.
    """
    if video_id is None:
        if len(annotations.videos) != 1:
            names = [video.video_id for video in annotations.videos]
            raise AnnotationError(f"the labels have {len(names)} videos; give video_id=, one of {names[:20]}")
        video_id = annotations.videos[0].video_id
    if (by == "name") != (frame_of is not None):
        raise ValueError("frame_of goes with by='name', and by='name' needs it")
    numbering = Numbering(start, stride, first_frame)
    if by != "index" and numbering != Numbering():
        raise ValueError(f"start, stride and first_frame go with by='index', got by={by!r}")
    part = annotations.of_video(video_id)
    old = part.videos[0]
    where = f"video {video_id!r}"
    if old.content_hash and content_hash and old.content_hash != content_hash:
        raise AnnotationError(
            f"{where}: the labels were made on a video with the hash {old.content_hash}, this one has {content_hash}; "
            "give the labelled video"
        )
    x, y = _factors(old, table, scale, where)
    if by == "index":
        index = _by_index(old, table, numbering, where)
    elif by == "pts":
        index = _by_pts(old, table, where)
    elif frame_of is not None and by == "name":
        index = _by_name(old, table, frame_of, name or video_id, where)
    else:
        raise ValueError(f"by must be 'index', 'pts' or 'name', got {by!r}")
    _check_frames(index, old, table, where)
    order = np.argsort(index)
    video = replace(
        old,
        video_id=name or video_id,
        width=table.width,
        height=table.height,
        frame_index=index[order],
        pts=table.pts[index[order]],
        time_base=table.time_base,
        frame_count=len(table),
        content_hash=content_hash or old.content_hash,
        path=path or old.path,
        file_names=tuple(old.file_names[place] for place in order) if old.file_names else (),
    )
    is_same = (x, y) == (1.0, 1.0)
    return replace(
        part,
        videos=(video,),
        frame_index=index[np.searchsorted(old.frame_index, part.frame_index)],
        boxes_xyxy=part.boxes_xyxy if is_same else part.boxes_xyxy * (x, y, x, y),
        masks=part.masks
        if is_same
        else tuple(None if mask is None else _scaled(mask, table.width, table.height) for mask in part.masks),
    )


def _by_index(
    video: AnnotatedVideo, table: FrameTable, numbering: Numbering, where: str
) -> NDArray[np.int64]:
    index = np.array([numbering.index_of(n, where) for n in video.frame_index.tolist()], np.int64)
    if video.time_base is None:
        return index
    for frame, pts in zip(index.tolist(), video.pts.tolist(), strict=True):
        if pts == PTS_NONE or frame >= len(table) or table.pts[frame] == PTS_NONE:
            continue
        said, true = pts * video.time_base, int(table.pts[frame]) * table.time_base
        if said != true:
            raise AnnotationError(
                f"{where}: the labels say that frame {frame} lies at {float(said):.6f} s, in the video it lies at "
                f"{float(true):.6f} s; it is another cut or encoding: give by='pts', or the labelled video"
            )
    return index


def _by_pts(video: AnnotatedVideo, table: FrameTable, where: str) -> NDArray[np.int64]:
    if video.time_base is None or (video.pts == PTS_NONE).any():
        raise AnnotationError(
            f"{where}: by='pts' needs a time stamp for every labelled frame; give by='index'"
        )
    places: dict[Fraction, int] = {}
    twice: set[Fraction] = set()
    for frame, pts in enumerate(table.pts.tolist()):
        if pts != PTS_NONE:
            time = pts * table.time_base
            if time in places:
                twice.add(time)
            places[time] = frame
    index = []
    for frame, pts in zip(video.frame_index.tolist(), video.pts.tolist(), strict=True):
        time = pts * video.time_base
        if time not in places or time in twice:
            found = "several frames" if time in twice else "no frame"
            raise AnnotationError(
                f"{where}: the label of frame {frame} lies at {float(time):.6f} s, where the video has {found}"
            )
        index.append(places[time])
    return np.array(index, np.int64)


def _by_name(
    video: AnnotatedVideo,
    table: FrameTable,
    frame_of: Callable[[str], Any] | Mapping[str, int],
    name: str,
    where: str,
) -> NDArray[np.int64]:
    if not video.file_names and len(video.frame_index):
        raise AnnotationError(
            f"{where}: by='name' needs the names of the labelled pictures, and the labels have none"
        )
    index = []
    for full in video.file_names:
        file = PurePosixPath(full).name
        try:
            said = frame_of[file] if isinstance(frame_of, Mapping) else frame_of(file)
        except (KeyError, ValueError) as error:
            raise AnnotationError(f"{where}: nothing says which frame {file!r} is: {error}") from error
        if isinstance(said, tuple):
            owner, said, pts = said
            if owner is not None and owner != name:
                raise AnnotationError(
                    f"{where}: {file!r} is a frame of {owner!r}, not of {name!r}; give that video"
                )
            if 0 <= said < len(table) and pts not in (PTS_NONE, int(table.pts[said])):
                raise AnnotationError(
                    f"{where}: {file!r} has the pts {pts}, but frame {said} of the video has {int(table.pts[said])}; "
                    "it is another video or encoding"
                )
        index.append(int(said))
    return np.array(index, np.int64)


def _check_frames(index: NDArray[np.int64], video: AnnotatedVideo, table: FrameTable, where: str) -> None:
    lost = (index < 0) | (index >= len(table))
    if lost.any():
        place = int(np.flatnonzero(lost)[0])
        raise AnnotationError(
            f"{where}: {int(lost.sum())} labelled frames do not exist in the video, which has frames 0 to "
            f"{len(table) - 1}: index {int(video.frame_index[place])} of the labels became frame {int(index[place])}; "
            "check start= and stride="
        )
    values, counts = np.unique(index, return_counts=True)
    if (counts > 1).any():
        raise AnnotationError(
            f"{where}: two labelled frames became frame {int(values[counts > 1][0])} of the video"
        )


def _factors(
    video: AnnotatedVideo, table: FrameTable, scale: float | tuple[float, float] | None, where: str
) -> tuple[float, float]:
    x, y = (1.0, 1.0) if scale is None else scale if isinstance(scale, tuple) else (scale, scale)
    if not (0 < x < math.inf and 0 < y < math.inf):
        raise ValueError(f"scale must be positive and finite, got {scale!r}")
    if abs(video.width * x - table.width) >= 1 or abs(video.height * y - table.height) >= 1:
        scaled = "" if scale is None else f", times {scale} about {video.width * x:g}x{video.height * y:g}"
        raise AnnotationError(
            f"{where}: the labels were made at {video.width}x{video.height} pixels{scaled}, and the video has "
            f"{table.width}x{table.height}; give scale=, for example {table.width / video.width:g}"
        )
    return x, y


def _scaled(mask: Rle, width: int, height: int) -> Rle:
    """Take each pixel from the one that lies under its centre."""
    rows = (2 * np.arange(height) + 1) * mask.height // (2 * height)
    columns = (2 * np.arange(width) + 1) * mask.width // (2 * width)
    return Rle.from_mask(mask.to_mask()[rows[:, None], columns])

"""The pictures of an export as one video for each source, for tools that show videos; frame k is ``sequence`` k."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from evfr.errors import AnnotationError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from evfr._core.annotations import Category, ObjectRow, VideoAnnotations
    from evfr.verbs._export_package import ExportFrame, ExportPackage

__all__ = ["FPS", "by_picture", "find_video", "find_video_name", "padded_size", "video_stem", "write_video"]

FPS = 10
"""Of the videos written here; only the order of their frames means anything."""

_STEM = re.compile(r"(?P<stem>[A-Za-z0-9-]+)_f[0-9]{6,}_p")
_ENDING = re.compile(r"\.(mkv|mp4|avi|mov|webm|zip)", re.IGNORECASE)
_PREFIX = re.compile(r"[0-9a-f]{8}-(?=.)")


def video_stem(package: ExportPackage, video_id: str) -> str:
    """Return the name of a video's file without its ending: what the names of its pictures begin with.

    Parameters
    ----------
    package : ExportPackage
        The export.
    video_id : str
        One of its videos.

    Returns
    -------
    str
        Unique in the export, also where case does not count.

    Raises
    ------
    AnnotationError
        If the pictures are not those of an export.
    """
    match = _STEM.match(package.sequence(video_id)[0].name)
    if match is None:
        raise AnnotationError(
            f"{package.folder}: the pictures of {video_id!r} were not written by evfr export, so that no video was "
            "made of them; give the export that the tool's video came from"
        )
    return match["stem"]


def find_video(package: ExportPackage, said: Sequence[str], where: str) -> tuple[ExportFrame, ...]:
    """Find the video that a label file is of by what it says, and return the frames of its sequence.

    Parameters
    ----------
    package : ExportPackage
        The export.
    said : sequence of str
        What the file says, the surest first: the name of the video's file, the name of the task. Folders, ending,
        letters' case and the eight hexadecimal digits and ``-`` before an upload's name do not count.
    where : str
        The label file, for the error's text.

    Returns
    -------
    tuple of ExportFrame
        Number k is frame k.

    Raises
    ------
    AnnotationError
        If what it says names no video of the export, or two.
    """
    found = find_video_name(package, said)
    if found is None:
        known = ", ".join(video_stem(package, video.video_id) for video in package.videos[:20])
        raise AnnotationError(
            f"{where} names {' and '.join(map(repr, said)) or 'no video'}, which is no video of the export; it has "
            f"{known}: give the task one of these names and export it again"
        )
    return package.sequence(found)


def find_video_name(package: ExportPackage, said: Sequence[str]) -> str | None:
    """Return the id of the video that one of the names is of, the first that is of any; None where none is."""
    stems = {video_stem(package, video.video_id).casefold(): video.video_id for video in package.videos}
    for text in said:
        base = text.replace("\\", "/").rpartition("/")[2].casefold()
        plain = _ENDING.sub("", base) if _ENDING.search(base) else base
        for name in (plain, _PREFIX.sub("", plain, count=1)):
            if name in stems:
                return stems[name]
    return None


def padded_size(frame: ExportFrame) -> tuple[int, int]:
    """Return (width, height) of the H.264 video of a picture: even numbers."""
    return frame.width + frame.width % 2, frame.height + frame.height % 2


def write_video(
    package: ExportPackage, frames: Sequence[ExportFrame], path: Path, *, kind: Literal["ffv1", "h264"]
) -> Path:
    """Write pictures as a video that stands still for a tenth of a second on each.

    Parameters
    ----------
    package : ExportPackage
        The export, whose pictures are there.
    frames : sequence of ExportFrame
        Of one size.
    path : Path
        The file; its folder is made.
    kind : {"ffv1", "h264"}
        Without loss, in Matroska, for programs that read video by FFmpeg; or for browsers, in MP4, with an odd last
        row or column repeated.

    Returns
    -------
    Path
        ``path``.

    Raises
    ------
    VideoError
        If this PyAV has no such encoder.
    """
    from fractions import Fraction

    import av

    from evfr._core.types import Problem
    from evfr.errors import ProblemCode, VideoError

    codec, pixels, format = {
        "ffv1": ("ffv1", "bgr0", "matroska"),
        "h264": ("libx264", "yuv420p", "mp4"),
    }[kind]
    try:
        av.Codec(codec, "w")
    except ValueError as error:
        text = f"this PyAV has no encoder {codec}; install PyAV's own wheel"
        raise VideoError(Problem(ProblemCode.E_CODEC, text, str(path))) from error
    options = {"ffv1": {"level": "3", "slicecrc": "1", "g": "1"}, "h264": {"preset": "veryfast", "crf": "12"}}
    path.parent.mkdir(parents=True, exist_ok=True)
    container_options = {"ffv1": {"fflags": "+bitexact"}, "h264": {"movflags": "+faststart"}}[kind]
    with av.open(f"file:{path}", "w", format=format, container_options=container_options) as container:
        stream: Any = container.add_stream(codec, rate=FPS)
        stream.width, stream.height = (
            padded_size(frames[0]) if kind == "h264" else (frames[0].width, frames[0].height)
        )
        stream.pix_fmt = pixels
        stream.time_base = Fraction(1, FPS)
        # A person steps through it, forwards and backwards.
        stream.codec_context.gop_size = 1 if kind == "ffv1" else 10
        stream.codec_context.thread_count = 1
        stream.options = options[kind] | {"flags": "+bitexact"}
        for place, picture in enumerate(_pictures(package, frames)):
            frame = _frame(picture, stream.width, stream.height, pixels)
            frame.pts, frame.time_base = place, Fraction(1, FPS)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def _pictures(package: ExportPackage, frames: Sequence[ExportFrame]) -> Iterator[NDArray[np.uint8]]:
    from evfr.verbs._import_pictures import read_picture

    for frame in frames:
        yield read_picture(package.path_of(frame).read_bytes(), frame.name)


def _frame(picture: NDArray[np.uint8], width: int, height: int, pixels: str) -> Any:
    import av
    import numpy as np

    down, across = height - picture.shape[0], width - picture.shape[1]
    if down or across:
        picture = np.pad(picture, ((0, down), (0, across), (0, 0)), mode="edge")
    if pixels == "bgr0":
        padded = np.zeros((height, width, 4), np.uint8)
        padded[..., :3] = picture[..., ::-1]
        return av.VideoFrame.from_ndarray(padded, format="bgra").reformat(format="bgr0")
    return av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), format="rgb24")


def by_picture(
    pictures: Sequence[tuple[str, int, int, Sequence[ObjectRow]]], categories: Sequence[Category]
) -> VideoAnnotations:
    """Return labels as `Target.read` gives them: each picture is a video of one frame.

    Parameters
    ----------
    pictures : sequence of (str, int, int, sequence of ObjectRow)
        Name, width, height and objects, whose video and frame do not matter.
    categories : sequence of Category
        The classes.

    Returns
    -------
    VideoAnnotations
        In the order of the pictures.
    """
    import numpy as np

    from evfr._core.annotations import AnnotatedVideo, VideoAnnotations

    videos = [
        AnnotatedVideo(name, width, height, np.zeros(1, np.int64), file_names=(name,))
        for name, width, height, _ in pictures
    ]
    rows = [replace(row, video_id=name, frame_index=0) for name, _, _, own in pictures for row in own]
    return VideoAnnotations.build(videos, categories, rows)

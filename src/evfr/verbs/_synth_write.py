"""Write drawn clips: videos without loss, labels, and a text that says what they are."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from evfr._core.annotations import VideoAnnotations
    from evfr.datasets._moving_objects import DrawnClip

__all__ = ["README", "encode", "labels_of"]

README = """Moving objects, drawn by evfr. Nothing in them was photographed or copied.

train/, test/   videos in FFV1, which loses nothing; they decode to exactly what was drawn
labels.parquet  a mask, a box, a class and a track for each object in each frame: evfr.annotations.read
split.json      the clips to learn from ("train") and to judge on ("val"); they have nothing in common

The class of an object is its shape. Colour, texture, size, place and motion say nothing about it. Shapes of no class
(bars, half-discs, blobs) are background in the labels, also where they hide an object.

Drawn by:
{call}
"""
"""The text beside the clips; ``call`` draws them again."""


def encode(images: NDArray[np.uint8], fps: int) -> bytes:
    """Return a video without loss: FFV1 in Matroska, which every build of FFmpeg has.

    Parameters
    ----------
    images : (F, H, W, 3) uint8
        RGB.
    fps : int
        Frames per second.

    Returns
    -------
    bytes
        The file; the same pictures give the same bytes.
    """
    import io
    from fractions import Fraction

    import av
    import numpy as np

    sink = io.BytesIO()
    # Without "bitexact" the container carries random numbers and the writer's name.
    with av.open(sink, "w", format="matroska", container_options={"fflags": "+bitexact"}) as container:
        stream: Any = container.add_stream("ffv1", rate=fps)
        stream.height, stream.width = images.shape[1:3]
        stream.pix_fmt = "bgr0"
        stream.time_base = Fraction(1, fps)
        stream.codec_context.thread_count = 1
        stream.codec_context.options = {
            "level": "3",
            "coder": "1",
            "context": "1",
            "slicecrc": "1",
            "flags": "+bitexact",
        }
        padded = np.zeros((*images.shape[1:3], 4), np.uint8)
        for place, image in enumerate(images):
            padded[..., :3] = image[..., ::-1]
            frame = av.VideoFrame.from_ndarray(padded, format="bgra").reformat(format="bgr0")
            frame.pts, frame.time_base = place, Fraction(1, fps)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return sink.getvalue()


def labels_of(drawn: DrawnClip, path: Path) -> VideoAnnotations:
    """Return the labels of a drawn clip, bound to the frames of its file.

    Parameters
    ----------
    drawn : DrawnClip
        The clip; a track of -1 is none.
    path : Path
        Its video.

    Returns
    -------
    VideoAnnotations
        Every frame is annotated; classes are numbered from 1.
    """
    import numpy as np

    from evfr._core.annotations import AnnotatedVideo, Category, ObjectRow, VideoAnnotations
    from evfr._core.masks import Rle
    from evfr.video import content_hash, scan

    clip = drawn.clip
    table = scan(path)[0]
    frames, height, width = clip.ids.shape
    video = AnnotatedVideo(
        clip.video_id,
        width,
        height,
        clip.frame_index,
        table.pts,
        table.time_base,
        frames,
        content_hash(path),
        clip.video_id,
    )
    rows = []
    for place in range(frames):
        ids = clip.ids[place]
        for k in np.flatnonzero(np.bincount(ids.ravel())[1:]).tolist():
            mask = Rle.from_mask(ids == k + 1)
            category, track = int(clip.category[place, k]) + 1, int(drawn.track[place, k])
            rows.append(ObjectRow(clip.video_id, place, category, track, mask.box_xyxy, mask))
    categories = [Category(number + 1, name) for number, name in enumerate(clip.classes)]
    return VideoAnnotations.build([video], categories, rows)

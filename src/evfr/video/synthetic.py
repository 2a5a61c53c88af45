"""Draw the project's own demo clip: a believable scene whose events are known to the frame."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

import av
import cv2
import numpy as np

from evfr._core.rng import generator, spawn_seed
from evfr._core.types import Problem
from evfr.errors import ProblemCode, VideoError
from evfr.video._scene_painters import scene_painters

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.random import Generator
    from numpy.typing import NDArray

__all__ = ["CLIP_OBJECTS", "ClipTimeline", "clip_object_maps", "clip_timeline", "draw_clip"]

CLIP_OBJECTS = {
    **dict.fromkeys((1, 2, 3), "balloon"),
    **dict.fromkeys((4, 5, 6, 8), "car"),
    7: "bus",
    **dict.fromkeys((9, 10, 11, 12), "boat"),
}
"""What moves in a drawn clip: the number of each object in `clip_object_maps`, and its class."""


@dataclass(frozen=True, slots=True)
class ClipTimeline:
    """Say on which frames the events of a drawn clip lie; every range is half open.

    Attributes
    ----------
    frame_count : int
        Frames of the clip.
    pan : tuple of int
        The camera pans over the town, traffic passes.
    zoom : tuple of int
        It zooms in while everything slows down.
    still : tuple of int
        Camera and objects stand still; only sensor noise changes.
    cut : int
        First frame of the second scene, a bay in the evening.
    burst : tuple of int
        A speedboat dashes through the picture.
    """

    frame_count: int
    pan: tuple[int, int]
    zoom: tuple[int, int]
    still: tuple[int, int]
    cut: int
    burst: tuple[int, int]


def clip_timeline(seconds: float = 12.0, fps: int = 25) -> ClipTimeline:
    """Return the events of `draw_clip` for a length and a frame rate.

    Parameters
    ----------
    seconds : float
        Length of the clip, more than 0.
    fps : int
        Frames per second, 1 or more.

    Returns
    -------
    ClipTimeline
        Ranges of frame indices.

    Raises
    ------
    ValueError
        If a value is out of range.

    Examples
    --------
    >>> clip_timeline(12.0, 25).still
    (132, 174)
    """
    if not 0 < seconds < float("inf"):
        raise ValueError(f"seconds must be more than 0 and finite, got {seconds}")
    if fps < 1:
        raise ValueError(f"fps must be 1 or more, got {fps}")
    count = max(1, round(seconds * fps))
    at = [round(count * part / 100) for part in (30, 44, 58, 80, 85)]
    return ClipTimeline(
        frame_count=count,
        pan=(0, at[0]),
        zoom=(at[0], at[1]),
        still=(at[1], at[2]),
        cut=at[2],
        burst=(at[3], at[4]),
    )


def _grain(rng: Generator, width: int, height: int) -> list[tuple[NDArray[Any], NDArray[Any]]]:
    """Return sensor noise as what to add to and what to take from a luma plane, larger than the plane."""
    noise = rng.standard_normal((4, height + 32, width + 64), dtype=np.float32) * 1.6
    return [
        (np.clip(n + 0.5, 0, None).astype(np.uint8), np.clip(0.5 - n, 0, None).astype(np.uint8))
        for n in noise
    ]


def _draw_frames(seconds: float, fps: int, size: tuple[int, int], seed: int) -> Iterator[NDArray[Any]]:
    """Yield the clip's frames as I420, (H * 3 / 2, W) uint8, limited range."""
    timeline = clip_timeline(seconds, fps)
    width, height = size
    scenes = scene_painters(size, seed)
    rng = generator(spawn_seed(seed, "grain"))
    grain = _grain(rng, width, height)
    for index in range(timeline.frame_count):
        paint = scenes[index >= timeline.cut]
        picture = paint(100.0 * index / timeline.frame_count, False)
        planes = cv2.cvtColor(picture, cv2.COLOR_RGB2YUV_I420)
        more, less = grain[int(rng.integers(4))]
        dy, dx = int(rng.integers(32)), int(rng.integers(64))
        luma = planes[:height]
        cv2.add(luma, more[dy : dy + height, dx : dx + width], dst=luma)
        cv2.subtract(luma, less[dy : dy + height, dx : dx + width], dst=luma)
        yield planes


def draw_clip(
    path: str | Path,
    *,
    seconds: float = 12.0,
    fps: int = 25,
    size: tuple[int, int] = (640, 360),
    seed: int = 0,
    codec: str = "libx264",
) -> Path:
    """Draw the project's demo clip: a town with traffic, a still stretch, a cut, a bay with a sudden dash.

    Nothing in it is copied: sky, mountains, houses, road and water are 1/f noise with shading, the balloons,
    cars, bus, trees and boats are painted by code. `clip_timeline` says on which frames its events lie.

    Parameters
    ----------
    path : str or Path
        File to write; its suffix names the container (``.mp4``, ``.mkv``, ``.mov``, ``.ts``).
    seconds : float
        Length, more than 0.
    fps : int
        Frames per second, 1 or more.
    size : tuple of int
        Width and height in pixels, even, 32 or more.
    seed : int
        0 or more; the same seed gives the same pixels with the same versions of OpenCV and of the encoder.
    codec : str
        FFmpeg encoder: ``"libx264"``, or ``"mpeg4"`` for an FFmpeg without it; both with B-frames.

    Returns
    -------
    Path
        ``path``.

    Raises
    ------
    ValueError
        If a value is out of range.
    VideoError
        With `ProblemCode.E_CODEC` if this PyAV has no such encoder.
    """
    path = Path(path)
    clip_timeline(seconds, fps)
    width, height = size
    if width % 2 or height % 2 or min(size) < 32:
        raise ValueError(f"size must be two even numbers of 32 or more, got {size}")
    try:
        av.Codec(codec, "w")
    except ValueError as error:
        message = f"this PyAV has no encoder {codec!r}; pass codec='mpeg4' or install PyAV's own wheel"
        raise VideoError(Problem(ProblemCode.E_CODEC, message, str(path))) from error
    # By its protocol: FFmpeg takes a folder called "tcp:host:port" for an address, and connects.
    with av.open(f"file:{path}", "w") as container:
        stream = container.add_stream(codec, rate=fps)
        if not isinstance(stream, av.VideoStream):
            raise ValueError(f"codec must be a video encoder, got {codec!r}")
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        stream.time_base = Fraction(1, fps)
        stream.gop_size = 2 * fps
        stream.max_b_frames = 2
        # A fixed number of threads: x264's output depends on it.
        stream.codec_context.thread_count = 2
        if codec == "libx264":
            stream.options = {"preset": "veryfast", "crf": "21", "bf": "2"}
        else:
            stream.bit_rate = 6 * width * height
        for index, planes in enumerate(_draw_frames(seconds, fps, size, seed)):
            frame = av.VideoFrame.from_ndarray(planes, format="yuv420p")
            frame.pts, frame.time_base = index, Fraction(1, fps)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def clip_object_maps(
    frame_index: Sequence[int],
    *,
    seconds: float = 12.0,
    fps: int = 25,
    size: tuple[int, int] = (640, 360),
    seed: int = 0,
) -> NDArray[np.uint8]:
    """Return which object of a clip that `draw_clip` draws each pixel shows, exactly.

    Parameters
    ----------
    frame_index : sequence of int
        Frames of the clip, 0-based in presentation order.
    seconds, fps, size, seed : float, int, tuple of int, int
        As given to `draw_clip`.

    Returns
    -------
    (N, H, W) uint8 ndarray
        One map per frame: a key of `CLIP_OBJECTS`, or 0 where none is. What a tree or a nearer object hides is not
        marked.

    Raises
    ------
    ValueError
        If a value is out of range, or the clip has no such frame.

    Notes
    -----
    Each call builds the scenes anew, which takes as long as a hundred maps: ask for many frames at once.

    Examples
    --------
    >>> clip_object_maps([0], seconds=1.0, size=(64, 36)).shape
    (1, 36, 64)
    """
    timeline = clip_timeline(seconds, fps)
    scenes = scene_painters(size, seed)
    maps = np.zeros((len(frame_index), size[1], size[0]), np.uint8)
    for place, index in enumerate(frame_index):
        if not 0 <= index < timeline.frame_count:
            raise ValueError(f"the clip has the frames 0 to {timeline.frame_count - 1}, got {index}")
        maps[place] = scenes[int(index >= timeline.cut)](100.0 * int(index) / timeline.frame_count, True)
    return maps

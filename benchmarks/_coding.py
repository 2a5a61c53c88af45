"""What the benchmarks of motion vectors share: pictures of real clips, and clips coded from them by x264."""

from __future__ import annotations

import itertools
import zipfile
from collections.abc import Mapping, Sequence
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np

from evfr.video import frames

DAVIS = ("blackswan", "car-roundabout", "car-shadow", "dog", "horsejump-high", "kite-surf", "libby")
X264_DEFAULT: Mapping[str, str] = {}
"""x264's own defaults: preset medium, crf 23, up to 3 B with a pyramid, 3 references."""
X264_IPPP: Mapping[str, str] = {"x264-params": "bframes=0:ref=1:weightp=0:scenecut=0:keyint=infinite"}
X264_IBBB: Mapping[str, str] = {
    "x264-params": "bframes=3:b-adapt=0:b-pyramid=none:ref=1:weightp=0:weightb=0:scenecut=0:keyint=infinite"
}


def davis(folder: Path, name: str, count: int) -> list[np.ndarray]:
    """Return the first pictures of a DAVIS sequence, (H, W, 3) uint8 RGB."""
    with zipfile.ZipFile(folder / "seq" / f"davis_{name}.zip") as archive:
        names = sorted(entry for entry in archive.namelist() if entry.endswith(".jpg"))[:count]
        coded = [np.frombuffer(archive.read(entry), np.uint8) for entry in names]
    return [cv2.cvtColor(cv2.imdecode(data, cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB) for data in coded]


def davis_masks(folder: Path, name: str, count: int) -> list[np.ndarray]:
    """Return the first masks of a DAVIS sequence, (H, W) bool."""
    with zipfile.ZipFile(folder / "seq" / f"davis_{name}.zip") as archive:
        names = sorted(entry for entry in archive.namelist() if entry.endswith(".png"))[:count]
        coded = [np.frombuffer(archive.read(entry), np.uint8) for entry in names]
    return [cv2.imdecode(data, cv2.IMREAD_GRAYSCALE) > 127 for data in coded]


def stretch(path: Path, start: int, count: int) -> list[np.ndarray]:
    """Return consecutive pictures of a video file, (H, W, 3) uint8 RGB."""
    return [frame.image for frame in itertools.islice(frames(path), start, start + count)]


def encode(pictures: Sequence[np.ndarray], path: Path, options: Mapping[str, str]) -> Path:
    """Code pictures by libx264 in one thread."""
    height, width = (size - size % 2 for size in pictures[0].shape[:2])
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        stream.codec_context.thread_count = 1
        stream.codec_context.gop_size = 250
        stream.options = dict(options)
        for number, picture in enumerate(pictures):
            cropped = np.ascontiguousarray(picture[:height, :width])
            frame = av.VideoFrame.from_ndarray(cropped, format="rgb24")
            frame.pts, frame.time_base = number, Fraction(1, 25)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path

"""Small clips whose truth is known: moving squares, odd sizes, uneven times, any codec and container of PyAV."""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING

import av
import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

__all__ = ["moving_square", "remux", "write_clip"]


def moving_square(
    count: int, *, size: tuple[int, int] = (96, 64), step: int = 3, seed: int = 0
) -> list[NDArray[np.uint8]]:
    """Draw ``count`` RGB pictures of (width, height) ``size``: a bright square moves over a fixed texture.

    In frame k the square's left edge is at ``(step * k) % (width - side)``, ``side = height // 3``.
    """
    width, height = size
    rng = np.random.Generator(np.random.PCG64(seed))
    texture = rng.integers(40, 120, (height, width, 3), dtype=np.uint8)
    side = max(1, height // 3)
    pictures = []
    for k in range(count):
        picture = texture.copy()
        x = (step * k) % max(1, width - side)
        picture[side : 2 * side, x : x + side] = (230, 200, 60 + k % 128)
        pictures.append(picture)
    return pictures


def write_clip(
    path: Path,
    pictures: Iterable[NDArray[np.uint8]],
    *,
    codec: str = "libx264",
    pixel_format: str = "yuv420p",
    rate: int | Fraction = 25,
    pts: Sequence[int] | None = None,
    time_base: Fraction | None = None,
    gop: int = 12,
    b_frames: int | None = 2,
    options: Mapping[str, str] | None = None,
    muxer: str | None = None,
    muxer_options: Mapping[str, str] | None = None,
    is_full_range: bool = False,
    colorspace: int | None = None,
    rotation: int | None = None,
) -> Path:
    """Encode RGB pictures, all of one size, and return ``path``; ``pts`` are in units of ``time_base``."""
    settings = dict(options or {})
    if codec == "libx264":
        settings = {"preset": "veryfast", "crf": "20", **settings}
    with av.open(str(path), "w", format=muxer, options=dict(muxer_options or {})) as container:
        stream = None
        for number, picture in enumerate(pictures):
            if stream is None:
                height, width = picture.shape[:2]
                stream = container.add_stream(codec, rate=rate)
                stream.width, stream.height, stream.pix_fmt = width, height, pixel_format
                context = stream.codec_context
                context.thread_count = 1
                context.gop_size = gop
                if b_frames is not None:
                    context.max_b_frames = b_frames
                context.time_base = time_base or 1 / Fraction(rate)
                context.color_range = 2 if is_full_range else 1
                if colorspace is not None:
                    context.colorspace = colorspace
                stream.options = settings
                if rotation is not None:
                    stream.set_display_rotation(rotation)
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24").reformat(
                format=pixel_format,
                dst_colorspace=colorspace if colorspace in (1, 5) else 5,
                dst_color_range=2 if is_full_range else 1,
            )
            if colorspace is not None:
                frame.colorspace = colorspace
            frame.pts = number if pts is None else pts[number]
            frame.time_base = context.time_base
            container.mux(stream.encode(frame))
        if stream is not None:
            container.mux(stream.encode(None))
    return path


def remux(
    source: Path,
    path: Path,
    *,
    keep: Callable[[int], bool] = lambda number: True,
    edit: Callable[[int, bytes], bytes] = lambda number, data: data,
    muxer: str | None = None,
) -> Path:
    """Copy the packets of the first video stream that ``keep`` keeps, their bytes changed by ``edit``."""
    with av.open(str(source)) as reader, av.open(str(path), "w", format=muxer) as writer:
        stream = reader.streams.video[0]
        target = writer.add_stream_from_template(stream)
        for number, packet in enumerate(p for p in reader.demux(stream) if p.size):
            if not keep(number):
                continue
            copy = av.Packet(edit(number, bytes(packet)))
            copy.pts, copy.dts, copy.time_base = packet.pts, packet.dts, packet.time_base
            copy.duration, copy.is_keyframe = packet.duration, packet.is_keyframe
            copy.stream = target
            writer.mux(copy)
    return path

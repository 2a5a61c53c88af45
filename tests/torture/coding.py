"""Encode and remux small clips by PyAV, and write by hand the bombs that no encoder would make."""

from __future__ import annotations

import os
import struct
from collections.abc import Callable, Iterable, Mapping, Sequence
from fractions import Fraction
from functools import lru_cache
from pathlib import Path

import av
import numpy as np

from evfr.video.synthetic import _draw_frames
from helpers.scheduling import usual_scheduling

__all__ = ["encode", "h264_bomb", "remux", "silence", "source_frames", "two_streams"]

os.environ.setdefault("SVT_LOG", "1")  # errors only: that encoder writes to stderr by itself


@lru_cache(maxsize=4)
def source_frames(width: int = 320, height: int = 180) -> tuple[np.ndarray, ...]:
    """Return 60 pictures of the drawn clip, I420."""
    return tuple(_draw_frames(2.4, 25, (width, height), 5))


def _frames(count: int, size: tuple[int, int], pix_fmt: str) -> Iterable[av.VideoFrame]:
    for planes in source_frames()[:count]:
        frame = av.VideoFrame.from_ndarray(planes, format="yuv420p")
        yield frame.reformat(width=size[0], height=size[1], format=pix_fmt)


def _video(container: av.container.OutputContainer, codec: str, size, pix_fmt, rate, gop, bf, options):
    stream = container.add_stream(codec, rate=rate)
    stream.width, stream.height, stream.pix_fmt = *size, pix_fmt
    stream.codec_context.thread_count = 1
    stream.gop_size = gop
    if bf is not None:
        stream.max_b_frames = bf
    if codec == "libx264":
        options = {"preset": "veryfast", "crf": "24", **options}
    elif codec == "libx265":
        options = {
            "preset": "ultrafast",
            "x265-params": "log-level=none:pools=none:frame-threads=1",
            **options,
        }
    elif codec.startswith("libvpx"):
        options = {"deadline": "realtime", "cpu-used": "8", "b": "400k", **options}
    elif codec in ("mpeg4", "mpeg2video", "h263", "flv", "wmv2"):
        stream.bit_rate = 600_000
    stream.options = dict(options)
    return stream


@usual_scheduling()
def encode(
    path: Path,
    codec: str = "libx264",
    *,
    count: int = 60,
    size: tuple[int, int] = (320, 180),
    pix_fmt: str = "yuv420p",
    rate: int = 25,
    gop: int = 12,
    bf: int | None = 2,
    options: Mapping[str, str] = {},
    pts: Sequence[int] | None = None,
    fmt: str | None = None,
    container_options: Mapping[str, str] = {},
    interlaced: bool = False,
    tags: Mapping[str, str] = {},
    audio_seconds: float = 0.0,
) -> None:
    """Encode the first ``count`` drawn pictures; ``pts`` in units of 1 / (4 rate)."""
    unit = Fraction(1, 4 * rate)
    with av.open(str(path), "w", format=fmt, options=dict(container_options)) as container:
        stream = _video(container, codec, size, pix_fmt, rate, gop, bf, options)
        stream.codec_context.time_base = unit if pts is not None else Fraction(1, rate)
        stream.metadata.update(tags)
        if interlaced:
            stream.codec_context.flags |= av.codec.context.Flags.interlaced_dct
        if audio_seconds:
            sound = container.add_stream("aac", rate=48_000)
        for i, frame in enumerate(_frames(count, size, pix_fmt)):
            frame.pts = i if pts is None else pts[i]
            frame.time_base = Fraction(1, rate) if pts is None else unit
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
        if audio_seconds:
            _mux_silence(container, sound, audio_seconds)


def _mux_silence(container, stream, seconds: float) -> None:
    for i in range(max(1, int(seconds * 48_000 / 1024))):
        frame = av.AudioFrame.from_ndarray(np.zeros((2, 1024), np.float32), format="fltp", layout="stereo")
        frame.sample_rate, frame.pts, frame.time_base = 48_000, 1024 * i, Fraction(1, 48_000)
        container.mux(stream.encode(frame))
    container.mux(stream.encode(None))


def silence(path: Path, codec: str = "aac", *, fmt: str | None = None, cover: bytes | None = None) -> None:
    """Write a sound file, with a JPEG cover if one is given."""
    with av.open(str(path), "w", format=fmt) as container:
        stream = container.add_stream(codec, rate=48_000)
        picture = None
        if cover is not None:
            picture = container.add_stream("mjpeg", rate=1)
            picture.width, picture.height, picture.pix_fmt = 64, 64, "yuvj420p"
            picture.disposition = av.stream.Disposition.attached_pic
        if codec == "aac":
            _mux_silence(container, stream, 0.5)
        else:
            frame = av.AudioFrame.from_ndarray(np.zeros((1, 1920), np.int16), format="s16", layout="stereo")
            frame.sample_rate, frame.pts, frame.time_base = 48_000, 0, Fraction(1, 48_000)
            container.mux(stream.encode(frame))
            container.mux(stream.encode(None))
        if picture is not None:
            packet = av.Packet(cover)
            packet.stream, packet.pts, packet.dts, packet.time_base = picture, 0, 0, Fraction(1, 90_000)
            packet.is_keyframe = True
            container.mux(packet)


def two_streams(
    path: Path, sizes: Sequence[tuple[int, int]] = ((160, 90), (320, 180)), count: int = 20
) -> None:
    """Write one file with a video stream of each size."""
    with av.open(str(path), "w") as container:
        streams = [_video(container, "libx264", size, "yuv420p", 25, 12, 0, {}) for size in sizes]
        for stream in streams:
            stream.codec_context.time_base = Fraction(1, 25)
        pictures = [list(_frames(count, size, "yuv420p")) for size in sizes]
        for i in range(count):
            for stream, frames in zip(streams, pictures, strict=True):
                frames[i].pts, frames[i].time_base = i, Fraction(1, 25)
                container.mux(stream.encode(frames[i]))
        for stream in streams:
            container.mux(stream.encode(None))


def remux(
    source: Path,
    path: Path,
    *,
    count: int | None = None,
    first: int = 0,
    fmt: str | None = None,
    drop: Iterable[int] = (),
    edit: Callable[[int, bytes], bytes] | None = None,
    stamp: Callable[[int, int], int] | None = None,
    options: Mapping[str, str] = {},
) -> None:
    """Copy packets ``first`` .. ``first + count`` of the video stream, some dropped, edited or stamped anew."""
    dropped = set(drop)
    with (
        av.open(str(source)) as incoming,
        av.open(str(path), "w", format=fmt, options=dict(options)) as outgoing,
    ):
        stream = incoming.streams.video[0]
        copy = outgoing.add_stream_from_template(stream)
        number = -1
        for packet in incoming.demux(stream):
            if packet.size == 0:
                continue
            number += 1
            if number < first or number in dropped:
                continue
            if count is not None and number >= first + count:
                break
            if edit is not None:
                changed = edit(number, bytes(packet))
                new = av.Packet(changed)
                new.pts, new.dts, new.time_base = packet.pts, packet.dts, packet.time_base
                new.duration, new.is_keyframe = packet.duration, packet.is_keyframe
                packet = new
            if stamp is not None and packet.pts is not None:
                # A decoding time before all others, for muxers insist that no picture is shown before it is decoded.
                packet.pts, packet.dts = stamp(number, packet.pts), number - 100_000
            packet.stream = copy
            outgoing.mux(packet)


class _Bits:
    """Write an H.264 bit string."""

    def __init__(self) -> None:
        self.bits = ""

    def u(self, width: int, value: int) -> None:
        self.bits += format(value, f"0{width}b")

    def ue(self, value: int) -> None:
        code = format(value + 1, "b")
        self.bits += "0" * (len(code) - 1) + code

    def nal(self, kind: int) -> bytes:
        bits = self.bits + "1"
        bits += "0" * (-len(bits) % 8)
        payload = int(bits, 2).to_bytes(len(bits) // 8, "big")
        out, zeros = bytearray(), 0
        for byte in payload:
            if zeros >= 2 and byte <= 3:
                out.append(3)
                zeros = 0
            out.append(byte)
            zeros = zeros + 1 if byte == 0 else 0
        return b"\0\0\0\1" + bytes([0x60 | kind]) + bytes(out)


def h264_bomb(width: int, height: int) -> bytes:
    """Return a raw H.264 stream of some dozen bytes that claims a picture of this size (multiples of 16)."""
    sps = _Bits()
    sps.u(8, 66), sps.u(8, 0), sps.u(8, 62)
    sps.ue(0), sps.ue(0), sps.ue(2), sps.ue(1), sps.u(1, 0)
    sps.ue(width // 16 - 1), sps.ue(height // 16 - 1)
    sps.u(1, 1), sps.u(1, 1), sps.u(1, 0), sps.u(1, 0)
    pps = _Bits()
    pps.ue(0), pps.ue(0), pps.u(1, 0), pps.u(1, 0), pps.ue(0), pps.ue(0), pps.ue(0), pps.u(1, 0), pps.u(2, 0)
    pps.ue(0), pps.ue(0), pps.ue(0), pps.u(1, 0), pps.u(1, 0), pps.u(1, 0)
    piece = _Bits()
    (
        piece.ue(0),
        piece.ue(7),
        piece.ue(0),
        piece.u(4, 0),
        piece.ue(0),
        piece.u(1, 0),
        piece.u(1, 0),
        piece.ue(0),
    )
    for _ in range(40):
        piece.ue(3), piece.ue(0), piece.ue(0), piece.ue(0), piece.u(1, 1)
    return (sps.nal(7) + pps.nal(8) + piece.nal(5)) * 3


def gif_bomb(width: int, height: int) -> bytes:
    """Return a GIF of two small frames on a screen of this size."""
    screen = b"GIF89a" + struct.pack("<HHBBB", width, height, 0x80, 0, 0) + b"\0\0\0\xff\xff\xff"
    picture = (
        b"\x21\xf9\x04\0\x05\0\0\0" + b"," + struct.pack("<HHHHB", 0, 0, 1, 1, 0) + b"\x02\x02\x44\x01\x00"
    )
    return screen + picture * 2 + b";"

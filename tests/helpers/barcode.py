"""Clips whose frames carry their own index as a bar code, in every form that PyAV can encode here.

Each frame shows its index twice: eight light or dark blocks and, below them, their complement, so that the
reader of the code compares two blocks of one frame and needs no threshold that a codec, a colour range or a
tone curve could move. Under the code a texture moves, so that motion, B-frames and skipped blocks all occur.
Clips with ``is_chroma_only`` keep luma constant and write the index into the colour planes: every luma hash is equal
there, only the position of a frame tells it from its neighbours.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from fractions import Fraction
from typing import TYPE_CHECKING

import av
import numpy as np

from helpers.scheduling import usual_scheduling

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from numpy.typing import NDArray

__all__ = ["FORMS", "ClipForm", "draw", "encode", "form", "index_of"]

WIDTH, HEIGHT = 96, 64
BITS = 8
CELL = WIDTH // BITS


@dataclass(frozen=True, slots=True)
class ClipForm:
    """Name one container x codec x GOP form.

    Attributes
    ----------
    name : str
        Test id.
    suffix, container : str
        File suffix and FFmpeg's muxer.
    codec, pixel_format : str
        Encoder and its pixel format.
    options : mapping
        Private options of the encoder.
    muxer_options : mapping
        Options of the muxer.
    gop, b_frames : int
        Key frame distance, and B-frames in a row.
    timing : str
        ``"constant"``, ``"vfr"`` (steps of 1 to 4 ticks) or ``"offset"`` (starts at 5 s).
    rotation : int
        Display rotation in degrees, counter-clockwise as FFmpeg counts.
    is_full_range, is_chroma_only, is_wide_sweep : bool
        Full range luma; index in the colour planes only; only in the ``slow`` sweep.
    lost : int
        Frames at the beginning that an edit list cuts.
    """

    name: str
    suffix: str
    container: str
    codec: str
    pixel_format: str = "yuv420p"
    options: Mapping[str, str] = field(default_factory=dict)
    muxer_options: Mapping[str, str] = field(default_factory=dict)
    gop: int = 12
    b_frames: int = 0
    timing: str = "constant"
    rotation: int = 0
    is_full_range: bool = False
    is_chroma_only: bool = False
    is_wide_sweep: bool = False
    lost: int = 0


def draw(index: int, *, is_chroma_only: bool = False) -> NDArray[np.uint8]:
    """Return frame ``index`` (0..255) as (64, 96, 3) uint8 RGB, or as YUV planes if only chroma counts."""
    rng = np.random.Generator(np.random.PCG64(7))
    texture = np.kron(rng.integers(60, 200, (16, 48), dtype=np.uint8), np.ones((4, 4), np.uint8))
    image = np.empty((HEIGHT, WIDTH, 3), np.uint8)
    shift = (index * 2) % 64
    for channel, step in enumerate((0, 5, 9)):
        image[..., channel] = texture[:HEIGHT, shift + step : shift + step + WIDTH] // 2 + 60
    bits = [(index >> (BITS - 1 - k)) & 1 for k in range(BITS)]
    if is_chroma_only:
        image[...] = 128
        for k, bit in enumerate(bits):
            image[:32, k * CELL : (k + 1) * CELL, 1] = 190 if bit else 66
            image[32:, k * CELL : (k + 1) * CELL, 1] = 66 if bit else 190
        return image
    for k, bit in enumerate(bits):
        image[:16, k * CELL : (k + 1) * CELL] = 220 if bit else 30
        image[16:32, k * CELL : (k + 1) * CELL] = 30 if bit else 220
    return image


def index_of(image: NDArray[np.uint8], *, rotation: int = 0, is_chroma_only: bool = False) -> int:
    """Read the index back from a (H, W, 3) RGB picture; raise if the code is not readable."""
    upright = np.rot90(image, -(rotation // 90)) if rotation else image
    if upright.shape != (HEIGHT, WIDTH, 3):
        raise AssertionError(f"picture is {image.shape}, expected {(HEIGHT, WIDTH, 3)} turned by {rotation}")
    value = upright.astype(np.int32)
    plane = value[..., 2] - value[..., 0] if is_chroma_only else value.sum(axis=2)
    half = 32 if is_chroma_only else 16
    index = 0
    for k in range(BITS):
        columns = slice(k * CELL + 3, (k + 1) * CELL - 3)
        difference = plane[4 : half - 4, columns].mean() - plane[half + 4 : 2 * half - 4, columns].mean()
        if abs(difference) < 40:
            raise AssertionError(f"bit {k} is not readable: difference {difference:.1f}")
        index = index * 2 + int(difference > 0)
    return index


def ticks(timing: str, count: int) -> list[int]:
    """Return presentation times in units of 1/50 s (0.02 s): strictly increasing."""
    if timing == "vfr":
        steps = np.random.Generator(np.random.PCG64(3)).integers(1, 5, count)
        return [int(t) for t in np.cumsum(steps) - steps[0]]
    start = {"constant": 0, "offset": 250}[timing]
    return [start + 2 * k for k in range(count)]


def _picture(form: ClipForm, index: int) -> av.VideoFrame:
    image = draw(index, is_chroma_only=form.is_chroma_only)
    if not form.is_chroma_only:
        frame = av.VideoFrame.from_ndarray(image, format="rgb24")
        return frame.reformat(format=form.pixel_format)
    frame = av.VideoFrame(WIDTH, HEIGHT, form.pixel_format)
    for number, plane in enumerate(frame.planes):
        step = 1 if number == 0 else WIDTH // plane.width
        data = np.zeros((plane.height, plane.line_size), np.uint8)
        data[:, : plane.width] = image[::step, ::step, number]
        plane.update(data.tobytes())
    return frame


@usual_scheduling()
def encode(path: Path, form: ClipForm, count: int = 40) -> Path:
    """Encode ``count`` bar code frames in ``form`` to ``path`` and return it."""
    time_base = Fraction(1, 50)
    with av.open(str(path), "w", format=form.container, options=dict(form.muxer_options)) as output:
        stream = output.add_stream(form.codec, rate=25, options=dict(form.options))
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, form.pixel_format
        context = stream.codec_context
        context.time_base = time_base if form.timing == "vfr" else Fraction(1, 25)
        context.gop_size = form.gop
        if form.b_frames or form.codec in {"mpeg4", "mpeg2video", "mpeg1video"}:
            context.max_b_frames = form.b_frames
        context.thread_count = 1
        if form.is_full_range:
            context.color_range = 2
        if form.rotation:
            stream.set_display_rotation(form.rotation)
        shift = 2 * form.lost
        packets = []
        for index, tick in enumerate(ticks(form.timing, count)):
            frame = _picture(form, index)
            frame.time_base = time_base
            frame.pts = tick
            packets += stream.encode(frame)
        packets += stream.encode(None)
        for packet in packets:
            if shift:
                offset = int(shift * time_base / packet.time_base)
                packet.pts -= offset
                packet.dts -= offset
            output.mux(packet)
    return path


X264 = {"preset": "veryfast", "crf": "20", "x264-params": "threads=1:lookahead-threads=1"}


def _x264(extra: str = "", **options: str) -> dict[str, str]:
    params = X264["x264-params"] + (f":{extra}" if extra else "")
    return X264 | {"x264-params": params} | options


def _x265(extra: str = "") -> dict[str, str]:
    params = "log-level=none:pools=1:frame-threads=1:keyint=12:min-keyint=12" + (f":{extra}" if extra else "")
    return {"preset": "ultrafast", "crf": "20", "x265-params": params}


OPEN_GOP = "open-gop=1:bframes=3:b-adapt=0:scenecut=0:keyint=12:min-keyint=6"
Q = {"qscale": "3"}


def _forms() -> tuple[ClipForm, ...]:
    forms = [
        # H.264 in the containers that carry it, closed GOP with a B-pyramid.
        *(
            ClipForm(f"h264-{suffix}", suffix, container, "libx264", options=_x264(), b_frames=3)
            for suffix, container in (
                ("mp4", "mp4"),
                ("mov", "mov"),
                ("mkv", "matroska"),
                ("ts", "mpegts"),
                ("flv", "flv"),
                ("nut", "nut"),
                ("avi", "avi"),
                ("264", "h264"),
            )
        ),
        ClipForm("h264-no-b", "mp4", "mp4", "libx264", options=_x264("bframes=0")),
        ClipForm("h264-baseline-264", "264", "h264", "libx264", options=_x264(profile="baseline")),
        ClipForm("h264-open-gop-mp4", "mp4", "mp4", "libx264", options=_x264(OPEN_GOP), b_frames=3),
        ClipForm("h264-open-gop-ts", "ts", "mpegts", "libx264", options=_x264(OPEN_GOP), b_frames=3),
        ClipForm("h264-open-gop-264", "264", "h264", "libx264", options=_x264(OPEN_GOP), b_frames=3),
        ClipForm(
            "h264-refs5-pyramid-none",
            "mp4",
            "mp4",
            "libx264",
            options=_x264("ref=5:b-pyramid=none:bframes=5:b-adapt=0"),
            gop=20,
            b_frames=5,
        ),
        ClipForm(
            "h264-pyramid-strict", "mkv", "matroska", "libx264", options=_x264("b-pyramid=strict"), b_frames=4
        ),
        ClipForm("h264-long-gop", "mp4", "mp4", "libx264", options=_x264(), gop=250, b_frames=3),
        ClipForm(
            "h264-intra-refresh",
            "mp4",
            "mp4",
            "libx264",
            options=_x264("intra-refresh=1:keyint=12:bframes=0"),
        ),
        ClipForm(
            "h264-intra-refresh-ts",
            "ts",
            "mpegts",
            "libx264",
            options=_x264("intra-refresh=1:keyint=12:bframes=0"),
        ),
        ClipForm("h264-interlaced", "mp4", "mp4", "libx264", options=_x264("tff=1"), b_frames=2),
        ClipForm("h264-interlaced-ts", "ts", "mpegts", "libx264", options=_x264("tff=1"), b_frames=2),
        ClipForm("h264-vfr-mp4", "mp4", "mp4", "libx264", options=_x264(), b_frames=3, timing="vfr"),
        ClipForm("h264-vfr-mkv", "mkv", "matroska", "libx264", options=_x264(), b_frames=3, timing="vfr"),
        ClipForm("h264-offset", "mp4", "mp4", "libx264", options=_x264(), b_frames=3, timing="offset"),
        ClipForm("h264-offset-ts", "ts", "mpegts", "libx264", options=_x264(), b_frames=3, timing="offset"),
        ClipForm(
            "h264-edit-list",
            "mp4",
            "mp4",
            "libx264",
            options=_x264(),
            b_frames=3,
            muxer_options={"use_editlist": "1", "avoid_negative_ts": "disabled"},
            lost=5,
        ),
        ClipForm(
            "h264-fragmented",
            "mp4",
            "mp4",
            "libx264",
            options=_x264(),
            b_frames=3,
            muxer_options={"movflags": "frag_keyframe+empty_moov+default_base_moof"},
        ),
        ClipForm("h264-rotated-90", "mp4", "mp4", "libx264", options=_x264(), b_frames=3, rotation=90),
        ClipForm("h264-rotated-180", "mov", "mov", "libx264", options=_x264(), rotation=180),
        ClipForm(
            "h264-full-range", "mp4", "mp4", "libx264", "yuvj420p", _x264(), b_frames=2, is_full_range=True
        ),
        ClipForm("h264-10bit", "mkv", "matroska", "libx264", "yuv420p10le", _x264(), b_frames=2),
        ClipForm("h264-444", "mp4", "mp4", "libx264", "yuv444p", _x264(), b_frames=2),
        ClipForm("h264-422", "mp4", "mp4", "libx264", "yuv422p", _x264(), b_frames=2),
        ClipForm("h264-grey", "mkv", "matroska", "libx264", "gray", _x264(), b_frames=2),
        ClipForm("h264-rgb", "mp4", "mp4", "libx264rgb", "rgb24", X264),
        ClipForm("h264-lossless", "mkv", "matroska", "libx264", options={"qp": "0", "preset": "ultrafast"}),
        # HEVC
        ClipForm("hevc-mp4", "mp4", "mp4", "libx265", options=_x265("open-gop=0:bframes=3")),
        ClipForm(
            "hevc-open-gop-mp4", "mp4", "mp4", "libx265", options=_x265("open-gop=1:bframes=4:b-pyramid=1")
        ),
        ClipForm("hevc-open-gop-mkv", "mkv", "matroska", "libx265", options=_x265("open-gop=1:bframes=4")),
        ClipForm(
            "hevc-temporal-layers",
            "mp4",
            "mp4",
            "libx265",
            options=_x265("temporal-layers=3:bframes=4:b-pyramid=1"),
        ),
        ClipForm("hevc-ts", "ts", "mpegts", "libx265", options=_x265("bframes=3")),
        ClipForm("hevc-265", "265", "hevc", "libx265", options=_x265("bframes=3")),
        ClipForm("hevc-10bit", "mkv", "matroska", "libx265", "yuv420p10le", _x265("bframes=2")),
        # MPEG family
        ClipForm("mpeg4-asp-avi", "avi", "avi", "mpeg4", options=Q, b_frames=2),
        ClipForm("mpeg4-asp-mp4", "mp4", "mp4", "mpeg4", options=Q, b_frames=2),
        ClipForm("mpeg4-asp-mkv", "mkv", "matroska", "mpeg4", options=Q, b_frames=2),
        ClipForm("mpeg4-m4v", "m4v", "m4v", "mpeg4", options=Q, b_frames=2),
        ClipForm("mpeg4-sp-avi", "avi", "avi", "mpeg4", options=Q),
        ClipForm("mpeg2-ts", "ts", "mpegts", "mpeg2video", options=Q, b_frames=2),
        ClipForm("mpeg2-ps", "mpg", "dvd", "mpeg2video", options=Q, b_frames=2),
        ClipForm("mpeg2-m2v", "m2v", "mpeg2video", "mpeg2video", options=Q, b_frames=2),
        ClipForm("mpeg2-mkv", "mkv", "matroska", "mpeg2video", options=Q, b_frames=2),
        ClipForm("mpeg1-mpg", "mpg", "mpeg", "mpeg1video", options=Q, b_frames=2),
        ClipForm("mpeg1-m1v", "m1v", "mpeg1video", "mpeg1video", options=Q, b_frames=2),
        # Other inter codecs
        ClipForm(
            "vp8-webm", "webm", "webm", "libvpx", options={"deadline": "realtime", "cpu-used": "8", "b": "1M"}
        ),
        ClipForm(
            "vp8-altref-webm",
            "webm",
            "webm",
            "libvpx",
            options={
                "deadline": "good",
                "cpu-used": "5",
                "b": "1M",
                "auto-alt-ref": "1",
                "lag-in-frames": "10",
            },
        ),
        ClipForm(
            "vp9-webm",
            "webm",
            "webm",
            "libvpx-vp9",
            options={"deadline": "realtime", "cpu-used": "8", "b": "1M"},
        ),
        ClipForm(
            "vp9-altref-mkv",
            "mkv",
            "matroska",
            "libvpx-vp9",
            options={
                "deadline": "good",
                "cpu-used": "5",
                "b": "1M",
                "auto-alt-ref": "1",
                "lag-in-frames": "12",
            },
        ),
        ClipForm(
            "vp9-ivf",
            "ivf",
            "ivf",
            "libvpx-vp9",
            options={"deadline": "realtime", "cpu-used": "8", "b": "1M"},
        ),
        ClipForm("av1-mp4", "mp4", "mp4", "libsvtav1", options={"preset": "12", "crf": "30"}),
        ClipForm("av1-mkv", "mkv", "matroska", "libsvtav1", options={"preset": "12", "crf": "30"}),
        ClipForm("h263-avi", "avi", "avi", "h263p", options=Q),
        ClipForm("flv1-flv", "flv", "flv", "flv", options=Q),
        ClipForm("wmv2-asf", "asf", "asf", "wmv2", options=Q),
        ClipForm("msmpeg4-avi", "avi", "avi", "msmpeg4", options=Q),
        ClipForm("snow-avi", "avi", "avi", "snow", options=Q),
        # Intra codecs
        ClipForm("mjpeg-avi", "avi", "avi", "mjpeg", "yuvj420p", options=Q, is_full_range=True),
        ClipForm("mjpeg-mov", "mov", "mov", "mjpeg", "yuvj422p", options=Q, is_full_range=True),
        ClipForm("mjpeg-raw", "mjpeg", "mjpeg", "mjpeg", "yuvj420p", options=Q, is_full_range=True),
        ClipForm("ffv1-mkv", "mkv", "matroska", "ffv1"),
        ClipForm("ffv1-gop-avi", "avi", "avi", "ffv1", options={"coder": "1", "context": "1", "level": "1"}),
        ClipForm("huffyuv-avi", "avi", "avi", "huffyuv", "yuv422p"),
        ClipForm("utvideo-avi", "avi", "avi", "utvideo"),
        ClipForm("prores-mov", "mov", "mov", "prores_ks", "yuv422p10le"),
        ClipForm("png-mov", "mov", "mov", "png", "rgb24"),
        ClipForm("qtrle-mov", "mov", "mov", "qtrle", "rgb24"),
        ClipForm("raw-avi", "avi", "avi", "rawvideo"),
        ClipForm("raw-nut", "nut", "nut", "rawvideo"),
        ClipForm("jpeg2000-mov", "mov", "mov", "jpeg2000"),
        # Equal luma everywhere: only position tells frames apart.
        ClipForm(
            "chroma-only-mp4", "mp4", "mp4", "libx264", options=_x264(), b_frames=3, is_chroma_only=True
        ),
        ClipForm(
            "chroma-only-264", "264", "h264", "libx264", options=_x264(), b_frames=3, is_chroma_only=True
        ),
        ClipForm(
            "chroma-only-open-gop-264",
            "264",
            "h264",
            "libx264",
            options=_x264(OPEN_GOP),
            b_frames=3,
            is_chroma_only=True,
        ),
        ClipForm("chroma-only-asp-avi", "avi", "avi", "mpeg4", options=Q, b_frames=2, is_chroma_only=True),
        ClipForm(
            "chroma-only-ts", "ts", "mpegts", "libx264", options=_x264(), b_frames=3, is_chroma_only=True
        ),
        ClipForm(
            "chroma-only-m2v", "m2v", "mpeg2video", "mpeg2video", options=Q, b_frames=2, is_chroma_only=True
        ),
    ]
    return tuple(forms)


FORMS: tuple[ClipForm, ...] = _forms()


def form(name: str) -> ClipForm:
    """Return the form called ``name``."""
    return next(item for item in FORMS if item.name == name)

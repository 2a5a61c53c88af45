"""Sound but unusual files, and files whose headers lie."""

# One row a case, however long.
# ruff: noqa: E501
# fmt: off

from __future__ import annotations

import struct
from pathlib import Path

from torture import surgery
from torture.case import Case, Maker, Workshop, copy, data, encoded, failed, ok, partial, transform
from torture.coding import encode, gif_bomb, h264_bomb, remux, silence, two_streams
from torture.pictures import image, image_bytes

__all__ = ["CASES"]

_ONE = 1 << 16


def matrix(a: int, b: int, c: int, d: int) -> Maker:
    """Write the display matrix (a b / c d) into a clip of 96 x 64."""
    rows = struct.pack(">9i", a * _ONE, b * _ONE, 0, c * _ONE, d * _ONE, 0, 0, 0, 1 << 30)

    def change(raw: bytes) -> bytes:
        start, _ = surgery.box(raw, "moov/trak/tkhd")
        return surgery.patch(raw, start + 40, rows)

    return transform("small.mp4", change)


def scaled(path: str, offset: int, factor: float) -> Maker:
    """Multiply the 32-bit number at an offset of a box of people.mp4."""

    def change(raw: bytes) -> bytes:
        at = surgery.box(raw, path)[0] + offset
        (value,) = struct.unpack_from(">I", raw, at)
        return surgery.patch(raw, at, struct.pack(">I", int(value * factor)))

    return transform("people.mp4", change)


def avi_count(frames: int) -> Maker:
    """Write another number of frames into both headers of an AVI file."""

    def change(raw: bytes) -> bytes:
        raw = surgery.patch(raw, raw.index(b"avih") + 8 + 16, struct.pack("<I", frames))
        return surgery.patch(raw, raw.index(b"strh") + 8 + 32, struct.pack("<I", frames))

    return transform("mjpeg.avi", change)


def mkv_duration(factor: float) -> Maker:
    """Write another duration (a float at EBML id 0x4489) into a Matroska file."""

    def change(raw: bytes) -> bytes:
        at = raw.index(b"\x44\x89\x88") + 3
        (value,) = struct.unpack_from(">d", raw, at)
        return surgery.patch(raw, at, struct.pack(">d", value * factor))

    return transform("people.mkv", change)


def edits(entries: list[tuple[int, int]]) -> Maker:
    """Give drawn.mp4 (600 movie units and 12800 media units a second) another edit list: (duration, media time)."""

    def change(raw: bytes) -> bytes:
        raw = bytes(raw)
        extra = 12 * (len(entries) - 1)
        if extra:
            raw = surgery.insert(raw, "moov/trak/edts/elst", 20, bytes(extra))
        start, _ = surgery.box(raw, "moov/trak/edts/elst")
        table = struct.pack(">I", len(entries))
        for duration, media_time in entries:
            table += struct.pack(">IiI", duration, media_time, _ONE)
        return surgery.patch(raw, start + 4, table)

    return transform("drawn.mp4", change)


def joined(*parts: Maker) -> Maker:
    """Write several files one behind the other."""

    def make(w: Workshop, path: Path) -> None:
        pieces = []
        for i, part in enumerate(parts):
            piece = path.with_name(f"part{i}{path.suffix}")
            part(w, piece)
            pieces.append(piece.read_bytes())
            piece.unlink()
        path.write_bytes(b"".join(pieces))

    return make


def stamped(base: str, stamp) -> Maker:
    """Remux with other presentation time stamps."""
    return lambda w, path: remux(w.base(base), path, stamp=stamp, options={"avoid_negative_ts": "disabled"})


def restamped(pts: list[int]) -> Maker:
    """Write MJPEG pictures into Matroska with these time stamps, in milliseconds."""
    return stamped("mjpeg.mkv", lambda n, _: pts[n])


def external_reference(w: Workshop, path: Path) -> None:
    """Write a QuickTime file without pictures, whose Macintosh alias names the file that has them."""
    raw = w.read("people.mov")
    target = path.with_name("other.mov")
    target.write_bytes(raw)
    name = str(target).encode()
    name += b"\0" * (len(name) % 2)
    alias = bytes(10) + b"\3vol" + bytes(24) + bytes(12) + b"\x09other.mov" + bytes(54) + bytes(16)
    alias += struct.pack(">HH", 1, 1) + bytes(16) + struct.pack(">HH", 2, len(name)) + name + b"\xff\xff\0\0"
    entry = struct.pack(">I4sI", 12 + len(alias), b"alis", 0) + alias
    start, stop = surgery.box(raw, "moov/trak/mdia/minf/dinf/dref")
    raw = surgery.insert(raw, "moov/trak/mdia/minf/dinf/dref", stop - start, bytes(len(entry) - (stop - start - 8)))
    raw = surgery.patch(raw, start + 8, entry)
    path.write_bytes(surgery.make_hole(raw, 0.0, len(raw)))


def wide_avi(w: Workshop, path: Path) -> None:
    """Write raw pictures of 8 x 8 whose header claims 15000 x 15000."""
    encode(path, "rawvideo", count=3, size=(8, 8), pix_fmt="bgr24", bf=None)
    raw = path.read_bytes()
    path.write_bytes(surgery.patch(raw, raw.index(b"strf") + 12, struct.pack("<ii", 15_000, 15_000)))


def beside(name: str, base: str, text: str) -> Maker:
    """Write a list and, beside it, the sound clip that it names."""

    def make(w: Workshop, path: Path) -> None:
        path.with_name(name).write_bytes(w.read(base))
        path.write_text(text)

    return make


def trap(text: str) -> Maker:
    """Write a list that names an address where the test listens."""
    return lambda w, path: path.write_text(text.replace("{port}", str(w.trap_port))) and None


HLS = "#EXTM3U\n#EXT-X-TARGETDURATION:3\n#EXTINF:2.4,\n{}\n#EXT-X-ENDLIST\n"
H = "libx264"
VFR = [0]
for _step in (4, 8, 4, 12, 20, 4, 4, 40, 4, 6) * 6:
    VFR.append(VFR[-1] + _step)
STEADY = [40 * i for i in range(30)]

FEW = (
    ok("one_frame.mp4", 1, encoded(H, count=1)),
    ok("one_frame.mkv", 1, encoded(H, count=1)),
    ok("one_frame.264", 1, encoded(H, count=1, fmt="h264"), "W_PTS_MISSING"),
    ok("one_frame.ts", 1, encoded(H, count=1)),
    ok("one_frame.webm", 1, encoded("libvpx-vp9", count=1, bf=None)),
    ok("one_frame.gif", 1, encoded("gif", count=1, size=(64, 36), pix_fmt="rgb8", bf=None)),
    ok("two_frames.mp4", 2, encoded(H, count=2)),
    ok("two_frames.avi", 2, encoded("mjpeg", count=2, pix_fmt="yuvj420p", bf=None)),
    ok("three_frames.mp4", 3, encoded(H, count=3)),
    ok("two_frames_hevc.mp4", 2, encoded("libx265", count=2, bf=0)),
)

PIXELS = (
    ok("1x1.mkv", 10, encoded("ffv1", count=10, size=(1, 1), bf=None), size=(1, 1)),
    ok("1x1_raw.avi", 3, encoded("rawvideo", count=3, size=(1, 1), pix_fmt="bgr24", bf=None), size=(1, 1)),
    ok("2x2.mp4", 10, encoded(H, count=10, size=(2, 2)), size=(2, 2)),
    ok("1x64.mov", 10, encoded("png", count=10, size=(1, 64), pix_fmt="rgb24", bf=None), size=(1, 64)),
    ok("640x1.mkv", 5, encoded("ffv1", count=5, size=(640, 1), bf=None), size=(640, 1)),
    ok("35x29_vp9.webm", 10, encoded("libvpx-vp9", count=10, size=(35, 29), bf=None), size=(35, 29)),
    ok("33x17_444.mp4", 10, encoded(H, count=10, size=(33, 17), pix_fmt="yuv444p"), size=(33, 17)),
    ok("101x67_mjpeg.avi", 5, encoded("mjpeg", count=5, size=(101, 67), pix_fmt="yuvj420p", bf=None), size=(101, 67)),
    ok("1366x10.mp4", 5, encoded(H, count=5, size=(1366, 10)), size=(1366, 10)),
    ok("10bit.mp4", 20, encoded(H, count=20, pix_fmt="yuv420p10le")),
    ok("10bit_hevc.mp4", 28, copy("data:codec/roof_hevc10.mp4"), size=(1920, 1080)),
    ok("12bit.mkv", 5, encoded("ffv1", count=5, pix_fmt="yuv420p12le", bf=None)),
    ok("444.mp4", 20, encoded(H, count=20, pix_fmt="yuv444p")),
    ok("422.mp4", 20, encoded(H, count=20, pix_fmt="yuv422p")),
    ok("prores.mov", 5, encoded("prores_ks", count=5, pix_fmt="yuv422p10le", bf=None)),
    ok("grey.mp4", 20, encoded(H, count=20, pix_fmt="gray")),
    ok("grey16.mkv", 5, encoded("ffv1", count=5, pix_fmt="gray16le", bf=None)),
    ok("rgb.mkv", 5, encoded("ffv1", count=5, pix_fmt="bgr0", bf=None)),
    ok("rgb48.mkv", 5, encoded("ffv1", count=5, pix_fmt="gbrp16le", bf=None)),
    ok("alpha_vp9.webm", 10, encoded("libvpx-vp9", count=10, pix_fmt="yuva420p", bf=None)),
    ok("alpha_qtrle.mov", 5, encoded("qtrle", count=5, pix_fmt="argb", bf=None)),
    ok("alpha_png.mov", 5, encoded("png", count=5, pix_fmt="rgba", bf=None)),
    ok("palette.gif", 6, copy("tiny.gif")),
    ok("animated.apng", 5, encoded("apng", count=5, size=(64, 36), pix_fmt="rgba", bf=None, fmt="apng")),
    ok("full_range.mp4", 20, encoded(H, count=20, pix_fmt="yuvj420p")),
    ok("raw.y4m", 5, encoded("rawvideo", count=5, bf=None, fmt="yuv4mpegpipe")),
    ok("motion_jpeg.mjpeg", 10, encoded("mjpeg", count=10, pix_fmt="yuvj420p", bf=None, fmt="mjpeg"), allow="W_PTS_MISSING"),
)

TURNED = (
    ok("turned_90.mp4", 10, matrix(0, 1, -1, 0), size=(64, 96)),
    ok("turned_180.mp4", 10, matrix(-1, 0, 0, -1), size=(96, 64)),
    ok("turned_270.mp4", 10, matrix(0, -1, 1, 0), size=(64, 96)),
    ok("mirrored.mp4", 10, matrix(-1, 0, 0, 1), size=(96, 64)),
    ok("mirrored_up.mp4", 10, matrix(1, 0, 0, -1), size=(96, 64)),
    ok("turned_real.mov", 3, copy("data:codec/rotated90.mov")),
    # A matrix of zeros says nothing: the picture stays as it is.
    ok("matrix_of_zeros.mp4", 10, matrix(0, 0, 0, 0), size=(96, 64)),
)

TIMES = (
    ok("vfr.mp4", 60, encoded(H, pts=VFR)),
    ok("vfr.mkv", 60, encoded(H, pts=VFR)),
    ok("vfr_intra.mkv", 30, encoded("mjpeg", count=30, pts=VFR, pix_fmt="yuvj420p", bf=None)),
    partial("long_pause.mp4", 60, encoded(H, pts=[4 * i + (30_000 if i >= 30 else 0) for i in range(60)]), "", allow="W_PTS_GAP W_CORRUPT", maybe=True),
    ok("pts_far_from_zero.mkv", 30, restamped([10_000_000 + t for t in STEADY]), allow="W_DURATION"),
    ok("pts_wrap.ts", 60, encoded(H, container_options={"output_ts_offset": "95442"}), allow="W_DURATION"),
    ok("no_pts.264", 60, copy("drawn.264"), "W_PTS_MISSING"),
    ok("no_pts_b.avi", 40, copy("mpeg4.avi"), allow="W_PTS_MISSING"),
    ok("no_pts_ucf.avi", 164, copy("data:codec/ucf_mpeg4asp.avi"), allow="W_PTS_MISSING W_FRAME_COUNT W_DURATION"),
    ok("no_pts.h265", 75, copy("data:codec/girlshy_hevc.h265"), "W_PTS_MISSING"),
    partial("same_pts_twice.mkv", 30, restamped([40 * (i - (i == 12)) for i in range(30)]), "W_PTS_DUPLICATE", allow="W_DURATION W_PTS_GAP", maybe=True),
    ok("same_pts_always.mkv", 30, restamped([0] * 30), "W_PTS_DUPLICATE", allow="W_DURATION W_PTS_ORDER"),
    partial("pts_swapped.mkv", 30, restamped([*STEADY[:10], STEADY[11], STEADY[10], *STEADY[12:]]), "", allow="W_PTS_ORDER W_DURATION W_PTS_GAP", maybe=True),
    ok("pts_back.mkv", 30, restamped([*STEADY[:15], *STEADY[:15]]), "W_PTS_ORDER", allow="W_PTS_DUPLICATE W_DURATION"),
    partial("stream_twice.ts", 120, joined(copy("drawn.ts"), copy("drawn.ts")), "W_PTS_ORDER", allow="W_PTS_DUPLICATE W_DURATION W_CORRUPT", maybe=True),
    ok("open_gop.mp4", 60, copy("small_open.mp4")),
    ok("intra_only.mp4", 20, encoded(H, count=20, gop=1, bf=0)),
    ok("one_gop.mp4", 60, encoded(H, gop=250)),
    ok("intra_refresh.mp4", 60, encoded(H, bf=0, options={"x264-params": "intra-refresh=1:keyint=20"})),
    ok("interlaced.mp4", 60, encoded(H, options={"x264-params": "interlaced=1"}, interlaced=True), "W_INTERLACED"),
    ok("interlaced.ts", 40, encoded("mpeg2video", count=40, interlaced=True), "", allow="W_INTERLACED"),
    ok("one_fps.mp4", 20, encoded(H, count=20, rate=1)),
    ok("240_fps.mp4", 60, encoded(H, rate=240)),
)

EDITED = (
    # 60 frames of 40 ms; presentation starts at media time 1024 (two frames of reordering).
    ok("edit_trims_start.mp4", 50, edits([(2000, 1024 + 5120)]), allow="W_FRAME_COUNT W_DURATION"),
    ok("edit_trims_end.mp4", 30, edits([(1200, 1024)]), allow="W_FRAME_COUNT W_DURATION"),
    ok("edit_delays.mp4", 60, edits([(500, -1), (2400, 1024)]), allow="W_DURATION"),
    partial("edit_skips_middle.mp4", 40, edits([(800, 1024), (800, 1024 + 20480)]), "", allow="W_FRAME_COUNT W_DURATION W_PTS_GAP W_CORRUPT", maybe=True),
)

CHANGED = (
    ok("size_change.264", 30, joined(encoded(H, count=15, size=(320, 180), fmt="h264"), encoded(H, count=15, size=(160, 96), fmt="h264")), "W_SIZE_CHANGE W_PTS_MISSING"),
    partial("size_change.ts", 30, joined(encoded(H, count=15, size=(320, 180)), encoded(H, count=15, size=(160, 96))), "W_SIZE_CHANGE", allow="W_PTS_ORDER W_PTS_DUPLICATE W_CORRUPT W_DURATION", maybe=True),
    ok("format_change.264", 30, joined(encoded(H, count=15, fmt="h264"), encoded(H, count=15, pix_fmt="yuv444p", fmt="h264")), "W_PTS_MISSING"),
    ok("two_videos.mkv", 20, lambda w, path: two_streams(path), "W_SEVERAL_STREAMS", size=(320, 180)),
    ok("two_videos.mp4", 20, lambda w, path: two_streams(path, ((320, 180), (160, 90))), "W_SEVERAL_STREAMS", size=(320, 180)),
    ok("with_sound.mp4", 60, encoded(H, audio_seconds=2.4)),
    ok("long_sound.mp4", 20, encoded(H, count=20, audio_seconds=4.0)),
    ok("fragments.mp4", 60, copy("people_frag.mp4")),
    ok("sound_only_data.mp4", 60, encoded(H, tags={"title": "<b>bold</b> \x1b[31m"})),
)

LIES = (
    ok("lies_frames_more.avi", 30, avi_count(3000), "W_FRAME_COUNT", allow="W_DURATION"),
    ok("lies_frames_fewer.avi", 30, avi_count(3), "W_FRAME_COUNT", allow="W_DURATION"),
    ok("lies_frames_none.avi", 30, avi_count(0), allow="W_FRAME_COUNT W_DURATION"),
    ok("lies_media_duration.mp4", 60, scaled("moov/trak/mdia/mdhd", 16, 10), allow="W_DURATION"),
    ok("lies_movie_duration.mp4", 60, scaled("moov/mvhd", 16, 50), allow="W_DURATION"),
    ok("lies_media_short.mp4", 60, scaled("moov/trak/mdia/mdhd", 16, 0.1), "W_DURATION"),
    ok("lies_duration_long.mkv", 60, mkv_duration(20), "W_DURATION", allow="W_TRUNCATED"),
    ok("lies_duration_short.mkv", 60, mkv_duration(0.1), "W_DURATION"),
    ok("lies_sample_count.mp4", 60, scaled("moov/mvhd", 20, 2)),
)

SEALED = (
    failed("encrypted.mp4", encoded(H, container_options={"encryption_scheme": "cenc-aes-ctr", "encryption_key": "76a6c65c5ea762046bd749a2e632ccbb", "encryption_kid": "a7e61c373e219033c21091fa607bf3b8"}), "E_ENCRYPTED"),
    failed("bomb_16k.264", data(h264_bomb(16384, 16384)), "E_TOO_LARGE E_NO_FRAMES"),
    # FFmpeg itself refuses 16384 x 16384 before it tells the size; what is smaller we refuse, by the pixel limit.
    failed("bomb_16k_x_12k.264", data(h264_bomb(16384, 12288)), "E_TOO_LARGE"),
    failed("bomb_15k.avi", wide_avi, "E_TOO_LARGE E_NO_FRAMES"),
    failed("bomb_16k_x_16k.gif", data(gif_bomb(65535, 65535)), "E_TOO_LARGE E_NO_FRAMES E_CONTAINER"),
    failed("bomb_32k.y4m", data(b"YUV4MPEG2 W32768 H32768 F25:1 C420jpeg\nFRAME\n" + bytes(1000)), "E_TOO_LARGE E_CONTAINER"),
    failed("bomb_65k.mjpeg", transform("mjpeg.mkv", lambda raw: image_bytes(0).replace(struct.pack(">HH", 54, 96), struct.pack(">HH", 65500, 65500), 1) * 3), "E_TOO_LARGE E_NO_FRAMES"),
    failed("sound.m4a", lambda w, path: silence(path), "E_NO_VIDEO"),
    failed("sound.mka", lambda w, path: silence(path, "libopus"), "E_NO_VIDEO"),
    failed("sound.wav", data(b"RIFF" + struct.pack("<I", 36 + 8000) + b"WAVEfmt " + struct.pack("<IHHIIHH", 16, 1, 1, 8000, 16000, 2, 16) + b"data" + struct.pack("<I", 8000) + bytes(8000)), "E_CONTAINER E_NO_VIDEO"),
    failed("cover_art.m4a", lambda w, path: silence(path, fmt="mp4", cover=image_bytes(3, size=(64, 64))), "E_NO_VIDEO"),
    failed("photo.mp4", data(image(1)), "E_CONTAINER E_NO_VIDEO E_NO_FRAMES"),
)

PLAYLISTS = (
    failed("list.m3u8", beside("other.ts", "drawn.ts", HLS.format("other.ts")), "E_CONTAINER"),
    failed("list_named_so.mp4", beside("other.ts", "drawn.ts", HLS.format("other.ts")), "E_CONTAINER"),
    failed("list_http.m3u8", trap(HLS.format("http://127.0.0.1:{port}/a.ts")), "E_CONTAINER"),
    failed(
        "manifest.mpd",
        trap(
            '<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="static" mediaPresentationDuration="PT2S"><Period><AdaptationSet mimeType="video/mp4"><Representation id="1" bandwidth="1" codecs="avc1.4d401f"><BaseURL>http://127.0.0.1:{port}/a.mp4</BaseURL></Representation></AdaptationSet></Period></MPD>'
        ),
        "E_CONTAINER",
    ),
    failed("list.ffconcat", beside("other.mp4", "drawn.mp4", "ffconcat version 1.0\nfile other.mp4\n"), "E_CONTAINER"),
    failed("call.sdp", trap("v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=video {port} RTP/AVP 96\na=rtpmap:96 H264/90000\n"), "E_CONTAINER"),
    failed("pointer.mov", external_reference, "E_CONTAINER E_NO_FRAMES E_NO_VIDEO"),
    failed("list.pls", trap("[playlist]\nFile1=http://127.0.0.1:{port}/a.mp4\nNumberOfEntries=1\nVersion=2\n"), "E_CONTAINER"),
    failed("list.asx", trap('<asx version="3.0"><entry><ref href="http://127.0.0.1:{port}/a.wmv"/></entry></asx>'), "E_CONTAINER"),
    failed("link.rtsp.mp4", trap("RTSPtextrtsp://127.0.0.1:{port}/a"), "E_CONTAINER"),
    failed("vector.mp4", trap('<svg xmlns="http://www.w3.org/2000/svg"><image href="http://127.0.0.1:{port}/a.png"/></svg>'), "E_CONTAINER E_NO_VIDEO"),
    failed("script.avs", trap('AVISource("other.avi")\n'), "E_CONTAINER"),
)

CASES: tuple[Case, ...] = (*FEW, *PIXELS, *TURNED, *TIMES, *EDITED, *CHANGED, *LIES, *SEALED, *PLAYLISTS)

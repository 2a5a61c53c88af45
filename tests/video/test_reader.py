"""One pass over real and drawn clips: identity, times, upright pictures, damage, and every refusal."""

from __future__ import annotations

import json
import shutil
import struct
import subprocess
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from evfr._core.types import PTS_NONE, FrameTable
from evfr.errors import ProblemCode, VideoError
from evfr.video import Frame, VideoFrame, frames, inspect_video, open_video, scan
from evfr.video._frames import Orientation
from helpers.clips import moving_square, remux, write_clip

REAL = (
    *(f"video/{n}.mp4" for n in ("basketball", "bikes_cuts", "bottles", "cars_topdown", "driving_highway")),
    *(f"video/{n}" for n in ("flies_clip.mp4", "interleaved_scenes.264", "people_one_by_one.mp4")),
    *(f"codec/{n}" for n in ("bear_av1.mp4", "bear_vp9.webm", "girlshy_hevc.h265", "roof_hevc10.mp4")),
    *(f"codec/{n}" for n in ("rotated90.mov", "ucf_mpeg4asp.avi", "corrupted.mp4")),
    *("mv/bbb_h264_b.264", "seq/chair.mp4", "research/traffic_mjpeg.avi", "research/pets_vtest_h264.avi"),
)
# H.264 in MP4 without B pictures or with them, as shorter clips have it, too.
LONG = ("video/flies_clip.mp4", "video/people_one_by_one.mp4", "video/bottles.mp4")
# Two of them say so by pts out of order: FFmpeg makes them up from the chunk order of AVI, where B pictures come early.
AVI_WITH_B = ("codec/ucf_mpeg4asp.avi", "research/pets_vtest_h264.avi")


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_clip(tmp_path_factory.mktemp("clip") / "clip.mp4", moving_square(30), gop=10)


def assert_same(a: FrameTable, b: FrameTable) -> None:
    for name in ("pts", "time_seconds", "picture_type", "is_iframe", "luma_hash", "is_suspect", "is_decoded"):
        np.testing.assert_array_equal(getattr(a, name), getattr(b, name), err_msg=name)


# -- against ffprobe ---------------------------------------------------------------------------------------------------


@pytest.mark.skipif(shutil.which("ffprobe") is None, reason="ffprobe, the oracle, is not installed")
@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.slow) if name in LONG else name for name in REAL]
)
def test_frames_are_those_of_ffprobe(data_dir: Path, name: str) -> None:
    """Oracle: ffprobe -show_entries frame=pts,pict_type,key_frame (FFmpeg 5.1): counts, pts, types, key flags.

    Two differences are ours and meant: AVI with B pictures has no pts here, and the packet of corrupted.mp4 that
    does not decode keeps its place.
    """
    if not (data_dir / name).exists():
        pytest.skip(f"{name} is not in this copy of the data")
    command = [
        "ffprobe",
        "-v",
        "error",
        "-select_streams",
        "v:0",
        "-show_entries",
        "frame=pts,pict_type,key_frame",
    ]
    done = subprocess.run([*command, "-of", "json", str(data_dir / name)], capture_output=True, check=True)
    expected = json.loads(done.stdout)["frames"]
    table, info, _ = scan(data_dir / name)
    there = table.is_decoded
    assert int(there.sum()) == len(expected) == info.decoded_count
    assert len(table) == len(expected) + (name == "codec/corrupted.mp4")
    assert [t.decode() for t in table.picture_type[there]] == [f["pict_type"] for f in expected]
    assert table.is_iframe[there].tolist() == [bool(f["key_frame"]) for f in expected]
    if name in AVI_WITH_B:
        assert (table.pts == PTS_NONE).all()
    else:
        assert table.pts[there].tolist() == [f.get("pts", PTS_NONE) for f in expected]
    if name != "codec/corrupted.mp4":
        assert info.status == "ok"


def test_damaged_clip_keeps_the_place_of_the_frame_that_does_not_decode(data_dir: Path) -> None:
    table, info, problems = scan(data_dir / "codec/corrupted.mp4")
    assert [p.code for p in problems] == [ProblemCode.W_CORRUPT]
    assert problems[0].frame_index == 29
    assert info.status == "partial"
    assert np.flatnonzero(~table.is_decoded).size == 1
    assert np.diff(table.pts).min() == np.diff(table.pts).max() == 1024
    # One GOP: from the damage on, nothing is sure.
    assert not table.is_suspect[:29].any()
    assert table.is_suspect[29:].all()
    assert table.luma_hash[~table.is_decoded].tolist() == [0]


def test_rotated_clip_comes_upright(data_dir: Path, tmp_path: Path) -> None:
    """Oracle: ffmpeg turns by the display matrix by itself (autorotate)."""
    path = data_dir / "codec/rotated90.mov"
    raw = tmp_path / "grey.raw"
    if shutil.which("ffmpeg") is None:
        pytest.skip("ffmpeg, the oracle, is not installed")
    command = [
        "ffmpeg",
        "-v",
        "error",
        "-i",
        str(path),
        "-vf",
        "format=yuv420p,extractplanes=y",
        "-f",
        "rawvideo",
    ]
    subprocess.run([*command, "-pix_fmt", "gray", str(raw)], check=True)
    with open_video(path) as video:
        pictures = [(frame.luma().copy(), frame.rgb().shape) for frame in video]
    assert video.info.rotation == 90
    assert (video.info.width, video.info.height) == (320, 568)
    expected = np.fromfile(raw, np.uint8).reshape(3, 568, 320).astype(float)
    for (luma, shape), truth in zip(pictures, expected, strict=True):
        assert luma.shape == (568, 320)
        assert shape == (568, 320, 3)
        full = np.clip((truth - 16) * 255 / 219, 0, 255)
        assert np.abs(luma - full).max() <= 0.5


# -- one identity on every path ----------------------------------------------------------------------------------------


def test_rgb_is_the_same_with_vectors(data_dir: Path) -> None:
    path = data_dir / "video/bikes_cuts.mp4"
    runs = [open_video(path), open_video(path, motion_vectors=True)]
    for views in zip(*runs, strict=True):
        first = views[0].rgb()
        assert all(np.array_equal(first, view.rgb()) for view in views[1:])
        if views[0].frame_index >= 40:
            break


def test_a_second_scan_is_equal(data_dir: Path) -> None:
    a, b = (scan(data_dir / "codec/corrupted.mp4")[0] for _ in range(2))
    assert_same(a, b)


# -- times -------------------------------------------------------------------------------------------------------------


def test_variable_rate_keeps_its_times(tmp_path: Path) -> None:
    ticks = [0, 1, 3, 4, 8, 9, 14, 15, 16, 30]
    path = write_clip(
        tmp_path / "vfr.mkv", moving_square(10), pts=ticks, time_base=Fraction(1, 50), rate=50, b_frames=2
    )
    table, info, problems = scan(path)
    np.testing.assert_allclose(table.time_seconds, np.array(ticks) / 50, atol=1e-9)
    assert info.is_variable_rate
    assert not problems
    assert not table.is_suspect.any()


def test_times_start_at_the_first_frame(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "late.ts", moving_square(8), pts=[k + 250 for k in range(8)])
    table, info, _ = scan(path)
    assert table.pts[0] > 0
    np.testing.assert_allclose(table.time_seconds, np.arange(8) / 25, atol=1e-4)
    assert not info.is_time_estimated
    assert info.duration_seconds == pytest.approx(8 / 25, abs=1e-3)


@pytest.mark.parametrize(("name", "b_frames", "codec"), [("a.264", 2, "libx264"), ("a.avi", 2, "mpeg4")])
def test_times_without_stamps_are_estimated_and_say_so(
    tmp_path: Path, name: str, b_frames: int, codec: str
) -> None:
    table, info, problems = scan(
        write_clip(tmp_path / name, moving_square(20), b_frames=b_frames, codec=codec)
    )
    assert info.is_time_estimated
    assert (table.pts == PTS_NONE).all()
    np.testing.assert_allclose(table.time_seconds, np.arange(20) / 25)
    assert [p.code for p in problems] == [ProblemCode.W_PTS_MISSING]
    assert info.status == "ok"


def test_avi_without_reordering_has_times(tmp_path: Path) -> None:
    table, info, problems = scan(write_clip(tmp_path / "a.avi", moving_square(9), b_frames=0, codec="mpeg4"))
    assert not info.is_time_estimated
    assert table.pts.tolist() == list(range(9))
    assert not problems


def test_a_lost_picture_is_a_gap_and_spoils_what_leans_on_it(tmp_path: Path, clip: Path) -> None:
    sound = scan(clip)[0]
    lost = remux(clip, tmp_path / "lost.mp4", keep=lambda number: number != 14)
    table, info, problems = scan(lost)
    assert {p.code for p in problems} >= {ProblemCode.W_PTS_GAP}
    assert len(table) == 29
    truth = dict(zip(sound.pts.tolist(), sound.luma_hash.tolist(), strict=True))
    wrong = [truth[p] != h for p, h in zip(table.pts.tolist(), table.luma_hash.tolist(), strict=True)]
    assert not (np.array(wrong) & table.is_selectable).any()
    # The next GOP begins with a clean key frame.
    assert not table.is_suspect[table.pts >= sound.pts[20]].any()
    assert info.status == "partial"


# -- shapes and formats ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [(1, 1), (2, 2), (17, 33), (96, 64), (101, 51)])
def test_odd_sizes(tmp_path: Path, size: tuple[int, int]) -> None:
    path = write_clip(tmp_path / "odd.mkv", moving_square(3, size=size), codec="ffv1", pixel_format="yuv444p")
    with open_video(path) as video:
        shapes = [(frame.luma().shape, frame.rgb().shape, frame.shape) for frame in video]
    height, width = size[1], size[0]
    assert shapes == [((height, width), (height, width, 3), (height, width))] * 3
    assert (video.info.width, video.info.height) == size


def test_one_frame(tmp_path: Path) -> None:
    table, info, problems = scan(write_clip(tmp_path / "one.mp4", moving_square(1)))
    assert len(table) == 1
    assert info.fps is None
    assert info.duration_seconds == 0.0
    assert not [p for p in problems if p.code is not ProblemCode.W_DURATION]


def test_a_size_change_is_told_and_never_resized(tmp_path: Path) -> None:
    parts = [
        write_clip(tmp_path / f"{w}.264", moving_square(6, size=(w, 64)), gop=6, b_frames=0).read_bytes()
        for w in (96, 64)
    ]
    path = tmp_path / "both.264"
    path.write_bytes(b"".join(parts))
    with open_video(path) as video:
        shapes = [frame.rgb().shape for frame in video]
    assert shapes == [(64, 96, 3)] * 6 + [(64, 64, 3)] * 6
    problem = next(p for p in video.problems if p.code is ProblemCode.W_SIZE_CHANGE)
    assert (problem.frame_index, problem.count) == (6, 6)


def test_the_best_of_several_streams_is_read(tmp_path: Path) -> None:
    path = tmp_path / "two.mkv"
    with av.open(str(path), "w") as container:
        streams = []
        for width in (32, 64):
            stream = container.add_stream("ffv1", rate=25)
            stream.width, stream.height, stream.pix_fmt = width, 48, "yuv420p"
            streams.append(stream)
        for number, picture in enumerate(moving_square(4, size=(64, 48))):
            for stream in streams:
                frame = av.VideoFrame.from_ndarray(picture[:, : stream.width].copy(), format="rgb24")
                frame = frame.reformat(format="yuv420p")
                frame.pts = number
                container.mux(stream.encode(frame))
        for stream in streams:
            container.mux(stream.encode(None))
    _, info, problems = scan(path)
    assert (info.width, info.height, info.frame_count) == (64, 48, 4)
    assert [p.code for p in problems] == [ProblemCode.W_SEVERAL_STREAMS]


def test_interlaced_pictures_are_told(tmp_path: Path) -> None:
    path = write_clip(
        tmp_path / "i.mp4", moving_square(8), options={"x264-params": "tff=1:fake-interlaced=0"}, b_frames=0
    )
    problems = {p.code: p for p in scan(path)[2]}
    assert problems[ProblemCode.W_INTERLACED].count == 8


# -- policies and refusals ---------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def broken(tmp_path_factory: pytest.TempPathFactory, clip: Path) -> Path:
    def spoil(number: int, data: bytes) -> bytes:
        return data[: len(data) // 2] if number == 12 else data

    return remux(clip, tmp_path_factory.mktemp("broken") / "broken.mp4", edit=spoil)


def test_damaged_drop_keep_and_fail(broken: Path) -> None:
    dropped, _, problems = scan(broken)
    kept, info, also = scan(broken, damaged="keep")
    assert dropped.is_suspect.any()
    assert not kept.is_suspect[kept.is_decoded].any()
    assert kept.is_selectable.sum() > dropped.is_selectable.sum()
    assert problems == also
    assert info.status == "partial"
    np.testing.assert_array_equal(dropped.luma_hash, kept.luma_hash)
    with pytest.raises(VideoError, match=r"damaged: .* up to here") as caught:
        scan(broken, damaged="fail")
    assert caught.value.problem.code is ProblemCode.E_DAMAGED
    assert caught.value.problem.frame_index == np.flatnonzero(dropped.is_suspect)[0]


def test_frames_leaves_suspects_out_but_not_their_index(broken: Path) -> None:
    table = scan(broken)[0]
    given = list(frames(broken))
    assert [f.frame_index for f in given] == np.flatnonzero(table.is_selectable).tolist()
    assert all(isinstance(f, Frame) and f.image.shape == (64, 96, 3) for f in given)
    assert [f.pts for f in given] == table.pts[table.is_selectable].tolist()
    assert {f.time_base for f in given} == {table.time_base}


def test_nothing_decodes(tmp_path: Path, clip: Path) -> None:
    path = remux(clip, tmp_path / "zeros.mp4", edit=lambda number, data: bytes(len(data)))
    with pytest.raises(VideoError, match="not one frame decodes cleanly") as caught:
        scan(path)
    assert caught.value.problem.code is ProblemCode.E_NO_FRAMES


def test_audio_only(tmp_path: Path) -> None:
    path = tmp_path / "sound.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac", rate=8000, layout="mono")
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 8000), np.float32), format="fltp", layout="mono")
        frame.sample_rate = 8000
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    with pytest.raises(VideoError, match="no video stream") as caught:
        open_video(path)
    assert caught.value.problem.code is ProblemCode.E_NO_VIDEO


def test_misuse_is_refused(clip: Path) -> None:
    with pytest.raises(ValueError, match='damaged must be "drop", "keep" or "fail", got \'maybe\''):
        open_video(clip, damaged="maybe")  # type: ignore[arg-type]
    with open_video(clip) as video:
        with pytest.raises(RuntimeError, match="the table is known only after the pass"):
            video.table()
        assert sum(1 for _ in video) == 30
        with pytest.raises(RuntimeError, match="a reader makes one pass"):
            iter(video)
    with pytest.raises(ValueError, match=r"image must be \(H, W, 3\) uint8 RGB, got \(2, 2\) uint8"):
        Frame(0, 0, Fraction(1, 25), 0.0, np.zeros((2, 2), np.uint8))
    with pytest.raises(ValueError, match="frame_index must be 0 or more, got -1"):
        Frame(-1, 0, Fraction(1, 25), 0.0, np.zeros((2, 2, 3), np.uint8))


# -- facts -------------------------------------------------------------------------------------------------------------


def test_inspect_tells_what_is_there(data_dir: Path) -> None:
    seen: list[int] = []
    info = inspect_video(data_dir / "video/bikes_cuts.mp4", on_frame=seen.append)
    assert seen == list(range(1, 251))
    assert (info.codec, info.width, info.height, info.frame_count) == ("h264", 640, 272, 250)
    assert info.fps == pytest.approx(25.0)
    assert info.picture_types == {"I": 6, "P": 69, "B": 175}
    assert (info.has_b_frames, info.has_motion_vectors, info.is_variable_rate) == (True, True, False)
    assert info.gop_length_max == 61
    assert json.loads(json.dumps(info.to_dict()))["frame_count"] == 250
    assert not inspect_video(data_dir / "codec/bear_vp9.webm").has_motion_vectors
    assert inspect_video(data_dir / "codec/roof_hevc10.mp4").is_variable_rate


def test_lying_header_is_told(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "a.mkv", moving_square(30))
    data = bytearray(path.read_bytes())
    place = data.index(b"\x44\x89\x88") + 3  # Duration, a double, in milliseconds
    data[place : place + 8] = struct.pack(">d", 3_600_000.0)
    path.write_bytes(data)
    _, info, problems = scan(path)
    assert [p.code for p in problems] == [ProblemCode.W_DURATION]
    assert (info.claimed_duration_seconds, info.duration_seconds) == (3600.0, pytest.approx(1.2, abs=0.01))


def test_truncated_files_say_so(tmp_path: Path) -> None:
    for name, options in (("a.mp4", {"movflags": "+faststart"}), ("a.mkv", {}), ("a.avi", {}), ("a.flv", {})):
        path = write_clip(tmp_path / name, moving_square(40), gop=5, b_frames=0, muxer_options=options)
        assert ProblemCode.W_TRUNCATED not in {p.code for p in scan(path)[2]}, name
        data = path.read_bytes()
        path.write_bytes(data[: len(data) * 2 // 3])
        table, info, problems = scan(path)
        assert ProblemCode.W_TRUNCATED in {p.code for p in problems}, name
        assert info.status == "partial"
        assert 10 < len(table) < 40


# -- the frame ---------------------------------------------------------------------------------------------------------


def test_frame_view(clip: Path) -> None:
    with open_video(clip, motion_vectors=True) as video:
        for frame in video:
            assert isinstance(frame, VideoFrame)
            assert frame.luma().flags.c_contiguous or frame.luma().strides[1] == 1
            assert frame.rgb() is frame.rgb()
            if frame.picture_type == b"I":
                assert len(frame.motion_vectors()) == 0
                assert repr(frame).startswith(f"VideoFrame({frame.frame_index}, ")
            elif len(frame.motion_vectors()):
                vectors = frame.motion_vectors()
                assert set(vectors["source"].tolist()) <= {-1, 1}
                break
        else:
            pytest.fail("no motion vectors in an H.264 clip that moves")


@pytest.mark.parametrize("degrees", [0, 90, 180, 270])
def test_rotation_by_the_display_matrix(tmp_path: Path, degrees: int) -> None:
    """The matrix turns counter-clockwise by ``degrees``; np.rot90 does the same to the stored picture."""
    pictures = moving_square(3)
    still = write_clip(tmp_path / "still.mp4", pictures, b_frames=0)
    turned = write_clip(tmp_path / "turned.mp4", pictures, b_frames=0, rotation=degrees)
    for a, b in zip(frames(still), frames(turned), strict=True):
        np.testing.assert_array_equal(np.rot90(a.image, degrees // 90), b.image)
    assert scan(turned)[0].luma_hash.tolist() == scan(still)[0].luma_hash.tolist()


def test_orientation_of_mirrored_matrices() -> None:
    picture = np.arange(6, dtype=np.uint8).reshape(2, 3)
    np.testing.assert_array_equal(Orientation(False, True, False).apply(picture), picture[:, ::-1])
    np.testing.assert_array_equal(Orientation(True, False, False).apply(picture), picture.T)
    np.testing.assert_array_equal(Orientation(True, True, False).apply(picture), np.rot90(picture, -1))
    assert [Orientation(True, True, False).rotation, Orientation(False, True, True).rotation] == [90, 180]

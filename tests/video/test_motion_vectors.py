"""Vectors of a codec: equal to a reference, whatever the threads, in decoding order, upright, or refused."""

from __future__ import annotations

import itertools
from pathlib import Path

import av
import numpy as np
import pytest
from av.codec.context import ThreadType
from PIL import Image

from evfr._core.warp import compensated_residual
from evfr.errors import ProblemCode, VideoError
from evfr.video import (
    MOTION_VECTOR_DTYPE,
    FrameVectors,
    block_fields,
    frames,
    inspect_video,
    motion_vectors,
    open_video,
)
from evfr.video._container import open_container, prepare_decoder, video_streams
from evfr.video._luma import grey_of_rgb
from helpers.clips import write_clip
from helpers.motion_clips import raw_vectors, translation

FIELDS = ("source", "w", "h", "src_x", "src_y", "dst_x", "dst_y", "motion_x", "motion_y", "motion_scale")


def test_vectors_equal_the_reference_on_every_field_and_frame(data_dir: Path) -> None:
    """Oracle: vectors that LukasBommes/mv-extractor recorded for this stream with its own build of FFmpeg."""
    with np.load(data_dir / "mv" / "bbb_h264_b_mvs.npz") as file:
        known = {name: file[name] for name in file.files}
    count = 0
    for frame in motion_vectors(data_dir / "mv" / "bbb_h264_b.264", stop=len(known["frames"])):
        t = frame.frame_index
        assert known["frames"][t] == t
        wanted = known["mvs"][known["offsets"][t] : known["offsets"][t + 1]]
        found = np.stack([frame.vectors[name].astype(np.int64) for name in FIELDS], axis=1)
        np.testing.assert_array_equal(found, wanted, err_msg=f"frame {t}")
        assert frame.picture_type.decode() == known["frame_types"][t]
        count += 1
    assert count == 336


@pytest.fixture(scope="module")
def sliced(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a clip of four slices a picture, so that slice threads have something to share."""
    return write_clip(
        tmp_path_factory.mktemp("sliced") / "sliced.mp4",
        translation(30, (3, 1), size=(320, 192)),
        options={"x264-params": "slices=4"},
    )


def test_vectors_are_the_same_twice_and_with_slice_threads(sliced: Path) -> None:
    once = [frame.vectors.tobytes() for frame in motion_vectors(sliced)]
    again = [frame.vectors.tobytes() for frame in motion_vectors(sliced)]
    assert once == again == raw_vectors(sliced, 1) == raw_vectors(sliced, 4)
    assert sum(map(len, once)) > 0


def test_vectors_are_never_decoded_with_frame_threads(sliced: Path) -> None:
    for threads in (1, 2):
        with open_container(sliced) as container:
            stream = video_streams(container)[0]
            prepare_decoder(stream, threads=threads, motion_vectors=True)
            stream.codec_context.open()
            assert not stream.codec_context.thread_type & ThreadType.FRAME
            assert bool(stream.codec_context.thread_type & ThreadType.SLICE) == (threads == 2)


def test_decoding_order_is_that_of_the_packets(sliced: Path) -> None:
    """Oracle: the pts of the packets as the container has them, in file order."""
    with av.open(str(sliced)) as container:
        order = [packet.pts for packet in container.demux(video=0) if packet.size]
    found = list(motion_vectors(sliced))
    assert [frame.pts for frame in sorted(found, key=lambda frame: frame.decode_index)] == order
    assert order != sorted(order)
    for one, other in itertools.pairwise(found):
        assert one.frame_index + 1 == other.frame_index
        if one.picture_type == b"B" and other.picture_type == b"P":
            assert one.decode_index > other.decode_index


def test_videos_read_at_once_keep_their_decoding_orders(sliced: Path) -> None:
    """PyAV finds what a packet carries by its address; small integers are shared by all."""
    alone = [frame.decode_index for frame in motion_vectors(sliced)]
    pairs = itertools.zip_longest(motion_vectors(sliced), motion_vectors(sliced, stop=9))
    assert [one.decode_index for one, _ in pairs if one is not None] == alone


@pytest.mark.parametrize("rotation", [90, 180, 270])
def test_vectors_turn_with_the_picture(tmp_path: Path, rotation: int) -> None:
    pictures = translation(5, (3, 1), size=(150, 98))
    plain = write_clip(tmp_path / "plain.mp4", pictures, b_frames=0)
    turned = write_clip(tmp_path / "turned.mp4", pictures, b_frames=0, rotation=rotation)
    upright = [grey_of_rgb(frame.image) for frame in frames(turned)]
    with open_video(turned) as video:
        turn = next(iter(video)).orientation
    assert turn.rotation % 180 == (360 - rotation) % 180
    for one, other in zip(motion_vectors(plain), motion_vectors(turned), strict=True):
        assert other.shape == upright[0].shape
        assert len(one.vectors) == len(other.vectors)
        t = other.frame_index
        if not t:
            continue
        fields = block_fields(other.vectors, other.shape, cell=1)
        moved = compensated_residual(upright[t], upright[t - 1], fields.flow0)[fields.has0]
        still = compensated_residual(upright[t], upright[t - 1], fields.flow0 * 0)[fields.has0]
        assert moved.mean() < 0.25 * still.mean()
        # The stored field, turned as a picture is: its places, then its components.
        stored = block_fields(one.vectors, one.shape, cell=1)
        np.testing.assert_array_equal(fields.has0, turn.apply(stored.has0.view(np.uint8)))
        x, y = (turn.apply(np.ascontiguousarray(stored.flow0[..., axis])) for axis in (0, 1))  # type: ignore[arg-type]
        x, y = (y, x) if turn.is_transposed else (x, y)
        np.testing.assert_array_equal(fields.flow0[..., 0], -x if turn.has_flipped_columns else x)
        np.testing.assert_array_equal(fields.flow0[..., 1], -y if turn.has_flipped_rows else y)


def test_mirrored_vectors_by_hand() -> None:
    from evfr.video._frames import Orientation
    from evfr.video._motion_vectors import _turn
    from helpers.motion_clips import vector_row, vectors_from

    vectors = vectors_from([vector_row(-1, (8, 0, 16, 8), (2.0, -1.0))])
    mirrored = _turn(vectors, Orientation(False, True, False), 24, 32)
    # Columns 8..24 of 32 become 8..24, the motion changes its sign in x.
    assert mirrored[["dst_x", "dst_y", "w", "h", "motion_x", "motion_y"]].tolist() == [(16, 4, 16, 8, -8, -4)]
    turned = _turn(vectors, Orientation(True, False, True), 32, 24)
    # Transposed: rows 8..24 and columns 0..8; then flipped rows: 8..24 of 32.
    assert turned[["dst_x", "dst_y", "w", "h", "motion_x", "motion_y"]].tolist() == [(4, 16, 8, 16, -4, -8)]


def test_lines_beyond_the_picture_are_clipped(tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "hd.mp4", translation(2, (2, 0), size=(1920, 1080)), b_frames=0)
    frame = next(motion_vectors(clip, start=1))
    assert frame.shape == (1080, 1920)
    bottoms = frame.vectors["dst_y"] + frame.vectors["h"] // 2
    assert bottoms.max() > 1080
    fields = block_fields(frame.vectors, frame.shape)
    assert fields.has0.shape == (135, 240)
    assert fields.has0.mean() > 0.9


def test_a_stretch_and_what_a_frame_says(sliced: Path) -> None:
    found = list(motion_vectors(sliced, start=3, stop=6))
    assert [frame.frame_index for frame in found] == [3, 4, 5]
    assert repr(found[0]).startswith("FrameVectors(3, ")
    assert found[0].vectors.dtype == MOTION_VECTOR_DTYPE
    assert not found[0].is_suspect
    first = next(motion_vectors(sliced))
    assert (first.picture_type, first.is_iframe, len(first.vectors)) == (b"I", True, 0)


def test_what_has_no_vectors_is_refused(data_dir: Path, tmp_path: Path) -> None:
    for name, codec in (
        ("codec/bear_vp9.webm", "vp9"),
        ("codec/girlshy_hevc.h265", "hevc"),
        ("codec/bear_av1.mp4", "av1"),
        ("research/traffic_mjpeg.avi", "mjpeg"),
    ):
        with pytest.raises(
            VideoError, match=f"exports no motion vectors for {codec}; make some with the proxy"
        ) as raised:
            next(motion_vectors(data_dir / name))
        assert raised.value.problem.code == ProblemCode.E_CODEC
    (tmp_path / "images").mkdir()
    Image.new("RGB", (8, 8)).save(tmp_path / "images" / "0.png")
    with pytest.raises(VideoError, match="images have no motion vectors"):
        next(motion_vectors(tmp_path / "images"))
    with open_video(tmp_path / "images") as video:
        assert [(frame.decode_index, frame.orientation.rotation) for frame in video] == [(-1, 0)]


def test_bad_arguments_are_refused(sliced: Path) -> None:
    with pytest.raises(ValueError, match="start and stop must be 0 or more, got -1 and None"):
        motion_vectors(sliced, start=-1)
    with pytest.raises(ValueError, match=r"vectors must be \(K,\) of MOTION_VECTOR_DTYPE"):
        FrameVectors(0, 0, 0, b"P", False, False, (8, 8), np.zeros(3))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("codec", "suffix", "scale"),
    [
        ("mpeg1video", ".mpg", 2),
        ("mpeg2video", ".ts", 2),
        ("mpeg4", ".mp4", 2),
        ("h263p", ".avi", 2),
        ("flv", ".flv", 2),
    ],
)
def test_older_codecs_export_vectors_too(tmp_path: Path, codec: str, suffix: str, scale: int) -> None:
    clip = write_clip(
        tmp_path / f"clip{suffix}", translation(6, (4, 2), size=(176, 144)), codec=codec, b_frames=0
    )
    found = [frame for frame in motion_vectors(clip) if len(frame.vectors)]
    assert len(found) >= 4
    vectors = found[-1].vectors
    assert (vectors["motion_scale"] == scale).all()
    assert np.median(vectors["motion_x"] / scale) == 4
    assert np.median(vectors["motion_y"] / scale) == 2


def test_inspect_says_what_vectors_a_file_offers(data_dir: Path, tmp_path: Path) -> None:
    info = inspect_video(data_dir / "mv" / "bbb_h264_b.264")
    assert info.has_motion_vectors
    assert info.motion_vector_frame_count == 334  # of 337, 3 are I
    assert info.motion_vector_lists == (0, 1)
    assert info.b_run_max == 3
    assert info.intra_share == pytest.approx(0.0105, abs=0.001)
    assert info.to_dict()["motion_vector_lists"] == [0, 1]
    clip = write_clip(tmp_path / "p.mp4", translation(6, (4, 2)), b_frames=0)
    info = inspect_video(clip)
    assert (info.motion_vector_lists, info.b_run_max, info.motion_vector_frame_count) == ((0,), 0, 5)
    info = inspect_video(data_dir / "codec" / "bear_vp9.webm")
    assert (info.has_motion_vectors, info.motion_vector_lists, info.intra_share) == (False, (), None)

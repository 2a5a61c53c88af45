"""Grey and colour of decoded frames: range, depth, matrices, packed and palette formats."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np
import pytest
import xxhash

from evfr.video._luma import grey, grey_of_rgb, is_full_range, luma_hash, raw_luma, rgb_of
from helpers.clips import moving_square, write_clip

COLOURS = np.array(
    [(255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255), (0, 0, 0), (200, 120, 40)], np.uint8
)


def frame_of(planes: list[np.ndarray], pixel_format: str, width: int, height: int) -> av.VideoFrame:
    frame = av.VideoFrame(width, height, pixel_format)
    for plane, samples in zip(frame.planes, planes, strict=False):
        rows = np.frombuffer(memoryview(plane), np.uint8).reshape(-1, abs(plane.line_size))
        data = np.ascontiguousarray(samples).view(np.uint8).reshape(samples.shape[0], -1)
        rows.setflags(write=True) if not rows.flags.writeable else None
        rows[: data.shape[0], : data.shape[1]] = data
    return frame


def ramp(bits: int, width: int = 70) -> np.ndarray:
    values = np.linspace(0, (1 << bits) - 1, width * 4).round().astype(np.uint16).reshape(4, width)
    return values.astype(np.uint8) if bits == 8 else values


@pytest.mark.parametrize(
    ("pixel_format", "bits"), [("yuv420p", 8), ("yuv422p10le", 10), ("yuv444p12le", 12), ("gray10le", 10)]
)
@pytest.mark.parametrize("is_full", [True, False])
def test_grey_is_the_luma_plane_at_full_range(pixel_format: str, bits: int, is_full: bool) -> None:
    """By hand: full is v * 255 / (2^b - 1), limited (v - 16 s) * 255 / (219 s) with s = 2^(b - 8); rounded, clipped."""
    samples = ramp(bits)
    frame = frame_of([samples], pixel_format, 70, 4)
    frame.color_range = 2 if is_full else 1
    scale = 1 << (bits - 8)
    exact = samples / ((1 << bits) - 1) * 255 if is_full else (samples - 16.0 * scale) * 255 / (219 * scale)
    np.testing.assert_array_equal(grey(frame), np.floor(np.clip(exact, 0, 255) + 0.5).astype(np.uint8))
    assert is_full_range(frame) is is_full


def test_grey_of_full_range_8_bit_is_a_view() -> None:
    frame = frame_of([ramp(8)], "yuvj420p", 70, 4)
    picture = grey(frame)
    assert not picture.flags.owndata
    assert not picture.flags.writeable
    np.testing.assert_array_equal(picture, ramp(8))


def test_unspecified_range_is_limited_for_yuv_and_full_for_grey() -> None:
    assert not is_full_range(av.VideoFrame(16, 16, "yuv420p"))
    assert is_full_range(av.VideoFrame(16, 16, "gray"))


def test_semi_planar_and_packed_formats_have_the_same_luma() -> None:
    picture = moving_square(1, size=(64, 32))[0]
    source = av.VideoFrame.from_ndarray(picture, format="rgb24").reformat(format="yuv422p")
    expected = raw_luma(source)
    for name in ("nv12", "yuyv422", "uyvy422", "yuva420p", "nv16"):
        np.testing.assert_array_equal(raw_luma(source.reformat(format=name)), expected, err_msg=name)
    deep = source.reformat(format="yuv422p10le")
    np.testing.assert_array_equal(raw_luma(source.reformat(format="p010le")), raw_luma(deep))
    np.testing.assert_array_equal(raw_luma(source.reformat(format="yuv422p10be")), raw_luma(deep))


@pytest.mark.parametrize("name", ["rgb24", "bgr24", "rgba", "gbrp", "bgr0", "gbrap"])
def test_rgb_formats_have_bt601_luma(name: str) -> None:
    picture = moving_square(1, size=(64, 32))[0]
    frame = av.VideoFrame.from_ndarray(picture, format="rgb24").reformat(format=name)
    assert raw_luma(frame) is None
    np.testing.assert_array_equal(rgb_of(frame), picture)
    exact = picture.astype(float) @ (0.299, 0.587, 0.114)
    assert np.abs(grey(frame) - exact).max() <= 0.51
    np.testing.assert_array_equal(grey(frame), grey_of_rgb(picture))


def test_hash_is_of_the_rows_as_decoded() -> None:
    """Oracle: the xxhash package on the visible samples."""
    samples = ramp(8)
    limited = frame_of([samples], "yuv420p", 70, 4)
    assert luma_hash(limited) == xxhash.xxh64(samples.tobytes()).intdigest()
    deep = frame_of([ramp(10)], "yuv420p10le", 70, 4)
    assert luma_hash(deep) == xxhash.xxh64(ramp(10).astype("<u2").tobytes()).intdigest()


@pytest.mark.parametrize("is_full", [False, True])
@pytest.mark.parametrize(("matrix", "height"), [(1, 64), (5, 64), (1, 720), (None, 64), (None, 720)])
def test_rgb_undoes_the_matrix_the_stream_names(matrix: int | None, height: int, is_full: bool) -> None:
    """By hand: BT.601 and BT.709 luma weights; a stream that names none is BT.709 from 720 lines on."""
    used = matrix if matrix is not None else (1 if height >= 720 else 5)
    kr, kb = (0.2126, 0.0722) if used == 1 else (0.299, 0.114)
    rgb = COLOURS / 255.0
    y = kr * rgb[:, 0] + (1 - kr - kb) * rgb[:, 1] + kb * rgb[:, 2]
    cb, cr = (rgb[:, 2] - y) / (2 * (1 - kb)), (rgb[:, 0] - y) / (2 * (1 - kr))
    scale = [(255, 0), (255, 128), (255, 128)] if is_full else [(219, 16), (224, 128), (224, 128)]
    planes = [
        np.broadcast_to(np.repeat(np.clip(np.round(v * s + o), 0, 255), 16).astype(np.uint8), (height, 96))
        for v, (s, o) in zip((y, cb, cr), scale, strict=True)
    ]
    frame = frame_of(planes, "yuv444p", 96, height)
    frame.color_range = 2 if is_full else 1
    frame.colorspace = 2 if matrix is None else matrix
    picture = rgb_of(frame)
    assert picture.shape == (height, 96, 3)
    assert np.abs(picture[height // 2, 8::16].astype(int) - COLOURS).max() <= 2


def test_grey_video_has_equal_channels(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "g.mkv", moving_square(2), codec="ffv1", pixel_format="gray", b_frames=0)
    with av.open(str(path)) as container:
        for frame in container.decode(video=0):
            np.testing.assert_array_equal(rgb_of(frame), np.repeat(grey(frame)[:, :, None], 3, axis=2))


def test_pictures_in_use_are_not_written_again() -> None:
    frame = frame_of([ramp(8)], "yuv420p", 70, 4)
    first = grey(frame)
    kept = [grey(frame) for _ in range(6)]
    assert len({first.ctypes.data, *(p.ctypes.data for p in kept)}) == 7
    view, address = first[1:], first.ctypes.data
    del first
    assert grey(frame).ctypes.data != address
    del view, kept
    grey(frame)

"""File names of frames, and writing them."""

from __future__ import annotations

import string
from fractions import Fraction
from typing import TYPE_CHECKING

import cv2
import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from evfr._core.types import PTS_NONE
from evfr.errors import InputError
from evfr.video import Frame, frame_file_name, parse_frame_file_name, write_frame

if TYPE_CHECKING:
    from pathlib import Path

SAFE = set(string.ascii_letters + string.digits + "._-+=~")
ODD_IDS = (
    "a/b.mp4",
    "a+b.mp4",
    "new\nline.mp4",
    "quote\"'.mp4",
    "<script>alert(1)</script>.mp4",
    "%04d.mp4",
    "[/x].mp4",
    "-rf",
    "..",
    ".hidden",
    "ümläut/日本.mp4",
    "\udcff.mp4",
    "a_f000001_p2.jpg",
    "a=~0123456789abcdef",
    "x" * 300,
    "日" * 200,
    " ",
    "\\x0a",
)


def frame_of(image: np.ndarray) -> Frame:
    return Frame(7, 70, Fraction(1, 90), 0.5, image)


def names_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@given(st.text(min_size=1), st.integers(0, 10**7), st.one_of(st.just(PTS_NONE), st.integers(-(2**62), 2**62)))
@example("a_f000001_p2.jpg", 3, -4)
@example("\udcff", 0, PTS_NONE)
def test_names_are_safe_and_read_back(video_id: str, index: int, pts: int) -> None:
    name = frame_file_name(video_id, index, pts)
    assert set(name) <= SAFE
    assert len(name) <= 255
    assert name[0] not in "-."
    back = parse_frame_file_name(name)
    assert (back.frame_index, back.pts) == (index, pts)
    assert back.video_id in (video_id, None)
    if back.video_id is None:
        assert len(video_id.encode("utf-8", "surrogatepass")) > 50


def test_odd_ids_have_names_of_their_own(tmp_path: Path) -> None:
    names = {frame_file_name(video_id, 1, 2, "png") for video_id in ODD_IDS}
    assert len(names) == len(ODD_IDS)
    for name in names:
        (tmp_path / name).touch()
    assert set(names_in(tmp_path)) == names


def test_long_ids_that_differ_at_the_end_differ() -> None:
    first, second = frame_file_name("x" * 300 + "a", 1, 2), frame_file_name("x" * 300 + "b", 1, 2)
    assert first != second
    assert parse_frame_file_name(first).video_id is None


def test_names_sort_in_frame_order() -> None:
    names = [frame_file_name("a.mp4", index, 1000 - index) for index in range(0, 2000, 7)]
    assert names == sorted(names)


def test_wrong_names() -> None:
    with pytest.raises(ValueError, match="suffix must be one of jpg, jpeg, png, got 'gif'"):
        frame_file_name("a", 1, 2, "gif")
    with pytest.raises(ValueError, match="video_id must not be empty"):
        frame_file_name("", 1, 2)
    with pytest.raises(ValueError, match="frame_index must be 0 or more, got -1"):
        frame_file_name("a", -1, 2)
    with pytest.raises(ValueError, match="is no frame's file name"):
        parse_frame_file_name("photo.jpg")


def test_png_keeps_every_pixel_and_jpeg_the_colours(tmp_path: Path) -> None:
    image = np.random.default_rng(0).integers(0, 256, (33, 47, 3), dtype=np.uint8)
    write_frame(frame_of(image), tmp_path / "a.png")
    np.testing.assert_array_equal(cv2.imread(str(tmp_path / "a.png"))[:, :, ::-1], image)
    flat = np.full((32, 48, 3), (200, 30, 60), np.uint8)
    write_frame(frame_of(flat), tmp_path / "a.jpg")
    back = cv2.imread(str(tmp_path / "a.jpg"))[:, :, ::-1].astype(int)
    assert np.abs(back - (200, 30, 60)).max() <= 3


def test_same_frame_same_bytes_and_quality_counts(tmp_path: Path) -> None:
    image = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    for name, quality in (("a.jpg", 95), ("b.jpg", 95), ("c.jpeg", 40)):
        write_frame(frame_of(image), tmp_path / name, quality=quality)
    assert (tmp_path / "a.jpg").read_bytes() == (tmp_path / "b.jpg").read_bytes()
    assert (tmp_path / "c.jpeg").stat().st_size < (tmp_path / "a.jpg").stat().st_size / 2
    assert names_in(tmp_path) == ["a.jpg", "b.jpg", "c.jpeg"]


def test_a_failed_write_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    frame = frame_of(np.zeros((4, 4, 3), np.uint8))
    write_frame(frame, tmp_path / "a.png")
    before = (tmp_path / "a.png").read_bytes()

    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("pathlib.Path.replace", fail)
    with pytest.raises(OSError, match="No space left"):
        write_frame(frame_of(np.ones((9, 9, 3), np.uint8)), tmp_path / "a.png")
    assert names_in(tmp_path) == ["a.png"]
    assert (tmp_path / "a.png").read_bytes() == before


def test_wrong_arguments(tmp_path: Path) -> None:
    frame = frame_of(np.zeros((4, 4, 3), np.uint8))
    with pytest.raises(ValueError, match=r"path must end in \.jpg, \.jpeg or \.png, got 'a\.tif'"):
        write_frame(frame, tmp_path / "a.tif")
    with pytest.raises(ValueError, match=r"quality must be in 1\.\.100, got 0"):
        write_frame(frame, tmp_path / "a.jpg", quality=0)
    wide = frame_of(np.zeros((1, 70000, 3), np.uint8))
    with pytest.raises(InputError, match=r"frame 7, 70000x1, cannot be encoded as \.jpg; try PNG"):
        write_frame(wide, tmp_path / "a.jpg")
    assert names_in(tmp_path) == []

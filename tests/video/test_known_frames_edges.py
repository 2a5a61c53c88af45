"""Tables made from packets alone: frames that are known come back exactly, and what has changed is refused."""

from __future__ import annotations

import numpy as np
import pytest

from evfr._core.types import PTS_NONE
from evfr.errors import ExtractionError
from evfr.video import extract_frames, known_frames_table, open_video, scan
from fuzz import seeds
from helpers.clips import moving_square, write_clip

KNOWN = np.array([1, 4, 6], np.int64)


def known(table, indices=KNOWN):
    return {"frame_indices": indices, "pts": table.pts[indices], "luma_hash": table.luma_hash[indices]}


@pytest.fixture(params=["mp4", "mov", "mkv", "ts", "h264", "zip"])
def video(request, tmp_path):
    path = tmp_path / f"a.{request.param}"
    path.write_bytes(seeds.clip(tmp_path, request.param))
    return path


def test_known_frames_come_back_as_in_a_pass(video):
    table = scan(video)[0]
    indices = KNOWN if len(table) > 6 else np.array([0, 2], np.int64)
    made = known_frames_table(video, **known(table, indices))
    assert len(made) == len(table)
    np.testing.assert_array_equal(made.pts, table.pts)
    np.testing.assert_array_equal(made.luma_hash[indices], table.luma_hash[indices])
    with open_video(video) as reader:
        pixels = {frame.frame_index: frame.rgb().copy() for frame in reader}
    found = list(extract_frames(video, indices.tolist(), made))
    assert [frame.frame_index for frame in found] == indices.tolist()
    for frame in found:
        np.testing.assert_array_equal(frame.image, pixels[frame.frame_index])


def test_no_packet_is_decoded_where_time_stamps_place_every_frame(tmp_path):
    path = write_clip(tmp_path / "a.mp4", moving_square(9), gop=4)
    table = scan(path)[0]
    made = known_frames_table(path, **known(table))
    unknown = np.setdiff1d(np.arange(len(table)), KNOWN)
    assert not made.luma_hash[unknown].any()
    np.testing.assert_array_equal(made.is_iframe, table.is_iframe)
    assert made.time_base == table.time_base
    assert made.time_seconds == pytest.approx(table.time_seconds)
    assert not made.is_time_estimated
    assert (made.width, made.height) == (96, 64)


def test_stamps_that_do_not_fit_cost_a_pass_and_are_told_at_extraction(tmp_path):
    path = write_clip(tmp_path / "a.mp4", moving_square(9), gop=4)
    table = scan(path)[0]
    wrong = {**known(table), "pts": table.pts[KNOWN] + 1}
    made = known_frames_table(path, **wrong)
    assert made.luma_hash.all(), "the clip was decoded"
    assert made.pts[KNOWN].tolist() == wrong["pts"].tolist(), "what is known has the last word"
    with pytest.raises(ExtractionError, match="frame 1 has another time stamp"):
        list(extract_frames(path, [1], made))


def test_other_pixels_are_told_at_extraction(tmp_path):
    path = write_clip(tmp_path / "a.mp4", moving_square(9), gop=4)
    table = scan(path)[0]
    made = known_frames_table(path, **{**known(table), "luma_hash": table.luma_hash[KNOWN] ^ np.uint64(1)})
    with pytest.raises(
        ExtractionError, match=r"frame 4 .*other pixels than its row says; the file has changed"
    ):
        list(extract_frames(path, [4], made))


@pytest.mark.parametrize("kind", ["mp4", "zip"])
def test_frames_beyond_the_end_are_refused(tmp_path, kind):
    path = tmp_path / f"a.{kind}"
    path.write_bytes(seeds.clip(tmp_path, kind))
    table = scan(path)[0]
    beyond = np.array([len(table)], np.int64)
    with pytest.raises(
        ExtractionError, match=rf"frame {len(table)} is not there, the video has {len(table)}"
    ):
        known_frames_table(path, beyond, np.array([PTS_NONE]), np.array([1], np.uint64))


def test_a_table_that_is_there_is_taken(tmp_path):
    path = write_clip(tmp_path / "a.mp4", moving_square(9), gop=4)
    table = scan(path)[0]
    path.unlink()
    made = known_frames_table(path, KNOWN, table.pts[KNOWN], np.array([1, 2, 3], np.uint64), table=table)
    assert made.luma_hash[KNOWN].tolist() == [1, 2, 3]
    assert table.luma_hash[KNOWN].tolist() != [1, 2, 3], "the table given stays as it was"
    np.testing.assert_array_equal(np.delete(made.luma_hash, KNOWN), np.delete(table.luma_hash, KNOWN))


def test_nothing_known(tmp_path):
    path = write_clip(tmp_path / "a.mp4", moving_square(3))
    none = np.zeros(0, np.int64)
    made = known_frames_table(path, none, none, np.zeros(0, np.uint64))
    assert len(made) == 3
    assert not made.luma_hash.any()

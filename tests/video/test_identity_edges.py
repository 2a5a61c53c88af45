"""Tables, times and plans by definition: which frame is which, and where decoding starts."""

from __future__ import annotations

from fractions import Fraction
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evfr._core.masks import Rle
from evfr._core.types import PTS_NONE, FrameTable
from evfr.annotations._bind import _scaled, bind
from evfr.errors import AnnotationError
from evfr.video._plan import _droppable, group, key_frames, plan_images, plan_segments, unique_pts
from evfr.video._table import TableBuilder, frame_times
from helpers.labels import squares

BASE, RATE = Fraction(1, 100), Fraction(25)


def test_a_table_keeps_what_was_added_in_order():
    builder = TableBuilder()
    builder.add(0, b"I", True, False, 2**64 - 1)
    builder.add_undecoded(4)
    builder.add(8, b"B", False, True, 7)
    table = builder.build(BASE, RATE, 5, 3)
    assert len(builder) == len(table) == 3
    assert table.pts.tolist() == [0, 4, 8]
    assert table.luma_hash.tolist() == [2**64 - 1, 0, 7]
    assert table.picture_type.tolist() == [b"I", b"?", b"B"]
    assert table.is_iframe.tolist() == [True, False, False]
    assert table.is_suspect.tolist() == [False, True, True]
    assert table.is_decoded.tolist() == [True, False, True]
    assert table.time_seconds.tolist() == [0, 0.04, 0.08]
    assert (table.width, table.height, table.is_time_estimated, table.time_base) == (5, 3, False, BASE)
    assert len(TableBuilder().build(BASE, RATE, 5, 3)) == 0


def times(*pts: int | None) -> tuple[list[float], bool]:
    stamps = np.array([PTS_NONE if p is None else p for p in pts], np.int64)
    found, is_estimated = frame_times(stamps, BASE, RATE)
    return found.tolist(), is_estimated


def test_times_by_stamps_by_neighbours_and_by_rate():
    assert times(50, 54, 60) == ([0, 0.04, 0.1], False)
    assert times() == ([], False)
    assert times(7) == ([0], False)
    assert times(None) == ([0], True)
    assert times(None, None, None) == ([0, 0.04, 0.08], True)
    # Nine of ten are enough, eight of nine are not.
    some = [0, 4, 8, 12, None, 30, 34, 38, 42, 46]
    found, is_estimated = times(*some)
    assert (found[3:6], is_estimated) == ([0.12, pytest.approx(0.21), 0.3], False)
    assert times(*some[:-1]) == ([k / 25 for k in range(9)], True)
    # At the ends the rate goes on: 4 hundredths a frame.
    found, is_estimated = times(None, *range(6, 60, 6))
    assert (found[:3], is_estimated) == (pytest.approx([0, 0.04, 0.10]), False)
    found, is_estimated = times(*range(0, 54, 6), None)
    assert (found[-2:], is_estimated) == (pytest.approx([0.48, 0.52]), False)
    found, is_estimated = times(*range(0, 108, 6), None, None)
    assert found[-3:] == pytest.approx([1.02, 1.06, 1.10])
    assert times(0, None) == ([0, 0.04], True), "one stamp of two is too few"


def table_of(
    types: str, *, pts: list[int] | None = None, keys: str = "I", size: tuple[int, int] = (64, 48), **changes
):
    n = len(types)
    columns = {
        "pts": np.arange(n, dtype=np.int64) if pts is None else np.array(pts, np.int64),
        "time_base": BASE,
        "time_seconds": np.arange(n) / 25,
        "picture_type": np.array([t.encode() for t in types], "S1"),
        "is_iframe": np.array([t in keys for t in types], np.bool_),
        "luma_hash": np.arange(1, n + 1, dtype=np.uint64),
        "is_suspect": np.zeros(n, np.bool_),
        "is_decoded": np.ones(n, np.bool_),
        "is_time_estimated": False,
        "width": size[0],
        "height": size[1],
    }
    return FrameTable(**{**columns, **changes})


def test_where_decoding_may_start():
    assert key_frames(table_of("IPPIBP")).tolist() == [0, 3]
    assert key_frames(table_of("PPPP", keys="P")).tolist() == [], (
        "intra refresh builds up over several frames"
    )
    assert key_frames(table_of("?P?P", keys="?")).tolist() == [0, 2]
    assert key_frames(table_of("IIII", is_suspect=np.array([0, 1, 0, 0], bool))).tolist() == [0, 2, 3]
    assert key_frames(table_of("IIII", is_decoded=np.array([1, 1, 0, 1], bool))).tolist() == [0, 1, 3]


def test_whether_a_stamp_names_one_frame():
    assert unique_pts(table_of("IPP"))
    assert not unique_pts(table_of("IPP", pts=[0, 1, 1]))
    assert not unique_pts(table_of("IPP", pts=[0, PTS_NONE, 1]))
    gone = np.array([1, 0, 1], bool)
    assert unique_pts(table_of("IPP", pts=[0, 0, 1], is_decoded=gone)), "what did not decode has no say"


def test_pictures_that_are_probably_no_reference():
    assert np.flatnonzero(_droppable(table_of("IBBBPBPBB"))).tolist() == [1, 3, 5, 7]
    assert not _droppable(table_of("IPPP")).any()
    assert np.flatnonzero(_droppable(table_of("BBBP"))).tolist() == [0, 2], "a run from the first picture on"


@settings(max_examples=25, deadline=None)
@given(st.data())
def test_groups_hold_every_wanted_frame_behind_its_key_frame(data):
    n = data.draw(st.integers(1, 120))
    types = "".join("I" if k == 0 or (data.draw(st.booleans()) and k % 7 == 0) else "P" for k in range(n))
    table = table_of(types, size=(640, 480))
    wanted = tuple(sorted(data.draw(st.sets(st.integers(0, n - 1), min_size=1))))
    keys = key_frames(table)
    segments = group(wanted, keys, table)
    assert tuple(i for segment in segments for i in segment.wanted) == wanted
    for segment in segments:
        last = keys[keys <= segment.wanted[0]]
        assert segment.start == (-1 if not len(last) or last[-1] == 0 else last[-1])
    for before, after in pairwise(segments):
        assert after.start - before.wanted[-1] > 1, "a start that would save nothing is none"


def test_a_first_key_frame_that_is_not_the_first_frame_starts_a_group():
    table = table_of("PPPIPP")
    assert [(s.start, s.wanted) for s in group((5,), key_frames(table), table)] == [(3, (5,))]
    assert [(s.start, s.wanted) for s in group((1,), key_frames(table), table)] == [(-1, (1,))]


def test_plans_count_what_they_decode():
    types = "I" + "P" * 99 + "I" + "P" * 99
    table = table_of(types)
    found = plan_segments((0, 150), table, can_skip=False, plan="auto")
    assert (found.strategy, found.seeks, found.frames_to_decode) == ("seek", 1, 52)
    assert [(s.start, s.wanted) for s in found.segments] == [(-1, (0,)), (100, (150,))]
    assert 0 < found.relative_cost < 0.9
    whole = plan_segments((0, 150), table, can_skip=False, plan="sequential")
    assert (whole.strategy, whole.frames_to_decode, whole.relative_cost) == ("sequential", 151, 1.0)
    assert whole.reason == "a sequential pass was asked for"
    assert whole.segments[0].start == -1
    every = plan_segments(tuple(range(5)), table, can_skip=False, plan="auto")
    assert (every.strategy, every.reason) == ("sequential", "every frame is wanted")
    assert plan_segments(tuple(range(5)), table, can_skip=False, plan="seek").strategy == "seek"
    near = plan_segments((0, 99), table, can_skip=False, plan="auto")
    assert near.strategy == "sequential"
    assert "decoding less would save no time" in near.reason
    nothing = plan_segments((), table, can_skip=False, plan="auto")
    assert (nothing.wanted_count, nothing.relative_cost, nothing.segments) == (0, 0.0, ())


def test_plans_leave_out_pictures_only_where_stamps_tell_them():
    types = "I" + "BBBP" * 25
    table = table_of(types)
    assert plan_segments((100,), table, can_skip=True, plan="seek").frames_to_decode == 101 - 50
    assert plan_segments((97, 100), table, can_skip=True, plan="seek").frames_to_decode == 101 - 49
    assert plan_segments((100,), table, can_skip=False, plan="seek").frames_to_decode == 101
    same = table_of(types, pts=[0] * 101)
    assert plan_segments((100,), same, can_skip=True, plan="seek").frames_to_decode == 101


def test_plans_of_images():
    plan = plan_images((0, 3, 9))
    assert (plan.strategy, plan.wanted_count, plan.frames_to_decode, plan.seeks) == ("images", 3, 3, 0)
    assert plan.relative_cost == pytest.approx(0.3)
    assert plan_images(()).relative_cost == 0.0
    assert (
        repr(plan)
        == "ExtractionPlan(images: 3 wanted, 3 to decode, 0 seeks, cost 0.30; every image stands alone)"
    )


# -- labels on frames --------------------------------------------------------------------------------


@pytest.mark.parametrize(("width", "height"), [(8, 6), (16, 12), (4, 3), (5, 12), (1, 1), (23, 7)])
def test_masks_are_scaled_by_pixel_centres(width, height):
    mask = np.random.default_rng(width).random((6, 8)) < 0.5
    found = _scaled(Rle.from_mask(mask), width, height).to_mask()
    expected = [
        [mask[int((y + 0.5) * 6 / height), int((x + 0.5) * 8 / width)] for x in range(width)]
        for y in range(height)
    ]
    np.testing.assert_array_equal(found, expected)


def test_labels_of_frames_beyond_the_video_are_refused():
    labels = squares(4)
    bound = bind(labels, table_of("IPPP", size=(16, 12)))
    assert bound.videos[0].frame_index.tolist() == [0, 1, 2, 3]
    with pytest.raises(
        AnnotationError, match=r"1 labelled frames do not exist in the video, which has frames 0 to 2"
    ):
        bind(labels, table_of("IPP", size=(16, 12)))
    with pytest.raises(
        AnnotationError, match="the labels were made at 16x12 pixels, and the video has 17x12; give"
    ):
        bind(labels, table_of("IPPP", size=(17, 12)))
    with pytest.raises(AnnotationError, match="times 2 about 32x24, and the video has 33x24"):
        bind(labels, table_of("IPPP", size=(33, 24)), scale=2)
    for scale in (0, -1.0, float("inf"), float("nan")):
        with pytest.raises(ValueError, match="scale must be positive and finite"):
            bind(labels, table_of("IPPP", size=(16, 12)), scale=scale)
    larger = bind(labels, table_of("IPPP", size=(32, 24)), scale=2)
    assert (larger.videos[0].width, larger.videos[0].height) == (32, 24)
    np.testing.assert_array_equal(larger.boxes_xyxy, labels.boxes_xyxy * 2)

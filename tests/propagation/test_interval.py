"""What a propagator takes and gives: every check, reach, and how a result is put together."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evfr._core.annotations import FrameLabels
from evfr._core.masks import Rle
from evfr.propagation import Carried, CarryEnd, Evidence, Interval, assemble, label_of, label_rows

SIZE = (12, 16)


def square(y: int, x: int, side: int = 3) -> Rle:
    mask = np.zeros(SIZE, np.bool_)
    mask[y : y + side, x : x + side] = True
    return Rle.from_mask(mask)


def labels(at, tracks, masks=None, boxes=None, categories=None):
    n = len(tracks)
    return FrameLabels(
        frame_index=at,
        track_ids=np.array(tracks, np.int64),
        category_ids=np.array(categories or [1] * n, np.int64),
        boxes_xyxy=np.full((n, 4), np.nan) if boxes is None else np.array(boxes, np.float64),
        masks=tuple(masks) if masks is not None else tuple(square(2, 2 + k) for k in range(n)),
    )


def interval(count=5, first=10, **options):
    options.setdefault("left", labels(first, [7]))
    return Interval(np.zeros((count, *SIZE, 3), np.uint8), np.arange(first, first + count), **options)


def test_what_it_says():
    made = interval(right=labels(14, [3, 7]), cuts=(2,))
    assert len(made) == 5
    assert (made.height, made.width) == SIZE
    assert made.track_ids.tolist() == [3, 7]
    assert made.is_usable.all()
    assert repr(made) == "Interval(frames 10..14 (5), 16x12, 2 tracks, labels left and right, cuts (2,))"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"frames": []}, "an interval needs at least one frame"),
        (
            {"frames": np.zeros((5, 12, 16), np.uint8)},
            r"frames must be \(H, W, 3\) uint8, got \(12, 16\) uint8",
        ),
        ({"frame_index": np.arange(4)}, r"frame_index must be \(5,\), one for each frame, got \(4,\)"),
        ({"frame_index": np.array([10, 11, 11, 12, 13])}, "frame_index must increase strictly"),
        ({"is_usable": np.ones(3, bool)}, r"is_usable must be \(5,\), one for each frame, got \(3,\)"),
        ({"cuts": (3, 2)}, r"cuts must increase within 1\.\.4, got \(3, 2\)"),
        ({"cuts": (0,)}, r"cuts must increase within 1\.\.4, got \(0,\)"),
        ({"cuts": (5,)}, r"cuts must increase within 1\.\.4"),
        ({"left": None}, "no label: give left, right or both"),
        ({"left": labels(9, [7])}, "the left labels are of frame 9, but the interval has frame 10 there"),
        ({"right": labels(10, [7])}, "the right labels are of frame 10, but the interval has frame 14 there"),
        ({"left": labels(10, [-1])}, "object 0 at frame 10 has no track id; give each one"),
        (
            {"left": labels(10, [7, 7])},
            "track 7 at frame 10 is labelled twice; a track has one label a frame",
        ),
        (
            {"right": labels(14, [7], categories=[2])},
            "track 7 at frame 14 has category 2, but 1 at frame 10; a track keeps its category",
        ),
        (
            {"left": labels(10, [7], [Rle.empty(4, 4)])},
            "track 7 at frame 10: the mask is 4x4, the frame 16x12",
        ),
    ],
)
def test_wrong_intervals(options, message):
    with pytest.raises(ValueError, match=message):
        replace(interval(), **options)


def test_one_frame_takes_one_label():
    with pytest.raises(ValueError, match="an interval of one frame takes one label, got both"):
        interval(count=1, right=labels(10, [7]))
    assert interval(count=1).reach("left") == (range(1), "")


@pytest.mark.parametrize(
    ("options", "left", "right"),
    [
        ({}, (range(5), ""), (range(4, -1, -1), "")),
        ({"cuts": (2,)}, (range(2), "cut"), (range(4, 1, -1), "cut")),
        ({"cuts": (1, 4)}, (range(1), "cut"), (range(4, 3, -1), "cut")),
        ({"damaged": [2]}, (range(2), "damaged"), (range(4, 2, -1), "damaged")),
        ({"damaged": [0]}, (range(1), "damaged"), (range(4, 0, -1), "damaged")),
        ({"damaged": [4]}, (range(4), "damaged"), (range(4, 3, -1), "damaged")),
        ({"cuts": (1,), "damaged": [3]}, (range(1), "cut"), (range(4, 3, -1), "damaged")),
    ],
)
def test_reach(options, left, right):
    is_usable = np.ones(5, np.bool_)
    is_usable[options.pop("damaged", [])] = False
    made = interval(right=labels(14, [7]), is_usable=is_usable, **options)
    assert made.reach("left") == left
    assert made.reach("right") == right
    assert replace(made, right=None).reach("right") == (range(0), "")


@settings(max_examples=100, deadline=None)
@given(
    count=st.integers(2, 9),
    cuts=st.sets(st.integers(1, 8)),
    damaged=st.sets(st.integers(0, 8)),
)
def test_reach_is_the_same_backwards(count, cuts, damaged):
    is_usable = np.array([t not in damaged for t in range(count)])
    inside = tuple(sorted(c for c in cuts if c < count))
    made = interval(count, right=labels(9 + count, [7]), cuts=inside, is_usable=is_usable)
    mirrored = interval(
        count,
        right=labels(9 + count, [7]),
        cuts=tuple(sorted(count - c for c in inside)),
        is_usable=is_usable[::-1].copy(),
    )
    for one, other in (("left", "right"), ("right", "left")):
        places, reason = made.reach(one)
        assert [count - 1 - t for t in places] == list(mirrored.reach(other)[0])
        assert bool(reason) == bool(mirrored.reach(other)[1]) == (len(places) < count)
        assert all(is_usable[t] for t in places[1:])


def test_labels_by_track():
    made = interval(
        left=labels(10, [9, 4], [square(1, 1), None], [[np.nan] * 4, [1, 2, 5, 6]]), right=labels(14, [5])
    )
    assert made.track_ids.tolist() == [4, 5, 9]
    assert label_rows(made, "left").tolist() == [1, -1, 0]
    assert label_rows(made, "right").tolist() == [-1, 0, -1]
    mask, box = label_of(made, "left", 0)
    assert mask is None
    assert box.tolist() == [1, 2, 5, 6]
    mask, box = label_of(made, "left", 2)
    assert mask is made.left.masks[0]
    assert box.tolist() == [1, 1, 4, 4]
    assert label_of(made, "left", 1) is None
    assert label_rows(interval(), "right").tolist() == [-1]


def test_assembling_keeps_labels_and_stops_at_cuts():
    made = interval(left=labels(10, [7, 8]), right=labels(14, [7]), cuts=(3,))
    masks = [[square(t, t), square(0, 9)] for t in range(5)]
    carried = assemble(made, masks=masks, score=np.full((5, 2), 0.5))
    assert carried.masks[0] == made.left.masks
    assert carried.masks[0][0] is made.left.masks[0]
    assert carried.masks[4][0] is made.right.masks[0]
    # Track 8 is not labelled on the right: it is absent there, and beyond the cut.
    assert carried.masks[4][1] is None
    assert carried.masks[3][1] is None
    assert carried.masks[2][1] == square(0, 9)
    assert carried.boxes_xyxy[1, 0].tolist() == [1, 1, 4, 4]
    assert carried.is_present.tolist() == [[True, True]] * 3 + [[True, False]] * 2
    np.testing.assert_array_equal(carried.evidence.distance[:, 0], [0, 1, 2, 1, 0])
    np.testing.assert_array_equal(carried.evidence.distance[:, 1], [0, 1, 2, np.nan, np.nan])
    np.testing.assert_array_equal(carried.score[:, 0], [np.nan, 0.5, 0.5, 0.5, np.nan])
    assert carried.ends == (
        CarryEnd(7, 13, "left", "cut"),
        CarryEnd(7, 12, "right", "cut"),
        CarryEnd(8, 13, "left", "cut"),
    )
    assert repr(carried) == "Carried(5 frames, 2 tracks, 3 ends)"


def test_a_loss_comes_before_the_cut():
    made = interval(cuts=(4,))
    carried = assemble(made, ends=[CarryEnd(7, 12, "left", "lost")])
    assert carried.ends == (CarryEnd(7, 12, "left", "lost"),)


def test_an_empty_mask_is_absence():
    carried = assemble(interval(), masks=[[Rle.empty(*SIZE)]] * 5)
    assert carried.masks[1][0] is None
    assert not carried.is_present[1:].any()
    assert carried.is_present[0, 0]
    assert repr(carried.evidence) == "Evidence(5 frames, 1 tracks)"


def test_unknown_evidence():
    with pytest.raises(ValueError, match="evidence has no column 'luck'; the columns are residual, "):
        assemble(interval(), evidence={"luck": np.zeros((5, 1))})


def columns(**options):
    table = {
        name: np.zeros((2, 1)) for name in ("residual", "agreement", "area_jump", "shape_jump", "distance")
    }
    return Evidence(**(table | options))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"track_ids": np.array([7, 7])}, r"track_ids must ascend, got \[7, 7\]"),
        ({"category_ids": np.zeros(2, np.int64)}, r"category_ids must be \(1,\), got \(2,\)"),
        ({"masks": ((None,), ())}, "masks must have 1 entries for each frame"),
        ({"boxes_xyxy": np.zeros((2, 1, 3))}, r"boxes_xyxy must be \(2, 1, 4\), got \(2, 1, 3\)"),
        ({"score": np.zeros((1, 1))}, r"score must be \(2, 1\), got \(1, 1\)"),
        ({"ends": (CarryEnd(8, 0, "left", "lost"),)}, "an end names track 8, which was not carried"),
    ],
)
def test_wrong_results(options, message):
    made = Carried(
        np.array([7]),
        np.array([1]),
        ((None,), (None,)),
        np.full((2, 1, 4), np.nan),
        np.zeros((2, 1)),
        columns(),
    )
    with pytest.raises(ValueError, match=message):
        replace(made, **options)


def test_wrong_evidence_and_ends():
    with pytest.raises(ValueError, match=r"evidence.distance must be \(T, K\) = \(2, 1\), got \(3, 1\)"):
        columns(distance=np.zeros((3, 1)))
    with pytest.raises(ValueError, match="side must be one of left, right, got 'up'"):
        CarryEnd(1, 0, "up", "cut")
    with pytest.raises(
        ValueError, match="reason must be cut, lost, damaged or 'failed: <what>', got 'tired'"
    ):
        CarryEnd(1, 0, "left", "tired")
    assert CarryEnd(1, 0, "left", "failed: out of memory").reason == "failed: out of memory"

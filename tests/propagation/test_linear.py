"""Straight lines between boxes, by hand."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evfr._core.masks import Rle
from evfr.propagation import Interval
from evfr.propagation._linear import linear
from helpers.drawn_boxes import HEIGHT, WIDTH, interval, labels, reversed_interval, texture

FRAME = texture(0, HEIGHT, WIDTH)


def still(path, **options):
    """Label the ends of a clip without motion."""
    return interval({1: np.asarray(path, float)}, frames=[FRAME] * len(path), **options)


def test_by_hand():
    carried = linear(still([[0, 0, 10, 20]] + [[np.nan] * 4] * 3 + [[40, 8, 54, 36]]))
    expected = [[0, 0, 10, 20], [10, 2, 21, 24], [20, 4, 32, 28], [30, 6, 43, 32], [40, 8, 54, 36]]
    np.testing.assert_allclose(carried.boxes_xyxy[:, 0], expected)
    assert np.isnan(carried.score).all()
    assert carried.evidence.distance[:, 0].tolist() == [0, 1, 2, 1, 0]
    np.testing.assert_allclose(carried.evidence.area_jump[1:-1, 0], np.log([242 / 200, 288 / 242, 392 / 338]))
    assert np.isfinite(carried.evidence.residual[1:-1]).all()
    assert carried.ends == ()


def test_time_is_the_frame_index():
    ends = [labels(t, {1: box}) for t, box in ((0, [0.0, 0, 10, 10]), (10, [100.0, 0, 110, 10]))]
    carried = linear(Interval([FRAME] * 3, np.array([0, 1, 10]), *ends))
    np.testing.assert_allclose(carried.boxes_xyxy[1, 0], [10, 0, 20, 10])


@settings(max_examples=30, deadline=None)
@given(
    start=st.tuples(*[st.floats(-50, 200)] * 2),
    stop=st.tuples(*[st.floats(-50, 200)] * 2),
    sides=st.tuples(*[st.floats(0, 80)] * 4),
    count=st.integers(2, 7),
)
def test_ends_are_exact_and_backwards_is_the_same(start, stop, sides, count):
    left = [*start, start[0] + sides[0], start[1] + sides[1]]
    right = [*stop, stop[0] + sides[2], stop[1] + sides[3]]
    line = still([left] + [[np.nan] * 4] * (count - 2) + [right])
    carried = linear(line)
    assert carried.boxes_xyxy[0, 0].tolist() == left
    assert carried.boxes_xyxy[-1, 0].tolist() == right
    back = linear(reversed_interval(line))
    np.testing.assert_allclose(carried.boxes_xyxy, back.boxes_xyxy[::-1], atol=1e-9)


@pytest.mark.parametrize("side", ["left", "right"])
def test_one_label_is_held_still(side):
    carried = linear(still([[5, 6, 50, 60]] * 4, sides=[side]))
    assert carried.boxes_xyxy[:, 0].tolist() == [[5, 6, 50, 60]] * 4
    assert carried.ends == ()


@pytest.mark.parametrize(("count", "held", "end"), [(5, 3, 3), (6, 3, 3)])
def test_who_is_missing_at_the_other_end_leaves_half_way(count, held, end):
    path = np.full((count, 4), np.nan)
    path[0] = [5, 6, 50, 60]
    given_interval = still(path)
    carried = linear(given_interval)
    assert carried.is_present[:, 0].tolist() == [True] * held + [False] * (count - held)
    assert [(e.track_id, e.frame_index, e.side, e.reason) for e in carried.ends] == [(1, end, "left", "lost")]
    back = linear(reversed_interval(given_interval))
    assert back.is_present[::-1, 0].tolist() == carried.is_present[:, 0].tolist()


def test_cut_and_damage_hold_each_side():
    path = [[0, 0, 10, 10]] * 3 + [[60, 0, 80, 10]] * 3
    carried = linear(still(path, cuts=(3,)))
    assert carried.boxes_xyxy[:, 0].tolist() == path
    assert [(e.frame_index, e.side, e.reason) for e in carried.ends] == [
        (3, "left", "cut"),
        (2, "right", "cut"),
    ]
    damaged = linear(still(path, damaged=[2]))
    assert damaged.is_present[:, 0].tolist() == [True, True, False, True, True, True]
    assert {e.reason for e in damaged.ends} == {"damaged"}


def test_a_mask_gives_its_tight_box():
    mask = np.zeros((HEIGHT, WIDTH), bool)
    mask[10:20, 30:50] = True
    rle = Rle.from_mask(mask)
    ends = [labels(0, {1: [np.nan] * 4}, {1: rle}), labels(2, {1: [40.0, 10, 60, 20]})]
    carried = linear(Interval([FRAME] * 3, np.arange(3), *ends))
    np.testing.assert_allclose(carried.boxes_xyxy[1, 0], [35, 10, 55, 20])
    assert carried.masks == ((rle,), (None,), (None,))

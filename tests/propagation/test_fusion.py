"""Fusion and competition, by hand and by their rules."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evfr._core.masks import Rle
from evfr.propagation._fusion import SideView, compete, fuse
from evfr.propagation._measure import band_mean, patch_iou, trimmed
from evfr.propagation._patches import Patch, Window
from evfr.propagation._steps import Step
from evfr.propagation._warp import carry_side, compensated_error

SIZE = (64, 80)
NONE = np.zeros((2, 2), np.bool_)


def grey_frame(level):
    return np.full((*SIZE, 3), level, np.uint8)


def square(y, x, side=16):
    mask = np.zeros(SIZE, np.bool_)
    mask[y : y + side, x : x + side] = True
    return mask


def still(_):
    return Step(np.zeros((*SIZE, 2), np.float32), 1, *SIZE)


def view(frames, masks, *, side, silent=frozenset()):
    order = [0, 1, 2] if side == "left" else [2, 1, 0]
    chain = carry_side(frames, order, still, [None if m is None else Rle.from_mask(m) for m in masks])
    return SideView(side, chain, frames[order[0]][..., 0], 10 * order[0], None, silent)


def fused_share(levels, left, right, frame_index, *, is_by_residual=True, silent=frozenset()):
    frames = [grey_frame(level) for level in levels]
    sides = [view(frames, [left], side="left"), view(frames, [right], side="right", silent=silent)]
    return fuse(frames[1], frame_index, 1, sides, is_by_residual=is_by_residual)


@pytest.mark.parametrize("is_by_residual", [True, False])
def test_weights_by_hand(is_by_residual):
    """Left differs by 12 grey levels and is 5 frames away, right by 6 and is 15 away."""
    fused = fused_share([100, 112, 106], square(20, 20), None, 5, is_by_residual=is_by_residual)
    left = (np.exp(-12 / 6) if is_by_residual else 1) / 5
    right = (np.exp(-6 / 6) if is_by_residual else 1) / 15
    inside = fused.shares[0][28 - fused.window.y0, 28 - fused.window.x0]
    assert inside == pytest.approx(left / (left + right), abs=1e-5)
    expected = (left * 12 + right * 6) / (left + right)
    np.testing.assert_allclose(fused.residual, expected, atol=1e-3)


def test_a_silent_side_has_no_say():
    fused = fused_share([100, 160, 160], square(20, 20), None, 5, silent=frozenset({0}))
    assert fused.shares[0][28 - fused.window.y0, 28 - fused.window.x0] == 1.0


def test_no_object_no_window():
    assert fused_share([1, 2, 3], None, None, 5) is None


def test_the_error_is_that_of_the_compensated_frame():
    rng = np.random.default_rng(0)
    key = rng.integers(0, 255, SIZE).astype(np.uint8)
    frame = np.repeat(np.roll(key, 6, axis=1)[..., None], 3, axis=2)
    flow = np.zeros((32, 40, 2), np.float32)
    flow[..., 0] = -6
    assert compensated_error(frame, key, flow, Window(10, 51, 21, 70)).max() == 0
    assert compensated_error(frame, key, flow * 0, Window(10, 51, 21, 70)).mean() > 50


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 10**6), count=st.integers(1, 5))
def test_objects_that_compete_never_overlap(seed, count):
    rng = np.random.default_rng(seed)
    # Few values, so that ties are common.
    shares = [rng.integers(0, 4, (6, 7)).astype(np.float32) / 4 for _ in range(count)]
    rank = rng.permutation(count).tolist()
    won = compete(shares, rank, np.zeros((count, count), np.bool_))
    total = np.sum(shares, axis=0)
    for a, b in itertools.combinations(won, 2):
        assert not (a & b).any()
    for y, x in np.ndindex(6, 7):
        best = max(range(count), key=lambda k: (shares[k][y, x], -rank[k]))
        wins = shares[best][y, x] > 1 - total[y, x]
        assert [w[y, x] for w in won] == [k == best and wins for k in range(count)]
    order = rng.permutation(count).tolist()
    again = compete([shares[k] for k in order], [rank[k] for k in order], np.zeros((count, count), np.bool_))
    for place, k in enumerate(order):
        np.testing.assert_array_equal(again[place], won[k])


def test_pairs_that_overlapped_may_again():
    a = np.full((2, 2), 0.9, np.float32)
    b = np.full((2, 2), 0.8, np.float32)
    c = np.full((2, 2), 0.1, np.float32)
    exempt = np.zeros((3, 3), np.bool_)
    exempt[0, 1] = exempt[1, 0] = True
    won = compete([a, b, c], [0, 1, 2], exempt)
    assert won[0].all()
    assert won[1].all()
    assert not won[2].any()
    assert compete([None, None], [0, 1], NONE) == [None, None]
    assert compete([a, None], [0, 1], NONE)[1] is None


def test_patches():
    mask = square(5, 9, 4)
    patch = trimmed(mask, Window(0, 64, 0, 80))
    assert patch.window == Window(5, 9, 9, 13)
    assert trimmed(np.zeros(SIZE, np.bool_), Window(0, 64, 0, 80)) is None
    other = trimmed(square(5, 11, 4), Window(0, 64, 0, 80))
    assert patch_iou(patch, other) == pytest.approx(8 / 24)
    assert patch_iou(patch, None) == 0.0
    assert patch_iou(None, None) == 0.0
    far = Patch(Window(40, 41, 40, 41), np.ones((1, 1), np.uint8))
    assert patch_iou(patch, far) == 0.0
    assert patch.over(Window(30, 35, 30, 35), 7).min() == 7


def test_the_band_is_around_the_edge():
    """Error 9 within 8 px of the edge, 200 elsewhere: only the band counts."""
    fused = fused_share([100, 112, 106], square(10, 20, 40), None, 5)
    window = Window(10, 50, 20, 60)
    inner, outer = Window(18, 42, 28, 52), Window(2, 58, 12, 68)
    residual = np.full_like(fused.residual, 200)
    residual[outer.within(fused.window)] = 9
    residual[inner.within(fused.window)] = 200
    whole = type(fused)(fused.window, fused.shares, residual)
    assert band_mean(Patch(window, np.ones(window.shape, np.uint8)), whole) == pytest.approx(9)

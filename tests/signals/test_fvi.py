"""Weights, dynamicity and activity by hand-worked numbers and properties."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from evfr.signals import FviResult, activity, dynamicity, fvi

NAN = math.nan


def test_faithful_weights():
    result = fvi([2.0, 6.0, 8.0, 0.0], last="zero")
    np.testing.assert_array_equal(result.weights, [0.125, 0.375, 0.5, 0.0])
    assert (result.is_static, result.nan_count) == (False, 0)


def test_last_frame_repeats_by_default():
    np.testing.assert_array_equal(fvi([1.0, 3.0, 6.0, 0.0]).weights, np.array([1, 3, 6, 6]) / 16)
    # The last entry itself is never read.
    np.testing.assert_array_equal(fvi([1.0, 3.0, 6.0, 99.0]).weights, np.array([1, 3, 6, 6]) / 16)


def test_static_video_is_uniform():
    for last in ("repeat", "zero"):
        result = fvi(np.zeros(4), last=last)
        np.testing.assert_array_equal(result.weights, np.full(4, 0.25))
        assert result.is_static


def test_one_and_no_frames():
    np.testing.assert_array_equal(fvi([0.0]).weights, [1.0])
    assert fvi([]).weights.shape == (0,)


def test_nan_is_counted_and_weighs_nothing():
    result = fvi([NAN, 2.0, 6.0, 0.0], last="zero")
    np.testing.assert_array_equal(result.weights, [0.0, 0.25, 0.75, 0.0])
    assert (result.is_static, result.nan_count) == (False, 1)
    # The repeated value is a NaN too.
    result = fvi([2.0, 6.0, NAN, 0.0])
    np.testing.assert_array_equal(result.weights, [0.25, 0.75, 0.0, 0.0])
    assert result.nan_count == 2


def test_static_with_nan_is_uniform_over_the_measured():
    result = fvi([0.0, NAN, 0.0, 0.0, 0.0])
    np.testing.assert_array_equal(result.weights, [0.25, 0.0, 0.25, 0.25, 0.25])
    assert (result.is_static, result.nan_count) == (True, 1)


@pytest.mark.parametrize(("last", "count"), [("repeat", 3), ("zero", 2)])
def test_nothing_measured_is_uniform_but_not_called_static(last, count):
    result = fvi([NAN, NAN, 0.0], last=last)
    np.testing.assert_array_equal(result.weights, np.full(3, 1 / 3))
    assert (result.is_static, result.nan_count) == (False, count)


def test_across_a_cut_nothing_counts_as_motion():
    d = [1.0, 3.0, 900.0, 2.0, 2.0, 0.0]
    np.testing.assert_array_equal(fvi(d, cuts=[3]).weights, np.array([1, 3, 3, 2, 2, 2]) / 13)
    np.testing.assert_array_equal(fvi(d, cuts=[3], last="zero").weights, np.array([1, 3, 0, 2, 2, 0]) / 8)
    assert activity(d, cuts=[3]) == 2.0
    assert dynamicity(d, cuts=[3]) == math.sqrt((1 + 1 + 0 + 0) / 4) / 2


def test_a_shot_of_one_frame_gets_the_mean():
    d = [1.0, 900.0, 900.0, 3.0, 0.0]
    np.testing.assert_array_equal(fvi(d, cuts=[2, 3]).weights, np.array([1, 1, 2, 3, 3]) / 10)


def test_shots_weigh_as_clips_of_their_own():
    left, right = [1.0, 4.0, 0.0], [2.0, 0.0]
    joined = fvi([1.0, 4.0, 55.0, 2.0, 0.0], cuts=[3], last="zero").weights
    parts = np.concatenate([fvi(left, last="zero").weights * 5, fvi(right, last="zero").weights * 2]) / 7
    np.testing.assert_allclose(joined, parts, rtol=1e-15)


def test_dynamicity_and_activity_by_hand():
    assert dynamicity([1.0, 3.0, 1.0, 3.0, 0.0]) == 0.5
    assert activity([1.0, 3.0, 1.0, 3.0, 0.0]) == 2.0
    assert dynamicity([5.0, 5.0, 5.0, 0.0]) == 0.0
    assert dynamicity([0.0, 0.0, 0.0]) == 0.0
    assert dynamicity([1.0, NAN, 3.0, 0.0]) == 0.5
    for d in ([], [0.0], [NAN, 0.0]):
        assert math.isnan(dynamicity(d))
        assert math.isnan(activity(d))


dissimilarities = arrays(np.float64, st.integers(2, 60), elements=st.floats(0, 1e6) | st.just(NAN))


@settings(deadline=None)
@given(dissimilarities, st.sampled_from(["repeat", "zero"]), st.data())
def test_weights_sum_to_one(d, last, data):
    cuts = data.draw(st.lists(st.integers(1, len(d) - 1), max_size=5))
    result = fvi(d, last=last, cuts=cuts)
    assert result.weights.shape == d.shape
    assert (result.weights >= 0).all()
    assert math.fsum(result.weights) == pytest.approx(1.0, abs=1e-12)
    assert 0 <= result.nan_count <= len(d)


@settings(deadline=None)
@given(arrays(np.float64, st.integers(2, 60), elements=st.floats(1e-3, 1e6)), st.integers(2, 5))
def test_dynamicity_and_activity_are_free_of_length(d, times):
    inside = d[:-1]
    longer = np.append(np.tile(inside, times), 0.0)
    assert dynamicity(longer) == pytest.approx(dynamicity(d), rel=1e-9, abs=1e-9)
    assert activity(longer) == pytest.approx(activity(d), rel=1e-9)
    # The unit does not matter either, to the one that is normalised.
    assert dynamicity(d * 8.0) == dynamicity(d)


@pytest.mark.parametrize("factor", [5e-324, 1e-300, 1e300])
def test_extreme_units_do_not_spoil_the_sum(factor):
    weights = fvi(np.array([1.0, 3.0, 4.0, 0.0]) * factor, last="zero").weights
    np.testing.assert_allclose(weights, [0.125, 0.375, 0.5, 0.0], rtol=1e-12)


@pytest.mark.parametrize("function", [fvi, dynamicity, activity])
def test_wrong_arguments(function):
    with pytest.raises(ValueError, match=r"0 or more \(NaN if unmeasured\), got -1.0 at index 1"):
        function([0.0, -1.0, 2.0])
    with pytest.raises(ValueError, match="got inf at index 0"):
        function([math.inf, 0.0])
    with pytest.raises(ValueError, match=r"d must be \(N,\), got shape \(1, 2\)"):
        function([[1.0, 2.0]])
    for cuts in ([0], [3]):
        with pytest.raises(ValueError, match=r"cuts must lie in 1\.\.2"):
            function([1.0, 2.0, 0.0], cuts=cuts)


def test_wrong_mode_and_wrong_result():
    with pytest.raises(ValueError, match="'repeat' or 'zero', got 'mean'"):
        fvi([1.0, 0.0], last="mean")
    with pytest.raises(ValueError, match=r"weights must be \(N,\) float64, got \(2,\) int64"):
        FviResult(np.array([1, 0]), False, 0)
    assert repr(fvi([1.0, 1.0])) == "FviResult(2 frames, is_static=False, nan_count=0)"

"""Flow against OpenCV at the stated parameters; difference, features and vectors by hand-worked numbers."""

from __future__ import annotations

import math

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from evfr.signals import (
    FARNEBACK,
    difference,
    feature_dissimilarity,
    motion_magnitude,
    optical_flow_dissimilarity,
)
from helpers.views import VECTOR, luma_of, texture


def oracle_flow(a, b):
    """cv2 with the parameters written out, averaged by numpy."""
    flow = cv2.calcOpticalFlowFarneback(a, b, None, 0.5, 3, 15, 3, 5, 1.2, 0).astype(np.float64)
    return float(np.sqrt(flow[..., 0] ** 2 + flow[..., 1] ** 2).mean())


def test_flow_parameters_are_those_documented():
    assert FARNEBACK == {
        "pyr_scale": 0.5,
        "levels": 3,
        "winsize": 15,
        "iterations": 3,
        "poly_n": 5,
        "poly_sigma": 1.2,
        "flags": 0,
    }


@pytest.mark.parametrize("shape", [(90, 160), (37, 53), (180, 320)])
def test_flow_equals_opencv_at_full_size(shape):
    a = texture(*shape)
    b = np.roll(a, (1, 2), axis=(0, 1))
    assert optical_flow_dissimilarity(a, b, width=None) == pytest.approx(oracle_flow(a, b), rel=1e-6)
    # Never enlarged: a working width not below the picture's changes nothing.
    assert optical_flow_dissimilarity(a, b, width=320) == optical_flow_dissimilarity(a, b, width=None)


def test_flow_shrinks_both_pictures_by_area():
    a = texture(270, 481)
    b = np.roll(a, (2, 3), axis=(0, 1))
    small = [cv2.resize(p, (160, 90), interpolation=cv2.INTER_AREA) for p in (a, b)]
    assert optical_flow_dissimilarity(a, b, width=160) == pytest.approx(oracle_flow(*small), rel=1e-6)


def test_flow_equals_opencv_on_a_real_clip(data_dir):
    frames = [np.array(f.luma()) for f in luma_of(data_dir / "video" / "basketball.mp4", 3)]
    expected = oracle_flow(frames[1], frames[2])
    assert optical_flow_dissimilarity(frames[1], frames[2], width=None) == pytest.approx(expected, rel=1e-6)


def test_flow_finds_a_known_shift():
    big = texture(400, 400, seed=3)
    a, b = big[40:360, 40:360], big[38:358, 37:357]
    assert optical_flow_dissimilarity(a, b, width=None) == pytest.approx(math.hypot(2, 3), rel=0.1)


def test_equal_pictures_have_no_flow():
    a = texture(120, 160)
    # By definition: Farneback's border handling alone would leave a trace.
    assert 0.0 < oracle_flow(a, a.copy()) < 2e-3
    assert optical_flow_dissimilarity(a, a.copy()) == 0.0
    assert optical_flow_dissimilarity(np.zeros((1, 1), np.uint8), np.ones((1, 1), np.uint8)) == 0.0


def test_difference_by_hand():
    a = np.array([[0, 10], [200, 255]], np.uint8)
    b = np.array([[5, 0], [255, 255]], np.uint8)
    assert difference(a, b) == (5 + 10 + 55 + 0) / 4
    assert difference(b, a) == difference(a, b)
    wide_a, wide_b = np.zeros((10, 640), np.uint8), np.zeros((10, 640), np.uint8)
    wide_b[:, 0::2] = 100
    assert difference(wide_a, wide_b, width=None) == 50.0
    assert difference(wide_a, wide_b) == 50.0
    assert difference(wide_a, np.full((10, 640), 255, np.uint8)) == 255.0


@pytest.mark.parametrize("measure", [difference, optical_flow_dissimilarity])
def test_wrong_pictures(measure):
    a = texture(20, 20)
    with pytest.raises(ValueError, match="one size"):
        measure(a, a[:10])
    with pytest.raises(TypeError, match="must be uint8, got int64"):
        measure(a.astype(np.int64), a)
    with pytest.raises(ValueError, match="width must be 1 or more, got 0"):
        measure(a, a, width=0)


def test_features_by_hand():
    assert feature_dissimilarity([1.0, 0.0], [0.0, 2.0]) == 1.0
    assert feature_dissimilarity([1.0, 0.0], [-3.0, 0.0]) == 2.0
    assert feature_dissimilarity([1.0, 1.0], [1.0, 0.0]) == pytest.approx(1 - math.sqrt(0.5), abs=1e-15)
    assert feature_dissimilarity([1.0, 2.0], [1.0, 2.0]) == 0.0
    assert feature_dissimilarity([1e-200, 0.0], [0.0, 1e200]) == 1.0


def test_features_without_an_angle_are_nan():
    assert math.isnan(feature_dissimilarity([0.0, 0.0], [1.0, 0.0]))
    assert math.isnan(feature_dissimilarity([0.0, 0.0], [0.0, 0.0]))
    assert math.isnan(feature_dissimilarity([math.nan, 1.0], [math.nan, 1.0]))
    with pytest.raises(ValueError, match=r"two \(D,\) vectors, got \(2,\) and \(3,\)"):
        feature_dissimilarity([1, 2], [1, 2, 3])


@settings(deadline=None)
@given(arrays(np.float32, 6, elements=st.floats(-1e3, 1e3, width=32)), st.floats(1e-3, 1e3))
def test_features_ignore_length(vector, factor):
    if vector.any():
        assert feature_dissimilarity(vector, vector.astype(float) * factor) == pytest.approx(0.0, abs=1e-12)


def test_motion_by_hand():
    vectors = np.zeros(2, VECTOR)
    vectors[0] = (16, 16, 12, 16, 4)  # 5 px over 256 px
    vectors[1] = (8, 16, 0, -2, 1)  # 2 px over 128 px
    assert motion_magnitude(vectors, (32, 32)) == (5 * 256 + 2 * 128) / 1024
    assert math.isnan(motion_magnitude(vectors[:0], (32, 32)))
    with pytest.raises(ValueError, match=r"lack the fields \['motion_scale'\]"):
        motion_magnitude(vectors[["w", "h", "motion_x", "motion_y"]], (32, 32))
    with pytest.raises(ValueError, match=r"\(height, width\) of a picture, got \(0, 4\)"):
        motion_magnitude(vectors, (0, 4))

"""Filling what is not annotated: by hand, with crowds, and what does not fit."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from evfr.augmentation import IMAGENET_MEAN, fill_background


def test_by_hand():
    image = np.arange(2 * 3 * 3, dtype=np.uint8).reshape(2, 3, 3)
    masks = np.array([[[1, 0, 0], [0, 0, 0]], [[0, 0, 0], [0, 1, 1]]], np.bool_)
    before = image.copy()
    out = fill_background(image, masks, mean=(9, 8, 7))
    fill = [9, 8, 7]
    assert out.tolist() == [[[0, 1, 2], fill, fill], [fill, [12, 13, 14], [15, 16, 17]]]
    assert np.array_equal(image, before)
    assert out.dtype == np.uint8


def test_a_crowd_is_hidden_but_not_the_object_on_it():
    image = np.full((4, 4, 3), 200, np.uint8)
    masks = np.zeros((2, 4, 4), np.bool_)
    masks[0, :2], masks[1, 1:] = True, True
    out = fill_background(image, masks, is_crowd=np.array([False, True]))
    assert (out[:2] == 200).all()
    assert (out[2:] == IMAGENET_MEAN).all()


def test_nothing_annotated_hides_everything():
    out = fill_background(np.zeros((3, 2, 3), np.uint8), np.zeros((0, 3, 2), np.bool_))
    assert (out == IMAGENET_MEAN).all()


@given(st.integers(0, 2**32 - 1))
def test_twice_is_once_and_objects_are_untouched(seed):
    rng = np.random.default_rng(seed)
    image = rng.integers(0, 256, (5, 6, 3), dtype=np.uint8)
    masks = rng.random((2, 5, 6)) < 0.4
    once = fill_background(image, masks)
    assert np.array_equal(once, fill_background(once, masks))
    inside = masks.any(axis=0)
    assert np.array_equal(once[inside], image[inside])
    assert (once[~inside] == IMAGENET_MEAN).all()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"image": np.zeros((4, 4), np.uint8)},
            r"a picture must be \(H, W, 3\) uint8 RGB, got \(4, 4\) uint8",
        ),
        ({"masks": np.zeros((2, 4, 5), np.bool_)}, r"masks must be \(N, 4, 4\) bool .* got \(2, 4, 5\) bool"),
        ({"masks": np.zeros((2, 4, 4), np.uint8)}, r"masks must be .* got \(2, 4, 4\) uint8"),
        (
            {"is_crowd": np.zeros(3, np.bool_)},
            r"is_crowd must be \(2,\) bool, one for each mask, got \(3,\) bool",
        ),
        ({"is_crowd": np.zeros(2, np.int64)}, r"is_crowd must be \(2,\) bool, .* got \(2,\) int64"),
        ({"mean": (1, 2, 256)}, r"mean must be three numbers of 0 to 255, got \(1, 2, 256\)"),
        ({"mean": (1, 2)}, "mean must be three numbers"),
    ],
)
def test_what_does_not_fit(change, message):
    given_ = {"image": np.zeros((4, 4, 3), np.uint8), "masks": np.zeros((2, 4, 4), np.bool_)} | change
    with pytest.raises(ValueError, match=message):
        fill_background(given_.pop("image"), given_.pop("masks"), **given_)

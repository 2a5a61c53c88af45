"""Simple copy-paste: one source a pixel, tight boxes, covered objects gone, the rule for what is left of an object."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evfr._core.labelled import LabelledClip
from evfr.augmentation import copy_paste
from evfr.augmentation._copy_paste import pasted, subset
from helpers.drawn_objects import drawn_objects

CLASSES = ("a", "b", "c")


def square(size, top, left, tall, wide, *, category=0, value=10):
    """Return a picture of one value with one box."""
    ids = np.zeros((size, size), np.uint8)
    ids[top : top + tall, left : left + wide] = 1
    return np.full((size, size, 3), value, np.uint8), ids, np.array([category], np.int16)


def test_by_hand():
    image, ids, category = square(8, 1, 1, 4, 4, category=2)
    source = square(8, 3, 3, 4, 5, category=1, value=20)
    out, labels, classes = pasted(image, ids, category, *source, np.array([True]))
    assert classes.tolist() == [2, 1]
    assert labels.tolist() == [
        [0, 0, 0, 0, 0, 0, 0, 0],
        [0, 1, 1, 1, 1, 0, 0, 0],
        [0, 1, 1, 1, 1, 0, 0, 0],
        [0, 1, 1, 2, 2, 2, 2, 2],
        [0, 1, 1, 2, 2, 2, 2, 2],
        [0, 0, 0, 2, 2, 2, 2, 2],
        [0, 0, 0, 2, 2, 2, 2, 2],
        [0, 0, 0, 0, 0, 0, 0, 0],
    ]
    assert np.array_equal(out[:, :, 0], np.where(labels == 2, 20, 10))
    clip = LabelledClip("v", np.array([0]), out[None], labels[None], classes[None], CLASSES)
    assert clip.objects(0).boxes_xyxy.tolist() == [[1, 1, 5, 5], [3, 3, 8, 7]]


@settings(max_examples=100, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), keep=st.booleans())
def test_every_pixel_is_from_one_source_and_known(seed, keep):
    """Both pictures have one value each: which one a pixel is of says what its id must be."""
    rng = np.random.default_rng(seed)
    image, ids, category = drawn_objects(rng, value=50)
    source_image, source_ids, source_category = drawn_objects(rng, count=5, value=200)
    given_arrays = (image, ids, category, source_image, source_ids, source_category)
    copies = [array.copy() for array in given_arrays]
    out, labels, classes = copy_paste(*given_arrays, rng, keep_slivers=keep)
    assert all(np.array_equal(a, b) for a, b in zip(given_arrays, copies, strict=True))
    assert set(np.unique(out)) <= {50, 200}
    assert (out == out[:, :, :1]).all()
    is_pasted = out[:, :, 0] == 200
    chosen = classes[4:] >= 0
    assert np.array_equal(is_pasted, np.isin(source_ids, np.flatnonzero(chosen) + 1))
    assert np.array_equal(labels[is_pasted], source_ids[is_pasted] + 4)
    assert (classes[4:][chosen] == source_category[chosen]).all()
    # Elsewhere the map is as it was, but for what is left of objects that are gone.
    changed = labels[~is_pasted] != ids[~is_pasted]
    assert (labels[~is_pasted][changed] == 255).all()
    for k in range(1, 5):
        left = (ids == k) & ~is_pasted
        if classes[k - 1] >= 0:
            assert classes[k - 1] == category[k - 1]
            assert np.array_equal(labels == k, left)
            assert left.any()
        else:
            assert not (labels == k).any()
            assert not left.any() or not keep
            assert (labels[left] == 255).all()
    # What comes out is a clip: each number of the map has a class, and boxes are tight.
    clip = LabelledClip("v", np.array([0]), out[None], labels[None], classes[None], CLASSES)
    for box, mask in zip(clip.objects(0).boxes_xyxy, clip.objects(0).masks, strict=True):
        rows, columns = np.nonzero(mask.to_mask())
        assert box.tolist() == [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]


def test_a_covered_object_is_gone():
    image, ids, category = square(8, 2, 2, 2, 2)
    out, labels, classes = pasted(
        image, ids, category, *square(8, 1, 1, 4, 4, category=1, value=20), np.array([True])
    )
    assert classes.tolist() == [-1, 1]
    assert not (labels == 1).any()
    assert (out[2:4, 2:4] == 20).all()


@pytest.mark.parametrize(
    ("covered", "stays"),
    # A box of 100 x 40 at 1,024 px. Its right side moves by what is covered; what remains counts when that is more
    # than 10: 40 (100 - 92) = 320 pixels are enough, 40 (100 - 93) = 280 are not.
    [(10, True), (11, True), (92, True), (93, False), (99, False), (100, False)],
)
def test_what_is_left_of_an_object(covered, stays):
    image, ids, category = square(1024, 300, 200, 40, 100)
    source = square(1024, 300, 300 - covered, 40, covered, value=20)
    _, labels, classes = pasted(image, ids, category, *source, np.array([True]))
    assert classes.tolist() == [0 if stays else -1, 0]
    left = labels[300:340, 200 : 300 - covered]
    assert (left == (1 if stays else 255)).all()
    _, labels, classes = pasted(image, ids, category, *source, np.array([True]), keep_slivers=True)
    assert classes.tolist() == [-1 if covered == 100 else 0, 0]
    assert not (labels == 255).any()


@pytest.mark.parametrize(("covered", "stays"), [(1, True), (2, False)])
def test_little_objects_stay_when_their_box_does(covered, stays):
    """20 x 5 pixels are below 300 anyway: at 128 px a side may move by 1.25 pixels, and 4.7 pixels are enough."""
    image, ids, category = square(128, 10, 10, 1, 4)
    source = square(128, 10, 14 - covered, 1, covered, value=20)
    _, _, classes = pasted(image, ids, category, *source, np.array([True]))
    assert classes.tolist() == [0 if stays else -1, 0]


def test_each_side_counts():
    """A box is cut from each side in turn: the limit holds for all four."""
    image, ids, category = square(1024, 300, 300, 30, 11)
    for top, left, tall, wide, stays in (
        *((300, 300, 11, 11, False), (319, 300, 11, 11, False)),
        *((300, 300, 10, 11, True), (320, 300, 10, 11, True)),
    ):
        source = square(1024, top, left, tall, wide, value=20)
        assert (pasted(image, ids, category, *source, np.array([True]))[2][0] == 0) == stays
    wide = [np.swapaxes(image, 0, 1), ids.T.copy(), category]
    for left in (300, 319):
        source = square(1024, 300, left, 11, 11, value=20)
        assert pasted(*wide, *source, np.array([True]))[2][0] == -1


def test_nothing_chosen_is_byte_identity():
    rng = np.random.default_rng(2)
    image, ids, category = drawn_objects(rng)
    out, labels, classes = pasted(image, ids, category, *drawn_objects(rng), np.zeros(4, np.bool_))
    assert np.array_equal(out, image)
    assert np.array_equal(labels, ids)
    seen = np.isin(np.arange(1, 5), ids)
    assert classes.tolist() == [*np.where(seen, category, -1), -1, -1, -1, -1]


def test_a_region_to_ignore_is_not_pasted():
    image, ids, category = square(8, 0, 0, 2, 2)
    source_image, source_ids, source_category = square(8, 4, 4, 2, 2, value=20)
    source_ids[0] = 255
    out, labels, _ = pasted(image, ids, category, source_image, source_ids, source_category, np.array([True]))
    assert (out[0] == 10).all()
    assert not (labels == 255).any()


def test_subsets_are_even():
    """0 to 3 of 3 objects, a quarter each; each object in half of all; each pair as often. Absent ones never."""
    ids = np.array([[1, 2, 4, 0, 255]], np.uint8)
    category = np.array([0, 0, 0, 1, 2], np.int16)  # 3 and 5 have no pixel
    rng = np.random.default_rng(0)
    drawn = np.array([subset(rng.random(6), ids, category) for _ in range(4000)])
    assert not drawn[:, [2, 4]].any()
    sizes = np.bincount(drawn.sum(axis=1), minlength=4) / 4000
    assert np.abs(sizes - 0.25).max() < 0.03
    assert np.abs(drawn[:, [0, 1, 3]].mean(axis=0) - 0.5).max() < 0.03
    pairs = [(drawn[:, a] & drawn[:, b]).mean() for a, b in ((0, 1), (0, 3), (1, 3))]
    # Two objects are both taken with 3/3 at size 3 and 1/3 at size 2: (1 + 1/3) / 4.
    assert np.abs(np.array(pairs) - 1 / 3).max() < 0.03


def test_subset_at_the_ends():
    ids, category = np.array([[1, 2]], np.uint8), np.zeros(2, np.int16)
    assert not subset(np.array([0.0, 0.5, 0.2]), ids, category).any()
    assert subset(np.array([0.34, 0.5, 0.2]), ids, category).tolist() == [False, True]
    assert subset(np.array([1 - 2**-53, 0.5, 0.2]), ids, category).all()
    assert subset(np.array([0.9]), np.zeros((1, 2), np.uint8), np.zeros(0, np.int16)).tolist() == []


def test_a_seed_is_one_result():
    one, two = ([*drawn_objects(rng), *drawn_objects(rng)] for rng in map(np.random.default_rng, (3, 3)))
    first, second = (copy_paste(*arrays, np.random.default_rng(1)) for arrays in (one, two))
    assert all(np.array_equal(a, b) for a, b in zip(first, second, strict=True))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({0: np.zeros((8, 8, 3), np.float32)}, r"a picture must be \(H, W, 3\) uint8 RGB, got .* float32"),
        ({1: np.zeros((8, 7), np.uint8)}, r"ids must be \(8, 8\) uint8"),
        (
            {2: np.zeros(1, np.int64)},
            r"category must be \(M,\) int16 with M of at most 254, got \(1,\) int64",
        ),
        ({2: np.zeros(255, np.int16)}, r"M of at most 254, got \(255,\)"),
        ({2: np.zeros(0, np.int16)}, "the map has object 1, which has no class: category has 0 numbers"),
        ({5: np.full(1, -1, np.int16)}, "the map has object 1, which has no class"),
        (
            {3: np.zeros((9, 8, 3), np.uint8), 4: np.zeros((9, 8), np.uint8)},
            r"the two pictures must have one size, got \(8, 8\) and \(9, 8\)",
        ),
        (
            {5: np.zeros(254, np.int16)},
            "1 and 254 objects are too many for one map: together they can be 254 at most",
        ),
    ],
)
def test_what_does_not_fit(change, message):
    arrays = [*square(8, 1, 1, 2, 2), *square(8, 1, 1, 2, 2)]
    for place, value in change.items():
        arrays[place] = value
    with pytest.raises(ValueError, match=message):
        copy_paste(*arrays, np.random.default_rng(0))

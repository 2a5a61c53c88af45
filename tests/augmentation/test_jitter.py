"""Scale jitter: by hand, its law, padding, and that a map gets no number that was not there."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from evfr.augmentation import JITTER_RANGES, PAD_GREY, scale_jitter
from evfr.augmentation._jitter import Placement, placed, placement
from helpers.drawn_objects import drawn_objects


def test_by_hand():
    """Of U = .5 everywhere and factors of 1 to 3: twice the size, cropped from row 1 of 2 and column 2 of 4."""
    place = placement(np.full(4, 0.5), 2, 4, 1.0, 3.0, 0.5)
    assert place == Placement(4, 8, -1, -2, False)
    image = np.repeat(np.array([[0, 40, 80, 120], [4, 44, 84, 124]], np.uint8)[:, :, None], 3, axis=2)
    ids = np.array([[1, 2, 3, 4], [5, 6, 7, 8]], np.uint8)
    picture, moved = placed(image, ids, place)
    assert moved.tolist() == [[2, 2, 3, 3], [6, 6, 7, 7]]
    # Centres at 1/4 and 3/4 of a pixel: rows 0 + 1/4 and 0 + 3/4, columns 3/4, 1 + 1/4, 1 + 3/4, 2 + 1/4.
    assert picture[:, :, 0].tolist() == [[31, 51, 71, 91], [33, 53, 73, 93]]


def test_made_smaller_it_lies_in_grey():
    image = np.full((4, 6, 3), 200, np.uint8)
    ids = np.full((4, 6), 3, np.uint8)
    picture, moved = placed(image, ids, Placement(2, 3, 1, 2, False))
    inside = np.zeros((4, 6), bool)
    inside[1:3, 2:5] = True
    assert np.array_equal(moved, np.where(inside, 3, 0))
    assert (picture[inside] == 200).all()
    assert (picture[~inside] == PAD_GREY).all()


def test_made_smaller_it_is_averaged():
    """A chessboard at half its size is even grey, which picking pixels would not give."""
    board = np.indices((32, 32)).sum(axis=0) % 2 * 200
    image = np.repeat(board.astype(np.uint8)[:, :, None], 3, axis=2)
    picture, _ = placed(image, np.zeros((32, 32), np.uint8), Placement(16, 16, 0, 0, False))
    assert np.abs(picture[2:14, 2:14].astype(int) - 100).max() <= 1


def test_mirrored_is_the_mirror_of_the_whole():
    image, ids, _ = drawn_objects(np.random.default_rng(0))
    for tall, wide, top, left in ((24, 32, 0, 0), (30, 40, -2, -5), (12, 16, 3, 4)):
        straight = placed(image[:, ::-1], ids[:, ::-1], Placement(tall, wide, top, left, False))
        mirrored = placed(image, ids, Placement(tall, wide, top, left, True))
        assert np.array_equal(straight[0], mirrored[0])
        assert np.array_equal(straight[1], mirrored[1])


@pytest.mark.parametrize("factor", [1.25, 1.7, 2.0])
def test_against_opencv(factor):
    """Enlarged pictures are those of cv2.resize, but for rounding, and a crop is a part of the whole."""
    rng = np.random.default_rng(1)
    image = rng.integers(0, 256, (40, 48, 3), dtype=np.uint8)
    tall, wide = round(40 * factor), round(48 * factor)
    whole = cv2.resize(image, (wide, tall), interpolation=cv2.INTER_LINEAR)
    top, left = (tall - 40) // 3, (wide - 48) // 2
    picture, _ = placed(image, np.zeros((40, 48), np.uint8), Placement(tall, wide, -top, -left, False))
    assert np.abs(picture.astype(int) - whole[top : top + 40, left : left + 48]).max() <= 2


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    jitter=st.sampled_from(["standard", "large"]),
    height=st.integers(1, 40),
    width=st.integers(1, 40),
)
def test_no_id_is_invented(seed, jitter, height, width):
    rng = np.random.default_rng(seed)
    low, high = JITTER_RANGES[jitter]
    ids = rng.choice(np.array([1, 2, 9, 255], np.uint8), (height, width))
    image = np.where(ids[:, :, None] == 9, np.uint8(0), np.full(3, 250, np.uint8))
    before = image.copy(), ids.copy()
    picture, moved = scale_jitter(image, ids, rng, low=low, high=high, flip=0.5)
    assert picture.shape == image.shape
    assert picture.dtype == moved.dtype == np.uint8
    assert set(np.unique(moved)) <= set(np.unique(ids)) | {0}
    assert (picture[moved == 0] == PAD_GREY).all()
    assert np.array_equal(before[0], image)
    assert np.array_equal(before[1], ids)


def test_edges_lie_where_they_lie_in_the_picture():
    """A bright half: the map's edge is where the picture passes the middle grey, to half a pixel."""
    ids = np.zeros((40, 60), np.uint8)
    ids[:, 30:] = 1
    image = np.repeat(ids[:, :, None] * np.uint8(200), 3, axis=2)
    rng = np.random.default_rng(3)
    for _ in range(60):
        picture, moved = scale_jitter(image, ids, rng, low=0.3, high=2.0, flip=0.5)
        inside = picture[:, :, 0] != PAD_GREY
        bright = picture[:, :, 0] > 100
        assert ((bright & inside) != (moved == 1)).sum(axis=1).max() <= 1


@pytest.mark.parametrize("jitter", ["standard", "large"])
def test_scales_are_even(jitter):
    """Sizes of 600 placements against the even law, and crops and paddings against theirs (Kolmogorov-Smirnov)."""
    low, high = JITTER_RANGES[jitter]
    rng = np.random.default_rng(0)
    places = [placement(rng.random(4), 1000, 1000, low, high, 0.3) for _ in range(600)]
    scales = np.array([place.height / 1000 for place in places])
    assert stats.kstest(scales, stats.uniform(low, high - low).cdf).pvalue > 0.01
    assert np.abs(np.mean([place.is_mirrored for place in places]) - 0.3) < 0.07
    shares = np.array([place.left / (1000 - place.width) for place in places if abs(place.width - 1000) > 50])
    assert stats.kstest(shares, stats.uniform().cdf).pvalue > 0.01
    assert all(min(0, 1000 - p.height) <= p.top <= max(0, 1000 - p.height) for p in places)


def test_every_place_is_as_likely():
    """Two places are free, up to the last number below 1."""
    tops = [
        placement(np.array([0, 0, u, 0]), 3, 3, 2 / 3, 2 / 3, 0.0).top for u in (0.0, 0.49, 0.5, 1 - 2**-53)
    ]
    assert tops == [0, 0, 1, 1]


def test_factor_one_changes_nothing():
    image, ids, _ = drawn_objects(np.random.default_rng(5))
    picture, moved = scale_jitter(image, ids, np.random.default_rng(0), low=1.0, high=1.0)
    assert np.array_equal(picture, image)
    assert np.array_equal(moved, ids)


def test_a_seed_is_one_result():
    image, ids, _ = drawn_objects(np.random.default_rng(5))
    one, two, other = (
        scale_jitter(image, ids, np.random.default_rng(seed), low=0.1, high=2.0, flip=0.5)
        for seed in (7, 7, 8)
    )
    assert np.array_equal(one[0], two[0])
    assert np.array_equal(one[1], two[1])
    assert not np.array_equal(one[0], other[0])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"image": np.zeros((4, 4), np.uint8)},
            r"a picture must be \(H, W, 3\) uint8 RGB, got \(4, 4\) uint8",
        ),
        (
            {"ids": np.zeros((4, 5), np.uint8)},
            r"ids must be \(4, 4\) uint8 as the picture is, got \(4, 5\) uint8",
        ),
        ({"ids": np.zeros((4, 4), np.int64)}, r"ids must be .* got \(4, 4\) int64"),
        ({"low": 0.0}, "low and high must be above 0, and low no more than high, got 0.0 and 1.25"),
        ({"low": 1.5}, "low and high must be above 0, .* got 1.5 and 1.25"),
        ({"high": float("inf")}, "low and high must be above 0, .* got 0.8 and inf"),
        ({"flip": 1.5}, r"flip must be a probability in \[0, 1\], got 1.5"),
    ],
)
def test_what_does_not_fit(change, message):
    options = {"image": np.zeros((4, 4, 3), np.uint8), "ids": np.zeros((4, 4), np.uint8)} | change
    with pytest.raises(ValueError, match=message):
        scale_jitter(options.pop("image"), options.pop("ids"), np.random.default_rng(0), **options)

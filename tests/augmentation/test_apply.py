"""What an Augmentation says is done, no more and no less."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evfr._core.labelled import LabelledClip
from evfr.augmentation import JITTERS, Augmentation, augment, scale_jitter
from helpers.drawn_objects import drawn_objects

EVERYTHING = Augmentation("standard", 0.5, 1.0)


def same(one, two):
    return all(np.array_equal(a, b) for a, b in zip(one, two, strict=True))


def test_nothing_is_byte_identity():
    rng = np.random.default_rng(0)
    drawn, source = drawn_objects(rng), drawn_objects(rng)
    state = rng.bit_generator.state
    for given_source in (None, source):
        out = augment(*drawn, given_source, Augmentation(), rng)
        assert same(out, drawn)
        assert not any(np.shares_memory(a, b) for a, b in zip(out, drawn, strict=True))
    assert rng.bit_generator.state == state


def test_jitter_alone_is_scale_jitter():
    drawn = drawn_objects(np.random.default_rng(1))
    out = augment(*drawn, None, Augmentation("large", 0.5), np.random.default_rng(2))
    wanted = scale_jitter(drawn[0], drawn[1], np.random.default_rng(2), low=0.1, high=2.0, flip=0.5)
    assert same(out[:2], wanted)
    assert out[2].tolist() == np.where(np.isin(np.arange(1, 5), out[1]), drawn[2], -1).tolist()


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1), jitter=st.sampled_from(JITTERS), paste=st.sampled_from([0.0, 0.5, 1.0])
)
def test_what_comes_out_is_a_labelled_picture(seed, jitter, paste):
    """Pictures of one value each: pixels are of one of them or of the padding, and what is pasted is labelled so."""
    rng = np.random.default_rng(seed)
    drawn, source = drawn_objects(rng, value=50), drawn_objects(rng, count=6, value=200)
    image, ids, category = augment(*drawn, source, Augmentation(jitter, 0.5, paste), rng)
    assert len(category) == (10 if paste else 4)
    assert set(np.unique(image)) <= {50, 128, 200}
    is_pasted = (image == 200).all(axis=2)
    assert np.array_equal(is_pasted, (ids > 4) & (ids < 255))
    assert (ids[(image == 128).all(axis=2)] == 0).all()
    LabelledClip("v", np.array([0]), image[None], ids[None], category[None], ("a", "b", "c"))
    seen = np.isin(np.arange(1, len(category) + 1), ids)
    assert np.array_equal(seen, category >= 0)


def test_pasting_comes_as_often_as_it_should():
    """One object in the source: it is pasted in half of the p = .6 of pictures that receive anything."""
    image, ids = np.zeros((4, 4, 3), np.uint8), np.zeros((4, 4), np.uint8)
    source = image + np.uint8(9), np.ones((4, 4), np.uint8), np.zeros(1, np.int16)
    rng = np.random.default_rng(0)
    empty = np.zeros(0, np.int16)
    hits = [
        augment(image, ids, empty, source, Augmentation("none", 0, 0.6), rng)[0].any() for _ in range(2000)
    ]
    assert abs(np.mean(hits) - 0.3) < 0.04


def test_both_pictures_are_jittered_by_themselves():
    """The same picture on both sides: with one factor for both, all pasted pixels would be equal to those below."""
    rng = np.random.default_rng(0)
    drawn = drawn_objects(rng, 48, 64)
    differ = 0
    for _ in range(20):
        seed = int(rng.integers(2**32))
        alone = augment(*drawn, None, Augmentation("standard"), np.random.default_rng(seed))
        both = augment(*drawn, drawn, Augmentation("standard", 0, 1.0), np.random.default_rng(seed))
        is_pasted = (both[1] > 4) & (both[1] < 255)
        assert np.array_equal(alone[0][~is_pasted], both[0][~is_pasted])
        differ += int((alone[0][is_pasted] != both[0][is_pasted]).any())
    assert differ >= 10


def test_pictures_do_not_shift_each_others_draws():
    """However few objects are there, as many numbers are drawn."""
    rng = np.random.default_rng(0)
    drawn, source = drawn_objects(rng), drawn_objects(rng)
    empty = source[0], np.zeros_like(source[1]), np.full_like(source[2], -1)
    states = []
    for one in (source, empty):
        rng = np.random.default_rng(3)
        augment(*drawn, one, EVERYTHING, rng)
        states.append(rng.random())
    rng = np.random.default_rng(3)
    rng.random(4 + 10)
    assert states == [rng.random()] * 2


def test_a_seed_is_one_result():
    rng = np.random.default_rng(0)
    drawn, source = drawn_objects(rng), drawn_objects(rng)
    one, two = (augment(*drawn, source, EVERYTHING, np.random.default_rng(5)) for _ in range(2))
    assert same(one, two)


@pytest.mark.parametrize(
    ("source", "message"),
    [
        (None, "copy_paste is 1.0 but there is no source to paste from"),
        (drawn_objects(np.random.default_rng(0), 9, 9), "the two pictures must have one size"),
        ((np.zeros((24, 32), np.uint8),) * 3, r"a picture must be \(H, W, 3\)"),
        (drawn_objects(np.random.default_rng(0), count=251), "4 and 251 objects are too many for one map"),
    ],
)
def test_a_source_that_does_not_fit(source, message):
    with pytest.raises(ValueError, match=message):
        augment(*drawn_objects(np.random.default_rng(1)), source, EVERYTHING, np.random.default_rng(0))


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        (
            (np.zeros((4, 4), np.uint8), np.zeros((4, 4), np.uint8), np.zeros(1, np.int16)),
            "a picture must be",
        ),
        ((np.zeros((4, 4, 3), np.uint8), np.ones((4, 4), np.uint8), np.zeros(0, np.int16)), "has no class"),
    ],
)
def test_a_picture_that_does_not_fit(arrays, message):
    with pytest.raises(ValueError, match=message):
        augment(*arrays, None, Augmentation(), np.random.default_rng(0))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"jitter": "huge"}, "jitter must be one of none, standard, large, got 'huge'"),
        ({"flip": -0.1}, r"flip must be a probability in \[0, 1\], got -0.1"),
        ({"copy_paste": 1.1}, r"copy_paste must be a probability in \[0, 1\], got 1.1"),
    ],
)
def test_wrong_options(options, message):
    with pytest.raises(ValueError, match=message):
        Augmentation(**options)
    assert Augmentation().is_identity
    assert not Augmentation(flip=0.1).is_identity

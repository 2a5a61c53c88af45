"""Clips out of one picture: exact turns, masks that stay on their objects, borders, and what leaves the picture."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evfr.augmentation import IMAGENET_MEAN, PseudoVideo, pseudo_video, rotated


def scene(seed=0, size=(40, 56)):
    """Return a dark picture with two bright objects, and their masks."""
    rng = np.random.default_rng(seed)
    image = rng.integers(0, 40, (*size, 3), dtype=np.uint8)
    masks = np.zeros((2, *size), np.bool_)
    masks[0, 14:26, 20:34] = True
    masks[1, 0:4, 0:4] = True
    image[masks.any(axis=0)] = 250
    return image, masks


@pytest.mark.parametrize(("degrees", "turns"), [(90, 1), (180, 2), (-90, 3), (0, 0)])
@pytest.mark.parametrize("side", [7, 8])
def test_quarter_turns_are_exact(degrees, turns, side):
    rng = np.random.default_rng(side)
    image = rng.integers(0, 256, (side, side, 3), dtype=np.uint8)
    masks = rng.random((2, side, side)) < 0.5
    picture, moved = rotated(image, masks, degrees)
    assert np.array_equal(picture, np.rot90(image, turns))
    assert np.array_equal(moved, np.rot90(masks, turns, axes=(1, 2)))


def test_masks_are_those_of_the_nearest_pixel():
    """The inverse rotation written out: each pixel looks where it came from."""
    _, masks = scene()
    height, width = masks.shape[1:]
    for degrees in (-29.0, 3.0, 17.5):
        _, moved = rotated(np.zeros((height, width, 3), np.uint8), masks, degrees)
        angle = np.deg2rad(degrees)
        y, x = np.mgrid[:height, :width] - np.array([(height - 1) / 2, (width - 1) / 2])[:, None, None]
        from_x = np.cos(angle) * x - np.sin(angle) * y + (width - 1) / 2
        from_y = np.sin(angle) * x + np.cos(angle) * y + (height - 1) / 2
        column, row = np.rint(from_x).astype(int), np.rint(from_y).astype(int)
        inside = (row >= 0) & (row < height) & (column >= 0) & (column < width)
        wanted = np.zeros_like(masks)
        wanted[:, inside] = masks[:, row[inside], column[inside]]
        # OpenCV rounds coordinates to 1/1024 first: where two pixels are as near, it may take the other.
        assert (wanted != moved).mean() < 0.002
        assert moved[0].sum() == pytest.approx(masks[0].sum(), rel=0.05)


def test_masks_stay_on_their_objects_and_the_border_is_filled():
    image, masks = scene()
    clip = pseudo_video(image, masks, np.random.default_rng(3))
    assert clip.images.shape == (3, 40, 56, 3)
    assert clip.masks.shape == (3, 2, 40, 56)
    assert np.array_equal(clip.images[0], image)
    assert np.array_equal(clip.masks[0], masks)
    for picture, moved in zip(clip.images[1:], clip.masks[1:], strict=True):
        is_bright = picture.min(axis=2) > 145
        assert (is_bright ^ moved.any(axis=0)).mean() < 0.01
        assert not np.array_equal(picture, image)
    picture, _ = rotated(image, masks, 30)
    assert (picture[0, -1] == IMAGENET_MEAN).all()
    assert (picture[-1, 0] == IMAGENET_MEAN).all()


def test_what_leaves_the_picture_is_absent():
    image, masks = scene()
    # The corner object leaves with every large turn, the one near the middle never does.
    clips = [pseudo_video(image, masks, np.random.default_rng(seed)) for seed in range(20)]
    valid = np.concatenate([clip.is_valid[1:] for clip in clips])
    assert valid[:, 0].all()
    assert 0 < valid[:, 1].sum() < len(valid)
    for clip in clips:
        assert np.array_equal(clip.is_valid, clip.masks.any(axis=(2, 3)))


@settings(max_examples=20)
@given(st.integers(0, 2**32 - 1), st.integers(1, 4), st.floats(0, 180))
def test_same_generator_same_clip(seed, frames, degrees):
    image, masks = scene(size=(30, 36))
    first, second = (
        pseudo_video(image, masks, np.random.default_rng(seed), frames=frames, max_degrees=degrees)
        for _ in range(2)
    )
    assert isinstance(first, PseudoVideo)
    assert len(first.images) == len(first.masks) == len(first.is_valid) == frames
    for a, b in zip(first, second, strict=True):
        assert np.array_equal(a, b)


def test_a_picture_without_objects():
    clip = pseudo_video(scene()[0], np.zeros((0, 40, 56), np.bool_), np.random.default_rng(0))
    assert clip.masks.shape == (3, 0, 40, 56)
    assert clip.is_valid.shape == (3, 0)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"frames": 0}, "frames must be 1 or more, got 0"),
        ({"max_degrees": -1}, r"max_degrees must be in 0\.\.180, got -1"),
        ({"max_degrees": float("nan")}, r"max_degrees must be in 0\.\.180, got nan"),
        ({"mean": (0, 0)}, "mean must be three numbers"),
    ],
)
def test_wrong_options(options, message):
    with pytest.raises(ValueError, match=message):
        pseudo_video(*scene(), np.random.default_rng(0), **options)

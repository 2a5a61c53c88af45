"""Noise copies: the deviation of frames, and noise of that deviation, rounded and clipped."""

from __future__ import annotations

import numpy as np
import pytest

from evfr.augmentation import noised, temporal_std


def test_deviation_by_hand():
    images = np.zeros((4, 1, 2, 3), np.uint8)
    images[:, 0, 0, 0] = 10, 20, 10, 20
    images[:, 0, 1, 2] = 0, 255, 255, 0
    std = temporal_std(images)
    assert std.dtype == np.float32
    assert std.tolist() == [[[5, 0, 0], [0, 0, 127.5]]]


def test_deviation_against_numpy():
    images = np.random.default_rng(0).integers(0, 256, (20, 9, 7, 3), dtype=np.uint8)
    np.testing.assert_allclose(temporal_std(images), images.std(axis=0), rtol=1e-6)
    assert (temporal_std(np.repeat(images[:1], 20, axis=0)) == 0).all()
    assert (temporal_std(images[:1]) == 0).all()


def test_noise_has_the_deviation_it_is_given():
    """200 x 200 values at 100: rounding adds 1/12 to the variance."""
    image = np.full((200, 200, 3), 100, np.uint8)
    std = np.zeros(image.shape, np.float32)
    std[:, :, 1], std[:, :, 2] = 2, 8
    out = noised(image, std, np.random.default_rng(0)).astype(float) - 100
    assert (out[:, :, 0] == 0).all()
    assert np.abs(out.mean(axis=(0, 1))).max() < 0.15
    np.testing.assert_allclose(out[:, :, 1:].var(axis=(0, 1)), [4 + 1 / 12, 64 + 1 / 12], rtol=0.03)


def test_noise_is_clipped_not_wrapped():
    image = np.zeros((50, 50, 3), np.uint8)
    image[:, 25:] = 255
    out = noised(image, np.full(image.shape, 20, np.float32), np.random.default_rng(0))
    assert out[:, :25].max() < 128
    assert out[:, 25:].min() > 128
    # Half of a Gaussian is cut at the end of the range.
    assert 0.45 < (out[:, :25] == 0).mean() < 0.56


def test_noise_is_rounded():
    """With a deviation of .1 almost all values stay: cutting would lower half of them."""
    image = np.full((40, 40, 3), 7, np.uint8)
    assert (noised(image, np.full(image.shape, 0.1, np.float32), np.random.default_rng(0)) == 7).all()


def test_copies_of_one_frame_differ_and_a_seed_is_one_result():
    image = np.full((6, 6, 3), 90, np.uint8)
    std = np.full(image.shape, 5, np.float32)
    rng = np.random.default_rng(4)
    first, second = noised(image, std, rng), noised(image, std, rng)
    assert not np.array_equal(first, second)
    assert np.array_equal(first, noised(image, std, np.random.default_rng(4)))
    assert (image == 90).all()


@pytest.mark.parametrize(
    ("image", "std", "message"),
    [
        (np.zeros((4, 4), np.uint8), 1.0, r"a picture must be \(H, W, 3\) uint8 RGB, got \(4, 4\) uint8"),
        (np.zeros((4, 4, 3), np.uint8), np.zeros((4, 4)), r"noise_std must be \(4, 4, 3\) as the picture is"),
        (np.zeros((4, 4, 3), np.uint8), -1.0, "noise_std must be finite and 0 or more everywhere"),
        (np.zeros((4, 4, 3), np.uint8), np.nan, "noise_std must be finite and 0 or more everywhere"),
    ],
)
def test_noise_that_does_not_fit(image, std, message):
    std = std if isinstance(std, np.ndarray) else np.full(image.shape, std, np.float32)
    with pytest.raises(ValueError, match=message):
        noised(image, std, np.random.default_rng(0))


@pytest.mark.parametrize(
    "images", [np.zeros((0, 4, 4, 3), np.uint8), np.zeros((4, 4, 3), np.uint8), np.zeros((2, 4, 4, 3))]
)
def test_frames_that_do_not_fit(images):
    with pytest.raises(ValueError, match=r"images must be \(N, H, W, 3\) uint8 with one frame or more, got"):
        temporal_std(images)

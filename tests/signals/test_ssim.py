"""SSIM: scikit-image for the Gaussian window, plain loops for the blocks."""

from __future__ import annotations

import numpy as np
import pytest
from skimage.metrics import structural_similarity

from evfr.signals import ssim, ssim_dissimilarity
from helpers.views import luma_of, texture


def oracle(a, b):
    """scikit-image at the parameters of Eq. 3-4."""
    return structural_similarity(
        a, b, gaussian_weights=True, sigma=1.5, use_sample_covariance=False, data_range=255
    )


def blocks_by_loop(a, b):
    """8 x 8 windows at stride 4, one after the other."""
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    values = []
    for y in range(0, a.shape[0] - 7, 4):
        for x in range(0, a.shape[1] - 7, 4):
            p, q = (picture[y : y + 8, x : x + 8].astype(np.float64) for picture in (a, b))
            covariance = ((p - p.mean()) * (q - q.mean())).mean()
            values.append(
                (2 * p.mean() * q.mean() + c1)
                * (2 * covariance + c2)
                / ((p.mean() ** 2 + q.mean() ** 2 + c1) * (p.var() + q.var() + c2))
            )
    return float(np.mean(values))


SIZES = [(11, 11), (11, 40), (13, 12), (33, 47), (97, 521), (64, 522), (60, 523), (30, 1100), (240, 320)]


@pytest.mark.parametrize("shape", SIZES)
def test_gaussian_equals_scikit_image(shape):
    a = texture(*shape, seed=1)
    noise = np.random.default_rng(2).integers(-30, 31, shape)
    b = np.clip(a.astype(int) + noise, 0, 255).astype(np.uint8)
    for left, right in ((a, b), (a, texture(*shape, seed=3)), (b, 255 - a)):
        assert ssim(left, right) == pytest.approx(oracle(left, right), abs=1e-6)


def test_gaussian_equals_scikit_image_on_extreme_pictures():
    shape = (40, 60)
    flat = [np.full(shape, value, np.uint8) for value in (0, 1, 254, 255)]
    board = (np.indices(shape).sum(axis=0) % 2 * 255).astype(np.uint8)
    for a in (*flat, board):
        for b in (*flat, board, 255 - board):
            assert ssim(a, b) == pytest.approx(oracle(a, b), abs=1e-6)


def test_gaussian_equals_scikit_image_on_a_real_clip(data_dir):
    frames = [np.array(f.luma()) for f in luma_of(data_dir / "video" / "bikes_cuts.mp4", 33)]
    for t in (0, 7, 29, 31):
        assert ssim(frames[t], frames[t + 1]) == pytest.approx(oracle(frames[t], frames[t + 1]), abs=1e-6)


@pytest.mark.parametrize("shape", [(8, 8), (8, 12), (11, 9), (12, 16), (37, 50), (64, 81)])
def test_blocks_equal_plain_loops(shape):
    a, b = texture(*shape, seed=4), texture(*shape, seed=5)
    assert ssim(a, b, window="block") == pytest.approx(blocks_by_loop(a, b), abs=1e-9)
    assert ssim(a, np.full(shape, 255, np.uint8), window="block") == pytest.approx(
        blocks_by_loop(a, np.full(shape, 255, np.uint8)), abs=1e-9
    )


@pytest.mark.parametrize("window", ["gaussian", "block"])
@pytest.mark.parametrize("seed", range(5))
def test_equal_pictures_are_exactly_one(window, seed):
    a = np.random.default_rng(seed).integers(0, 256, (53, 71), dtype=np.uint8)
    assert ssim(a, a.copy(), window=window) == 1.0
    assert ssim_dissimilarity(a, a.copy(), window=window) == 0.0


@pytest.mark.parametrize("window", ["gaussian", "block"])
def test_is_symmetric_and_takes_views(window):
    a, b = texture(60, 90, 6), texture(60, 90, 7)
    assert ssim(a, b, window=window) == ssim(b, a, window=window)
    assert ssim(a[::2, ::2], b[::2, ::2], window=window) == ssim(
        a[::2, ::2].copy(), b[::2, ::2].copy(), window=window
    )
    assert ssim_dissimilarity(a, b, window=window) == 1.0 - ssim(a, b, window=window)


def test_wrong_arguments():
    a = texture(20, 20)
    with pytest.raises(ValueError, match=r"gaussian window needs 11 x 11 pixels, got 20 x 10"):
        ssim(a[:10], a[:10])
    with pytest.raises(ValueError, match=r"block window needs 8 x 8 pixels, got 7 x 20"):
        ssim(a[:, :7], a[:, :7], window="block")
    with pytest.raises(ValueError, match=r"one size, got \(20, 20\) and \(19, 20\)"):
        ssim(a, a[:19])
    with pytest.raises(ValueError, match="'gaussian' or 'block', got 'mean'"):
        ssim(a, a, window="mean")
    with pytest.raises(TypeError, match="uint8, got float64"):
        ssim(a, a.astype(float))
    with pytest.raises(ValueError, match=r"\(H, W\), got shape \(20, 20, 1\)"):
        ssim(a[..., None], a[..., None])

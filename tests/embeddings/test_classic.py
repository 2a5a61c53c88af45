"""One contract over all embedders without learning, and what each of them is, by oracles and small pictures."""

from __future__ import annotations

import json
import pickle

import cv2
import numpy as np
import pytest
from scipy.fft import dctn
from skimage.feature import hog

from evfr.embeddings import EMBEDDERS, DctEmbedder, HsvEmbedder, ThumbnailEmbedder, make_embedder
from evfr.signals import feature_dissimilarity
from helpers.views import texture

DIMENSIONS = {"thumbnail": 256, "hsv": 256, "hog": 1764, "dct": 63}


def pictures(count=5, height=90, width=160):
    return np.stack(
        [np.stack([texture(height, width, 3 * i + c) for c in range(3)], axis=2) for i in range(count)]
    )


@pytest.fixture(scope="module")
def frames():
    return pictures()


@pytest.mark.parametrize("name", EMBEDDERS)
def test_contract(name, frames):
    embedder = make_embedder(name)
    assert embedder is EMBEDDERS[name]
    vectors = embedder(frames)
    assert (vectors.shape, vectors.dtype) == ((5, DIMENSIONS[name]), np.float32)
    assert np.isfinite(vectors).all()
    before = frames.copy()
    assert embedder(frames).tobytes() == vectors.tobytes()
    assert frames.tobytes() == before.tobytes()
    # However they are batched, and from any iterable.
    assert np.concatenate([embedder(frames[:2]), embedder(frames[2:])]).tobytes() == vectors.tobytes()
    assert embedder(frame for frame in frames).tobytes() == vectors.tobytes()
    assert embedder(frames[:, ::-1, ::-1]).shape == vectors.shape
    assert embedder([]).shape == (0, DIMENSIONS[name])
    assert pickle.loads(pickle.dumps(embedder))(frames).tobytes() == vectors.tobytes()
    assert json.loads(json.dumps(embedder.parameters)) == embedder.parameters
    assert embedder.parameters["name"] == name
    assert len(np.unique(vectors, axis=0)) == 5


@pytest.mark.parametrize("name", EMBEDDERS)
@pytest.mark.parametrize("shape", [(1, 1), (3, 5), (9, 700), (240, 2)])
def test_any_size_and_flat_pictures(name, shape):
    flat = np.full((1, *shape, 3), 90, np.uint8)
    vector = EMBEDDERS[name](flat)[0]
    assert vector.shape == (DIMENSIONS[name],)
    assert bool(vector.any()) == (name in ("thumbnail", "hsv"))


@pytest.mark.parametrize("name", EMBEDDERS)
def test_wrong_frames(name, frames):
    with pytest.raises(ValueError, match=r"frame 0 has shape \(90, 160\)"):
        EMBEDDERS[name](frames[..., 0])
    with pytest.raises(ValueError, match=r"\(N, H, W, 3\) RGB, frame 0 has shape \(160, 3\)"):
        EMBEDDERS[name](frames[0])
    with pytest.raises(TypeError, match="frame 0 is float64"):
        EMBEDDERS[name](frames.astype(np.float64))


def test_thumbnail_is_the_shrunken_grey_picture(frames):
    grey = cv2.resize(frames[0], (16, 16), interpolation=cv2.INTER_AREA) @ np.array([0.299, 0.587, 0.114])
    np.testing.assert_allclose(EMBEDDERS["thumbnail"](frames[:1])[0], grey.ravel() / 255, rtol=1e-6)
    np.testing.assert_array_equal(ThumbnailEmbedder(1)(np.full((1, 4, 4, 3), 255, np.uint8)), [[1.0]])


def test_hsv_counts_pixels_by_colour():
    frame = np.zeros((1, 2, 2, 3), np.uint8)
    frame[0, 0, :] = (255, 0, 0)  # hue 0, saturation 255, value 255: bin (0, 1, 1) of (3, 2, 2)
    frame[0, 1, 0] = (0, 255, 0)  # hue 60 of 180: bin (1, 1, 1)
    np.testing.assert_allclose(
        HsvEmbedder((3, 2, 2))(frame)[0],
        np.sqrt([0.25, 0, 0, 0.5, 0, 0, 0, 0.25, 0, 0, 0, 0]),
        rtol=1e-6,
    )
    vectors = EMBEDDERS["hsv"](pictures(3, 100, 700))
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1.0, rtol=1e-6)


def test_hog_equals_scikit_image(frames):
    for frame in frames:
        small = cv2.resize(frame, (128, 128), interpolation=cv2.INTER_AREA).astype(np.float64)
        grey = 0.299 * small[..., 0] + 0.587 * small[..., 1] + 0.114 * small[..., 2]
        expected = hog(
            grey, orientations=9, pixels_per_cell=(16, 16), cells_per_block=(2, 2), block_norm="L2-Hys"
        )
        np.testing.assert_allclose(EMBEDDERS["hog"](frame[None])[0], expected, atol=1e-4)


def test_dct_equals_scipy(frames):
    grey = cv2.resize(frames[0], (32, 32), interpolation=cv2.INTER_AREA) @ np.array([0.299, 0.587, 0.114])
    expected = dctn(grey / 255, norm="ortho")
    np.testing.assert_allclose(EMBEDDERS["dct"](frames[:1])[0], expected[:8, :8].ravel()[1:], atol=1e-6)
    brighter = np.clip(frames[:1] // 2 + 60, 0, 255)
    vectors = EMBEDDERS["dct"](np.concatenate([frames[:1] // 2, brighter]))
    assert feature_dissimilarity(*vectors) == pytest.approx(0, abs=1e-9)


def test_wrong_options():
    with pytest.raises(ValueError, match="size must be 1 or more, got 0"):
        ThumbnailEmbedder(0)
    with pytest.raises(ValueError, match=r"size must be in \[2, 32\], got 33"):
        DctEmbedder(33)
    with pytest.raises(ValueError, match=r"three numbers of 1 or more, got \(1, 0, 2\)"):
        HsvEmbedder((1, 0, 2))
    with pytest.raises(
        ValueError, match=r"thumbnail, hsv, hog, dct, dinov2, resnet50, timm:NAME, .* got 'sift'"
    ):
        make_embedder("sift")

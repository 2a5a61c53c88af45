"""Feature distance from stored vectors: the definition pair by pair, what is not measurable, float16 on a real clip."""

from __future__ import annotations

from itertools import islice, pairwise
from pathlib import Path

import numpy as np
import pytest

from evfr.embeddings import make_embedder
from evfr.signals import feature_dissimilarities, feature_dissimilarity
from evfr.video import frames


def ranks(values: np.ndarray) -> np.ndarray:
    return np.argsort(np.argsort(values))


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_equals_the_pairwise_definition(dtype: type) -> None:
    rng = np.random.default_rng(0)
    rows = (rng.standard_normal((50, 7)) * 10.0 ** rng.integers(-2, 3, (50, 1))).astype(dtype)
    rows[10] = rows[9]
    rows[20] = 0
    rows[30, 3] = np.nan
    rows[31, 2] = np.inf
    values = feature_dissimilarities(rows, np.arange(50))
    expected = [feature_dissimilarity(a, b) for a, b in pairwise(rows)]
    assert np.allclose(values[:-1], expected, rtol=0, atol=1e-12, equal_nan=True)
    assert values[9] == 0.0 and values[-1] == 0.0
    assert np.flatnonzero(np.isnan(values)).tolist() == [19, 20, 29, 30, 31]


def test_blocks_make_no_difference(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = np.random.default_rng(0).standard_normal((23, 4)).astype(np.float16)
    whole = feature_dissimilarities(rows, np.arange(23))
    for size in (1, 2, 11, 22, 23):
        monkeypatch.setattr("evfr.signals._signals._BLOCK_ROWS", size)
        assert np.array_equal(feature_dissimilarities(rows, np.arange(23)), whole)


def test_nothing_is_measured_over_holes_and_at_damage() -> None:
    rows = np.random.default_rng(0).standard_normal((6, 4))
    index = np.array([0, 1, 2, 5, 6, 7])
    usable = np.array([True, True, True, True, False, True])
    values = feature_dissimilarities(rows, index, usable)
    assert np.isnan(values).tolist() == [False, False, True, True, True, False]
    assert feature_dissimilarities(rows[:1], index[:1]).tolist() == [0.0]
    assert feature_dissimilarities(rows[:0], index[:0]).shape == (0,)


def test_shapes_that_do_not_fit() -> None:
    with pytest.raises(ValueError, match=r"embeddings must be \(M, D\) with M indices"):
        feature_dissimilarities(np.zeros(4), np.arange(4))
    with pytest.raises(ValueError, match=r"embeddings must be \(M, D\) with M indices"):
        feature_dissimilarities(np.zeros((4, 2)), np.arange(3))
    with pytest.raises(ValueError, match=r"embeddings must be \(M, D\) with M indices"):
        feature_dissimilarities(np.zeros((4, 2)), np.arange(4), np.ones(3, bool))


def test_float16_keeps_the_order_of_frames_on_a_real_clip(data_dir: Path) -> None:
    pytest.importorskip("onnxruntime")
    model = make_embedder(data_dir / "weights" / "mobilenetv2_imagenet.onnx")
    clip = data_dir / "research" / "pets_vtest_h264.avi"  # a still camera: differences are small
    rows = model(frame.image for frame in islice(frames(clip), 60))
    index = np.arange(len(rows))
    exact = feature_dissimilarities(rows, index)[:-1]
    halves = feature_dissimilarities(rows.astype(np.float16), index)[:-1]
    assert np.corrcoef(ranks(exact), ranks(halves))[0, 1] > 0.999
    assert np.allclose(exact, halves, rtol=1e-3, atol=1e-6)

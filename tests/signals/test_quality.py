"""Sharpness and exposure of single pictures."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from evfr.signals import clipped_share, score_frames, sharpness
from helpers.views import numbered


def textured(seed: int = 0, width: int = 640) -> np.ndarray:
    rng = np.random.default_rng(seed)
    picture = cv2.resize(rng.integers(40, 200, (45, width // 8), dtype=np.uint8), (width, 360))
    return np.asarray(picture, np.uint8)


def test_sharpness_is_the_variance_of_the_laplacian() -> None:
    picture = textured(width=320)
    expected = cv2.Laplacian(picture.astype(np.float64), cv2.CV_64F).var()
    assert sharpness(picture) == pytest.approx(expected, rel=1e-9)


def test_blur_lowers_sharpness() -> None:
    picture = textured()
    values = [sharpness(cv2.GaussianBlur(picture, (0, 0), sigma)) for sigma in (0.1, 3, 6, 12)]
    assert values == sorted(values, reverse=True)
    assert values[-1] < 0.2 * values[0]


@pytest.mark.parametrize(("level", "share"), [(4, 1.0), (5, 0.0), (250, 0.0), (251, 1.0)])
def test_the_ends_of_the_range_are_clipped(level: int, share: float) -> None:
    assert clipped_share(np.full((20, 30), level, np.uint8)) == share


def test_a_pass_measures_both_for_every_frame() -> None:
    pictures = [textured(), np.zeros((360, 640), np.uint8)]
    scored = score_frames([*numbered(pictures)], {})
    assert scored.sharpness.tolist() == [sharpness(picture) for picture in pictures]
    assert scored.clipped.tolist() == [clipped_share(pictures[0]), 1.0]

"""J and F: closed forms, an independent slow evaluation, the benchmark's definition, beyond 255 frames."""

from __future__ import annotations

import math

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import distance_transform_edt
from skimage.morphology import disk

from evfr._core.masks import Rle
from evfr.metrics import boundary_f, boundary_pixels, boundary_radius, decay, region_similarity, series_scores


def rectangle(height: int, width: int, top: int, left: int, rows: int, columns: int) -> np.ndarray:
    mask = np.zeros((height, width), bool)
    mask[top : top + rows, left : left + columns] = True
    return mask


def circle(height: int, width: int, y: float, x: float, radius: float) -> np.ndarray:
    rows, columns = np.mgrid[:height, :width]
    return (rows - y) ** 2 + (columns - x) ** 2 <= radius**2


def slow_f(truth: np.ndarray, predicted: np.ndarray, radius: int) -> float:
    """Compute F pixel by pixel: outlines from the definition, matches from exact distances."""

    def outline(mask: np.ndarray) -> np.ndarray:
        height, width = mask.shape
        found = np.zeros_like(mask)
        for y in range(height):
            for x in range(width):
                down, right = min(y + 1, height - 1), min(x + 1, width - 1)
                around = {mask[y, right], mask[down, x], mask[down, right]}
                found[y, x] = around != {mask[y, x]}
        return found

    a, b = outline(truth), outline(predicted)
    if not a.any() or not b.any():
        return float(a.any() == b.any())
    precision = (distance_transform_edt(~a)[b] <= radius).mean()
    recall = (distance_transform_edt(~b)[a] <= radius).mean()
    return 0.0 if precision + recall == 0 else 2 * precision * recall / (precision + recall)


@pytest.mark.parametrize("shift", [0, 1, 7, 20, 39, 40, 60])
def test_region_of_shifted_squares(shift):
    """Squares of side 40, one moved by s: (40 - s) / (40 + s), 0 once they part."""
    a = Rle.from_mask(rectangle(120, 160, 30, 20, 40, 40))
    b = Rle.from_mask(rectangle(120, 160, 30, 20 + shift, 40, 40))
    assert region_similarity(a, b) == pytest.approx(max(40 - shift, 0) / (40 + min(shift, 40)))


def test_region_of_circles_against_the_lens():
    """Two discs of radius r whose centres are d apart share 2 r^2 acos(d / 2r) - d/2 sqrt(4 r^2 - d^2)."""
    r, d = 150.0, 110.0
    a = Rle.from_mask(circle(480, 854, 240, 300, r))
    b = Rle.from_mask(circle(480, 854, 240, 300 + d, r))
    lens = 2 * r * r * math.acos(d / (2 * r)) - d / 2 * math.sqrt(4 * r * r - d * d)
    assert region_similarity(a, b) == pytest.approx(lens / (2 * math.pi * r * r - lens), abs=2e-3)


def test_empty_masks():
    nothing, one = Rle.empty(40, 50), Rle.from_mask(rectangle(40, 50, 5, 5, 9, 9))
    assert region_similarity(nothing, nothing) == boundary_f(nothing, nothing) == 1.0
    for a, b in ((nothing, one), (one, nothing)):
        assert region_similarity(a, b) == boundary_f(a, b) == 0.0
    whole = Rle.from_mask(np.ones((40, 50), bool))
    # A mask that fills the picture has no outline: the benchmark sees no difference to an empty one.
    assert boundary_f(whole, nothing) == 1.0
    assert region_similarity(whole, nothing) == 0.0


def test_outline_by_hand():
    """A 2x2 square has its outline above, left of it and inside: where a pixel differs from right, below or both."""
    found = boundary_pixels(rectangle(5, 5, 2, 2, 2, 2))
    np.testing.assert_array_equal(
        found.astype(int),
        [[0, 0, 0, 0, 0], [0, 1, 1, 1, 0], [0, 1, 0, 1, 0], [0, 1, 1, 1, 0], [0, 0, 0, 0, 0]],
    )


def test_the_picture_cuts_without_an_outline():
    """A mask over the right half has one column of outline, none along the edges of the picture."""
    found = boundary_pixels(rectangle(6, 8, 0, 4, 6, 4))
    assert np.flatnonzero(found.any(axis=0)).tolist() == [3]
    assert found.sum() == 6


@pytest.mark.parametrize(
    ("size", "radius"), [((480, 854), 8), ((1080, 1920), 18), ((100, 100), 2), ((3, 4), 1)]
)
def test_radius(size, radius):
    assert boundary_radius(*size) == radius
    assert boundary_radius(*size, tolerance=5) == 5


@pytest.mark.parametrize("tolerance", [0.0, -1.0, float("nan"), float("inf")])
def test_wrong_tolerance(tolerance):
    with pytest.raises(ValueError, match="tolerance must be a finite number above 0, got"):
        boundary_radius(480, 854, tolerance)


@pytest.mark.parametrize(("gap", "value"), [(0, 1.0), (2, 1.0), (3, None), (40, None)])
def test_boundary_of_concentric_squares(gap, value):
    """Outlines up to the radius (2 at 100x100) apart match wholly, further ones only where they touch."""
    a = Rle.from_mask(rectangle(100, 100, 20, 20, 60, 60))
    b = Rle.from_mask(rectangle(100, 100, 20 + gap, 20, 60, 60))
    found = boundary_f(a, b)
    if value is None:
        assert 0 < found < 1
    else:
        assert found == value


def test_boundary_of_parted_circles_is_zero():
    a, b = (Rle.from_mask(circle(200, 400, 100, x, 50)) for x in (80, 300))
    assert boundary_f(a, b) == 0.0


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 2**31), height=st.integers(1, 28), width=st.integers(1, 28), radius=st.integers(1, 6)
)
def test_against_distances_pixel_by_pixel(seed, height, width, radius):
    rng = np.random.default_rng(seed)

    def blob() -> np.ndarray:
        noise = cv2.GaussianBlur(rng.normal(size=(height, width)), (0, 0), float(rng.uniform(0.3, 3)))
        return noise > np.quantile(noise, rng.choice([0.0, 0.3, 0.7, 0.95, 1.0]))

    a, b = blob(), blob()
    found = boundary_f(Rle.from_mask(a), Rle.from_mask(b), tolerance=float(radius))
    assert found == pytest.approx(slow_f(a, b, radius), abs=1e-12)


def test_against_dilation_by_a_disk(data_dir):
    """The benchmark dilates outlines by skimage's disk; on real masks moved by a few pixels, the same F."""
    import zipfile

    with zipfile.ZipFile(data_dir / "seq" / "davis_dog.zip") as archive:
        name = next(n for n in sorted(archive.namelist()) if n.endswith(".png"))
        mask = cv2.imdecode(np.frombuffer(archive.read(name), np.uint8), cv2.IMREAD_UNCHANGED)
    mask = (mask if mask.ndim == 2 else mask.max(axis=2)) > 0
    moved = np.roll(mask, (4, 11), (0, 1)) & (cv2.erode(mask.astype(np.uint8), np.ones((5, 5))) >= 0)
    radius = boundary_radius(*mask.shape)
    a, b = boundary_pixels(mask), boundary_pixels(moved)
    wide = [cv2.dilate(part.astype(np.uint8), disk(radius)).astype(bool) for part in (a, b)]
    precision, recall = (b & wide[0]).sum() / b.sum(), (a & wide[1]).sum() / a.sum()
    expected = 2 * precision * recall / (precision + recall)
    assert 0.2 < expected < 1
    assert boundary_f(Rle.from_mask(mask), Rle.from_mask(moved)) == pytest.approx(expected, abs=1e-12)


def test_masks_of_two_sizes():
    a, b = Rle.empty(4, 5), Rle.from_mask(np.ones((5, 4), bool))
    for score in (region_similarity, boundary_f):
        with pytest.raises(ValueError, match="masks of 5x4 and 4x5 pixels cannot be compared"):
            score(a, b)
        with pytest.raises(ValueError, match="masks of 5x4 and 4x5 pixels cannot be compared"):
            score(Rle.empty(4, 5), Rle.empty(5, 4))


def as_the_benchmark(values: np.ndarray, dtype: type = np.int64) -> float:
    """Compute the decay from its definition: four bins that share their borders, as in the published evaluation."""
    marks = (np.round(np.linspace(1, len(values), 5) + 1e-10) - 1).astype(dtype)
    bins = [values[marks[i] : marks[i + 1] + 1] for i in range(4)]
    return float(np.mean(bins[0]) - np.mean(bins[3]))


@pytest.mark.parametrize("count", [1, 2, 3, 4, 5, 38, 78, 254, 255])
def test_decay_up_to_255_frames_is_the_benchmarks(count):
    values = np.random.default_rng(count).random(count)
    assert decay(values) == pytest.approx(as_the_benchmark(values, np.uint8), abs=1e-12)


@pytest.mark.parametrize("count", [257, 300, 512, 1000])
def test_decay_beyond_255_frames(count):
    """A falling line loses three quarters of its range; 8-bit frame numbers would wrap and see something else."""
    values = np.linspace(1.0, 0.0, count)
    assert decay(values) == pytest.approx(0.75, abs=4 / count)
    assert decay(values) == pytest.approx(as_the_benchmark(values), abs=1e-12)


def test_series_by_hand():
    found = series_scores([0.5, 0.51, 1.0, 0.0])
    assert found.mean == pytest.approx(0.5025)
    assert found.recall == 0.5
    # Quarters of 4 frames end at 1, 2, 3 and 4 (rounded halves go up): frames 0..1 and 2..3.
    assert found.decay == pytest.approx((0.5 + 0.51) / 2 - 0.5)


def test_series_without_frames():
    found = series_scores([])
    assert math.isnan(found.mean)
    assert math.isnan(decay([]))
    assert found.to_dict() == {"mean": None, "recall": None, "decay": None}

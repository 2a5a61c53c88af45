"""Local matching against plain numpy, and what it must find."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from tests.helpers.moving import texture

from evfr._core.masks import Rle
from evfr.propagation._matching import Key, cell_features, cell_side, make_key, match


def plain_match(features, cells, keys, flows, distances):
    """Repeat `match` as it is written down, one cell at a time, in float64."""
    shares, errors = [], []
    for y, x in cells:
        logits, fars, values = [], [], []
        for key, flow, far in zip(keys, flows, distances, strict=True):
            _, height, width = key.features.shape
            cy = min(max(int(np.floor(y + flow[y, x, 1] / 4 + 0.5)), 0), height - 1)
            cx = min(max(int(np.floor(x + flow[y, x, 0] / 4 + 0.5)), 0), width - 1)
            for v in range(max(0, cy - 10), min(height, cy + 11)):
                for u in range(max(0, cx - 10), min(width, cx + 11)):
                    square = ((features[:, y, x].astype(np.float64) - key.features[:, v, u]) ** 2).sum()
                    offset = (v - cy) ** 2 + (u - cx) ** 2
                    logits.append(-(square + 3 * offset) / 72 - np.log(far))
                    fars.append(square)
                    values.append(key.shares[:, v, u])
        weights = np.exp(np.array(logits) - max(logits))
        weights /= weights.sum()
        shares.append(weights @ np.array(values))
        errors.append(np.sqrt(weights @ np.array(fars) / 8))
    return np.array(shares), np.array(errors)


@pytest.mark.parametrize("count", [1, 2])
def test_against_plain_numpy(count):
    rng = np.random.default_rng(count)
    shape = (14, 19)
    keys = [
        Key(
            rng.normal(100, 8, (8, *shape)).astype(np.float32),
            rng.random((3, *shape)).astype(np.float32),
        )
        for _ in range(count)
    ]
    flows = [rng.normal(0, 30, (*shape, 2)).astype(np.float32) for _ in keys]
    features = rng.normal(100, 8, (8, *shape)).astype(np.float32)
    cells = np.argwhere(rng.random(shape) < 0.4)
    got = match(features, cells, keys, flows, [3.0, 7.0][:count], 4)
    for value, expected in zip(
        got, plain_match(features, cells, keys, flows, [3.0, 7.0][:count]), strict=True
    ):
        np.testing.assert_allclose(value, expected, rtol=3e-3, atol=3e-3)


def test_features_by_hand():
    """A picture of one colour has no slopes; a ramp of 1 grey level a pixel has about 4 per cell, 8 over two."""
    flat = np.full((32, 40, 3), (200, 30, 60), np.uint8)
    lab = cv2.cvtColor(flat[:1, :1], cv2.COLOR_RGB2LAB)[0, 0]
    features = cell_features(flat, 4)
    assert features.shape == (8, 8, 10)
    np.testing.assert_array_equal(features[:, 3, 3], [*lab, *lab, 0, 0])
    ramp = np.repeat(np.broadcast_to(np.arange(60, 140, dtype=np.uint8), (32, 80))[..., None], 3, axis=2)
    across = cell_features(ramp, 4)[6:, 4, 5:15]
    assert np.all(np.abs(across[0] - 8) <= 1.5)
    assert np.all(across[1] == 0)


@pytest.mark.parametrize("size", [(30, 41), (32, 40), (1, 1)])
def test_shares_are_means_of_cells(size):
    mask = np.random.default_rng(0).random(size) < 0.5
    key = make_key(texture(0, *size), [Rle.from_mask(mask), None, Rle.empty(*size)], 4)
    cells = -(-size[0] // 4), -(-size[1] // 4)
    assert key.shares.shape == (3, *cells)
    assert not key.shares[1:].any()
    if size[0] >= 4:
        whole = mask[: size[0] // 4 * 4, : size[1] // 4 * 4]
        means = whole.reshape(size[0] // 4, 4, size[1] // 4, 4).mean((1, 3))
        np.testing.assert_allclose(key.shares[0, : means.shape[0], : means.shape[1]], means, atol=1e-6)


def test_it_finds_what_moved_unseen():
    """An object jumps by five cells, the flow says that nothing moved: cells find their label all the same."""
    height, width = 96, 160
    background, own = texture(3, height, width, 40, 90), texture(4, 40, 40, 150, 250)
    before, after = background.copy(), background.copy()
    mask = np.zeros((height, width), np.bool_)
    before[24:64, 24:64], mask[24:64, 24:64] = own, True
    after[24:64, 44:84] = own
    key = make_key(before, [Rle.from_mask(mask)], 4)
    cells = np.argwhere(np.ones((24, 40), np.bool_))
    still = np.zeros((24, 40, 2), np.float32)
    shares, errors = match(cell_features(after, 4), cells, [key], [still], [1.0], 4)
    found, error = shares.reshape(24, 40), errors.reshape(24, 40)
    assert found[8:14, 13:19].min() > 0.9
    assert found[8:14, 23:].max() < 0.1
    assert np.median(error[8:14, 13:19]) < 6


@pytest.mark.parametrize(
    ("size", "side"),
    [((480, 854), 4), ((854, 480), 4), ((240, 320), 2), ((720, 1280), 6), ((2160, 3840), 18), ((1, 1), 2)],
)
def test_cells_grow_with_the_picture(size, side):
    assert cell_side(*size) == side

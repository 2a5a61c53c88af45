from __future__ import annotations

import numpy as np
import pytest
from numba import njit
from numba.core.errors import TypingError

from evfr.sampling._farthest_plain import between_below, bound_margin, squared_distance, sum_plan
from evfr.sampling._farthest_vectors import LANES, lane_distances


@njit
def _lanes(points, j, lanes, out):
    lane_distances(points, j, lanes, out)


@pytest.mark.parametrize("kinds", [(np.float32, np.float32), (np.float32, np.float64), (np.float64,) * 2])
def test_squared_distances_are_those_of_numpy_bit_by_bit(kinds):
    rng = np.random.default_rng(0)
    for width in (*range(1, 40), 127, 128, 129, 136, 200, 257, 384, 768, 1001, 2048):
        a, b = (rng.normal(size=width).astype(kind) for kind in kinds)
        expected = ((a.astype(np.float64) - b.astype(np.float64))[np.newaxis] ** 2).sum(axis=1)[0]
        assert squared_distance(a, b, np.empty(width + 64), sum_plan(width)) == expected, width


def test_bounds_are_right_within_their_margin_or_reach_the_limit():
    rng = np.random.default_rng(1)
    for width in (1, 15, 16, 17, 128, 144, 384, 400):
        a, b = rng.normal(size=(2, 5, width)).astype(np.float32)
        exact = ((a[3].astype(np.float64) - b[4]) ** 2).sum()
        assert between_below(a, 3, b, 4, np.inf) == pytest.approx(exact, rel=bound_margin(width))
        assert exact * (1 + bound_margin(width)) >= between_below(a, 3, b, 4, exact / 2) >= exact / 2


def test_distances_to_many_rows_at_once():
    rng = np.random.default_rng(2)
    points, lanes = rng.normal(size=(3, 32)).astype(np.float32), rng.normal(size=(32, LANES))
    lanes = lanes.astype(np.float32)
    out = np.empty(LANES, np.float32)
    _lanes(points, 2, lanes, out)
    exact = ((points[2].astype(np.float64)[:, np.newaxis] - lanes) ** 2).sum(axis=0)
    np.testing.assert_allclose(out, exact, rtol=bound_margin(32))


def test_rows_with_gaps_are_refused():
    with pytest.raises(TypingError, match="arrays must be contiguous"):
        _lanes(np.zeros((3, 64), np.float32)[:, ::2], 0, np.zeros((32, LANES), np.float32), np.zeros(LANES))

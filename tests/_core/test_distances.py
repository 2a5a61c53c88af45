from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from evfr._core.distances import METRICS, check_metric, distances, usable_rows

EVERY = pytest.mark.parametrize("metric", METRICS)


def by_hand(a, b, metric, p):
    """One pair at a time, from the definitions."""
    a, b = [float(x) for x in a], [float(x) for x in b]
    differences = [abs(x - y) for x, y in zip(a, b, strict=True)]
    if metric == "euclidean":
        return sum(d * d for d in differences) ** 0.5
    if metric == "cosine":
        dot = sum(x * y for x, y in zip(a, b, strict=True))
        return 1 - dot / (sum(x * x for x in a) * sum(y * y for y in b)) ** 0.5
    if metric == "manhattan":
        return sum(differences)
    if metric == "chebyshev":
        return max(differences)
    return sum(d**p for d in differences) ** (1 / p)


@EVERY
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_equals_the_definitions(metric, dtype):
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(5, 17)).astype(dtype), rng.normal(size=(40, 17)).astype(dtype)
    expected = [[by_hand(x, y, metric, 2.5) for y in b] for x in a]
    got = distances(a, b, metric, p=2.5)
    np.testing.assert_allclose(got, expected, rtol=1e-12, atol=1e-13)
    assert got.dtype == np.float64
    np.testing.assert_array_equal(distances(a[2], b, metric, p=2.5), got[2])


ROWS = hnp.arrays(np.float64, (6, 3), elements=st.floats(-1e6, 1e6).map(lambda x: round(x, 3)))


@settings(max_examples=80, deadline=None)
@given(rows=ROWS, metric=st.sampled_from(METRICS), p=st.sampled_from([1.0, 1.5, 2.0, 3.0, 7.0]))
def test_is_symmetric_and_zero_on_itself(rows, metric, p):
    rows = rows[usable_rows(rows, metric)]
    table = distances(rows, rows, metric, p=p)
    np.testing.assert_array_equal(table, table.T)
    np.testing.assert_array_equal(np.diag(table), 0.0)
    assert np.all(table >= 0)
    if metric == "cosine":
        assert np.all(table <= 2)


@pytest.mark.parametrize(("p", "same_as"), [(1.0, "manhattan"), (2.0, "euclidean")])
def test_minkowski_has_its_special_cases(p, same_as):
    rows = np.random.default_rng(1).normal(size=(30, 9))
    np.testing.assert_allclose(
        distances(rows[0], rows, "minkowski", p=p), distances(rows[0], rows, same_as), rtol=1e-12
    )


def test_cosine_is_half_the_squared_euclidean_distance_of_unit_rows():
    rows = np.random.default_rng(2).normal(size=(50, 8))
    unit = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    np.testing.assert_allclose(
        distances(rows, rows, "cosine"), distances(unit, unit) ** 2 / 2, rtol=1e-9, atol=1e-15
    )


@pytest.mark.parametrize("scale", [2.0**-900, 2.0**900])
def test_cosine_of_extreme_rows(scale):
    rows = np.array([[3.0, 4.0], [4.0, 3.0]])
    assert distances(rows[0] * scale, rows, "cosine").tolist() == distances(rows[0], rows, "cosine").tolist()


@EVERY
def test_rows_without_a_distance_give_nan(metric):
    rows = np.array([[1.0, 2.0], [np.nan, 0.0], [np.inf, 0.0], [0.0, 0.0]])
    unusable = [False, True, True, metric == "cosine"]
    assert (~usable_rows(rows, metric)).tolist() == unusable
    assert np.isnan(distances(rows[0], rows, metric)).tolist() == unusable
    assert np.isnan(distances(rows, rows[:1], metric))[:, 0].tolist() == unusable


def test_a_callable_metric_gets_what_was_given():
    seen = []

    def mine(a, b):
        seen.append((a.dtype, b.shape))
        return np.abs(b - a).sum(axis=1)

    rows = np.ones((4, 3), np.float32)
    assert distances(rows[0] + 1, rows, mine).tolist() == [3.0] * 4
    assert seen == [(np.float32, (4, 3))]
    assert usable_rows([[0.0], [np.nan]], mine).tolist() == [True, False]


def test_blocks_do_not_matter(monkeypatch):
    rows = np.random.default_rng(3).normal(size=(100, 7)).astype(np.float32)
    rows[3] = np.nan
    whole = {m: (distances(rows[:3], rows, m), usable_rows(rows, m)) for m in METRICS}
    monkeypatch.setattr("evfr._core.distances.BLOCK_VALUES", 50)
    for metric, (table, usable) in whole.items():
        np.testing.assert_array_equal(distances(rows[:3], rows, metric), table)
        np.testing.assert_array_equal(usable_rows(rows, metric), usable)


def test_no_rows_and_no_columns():
    assert distances(np.ones(3), np.ones((0, 3))).shape == (0,)
    assert distances(np.ones((0, 3)), np.ones((2, 3)), "cosine").shape == (0, 2)
    assert distances(np.ones(0), np.ones((2, 0)), "chebyshev").tolist() == [0.0, 0.0]
    assert usable_rows(np.ones((2, 0)), "cosine").tolist() == [False, False]
    assert usable_rows(np.ones((0, 2))).shape == (0,)


def test_the_input_is_left_alone():
    rows = np.array([[3.0, 4.0], [np.nan, 1.0]])
    before = rows.copy()
    distances(rows, rows, "cosine")
    np.testing.assert_array_equal(rows, before)


def test_refusals():
    with pytest.raises(ValueError, match=r"metric must be one of euclidean, cosine, .* got 'l2'"):
        distances([1.0], [[1.0]], "l2")
    with pytest.raises(ValueError, match="metric must be one of"):
        usable_rows([[1.0]], "l2")
    for p in (0.99, np.inf, np.nan):
        with pytest.raises(ValueError, match="p must be 1 or more and finite"):
            distances([1.0], [[1.0]], "minkowski", p=p)
        check_metric("euclidean", p)
    with pytest.raises(
        ValueError, match=r"need \(D,\) or \(K, D\) against \(M, D\), got \(2,\) against \(1, 1\)"
    ):
        distances([1.0, 2.0], [[1.0]])
    with pytest.raises(ValueError, match="distances need"):
        distances([1.0], [1.0])
    with pytest.raises(ValueError, match=r"embeddings must be \(N, D\), got shape \(1,\)"):
        usable_rows([1.0])
    with pytest.raises(
        ValueError, match=r"metric <lambda> must return one distance per row, \(1,\), got shape \(\)"
    ):
        distances([1.0], [[1.0]], lambda a, b: 0.0)

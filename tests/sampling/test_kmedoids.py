"""`kmedoids`: no swap lowers its sum (brute force), the best of all sets on tiny input, and the kmedoids package."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from evfr.errors import ConstraintError
from evfr.sampling import _kmedoids as module
from evfr.sampling import _kmedoids_kernels as kernels
from evfr.sampling import distances, kmedoids

METRICS = ["euclidean", "cosine", "manhattan", "minkowski", "chebyshev"]


def rows_of(count, dimension=5, seed=0):
    rng = np.random.default_rng(seed)
    return (rng.normal(0, 1, (count, dimension)).cumsum(axis=0) + 2.0).astype(np.float32)


def loss(matrix, medoids, initial=()):
    return matrix[:, [*medoids, *initial]].min(axis=1).sum()


def assert_no_swap_helps(matrix, picks, initial=()):
    least = loss(matrix, picks, initial)
    for i, row in itertools.product(range(len(picks)), range(len(matrix))):
        if row not in picks and row not in initial:
            assert loss(matrix, [*picks[:i], row, *picks[i + 1 :]], initial) >= least * (1 - 1e-5)


@pytest.mark.parametrize("metric", [*METRICS, "callable"])
def test_no_swap_lowers_the_sum(metric):
    rows = rows_of(90)
    own = metric if metric != "callable" else lambda a, b: np.abs(np.asarray(b, np.float64) - a).sum(axis=1)
    matrix = distances(rows, rows, own)
    sample = kmedoids(rows, 7, metric=own, seed=2)
    assert_no_swap_helps(matrix, sample.indices.tolist())
    stated = float(sample.notes[-1].rsplit(" ", 1)[1])
    assert stated == pytest.approx(loss(matrix, sample.indices.tolist()) / 90, rel=1e-3)


def test_no_swap_lowers_the_sum_beside_rows_selected_before():
    rows = rows_of(90, seed=4)
    sample = kmedoids(rows, 5, initial=(4, 50), seed=0)
    assert not {4, 50} & set(sample.indices.tolist())
    assert_no_swap_helps(distances(rows, rows), sample.indices.tolist(), (4, 50))


def test_one_medoid_is_the_best_of_all():
    rows = rows_of(60, seed=1)
    matrix = distances(rows, rows)
    assert kmedoids(rows, 1).indices.tolist() == [int(matrix.sum(axis=0).argmin())]
    best = min((loss(matrix, [i], (3,)), i) for i in range(60) if i != 3)[1]
    assert kmedoids(rows, 1, initial=(3,)).indices.tolist() == [best]


def test_the_best_of_some_seeds_is_the_best_of_all_sets():
    rows = rows_of(12, seed=2)
    matrix = distances(rows, rows)
    best = min(loss(matrix, each) for each in itertools.combinations(range(12), 3))
    found = min(loss(matrix, kmedoids(rows, 3, seed=seed).indices) for seed in range(6))
    assert found == pytest.approx(best, rel=1e-6)


@pytest.mark.parametrize(
    ("count", "picks", "total"),
    [
        (50, [18, 22, 46], 71.338),
        (
            300,
            [5, 57, 59, 64, 66, 68, 69, 102, 103, 105, 108, 140, 162, 167, 182, 186, 206, 207, 237, 291],
            274.3335,
        ),
        (800, [439, 727], 1353.3271),
    ],
)
def test_the_swaps_are_those_of_the_kmedoids_package(count, picks, total):
    """The numbers are from ``kmedoids.fasterpam(matrix, first.astype(np.uint64), max_iter=100, n_cpu=1)``, 0.5.5."""
    n = len(picks)
    rng = np.random.default_rng(count)
    matrix = np.empty((count, count), np.float32)
    kernels.fill_matrix(rng.normal(size=(count, 4)).astype(np.float32), 0, 3.0, matrix)
    medoids = np.sort(rng.choice(count, n, replace=False))
    found, is_settled = kernels.faster_pam(matrix, np.ones(count), np.full(count, np.inf), medoids, 100)
    assert is_settled
    assert sorted(medoids.tolist()) == picks
    assert found == pytest.approx(total, rel=1e-6)


def test_equal_rows_weigh_as_many():
    rows = np.repeat(np.array([[0.0], [1.0], [10.0]]), [1, 9, 1], axis=0)
    assert kmedoids(rows, 1).indices.tolist() == [1]
    sample = kmedoids(rows, 2)
    assert sample.indices.tolist() == [1, 10]
    assert sample.rank.tolist() == [0, 1]
    assert sample.reasons[0] == "kmedoids: medoid of 10 frames, at 0.1 on average"


def test_repeats_only_when_distinct_rows_run_out():
    rows = np.repeat(np.array([[0.0], [1.0], [10.0]]), [2, 3, 1], axis=0)
    sample = kmedoids(rows, 5)
    assert sample.indices.tolist() == [0, 1, 2, 3, 5]
    assert sample.is_fallback
    assert "only 3 distinct rows are left; 2 repeats were filled" in sample.notes[0]


def test_sampled_is_close_to_exact_and_repeats():
    rows = rows_of(900, seed=7)
    exact, sampled = kmedoids(rows, 10), kmedoids(rows, 10, mode="sampled")
    assert sampled.indices.tolist() == kmedoids(rows, 10, mode="sampled").indices.tolist()
    assert "chosen on 5 samples of 120 of 900 distinct rows" in sampled.notes[0]
    matrix = distances(rows, rows)
    assert loss(matrix, sampled.indices) <= 1.15 * loss(matrix, exact.indices)
    assert len(kmedoids(rows, 10, mode="sampled", initial=(0, 5))) == 10


def test_rows_at_distance_zero_under_a_metric_of_the_caller():
    rows = np.arange(12.0).reshape(6, 2)
    sample = kmedoids(rows, 4, metric=lambda a, b: np.zeros(len(b)))
    assert len(sample) == 4


def test_sizes():
    assert kmedoids(np.zeros((0, 3)), 0).indices.tolist() == []
    assert kmedoids(np.ones((1, 3)), 1).indices.tolist() == [0]
    assert kmedoids(rows_of(5), 5).indices.tolist() == [0, 1, 2, 3, 4]
    assert kmedoids(rows_of(5), 0).indices.tolist() == []


def test_wrong_arguments(monkeypatch):
    rows = rows_of(40)
    with pytest.raises(ValueError, match="mode must be exact or sampled, got 'fast'"):
        kmedoids(rows, 3, mode="fast")
    with pytest.raises(ValueError, match=r"p must be 1 or more and finite, got 0\.5"):
        kmedoids(rows, 3, metric="minkowski", p=0.5)
    with pytest.raises(ConstraintError, match="n=41 is more than the 40 frames"):
        kmedoids(rows, 41)
    monkeypatch.setattr(module, "LARGEST_MATRIX", 30)
    with pytest.raises(ValueError, match="takes up to 30 distinct rows, got 40; use mode='sampled'"):
        kmedoids(rows, 3)
    with pytest.raises(ValueError, match="mode='sampled' takes n below 30, got 35; use kmeans"):
        kmedoids(rows, 35, mode="sampled")

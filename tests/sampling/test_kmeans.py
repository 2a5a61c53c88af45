"""`kmeans` against Lloyd's loop in float64 from the same first centres, and what it must never do."""

from __future__ import annotations

import numpy as np
import pytest

from evfr.errors import ConstraintError
from evfr.sampling import kmeans, kmedoids, segment_medoid
from evfr.sampling._cluster_rows import cluster_rows
from evfr.sampling._kmeans import assign_nearest


def blobs(count, groups, dimension=6, seed=0, spread=1.0):
    rng = np.random.default_rng(seed)
    return (rng.normal(0, 5, (groups, dimension))[rng.integers(0, groups, count)]).astype(
        np.float32
    ) + rng.normal(0, spread, (count, dimension)).astype(np.float32)


def plain_kmeans(rows, n, seed, metric="euclidean", initial=(), iterations=20):
    """Return the picks of k-means++ and Lloyd's loop, every distance measured in float64 in every iteration."""
    prepared, _ = cluster_rows(rows, n, metric=metric, initial=initial)
    points, weights = prepared.points.astype(np.float64), prepared.counts
    fixed = prepared.fixed.astype(np.float64)
    rng = np.random.Generator(np.random.PCG64(seed))
    some = np.sort(rng.choice(len(points), min(len(points), 8 * n + 1024), replace=False))
    near = np.full(len(some), np.inf)
    for centre in fixed:
        near = np.minimum(near, ((points[some] - centre) ** 2).sum(axis=1))
    centres = list(fixed)
    for u in rng.random(n):
        share = np.cumsum(weights[some] * np.where(np.isinf(near), 1.0, near))
        centres.append(points[some[np.searchsorted(share, u * share[-1], side="right")]])
        near = np.minimum(near, ((points[some] - centres[-1]) ** 2).sum(axis=1))
    centres = np.array(centres)

    def assign():
        squares = ((points[:, None] - centres[None]) ** 2).sum(axis=2)
        label = squares.argmin(axis=1)
        own = np.sqrt(squares.min(axis=1))
        size = np.bincount(label, minlength=len(centres))
        filled = False
        far = iter(np.lexsort((np.arange(len(own)), -own)))
        for j in range(len(fixed), len(centres)):
            if size[j] == 0:
                i = next(i for i in far if size[label[i]] > 1 or label[i] < len(fixed))
                size[label[i]] -= 1
                label[i], own[i], centres[j], filled = j, 0.0, points[i], True
        return label, own, filled

    before = None
    for _ in range(iterations):
        label, own, filled = assign()
        if before is not None and np.array_equal(before, label) and not filled:
            break
        before = label
        for j in range(len(fixed), len(centres)):
            centres[j] = np.average(points[label == j], axis=0, weights=weights[label == j])
    else:
        label, own, _ = assign()
    picks = []
    for j in range(len(fixed), len(centres)):
        members = np.flatnonzero(label == j)
        picks.append(int(prepared.first[members[np.argmin(own[members])]]))
    return sorted(picks)


@pytest.mark.parametrize("metric", ["euclidean", "cosine"])
@pytest.mark.parametrize(("count", "n"), [(30, 4), (500, 12), (2_500, 40), (300, 299), (60, 1)])
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_equals_the_plain_loop(metric, count, n, dtype):
    rows = blobs(count, max(2, n // 2), seed=count).astype(dtype)
    assert kmeans(rows, n, seed=3, metric=metric).indices.tolist() == plain_kmeans(rows, n, 3, metric)


@pytest.mark.parametrize("iterations", [1, 2, 5])
def test_equals_the_plain_loop_when_stopped_early(iterations):
    rows = blobs(800, 9, spread=4.0)
    sample = kmeans(rows, 25, iterations=iterations)
    assert sample.indices.tolist() == plain_kmeans(rows, 25, 0, iterations=iterations)
    assert f"kmeans: centres were still moving after {iterations} iterations" in sample.notes


def test_rows_selected_before_are_centres_that_stay():
    rows = blobs(400, 8, seed=5)
    initial = (3, 77, 200)
    found = kmeans(rows, 10, seed=1, initial=initial)
    assert found.indices.tolist() == plain_kmeans(rows, 10, 1, initial=initial)
    assert not set(initial) & set(found.indices.tolist())


def test_a_group_with_a_selected_row_gets_no_other():
    rows = np.array([[0.0], [0.1], [10.0], [10.1], [20.0], [20.1]])
    assert kmeans(rows, 2, initial=(0,)).indices.tolist() == [2, 4]


def test_ties_go_to_the_first_centre_and_bounds_hold():
    rng = np.random.default_rng(0)
    points = rng.integers(-3, 4, (500, 3)).astype(np.float32)
    centres = rng.integers(-3, 4, (40, 3)).astype(np.float64)
    label, upper, lower = np.full(500, -1), np.empty(500), np.empty(500)
    assign_nearest(points, centres, label, upper, lower)
    apart = np.sqrt(((points[:, None] - centres[None]) ** 2).sum(axis=2))
    assert label.tolist() == apart.argmin(axis=1).tolist()
    np.testing.assert_allclose(upper, apart.min(axis=1), atol=1e-12)
    second = np.partition(apart, 1, axis=1)[:, 1]
    assert (lower <= second + 1e-12).all()
    assert (lower >= second - 0.01).all()


def test_every_group_far_apart_gets_one():
    rng = np.random.default_rng(0)
    centres = np.arange(20)[:, None] * 100.0
    rows = np.repeat(centres, 30, axis=0) + rng.normal(0, 0.1, (600, 1))
    for seed in range(5):
        picks = kmeans(rows, 20, seed=seed).indices
        assert (picks // 30).tolist() == list(range(20))


def test_few_distinct_rows():
    rows = np.repeat(np.array([[0.0, 1.0], [5.0, 5.0], [9.0, 0.0]]), [5, 1, 3], axis=0)
    assert kmeans(rows, 3).indices.tolist() == [0, 5, 6]
    assert kmeans(rows, 2).indices.shape == (2,)
    sample = kmeans(rows, 5)
    assert sample.indices.tolist() == [0, 1, 2, 5, 6]
    assert sample.is_fallback
    assert "only 3 distinct rows are left; 2 repeats were filled by lowest index" in sample.notes[0]
    assert sample.rank.tolist() == [0, 3, 4, 2, 1]
    again = kmeans(rows, 2, initial=(0, 6))
    assert again.indices.tolist() == [1, 5]
    assert again.is_fallback


def test_many_empty_clusters_are_filled_with_different_rows():
    """One heavy pile and few others: most first centres would fall together."""
    rng = np.random.default_rng(0)
    rows = np.concatenate([rng.normal(0, 1e-4, (500, 3)), rng.normal(0, 100, (30, 3))]).astype(np.float32)
    for seed in range(10):
        sample = kmeans(rows, 28, seed=seed)
        assert len(np.unique(rows[sample.indices], axis=0)) == 28
        assert (sample.indices >= 500).sum() >= 20


def test_far_from_the_origin_and_of_any_scale():
    rows = blobs(300, 5).astype(np.float64)
    near = kmeans(rows, 5).indices.tolist()
    assert kmeans(rows + 1e6, 5).indices.tolist() == near
    for scale in (2.0**-70, 2.0**70):
        assert kmeans(rows * scale, 5).indices.tolist() == near


def test_sizes_rank_and_reasons():
    rows = np.array([[0.0], [1.0], [2.0], [50.0], [90.0], [91.0]])
    sample = kmeans(rows, 3)
    assert sample.indices.tolist() == [1, 3, 4]
    assert sample.rank.tolist() == [0, 2, 1]
    assert sample.reasons[0] == "kmeans: nearest of 3 frames to their mean, at 0"
    assert np.isnan(sample.inclusion).all()
    assert kmeans(np.zeros((0, 4)), 0).indices.tolist() == []
    assert kmeans(rows, 0).indices.tolist() == []
    assert kmeans(rows[:1], 1).indices.tolist() == [0]


def test_a_source_of_rows_is_read_as_a_whole():
    table = blobs(90, 4)

    class Source:
        dimension = table.shape[1]

        def __len__(self):
            return len(table)

        def rows(self, indices):
            return table[indices]

        def blocks(self, size):
            return (table[i : i + size] for i in range(0, len(table), size))

    for sampler in (kmeans, kmedoids, segment_medoid):
        assert sampler(Source(), 6).indices.tolist() == sampler(table, 6).indices.tolist()


def test_wrong_arguments():
    rows = np.ones((5, 2))
    rows[3] = np.nan
    with pytest.raises(ValueError, match="metric must be euclidean or cosine, got 'manhattan'"):
        kmeans(rows, 1, metric="manhattan")
    with pytest.raises(ValueError, match="iterations must be 1 or more, got 0"):
        kmeans(rows, 1, iterations=0)
    with pytest.raises(ValueError, match=r"embeddings must be \(N, D\), got shape \(5,\)"):
        kmeans(np.ones(5), 1)
    with pytest.raises(ValueError, match=r"usable must be \(5,\) bool, got \(5,\) int64"):
        kmeans(rows, 1, usable=np.ones(5, int))
    with pytest.raises(ValueError, match=r"initial must hold rows in 0\.\.4, got 2 to 5"):
        kmeans(rows, 1, initial=(2, 5))
    with pytest.raises(ValueError, match="initial row 3 has no distance"):
        kmeans(rows, 1, initial=(3,))
    usable = np.array([True, True, True, True, False])
    with pytest.raises(
        ConstraintError,
        match=r"n=3 is more than the 2 of 5 rows .*\(1 with NaN .*, 1 selected .*, 1 ruled out\)",
    ):
        kmeans(rows, 3, usable=usable, initial=(0,))

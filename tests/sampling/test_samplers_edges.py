"""Corners of the samplers: ties, empty groups, collisions, struck frames; each held to its definition."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial.distance import cdist

from evfr.errors import ConstraintError
from evfr.sampling import Constraints, Part, Sample, coverage, sample_rows
from evfr.sampling import _facility_rows as facility_rows
from evfr.sampling import _kmedoids as kmedoids_module
from evfr.sampling._allocate import allocate
from evfr.sampling._dedup_search import _Kept
from evfr.sampling._kmeans import _farthest_first, _refill
from evfr.sampling._sample import Sample as SampleValue


def points(n: int, width: int = 3, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(n, width)).astype(np.float32)


@pytest.mark.parametrize(
    ("metric", "name"), [("euclidean", "euclidean"), ("cosine", "cosine"), ("manhattan", "cityblock")]
)
def test_coverage_is_the_distance_to_the_nearest_pick(metric, name):
    rows = points(200, 5).astype(np.float64)
    rows[[4, 90]] = np.nan
    picks = np.array([3, 50, 77, 120, 4])
    found = coverage(rows, picks, metric=metric)
    sound = rows[~np.isnan(rows[:, 0])]
    nearest = cdist(sound, rows[[3, 50, 77, 120]], name).min(axis=1)
    assert (found.radius, found.mean) == pytest.approx((nearest.max(), nearest.mean()), abs=1e-12)


def test_coverage_of_nothing_is_unknown():
    none = coverage(points(4), np.zeros(0, np.int64))
    assert np.isnan(none.radius)
    assert np.isnan(none.mean)
    with pytest.raises(ValueError, match=r"chosen must be in 0\.\.3, got 0 to 4"):
        coverage(points(4), np.array([0, 4]))


def test_whole_numbers_are_embeddings_too():
    whole = np.random.default_rng(1).integers(-9, 9, (40, 3))
    for method in ("kmeans", "kmedoids", "facility", "farthest"):
        one = sample_rows(method, whole, 6, Part(40, np.arange(40), Constraints()))
        two = sample_rows(method, whole.astype(np.float64), 6, Part(40, np.arange(40), Constraints()))
        assert one.indices.tolist() == two.indices.tolist(), method


def test_equal_rows_are_grouped_even_where_their_hashes_collide(monkeypatch):
    rows = points(60, 4)
    rows[30:45] = rows[:15]
    first, group = facility_rows._groups(rows)
    assert first.tolist() == [*range(30), *range(45, 60)]
    np.testing.assert_array_equal(rows[first[group]], rows)
    monkeypatch.setattr(facility_rows, "_hash_rows", lambda words, keys: np.zeros(len(words), np.uint64))
    collided = facility_rows._groups(rows)
    np.testing.assert_array_equal(collided[0], first)
    np.testing.assert_array_equal(collided[1], group)
    assert [part.tolist() for part in facility_rows._groups(np.zeros((3, 0), np.float32))] == [[0], [0, 0, 0]]
    assert [part.tolist() for part in facility_rows._groups(np.zeros((0, 0), np.float32))] == [[], []]


def test_what_is_kept_grows_without_losing_rows():
    kept = _Kept(2, np.dtype(np.float32))
    rows = points(5_000, 2)
    norms = np.arange(5_000.0)
    for begin, stop in ((0, 700), (700, 1_500), (1_500, 5_000)):
        kept.add(rows[begin:stop], rows[begin:stop], norms[begin:stop], norms[begin:stop] ** 2)
    assert kept.count == 5_000
    np.testing.assert_array_equal(kept.raw[:5_000], rows)
    np.testing.assert_array_equal(kept.screen[:5_000], rows)
    np.testing.assert_array_equal(kept.norms[:5_000], norms)
    np.testing.assert_array_equal(kept.squares[:5_000], norms**2)


def test_points_for_empty_clusters_are_the_farthest_and_empty_no_other():
    upper = np.array([1.0, 5.0, 5.0, 9.0, 0.5])
    label = np.array([0, 0, 0, 1, 0])
    size = np.array([4, 1, 0, 0])
    assert _farthest_first(upper, label, size, 0, 2) == [1, 2], "point 3 is alone in its cluster"
    assert _farthest_first(upper, label, size, 2, 1) == [3], "but not where a fixed centre holds the cluster"
    assert _farthest_first(upper, np.array([0, 1, 2, 3, 4]), np.ones(5, int), 0, 2) == []


def test_an_empty_cluster_takes_a_point_along():
    class Rows:
        fixed = np.zeros((1, 2))
        points = np.array([[0.0, 0], [1, 0], [9, 0], [8, 0]])

    label = np.array([0, 1, 1, 1])
    upper, lower = np.array([0.0, 7, 1, 3]), np.ones(4)
    centres = np.array([[0.0, 0], [8, 0], [50, 50]])
    assert _refill(Rows, centres, label, upper, lower) is True
    assert label.tolist() == [0, 2, 1, 1]
    assert centres[2].tolist() == [1, 0]
    assert (upper[1], lower[1]) == (0, 0)
    assert _refill(Rows, centres, label, upper, lower) is False


def test_swaps_that_do_not_settle_are_told(monkeypatch):
    rows = points(40)
    assert not any("swaps were stopped" in note for note in kmedoids_module.kmedoids(rows, 4).notes)
    monkeypatch.setattr(kmedoids_module, "PASSES", 0)
    found = kmedoids_module.kmedoids(rows, 4, mode="exact")
    assert len(found.indices) == 4
    assert any("swaps were stopped after 0 rounds" in note for note in found.notes)


@pytest.mark.parametrize("method", ["kmeans", "kmedoids", "segment-medoid"])
def test_one_video_under_constraints(method):
    rows = points(30)
    index = np.arange(0, 90, 3)
    selectable = np.ones(90, np.bool_)
    selectable[[9, 12, 33]] = False
    times = np.arange(90) / 10
    rules = Constraints(
        include=(4, 30), exclude=(6,), labeled=(60,), selectable=selectable, min_gap_seconds=0.5
    )
    part = Part(90, index, rules, times)
    found = sample_rows(method, rows, 8, part, cuts=np.array([45]) if method == "segment-medoid" else None)
    chosen = found.indices.tolist()
    assert len(chosen) == 8
    assert {4, 30} <= set(chosen)
    assert not {6, 60, 9, 12, 33} & set(chosen)
    assert set(chosen) - {4} <= set(index.tolist())
    assert np.diff(sorted([*chosen, 60])).min() >= 5
    with pytest.raises(ConstraintError, match="include has 2 frames, n is 1; raise n"):
        sample_rows(method, rows, 1, part)


def test_cuts_move_to_the_rows_that_are_there():
    """A cut at frame 45 lies between rows 14 (42) and 15 (45): no group joins both sides."""
    rows = np.repeat([[0.0, 1.0], [5.0, 1.0]], 15, axis=0) + 0.01 * points(30, 2)
    part = Part(90, np.arange(0, 90, 3), Constraints(), np.arange(90) / 10)
    found = sample_rows("segment-medoid", rows, 2, part, cuts=np.array([45]))
    assert sorted(int(frame >= 45) for frame in found.indices) == [0, 1]


def test_budgets_that_overshoot_are_taken_back_from_the_smallest_parts():
    found = allocate(10, [5.0, 3.0, 2.0], minimum=1)
    assert sum(found) == 10
    assert min(found) >= 1
    assert list(found) == sorted(found, reverse=True)


def test_samples_that_do_not_fit():
    n = 2
    columns = {
        "indices": np.array([1, 4]),
        "inclusion": np.ones(n),
        "rank": np.array([0, 1]),
        "reasons": ("a", "b"),
    }
    Sample(**columns, gains=np.zeros(n))
    with pytest.raises(ValueError, match=r"gains must be \(2,\) float64, got \(3,\) float64"):
        SampleValue(**columns, gains=np.zeros(3))
    with pytest.raises(ValueError, match=r"gains must be \(2,\) float64, got \(2,\) float32"):
        SampleValue(**columns, gains=np.zeros(2, np.float32))


def test_constraints_say_what_they_hold():
    rules = Constraints(
        include=(1,),
        exclude=(2, 3),
        labeled=(9,),
        min_gap_seconds=0.5,
        selectable=np.arange(12) != 4,
        cells=(0, 5),
    )
    text = repr(rules)
    for part in (
        "min_gap_seconds=0.5",
        "1 include",
        "2 exclude",
        "1 labeled",
        "2 cells",
        "11 of 12 selectable",
    ):
        assert part in text
    assert repr(Constraints()) == "Constraints()"


def test_rows_say_how_many_are_different():
    rows, _ = facility_rows.prepare(np.array([[1.0, 0], [0, 1], [1, 0]]), "euclidean")
    assert repr(rows) == "Rows(3 rows, 2 distinct, float64)"


@pytest.mark.parametrize("radius", [0.1, 0.3, 1 / 3, 1.0, 1.7])
@pytest.mark.parametrize("metric", ["euclidean", "cosine", "minkowski", "manhattan"])
def test_the_key_of_a_radius_is_the_last_that_lies_within(metric, radius):
    from evfr.sampling._farthest import _prepare

    problem = _prepare(points(12), 0, metric, 3.0, "seed", (), None)
    key = problem.stop_key(radius)
    assert problem.distances([key])[0] <= radius
    assert problem.distances([np.nextafter(key, np.inf)])[0] > radius

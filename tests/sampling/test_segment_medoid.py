"""`segment_medoid` against all ways to split a short clip."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from evfr.errors import ConstraintError
from evfr.sampling import _segment_medoid as module
from evfr.sampling import distances, segment_medoid


def rows_of(count, dimension=3, seed=0):
    rng = np.random.default_rng(seed)
    return (rng.normal(0, 1, (count, dimension)).cumsum(axis=0) + 2.0).astype(np.float32)


def least_cost(matrix, n, cuts=()):
    """Try every split into n stretches (none across a cut) and every medoid."""
    count = len(matrix)
    best = np.inf
    for inner in itertools.combinations(range(1, count), n - 1):
        if set(cuts) <= set(inner):
            ends = (0, *inner, count)
            best = min(best, sum(matrix[a:b, a:b].sum(axis=0).min() for a, b in itertools.pairwise(ends)))
    return best


def cost_of(matrix, sample):
    """Return the cost of the picks, each frame free to take the pick before or after it."""
    picks = sample.indices
    total = 0.0
    ends = [0]
    for a, b in itertools.pairwise(picks.tolist()):
        costs = [matrix[a + 1 : c, a].sum() + matrix[c:b, b].sum() for c in range(a + 1, b + 1)]
        total += min(costs)
        ends.append(a + 1 + int(np.argmin(costs)))
    return total + matrix[: picks[0], picks[0]].sum() + matrix[picks[-1] :, picks[-1]].sum()


@pytest.mark.parametrize("metric", ["euclidean", "cosine", "manhattan", "minkowski", "chebyshev", "callable"])
@pytest.mark.parametrize("n", [1, 2, 3, 5, 11, 12])
def test_equals_the_best_of_all_splits(metric, n):
    rows = rows_of(12)
    own = metric if metric != "callable" else lambda a, b: np.abs(np.asarray(b, np.float64) - a).sum(axis=1)
    matrix = distances(rows, rows, own)
    sample = segment_medoid(rows, n, metric=own)
    assert cost_of(matrix, sample) == pytest.approx(least_cost(matrix, n), rel=1e-5, abs=1e-6)
    stated = float(sample.notes[-1].rsplit(" ", 1)[1])
    assert stated == pytest.approx(least_cost(matrix, n) / 12, rel=2e-3, abs=1e-6)


@pytest.mark.parametrize("seed", range(6))
def test_no_stretch_crosses_a_cut(seed):
    rows = rows_of(11, seed=seed)
    matrix = distances(rows, rows)
    for cuts in ((4,), (2, 9), (1, 2, 3)):
        for n in range(len(cuts) + 1, 7):
            sample = segment_medoid(rows, n, cuts=cuts)
            stated = float(sample.notes[-1].rsplit(" ", 1)[1])
            assert stated == pytest.approx(least_cost(matrix, n, cuts) / 11, rel=2e-3)
            shots = np.searchsorted(cuts, sample.indices, side="right")
            assert set(shots.tolist()) == set(range(len(cuts) + 1))


def test_more_shots_than_picks():
    rows = rows_of(11)
    sample = segment_medoid(rows, 2, cuts=(2, 5, 9))
    assert sample.indices.tolist() == segment_medoid(rows, 2).indices.tolist()
    assert sample.notes[0] == "segment-medoid: 4 shots are more than n=2; stretches may cross cuts"


def test_rows_selected_before_take_frames_away():
    rows = np.array([[0.0], [0.1], [0.2], [9.0], [9.1], [20.0], [20.1]])
    assert set(segment_medoid(rows, 2, initial=(4,)).indices.tolist()) <= {0, 1, 2, 5, 6}
    matrix = np.minimum(distances(rows, rows), np.abs(rows[:, 0] - 9.1)[:, None])
    free = [0, 1, 2, 3, 5, 6]
    best = least_cost(matrix[np.ix_(free, free)], 2)
    stated = float(segment_medoid(rows, 2, initial=(4,)).notes[-1].rsplit(" ", 1)[1])
    assert stated == pytest.approx(best / 6, rel=2e-3)


def test_a_static_clip_is_spread():
    picks = segment_medoid(np.ones((100, 4)), 5).indices
    assert np.diff(picks).min() >= 15
    assert 5 <= picks[0] <= 15


def test_unusable_rows_and_cuts_beside_them():
    rows = rows_of(10)
    rows[[0, 4]] = np.nan
    usable = np.ones(10, bool)
    usable[5] = False
    sample = segment_medoid(rows, 3, usable=usable, cuts=(5,))
    assert not {0, 4, 5} & set(sample.indices.tolist())
    assert sample.nan_count == 2
    assert sample.reasons[0].startswith("segment-medoid: frames 1 to ")
    assert (sample.indices < 5).any()
    assert (sample.indices > 5).any()
    everything = segment_medoid(rows, 7, usable=usable, cuts=(5,))
    assert everything.indices.tolist() == [1, 2, 3, 6, 7, 8, 9]


def test_rank_is_by_length():
    rows = np.array([[0.0]] * 2 + [[5.0]] * 6 + [[9.0]] * 3)
    sample = segment_medoid(rows, 3)
    assert sample.rank.tolist() == [2, 0, 1]


def test_a_grid_looks_at_some_rows_only():
    rows = rows_of(60)
    coarse = segment_medoid(rows, 4, grid=3)
    assert (coarse.indices % 3 == 0).all()
    assert (coarse.indices // 3).tolist() == segment_medoid(rows[::3], 4).indices.tolist()


def test_sizes_and_wrong_arguments(monkeypatch):
    rows = rows_of(20)
    assert segment_medoid(np.zeros((0, 3)), 0).indices.tolist() == []
    assert segment_medoid(rows, 0).indices.tolist() == []
    assert segment_medoid(rows[:1], 1).indices.tolist() == [0]
    assert segment_medoid(rows, 20).indices.tolist() == list(range(20))
    with pytest.raises(ValueError, match="grid must be 1 or more, got 0"):
        segment_medoid(rows, 2, grid=0)
    with pytest.raises(ValueError, match="grid=5 leaves 4 rows, n is 6; lower grid or n"):
        segment_medoid(rows, 6, grid=5)
    with pytest.raises(ValueError, match=r"cuts must be in 1\.\.19, got 0 to 3"):
        segment_medoid(rows, 2, cuts=(0, 3))
    with pytest.raises(ConstraintError, match="n=21 is more than the 20 frames"):
        segment_medoid(rows, 21)
    monkeypatch.setattr(module, "LARGEST_TABLE", 100)
    with pytest.raises(ValueError, match=r"takes up to 8192 rows .* got 20; use grid=2"):
        segment_medoid(rows, 2)
    assert len(segment_medoid(rows, 2, cuts=(10,), grid=2)) == 2

"""Facility location against a brute force in float64, by every mode."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evfr._core.distances import distances
from evfr.errors import ConstraintError
from evfr.sampling import _facility, _facility_rows, facility, facility_objective

MODES = pytest.mark.parametrize("mode", ["exact", "sparse", "stochastic"])


def similarities(rows: np.ndarray, metric: str = "cosine") -> np.ndarray:
    """Return the matrix that the docstring defines, in float64."""
    rows = rows.astype(np.float64)
    if metric == "cosine":
        rows = rows / np.linalg.norm(rows, axis=1, keepdims=True)
        return np.clip(rows @ rows.T, 0, 1)
    return np.clip(
        1 - distances(rows, rows, metric) / (2 * distances(rows.mean(0), rows, metric).max()), 0, 1
    )


def plain_greedy(matrix: np.ndarray, n: int, initial=(), may=None) -> tuple[list[int], list[float]]:
    """Compare every row at every pick; the lowest index wins ties, up to rounding."""
    covered = matrix[list(initial)].max(axis=0) if len(initial) else np.zeros(len(matrix))
    free = np.ones(len(matrix), bool) if may is None else may.copy()
    free[list(initial)] = False
    order, gains = [], []
    for _ in range(n):
        rise = np.where(free, np.maximum(matrix - covered, 0).sum(axis=1), -1.0)
        best = int(np.flatnonzero(rise >= rise.max() - 1e-7)[0])
        order.append(best)
        gains.append(rise[best])
        covered = np.maximum(covered, matrix[best])
        free[best] = False
    return order, gains


def in_order(sample) -> list[int]:
    return sample.indices[np.argsort(sample.rank)].tolist()


def clustered(count: int, width: int = 8, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    centres = rng.normal(size=(max(1, count // 12), width))
    return (centres[rng.integers(len(centres), size=count)] + 0.3 * rng.normal(size=(count, width))).astype(
        np.float32
    )


@pytest.mark.parametrize("metric", ["cosine", "euclidean", "manhattan", "chebyshev"])
@pytest.mark.parametrize("seed", range(3))
def test_exact_takes_the_rows_of_the_brute_force(metric, seed):
    rows = clustered(150, seed=seed)
    order, gains = plain_greedy(similarities(rows, metric), 20)
    sample = facility(rows, 20, metric=metric, mode="exact")
    assert in_order(sample) == order
    np.testing.assert_allclose(sample.gains[np.argsort(sample.rank)], gains, atol=1e-6)
    assert facility_objective(rows, sample.indices, metric=metric) == pytest.approx(sum(gains))
    assert sample.method == "facility"
    assert np.isnan(sample.inclusion).all()
    assert f"represents {sum(gains):.1f} of 150 frames (exact)" in sample.notes[0]


@settings(max_examples=60, deadline=None)
@given(
    rows=st.lists(st.lists(st.integers(-2, 2), min_size=3, max_size=3), min_size=1, max_size=25),
    share=st.floats(0, 1),
    mode=st.sampled_from(["exact", "stochastic"]),
)
def test_few_distinct_rows(rows, share, mode):
    array = np.array(rows, np.float16)
    pickable = array.any(axis=1)
    n = round(share * pickable.sum())
    sample = facility(array, n, mode=mode)
    assert len(set(sample.indices.tolist())) == len(sample) == n
    assert pickable[sample.indices].all()
    assert sample.nan_count == (~pickable).sum()
    unit = similarities(array[pickable]) if pickable.any() else np.zeros((0, 0))
    total = np.round(np.unique(np.round(unit, 6), axis=0), 6)
    if n and mode == "exact":
        _, gains = plain_greedy(unit, n)
        assert sample.gains.sum() == pytest.approx(sum(gains), rel=1e-6)
    gains = sample.gains[np.argsort(sample.rank)]
    if mode == "exact":
        assert np.all(np.diff(gains) <= 1e-9)
    # Copies come after all distinct directions.
    directions = [
        tuple(np.round(unit[np.flatnonzero(pickable).searchsorted(i)], 6)) for i in in_order(sample)
    ]
    first = min(n, len(total))
    assert len(set(directions[:first])) == first


def test_gains_never_rise_and_reasons_say_them():
    sample = facility(clustered(400), 60, mode="exact")
    gains = sample.gains[np.argsort(sample.rank)]
    assert np.all(np.diff(gains) <= 0)
    first = sample.reasons[int(np.argmin(sample.rank))]
    assert first.startswith(f"facility: adds {gains[0]:.3g} frames; nearest pick of ")
    assert sum(int(reason.rsplit(" ", 1)[1]) for reason in sample.reasons) == 400


def test_a_smaller_n_is_a_prefix():
    rows = clustered(200)
    whole = in_order(facility(rows, 30))
    for n in (0, 1, 7, 29):
        assert in_order(facility(rows, n)) == whole[:n]


@MODES
def test_initial_rows_count_and_are_not_returned(mode):
    rows = clustered(120)
    free = facility(rows, 6, mode="exact")
    sample = facility(rows, 5, mode=mode, initial=free.indices.tolist())
    assert not set(sample.indices.tolist()) & set(free.indices.tolist())
    if mode == "exact":
        order, gains = plain_greedy(similarities(rows), 5, initial=in_order(free))
        assert in_order(sample) == order
        np.testing.assert_allclose(sample.gains[np.argsort(sample.rank)], gains, atol=1e-6)


@MODES
def test_only_usable_rows_are_taken_and_all_are_represented(mode):
    rows = clustered(120)
    usable = np.arange(120) % 3 == 0
    sample = facility(rows, 8, mode=mode, usable=usable)
    assert usable[sample.indices].all()
    if mode == "exact":
        assert in_order(sample) == plain_greedy(similarities(rows), 8, may=usable)[0]


@MODES
def test_struck_rows_do_not_come_back(mode):
    rows = clustered(120)
    asked, taken = [], []

    def accept(row: int) -> bool:
        asked.append(row)
        is_free = all(abs(row - other) >= 5 for other in taken)
        if is_free:
            taken.append(row)
        return is_free

    sample = facility(rows, 12, mode=mode, accept=accept)
    assert len(asked) == len(set(asked))
    assert in_order(sample) == taken
    assert np.diff(sample.indices).min() >= 5
    if mode == "exact":
        matrix, may, order = similarities(rows), np.ones(120, bool), []
        for _ in range(12):
            order.append(plain_greedy(matrix, 1, initial=order, may=may)[0][0])
            may[max(0, order[-1] - 4) : order[-1] + 5] = False
        assert order == taken


def test_a_copy_takes_the_place_of_a_struck_row():
    rows = np.array([[1, 0], [0, 1], [1, 0], [1, 0]], np.float32)
    sample = facility(rows, 1, mode="exact", accept=lambda row: row > 1)
    assert sample.indices.tolist() == [2]
    assert sample.gains.tolist() == [3.0]


@MODES
def test_nothing_accepted(mode):
    with pytest.raises(ConstraintError, match="only 0 of n=2 frames are accepted by the constraints"):
        facility(clustered(30), 2, mode=mode, accept=lambda row: False)


@MODES
def test_all_rows_equal(mode):
    sample = facility(np.ones((9, 4), np.float16), 3, mode=mode)
    assert sample.indices.tolist() == [0, 1, 2]
    assert sample.gains.tolist() == [9.0, 0.0, 0.0]
    assert sample.is_fallback
    assert "2 frames add nothing and were taken by lowest index" in sample.notes[1]
    assert sample.reasons[1] == "facility: adds nothing; lowest index"


@MODES
def test_edges(mode):
    assert len(facility(np.zeros((0, 4), np.float32), 0, mode=mode)) == 0
    assert len(facility(np.full((3, 4), np.nan), 0, mode=mode)) == 0
    assert facility(np.ones((1, 4)), 1, mode=mode).indices.tolist() == [0]
    rows = clustered(40)
    assert facility(rows, 40, mode=mode).indices.tolist() == list(range(40))
    half = rows.astype(np.float16)
    assert (
        facility(half, 9, mode=mode).indices.tolist()
        == facility(half.astype(float), 9, mode=mode).indices.tolist()
    )


@MODES
def test_rows_that_cannot_be_used(mode):
    rows = clustered(40)
    rows[[3, 7]] = np.nan
    rows[5, 2] = np.inf
    rows[11] = 0
    sample = facility(rows, 36, mode=mode, initial=[3])
    assert sample.nan_count == 4
    assert not set(sample.indices.tolist()) & {3, 5, 7, 11}
    with pytest.raises(
        ConstraintError, match="n=37 is more than the 36 of 40 frames that can be picked; 4 rows hold"
    ):
        facility(rows, 37, mode=mode)
    assert facility(rows, 37, mode="exact", metric="euclidean").nan_count == 3


def test_the_sign_of_zero_and_the_length_of_a_row_do_not_matter():
    rows = np.array([[1, 0.0], [3, -0.0], [0, 7]], np.float32)
    assert facility(rows, 2).indices.tolist() == [0, 2]


@pytest.mark.parametrize("seed", range(4))
def test_sparse_comes_close_to_exact(seed):
    rows = clustered(1500, 16, seed)
    exact = facility_objective(rows, facility(rows, 60, mode="exact").indices)
    sparse = facility(rows, 60, mode="sparse")
    total = facility_objective(rows, sparse.indices)
    assert total >= 0.99 * exact
    bound = float(sparse.notes[0].split(", ")[1].split()[0])
    assert bound <= total + 0.05


def test_sparse_with_euclidean_and_times():
    rows = clustered(300)
    times = np.random.default_rng(0).permutation(300).astype(float)
    sparse = facility(rows, 30, mode="sparse", metric="euclidean", neighbours=10, times=times)
    exact = facility(rows, 30, mode="exact", metric="euclidean")
    ratio = [facility_objective(rows, s.indices, metric="euclidean") for s in (sparse, exact)]
    assert ratio[0] >= 0.98 * ratio[1]


def test_sparse_with_all_neighbours_is_exact():
    rows = clustered(80)
    exact, sparse = (facility(rows, 20, mode=mode, neighbours=80) for mode in ("exact", "sparse"))
    assert in_order(exact) == in_order(sparse)


def test_stochastic_comes_close_and_follows_its_seed():
    rows = clustered(500)
    exact = facility_objective(rows, facility(rows, 25).indices)
    a, b, c = (facility(rows, 25, mode="stochastic", seed=seed) for seed in (1, 1, 2))
    assert a.indices.tolist() == b.indices.tolist() != c.indices.tolist()
    assert facility_objective(rows, a.indices) >= 0.97 * exact


def test_blocks_take_what_the_matrix_takes(monkeypatch):
    rows = clustered(300)
    held = {mode: facility(rows, 30, mode=mode) for mode in ("exact", "stochastic")}
    monkeypatch.setattr(_facility, "MATRIX_BYTES", 0)
    for mode, sample in held.items():
        again = facility(rows, 30, mode=mode)
        assert in_order(again) == in_order(sample)
        np.testing.assert_array_equal(again.gains, sample.gains)
    assert "(sparse)" in facility(rows, 30).notes[0]
    assert "(exact)" in facility(rows, 3, metric="manhattan").notes[0]


class Source:
    """Give rows as `EmbeddingSet` does."""

    def __init__(self, array):
        self.array, self.dimension = array, array.shape[1]

    def __len__(self):
        return len(self.array)

    def rows(self, indices):
        return self.array[indices]

    def blocks(self, size):
        return (self.array[k : k + size] for k in range(0, len(self.array), size))


def test_a_source_of_rows():
    rows = clustered(60)
    sample = facility(Source(rows), 7)
    assert sample.indices.tolist() == facility(rows, 7).indices.tolist()
    assert facility_objective(Source(rows), sample.indices) == facility_objective(rows, sample.indices)
    assert len(facility(Source(rows[:0]), 0)) == 0


def test_many_rows_in_single_precision(monkeypatch):
    monkeypatch.setattr(_facility_rows, "DOUBLE_ROWS", 100)
    rows = clustered(700, 16)
    matrix = similarities(rows)
    _, gains = plain_greedy(matrix, 30)
    sample = facility(rows, 30, mode="exact")
    assert matrix[sample.indices].max(axis=0).sum() == pytest.approx(sum(gains), rel=1e-5)
    away = facility(rows, 10, mode="exact", metric="euclidean")
    assert away.gains.sum() == pytest.approx(
        sum(plain_greedy(similarities(rows, "euclidean"), 10)[1]), rel=1e-6
    )


@pytest.mark.slow
def test_apricot_reaches_the_same():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        apricot = pytest.importorskip("apricot")
        rows = clustered(400, 16)
        matrix = similarities(rows)
        model = apricot.FacilityLocationSelection(40, metric="precomputed", optimizer="lazy").fit(matrix)
    sample = facility(rows, 40, mode="exact")
    assert sample.gains.sum() == pytest.approx(model.gains.sum(), rel=1e-3)
    assert in_order(sample)[:10] == model.ranking[:10].tolist()


def test_bad_arguments():
    rows = clustered(10)
    with pytest.raises(ValueError, match="mode must be one of auto, exact, sparse, stochastic, got 'lazy'"):
        facility(rows, 2, mode="lazy")
    with pytest.raises(
        ValueError, match="mode 'sparse' knows the metrics cosine and euclidean, got 'manhattan'"
    ):
        facility(rows, 2, mode="sparse", metric="manhattan")
    with pytest.raises(ValueError, match="neighbours must be at least N / n = 5"):
        facility(rows, 2, mode="sparse", neighbours=4)
    with pytest.raises(ValueError, match=r"embeddings must be \(N, D\), got shape \(3,\)"):
        facility(np.ones(3), 2)
    with pytest.raises(ValueError, match=r"usable must be \(10,\) bool, got \(3,\)"):
        facility(rows, 2, usable=np.ones(3, bool))
    with pytest.raises(ValueError, match=r"initial must hold rows in 0\.\.9, got 10\.\.10"):
        facility(rows, 2, initial=[10])
    with pytest.raises(ValueError, match=r"times must be \(10,\), one per row, got \(3,\)"):
        facility(rows, 2, mode="sparse", times=np.ones(3))
    with pytest.raises(ConstraintError, match="n=11 is more than the 10 frames"):
        facility(rows, 11)
    with pytest.raises(
        ConstraintError, match="n=10 is more than the 9 of 10 frames that can be picked; lower n"
    ):
        facility(rows, 10, initial=[4])
    with pytest.raises(ValueError, match="metric must be one of"):
        facility(rows, 2, metric="hamming")

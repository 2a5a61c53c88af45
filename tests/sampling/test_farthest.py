from __future__ import annotations

from unittest import mock

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from evfr._core.distances import METRICS, distances, usable_rows
from evfr.errors import ConstraintError
from evfr.sampling._farthest import farthest, farthest_order
from helpers.farthest_plain import Source, keys_to, plain_farthest

EVERY = pytest.mark.parametrize("metric", METRICS)
# Few values and few columns: ties and duplicates are the rule, and every sum is exact.
SMALL = hnp.arrays(
    np.float32,
    st.tuples(st.integers(1, 25), st.integers(1, 4)),
    elements=st.sampled_from([-2.0, -1.0, 0.0, 0.5, 1.0, 3.0]),
)


@EVERY
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_equals_the_plain_loop(metric, dtype):
    rows = np.random.default_rng(0).normal(size=(150, 19)).astype(dtype)
    picks, radii, reason = farthest_order(rows, 60, start=7, metric=metric)
    expected, keys = plain_farthest(rows, 60, first=7, metric=metric)
    assert picks.tolist() == expected
    assert reason == "budget"
    direct = [distances(rows[i], rows[picks[:k]], metric).min() for k, i in enumerate(picks) if k]
    assert radii[0] == np.inf == keys[0]
    np.testing.assert_allclose(radii[1:], direct, rtol=1e-12)
    assert np.all(np.diff(radii) <= 0)


@settings(max_examples=150, deadline=None)
@given(rows=SMALL, metric=st.sampled_from(METRICS), share=st.floats(0, 1), data=st.data())
def test_ties_and_duplicates(rows, metric, share, data):
    usable = usable_rows(rows, metric)
    if not usable.any():
        return
    first = data.draw(st.sampled_from(np.flatnonzero(usable).tolist()))
    n = round(share * len(rows))
    picks, _, reason = farthest_order(rows, n, start=first, metric=metric, p=2.0)
    expected, _ = plain_farthest(rows, n, first=first, metric=metric, p=2.0, allowed=usable)
    assert picks.tolist() == expected
    if len(picks) < n:
        assert reason == ("exhausted" if len(picks) == usable.sum() else "duplicates")


@settings(max_examples=60, deadline=None)
@given(rows=SMALL, metric=st.sampled_from(METRICS), data=st.data())
def test_initial_rows_and_strikes(rows, metric, data):
    usable = usable_rows(rows, metric)
    initial = data.draw(st.lists(st.sampled_from(range(len(rows))), max_size=4, unique=True))
    refused = data.draw(st.sets(st.sampled_from(range(len(rows)))))
    allowed = usable & data.draw(hnp.arrays(np.bool_, len(rows)))
    given_rows = [i for i in initial if usable[i]]
    asked = []

    def accept(row):
        asked.append(row)
        return row not in refused

    free = allowed.copy()
    free[initial] = False
    if not given_rows and not free.any():
        return
    start = int(np.flatnonzero(free)[0]) if not given_rows else 0
    picks, _, _ = farthest_order(
        rows, 9, metric=metric, p=2.0, initial=initial, start=start, usable=allowed, accept=accept
    )
    expected, _ = plain_farthest(
        rows,
        9,
        first=start if not given_rows else None,
        metric=metric,
        p=2.0,
        initial=given_rows,
        allowed=free,
        accept=lambda row: row not in refused,
    )
    assert picks.tolist() == expected
    assert len(asked) == len(set(asked))
    assert [row for row in asked if row not in refused] == picks.tolist()


@settings(max_examples=40, deadline=None)
@given(rows=SMALL, seed=st.integers(0, 2**40), metric=st.sampled_from(METRICS))
def test_the_sampler_gives_exactly_n_and_every_prefix(rows, seed, metric):
    n_usable = int(usable_rows(rows, metric).sum())
    whole = farthest(rows, n_usable, seed=seed, metric=metric)
    order = whole.indices[np.argsort(whole.rank)]
    assert whole.indices.tolist() == np.flatnonzero(usable_rows(rows, metric)).tolist()
    for n in range(n_usable + 1):
        part = farthest(rows, n, seed=seed, metric=metric)
        assert len(part) == n
        if not part.is_fallback:
            assert part.indices[np.argsort(part.rank)].tolist() == order[:n].tolist()
        assert all(reason.startswith("farthest") for reason in part.reasons)


def test_duplicates_come_last():
    rows = np.repeat(np.arange(5.0, dtype=np.float32)[:, np.newaxis] ** 2, 3, axis=0)
    sample = farthest(rows, 8, start=4)
    order = sample.indices[np.argsort(sample.rank)]
    assert sorted(order[:5] // 3) == [0, 1, 2, 3, 4]
    assert order[5:].tolist() == [1, 2, 3]
    assert sample.is_fallback
    assert sample.gains[np.argsort(sample.rank)][5:].tolist() == [0.0] * 3
    assert "farthest: only 5 frames are distinct; 3 filled by lowest index" in sample.notes
    assert sample.reasons[1] == "farthest: equal to a frame taken before, filled by lowest index"


def test_all_rows_equal():
    rows = np.full((6, 3), 2.5, np.float32)
    assert farthest(rows, 6, seed=3).indices.tolist() == list(range(6))
    picks, radii, reason = farthest_order(rows, 6, start=2)
    assert (picks.tolist(), radii.tolist(), reason) == ([2], [np.inf], "duplicates")


def test_gains_reasons_and_notes():
    rows = np.array([[0.0], [10.0], [4.0], [np.nan], [4.0]], np.float32)
    sample = farthest(rows, 3, start=0)
    assert sample.indices.tolist() == [0, 1, 2]
    assert sample.rank.tolist() == [0, 1, 2]
    np.testing.assert_array_equal(sample.gains, [np.nan, 10.0, 4.0])
    assert sample.reasons == (
        "farthest: the first frame, as asked for",
        "farthest: 10 from the nearest frame taken before",
        "farthest: 4 from the nearest frame taken before",
    )
    assert sample.notes == (
        "farthest: every frame that may be picked is within 0 of a selected one (covering radius)",
        "farthest: 1 rows hold NaN or infinity; never picked",
    )
    assert sample.nan_count == 1
    assert np.isnan(sample.inclusion).all()
    assert farthest(rows, 2, start=0).notes[0] == (
        "farthest: every frame that may be picked is within 4 of a selected one (covering radius)"
    )


def test_starts():
    rows = np.array([[0.0], [1.0], [4.0], [9.0]], np.float32)
    assert farthest_order(rows, 1, start="mean")[0].tolist() == [2]
    assert farthest(rows, 1, start="mean").reasons == ("farthest: the first frame, closest to the mean",)
    firsts = {farthest_order(rows, 1, seed=seed)[0][0] for seed in range(40)}
    assert firsts == {0, 1, 2, 3}
    assert farthest(rows, 1, seed=5).reasons == ("farthest: the first frame, drawn with seed 5",)
    refused = farthest(rows, 2, start=2, accept=lambda row: row != 2)
    assert refused.indices.tolist() == [0, 3]
    assert refused.reasons[0] == "farthest: the first frame that is accepted"


def test_initial_rows_count_but_are_not_returned():
    rows = np.array([[0.0], [1.0], [4.0], [9.0], [np.nan]], np.float32)
    sample = farthest(rows, 2, initial=[3, 4])
    assert sample.indices.tolist() == [0, 2]
    assert sample.gains.tolist() == [9.0, 4.0]
    assert "farthest: 1 frames selected already cannot be used and count for nothing" in sample.notes
    # A labelled frame counts even where it may not be picked.
    assert farthest(rows, 1, initial=[3], usable=np.array([True] * 3 + [False] * 2)).indices.tolist() == [0]


def test_stops_at_a_radius():
    rows = np.array([[0.0], [1.0], [4.0], [9.0]], np.float32)
    for radius, count, reason in ((4.0, 2, "radius"), (3.999, 3, "radius"), (0.0, 4, "exhausted")):
        picks, _, why = farthest_order(rows, 9, start=0, stop_radius=radius)
        assert (len(picks), why) == (count, reason)
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(80, 5)).astype(np.float32)
    for metric in METRICS:
        _, radii, _ = farthest_order(rows, 80, metric=metric)
        for k in (1, 20, 60):
            assert len(farthest_order(rows, 80, metric=metric, stop_radius=radii[k])[0]) == k
            below = np.nextafter(radii[k], 0)
            assert len(farthest_order(rows, 80, metric=metric, stop_radius=below)[0]) == k + 1


@EVERY
def test_a_source_in_blocks_equals_memory(metric, monkeypatch):
    monkeypatch.setattr("evfr.sampling._farthest_rows.BLOCK_VALUES", 100)
    rows = np.random.default_rng(1).normal(size=(90, 8)).astype(np.float16)
    rows[7] = np.nan
    in_memory = farthest(rows.astype(np.float32), 30, metric=metric, start="mean")
    for other in (rows, Source(rows)):
        sample = farthest(other, 30, metric=metric, start="mean")
        assert sample.indices.tolist() == in_memory.indices.tolist()
        assert sample.rank.tolist() == in_memory.rank.tolist()
        np.testing.assert_array_equal(sample.gains, in_memory.gains)
        assert sample.nan_count == 1


def test_a_callable_metric():
    rows = np.random.default_rng(2).normal(size=(60, 4)).astype(np.float32)
    seen = []

    def mine(a, b):
        seen.append(len(b))
        return np.abs(b.astype(np.float64) - a).max(axis=1)

    expected = farthest_order(rows, 20, start=0, metric="chebyshev")
    got = farthest_order(rows, 20, start=0, metric=mine)
    assert got[0].tolist() == expected[0].tolist()
    assert got[1].tolist() == expected[1].tolist()
    with pytest.raises(ValueError, match="metric must return distances of 0 or more, got -1"):
        farthest_order(rows, 2, metric=lambda a, b: -np.ones(len(b)))
    with pytest.raises(ValueError, match="metric must return distances of 0 or more, got nan"):
        farthest_order(rows, 2, metric=lambda a, b: np.full(len(b), np.nan))


def test_scaled_copies_are_duplicates_under_cosine():
    rows = np.random.default_rng(3).normal(size=(4, 33)).astype(np.float32)
    copies = np.concatenate([rows, rows * np.float32(4), rows / np.float32(2)])
    picks, _, reason = farthest_order(copies, 12, metric="cosine", start=0)
    assert sorted(picks % 4) == [0, 1, 2, 3]
    assert reason == "duplicates"
    assert keys_to(copies, 0, "cosine")[4] == 0


def test_small_and_empty():
    assert len(farthest(np.empty((0, 4), np.float32), 0)) == 0
    assert farthest(np.ones((1, 4), np.float32), 1).indices.tolist() == [0]
    assert len(farthest(np.ones((3, 4), np.float32), 0)) == 0
    assert farthest_order(np.empty((0, 4), np.float32), 3)[2] == "exhausted"
    assert farthest_order(np.ones((2, 4), np.float32), 0)[2] == "budget"
    assert farthest(np.empty((3, 0), np.float32), 2).is_fallback


def test_refusals():
    rows = np.array([[0.0, 0.0], [1.0, 0.0], [np.nan, 0.0]], np.float32)
    with pytest.raises(ConstraintError, match="n=4 is more than the 3 frames"):
        farthest(rows, 4)
    with pytest.raises(
        ConstraintError, match="n=3 is more than the 2 of 3 frames that can be picked; 1 rows hold NaN"
    ):
        farthest(rows, 3)
    with pytest.raises(ConstraintError, match="2 rows hold NaN or infinity or only zeros, which have no dir"):
        farthest(rows, 2, metric="cosine")
    with pytest.raises(ConstraintError, match="only 1 of n=2 frames are accepted by the constraints"):
        farthest(rows, 2, accept=lambda row: row == 1)
    with pytest.raises(ValueError, match=r"embeddings must be \(N, D\), got shape \(3,\)"):
        farthest(rows[:, 0], 1)
    with pytest.raises(ValueError, match="metric must be one of"):
        farthest(rows, 1, metric="l2")
    with pytest.raises(ValueError, match=r"p must be 1 or more and finite, got 0\.5"):
        farthest(rows, 1, metric="minkowski", p=0.5)
    with pytest.raises(ValueError, match="n must be 0 or more, got -1"):
        farthest_order(rows, -1)
    with pytest.raises(TypeError, match=r"n must be an integer, got 1\.5"):
        farthest_order(rows, 1.5)
    with pytest.raises(ValueError, match=r"stop_radius must be 0 or more, got -1\.0"):
        farthest_order(rows, 1, stop_radius=-1.0)
    with pytest.raises(ValueError, match="start must be a row index, 'seed' or 'mean', got 'medoid'"):
        farthest(rows, 1, start="medoid")
    with pytest.raises(ValueError, match=r"start must be in 0\.\.2, got 3"):
        farthest(rows, 1, start=3)
    with pytest.raises(ValueError, match="start=2 cannot be picked: it is not usable"):
        farthest(rows, 1, start=2)
    with pytest.raises(ValueError, match=r"usable must be \(3,\) bool, got \(2,\) bool"):
        farthest(rows, 1, usable=np.ones(2, bool))
    with pytest.raises(ValueError, match=r"initial must be in 0\.\.2, got 0 to 3"):
        farthest(rows, 1, initial=[0, 3])
    with pytest.raises(ValueError, match="initial must be row indices, got float64"):
        farthest(rows, 1, initial=[0.5])
    with pytest.raises(ValueError, match="seed must be 0 or more"):
        farthest(rows, 1, seed=-1)


@pytest.fixture
def always_lazy(monkeypatch):
    """Let even the smallest problem take the lazy way."""
    monkeypatch.setattr("evfr.sampling._farthest.SETUP_PICKS", 0)
    monkeypatch.setattr("evfr.sampling._farthest.SETUP_PAIRS", 0)


def scenes(n, d, seed=0, noise=0.02):
    """Draw a walk with cuts, some rows twice."""
    rng = np.random.default_rng(seed)
    rows = (
        np.cumsum(rng.normal(size=(n, d)) * 0.05, axis=0)
        + np.repeat(rng.normal(size=(n // 40 + 1, d)), 40, 0)[:n]
    )
    rows += noise * rng.normal(size=(n, d))
    rows[rng.integers(n, size=n // 10)] = rows[rng.integers(n, size=n // 10)]
    return rows.astype(np.float32)


@pytest.mark.usefixtures("always_lazy")
@pytest.mark.parametrize("metric", ["euclidean", "cosine"])
@pytest.mark.parametrize("width", [1, 3, 31, 40, 200])
def test_the_lazy_way_equals_the_plain_loop(metric, width):
    rows = scenes(800, width)
    rows[5] = np.nan
    picks, radii, _ = farthest_order(rows, 300, start=3, metric=metric)
    expected, keys = plain_farthest(rows, 300, first=3, metric=metric, allowed=usable_rows(rows, metric))
    assert picks.tolist() == expected
    np.testing.assert_array_equal(radii, np.sqrt(keys) if metric == "euclidean" else keys / 2)


@pytest.mark.usefixtures("always_lazy")
def test_the_lazy_way_where_nothing_can_be_left_out():
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(1200, 96)).astype(np.float32)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    for given_rows in (rows, rows.astype(np.float64), rows.astype(np.float16)):
        picks, _, _ = farthest_order(given_rows, 400, start=0)
        assert picks.tolist() == plain_farthest(given_rows, 400, first=0)[0]


@pytest.mark.usefixtures("always_lazy")
@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=SMALL, metric=st.sampled_from(["euclidean", "cosine"]), data=st.data())
def test_the_lazy_way_with_ties_initial_rows_and_strikes(rows, metric, data):
    usable = usable_rows(rows, metric)
    initial = data.draw(st.lists(st.sampled_from(range(len(rows))), max_size=4, unique=True))
    refused = data.draw(st.sets(st.sampled_from(range(len(rows)))))
    given_rows = [i for i in initial if usable[i]]
    free = usable.copy()
    free[initial] = False
    if not given_rows and not free.any():
        return
    start = int(np.flatnonzero(free)[0]) if not given_rows else 0
    asked = []

    def accept(row):
        asked.append(row)
        return row not in refused

    n = data.draw(st.integers(1, len(rows) + 1))
    for embeddings in (rows, Source(rows)):
        asked.clear()
        picks, keys, reason = farthest_order(
            embeddings, n, metric=metric, initial=initial, start=start, accept=accept
        )
        with mock.patch("evfr.sampling._farthest.SETUP_PICKS", 10**9):
            plain = farthest_order(
                rows, n, metric=metric, initial=initial, start=start, accept=lambda row: row not in refused
            )
        assert picks.tolist() == plain[0].tolist()
        assert keys.tolist() == plain[1].tolist()
        assert reason == plain[2]
        assert len(asked) == len(set(asked))
        assert [row for row in asked if row not in refused] == picks.tolist()


@pytest.mark.usefixtures("always_lazy")
@pytest.mark.parametrize("metric", ["euclidean", "cosine"])
def test_the_lazy_way_on_a_source_larger_than_its_cache(metric, monkeypatch):
    monkeypatch.setattr("evfr.sampling._farthest_lazy.CACHE_BYTES", 1)
    monkeypatch.setattr("evfr.sampling._farthest_rows.BLOCK_VALUES", 10_000)
    rows = scenes(3000, 48).astype(np.float16)
    source = Source(rows)
    in_memory = farthest_order(rows.astype(np.float32), 500, start="mean", metric=metric)
    for other in (rows, source):
        picks, radii, reason = farthest_order(other, 500, start="mean", metric=metric)
        assert picks.tolist() == in_memory[0].tolist()
        assert radii.tolist() == in_memory[1].tolist()
        assert reason == "budget"
    assert source.n_fetched < 40 * len(rows)


@pytest.mark.usefixtures("always_lazy")
def test_the_lazy_way_lets_lists_and_picks_grow(monkeypatch):
    rows = scenes(2500, 5, noise=0.5)
    expected = plain_farthest(rows, 2400, first=0)[0]
    monkeypatch.setattr("evfr.sampling._farthest_lazy.FIRST_ROOM", 2)
    for most in (4096, 50, 2):
        monkeypatch.setattr("evfr.sampling._farthest_lazy.MOST_ROOM", most)
        assert farthest_order(rows, 2400, start=0)[0].tolist() == expected


@pytest.mark.usefixtures("always_lazy")
def test_values_beyond_float32_squares():
    rows = scenes(300, 6) * np.float32(1e17)
    for initial in ((), (4, 7)):
        got = farthest_order(rows, 50, start=9, initial=initial)
        assert got[0].tolist() == plain_farthest(rows, 50, first=9, initial=initial)[0]
    asked = []
    farthest_order(rows, 5, start=9, accept=lambda row: not asked.append(row))
    assert len(asked) == len(set(asked)) == 5


@pytest.mark.usefixtures("always_lazy")
def test_the_lazy_way_knows_the_radius_and_where_to_stop():
    rows = scenes(900, 20)
    _, radii, _ = farthest_order(rows, 100, start=0)
    picks, _, reason = farthest_order(rows, 900, start=0, stop_radius=radii[60])
    assert (len(picks), reason) == (60, "radius")
    note = farthest(rows, 99, start=0).notes[0]
    assert f"within {radii[99]:.4g} of a selected one" in note

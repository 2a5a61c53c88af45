"""Pools of videos and their merge, against the selection over all rows at once."""

from __future__ import annotations

import numpy as np
import pytest

from evfr.errors import ConstraintError
from evfr.sampling import (
    Pool,
    cut_pools,
    distances,
    facility,
    facility_objective,
    farthest,
    merge_pools,
    pool_rows,
)

METHODS = pytest.mark.parametrize(
    ("method", "metric"), [("farthest", "euclidean"), ("farthest", "cosine"), ("facility", "cosine")]
)


def walks(count: int = 8, frames: int = 100, width: int = 12) -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    bank = rng.normal(size=(4, width)) * 3
    return [
        (bank[rng.integers(4)] + np.cumsum(rng.normal(size=(frames, width)) * 0.15, axis=0)).astype(
            np.float32
        )
        for _ in range(count)
    ]


def vectors_of(pools, videos):
    return [video[pool.order] for pool, video in zip(pools, videos, strict=True)]


def global_rows(merged, videos) -> np.ndarray:
    begin = np.cumsum([0] + [len(video) for video in videos])
    return begin[merged.pool] + merged.row


def radius(rows, picks, metric) -> float:
    return float(distances(rows[picks], rows, metric).min(axis=0).max())


@METHODS
def test_the_merge_equals_the_central_choice_when_the_pools_are_everything(method, metric):
    videos = walks()
    pools = [pool_rows(video, 1000, method=method, metric=metric) for video in videos]
    assert all(
        sorted(pool.order.tolist()) == list(range(100)) and (pool.weights == 1).all() for pool in pools
    )
    merged = merge_pools(pools, vectors_of(pools, videos), 25)
    rows = np.concatenate(videos)
    central = (
        farthest(rows, 25, metric=metric, start="mean")
        if method == "farthest"
        else facility(rows, 25, metric=metric)
    )
    assert global_rows(merged, videos).tolist() == central.indices.tolist()
    assert merged.sample.rank.tolist() == central.rank.tolist()
    assert len(merged) == 25
    assert merged.radius_bound == pytest.approx(radius(rows, central.indices, metric))


@METHODS
def test_small_pools_come_close(method, metric):
    videos = walks(12, 200)
    rows = np.concatenate(videos)
    pools = [pool_rows(video, 60, method=method, metric=metric) for video in videos]
    pools, vectors = cut_pools(pools, vectors_of(pools, videos), 144)
    assert sum(len(pool) for pool in pools) == 144
    merged = merge_pools(pools, vectors, 20)
    picks = global_rows(merged, videos)
    assert radius(rows, picks, metric) <= merged.radius_bound + 1e-9
    if method == "farthest":
        central = farthest(rows, 20, metric=metric, start="mean").indices
        assert radius(rows, picks, metric) <= 1.3 * radius(rows, central, metric)
    else:
        central = facility(rows, 20).indices
        assert facility_objective(rows, picks) >= 0.99 * facility_objective(rows, central)


@METHODS
def test_weights_count_the_nearest_rows(method, metric):
    video = walks(1)[0]
    video[17] = np.nan
    pool = pool_rows(video, 9, method=method, metric=metric)
    finite = np.delete(video, 17, axis=0)
    between = distances(video[pool.order], finite, metric)
    assert pool.weights.tolist() == np.bincount(between.argmin(axis=0), minlength=9).tolist()
    assert pool.radius == pytest.approx(between.min(axis=0).max())
    assert pool.weights.sum() == 99
    assert pool.n_rows == 100
    gains = pool.gains if method == "facility" else pool.gains[1:]
    assert np.all(np.diff(gains) <= 0)
    assert repr(pool).startswith(f"Pool({method}, 9 of 100 rows, radius ")


def test_a_pool_stops_at_its_radius():
    video = walks(1)[0]
    pool = pool_rows(video, 100, stop_radius=1.0)
    assert pool.radius <= 1.0
    assert pool.gains.min() > 1.0
    shorter = pool_rows(video, len(pool) - 1)
    assert shorter.radius > 1.0
    assert shorter.order.tolist() == pool.order[:-1].tolist()


def test_only_usable_rows_are_pooled_and_none_is_fine():
    video = walks(1)[0]
    usable = np.arange(100) % 4 == 0
    for method in ("farthest", "facility"):
        assert usable[pool_rows(video, 10, method=method, metric="cosine", usable=usable).order].all()
        nothing = pool_rows(np.full((5, 3), np.nan), 10, method=method)
        assert len(nothing) == 0
        assert np.isnan(nothing.radius)
        assert len(merge_pools([nothing], [np.zeros((0, 3))], 0)) == 0
    assert len(merge_pools([], [], 0)) == 0


@METHODS
def test_a_cut_is_a_prefix_and_loses_no_weight(method, metric):
    videos = [*walks(), np.ones((30, 12), np.float32)]  # a still video keeps its one pick
    pools = [pool_rows(video, 40, method=method, metric=metric) for video in videos]
    cut, vectors = cut_pools(pools, vectors_of(pools, videos), 50)
    assert sum(map(len, cut)) == 50
    for pool, short, rows, video in zip(pools, cut, vectors, videos, strict=True):
        assert len(short) >= 1
        assert short.order.tolist() == pool.order[: len(short)].tolist()
        assert short.weights.sum() == pool.weights.sum()
        np.testing.assert_array_equal(rows, video[short.order])
        real = radius(video, short.order, metric)
        assert short.radius >= real - 1e-9
        if method == "farthest":
            assert short.radius == pytest.approx(real, abs=1e-7)
    kept = [pool.gains[len(short) - 1] for pool, short in zip(pools, cut, strict=True) if len(short) > 1]
    dropped = [
        pool.gains[len(short)] for pool, short in zip(pools, cut, strict=True) if len(short) < len(pool)
    ]
    assert min(kept) >= max(dropped)
    with pytest.raises(ConstraintError, match="size=8 is less than one pick for each of 9 videos"):
        cut_pools(pools, vectors_of(pools, videos), 8)


@METHODS
def test_labelled_rows_and_struck_rows(method, metric):
    videos = walks()
    pools = [pool_rows(video, 20, method=method, metric=metric) for video in videos]
    vectors = vectors_of(pools, videos)
    free = merge_pools(pools, vectors, 6)
    labelled = np.stack([videos[k][row] for k, row in zip(free.pool, free.row, strict=True)])
    more = merge_pools(pools, vectors, 6, initial=labelled)
    assert not set(zip(free.pool, free.row, strict=True)) & set(zip(more.pool, more.row, strict=True))
    assert more.radius_bound <= free.radius_bound
    bare = merge_pools(pools, vectors, 6, accept=lambda pool, row: pool != 2)
    assert 2 not in bare.pool


def test_a_callable_has_no_bound():
    videos = walks(2)
    pools = [pool_rows(video, 5, metric=lambda a, b: np.abs(a - b).max(axis=1)) for video in videos]
    metric = pools[0].metric
    pools = [pool_rows(video, 5, metric=metric) for video in videos]
    assert merge_pools(pools, vectors_of(pools, videos), 3).radius_bound == np.inf


def test_bad_arguments():
    videos = walks(2)
    pools = [pool_rows(video, 5) for video in videos]
    vectors = vectors_of(pools, videos)
    with pytest.raises(ValueError, match="pools and vectors must be of one length, got 2 and 1"):
        merge_pools(pools, vectors[:1], 2)
    with pytest.raises(ValueError, match=r"vectors of pool 1 must be \(5, D\), got \(4, 12\)"):
        merge_pools(pools, [vectors[0], vectors[1][:4]], 2)
    with pytest.raises(
        ValueError, match="pools must share method and metric, got farthest euclidean and, at 1"
    ):
        cut_pools([pools[0], pool_rows(videos[1], 5, metric="cosine")], vectors, 4)
    with pytest.raises(ConstraintError, match="n=11 is more than the 10 frames"):
        merge_pools(pools, vectors, 11)
    with pytest.raises(ValueError, match="method must be 'farthest' or 'facility', got 'random'"):
        pool_rows(videos[0], 5, method="random")
    with pytest.raises(ValueError, match="stop_radius is for method 'farthest'"):
        pool_rows(videos[0], 5, method="facility", stop_radius=1.0)
    with pytest.raises(ValueError, match="n must be 0 or more, got -1"):
        pool_rows(videos[0], -1, method="facility")
    with pytest.raises(ValueError, match=r"order, gains and weights must be \(K,\) of one length"):
        Pool(np.zeros(2, np.int64), np.zeros(1), np.zeros(2, np.int64), 0.0, 5, "farthest", "euclidean")
    with pytest.raises(ValueError, match="method must be 'farthest' or 'facility', got 'x'"):
        Pool(np.zeros(1, np.int64), np.zeros(1), np.zeros(1, np.int64), 0.0, 5, "x", "euclidean")

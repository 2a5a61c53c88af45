"""`dedup` against a plain loop in float64, on every metric, order and window."""

from __future__ import annotations

import numpy as np
import pytest

from evfr.sampling import Dedup, dedup


def distance(a, b, metric, p=3.0):
    """Return one distance by its definition."""
    if metric == "hamming":
        return (int(a) ^ int(b)).bit_count()
    a, b = np.asarray(a, np.float64), np.asarray(b, np.float64)
    step = np.abs(a - b)
    return {
        "euclidean": lambda: np.sqrt((step**2).sum()),
        "cosine": lambda: max(1 - (a @ b) / np.sqrt((a @ a) * (b @ b)), 0.0),
        "manhattan": step.sum,
        "minkowski": lambda: (step**p).sum() ** (1 / p),
        "chebyshev": step.max,
    }[metric]()


def plain(rows, threshold, metric, *, times=None, window=None, groups=None, quality=None):
    """Visit rows one by one; return {dropped: (kept, distance)} and the kept rows."""
    count = len(rows)
    times = np.zeros(count) if times is None else times
    key = np.zeros(count) if quality is None else -np.where(np.isnan(quality), -np.inf, quality)
    order = sorted(range(count), key=lambda i: (key[i], times[i], i))
    kept, dropped = [], {}
    for i in order:
        for k in reversed(kept):
            if window is not None and abs(times[i] - times[k]) > window:
                continue
            if groups is not None and groups[i] != groups[k]:
                continue
            d = distance(rows[i], rows[k], metric)
            if d <= threshold + (1e-12 if metric == "cosine" else 0):
                dropped[i] = (k, d)
                break
        else:
            kept.append(i)
    return sorted(kept), dropped


def assert_equal(result, expected):
    kept, dropped = expected
    assert isinstance(result, Dedup)
    assert result.kept.tolist() == kept
    assert result.dropped.tolist() == sorted(dropped)
    assert result.duplicate_of.tolist() == [dropped[i][0] for i in sorted(dropped)]
    np.testing.assert_allclose(result.distances, [dropped[i][1] for i in sorted(dropped)], atol=1e-12)


def walk(count, dimension=12, seed=0, step=0.15):
    """Return a video-like walk whose rows repeat at times: scenes that come back."""
    rng = np.random.default_rng(seed)
    path = np.cumsum(rng.normal(0, step, (count, dimension)), axis=0) + 1.0
    back = rng.random(count) < 0.2
    path[back] = path[rng.integers(0, count, count)[back]] + rng.normal(0, 0.01, (int(back.sum()), dimension))
    return path.astype(np.float32)


LIMITS = {"euclidean": 0.9, "cosine": 0.008, "manhattan": 2.6, "minkowski": 0.7, "chebyshev": 0.5}


@pytest.mark.parametrize("metric", LIMITS)
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_equals_the_plain_loop(metric, dtype):
    # Three blocks of 512 rows in one type; the others are widened to it before anything is compared.
    rows = walk(1300 if dtype is np.float32 else 600).astype(dtype)
    expected = plain(rows, LIMITS[metric], metric)
    assert 60 < len(expected[0]) < 0.9 * len(rows)
    assert_equal(dedup(rows, LIMITS[metric], metric=metric), expected)


@pytest.mark.parametrize("metric", LIMITS)
@pytest.mark.parametrize("keep", ["first", "best"])
@pytest.mark.parametrize("window", [None, 2.0])
def test_equals_the_plain_loop_in_any_order(metric, keep, window):
    rng = np.random.default_rng(3)
    rows = walk(300, seed=1)
    times = rng.permutation(np.arange(300) // 2 / 4)
    quality = np.where(rng.random(300) < 0.1, np.nan, rng.integers(0, 20, 300)) if keep == "best" else None
    groups = rng.integers(0, 3, 300)
    for some in (None, groups):
        got = dedup(
            rows,
            LIMITS[metric],
            metric=metric,
            times=times,
            window_seconds=window,
            keep=keep,
            quality=quality,
            groups=some,
        )
        expected = plain(
            rows, LIMITS[metric], metric, times=times, window=window, quality=quality, groups=some
        )
        assert_equal(got, expected)


@pytest.mark.parametrize("limit", [0, 1, 3, 4, 7, 8, 11, 12, 20, 64])
def test_hashes_equal_the_plain_loop(limit):
    rng = np.random.default_rng(limit)
    hashes = rng.integers(0, 2**64, 120, dtype=np.uint64)
    flips = np.uint64(1) << rng.integers(0, 64, (6, 700), dtype=np.uint64)
    many = hashes[rng.integers(0, 120, 700)] ^ np.bitwise_xor.reduce(flips[: rng.integers(1, 7)], axis=0)
    expected = plain(many, limit, "hamming")
    assert_equal(dedup(many, limit, metric="hamming"), expected)
    times = np.arange(700) / 4.0
    expected = plain(many, limit, "hamming", times=times, window=20.0)
    assert_equal(dedup(many, limit, metric="hamming", times=times, window_seconds=20), expected)


def test_a_callable_is_a_metric():
    rows = walk(200)

    def taxi(a, b):
        return np.abs(b.astype(np.float64) - a).sum(axis=1)

    assert_equal(dedup(rows, 2.6, metric=taxi), plain(rows, 2.6, "manhattan"))
    times = np.arange(200.0)
    got = dedup(rows, 2.6, metric=taxi, times=times, window_seconds=9)
    assert_equal(got, plain(rows, 2.6, "manhattan", times=times, window=9))
    assert dedup(rows, 1.0, metric=taxi).metric == "callable"


def test_distances_at_the_threshold_are_decided_in_float64():
    """Rows on a grid whose distances are exactly the threshold, or just above it, far from the origin."""
    base = np.full((40, 8), 4096.0)
    base[:, 0] += np.arange(40) * 0.25
    result = dedup(base, 0.25, metric="euclidean")
    assert result.kept.tolist() == list(range(0, 40, 2))
    np.testing.assert_array_equal(result.distances, 0.25)
    assert dedup(base, np.nextafter(0.25, 0), metric="euclidean").kept.tolist() == list(range(40))


@pytest.mark.parametrize("metric", LIMITS)
def test_threshold_zero_drops_equal_rows_only(metric):
    rows = walk(50)
    rows = np.concatenate([rows, rows[::-1]])
    assert set(dedup(rows, 0, metric=metric).kept.tolist()) <= set(range(50))
    assert len(dedup(rows, 0, metric=metric)) == len(np.unique(rows, axis=0))
    equal = dedup(np.tile(rows[:1], (7, 1)), 0, metric=metric)
    assert equal.kept.tolist() == [0]
    assert equal.duplicate_of.tolist() == [0] * 6


def test_chains_are_not_merged():
    line = np.arange(10.0)[:, None]
    assert dedup(line, 2.5, metric="euclidean").kept.tolist() == [0, 3, 6, 9]


def test_unusable_rows_are_neither_kept_nor_dropped():
    rows = np.ones((6, 3), np.float32)
    rows[1, 0], rows[2, 1], rows[4] = np.nan, np.inf, 0.0
    result = dedup(rows, 0.1)
    assert (result.kept.tolist(), result.dropped.tolist()) == ([0], [3, 5])
    assert result.unusable.tolist() == [1, 2, 4]
    euclidean = dedup(rows, 0.1, metric="euclidean")
    assert (euclidean.kept.tolist(), euclidean.unusable.tolist()) == ([0, 4], [1, 2])
    assert len(dedup(np.full((3, 2), np.nan), 0.1)) == 0


def test_sizes_zero_and_one():
    for metric in LIMITS:
        empty = dedup(np.zeros((0, 4), np.float32), 0.5, metric=metric)
        assert (len(empty), len(empty.dropped), len(empty.unusable)) == (0, 0, 0)
        assert dedup(np.ones((1, 4), np.float32), 0.5, metric=metric).kept.tolist() == [0]
    assert len(dedup(np.zeros(0, np.uint64), 4, metric="hamming")) == 0
    assert "cosine <= 0.5: 1 kept, 2 dropped, 0 unusable" in repr(dedup(np.ones((3, 2)), 0.5))


def test_huge_and_tiny_values():
    for scale in (1e-30, 1e30):
        rows = walk(300).astype(np.float64) * scale
        assert_equal(dedup(rows, 0.9 * scale, metric="euclidean"), plain(rows, 0.9 * scale, "euclidean"))
        assert dedup(rows, 0.02).kept.tolist() == dedup(walk(300).astype(np.float64), 0.02).kept.tolist()


def test_the_input_is_left_alone():
    rows = walk(60)
    rows.flags.writeable = False
    before = rows.copy()
    assert dedup(rows, 0.02).kept.tobytes() == dedup(rows, 0.02).kept.tobytes()
    np.testing.assert_array_equal(rows, before)


@pytest.mark.parametrize(
    ("rows", "keywords", "error", "text"),
    [
        (np.ones(3), {}, ValueError, r"embeddings must be \(N, D\), got shape \(3,\)"),
        (np.ones(3, np.uint64), {}, ValueError, "hashes need metric='hamming', got metric='cosine'"),
        (np.ones((3, 2)), {"metric": "hamming"}, TypeError, r"hamming needs \(N,\) unsigned hashes, got"),
        (np.ones((3, 2), complex), {}, TypeError, "embeddings must be real numbers, got complex128"),
        (np.ones((3, 2)), {"metric": "l2"}, ValueError, "metric must be one of euclidean, .*, got 'l2'"),
        (
            np.ones((3, 2)),
            {"p": 0.5, "metric": "minkowski"},
            ValueError,
            "p must be 1 or more and finite, got 0.5",
        ),
        (np.ones((3, 2)), {"threshold": -1}, ValueError, "threshold must be 0 or more and finite, got -1"),
        (
            np.ones((3, 2)),
            {"threshold": np.nan},
            ValueError,
            "threshold must be 0 or more and finite, got nan",
        ),
        (np.ones((3, 2)), {"window_seconds": 1}, ValueError, "window_seconds needs times"),
        (
            np.ones((3, 2)),
            {"window_seconds": -1, "times": [0, 1, 2]},
            ValueError,
            "window_seconds must be 0 or more, got -1",
        ),
        (
            np.ones((3, 2)),
            {"times": [0, 1]},
            ValueError,
            r"times must be \(3,\), one per row, got shape \(2,\)",
        ),
        (np.ones((3, 2)), {"times": [0, 1, np.nan]}, ValueError, "times must be finite, got nan"),
        (np.ones((3, 2)), {"groups": [0, 1]}, ValueError, r"groups must be \(3,\), one per row, got shape"),
        (np.ones((3, 2)), {"keep": "last"}, ValueError, "keep must be 'first' or 'best', got 'last'"),
        (np.ones((3, 2)), {"keep": "best"}, ValueError, "keep='best' needs quality, and only it reads"),
        (np.ones((3, 2)), {"quality": [1, 2, 3]}, ValueError, "keep='best' needs quality, and only it reads"),
        (
            np.ones((3, 2)),
            {"keep": "best", "quality": [1]},
            ValueError,
            r"quality must be \(3,\), one per row, got shape \(1,\)",
        ),
    ],
)
def test_wrong_arguments(rows, keywords, error, text):
    with pytest.raises(error, match=text):
        dedup(rows, **{"threshold": 0.1, **keywords})


def test_a_result_must_fit_together():
    rows, none = np.arange(2), np.zeros(0, np.int64)
    with pytest.raises(ValueError, match="duplicate_of and distances must have 0 entries"):
        Dedup(rows, none, rows, np.zeros(2), none, 0.1, "cosine")
    with pytest.raises(ValueError, match="kept must be strictly increasing and 0 or more"):
        Dedup(rows[::-1], none, none, np.zeros(0), none, 0.1, "cosine")

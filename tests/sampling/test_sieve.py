"""One pass in bounded memory: the guarantees, on sets small enough to know the best."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evfr.errors import ConstraintError
from evfr.sampling import distances, facility, facility_objective, sieve, stream_centres


def objective(reference: np.ndarray, picks: np.ndarray) -> float:
    unit = [rows / np.linalg.norm(rows, axis=1, keepdims=True) for rows in (reference, picks)]
    return float(np.clip(unit[0] @ unit[1].T, 0, 1).max(axis=1).sum())


def cut(rows: np.ndarray, sizes: list[int]) -> list[np.ndarray]:
    return np.split(rows, np.cumsum(sizes)[: len(sizes)])


@settings(max_examples=80, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    count=st.integers(3, 12),
    n=st.integers(1, 3),
    order=st.sampled_from(["random", "rising", "falling"]),
    epsilon=st.sampled_from([0.05, 0.1, 0.3]),
)
def test_half_of_the_best_by_given_reference_rows(seed, count, n, order, epsilon):
    rng = np.random.default_rng(seed)
    rows = np.abs(rng.normal(size=(count, 4))) ** 3
    reference = np.abs(rng.normal(size=(9, 4))) ** 3
    if order != "random":
        alone = [objective(reference, rows[i : i + 1]) for i in range(count)]
        rows = rows[np.argsort(alone)[:: 1 if order == "rising" else -1]]
    sample = sieve([rows], n, epsilon=epsilon, reference=reference)
    assert len(sample) == n
    best = max(objective(reference, rows[list(picks)]) for picks in combinations(range(count), n))
    got = objective(reference, rows[sample.indices])
    # What is filled at the end adds to what the proof speaks of.
    sieved = [i for i, why in zip(sample.indices, sample.reasons, strict=True) if "filled" not in why]
    assert objective(reference, rows[sieved]) >= (0.5 - epsilon) * best
    assert sample.gains.sum() * len(reference) == pytest.approx(got, abs=1e-5)


def test_the_sieves_alone_keep_the_bound():
    # Rows in the order that hurts: the good ones last. What is filled at the end does not count here.
    rng = np.random.default_rng(3)
    rows = np.abs(rng.normal(size=(4000, 6))) ** 3
    rows = rows[np.argsort([objective(rows[:300], row[None]) for row in rows])]
    sample = sieve([rows], 12, reference=rows[:300])
    sieved = np.array(
        [i for i, why in zip(sample.indices, sample.reasons, strict=True) if "filled" not in why]
    )
    greedy = facility_objective(rows[:300], facility(rows[:300], 12).indices)
    assert objective(rows[:300], rows[sieved]) >= 0.4 * greedy
    assert len(sieved) > 3


@pytest.mark.parametrize("sizes", [[1000], [1] * 999, [0, 13, 900]])
def test_the_cut_into_blocks_does_not_matter(sizes):
    rows = np.random.default_rng(0).normal(size=(1000, 5)).astype(np.float32)
    whole = sieve([rows], 7, seed=2, reference=64)
    parts = sieve(iter(cut(rows, sizes)), 7, seed=2, reference=64)
    assert parts.indices.tolist() == whole.indices.tolist()
    assert parts.rank.tolist() == whole.rank.tolist()
    assert stream_centres(cut(rows, sizes), 9).indices.tolist() == stream_centres([rows], 9).indices.tolist()


def test_a_long_stream_is_held_in_bounded_memory_and_comes_close_to_greedy():
    rng = np.random.default_rng(0)
    centres = rng.normal(size=(40, 16))
    rows = (centres[rng.integers(40, size=30_000)] + 0.3 * rng.normal(size=(30_000, 16))).astype(np.float32)
    sample = sieve(iter(np.array_split(rows, 17)), 30, reference=512)
    assert len(set(sample.indices.tolist())) == 30
    greedy = facility_objective(rows[::10], facility(rows[::10], 30).indices)
    assert objective(rows[::10], rows[sample.indices]) >= 0.9 * greedy
    held = int(sample.notes[0].split("at most ")[1].split()[0])
    assert held <= 30 * np.log(4 * 30) / 0.1
    assert sample.method == "sieve"


def test_the_sample_of_the_stream_is_uniform():
    hits = np.zeros(100)
    for seed in range(100):
        rows = np.eye(100, dtype=np.float32)
        # With as many picks as reference rows, every reference row is picked.
        hits[sieve([rows], 10, seed=seed, reference=10).indices] += 1
    early, late = hits[:50].sum(), hits[50:].sum()
    assert abs(early - late) < 5 * np.sqrt(1000)


def test_rows_that_cannot_be_used_and_positions():
    rows = np.eye(6, dtype=np.float16)
    rows[1] = np.nan
    rows[4] = 0
    sample = sieve([rows[:3], rows[3:]], 4)
    assert sample.indices.tolist() == [0, 2, 3, 5]
    assert sample.nan_count == 2
    with pytest.raises(
        ConstraintError, match=r"n=5 is more than the 4 rows that the stream left .* 2 rows could not"
    ):
        sieve([rows], 5)
    centres = stream_centres([rows[:3], rows[3:]], 10)
    assert centres.indices.tolist() == [0, 2, 3, 4, 5]
    assert centres.nan_count == 1
    assert stream_centres([rows], 10, metric="cosine").indices.tolist() == [0, 2, 3, 5]


def test_edges():
    assert len(sieve([], 0)) == 0
    assert len(sieve([np.ones((5, 3))], 0)) == 0
    assert sieve([np.ones((5, 3))], 3).indices.tolist() == [0, 1, 2]
    assert sieve([np.ones((1, 3))], 1).indices.tolist() == [0]
    assert len(stream_centres([], 3)) == 0
    assert stream_centres([np.ones((50, 3))], 3).indices.tolist() == [0]


@settings(max_examples=80, deadline=None)
@given(
    points=st.lists(st.integers(-50, 50), min_size=2, max_size=14),
    n=st.integers(1, 4),
    sizes=st.lists(st.integers(1, 4), max_size=5),
)
def test_centres_are_within_eight_times_the_best(points, n, sizes):
    rows = np.array(points, float)[:, None]
    sample = stream_centres(cut(rows, sizes), n)
    assert 1 <= len(sample) <= n
    told = float(sample.notes[0].split("within ")[1].split()[0])
    real = distances(rows[sample.indices], rows).min(axis=0).max()
    count = min(n, len(rows))
    best = min(
        distances(rows[list(picks)], rows).min(axis=0).max()
        for picks in combinations(range(len(rows)), count)
    )
    assert real <= told
    assert told <= 8 * best


def test_bad_arguments():
    rows = np.ones((5, 3))
    with pytest.raises(ValueError, match=r"epsilon must be in \(0, 1\), got 0"):
        sieve([rows], 2, epsilon=0)
    with pytest.raises(ValueError, match=r"reference must be at least n = 2 rows \(and 1\), got 1"):
        sieve([rows], 2, reference=1)
    with pytest.raises(ValueError, match=r"reference must be \(R, D\) with finite rows that are not zero"):
        sieve([rows], 2, reference=np.zeros((2, 3)))
    with pytest.raises(ValueError, match=r"blocks must be \(B, D\) with one D, got shape \(3,\)"):
        sieve([np.ones(3)], 2)
    with pytest.raises(ValueError, match=r"got shape \(1, 2\) after D = 3"):
        sieve([rows, np.ones((1, 2))], 2)
    with pytest.raises(ValueError, match="n must be 1 or more for centres of a stream, got 0"):
        stream_centres([rows], 0)
    with pytest.raises(ValueError, match="metric must be one of"):
        stream_centres([rows], 2, metric="hamming")

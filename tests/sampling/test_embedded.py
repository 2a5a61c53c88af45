"""Methods on embeddings under constraints: one budget over many videos, exactly, and one video for all methods."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evfr.errors import ConstraintError
from evfr.sampling import (
    Constraints,
    Part,
    coverage,
    feasible_range,
    is_greedy,
    sample,
    sample_rows,
    sample_together,
)
from helpers.greedy import every_third, plain_farthest


def rows(n: int, seed: int = 0) -> np.ndarray:
    return np.cumsum(np.random.default_rng(seed).normal(size=(n, 3)), axis=0).astype(np.float32)


def test_without_constraints_it_is_the_method_over_all_rows():
    whole = rows(60)
    parts = [Part(25, np.arange(25), Constraints()), Part(35, np.arange(35), Constraints())]
    first, second = sample_together(plain_farthest, whole, 9, parts).samples
    plain = plain_farthest(whole, 9)
    assert [*first.indices, *(second.indices + 25)] == plain.indices.tolist()
    assert [*first.gains, *second.gains] == plain.gains.tolist()
    # The order inside each video is the order over all.
    assert first.indices[np.argsort(first.rank)].tolist() == [
        i for i in plain.indices[np.argsort(plain.rank)].tolist() if i < 25
    ]


def test_bounds_per_video_hold_and_are_filled_by_the_method():
    whole = np.concatenate([rows(20) * 100, rows(20, 1)])
    parts = [Part(20, np.arange(20), Constraints()), Part(20, np.arange(20), Constraints(), minimum=3)]
    first, second = sample_together(plain_farthest, whole, 10, parts).samples
    assert len(second) == 3
    capped = [Part(20, np.arange(20), Constraints(), maximum=4), Part(20, np.arange(20), Constraints())]
    first, second = sample_together(plain_farthest, whole, 10, capped).samples
    assert (len(first), len(second)) == (4, 6)


@settings(max_examples=50, deadline=None)
@given(data=st.data())
def test_any_constraints_any_budget(data):
    parts, sizes = [], []
    for _ in range(data.draw(st.integers(1, 3))):
        n_frames = data.draw(st.integers(1, 25))
        frame = st.integers(0, n_frames - 1)
        own = sorted(data.draw(st.sets(frame, min_size=1)))
        labeled = data.draw(st.sets(frame, max_size=3))
        include = data.draw(st.sets(frame, max_size=2)) - labeled
        constraints = Constraints(
            min_gap=data.draw(st.one_of(st.none(), st.integers(1, 4))),
            max_gap=data.draw(st.one_of(st.none(), st.integers(3, 20))),
            include=tuple(include),
            labeled=tuple(labeled),
            exclude=tuple(data.draw(st.sets(frame, max_size=3)) - include),
            cells=data.draw(st.one_of(st.just(()), st.sets(frame, max_size=2).map(lambda s: (0, *s)))),
        )
        parts.append(Part(n_frames, np.array(own), constraints))
        sizes.append(len(own))
    vectors = rows(sum(sizes), data.draw(st.integers(0, 5)))
    ranges = []
    for part in parts:
        mask = np.zeros(part.n_frames, bool)
        mask[[*part.frame_index, *part.constraints.include]] = True
        try:
            own = Constraints(
                **{
                    name: getattr(part.constraints, name)
                    for name in ("min_gap", "max_gap", "include", "labeled", "exclude", "cells")
                },
                selectable=mask,
            )
            ranges.append(feasible_range(part.n_frames, own))
        except ConstraintError:
            with pytest.raises(ConstraintError):
                sample_together(plain_farthest, vectors, 3, parts)
            return
    low, high = sum(a for a, _ in ranges), sum(b for _, b in ranges)
    n = data.draw(st.integers(low, high))
    samples = sample_together(plain_farthest, vectors, n, parts).samples
    assert sum(map(len, samples)) == n
    for part, found, (a, b) in zip(parts, samples, ranges, strict=True):
        assert a <= len(found) <= b
        chosen, own = set(found.indices.tolist()), part.constraints
        assert set(own.include) <= chosen
        assert not chosen & ({*own.labeled, *own.exclude})
        assert chosen <= {*part.frame_index.tolist(), *own.include}
        taken = sorted(chosen | set(own.labeled))
        for x, y in itertools.pairwise(taken):
            assert y - x >= (own.min_gap or 1) or {x, y} <= set(own.labeled)
            assert own.max_gap is None or y - x <= own.max_gap
        for x, y in itertools.pairwise([*own.cells, part.n_frames]):
            assert any(x <= i < y for i in taken)
        for i, why, chance in zip(found.indices.tolist(), found.reasons, found.inclusion, strict=True):
            assert (why == "include: asked for") is (i in own.include)
            assert chance == 1.0 if i in own.include else np.isnan(chance)


def test_labelled_and_included_frames_count_for_the_distance():
    line = np.arange(10, dtype=np.float32)[:, None]
    part = Part(10, np.arange(10), Constraints(labeled=(0,), include=(9,)))
    found = sample_rows(plain_farthest, line, 2, part)
    assert found.indices.tolist() == [4, 9]  # 4 and 5 are both farthest from 0 and 9
    assert found.rank.tolist() == [1, 0]
    np.testing.assert_array_equal(found.gains, [4.0, np.nan])


def test_a_frame_without_a_vector_is_chosen_only_when_asked_for():
    part = Part(6, np.array([0, 2, 4]), Constraints(include=(3,)))
    found = sample_rows(plain_farthest, rows(3), 3, part)
    assert 3 in found.indices
    assert set(found.indices.tolist()) <= {0, 2, 3, 4}
    with pytest.raises(ConstraintError, match="allow 1 to 4 frames in all, n is 5"):
        sample_rows(plain_farthest, rows(3), 5, part)


def test_numpy_s_integers_are_budgets_too():
    part = Part(30, np.arange(30), Constraints())
    found = sample_rows(plain_farthest, rows(30), np.int64(4), part)
    assert found.indices.tolist() == sample_rows(plain_farthest, rows(30), 4, part).indices.tolist()


def test_rows_with_nan_are_never_chosen():
    vectors = rows(8)
    vectors[[1, 5]] = np.nan
    part = Part(8, np.arange(8), Constraints())
    found = sample_rows(plain_farthest, vectors, 6, part)
    assert found.indices.tolist() == [0, 2, 3, 4, 6, 7]
    assert found.nan_count == 2
    with pytest.raises(ConstraintError, match="allow 0 to 6 frames in all, n is 7"):
        sample_rows(plain_farthest, vectors, 7, part)


def test_other_methods_take_targets_that_gaps_may_move():
    part = Part(12, np.arange(12), Constraints(min_gap=3, include=(11,)))
    found = sample_rows(every_third, rows(12), 4, part)
    assert found.indices.tolist() == [0, 3, 6, 11] or np.diff(found.indices).min() >= 3
    assert found.reasons[-1] == "include: asked for"
    assert any("moved" in why for why in found.reasons)
    assert sample_rows(every_third, rows(12), 3, Part(12, np.arange(12), Constraints())).indices.tolist() == [
        0,
        1,
        2,
    ]


def test_one_call_serves_both_kinds():
    found = sample(plain_farthest, rows(30), 5, constraints=Constraints(min_gap=4))
    assert np.diff(found.indices).min() >= 4
    assert is_greedy(plain_farthest)
    assert not is_greedy(every_third)


def test_wrong_arguments():
    part = Part(3, np.arange(3), Constraints())
    with pytest.raises(ValueError, match="method 'every_third' is not greedy"):
        sample_together(every_third, rows(3), 1, [part])
    with pytest.raises(ValueError, match="embeddings have 4 rows, the videos 3 frames with one"):
        sample_together(plain_farthest, rows(4), 1, [part])
    with pytest.raises(ValueError, match=r"frame_index must be increasing and in 0\.\.2"):
        Part(3, np.array([2, 1]), Constraints())
    with pytest.raises(ValueError, match="has no option 'accept'"):
        sample_rows(plain_farthest, rows(3), 1, part, options={"accept": None})
    with pytest.raises(ConstraintError, match="include has 1 frames, n is 0; raise n"):
        sample_together(plain_farthest, rows(3), 0, [Part(3, np.arange(3), Constraints(include=(1,)))])


def test_coverage_by_its_definition():
    vectors = rows(50).astype(np.float64)
    picks = [3, 20, 41]
    exact = np.linalg.norm(vectors[:, None] - vectors[picks][None], axis=2).min(axis=1)
    found = coverage(vectors, picks)
    assert found.radius == pytest.approx(exact.max(), abs=1e-12)
    assert found.mean == pytest.approx(exact.mean(), abs=1e-12)
    manhattan = np.abs(vectors[:, None] - vectors[picks][None]).sum(axis=2).min(axis=1)
    assert coverage(vectors, picks, metric="manhattan").mean == pytest.approx(manhattan.mean())
    part = coverage(vectors, picks, limit=10)
    assert (part.rows, part.total) == (10, 50)
    assert part.radius <= found.radius
    assert np.isnan(coverage(vectors, []).radius)
    with pytest.raises(ValueError, match=r"chosen must be in 0\.\.49, got 3 to 50"):
        coverage(vectors, [3, 50])

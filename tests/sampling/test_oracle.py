"""The oracle of greedy methods against trying every set of frames."""

from __future__ import annotations

from itertools import combinations, pairwise, product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evfr.errors import ConstraintError
from evfr.sampling import Constraints, feasible_range
from evfr.sampling._constraints import prepare
from evfr.sampling._oracle import Oracle


def holds(n_frames: int, constraints: Constraints, chosen: set[int]) -> bool:
    """Check one video's constraints by their definition."""
    eligible = constraints.selectable if constraints.selectable is not None else np.ones(n_frames, bool)
    if not all(eligible[i] for i in chosen) or not set(constraints.include) <= chosen:
        return False
    if chosen & (set(constraints.exclude) | set(constraints.labeled)):
        return False
    taken = sorted(chosen | set(constraints.labeled))
    bounds = [*constraints.cells, n_frames]
    if constraints.cells and not all(any(a <= i < b for i in taken) for a, b in pairwise(bounds)):
        return False
    for a, b in pairwise(taken):
        both = a in constraints.labeled and b in constraints.labeled
        if constraints.min_gap is not None and b - a < constraints.min_gap and not both:
            return False
    if constraints.max_gap is not None:
        # The head is measured from frame 0, the tail to the last frame.
        marks = [0, *taken, n_frames - 1]
        if any(b - a > constraints.max_gap for a, b in pairwise(marks)):
            return False
    return True


def all_sets(n_frames: int, constraints: Constraints) -> list[frozenset[int]]:
    frames = range(n_frames)
    return [
        frozenset(c)
        for k in range(n_frames + 1)
        for c in combinations(frames, k)
        if holds(n_frames, constraints, set(c))
    ]


@st.composite
def videos(draw: st.DrawFn) -> tuple[int, Constraints]:
    n_frames = draw(st.integers(1, 6))
    frame = st.integers(0, n_frames - 1)
    labeled = draw(st.sets(frame, max_size=2))
    include = draw(st.sets(frame, max_size=1)) - labeled
    selectable = np.array(draw(st.lists(st.booleans(), min_size=n_frames, max_size=n_frames)))
    selectable[sorted(include)] = True
    cells = draw(st.one_of(st.just(()), st.sets(frame, max_size=3).map(lambda s: tuple(sorted({0, *s})))))
    return n_frames, Constraints(
        min_gap=draw(st.one_of(st.none(), st.integers(1, 3))),
        max_gap=draw(st.one_of(st.none(), st.integers(1, 5))),
        include=tuple(include),
        labeled=tuple(labeled),
        selectable=selectable,
        cells=cells,
    )


@settings(max_examples=300, deadline=None)
@given(video=videos())
def test_the_range_with_cells_is_that_of_all_sets(video):
    n_frames, constraints = video
    sizes = sorted({len(s) for s in all_sets(n_frames, constraints)})
    if not sizes:
        with pytest.raises(ConstraintError):
            feasible_range(n_frames, constraints)
        return
    assert sizes == list(range(sizes[0], sizes[-1] + 1))
    assert feasible_range(n_frames, constraints) == (sizes[0], sizes[-1])


@settings(max_examples=80, deadline=None)
@given(parts=st.lists(videos(), min_size=1, max_size=2), data=st.data())
def test_every_answer_is_that_of_all_sets(parts, data):
    options = [all_sets(n_frames, constraints) for n_frames, constraints in parts]
    if not all(options):
        return
    minimum = np.array([data.draw(st.integers(0, 2)) for _ in parts])
    maximum = minimum + np.array([data.draw(st.integers(0, 4)) for _ in parts])
    bounded = [
        choice
        for choice in product(*options)
        if all(a <= len(c) <= b for c, a, b in zip(choice, minimum, maximum, strict=True))
    ]
    sizes = sorted({sum(map(len, choice)) for choice in bounded})
    n = data.draw(st.sampled_from([*sizes, 9]))
    whole = [choice for choice in bounded if sum(map(len, choice)) == n]
    prepared = [prepare(n_frames, constraints) for n_frames, constraints in parts]
    oracle = Oracle(prepared, n, minimum, maximum)
    per_video = [
        {len(s) for s in own if low <= len(s) <= high}
        for own, low, high in zip(options, minimum, maximum, strict=True)
    ]
    if not all(per_video):
        return
    assert (oracle.low, oracle.high) == (sum(map(min, per_video)), sum(map(max, per_video)))
    if not whole:
        assert not oracle.low <= n <= oracle.high
        return
    taken = [set(constraints.include) for _, constraints in parts]
    order = data.draw(st.permutations([(v, i) for v, (size, _) in enumerate(parts) for i in range(size)]))
    for video, frame in order:
        if frame in taken[video]:
            continue
        wanted = [own | {frame} if v == video else own for v, own in enumerate(taken)]
        possible = any(all(w <= c for w, c in zip(wanted, choice, strict=True)) for choice in whole)
        assert oracle.take(video, frame) is possible, (video, frame, taken)
        if possible:
            taken = wanted
    assert sum(map(len, taken)) == n


def test_cells_are_named_when_they_cannot_hold():
    dark = np.ones(10, bool)
    dark[4:8] = False
    with pytest.raises(
        ConstraintError, match=r"the 2 cells \(from frames 0, 4, \.\.\.\) cannot each hold a frame"
    ):
        feasible_range(8, Constraints(cells=(0, 4), selectable=dark[:8]))
    with pytest.raises(ConstraintError, match="3 cells need at least 3 frames, n is 2"):
        from evfr.sampling import sample

        sample("uniform", np.ones(9), 2, constraints=Constraints(cells=(0, 3, 6)))
    with pytest.raises(ConstraintError, match="max_gap=2 needs at least 4 frames, n is 3"):
        sample("uniform", np.ones(11), 3, constraints=Constraints(cells=(0, 3, 6), max_gap=2))


def test_bad_cells():
    with pytest.raises(ValueError, match="cells must begin with frame 0, got 2"):
        Constraints(cells=(2, 4))
    with pytest.raises(ValueError, match="cells must be below the 5 frames of the video, got 5"):
        feasible_range(5, Constraints(cells=(0, 5)))


def test_a_frame_that_would_leave_too_little_room_is_refused():
    part = prepare(5, Constraints(min_gap=3))
    oracle = Oracle([part], 2, np.array([0]), np.array([9]))
    assert not oracle.take(0, 2)
    assert oracle.take(0, 1)
    assert not oracle.take(0, 3)
    assert oracle.take(0, 4)


def test_a_video_at_its_maximum_takes_no_more():
    parts = [prepare(4, Constraints()), prepare(4, Constraints())]
    oracle = Oracle(parts, 4, np.array([0, 0]), np.array([1, 9]))
    assert oracle.take(0, 2)
    assert not oracle.take(0, 3)
    assert [oracle.take(1, i) for i in range(4)] == [True, True, True, False]

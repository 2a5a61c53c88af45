"""Constraints checked and solved by enumeration: an oracle that shares nothing with the solver."""

from __future__ import annotations

import itertools

import numpy as np
from hypothesis import strategies as st

from evfr.sampling import Constraints


def satisfies(chosen, n_frames: int, constraints: Constraints, times) -> bool:
    """Tell whether a set of frames satisfies the constraints, read word by word."""
    chosen = set(chosen)
    c = constraints
    if not set(c.include) <= chosen or chosen & set(c.exclude) or chosen & set(c.labeled):
        return False
    if c.selectable is not None and not all(c.selectable[i] for i in chosen):
        return False
    marks = sorted(chosen | set(c.labeled))
    for a, b in itertools.pairwise(marks):
        if a in c.labeled and b in c.labeled:
            continue
        if c.min_gap is not None and b - a < c.min_gap:
            return False
        if c.min_gap_seconds is not None and times[b] - times[a] < c.min_gap_seconds - 1e-6:
            return False
    if n_frames == 0:
        return True
    for a, b in itertools.pairwise([0, *marks, n_frames - 1]):
        if c.max_gap is not None and b - a > c.max_gap:
            return False
        if c.max_gap_seconds is not None and times[b] - times[a] > c.max_gap_seconds + 1e-6:
            return False
    return True


def feasible_counts(n_frames: int, constraints: Constraints, times) -> set[int]:
    """Return every n for which some subset of n frames satisfies the constraints."""
    return {
        n
        for n in range(n_frames + 1)
        if any(satisfies(s, n_frames, constraints, times) for s in itertools.combinations(range(n_frames), n))
    }


@st.composite
def constrained_videos(draw, max_frames: int):
    """Draw (n_frames, times, constraints): true times of unequal steps, every kind of constraint."""
    n_frames = draw(st.integers(0, max_frames))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    times = np.cumsum(rng.choice([0.04, 0.04, 0.08, 0.2, 0.0], n_frames)).tolist()

    def frames(*shares: float) -> tuple[int, ...]:
        return tuple(np.flatnonzero(rng.random(n_frames) < rng.choice(shares)).tolist())

    selectable = np.ones(n_frames, dtype=np.bool_)
    selectable[list(frames(0.0, 0.1, 0.3))] = False
    constraints = Constraints(
        min_gap=draw(st.sampled_from([None, None, 1, 2, 3, 5])),
        max_gap=draw(st.sampled_from([None, None, 1, 2, 3, 4, 7])),
        min_gap_seconds=draw(st.sampled_from([None, None, None, 0.08, 0.2])),
        max_gap_seconds=draw(st.sampled_from([None, None, None, 0.08, 0.2, 0.48])),
        include=tuple(i for i in frames(0.0, 0.0, 0.1) if rng.random() < 0.1 or selectable[i]),
        exclude=frames(0.0, 0.0, 0.1),
        labeled=frames(0.0, 0.1, 0.3),
        selectable=draw(st.sampled_from([None, selectable])),
    )
    return n_frames, times, constraints

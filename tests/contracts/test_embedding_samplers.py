"""One suite over every sampler on embeddings: what a user, a verb and the page may rely on."""

from __future__ import annotations

import inspect

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evfr.errors import ConstraintError
from evfr.sampling import SAMPLERS as ALL_SAMPLERS
from evfr.sampling import SUPPLIED, Sample, is_greedy, sample, takes_embeddings

SAMPLERS = {name: sampler for name, sampler in ALL_SAMPLERS.items() if takes_embeddings(sampler)}
EVERY = pytest.mark.parametrize("name", sorted(SAMPLERS))
GREEDY = pytest.mark.parametrize("name", sorted(name for name in SAMPLERS if is_greedy(name)))


def walk(n: int, seed: int = 0, size: int = 5) -> np.ndarray:
    """A path in space, as the frames of a video make."""
    steps = np.random.default_rng(seed).normal(size=(n, size)).cumsum(axis=0)
    return (steps + 3.0).astype(np.float32)


def assert_is_sample(found: Sample, n: int, n_frames: int) -> None:
    assert isinstance(found, Sample)
    assert found.indices.shape == (n,)
    assert found.indices.dtype == np.int64
    assert np.all(np.diff(found.indices) > 0)
    assert n == 0 or (found.indices[0] >= 0 and found.indices[-1] < n_frames)
    assert sorted(found.rank.tolist()) == list(range(n))
    assert len(found.reasons) == n
    assert all(reason.startswith(found.method) for reason in found.reasons)
    assert found.gains is None or found.gains.shape == (n,)


@settings(max_examples=40, deadline=None)
@given(
    name=st.sampled_from(sorted(SAMPLERS)),
    n_frames=st.integers(0, 40),
    share=st.floats(0, 1),
    seed=st.integers(0, 2**40),
    kind=st.sampled_from(["walk", "equal", "pairs"]),
)
def test_any_rows_any_budget(name, n_frames, share, seed, kind):
    rows = walk(n_frames, seed % 7)
    if kind == "equal":
        rows = np.ones_like(rows)
    elif kind == "pairs":
        rows = rows[np.arange(n_frames) // 2 * 2]
    n = round(share * n_frames)
    before = rows.copy()
    found = SAMPLERS[name](rows, n, seed=seed)
    assert_is_sample(found, n, n_frames)
    assert found.method == name
    again = SAMPLERS[name](rows, n, seed=seed)
    assert found.indices.tobytes() == again.indices.tobytes()
    assert found.rank.tobytes() == again.rank.tobytes()
    np.testing.assert_array_equal(rows, before)


@EVERY
def test_float16_rows_are_what_their_values_are(name):
    halves = walk(50).astype(np.float16)
    found = SAMPLERS[name](halves, 7, seed=3)
    assert found.indices.tolist() == SAMPLERS[name](halves.astype(np.float32), 7, seed=3).indices.tolist()


@EVERY
def test_bad_rows_are_never_chosen_and_counted_out(name):
    rows = walk(20)
    rows[[2, 7]] = np.nan
    rows[11] = np.inf
    found = SAMPLERS[name](rows, 17, seed=1)
    assert found.indices.tolist() == [i for i in range(20) if i not in (2, 7, 11)]
    with pytest.raises(ConstraintError, match="n=18"):
        SAMPLERS[name](rows, 18)


@EVERY
def test_distinct_rows_come_before_copies(name):
    if name == "segment-medoid":
        pytest.skip("a clip is split in time: a scene that comes back has a medoid of its own")
    distinct = walk(6, 2) * 5
    rows = distinct[np.repeat(np.arange(6), 4)]
    found = SAMPLERS[name](rows, 6, seed=0)
    assert len(np.unique(rows[found.indices], axis=0)) == 6


@EVERY
def test_usable_and_initial(name):
    rows = walk(30)
    usable = np.ones(30, bool)
    usable[::3] = False
    keywords = {"usable": usable, "initial": (0, 15)}
    found = SAMPLERS[name](rows, 8, seed=0, **keywords)
    assert_is_sample(found, 8, 30)
    assert usable[found.indices].all()
    assert not {0, 15} & set(found.indices.tolist())


@GREEDY
def test_a_refused_row_is_struck_and_the_next_best_taken(name):
    rows = walk(40)
    free = SAMPLERS[name](rows, 6, seed=0)
    best = free.indices[np.argsort(free.rank)].tolist()
    asked = []

    def accept(row: int) -> bool:
        asked.append(row)
        return row not in best[1:3]

    found = SAMPLERS[name](rows, 6, seed=0, accept=accept)
    assert not set(best[1:3]) & set(found.indices.tolist())
    assert all(isinstance(row, int) for row in asked)
    assert len(asked) == len(set(asked))
    assert set(asked) >= set(found.indices.tolist())


@GREEDY
def test_a_smaller_budget_is_a_prefix(name):
    rows = walk(60)
    whole = SAMPLERS[name](rows, 12, seed=4)
    ranked = whole.indices[np.argsort(whole.rank)]
    for n in (0, 1, 5, 11):
        assert SAMPLERS[name](rows, n, seed=4).indices.tolist() == sorted(ranked[:n].tolist())


@EVERY
def test_signature_serves_the_command_line(name):
    parameters = list(inspect.signature(SAMPLERS[name]).parameters.values())
    assert [p.name for p in parameters[:3]] == ["embeddings", "n", "seed"]
    assert parameters[2].default == 0
    names = {p.name for p in parameters}
    assert {"initial", "usable"} <= names
    for parameter in parameters[2:]:
        assert parameter.kind is parameter.KEYWORD_ONLY
        assert parameter.default is not parameter.empty
        if parameter.name not in SUPPLIED:
            assert f"\n{parameter.name} : " in str(inspect.getdoc(SAMPLERS[name]))


@EVERY
def test_bad_budgets(name):
    rows = walk(3)
    with pytest.raises(ConstraintError, match="n=4"):
        SAMPLERS[name](rows, 4)
    with pytest.raises(ValueError, match="n must be 0 or more, got -1"):
        SAMPLERS[name](rows, -1)
    with pytest.raises(TypeError, match=r"n must be an integer, got 1\.5"):
        SAMPLERS[name](rows, 1.5)


@EVERY
@pytest.mark.parametrize("shape", [(4,), (2, 2, 2)])
def test_bad_shapes(name, shape):
    with pytest.raises(ValueError, match=r"embeddings must be \(N, D\)"):
        SAMPLERS[name](np.ones(shape, np.float32), 1)


@EVERY
def test_under_constraints(name):
    from evfr.sampling import Constraints

    found = sample(
        name, walk(50), 6, constraints=Constraints(min_gap=4, labeled=(10,), include=(30,), cells=(0, 25))
    )
    taken = sorted([*found.indices.tolist(), 10])
    assert 30 in taken
    assert np.diff(taken).min() >= 4
    assert found.method == name

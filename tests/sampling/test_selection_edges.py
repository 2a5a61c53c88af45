"""Small laws of selection that mutants showed to be open."""

from __future__ import annotations

import numpy as np
import pytest

from evfr.errors import ConstraintError
from evfr.sampling import SAMPLERS, Constraints, allocate, feasible_range, sample, takes_embeddings
from evfr.sampling._adaptive import _nth_smallest, draw_weighted
from evfr.sampling._sample import spread_rank


@pytest.mark.parametrize("n", [*range(20), 31, 32, 33, 64, 65, 129])
def test_ranks_spread_by_reversed_bits(n):
    bits = max(n - 1, 0).bit_length()
    reverse = [int(f"{k:0{bits}b}"[::-1], 2) if bits else 0 for k in range(n)]
    order = sorted(range(n), key=lambda k: reverse[k])
    assert spread_rank(n)[order].tolist() == list(range(n))


def test_which_samplers_take_embeddings():
    taking = {name for name, sampler in SAMPLERS.items() if takes_embeddings(sampler)}
    assert {"farthest", "facility", "kmeans", "kmedoids", "segment-medoid"} <= taking
    assert not {"uniform", "random", "systematic", "adaptive", "auto"} & taking
    assert not takes_embeddings(lambda: None)


@pytest.mark.parametrize("n", [1, 2, 7, 50, 4999, 5000])
def test_the_nth_smallest_of_any_keys(n):
    rng = np.random.default_rng(n)
    spread = rng.standard_exponential(5000) / rng.random(5000)
    for keys in (
        spread,
        np.sort(spread),
        np.sort(spread)[::-1].copy(),
        np.round(spread),
        np.full(5000, np.inf),
    ):
        assert _nth_smallest(keys, n) == np.sort(keys)[n - 1]
    assert _nth_smallest(np.array([3.0]), 1) == 3


def test_why_no_choice_is_possible_names_frames():
    selectable = np.ones(100, np.bool_)
    selectable[20:60] = False
    with pytest.raises(
        ConstraintError, match=r"max_gap.*10.* cannot hold: no frame between 19 and 60 may be selected"
    ):
        feasible_range(100, Constraints(max_gap=10, selectable=selectable))
    with pytest.raises(
        ConstraintError, match=r"min_gap.*5.* cannot hold between frames 10 and 13 \(include and include\)"
    ):
        feasible_range(100, Constraints(min_gap=5, include=(10, 13)))
    with pytest.raises(ConstraintError, match=r"between frames 10 and 13 \(labeled and include\)"):
        feasible_range(100, Constraints(min_gap=5, include=(13,), labeled=(10,)))
    with pytest.raises(
        ConstraintError, match=r"the 3 cells \(from frames 0, 30, 40, \.\.\.\) cannot each hold a frame"
    ):
        feasible_range(100, Constraints(cells=(0, 30, 40), selectable=selectable))


@pytest.mark.parametrize(("gap", "least", "most"), [(1, 0, 30), (2, 0, 15), (7, 0, 5), (30, 0, 1)])
def test_how_many_frames_fit_between_gaps(gap, least, most):
    assert feasible_range(30, Constraints(min_gap=gap)) == (least, most)
    found = sample("uniform", np.ones(30), most, constraints=Constraints(min_gap=gap))
    assert len(found.indices) == most
    with pytest.raises(ConstraintError, match=f"{most}"):
        sample("uniform", np.ones(30), most + 1, constraints=Constraints(min_gap=gap))


def test_included_frames_count_within_gaps():
    rules = Constraints(min_gap=10, include=(0, 50))
    assert feasible_range(100, rules) == (2, 10)
    found = sample("systematic", np.ones(100), 10, constraints=rules)
    assert {0, 50} <= set(found.indices.tolist())
    assert np.diff(found.indices).min() >= 10


def test_shares_of_a_budget_are_whole_and_follow_the_rule():
    assert allocate(10, [1, 1, 2]).tolist() == [3, 2, 5]
    assert allocate(7, [5, 5], rule="equal").tolist() == [4, 3]
    assert allocate(9, [1, 1, 1], [1, 0, 1], rule="activity").tolist() == [5, 0, 4]
    assert allocate(9, [1, 1, 1], [1, np.nan, 2], rule="activity").sum() == 9
    assert allocate(10, [9, 1], minimum=[0, 3]).tolist() == [7, 3]
    assert allocate(10, [9, 1], maximum=6).tolist() == [6, 4]
    assert allocate(10, [9, 1], minimum=2, maximum=[8, 5]).tolist() == [8, 2]
    assert allocate(0, [9, 1]).tolist() == [0, 0]
    with pytest.raises(ConstraintError):
        allocate(3, [1, 1], minimum=2)
    with pytest.raises(ConstraintError):
        allocate(9, [1, 1], maximum=4)


def test_methods_by_name_and_by_function_agree():
    weights = np.random.default_rng(0).random(50)
    rules = Constraints(min_gap=2, exclude=(3,))
    for name in ("uniform", "systematic", "adaptive"):
        one = sample(name, weights, 9, seed=4, constraints=rules)
        two = sample(SAMPLERS[name], weights, 9, seed=4, constraints=rules)
        assert one.indices.tolist() == two.indices.tolist()


def test_inclusion_of_included_frames_is_certain():
    found = sample(
        "systematic", np.ones(20), 5, constraints=Constraints(include=(7,)), options={"start": "random"}
    )
    place = found.indices.tolist().index(7)
    assert found.inclusion[place] == 1
    assert found.reasons[place] == "include: asked for"


@pytest.mark.parametrize("name", ["uniform", "systematic", "adaptive", "random"])
def test_budgets_beyond_the_video_or_of_another_kind(name):
    with pytest.raises(ConstraintError, match="5"):
        SAMPLERS[name](np.ones(4), 5)
    with pytest.raises(TypeError):
        SAMPLERS[name](np.ones(4), 2.5)
    with pytest.raises(ValueError, match="-1"):
        SAMPLERS[name](np.ones(4), -1)
    assert SAMPLERS[name](np.ones(4), np.int64(4)).indices.tolist() == [0, 1, 2, 3]
    with pytest.raises(ConstraintError, match="5"):
        draw_weighted(np.ones(4), 5)

"""Which frames an iteration sees: even over any stretch, a function of the arguments alone, and by hand."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evfr.training import visit_bounds, visits


@given(st.integers(1, 23), st.integers(1, 40), st.integers(0, 2**40), st.integers(1, 12))
@settings(max_examples=60, deadline=None)
def test_any_two_frames_differ_by_one_visit_at_most_at_any_time(frame_count, batch_size, seed, iterations):
    seen = np.zeros(frame_count, np.int64)
    for iteration in range(iterations):
        for place in visits(frame_count, batch_size, iteration, seed):
            seen[place] += 1
            assert seen.max() - seen.min() <= 1
        assert (seen.min(), seen.max()) == visit_bounds(frame_count, batch_size, iteration + 1)


def test_the_order_is_of_the_arguments_alone():
    late = visits(10, 4, 7, seed=3)
    assert late.dtype == np.int64
    for iteration in (2, 0, 9):
        visits(10, 4, iteration, seed=5)
    assert np.array_equal(visits(10, 4, 7, seed=3), late)
    # The stream is one: batches of another size cut it elsewhere.
    stream = np.concatenate([visits(10, 4, i, seed=3) for i in range(10)])
    assert np.array_equal(np.concatenate([visits(10, 8, i, seed=3) for i in range(5)]), stream)
    assert not np.array_equal(stream[:10], stream[10:20])
    assert not np.array_equal(stream, np.concatenate([visits(10, 4, i, seed=4) for i in range(10)]))


def test_all_orders_are_as_likely():
    firsts = np.array([visits(4, 4, 0, seed)[0] for seed in range(2000)])
    # 500 each on average; six standard deviations are 116.
    assert (np.abs(np.bincount(firsts, minlength=4) - 500) < 116).all()


def test_a_caller_may_change_what_it_gets():
    first = visits(4, 4, 0, seed=0)
    first[:] = -1
    assert visits(4, 4, 0, seed=0).min() == 0


def test_bounds_by_hand():
    assert visit_bounds(10, 4, 5) == (2, 2)
    assert visit_bounds(10, 4, 6) == (2, 3)
    assert visit_bounds(100, 4, 0) == (0, 0)


@pytest.mark.parametrize("numbers", [(0, 1, 0), (1, 0, 0), (1, 1, -1)])
def test_wrong_numbers(numbers):
    told = "frame_count and batch_size must be 1 or more and {} 0 or more, got {}, {} and {}"
    with pytest.raises(ValueError, match=told.format("iteration", *numbers)):
        visits(*numbers, seed=0)
    with pytest.raises(ValueError, match=told.format("iterations", *numbers)):
        visit_bounds(*numbers)

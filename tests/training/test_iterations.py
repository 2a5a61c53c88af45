"""Iterations for more frames: the rule of C19 by hand, and its two ends."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evfr.training import iterations_for

COUNT = st.integers(1, 10**6)


def test_twenty_times_the_frames_are_a_quarter_of_the_epochs():
    # Epochs are iterations per frame: 20^.537 / 20 = 0.2498.
    assert iterations_for(400, 10_000, 20) / 400 == pytest.approx(10_000 / 20 / 4, rel=2e-3)
    assert iterations_for(20, 10_000, 20) == 10_000
    assert iterations_for(1, 10_000, 20) == 2001


@given(frames=COUNT, iterations=COUNT, base=COUNT)
def test_the_ends_are_equal_iterations_and_equal_epochs(frames, iterations, base):
    assert iterations_for(frames, iterations, base, exponent=0) == iterations
    assert iterations_for(frames, iterations, base, exponent=1) == max(
        1, int(iterations * (frames / base) + 0.5)
    )
    assert iterations_for(frames, iterations, base) >= 1


@pytest.mark.parametrize("numbers", [(0, 1, 1), (1, 0, 1), (1, 1, 0)])
def test_numbers_below_one(numbers):
    wanted = "frames, base_iterations and base_frames must be 1 or more, got {}, {} and {}".format(*numbers)
    with pytest.raises(ValueError, match=wanted):
        iterations_for(*numbers)


@pytest.mark.parametrize("exponent", [-0.1, 1.1, float("nan")])
def test_exponents_out_of_range(exponent):
    with pytest.raises(ValueError, match=r"exponent must be in \[0, 1\], got"):
        iterations_for(1, 1, 1, exponent=exponent)

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evfr.errors import ConstraintError
from evfr.sampling import STRIDES, allocate, budget


def water_level(total: int, shares: list[int], low: list[int], high: list[int]) -> list[Fraction]:
    """Find the one level L with sum(clip(L share, low, high)) = total, exactly, by trying every breakpoint."""
    points = sorted(
        {Fraction(b, s) for s, a, c in zip(shares, low, high, strict=True) for b in (a, c)} | {Fraction(0)}
    )

    def clip(level: Fraction) -> list[Fraction]:
        return [
            min(max(level * s, Fraction(a)), Fraction(c)) for s, a, c in zip(shares, low, high, strict=True)
        ]

    below = max((p for p in points if sum(clip(p)) <= total), default=Fraction(0))
    inside = [i for i, s in enumerate(shares) if low[i] <= below * s < high[i]]
    slope = sum(shares[i] for i in inside)
    return clip(below + ((total - sum(clip(below))) / slope if slope else 0))


@st.composite
def problems(draw):
    count = draw(st.integers(1, 8))
    shares = draw(st.lists(st.integers(1, 30), min_size=count, max_size=count))
    low = draw(st.lists(st.integers(0, 6), min_size=count, max_size=count))
    high = [a + draw(st.integers(0, 25)) for a in low]
    return draw(st.integers(sum(low), sum(high))), shares, low, high


@settings(max_examples=500, deadline=None)
@given(problems())
def test_within_one_frame_of_the_exact_level(problem):
    total, shares, low, high = problem
    got = allocate(total, shares, minimum=low, maximum=high).tolist()
    exact = water_level(total, shares, low, high)
    assert sum(exact) == total
    assert sum(got) == total
    assert all(a <= g <= b for a, g, b in zip(low, got, high, strict=True))
    assert all(abs(g - e) < 1 for g, e in zip(got, exact, strict=True)), (got, exact)


def test_largest_remainders_by_hand():
    """7 over 3 : 3 : 1 is 3, 3, 1; 8 is 3.43, 3.43, 1.14: one left, the tie goes to the lower index."""
    assert allocate(7, [30, 30, 10]).tolist() == [3, 3, 1]
    assert allocate(8, [30, 30, 10]).tolist() == [4, 3, 1]


def test_rules_by_hand():
    assert allocate(12, [100, 300]).tolist() == [3, 9]
    assert allocate(12, [100, 300], rule="equal").tolist() == [6, 6]
    # sqrt(16 x 100) : sqrt(1 x 400) = 40 : 20.
    assert allocate(12, [100, 400], [16, 1], rule="activity").tolist() == [8, 4]


def test_caps_are_iterated():
    """The cap of the first sends 5 more to the others, which lifts the second above its own cap."""
    assert allocate(20, [10, 5, 1], maximum=[5, 8, 20]).tolist() == [5, 8, 7]
    assert allocate(20, [100, 1, 1], minimum=3).tolist() == [14, 3, 3]


def test_still_videos_share_what_the_others_cannot_take():
    assert allocate(10, [50, 50, 100], [4, 0, 0], rule="activity", maximum=[4, 50, 100]).tolist() == [4, 2, 4]
    assert allocate(4, [50, 150], [0, float("nan")], rule="activity").tolist() == [1, 3]
    assert allocate(4, [0, 0]).tolist() == [2, 2]


def test_nothing_to_give():
    assert allocate(0, []).tolist() == []
    assert allocate(0, [5, 5]).tolist() == [0, 0]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"minimum": [3, 4]}, "the minimum asks for 7 frames in all, the budget is 5"),
        ({"maximum": 2}, "the maximum allows 4 frames in all, the budget is 5"),
        ({"minimum": [0, 3], "maximum": [9, 2]}, "minimum=3 is above maximum=2 for entry 1"),
    ],
)
def test_infeasible(arguments, message):
    with pytest.raises(ConstraintError, match=message):
        allocate(5, [10, 10], **arguments)


def test_no_videos():
    with pytest.raises(ConstraintError, match="the maximum allows 0 frames in all, the budget is 3"):
        allocate(3, [])


@pytest.mark.parametrize(
    ("arguments", "keywords", "message"),
    [
        ((-1, [1]), {}, "total must be 0 or more, got -1"),
        ((1, [-2.0]), {}, r"durations must be in \[0, 1e150\]"),
        ((1, [[1.0]]), {}, "durations must be one-dimensional"),
        ((1, [1.0], [1.0, 2.0]), {}, "activities must have 1 entries, one per video, got 2"),
        ((1, [1.0]), {"rule": "activity"}, "needs the activities"),
        ((1, [1.0]), {"rule": "size"}, "rule must be 'duration', 'equal' or 'activity', got 'size'"),
        ((1, [1.0]), {"minimum": [0.5]}, "minimum must be 1 integers"),
        ((1, [1.0]), {"maximum": [-1]}, "maximum must be 0 or more, got -1"),
    ],
)
def test_wrong_arguments(arguments, keywords, message):
    with pytest.raises(ValueError, match=message):
        allocate(*arguments, **keywords)


def test_budget():
    assert budget(100, n=7) == 7
    assert [budget(203, stride=s) for s in STRIDES] == [203, 102, 68, 51, 41, 29, 21]
    # Half up, as decimals: .145 x 100 is 14.5, although the double product is below.
    assert [budget(100, ratio=r) for r in (0.145, 0.29, 1.0, 0.001)] == [15, 29, 100, 1]
    assert budget(0, ratio=0.5) == 0


@pytest.mark.parametrize(
    ("keywords", "message"),
    [
        ({}, "give exactly one of n, ratio and stride, got n=None"),
        ({"n": 3, "stride": 2}, "give exactly one of n, ratio and stride, got n=3"),
        ({"n": -1}, "n must be 0 or more, got -1"),
        ({"ratio": 0.0}, r"ratio must be in \(0, 1\], got 0.0"),
        ({"ratio": 1.5}, r"ratio must be in \(0, 1\], got 1.5"),
        ({"stride": 0}, "stride must be 1 or more, got 0"),
    ],
)
def test_wrong_budget(keywords, message):
    with pytest.raises(ValueError, match=message):
        budget(10, **keywords)


def test_budget_needs_frames():
    with pytest.raises(ValueError, match="n_frames must be 0 or more, got -1"):
        budget(-1, n=0)
    with pytest.raises(ConstraintError, match="n=11 is more than the 10 frames there are"):
        budget(10, n=11)

from __future__ import annotations

import numpy as np
import pytest

from evfr.errors import ConstraintError
from evfr.sampling import Sample, Segment
from evfr.sampling._sample import check_budget, check_weights, spread_rank


def fields(**changes):
    values = {
        "indices": np.array([1, 4]),
        "inclusion": np.array([0.5, np.nan]),
        "rank": np.array([1, 0]),
        "reasons": ("a", "b"),
    }
    return {**values, **changes}


def test_repr_and_length():
    sample = Sample(**fields(method="mine", is_fallback=True))
    assert repr(sample) == "Sample(mine, n=2, fallback)"
    assert len(sample) == 2


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"indices": np.array([4, 1])}, "indices must be strictly increasing"),
        ({"indices": np.array([1, 1])}, "indices must be strictly increasing"),
        ({"indices": np.array([-1, 1])}, "indices must be strictly increasing and 0 or more"),
        ({"indices": np.array([1.0, 4.0])}, r"indices must be \(2,\) int64"),
        ({"inclusion": np.array([0.5])}, r"inclusion must be \(2,\) float64, got \(1,\)"),
        ({"inclusion": np.array([0.0, 1.0])}, r"inclusion must be in \(0, 1\] or NaN"),
        ({"inclusion": np.array([0.5, 1.5])}, r"inclusion must be in \(0, 1\] or NaN"),
        ({"rank": np.array([0, 2])}, r"rank must be a permutation of 0\.\.1"),
        ({"reasons": ("a",)}, "reasons must have 2 entries, one per chosen frame, got 1"),
    ],
)
def test_a_sample_checks_itself(changes, message):
    with pytest.raises(ValueError, match=message):
        Sample(**fields(**changes))


def test_a_segment_checks_itself():
    with pytest.raises(ValueError, match="a segment needs 0 <= start < stop, got 5 and 5"):
        Segment(5, 5, 0, "uniform", 0.0, "")


def test_weights_are_copied_and_nan_counted():
    given = np.array([1.0, np.nan])
    values, nan_count = check_weights(given)
    assert (values.tolist(), nan_count) == ([1.0, 0.0], 1)
    assert np.isnan(given[1])
    with pytest.raises(ValueError, match=r"weights must be \(N,\), got shape \(1, 2\)"):
        check_weights([[1.0, 2.0]])


def test_budget_types():
    assert check_budget(np.int32(3), 5) == 3
    for bad in (2.0, True, "3"):
        with pytest.raises(TypeError, match="n must be an integer"):
            check_budget(bad, 5)
    with pytest.raises(ValueError, match="n must be 0 or more, got -1"):
        check_budget(-1, 5)
    with pytest.raises(ConstraintError, match="n=6 is more than the 5 frames that can be selected"):
        check_budget(6, 5)


@pytest.mark.parametrize("n", [0, 1, 2, 3, 7, 8, 100])
def test_spread_rank_is_a_permutation(n):
    assert sorted(spread_rank(n).tolist()) == list(range(n))

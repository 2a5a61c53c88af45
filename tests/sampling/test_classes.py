from __future__ import annotations

import pytest

from evfr.sampling import class_check

FULL = {"a": {"car": 80, "rider": 10}, "b": {"car": 10, "bus": 0}}


def test_shares_and_distance_by_hand():
    """Shares .9, .1 against .8, .2: half of .1 + .1 is .1."""
    check = class_check(FULL, {"a": {"car": 7, "rider": 2}, "b": {"car": 1}})
    assert check.classes == ("car", "rider")
    assert check.full_shares == (0.9, 0.1)
    assert check.subset_shares == (0.8, 0.2)
    assert check.total_variation == pytest.approx(0.1)
    assert check.lost_classes == check.lost_clips == ()
    assert check.warnings == ("class shares moved by 0.100 in total variation, above 0.05",)
    assert check.is_warning


def test_all_well():
    check = class_check(FULL, {"a": {"car": 8, "rider": 1}, "b": {"car": 1}})
    assert check.total_variation == 0
    assert not check.is_warning


def test_losses_warn_even_below_the_limit():
    full = {"a": {"car": 990, "bus": 5}, "b": {"car": 5}}
    check = class_check(full, {"a": {"car": 99}})
    assert check.total_variation == pytest.approx(0.005)
    assert check.lost_classes == ("bus",)
    assert check.lost_clips == ("b",)
    assert check.warnings == ("classes lost: bus", "clips without any instance left: b")


def test_empty_sets():
    assert class_check(FULL, {}).total_variation == 1.0
    assert class_check(FULL, {}).lost_clips == ("a", "b")
    assert not class_check({}, {}).is_warning


def test_wrong_counts():
    with pytest.raises(ValueError, match="counts must be 0 or more, got -1 for class 'car' in clip 'a'"):
        class_check({"a": {"car": -1}}, {})
    with pytest.raises(ValueError, match="the subset has 11 of class 'car' in clip 'b', the full set 10"):
        class_check(FULL, {"b": {"car": 11}})

"""Masks and boxes in one interval: each kind by its own method, together as if they were alone."""

from __future__ import annotations

import numpy as np
import pytest

from evfr._core.annotations import FrameLabels
from evfr._core.masks import Rle
from evfr.propagation import Carried, Interval
from evfr.propagation._copy import copy
from evfr.propagation._kinds import carry_kinds

NAN_BOX = [np.nan] * 4


def labels(frame: int, tracks: list[int], kinds: str) -> FrameLabels:
    mask = np.zeros((6, 8), bool)
    mask[1:3, 2:5] = True
    return FrameLabels(
        frame,
        np.array(tracks, np.int64),
        np.ones(len(tracks), np.int64),
        np.array([NAN_BOX if kind == "m" else [1.0, 1, 3, 4 + k] for k, kind in enumerate(kinds)]).reshape(
            -1, 4
        ),
        tuple(Rle.from_mask(mask) if kind == "m" else None for kind in kinds),
    )


def interval(left: FrameLabels, right: FrameLabels | None) -> Interval:
    return Interval([np.zeros((6, 8, 3), np.uint8)] * 5, np.arange(5), left, right)


@pytest.mark.parametrize(
    ("left", "right", "by_mask", "by_box"),
    [
        (labels(0, [4, 2, 9], "bmb"), labels(4, [9, 2], "bm"), [2], [4, 9]),
        (labels(0, [4, 2], "bm"), None, [2], [4]),
        (labels(0, [4], "b"), labels(4, [4], "m"), [4], None),
        (labels(0, [4], "b"), None, None, [4]),
    ],
)
def test_each_kind_goes_to_its_method_and_comes_back_in_order(
    left: FrameLabels, right: FrameLabels | None, by_mask: list[int] | None, by_box: list[int] | None
) -> None:
    seen: dict[str, list[int]] = {}

    def spy(name: str, given: Interval) -> Carried:
        seen[name] = given.track_ids.tolist()
        assert (given.left is None, given.right is None) == (False, right is None)
        return copy(given)

    whole = interval(left, right)
    found = carry_kinds(whole, lambda part: spy("masks", part), lambda part: spy("boxes", part))
    assert seen.get("masks") == by_mask and seen.get("boxes") == by_box
    expected = copy(whole)
    assert found.track_ids.tolist() == expected.track_ids.tolist()
    assert found.masks == expected.masks
    assert np.array_equal(found.boxes_xyxy, expected.boxes_xyxy, equal_nan=True)
    assert np.array_equal(found.evidence.distance, expected.evidence.distance, equal_nan=True)
    assert found.ends == expected.ends

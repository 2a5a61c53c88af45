"""One suite over `PROPAGATORS`: what every method must do, whatever it measures.

Methods that need a model of the user's (covos, session) are held to the same rules in their own files.
"""

from __future__ import annotations

import functools
import itertools
from dataclasses import replace

import numpy as np
import pytest
from tests.helpers.moving import Mover, draw, interval_of, reversed_interval

from evfr._core.annotations import FrameLabels
from evfr._core.masks import Rle, box_iou, intersection_area, iou
from evfr.propagation import PROPAGATORS, CarryEnd, Interval
from evfr.video import proxy_step_fields

STEPS = {"proxy": proxy_step_fields}
NEEDS_MODEL = ("covos", "session")
METHODS = [name for name in PROPAGATORS if name not in NEEDS_MODEL]
MASK_METHODS = [name for name in METHODS if name in ("copy", "flow", "motion", "default")]
SIZE = (64, 96)
COUNT = 7


def carry(name, interval):
    return PROPAGATORS[name](interval, steps=STEPS)


@pytest.fixture(scope="module")
def scene():
    """Return two objects that touch on the way, and their masks."""
    movers = [Mover((30, 24), (0.5, 3), (11, 14), 1), Mover((34, 70), (0, -2), (12, 12), 2)]
    return draw(movers, COUNT, SIZE)


@pytest.fixture(scope="module")
def carried_once(scene):
    """Return a function that carries over the scene, once for each method and sides."""
    return functools.lru_cache(maxsize=None)(
        lambda name, sides: carry(name, interval_of(*scene, sides=sides))
    )


def same(one: Rle | None, other: Rle | None) -> float:
    return 1.0 if one is None and other is None else 0.0 if one is None or other is None else iou(one, other)


def of_box(interval: Interval) -> Interval:
    """Return the interval with the boxes of its masks instead of them."""

    def boxed(labels):
        if labels is None:
            return None
        boxes = np.array([mask.box_xyxy for mask in labels.masks], np.float64).reshape(-1, 4)
        return FrameLabels(
            labels.frame_index, labels.track_ids, labels.category_ids, boxes, (None,) * len(labels.masks)
        )

    return replace(interval, left=boxed(interval.left), right=boxed(interval.right))


@pytest.mark.parametrize("name", METHODS)
@pytest.mark.parametrize("is_box", [False, True])
def test_labelled_frames_come_back_themselves(name, is_box, scene):
    interval = interval_of(*scene, first=40, ids=[9, 4])
    interval = of_box(interval) if is_box else interval
    carried = carry(name, interval)
    assert carried.track_ids.tolist() == [4, 9]
    assert len(carried.masks) == COUNT
    for labels, at in ((interval.left, 0), (interval.right, -1)):
        for row, track in enumerate(labels.track_ids):
            k = carried.track_ids.tolist().index(track)
            assert carried.masks[at][k] is labels.masks[row]
            box = labels.boxes_xyxy[row] if is_box else np.array(labels.masks[row].box_xyxy)
            np.testing.assert_array_equal(carried.boxes_xyxy[at, k], box)
    assert carried.is_present.all()
    np.testing.assert_array_equal(carried.evidence.distance[:, 0], [0, 1, 2, 3, 2, 1, 0])


@pytest.mark.parametrize("name", METHODS)
@pytest.mark.parametrize("sides", [("left", "right"), ("left",), ("right",)])
def test_time_reversal(name, sides, scene, carried_once):
    forward = carried_once(name, sides)
    backward = carry(name, reversed_interval(interval_of(*scene, sides=sides)))
    # The frame in the middle is as near to both ends: copying takes the left one.
    times = [t for t in range(COUNT) if name != "copy" or t != COUNT // 2]
    for k in range(2):
        mirrored = [COUNT - 1 - t for t in times]
        masks = [
            same(forward.masks[t][k], backward.masks[m][k]) for t, m in zip(times, mirrored, strict=True)
        ]
        boxes = [
            box_iou(forward.boxes_xyxy[[t], k], backward.boxes_xyxy[[m], k])[0, 0]
            for t, m in zip(times, mirrored, strict=True)
            if forward.is_present[t, k] or backward.is_present[m, k]
        ]
        assert np.mean(masks) > 0.99
        assert np.mean(boxes) > 0.98


@pytest.mark.parametrize("name", METHODS)
def test_permuting_ids_permutes_the_output(name, scene):
    one, other = (carry(name, interval_of(*scene, ids=ids)) for ids in ([3, 8], [8, 3]))
    for t in range(COUNT):
        assert one.masks[t] == other.masks[t][::-1]
    np.testing.assert_array_equal(one.boxes_xyxy, other.boxes_xyxy[:, ::-1])
    np.testing.assert_array_equal(one.evidence.distance, other.evidence.distance[:, ::-1])


@pytest.mark.parametrize("name", METHODS)
@pytest.mark.parametrize("reason", ["cut", "damaged"])
def test_nothing_is_carried_across(name, reason):
    movers = [Mover((30, 24), (0, 2), (11, 14), 1)]
    frames, masks = draw(movers, COUNT, SIZE, cut=3)
    if reason == "cut":
        interval = interval_of(frames, masks, sides=("left",), cuts=(3,))
    else:
        is_usable = np.arange(COUNT) != 3
        interval = interval_of(frames, masks, sides=("left",), is_usable=is_usable)
    carried = carry(name, interval)
    assert carried.is_present[:, 0].tolist() == [True] * 3 + [False] * 4
    assert carried.ends == (CarryEnd(1, 3, "left", reason),)
    # A stretch between two cuts has no label: no object, and both ends say so.
    both = replace(interval_of(frames, masks), cuts=(2, 4))
    carried = carry(name, both)
    assert carried.is_present[:, 0].tolist() == [True, True, False, False, True, True, True]
    assert carried.ends == (CarryEnd(1, 2, "left", "cut"), CarryEnd(1, 3, "right", "cut"))


@pytest.mark.parametrize("name", METHODS)
@pytest.mark.parametrize("count", [1, 2])
def test_nothing_in_between(name, count, scene):
    frames, masks = scene
    sides = ("left", "right") if count == 2 else ("left",)
    carried = carry(name, interval_of(frames[:count], masks[:count], sides=sides))
    assert len(carried.masks) == count
    assert carried.is_present.all()
    assert carried.ends == ()


@pytest.mark.parametrize("name", METHODS)
def test_no_object_at_all(name, scene):
    frames, masks = scene
    carried = carry(name, interval_of(frames, masks & False))
    assert len(carried.track_ids) == 0
    assert len(carried.masks) == COUNT


@pytest.mark.parametrize("name", MASK_METHODS)
def test_an_empty_mask_is_absence(name, scene):
    """A track that is given without a pixel comes back so, and is nowhere between."""
    frames, _ = scene
    one = np.ones(1, np.int64)
    empty = [FrameLabels(t, one, one, np.full((1, 4), np.nan), (Rle.empty(*SIZE),)) for t in (0, COUNT - 1)]
    carried = carry(name, Interval(frames, np.arange(COUNT), empty[0], empty[1]))
    assert carried.masks[0][0] is empty[0].masks[0]
    assert not carried.is_present.any()


@pytest.mark.parametrize("name", MASK_METHODS)
def test_an_object_that_fills_the_frame(name, scene):
    frames, _ = scene
    full = np.ones((COUNT, 1, *SIZE), np.bool_)
    carried = carry(name, interval_of(frames, full))
    assert all(row[0] is not None and row[0].area == SIZE[0] * SIZE[1] for row in carried.masks)


@pytest.mark.parametrize("name", MASK_METHODS)
def test_an_object_of_one_pixel(name):
    frames, _ = draw([], COUNT, SIZE)
    dot = np.zeros((COUNT, 1, *SIZE), np.bool_)
    dot[:, :, 20, 30] = True
    carried = carry(name, interval_of(frames, dot))
    assert all(row[0] is not None and row[0].to_mask()[20, 30] and row[0].area <= 4 for row in carried.masks)


@pytest.mark.parametrize("name", MASK_METHODS)
def test_objects_do_not_overlap(name, carried_once):
    carried = carried_once(name, ("left", "right"))
    for t, row in enumerate(carried.masks):
        for a, b in itertools.combinations(row, 2):
            assert a is None or b is None or intersection_area(a, b) == 0, t


@pytest.mark.parametrize("name", MASK_METHODS)
def test_still_objects_stay(name):
    """A still scene is the one case whose answer is exact for every method."""
    frames, masks = draw(
        [Mover((30, 24), (0, 0), (11, 14), 1), Mover((34, 70), (0, 0), (12, 12), 2)], COUNT, SIZE
    )
    for sides in (("left", "right"), ("left",), ("right",)):
        carried = carry(name, interval_of(frames, masks, sides=sides))
        for t, k in np.ndindex(COUNT, 2):
            assert carried.masks[t][k] == Rle.from_mask(masks[t, k])


@pytest.mark.parametrize("name", METHODS)
def test_the_same_twice(name, scene, carried_once):
    one, other = carried_once(name, ("left", "right")), carry(name, interval_of(*scene))
    assert one.masks == other.masks
    np.testing.assert_array_equal(one.boxes_xyxy, other.boxes_xyxy)

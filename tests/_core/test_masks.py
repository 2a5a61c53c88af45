"""Masks as run lengths: the same pixels and the same text as pycocotools, or one clear error."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pycocotools import mask as coco_mask

from evfr._core.masks import Rle, box_iou, intersection_area, iou, iou_matrix, union

# pycocotools converts arrays in a way that numpy 2 warns of.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")


def random_mask(seed: int) -> np.ndarray[Any, np.dtype[np.bool_]]:
    rng = np.random.default_rng(seed)
    height, width = rng.integers(1, 40, 2)
    return rng.random((height, width)) < rng.choice([0.0, 0.1, 0.5, 0.9, 1.0])


def coco(mask: Any) -> Any:
    return coco_mask.encode(np.asfortranarray(mask.astype(np.uint8)))


@pytest.mark.parametrize("seed", range(60))
def test_pixels_text_area_and_box_are_those_of_pycocotools(seed: int) -> None:
    mask = random_mask(seed)
    rle, theirs = Rle.from_mask(mask), coco(mask)
    assert np.array_equal(rle.to_mask(), mask)
    assert rle.to_coco() == {"size": list(mask.shape), "counts": theirs["counts"].decode()}
    assert Rle.from_coco(theirs) == rle == Rle.from_coco(rle.to_coco())
    assert hash(Rle.from_coco(theirs)) == hash(rle)
    assert rle.area == coco_mask.area(theirs) == mask.sum()
    assert rle.is_empty is not mask.any()
    x, y, width, height = coco_mask.toBbox(theirs)
    assert rle.box_xyxy == ((x, y, x + width, y + height) if mask.any() else (0, 0, 0, 0))


def test_run_lengths_of_more_than_five_bits_and_growing_or_falling_by_much() -> None:
    mask = np.zeros((700, 900), bool)
    mask[3:690, 100:101] = True
    mask[:, 500:] = True
    mask[0, 0] = True
    mask[1, 899] = False
    assert Rle.from_mask(mask).to_coco()["counts"] == coco(mask)["counts"].decode()


@pytest.mark.parametrize("seed", range(40))
def test_shared_pixels_union_and_iou(seed: int) -> None:
    a = random_mask(seed)
    b = np.random.default_rng(1000 + seed).random(a.shape) < 0.5
    first, second = Rle.from_mask(a), Rle.from_mask(b)
    assert intersection_area(first, second) == (a & b).sum()
    assert np.array_equal(union([first, second]).to_mask(), a | b)
    either = (a | b).sum()
    assert iou(first, second) == ((a & b).sum() / either if either else 0.0)


def test_iou_of_empty_masks_is_zero_and_matrices_hold_pairs() -> None:
    none, all_ = Rle.empty(3, 4), Rle.from_mask(np.ones((3, 4), bool))
    half = Rle.from_mask(np.arange(12).reshape(3, 4) < 4)
    assert iou_matrix([none, all_], [none, half, all_]).tolist() == [[0, 0, 0], [0, 4 / 12, 1]]


@settings(max_examples=150, deadline=None)
@given(
    st.integers(1, 50),
    st.integers(1, 50),
    st.lists(
        st.lists(st.floats(-20, 70), min_size=6, max_size=14).filter(lambda xy: len(xy) % 2 == 0),
        min_size=1,
        max_size=3,
    ),
)
def test_polygons_fill_the_pixels_that_coco_fills(
    height: int, width: int, polygons: list[list[float]]
) -> None:
    theirs = coco_mask.merge(coco_mask.frPyObjects(polygons, height, width))
    assert np.array_equal(Rle.from_polygons(polygons, height, width).to_mask(), coco_mask.decode(theirs))


def test_a_drawn_square_as_polygon() -> None:
    square = Rle.from_polygons([[2, 1, 6, 1, 6, 4, 2, 4]], 8, 9)
    expected = np.zeros((8, 9), bool)
    expected[1:4, 2:6] = True
    assert np.array_equal(square.to_mask(), expected)
    assert Rle.from_polygons([], 8, 9) == Rle.empty(8, 9)


@pytest.mark.parametrize(
    ("data", "text"),
    [
        ({"counts": [4]}, "needs size"),
        ({"size": [2, 2]}, "needs size"),
        ({"size": [2, 2], "counts": [3]}, "add up to 4, got 3"),
        ({"size": [2, 2], "counts": [5, -1]}, "0 or more"),
        ({"size": [2, 2], "counts": [10**30]}, "whole numbers"),
        ({"size": [2, 2], "counts": "4ä"}, "ASCII"),
        ({"size": [2, 2], "counts": "o"}, "cut off"),
        ({"size": [2, 2], "counts": " "}, "cut off"),
        ({"size": [0, 2], "counts": [0]}, "size from 1x1"),
        ({"size": [10**6, 10**6], "counts": [10**12]}, "0 or more|size from"),
        ({"size": [2, 2], "counts": 7}, "text or a list"),
    ],
)
def test_wrong_coco_dicts_are_refused(data: dict[str, Any], text: str) -> None:
    with pytest.raises(ValueError, match=text):
        Rle.from_coco(data)


def test_empty_runs_in_the_middle_are_joined_when_read_and_refused_when_built() -> None:
    assert Rle.from_coco({"size": [1, 6], "counts": [1, 2, 0, 1, 2]}) == Rle(1, 6, np.array([1, 3, 2]))
    assert Rle.from_coco({"size": [1, 3], "counts": [0, 0, 3]}) == Rle.empty(1, 3)
    with pytest.raises(ValueError, match="only the first run"):
        Rle(1, 6, np.array([1, 2, 0, 1, 2]))


@pytest.mark.parametrize(
    ("polygon", "text"),
    [
        ([1, 2, 3, 4], "three points"),
        ([1, 2, 3, 4, 5, 6, 7], "three points"),
        ([1, 2, float("nan"), 4, 5, 6], "not finite or beyond"),
        ([1, 2, 1e9, 4, 5, 6], "not finite or beyond"),
        ([0, 0, 5e6, 4, 5, 6], "edge longer"),
    ],
)
def test_polygons_that_crash_native_code_are_refused(polygon: list[float], text: str) -> None:
    with pytest.raises(ValueError, match=text):
        Rle.from_polygons([polygon], 10, 10)


def test_sizes_must_agree_and_masks_be_flat() -> None:
    with pytest.raises(ValueError, match="4x3 and 3x4"):
        iou(Rle.empty(3, 4), Rle.empty(4, 3))
    with pytest.raises(ValueError, match="4x3 and 3x4"):
        union([Rle.empty(3, 4), Rle.empty(4, 3)])
    with pytest.raises(ValueError, match="one mask or more"):
        union([])
    with pytest.raises(ValueError, match=r"\(H, W\)"):
        Rle.from_mask(np.zeros((2, 3, 4), bool))
    assert repr(Rle.empty(3, 4)) == "Rle(4x3, 0 px)" and Rle.empty(3, 4) != 5


def test_boxes() -> None:
    a = [[0, 0, 4, 4], [0, 0, 0, 0], [np.nan] * 4]
    found = box_iou(a, [[2, 2, 6, 6], [0, 0, 4, 4]])
    assert found[:2].tolist() == [[4 / 28, 1], [0, 0]]
    assert np.isnan(found[2]).all()
    with pytest.raises(ValueError, match=r"\(N, 4\)"):
        box_iou([1, 2, 3, 4], a)


@pytest.mark.parametrize("box", [(0, 0, math.nan, 1), (0, 0, math.inf, 1), (0, 0, 1)])
def test_a_box_to_fill_is_four_finite_numbers(box: tuple[float, ...]) -> None:
    with pytest.raises(ValueError, match="a box needs four finite numbers x0, y0, x1, y1, got"):
        Rle.from_box(box, 10, 12)

"""Masks for boxes: GrabCut on drawn and real objects, what falls back to the box, and that nothing else matters."""

from __future__ import annotations

import io
import zipfile

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from evfr._core.masks import Rle, iou
from evfr.models import BoxMasks, Detections, box_masks, pick


def scene(height=120, width=160):
    """Return a reddish ellipse on noisy green, its mask and its box."""
    rng = np.random.default_rng(3)
    image = rng.integers(0, 60, (height, width, 3), dtype=np.uint8)
    image[:, :, 1] += 100
    y, x = np.mgrid[:height, :width]
    mask = ((x - 80) / 30) ** 2 + ((y - 60) / 40) ** 2 < 1
    image[mask] = rng.integers(0, 60, (mask.sum(), 3), dtype=np.uint8) + np.array([150, 0, 20], np.uint8)
    ys, xs = np.nonzero(mask)
    return image, Rle.from_mask(mask), (xs.min(), ys.min(), xs.max() + 1, ys.max() + 1)


def test_grabcut_finds_a_drawn_object_and_the_box_is_the_box():
    image, truth, box = scene()
    cut = box_masks(image, [box])
    assert isinstance(cut, BoxMasks)
    assert cut.is_box == (False,)
    assert iou(cut[0], truth) > 0.97
    plain = box_masks(image, [box], kind="box")
    assert plain.is_box == (True,)
    assert plain[0].box_xyxy == box
    assert plain[0].area == (box[2] - box[0]) * (box[3] - box[1])
    large = cv2.resize(image, None, fx=5, fy=5)
    shrunk = box_masks(large, [np.multiply(box, 5)])
    expected = cv2.resize(truth.to_mask().astype(np.uint8), None, fx=5, fy=5)
    assert iou(shrunk[0], Rle.from_mask(expected)) > 0.95


def test_what_ran_before_does_not_matter():
    # Tiles of random colours: without a fixed start of the clusters this picture has several cuts.
    rng = np.random.default_rng(1)
    tiles = rng.integers(0, 256, (8, 9, 3), dtype=np.uint8)
    image = cv2.resize(tiles, (90, 80), interpolation=cv2.INTER_NEAREST)
    image[25:55, 25:60] = image[25:55, 25:60] // 2 + 100
    image = np.clip(image + rng.integers(-10, 10, image.shape), 0, 255).astype(np.uint8)
    boxes = [[30, 20, 80, 70], [20, 20, 65, 60]]
    first = box_masks(image, boxes)
    assert first.is_box[1] is False
    for seed in range(8):
        cv2.setRNGSeed(1 + 77 * seed)
        assert box_masks(image, boxes) == first
    assert box_masks(image, boxes[1:])[0] == first[1]


def test_too_little_or_too_much_falls_back_and_says_so():
    flat = np.full((60, 60, 3), 90, np.uint8)
    cut = box_masks(flat, [[10, 10, 40, 40], [0, 0, 60, 60]])
    assert cut.is_box == (True, True)
    assert [mask.area for mask in cut] == [900, 3600]
    image, _, _ = scene()
    tight = box_masks(image, [[65, 40, 95, 80]])  # wholly inside the object: all of it is alike
    assert tight.is_box == (True,) or tight[0].area < 30 * 40


def test_boxes_at_and_beyond_borders():
    image, _, _ = scene()
    boxes = [
        [-20, -20, 4, 3],
        [158.7, 10, 170, 20],
        [200, 10, 210, 20],
        [10, 10, 10, 20],
        [20.2, 20.2, 20.4, 20.4],
    ]
    masks = box_masks(image, boxes, kind="box")
    assert [mask.area for mask in masks] == [12, 10, 0, 0, 1]
    assert masks[1].box_xyxy == (159, 10, 160, 20)
    assert masks[4].box_xyxy == (20, 20, 21, 21)
    assert len(box_masks(image, np.zeros((0, 4)))) == 0
    one = np.zeros((1, 1, 3), np.uint8)
    assert box_masks(one, [[0, 0, 1, 1]]).is_box == (True,)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 1000))
def test_masks_stay_inside_their_boxes(seed):
    rng = np.random.default_rng(seed)
    image = rng.integers(0, 256, (int(rng.integers(1, 40)), int(rng.integers(1, 40)), 3), dtype=np.uint8)
    corners = rng.uniform(-10, 40, (3, 2))
    boxes = np.concatenate([corners, corners + rng.uniform(0, 30, (3, 2))], axis=1)
    filled = box_masks(image, boxes, kind="box")
    for mask, full, is_box in zip(box_masks(image, boxes), filled, filled.is_box, strict=True):
        assert is_box
        assert not (mask.to_mask() & ~full.to_mask()).any()


def test_a_pick_takes_masks_from_boxes():
    image, truth, box = scene()
    found = Detections([box], [0.9], [0], [[0.9]], (None,))
    assert iou(pick(found, make_masks=lambda boxes: box_masks(image, boxes)).masks[0], truth) > 0.97


def test_a_real_object(data_dir):
    with zipfile.ZipFile(data_dir / "seq" / "davis_dog.zip") as archive:
        frame = np.asarray(Image.open(io.BytesIO(archive.read("images/00000.jpg"))))
        truth = np.asarray(Image.open(io.BytesIO(archive.read("masks/00000.png")))) > 127
    rle = Rle.from_mask(truth)
    cut, plain = box_masks(frame, [rle.box_xyxy]), box_masks(frame, [rle.box_xyxy], kind="box")
    assert cut.is_box == (False,)
    assert iou(cut[0], rle) > 0.7 > iou(plain[0], rle)


def test_options_are_checked():
    image = np.zeros((9, 9, 3), np.uint8)
    for options, text in [
        ({"kind": "ellipse"}, "kind must be 'grabcut' or 'box', got 'ellipse'"),
        ({"padding": 0}, "padding must be above 0 and at most 10"),
        ({"long_side": 8}, "long_side must be 16 or more"),
        ({"iterations": 0}, "iterations must be 1 or more"),
    ]:
        with pytest.raises(ValueError, match=text):
            box_masks(image, [[0, 0, 4, 4]], **options)
    with pytest.raises(ValueError, match="box 0 is"):
        box_masks(image, [[0, 0, np.inf, 4]])
    with pytest.raises(ValueError, match="a picture must be"):
        box_masks(image[:, :, 0], [[0, 0, 1, 1]])

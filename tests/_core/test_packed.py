"""Packed sequences: the same integers as dense sums and as pycocotools, whatever size and place the masks have."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pycocotools import mask as coco_mask

from evfr._core.masks import Rle
from evfr._core.packed import (
    pack_sequences,
    sequence_iou,
    sequence_iou_row,
    shared_area,
    shared_area_pairs,
    shared_area_rows,
)
from helpers.drawn_sequences import box_mask, dense_iou, drawn_masks, rle

# pycocotools converts arrays in a way that numpy 2 warns of.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")


def pack(masks):
    masks = np.asarray(masks, bool)
    n, frames, height, width = masks.shape
    lists = [
        [rle(mask) if mask.any() or (i + t) % 2 else None for t, mask in enumerate(masks[i])]
        for i in range(n)
    ]
    return pack_sequences(lists, height=height, width=width, frame_count=frames)


def test_ratio_of_sums_and_not_the_mean_of_frames():
    """Frame 0: 4 of 4 pixels shared; frame 1: 1 of 6 + 3 - 1 = 8; so (4 + 1) / (4 + 8), and not (1 + 1/8) / 2."""
    masks = np.zeros((2, 2, 4, 8), bool)
    masks[:, 0, 0, :4] = True
    masks[0, 1, 1, :6] = True
    masks[1, 1, 1:4, 5] = True
    packed = pack(masks)
    assert shared_area(packed).tolist() == [[10, 5], [5, 7]]
    assert packed.area.tolist() == [[4, 6], [4, 3]]
    assert sequence_iou(packed)[0, 1] == 5 / 12
    assert sequence_iou(packed).diagonal().tolist() == [1.0, 1.0]


@pytest.mark.parametrize(
    ("height", "width"),
    [(1, 1), (5, 7), (64, 64), (63, 3), (65, 3), (128, 9), (129, 40), (200, 33), (1, 300), (300, 1)],
)
def test_integers_are_dense_sums(height, width):
    rng = np.random.default_rng(height * 1000 + width)
    masks = drawn_masks(rng, 7, 4, height, width)
    masks[0] = False
    masks[1] = True
    masks[2, 1:] = rng.random((3, height, width)) < 0.5
    flat = masks.reshape(7, -1).astype(np.int64)
    packed = pack(masks)
    assert (packed.area == masks.sum(axis=(2, 3))).all()
    assert (shared_area(packed) == flat @ flat.T).all()
    assert (shared_area_rows(packed, [5, 2, 5]) == (flat @ flat.T)[[5, 2, 5]]).all()
    other = packed.take([3, 1])
    assert (shared_area(packed, other) == flat @ flat[[3, 1]].T).all()
    assert (shared_area_rows(other, [1], packed) == flat[[1]] @ flat.T).all()
    assert (sequence_iou(packed) == dense_iou(masks)).all()
    assert (np.stack([sequence_iou_row(packed, i) for i in range(7)]) == sequence_iou(packed)).all()
    assert (sequence_iou(packed, other) == dense_iou(masks)[:, [3, 1]]).all()


def test_integers_are_those_of_pycocotools():
    masks = drawn_masks(np.random.default_rng(4), 6, 5, 90, 70)
    coded = [[coco_mask.encode(np.asfortranarray(mask.astype(np.uint8))) for mask in one] for one in masks]
    packed = pack_sequences(
        [[Rle.from_coco(mask) for mask in one] for one in coded], height=90, width=70, frame_count=5
    )
    found = shared_area(packed)
    for i in range(6):
        for j in range(6):
            pairs = zip(coded[i], coded[j], strict=True)
            assert found[i, j] == sum(
                int(coco_mask.area(coco_mask.merge([a, b], intersect=True))) for a, b in pairs
            )


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 2**32), height=st.integers(1, 140), width=st.integers(1, 12), frames=st.integers(0, 3)
)
def test_any_masks(seed, height, width, frames):
    rng = np.random.default_rng(seed)
    masks = rng.random((4, frames, height, width)) < rng.random((4, frames, 1, 1)) ** 3
    packed = pack(masks)
    flat = masks.reshape(4, -1).astype(np.int64)
    assert (shared_area(packed) == flat @ flat.T).all()
    assert (shared_area_rows(packed, range(4)) == flat @ flat.T).all()
    values = sequence_iou(packed)
    assert (values == values.T).all()
    assert (values == dense_iou(masks)).all()


def test_absent_and_empty_are_one():
    """None, an empty mask and a frame that only the other has: union counts it, nothing is shared."""
    here, nothing = box_mask(10, 10, 2, 2, 6, 6), Rle.empty(10, 10)
    lists = [[here, here], [here, None], [here, nothing], [None, nothing]]
    packed = pack_sequences(lists, height=10, width=10, frame_count=2)
    assert sequence_iou(packed).tolist() == [[1, 0.5, 0.5, 0], [0.5, 1, 1, 0], [0.5, 1, 1, 0], [0, 0, 0, 0]]


def test_sequences_far_apart_are_told_by_their_spans():
    """Absent frames do not widen a span: columns 4..8 and 6..9, words of rows 64..127 and 128..191."""
    far = [box_mask(200, 20, 4, 70, 6, 75), None, box_mask(200, 20, 6, 120, 9, 130), None]
    packed = pack_sequences([far, [None] * 4], height=200, width=20, frame_count=4)
    assert packed.spans.tolist() == [[4, 9, 1, 3], [0, 0, 0, 0]]
    assert packed.windows[:, 0].tolist() == [[4, 6, 1, 2], [0, 0, 0, 0], [6, 9, 1, 3], [0, 0, 0, 0]]


def test_no_frames_and_no_sequences():
    assert sequence_iou(pack_sequences([(), ()], height=4, width=5, frame_count=0)).tolist() == [
        [0, 0],
        [0, 0],
    ]
    nothing = pack_sequences([], height=4, width=5, frame_count=3)
    assert (len(nothing), nothing.frame_count, nothing.area.shape) == (0, 3, (0, 3))
    assert sequence_iou(nothing).shape == (0, 0)
    assert shared_area_rows(nothing, []).shape == (0, 0)


def test_memory_is_that_of_the_window():
    """A 40 x 40 object in a picture of 4 Mpx takes 40 columns of one or two words, not the picture."""
    packed = pack_sequences(
        [[box_mask(2000, 2000, 1000, 1280, 1040, 1320)]], height=2000, width=2000, frame_count=1
    )
    assert packed.words.nbytes == 40 * 8
    assert packed.nbytes < 500
    full = pack_sequences([[box_mask(180, 320, 0, 0, 320, 180)]], height=180, width=320, frame_count=1)
    assert full.nbytes < 10_000
    assert repr(full) == f"PackedSequences(1 sequences, 1 frames, 320x180, {full.nbytes} bytes)"


def test_picture_of_two_to_the_31_pixels():
    """The last pixel of the largest square, and the foot of the highest column: positions beyond 31 bits."""
    side = 46_340
    last = Rle(side, side, np.array([side * side - 1, 1], np.uint32))
    packed = pack_sequences([[last], [last]], height=side, width=side, frame_count=1)
    assert shared_area(packed).tolist() == [[1, 1], [1, 1]]
    tall = 2**31 - 1
    foot = Rle(tall, 1, np.array([tall - 3, 3], np.uint32))
    feet = pack_sequences([[foot] * 3, [foot, None, foot]], height=tall, width=1, frame_count=3)
    assert shared_area(feet).tolist() == [[9, 6], [6, 6]]


@pytest.mark.slow
def test_sums_beyond_32_bits():
    """Two frames full of 2^31 - 1 pixels: 512 MB of words, and a sum of 2^32 - 2."""
    tall = 2**31 - 1
    column = Rle(tall, 1, np.array([0, tall], np.uint32))
    packed = pack_sequences([[column] * 2], height=tall, width=1, frame_count=2)
    assert shared_area(packed, packed.take([0])).tolist() == [[2 * tall]]
    assert shared_area_rows(packed, [0]).tolist() == [[2 * tall]]


def test_other_lengths_and_sizes():
    mask = box_mask(10, 12, 0, 0, 3, 3)
    with pytest.raises(ValueError, match=r"sequence 1 has 1 masks for 2 frames; give one a frame"):
        pack_sequences([[mask, None], [mask]], height=10, width=12, frame_count=2)
    with pytest.raises(ValueError, match=r"sequence 0, frame 1: the mask has 12x10 pixels, the others 10x10"):
        pack_sequences([[None, mask], [mask, None]], height=10, width=10, frame_count=2)
    a = pack_sequences([[mask]], height=10, width=12, frame_count=1)
    b = pack_sequences([[mask, None]], height=10, width=12, frame_count=2)
    for compare in (shared_area, sequence_iou, lambda a, b: shared_area_rows(a, [0], b)):
        with pytest.raises(
            ValueError, match=r"of 1 frames of 12x10 pixels cannot be compared with those of 2 frames"
        ):
            compare(a, b)


def test_listed_pairs():
    """Any pairs, one named twice: entries of the whole table."""
    sides = [
        pack_sequences(
            [
                [box_mask(30, 90, i, i, 60 + i, 20), None if i == 1 else box_mask(30, 90, 0, 0, 9, 9 + i)]
                for i in rows
            ],
            height=30,
            width=90,
            frame_count=2,
        )
        for rows in (range(4), range(3, 8))
    ]
    rows = [3, 0, 1, 3], [0, 4, 2, 0]
    whole = shared_area(*sides)
    assert shared_area_pairs(sides[0], rows[0], sides[1], rows[1]).tolist() == whole[rows].tolist()
    assert shared_area_pairs(sides[0], [], sides[1], []).shape == (0,)
    with pytest.raises(ValueError, match="pairs need two rows each, got 2 and 1 rows"):
        shared_area_pairs(sides[0], [0, 1], sides[1], [0])
    with pytest.raises(ValueError, match=r"rows must lie in 0\.\.4, got 5 to 5"):
        shared_area_pairs(sides[0], [0], sides[1], [5])
    with pytest.raises(ValueError, match=r"rows must lie in 0\.\.3, got -1 to 0"):
        shared_area_pairs(sides[0], [-1, 0], sides[1], [0, 0])
    with pytest.raises(ValueError, match="cannot be compared with those of"):
        shared_area_pairs(sides[0], [0], pack_sequences([], height=3, width=9, frame_count=2), [0])


@pytest.mark.parametrize("row", [-1, 1])
def test_unknown_row(row):
    packed = pack_sequences([[box_mask(10, 12, 0, 0, 3, 3)]], height=10, width=12, frame_count=1)
    with pytest.raises(ValueError, match=rf"row {row} is none of the 1 sequences"):
        sequence_iou_row(packed, row)

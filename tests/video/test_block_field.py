"""Vector lists on cells: by hand, against a plain loop, and how cells without a vector are filled."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evfr.video import MOTION_VECTOR_DTYPE, BlockFields, block_fields
from evfr.video._block_field import fill_nearest, nearest_cells
from helpers.motion_clips import vector_row, vectors_from


def plain_fields(vectors: np.ndarray, shape: tuple[int, int], cell: int) -> list[np.ndarray]:
    """Look for each cell's centre pixel in each block, in plain Python."""
    grid = (-(-shape[0] // cell), -(-shape[1] // cell))
    flows, has = np.zeros((2, *grid, 2), np.float32), np.zeros((2, *grid), bool)
    for i, j in np.ndindex(*grid):
        y, x = i * cell + cell // 2, j * cell + cell // 2
        for v in vectors:
            left, top = int(v["dst_x"]) - int(v["w"]) // 2, int(v["dst_y"]) - int(v["h"]) // 2
            if left <= x < left + int(v["w"]) and top <= y < top + int(v["h"]):
                side = 0 if v["source"] < 0 else 1
                flows[side, i, j] = (v["motion_x"] / v["motion_scale"], v["motion_y"] / v["motion_scale"])
                has[side, i, j] = True
    return [flows[0], has[0], flows[1], has[1]]


def test_a_hand_worked_picture() -> None:
    vectors = vectors_from(
        [
            vector_row(-1, (0, 0, 16, 8), (2.25, -1.0)),
            vector_row(1, (8, 0, 8, 8), (-3.5, 0.0)),
            vector_row(1, (0, 8, 8, 8), (0.0, 4.0), scale=2),
        ]
    )
    fields = block_fields(vectors, (16, 24))
    assert fields.has0.tolist() == [[True, True, False], [False, False, False]]
    assert fields.has1.tolist() == [[False, True, False], [True, False, False]]
    assert fields.flow0[0, 1].tolist() == [2.25, -1.0]
    assert fields.flow1[0, 1].tolist() == [-3.5, 0.0]
    assert fields.flow1[1, 0].tolist() == [0.0, 4.0]
    assert fields.is_intra.tolist() == [[False, False, True], [False, True, True]]
    assert repr(fields) == "BlockFields(3x2 cells of 8 px, 33% list 0, 33% list 1, 50% intra)"


@st.composite
def vector_lists(draw: Any) -> np.ndarray:
    """Draw rows as FFmpeg may give them: blocks of 8 and 16, some beyond the picture."""
    rows = draw(
        st.lists(
            st.tuples(
                st.sampled_from([-2, -1, 1]),
                st.tuples(st.integers(-1, 6), st.integers(-1, 5)),
                st.sampled_from([(8, 8), (16, 8), (8, 16), (16, 16)]),
                st.tuples(st.integers(-99, 99), st.integers(-99, 99)),
                st.sampled_from([2, 4, 8]),
            ),
            max_size=12,
        )
    )
    return vectors_from(
        [
            vector_row(source, (8 * x, 8 * y, *size), (dx / scale, dy / scale), scale)
            for source, (x, y), size, (dx, dy), scale in rows
        ]
    )


@settings(max_examples=60, deadline=None)
@given(
    vectors=vector_lists(),
    height=st.integers(1, 40),
    width=st.integers(1, 48),
    cell=st.sampled_from([1, 2, 4, 5, 8, 16]),
)
def test_fields_equal_a_plain_loop(vectors: np.ndarray, height: int, width: int, cell: int) -> None:
    fields = block_fields(vectors, (height, width), cell=cell)
    flow0, has0, flow1, has1 = plain_fields(vectors, (height, width), cell)
    np.testing.assert_array_equal(fields.has0, has0)
    np.testing.assert_array_equal(fields.has1, has1)
    np.testing.assert_array_equal(fields.flow0, flow0)
    np.testing.assert_array_equal(fields.flow1, flow1)


def test_intra_cells_take_both_lists_of_the_nearest_cell() -> None:
    vectors = vectors_from(
        [
            vector_row(-1, (0, 0, 8, 8), (1.0, 0.0)),
            vector_row(-1, (32, 0, 8, 8), (5.0, 0.0)),
            vector_row(1, (32, 0, 8, 8), (-5.0, 0.0)),
        ]
    )
    filled = block_fields(vectors, (8, 40)).filled()
    assert filled.flow0[0, :, 0].tolist() == [1.0, 1.0, pytest.approx(filled.flow0[0, 2, 0]), 5.0, 5.0]
    assert filled.has1[0].tolist() == [False, False, bool(filled.flow0[0, 2, 0] == 5.0), True, True]
    assert not filled.is_intra.any()
    nothing = block_fields(vectors[:0], (8, 40))
    assert nothing.filled() is nothing
    assert (fill_nearest(nothing.flow0 + 3, nothing.has0) == 0).all()


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 999), height=st.integers(1, 12), width=st.integers(1, 12))
def test_filling_takes_a_nearest_cell(seed: int, height: int, width: int) -> None:
    rng = np.random.default_rng(seed)
    has = rng.random((height, width)) < 0.2
    has[rng.integers(height), rng.integers(width)] = True
    rows, columns = nearest_cells(has)
    assert has[rows, columns].all()
    places = np.argwhere(has)
    for i, j in np.ndindex(height, width):
        least = np.hypot(*(places - (i, j)).T).min()
        found = np.hypot(rows[i, j] - i, columns[i, j] - j)
        assert found <= least * 1.1 + 1e-6  # OpenCV's distances on a 5 x 5 window are 2 % off at most
    assert (rows[has] == np.nonzero(has)[0]).all()


def test_what_does_not_fit_is_refused() -> None:
    none = np.empty(0, MOTION_VECTOR_DTYPE)
    with pytest.raises(ValueError, match="cell and shape must be 1 px or more, got 0"):
        block_fields(none, (8, 8), cell=0)
    with pytest.raises(ValueError, match=r"cell and shape must be 1 px or more, got 8 and \(0, 8\)"):
        block_fields(none, (0, 8))
    broken = vectors_from([vector_row(-1, (0, 0, 8, 8), (0.0, 0.0))])
    broken["motion_scale"] = 0
    with pytest.raises(ValueError, match="motion_scale 0"):
        block_fields(broken, (8, 8))
    with pytest.raises(ValueError, match="no cell has a vector"):
        nearest_cells(np.zeros((2, 2), bool))
    flow, has = np.zeros((2, 3, 2), np.float32), np.zeros((2, 3), bool)
    with pytest.raises(ValueError, match=r"flow1 must be \(2, 3, 2\) float32"):
        BlockFields(flow, has, flow[:1], has, 8)
    with pytest.raises(ValueError, match=r"has1 must be \(2, 3\) bool, got \(2, 3\) uint8"):
        BlockFields(flow, has, flow, has.view(np.uint8), 8)  # type: ignore[arg-type]

"""Warping by backward fields: against plain loops, by hand, and what equal residuals and missing vectors give."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evfr._core.warp import (
    compensated_residual,
    sample_field,
    warp_nearest,
    warp_two_sided,
    warp_two_sided_weighted,
)


def fetch(plane: np.ndarray, y: int, x: int, flow: np.ndarray) -> float:
    """Read the nearest pixel, halves up, clamped."""
    height, width = plane.shape
    v = min(max(math.floor(y + float(flow[1]) + 0.5), 0), height - 1)
    u = min(max(math.floor(x + float(flow[0]) + 0.5), 0), width - 1)
    return float(plane[v, u])


def plain(side0: tuple[Any, ...], side1: tuple[Any, ...], cell: int, sigma: float | None) -> np.ndarray:
    """Blend two references pixel by pixel, as the equations say."""
    out = np.zeros(side0[0].shape)
    for c, y, x in np.ndindex(*out.shape):
        i, j = y // cell, x // cell
        values, weights = [], []
        for stack, flow, has, residual in (side0, side1):
            if has is None or has[i, j]:
                values.append(fetch(stack[c], y, x, flow[i, j]))
                weights.append(1.0 if sigma is None else math.exp(-float(residual[y, x]) / sigma))
        if values:
            out[c, y, x] = np.dot(values, weights) / sum(weights)
    return out


def drawn_side(
    rng: np.random.Generator, planes: int, height: int, width: int, cell: int, is_sparse: bool
) -> tuple[Any, ...]:
    grid = (-(-height // cell), -(-width // cell))
    stack = rng.random((planes, height, width)).astype(np.float32)
    if is_sparse:
        for plane in stack:
            y, x = rng.integers(height), rng.integers(width)
            kept = np.zeros((height, width), bool)
            kept[y : y + int(rng.integers(0, 4)), x : x + int(rng.integers(0, 4))] = True
            plane[~kept] = 0
    flow = np.round(rng.normal(0, 4, (*grid, 2)) * 4) / 4
    return (
        stack,
        flow.astype(np.float32),
        rng.random(grid) > 0.3,
        rng.uniform(0, 30, (height, width)).astype(np.float32),
    )


@settings(max_examples=50, deadline=None)
@given(
    seed=st.integers(0, 1000),
    planes=st.integers(1, 3),
    height=st.integers(1, 11),
    width=st.integers(1, 13),
    cell=st.sampled_from([1, 2, 4, 8]),
    is_sparse=st.booleans(),
)
def test_all_warps_equal_plain_loops(
    seed: int, planes: int, height: int, width: int, cell: int, is_sparse: bool
) -> None:
    rng = np.random.default_rng(seed)
    side0 = drawn_side(rng, planes, height, width, cell, is_sparse)
    side1 = drawn_side(rng, planes, height, width, cell, is_sparse)
    mean = warp_two_sided(*side0[:3], *side1[:3], cell=cell)
    assert mean.dtype == np.float32
    np.testing.assert_allclose(mean, plain(side0, side1, cell, None), atol=1e-6)
    weighted = warp_two_sided_weighted(*side0, *side1, sigma=6.0, cell=cell)
    np.testing.assert_allclose(weighted, plain(side0, side1, cell, 6.0), atol=1e-5)
    one = warp_nearest(side0[0], side0[1], cell=cell)
    only = (side0[0], side0[1], None, side0[3])
    none = (side1[0], side1[1], np.zeros_like(side1[2]), side1[3])
    np.testing.assert_array_equal(one, plain(only, none, cell, None).astype(np.float32))
    dense0, dense1 = (sample_field(side[1], height, width, cell) for side in (side0, side1))
    has0, has1 = (side[2].repeat(cell, 0).repeat(cell, 1)[:height, :width] for side in (side0, side1))
    np.testing.assert_array_equal(mean, warp_two_sided(side0[0], dense0, has0, side1[0], dense1, has1))


def test_a_hand_worked_row() -> None:
    reference0 = np.array([[[0, 1, 1, 0]]], np.uint8)
    reference1 = np.array([[[1, 1, 0, 0]]], np.uint8)
    left, right = np.full((1, 4, 2), [-1.0, 0.0]), np.full((1, 4, 2), [1.0, 0.0])
    has0 = np.array([[True, True, True, False]])
    has1 = np.array([[True, False, True, False]])
    out = warp_two_sided(reference0, left, has0, reference1, right, has1)
    # x=0: (clamped 0 + 1) / 2; x=1: list 0 only, 0; x=2: (1 + 0) / 2; x=3: none.
    assert out.tolist() == [[[0.5, 0.0, 0.5, 0.0]]]


def test_the_better_explained_reference_wins() -> None:
    stacks = np.ones((1, 2, 2), bool), np.zeros((1, 2, 2), bool)
    still = np.zeros((2, 2, 2), np.float32)
    good, bad = np.zeros((2, 2), np.float32), np.full((2, 2), 200.0, np.float32)
    out = warp_two_sided_weighted(stacks[0], still, None, good, stacks[1], still, None, bad)
    assert (out > 0.999).all()
    hopeless = np.full((2, 2), 1e6, np.float32)
    out = warp_two_sided_weighted(stacks[0], still, None, hopeless, stacks[1], still, None, hopeless)
    assert (out == 0.5).all()


def test_warping_keeps_the_dtype_of_masks() -> None:
    mask = np.zeros((1, 5, 6), bool)
    mask[0, 1:3, 2:4] = True
    out = warp_nearest(mask, np.full((5, 6, 2), [1.0, 0.0]))
    assert out.dtype == np.bool_
    np.testing.assert_array_equal(out[0, :, 1:3], mask[0, :, 2:4])


def test_huge_flows_clamp_to_the_border() -> None:
    stack = np.arange(6, dtype=np.uint8).reshape(1, 2, 3)
    out = warp_nearest(stack, np.full((2, 3, 2), [3e9, -3e9]))
    assert (out == 2).all()


def test_the_residual_of_a_known_shift_is_zero_inside() -> None:
    rng = np.random.default_rng(0)
    wide = rng.integers(0, 256, (20, 34), np.uint8)
    target, reference = wide[:, 3:33], wide[:, :30]
    field = np.full((5, 8, 2), [3.0, 0.0], np.float32)
    residual = compensated_residual(target, reference, field, cell=4, window=1)
    assert residual[:, :27].max() == 0
    assert residual[:, 27:].mean() > 20  # the border is clamped
    blurred = compensated_residual(target, reference, field, cell=4, window=5)
    assert blurred[10, 24] == 0
    assert 0 < blurred[10, 25] < residual[:, 27:].max()


def test_the_residual_reads_bilinearly() -> None:
    reference = np.array([[0, 100], [40, 200]], np.uint8)
    target = np.zeros((2, 2), np.uint8)
    field = np.full((1, 1, 2), [0.25, 0.5], np.float32)
    residual = compensated_residual(target, reference, field, cell=2, window=1)
    assert residual[0, 0] == pytest.approx(0.5 * (25 + 80))
    assert residual[1, 0] == pytest.approx(80)  # the row below is clamped


@pytest.mark.parametrize("shape", [(1, 1), (1, 5), (5, 1)])
def test_the_residual_of_thin_pictures(shape: tuple[int, int]) -> None:
    grey = np.full(shape, 7, np.uint8)
    field = np.full((*shape, 2), 0.4, np.float32)
    assert (compensated_residual(grey, grey, field, window=3) == 0).all()


STACK = np.zeros((1, 4, 6), np.float32)
FIELD = np.zeros((4, 6, 2), np.float32)


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(ValueError, match=r"a stack must be \(C, h, w\) with something in it, got \(4, 6\)"):
        warp_nearest(STACK[0], FIELD)
    with pytest.raises(ValueError, match="cell must be 1 or more, got 0"):
        warp_nearest(STACK, FIELD, cell=0)
    with pytest.raises(ValueError, match=r"flow must be \(2, 3, 2\) for cells of 2 px, got \(4, 6, 2\)"):
        warp_nearest(STACK, FIELD, cell=2)
    with pytest.raises(ValueError, match=r"has1 must be \(4, 6\) bool, got \(4, 6\) float32"):
        warp_two_sided(STACK, FIELD, None, STACK, FIELD, FIELD[..., 0])  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="flow0 must be finite"):
        warp_two_sided(STACK, FIELD * np.nan, None, STACK, FIELD, None)
    with pytest.raises(ValueError, match="both references must have one shape and dtype"):
        warp_two_sided(STACK, FIELD, None, STACK.astype(np.uint8), FIELD, None)
    residual = STACK[0]
    with pytest.raises(ValueError, match="sigma must be above 0 grey levels, got 0"):
        warp_two_sided_weighted(STACK, FIELD, None, residual, STACK, FIELD, None, residual, sigma=0)
    with pytest.raises(ValueError, match=r"residual1 must be \(4, 6\) as the stacks are, got \(2, 3\)"):
        warp_two_sided_weighted(
            STACK, FIELD, None, residual, STACK, FIELD, None, np.zeros((2, 3), np.float32)
        )
    grey = np.zeros((4, 6), np.uint8)
    with pytest.raises(ValueError, match=r"target and reference must be \(h, w\) of one size"):
        compensated_residual(grey, grey[:2], FIELD)
    with pytest.raises(ValueError, match="window must be odd and 1 or more, got 4"):
        compensated_residual(grey, grey, FIELD, window=4)
    with pytest.raises(ValueError, match=r"flow must be \(2, 3, 2\)"):
        sample_field(FIELD, 4, 6, 2)

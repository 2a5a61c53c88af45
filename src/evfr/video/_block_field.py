"""Lay a list of motion vectors out on a grid of cells, one field for each reference list."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import cv2
import numpy as np
from numba import njit

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["BlockFields", "block_fields", "fill_nearest", "nearest_cells", "vector_flows", "vector_rows"]


@dataclass(frozen=True, slots=True, eq=False)
class BlockFields:
    """Hold the vectors of one frame on square cells, list by list.

    A list is not a direction in time: list 0 mostly, but not always, holds past pictures.

    Attributes
    ----------
    flow0, flow1 : (h, w, 2) float32
        (dx, dy) in full-size pixels: what the frame shows at p came from p + flow in the cell's reference of list 0
        or 1. 0 where the list has no vector.
    has0, has1 : (h, w) bool
        Where the list has a vector.
    cell : int
        Width of a cell in pixels.
    """

    flow0: NDArray[np.float32]
    has0: NDArray[np.bool_]
    flow1: NDArray[np.float32]
    has1: NDArray[np.bool_]
    cell: int

    def __post_init__(self) -> None:
        grid = self.has0.shape
        for name in ("flow0", "flow1"):
            flow = getattr(self, name)
            if flow.shape != (*grid, 2) or flow.dtype != np.float32:
                raise ValueError(f"{name} must be {(*grid, 2)} float32, got {flow.shape} {flow.dtype}")
        for name in ("has0", "has1"):
            has = getattr(self, name)
            if has.shape != grid or has.dtype != np.bool_:
                raise ValueError(f"{name} must be {grid} bool, got {has.shape} {has.dtype}")

    @property
    def is_intra(self) -> NDArray[np.bool_]:
        """Cells without a vector in either list, (h, w) bool: in a P or B frame, blocks coded without prediction."""
        return ~(self.has0 | self.has1)

    def filled(self) -> BlockFields:
        """Give intra cells what the nearest cell with a vector has, in both lists.

        Returns
        -------
        BlockFields
            Without intra cells, unless no cell has a vector.
        """
        has = self.has0 | self.has1
        if has.all() or not has.any():
            return self
        rows, columns = nearest_cells(has)
        return BlockFields(
            self.flow0[rows, columns],
            self.has0[rows, columns],
            self.flow1[rows, columns],
            self.has1[rows, columns],
            self.cell,
        )

    def __repr__(self) -> str:
        height, width = self.has0.shape
        shares = (
            f"{self.has0.mean():.0%} list 0, {self.has1.mean():.0%} list 1, {self.is_intra.mean():.0%} intra"
        )
        return f"BlockFields({width}x{height} cells of {self.cell} px, {shares})"


def block_fields(vectors: NDArray[np.void], shape: tuple[int, int], *, cell: int = 8) -> BlockFields:
    """Lay a frame's motion vectors out on a grid of cells.

    Parameters
    ----------
    vectors : (K,) of `MOTION_VECTOR_DTYPE`
        As `motion_vectors` yields them. ``dst + motion / motion_scale`` is the place in the reference; ``source``
        is the list, not past or future.
    shape : tuple of int
        Height and width of the picture in pixels; blocks beyond it (1080 lines are coded as 1088) are clipped.
    cell : int
        Width of a cell in pixels, 1 or more. FFmpeg's smallest block is 8 px and blocks lie on multiples of 8, so
        that cells of 8, 4, 2 or 1 lose nothing; a larger cell takes the vector of the block at its centre.

    Returns
    -------
    BlockFields
        On ceil(H / cell) x ceil(W / cell) cells.

    Raises
    ------
    ValueError
        If ``cell`` or ``shape`` is below 1, or a vector has ``motion_scale`` 0.

    Examples
    --------
    >>> import numpy as np
    >>> from evfr.video import MOTION_VECTOR_DTYPE, block_fields
    >>> vectors = np.zeros(1, MOTION_VECTOR_DTYPE)
    >>> vectors[0] = (-1, 8, 8, 14, 4, 12, 4, 0, 9, 0, 4)
    >>> fields = block_fields(vectors, (8, 16))
    >>> fields.flow0[0, 1].tolist(), fields.is_intra.tolist()
    ([2.25, 0.0], [[True, False]])
    """
    height, width = shape
    if cell < 1 or height < 1 or width < 1:
        raise ValueError(f"cell and shape must be 1 px or more, got {cell} and {shape}")
    if len(vectors) and not vectors["motion_scale"].all():
        raise ValueError("a vector has motion_scale 0, so that its length is unknown; decode it again")
    grid = (-(-height // cell), -(-width // cell))
    flows = np.zeros((2, *grid, 2), np.float32)
    rows = vector_rows(vectors, shape, cell)
    if len(vectors):
        _spread(rows, vector_flows(vectors), flows)
    has = rows >= 0
    return BlockFields(flows[0], has[0], flows[1], has[1], cell)


def vector_flows(vectors: NDArray[np.void]) -> NDArray[np.float32]:
    """Return (K, 2) float32: the flow of each vector in pixels, which is motion / motion_scale."""
    motion = np.stack([vectors["motion_x"], vectors["motion_y"]], axis=1).astype(np.float32)
    flows: NDArray[np.float32] = motion / vectors["motion_scale"].astype(np.float32)[:, None]
    return flows


def vector_rows(vectors: NDArray[np.void], shape: tuple[int, int], cell: int) -> NDArray[np.int32]:
    """Return (2, h, w) int32: for each list and cell the row of its vector, -1 where there is none."""
    rows = np.full((2, -(-shape[0] // cell), -(-shape[1] // cell)), -1, np.int32)
    if len(vectors):
        _lay(vectors, cell, rows)
    return rows


def nearest_cells(has: NDArray[np.bool_]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return for each cell the row and column of the nearest cell that has something.

    Parameters
    ----------
    has : (h, w) bool
        At least one True.

    Returns
    -------
    rows, columns : (h, w) int64
        Its own place where ``has``; else one at the least Euclidean distance (OpenCV's 5 x 5 approximation).

    Raises
    ------
    ValueError
        If no cell has anything.
    """
    if not has.any():
        raise ValueError("no cell has a vector, so that there is none to fill from")
    # Labels number the cells that have something, in an order that only this picture tells.
    _, labels = cv2.distanceTransformWithLabels(
        np.logical_not(has).view(np.uint8), cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL
    )
    places = np.empty(int(labels.max()) + 1, np.int64)
    places[labels[has]] = np.flatnonzero(has)
    rows, columns = np.divmod(places[labels], has.shape[1])
    return rows, columns


def fill_nearest(flow: NDArray[np.float32], has: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Fill cells without a vector from the nearest cell that has one.

    Parameters
    ----------
    flow : (h, w, 2) float32
        The field.
    has : (h, w) bool
        Where it holds a vector.

    Returns
    -------
    (h, w, 2) float32
        Filled; all 0 where no cell has a vector.
    """
    if has.all():
        return flow
    if not has.any():
        return np.zeros_like(flow)
    return flow[nearest_cells(has)]


@njit(cache=True, nogil=True)
def _lay(vectors, cell, rows):  # type: ignore[no-untyped-def]
    height, width = rows.shape[1:]
    centre = cell // 2
    for number in range(len(vectors)):
        vector = vectors[number]
        side = 0 if vector["source"] < 0 else 1
        left, top = np.int64(vector["dst_x"]) - vector["w"] // 2, np.int64(vector["dst_y"]) - vector["h"] // 2
        # Cells whose centre pixel lies in the block.
        first_row, last_row = -((centre - top) // cell), -((centre - top - vector["h"]) // cell)
        first, last = -((centre - left) // cell), -((centre - left - vector["w"]) // cell)
        for i in range(max(first_row, 0), min(last_row, height)):
            for j in range(max(first, 0), min(last, width)):
                rows[side, i, j] = number


@njit(cache=True, nogil=True)
def _spread(rows, values, flows):  # type: ignore[no-untyped-def]
    for side in range(2):
        for i in range(rows.shape[1]):
            for j in range(rows.shape[2]):
                number = rows[side, i, j]
                if number >= 0:
                    flows[side, i, j, 0] = values[number, 0]
                    flows[side, i, j, 1] = values[number, 1]

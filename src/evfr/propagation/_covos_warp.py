"""Warp stacks along the vectors of a coded picture, from any number of references (Xu & Yao 2022, Eq. 6-7; ours)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
from numba import njit

from evfr._core.gop import NO_REFERENCE, CodedClip, ListField
from evfr.propagation._covos_math import cells_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

__all__ = ["INTRA", "WARPS", "Prediction", "check_size", "fetch", "fill_list", "predict", "restrict"]

WARPS = ("mean", "weighted")
INTRA = ("fill", "zero")
SIGMA = 6.0
WINDOW = 5


@dataclass(frozen=True, slots=True, eq=False)
class Prediction:
    """Hold how one frame is made from its references, and what that leaves unexplained.

    Attributes
    ----------
    lists : tuple of ListField
        The two lists, filled as asked.
    weights : tuple of (H, W) float32
        Share of each list at each pixel; they sum to 1, or to 0 where nothing predicts.
    error : (H, W) float32
        Sum over RGB of |frame - prediction| in grey levels; the prediction is 0 where nothing predicts.
    """

    lists: tuple[ListField, ListField]
    weights: tuple[NDArray[np.float32], NDArray[np.float32]]
    error: NDArray[np.float32]

    @property
    def references(self) -> list[int]:
        """Positions of the frames that are fetched from, increasing."""
        return sorted({int(r) for field in self.lists for r in np.unique(field.reference) if r >= 0})

    def cell_weights(self) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Return the shares at a quarter of the size, by means."""
        first, second = (cells_of(weight) for weight in self.weights)
        return first, second


def restrict(field: ListField, is_allowed: NDArray[np.bool_]) -> ListField:
    """Return a list without the references that are not allowed: across a cut, damaged, or never made."""
    reference = np.where(
        field.has & is_allowed[np.maximum(field.reference, 0)], field.reference, NO_REFERENCE
    )
    return ListField(reference.astype(np.int32), field.flow)


def fill_list(field: ListField, where: NDArray[np.bool_] | None = None) -> ListField:
    """Give cells without a vector that of the nearest cell that has one (ours; the paper leaves them 0).

    Parameters
    ----------
    field : ListField
        One list.
    where : (h, w) bool or None
        Cells that may be filled; None is all.

    Returns
    -------
    ListField
        Unchanged where no cell has a vector.
    """
    has = field.has
    open_cells = ~has if where is None else ~has & where
    if not has.any() or not open_cells.any():
        return field
    _, label = cv2.distanceTransformWithLabels(
        (~has).astype(np.uint8), cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL
    )
    place = np.zeros(int(label.max()) + 1, np.int64)
    place[label[has]] = np.flatnonzero(has)
    nearest = place[label[open_cells]]
    reference, flow = field.reference.copy(), field.flow.copy()
    reference[open_cells] = field.reference.reshape(-1)[nearest]
    flow[open_cells] = field.flow.reshape(-1, 2)[nearest]
    return ListField(reference, flow)


def predict(
    frames: Sequence[NDArray[np.uint8]],
    at: int,
    lists: tuple[ListField, ListField],
    cell: int,
    *,
    warp: str,
    intra: str,
) -> Prediction:
    """Decide the share of each list, and compensate the frame for motion.

    Parameters
    ----------
    frames : sequence of T (H, W, 3) uint8
        Decoded pictures, RGB.
    at : int
        Position of the frame.
    lists : tuple of ListField
        Its two lists.
    cell : int
        Side of a cell in pixels.
    warp : {"mean", "weighted"}
        The mean of the lists that a cell uses (Eq. 6-7), or weights exp(-residual / 6 grey levels) (ours).
    intra : {"fill", "zero"}
        Give intra cells the vectors of the nearest cell, or leave them 0 as the paper does.

    Returns
    -------
    Prediction
        With ``warp="weighted"`` and ``intra="fill"`` every cell of each list is filled, so that the residual can
        choose between two candidates everywhere; else intra cells only.
    """
    frame = frames[at]
    height, width = frame.shape[:2]
    first, second = lists
    if intra == "fill":
        where = None if warp == "weighted" else ~first.has & ~second.has
        first, second = fill_list(first, where), fill_list(second, where)
    uses = [_spread(field.has, cell, height, width).astype(np.float32) for field in (first, second)]
    pictures = [_compensate(frames, field, cell, frame.shape) for field in (first, second)]
    if warp == "weighted":
        residuals = [
            cv2.blur(cv2.absdiff(frame, picture).sum(axis=2, dtype=np.float32) / 3.0, (WINDOW, WINDOW))
            for picture in pictures
        ]
        best = np.minimum(*residuals)
        uses = [
            use * np.exp((best - residual) / SIGMA) for use, residual in zip(uses, residuals, strict=True)
        ]
    total = np.maximum(uses[0] + uses[1], np.float32(1e-12))
    shares = ((uses[0] / total).astype(np.float32), (uses[1] / total).astype(np.float32))
    made = sum(picture * share[..., None] for picture, share in zip(pictures, shares, strict=True))
    error = np.abs(frame - made).sum(axis=2).astype(np.float32)
    return Prediction((first, second), shares, error)


def fetch(
    stacks: Mapping[int, NDArray[np.float32]],
    field: ListField,
    shape: tuple[int, int, int],
    *,
    cell: int,
    step: int,
) -> NDArray[np.float32]:
    """Warp stacks backward along one list, nearest neighbour, clamped (Xu & Yao 2022, Eq. 6-7).

    Parameters
    ----------
    stacks : mapping of int to (h, w, C) float32
        For each reference, what is warped: probabilities or features on samples ``step`` pixels apart.
    field : ListField
        Where the list points.
    shape : (int, int, int)
        h, w and C.
    cell : int
        Side of a cell of the list in pixels.
    step : int
        Pixels from sample to sample: 4 at a quarter of the size, 1 at full size.

    Returns
    -------
    (h, w, C) float32
        0 where the list has no vector.
    """
    out = np.zeros(shape, np.float32)
    for reference in np.unique(field.reference[field.has]):
        _fetch(stacks[int(reference)], field.reference, field.flow, reference, cell, step, out)
    return out


@njit(cache=True, nogil=True)
def _fetch(source, reference, flow, wanted, cell, step, out):  # type: ignore[no-untyped-def]
    height, width, depth = out.shape
    rows, columns = reference.shape
    for y in range(height):
        gy = min((y * step + step // 2) // cell, rows - 1)
        for x in range(width):
            gx = min((x * step + step // 2) // cell, columns - 1)
            if reference[gy, gx] != wanted:
                continue
            # The centre of sample x is at (x + .5) step - .5 pixels, so it moves by flow / step samples.
            v = min(max(int(np.floor(y + 0.5 + flow[gy, gx, 1] / step)), 0), height - 1)
            u = min(max(int(np.floor(x + 0.5 + flow[gy, gx, 0] / step)), 0), width - 1)
            for c in range(depth):
                out[y, x, c] = source[v, u, c]


def _spread(cells: NDArray[Any], cell: int, height: int, width: int) -> NDArray[Any]:
    return cells.repeat(cell, axis=0)[:height].repeat(cell, axis=1)[:, :width]


def _compensate(
    frames: Sequence[NDArray[np.uint8]], field: ListField, cell: int, shape: tuple[int, ...]
) -> NDArray[np.uint8]:
    """Fetch the picture that one list predicts, bilinear, the border replicated; 0 where it has no vector."""
    height, width = shape[:2]
    out = np.zeros(shape, np.uint8)
    named = np.unique(field.reference[field.has])
    if not len(named):
        return out
    flow = _spread(field.flow, cell, height, width)
    across = flow[..., 0] + np.arange(width, dtype=np.float32)
    down = flow[..., 1] + np.arange(height, dtype=np.float32)[:, None]
    reference = _spread(field.reference, cell, height, width)
    for position in named:
        fetched = cv2.remap(
            frames[int(position)], across, down, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
        )
        np.copyto(out, fetched, where=(reference == position)[..., None])
    return out


def check_size(coded: CodedClip, frames: Sequence[NDArray[np.uint8]]) -> None:
    """Refuse a coded clip that is not of these frames.

    Raises
    ------
    ValueError
        If the number or the size differs.
    """
    if len(coded) != len(frames):
        raise ValueError(f"the coded clip has {len(coded)} frames, but {len(frames)} were given")
    for t, frame in enumerate(frames):
        if frame.shape[:2] != (coded.height, coded.width):
            raise ValueError(
                f"the coded clip is {coded.width}x{coded.height}, but frame {t} is {frame.shape[1]}x{frame.shape[0]}"
            )

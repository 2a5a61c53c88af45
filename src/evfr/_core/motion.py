"""Motion between neighbouring frames as plain arrays: what carries labels from frame to frame."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["StepFieldMaker", "StepFields"]


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class StepFields:
    """Hold backward motion between each two neighbouring frames of a stretch of T frames.

    A field lies on a grid of square cells of ``cell`` full-size pixels: h = ceil(H / cell), w = ceil(W / cell). Its
    values are displacements (dx, dy) in full-size pixels, whatever the cell.

    Attributes
    ----------
    to_previous : (T - 1, h, w, 2) float32
        Entry t belongs to frame t + 1: what frame t + 1 shows at p came from p + ``to_previous[t]`` (p) in frame t.
    to_next : (T - 1, h, w, 2) float32
        Entry t belongs to frame t: what frame t shows at p lies at p + ``to_next[t]`` (p) in frame t + 1.
    cell : int
        Pixels per cell; 1 is dense.
    name : str
        What made them, for the record.
    has_previous, has_next : (T - 1, h, w) bool, or None
        False where nothing was measured and the value was filled from around; None where all was measured.

    Raises
    ------
    ValueError
        If the arrays do not fit each other.
    """

    to_previous: NDArray[np.float32]
    to_next: NDArray[np.float32]
    cell: int
    name: str
    has_previous: NDArray[np.bool_] | None = None
    has_next: NDArray[np.bool_] | None = None

    def __post_init__(self) -> None:
        shape = self.to_previous.shape
        if len(shape) != 4 or shape[3] != 2 or self.to_next.shape != shape:
            raise ValueError(
                f"step fields must be two arrays (T - 1, h, w, 2), got {shape} and {self.to_next.shape}"
            )
        for name in ("to_previous", "to_next"):
            if getattr(self, name).dtype != np.float32:
                raise ValueError(f"{name} must be float32, got {getattr(self, name).dtype}")
        for name in ("has_previous", "has_next"):
            has = getattr(self, name)
            if has is not None and (has.shape != shape[:3] or has.dtype != np.bool_):
                raise ValueError(f"{name} must be {shape[:3]} bool, got {has.shape} {has.dtype}")
        if self.cell < 1:
            raise ValueError(f"cell must be 1 pixel or more, got {self.cell}")

    def __len__(self) -> int:
        return len(self.to_previous)

    def __repr__(self) -> str:
        steps, height, width, _ = self.to_previous.shape
        return f"StepFields({self.name}, {steps} steps, {width}x{height} cells of {self.cell} px)"


StepFieldMaker = Callable[[Sequence["NDArray[np.uint8]"], "NDArray[np.int64]"], StepFields]
"""``(frames, frame_index) -> StepFields``: T pictures (H, W, 3) uint8 RGB and their numbers, T - 1 steps."""

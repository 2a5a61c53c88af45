"""Small pictures of frames: as arrays, and packed into JPEG sheets."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from evfr.reports._checks import check_array, check_increasing

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["PackedThumbnails", "Sheet", "Thumbnails"]


@dataclass(frozen=True, slots=True, eq=False)
class Thumbnails:
    """Hold small pictures of some frames of one video.

    Attributes
    ----------
    frame_index : (M,) int64
        Strictly increasing frame indices: selected frames, dropped neighbours and a coarse strip.
    images : (M, h, w, 3) uint8
        RGB pictures, all of one size; 256 px wide is plenty.
    """

    frame_index: NDArray[np.int64]
    images: NDArray[np.uint8]

    def __post_init__(self) -> None:
        m = len(self.frame_index)
        check_array("frame_index", self.frame_index, (m,), np.int64)
        check_increasing("frame_index", self.frame_index)
        if self.images.ndim != 4 or self.images.dtype != np.uint8 or self.images.shape[::3] != (m, 3):
            raise ValueError(
                f"images must be ({m}, h, w, 3) uint8, got {self.images.shape} {self.images.dtype}; "
                "resize every thumbnail to one size"
            )

    def __repr__(self) -> str:
        return f"Thumbnails({len(self.frame_index)} of {self.images.shape[2]}x{self.images.shape[1]})"


@dataclass(frozen=True, slots=True, eq=False)
class Sheet:
    """Hold a grid of equally large thumbnails as one JPEG.

    Attributes
    ----------
    frame_index : (K,) int64
        The frame of each cell, row by row.
    columns : int
        Cells per row.
    cell_width, cell_height : int
        Grid step in px.
    width, height : int
        Size of the picture at the top left of each cell, in px.
    jpeg : bytes
        The sheet.
    """

    frame_index: NDArray[np.int64]
    columns: int
    cell_width: int
    cell_height: int
    width: int
    height: int
    jpeg: bytes


@dataclass(frozen=True, slots=True, eq=False)
class PackedThumbnails:
    """Hold thumbnails as JPEG sheets, small enough to keep for many videos; see `pack_thumbnails`.

    Attributes
    ----------
    sheets : tuple of Sheet
        Sheets of selected frames first (larger cells), then of the others.
    """

    sheets: tuple[Sheet, ...]

    @property
    def n_bytes(self) -> int:
        """Bytes of all sheets together."""
        return sum(len(sheet.jpeg) for sheet in self.sheets)

    def __repr__(self) -> str:
        n = sum(len(sheet.frame_index) for sheet in self.sheets)
        return f"PackedThumbnails({n} frames in {len(self.sheets)} sheets, {self.n_bytes} bytes)"

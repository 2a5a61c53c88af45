"""What a coded stream says of its pictures: types, decoding order, references and vectors, as a plain value."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["NO_REFERENCE", "CodedClip", "ListField"]

NO_REFERENCE = -1
"""Reference of a cell that this list does not predict."""

_TYPES = "IPB"


@dataclass(frozen=True, slots=True)
class ListField:
    """Say where one reference list of one picture points, per cell.

    Parameters
    ----------
    reference : (h, w) int32
        Position in the clip of the frame that the cell was predicted from; -1 where this list has no vector.
    flow : (h, w, 2) float32
        (dx, dy) in full-size pixels: the content at p came from the reference at p + flow(p). Not read where
        ``reference`` is -1.

    Raises
    ------
    ValueError
        If the arrays do not fit together.
    """

    reference: NDArray[np.int32]
    flow: NDArray[np.float32]

    def __post_init__(self) -> None:
        if self.reference.ndim != 2 or self.reference.dtype != np.int32:
            raise ValueError(
                f"reference must be (h, w) int32, got {self.reference.shape} {self.reference.dtype}"
            )
        if self.flow.shape != (*self.reference.shape, 2) or self.flow.dtype != np.float32:
            raise ValueError(
                f"flow must be {(*self.reference.shape, 2)} float32 like reference, "
                f"got {self.flow.shape} {self.flow.dtype}"
            )
        if not np.isfinite(self.flow[self.reference >= 0]).all():
            raise ValueError("flow must be finite wherever reference names a frame")

    @classmethod
    def empty(cls, height: int, width: int) -> ListField:
        """Return a list that predicts nothing.

        Parameters
        ----------
        height, width : int
            Cells.

        Returns
        -------
        ListField
            All references -1, all flow 0.
        """
        return cls(np.full((height, width), NO_REFERENCE, np.int32), np.zeros((height, width, 2), np.float32))

    @property
    def has(self) -> NDArray[np.bool_]:
        """Where this list has a vector: (h, w) bool."""
        return self.reference >= 0

    def __repr__(self) -> str:
        named = np.unique(self.reference[self.has]).tolist()
        return f"ListField({self.reference.shape[0]} x {self.reference.shape[1]} cells, references {named})"


@dataclass(frozen=True, slots=True)
class CodedClip:
    """Hold picture types, decoding order and block predictions of consecutive frames (Xu & Yao 2022, section 3).

    Parameters
    ----------
    height, width : int
        Size of the frames in pixels.
    picture_types : str
        One letter a frame in presentation order: I, P or B.
    decode_order : (T,) int64
        Positions of the frames in the order of decoding; each once.
    fields : tuple of T (ListField, ListField) or None
        List 0 and list 1 of each frame; None where the frame has no vectors (I pictures) or they are not known.
    cell : int
        Side of a square cell in pixels; the grids are ceil(height / cell) x ceil(width / cell).
    name : str
        Where it comes from, for example ``"proxy 3 B"``.

    Raises
    ------
    ValueError
        If the parts do not fit together, or a cell refers to a frame that is not decoded before its own.

    Notes
    -----
    Cells without a vector in either list (intra blocks) stay -1 in both: whoever warps chooses how to fill them.
    """

    height: int
    width: int
    picture_types: str
    decode_order: NDArray[np.int64]
    fields: tuple[tuple[ListField, ListField] | None, ...]
    cell: int
    name: str = ""

    def __post_init__(self) -> None:
        count = len(self.picture_types)
        wrong = sorted(set(self.picture_types) - set(_TYPES))
        if wrong:
            raise ValueError(f"picture_types may hold I, P and B only, got {''.join(wrong)!r}")
        if sorted(self.decode_order.tolist()) != list(range(count)):
            raise ValueError(f"decode_order must hold each of the {count} positions once")
        if len(self.fields) != count:
            raise ValueError(f"fields must hold one entry for each of {count} frames, got {len(self.fields)}")
        if self.cell < 1 or self.height < 1 or self.width < 1:
            raise ValueError(f"sizes must be 1 or more, got {self.height} x {self.width}, cell {self.cell}")
        rank = np.empty(count, np.int64)
        rank[self.decode_order] = np.arange(count)
        for position, lists in enumerate(self.fields):
            for field in lists or ():
                self._check_field(position, field, rank)

    def _check_field(self, position: int, field: ListField, rank: NDArray[np.int64]) -> None:
        if field.reference.shape != self.grid:
            raise ValueError(
                f"frame {position}: the grid must be {self.grid} cells, got {field.reference.shape}"
            )
        named = np.unique(field.reference[field.has])
        if len(named) and (named[-1] >= len(rank) or (rank[named] >= rank[position]).any()):
            raise ValueError(
                f"frame {position}: it refers to the frames {named.tolist()}, but a reference must lie in the clip "
                "and be decoded before"
            )

    @property
    def grid(self) -> tuple[int, int]:
        """Rows and columns of cells."""
        return -(-self.height // self.cell), -(-self.width // self.cell)

    @property
    def is_key(self) -> NDArray[np.bool_]:
        """Where a frame is an I or P picture, which a base model segments: (T,) bool."""
        return np.array([kind != "B" for kind in self.picture_types], dtype=np.bool_)

    def __len__(self) -> int:
        return len(self.picture_types)

    def __repr__(self) -> str:
        return (
            f"CodedClip({self.name!r}, {self.width} x {self.height}, {self.picture_types}, cell {self.cell})"
        )

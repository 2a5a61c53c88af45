"""What a propagator gives: labels of every frame, what was measured about them, and where objects were lost."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Literal

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from evfr._core.masks import Rle

__all__ = ["SIDES", "Carried", "CarryEnd", "Evidence", "Side"]

Side = Literal["left", "right"]
SIDES: tuple[Side, Side] = ("left", "right")
REASONS = ("cut", "lost", "damaged", "failed: ")


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Evidence:
    """Hold what was measured about each carried object, for trust; NaN where nothing was.

    Attributes
    ----------
    residual : (T, K) float64
        Mean absolute difference in grey levels of the frame and the motion-compensated labelled frame(s), in a band
        around the mask.
    agreement : (T, K) float64
        IoU of the mask carried forward and the one carried backward, 0 to 1.
    area_jump : (T, K) float64
        Absolute logarithm of the ratio of the area to that in the neighbouring frame on the side of the nearest label.
    shape_jump : (T, K) float64
        1 - IoU with the motion-compensated mask of that neighbour.
    distance : (T, K) float64
        Frames to the nearest label that the object was carried from; 0 at labelled frames.

    Raises
    ------
    ValueError
        If the columns differ in shape.
    """

    residual: NDArray[np.float64]
    agreement: NDArray[np.float64]
    area_jump: NDArray[np.float64]
    shape_jump: NDArray[np.float64]
    distance: NDArray[np.float64]

    def __post_init__(self) -> None:
        shape = self.residual.shape
        for name in (column.name for column in fields(self)):
            column = getattr(self, name)
            if column.ndim != 2 or column.shape != shape:
                raise ValueError(f"evidence.{name} must be (T, K) = {shape}, got {column.shape}")

    def __repr__(self) -> str:
        return f"Evidence({self.residual.shape[0]} frames, {self.residual.shape[1]} tracks)"


@dataclass(frozen=True, slots=True)
class CarryEnd:
    """Say where an object stopped being carried, and why.

    Attributes
    ----------
    track_id : int
        The object.
    frame_index : int
        First frame, in the direction of the carry, that it did not reach.
    side : {"left", "right"}
        The end it was carried from.
    reason : str
        ``"cut"``, ``"lost"`` (nothing of it was left), ``"damaged"`` (the frame did not decode) or
        ``"failed: <what>"``.

    Raises
    ------
    ValueError
        If the side or the reason is none of these.
    """

    track_id: int
    frame_index: int
    side: Side
    reason: str

    def __post_init__(self) -> None:
        if self.side not in SIDES:
            raise ValueError(f"side must be one of {', '.join(SIDES)}, got {self.side!r}")
        if self.reason not in REASONS[:3] and not self.reason.startswith(REASONS[3]):
            raise ValueError(f"reason must be cut, lost, damaged or 'failed: <what>', got {self.reason!r}")


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Carried:
    """Hold the labels of every frame of an interval.

    Attributes
    ----------
    track_ids, category_ids : (K,) int64
        The tracks of both ends, ids ascending.
    masks : tuple of T tuples of K Rle or None
        None where the object is absent or has a box only. At labelled frames the given value itself.
    boxes_xyxy : (T, K, 4) float64
        Pixels, right and bottom exclusive; a NaN row where the object is absent.
    score : (T, K) float64
        0 to 1, how clearly the object was carried; NaN where absent, labelled or not measured.
    evidence : Evidence
        What was measured, for trust.
    ends : tuple of CarryEnd
        Every object that did not get as far as it might have.

    Raises
    ------
    ValueError
        If the parts do not fit together.
    """

    track_ids: NDArray[np.int64]
    category_ids: NDArray[np.int64]
    masks: tuple[tuple[Rle | None, ...], ...]
    boxes_xyxy: NDArray[np.float64]
    score: NDArray[np.float64]
    evidence: Evidence
    ends: tuple[CarryEnd, ...] = ()

    def __post_init__(self) -> None:
        count, tracks = len(self.masks), len(self.track_ids)
        if (np.diff(self.track_ids) <= 0).any():
            raise ValueError(f"track_ids must ascend, got {self.track_ids.tolist()}")
        if self.category_ids.shape != (tracks,):
            raise ValueError(f"category_ids must be ({tracks},), got {self.category_ids.shape}")
        if any(len(row) != tracks for row in self.masks):
            raise ValueError(f"masks must have {tracks} entries for each frame")
        if self.boxes_xyxy.shape != (count, tracks, 4):
            raise ValueError(f"boxes_xyxy must be ({count}, {tracks}, 4), got {self.boxes_xyxy.shape}")
        for name, shape in (("score", self.score.shape), ("evidence", self.evidence.residual.shape)):
            if shape != (count, tracks):
                raise ValueError(f"{name} must be ({count}, {tracks}), got {shape}")
        known = set(self.track_ids.tolist())
        for end in self.ends:
            if end.track_id not in known:
                raise ValueError(f"an end names track {end.track_id}, which was not carried")

    def __repr__(self) -> str:
        return f"Carried({len(self.masks)} frames, {len(self.track_ids)} tracks, {len(self.ends)} ends)"

    @property
    def is_present(self) -> NDArray[np.bool_]:
        """Return (T, K) bool: which objects are in which frame."""
        present: NDArray[np.bool_] = np.logical_not(np.isnan(self.boxes_xyxy).any(axis=2))
        return present

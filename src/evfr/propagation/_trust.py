"""Trust in carried labels: what held-out labels show, what a model says of a carry, and what it decides."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from evfr._core.masks import box_iou, iou
from evfr.propagation._trust_model import BUILT_IN_TRUST, TrustModel, trust_features

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    from evfr._core.annotations import FrameLabels
    from evfr.propagation._interval import Carried

__all__ = ["HeldOut", "TrustDecision", "apply_min_trust", "carried_trust", "held_out"]

Below = Literal["keep", "drop", "ask"]
BELOW: tuple[Below, ...] = ("keep", "drop", "ask")


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class HeldOut:
    """Hold what was measured about carried objects on labelled frames that were held out, and how good they were.

    Attributes
    ----------
    features : (N, 5) float64
        As `trust_features` makes them.
    true_iou : (N,) float64
        IoU of the carried object with its label.
    frames : (N,) int64
        The held-out frame of each row.
    missed : int
        Labelled objects that no neighbouring label could carry there: they appear on that frame alone, or were lost.
    """

    features: NDArray[np.float64]
    true_iou: NDArray[np.float64]
    frames: NDArray[np.int64]
    missed: int = 0

    def __len__(self) -> int:
        return len(self.true_iou)

    def __repr__(self) -> str:
        return f"HeldOut({len(self)} objects on {len(np.unique(self.frames))} frames, {self.missed} missed)"

    @classmethod
    def join(cls, parts: list[HeldOut] | tuple[HeldOut, ...]) -> HeldOut:
        """Put the rows of several held-out frames together.

        Parameters
        ----------
        parts : list of HeldOut
            Any number; none gives no rows.

        Returns
        -------
        HeldOut
            All rows.
        """
        nothing = cls(np.zeros((0, 5)), np.zeros(0), np.zeros(0, np.int64))
        parts = [nothing, *parts]
        return cls(
            np.concatenate([part.features for part in parts]),
            np.concatenate([part.true_iou for part in parts]),
            np.concatenate([part.frames for part in parts]),
            sum(part.missed for part in parts),
        )


def held_out(carried: Carried, position: int, truth: FrameLabels) -> HeldOut:
    """Compare what was carried onto a labelled frame, without its labels, with those labels.

    Carry the interval between the neighbours of a labelled frame as if it were not labelled; this then gives the
    rows that `fit_trust` learns from.

    Parameters
    ----------
    carried : Carried
        The carry across the held-out frame.
    position : int
        Position of that frame in the interval, 0..T-1.
    truth : FrameLabels
        Its labels.

    Returns
    -------
    HeldOut
        One row per object that was carried there: IoU of masks where both have one, else of boxes; 0 where the
        labels do not have the object.

    Raises
    ------
    ValueError
        If the position does not exist, or the frame was labelled for the carry.
    """
    if not 0 <= position < len(carried.masks):
        raise ValueError(f"position must be in 0..{len(carried.masks) - 1}, got {position}")
    if (carried.evidence.distance[position] == 0).any():
        raise ValueError(f"position {position} was labelled for this carry; hold its labels out")
    present = np.flatnonzero(carried.is_present[position])
    places = {int(track): row for row, track in enumerate(truth.track_ids.tolist())}
    found = []
    for k in present:
        row = places.pop(int(carried.track_ids[k]), None)
        found.append(0.0 if row is None else _object_iou(carried, position, int(k), truth, row))
    return HeldOut(
        trust_features(carried.evidence)[position, present],
        np.array(found, np.float64),
        np.full(len(found), truth.frame_index, np.int64),
        missed=len(places),
    )


def _object_iou(carried: Carried, position: int, k: int, truth: FrameLabels, row: int) -> float:
    mine, theirs = carried.masks[position][k], truth.masks[row]
    if mine is not None and theirs is not None:
        return iou(mine, theirs)
    box = truth.boxes_xyxy[row]
    if np.isnan(box).any() and theirs is not None:
        box = np.array(theirs.box_xyxy)
    value = float(box_iou(carried.boxes_xyxy[position, k][None], box[None])[0, 0])
    return value if value == value else 0.0


def carried_trust(carried: Carried, model: TrustModel = BUILT_IN_TRUST) -> NDArray[np.float64]:
    """Return how far each carried object can be believed.

    Parameters
    ----------
    carried : Carried
        What was carried.
    model : TrustModel
        As `fit_trust` returns it.

    Returns
    -------
    (T, K) float64
        The IoU that is expected, in [0, 1]; 1 at labelled frames, NaN where the object is absent.
    """
    trust = model.predict(trust_features(carried.evidence))
    trust = np.where(carried.evidence.distance == 0, 1.0, trust)
    return np.where(carried.is_present, trust, np.nan)


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class TrustDecision:
    """Hold what becomes of each label: exactly one of kept, dropped, asked.

    Attributes
    ----------
    is_kept, is_dropped, is_asked : (N,) bool
        Whether the label is good enough, is left out, or waits for a person.
    below_count : int
        Labels whose trust is under the limit or was not measured, whatever became of them.
    """

    is_kept: NDArray[np.bool_]
    is_dropped: NDArray[np.bool_]
    is_asked: NDArray[np.bool_]
    below_count: int

    def __repr__(self) -> str:
        counts = (int(part.sum()) for part in (self.is_kept, self.is_dropped, self.is_asked))
        return "TrustDecision({} kept, {} dropped, {} to ask)".format(*counts)


def apply_min_trust(
    trust: ArrayLike, is_human: ArrayLike, minimum: float, *, below: Below = "ask"
) -> TrustDecision:
    """Keep, drop or ask about labels by their trust.

    Parameters
    ----------
    trust : (N,) float
        Of each label; NaN = not measured, which is never good enough.
    is_human : (N,) bool
        Labels that a person made: always kept.
    minimum : float
        Smallest trust of a label that is kept, in [0, 1].
    below : {"keep", "drop", "ask"}
        What becomes of the others: kept (and counted), left out, or put before a person.

    Returns
    -------
    TrustDecision
        One decision per label.

    Raises
    ------
    ValueError
        If an argument is out of range, or the arrays differ in length.

    Examples
    --------
    >>> apply_min_trust([0.9, 0.2, float("nan"), 0.1], [False, False, False, True], 0.5, below="drop")
    TrustDecision(2 kept, 2 dropped, 0 to ask)
    """
    values, human = np.asarray(trust, np.float64), np.asarray(is_human, np.bool_)
    if values.ndim != 1 or values.shape != human.shape:
        raise ValueError(f"trust and is_human must be (N,), got {values.shape} and {human.shape}")
    if not 0.0 <= minimum <= 1.0:
        raise ValueError(f"minimum trust must be in [0, 1], got {minimum}")
    if below not in BELOW:
        raise ValueError(f"below must be one of {BELOW}, got {below!r}")
    is_low = ~human & ~(values >= minimum)
    nothing = np.zeros(len(values), np.bool_)
    return TrustDecision(
        np.ones(len(values), np.bool_) if below == "keep" else ~is_low,
        is_low if below == "drop" else nothing,
        is_low if below == "ask" else nothing,
        int(is_low.sum()),
    )

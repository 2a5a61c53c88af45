"""What a reduction gives back: the sequences that are left, and what happened to the others."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from evfr._core.sequences import SequenceSet

__all__ = ["STEPS", "Change", "Reduction", "ReductionCounts"]

STEPS = {
    "empty": "dropped: it has no pixel in any frame",
    "agnostic_floor": "dropped: its score is below the category-agnostic floor",
    "agnostic": "dropped: a better sequence of any class covers it",
    "no_class": "dropped: its score is below the floor in every class",
    "aware": "lowered: a better sequence of its class overlaps it",
    "floor": "dropped from its class: it was lowered below the floor",
    "limit": "dropped from its class: the class has its full number of better ones",
}
"""Every reason of a `Change` by name, in words."""


@dataclass(frozen=True, slots=True)
class Change:
    """Say what happened to the score of one sequence.

    Attributes
    ----------
    sequence : int
        Its place in the set given.
    step : str
        One of `STEPS`.
    category : int
        Index of the class whose score changed; -1 for the score whatever the class, that is the whole sequence.
    survivor : int
        Place in the set given of the sequence that did it, or that did most of it; -1 for none.
    before, after : float
        The score before, and after: 0 where it is no longer there.
    iou : float or None
        Sequence IoU with that survivor; None without one.
    """

    sequence: int
    step: str
    category: int
    survivor: int
    before: float
    after: float
    iou: float | None = None

    def __str__(self) -> str:
        of = "" if self.category < 0 else f" in class {self.category}"
        by = "" if self.survivor < 0 else f" (sequence {self.survivor})"
        return f"sequence {self.sequence}{of}: {self.before:.3g} -> {self.after:.3g}, {STEPS[self.step]}{by}"


@dataclass(frozen=True, slots=True)
class ReductionCounts:
    """Count what a reduction did.

    Attributes
    ----------
    given : int
        Sequences that came in.
    empty : int
        Those without a pixel.
    below_agnostic_floor : int
        Those dropped for their score.
    suppressed : int
        Those dropped by the category-agnostic step.
    survivors : int
        Those that went into the second step: given less the three above.
    without_class : int
        Those with a score below the floor in every class.
    labels_before : int
        Pairs of survivor and class with a score of at least the floor (survivors where classes are not looked at).
    lowered : int
        Pairs whose score went down and stayed above the floor.
    below_floor : int
        Pairs lowered below the floor.
    over_limit : int
        Pairs beyond the most per class.
    labels : int
        Pairs that are left: labels_before less the two above.
    kept : int
        Sequences that are left, in one class or more.
    """

    given: int
    empty: int
    below_agnostic_floor: int
    suppressed: int
    survivors: int
    without_class: int
    labels_before: int
    lowered: int
    below_floor: int
    over_limit: int
    labels: int
    kept: int


@dataclass(frozen=True, slots=True, eq=False)
class Reduction:
    """Hold what `reduce_sequences` gives back.

    Attributes
    ----------
    sequence_set : SequenceSet
        The K sequences that are left, in descending score before the reduction.
    rows : (K,) int64
        Their places in the set given.
    log : tuple of Change
        What happened to every sequence that is not left as it was: by step, then class, then in the order of the
        set.
    counts : ReductionCounts
        The same in numbers.
    """

    sequence_set: SequenceSet
    rows: NDArray[np.int64]
    log: tuple[Change, ...]
    counts: ReductionCounts

"""Small parts of `evfr propose`: options checked before any work, the size of the carry, times and notes."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from evfr._core.sequences import SequenceSet
    from evfr._core.types import FrameTable
    from evfr.verbs._propose_carry import PassResult
    from evfr.verbs._propose_detect import KeyDetections, Picking
    from evfr.verbs._propose_score import Scored

__all__ = ["Clock", "carry_size", "check_options", "run_notes"]

FULL_SIZE = ("covos",)
"""Methods that read the stream's own vectors, which are in pixels of the full-size picture."""


class Clock:
    """Measure the wall time of stages that follow each other.

    Attributes
    ----------
    seconds : dict of str to float
        By stage, in the order they ended.
    """

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._last = time.perf_counter()

    def stop(self, stage: str) -> None:
        """End a stage; the next one begins."""
        now = time.perf_counter()
        self.seconds[stage] = now - self._last
        self._last = now


def check_options(picking: Picking, reduction: Mapping[str, Any], working_size: Sequence[int]) -> None:
    """Try the options of later stages on nothing, so that a wrong one is told before the work.

    Parameters
    ----------
    picking : Picking
        For the key frames.
    reduction : mapping
        Keywords of `evfr.sequences.reduce_sequences`.
    working_size : sequence of int
        Two sides, or none.

    Raises
    ------
    ValueError
        If one is out of range.
    """
    import numpy as np

    from evfr._core.annotations import AnnotatedVideo, Category
    from evfr._core.sequences import SequenceSet
    from evfr.models import Detections, pick
    from evfr.sequences import reduce_sequences

    if len(working_size) not in (0, 2) or any(side < 16 for side in working_size):
        raise ValueError(
            f"working_size must be two sides of 16 pixels or more, or empty for the full size, got {list(working_size)}"
        )
    nothing = Detections(np.zeros((0, 4)), np.zeros(0), np.zeros(0, np.int64), np.zeros((0, 1)), ())
    pick(
        nothing,
        min_score=picking.min_score,
        box_nms=picking.box_nms,
        mask_nms=picking.mask_nms,
        limit=picking.per_frame,
    )
    video = AnnotatedVideo("none", 1, 1, np.zeros(1, np.int64))
    reduce_sequences(SequenceSet(video, (Category(1, "none"),), ()), **reduction)


def carry_size(
    table: FrameTable, working_size: Sequence[int], method: str, options: Mapping[str, Any]
) -> tuple[tuple[int, int], tuple[str, ...]]:
    """Return (height, width) at which objects are carried, and a note where that is not as asked.

    Parameters
    ----------
    table : FrameTable
        Frames of the video.
    working_size : sequence of int
        Longer and shorter side at most, or none.
    method : str
        The propagator.
    options : mapping
        Its own options.

    Returns
    -------
    tuple of ((int, int), tuple of str)
        The full size for methods that read the stream's own vectors.
    """
    from evfr.verbs._propose_resize import size_within

    full = (table.height, table.width)
    size = size_within(*full, (working_size[0], working_size[1]) if working_size else None)
    if size != full and (method in FULL_SIZE or options.get("step") == "stream"):
        return full, ("carried at full size: the vectors of the stream are in its pixels",)
    return size, ()


def run_notes(
    detected: KeyDetections,
    passes: Sequence[PassResult],
    scored: Scored,
    left: SequenceSet,
    write_floor: float,
) -> tuple[str, ...]:
    """Return what ran, in words.

    Parameters
    ----------
    detected : KeyDetections
        Of the key frames.
    passes : sequence of PassResult
        Forward and backward.
    scored : Scored
        Scores of the sequences.
    left : SequenceSet
        Sequences after the reduction.
    write_floor : float
        Least score of a class that is written.

    Returns
    -------
    tuple of str
        For the result.
    """
    notes = list(dict.fromkeys(note for one in passes for note in one.notes))
    if not sum(len(found) for found in detected.found):
        notes.append(
            "no object was found on any key frame: the output has no sequence; lower min_score, or add key frames"
        )
    scores = left.category_scores
    if faint := int(((scores > 0) & (scores < write_floor)).sum()):
        none = int((scores.max(axis=1, initial=0.0) < write_floor).sum())
        notes.append(
            f"{faint} classes of sequences score below write_floor {write_floor:g} and are not written"
            + (f"; {none} sequences have no other" if none else "")
        )
    if scored.ended:
        notes.append(f"{scored.ended} carries ended where the object was not seen any more (unseen_seconds)")
    if detected.empty:
        notes.append(f"{detected.empty} detections without any pixel were left out")
    if detected.boxed:
        notes.append(f"GrabCut found no object in {detected.boxed} boxes: their masks are the boxes")
    if detected.cached:
        notes.append(f"{detected.cached} of {len(detected.frame_index)} key frames were in the store")
    total, cached = sum(one.total for one in passes), sum(one.cached for one in passes)
    if cached:
        notes.append(f"{cached} of {total} carried chunks were in the store")
    if scored.cached:
        notes.append(f"scores of {scored.cached} of {scored.frame_count} frames were in the store")
    failed = sorted({end.reason for one in passes for end in one.ends if end.reason.startswith("failed")})
    notes += [f"the carry stopped for some objects: {reason}" for reason in failed[:3]]
    return tuple(notes)

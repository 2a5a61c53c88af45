"""Reduce the sequences that a detector proposes for a video to one for each object and class (Lin et al. 2021).

Plain functions on arrays: `score_sequences` (Eq. 1) makes class scores of a carried detection, `hard_nms` (Eq. 2)
drops a sequence that a better one covers, whatever their classes, and `soft_nms` (Eq. 3) lowers scores within a class.
How much two sequences overlap is `sequence_iou` of their packed bits; both take the matrix or a function that gives
one row of it. `reduce_sequences` does all of it on a `SequenceSet` and says what happened to every sequence, and by
which other one.

To add a decay: one line in `DECAYS`, a function of (IoU, sigma, threshold) that gives a factor in [0, 1] for each
sequence; the contract tests run over it.
"""

from __future__ import annotations

from evfr._core.packed import (
    PackedSequences,
    pack_sequences,
    sequence_iou,
    sequence_iou_row,
    shared_area,
    shared_area_rows,
)
from evfr._core.sequences import MaskSequence, Provenance, SequenceSet, annotations_of, sequences_of
from evfr.sequences._nms import DECAYS, IouRows, Rescored, Suppression, hard_nms, soft_nms
from evfr.sequences._reduce import MATRIX_LIMIT, reduce_sequences
from evfr.sequences._reduction import STEPS, Change, Reduction, ReductionCounts
from evfr.sequences._scores import SequenceScores, score_sequences

__all__ = [
    "DECAYS",
    "MATRIX_LIMIT",
    "STEPS",
    "Change",
    "IouRows",
    "MaskSequence",
    "PackedSequences",
    "Provenance",
    "Reduction",
    "ReductionCounts",
    "Rescored",
    "SequenceScores",
    "SequenceSet",
    "Suppression",
    "annotations_of",
    "hard_nms",
    "pack_sequences",
    "reduce_sequences",
    "score_sequences",
    "sequence_iou",
    "sequence_iou_row",
    "sequences_of",
    "shared_area",
    "shared_area_rows",
    "soft_nms",
]

"""Both steps of the reduction on the sequences of one video."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from functools import lru_cache
from typing import TYPE_CHECKING, Literal

import numpy as np

from evfr._core.packed import PackedSequences, pack_sequences, sequence_iou, sequence_iou_row
from evfr._core.sequences import MaskSequence, SequenceSet
from evfr.sequences._nms import BELOW_FLOOR, IouRows, Rescored, Suppression, check_decay, hard_nms, soft_nms
from evfr.sequences._reduction import Change, Reduction, ReductionCounts

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["MATRIX_LIMIT", "reduce_sequences"]

MATRIX_LIMIT = 1_024
"""Up to this many sequences the whole matrix of overlaps is made at once; above, only the rows that are asked for."""

UNSUPERVISED_LIMIT = 20
CACHED_ROWS = 256


def reduce_sequences(
    sequence_set: SequenceSet,
    *,
    agnostic_threshold: float | None = None,
    agnostic_floor: float = 0.05,
    decay: Literal["gaussian", "linear"] = "gaussian",
    sigma: float = 0.5,
    linear_threshold: float = 0.5,
    floor: float = 1e-3,
    per_category: int | None = None,
    step: Literal["both", "agnostic", "aware", "unsupervised"] = "both",
) -> Reduction:
    """Drop and lower the redundant sequences of a video (Propose-Reduce, Lin et al. 2021, Eq. 2 and 3).

    Parameters
    ----------
    sequence_set : SequenceSet
        What was proposed; N may be 0.
    agnostic_threshold : float, optional
        Sequence IoU at which a better sequence of any class suppresses; .9, or .5 with ``step="agnostic"``, as
        published, if not given.
    agnostic_floor : float
        Least score, whatever the class, of a sequence that is looked at; the best is kept in any case.
    decay : {"gaussian", "linear"}
        How scores within a class are lowered, see `soft_nms`.
    sigma, linear_threshold : float
        Of the Gaussian, and of the linear decay.
    floor : float
        Least score of a sequence in a class; lower ones become 0 in every step.
    per_category : int, optional
        Most sequences in one class: 10, or 20 with ``step="unsupervised"``, if not given. The released code takes 100.
    step : {"both", "agnostic", "aware", "unsupervised"}
        Both steps, one of them, or what DAVIS's unsupervised task wants: lower the scores whatever the class, and
        keep the best.

    Returns
    -------
    Reduction
        What is left has several classes: ``category_scores`` are the lowered ones, 0 where a sequence is not in the
        class; ``score`` is the one given. With ``"unsupervised"``, ``score`` is the lowered one, and is also that of
        the sequence's best class (the first of equal ones) in place of all others.

    Raises
    ------
    ValueError
        If an option is out of range, or there are no categories to reduce within.

    Notes
    -----
    In the second step every survivor competes in every class for which it has a score, not only in its best. Equal
    scores are taken in the order given. Sequences without any pixel are dropped and named in the log.
    """
    if step not in ("both", "agnostic", "aware", "unsupervised"):
        raise ValueError(f"step must be 'both', 'agnostic', 'aware' or 'unsupervised', got {step!r}")
    if agnostic_threshold is None:
        agnostic_threshold = 0.5 if step == "agnostic" else 0.9
    limit = per_category
    if limit is None:
        limit = UNSUPERVISED_LIMIT if step == "unsupervised" else 10
    if limit < 1:
        raise ValueError(f"per_category must be 1 or more, got {limit}")
    check_decay(decay, sigma, linear_threshold, floor, limit)
    if step in ("both", "aware") and len(sequence_set) and not sequence_set.categories:
        raise ValueError(
            f"step {step!r} reduces within each class, and the set has no categories; give categories, or take "
            "step='agnostic' or 'unsupervised'"
        )
    scores = sequence_set.scores
    is_empty = np.array([one.is_empty for one in sequence_set.sequences], np.bool_)
    log = [Change(i, "empty", -1, -1, float(scores[i]), 0.0) for i in np.flatnonzero(is_empty).tolist()]
    rows = np.flatnonzero(~is_empty)
    packed = _packed(sequence_set, rows)
    iou = _overlaps(packed)
    if step in ("both", "agnostic"):
        result = hard_nms(scores[rows], iou, threshold=agnostic_threshold, floor=agnostic_floor)
        log += _suppressed(rows, scores, result)
        kept = np.sort(result.kept)  # the order given, for the ties of the next step
        rows = rows[kept]
        iou = _overlaps(packed.take(kept)) if callable(iou) else iou[np.ix_(kept, kept)]
    before = scores[rows, None] if step == "unsupervised" else sequence_set.category_scores[rows]
    before[before < floor] = 0.0
    after = before.copy()
    if step != "agnostic":
        log += [
            Change(int(rows[i]), "no_class", -1, -1, float(scores[rows[i]]), 0.0)
            for i in np.flatnonzero(~(before >= floor).any(axis=1)).tolist()
        ]
        for category in range(before.shape[1]):
            rescored = soft_nms(
                before[:, category],
                iou,
                decay=decay,
                sigma=sigma,
                threshold=linear_threshold,
                floor=floor,
                limit=limit,
            )
            after[:, category] = 0.0
            after[rescored.order, category] = rescored.scores
            name = -1 if step == "unsupervised" else category
            log += _lowered(rows, name, before[:, category], after[:, category], rescored, floor)
    is_left = (after > 0.0).any(axis=1) | (step == "agnostic")
    places = np.flatnonzero(is_left)
    places = places[np.argsort(-scores[rows[places]], kind="stable")]
    reduced = [
        _with_scores(sequence_set.sequences[rows[i]], after[i], is_supervised=step != "unsupervised")
        for i in places.tolist()
    ]
    tally = Counter(change.step for change in log)
    counts = ReductionCounts(
        given=len(sequence_set),
        empty=tally["empty"],
        below_agnostic_floor=tally["agnostic_floor"],
        suppressed=tally["agnostic"],
        survivors=len(rows),
        without_class=tally["no_class"],
        labels_before=int((before > 0.0).sum()),
        lowered=tally["aware"],
        below_floor=tally["floor"],
        over_limit=tally["limit"],
        labels=int((after > 0.0).sum()),
        kept=len(places),
    )
    return Reduction(replace(sequence_set, sequences=tuple(reduced)), rows[places], tuple(log), counts)


def _packed(sequence_set: SequenceSet, rows: NDArray[np.int64]) -> PackedSequences:
    video = sequence_set.video
    masks = [sequence_set.sequences[i].masks for i in rows.tolist()]
    return pack_sequences(masks, height=video.height, width=video.width, frame_count=len(video.frame_index))


def _overlaps(packed: PackedSequences) -> IouRows:
    """Return the matrix of a few sequences, or a function for rows of many, which the classes share."""
    if len(packed) <= MATRIX_LIMIT:
        return sequence_iou(packed)
    return lru_cache(maxsize=CACHED_ROWS)(lambda i: sequence_iou_row(packed, i))


def _suppressed(rows: NDArray[np.int64], scores: NDArray[np.float64], result: Suppression) -> list[Change]:
    return [
        Change(
            int(rows[place]),
            "agnostic_floor" if by == BELOW_FLOOR else "agnostic",
            -1,
            -1 if by == BELOW_FLOOR else int(rows[by]),
            float(scores[rows[place]]),
            0.0,
            None if by == BELOW_FLOOR else float(result.overlap[place]),
        )
        for place, by in enumerate(result.suppressed_by.tolist())
        if by != -1
    ]


def _lowered(
    rows: NDArray[np.int64],
    category: int,
    before: NDArray[np.float64],
    after: NDArray[np.float64],
    rescored: Rescored,
    floor: float,
) -> list[Change]:
    changes = []
    for i in np.flatnonzero((before >= floor) & (after < before)).tolist():
        reason = "aware" if after[i] > 0.0 else "floor" if rescored.final[i] < floor else "limit"
        by = int(rescored.lowered_by[i])
        survivor, overlap = (-1, None) if by == -1 else (int(rows[by]), float(rescored.overlap[i]))
        scores = float(before[i]), float(after[i])
        changes.append(Change(int(rows[i]), reason, category, survivor, *scores, overlap))
    return changes


def _with_scores(sequence: MaskSequence, after: NDArray[np.float64], *, is_supervised: bool) -> MaskSequence:
    if is_supervised:
        classes = np.flatnonzero(after)
        category = int(classes[0]) if len(classes) == 1 else -1
        return replace(sequence, category_scores=after, category=category)
    by_class = np.zeros(len(sequence.category_scores))
    best = int(np.argmax(sequence.category_scores)) if len(by_class) else -1
    by_class[best : best + 1] = after[0]
    return replace(sequence, category_scores=by_class, score=float(after[0]), category=best)

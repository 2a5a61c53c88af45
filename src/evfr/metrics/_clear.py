"""The CLEAR counts of tracking: matches, misses, false positives, switches of identity, fragments."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from evfr._core.lazy import require

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["ClearCounts", "clear_counts"]

_KEEP = 1000.0
"""What staying with the partner of the frame before is worth: more than any sum of IoU over a frame's objects."""
_SLACK = float(np.finfo(np.float64).eps)


class ClearCounts(NamedTuple):
    """Counts over a sequence; ``iou_sum`` over its matches, tracks matched in > 80 % and < 20 % of their frames."""

    matches: int
    misses: int
    false_positives: int
    id_switches: int
    fragments: int
    iou_sum: float
    mostly_tracked: int
    mostly_lost: int


def clear_counts(
    true_ids: Sequence[Sequence[int]],
    predicted_ids: Sequence[Sequence[int]],
    similarity: Sequence[NDArray[np.float64]],
    threshold: float,
) -> ClearCounts:
    """Match each frame's objects and count (CLEAR MOT, Bernardin & Stiefelhagen 2008), with TrackEval's rules.

    Pairs of the frame before stay together where they still overlap by ``threshold``; the others are assigned so that
    the sum of the IoU is largest. A frame in which one side has no objects leaves the pairs as they were.

    Parameters
    ----------
    true_ids, predicted_ids : sequence of sequence of int
        Tracks of each frame.
    similarity : sequence of (N, M) float64
        IoU of each frame's true and predicted objects.
    threshold : float
        The least IoU of a match.

    Returns
    -------
    ClearCounts
        Counts.

    Raises
    ------
    MissingExtraError
        If SciPy is not installed.
    """
    assign: Any = require("scipy.optimize", extra="metrics").linear_sum_assignment
    pairs: dict[int, int] = {}
    latest: dict[int, int] = {}
    present: Counter[int] = Counter()
    matched: Counter[int] = Counter()
    starts: Counter[int] = Counter()
    switches, iou_sum = 0, 0.0
    for true, predicted, iou in zip(true_ids, predicted_ids, similarity, strict=True):
        present.update(true)
        if not len(true) or not len(predicted):
            continue
        stays = np.array([[pairs.get(t) == p for p in predicted] for t in true])
        gain = np.where(iou >= threshold - _SLACK, iou + _KEEP * stays, 0.0)
        rows, columns = assign(gain, maximize=True)
        taken = gain[rows, columns] > _SLACK
        now = {
            true[i]: predicted[j] for i, j in zip(rows[taken].tolist(), columns[taken].tolist(), strict=True)
        }
        iou_sum += float(iou[rows[taken], columns[taken]].sum())
        switches += sum(t in latest and latest[t] != p for t, p in now.items())
        starts.update(t for t in now if t not in pairs)
        matched.update(now.keys())
        latest.update(now)
        pairs = now
    shares = [matched[track] / present[track] for track in present]
    matches = matched.total()
    return ClearCounts(
        matches,
        present.total() - matches,
        sum(map(len, predicted_ids)) - matches,
        switches,
        starts.total() - len(starts),
        iou_sum,
        sum(share > 0.8 for share in shares),
        sum(share < 0.2 for share in shares),
    )

"""Split an interval by tracks, carry each part by what suits it, and join the results."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields, replace
from typing import TYPE_CHECKING

import numpy as np

from evfr._core.annotations import FrameLabels
from evfr.propagation._interval import SIDES, Carried, Evidence, Interval, assemble, label_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from evfr._core.masks import Rle

__all__ = ["box_only", "join", "only_tracks"]


def box_only(interval: Interval) -> NDArray[np.bool_]:
    """Return (K,) bool: the tracks that have a box but no mask at either end."""
    out = np.zeros(len(interval.track_ids), np.bool_)
    for k in range(len(out)):
        given = [label for side in SIDES if (label := label_of(interval, side, k)) is not None]
        has_box = any(not np.isnan(box).any() for _, box in given)
        out[k] = has_box and all(mask is None for mask, _ in given)
    return out


def only_tracks(interval: Interval, tracks: NDArray[np.int64]) -> Interval:
    """Return the interval with the labels of some tracks; an end without any of them stays a labelled end."""

    def chosen(labels: FrameLabels | None) -> FrameLabels | None:
        if labels is None:
            return None
        rows = np.flatnonzero(np.isin(labels.track_ids, tracks))
        return FrameLabels(
            frame_index=labels.frame_index,
            track_ids=labels.track_ids[rows],
            category_ids=labels.category_ids[rows],
            boxes_xyxy=labels.boxes_xyxy[rows],
            masks=tuple(labels.masks[row] for row in rows),
        )

    return replace(interval, left=chosen(interval.left), right=chosen(interval.right))


def join(interval: Interval, parts: Sequence[Carried]) -> Carried:
    """Put carried parts of an interval together, tracks ascending.

    Parameters
    ----------
    interval : Interval
        The whole.
    parts : sequence of Carried
        Each track in exactly one.

    Returns
    -------
    Carried
        Of all tracks.
    """
    tracks = interval.track_ids
    shape = (len(interval), len(tracks))
    masks: list[list[Rle | None]] = [[None] * len(tracks) for _ in range(len(interval))]
    boxes, score = np.full((*shape, 4), np.nan), np.full(shape, np.nan)
    evidence = {column.name: np.full(shape, np.nan) for column in fields(Evidence)}
    for part in parts:
        columns = np.searchsorted(tracks, part.track_ids)
        boxes[:, columns], score[:, columns] = part.boxes_xyxy, part.score
        for name, values in evidence.items():
            values[:, columns] = getattr(part.evidence, name)
        for t, row in enumerate(part.masks):
            for k, mask in zip(columns.tolist(), row, strict=True):
                masks[t][k] = mask
    ends = [end for part in parts for end in part.ends]
    return assemble(interval, masks=masks, boxes_xyxy=boxes, score=score, evidence=evidence, ends=ends)

"""Carry masks as masks and boxes as boxes where an interval has both."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from evfr._core.annotations import FrameLabels
from evfr.propagation._interval import SIDES, Carried, Evidence, Interval, label_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["carry_kinds"]


def carry_kinds(
    interval: Interval, masks: Callable[[Interval], Carried], boxes: Callable[[Interval], Carried]
) -> Carried:
    """Give the tracks with a mask to one method and those with boxes only to another.

    Parameters
    ----------
    interval : Interval
        Frames and labels of both kinds.
    masks : callable
        ``(interval) -> Carried`` for the tracks that have a mask at either end.
    boxes : callable
        The same for all others.

    Returns
    -------
    Carried
        All tracks, ids ascending.
    """
    tracks = interval.track_ids
    has_mask = np.array(
        [
            any((label_of(interval, side, k) or (None,))[0] is not None for side in SIDES)
            for k in range(len(tracks))
        ],
        np.bool_,
    )
    if has_mask.all():
        return masks(interval)
    if not has_mask.any():
        return boxes(interval)
    parts = [
        masks(_only(interval, tracks[has_mask])),
        boxes(_only(interval, tracks[~has_mask])),
    ]
    return _merged(parts)


def _only(interval: Interval, tracks: NDArray[np.int64]) -> Interval:
    """Return the interval with the labels of some tracks; a frame that has none of them stays labelled."""

    def part(labels: FrameLabels | None) -> FrameLabels | None:
        if labels is None:
            return None
        rows = np.flatnonzero(np.isin(labels.track_ids, tracks))
        return FrameLabels(
            labels.frame_index,
            labels.track_ids[rows],
            labels.category_ids[rows],
            labels.boxes_xyxy[rows],
            tuple(labels.masks[row] for row in rows),
        )

    return dataclasses.replace(interval, left=part(interval.left), right=part(interval.right))


def _merged(parts: Sequence[Carried]) -> Carried:
    order = np.argsort(np.concatenate([part.track_ids for part in parts]))

    def join(columns: Sequence[NDArray[np.float64]]) -> NDArray[np.float64]:
        return np.concatenate(columns, axis=1)[:, order]

    return Carried(
        np.concatenate([part.track_ids for part in parts])[order],
        np.concatenate([part.category_ids for part in parts])[order],
        tuple(
            tuple([mask for part in parts for mask in part.masks[t]][k] for k in order)
            for t in range(len(parts[0].masks))
        ),
        join([part.boxes_xyxy for part in parts]),
        join([part.score for part in parts]),
        Evidence(
            **{
                field.name: join([getattr(part.evidence, field.name) for part in parts])
                for field in dataclasses.fields(Evidence)
            }
        ),
        tuple(sorted((end for part in parts for end in part.ends), key=lambda end: (end.track_id, end.side))),
    )

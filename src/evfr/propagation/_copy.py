"""Copy the labels of the nearest labelled frame."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from evfr.propagation._interval import SIDES, Carried, Interval, assemble, label_of

if TYPE_CHECKING:
    from evfr._core.masks import Rle
    from evfr._core.motion import StepFieldMaker

__all__ = ["copy"]


def copy(interval: Interval, *, steps: Mapping[str, StepFieldMaker] | None = None) -> Carried:
    """Copy masks and boxes from the nearest labelled frame: the floor that every method must beat.

    Parameters
    ----------
    interval : Interval
        Frames and the labels at their ends; the pictures are not read.
    steps : mapping of str to StepFieldMaker, or None
        Not used.

    Returns
    -------
    Carried
        All objects of the nearer end, of the left one where both are as near, and never across a cut or a damaged
        frame.
    """
    count, tracks = len(interval), interval.track_ids
    masks: list[list[Rle | None]] = [[None] * len(tracks) for _ in range(count)]
    boxes = np.full((count, len(tracks), 4), np.nan)
    distance = np.full((count, len(tracks)), np.nan)
    labels = {side: [label_of(interval, side, k) for k in range(len(tracks))] for side in SIDES}
    places = {side: interval.reach(side)[0] for side in SIDES}
    for t in range(count):
        reaching = [
            (abs(int(interval.frame_index[t] - interval.frame_index[places[side][0]])), side)
            for side in SIDES
            if t in places[side]
        ]
        if not reaching:
            continue
        far, side = min(reaching, key=lambda pair: pair[0])
        for k, label in enumerate(labels[side]):
            if label is not None:
                masks[t][k], boxes[t, k] = label
                distance[t, k] = far
    return assemble(interval, masks=masks, boxes_xyxy=boxes, evidence={"distance": distance})

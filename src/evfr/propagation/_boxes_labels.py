"""What the labels at the ends of an interval say about boxes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from evfr.propagation._interval import SIDES, Interval, Side, label_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["departures", "is_left_nearer", "is_whole", "label_boxes"]


def label_boxes(interval: Interval, side: Side) -> NDArray[np.float64]:
    """Return the boxes that one end gives to each track.

    Parameters
    ----------
    interval : Interval
        The interval.
    side : {"left", "right"}
        Which end.

    Returns
    -------
    (K, 4) float64
        Tight boxes of masks where a label has no box; NaN where the end does not label the track, or the mask is empty.
    """
    absent = (None, np.full(4, np.nan))
    rows = [(label_of(interval, side, k) or absent)[1] for k in range(len(interval.track_ids))]
    return np.array(rows, np.float64).reshape(-1, 4)


def is_left_nearer(interval: Interval) -> NDArray[np.bool_]:
    """Return for each frame whether the first frame is nearer than the last one, or as near.

    Parameters
    ----------
    interval : Interval
        The interval.

    Returns
    -------
    (T,) bool
        By frame index.
    """
    index = interval.frame_index
    nearer: NDArray[np.bool_] = index - index[0] <= index[-1] - index
    return nearer


def is_whole(interval: Interval) -> bool:
    """Return whether both ends are labelled, and reach each other without a cut or a damaged frame between.

    Parameters
    ----------
    interval : Interval
        The interval.

    Returns
    -------
    bool
        True where boxes may be carried from one label to the other.
    """
    return all(len(interval.reach(side)[0]) == len(interval) for side in SIDES)


def departures(interval: Interval) -> dict[tuple[int, Side], int]:
    """Return where tracks are taken to have left that one labelled end names and the other one does not.

    Parameters
    ----------
    interval : Interval
        The interval.

    Returns
    -------
    dict
        By track row and side of the label: the first position, seen from there, that is nearer to the labelled frame
        without the track. If an object may leave at any time alike, it is more likely there before than not, and less
        likely after. Empty where a cut or a damaged frame lies between: the other end then says nothing of this shot.
    """
    if not is_whole(interval):
        return {}
    index = interval.frame_index
    is_named = {side: ~np.isnan(label_boxes(interval, side)).any(axis=1) for side in SIDES}
    found: dict[tuple[int, Side], int] = {}
    for side, other in (SIDES, SIDES[::-1]):
        positions, _ = interval.reach(side)
        beyond = [
            t for t in positions if 2 * abs(int(index[t] - index[positions[0]])) > int(index[-1] - index[0])
        ]
        for k in np.flatnonzero(is_named[side] & ~is_named[other]).tolist():
            if beyond:
                found[k, side] = beyond[0]
    return found

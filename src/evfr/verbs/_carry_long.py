"""Carry labels through a stretch too long to be held at once: in pieces, each from the nearer label."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from evfr._core.annotations import FrameLabels
    from evfr.propagation import Carried
    from evfr.verbs._carry_frames import Stretch

__all__ = ["PIECE", "Piece", "carry_long", "is_long", "labels_of_row"]

PIECE = 300
"""Frames of a stretch that are carried at once; a propagator keeps motion for each of them."""


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class Piece:
    """Say which frames to carry from labels at one end.

    Attributes
    ----------
    first, last : int
        Frame indices, both included.
    side : {"left", "right"}
        The end that the labels are at.
    labels : FrameLabels
        Of that end: a person's, or what the piece before carried there.
    """

    first: int
    last: int
    side: Any
    labels: FrameLabels


def is_long(stretch: Stretch) -> bool:
    """Return whether a stretch is carried in pieces."""
    return len(stretch) > PIECE + 1


def carry_long(
    stretch: Stretch,
    left: FrameLabels | None,
    right: FrameLabels | None,
    carry: Callable[[Piece], Carried],
) -> Carried:
    """Carry from each labelled end to the middle, or through where one end alone is labelled, piece by piece.

    Parameters
    ----------
    stretch : Stretch
        Which frames.
    left, right : FrameLabels or None
        Labels of its ends.
    carry : callable
        ``(piece) -> Carried`` of its frames.

    Returns
    -------
    Carried
        Of all frames of the stretch. ``distance`` counts from the label of the end, not from a piece before.

    Notes
    -----
    Where a stretch is this long the farther label says little about a frame: fusion would weigh it by 1 / distance.
    """
    import numpy as np

    from evfr.propagation import Carried, Evidence

    given = [labels for labels in (left, right) if labels is not None]
    tracks, rows = np.unique(np.concatenate([labels.track_ids for labels in given]), return_index=True)
    categories = np.concatenate([labels.category_ids for labels in given])[rows]
    shape = (len(stretch), len(tracks))
    masks: list[list[Any]] = [[None] * len(tracks) for _ in range(len(stretch))]
    boxes = np.full((*shape, 4), np.nan)
    columns = {field.name: np.full(shape, np.nan) for field in dataclasses.fields(Evidence)}
    columns["score"] = np.full(shape, np.nan)
    ends: list[Any] = []
    middle = (stretch.first + stretch.last) // 2
    runs = []
    if left is not None:
        runs.append(("left", left, stretch.first, stretch.last if right is None else middle))
    if right is not None:
        runs.append(("right", right, stretch.first if left is None else middle + 1, stretch.last))
    for side, labels, first, last in runs:
        for piece, part in _run(side, labels, first, last, carry):
            own = slice(piece.first - stretch.first, piece.last - stretch.first + 1)
            places = np.searchsorted(tracks, part.track_ids)
            # The end that a piece starts from is the last frame of the piece before, and has its values already.
            is_start = piece.labels is labels
            rows_of_part = np.arange(len(part.masks))
            if not is_start:
                rows_of_part = rows_of_part[1:] if side == "left" else rows_of_part[:-1]
            there = np.arange(own.start, own.stop)[rows_of_part]
            for row, place in zip(rows_of_part.tolist(), there.tolist(), strict=True):
                for column, mask in zip(places.tolist(), part.masks[row], strict=True):
                    masks[place][column] = mask
            grid = np.ix_(there, places)
            boxes[grid] = part.boxes_xyxy[rows_of_part]
            columns["score"][grid] = part.score[rows_of_part]
            gone = piece.first - stretch.first if side == "left" else stretch.last - piece.last
            for field in dataclasses.fields(Evidence):
                values = getattr(part.evidence, field.name)[rows_of_part]
                columns[field.name][grid] = values + gone if field.name == "distance" else values
            ends += part.ends
    score = columns.pop("score")
    return Carried(
        tracks,
        categories,
        tuple(tuple(row) for row in masks),
        boxes,
        score,
        Evidence(**columns),
        tuple(sorted(ends, key=lambda end: (end.track_id, end.side))),
    )


def _run(
    side: Any, labels: FrameLabels, first: int, last: int, carry: Callable[[Piece], Carried]
) -> Iterator[tuple[Piece, Carried]]:
    at = first if side == "left" else last
    while first <= at <= last and len(labels):
        far = min(at + PIECE, last) if side == "left" else max(at - PIECE, first)
        piece = Piece(min(at, far), max(at, far), side, labels)
        part = carry(piece)
        yield piece, part
        if far == (last if side == "left" else first):
            return
        at = far
        labels = labels_of_row(part, -1 if side == "left" else 0, at)


def labels_of_row(part: Carried, row: int, frame: int, kept: NDArray[np.bool_] | None = None) -> FrameLabels:
    """Return what was carried to one frame as labels of it, so that they can be carried on.

    Parameters
    ----------
    part : Carried
        What was carried.
    row : int
        Position of the frame in it.
    frame : int
        Its number in the video.
    kept : (K,) bool or None
        Which tracks to carry on; None is all.

    Returns
    -------
    FrameLabels
        Objects that are there; those that were lost before are left out.
    """
    import numpy as np

    from evfr._core.annotations import FrameLabels

    is_there = part.is_present[row] if kept is None else part.is_present[row] & kept
    there: NDArray[np.int64] = np.flatnonzero(is_there)
    has_mask = [part.masks[row][k] is not None for k in there]
    boxes = part.boxes_xyxy[row, there].copy()
    boxes[has_mask] = np.nan
    return FrameLabels(
        frame,
        part.track_ids[there],
        part.category_ids[there],
        boxes,
        tuple(part.masks[row][k] for k in there),
    )

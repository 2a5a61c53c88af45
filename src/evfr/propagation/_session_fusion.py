"""Fuse the soft masks of sessions: by distance over time, by competition over tracks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from evfr._core.masks import Rle, iou
from evfr.propagation._interval import SIDES, Interval, Side

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["SoftMask", "area_jumps", "compete"]

_FLOOR = 1 / 512
"""Probabilities below are not kept: half a grey level of a picture of the soft mask."""


@dataclass(frozen=True, slots=True)
class SoftMask:
    """The part of a soft mask that is not nothing."""

    top: int
    left: int
    values: NDArray[np.float16]

    @classmethod
    def of(cls, values: NDArray[np.float32]) -> SoftMask:
        rows = np.flatnonzero((values > _FLOOR).any(axis=1))
        columns = np.flatnonzero((values > _FLOOR).any(axis=0))
        if not len(rows):
            return cls(0, 0, np.zeros((0, 0), np.float16))
        top, left = int(rows[0]), int(columns[0])
        part = values[top : int(rows[-1]) + 1, left : int(columns[-1]) + 1]
        return cls(top, left, part.astype(np.float16))

    def dense(self, height: int, width: int) -> NDArray[np.float32]:
        out = np.zeros((height, width), np.float32)
        h, w = self.values.shape
        out[self.top : self.top + h, self.left : self.left + w] = self.values
        return out


def compete(
    interval: Interval, soft: Mapping[Side, Sequence[Mapping[int, SoftMask]]]
) -> tuple[list[list[Rle | None]], NDArray[np.float64], NDArray[np.float64]]:
    """Fuse both directions by distance, give each pixel to the strongest, and measure."""
    count, tracks = len(interval), interval.track_ids.tolist()
    size = interval.height, interval.width
    masks: list[list[Rle | None]] = [[None] * len(tracks) for _ in range(count)]
    score = np.full((count, len(tracks)), np.nan)
    agreement = np.full((count, len(tracks)), np.nan)
    index = interval.frame_index
    for t in range(count):
        found = {}
        for k, track in enumerate(tracks):
            given = [side for side in SIDES if track in soft[side][t]]
            parts = {side: soft[side][t][track].dense(*size) for side in given}
            if len(parts) == 2:
                share = float(index[t] - index[0]) / float(index[-1] - index[0])
                found[k] = (1 - share) * parts["left"] + share * parts["right"]
                hard = [Rle.from_mask(parts[side] > 0.5) for side in SIDES]
                agreement[t, k] = iou(hard[0], hard[1])
            elif parts:
                found[k] = parts[given[0]]
        if not found:
            continue
        # The smaller one is in front where two are equally sure, so that the numbers of tracks decide nothing.
        rows = sorted(found, key=lambda k: float(found[k].sum(dtype=np.float64)))
        stack = np.stack([found[k] for k in rows])
        background = np.prod(1 - stack, axis=0)
        winner = np.argmax(np.concatenate([background[None], stack]), axis=0)
        for place, k in enumerate(rows):
            inside = winner == place + 1
            if inside.any():
                masks[t][k] = Rle.from_mask(inside)
                score[t, k] = float(np.clip(stack[place][inside].mean(), 0, 1))
    return masks, score, agreement


def area_jumps(
    interval: Interval,
    masks: Sequence[Sequence[Rle | None]],
    keys: Mapping[Side, Mapping[int, NDArray[np.bool_]]],
) -> NDArray[np.float64]:
    """Return |log| of the ratio of each mask's area to that of the neighbour towards the nearest label."""
    count, tracks = len(interval), interval.track_ids.tolist()
    area = np.array([[0 if mask is None else mask.area for mask in row] for row in masks], np.float64)
    for side, at in zip(SIDES, (0, count - 1), strict=True):
        if interval.labels(side) is not None:
            area[at] = [keys[side][track].sum() if track in keys[side] else 0 for track in tracks]
    out = np.full((count, len(tracks)), np.nan)
    reach = {side: interval.reach(side)[0] for side in SIDES}
    for k, track in enumerate(tracks):
        for t in range(count):
            near = [side for side in SIDES if track in keys[side] and t in reach[side]]
            if not near:
                continue
            is_left = near[0] == "left" and (len(near) == 1 or 2 * t <= count - 1)
            other = t - 1 if is_left else t + 1
            if 0 <= other < count and area[t, k] > 0 and area[other, k] > 0:
                out[t, k] = abs(float(np.log(area[t, k] / area[other, k])))
    return out

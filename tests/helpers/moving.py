"""Draw clips of moving objects whose masks are known exactly, with occlusions, cuts and pictures without any object."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from evfr._core.annotations import FrameLabels
from evfr._core.masks import Rle
from evfr.propagation import Interval

__all__ = ["Mover", "draw", "interval_of", "labels_of", "reversed_interval", "texture"]


@dataclass(frozen=True)
class Mover:
    """Say what one object does: an ellipse of ``radii`` (y, x) at ``start`` (y, x), moving ``step`` px a frame."""

    start: tuple[float, float]
    step: tuple[float, float]
    radii: tuple[float, float] = (14.0, 20.0)
    seed: int = 1
    frames: range = range(10**6)


def texture(seed: int, height: int, width: int, low: int = 40, high: int = 215) -> np.ndarray:
    """Return a (height, width, 3) uint8 picture with structure at several scales."""
    rng = np.random.default_rng(seed)
    out = np.zeros((height, width, 3), np.float32)
    for scale in (3, 8, 24):
        small = rng.normal(size=(height // scale + 2, width // scale + 2, 3)).astype(np.float32)
        out += scale**0.5 * cv2.resize(small, (width, height), interpolation=cv2.INTER_CUBIC)
    out = (out - out.min()) / (out.max() - out.min())
    return (low + out * (high - low)).astype(np.uint8)


def draw(
    movers: Sequence[Mover],
    count: int,
    size: tuple[int, int] = (96, 128),
    *,
    background: int = 0,
    cut: int | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Return (T, H, W, 3) uint8 pictures and (T, K, H, W) bool visible masks; later movers are in front.

    Each object carries its own texture along, so that its motion can be seen. From ``cut`` on the scene is another.
    """
    height, width = size
    frames = np.empty((count, height, width, 3), np.uint8)
    masks = np.zeros((count, len(movers), height, width), np.bool_)
    y, x = np.mgrid[:height, :width].astype(np.float32)
    for t in range(count):
        is_after = cut is not None and t >= cut
        frames[t] = texture(background + 100 * is_after, height, width)
        for k, mover in enumerate(movers):
            if t not in mover.frames:
                continue
            cy, cx = (float(mover.start[axis] + t * mover.step[axis]) for axis in (0, 1))
            inside = ((y - cy) / mover.radii[0]) ** 2 + ((x - cx) / mover.radii[1]) ** 2 <= 1.0
            own = texture(mover.seed + 1000, 2 * height, 2 * width, 0, 255)
            picture = cv2.remap(own, x - cx + width, y - cy + height, cv2.INTER_LINEAR)
            frames[t][inside] = picture[inside]
            masks[t, :k] &= ~inside
            masks[t, k] = inside
    return frames, masks


def labels_of(
    masks: np.ndarray, frame_index: int, ids: Sequence[int], categories: Sequence[int] | None = None
) -> FrameLabels:
    """Return the labels of one frame from (K, H, W) masks; objects without a pixel are left out."""
    rows = [k for k in range(len(ids)) if masks[k].any()]
    return FrameLabels(
        frame_index=frame_index,
        track_ids=np.array([ids[k] for k in rows], np.int64),
        category_ids=np.array([(categories or [1] * len(ids))[k] for k in rows], np.int64),
        boxes_xyxy=np.full((len(rows), 4), np.nan),
        masks=tuple(Rle.from_mask(masks[k]) for k in rows),
    )


def interval_of(
    frames: np.ndarray,
    masks: np.ndarray,
    *,
    first: int = 0,
    sides: Sequence[str] = ("left", "right"),
    ids: Sequence[int] | None = None,
    cuts: tuple[int, ...] = (),
    is_usable: np.ndarray | None = None,
) -> Interval:
    """Return an interval over all frames with true labels at its ends."""
    ids = range(1, masks.shape[1] + 1) if ids is None else ids
    count = len(frames)
    return Interval(
        frames=frames,
        frame_index=np.arange(first, first + count),
        left=labels_of(masks[0], first, ids) if "left" in sides else None,
        right=labels_of(masks[-1], first + count - 1, ids) if "right" in sides else None,
        cuts=cuts,
        is_usable=np.ones(count, np.bool_) if is_usable is None else is_usable,
    )


def reversed_interval(interval: Interval) -> Interval:
    """Return the interval played backwards, its frames numbered from the same first index."""
    first, last = int(interval.frame_index[0]), int(interval.frame_index[-1])

    def moved(labels: FrameLabels | None, at: int) -> FrameLabels | None:
        if labels is None:
            return None
        return FrameLabels(at, labels.track_ids, labels.category_ids, labels.boxes_xyxy, labels.masks)

    return Interval(
        frames=[interval.frames[t] for t in range(len(interval) - 1, -1, -1)],
        frame_index=(first + last - interval.frame_index)[::-1].copy(),
        left=moved(interval.right, first),
        right=moved(interval.left, last),
        cuts=tuple(len(interval) - c for c in reversed(interval.cuts)),
        is_usable=interval.is_usable[::-1].copy(),
    )

"""Small drawn clips with boxes that are known: a textured patch that moves and grows over a textured ground."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import cv2
import numpy as np

from evfr._core.annotations import FrameLabels
from evfr._core.masks import Rle
from evfr.propagation import Interval

HEIGHT, WIDTH = 120, 160


def texture(seed: int, height: int, width: int) -> np.ndarray:
    """Draw coloured noise with structures of several sizes, (height, width, 3) uint8."""
    rng = np.random.default_rng(seed)
    picture = np.zeros((height, width, 3), np.float32)
    for scale in (3, 6, 12):
        small = rng.normal(size=(height // scale + 3, width // scale + 3, 3)).astype(np.float32)
        picture += cv2.resize(small, (width, height), interpolation=cv2.INTER_CUBIC)
    return np.clip(128 + 45 * picture, 0, 255).astype(np.uint8)


def paste(frame: np.ndarray, patch: np.ndarray, box: Sequence[float]) -> np.ndarray:
    """Draw a patch stretched onto a box, to a fraction of a pixel; parts outside the picture are cut off."""
    x0, y0, x1, y1 = box
    height, width = patch.shape[:2]
    sx, sy = (x1 - x0) / width, (y1 - y0) / height
    matrix = np.array([[sx, 0.0, x0 + sx / 2 - 0.5], [0.0, sy, y0 + sy / 2 - 0.5]])
    size = (frame.shape[1], frame.shape[0])
    moved = cv2.warpAffine(patch, matrix, size, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    inside = np.zeros(frame.shape[:2], bool)
    rows, columns = np.arange(frame.shape[0]) + 0.5, np.arange(frame.shape[1]) + 0.5
    inside[np.ix_((rows >= y0) & (rows < y1), (columns >= x0) & (columns < x1))] = True
    out = frame.copy()
    out[inside] = moved[inside]
    return out


def clip(
    paths: Mapping[int, np.ndarray], count: int, *, height: int = HEIGHT, width: int = WIDTH, seed: int = 0
) -> list[np.ndarray]:
    """Draw the objects of several paths, (count, 4) boxes each, NaN where absent, in ascending order of track."""
    ground = texture(1000 + seed, height, width)
    frames = [ground.copy() for _ in range(count)]
    for track, path in sorted(paths.items()):
        patch = texture(seed + track, 40, 40)
        frames = [
            frame if np.isnan(box).any() else paste(frame, patch, box)
            for frame, box in zip(frames, path, strict=True)
        ]
    return frames


def labels(
    frame_index: int, boxes: Mapping[int, Sequence[float]], masks: Mapping[int, Rle] | None = None
) -> FrameLabels:
    """Label one frame, category 1 + track."""
    tracks = sorted(boxes)
    return FrameLabels(
        frame_index,
        np.array(tracks, np.int64),
        np.array(tracks, np.int64) + 1,
        np.array([boxes[track] for track in tracks], np.float64).reshape(-1, 4),
        tuple((masks or {}).get(track) for track in tracks),
    )


def interval(
    paths: Mapping[int, np.ndarray],
    *,
    frames: list[np.ndarray] | None = None,
    sides: Sequence[str] = ("left", "right"),
    cuts: tuple[int, ...] = (),
    damaged: Sequence[int] = (),
    first: int = 0,
) -> Interval:
    """Label the ends of a clip with what its paths say, and nothing where they are NaN."""
    count = len(next(iter(paths.values())))
    index = np.arange(first, first + count)
    usable = np.ones(count, bool)
    usable[list(damaged)] = False
    ends = {
        side: labels(
            int(index[at]), {k: path[at] for k, path in paths.items() if not np.isnan(path[at]).any()}
        )
        for side, at in (("left", 0), ("right", -1))
        if side in sides
    }
    return Interval(
        frames if frames is not None else clip(paths, count),
        index,
        left=ends.get("left"),
        right=ends.get("right"),
        cuts=cuts,
        is_usable=usable,
    )


def reversed_interval(given: Interval) -> Interval:
    """Play an interval backwards."""
    count, last = len(given), int(given.frame_index[-1] + given.frame_index[0])

    def turned(old: FrameLabels | None) -> FrameLabels | None:
        if old is None:
            return None
        return FrameLabels(last - old.frame_index, old.track_ids, old.category_ids, old.boxes_xyxy, old.masks)

    return Interval(
        list(given.frames)[::-1],
        last - given.frame_index[::-1],
        left=turned(given.right),
        right=turned(given.left),
        cuts=tuple(sorted(count - cut for cut in given.cuts)),
        is_usable=given.is_usable[::-1].copy(),
    )


def curve(count: int, *, side: float = 40.0, bend: float = 18.0, growth: float = 1.0) -> np.ndarray:
    """Return boxes on a curved path that a straight line misses by up to ``bend`` pixels, growing on the way."""
    way = np.linspace(0.0, 1.0, count)
    centre = np.stack([40 + 70 * way, 70 - bend * 4 * way * (1 - way)], axis=1)
    half = side / 2 * growth ** way[:, None]
    return np.concatenate([centre - half, centre + half], axis=1)

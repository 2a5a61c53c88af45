"""Draw clips of moving textured squares, and a detector that knows where they are."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from evfr._core.masks import Rle
from evfr.models import Detections
from helpers.clips import write_clip
from helpers.moving import Mover, draw

__all__ = ["CLASSES", "SquareDetector", "drawn_clip"]

CLASSES = ("car", "bus")


class SquareDetector:
    """Find the objects of a drawn clip by looking up which of its pictures is the most like the one given.

    Parameters
    ----------
    frames : (T, H, W, 3) uint8
        The clip as drawn.
    masks : (T, K, H, W) bool
        Its objects; object k is of class k % 2.
    scores : sequence of K float
        Score of each object in its class; the other class has a tenth of it.
    """

    def __init__(self, frames: np.ndarray, masks: np.ndarray, scores: Sequence[float] = ()) -> None:
        self.masks = masks
        self.scores = list(scores) or [0.9 - 0.1 * k for k in range(masks.shape[1])]
        self.small = frames[:, ::4, ::4].astype(np.int16)
        self.seen: list[int] = []
        self.raises_at: int | None = None
        self.has_masks = True

    def frame_of(self, image: np.ndarray) -> int:
        """Return the frame whose picture is the nearest."""
        errors = np.abs(self.small - image[::4, ::4].astype(np.int16)).mean(axis=(1, 2, 3))
        return int(errors.argmin())

    def __call__(self, image: np.ndarray) -> Detections:
        t = self.frame_of(image)
        self.seen.append(t)
        if t == self.raises_at:
            raise RuntimeError("out of luck")
        boxes, scores, classes = [], [], []
        for k, mask in enumerate(self.masks[t]):
            if mask.any():
                y, x = np.nonzero(mask)
                boxes.append([x.min(), y.min(), x.max() + 1, y.max() + 1])
                scores.append(self.scores[k])
                classes.append(k % 2)
        by_class = np.zeros((len(boxes), 2))
        for row, (score, which) in enumerate(zip(scores, classes, strict=True)):
            by_class[row] = score / 10
            by_class[row, which] = score
        return Detections(
            np.array(boxes, float).reshape(-1, 4),
            np.array(scores, float),
            np.array(classes, np.int64),
            by_class,
            tuple(Rle.from_mask(mask) if self.has_masks else None for mask in self.masks[t] if mask.any()),
        )


def drawn_clip(
    folder: Path, movers: Sequence[Mover], count: int, *, cut: int | None = None, name: str = "clip.mp4"
) -> tuple[Path, SquareDetector, np.ndarray]:
    """Return a clip, a detector for it and its true masks."""
    frames, masks = draw(movers, count, cut=cut)
    path = write_clip(folder / name, frames, options={"crf": "16"})
    return path, SquareDetector(frames, masks), masks

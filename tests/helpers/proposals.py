"""A drawn set of redundant sequence proposals whose truth is known, described before anything was measured on it.

What is drawn, for each of ``n_videos`` videos (6) of ``n_frames`` frames (12) of 160x96 pixels:

- 3 to 5 objects: ellipses with half axes of 8 to 24 px that move in a straight line by up to 3 px a frame, of a class
  drawn from 8. A third of them enters late or leaves early, by up to a third of the video. Masks may overlap.
- Each object is proposed 3 to 6 times, once from each of so many key frames, as detection on key frames and
  propagation do. A proposal starts off by N(0, 1) px and N(0, 0.08) in the logarithm of each axis, and its centre
  drifts by N(0, 0.7) px a frame away from its key frame.
- Its scores: N(.7, .15) for the true class, N(.35, .2) for the class that this one is mistaken for (the next one), at
  most .08 for each of the others; in one proposal of five the two are exchanged. All are cut to [0, .99], and what is
  below .01 is 0.
- 4 distractors: ellipses that move where no object is meant to be, with a score in [.1, .5] of one class.

Nothing here was chosen by looking at a score.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from evfr._core.annotations import AnnotatedVideo, Category, ObjectRow, VideoAnnotations
from evfr._core.masks import Rle
from evfr._core.sequences import MaskSequence, Provenance, SequenceSet

__all__ = ["CLASSES", "Drawn", "draw_proposals"]

CLASSES = ("ape", "bear", "cat", "deer", "eagle", "fox", "goose", "hare")
_SIZE = (96, 160)


@dataclass(frozen=True)
class Drawn:
    """Hold the truth (one track an object) and the raw proposals of each video, in the order of the videos.

    ``object_of`` has the row of the true object for each proposal of each video, -1 for a distractor.
    """

    truth: VideoAnnotations
    proposals: tuple[SequenceSet, ...]
    object_of: tuple[tuple[int, ...], ...]


@dataclass(frozen=True)
class _Object:
    centre: NDArray[np.float64]  # (T, 2) x, y
    axes: NDArray[np.float64]  # (2,)
    is_there: NDArray[np.bool_]  # (T,)
    column: int


def draw_proposals(
    seed: int = 0, *, n_videos: int = 6, n_frames: int = 12, size: tuple[int, int] = _SIZE
) -> Drawn:
    """Draw videos with objects, and redundant proposals of them; the same seed gives the same set."""
    rng = np.random.default_rng(seed)
    categories = tuple(Category(column + 1, name) for column, name in enumerate(CLASSES))
    videos, rows, sets, origins = [], [], [], []
    for number in range(n_videos):
        video = AnnotatedVideo(f"v{number}", size[1], size[0], np.arange(n_frames))
        objects = [_object(rng, n_frames, size) for _ in range(rng.integers(3, 6))]
        for track, item in enumerate(objects, 1):
            for t, mask in enumerate(_masks(item.centre, item.axes, item.is_there, size)):
                if mask is not None:
                    rows.append(ObjectRow(video.video_id, t, item.column + 1, track, mask=mask))
        found, of = [], []
        for row, item in enumerate(objects):
            times = np.flatnonzero(item.is_there)
            for key in rng.choice(times, min(int(rng.integers(3, 7)), len(times)), replace=False):
                found.append(_proposal(rng, item, int(key), size, len(found)))
                of.append(row)
        for _ in range(4):
            found.append(_distractor(rng, n_frames, size, len(found)))
            of.append(-1)
        order = rng.permutation(len(found))
        videos.append(video)
        sets.append(SequenceSet(video, categories, tuple(found[place] for place in order)))
        origins.append(tuple(of[place] for place in order))
    return Drawn(VideoAnnotations.build(videos, categories, rows), tuple(sets), tuple(origins))


def _object(rng: np.random.Generator, n_frames: int, size: tuple[int, int]) -> _Object:
    height, width = size
    start = rng.uniform((20, 20), (width - 20, height - 20))
    step = rng.uniform(-3, 3, 2)
    time = np.arange(n_frames)
    centre = start + step * (time - n_frames / 2)[:, None]
    # Turned back at the borders, so that nothing leaves the picture for good.
    for axis, limit in enumerate((width, height)):
        folded = np.mod(centre[:, axis], 2 * limit)
        centre[:, axis] = np.where(folded > limit, 2 * limit - folded, folded)
    is_there = np.ones(n_frames, bool)
    if rng.random() < 1 / 3:
        gone = int(rng.integers(1, n_frames // 3 + 1))
        is_there[:gone] = False
        is_there = is_there[::-1] if rng.random() < 0.5 else is_there
    return _Object(centre, rng.uniform(8, 24, 2), is_there, int(rng.integers(len(CLASSES))))


def _masks(
    centre: NDArray[np.float64],
    axes: NDArray[np.float64],
    is_there: NDArray[np.bool_],
    size: tuple[int, int],
) -> list[Rle | None]:
    y, x = np.mgrid[: size[0], : size[1]]
    found: list[Rle | None] = []
    for (cx, cy), there in zip(centre, is_there, strict=True):
        mask = ((x - cx) / axes[0]) ** 2 + ((y - cy) / axes[1]) ** 2 <= 1
        found.append(Rle.from_mask(mask) if there and mask.any() else None)
    return found


def _proposal(
    rng: np.random.Generator, item: _Object, key: int, size: tuple[int, int], number: int
) -> MaskSequence:
    n_frames = len(item.centre)
    steps = rng.normal(0, 0.7, (n_frames, 2))
    drift = np.zeros((n_frames, 2))
    drift[key:] = np.cumsum(steps[key:], axis=0) - steps[key]
    drift[:key] = np.cumsum(steps[:key][::-1], axis=0)[::-1]
    centre = item.centre + rng.normal(0, 1, 2) + drift
    axes = item.axes * np.exp(rng.normal(0, 0.08, 2))
    scores = rng.uniform(0, 0.08, len(CLASSES))
    right, wrong = rng.normal(0.7, 0.15), rng.normal(0.35, 0.2)
    if rng.random() < 0.2:
        right, wrong = wrong, right
    scores[item.column] = right
    scores[(item.column + 1) % len(CLASSES)] = wrong
    return _sequence(_masks(centre, axes, item.is_there, size), scores, key, number)


def _distractor(rng: np.random.Generator, n_frames: int, size: tuple[int, int], number: int) -> MaskSequence:
    item = _object(rng, n_frames, size)
    scores = np.zeros(len(CLASSES))
    scores[rng.integers(len(CLASSES))] = rng.uniform(0.1, 0.5)
    return _sequence(_masks(item.centre, item.axes, item.is_there, size), scores, 0, number)


def _sequence(masks: list[Rle | None], scores: NDArray[np.float64], key: int, number: int) -> MaskSequence:
    scores = np.clip(scores, 0, 0.99)
    scores[scores < 0.01] = 0.0
    return MaskSequence(tuple(masks), scores, float(scores.max()), -1, Provenance("drawn", key, number))

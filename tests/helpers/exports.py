"""One small export for many tests, with labels that are there already; a copy each, for tests change it."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

import evfr
from evfr.annotations import AnnotatedVideo, Category, ObjectRow, Rle, VideoAnnotations, write

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["FRAMES", "SIZE", "carried_labels", "make_export", "select_frames"]

SIZE = (96, 64)
FRAMES = (3, 9, 10, 21)


def select_frames(video: Path, store: Path, frames: tuple[int, ...] = FRAMES) -> Any:
    """Select exactly these frames of one video."""
    return evfr.select(
        video, signal="none", method="uniform", n=len(frames), include=frames, store=store, executor="serial"
    )


def carried_labels(path: Path, video_id: str, *, has_masks: bool = True) -> Path:
    """Write labels of frames 0 to 24 as ``evfr propagate`` would: a box of a person's, a carried mask, two classes."""
    size = SIZE
    mask = np.zeros((size[1], size[0]), np.bool_)
    mask[10:30, 40:60] = True
    rows = []
    for frame in range(25):
        rows.append(
            ObjectRow(
                video_id, frame, 2, 1, (5.0 + frame, 8.0, 25.0 + frame, 40.5), attributes={"gate": "open"}
            )
        )
        if has_masks:
            rows.append(
                ObjectRow(
                    video_id,
                    frame,
                    5,
                    2,
                    None,
                    Rle.from_mask(np.roll(mask, frame, axis=1)),
                    source="carried",
                    trust=1.0 - frame / 25,
                )
            )
        else:
            rows.append(
                ObjectRow(
                    video_id,
                    frame,
                    5,
                    2,
                    (50.0, 5.0, 70.25, 30.0),
                    source="carried",
                    trust=1.0 - frame / 25,
                    score=math.nan,
                )
            )
    video = AnnotatedVideo(video_id, *size, np.arange(25))
    labels = VideoAnnotations.build([video], [Category(2, "car"), Category(5, "a person")], rows)
    return write(labels, path, format="evfr")


def make_export(video: Path, folder: Path, store: Path, to: str, **options: Any) -> Any:
    """Export `FRAMES` of a video."""
    selection = select_frames(video, store)
    return evfr.export(selection, to=to, out=folder, store=store, executor="serial", **options)  # type: ignore[arg-type]

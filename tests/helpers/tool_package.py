"""An export drawn by hand: two videos of odd sizes, picks and context, boxes and masks that are there already."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from evfr._core.annotations import AnnotatedVideo, Category, ObjectRow, VideoAnnotations
from evfr._core.masks import Rle
from evfr.verbs._export_package import FOLDERS, ExportFrame, ExportPackage, ExportVideo, Role
from evfr.verbs._import_labels import Placed, place_labels
from evfr.verbs._import_match import identify
from evfr.verbs._import_pictures import pixel_hash

__all__ = ["CATEGORIES", "VIDEOS", "blob", "draw_package", "labels_for", "placed", "same_labels"]

CATEGORIES = (Category(3, "car"), Category(7, "person & dog", "living"))
VIDEOS = {"drive/a.mp4": ("drive-a", 61, 43), "b": ("b", 48, 36)}
PICKS = {"drive/a.mp4": (5, 9, 30), "b": (0, 7)}
CONTEXT = {"drive/a.mp4": (4, 6, 8, 10, 29, 31), "b": (1, 6, 8)}


def blob(height: int, width: int, y: float, x: float, radius: float) -> Rle:
    rows, columns = np.mgrid[:height, :width]
    far = np.hypot(rows - y, columns - x)
    return Rle.from_mask((far < radius) & (far > radius / 3))


def labels_for(rows: list[ObjectRow] | None = None) -> VideoAnnotations:
    """Return labels on picks: boxes and masks, carried and human, with trust, scores, tracks, crowds, attributes."""
    videos = [
        AnnotatedVideo(
            name,
            width,
            height,
            np.array(PICKS[name]),
            pts=np.array([512 * frame for frame in PICKS[name]]),
            time_base=Fraction(1, 12800),
            frame_count=40,
        )
        for name, (_, width, height) in VIDEOS.items()
    ]
    a, b = VIDEOS
    mask = {name: blob(height, width, 20, 22, 9) for name, (_, width, height) in VIDEOS.items()}
    made = [
        ObjectRow(a, 5, 3, 4, (1.5, 2.25, 20.0, 21.75), source="carried", trust=0.75),
        ObjectRow(a, 9, 3, 4, (4.0, 5.0, 24.0, 25.0), source="human"),
        ObjectRow(a, 9, 7, 5, None, mask[a], source="carried", trust=0.5, score=0.25),
        ObjectRow(a, 30, 7, 5, None, blob(43, 61, 25, 50, 10), source="carried", trust=0.625),
        ObjectRow(b, 0, 3, -1, (0.0, 0.0, 48.0, 36.0), attributes={"occluded": True, "plate": "B <7>"}),
        ObjectRow(b, 0, 7, 2, (10.0, 8.0, 40.0, 33.0), mask[b], is_crowd=True),
    ]
    return VideoAnnotations.build(videos, CATEGORIES, made if rows is None else rows)


def draw_package(
    folder: Path,
    tool: str,
    *,
    has_labels: bool = True,
    has_context: bool = True,
    labels: VideoAnnotations | None = None,
) -> ExportPackage:
    """Write the pictures of an export into a folder and return it; nothing else is written."""
    frames: list[ExportFrame] = []
    for name, (slug, width, height) in VIDEOS.items():
        picks = PICKS[name]
        for index in sorted(picks + (CONTEXT[name] if has_context else ())):
            role: Role = "label" if index in picks else "context"
            mark = "_context" if role == "context" else ""
            file = f"{slug}_f{index:06d}_p{512 * index}{mark}.png"
            rng = np.random.default_rng([index, width])
            small = rng.integers(0, 256, (6, 8, 3), dtype=np.uint8)
            picture = cv2.resize(small, (width, height), interpolation=cv2.INTER_CUBIC)
            data = cv2.imencode(".png", picture)[1].tobytes()
            path = folder / FOLDERS[role] / file
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
            frames.append(
                ExportFrame(
                    file,
                    name,
                    index,
                    512 * index,
                    Fraction(1, 12800),
                    index / 25,
                    index,
                    width,
                    height,
                    role,
                    None if role == "label" else min(picks, key=lambda pick: (abs(pick - index), pick)),
                    hashlib.sha256(data).hexdigest(),
                    pixel_hash(np.ascontiguousarray(picture[..., ::-1])),
                )
            )
    begun = (labels_for() if labels is None else labels) if has_labels else None
    return ExportPackage(
        folder,
        tool,
        tuple(ExportVideo(name, name, "", 40, width, height) for name, (_, width, height) in VIDEOS.items()),
        tuple(frames),
        CATEGORIES,
        begun,
        context_frames=1 if has_context else 0,
    )


def placed(found: VideoAnnotations, package: ExportPackage, **options: Any) -> Placed:
    """Return what `evfr import` makes of what a tool's reader found."""
    matches = identify(found, package)
    assert not matches.unmatched, matches.unmatched
    words: dict[str, Any] = {
        "untouched": "carried",
        "context_labels": "keep",
        "empty": "keep",
        "tracks": "keep",
        **options,
    }
    return place_labels(found, matches, package, **words)


def same_labels(got: VideoAnnotations, want: VideoAnnotations, *, slack: float = 0.0) -> None:
    """Assert that labels are those wanted, whatever the order within a frame; boxes may differ by some slack."""
    assert [(c.category_id, c.name) for c in got.categories] == [
        (c.category_id, c.name) for c in want.categories
    ]
    assert [(v.video_id, v.frame_index.tolist(), v.pts.tolist()) for v in got.videos] == [
        (v.video_id, v.frame_index.tolist(), v.pts.tolist()) for v in want.videos
    ]

    def key(row: ObjectRow) -> tuple[object, ...]:
        return row.video_id, row.frame_index, row.category_id, row.track_id, row.mask is None

    mine, theirs = (sorted(value.objects(), key=key) for value in (got, want))
    assert [key(row) for row in mine] == [key(row) for row in theirs]
    for row, other in zip(mine, theirs, strict=True):
        assert repr(replace(row, box_xyxy=None, mask=None)) == repr(replace(other, box_xyxy=None, mask=None))
        assert row.mask == other.mask
        assert (row.box_xyxy is None) == (other.box_xyxy is None)
        if row.box_xyxy is not None and other.box_xyxy is not None:
            np.testing.assert_allclose(row.box_xyxy, other.box_xyxy, rtol=0, atol=slack)

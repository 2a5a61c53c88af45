"""Draw the values of a page of carried labels, from a seed, without any video."""

from __future__ import annotations

from typing import Any

import numpy as np

from evfr._core.masks import Rle
from evfr._core.types import Problem
from evfr.errors import ProblemCode
from evfr.propagation import CarryEnd
from evfr.reports import STATES, CarryObject, CarryPicture, CarryReport, ReviewRow, picture_frames
from helpers.report_data import scene

WIDTH, HEIGHT = 320, 180


def disc(x: float, y: float, radius: float) -> Rle:
    rows, columns = np.mgrid[0:HEIGHT, 0:WIDTH]
    return Rle.from_mask(np.hypot(columns - x, rows - y) <= radius)


def carry_report(n_frames: int = 120, n_tracks: int = 3, *, seed: int = 0, **changes: Any) -> CarryReport:
    """Return a believable report: labels every 40 frames, trust that falls in between, one track that is lost."""
    rng = np.random.default_rng(seed)
    labelled = np.arange(0, n_frames, 40, dtype=np.int64)
    distance = (
        np.abs(np.arange(n_frames)[:, None] - labelled).min(axis=1) if len(labelled) else np.zeros(n_frames)
    )
    trust = np.clip(1 - distance[:, None] * rng.uniform(0.01, 0.05, n_tracks), 0.02, 1).astype(np.float64)
    state = np.where(trust < 0.5, STATES.index("ask"), STATES.index("kept")).astype(np.int8)
    state[labelled] = STATES.index("labelled")
    if n_tracks > 1 and n_frames > 30:
        state[20:30, 1], trust[20:30, 1] = STATES.index("absent"), np.nan
        state[10:14, 0] = STATES.index("dropped")
    frames = picture_frames(labelled, n_frames, n=30)
    pictures = tuple(
        CarryPicture(
            int(frame),
            picture,
            tuple(
                CarryObject(track + 1, disc(40 + 2 * frame, 60 + 20 * track, 20))
                if track % 3 < 2
                else CarryObject(track + 1, None, (10.0, 10.0, 60.0, 50.0))
                for track in range(n_tracks)
                if state[frame, track]
            ),
        )
        for frame, picture in zip(frames, scene(frames, n_frames, seed), strict=True)
    )
    worst = np.argsort(np.nanmean(trust, axis=1))[:6] if n_frames and n_tracks else []
    fields: dict[str, Any] = {
        "video_id": "drive/morning.mp4",
        "command": "evfr propagate morning.mp4 --labels labels.json --min-trust 0.5 --out all.parquet",
        "version": "0.1.0",
        "method": "default",
        "width": WIDTH,
        "height": HEIGHT,
        "time_seconds": np.arange(n_frames) / 25,
        "track_ids": np.arange(1, n_tracks + 1, dtype=np.int64),
        "track_names": tuple(f"thing {track}" for track in range(n_tracks)),
        "trust": trust,
        "state": state,
        "labelled": labelled,
        "min_trust": 0.5,
        "expected_iou": 0.87,
        "expected_iou_low": 0.83,
        "expected_iou_high": 0.9,
        "review": tuple(ReviewRow(int(frame), 0.5, f"mean trust {0.3:.2f}") for frame in worst),
        "pictures": pictures,
        "ends": (CarryEnd(2, 20, "left", "lost"), CarryEnd(2, 29, "right", "lost")) if n_tracks > 1 else (),
        "cuts": np.array([60] if n_frames > 60 else [], np.int64),
        "notes": ("Step fields: the better of proxy and DIS ultrafast.",),
        "parameters": {"method": "default", "seed": 0},
        "problems": (Problem(ProblemCode.W_CORRUPT, "packets failed to decode", "morning.mp4", 50, 2),),
    }
    fields.update(changes)
    return CarryReport(**fields)

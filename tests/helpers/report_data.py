"""Draw synthetic reports: believable curves, picks, cuts and damage, from a seed, without any video."""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evfr._core.types import Problem
from evfr.errors import ProblemCode
from evfr.reports import Segment, SelectionReport, StrideRow, Thumbnails, VideoReport, thumbnail_frames

HOSTILE = (
    "<img src=x onerror=window.hacked=1>",
    "</script><script>window.hacked=1</script>",
    "\" onmouseover=window.hacked=1 x='",
    "[bold]rich[/bold] [/x] %04d {{data}} ${1} `x` \\",
    "line\nbreak\u2028\u2029\u202e\x00 \udcff",
    "<!--<script>",
    "-x && <svg onload=window.hacked=1>",
)


def scene(frame_index: NDArray[np.int64], n_frames: int, seed: int, size: tuple[int, int] = (160, 90)) -> Any:
    """Return (M, h, w, 3) uint8 pictures of a disc that moves over a textured slope."""
    width, height = size
    rng = np.random.default_rng(seed)
    grain = rng.normal(0, 10, (height, width, 1))
    y, x = np.mgrid[0:height, 0:width].astype(np.float64)
    base = np.stack([90 + 90 * x / width, 120 + 60 * y / height, 170 - 80 * x / width], axis=2)
    images = np.empty((len(frame_index), height, width, 3), dtype=np.uint8)
    for place, index in enumerate(frame_index):
        t = int(index) / max(n_frames - 1, 1)
        cx, cy = width * (0.1 + 0.8 * t), height * (0.5 + 0.3 * math.sin(9 * t + seed))
        disc = np.clip(16 - np.hypot(x - cx, y - cy), 0, 1)[:, :, None]
        picture = np.roll(base, int(40 * t), axis=1) + np.roll(grain, int(60 * t), axis=1)
        images[place] = np.clip(picture * (1 - disc) + disc * np.array([213, 94, 0]), 0, 255)
    return images


def video_report(
    video_id: str = "drive/morning.mp4",
    *,
    n_frames: int = 600,
    n: int = 60,
    seed: int = 0,
    method: str = "systematic",
    cuts: tuple[int, ...] = (),
    damage: tuple[int, int] | None = None,
    with_thumbnails: bool = True,
    is_variable_rate: bool = False,
    **changes: Any,
) -> VideoReport:
    """Return a video whose picks follow an adaptive rule; keyword ``changes`` replace fields."""
    rng = np.random.default_rng(seed)
    bumps = sum(
        a * np.exp(-(((np.arange(n_frames) - c) / w) ** 2))
        for a, c, w in zip(
            rng.uniform(1, 4, 5),
            rng.uniform(0, n_frames, 5),
            rng.uniform(4, n_frames / 8 + 5, 5),
            strict=True,
        )
    )
    weights = np.asarray(0.25 + bumps + rng.gamma(2.0, 0.08, n_frames), dtype=np.float64)
    second = 0.6 * weights + rng.gamma(2.0, 0.2, n_frames)
    is_suspect = np.zeros(n_frames, dtype=np.bool_)
    if damage is not None:
        is_suspect[damage[0] : damage[1]] = True
        weights[damage[0] : damage[1]] = np.nan
    keys = rng.exponential(size=n_frames) / np.where(np.isfinite(weights), weights, 1e-9)
    order = np.argsort(keys, kind="stable").astype(np.int64)
    order = order[~is_suspect[order]]
    selected = np.sort(order[:n])
    place = {int(frame): rank for rank, frame in enumerate(order)}
    step = np.full(n_frames, 0.04)
    if is_variable_rate:
        step = rng.choice([0.02, 0.04, 0.08], n_frames)
    time_seconds = np.cumsum(step) - step[0] if n_frames else np.zeros(0)
    edges = [0, *cuts, n_frames]
    cv = float(np.nanstd(weights) / np.nanmean(weights)) if n_frames else math.nan
    fields: dict[str, Any] = {
        "video_id": video_id,
        "path": f"/videos/{video_id}",
        "status": "ok" if damage is None else "partial",
        "width": 1280,
        "height": 720,
        "codec": "h264",
        "duration_seconds": float(time_seconds[-1] + 0.04) if n_frames else 0.0,
        "time_seconds": time_seconds.astype(np.float64),
        "curves": {"flow": weights / np.nansum(weights), "ssim": second / second.sum()} if n_frames else {},
        "is_suspect": is_suspect,
        "is_selectable": ~is_suspect,
        "cuts": np.array(cuts, dtype=np.int64),
        "selected": selected.astype(np.int64),
        "rank": np.array([place[int(frame)] for frame in selected], dtype=np.int64),
        "reasons": tuple(
            f"{method}: high motion" if weights[f] > 1 else f"{method}: coverage" for f in selected
        ),
        "inclusion": np.clip(weights[selected] / np.nansum(weights) * n, 0, 1) if n_frames else np.zeros(0),
        "method": method,
        "method_reason": f"dynamicity {cv:.2f} is at least 0.9"
        if cv >= 0.9
        else f"dynamicity {cv:.2f} is below 0.9",
        "segments": tuple(
            Segment(
                a,
                b,
                "uniform" if k % 2 else method,
                "CV .42 < .9",
                0.42 + 0.3 * k,
                int(np.sum((selected >= a) & (selected < b))),
            )
            for k, (a, b) in enumerate(itertools.pairwise(edges))
        ),
        "dynamicity": {"flow": cv, "ssim": cv * 0.7},
        "activity": {"flow": float(np.nanmean(weights)) if n_frames else math.nan, "ssim": 0.1},
        "order": order,
        "weights": weights,
        "options": {"mixing": 0.5, "power": 0.5},
        "thumbnails": None,
        "pts": np.round(time_seconds * 12800).astype(np.int64),
        "problems": (),
        "seed": seed,
    }
    if damage is not None:
        fields["problems"] = (
            Problem(
                ProblemCode.W_CORRUPT, "packets failed to decode", video_id, damage[0], damage[1] - damage[0]
            ),
        )
    fields.update(changes)
    if with_thumbnails and n_frames and fields["thumbnails"] is None:
        wanted = thumbnail_frames(fields["selected"], n_frames)
        fields["thumbnails"] = Thumbnails(wanted, scene(wanted, n_frames, seed))
    return VideoReport(**fields)


def failed_video(video_id: str = "broken/half.mp4") -> VideoReport:
    """Return a video that could not be read at all."""
    problem = Problem(ProblemCode.E_CONTAINER, "FFmpeg does not recognise the file; is it a video?", video_id)
    return video_report(
        video_id,
        n_frames=0,
        n=0,
        with_thumbnails=False,
        status="failed",
        method="",
        method_reason="",
        segments=(),
        width=0,
        height=0,
        codec="",
        order=None,
        dynamicity={},
        activity={},
        problems=(problem,),
    )


def selection_report(videos: tuple[VideoReport, ...] | None = None, **changes: Any) -> SelectionReport:
    """Return a report over ``videos``, or over three believable ones and a failed one."""
    if videos is None:
        videos = (
            video_report("drive/morning.mp4", n_frames=900, n=90, seed=1, cuts=(210, 520)),
            video_report("drive/night run.mp4", n_frames=400, n=40, seed=2, damage=(150, 190)),
            video_report("lab/flies_120s.mp4", n_frames=1500, n=150, seed=3, is_variable_rate=True),
            failed_video(),
        )
    total = sum(len(video.selected) for video in videos)
    fields: dict[str, Any] = {
        "title": f"evfr selection: {total} frames of {len(videos)} videos",
        "command": "evfr select drive lab --ratio 0.1 --method adaptive --signal flow --seed 0 --out picks",
        "version": "0.1.0",
        "signal": "flow",
        "method": "adaptive",
        "parameters": {"ratio": 0.1, "method": "adaptive", "signal": "flow", "seed": 0, "profile": "default"},
        "videos": videos,
        "manifest": {"schema": "evfr-selection-1", "parameters": {"ratio": 0.1}, "n": total},
    }
    fields.update(changes)
    return SelectionReport(**fields)


def stride_rows(videos: tuple[VideoReport, ...]) -> tuple[StrideRow, ...]:
    """Return S1..S10 with class shares that drift, and a class lost at the end."""
    rows = []
    for stride in (1, 2, 3, 4, 5, 7, 10):
        shares = {"person": 0.5 + 0.01 * stride, "car": 0.3, "dog": 0.15 - 0.01 * stride, "kite": 0.05}
        if stride == 10:
            shares = {"person": 0.65, "car": 0.3, "dog": 0.05, "kite": 0.0}
        rows.append(
            StrideRow(
                stride,
                tuple(-(-video.n_frames // stride) for video in videos),
                shares,
                0.01 * (stride - 1),
                ("kite",) if stride == 10 else (),
            )
        )
    return tuple(rows)

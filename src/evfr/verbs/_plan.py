"""What a run would decode and about how long it would take, without running it."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from evfr.verbs._request import Request
    from evfr.video import VideoSource

__all__ = ["plan"]

PROBE_FRAMES = 48
PROBE_VIDEOS = 4


def plan(
    sources: Sequence[VideoSource], request: Request, signals: Sequence[str], store: Path, jobs: int | None
) -> dict[str, Any]:
    """Say what would be decoded, and estimate the time by measuring a few frames of the first videos.

    Parameters
    ----------
    sources : sequence of VideoSource
        The inputs.
    request : Request
        What was asked for.
    signals : sequence of str
        Signals to be measured.
    store : Path
        Root of the store.
    jobs : int or None
        Child processes; None is one per core.

    Returns
    -------
    dict
        ``videos`` (per input: is_cached, claimed frames, problem), ``decode_videos``, ``decode_frames`` (claimed),
        ``seconds`` (estimate of the wall time; None where no video could be tried), ``jobs``.
    """
    import os

    from evfr._core.store import Store
    from evfr.errors import VideoError
    from evfr.verbs._measure import MeasureJob, keys_of
    from evfr.video import content_hash, open_video

    opened = Store(store)
    videos = []
    rates: list[float] = []
    for source in sources:
        job = MeasureJob(
            source, store, tuple(signals), request.profile, request.embedding, request.damaged, 1
        )
        entry: dict[str, Any] = {
            "video_id": source.video_id,
            "is_cached": False,
            "claimed_frames": None,
            "problem": None,
        }
        try:
            digest = opened.cached_hash(source.path, content_hash)
            frames, signal_keys, _ = keys_of(opened, job, digest)
            entry["is_cached"] = not opened.missing([frames, *signal_keys.values()])
            with open_video(source.path, damaged=request.damaged) as reader:
                entry["claimed_frames"] = reader.info.claimed_frame_count
                if not entry["is_cached"] and len(rates) < PROBE_VIDEOS:
                    rates.append(_seconds_per_frame(job, reader))
        except VideoError as error:
            entry["problem"] = str(error)
        videos.append(entry)
    todo = [entry for entry in videos if not entry["is_cached"] and entry["problem"] is None]
    count = sum(entry["claimed_frames"] or 0 for entry in todo)
    workers = jobs or os.cpu_count() or 1
    seconds = None
    if not todo:
        seconds = 0.0
    elif rates:
        seconds = round(count * (sum(rates) / len(rates)) / max(1, min(workers, len(todo))), 1)
    return {
        "videos": videos,
        "decode_videos": len(todo),
        "decode_frames": count,
        "seconds": seconds,
        "jobs": workers,
    }


def _seconds_per_frame(job: Any, reader: Any) -> float:
    from itertools import islice

    from evfr.signals import score_frames
    from evfr.verbs._measure import signal_setup

    _, made = signal_setup(job)
    frames = iter(reader)
    # The first frames pay for compiling and opening; they are not counted.
    score_frames(islice(frames, 4), made)
    start = time.perf_counter()
    scored = score_frames(islice(frames, PROBE_FRAMES), made)
    return (time.perf_counter() - start) / max(1, len(scored.frame_index))

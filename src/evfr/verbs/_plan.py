"""What a run would decode and about how long it would take, without running it."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from evfr._core.remote_store import StoreRoot
    from evfr.verbs._embed_pass import EmbedJob, ModelSpec
    from evfr.verbs._request import Request
    from evfr.video import VideoSource

__all__ = ["plan"]

PROBE_FRAMES = 48
PROBE_VIDEOS = 4
PROBE_PICTURES = 8


def plan(
    sources: Sequence[VideoSource],
    request: Request,
    signals: Sequence[str],
    store: StoreRoot,
    jobs: int | None,
    device: str = "auto",
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
    device : str
        Where an embedding model would run.

    Returns
    -------
    dict
        ``videos`` (per input: is_cached, claimed frames, problem), ``decode_videos``, ``decode_frames`` (claimed),
        ``seconds`` (estimate of the wall time; None where no video could be tried), ``jobs``.
    """
    import os

    from evfr._core.store import Store
    from evfr.errors import VideoError
    from evfr.verbs._embed_pass import look_up
    from evfr.verbs._measure import MeasureJob, keys_of
    from evfr.video import content_hash, open_video

    opened = Store(store)
    spec = _model_of(request, device)
    if spec is not None:
        # The pass that embeds measures the rest from what it made.
        signals = ()
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
            if spec is None:
                frames, signal_keys, _ = keys_of(opened, job, digest)
                entry["is_cached"] = not opened.missing([frames, *signal_keys.values()])
            else:
                entry["is_cached"] = look_up(_embed_job(source, store, spec, request), digest).is_cached
            with open_video(source.path, damaged=request.damaged) as reader:
                entry["claimed_frames"] = reader.info.claimed_frame_count
                if not entry["is_cached"] and len(rates) < PROBE_VIDEOS:
                    rates.append(
                        _seconds_per_frame(job, reader)
                        + (0.0 if spec is None else _seconds_per_vector(spec, request))
                    )
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


def _model_of(request: Request, device: str) -> ModelSpec | None:
    from evfr.sampling import SAMPLERS, takes_embeddings
    from evfr.verbs._embed_pass import ModelSpec

    if not takes_embeddings(SAMPLERS[request.method]):
        return None
    weights = None if request.weights is None else Path(request.weights).resolve()
    name = request.embedding or "thumbnail"
    path = Path(name)
    return ModelSpec(
        str(path.resolve()) if path.exists() else name,
        weights,
        device,
        request.precision,
        None,
        tuple(sorted(request.model_options.items())),
    )


def _embed_job(source: VideoSource, store: StoreRoot, spec: ModelSpec, request: Request) -> EmbedJob:
    from evfr.verbs._embed_pass import EmbedJob, load_model

    every = 1 if request.every is None and request.fps is None else request.every
    parameters = dict(load_model(spec).parameters)
    return EmbedJob(source, store, spec, parameters, every, request.fps, request.damaged)


def _seconds_per_vector(spec: ModelSpec, request: Request) -> float:
    """Time the model on a few black pictures, per frame of the video."""
    import numpy as np

    from evfr.verbs._embed_pass import load_model

    embedder = load_model(spec)
    pictures = np.zeros((PROBE_PICTURES, 360, 640, 3), np.uint8)
    embedder(pictures[:1])
    start = time.perf_counter()
    embedder(pictures)
    seconds = (time.perf_counter() - start) / PROBE_PICTURES
    return seconds / (request.every or 1)


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

"""One decode pass per video: who its frames are, and every signal asked for; kept in the store."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from evfr.verbs._measure_keys import is_intact, keys_of, signal_setup

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from evfr._core.remote_store import StoreRoot
    from evfr._core.store import StoreKey
    from evfr._core.types import FrameTable, Problem
    from evfr.verbs._embed_job import ModelSpec
    from evfr.video import VideoSource

__all__ = [
    "FAILED",
    "MeasureJob",
    "Measured",
    "Stored",
    "collect",
    "default_store",
    "failed",
    "is_intact",
    "keys_of",
    "measure",
    "measure_one",
    "signal_setup",
]

Damaged = Literal["drop", "keep", "fail"]
FAILED = "failed"


@dataclass(frozen=True, slots=True)
class MeasureJob:
    """Say what to measure on one video; travels to the child process."""

    source: VideoSource
    store: StoreRoot
    signals: tuple[str, ...]
    profile: str
    embedding: str | None
    damaged: Damaged
    threads: int
    feature: Mapping[str, Any] | None = None
    """Parameters of the signal ``feature`` where it was made from stored vectors, before this pass."""


@dataclass(frozen=True, slots=True)
class Stored:
    """Say where a child left what it measured; travels back from the child process."""

    digest: str
    frames: StoreKey
    signals: Mapping[str, StoreKey]
    is_cached: bool


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Measured:
    """Hold what one pass found in one video.

    Attributes
    ----------
    source : VideoSource
        Which video.
    status : str
        ``"ok"``, ``"partial"`` or ``"failed"``.
    digest : str
        Hash of the video's bytes, hex; empty when it failed.
    table : FrameTable or None
        The frames; None when it failed.
    info : mapping
        `VideoInfo.to_dict` without path and problems.
    content : (N,) float64
        Content change at each frame, for cuts; NaN where unknown.
    values : mapping of str to (N,) float64
        Dissimilarity to the next frame, per signal; NaN where not measurable.
    parameters : mapping of str to mapping
        Each signal's parameters.
    problems : tuple of Problem
        Under this video's id.
    is_cached : bool
        Whether everything was read instead of decoded.
    frames_key : StoreKey or None
        Where the frame table is; None when it failed.
    sharpness, clipped : (N,) float64 or None
        Variance of the Laplacian and share of clipped pixels of each frame; None when it failed.
    """

    source: VideoSource
    status: str
    digest: str = ""
    table: FrameTable | None = None
    info: Mapping[str, Any] = field(default_factory=dict)
    content: NDArray[np.float64] | None = None
    values: Mapping[str, NDArray[np.float64]] = field(default_factory=dict)
    parameters: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    problems: tuple[Problem, ...] = ()
    is_cached: bool = False
    frames_key: StoreKey | None = None
    sharpness: NDArray[np.float64] | None = None
    clipped: NDArray[np.float64] | None = None


def default_store() -> Path:
    """Return where measurements are kept when the caller names no store: ``EVFR_STORE``, else the user's cache."""
    import os

    if value := os.environ.get("EVFR_STORE"):
        return Path(value)
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "evfr" / "store"


def measure(
    sources: Sequence[VideoSource],
    *,
    signals: Sequence[str],
    profile: str,
    embedding: str | None,
    damaged: Damaged,
    store: StoreRoot,
    executor: str,
    jobs: int | None,
    memory_limit_mb: int | None,
    timeout_seconds: float | None,
    model: ModelSpec | None = None,
) -> list[Measured]:
    """Measure every source, reading what the store has and decoding what it has not.

    Parameters
    ----------
    sources : sequence of VideoSource
        The videos.
    signals : sequence of str
        Names of signals; may be empty.
    profile, embedding, damaged
        As in `evfr.score`.
    store : Path
        Root of the store.
    executor, jobs, memory_limit_mb, timeout_seconds
        As in `evfr.distributed.map_videos`.
    model : ModelSpec or None
        How the embedding's model is loaded; None is by its name alone.

    Returns
    -------
    list of Measured
        One per source, in order.

    Notes
    -----
    With a learned embedding, ``feature`` is made from stored vectors (float16), which are computed first where they
    are missing: in batches, by one model. The other signals then take a pass of their own.
    """
    from evfr._core.store import Store
    from evfr.verbs._run import run_videos

    Store(store)
    embedding = _resolved(embedding)
    work = [MeasureJob(source, store, tuple(signals), profile, embedding, damaged, 1) for source in sources]
    found: dict[int, Stored | Problem] = {}
    if "feature" in signals and embedding is not None:
        from evfr.verbs._embed_feature import write_features
        from evfr.verbs._embed_job import ModelSpec
        from evfr.verbs._embedding import is_light

        if not is_light(embedding):
            parameters, problems = write_features(
                work,
                model=model or ModelSpec(embedding),
                executor=executor,
                jobs=jobs,
                memory_limit_mb=memory_limit_mb,
                timeout_seconds=timeout_seconds,
            )
            work = [replace(job, feature=parameters) for job in work]
            found.update(problems)
    for row, job in enumerate(work):
        if row not in found and (stored := _in_store(job)) is not None:
            found[row] = stored
    todo = [row for row in range(len(work)) if row not in found]
    if executor != "serial" and todo:
        # Cores that have no video of their own compare frames; the values are the same for any number.
        cores = (jobs or os.cpu_count() or 1) // len(todo)
        threads = cores + 1 if cores > 1 else 1  # the decoding thread mostly waits for the comparing ones
        work = [replace(job, threads=threads) for job in work]
    outcomes = run_videos(
        measure_video,
        [work[row] for row in todo],
        [sources[row].video_id for row in todo],
        label="measuring",
        executor=executor,
        jobs=jobs,
        memory_limit_mb=memory_limit_mb,
        timeout_seconds=timeout_seconds,
    )
    for row, outcome in zip(todo, outcomes, strict=True):
        found[row] = outcome.value if outcome.problem is None else outcome.problem
    return [collect(job, found[row]) for row, job in enumerate(work)]


def measure_one(
    video: str | Path,
    *,
    damaged: Damaged,
    store: Path | None,
    executor: str,
    memory_limit_mb: int | None,
    timeout_seconds: float | None,
    allow_remote: Sequence[str],
) -> tuple[Measured, FrameTable, StoreRoot]:
    """Read the frames of one video that a verb works on, without a signal.

    Parameters
    ----------
    video, damaged, store, executor, memory_limit_mb, timeout_seconds, allow_remote
        As in `evfr.propagate`.

    Returns
    -------
    measured : Measured
        The video.
    table : FrameTable
        Its frames.
    root : StoreRoot
        The store.

    Raises
    ------
    ValueError
        If there is more than one video.
    VideoError
        If it cannot be used.
    """
    from evfr._core.remote_store import store_root
    from evfr.errors import VideoError
    from evfr.video import resolve_inputs

    sources = resolve_inputs([video], allow_remote=allow_remote)
    if len(sources) != 1:
        raise ValueError(f"give one video; {video} holds {len(sources)}")
    root = store_root(default_store() if store is None else store, allow_remote)
    (measured,) = measure(
        sources,
        signals=(),
        profile="default",
        embedding=None,
        damaged=damaged,
        store=root,
        executor=executor,
        jobs=1,
        memory_limit_mb=memory_limit_mb,
        timeout_seconds=timeout_seconds,
    )
    if measured.table is None:
        raise VideoError(measured.problems[0])
    return measured, measured.table, root


def measure_video(job: MeasureJob, heartbeat: Callable[[int, int | None], None]) -> Stored:
    """Measure one video into the store; runs in a child process.

    Parameters
    ----------
    job : MeasureJob
        What to do.
    heartbeat : callable
        Called with (frames done, frames claimed or None).

    Returns
    -------
    Stored
        The video's hash and the keys of what the store now holds.
    """
    from evfr._core.store import Store
    from evfr.errors import StoreError
    from evfr.signals import score_frames
    from evfr.verbs._stored import write_frames, write_signal
    from evfr.video import content_hash, open_video

    store = Store(job.store)
    digest = store.cached_hash(
        job.source.path, lambda path: content_hash(path, on_chunk=lambda: heartbeat(0, None))
    )
    heartbeat(0, None)
    frames_key, signal_keys, parameters = keys_of(store, job, digest)
    missing = {name: key for name, key in signal_keys.items() if not is_intact(store, key)}
    has_frames = is_intact(store, frames_key)
    if has_frames and not missing:
        return Stored(digest, frames_key, signal_keys, True)
    _, made = signal_setup(job)
    if lost := [name for name in missing if name not in made]:
        raise StoreError(f"signal {lost[0]} was removed from the store meanwhile; run it again")
    with open_video(job.source.path, damaged=job.damaged, motion_vectors="motion" in missing) as reader:
        claimed = reader.info.claimed_frame_count

        def beat(done: int) -> None:
            if done % 16 == 0:
                heartbeat(done, claimed)

        scored = score_frames(
            reader, {name: made[name] for name in missing}, threads=job.threads, on_frame=beat
        )
        table, info, problems = reader.table(), reader.info, reader.problems
    if not has_frames:
        write_frames(store, frames_key, table, info.to_dict(), problems, scored)
    for name, key in missing.items():
        write_signal(store, key, name, table, scored, parameters[name])
    return Stored(digest, frames_key, signal_keys, False)


def _in_store(job: MeasureJob) -> Stored | None:
    """Return where everything asked for is, if the store has it and the file is known not to have changed."""
    from evfr._core.store import Store

    def unknown(path: Path) -> str:
        raise LookupError(path)

    store = Store(job.store)
    try:
        digest = store.cached_hash(job.source.path, unknown)
    except LookupError:
        return None
    frames_key, signal_keys, _ = keys_of(store, job, digest)
    if not all(is_intact(store, key) for key in (frames_key, *signal_keys.values())):
        return None
    return Stored(digest, frames_key, signal_keys, True)


def failed(source: VideoSource, problem: Problem) -> Measured:
    """Return the entry of a video that could not be used.

    Parameters
    ----------
    source : VideoSource
        The video.
    problem : Problem
        Why.

    Returns
    -------
    Measured
        With status ``"failed"``.
    """
    return Measured(source, FAILED, problems=(replace(problem, source=source.video_id),))


def _resolved(embedding: str | None) -> str | None:
    # A relative model path must mean the same in a child process and in a store key.
    return str(Path(embedding).resolve()) if embedding and Path(embedding).exists() else embedding


def collect(job: MeasureJob, stored: Stored | Problem) -> Measured:
    """Read what `measure_video` left in the store, or say why it left nothing."""
    from evfr._core.store import Store
    from evfr._core.types import Problem

    if isinstance(stored, Problem):
        return failed(job.source, stored)
    from evfr.verbs._stored import read_frames

    store = Store(job.store)
    table, metadata, columns = read_frames(store, stored.frames)
    entries = {name: store.read_entry(key) for name, key in stored.signals.items()}
    values = {name: entry.table["dissimilarity"].to_numpy() for name, entry in entries.items()}
    parameters = {name: entry.metadata["signal"] for name, entry in entries.items()}
    problems = tuple(
        replace(Problem.from_dict(item), source=job.source.video_id) for item in metadata["problems"]
    )
    return Measured(
        job.source,
        metadata["info"]["status"],
        stored.digest,
        table,
        metadata["info"],
        columns["content"].to_numpy(),
        values,
        parameters,
        problems,
        stored.is_cached,
        stored.frames,
        columns["sharpness"].to_numpy(),
        columns["clipped"].to_numpy(),
    )

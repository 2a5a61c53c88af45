"""Vectors of many videos, from the store or computed into it: what `embed`, `select` and `score` share."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from evfr._core.remote_store import StoreRoot
    from evfr._core.store import StoreKey
    from evfr._core.types import Problem
    from evfr.distributed import Executor, Outcome
    from evfr.verbs._embed_pass import EmbedJob, Located
    from evfr.verbs._measure import Damaged
    from evfr.video import VideoSource

__all__ = ["EmbeddedVideo", "embed_sources", "is_light", "locate", "read_embedded"]


@dataclass(frozen=True, slots=True, eq=False)
class EmbeddedVideo:
    """Hold the vectors of one video.

    Attributes
    ----------
    source : VideoSource
        Which video.
    status : str
        ``"ok"``, ``"partial"`` (damaged) or ``"failed"``.
    digest : str
        Hash of the video's bytes, hex; empty when it failed.
    frame_index : (M,) int64
        The frames that were embedded, increasing: every decoded one that ``every`` or ``fps`` takes. Suspect
        frames have a row too; the frame table says which they are.
    vectors : (M, D) float16
        Their vectors, read-only; (0, 0) when it failed.
    key : StoreKey or None
        Where the vectors are; None when it failed.
    frames_key : StoreKey or None
        Where the frame table is; None when it failed.
    parameters : mapping
        The embedder's parameters.
    problems : tuple of Problem
        Under this video's id.
    is_cached : bool
        Whether everything was read instead of computed.
    """

    source: VideoSource
    status: str
    digest: str
    frame_index: NDArray[np.int64] = field(repr=False)
    vectors: NDArray[np.float16] = field(repr=False)
    key: StoreKey | None
    frames_key: StoreKey | None = field(repr=False)
    parameters: Mapping[str, Any] = field(repr=False)
    problems: tuple[Problem, ...]
    is_cached: bool


def embed_sources(
    sources: Sequence[VideoSource],
    *,
    model: Any,
    weights: Path | None = None,
    every: int | None = None,
    fps: float | None = None,
    damaged: Damaged = "drop",
    device: str = "auto",
    precision: str = "auto",
    batch_size: int | None = None,
    model_options: Mapping[str, Any] | None = None,
    store: StoreRoot,
    executor: str | Executor = "processes",
    jobs: int | None = None,
    memory_limit_mb: int | None = None,
    timeout_seconds: float | None = None,
) -> list[EmbeddedVideo]:
    """Return the vectors of every source, computing those that the store has not.

    Parameters
    ----------
    sources : sequence of VideoSource
        The videos.
    model : str or callable
        What `evfr.embeddings.make_embedder` takes, or an embedder itself.
    weights, every, fps, damaged, device, precision, batch_size, model_options
        As in `evfr.embed`.
    store : Path
        Root of the store.
    executor, jobs, memory_limit_mb, timeout_seconds
        As in `evfr.distributed.map_videos`.

    Returns
    -------
    list of EmbeddedVideo
        One per source, in order; failures are entries too. All vectors are in memory.
    """
    located, parameters = locate(
        sources,
        model=model,
        weights=weights,
        every=every,
        fps=fps,
        damaged=damaged,
        device=device,
        precision=precision,
        batch_size=batch_size,
        model_options=model_options,
        store=store,
        executor=executor,
        jobs=jobs,
        memory_limit_mb=memory_limit_mb,
        timeout_seconds=timeout_seconds,
    )
    return [
        read_embedded(store, source, found, parameters)
        for source, found in zip(sources, located, strict=True)
    ]


def is_light(model: Any) -> bool:
    """Return whether an embedder needs no learned weights, so that it runs in every worker.

    Parameters
    ----------
    model : str or callable
        As in `embed_sources`.

    Returns
    -------
    bool
    """
    from evfr.embeddings import EMBEDDERS

    return model in EMBEDDERS if isinstance(model, str) else not hasattr(model, "embed_prepared")


def locate(
    sources: Sequence[VideoSource],
    *,
    model: Any,
    weights: Path | None,
    every: int | None,
    fps: float | None,
    damaged: Damaged,
    device: str,
    precision: str,
    batch_size: int | None,
    model_options: Mapping[str, Any] | None,
    store: StoreRoot,
    executor: str | Executor,
    jobs: int | None,
    memory_limit_mb: int | None,
    timeout_seconds: float | None,
    gpus_per_worker: float = 0.0,
) -> tuple[list[Located | Problem], Mapping[str, Any]]:
    """Do all of `embed_sources` but reading the vectors: return where they are, or why there are none.

    Parameters
    ----------
    sources, model, weights, every, fps, damaged, device, precision, batch_size, model_options, store
        As in `embed_sources`.
    executor, jobs, memory_limit_mb, timeout_seconds
        As in `embed_sources`.
    gpus_per_worker : float
        As in `evfr.distributed.map_videos`.

    Returns
    -------
    tuple of (list of Located or Problem, mapping)
        One per source, in order, and the embedder's parameters.
    """
    from evfr._core.store import Store
    from evfr.verbs._embed_pass import EmbedJob, ModelSpec, Ticks, forget_model, load_model

    Ticks(every, fps)
    Store(store)
    every = 1 if every is None and fps is None else every
    fps = None if fps is None else float(fps)
    name = _resolved(model) if isinstance(model, str | Path) else model
    weights = None if weights is None else Path(weights).resolve()
    spec = ModelSpec(
        name, weights, device, precision, batch_size, tuple(sorted((model_options or {}).items()))
    )
    try:
        embedder = load_model(spec)
        parameters = dict(embedder.parameters)
        work = [EmbedJob(source, store, spec, parameters, every, fps, damaged) for source in sources]
        found: dict[int, Located | Problem] = {}
        for row, job in enumerate(work):
            if (known := _in_store(job)) is not None:
                found[row] = known
        todo = [row for row in range(len(work)) if row not in found]
        if todo:
            made = _run(
                [work[row] for row in todo],
                embedder,
                executor=executor,
                jobs=jobs,
                memory_limit_mb=memory_limit_mb,
                timeout_seconds=timeout_seconds,
                gpus_per_worker=gpus_per_worker,
            )
            found.update(zip(todo, made, strict=True))
        return [found[row] for row in range(len(work))], parameters
    finally:
        forget_model()


def read_embedded(
    store: StoreRoot, source: VideoSource, found: Located | Problem, parameters: Mapping[str, Any]
) -> EmbeddedVideo:
    """Read one video's vectors and what is known about its frames.

    Parameters
    ----------
    store : Path
        Root of the store.
    source : VideoSource
        The video.
    found : Located or Problem
        What `locate` returned for it.
    parameters : mapping
        The embedder's parameters.

    Returns
    -------
    EmbeddedVideo
    """
    import numpy as np

    from evfr._core.store import Store
    from evfr._core.types import Problem
    from evfr._core.vectors import column_to_vectors

    if isinstance(found, Problem):
        problem = replace(found, source=source.video_id)
        empty = np.zeros(0, np.int64)
        none = np.zeros((0, 0), np.float16)
        return EmbeddedVideo(
            source, "failed", "", empty, none, None, None, parameters, (problem,), is_cached=False
        )
    opened = Store(store)
    table = opened.read(found.key)
    metadata = opened.read_metadata(found.frames)
    index = table["frame_index"].to_numpy()
    vectors = column_to_vectors(table["embedding"])
    problems = [replace(Problem.from_dict(item), source=source.video_id) for item in metadata["problems"]]
    if (odd := _odd_rows(source, index, vectors)) is not None:
        problems.append(odd)
    return EmbeddedVideo(
        source,
        metadata["info"]["status"],
        found.digest,
        index,
        vectors,
        found.key,
        found.frames,
        parameters,
        tuple(problems),
        found.is_cached,
    )


def _odd_rows(source: VideoSource, index: NDArray[np.int64], vectors: NDArray[np.float16]) -> Problem | None:
    import numpy as np

    from evfr._core.types import Problem
    from evfr.errors import ProblemCode

    odd = np.flatnonzero(~np.isfinite(vectors).all(axis=1) | ~vectors.any(axis=1))
    if not len(odd):
        return None
    text = (
        f"the vectors of {len(odd)} frames are zero or not finite: by cosine they are like nothing, "
        "and no sampler picks them"
    )
    return Problem(ProblemCode.W_SIGNAL, text, source.video_id, int(index[odd[0]]), len(odd))


def _resolved(model: str | Path) -> str:
    # A relative path must mean the same in a child process and in a store key.
    path = Path(model)
    return str(path.resolve()) if path.is_file() or path.is_dir() else str(model)


def _in_store(job: EmbedJob) -> Located | None:
    """Return where everything is, if the store has it and the file is known not to have changed."""
    from evfr._core.store import Store
    from evfr.verbs._embed_pass import look_up

    def unknown(path: Path) -> str:
        raise LookupError(path)

    try:
        digest = Store(job.store).cached_hash(job.source.path, unknown)
    except LookupError:
        return None
    located = look_up(job, digest)
    return located if located.is_cached else None


def _run(
    work: Sequence[EmbedJob],
    embedder: Any,
    *,
    executor: str | Executor,
    jobs: int | None,
    memory_limit_mb: int | None,
    timeout_seconds: float | None,
    gpus_per_worker: float,
) -> list[Located | Problem]:
    from evfr.distributed import map_videos
    from evfr.verbs._embed_ahead import embed_ahead
    from evfr.verbs._embed_pass import embed_video

    meter = _Meter([job.video_id for job in work])
    limits: dict[str, Any] = {
        "jobs": jobs,
        "memory_limit_mb": memory_limit_mb,
        "timeout_seconds": timeout_seconds,
        "on_progress": meter.see_progress,
        "on_outcome": meter.see_outcome,
    }
    is_ahead = executor == "processes" and all(
        hasattr(embedder, name) for name in ("embed_prepared", "preprocess")
    )
    if is_ahead and hasattr(embedder, "load"):
        embedder.load()  # bad weights are said before anything is decoded
    with meter:
        if is_ahead:
            return embed_ahead(work, embedder, **limits)
        outcomes = map_videos(embed_video, work, executor=executor, gpus_per_worker=gpus_per_worker, **limits)
    return [
        outcome.value if outcome.problem is None else replace(outcome.problem, source=job.video_id)
        for job, outcome in zip(work, outcomes, strict=True)
    ]


class _Meter:
    """Tell the progress of many videos with the rate and the time left; a context manager."""

    def __init__(self, names: Sequence[str]) -> None:
        from evfr._core.progress import current_progress

        self._names = names
        self._progress = current_progress()
        self._shares = [0.0] * len(names)
        self._frames = [0] * len(names)
        self._share_sum, self._frame_sum = 0.0, 0
        self._start = time.monotonic()

    def __enter__(self) -> _Meter:
        self._progress.start("embedding", len(self._names))
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.finish()

    def see_progress(self, row: int, done: int, total: int | None) -> None:
        self._frame_sum += max(0, done - self._frames[row])
        self._frames[row] = max(done, self._frames[row])
        self._move(row, min(done / total, 0.999) if total else 0.0)

    def see_outcome(self, outcome: Outcome) -> None:
        self._move(outcome.item_index, 1.0)

    def _move(self, row: int, share: float) -> None:
        step = max(0.0, share - self._shares[row])
        self._shares[row] += step
        self._share_sum += step
        self._progress.advance(step, f"{self._names[row]}, {self._rate()}")

    def _rate(self) -> str:
        seconds = max(time.monotonic() - self._start, 1e-6)
        done = self._share_sum
        left = (len(self._shares) - done) * seconds / done if done else 0.0
        minutes, rest = divmod(int(left), 60)
        return f"{self._frame_sum / seconds:.0f} frames/s, {minutes}:{rest:02} left"

"""Embed one video: which of its frames, one decode pass, and where the vectors are kept."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from evfr._core.store import Store, StoreKey
    from evfr.verbs._measure import Damaged
    from evfr.video import VideoSource

__all__ = [
    "EmbedJob",
    "Located",
    "ModelSpec",
    "Ticks",
    "embed_video",
    "forget_model",
    "load_model",
    "look_up",
    "no_vectors",
    "prepare_video",
    "write_embedding",
]

Heartbeat = Callable[[int, "int | None"], None]

EMBEDDING_SCHEMA = 1
_BLOCK_FRAMES = 16
_BLOCK_BYTES = 4 << 20


@dataclass(frozen=True, slots=True)
class ModelSpec:
    """Say which embedder; travels to worker processes, which load it themselves.

    Attributes
    ----------
    model : str or callable
        What `evfr.embeddings.make_embedder` takes, or an embedder itself (picklable).
    weights, device, precision, batch_size
        As in `evfr.embeddings.make_embedder`.
    options : tuple of (str, object)
        The model's own options.
    """

    model: Any
    weights: Path | None = None
    device: str = "auto"
    precision: str = "auto"
    batch_size: int | None = None
    options: tuple[tuple[str, Any], ...] = ()

    @property
    def name(self) -> str:
        """What the user called the model."""
        return self.model if isinstance(self.model, str) else type(self.model).__name__


@dataclass(frozen=True, slots=True)
class EmbedJob:
    """Say what to embed of one video; travels to the child process.

    Attributes
    ----------
    source : VideoSource
        The video.
    store : Path
        Root of the store.
    spec : ModelSpec
        The model.
    parameters : mapping
        The embedder's own parameters.
    every : int or None
        Every so many frames.
    fps : float or None
        So many frames a second of true time.
    damaged : {"drop", "keep", "fail"}
        As in `evfr.embed`.
    preprocess : callable or None
        (H, W, 3) uint8 to the (h, w, 3) uint8 picture that the model takes, for `prepare_video`.
    address : str
        Where `prepare_video` sends pictures.
    item_index : int
        The job's place, for `prepare_video`.
    """

    source: VideoSource
    store: Path
    spec: ModelSpec
    parameters: Mapping[str, Any]
    every: int | None
    fps: float | None
    damaged: Damaged
    preprocess: Any = None
    address: str = ""
    item_index: int = 0

    @property
    def video_id(self) -> str:
        """The video's name in this run."""
        return self.source.video_id


@dataclass(frozen=True, slots=True, eq=False)
class Located:
    """Say where a video's vectors are, or will be once the parent has computed them.

    Attributes
    ----------
    digest : str
        Hash of the video's bytes.
    frames, key : StoreKey
        Of the frame table and of the vectors.
    is_cached : bool
        Whether everything was there already.
    frame_index, pts, time_seconds : (M,) int64, int64 and float64
        The frames that were embedded; empty when they were cached.
    """

    digest: str
    frames: StoreKey
    key: StoreKey
    is_cached: bool
    frame_index: NDArray[np.int64] | None = field(default=None, repr=False)
    pts: NDArray[np.int64] | None = field(default=None, repr=False)
    time_seconds: NDArray[np.float64] | None = field(default=None, repr=False)


class Ticks:
    """Choose frames while they are decoded: each k-th index, or the first at or after each tick of a clock.

    Parameters
    ----------
    every : int or None
        Take the frames whose index is a multiple of this.
    fps : float or None
        Take the first frame at or after each multiple of 1 / fps seconds; a frame that serves several ticks,
        after a gap or at a low frame rate, is taken once, so no more frames come out than there are.

    Raises
    ------
    ValueError
        If both are given, or one is out of range.
    """

    def __init__(self, every: int | None, fps: float | None) -> None:
        if every is not None and fps is not None:
            raise ValueError("every and fps exclude each other; give one of them")
        if every is not None and every < 1:
            raise ValueError(f"every must be 1 or more, got {every}")
        if fps is not None and not (fps > 0 and math.isfinite(fps)):
            raise ValueError(f"fps must be a positive number of frames a second, got {fps}")
        self._every, self._fps = every or 1, fps
        self._next = -math.inf

    def takes(self, frame_index: int, time_seconds: float) -> bool:
        """Return whether the frame is wanted; call it once for each frame, in order."""
        if self._fps is None:
            return frame_index % self._every == 0
        tick = math.floor(time_seconds * self._fps + 1e-6)  # 3 x 0.1 s is at the third tick of 10 a second
        if tick < self._next:
            return False
        self._next = tick + 1
        return True


@functools.lru_cache(maxsize=1)
def _made(spec: ModelSpec) -> Any:
    from evfr.embeddings import make_embedder

    given = {
        "weights": spec.weights,
        "device": None if spec.device == "auto" else spec.device,
        "precision": None if spec.precision == "auto" else spec.precision,
        "batch_size": spec.batch_size,
        "options": dict(spec.options) or None,
    }
    asked: dict[str, Any] = {name: value for name, value in given.items() if value is not None}
    return make_embedder(spec.model, **asked)


def load_model(spec: ModelSpec) -> Any:
    """Return the embedder; a process loads one model once.

    Parameters
    ----------
    spec : ModelSpec
        Which.

    Returns
    -------
    callable
        An embedder with ``parameters``.

    Raises
    ------
    ValueError
        If it cannot be named in a store; also what `evfr.embeddings.make_embedder` raises.
    """
    embedder = _made(spec) if isinstance(spec.model, str) else spec.model
    if not isinstance(getattr(embedder, "parameters", None), Mapping):
        raise ValueError(
            f"{embedder!r} has no 'parameters' mapping, so its vectors cannot be named in a store; give it one"
        )
    return embedder


def forget_model() -> None:
    """Let go of the model that this process has loaded, and of the memory it holds."""
    _made.cache_clear()


def look_up(job: EmbedJob, digest: str) -> Located:
    """Return where a video's vectors are or will be, and whether the store has them and the frame table.

    Parameters
    ----------
    job : EmbedJob
        What is embedded.
    digest : str
        The video's hash.

    Returns
    -------
    Located
    """
    from evfr._core.store import Store
    from evfr.verbs._measure import MeasureJob, is_intact, keys_of

    store = Store(job.store)
    measured = MeasureJob(job.source, job.store, (), "default", None, job.damaged, 1)
    frames, _, _ = keys_of(store, measured, digest)
    key = store.key(
        digest,
        "embedding",
        {
            **job.parameters,
            "every": job.every,
            "fps": job.fps,
            "damaged": job.damaged,
            "embedding_schema": EMBEDDING_SCHEMA,
        },
    )
    return Located(digest, frames, key, is_intact(store, key) and is_intact(store, frames))


def embed_video(job: EmbedJob, heartbeat: Heartbeat) -> Located:
    """Embed one video into the store, model and all in this process; runs in a worker of any executor.

    Parameters
    ----------
    job : EmbedJob
        What to do.
    heartbeat : callable
        Called with (frames done, frames claimed or None).

    Returns
    -------
    Located
        Where the vectors are.
    """
    from evfr._core.store import Store

    found = _hashed(job, heartbeat)
    if found.is_cached:
        return found
    embedder = load_model(job.spec)
    heartbeat(0, None)
    vectors: list[NDArray[np.float32]] = []
    pending: list[NDArray[np.uint8]] = []
    is_model = hasattr(embedder, "embed_prepared")

    def flush() -> None:
        if pending:
            vectors.append(embedder.embed_prepared(_stacked(pending)))
            pending.clear()

    def take(picture: NDArray[np.uint8]) -> None:
        if not is_model:
            vectors.append(embedder(picture[None]))
            return
        ready = embedder.preprocess(picture)
        if pending and ready.shape != pending[0].shape:
            flush()
        pending.append(ready)
        if len(pending) >= embedder.batch_size:
            flush()

    done = _decode(job, found, heartbeat, take)
    flush()
    write_embedding(Store(job.store), job, done, vectors or [no_vectors(embedder)])
    return done


def prepare_video(job: EmbedJob, heartbeat: Heartbeat) -> Located:
    """Decode one video and send what the model takes to the parent, which writes the vectors.

    Parameters
    ----------
    job : EmbedJob
        What to do, with ``preprocess``, ``address`` and ``item_index``.
    heartbeat : callable
        Called with (frames done, frames claimed or None), also while the parent is busy.

    Returns
    -------
    Located
        Where the vectors will be; with ``is_cached`` nothing was sent.
    """
    from evfr.distributed._ahead import Outlet

    found = _hashed(job, heartbeat)
    if found.is_cached:
        return found
    last: tuple[int, int | None] = (0, None)
    block: list[NDArray[np.uint8]] = []

    def beat(done: int, total: int | None) -> None:
        nonlocal last
        last = (done, total)
        heartbeat(done, total)

    with Outlet(job.address, job.item_index, lambda: heartbeat(*last)) as outlet:

        def flush() -> None:
            if block:
                outlet.send(_stacked(block))
                block.clear()

        def take(picture: NDArray[np.uint8]) -> None:
            ready = job.preprocess(picture)
            if block and ready.shape != block[0].shape:
                flush()
            block.append(ready)
            if len(block) >= _BLOCK_FRAMES or len(block) * ready.nbytes >= _BLOCK_BYTES:
                flush()

        done = _decode(job, found, beat, take)
        flush()
    return done


def write_embedding(store: Store, job: EmbedJob, done: Located, vectors: list[NDArray[np.float32]]) -> None:
    """Write the vectors of one video, as float16, under their key.

    Parameters
    ----------
    store : Store
        Where to.
    job : EmbedJob
        What was asked for.
    done : Located
        The key, and the frames that the vectors belong to.
    vectors : list of (B, D) float32
        Together one row per frame.

    Raises
    ------
    EvfrError
        If a value is beyond float16, or the store cannot be written.
    """
    import numpy as np
    import pyarrow as pa

    from evfr._core.selection import pts_column
    from evfr._core.vectors import vectors_to_column
    from evfr.errors import EvfrError

    assert done.frame_index is not None and done.pts is not None and done.time_seconds is not None
    rows = np.concatenate(vectors)
    if len(rows) != len(done.frame_index) or rows.ndim != 2:
        raise EvfrError(
            f"the embedder made {rows.shape} of {len(done.frame_index)} frames; it must make (N, D) of N frames"
        )
    try:
        column = vectors_to_column(rows)
    except ValueError as error:
        raise EvfrError(f"the vectors of {job.video_id} cannot be stored: {error}") from error
    table = pa.table(
        {
            "frame_index": done.frame_index,
            "pts": pts_column(done.pts),
            "time_seconds": done.time_seconds,
            "embedding": column,
        }
    )
    metadata = {
        "video_id": job.video_id,
        "embedder": dict(job.parameters),
        "model": job.spec.name,
        "every": job.every,
        "fps": job.fps,
    }
    store.write(done.key, table, metadata)


def _hashed(job: EmbedJob, heartbeat: Heartbeat) -> Located:
    from evfr._core.store import Store
    from evfr.video import content_hash

    digest = Store(job.store).cached_hash(
        job.source.path, lambda path: content_hash(path, on_chunk=lambda: heartbeat(0, None))
    )
    heartbeat(0, None)
    return look_up(job, digest)


def _decode(
    job: EmbedJob, found: Located, heartbeat: Heartbeat, take: Callable[[NDArray[np.uint8]], None]
) -> Located:
    """Decode the video once: ``take`` the pictures that are wanted, measure the frame table if it is missing."""
    import numpy as np

    from evfr._core.store import Store
    from evfr.signals import score_frames
    from evfr.verbs._measure import is_intact
    from evfr.verbs._stored import write_frames
    from evfr.video import open_video

    store = Store(job.store)
    ticks = Ticks(job.every, job.fps)
    wanted: list[int] = []
    with open_video(job.source.path, damaged=job.damaged) as reader:
        claimed = reader.info.claimed_frame_count

        def tapped() -> Any:
            for done, frame in enumerate(reader):
                if ticks.takes(frame.frame_index, frame.time_seconds):
                    wanted.append(frame.frame_index)
                    take(frame.rgb())
                if done % 8 == 0:
                    heartbeat(done, claimed)
                yield frame

        if is_intact(store, found.frames):
            for _ in tapped():
                pass
        else:
            scored = score_frames(tapped(), {})
            write_frames(store, found.frames, reader.table(), reader.info.to_dict(), reader.problems, scored)
        table = reader.table()
    heartbeat(len(table), len(table))
    index = np.array(wanted, np.int64)
    return Located(
        found.digest, found.frames, found.key, False, index, table.pts[index], table.time_seconds[index]
    )


def _stacked(pictures: list[NDArray[np.uint8]]) -> NDArray[np.uint8]:
    import numpy as np

    return np.stack(pictures)


def no_vectors(embedder: Any) -> NDArray[np.float32]:
    """Return (0, D) float32: what an embedder makes of no frames."""
    import numpy as np

    width = (
        getattr(embedder, "dimension", 0) or np.asarray(embedder(np.zeros((0, 8, 8, 3), np.uint8))).shape[1]
    )
    return np.zeros((0, width), np.float32)

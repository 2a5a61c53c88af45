"""Embed one video: which of its frames, one decode pass, and where the vectors are kept."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from evfr.verbs._embed_job import EmbedJob, Located, ModelSpec, Ticks, forget_model, load_model

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from evfr._core.store import Store

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

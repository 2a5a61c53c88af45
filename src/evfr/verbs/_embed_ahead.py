"""Child processes decode and prepare pictures ahead of the model, which runs in this process."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from evfr._core.types import Problem
    from evfr.distributed import Outcome
    from evfr.distributed._ahead import Arrays, Intake
    from evfr.verbs._embed_pass import EmbedJob, Located

__all__ = ["embed_ahead"]

QUEUE_BYTES = 256 << 20
_IDLE_SECONDS = 1.0


def embed_ahead(
    jobs_: Sequence[EmbedJob],
    embedder: Any,
    *,
    jobs: int | None,
    memory_limit_mb: int | None,
    timeout_seconds: float | None,
    on_outcome: Callable[[Outcome], None],
    on_progress: Callable[[int, int, int | None], None],
) -> list[Located | Problem]:
    """Embed videos with one model in this process and any number of decoding child processes.

    Parameters
    ----------
    jobs_ : sequence of EmbedJob
        One per video.
    embedder : callable
        With ``preprocess``, ``embed_prepared`` and ``batch_size``.
    jobs, memory_limit_mb, timeout_seconds, on_outcome, on_progress
        As in `evfr.distributed.map_videos`, of the decoding processes.

    Returns
    -------
    list of Located or Problem
        One per job, in order. A video is written as soon as its last batch is done.

    Notes
    -----
    The main thread supervises the children (so Ctrl-C stops them at once), a second one runs the model on full
    batches that go over video borders, a third one writes. What waits for the model is bounded by bytes; a child
    that waits keeps saying that it lives. A child that dies takes nothing with it: its video starts again on a
    connection of its own, and what the first one sent is dropped.
    """
    from evfr._core.store import Store
    from evfr.distributed import map_videos
    from evfr.distributed._ahead import Intake
    from evfr.errors import EvfrError
    from evfr.verbs._embed_pass import prepare_video, write_embedding

    store = Store(jobs_[0].store)
    with Intake(QUEUE_BYTES) as intake, ThreadPoolExecutor(1) as writer, ThreadPoolExecutor(1) as model:

        def write(row: int, located: Located, vectors: list[NDArray[np.float32]]) -> Future[None]:
            return writer.submit(write_embedding, store, jobs_[row], located, vectors)

        collector = _Collector(embedder, intake, write)
        running = model.submit(collector.run)

        def see_outcome(outcome: Outcome) -> None:
            _raise_if_broken(running)
            on_outcome(outcome)
            if outcome.is_ok:
                collector.expect(outcome.item_index, outcome.value)

        def see_progress(row: int, done: int, total: int | None) -> None:
            _raise_if_broken(running)
            on_progress(row, done, total)

        sent = [
            replace(job, preprocess=embedder.preprocess, address=intake.address, item_index=row)
            for row, job in enumerate(jobs_)
        ]
        try:
            outcomes = map_videos(
                prepare_video,
                sent,
                executor="processes",
                jobs=jobs,
                memory_limit_mb=memory_limit_mb,
                timeout_seconds=timeout_seconds,
                on_outcome=see_outcome,
                on_progress=see_progress,
            )
            intake.finish()
            running.result()
        except BaseException:
            collector.stop()
            raise
        found: list[Located | Problem] = []
        for row, outcome in enumerate(outcomes):
            if outcome.problem is not None:
                found.append(outcome.problem)
                continue
            try:
                collector.result(row)
                found.append(outcome.value)
            except EvfrError as error:
                found.append(_problem(jobs_[row], error))
        return found


@dataclass(slots=True)
class _Video:
    """What has come of one start of one video."""

    stream: int
    count: int = 0
    vectors: list[NDArray[np.float32]] = field(default_factory=list)


class _Collector:
    """Gather pictures into batches, run the model, give each video its rows back, have it written."""

    def __init__(
        self,
        embedder: Any,
        intake: Intake,
        write: Callable[[int, Located, list[NDArray[np.float32]]], Future[None]],
    ) -> None:
        self._embedder = embedder
        self._intake = intake
        self._write = write
        self._lock = threading.Lock()
        self._videos: dict[int, _Video] = {}
        self._expected: dict[int, Located] = {}
        self._written: dict[int, Future[None] | None] = {}
        self._pending: list[tuple[int, _Video, NDArray[np.uint8]]] = []
        self._pending_count = 0
        self._is_stopped = False

    def run(self) -> None:
        """Run the model until nothing comes any more; in a thread of its own."""
        try:
            while not self._is_stopped:
                arrays = self._intake.take(_IDLE_SECONDS)
                if arrays is not None:
                    self._add(arrays)
                    continue
                # Nothing waits: what is gathered is not held back for a batch that a slow video fills.
                self._run_batch()
                if self._intake.is_over:
                    return
        finally:
            self._intake.abort()

    def stop(self) -> None:
        """End `run` after the batch it is at; what is not complete is not written."""
        self._is_stopped = True
        self._intake.abort()

    def expect(self, row: int, located: Located) -> None:
        """Say how many frames a video has; called when its child is done."""
        with self._lock:
            self._expected[row] = located
            self._close(row)

    def result(self, row: int) -> None:
        """Wait until a video is written; raises what went wrong there."""
        with self._lock:
            future = self._written[row]
        if future is not None:
            future.result()

    def _add(self, arrays: Arrays) -> None:
        row = arrays.item_index
        with self._lock:
            video = self._videos.get(row)
            if row in self._written or (video is not None and arrays.stream < video.stream):
                return
            if video is None or arrays.stream > video.stream:
                video = self._videos[row] = _Video(arrays.stream)
        if self._pending and self._pending[0][2].shape[1:] != arrays.pictures.shape[1:]:
            self._run_batch()
        self._pending.append((row, video, arrays.pictures))
        self._pending_count += len(arrays.pictures)
        while self._pending_count >= self._embedder.batch_size and not self._is_stopped:
            self._run_batch()

    def _run_batch(self) -> None:
        import numpy as np

        if not self._pending_count or self._is_stopped:
            return
        room = self._embedder.batch_size
        taken: list[tuple[int, _Video, NDArray[np.uint8]]] = []
        while self._pending and room:
            row, video, pictures = self._pending.pop(0)
            if len(pictures) > room:
                self._pending.insert(0, (row, video, pictures[room:]))
                pictures = pictures[:room]
            taken.append((row, video, pictures))
            room -= len(pictures)
            self._pending_count -= len(pictures)
        parts = [pictures for _, _, pictures in taken]
        vectors = self._embedder.embed_prepared(parts[0] if len(parts) == 1 else np.concatenate(parts))
        start = 0
        with self._lock:
            for row, video, pictures in taken:
                video.vectors.append(vectors[start : start + len(pictures)])
                video.count += len(pictures)
                start += len(pictures)
                self._close(row)

    def _close(self, row: int) -> None:
        """Have a video written if all its rows are there."""
        from evfr.verbs._embed_pass import no_vectors

        located = self._expected.get(row)
        if located is None or row in self._written:
            return
        if located.is_cached:
            self._written[row] = None
            return
        assert located.frame_index is not None
        video = self._videos.get(row)
        if len(located.frame_index) == 0:
            self._written[row] = self._write(row, located, [no_vectors(self._embedder)])
        elif video is not None and video.count == len(located.frame_index):
            self._written[row] = self._write(row, located, video.vectors)
            del self._videos[row]


def _raise_if_broken(running: Future[None]) -> None:
    if running.done():
        running.result()


def _problem(job: EmbedJob, error: Exception) -> Problem:
    from evfr._core.types import Problem
    from evfr.errors import ProblemCode

    return Problem(ProblemCode.E_FAILED, str(error), job.video_id)

"""Carry what was detected on each key frame through the whole video: one pass forward and one backward, in chunks.

The objects of one key frame compete with each other for pixels; those of different key frames do not: they may be the
same object. So each key frame is carried on its own, and all of them share pictures and motion.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from evfr.verbs._carry import carry_interval
from evfr.verbs._carry_long import PIECE, labels_of_row
from evfr.verbs._propose_scene import Scene

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from evfr._core.annotations import FrameLabels
    from evfr._core.masks import Rle
    from evfr._core.remote_store import StoreRoot
    from evfr._core.store import Store, StoreKey
    from evfr.propagation import Carried, CarryEnd, Side
    from evfr.verbs._carry_method import BoundMethod
    from evfr.verbs._measure import Damaged, Measured
    from evfr.verbs._propose_watch import Watch

    Beat = Callable[[int, int | None], None]

__all__ = ["CarryPass", "PassResult", "carry_both_ways", "carry_pass", "chunks_of", "masks_by_track"]

STAGE = "propose-carry"
SCHEMA = 1
LEAST_WATCHED = 60


@dataclass(frozen=True, slots=True, eq=False)
class CarryPass:
    """Say what to carry through one video in one direction; travels to a child process.

    Attributes
    ----------
    measured : Measured
        The video and its frames.
    store : Path or RemoteRoot
        Where finished chunks are kept.
    method : str
        A key of `evfr.verbs._carry_method.METHODS`, where no bound method is given.
    options : mapping
        Its own options.
    damaged : str
        As in `evfr.select`.
    cuts : (C,) int64
        First frames of new shots, where the carry ends.
    side : {"left", "right"}
        ``"left"``: forward from labels at the left end; ``"right"``: backward.
    keys : tuple of K FrameLabels
        Objects of each key frame, with tracks of their own, at the size of the carry.
    size : tuple of (int, int)
        (height, width) at which objects are carried.
    watch : Watch or None
        Says what need not be carried on; None carries everything.
    """

    measured: Measured
    store: StoreRoot
    method: str
    options: Mapping[str, Any]
    damaged: Damaged
    cuts: NDArray[np.int64]
    side: Side
    keys: tuple[FrameLabels, ...]
    size: tuple[int, int]
    watch: Watch | None = None


@dataclass(frozen=True, slots=True, eq=False)
class PassResult:
    """Hold what one pass carried.

    Attributes
    ----------
    runs : tuple of (int, int, tuple of Rle or None)
        Track, first frame, and masks of the frames from there on; several for each track.
    ends : tuple of CarryEnd
        Where objects stopped, and why.
    notes : tuple of str
        Where motion came from.
    cached, total : int
        Chunks of a key frame that were in the store, and all of them.
    """

    runs: tuple[tuple[int, int, tuple[Rle | None, ...]], ...]
    ends: tuple[CarryEnd, ...]
    notes: tuple[str, ...]
    cached: int
    total: int


def chunks_of(frame_count: int, unseen_frames: int | None = None) -> list[tuple[int, int]]:
    """Return the chunks of a video, first and last frame included; neighbours share a frame.

    Parameters
    ----------
    frame_count : int
        Frames, 1 or more.
    unseen_frames : int or None
        After so many frames an object that is not seen counts as gone; None where nobody looks.

    Returns
    -------
    list of (int, int)
        Of about one length, at most 300 steps each; shorter where objects that are gone need not be carried on. None
        where there is a single frame.

    Examples
    --------
    >>> chunks_of(601), chunks_of(1)
    ([(0, 300), (300, 600)], [])
    """
    last = frame_count - 1
    longest = PIECE if unseen_frames is None else min(PIECE, max(LEAST_WATCHED, 4 * unseen_frames))
    count = math.ceil(last / longest)
    return list(pairwise(round(last * k / count) for k in range(count + 1))) if count else []


def carry_both_ways(
    job: CarryPass, bound: BoundMethod | None, *, executor: str, memory_limit_mb: int | None
) -> tuple[PassResult, PassResult]:
    """Carry forward and backward: in two child processes at once where the method can travel to them.

    Parameters
    ----------
    job : CarryPass
        What to carry; its side does not count.
    bound : BoundMethod or None
        A method that works in this process alone (a callable, a detector's own head); None otherwise.
    executor : str
        As in `evfr.distributed.map_videos`.
    memory_limit_mb : int or None
        Of each child.

    Returns
    -------
    tuple of PassResult
        Forward and backward.

    Raises
    ------
    VideoError
        If the video cannot be read any more, or a child process failed.
    """
    from evfr.errors import VideoError
    from evfr.verbs._run import run_videos

    passes = [replace(job, side="left"), replace(job, side="right")]
    names = [f"{job.measured.source.video_id} {way}" for way in ("forward", "backward")]
    if bound is not None or executor == "serial":
        return _both_here(passes, names, bound)
    outcomes = run_videos(
        carry_pass,
        passes,
        names,
        label="carrying",
        executor=executor,
        jobs=2,
        memory_limit_mb=memory_limit_mb,
        timeout_seconds=None,
    )
    for outcome in outcomes:
        if outcome.problem is not None:
            raise VideoError(outcome.problem)
    return outcomes[0].value, outcomes[1].value


def _both_here(
    passes: Sequence[CarryPass], names: Sequence[str], bound: BoundMethod | None
) -> tuple[PassResult, PassResult]:
    """Run both passes in this process, where errors come through as they are."""
    from evfr._core.progress import current_progress

    progress = current_progress()
    progress.start("carrying", len(passes))
    results = []
    try:
        for job, name in zip(passes, names, strict=True):
            results.append(carry_pass(job, lambda done, total: None, bound))
            progress.advance(1, name)
    finally:
        progress.finish()
    return results[0], results[1]


def carry_pass(job: CarryPass, heartbeat: Beat, bound: BoundMethod | None = None) -> PassResult:
    """Carry all key frames in one direction, chunk by chunk.

    Parameters
    ----------
    job : CarryPass
        What to do.
    heartbeat : callable
        Called with (frames done, frames in all).
    bound : BoundMethod or None
        The method; None binds it here.

    Returns
    -------
    PassResult
        Masks of all frames but the key frames themselves.
    """
    from evfr._core.store import Store
    from evfr.verbs._carry_method import bind_method

    method = bound or bind_method(job.method, job.options, job.measured, job.damaged)
    store, table = Store(job.store), job.measured.table
    assert table is not None
    chunks = chunks_of(len(table), None if job.watch is None else job.watch.unseen.frames)
    is_forward = job.side == "left"
    waiting = {labels.frame_index: labels for labels in job.keys if len(labels.track_ids)}
    moving: dict[int, FrameLabels] = {}
    runs: list[Any] = []
    ends: list[CarryEnd] = []
    cached = total = 0
    for first, last in chunks if is_forward else chunks[::-1]:
        # A key frame on the far border of a chunk starts with the next one.
        here = [key for key in waiting if (first <= key < last if is_forward else first < key <= last)]
        moving |= {key: waiting.pop(key) for key in here}
        scene = Scene(job, method, first, last)
        parts: dict[int, tuple[FrameLabels, Carried]] = {}
        for key, labels in sorted(moving.items()):
            total += 1
            part, was_kept = _carry_chunk(job, store, method, scene, labels, (first, last))
            cached += was_kept
            at_first = labels.frame_index + 1 if is_forward else first
            rows = part.masks[1:] if is_forward else part.masks[:-1]
            for k, track in enumerate(part.track_ids.tolist()):
                runs.append((track, at_first, tuple(row[k] for row in rows)))
            ends += part.ends
            parts[key] = labels, part
            heartbeat(last if is_forward else len(table) - first, len(table))
        is_seen = {} if job.watch is None else job.watch.seen(parts, first, last, job.side)
        row, border = (-1, last) if is_forward else (0, first)
        for key, (_, part) in parts.items():
            moving[key] = labels_of_row(part, row, border, is_seen.get(key))
        moving = {key: labels for key, labels in moving.items() if len(labels.track_ids)}
        if not moving and not waiting:
            break
    return PassResult(tuple(runs), tuple(ends), tuple(method.notes()), cached, total)


def _carry_chunk(
    job: CarryPass,
    store: Store,
    method: BoundMethod,
    scene: Scene,
    labels: FrameLabels,
    chunk: tuple[int, int],
) -> tuple[Carried, bool]:
    """Carry the objects of one key frame through one chunk, or read it; return it and whether it was there."""
    import numpy as np

    from evfr.propagation import Interval
    from evfr.verbs._carry_store import carried_from_table, carried_to_table
    from evfr.verbs._measure_keys import is_intact

    is_forward = job.side == "left"
    first, last = (labels.frame_index, chunk[1]) if is_forward else (chunk[0], labels.frame_index)
    cuts = job.cuts[(job.cuts > first) & (job.cuts <= last)]
    key = _key(job, store, method, labels, chunk, cuts)
    if key is not None and is_intact(store, key):
        entry = store.read_entry(key)
        return carried_from_table(entry.table, dict(entry.metadata)), True
    pictures = scene.pictures()
    own = slice(first - chunk[0], last - chunk[0] + 1)
    interval = Interval(
        pictures[own],
        np.arange(first, last + 1, dtype=np.int64),
        labels if is_forward else None,
        None if is_forward else labels,
        tuple(int(cut) - first for cut in cuts),
        pictures.is_usable[own],
    )
    carried = carry_interval(scene.propagator, interval)
    if key is not None and not any(end.reason.startswith("failed") for end in carried.ends):
        store.write(key, *carried_to_table(carried))
    return carried, False


def _key(
    job: CarryPass,
    store: Store,
    method: BoundMethod,
    labels: FrameLabels,
    chunk: tuple[int, int],
    cuts: NDArray[np.int64],
) -> StoreKey | None:
    from evfr.verbs._carry_store import SCHEMA as CARRIED_SCHEMA
    from evfr.verbs._carry_store import labels_digest

    if method.parameters is None:
        return None
    return store.key(
        job.measured.digest,
        STAGE,
        {
            **method.parameters,
            "method": method.name,
            "schema": [SCHEMA, CARRIED_SCHEMA],
            "damaged": job.damaged,
            "side": job.side,
            "size": list(job.size),
            "chunk": list(chunk),
            "cuts": cuts.tolist(),
            "labels": labels_digest(labels),
        },
    )


def masks_by_track(
    passes: Sequence[PassResult], keys: Sequence[FrameLabels], frame_count: int
) -> dict[int, list[Rle | None]]:
    """Put both passes and the key frames together.

    Parameters
    ----------
    passes : sequence of PassResult
        Forward and backward.
    keys : sequence of FrameLabels
        Objects of the key frames.
    frame_count : int
        T.

    Returns
    -------
    dict of int to list of T (Rle or None)
        Masks by track.
    """
    found: dict[int, list[Rle | None]] = {}
    for labels in keys:
        for track, mask in zip(labels.track_ids.tolist(), labels.masks, strict=True):
            found[track] = [None] * frame_count
            found[track][labels.frame_index] = mask
    for track, first, masks in _runs(passes):
        found[track][first : first + len(masks)] = masks
    return found


def _runs(passes: Sequence[PassResult]) -> Iterator[tuple[int, int, tuple[Rle | None, ...]]]:
    for one in passes:
        yield from one.runs

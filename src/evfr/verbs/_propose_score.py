"""Score carried sequences frame by frame: what a detector's head or a classifier says of the boxes of their masks."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from evfr.verbs._propose_detect import Opened, guarded
from evfr.verbs._propose_store import rows_from_column, rows_to_column

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from evfr._core.masks import Rle
    from evfr._core.store import Store, StoreKey
    from evfr._core.types import FrameTable
    from evfr.sequences import SequenceScores
    from evfr.verbs._measure import Measured

    FrameBoxes = tuple[int, NDArray[np.int64], NDArray[np.float64]]

__all__ = ["Scored", "Unseen", "boxes_of", "last_seen", "probabilities", "score_video"]

STAGE = "propose-score"
SCHEMA = 1
CHUNK = 128
"""Scored frames that are kept as one entry of the store."""


@dataclass(frozen=True, slots=True)
class Unseen:
    """Say when an object counts as gone, away from its key frame.

    Attributes
    ----------
    below : float
        Score of the class that was its best on the key frame, below which the judge does not see it.
    frames : int
        So many frames in a row.
    """

    below: float
    frames: int

    @classmethod
    def within(cls, seconds: float, below: float, table: FrameTable) -> Unseen:
        """Return the frames, one or more, that a video shows in so many seconds."""
        step = table.duration_seconds / max(len(table), 1)
        return cls(below, max(1, round(seconds / step)) if step > 0 else 1)


@dataclass(frozen=True, slots=True, eq=False)
class Scored:
    """Hold the scores of the sequences of one video.

    Attributes
    ----------
    scores : SequenceScores
        Eq. 1 for each sequence.
    masks : dict of int to list of T (Rle or None)
        Masks by track, ended where the judge did not see the object any more.
    ended : int
        How many carries of an object in one direction that ended.
    frame_count : int
        Frames on which boxes were scored.
    cached : int
        Those of them that were read from the store.
    """

    scores: SequenceScores
    masks: dict[int, list[Rle | None]]
    ended: int
    frame_count: int
    cached: int


def score_video(
    judge: Opened,
    measured: Measured,
    masks: Mapping[int, Sequence[Rle | None]],
    keys: Sequence[int],
    origins: Sequence[int],
    unseen: Unseen | None,
    *,
    every: int,
    over: Literal["present", "all"],
    damaged: Any,
    store: Store,
) -> Scored:
    """Score all sequences: on each ``every``-th frame, and on the key frames.

    Parameters
    ----------
    judge : Opened
        A detector or classifier.
    measured : Measured
        The video.
    masks : mapping of int to sequence of T (Rle or None)
        Masks by track, perhaps of smaller pictures.
    keys : sequence of int
        Key frames, which are scored whatever ``every`` is.
    origins : sequence of int
        Key frame of each track.
    unseen : Unseen or None
        When a sequence ends; None ends none.
    every : int
        1 scores every frame.
    over : {"present", "all"}
        Mean over the scored frames where a sequence is there, or over all scored frames.
    damaged : str
        As in `evfr.select`.
    store : Store
        Where scores are kept.

    Returns
    -------
    Scored
        One row for each track, in the order of the mapping.

    Raises
    ------
    InputError
        If the judge fails on a frame.
    """
    import numpy as np

    from evfr.sequences import score_sequences

    table = measured.table
    assert table is not None
    wanted = sorted({*range(0, len(table), every), *keys})
    looked: list[FrameBoxes] = []
    found: list[NDArray[np.float64]] = []
    cached = 0
    for rows, fresh, kept in _chunks(judge, measured, list(_boxes(masks, wanted, table)), damaged, store):
        looked += rows
        found += fresh
        cached += len(rows) if kept else 0
    reach = [(0, len(table) - 1)] * len(masks)
    if unseen is not None:
        reach = _reaches(looked, found, origins, unseen, len(table))
    first, last = (np.array([pair[side] for pair in reach], np.int64) for side in (0, 1))
    sums = np.zeros((len(masks), len(judge.categories)))
    counts = np.zeros(len(masks), np.int64)
    for (index, there, _), values in zip(looked, found, strict=True):
        is_kept = (first[there] <= index) & (index <= last[there])
        sums[there[is_kept]] += values[is_kept]
        counts[there[is_kept]] += 1
    mean = sums / np.maximum(counts, 1)[:, None]
    if over == "all":
        mean *= (counts / max(len(wanted), 1))[:, None]
    # A mean over frames stands for one frame that has it: the rest of Eq. 1 is the family's.
    scores = score_sequences(np.clip(mean, 0.0, 1.0)[:, None, :], (counts > 0)[:, None], over="present")
    cut = {
        track: [mask if low <= t <= high else None for t, mask in enumerate(row)]
        for (track, row), (low, high) in zip(masks.items(), reach, strict=True)
    }
    ended = sum((low > 0) + (high < len(table) - 1) for low, high in reach)
    return Scored(scores, cut, ended, len(looked), cached)


def _reaches(
    looked: Sequence[FrameBoxes],
    found: Sequence[NDArray[np.float64]],
    origins: Sequence[int],
    unseen: Unseen,
    frame_count: int,
) -> list[tuple[int, int]]:
    """Return the first and last frame of each sequence up to which the judge sees it as what it was at first."""
    import numpy as np

    own = np.zeros(len(origins), np.int64)
    for (index, there, _), values in zip(looked, found, strict=True):
        starts = [place for place, row in enumerate(there.tolist()) if origins[row] == index]
        own[there[starts]] = values[starts].argmax(axis=1)
    seen: list[list[tuple[int, bool]]] = [[] for _ in origins]
    for (index, there, _), values in zip(looked, found, strict=True):
        is_seen = values[np.arange(len(there)), own[there]] >= unseen.below
        for row, flag in zip(there.tolist(), is_seen.tolist(), strict=True):
            seen[row].append((index, flag))
    return [
        (
            frame_count
            - 1
            - last_seen(
                [(frame_count - 1 - t, is_seen) for t, is_seen in rows[::-1]],
                frame_count - 1 - key,
                unseen.frames,
                frame_count,
            ),
            last_seen(rows, key, unseen.frames, frame_count),
        )
        for rows, key in zip(seen, origins, strict=True)
    ]


def last_seen(rows: Sequence[tuple[int, bool]], key: int, frames: int, frame_count: int) -> int:
    """Return the frame after which an object is not seen any more, going up from its key frame.

    Parameters
    ----------
    rows : sequence of (int, bool)
        Frames on which it was looked at, increasing, and whether it was seen.
    key : int
        Its key frame, where it was seen.
    frames : int
        So many frames without being seen end it.
    frame_count : int
        Frames of the video.

    Returns
    -------
    int
        The last frame where it was seen before the first such gap; the last of the video where there is none.

    Examples
    --------
    >>> rows = [(0, True), (2, False), (4, True), (6, False), (8, False), (10, False)]
    >>> last_seen(rows, 0, 4, 12), last_seen(rows, 0, 8, 12)
    (4, 11)
    """
    last = key
    for index, is_seen in rows:
        if index <= key:
            continue
        if is_seen:
            last = index
        elif index - last >= frames:
            return last
    return frame_count - 1


def _boxes(
    masks: Mapping[int, Sequence[Rle | None]], wanted: Sequence[int], table: Any
) -> Iterator[FrameBoxes]:
    """Yield (frame, rows of the sequences that are there, their boxes in pixels of the video)."""
    import numpy as np

    tracks = list(masks.values())
    for index in wanted:
        there = [(row, mask) for row, track in enumerate(tracks) if (mask := track[index]) is not None]
        if not there:
            continue
        boxes = boxes_of([mask for _, mask in there], table)
        yield index, np.array([row for row, _ in there], np.int64), boxes


def boxes_of(masks: Sequence[Rle], table: FrameTable) -> NDArray[np.float64]:
    """Return the boxes of masks in pixels of the video.

    Parameters
    ----------
    masks : sequence of B Rle
        One or more, perhaps of smaller pictures.
    table : FrameTable
        The frames of the video.

    Returns
    -------
    (B, 4) float64
        x0, y0, x1, y1, within the picture.
    """
    import numpy as np

    scale = np.array([table.width / masks[0].width, table.height / masks[0].height] * 2)
    boxes = np.array([mask.box_xyxy for mask in masks], np.float64) * scale
    limit = np.array([table.width, table.height] * 2, np.float64)
    return np.asarray(np.clip(boxes, 0.0, limit), np.float64)


def _chunks(
    judge: Opened, measured: Measured, rows: Sequence[FrameBoxes], damaged: Any, store: Store
) -> Iterator[tuple[Sequence[FrameBoxes], list[NDArray[np.float64]], bool]]:
    """Yield the frames of each chunk, the scores of their boxes, and whether they were in the store."""
    from evfr._core.progress import current_progress
    from evfr.verbs._measure_keys import is_intact

    progress = current_progress()
    progress.start("scoring", len(rows))
    parts = [rows[first : first + CHUNK] for first in range(0, len(rows), CHUNK)]
    keys = [_key(judge, measured, part, damaged, store) for part in parts]
    kept = [key is not None and is_intact(store, key) for key in keys]
    todo = [row for part, is_kept in zip(parts, kept, strict=True) if not is_kept for row in part]
    fresh = _score(judge, measured, todo, damaged)
    try:
        for part, key, is_kept in zip(parts, keys, kept, strict=True):
            if is_kept and key is not None:
                found = _from_table(store.read_entry(key).table, part, len(judge.categories))
            else:
                found = []
                for index, _, _ in part:
                    found.append(next(fresh))
                    progress.advance(1, f"{measured.source.video_id} (frame {index})")
                if key is not None:
                    store.write(key, _to_table(found), {"frame_count": len(found)})
            yield part, found, is_kept
    finally:
        progress.finish()


def _score(
    judge: Opened, measured: Measured, rows: Sequence[FrameBoxes], damaged: Any
) -> Iterator[NDArray[np.float64]]:
    """Score frames in turn; the next picture is decoded while the network looks at this one."""
    from concurrent.futures import ThreadPoolExecutor

    from evfr.video import extract_frames

    if not rows:
        return
    table = measured.table
    assert table is not None
    frames = iter(extract_frames(measured.source.path, [row[0] for row in rows], table, damaged=damaged))
    with ThreadPoolExecutor(1) as ahead:
        coming = ahead.submit(next, frames)
        for number, (index, _, boxes) in enumerate(rows):
            image = coming.result().image
            if number + 1 < len(rows):
                coming = ahead.submit(next, frames)
            where = f"{measured.source.video_id}: {judge.name} failed on frame {index}"
            yield guarded(where, functools.partial(probabilities, judge, image, boxes))


def probabilities(judge: Opened, image: NDArray[np.uint8], boxes: NDArray[np.float64]) -> NDArray[np.float64]:
    """Ask a judge for the class probabilities of boxes, and check its answer.

    Parameters
    ----------
    judge : Opened
        A detector or classifier of C classes.
    image : (H, W, 3) uint8
        RGB.
    boxes : (B, 4) float64
        Pixels.

    Returns
    -------
    (B, C) float64
        In [0, 1].

    Raises
    ------
    ValueError
        If the answer has another shape or other values.
    """
    import numpy as np

    found = np.asarray(judge.model.score_boxes(image, boxes), np.float64)
    shape = (len(boxes), len(judge.categories))
    if found.shape != shape:
        raise ValueError(
            f"score_boxes must return {shape} for {shape[0]} boxes of {shape[1]} classes, got {found.shape}"
        )
    if not (np.isfinite(found).all() and (found >= 0).all() and (found <= 1).all()):
        raise ValueError("score_boxes must return probabilities in 0..1, got others")
    return found


# -- the store -----------------------------------------------------------------------------------------------------


def _key(
    judge: Opened, measured: Measured, part: Sequence[FrameBoxes], damaged: Any, store: Store
) -> StoreKey | None:
    from evfr._core.store_format import digest_of

    if judge.identity is None:
        return None
    boxes = digest_of("boxes", *((index, found.tolist()) for index, _, found in part))
    return store.key(
        measured.digest, STAGE, {**judge.identity, "schema": SCHEMA, "damaged": damaged, "boxes": boxes}
    )


def _to_table(found: Sequence[NDArray[np.float64]]) -> Any:
    import numpy as np
    import pyarrow as pa

    return pa.table({"scores": rows_to_column(np.concatenate(found))})


def _from_table(table: Any, part: Sequence[FrameBoxes], classes: int) -> list[NDArray[np.float64]]:
    import numpy as np

    counts = [len(there) for _, there, _ in part]
    return np.split(rows_from_column(table["scores"], classes), np.cumsum(counts)[:-1])

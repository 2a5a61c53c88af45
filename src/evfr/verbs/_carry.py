"""Carry the labels of one video through all its stretches: one pass, one stretch at a time, each kept in the store."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from evfr.verbs._carry_frames import (
    Joined,
    Pictures,
    Stretch,
    load_pictures,
    plan_stretches,
    stretch_pictures,
)
from evfr.verbs._carry_long import Piece, carry_long, is_long

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from evfr._core.annotations import FrameLabels, VideoAnnotations
    from evfr._core.store import Store, StoreKey
    from evfr.propagation import Carried, HeldOut, Interval, Propagator
    from evfr.verbs._measure import Measured

    Ends = tuple[FrameLabels | None, FrameLabels | None]

__all__ = ["CarriedVideo", "CarryJob", "carry_interval", "carry_video", "held_out_frames"]


@dataclass(frozen=True, slots=True)
class CarryJob:
    """Say what to carry through one video.

    Attributes
    ----------
    measured : Measured
        The video and its frames.
    labels : VideoAnnotations
        Of this video alone, on its true frames; every object has a track.
    method : str
        For the record; a key of `PROPAGATORS` unless ``propagator`` is the caller's own.
    propagator : callable
        ``(interval) -> Carried``, options and step fields bound.
    parameters : mapping or None
        All that the result depends on besides video, labels and stretch; None where that is not known (a callable
        of the caller's), and then nothing is kept in the store.
    damaged : str
        As in `evfr.select`.
    cuts : (C,) int64
        First frames of new shots.
    held_out : int
        Labelled frames to hold out for trust, at most.
    store : Store
        Where finished stretches are kept.
    """

    measured: Measured
    labels: VideoAnnotations
    method: str
    propagator: Propagator
    parameters: Mapping[str, Any] | None
    damaged: Any
    cuts: NDArray[np.int64]
    held_out: int
    store: Store


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class CarriedVideo:
    """Hold what was carried through one video.

    Attributes
    ----------
    stretches : tuple of Stretch
        From the first frame to the last.
    parts : tuple of Carried
        What was carried through each.
    held : HeldOut
        What the labelled frames that were held out showed.
    cached : int
        Stretches that were read from the store.
    """

    stretches: tuple[Stretch, ...]
    parts: tuple[Carried, ...]
    held: HeldOut
    cached: int


def held_out_frames(labeled: Sequence[int], most: int) -> list[int]:
    """Return which labelled frames to hold out: spread evenly over those that have labelled frames on both sides.

    Parameters
    ----------
    labeled : sequence of int
        All labelled frames, increasing.
    most : int
        At most so many.

    Returns
    -------
    list of int
        Increasing.

    Examples
    --------
    >>> held_out_frames([0, 10, 20, 30, 40], 2)
    [10, 30]
    """
    inner = list(labeled[1:-1])
    n = min(most, len(inner))
    return [inner[(2 * k + 1) * len(inner) // (2 * n)] for k in range(n)]


def carry_video(job: CarryJob) -> CarriedVideo:
    """Carry the labels of one video from its labelled frames to all others.

    Parameters
    ----------
    job : CarryJob
        What to do.

    Returns
    -------
    CarriedVideo
        All stretches.

    Raises
    ------
    VideoError
        If the video cannot be read any more.
    """
    from evfr._core.progress import current_progress
    from evfr.propagation import HeldOut

    table = job.measured.table
    assert table is not None
    labeled = job.labels.videos[0].frame_index.tolist()
    stretches = plan_stretches(labeled, len(table))
    tests = held_out_frames(labeled, job.held_out)
    parts: list[Carried | None] = [
        _read(job, _key(job, stretch, _ends(job, stretch), None), _read_carried) for stretch in stretches
    ]
    held: dict[int, HeldOut | None] = {}
    joints = {stretch.last: number for number, stretch in enumerate(stretches) if stretch.has_right}
    # What lies between two labelled frames is carried at once to hold out the one between them; not if it is too long.
    tests = [frame for frame in tests if not is_long(_across(stretches, joints[frame]))]
    for frame in tests:
        held[frame] = _read(job, _held_key(job, _across(stretches, joints[frame]), frame), _read_held)
    wanted = [part is None and not is_long(stretch) for part, stretch in zip(parts, stretches, strict=True)]
    for frame, rows in held.items():
        if rows is None:
            wanted[joints[frame]] = wanted[joints[frame] + 1] = True
    cached = sum(part is not None for part in parts)
    progress = current_progress()
    progress.start("carrying", len(table))
    before: Pictures | None = None
    try:
        for number, pictures in stretch_pictures(
            job.measured.source.path, stretches, table, damaged=job.damaged, wanted=wanted
        ):
            stretch = stretches[number]
            if is_long(stretch) and parts[number] is None:
                parts[number] = _carry_pieces(job, stretch)
            elif pictures is not None and parts[number] is None:
                carried = carry_interval(
                    job.propagator, _interval(job, stretch, _ends(job, stretch), pictures, pictures.is_usable)
                )
                _write_carried(job, _key(job, stretch, _ends(job, stretch), None), carried)
                parts[number] = carried
            if pictures is not None and before is not None and held.get(stretch.first, 0) is None:
                held[stretch.first] = _hold_out(
                    job, _across(stretches, number - 1), stretch.first, before, pictures
                )
            before = pictures
            progress.advance(
                max(len(stretch) - 1, 1), f"{job.measured.source.video_id} (frame {stretch.last})"
            )
    finally:
        progress.finish()
    return CarriedVideo(
        tuple(stretches),
        tuple(part for part in parts if part is not None),
        HeldOut.join([rows for rows in held.values() if rows is not None]),
        cached,
    )


def _across(stretches: Sequence[Stretch], number: int) -> Stretch:
    """Return a stretch and the next one as one."""
    left, right = stretches[number], stretches[number + 1]
    return Stretch(left.first, right.last, left.has_left, right.has_right)


def _interval(
    job: CarryJob,
    stretch: Stretch,
    ends: Ends,
    pictures: Pictures | Joined,
    is_usable: NDArray[np.bool_],
) -> Interval:
    """Return a stretch as propagators take it."""
    import numpy as np

    from evfr.propagation import Interval

    inside = job.cuts[(job.cuts > stretch.first) & (job.cuts <= stretch.last)] - stretch.first
    return Interval(
        pictures,
        np.arange(stretch.first, stretch.last + 1, dtype=np.int64),
        *ends,
        tuple(int(cut) for cut in inside),
        is_usable,
    )


def _ends(job: CarryJob, stretch: Stretch) -> Ends:
    """Return the labels of people at both ends."""
    return (
        _labels(job, stretch.first) if stretch.has_left else None,
        _labels(job, stretch.last) if stretch.has_right else None,
    )


def _labels(job: CarryJob, frame: int) -> FrameLabels:
    return job.labels.labels_at(job.labels.videos[0].video_id, frame)


def _carry_pieces(job: CarryJob, stretch: Stretch) -> Carried:
    """Carry through a long stretch piece by piece; each finished piece is kept."""
    from evfr._core.progress import current_progress

    table = job.measured.table
    assert table is not None

    def carry(piece: Piece) -> Carried:
        part = Stretch(piece.first, piece.last, piece.side == "left", piece.side == "right")
        ends: Ends = (piece.labels, None) if piece.side == "left" else (None, piece.labels)
        key = _key(job, part, ends, None)
        carried: Carried | None = _read(job, key, _read_carried)
        if carried is None:
            path = job.measured.source.path
            pictures = load_pictures(path, piece.first, piece.last, table, damaged=job.damaged)
            carried = carry_interval(job.propagator, _interval(job, part, ends, pictures, pictures.is_usable))
            _write_carried(job, key, carried)
        current_progress().advance(0, f"{job.measured.source.video_id} (frame {piece.last})")
        return carried

    return carry_long(stretch, *_ends(job, stretch), carry)


def carry_interval(propagator: Propagator, interval: Interval) -> Carried:
    """Carry through one stretch; a propagator that fails leaves the labels of the ends, and says so.

    Parameters
    ----------
    propagator : callable
        ``(interval) -> Carried``, options and step fields bound.
    interval : Interval
        The stretch.

    Returns
    -------
    Carried
        With ends ``"failed: ..."`` where the propagator failed.

    Raises
    ------
    EvfrError
        If an extra is missing or weights do not load: no other stretch will do better.
    """
    import cv2

    from evfr.errors import EvfrError
    from evfr.propagation import SIDES, CarryEnd, assemble, label_rows

    if not len(interval.track_ids):
        return assemble(interval)  # both ends say that nothing is there
    try:
        return propagator(interval)
    except EvfrError:
        raise
    except (cv2.error, RuntimeError, ArithmeticError, IndexError) as error:
        text = " ".join(str(error).split())[:200] or type(error).__name__
        ends = []
        for side in SIDES:
            positions, _ = interval.reach(side)
            if len(positions) < 2:
                continue
            ends += [
                CarryEnd(int(track), int(interval.frame_index[positions[1]]), side, f"failed: {text}")
                for track, row in zip(interval.track_ids, label_rows(interval, side), strict=True)
                if row >= 0
            ]
        return assemble(interval, ends=ends)


def _hold_out(job: CarryJob, across: Stretch, frame: int, left: Pictures, right: Pictures) -> HeldOut:
    import numpy as np

    from evfr.propagation import held_out

    usable = np.concatenate([left.is_usable, right.is_usable[1:]])
    interval = _interval(job, across, _ends(job, across), Joined(left, right), usable)
    carried = carry_interval(job.propagator, interval)
    rows = held_out(carried, frame - across.first, _labels(job, frame))
    if (key := _held_key(job, across, frame)) is not None:
        _write_held(job.store, key, rows)
    return rows


# -- the store -----------------------------------------------------------------------------------------------------


def _held_key(job: CarryJob, across: Stretch, frame: int) -> StoreKey | None:
    return _key(job, across, _ends(job, across), frame)


def _key(
    job: CarryJob,
    stretch: Stretch,
    ends: Ends,
    held: int | None,
) -> StoreKey | None:
    from evfr.verbs._carry_store import SCHEMA, STAGE, labels_digest

    if job.parameters is None:
        return None
    cuts = job.cuts[(job.cuts > stretch.first) & (job.cuts <= stretch.last)]
    return job.store.key(
        job.measured.digest,
        STAGE if held is None else f"{STAGE}-held-out",
        {
            **job.parameters,
            "method": job.method,
            "schema": SCHEMA,
            "damaged": job.damaged,
            "first": stretch.first,
            "last": stretch.last,
            "cuts": cuts.tolist(),
            "left": labels_digest(ends[0]),
            "right": labels_digest(ends[1]),
            "held": None if held is None else [held, labels_digest(_labels(job, held))],
        },
    )


def _read(job: CarryJob, key: StoreKey | None, read: Callable[[Any, dict[str, Any]], Any]) -> Any:
    from evfr.verbs._measure_keys import is_intact

    if key is None or not is_intact(job.store, key):
        return None
    entry = job.store.read_entry(key)
    return read(entry.table, dict(entry.metadata))


def _read_carried(table: Any, metadata: dict[str, Any]) -> Carried:
    from evfr.verbs._carry_store import carried_from_table

    return carried_from_table(table, metadata)


def _write_carried(job: CarryJob, key: StoreKey | None, carried: Carried) -> None:
    from evfr.verbs._carry_store import carried_to_table

    if key is not None and not any(end.reason.startswith("failed") for end in carried.ends):
        job.store.write(key, *carried_to_table(carried))


def _read_held(table: Any, metadata: dict[str, Any]) -> HeldOut:
    import numpy as np

    from evfr.propagation import HeldOut

    features = np.stack([table[f"f{k}"].to_numpy() for k in range(5)], axis=1)
    return HeldOut(features, table["iou"].to_numpy(), table["frame"].to_numpy(), metadata["missed"])


def _write_held(store: Store, key: StoreKey, rows: HeldOut) -> None:
    import pyarrow as pa

    columns = {f"f{k}": pa.array(rows.features[:, k], pa.float64()) for k in range(5)}
    columns |= {"iou": pa.array(rows.true_iou, pa.float64()), "frame": pa.array(rows.frames, pa.int64())}
    store.write(key, pa.table(columns), {"missed": rows.missed})

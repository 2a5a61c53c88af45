"""Carry labels by a learned model of the user's: one protocol for all of them, soft masks that compete."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Protocol

import numpy as np

from evfr._core.masks import Rle
from evfr.propagation._interval import (
    SIDES,
    Carried,
    CarryEnd,
    Interval,
    Side,
    assemble,
    label_of,
)
from evfr.propagation._session_cutie import cutie_session
from evfr.propagation._session_fusion import SoftMask, area_jumps, compete
from evfr.propagation._session_transformers import transformers_session

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from evfr._core.motion import StepFieldMaker

__all__ = ["PropagationSession", "SessionMaker", "open_session", "session"]


class PropagationSession(Protocol):
    """Follow objects through one stretch of frames; what a learned propagator must offer.

    Attributes
    ----------
    kind : {"multi_key", "pairwise"}
        ``"multi_key"``: all labelled frames are given before the first step, and each step may look at all of them.
        ``"pairwise"``: one labelled frame is given; the frames follow in order, away from it.
    """

    kind: Literal["multi_key", "pairwise"]

    def add_key(
        self, frame_index: int, image: NDArray[np.uint8], masks: Mapping[int, NDArray[np.bool_]]
    ) -> None:
        """Take the labels of one frame: image (H, W, 3) uint8 RGB, and a mask (H, W) bool by track id."""

    def step(self, frame_index: int, image: NDArray[np.uint8]) -> Mapping[int, NDArray[np.float32]]:
        """Return a soft mask (H, W) float32 in [0, 1] by track id; a track that is left out is not in the frame."""

    def close(self) -> None:
        """Free what the session holds; nothing is called afterwards."""


SessionMaker = Callable[[], PropagationSession]
"""Opens a fresh session; called once for each stretch and direction."""


def session(
    interval: Interval,
    *,
    steps: Mapping[str, StepFieldMaker] | None = None,
    session: str | SessionMaker = "",
    device: str = "auto",
) -> Carried:
    """Carry labels by a learned propagator of the user's, for example SAM 2 or Cutie (ours).

    Parameters
    ----------
    interval : Interval
        Frames and the labels of one or both ends.
    steps : mapping of str to StepFieldMaker or None
        Not used: a session makes its own idea of motion.
    session : str or SessionMaker
        Folder with the weights of a video model of transformers (Sam2Video, Sam3TrackerVideo, EdgeTamVideo), or
        ``cutie`` for the Cutie package that you installed. From Python also a callable that opens a session.
    device : str
        ``auto`` (a GPU where there is one), ``cpu``, ``cuda`` or ``cuda:1``.

    Returns
    -------
    Carried
        Hard masks that do not overlap between labelled frames. ``score`` is the mean soft value inside the mask;
        ``evidence.agreement`` is measured by pairwise sessions for tracks that both ends label.

    Raises
    ------
    ValueError
        If no session is named, or its kind is unknown.
    InputError
        If the weights cannot be used.
    MissingExtraError
        If transformers, torch or Cutie is not installed.

    Notes
    -----
    A ``multi_key`` session gets all labels of its tracks and runs once: forward for tracks that the left end labels,
    backward for those that only the right end does. A ``pairwise`` one runs forward from the left end and backward
    from the right one, and a track that both label gets their mean, weighted by the distance to the other end.
    At each pixel the tracks and the background, whose probability is the product of all (1 - p), compete: the largest
    takes it, of two equals the smaller object. A label that is a box only is given as a filled box and comes back as a
    box.

    Where a session fails with several tracks, each is tried alone; one that fails again keeps the frames it reached,
    and an end ``"failed: ..."`` says what happened. A track whose mask stays empty ends as ``"lost"``.
    """
    maker = open_session(session, device=device) if isinstance(session, str | Path) else session
    tracks = interval.track_ids
    keys = {side: _key_masks(interval, side) for side in SIDES}
    soft: dict[Side, list[dict[int, SoftMask]]] = {side: [{} for _ in range(len(interval))] for side in SIDES}
    failed: list[CarryEnd] = []
    kind = _kind_of(maker)
    for run in _plan(interval, keys, kind):
        _follow(interval, maker, run, soft[run.side], failed)
    masks, score, agreement = compete(interval, soft)
    boxes = np.full((len(interval), len(tracks), 4), np.nan)
    carried_as_box = [_is_box(interval, k) for k in range(len(tracks))]
    area = area_jumps(interval, masks, keys)
    lost = _lost(interval, keys, masks, {(end.track_id, end.side) for end in failed})
    for t, row in enumerate(masks):
        for k, mask in enumerate(row):
            if mask is not None and carried_as_box[k]:
                boxes[t, k], row[k] = mask.box_xyxy, None
    return assemble(
        interval,
        masks=masks,
        boxes_xyxy=boxes,
        score=score,
        evidence={"agreement": agreement, "area_jump": area},
        ends=[*failed, *lost],
    )


def open_session(name: str | Path, *, device: str = "auto") -> SessionMaker:
    """Return what opens sessions of a model, by its name; the weights are read once.

    Parameters
    ----------
    name : str or Path
        A folder of transformers' form, or ``cutie``.
    device : str
        ``auto``, ``cpu``, ``cuda`` or ``cuda:1``.

    Returns
    -------
    SessionMaker
        Opens sessions that share the weights.

    Raises
    ------
    ValueError
        If the name is empty.
    InputError
        If the weights cannot be used.
    MissingExtraError
        If a package is missing.
    """
    if not str(name):
        raise ValueError(
            "the method 'session' needs session: a folder with the weights of a Sam2Video, Sam3TrackerVideo or "
            "EdgeTamVideo model, or 'cutie'"
        )
    if str(name) == "cutie":
        return cutie_session(device=device)
    return transformers_session(Path(name), device=device)


@dataclass(frozen=True, slots=True)
class _Run:
    """One pass of one session: where it starts, which tracks it follows, which further labels it is shown."""

    side: Side
    tracks: tuple[int, ...]
    keys: tuple[Side, ...]


def _kind_of(maker: SessionMaker) -> str:
    probe = maker()
    kind = getattr(probe, "kind", None)
    probe.close()
    if kind not in ("multi_key", "pairwise"):
        raise ValueError(f"the kind of a session must be 'multi_key' or 'pairwise', got {kind!r}")
    return str(kind)


def _key_masks(interval: Interval, side: Side) -> dict[int, NDArray[np.bool_]]:
    """Return the masks that one end gives, by track; a box without a mask is filled, an empty mask left out."""
    found = {}
    for k, track in enumerate(interval.track_ids.tolist()):
        label = label_of(interval, side, k)
        if label is None:
            continue
        mask, box = label
        dense = np.zeros((interval.height, interval.width), np.bool_) if mask is None else mask.to_mask()
        if mask is None and np.isfinite(box).all():
            x0, y0, x1, y1 = (max(round(float(value)), 0) for value in box)
            dense[y0:y1, x0:x1] = True
        if dense.any():
            found[track] = dense
    return found


def _is_box(interval: Interval, k: int) -> bool:
    labels = [label for side in SIDES if (label := label_of(interval, side, k)) is not None]
    return all(mask is None for mask, _ in labels)


def _plan(interval: Interval, keys: Mapping[Side, Mapping[int, object]], kind: str) -> list[_Run]:
    """Say which passes are made; nothing crosses a cut or a damaged frame."""
    runs = []
    is_whole = all(len(interval.reach(side)[0]) == len(interval) for side in SIDES)
    for side in SIDES:
        tracks = tuple(keys[side])
        shown: tuple[Side, ...] = (side,)
        if kind == "multi_key" and is_whole:
            shown = SIDES
            tracks = tuple(track for track in tracks if side == "left" or track not in keys["left"])
        if tracks and _wanted(interval, side):
            runs.append(_Run(side, tracks, shown))
    return runs


def _wanted(interval: Interval, side: Side) -> range:
    """Return the positions that a pass from one end is asked for: not the frames that people labelled."""
    positions, _ = interval.reach(side)
    other: Side = "right" if side == "left" else "left"
    meets = len(positions) == len(interval) and interval.labels(other) is not None
    return positions[1:-1] if meets else positions[1:]


def _follow(
    interval: Interval,
    maker: SessionMaker,
    run: _Run,
    soft: list[dict[int, SoftMask]],
    failed: list[CarryEnd],
) -> None:
    """Make one pass; if it fails with several tracks, make it again for each of them alone."""
    reached, error = _pass(interval, maker, run, soft)
    if error is None:
        return
    if len(run.tracks) > 1:
        for track in run.tracks:
            for found in soft:
                found.pop(track, None)
            _follow(interval, maker, _Run(run.side, (track,), run.keys), soft, failed)
        return
    frame = int(interval.frame_index[reached])
    text = (str(error).strip() or "no text").splitlines()[0]
    failed.append(CarryEnd(run.tracks[0], frame, run.side, f"failed: {type(error).__name__}: {text}"))


def _pass(
    interval: Interval, maker: SessionMaker, run: _Run, soft: list[dict[int, SoftMask]]
) -> tuple[int, Exception | None]:
    """Return the position that was worked on last, and what went wrong there."""
    wanted = _wanted(interval, run.side)
    at = wanted[0]
    try:
        model = maker()
        try:
            for side in run.keys:
                place = 0 if side == "left" else len(interval) - 1
                masks = {
                    track: mask for track, mask in _key_masks(interval, side).items() if track in run.tracks
                }
                if masks:
                    model.add_key(int(interval.frame_index[place]), interval.frames[place], masks)
            for at in wanted:
                _store(
                    model.step(int(interval.frame_index[at]), interval.frames[at]), interval, run, soft[at]
                )
        finally:
            model.close()
    except Exception as error:  # noqa: BLE001  (a session is foreign code; what it raises is told, and the rest goes on)
        return at, error
    return at, None


def _store(
    found: Mapping[int, NDArray[np.float32]], interval: Interval, run: _Run, soft: dict[int, SoftMask]
) -> None:
    for track in run.tracks:
        if track not in found:
            continue
        values = np.asarray(found[track], np.float32)
        if values.shape != (interval.height, interval.width):
            raise ValueError(
                f"the soft mask of track {track} must be {(interval.height, interval.width)}, got {values.shape}"
            )
        if not (values.min() >= 0 and values.max() <= 1):
            raise ValueError(f"the soft mask of track {track} must lie in [0, 1]")
        soft[track] = SoftMask.of(values)


def _lost(
    interval: Interval,
    keys: Mapping[Side, Mapping[int, object]],
    masks: Sequence[Sequence[Rle | None]],
    failed: set[tuple[int, Side]],
) -> list[CarryEnd]:
    """Return an end for each track that is empty from some frame on to the end of its reach."""
    found = []
    for side in SIDES:
        carried = _wanted(interval, side)
        for k, track in enumerate(interval.track_ids.tolist()):
            if track not in keys[side] or (track, side) in failed or not len(carried):
                continue
            seen = [place for place, t in enumerate(carried) if masks[t][k] is not None]
            first = seen[-1] + 1 if seen else 0
            if first < len(carried):
                found.append(CarryEnd(track, int(interval.frame_index[carried[first]]), side, "lost"))
    return found

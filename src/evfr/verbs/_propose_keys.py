"""Choose the key frames on which objects are detected: evenly spaced, or those that a selection names."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from evfr.verbs._measure import Measured

__all__ = ["KeyFrames", "choose_keys", "spaced"]


@dataclass(frozen=True, slots=True)
class KeyFrames:
    """Hold the key frames of one video.

    Attributes
    ----------
    frame_index : tuple of K int
        Increasing.
    notes : tuple of str
        What was not as asked: frames that moved because of damage, frames that fell together.
    """

    frame_index: tuple[int, ...]
    notes: tuple[str, ...] = ()


def spaced(count: int, frame_count: int) -> list[int]:
    """Return evenly spaced frames, both ends included (Propose-Reduce: t_k = int(k (T - 1) / (K - 1))).

    Parameters
    ----------
    count : int
        Key frames, K; a single one is in the middle, from where it is nearest to all frames.
    frame_count : int
        Frames of the video, T; at least K.

    Returns
    -------
    list of K int
        Increasing.

    Examples
    --------
    >>> spaced(5, 11), spaced(1, 11)
    ([0, 2, 5, 7, 10], [5])
    """
    if count == 1:
        return [(frame_count - 1) // 2]
    return [k * (frame_count - 1) // (count - 1) for k in range(count)]


def choose_keys(
    measured: Measured, usable: NDArray[np.bool_], count: int, frames: Sequence[str | int | Path]
) -> KeyFrames:
    """Return the frames to detect on: those that were named, or ``count`` evenly spaced ones.

    Parameters
    ----------
    measured : Measured
        The video.
    usable : (T,) bool
        Frames that may be used.
    count : int
        Evenly spaced key frames, where ``frames`` is empty.
    frames : sequence of str, int or Path
        Frame numbers, or files and folders that list frames.

    Returns
    -------
    KeyFrames
        One or more. A frame that cannot be used gives way to the nearest one that can.

    Raises
    ------
    ValueError
        If ``count`` is out of range, or a frame is not one of the video.
    InputError
        If a file cannot be read, or lists no frame of this video.
    """
    import numpy as np

    total, good = len(usable), np.flatnonzero(usable)
    if not good.size:
        raise ValueError(f"{measured.source.video_id} has no frame that can be used as a key frame")
    if frames:
        wanted = _named(measured, frames, total)
    else:
        if not 1 <= count <= good.size:
            raise ValueError(
                f"key_frames must lie in 1..{good.size}, the usable frames of {measured.source.video_id}, got {count}"
            )
        wanted = spaced(count, total)
    found = [int(good[np.abs(good - index).argmin()]) for index in wanted]
    notes = []
    if moved := [pair for pair in zip(wanted, found, strict=True) if pair[0] != pair[1]]:
        told = ", ".join(f"{before} to {after}" for before, after in moved[:5])
        notes.append(f"key frames moved off damage: {told}{' ...' if len(moved) > 5 else ''}")
    kept = sorted(set(found))
    if len(kept) < len(wanted):
        notes.append(f"{len(wanted)} key frames fell together to {len(kept)}")
    return KeyFrames(tuple(kept), tuple(notes))


def _named(measured: Measured, frames: Sequence[str | int | Path], total: int) -> list[int]:
    from evfr.errors import InputError
    from evfr.verbs._request import frame_names

    own = measured.source.video_id
    named = frame_names([str(item) if isinstance(item, Path) else item for item in frames], "frames")
    found = sorted({index for name, index in named if name in (None, own)})
    if not found:
        others = list(dict.fromkeys(str(name) for name, _ in named))
        raise InputError(
            f"frames names no frame of {own}"
            + (f"; it names frames of {', '.join(others[:5])}" if others else "; it is empty")
            + ". Give a selection of this video, or frame numbers"
        )
    if found[0] < 0 or found[-1] >= total:
        bad = found[0] if found[0] < 0 else found[-1]
        raise ValueError(f"frames: {own} has the frames 0 to {total - 1}, got {bad}")
    return found

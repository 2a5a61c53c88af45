"""Floors over time: stretches that must each hold a frame, so that no scene is starved."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from evfr.sampling._allocate import allocate

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

__all__ = ["time_cells"]


def time_cells(
    n_frames: int,
    count: int,
    *,
    times: ArrayLike | None = None,
    cuts: ArrayLike | None = None,
    usable: NDArray[np.bool_] | None = None,
    per_scene: int = 0,
) -> tuple[int, ...]:
    """Divide a video into about ``count`` stretches of time inside its scenes, for `Constraints.cells` (ours).

    Parameters
    ----------
    n_frames : int
        Frames of the video, 0 or more.
    count : int
        Stretches wanted: the part of the budget that is to be spread over time, 0 or more.
    times : (N,) array_like or None
        Seconds of each frame; None counts frames.
    cuts : (K,) array_like of int, or None
        First frame of every scene after the first.
    usable : (N,) bool or None
        Frames that may be chosen or are labelled; None is all. Every stretch holds at least one.
    per_scene : int
        Fewest stretches of every scene, as far as it has usable frames, even if they are more than ``count``.

    Returns
    -------
    tuple of int
        First frame of each stretch, 0 first; empty where none is wanted or no frame is usable.

    Notes
    -----
    Where ``count`` reaches for all scenes that have a usable frame, each gets at least one stretch, and the rest by
    largest remainder in proportion to duration; a scene is split into stretches of equal duration. Else the whole
    video is split into stretches of equal duration, whatever its scenes. Only usable frames have a duration here.
    A stretch without a usable frame is joined to the one before, or the first one to the one after.

    Examples
    --------
    >>> time_cells(12, 4, cuts=[9])
    (0, 3, 6, 9)
    >>> time_cells(12, 2, cuts=[1, 2, 3])
    (0, 6)
    """
    if n_frames < 0 or count < 0 or per_scene < 0:
        raise ValueError(
            f"n_frames, count and per_scene must be 0 or more, got {n_frames}, {count} and {per_scene}"
        )
    good = np.ones(n_frames, np.bool_) if usable is None else np.asarray(usable, np.bool_)
    if good.shape != (n_frames,):
        raise ValueError(f"usable must be ({n_frames},) bool, got {good.shape}")
    if not good.any() or max(count, per_scene) == 0:
        return ()
    clock = _clock(n_frames, times, good)
    bounds = np.unique(np.concatenate([[0], np.asarray([] if cuts is None else cuts, np.int64), [n_frames]]))
    held = np.add.reduceat(good, bounds[:-1], dtype=np.int64)
    # A scene without a usable frame can have no floor: it belongs to the one before.
    bounds = np.concatenate([[0], bounds[:-1][1:][held[1:] > 0], [n_frames]])
    held = np.add.reduceat(good, bounds[:-1], dtype=np.int64)
    if held[0] == 0 and len(held) > 1:
        bounds, held = np.delete(bounds, 1), held[1:]
    least = np.minimum(max(per_scene, 1), held)
    count = max(count, int(least.sum())) if per_scene else count
    if count < len(held):
        bounds, held, least = np.array([0, n_frames]), np.array([good.sum()]), np.ones(1, np.int64)
    spans = np.diff(clock[bounds])
    shares = allocate(min(count, int(held.sum())), spans, minimum=least, maximum=held)
    starts: list[int] = []
    for first, stop, share in zip(bounds[:-1], bounds[1:], shares, strict=True):
        edges = clock[first] + (clock[stop] - clock[first]) * np.arange(1, share) / share
        inner = first + np.searchsorted(clock[first:stop], edges - 1e-9, side="left")
        starts += [int(first), *inner[inner < stop].tolist()]
    return _joined(np.unique(starts), good)


def _clock(n_frames: int, times: ArrayLike | None, good: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Return (N + 1,) seconds of usable frames before each frame, and in all."""
    if times is None:
        return np.concatenate([[0.0], np.cumsum(good)])
    seconds = np.asarray(times, dtype=np.float64)
    if seconds.shape != (n_frames,) or not np.all(np.isfinite(seconds)):
        raise ValueError(f"times must be ({n_frames},) finite seconds, got shape {seconds.shape}")
    seconds = np.maximum.accumulate(seconds)
    steps = np.diff(seconds)
    last = float(np.median(steps)) if len(steps) else 1.0
    return np.concatenate([[0.0], np.cumsum(np.append(steps, last or 1.0) * good)])


def _joined(starts: NDArray[np.int64], good: NDArray[np.bool_]) -> tuple[int, ...]:
    held = np.add.reduceat(good, starts, dtype=np.int64)
    kept = starts[held > 0]
    # The stretch before the first usable one has none: the first begins with the video.
    return (0, *kept[1:].tolist())

"""What the store knows of a video, read for the viewer: nothing is decoded, nothing is written."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from evfr._core.store import Store
    from evfr.verbs._measure import Damaged, Measured
    from evfr.video import VideoSource

__all__ = ["NotMeasured", "current_digest", "read_measured", "stamp_of", "stored_signals"]


class NotMeasured(Exception):
    """The store lacks what was asked for; the text says what makes it."""


def stamp_of(source: VideoSource) -> tuple[int, ...]:
    """Return what changes when a file does, for what is kept in memory.

    Parameters
    ----------
    source : VideoSource
        The video.

    Returns
    -------
    tuple of int
        Device, inode, size and times of last change; empty where there is no such file.
    """
    try:
        found = os.stat(source.path)  # noqa: PTH116  (a name as it is)
    except (OSError, ValueError):
        return ()
    return (found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)


def current_digest(store: Store, source: VideoSource) -> str:
    """Return the hash of a video's bytes as they are now; what the store remembers is used, nothing is added to it.

    Parameters
    ----------
    store : Store
        The store.
    source : VideoSource
        The video.

    Returns
    -------
    str
        The hash.

    Raises
    ------
    VideoError
        If the video cannot be read.
    """
    from evfr.video import content_hash

    def unknown(path: Path) -> str:
        raise LookupError(path)

    try:
        return store.cached_hash(source.path, unknown)
    except LookupError:
        return content_hash(source.path)


def read_measured(
    store: Store,
    source: VideoSource,
    digest: str,
    *,
    signals: Sequence[str],
    profile: str = "default",
    embedding: str | None = None,
    feature: Mapping[str, Any] | None = None,
    damaged: Damaged = "drop",
) -> Measured:
    """Read what `evfr.verbs._measure.measure` left in the store.

    Parameters
    ----------
    store : Store
        The store.
    source : VideoSource
        The video.
    digest : str
        Hash of its bytes.
    signals, profile, damaged
        As in `evfr.select`.
    embedding : str or None
        What the signal ``feature`` compares: an embedding without learning.
    feature : mapping or None
        Parameters of that signal where it was made from stored vectors of a model.

    Returns
    -------
    Measured
        As `measure` returns it.

    Raises
    ------
    NotMeasured
        If the store lacks the frames or a signal.
    """
    from evfr.verbs._measure import MeasureJob, Stored, collect, is_intact, keys_of

    name = embedding if feature is None else None
    job = MeasureJob(source, store.root, tuple(signals), profile, name, damaged, 1, feature)
    frames, keys, _ = keys_of(store, job, digest)
    if not is_intact(store, frames):
        raise NotMeasured(
            f"{source.video_id}: the store {store.shown} has no frames of this video; run evfr score on it with "
            "this --store, or give the store that it was selected with"
        )
    for signal, key in keys.items():
        if not is_intact(store, key):
            raise NotMeasured(
                f"{source.video_id}: signal {signal} ({profile}) is not in the store, and the viewer decodes nothing "
                f"to measure; run evfr score with --signals {signal} and this --store, or choose another signal"
            )
    return collect(job, Stored(digest, frames, keys, True))


def stored_signals(store: Store, source: VideoSource, digest: str, damaged: Damaged) -> tuple[str, ...]:
    """Return the signals of the default profile that the store has of one video.

    Parameters
    ----------
    store : Store
        The store.
    source : VideoSource
        The video.
    digest : str
        Hash of its bytes.
    damaged : str
        As in `evfr.select`.

    Returns
    -------
    tuple of str
        In the order of `evfr.signals.SIGNALS`.
    """
    from evfr.signals import SIGNALS
    from evfr.verbs._measure import MeasureJob, keys_of

    found = []
    for name in SIGNALS:
        job = MeasureJob(source, store.root, (name,), "default", None, damaged, 1)
        _, keys, _ = keys_of(store, job, digest)
        if store.has(keys[name]):
            found.append(name)
    return tuple(found)

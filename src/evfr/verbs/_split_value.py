"""A split of labelled frames: which are learnt from, which are judged on, and which lie too near to both."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from evfr._core.annotations import VideoAnnotations

__all__ = ["By", "Ranges", "Side", "Split", "parse_buffer", "read_split", "runs_of"]

Side = Literal["train", "val", "dropped"]
By = Literal["video", "time", "frame"]
Ranges = Mapping[str, tuple[tuple[int, int], ...]]

SPLIT_VERSION = 1
_SIDES = ("train", "val", "dropped")


@dataclass(frozen=True, slots=True, repr=False)
class Split:
    """Hold which frames of which videos are on which side.

    Attributes
    ----------
    train, val, dropped : mapping of str to tuple of (int, int)
        First and last frame of each run of a video, both inclusive, increasing. Frames that are not labelled may lie
        in a run. Dropped are frames that lie too near to the other side to be on either.
    by : {"video", "time", "frame"}
        Whether whole videos, blocks of time or single frames were put on a side.
    buffer : str
        What was to lie between the sides of one video: ``"5s"`` or ``"150f"``.
    buffer_frames : mapping of str to int
        How many frames that is in each video that is on both sides; needed where ``buffer`` is in seconds.
    seed : int
        What it was drawn with.

    Raises
    ------
    InputError
        If a run is upside down or reaches into another one of the same video.
    """

    train: Ranges
    val: Ranges
    dropped: Ranges = field(default_factory=dict)
    by: By = "video"
    buffer: str = "0f"
    buffer_frames: Mapping[str, int] = field(default_factory=dict)
    seed: int = 0

    def __post_init__(self) -> None:
        from evfr.errors import InputError

        parse_buffer(self.buffer)
        taken: dict[str, list[tuple[int, int, str]]] = {}
        for side in _SIDES:
            for video, runs in getattr(self, side).items():
                taken.setdefault(video, []).extend((first, last, side) for first, last in runs)
        for video, runs in taken.items():
            before = (-1, -1, "")
            for run in sorted(runs):
                if run[0] < 0 or run[1] < run[0]:
                    raise InputError(
                        f"split: {run[2]} of {video!r} has the run {run[0]}..{run[1]}; a run is its first and last "
                        "frame, from 0"
                    )
                if run[0] <= before[1]:
                    raise InputError(
                        f"split: frame {run[0]} of {video!r} is in {before[2]} and in {run[2]}; a frame is on one side"
                    )
                before = run

    def __repr__(self) -> str:
        return f"Split(by {self.by}: {len(self.train)} videos train, {len(self.val)} val)"

    @property
    def shared(self) -> tuple[str, ...]:
        """The videos that are in both train and val."""
        return tuple(video for video in self.train if video in self.val)

    def check_leak_free(self) -> None:
        """Refuse a split whose validation frames have been as good as learnt.

        Raises
        ------
        InputError
            If a side is empty, or a video is on both sides: unless that is by time, with a buffer, and as many frames
            as the buffer asks for lie between any two frames of different sides.
        """
        from evfr.errors import InputError

        for side in ("train", "val"):
            if not getattr(self, side):
                raise InputError(f"split: {side} has no frame; give it some")
        for video in self.shared:
            hint = "split by video, or by time with a buffer"
            if self.by != "time":
                raise InputError(
                    f"split: the video {video!r} is on both sides of a split by {self.by}; {hint}"
                )
            wanted = self._wanted(video)
            found = min(max(b[0] - a[1], a[0] - b[1]) - 1 for a in self.train[video] for b in self.val[video])
            if wanted < 1 or found < wanted:
                raise InputError(
                    f"split: {found} frames lie between the sides in {video!r}, the buffer asks for {max(wanted, 1)}; "
                    f"{hint}"
                )

    def frames(self, labels: VideoAnnotations, side: Side) -> dict[str, NDArray[np.int64]]:
        """Return the labelled frames of a side.

        Parameters
        ----------
        labels : VideoAnnotations
            The labels that were split.
        side : {"train", "val", "dropped"}
            Which.

        Returns
        -------
        dict of str to (K,) int64
            For each video of that side its annotated frames, increasing.

        Raises
        ------
        InputError
            If the labels lack a video, or have no frame of it there.
        ValueError
            If there is no such side.
        """
        import numpy as np

        from evfr.errors import InputError

        if side not in _SIDES:
            raise ValueError(f"side must be one of {', '.join(_SIDES)}, got {side!r}")
        known = {video.video_id: video.frame_index for video in labels.videos}
        found = {}
        for video, runs in getattr(self, side).items():
            if video not in known:
                raise InputError(
                    f"split: the labels have no video {video!r}; they have {sorted(known)[:10]}: "
                    "give the labels that were split"
                )
            index = known[video]
            keep = np.zeros(len(index), np.bool_)
            for first, last in runs:
                keep |= (index >= first) & (index <= last)
            if not keep.any() and side != "dropped":
                raise InputError(
                    f"split: no frame of {video!r} in {side} is labelled; give the labels that were split"
                )
            found[video] = np.asarray(index[keep], np.int64)
        return found

    def to_dict(self) -> dict[str, Any]:
        """Return the content of the file: JSON-ready, keys in order."""
        sides = {
            side: {video: [list(run) for run in runs] for video, runs in getattr(self, side).items()}
            for side in _SIDES
        }
        return {
            "version": SPLIT_VERSION,
            "by": self.by,
            "buffer": self.buffer,
            "buffer_frames": dict(self.buffer_frames),
            "seed": self.seed,
            **sides,
        }

    def write(self, path: str | Path) -> Path:
        """Write the file that `read_split` reads.

        Parameters
        ----------
        path : str or Path
            Where; replaced at once or not at all.

        Returns
        -------
        Path
            The same.

        Raises
        ------
        StoreError
            If it cannot be written.
        """
        from evfr._core.atomic import atomic_write_bytes

        atomic_write_bytes(Path(path), (json.dumps(self.to_dict(), indent=1) + "\n").encode())
        return Path(path)

    def _wanted(self, video: str) -> int:
        if video in self.buffer_frames:
            return int(self.buffer_frames[video])
        amount, unit = parse_buffer(self.buffer)
        # What seconds are in frames depends on the video, so a file has to say it.
        return int(amount) if unit == "f" else 0


def read_split(path: str | Path) -> Split:
    """Read what `evfr split` wrote (ours).

    Parameters
    ----------
    path : str or Path
        A JSON file: ``{"version": 1, "train": {video: [[first, last], ...]}, "val": {...}, "dropped": {...}}``, frames
        inclusive, and perhaps ``by``, ``buffer``, ``buffer_frames`` and ``seed`` as in `Split`.

    Returns
    -------
    Split
        Checked.

    Raises
    ------
    InputError
        If it cannot be read or is no such file.
    """
    from evfr.errors import InputError

    try:
        data = json.loads(Path(path).read_text("utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(f"split {path} cannot be read: {error!s:.200}") from error
    if not isinstance(data, dict) or data.get("version") != SPLIT_VERSION:
        raise InputError(
            f'split {path} must be an object with "version": {SPLIT_VERSION}; make it with evfr split'
        )
    known = {"version", "by", "buffer", "buffer_frames", "seed", *_SIDES}
    if unknown := sorted(set(data) - known):
        raise InputError(f"split {path} has the unknown key {unknown[0]!r}; known are {sorted(known)}")
    sides = {side: _ranges(data.get(side, {}), f"split {path}: {side}") for side in _SIDES}
    by, buffer = data.get("by", "video"), data.get("buffer", "0f")
    if by not in ("video", "time", "frame"):
        raise InputError(f'split {path}: "by" must be video, time or frame, got {by!r:.40}')
    frames, seed = data.get("buffer_frames", {}), data.get("seed", 0)
    if not isinstance(frames, dict) or not all(_is_count(value) for value in [*frames.values(), seed]):
        raise InputError(
            f'split {path}: "buffer_frames" must be whole numbers by video, and "seed" one of 0 or more'
        )
    try:
        return Split(**sides, by=by, buffer=buffer, buffer_frames=frames, seed=seed)
    except (InputError, ValueError) as error:
        raise InputError(f"{path}: {error}") from error


def parse_buffer(text: str) -> tuple[float, Literal["s", "f"]]:
    """Return how much and of what: ``"5s"`` is five seconds, ``"150f"`` 150 frames.

    Raises
    ------
    ValueError
        If it is neither.
    """
    import re

    found = re.fullmatch(r"(\d+(?:\.\d+)?)s|(\d+)f", text) if isinstance(text, str) else None
    if found is None:
        raise ValueError(f"a buffer is a number of seconds as '5s' or of frames as '150f', got {text!r:.40}")
    return (float(found[1]), "s") if found[1] else (float(found[2]), "f")


def runs_of(index: NDArray[np.int64], member: NDArray[np.bool_]) -> tuple[tuple[int, int], ...]:
    """Return the runs of a side: first and last number of each stretch of neighbours that belong to it.

    Parameters
    ----------
    index : (F,) int64
        Labelled frames of a video, increasing.
    member : (F,) bool
        Which of them are on the side.

    Returns
    -------
    tuple of (int, int)
        Inclusive; labelled frames that are neighbours here may have others between them in the video.
    """
    import numpy as np

    edges = np.flatnonzero(np.diff(np.concatenate(([0], member.astype(np.int8), [0]))))
    return tuple(
        (int(index[first]), int(index[stop - 1])) for first, stop in zip(edges[::2], edges[1::2], strict=True)
    )


def _ranges(data: Any, where: str) -> dict[str, tuple[tuple[int, int], ...]]:
    from evfr.errors import InputError

    if not isinstance(data, dict):
        raise InputError(f"{where} must be an object of videos, got {data!r:.60}")
    for video, runs in data.items():
        is_right = isinstance(runs, list) and all(
            isinstance(run, list) and len(run) == 2 and all(_is_count(value) for value in run) for run in runs
        )
        if not is_right or not runs:
            raise InputError(f"{where}: {video!r} must be a list of [first, last], got {runs!r:.60}")
    return {video: tuple((run[0], run[1]) for run in runs) for video, runs in data.items()}


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0

"""How much of the validation side has been as good as learnt: frames that are near in time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evfr.verbs._split_looks import LookAudit
from evfr.verbs._split_value import Split, parse_buffer

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from evfr._core.annotations import VideoAnnotations

__all__ = ["SplitAudit", "audit_in_time", "frame_times"]

_TOLERANCE = 1e-9


@dataclass(frozen=True, slots=True)
class SplitAudit:
    """Say how near validation frames are to training frames.

    Attributes
    ----------
    buffer : str
        What counts as near in time.
    frames : int
        Labelled validation frames.
    near : int
        Those within the buffer of a labelled training frame of the same video.
    looks : LookAudit or None
        How many look alike; None where no pictures or vectors were given.
    """

    buffer: str
    frames: int
    near: int
    looks: LookAudit | None = None

    @property
    def share(self) -> float:
        """Share of the validation frames that lie within the buffer of a training frame."""
        return self.near / self.frames if self.frames else float("nan")

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON-ready dict, keys in field order and the share."""
        looks = None if self.looks is None else self.looks.to_dict()
        known = {item.name: getattr(self, item.name) for item in fields(self)}
        return known | {"share": self.share, "looks": looks}

    def __str__(self) -> str:
        lines = [
            f"audit: {self.near} of {self.frames} validation frames ({self.share:.1%}) lie within {self.buffer} of a "
            "training frame of the same video"
        ]
        if self.looks is not None:
            own = ", the median from a labelled frame to the next" if self.looks.is_own_threshold else ""
            lines.append(
                f"audit: {self.looks.alike} of {self.looks.compared} ({self.looks.share:.1%}) look like a training "
                f"frame ({self.looks.model}, cosine distance up to {self.looks.threshold:.3g}{own})"
            )
            if self.looks.without_vector:
                lines.append(
                    f"audit: {self.looks.without_vector} frames have no vector and were not compared"
                )
            lines += [f"  {pair}" for pair in self.looks.pairs]
        return "\n".join(lines)


def frame_times(
    labels: VideoAnnotations,
    video_ids: Sequence[str],
    *,
    buffer: str,
    fps: float | None,
    videos: Sequence[str | Path],
) -> dict[str, NDArray[np.float64]]:
    """Return where the labelled frames of some videos lie, in the unit of a buffer.

    Parameters
    ----------
    labels : VideoAnnotations
        The labels.
    video_ids : sequence of str
        Which videos.
    buffer : str
        ``"5s"`` wants seconds, ``"150f"`` frames.
    fps : float or None
        Frames per second, where neither labels nor videos say it.
    videos : sequence of path
        Videos to take times from where the labels have none.

    Returns
    -------
    dict of str to (F,) float64
        Increasing.

    Raises
    ------
    InputError
        If nothing says at what times frames lie.
    """
    import numpy as np

    from evfr._core.types import PTS_NONE
    from evfr.errors import InputError

    _, unit = parse_buffer(buffer)
    found: dict[str, NDArray[np.float64]] = {}
    missing = []
    for name in video_ids:
        video = labels.video(name)
        if unit == "f":
            found[name] = video.frame_index.astype(np.float64)
        elif fps is not None:
            found[name] = video.frame_index / fps
        elif video.time_base is not None and (video.pts != PTS_NONE).all():
            found[name] = video.pts.astype(np.float64) * float(video.time_base)
        else:
            missing.append(name)
    if missing and videos:
        found |= _scanned_times(labels, missing, videos)
        missing = [name for name in missing if name not in found]
    if missing:
        raise InputError(
            f"nothing says at what times the frames of {missing[0]!r} lie, so a buffer of {buffer} cannot be kept; "
            "give the buffer in frames ('150f'), the frames per second, or the video file"
        )
    return found


def _scanned_times(
    labels: VideoAnnotations, wanted: Sequence[str], videos: Sequence[str | Path]
) -> dict[str, NDArray[np.float64]]:
    """Take times from video files; pictures in folders have none."""
    from evfr.errors import AnnotationError
    from evfr.verbs._labelled_clips_places import find_places
    from evfr.video import scan

    found = {}
    for place in find_places(videos, labels):
        video = place.video
        if video.video_id in wanted and place.images is None:
            table, _, _ = scan(place.path)
            if video.frame_index[-1] >= len(table):
                raise AnnotationError(
                    f"{video.video_id}: frame {int(video.frame_index[-1])} is labelled, but {place.path} has "
                    f"{len(table)} frames; give the video that was labelled"
                )
            found[video.video_id] = table.time_seconds[video.frame_index]
    return found


def audit_in_time(
    split: Split, labels: VideoAnnotations, times: Mapping[str, NDArray[np.float64]], buffer: str
) -> SplitAudit:
    """Count the validation frames that lie within the buffer of a training frame of the same video.

    Parameters
    ----------
    split : Split
        The split.
    labels : VideoAnnotations
        The labels that were split.
    times : mapping of str to (F,) float64
        As `frame_times` gives them, for the videos on both sides.
    buffer : str
        What counts as near.

    Returns
    -------
    SplitAudit
        Without looks.
    """
    import numpy as np

    from evfr.verbs._split_make import nearest_apart

    train, val = split.frames(labels, "train"), split.frames(labels, "val")
    amount, _ = parse_buffer(buffer)
    near = 0
    for name, index in val.items():
        if name in train:
            all_of = labels.video(name).frame_index
            at = times[name]
            learnt = at[np.searchsorted(all_of, train[name])]
            apart = nearest_apart(at[np.searchsorted(all_of, index)], learnt)
            near += int((apart <= amount + _TOLERANCE).sum())
    return SplitAudit(buffer, sum(map(len, val.values())), near)

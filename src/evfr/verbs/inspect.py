"""`evfr inspect`: what is really in these files."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from evfr._core.types import Problem
    from evfr.video import VideoInfo, VideoSource

__all__ = ["InspectResult", "inspect"]


@dataclass(frozen=True, slots=True)
class InspectResult:
    """Hold what `inspect` found, one entry per video in input order.

    Attributes
    ----------
    videos : tuple of VideoInfo
        Facts of each video; ``status`` is ``"failed"`` for one that cannot be used.
    """

    videos: tuple[VideoInfo, ...]

    @property
    def problems(self) -> tuple[Problem, ...]:
        """All problems of all videos."""
        return tuple(problem for video in self.videos for problem in video.problems)

    @property
    def failed_count(self) -> int:
        """How many videos cannot be used."""
        return sum(video.status == "failed" for video in self.videos)

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON-ready dict with the list ``videos``."""
        return {"videos": [video.to_dict() for video in self.videos]}


def inspect(
    paths: str | Path | Sequence[str | Path],
    *,
    executor: Literal["serial", "processes", "ray"] = "processes",
    jobs: int | None = None,
    memory_limit_mb: int | None = 4096,
    timeout_seconds: float | None = 120.0,
    allow_remote: Sequence[str] = (),
) -> InspectResult:
    """Say what is really in video files: every frame is decoded, nothing a header claims is believed.

    Parameters
    ----------
    paths : path or sequence of paths
        Video files, folders, globs, folders or zips of images, or ``@list.txt`` with a path per line.

    Returns
    -------
    InspectResult
        One `VideoInfo` per video.

    Other Parameters
    ----------------
    executor : {"serial", "processes", "ray"}
        Decode in this process, in child processes that a damaged file cannot take down, or in those of a Ray cluster.
    jobs : int or None
        Child processes at a time; None is one per core, of the whole cluster where there is one.
    memory_limit_mb : int or None
        Memory limit of a child process in MiB; None is no limit.
    timeout_seconds : float or None
        Give a video up when it makes no progress for this long; None waits for ever.
    allow_remote : sequence of str
        Read remote files below these prefixes, for example ``s3://bucket/folder``; without it none is read.

    Raises
    ------
    InputError
        If no path resolves to anything.

    Examples
    --------
    >>> import evfr
    >>> evfr.inspect("drive.mp4").videos[0].frame_count  # doctest: +SKIP
    1394
    """
    from evfr.verbs._run import run_videos
    from evfr.video import failed_info, resolve_inputs

    sources = resolve_inputs(
        [paths] if isinstance(paths, str | Path) else list(paths), allow_remote=allow_remote
    )
    outcomes = run_videos(
        _inspect_one,
        sources,
        [source.video_id for source in sources],
        label="inspecting",
        executor=executor,
        jobs=jobs,
        memory_limit_mb=memory_limit_mb,
        timeout_seconds=timeout_seconds,
    )
    infos = [
        outcome.value if outcome.problem is None else failed_info(source, outcome.problem)
        for source, outcome in zip(sources, outcomes, strict=True)
    ]
    return InspectResult(tuple(infos))


def _inspect_one(source: VideoSource, heartbeat: Callable[[int, int | None], None]) -> VideoInfo:
    from evfr.video import inspect_video

    return inspect_video(source.path, on_frame=lambda done: heartbeat(done, None))

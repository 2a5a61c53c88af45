"""Say everything about a video: one full pass, and a short one for motion vectors."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from evfr.video._container import DEFAULT_MAX_PIXELS, printable
from evfr.video._info import VideoInfo
from evfr.video._open import open_video

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from evfr._core.types import Problem
    from evfr.video._inputs import VideoSource

__all__ = ["failed_info", "inspect_video"]

_INTER_FRAMES_MOST = 64
_FRAMES_MOST = 256


def inspect_video(
    path: str | Path,
    *,
    max_pixels: int = DEFAULT_MAX_PIXELS,
    on_frame: Callable[[int], None] | None = None,
) -> VideoInfo:
    """Decode a video to its end and say what it is; nothing a header claims is believed.

    Parameters
    ----------
    path : str or Path
        A video file, or a folder or zip of images.
    max_pixels : int
        Largest picture to accept, width times height.
    on_frame : callable or None
        Called with the number of frames done after each.

    Returns
    -------
    VideoInfo
        With true counts, and claims beside them. ``has_motion_vectors`` is judged by the first 64 predicted frames.

    Raises
    ------
    VideoError
        If the video cannot be used.
    """
    with open_video(path, max_pixels=max_pixels) as video:
        for frame in video:
            if on_frame is not None:
                on_frame(frame.frame_index + 1)
    info = video.info
    if info.kind != "file":
        return info
    return replace(info, has_motion_vectors=_has_motion_vectors(path, max_pixels))


def failed_info(source: VideoSource, problem: Problem) -> VideoInfo:
    """Return the facts about a video that cannot be used: none, but the problem.

    Parameters
    ----------
    source : VideoSource
        The video.
    problem : Problem
        Why it cannot be used.

    Returns
    -------
    VideoInfo
        With status ``"failed"``.
    """
    return VideoInfo(path=printable(source.path), kind=source.kind, status="failed", problems=(problem,))


def _has_motion_vectors(path: str | Path, max_pixels: int) -> bool:
    """Whether any of the first predicted frames comes with vectors."""
    inter = 0
    with open_video(path, damaged="keep", motion_vectors=True, max_pixels=max_pixels) as video:
        for frame in video:
            inter += frame.picture_type != b"I"
            if len(frame.motion_vectors()):
                return True
            if inter >= _INTER_FRAMES_MOST or frame.frame_index >= _FRAMES_MOST:
                return False
    return False

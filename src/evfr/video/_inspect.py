"""Say everything about a video in one full pass, motion vectors included."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from evfr.video._block_field import block_fields
from evfr.video._container import DEFAULT_MAX_PIXELS, printable
from evfr.video._info import VideoInfo
from evfr.video._open import open_video

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from evfr._core.types import Problem
    from evfr.video._inputs import VideoSource

__all__ = ["failed_info", "inspect_video"]


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
        With true counts, and claims beside them, and what its motion vectors offer.

    Raises
    ------
    VideoError
        If the video cannot be used.
    """
    count, run, longest = 0, 0, 0
    lists: set[int] = set()
    intra = 0.0
    with open_video(path, motion_vectors=True, max_pixels=max_pixels) as video:
        for frame in video:
            run = run + 1 if frame.picture_type == b"B" else 0
            longest = max(longest, run)
            vectors = frame.motion_vectors()
            if len(vectors):
                count += 1
                lists.update(int(source >= 0) for source in np.unique(vectors["source"]))
                # Turned or not, the picture has the same share of blocks.
                height, width = frame.shape[::-1] if frame.orientation.is_transposed else frame.shape
                intra += float(block_fields(vectors, (height, width)).is_intra.mean())
            if on_frame is not None:
                on_frame(frame.frame_index + 1)
    return replace(
        video.info,
        b_run_max=longest,
        has_motion_vectors=count > 0,
        motion_vector_frame_count=count,
        motion_vector_lists=tuple(sorted(lists)),
        intra_share=intra / count if count else None,
    )


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

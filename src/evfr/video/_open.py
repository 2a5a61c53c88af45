"""Open any kind of video, and the simple ways to go through one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from evfr.video._container import DEFAULT_MAX_PIXELS
from evfr.video._file_reader import FileReader
from evfr.video._frames import Frame
from evfr.video._images import ImageReader
from evfr.video._inputs import kind_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from evfr._core.types import FrameTable, Problem
    from evfr.video._info import VideoInfo
    from evfr.video._reader import DamagedPolicy, VideoReader

__all__ = ["frames", "open_video", "scan"]


def open_video(
    path: str | Path,
    *,
    damaged: DamagedPolicy = "drop",
    motion_vectors: bool = False,
    max_pixels: int = DEFAULT_MAX_PIXELS,
) -> VideoReader:
    """Open a video for one sequential pass.

    Parameters
    ----------
    path : str or Path
        A video file, or a folder or zip of images.
    damaged : {"drop", "keep", "fail"}
        What to do with frames that damage may have reached: ``"drop"`` yields them marked suspect, so that nothing
        selects them; ``"keep"`` yields them as if they were sound; ``"fail"`` raises at the first. All three
        report the damage.
    motion_vectors : bool
        Export the codec's motion vectors with each frame.
    max_pixels : int
        Largest picture to accept, width times height.

    Returns
    -------
    VideoReader
        A context manager; iterate over it for the frames, then ask for its ``table()``, ``info``, ``problems``.

    Raises
    ------
    VideoError
        If the video cannot be used; ``problem.code`` says why.
    ValueError
        If an option is out of range.

    Notes
    -----
    The decoder runs without threads: with frame threads FFmpeg may hand out a corrupt frame before it is flagged,
    and with slice threads it conceals some damage for good. Many files are read fastest by one process each.

    Examples
    --------
    >>> from evfr.video import open_video
    >>> with open_video("drive.mp4") as video:  # doctest: +SKIP
    ...     for frame in video:
    ...         grey = frame.luma()
    ...     table = video.table()
    """
    kind = kind_of(path)
    if kind != "file":
        return ImageReader(path, kind=kind, damaged=damaged, max_pixels=max_pixels)
    return FileReader(path, damaged=damaged, motion_vectors=motion_vectors, max_pixels=max_pixels)


def frames(
    path: str | Path,
    *,
    damaged: DamagedPolicy = "drop",
    max_pixels: int = DEFAULT_MAX_PIXELS,
) -> Iterator[Frame]:
    """Yield the sound frames of a video, in presentation order, as values that may be kept.

    Parameters
    ----------
    path, damaged, max_pixels : as in `open_video`
        With ``damaged="drop"`` suspect frames are left out (their index is not reused).

    Yields
    ------
    Frame
        With ``image`` (H, W, 3) uint8 RGB, upright.

    Raises
    ------
    VideoError
        If the video cannot be used.
    """
    with open_video(path, damaged=damaged, max_pixels=max_pixels) as video:
        for frame in video:
            if not frame.is_suspect:
                yield Frame(frame.frame_index, frame.pts, video.time_base, frame.time_seconds, frame.rgb())


def scan(
    path: str | Path,
    *,
    damaged: DamagedPolicy = "drop",
    max_pixels: int = DEFAULT_MAX_PIXELS,
) -> tuple[FrameTable, VideoInfo, tuple[Problem, ...]]:
    """Decode a video once and return the identity of every frame; no pixels are kept.

    Parameters
    ----------
    path, damaged, max_pixels : as in `open_video`
        See there.

    Returns
    -------
    table : FrameTable
        One row per presented frame.
    info : VideoInfo
        Facts about the video.
    problems : tuple of Problem
        What was wrong with it.

    Raises
    ------
    VideoError
        If the video cannot be used.
    """
    with open_video(path, damaged=damaged, max_pixels=max_pixels) as video:
        for _ in video:
            pass
        return video.table(), video.info, video.problems

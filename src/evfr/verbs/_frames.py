"""Second pass: the selected frames as files, and small pictures of them and of what was dropped."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from evfr._core.remote_store import StoreRoot
    from evfr._core.store import StoreKey
    from evfr.distributed import Outcome
    from evfr.reports import PackedThumbnails
    from evfr.video import VideoSource

__all__ = ["ExtractJob", "extract_videos"]

THUMBNAIL_WIDTH = 288


@dataclass(frozen=True, slots=True, eq=False)
class ExtractJob:
    """Say which frames of one video to write and which to shrink; travels to the child process.

    Attributes
    ----------
    source : VideoSource
        The video.
    store : Path
        Store that holds its frame table.
    frames : StoreKey
        Key of the frame table.
    indices : (n,) int64
        Frames to write.
    names : tuple of n str
        File names to write them under.
    folder : Path or None
        Where to write; None writes nothing.
    quality : int
        JPEG quality, 1 to 100.
    thumbnails : (M,) int64
        Frames to return as small pictures.
    thumbnail_bytes : int
        What those may take, packed.
    """

    source: VideoSource
    store: StoreRoot
    frames: StoreKey
    indices: NDArray[np.int64]
    names: tuple[str, ...]
    folder: Path | None
    quality: int
    thumbnails: NDArray[np.int64]
    thumbnail_bytes: int


def extract_videos(
    jobs_: Sequence[ExtractJob],
    *,
    executor: str,
    jobs: int | None,
    memory_limit_mb: int | None,
    timeout_seconds: float | None,
) -> list[Outcome]:
    """Extract from every video; each outcome's value is its `PackedThumbnails`, or None.

    Parameters
    ----------
    jobs_ : sequence of ExtractJob
        One per video.
    executor, jobs, memory_limit_mb, timeout_seconds
        As in `evfr.distributed.map_videos`.

    Returns
    -------
    list of Outcome
        One per job, in order.
    """
    from evfr.verbs._run import run_videos

    return run_videos(
        _extract_one,
        jobs_,
        [job.source.video_id for job in jobs_],
        label="extracting",
        executor=executor,
        jobs=jobs,
        memory_limit_mb=memory_limit_mb,
        timeout_seconds=timeout_seconds,
    )


def _extract_one(job: ExtractJob, heartbeat: Callable[[int, int | None], None]) -> PackedThumbnails | None:
    import numpy as np

    from evfr._core.store import Store
    from evfr._core.types import Problem
    from evfr.errors import ExtractionError, ProblemCode, VideoError
    from evfr.reports import Thumbnails, pack_thumbnails
    from evfr.verbs._stored import read_frames
    from evfr.video import extract_frames, write_frame

    table, _, _ = read_frames(Store(job.store), job.frames)
    names = dict(zip(job.indices.tolist(), job.names, strict=True)) if job.folder is not None else {}
    small = set(job.thumbnails.tolist())
    wanted = np.array(sorted({*names, *small}), np.int64)
    pictures: list[NDArray[np.uint8]] = []
    if job.folder is not None:
        job.folder.mkdir(parents=True, exist_ok=True)
    try:
        for done, frame in enumerate(extract_frames(job.source.path, wanted.tolist(), table)):
            if job.folder is not None and frame.frame_index in names:
                write_frame(frame, job.folder / names[frame.frame_index], quality=job.quality)
            if frame.frame_index in small:
                pictures.append(_shrink(frame.image, pictures[0].shape[:2] if pictures else None))
            heartbeat(done + 1, len(wanted))
    except ExtractionError as error:
        raise VideoError(Problem(ProblemCode.E_EXTRACT, str(error), job.source.video_id)) from error
    if not pictures:
        return None
    # Packed here, where the video is: many videos' pictures would fill the parent's memory.
    small_ones = Thumbnails(job.thumbnails, np.stack(pictures))
    return pack_thumbnails(small_ones, job.indices, budget_bytes=job.thumbnail_bytes)


def _shrink(image: NDArray[np.uint8], canvas: tuple[int, int] | None) -> NDArray[np.uint8]:
    """Make a thumbnail; on a ``canvas`` (height, width) of the first one's size if the picture size changes."""
    import cv2
    import numpy as np

    height, width = image.shape[:2]
    scale = min(1.0, THUMBNAIL_WIDTH / max(width, height))
    if canvas is not None:
        scale = min(scale, canvas[0] / height, canvas[1] / width)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    small = np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8)
    if canvas is None or small.shape[:2] == canvas:
        return small
    out = np.zeros((*canvas, 3), np.uint8)
    top, left = (canvas[0] - small.shape[0]) // 2, (canvas[1] - small.shape[1]) // 2
    out[top : top + small.shape[0], left : left + small.shape[1]] = small[: canvas[0], : canvas[1]]
    return out

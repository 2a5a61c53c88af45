"""Write the pictures of an export, each verified, and hash them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from evfr._core.remote_store import StoreRoot
    from evfr._core.types import Problem
    from evfr.verbs._export_package import ExportFrame
    from evfr.verbs._export_plan import Planned
    from evfr.verbs._measure import Measured

__all__ = ["write_pictures"]


def write_pictures(
    measured: Sequence[Measured],
    plans: Mapping[str, Sequence[Planned]],
    folder: Path,
    *,
    quality: int,
    store: StoreRoot,
    executor: str,
    jobs: int | None,
    memory_limit_mb: int | None,
    timeout_seconds: float | None,
) -> tuple[dict[str, tuple[ExportFrame, ...]], list[Problem]]:
    """Extract the planned frames of every video into the folders of their roles.

    Parameters
    ----------
    measured : sequence of Measured
        The videos.
    plans : mapping of str to sequence of Planned
        What to write, by video.
    folder : Path
        The export's folder.
    quality : int
        JPEG quality.
    store, executor, jobs, memory_limit_mb, timeout_seconds
        As in `evfr.extract`.

    Returns
    -------
    tuple of (dict, list)
        The pictures by video, and the problems of videos that have none.
    """
    import numpy as np

    from evfr._core.atomic import make_folder
    from evfr._core.progress import current_progress
    from evfr._core.types import Problem
    from evfr.errors import EvfrError, ProblemCode
    from evfr.verbs._export_package import FOLDERS
    from evfr.verbs._frames import ExtractJob, extract_videos

    for name in FOLDERS.values():
        make_folder(folder / name)
    work = [
        ExtractJob(
            video.source,
            store,
            video.frames_key,
            np.array([item.frame_index for item in plans[video.source.video_id]], np.int64),
            tuple(item.name for item in plans[video.source.video_id]),
            folder / FOLDERS["label"],
            quality,
            np.zeros(0, np.int64),
            0,
        )
        for video in measured
        if video.frames_key is not None and video.source.video_id in plans
    ]
    outcomes = extract_videos(
        work, executor=executor, jobs=jobs, memory_limit_mb=memory_limit_mb, timeout_seconds=timeout_seconds
    )
    by_id = {video.source.video_id: video for video in measured}
    written: dict[str, tuple[ExportFrame, ...]] = {}
    problems: list[Problem] = []
    progress = current_progress()
    progress.start("hashing", sum(len(job.names) for job in work))
    try:
        for job, outcome in zip(work, outcomes, strict=True):
            name = job.source.video_id
            problem = outcome.problem
            if problem is None:
                try:
                    written[name] = tuple(_hashed(by_id[name], item, folder) for item in plans[name])
                except EvfrError as error:
                    problem = Problem(ProblemCode.E_EXTRACT, str(error), name)
            if problem is not None:
                problems.append(problem)
                _remove(plans[name], folder)
            progress.advance(len(job.names), name)
    finally:
        progress.finish()
    context = folder / FOLDERS["context"]
    if not any(context.iterdir()):
        context.rmdir()
    return written, problems


def _remove(plan: Sequence[Planned], folder: Path) -> None:
    """Take back what a video wrote before it failed."""
    from evfr.verbs._export_package import FOLDERS

    for item in plan:
        for name in FOLDERS.values():
            (folder / name / item.name).unlink(missing_ok=True)


def _hashed(video: Measured, item: Planned, folder: Path) -> ExportFrame:
    """Move a picture to the folder of its role and say what it is."""
    import hashlib

    from evfr._core.types import PTS_NONE
    from evfr.errors import ExtractionError
    from evfr.verbs._export_package import FOLDERS, ExportFrame
    from evfr.verbs._import_pictures import pixel_hash, read_picture

    table = video.table
    assert table is not None
    path = folder / FOLDERS["label"] / item.name
    data = path.read_bytes()
    image = read_picture(data, str(path))
    height, width = image.shape[:2]
    if (width, height) != (table.width, table.height):
        raise ExtractionError(
            f"frame {item.frame_index} has {width}x{height} pixels, the video {table.width}x{table.height}; labels of "
            "a video are for one size: split it where the size changes"
        )
    if item.of is not None:
        path.replace(folder / FOLDERS["context"] / item.name)
    pts = int(table.pts[item.frame_index])
    return ExportFrame(
        item.name,
        video.source.video_id,
        item.frame_index,
        None if pts == PTS_NONE else pts,
        table.time_base,
        float(table.time_seconds[item.frame_index]),
        int(table.luma_hash[item.frame_index]),
        width,
        height,
        "label" if item.of is None else "context",
        item.of,
        hashlib.sha256(data).hexdigest(),
        pixel_hash(image),
    )

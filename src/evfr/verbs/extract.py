"""`evfr extract`: exactly the frames of a selection, as image files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from evfr._core.remote_store import StoreRoot
    from evfr._core.selection import Selection
    from evfr._core.types import Problem
    from evfr.verbs._measure import Measured

__all__ = ["ExtractResult", "extract"]


@dataclass(frozen=True, slots=True)
class ExtractResult:
    """Hold what `extract` wrote.

    Attributes
    ----------
    folder : Path
        Where the images are.
    files : mapping of str to tuple of str
        File names per video id, in frame order; a video that failed has none.
    problems : tuple of Problem
        One per video that could not be extracted.
    """

    folder: Path
    files: Mapping[str, tuple[str, ...]]
    problems: tuple[Problem, ...]

    @property
    def failed_count(self) -> int:
        """How many videos could not be extracted."""
        return len(self.problems)

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON-ready dict."""
        return {
            "folder": str(self.folder),
            "files": {name: list(files) for name, files in self.files.items()},
            "problems": [problem.to_dict() for problem in self.problems],
        }


def extract(
    selection: str | Path | Selection,
    *,
    out: Path,
    image_format: Literal["jpg", "png"] = "jpg",
    quality: int = 95,
    store: Path | None = None,
    executor: Literal["serial", "processes", "ray"] = "processes",
    jobs: int | None = None,
    memory_limit_mb: int | None = 4096,
    timeout_seconds: float | None = 120.0,
    allow_remote: Sequence[str] = (),
) -> ExtractResult:
    """Write exactly the selected frames as full-size upright images, each verified against its recorded hash.

    Parameters
    ----------
    selection : path or Selection
        A folder that ``evfr select`` wrote, its ``selection.json`` or its ``selection.parquet``.
    out : Path
        Folder for the images; the names carry video, frame index and pts.
    image_format : {"jpg", "png"}
        JPEG is small, PNG keeps every pixel.
    quality : int
        JPEG quality, 1 to 100.
    store : Path or None
        Where measurements are kept, also ``s3://bucket/folder`` where ``allow_remote`` names it; None is the user's
        cache folder, or ``EVFR_STORE``.

    Returns
    -------
    ExtractResult
        The files per video.

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
        Read remote files, and use a remote store, below these prefixes, for example ``s3://bucket/folder``; without
        it none is used.

    Raises
    ------
    SelectionFileError
        If the selection cannot be read.
    InputError
        If a video of it is remote and not allowed.
    ValueError
        If ``quality`` is out of range.

    Examples
    --------
    >>> import evfr
    >>> evfr.extract("evfr-out", out="frames")  # doctest: +SKIP
    """
    from evfr._core.atomic import refuse_remote
    from evfr._core.remote_store import store_root
    from evfr._core.selection import Selection
    from evfr.verbs._measure import default_store, measure
    from evfr.video import VideoSource, source_path

    refuse_remote(Path(out))
    if not 1 <= quality <= 100:
        raise ValueError(f"quality must lie in 1..100, got {quality}")
    chosen = selection if isinstance(selection, Selection) else Selection.load(selection)
    entries = {entry["video_id"]: entry for entry in chosen.manifest["inputs"]}
    wanted = [name for name in entries if len(chosen.for_video(name))]
    root = store_root(default_store() if store is None else store, allow_remote)
    measured = measure(
        [
            VideoSource(name, source_path(entries[name]["path"], allow_remote), entries[name]["kind"])
            for name in wanted
        ],
        signals=(),
        profile="default",
        embedding=None,
        damaged=chosen.manifest["parameters"].get("damaged", "drop"),
        store=root,
        executor=executor,
        jobs=jobs,
        memory_limit_mb=memory_limit_mb,
        timeout_seconds=timeout_seconds,
    )
    measured = [check_unchanged(video, entries[video.source.video_id].get("hash")) for video in measured]
    rows = {name: chosen.for_video(name).indices for name in wanted}
    files, _, problems = write_frames(
        measured,
        rows,
        folder=Path(out),
        image_format=image_format,
        quality=quality,
        thumbnails={},
        store=root,
        executor=executor,
        jobs=jobs,
        memory_limit_mb=memory_limit_mb,
        timeout_seconds=timeout_seconds,
    )
    failed = tuple(p for video in measured if video.table is None for p in video.problems)
    return ExtractResult(Path(out), files, (*failed, *problems))


def check_unchanged(video: Measured, digest: str | None) -> Measured:
    """Return ``video``, or its failure if its bytes are not those the selection was made from.

    Parameters
    ----------
    video : Measured
        As measured now.
    digest : str or None
        Hash in the manifest; None checks nothing.

    Returns
    -------
    Measured
        The same, or a failed entry.
    """
    from evfr._core.types import Problem
    from evfr.errors import ProblemCode
    from evfr.verbs._measure import failed

    if video.table is None or not digest or video.digest == digest:
        return video
    message = "the file has changed since the selection was made; select again, or restore the file"
    return failed(video.source, Problem(ProblemCode.E_CHANGED, message, video.source.video_id))


def write_frames(
    measured: Sequence[Measured],
    rows: Mapping[str, Any],
    *,
    folder: Path | None,
    image_format: str,
    quality: int,
    thumbnails: Mapping[str, Any],
    store: StoreRoot,
    executor: str,
    jobs: int | None,
    memory_limit_mb: int | None,
    timeout_seconds: float | None,
) -> tuple[dict[str, tuple[str, ...]], dict[str, Any], list[Problem]]:
    """Extract rows of every measured video; return file names, small pictures and problems by video id.

    Parameters
    ----------
    measured : sequence of Measured
        The videos; failed ones are passed over.
    rows : mapping of str to (n,) int64
        Frames to write.
    folder : Path or None
        Where to; None writes no image.
    image_format : str
        ``"jpg"`` or ``"png"``.
    quality : int
        JPEG quality.
    thumbnails : mapping of str to (M,) int64
        Frames to shrink.
    store : Path
        Where the frame tables are.
    executor, jobs, memory_limit_mb, timeout_seconds
        As in `evfr.distributed.map_videos`.

    Returns
    -------
    tuple of (dict, dict, list)
        Names by video, `PackedThumbnails` by video, problems.
    """
    import numpy as np

    from evfr.reports import thumbnail_budgets
    from evfr.verbs._frames import ExtractJob, extract_videos
    from evfr.video import frame_file_name

    work = []
    budgets = thumbnail_budgets([0 if video.table is None else len(video.table) for video in measured])
    for video, room in zip(measured, budgets, strict=True):
        name = video.source.video_id
        if video.table is None or video.frames_key is None or name not in rows:
            continue
        names = tuple(
            frame_file_name(name, int(index), int(video.table.pts[index]), image_format)
            for index in rows[name]
        )
        small = thumbnails.get(name, np.zeros(0, np.int64))
        work.append(
            ExtractJob(video.source, store, video.frames_key, rows[name], names, folder, quality, small, room)
        )
    outcomes = extract_videos(
        work, executor=executor, jobs=jobs, memory_limit_mb=memory_limit_mb, timeout_seconds=timeout_seconds
    )
    files: dict[str, tuple[str, ...]] = {}
    pictures: dict[str, Any] = {}
    problems = []
    for job, outcome in zip(work, outcomes, strict=True):
        if outcome.problem is not None:
            problems.append(outcome.problem)
            continue
        files[job.source.video_id] = job.names if folder is not None else ()
        if outcome.value is not None:
            pictures[job.source.video_id] = outcome.value
    return files, pictures, problems

"""`evfr export`: a selection as what an annotation tool imports."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from evfr._core.selection import Selection
    from evfr._core.types import Problem
    from evfr.verbs._export_package import ExportPackage
    from evfr.verbs._measure import Measured

__all__ = ["ExportResult", "export"]


@dataclass(frozen=True, slots=True)
class ExportResult:
    """Hold what `export` wrote.

    Attributes
    ----------
    folder : Path
        Where the export is.
    tool : str
        The tool it is for.
    package : ExportPackage
        Its pictures, and which frames they are.
    files : tuple of Path
        What the tool is given, the first file first.
    help : str
        How to bring it into the tool and the labels back.
    notes : tuple of str
        What else to know.
    problems : tuple of Problem
        One per video that could not be exported.
    """

    folder: Path
    tool: str
    package: ExportPackage
    files: tuple[Path, ...]
    help: str
    notes: tuple[str, ...]
    problems: tuple[Problem, ...]

    @property
    def failed_count(self) -> int:
        """How many videos could not be exported."""
        return len(self.problems)

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON-ready dict."""
        labels = self.package.labels
        return {
            "folder": str(self.folder),
            "tool": self.tool,
            "videos": [video.video_id for video in self.package.videos],
            "label_frames": len(self.package.label_frames),
            "context_frames": len(self.package.frames) - len(self.package.label_frames),
            "pre_annotations": 0 if labels is None else len(labels),
            "categories": [category.name for category in self.package.categories],
            "files": [str(path) for path in self.files],
            "help": self.help,
            "notes": list(self.notes),
            "problems": [problem.to_dict() for problem in self.problems],
        }

    def __str__(self) -> str:
        picks = len(self.package.label_frames)
        context = len(self.package.frames) - picks
        labels = self.package.labels
        lines = [
            f"{picks} frames to label of {len(self.package.videos)} videos for {self.tool} in {self.folder}",
            *([f"context   {context} frames around them, to look at"] if context else []),
            *([f"labels    {len(labels)} objects are there already"] if labels is not None else []),
            *(f"file      {path}" for path in self.files),
            *(f"note      {note}" for note in self.notes),
            *textwrap.wrap(self.help, 78, initial_indent="next      ", subsequent_indent=" " * 10),
        ]
        return "\n".join(lines)


def export(
    selection: str | Path | Selection,
    *,
    to: Literal["cvat", "cvat-video", "label-studio", "coco", "yolo", "fiftyone", "datumaro"],
    out: Path,
    context: str | None = None,
    labels: Sequence[str | Path] = (),
    label_format: str = "auto",
    min_trust: float | None = None,
    categories: Sequence[str] = (),
    image_format: Literal["png", "jpg"] = "png",
    quality: int = 95,
    zip: bool = True,
    store: Path | None = None,
    executor: Literal["serial", "processes", "ray"] = "processes",
    jobs: int | None = None,
    memory_limit_mb: int | None = 4096,
    timeout_seconds: float | None = 120.0,
    allow_remote: Sequence[str] = (),
) -> ExportResult:
    """Write the selected frames as what an annotation tool imports, with a map that brings the labels back exactly.

    The folder has the pictures, the tool's own files, a README.txt that says how to import them, and ``export.json``,
    from which ``evfr import`` puts every label on the frame it was drawn on.

    Parameters
    ----------
    selection : path or Selection
        A folder that ``evfr select`` wrote, its ``selection.json`` or its ``selection.parquet``.
    to : {"cvat", "cvat-video", "label-studio", "coco", "yolo", "fiftyone", "datumaro"}
        The tool, or the format that it reads.
    out : Path
        A new or empty folder. It appears when it is whole.
    context : str or None
        Write the neighbours of each pick as well, this far to each side: a time such as ``2s``, or frames such as
        ``60f``. They are named as context, to be looked at; labels on them do not count.
    labels : sequence of path
        Label files of the videos to begin with, such as ``evfr propagate`` writes; only objects on frames to label.
    label_format : str
        Format of those; ``auto`` tells it from ending and content.
    min_trust : float or None
        Leave carried objects below this trust, in [0, 1], out; None takes all.
    categories : sequence of str
        Names of the classes to choose from, besides those of the labels.
    image_format : {"png", "jpg"}
        PNG keeps every pixel, JPEG is smaller.
    quality : int
        JPEG quality, 1 to 100.
    zip : bool
        Pack what the tool takes as a zip; otherwise it is a folder.

    Returns
    -------
    ExportResult
        What was written, and how to go on.

    Other Parameters
    ----------------
    store : Path or None
        Where measurements are kept, also ``s3://bucket/folder`` where ``allow_remote`` names it; None is the user's
        cache folder, or ``EVFR_STORE``.
    executor : {"serial", "processes", "ray"}
        Decode in this process, in child processes that a damaged file cannot take down, or in those of a Ray cluster.
    jobs : int or None
        Child processes at a time; None is one per core.
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
        If the selection cannot be read, or selects nothing.
    AnnotationError
        If the labels cannot be read, or are of no video of the selection.
    VideoError
        If not one video of the selection can be exported.
    StoreError
        If the folder is not empty, or cannot be written.
    ValueError
        If an argument is out of range.

    Examples
    --------
    >>> import evfr
    >>> evfr.export("evfr-out", to="coco", out="to-label", categories=["car"])  # doctest: +SKIP
    """
    from evfr._core.remote_store import store_root
    from evfr._core.selection import Selection
    from evfr.errors import SelectionFileError, VideoError
    from evfr.verbs._export_labels import all_categories, read_pre_annotations
    from evfr.verbs._export_names import video_slugs
    from evfr.verbs._export_package import ExportPackage, ExportVideo, write_export
    from evfr.verbs._export_pictures import write_pictures
    from evfr.verbs._export_plan import parse_context, plan_frames
    from evfr.verbs._export_stage import check_free, staged_folder
    from evfr.verbs._export_targets import TARGETS
    from evfr.verbs._measure import default_store
    from evfr.video import recorded_path

    if to not in TARGETS:
        raise ValueError(f"to must be one of {', '.join(TARGETS)}, got {to!r}")
    if image_format not in ("png", "jpg"):
        raise ValueError(f"image_format must be 'png' or 'jpg', got {image_format!r}")
    if not 1 <= quality <= 100:
        raise ValueError(f"quality must lie in 1..100, got {quality}")
    if min_trust is not None and not 0.0 <= min_trust <= 1.0:
        raise ValueError(f"min_trust must lie in 0..1, got {min_trust}")
    reach = parse_context(context)
    target, out = TARGETS[to], Path(out)
    check_free(out)
    chosen = selection if isinstance(selection, Selection) else Selection.load(selection)
    if not len(chosen):
        raise SelectionFileError("this selection selects no frame; there is nothing to export")
    root = store_root(default_store() if store is None else store, allow_remote)
    measured = _measured(
        chosen,
        root,
        executor=executor,
        jobs=jobs,
        memory_limit_mb=memory_limit_mb,
        timeout_seconds=timeout_seconds,
        allow_remote=allow_remote,
    )
    picks = {
        video.source.video_id: chosen.for_video(video.source.video_id).indices
        for video in measured
        if video.table is not None
    }
    failed = [problem for video in measured if video.table is None for problem in video.problems]
    begun = read_pre_annotations(labels, measured, picks, label_format=label_format, min_trust=min_trust)
    classes = all_categories(begun, categories)
    with staged_folder(out) as stage:
        plans = plan_frames(measured, picks, reach, video_slugs(chosen.sources), image_format)
        written, problems = write_pictures(
            measured,
            plans,
            stage,
            quality=quality,
            store=root,
            executor=executor,
            jobs=jobs,
            memory_limit_mb=memory_limit_mb,
            timeout_seconds=timeout_seconds,
        )
        problems = [*failed, *problems]
        if not written:
            raise VideoError(problems[0])
        videos = []
        for video in measured:
            table = video.table
            if table is not None and video.source.video_id in written:
                videos.append(
                    ExportVideo(
                        video.source.video_id,
                        recorded_path(video.source.path),
                        video.digest,
                        len(table),
                        table.width,
                        table.height,
                    )
                )
        package = ExportPackage(
            stage,
            to,
            tuple(videos),
            tuple(frame for video in videos for frame in written[video.video_id]),
            classes,
            _of_videos(begun, set(written)),
            reach.seconds,
            reach.frames,
            zip,
            out.absolute(),
        )
        files = target.write(package)
        notes = _notes(package)
        _write_readme(package, target.help, [path.relative_to(stage) for path in files], notes)
        write_export(package)
    from dataclasses import replace

    return ExportResult(
        out,
        to,
        replace(package, folder=out),
        tuple(out / path.relative_to(stage) for path in files),
        target.help,
        notes,
        tuple(problems),
    )


def _measured(chosen: Selection, root: Any, *, allow_remote: Sequence[str], **options: Any) -> list[Measured]:
    """Return the frames of every video that has picks, those failed that are not what was selected from."""
    from evfr.verbs._measure import measure
    from evfr.verbs.extract import check_unchanged
    from evfr.video import VideoSource, source_path

    entries = {entry["video_id"]: entry for entry in chosen.manifest["inputs"]}
    found = measure(
        [
            VideoSource(name, source_path(entry["path"], allow_remote), entry["kind"])
            for name, entry in entries.items()
            if len(chosen.for_video(name))
        ],
        signals=(),
        profile="default",
        embedding=None,
        damaged=chosen.manifest["parameters"].get("damaged", "drop"),
        store=root,
        **options,
    )
    return [check_unchanged(video, entries[video.source.video_id].get("hash")) for video in found]


def _of_videos(labels: Any, names: set[str]) -> Any:
    """Return the labels of the videos that were written; None where there are none."""
    from evfr._core.annotations import concatenate

    if labels is None:
        return None
    parts = [labels.of_video(video.video_id) for video in labels.videos if video.video_id in names]
    return concatenate(parts) if parts else None


def _notes(package: ExportPackage) -> tuple[str, ...]:
    notes = []
    if not package.categories:
        notes.append("no classes were given: make them in the tool, or export again with categories")
    return tuple(notes)


def _write_readme(package: ExportPackage, help: str, files: Sequence[Path], notes: Sequence[str]) -> None:
    from evfr._core.atomic import atomic_write_bytes

    picks = len(package.label_frames)
    lines = [
        f"{picks} frames to label, of {len(package.videos)} videos, for {package.tool}; written by evfr export.",
        "",
        *textwrap.wrap(help, 100),
        "",
        "Files for the tool:",
        *(f"  {path.as_posix()}" for path in files),
        "",
        "frames/     the pictures to label; keep their names, for that is how labels find their frames again",
        *(
            ["context/    pictures around them, to look at; labels on them do not count"]
            if len(package.frames) > picks
            else []
        ),
        "export.json which picture is which frame of which video; evfr import needs it",
        *(["", *notes] if notes else []),
        "",
        "Back: evfr import FILE --selection THIS_FOLDER --out labels.parquet",
        "",
    ]
    atomic_write_bytes(package.folder / "README.txt", "\n".join(lines).encode())

"""The last steps of a selection: choose, extract, write the files and the page."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from evfr._core.remote_store import StoreRoot
    from evfr._core.selection import Selection
    from evfr._core.types import Problem
    from evfr.reports import StrideRow
    from evfr.verbs._choose import Chosen
    from evfr.verbs._embedding import EmbeddedVideo
    from evfr.verbs._measure import Measured
    from evfr.verbs._pooling import Pooled
    from evfr.verbs._request import Request
    from evfr.verbs.score import VideoScore

__all__ = ["Run", "finish", "problems_of"]


@dataclass(frozen=True, slots=True)
class Run:
    """Say where a run writes and how it executes; nothing here changes which frames are taken."""

    out: Path | None
    store: StoreRoot
    has_frames: bool
    has_report: bool
    executor: str
    jobs: int | None
    memory_limit_mb: int | None
    timeout_seconds: float | None
    device: str = "auto"

    @property
    def execution(self) -> dict[str, Any]:
        """Keywords for the functions that run over videos."""
        return {
            "store": self.store,
            "executor": self.executor,
            "jobs": self.jobs,
            "memory_limit_mb": self.memory_limit_mb,
            "timeout_seconds": self.timeout_seconds,
        }


def finish(
    measured: Sequence[Measured],
    shown: Sequence[str],
    request: Request,
    run: Run,
    strides: Sequence[StrideRow] = (),
    *,
    embedded: Sequence[EmbeddedVideo] | None = None,
    pooled: Pooled | None = None,
) -> Selection:
    """Choose, extract and write one selection.

    Parameters
    ----------
    measured : sequence of Measured
        All inputs.
    shown : sequence of str
        The inputs as the user wrote them.
    request : Request
        What was asked for.
    run : Run
        Where to write.
    strides : sequence of StrideRow
        Reduced datasets, for the report.
    embedded : sequence of EmbeddedVideo or None
        One per input, for methods on embeddings.
    pooled : Pooled or None
        The pools that ``embedded`` holds the rows of.

    Returns
    -------
    Selection
        As written.
    """
    from evfr._core.selection import Selection
    from evfr.verbs._choose import choose
    from evfr.verbs._choose_embedded import measure_coverage
    from evfr.verbs._manifest import build_manifest, build_table
    from evfr.verbs.score import summarise

    scores = [summarise(video) for video in measured]
    chosen, notes = choose(measured, scores, request, embedded, pooled)
    problems = problems_of(measured, scores, embedded)
    table = build_table(chosen)
    extra: dict[str, Any] = {} if not notes else {"notes": list(notes)}
    if embedded is not None and pooled is None:
        extra["coverage"] = measure_coverage(chosen, embedded, request)
    if run.out is None:
        return Selection(table, build_manifest(shown, request, measured, chosen, problems, extra))
    files, pictures, missed = _write_images(measured, chosen, request, run)
    _drop_stale(run.out, {name for own in files.values() for name in own})
    manifest = build_manifest(shown, request, measured, chosen, [*problems, *missed], extra)
    selection = Selection(table, manifest, run.out)
    if not strides:
        selection.save(run.out)
    if run.has_report:
        from evfr._core.atomic import atomic_write_bytes
        from evfr.reports import render_report
        from evfr.verbs._report import build_report

        addresses = {name: tuple(f"frames/{file}" for file in own) for name, own in files.items()}
        report = build_report(
            request,
            manifest,
            measured,
            chosen,
            pictures,
            addresses,
            strides=strides,
            command=request.command(shown, [row.stride for row in strides]),
        )
        atomic_write_bytes(run.out / "report.html", render_report(report).encode("utf-8"))
    return selection


def problems_of(
    measured: Sequence[Measured], scores: Sequence[VideoScore], embedded: Sequence[EmbeddedVideo] | None
) -> list[Problem]:
    """Return everything found wrong: of the videos, of their embeddings if it is something else, of signals."""
    from evfr.verbs.score import signal_problems

    found = [problem for video in measured for problem in video.problems]
    known = set(found)
    found += [problem for video in embedded or () for problem in video.problems if problem not in known]
    return found + [problem for score in scores for problem in signal_problems(score)]


def _write_images(
    measured: Sequence[Measured], chosen: Sequence[Chosen], request: Request, run: Run
) -> tuple[dict[str, tuple[str, ...]], dict[str, Any], list[Any]]:
    from evfr.reports import thumbnail_frames
    from evfr.verbs.extract import write_frames

    assert run.out is not None
    rows = {entry.measured.source.video_id: entry.sample.indices for entry in chosen}
    small = {}
    if run.has_report:
        for entry in chosen:
            table = entry.measured.table
            assert table is not None
            wanted = thumbnail_frames(entry.sample.indices, len(table), n_strip=48, n_selected=400)
            small[entry.measured.source.video_id] = wanted[table.is_selectable[wanted]]
    if not run.has_frames and not small:
        return {}, {}, []
    folder = run.out / "frames" if run.has_frames else None
    files, pictures, problems = write_frames(
        measured,
        rows,
        folder=folder,
        image_format=request.image_format,
        quality=request.quality,
        thumbnails=small,
        **run.execution,
    )
    return files if folder is not None else {}, pictures, problems


def _drop_stale(out: Path, fresh: set[str]) -> None:
    """Remove what the selection written here before left and this one does not write: images, the page."""
    from evfr._core.selection import Selection
    from evfr._core.types import PTS_NONE
    from evfr.errors import SelectionFileError
    from evfr.video import frame_file_name

    try:
        before = Selection.load(out)
    except SelectionFileError:
        return
    suffix = str(before.manifest["parameters"].get("image_format", "jpg"))
    columns = (before.table[name].to_pylist() for name in ("video_id", "frame_index", "pts"))
    for video_id, index, pts in zip(*columns, strict=True):
        name = frame_file_name(video_id, index, PTS_NONE if pts is None else pts, suffix)
        if name not in fresh:
            (out / "frames" / name).unlink(missing_ok=True)
    (out / "report.html").unlink(missing_ok=True)

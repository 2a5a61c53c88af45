"""Turn what a selection saw into the values that the report page is drawn from."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from evfr.reports import PackedThumbnails, SelectionReport, StrideRow, VideoReport
    from evfr.verbs._choose import Chosen
    from evfr.verbs._measure import Measured
    from evfr.verbs._request import Request

__all__ = ["build_report"]


def build_report(
    request: Request,
    manifest: Mapping[str, Any],
    measured: Sequence[Measured],
    chosen: Sequence[Chosen],
    thumbnails: Mapping[str, PackedThumbnails],
    files: Mapping[str, tuple[str, ...]],
    *,
    strides: Sequence[StrideRow] = (),
    command: str,
) -> SelectionReport:
    """Collect the report's values.

    Parameters
    ----------
    request : Request
        What was asked for.
    manifest : mapping
        Content of ``selection.json``.
    measured : sequence of Measured
        All inputs.
    chosen : sequence of Chosen
        The usable ones.
    thumbnails : mapping of str to PackedThumbnails
        Small pictures by video id.
    files : mapping of str to tuple of str
        Addresses of the full-size frames relative to the page, by video id.
    strides : sequence of StrideRow
        Reduced datasets.
    command : str
        The command that makes the same selection again.

    Returns
    -------
    SelectionReport
        Ready for `evfr.reports.render_report`.
    """
    from evfr import __version__
    from evfr._core.types import Problem
    from evfr.reports import SelectionReport

    by_id = {entry.measured.source.video_id: entry for entry in chosen}
    videos = tuple(
        _video(video, by_id.get(video.source.video_id), request, thumbnails, files) for video in measured
    )
    return SelectionReport(
        title=_title(measured),
        command=command,
        version=__version__,
        signal=request.signal,
        method=request.method,
        parameters=request.to_dict(),
        videos=videos,
        problems=tuple(Problem.from_dict(item) for item in manifest["problems"]),
        allocation=request.allocation,
        has_gap_constraints=request.has_gaps,
        strides=tuple(strides),
        manifest=manifest,
        minimum=request.per_video_min,
        maximum=request.per_video_max,
    )


def _title(measured: Sequence[Measured]) -> str:
    if len(measured) == 1:
        return str(measured[0].source.video_id)
    return f"{len(measured)} videos"


def _video(
    video: Measured,
    entry: Chosen | None,
    request: Request,
    thumbnails: Mapping[str, PackedThumbnails],
    files: Mapping[str, tuple[str, ...]],
) -> VideoReport:
    import numpy as np

    from evfr.reports import Segment, VideoReport
    from evfr.video import printable, recorded_path

    name, path = video.source.video_id, printable(recorded_path(video.source.path))
    if entry is None or video.table is None:
        count = 0 if video.table is None else len(video.table)
        none = np.zeros(0, np.int64)
        return VideoReport(
            video_id=name,
            path=path,
            status=video.status,
            width=0 if video.table is None else video.table.width,
            height=0 if video.table is None else video.table.height,
            codec=str(video.info.get("codec") or ""),
            duration_seconds=0.0 if video.table is None else video.table.duration_seconds,
            time_seconds=np.zeros(0) if video.table is None else video.table.time_seconds,
            curves={},
            is_suspect=np.ones(count, bool),
            is_selectable=np.zeros(count, bool),
            cuts=none,
            selected=none,
            rank=none,
            reasons=(),
            inclusion=np.zeros(0),
            method="",
            method_reason="not usable",
            segments=(),
            dynamicity={},
            activity={},
            order=None,
            weights=np.zeros(count),
            options={},
            thumbnails=None,
            pts=np.zeros(0, np.int64) if video.table is None else video.table.pts,
            problems=video.problems,
        )
    sample, score, table = entry.sample, entry.score, video.table
    segments = tuple(
        Segment(item.start, item.stop, item.strategy, item.reason, item.dynamicity, item.n)
        for item in sample.segments
    )
    return VideoReport(
        video_id=name,
        path=path,
        status=video.status,
        width=table.width,
        height=table.height,
        codec=str(video.info.get("codec") or ""),
        duration_seconds=table.duration_seconds,
        time_seconds=table.time_seconds,
        curves=dict(score.fvi),
        is_suspect=table.is_suspect,
        is_selectable=_candidates(entry),
        cuts=score.cuts,
        selected=sample.indices,
        rank=sample.rank,
        reasons=sample.reasons,
        inclusion=sample.inclusion,
        method=sample.method,
        method_reason=_reason(entry),
        segments=segments,
        dynamicity={key: _plain(value) for key, value in score.dynamicity.items()},
        activity={key: _plain(value) for key, value in score.activity.items()},
        order=sample.order,
        weights=entry.weights,
        options=dict(request.method_options),
        thumbnails=thumbnails.get(name),
        pts=table.pts,
        problems=video.problems,
        is_static=any(score.is_static.values()),
        seed=entry.seed,
        size=entry.size,
        allocation_activity=entry.activity,
        minimum=entry.minimum,
        maximum=entry.maximum,
        include=tuple(entry.constraints.include),
        exclude=tuple(entry.constraints.exclude),
        labeled=tuple(entry.constraints.labeled),
        files=files.get(name, ()),
    )


def _candidates(entry: Chosen) -> NDArray[np.bool_]:
    import numpy as np

    # The page draws from what could be chosen: labelled frames are neither chosen again nor offered.
    mask = np.array(entry.constraints.selectable, bool)
    mask[list(entry.constraints.labeled)] = False
    return mask


def _reason(entry: Chosen) -> str:
    sample = entry.sample
    texts = list(sample.notes)
    if len(sample.segments) == 1:
        texts.insert(0, sample.segments[0].reason)
    elif sample.segments:
        kinds = [item.strategy for item in sample.segments]
        counted = " and ".join(f"{kinds.count(kind)} {kind}" for kind in dict.fromkeys(kinds))
        texts.insert(0, f"{len(kinds)} shots: {counted}, each by its dynamicity")
    return "; ".join(texts)


def _plain(value: float) -> float:
    return float(value) if math.isfinite(value) else math.nan

"""Give the rows of a selection on disk the form that a report is made from."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pyarrow as pa

    from evfr.verbs._choose import Chosen
    from evfr.verbs._measure import Measured
    from evfr.verbs._request import Request
    from evfr.verbs._view_folder import ViewVideo

__all__ = ["chosen_from_table", "own_names"]


def chosen_from_table(
    measured: Measured, video: ViewVideo, rows: pa.Table | None, request: Request
) -> Chosen:
    """Return the selected frames of one video as `evfr.verbs._choose.choose` would.

    Parameters
    ----------
    measured : Measured
        The video; not a failed one.
    video : ViewVideo
        What the folder says of it.
    rows : pyarrow.Table or None
        The whole selection; None selects nothing.
    request : Request
        What it was made by.

    Returns
    -------
    Chosen
        Without what a table does not keep: shots and their strategies, and the order of all frames.
    """
    import math

    import numpy as np
    import pyarrow.compute as pc

    from evfr.sampling import Sample
    from evfr.verbs._choose import Chosen, constrain
    from evfr.verbs.score import summarise

    table = measured.table
    assert table is not None
    score = summarise(measured)
    columns: dict[str, Any] = {"frame_index": [], "rank": [], "reason": [], "inclusion_probability": []}
    if rows is not None:
        own = rows.filter(pc.equal(rows["video_id"], video.video_id))
        columns = {name: own[name].to_pylist() for name in columns}
    index = np.array(columns["frame_index"], np.int64)
    rank = np.argsort(np.argsort(np.array(columns["rank"], np.int64), kind="stable"), kind="stable")
    inclusion = np.array(
        [math.nan if value is None else value for value in columns["inclusion_probability"]], np.float64
    )
    sample = Sample(
        index,
        inclusion,
        rank.astype(np.int64),
        tuple(columns["reason"]),
        notes=tuple(video.facts.get("notes", ())),
        method=str(video.facts.get("method", "")) or request.method,
    )
    (constraints,) = constrain([measured], own_names(request, video.video_id))
    weights = score.fvi[request.signal] if request.signal in score.fvi else np.ones(len(table))
    size, activity = table.duration_seconds, score.activity.get(request.signal, math.nan)
    return Chosen(measured, score, sample, weights, constraints, size, activity, 0, len(table), request.seed)


def own_names(request: Request, video_id: str) -> Request:
    """Return the request with those named frames alone that lie in one video.

    Parameters
    ----------
    request : Request
        What was asked for.
    video_id : str
        The video.

    Returns
    -------
    Request
        Frames without a name of a video stay: there is one video then.
    """
    names = ("include", "exclude", "labeled")
    own: dict[str, Any] = {
        name: tuple(pair for pair in getattr(request, name) if pair[0] in (None, video_id)) for name in names
    }
    return replace(request, **own)

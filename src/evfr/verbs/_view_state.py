"""What the page is told at the start and in its list: small, whatever the number of videos."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evfr.verbs._view_map import has_map

if TYPE_CHECKING:
    from evfr.verbs._view_session import ViewSession

__all__ = ["SAVE_NAME", "features", "head", "named_frames", "saved_names", "summary"]

SAVE_NAME = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,63}")
"""Names that a selection may be saved under: one folder, on any system, never hidden."""

_INPUTS_MOST = 200


def head(session: ViewSession) -> dict[str, Any]:
    """Return everything of the report but its videos.

    Parameters
    ----------
    session : ViewSession
        What is shown.

    Returns
    -------
    dict
        As `evfr.reports._encode.encode_report`; the manifest has its inputs only where they are few.
    """
    from evfr import __version__
    from evfr.reports import SelectionReport
    from evfr.reports._encode import encode_report

    folder, request = session.folder, session.request
    manifest = dict(folder.manifest)
    if len(session) > _INPUTS_MOST:
        manifest["inputs"] = []
    videos = folder.videos
    report = SelectionReport(
        title=videos[0].video_id if len(videos) == 1 else f"{len(videos)} videos",
        command=request.command(folder.shown) if folder.kind != "review" else "",
        version=__version__,
        signal=request.signal,
        method=request.method,
        parameters=request.to_dict(),
        videos=(),
        problems=folder.problems,
        allocation=request.allocation,
        has_gap_constraints=request.has_gaps,
        manifest=manifest,
        minimum=request.per_video_min,
        maximum=request.per_video_max,
    )
    return {**encode_report(report), "n_videos": len(videos)}


def features(session: ViewSession) -> dict[str, bool]:
    """Return which panels have something to show.

    Parameters
    ----------
    session : ViewSession
        What is shown.

    Returns
    -------
    dict of str to bool
        ``labels``, ``map``, ``review``.
    """
    return {
        "labels": bool(session.labels),
        "map": has_map(session),
        "review": session.folder.kind == "review",
    }


def saved_names(root: Path) -> list[str]:
    """Return the names of the selections below a folder.

    Parameters
    ----------
    root : Path
        The folder.

    Returns
    -------
    list of str
        Sorted; links are passed over.
    """
    found = [
        entry.name
        for entry in root.iterdir()
        if SAVE_NAME.fullmatch(entry.name) and not entry.is_symlink() and (entry / "selection.json").is_file()
    ]
    return sorted(found)


def named_frames(session: ViewSession) -> dict[str, list[list[int]]]:
    """Return the frames that the selection was told about, by the places of their videos.

    Parameters
    ----------
    session : ViewSession
        What is shown.

    Returns
    -------
    dict
        ``include``, ``exclude`` and ``labeled``: lists of [place, frame_index], of what was asked for last.
    """
    places: dict[str | None, int] = {
        video.video_id: place for place, video in enumerate(session.folder.videos)
    }
    if len(places) == 1:
        places[None] = 0
    request = session.request if session.answer is None else session.answer.request
    return {
        name: [[places[video_id], index] for video_id, index in getattr(request, name) if video_id in places]
        for name in ("include", "exclude", "labeled")
    }


def summary(session: ViewSession, place: int) -> dict[str, Any]:
    """Return one line of the list of videos.

    Parameters
    ----------
    session : ViewSession
        What is shown.
    place : int
        Of the video.

    Returns
    -------
    dict
        ``place``, ``video_id``, ``status``, ``n_frames``, ``n_selected``, ``duration``, ``dynamicity``.
    """
    from evfr.reports._encode import plain

    video, facts = session.folder.videos[place], session.facts(place)
    return {
        "place": place,
        "video_id": video.video_id,
        "status": "failed" if video.problem is not None else facts["status"],
        "n_frames": facts["frame_count"],
        "n_selected": session.selected_count(place),
        "duration": plain(facts["duration_seconds"]),
        "dynamicity": plain(facts["dynamicity"]),
        "problem": None if video.problem is None else str(video.problem),
    }

"""Labels for the page: read once, fitted to the frames of a video when it is looked at."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evfr.verbs._view_folder import check_regular

if TYPE_CHECKING:
    from evfr._core.annotations import VideoAnnotations
    from evfr.verbs._view_folder import ViewFolder
    from evfr.verbs._view_session import ViewSession

__all__ = ["FRAMES_MOST", "LabelSource", "encode_frames", "mean_trust", "review_rows"]

FRAMES_MOST = 200
"""Frames whose labels are sent at a time."""


class LabelSource:
    """Hold the labels that are shown: a file of the user's, and what a review folder asks about.

    Parameters
    ----------
    path : Path or None
        Labels of any format that evfr reads.
    folder : ViewFolder
        What is shown.

    Raises
    ------
    AnnotationError
        If the labels cannot be read.
    """

    def __init__(self, path: Path | None, folder: ViewFolder) -> None:
        from evfr.annotations import read

        self._parts: list[VideoAnnotations] = []
        if path is not None:
            self._parts.append(read(path))
        asked = folder.root / "ask.parquet"
        if folder.kind == "review" and asked.exists():
            check_regular(asked)
            self._parts.append(read(asked, format="evfr"))
        self._count = len(folder.videos)
        self._bound: dict[tuple[int, str], list[VideoAnnotations]] = {}
        self._lock = threading.Lock()

    def __bool__(self) -> bool:
        """Whether there are any."""
        return bool(self._parts)

    def of(self, session: ViewSession, place: int) -> list[VideoAnnotations]:
        """Return the labels of one video, fitted to its frames; none where it has none.

        Parameters
        ----------
        session : ViewSession
            What is shown.
        place : int
            Of the video.

        Returns
        -------
        list of VideoAnnotations
            Each of the one video.

        Raises
        ------
        AnnotationError
            If they do not fit: another size, another cut, frames that do not exist.
        """
        from evfr.annotations import bind

        measured = session.opened(place).measured
        if measured.table is None:
            return []
        key = (place, measured.digest)
        with self._lock:
            if key not in self._bound:
                found = []
                for part in self._parts:
                    name = self._name(part, measured.source.video_id, measured.digest)
                    if name is not None:
                        found.append(
                            bind(
                                part,
                                measured.table,
                                video_id=name,
                                content_hash=measured.digest,
                                name=measured.source.video_id,
                            )
                        )
                if len(self._bound) >= 64:
                    self._bound.clear()
                self._bound[key] = found
            return self._bound[key]

    def _name(self, part: VideoAnnotations, video_id: str, digest: str) -> str | None:
        """Return which video of the labels it is: of the same bytes, of the same name, or the only one of both."""
        for video in part.videos:
            if video.content_hash and video.content_hash == digest:
                return video.video_id
        if any(video.video_id == video_id for video in part.videos):
            return video_id
        return part.videos[0].video_id if len(part.videos) == self._count == 1 else None


def encode_frames(parts: list[VideoAnnotations], first: int, last: int) -> list[dict[str, Any]]:
    """Return the labels of frames ``first`` to ``last`` as the page draws them.

    Parameters
    ----------
    parts : list of VideoAnnotations
        Each of one video.
    first, last : int
        Frames, both included.

    Returns
    -------
    list of dict
        One per annotated frame: ``frame_index``, ``objects``.
    """
    import numpy as np

    frames: dict[int, list[dict[str, Any]]] = {}
    for part in parts:
        index = part.videos[0].frame_index
        for frame in index[np.searchsorted(index, first) : np.searchsorted(index, last, "right")].tolist():
            frames.setdefault(frame, [])
        names = {category.category_id: category.name for category in part.categories}
        low, high = np.searchsorted(part.frame_index, [first, last + 1])
        for row in range(int(low), int(high)):
            frames[int(part.frame_index[row])].append(_object(part, row, names))
    return [{"frame_index": frame, "objects": objects} for frame, objects in sorted(frames.items())]


def _object(part: VideoAnnotations, row: int, names: dict[int, str]) -> dict[str, Any]:
    from evfr._core.annotations import NO_TRACK, SOURCES
    from evfr.reports._encode import plain

    box, mask = part.boxes_xyxy[row], part.masks[row]
    track = int(part.track_id[row])
    has_box = bool((box == box).all())
    if not has_box and mask is not None and not mask.is_empty:
        box, has_box = mask.box_xyxy, True
    return {
        "track_id": None if track == NO_TRACK else track,
        "category": names[int(part.category_id[row])],
        "box_xyxy": [float(value) for value in box] if has_box else None,
        "rle": None if mask is None else mask.to_coco(),
        "score": plain(part.score[row]),
        "trust": plain(part.trust[row]),
        "source": SOURCES[int(part.source[row])],
    }


def mean_trust(parts: list[VideoAnnotations], frame_index: int) -> float | None:
    """Return the mean trust of what lies on one frame; None where nothing has one."""
    import numpy as np

    found = [part.trust[part.frame_index == frame_index] for part in parts]
    values = np.concatenate(found) if found else np.zeros(0)
    values = values[~np.isnan(values)]
    return float(values.mean()) if len(values) else None


def review_rows(session: ViewSession) -> list[dict[str, Any]]:
    """Return the frames that ask for a label, most worth first.

    Parameters
    ----------
    session : ViewSession
        Over a review folder.

    Returns
    -------
    list of dict
        ``place``, ``frame_index``, ``trust``, ``reason``, ``rank``, ``gain``.
    """
    from evfr.errors import AnnotationError
    from evfr.reports._encode import plain

    table = session.folder.table
    assert table is not None
    places = {video.video_id: place for place, video in enumerate(session.folder.videos)}
    parts: dict[int, list[VideoAnnotations]] = {}
    rows = []
    columns = ("video_id", "frame_index", "rank", "reason", "gain")
    for name, frame, rank, reason, gain in zip(*(table[c].to_pylist() for c in columns), strict=True):
        if name not in places:
            continue
        place = places[name]
        if place not in parts:
            try:
                parts[place] = session.labels.of(session, place)
            except AnnotationError:
                parts[place] = []  # the labels say themselves what is wrong when they are asked for
        trust = mean_trust(parts[place], frame)
        rows.append(
            {
                "place": place,
                "frame_index": frame,
                "trust": trust,
                "reason": reason,
                "rank": rank,
                "gain": plain(gain),
            }
        )
    return sorted(rows, key=lambda row: row["rank"])

"""Plan an export: which frames are written of each video, which of them are context, and under which names."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from evfr._core.types import FrameTable
    from evfr.verbs._measure import Measured

__all__ = ["Context", "Planned", "parse_context", "plan_frames"]

_CONTEXT = re.compile(r"(\d+(?:\.\d+)?)(s|ms|f)")


@dataclass(frozen=True, slots=True)
class Context:
    """Say how far the neighbours of a pick reach to each side: in seconds, or in frames, or not at all."""

    seconds: float = 0.0
    frames: int = 0


@dataclass(frozen=True, slots=True)
class Planned:
    """Hold one picture to be written: its frame, its pick if it is context, its name."""

    frame_index: int
    of: int | None
    name: str


def parse_context(text: str | None) -> Context:
    """Read ``2s``, ``500ms`` or ``60f``.

    Parameters
    ----------
    text : str or None
        None is no context.

    Returns
    -------
    Context
        How far.

    Raises
    ------
    ValueError
        If it is none of these, or 0.
    """
    if text is None:
        return Context()
    match = _CONTEXT.fullmatch(text.strip())
    if match is None or not float(match[1]) or (match[2] == "f" and "." in match[1]):
        raise ValueError(
            f"context must be a time such as 2s or 500ms, or a number of frames such as 60f, got {text!r}"
        )
    if match[2] == "f":
        return Context(frames=int(match[1]))
    return Context(float(match[1]) / (1000 if match[2] == "ms" else 1))


def plan_frames(
    measured: Sequence[Measured],
    rows: Mapping[str, Any],
    context: Context,
    slugs: Mapping[str, str],
    image_format: str,
) -> dict[str, tuple[Planned, ...]]:
    """Return the pictures of each video in order of frames.

    Parameters
    ----------
    measured : sequence of Measured
        The videos; failed ones are passed over.
    rows : mapping of str to (n,) int64
        The picks of each.
    context : Context
        How far the neighbours reach.
    slugs : mapping of str to str
        Short names of the videos.
    image_format : str
        Ending of the pictures.

    Returns
    -------
    dict of str to tuple of Planned
        A frame is there once, as a pick where it is one. Frames that did not decode, or that damage may have reached,
        are no context.
    """
    from evfr.verbs._export_names import picture_name

    plans = {}
    for video in measured:
        name, table = video.source.video_id, video.table
        if table is None or name not in rows:
            continue
        owners = _owners(table, rows[name], context)
        plans[name] = tuple(
            Planned(
                frame,
                of,
                picture_name(
                    slugs[name],
                    frame,
                    _pts(table, frame),
                    "label" if of is None else "context",
                    image_format,
                ),
            )
            for frame, of in sorted(owners.items())
        )
    return plans


def _owners(table: FrameTable, picks: Any, context: Context) -> dict[int, int | None]:
    """Return the frames to write, each with the nearest pick if it is none itself."""
    import numpy as np

    owners: dict[int, int | None] = {int(pick): None for pick in picks}
    if not (context.seconds or context.frames):
        return owners
    place = table.time_seconds if context.seconds else np.arange(len(table), dtype=np.float64)
    reach = context.seconds or context.frames
    nearest: dict[int, float] = {}
    for pick in sorted(int(pick) for pick in picks):
        distances = np.abs(place - place[pick])
        for frame in np.flatnonzero((distances <= reach) & table.is_selectable).tolist():
            if owners.get(frame, -1) is None or distances[frame] >= nearest.get(frame, np.inf):
                continue
            owners[frame], nearest[frame] = pick, float(distances[frame])
    return owners


def _pts(table: FrameTable, frame: int) -> int | None:
    from evfr._core.types import PTS_NONE

    pts = int(table.pts[frame])
    return None if pts == PTS_NONE else pts

"""The reduced datasets S1, S2, ... of several strides, with the class check (Yoon & Choi 2023, §4.2 and Fig. 4)."""

from __future__ import annotations

import csv
import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from evfr._core.selection import Selection
    from evfr.reports import StrideRow
    from evfr.verbs._embedding import EmbeddedVideo
    from evfr.verbs._finish import Run
    from evfr.verbs._measure import Measured
    from evfr.verbs._request import Request

__all__ = ["read_labels", "reduce_by_strides"]

Labels = dict[str, dict[int, Counter[str]]]


def reduce_by_strides(
    measured: Sequence[Measured],
    shown: Sequence[str],
    request: Request,
    run: Run,
    strides: tuple[int, ...],
    labels: Path | None,
    embedded: Sequence[EmbeddedVideo] | None = None,
) -> Selection:
    """Make one selection per stride; every method takes as many frames of a clip as its uniform stride would.

    Parameters
    ----------
    measured : sequence of Measured
        All inputs.
    shown : sequence of str
        The inputs as the user wrote them.
    request : Request
        What was asked for, without a budget.
    run : Run
        Where to write: stride s goes to ``out/S<s>``, the common report and ``reduced.json`` to ``out``.
    strides : tuple of int
        Different, 1 or more.
    labels : Path or None
        CSV for the class check.
    embedded : sequence of EmbeddedVideo or None
        One per input, for methods on embeddings.

    Returns
    -------
    Selection
        That of the smallest stride, with all of them in ``reduced``.
    """
    from evfr.verbs._finish import finish

    counts = None if labels is None else read_labels(labels, [video.source.video_id for video in measured])
    reduced = []
    for stride in sorted(strides):
        folder = None if run.out is None else run.out / f"S{stride}"
        part = replace(run, out=folder, has_report=False)
        whole = finish(measured, shown, replace(request, stride=stride), part, embedded=embedded)
        reduced.append((stride, whole))
    rows = [_row(stride, selection, measured, counts) for stride, selection in reduced]
    first = reduced[0][1]
    if run.out is not None:
        _write_summary(run.out, rows, [video.source.video_id for video in measured])
        if run.has_report:
            last = replace(request, stride=max(strides))
            finish(measured, shown, last, replace(run, has_frames=False), strides=rows, embedded=embedded)
    return replace(first, reduced=tuple(reduced))


def read_labels(path: Path, video_ids: Sequence[str]) -> Labels:
    """Read a CSV of labelled objects: ``video_id, frame_index, category``, one row per object.

    Parameters
    ----------
    path : Path
        The file; ``video_id`` may be left out when there is one video.
    video_ids : sequence of str
        The videos that exist.

    Returns
    -------
    dict
        Video id, then frame index, then how often each category occurs.

    Raises
    ------
    InputError
        If the file cannot be read, or a row names an unknown video or no integer frame.
    """
    from evfr.errors import InputError

    labels: Labels = {}
    try:
        with Path(path).open(newline="", encoding="utf-8-sig") as file:
            for number, row in enumerate(csv.DictReader(file), start=2):
                video_id = row.get("video_id") or (video_ids[0] if len(video_ids) == 1 else "")
                if video_id not in video_ids:
                    raise InputError(
                        f"{path}: line {number}: unknown video {video_id!r}; there are {video_ids[:5]}"
                    )
                frame, category = row.get("frame_index") or "", row.get("category") or ""
                if not frame.strip().isdecimal() or not category:
                    raise InputError(
                        f"{path}: line {number}: needs frame_index (0 or more) and category, got {row}"
                    )
                labels.setdefault(video_id, {}).setdefault(int(frame), Counter())[category] += 1
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{path} is no readable CSV file: {error}") from error
    if not labels:
        raise InputError(f"{path} holds no labels; it needs the columns video_id, frame_index and category")
    return labels


def _row(stride: int, selection: Selection, measured: Sequence[Measured], labels: Labels | None) -> StrideRow:
    from evfr.reports import StrideRow

    taken = {name: selection.for_video(name).indices for name in selection.sources}
    n_frames = tuple(len(taken[video.source.video_id]) for video in measured)
    if labels is None:
        return StrideRow(stride=stride, n_frames=n_frames)
    from evfr.sampling import class_check

    whole = {video_id: _counts(frames, frames) for video_id, frames in labels.items()}
    part = {
        video_id: _counts(frames, [int(index) for index in taken.get(video_id, ())])
        for video_id, frames in labels.items()
    }
    check = class_check(whole, part)
    return StrideRow(
        stride=stride,
        n_frames=n_frames,
        class_shares=dict(zip(check.classes, check.subset_shares, strict=True)),
        total_variation=check.total_variation,
        lost=(*check.lost_classes, *check.lost_clips),
    )


def _counts(frames: Mapping[int, Counter[str]], indices: Iterable[int]) -> dict[str, int]:
    total: Counter[str] = Counter()
    for index in indices:
        total.update(frames.get(index, ()))
    return dict(sorted(total.items()))


def _write_summary(out: Path, rows: Sequence[StrideRow], video_ids: Sequence[str]) -> None:
    from evfr._core.atomic import atomic_write_bytes

    data: list[Mapping[str, Any]] = [
        {
            "stride": row.stride,
            "frames": sum(row.n_frames),
            "frames_per_video": dict(zip(video_ids, row.n_frames, strict=True)),
            "class_shares": dict(row.class_shares),
            "total_variation": row.total_variation if row.class_shares else None,
            "lost": list(row.lost),
        }
        for row in rows
    ]
    out.mkdir(parents=True, exist_ok=True)
    atomic_write_bytes(out / "reduced.json", json.dumps(data, indent=1).encode("ascii") + b"\n")

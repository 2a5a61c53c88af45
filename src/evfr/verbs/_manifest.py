"""The manifest of a selection: written, read back, and the parts of it that other files need."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pyarrow as pa

    from evfr._core.types import Problem
    from evfr.verbs._choose import Chosen
    from evfr.verbs._measure import Measured
    from evfr.verbs._request import Request
    from evfr.video import VideoSource

__all__ = ["build_manifest", "build_table", "request_from_manifest", "versions"]


def build_manifest(
    paths: Sequence[str],
    request: Request,
    measured: Sequence[Measured],
    chosen: Sequence[Chosen],
    problems: Sequence[Problem],
    extra: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Return the JSON-ready content of ``selection.json``: nothing in it depends on when or where it is written.

    Parameters
    ----------
    paths : sequence of str
        The inputs as the user wrote them.
    request : Request
        What was asked for.
    measured : sequence of Measured
        All inputs.
    chosen : sequence of Chosen
        The usable ones.
    problems : sequence of Problem
        Everything found wrong.
    extra : mapping or None
        More entries of the summary.

    Returns
    -------
    dict
        The manifest.
    """
    from evfr._core.selection import MANIFEST_FORMAT, MANIFEST_SCHEMA

    by_id = {entry.measured.source.video_id: entry for entry in chosen}
    return {
        "format": MANIFEST_FORMAT,
        "schema": MANIFEST_SCHEMA,
        "paths": list(paths),
        "parameters": request.to_dict(),
        "summary": {
            "videos": len(measured),
            "failed": sum(video.status == "failed" for video in measured),
            "frames": sum(0 if video.table is None else len(video.table) for video in measured),
            "selected": sum(len(entry.sample.indices) for entry in chosen),
            **(extra or {}),
        },
        "inputs": [_input(video, by_id.get(video.source.video_id)) for video in measured],
        "problems": [problem.to_dict() for problem in problems],
        "versions": versions(),
    }


def _input(video: Measured, entry: Chosen | None) -> dict[str, Any]:
    from evfr.video import recorded_path

    data: dict[str, Any] = {
        "video_id": video.source.video_id,
        "path": recorded_path(video.source.path),
        "kind": video.source.kind,
        "hash": video.digest,
        "status": video.status,
        "frame_count": 0 if video.table is None else len(video.table),
    }
    if video.table is not None:
        data |= {
            "selectable": int(video.table.is_selectable.sum()),
            "codec": video.info.get("codec"),
            "width": video.table.width,
            "height": video.table.height,
            "duration_seconds": video.table.duration_seconds,
            "is_time_estimated": video.table.is_time_estimated,
        }
    if entry is not None:
        score = entry.score
        data |= {
            "selected": len(entry.sample.indices),
            "method": entry.sample.method,
            "notes": list(entry.sample.notes),
            "is_fallback": entry.sample.is_fallback,
            "shots": len(score.cuts) + 1,
            "signals": {
                name: {
                    "dynamicity": _finite(score.dynamicity[name]),
                    "activity": _finite(score.activity[name]),
                    "is_static": score.is_static[name],
                    "nan_count": score.nan_count[name],
                    "parameters": dict(score.parameters[name]),
                }
                for name in score.fvi
            },
        }
    return data


def build_table(chosen: Sequence[Chosen]) -> pa.Table:
    """Return the rows of ``selection.parquet``.

    Parameters
    ----------
    chosen : sequence of Chosen
        The usable videos.

    Returns
    -------
    pyarrow.Table
        With the columns of `evfr._core.selection.SELECTION_SCHEMA`.
    """
    import numpy as np
    import pyarrow as pa

    from evfr._core.selection import SELECTION_SCHEMA, pts_column

    parts = []
    for entry in chosen:
        table, sample = entry.measured.table, entry.sample
        assert table is not None
        rows, n = sample.indices, len(sample.indices)
        has_weight = bool(entry.score.fvi)
        parts.append(
            pa.table(
                {
                    "video_id": pa.array([entry.measured.source.video_id] * n, pa.string()),
                    "frame_index": pa.array(rows, pa.int64()),
                    "pts": pts_column(table.pts[rows]),
                    "time_base_num": pa.array(np.full(n, table.time_base.numerator), pa.int64()),
                    "time_base_den": pa.array(np.full(n, table.time_base.denominator), pa.int64()),
                    "time_seconds": pa.array(table.time_seconds[rows], pa.float64()),
                    "luma_hash": pa.array(table.luma_hash[rows], pa.uint64()),
                    "weight": pa.array(entry.weights[rows] if has_weight else [None] * n, pa.float64()),
                    "inclusion_probability": pa.array(sample.inclusion, pa.float64(), from_pandas=True),
                    "rank": pa.array(sample.rank, pa.int64()),
                    "reason": pa.array(list(sample.reasons), pa.string()),
                    "gain": pa.array([None] * n, pa.float64())
                    if sample.gains is None
                    else pa.array(sample.gains, pa.float64(), from_pandas=True),
                },
                schema=SELECTION_SCHEMA,
            )
        )
    return pa.concat_tables(parts).combine_chunks() if parts else SELECTION_SCHEMA.empty_table()


def request_from_manifest(
    path: Path, allow_remote: Sequence[str] = ()
) -> tuple[Request, tuple[VideoSource, ...], tuple[str, ...], dict[str, str]]:
    """Read what a manifest asked for, with the edits of the report page applied.

    Parameters
    ----------
    path : Path
        ``selection.json``, or what the page exported.
    allow_remote : sequence of str
        Prefixes below which remote files may be read.

    Returns
    -------
    tuple of (Request, sources, paths, hashes)
        The request, its inputs, the paths as the user wrote them, and the expected hash per video id.

    Raises
    ------
    SelectionFileError
        If it is no manifest, or its parameters or edits are wrong.
    InputError
        If a video of it is remote and not allowed.
    """
    from evfr._core.selection import read_manifest
    from evfr.errors import SelectionFileError
    from evfr.verbs._request import Request
    from evfr.video import VideoSource, source_path

    data = read_manifest(path)
    request = Request.from_dict(data["parameters"], str(path))
    edits = data.get("edits", {})
    try:
        if not isinstance(edits, dict) or set(edits) - {"n", "pin", "exclude"}:
            raise ValueError("edits must hold n, pin and exclude only")
        pin = tuple((str(video_id), int(index)) for video_id, index in edits.get("pin", ()))
        exclude = tuple((str(video_id), int(index)) for video_id, index in edits.get("exclude", ()))
        if edits:
            n = edits.get("n")
            if n is not None:
                request = replace(request, n=int(n), ratio=None, stride=None)
            request = replace(
                request, include=_union(request.include, pin), exclude=_union(request.exclude, exclude)
            )
    except (TypeError, ValueError) as error:
        raise SelectionFileError(f"{path}: {error}; export the page again") from error
    sources = tuple(
        VideoSource(item["video_id"], source_path(item["path"], allow_remote), item["kind"])
        for item in data["inputs"]
    )
    hashes = {item["video_id"]: item["hash"] for item in data["inputs"] if item.get("hash")}
    return request, sources, tuple(str(text) for text in data.get("paths", ())), hashes


def versions() -> dict[str, str]:
    """Return the versions that a selection's bytes depend on.

    Returns
    -------
    dict of str to str
        evfr, numpy, PyAV, FFmpeg's libavcodec, OpenCV.
    """
    import av
    import cv2
    import numpy as np

    from evfr import __version__

    codec = ".".join(str(part) for part in av.library_versions["libavcodec"])
    return {
        "evfr": __version__,
        "numpy": np.__version__,
        "av": av.__version__,
        "libavcodec": codec,
        "opencv": cv2.__version__,
    }


def _union(
    old: tuple[tuple[str | None, int], ...], new: tuple[tuple[str, int], ...]
) -> tuple[tuple[str | None, int], ...]:
    return tuple(dict.fromkeys((*old, *new)))


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None

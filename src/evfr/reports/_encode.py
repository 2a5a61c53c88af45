"""Turn report values into JSON-ready dicts and back; long arrays become base64 of little-endian bytes."""

from __future__ import annotations

import base64
import math
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, unquote_to_bytes

import numpy as np

from evfr._core.rng import generator
from evfr._core.types import Problem
from evfr.reports._pictures import PackedThumbnails, Sheet
from evfr.reports._values import Segment, SelectionReport, StrideRow, VideoReport

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

__all__ = [
    "SCHEMA",
    "decode_report",
    "decode_video",
    "encode_report",
    "encode_sheets",
    "encode_video",
    "plain",
    "runs",
]

SCHEMA = "evfr-report-1"


def encode_report(report: SelectionReport) -> dict[str, Any]:
    """Return everything of a report but its videos, JSON-ready."""
    return {
        "schema": SCHEMA,
        "title": report.title,
        "command": report.command,
        "version": report.version,
        "signal": report.signal,
        "method": report.method,
        "parameters": plain(report.parameters),
        "n_videos": len(report.videos),
        "problems": [problem.to_dict() for problem in report.problems],
        "allocation": report.allocation,
        "has_gap_constraints": report.has_gap_constraints,
        "strides": [
            {
                "stride": row.stride,
                "n_frames": list(row.n_frames),
                "class_shares": plain(row.class_shares),
                "total_variation": plain(row.total_variation),
                "lost": list(row.lost),
            }
            for row in report.strides
        ],
        "manifest": plain(report.manifest),
        "minimum": report.minimum,
        "maximum": report.maximum,
    }


def encode_video(video: VideoReport) -> dict[str, Any]:
    """Return one video without its thumbnails, JSON-ready."""
    return {
        "video_id": video.video_id,
        "path": video.path,
        "status": video.status,
        "width": video.width,
        "height": video.height,
        "codec": video.codec,
        "duration_seconds": plain(video.duration_seconds),
        "n_frames": video.n_frames,
        "time_seconds": _pack(video.time_seconds, "<f8"),
        "curves": {name: _pack(curve, "<f4") for name, curve in video.curves.items()},
        "suspect": runs(video.is_suspect),
        "selectable": runs(video.is_selectable),
        "cuts": _pack(video.cuts, "<i4"),
        "selected": _pack(video.selected, "<i4"),
        "rank": _pack(video.rank, "<i4"),
        "reasons": _texts(video.reasons),
        "inclusion": _pack(video.inclusion, "<f8"),
        "method": video.method,
        "method_reason": video.method_reason,
        "segments": [
            [part.start, part.stop, part.method, part.reason, plain(part.dynamicity), part.n]
            for part in video.segments
        ],
        "dynamicity": plain(video.dynamicity),
        "activity": plain(video.activity),
        "order": None if video.order is None else _pack(video.order, "<i4"),
        "weights": _pack(video.weights, "<f8"),
        "options": plain(video.options),
        "pts": _pack(video.pts, "<i8"),
        "problems": [problem.to_dict() for problem in video.problems],
        "is_static": video.is_static,
        "seed": str(video.seed),
        "drawn": _drawn(video),
        "size": plain(video.size),
        "allocation_activity": plain(video.allocation_activity),
        "minimum": video.minimum,
        "maximum": video.maximum,
        "include": list(video.include),
        "exclude": list(video.exclude),
        "labeled": list(video.labeled),
        "files": [quote(name.encode("utf-8", "surrogatepass")) for name in video.files],
    }


def _drawn(video: VideoReport) -> list[int] | None:
    """Return how many frames a random start was drawn for, and the start: a page has no such generator."""
    if video.options.get("start") != "random" or video.method not in ("uniform", "systematic"):
        return None
    eligible = video.is_selectable.copy()
    eligible[list(video.exclude + video.labeled)] = False
    count = int(eligible.sum())
    top = count if video.method == "uniform" else 2**24
    return [count, int(generator(video.seed).integers(top))] if count else None


def encode_sheets(packed: PackedThumbnails) -> list[dict[str, Any]]:
    """Return thumbnail sheets, JSON-ready."""
    return [
        {
            "frame_index": _pack(sheet.frame_index, "<i4"),
            "columns": sheet.columns,
            "cell": [sheet.cell_width, sheet.cell_height],
            "size": [sheet.width, sheet.height],
            "jpeg": base64.b64encode(sheet.jpeg).decode("ascii"),
        }
        for sheet in packed.sheets
    ]


def decode_video(data: Mapping[str, Any], sheets: Sequence[Mapping[str, Any]] | None) -> VideoReport:
    """Build a video from `encode_video`'s output; curves come back rounded to float32."""
    n_frames = int(data["n_frames"])
    time_seconds = _unpack(data["time_seconds"], np.float64)
    if n_frames != len(time_seconds):
        raise ValueError(f"n_frames is {n_frames}, and there are {len(time_seconds)} times")
    return VideoReport(
        video_id=_text(data["video_id"]),
        path=_text(data["path"]),
        status=_text(data["status"]),
        width=_whole(data["width"]),
        height=_whole(data["height"]),
        codec=_text(data["codec"]),
        duration_seconds=_number(data["duration_seconds"]),
        time_seconds=time_seconds,
        curves={name: _unpack(curve, np.float64) for name, curve in data["curves"].items()},
        is_suspect=_from_runs(data["suspect"], n_frames),
        is_selectable=_from_runs(data["selectable"], n_frames),
        cuts=_unpack(data["cuts"], np.int64),
        selected=_unpack(data["selected"], np.int64),
        rank=_unpack(data["rank"], np.int64),
        reasons=tuple(data["reasons"]["texts"][place] for place in data["reasons"]["index"]),
        inclusion=_unpack(data["inclusion"], np.float64),
        method=_text(data["method"]),
        method_reason=_text(data["method_reason"]),
        segments=tuple(
            Segment(start, stop, method, reason, _number(value), n)
            for start, stop, method, reason, value, n in data["segments"]
        ),
        dynamicity=_numbers(data["dynamicity"]),
        activity=_numbers(data["activity"]),
        order=None if data["order"] is None else _unpack(data["order"], np.int64),
        weights=_unpack(data["weights"], np.float64),
        options=data["options"],
        thumbnails=None if sheets is None else _decode_sheets(sheets),
        pts=_unpack(data["pts"], np.int64),
        problems=tuple(Problem.from_dict(problem) for problem in data["problems"]),
        is_static=data["is_static"],
        seed=int(data["seed"]),
        size=_number(data["size"]),
        allocation_activity=_number(data["allocation_activity"]),
        minimum=data["minimum"],
        maximum=data["maximum"],
        include=tuple(data["include"]),
        exclude=tuple(data["exclude"]),
        labeled=tuple(data["labeled"]),
        files=tuple(unquote_to_bytes(name).decode("utf-8", "surrogatepass") for name in data["files"]),
    )


def decode_report(data: Mapping[str, Any], videos: tuple[VideoReport, ...]) -> SelectionReport:
    """Build a report from `encode_report`'s output and its videos."""
    return SelectionReport(
        title=_text(data["title"]),
        command=_text(data["command"]),
        version=_text(data["version"]),
        signal=_text(data["signal"]),
        method=_text(data["method"]),
        parameters=data["parameters"],
        videos=videos,
        problems=tuple(Problem.from_dict(problem) for problem in data["problems"]),
        allocation=_text(data["allocation"]),
        has_gap_constraints=data["has_gap_constraints"],
        strides=tuple(
            StrideRow(
                row["stride"],
                tuple(row["n_frames"]),
                _numbers(row["class_shares"]),
                _number(row["total_variation"]),
                tuple(row["lost"]),
            )
            for row in data["strides"]
        ),
        manifest=data["manifest"],
        minimum=data["minimum"],
        maximum=data["maximum"],
    )


def plain(value: Any) -> Any:
    """Return ``value`` as JSON knows it: numpy becomes Python, tuples lists, NaN and infinity None."""
    if isinstance(value, np.ndarray):
        return plain(value.tolist())
    if isinstance(value, np.generic):
        return plain(value.item())
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if value is None or isinstance(value, bool | int | str):
        return value
    if hasattr(value, "items"):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [plain(item) for item in value]
    return str(value)


def _decode_sheets(sheets: Sequence[Mapping[str, Any]]) -> PackedThumbnails:
    return PackedThumbnails(
        tuple(
            Sheet(
                _unpack(sheet["frame_index"], np.int64),
                sheet["columns"],
                sheet["cell"][0],
                sheet["cell"][1],
                sheet["size"][0],
                sheet["size"][1],
                base64.b64decode(sheet["jpeg"]),
            )
            for sheet in sheets
        )
    )


def _pack(array: NDArray[Any], code: str) -> dict[str, str]:
    data = np.ascontiguousarray(array).astype(code, casting="same_kind").tobytes()
    return {"type": code[1:], "base64": base64.b64encode(data).decode("ascii")}


def _unpack(data: Mapping[str, str], dtype: Any) -> NDArray[Any]:
    raw = np.frombuffer(base64.b64decode(data["base64"]), dtype="<" + data["type"])
    return raw.astype(dtype)


def runs(flags: NDArray[np.bool_]) -> list[list[int]]:
    """Return [start, stop) of every run of True."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], flags, [False]]).astype(np.int8)))
    return [[int(start), int(stop)] for start, stop in edges.reshape(-1, 2)]


def _from_runs(spans: Sequence[Sequence[int]], n_frames: int) -> NDArray[np.bool_]:
    flags = np.zeros(n_frames, dtype=np.bool_)
    for start, stop in spans:
        flags[start:stop] = True
    return flags


def _texts(texts: Sequence[str]) -> dict[str, Any]:
    table = {text: place for place, text in enumerate(dict.fromkeys(texts))}
    return {"texts": list(table), "index": [table[text] for text in texts]}


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f"text is expected, got {value!r:.80}")
    return value


def _whole(value: Any) -> int:
    if type(value) is not int:
        raise TypeError(f"a whole number is expected, got {value!r:.80}")
    return value


def _number(value: float | None) -> float:
    return math.nan if value is None else float(value)


def _numbers(values: Mapping[str, float | None]) -> dict[str, float]:
    return {name: _number(value) for name, value in values.items()}

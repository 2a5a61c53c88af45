"""What a selection was asked for, as one frozen value that survives a trip through the manifest."""

from __future__ import annotations

import csv
import shlex
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Literal

__all__ = ["FrameNames", "Request", "frame_names"]

FrameNames = tuple[tuple[str | None, int], ...]
"""Frames named by the user: (video id, frame index); None stands for the only video."""

_FRAME_FIELDS = ("include", "exclude", "labeled")
_LATER_FIELDS = {
    "weights",
    "precision",
    "model_options",
    "every",
    "fps",
    "pool",
    "floor_share",
    "per_scene_min",
}
"""Fields that manifests of earlier versions lack."""


@dataclass(frozen=True, slots=True)
class Request:
    """Hold every parameter of `evfr.select` that decides which frames are taken and how they are written."""

    n: int | None = None
    ratio: float | None = None
    stride: int | None = None
    method: str = "auto"
    method_options: Mapping[str, Any] = field(default_factory=dict)
    signal: str = "flow"
    profile: str = "default"
    embedding: str | None = None
    weights: str | None = None
    precision: str = "auto"
    model_options: Mapping[str, Any] = field(default_factory=dict)
    every: int | None = None
    fps: float | None = None
    pool: float | None = None
    seed: int = 0
    allocation: Literal["duration", "equal", "activity"] = "duration"
    per_video_min: int | None = None
    per_video_max: int | None = None
    per_scene_min: int | None = None
    floor_share: float | None = None
    min_gap: int | None = None
    max_gap: int | None = None
    min_gap_seconds: float | None = None
    max_gap_seconds: float | None = None
    include: FrameNames = ()
    exclude: FrameNames = ()
    labeled: FrameNames = ()
    min_sharpness: float | None = None
    max_clipped: float | None = None
    damaged: Literal["drop", "keep", "fail"] = "drop"
    image_format: str = "jpg"
    quality: int = 95

    def __post_init__(self) -> None:
        given = [name for name in ("n", "ratio", "stride") if getattr(self, name) is not None]
        if len(given) > 1:
            raise ValueError(f"give one of n, ratio and stride, got {' and '.join(given)}")
        for name in ("include", "exclude", "labeled"):
            if any(index < 0 for _, index in getattr(self, name)):
                raise ValueError(f"{name}: frame indices are 0 or more; indices count from the first frame")
        for name in (
            "per_video_min",
            "per_scene_min",
            "min_gap",
            "max_gap",
            "min_gap_seconds",
            "max_gap_seconds",
        ):
            value = getattr(self, name)
            if value is not None and value < 0:
                raise ValueError(f"{name} must be 0 or more, got {value}")
        for name in ("min_sharpness", "max_clipped", "floor_share"):
            value = getattr(self, name)
            if value is not None and not 0.0 <= value <= 1.0:
                raise ValueError(f"{name} is a share and must lie in 0..1, got {value}")
        if self.n is not None and self.n < 1:
            raise ValueError(f"n must be 1 or more, got {self.n}")
        if self.ratio is not None and not 0.0 < self.ratio <= 1.0:
            raise ValueError(f"ratio must be in (0, 1], got {self.ratio}")
        if self.stride is not None and self.stride < 1:
            raise ValueError(f"stride must be 1 or more, got {self.stride}")
        if self.every is not None and self.every < 1:
            raise ValueError(f"every must be 1 or more, got {self.every}")
        if self.fps is not None and not 0.0 < self.fps < float("inf"):
            raise ValueError(f"fps must be above 0 and finite, got {self.fps}")
        if self.pool is not None and not 0.0 < self.pool <= 1.0:
            raise ValueError(f"pool is a share and must be in (0, 1], got {self.pool}")
        if self.every is not None and self.fps is not None:
            raise ValueError("give one of every and fps, got both")
        if self.seed < 0:
            raise ValueError(f"seed must be 0 or more, got {self.seed}")
        if not 1 <= self.quality <= 100:
            raise ValueError(f"quality must lie in 1..100, got {self.quality}")

    @property
    def has_gaps(self) -> bool:
        """Whether gaps between selected frames are bounded."""
        gaps = (self.min_gap, self.max_gap, self.min_gap_seconds, self.max_gap_seconds)
        return any(gap is not None for gap in gaps)

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON-ready dict, keys in field order."""
        data = {item.name: getattr(self, item.name) for item in fields(self)}
        for name in _FRAME_FIELDS:
            data[name] = [[video_id, index] for video_id, index in data[name]]
        for name in ("method_options", "model_options"):
            data[name] = dict(getattr(self, name))
        return data

    @classmethod
    def from_dict(cls, data: Mapping[str, Any], where: str) -> Request:
        """Build a request from a manifest's ``parameters``; unknown and missing keys are errors."""
        from evfr.errors import SelectionFileError

        names = {item.name for item in fields(cls)}
        odd = sorted((set(data) ^ names) - (_LATER_FIELDS - set(data)))
        if odd:
            raise SelectionFileError(
                f"{where}: parameters {odd} are unknown or missing; the file was edited or cut"
            )
        values = dict(data)
        try:
            for name in _FRAME_FIELDS:
                values[name] = tuple((video_id, int(index)) for video_id, index in data[name])
            return cls(**values)
        except (TypeError, ValueError) as error:
            raise SelectionFileError(f"{where}: {error}") from error

    def command(self, paths: Sequence[str], strides: Sequence[int] = ()) -> str:
        """Return the command line that asks for the same, only what differs from the defaults."""
        from evfr.verbs._check_select import default_signal

        unsaid = default_signal(self.method, self.every, self.fps, self.pool)
        words = ["evfr", "select", *(shlex.quote(path) for path in paths)]
        for item in fields(self):
            value = getattr(self, item.name)
            if item.name == "method_options":
                for name, option in value.items():
                    words += [f"--{name.replace('_', '-')}", shlex.quote(str(option))]
            elif item.name == "model_options":
                for name, option in value.items():
                    words += ["--model-options", shlex.quote(f"{name}={option}")]
            elif item.name in _FRAME_FIELDS:
                for video_id, index in value:
                    text = str(index) if video_id is None else f"{video_id}:{index}"
                    words += [f"--{item.name}", shlex.quote(text)]
            elif item.name == "stride" and strides:
                continue
            elif value is not None and (value != item.default or (item.name == "signal" and value != unsaid)):
                words += [f"--{item.name.replace('_', '-')}", shlex.quote(str(value))]
        if strides:
            words += ["--strides", ",".join(str(stride) for stride in strides)]
        return " ".join(words)


def frame_names(items: Iterable[str | int | tuple[str, int]] | str | Path | int, name: str) -> FrameNames:
    """Read frames named as ``12``, ``"clip.mp4:12"``, ``(video_id, 12)``, or by a file that lists them.

    Parameters
    ----------
    items : iterable, or one item
        Frame names. A path to a ``.csv`` or ``.parquet`` file with the columns ``video_id`` and ``frame_index``, or
        to a folder that `evfr select` wrote, stands for all frames in it.
    name : str
        The parameter's name, for errors.

    Returns
    -------
    tuple of (str or None, int)
        Without repeats, in the order given.

    Raises
    ------
    ValueError
        If a name cannot be read.
    InputError
        If a file cannot be read.
    """
    listed = [items] if isinstance(items, str | int | Path) else list(items)
    found: dict[tuple[str | None, int], None] = {}
    for item in listed:
        if isinstance(item, int):
            found[(None, item)] = None
        elif isinstance(item, tuple):
            found[(str(item[0]), int(item[1]))] = None
        else:
            for pair in _read_name(str(item), name):
                found[pair] = None
    return tuple(found)


def _read_name(text: str, name: str) -> Iterable[tuple[str | None, int]]:
    if text.isdecimal():
        return [(None, int(text))]
    video_id, colon, index = text.rpartition(":")
    if colon and video_id and index.isdecimal():
        return [(video_id, int(index))]
    path = Path(text)
    if path.suffix in (".csv", ".parquet", ".json") or path.is_dir():
        return _read_list(path)
    raise ValueError(
        f"{name}: {text!r} names no frame; write a frame index, VIDEO:INDEX, or a .csv, .parquet or selection folder"
    )


def _read_list(path: Path) -> list[tuple[str | None, int]]:
    from evfr.errors import InputError

    if path.suffix == ".csv":
        try:
            with path.open(newline="", encoding="utf-8-sig") as file:
                rows = list(csv.DictReader(file))
        except (OSError, UnicodeDecodeError, csv.Error) as error:
            raise InputError(f"{path} is no readable CSV file: {error}") from error
        try:
            return [(row.get("video_id") or None, int(row["frame_index"])) for row in rows]
        except (KeyError, TypeError, ValueError) as error:
            raise InputError(
                f"{path} must have the columns video_id and frame_index (integers); problem: {error}"
            ) from error
    if path.suffix == ".parquet" and not (path.parent / "selection.json").is_file():
        import pyarrow as pa

        from evfr._core.parquet_tables import read_parquet

        try:
            table = read_parquet(path, ["video_id", "frame_index"], rows_per_byte=4)
            table = table.cast(pa.schema([("video_id", pa.string()), ("frame_index", pa.int64())]))
            if table["frame_index"].null_count:
                raise pa.ArrowInvalid("a row has no frame_index")
        except (OSError, pa.ArrowException) as error:
            raise InputError(f"{path} has no readable columns video_id and frame_index: {error}") from error
    else:
        from evfr._core.selection import Selection

        table = Selection.load(path).table
    return list(zip(table["video_id"].to_pylist(), table["frame_index"].to_pylist(), strict=True))

"""The value that `evfr select` makes: a table of selected frames and the manifest that made it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute
import pyarrow.parquet as pq

from evfr._core.atomic import atomic_write_bytes
from evfr._core.parquet_tables import read_parquet
from evfr._core.types import PTS_NONE, Problem
from evfr.errors import SelectionFileError

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray

__all__ = ["MANIFEST_FORMAT", "MANIFEST_SCHEMA", "SELECTION_SCHEMA", "Selection", "read_manifest"]

MANIFEST_FORMAT = "evfr-selection"
MANIFEST_SCHEMA = 1

SELECTION_SCHEMA = pa.schema(
    [
        pa.field("video_id", pa.string(), nullable=False),
        pa.field("frame_index", pa.int64(), nullable=False),
        pa.field("pts", pa.int64()),
        pa.field("time_base_num", pa.int64(), nullable=False),
        pa.field("time_base_den", pa.int64(), nullable=False),
        pa.field("time_seconds", pa.float64(), nullable=False),
        pa.field("luma_hash", pa.uint64(), nullable=False),
        pa.field("weight", pa.float64()),
        pa.field("inclusion_probability", pa.float64()),
        pa.field("rank", pa.int64(), nullable=False),
        pa.field("reason", pa.string(), nullable=False),
        pa.field("gain", pa.float64()),
    ]
)
"""Columns of ``selection.parquet``: one row per selected frame, by video and then by frame index."""


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Selection:
    """Hold the frames selected from one or many videos, and everything that made them.

    Attributes
    ----------
    table : pyarrow.Table
        One row per selected frame with the columns of `SELECTION_SCHEMA`: ``video_id``; ``frame_index`` (0-based,
        presentation order); ``pts`` (integer, null where the container has none) in units of
        ``time_base_num / time_base_den`` seconds; ``time_seconds`` from the stream's first pts; ``luma_hash``
        (XXH64 of the luma plane, verified at extraction); ``weight`` (the FVI value, null without a signal);
        ``inclusion_probability`` (null where unknown); ``rank`` (0 = the last to go when the budget shrinks);
        ``reason`` (why this frame); ``gain`` (what it added when it was taken, null for methods without gains).
    manifest : mapping
        The content of ``selection.json``: inputs with hashes, parameters, versions, per-video facts, problems.
    folder : Path or None
        Where it was written to or read from.
    reduced : tuple of (int, Selection)
        With ``strides``: the reduced datasets S1, S2, ... by stride; else empty.
    """

    table: pa.Table
    manifest: Mapping[str, Any]
    folder: Path | None = None
    reduced: tuple[tuple[int, Selection], ...] = ()

    def __post_init__(self) -> None:
        if not self.table.schema.equals(SELECTION_SCHEMA):
            raise SelectionFileError(
                f"a selection has the columns {SELECTION_SCHEMA.names} with fixed types, got "
                f"{[f'{f.name}: {f.type}' for f in self.table.schema]}; use the file that evfr select wrote"
            )
        _check_order(self.table)

    def __len__(self) -> int:
        return int(self.table.num_rows)

    def __repr__(self) -> str:
        planned = ", dry run" if self.plan is not None else ""
        return f"Selection({len(self)} frames of {len(self.sources)} videos{planned})"

    @property
    def indices(self) -> NDArray[np.int64]:
        """(n,) int64: the selected frame indices of a selection over one video.

        Raises
        ------
        ValueError
            If the selection is over several videos: ask `for_video` first.
        """
        if len(self.sources) > 1:
            raise ValueError(
                f"this selection is over {len(self.sources)} videos; use selection.for_video(video_id).indices"
            )
        indices: NDArray[np.int64] = self.table["frame_index"].to_numpy()
        return indices

    @property
    def sources(self) -> dict[str, Path]:
        """Map each video id to the path it was read from, in input order."""
        return {entry["video_id"]: Path(entry["path"]) for entry in self.manifest.get("inputs", ())}

    @property
    def problems(self) -> tuple[Problem, ...]:
        """The problems found in the inputs."""
        return tuple(Problem.from_dict(item) for item in self.manifest.get("problems", ()))

    @property
    def failed_count(self) -> int:
        """How many inputs could not be used."""
        return sum(entry.get("status") == "failed" for entry in self.manifest.get("inputs", ()))

    @property
    def plan(self) -> Mapping[str, Any] | None:
        """What a dry run found: what would be decoded and about how long it takes; None otherwise."""
        plan: Mapping[str, Any] | None = self.manifest.get("plan")
        return plan

    def for_video(self, video_id: str) -> Selection:
        """Return the part of the selection that lies in one video.

        Parameters
        ----------
        video_id : str
            One of `sources`.

        Returns
        -------
        Selection
            Rows and inputs of that video alone.

        Raises
        ------
        KeyError
            If there is no such video.
        """
        if video_id not in self.sources:
            raise KeyError(f"no video {video_id!r} in this selection; it has {list(self.sources)}")
        mask = pa.compute.equal(self.table["video_id"], video_id)
        inputs = [entry for entry in self.manifest["inputs"] if entry["video_id"] == video_id]
        problems = [item for item in self.manifest.get("problems", ()) if item["source"] == video_id]
        manifest = {**self.manifest, "inputs": inputs, "problems": problems}
        return Selection(self.table.filter(mask), manifest, self.folder)

    def to_pandas(self) -> pd.DataFrame:
        """Return the table as a pandas DataFrame (pandas must be installed).

        Returns
        -------
        pandas.DataFrame
            One row per selected frame.
        """
        return self.table.to_pandas()

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON-ready dict: the manifest and the selected frames.

        Returns
        -------
        dict
            The manifest's keys, and ``frames``: a list of one dict per selected frame.
        """
        return {**self.manifest, "frames": self.table.to_pylist()}

    def save(self, folder: str | Path) -> Path:
        """Write ``selection.parquet`` and ``selection.json`` into a folder, each atomically.

        Parameters
        ----------
        folder : str or Path
            Made if it is not there.

        Returns
        -------
        Path
            The manifest's path.
        """
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        sink = pa.BufferOutputStream()
        pq.write_table(self.table, sink, compression="zstd", compression_level=1)
        atomic_write_bytes(folder / "selection.parquet", sink.getvalue().to_pybytes())
        path = folder / "selection.json"
        text = json.dumps(self.manifest, indent=1, ensure_ascii=True, allow_nan=False)
        atomic_write_bytes(path, text.encode("ascii") + b"\n")
        return path

    @classmethod
    def load(cls, path: str | Path) -> Selection:
        """Read a selection back from its folder, its ``selection.json`` or its ``selection.parquet``.

        Parameters
        ----------
        path : str or Path
            The folder or either file.

        Returns
        -------
        Selection
            As it was saved.

        Raises
        ------
        SelectionFileError
            If a file is missing, is no selection, or its rows are out of order.
        """
        if not Path(path).exists():
            raise SelectionFileError(f"{path} does not exist; give the folder that evfr select wrote")
        folder = Path(path) if Path(path).is_dir() else Path(path).parent
        manifest = read_manifest(folder / "selection.json")
        table_path = folder / "selection.parquet"
        if not table_path.is_file():
            raise SelectionFileError(f"{table_path} does not exist; run evfr select again")
        try:
            table = read_parquet(table_path)
        except (OSError, pa.ArrowException) as error:
            raise SelectionFileError(f"{table_path} is no readable Parquet file: {error}") from error
        try:
            if "gain" not in table.column_names:  # written before selections had it
                table = table.append_column("gain", pa.nulls(len(table), pa.float64()))
            return cls(table.cast(SELECTION_SCHEMA), manifest, folder)
        except (pa.ArrowException, ValueError, SelectionFileError) as error:
            raise SelectionFileError(f"{table_path}: {error}") from error


def read_manifest(path: str | Path) -> dict[str, Any]:
    """Read and check a selection manifest (``selection.json``, also one exported by the report page).

    Parameters
    ----------
    path : str or Path
        The JSON file.

    Returns
    -------
    dict
        The manifest.

    Raises
    ------
    SelectionFileError
        If it does not exist, is no JSON, or is no selection manifest of a known schema.
    """
    path = Path(path)
    try:
        data = json.loads(path.read_bytes())
    except FileNotFoundError as error:
        raise SelectionFileError(f"{path} does not exist; give the selection.json of evfr select") from error
    except (OSError, ValueError, RecursionError) as error:
        raise SelectionFileError(f"{path} is no readable JSON: {error}") from error
    if not isinstance(data, dict) or data.get("format") != MANIFEST_FORMAT:
        raise SelectionFileError(f"{path} is no selection manifest (no format {MANIFEST_FORMAT!r})")
    if data.get("schema") != MANIFEST_SCHEMA:
        raise SelectionFileError(
            f"{path} has manifest schema {data.get('schema')!r}, this evfr reads {MANIFEST_SCHEMA}; "
            "make it again with this version"
        )
    for key, kind in (("inputs", list), ("parameters", dict), ("problems", list)):
        if not isinstance(data.get(key), kind):
            raise SelectionFileError(f"{path}: {key!r} must be a {kind.__name__}; the file was edited or cut")
    for entry in data["inputs"]:
        if not isinstance(entry, dict) or not all(
            isinstance(entry.get(k), str) for k in ("video_id", "path")
        ):
            raise SelectionFileError(
                f"{path}: each input needs a video_id and a path; the file was edited or cut"
            )
        try:
            entry["video_id"].encode()
        except UnicodeEncodeError as error:
            raise SelectionFileError(
                f"{path}: the video_id {entry['video_id']!r:.200} is no text; the file was edited"
            ) from error
    for item in data["problems"]:
        try:
            Problem.from_dict(item)
        except (KeyError, TypeError, ValueError) as error:
            raise SelectionFileError(
                f"{path}: {item!r:.200} is no problem as evfr writes it; the file was edited or cut"
            ) from error
    return data


def _check_order(table: pa.Table) -> None:
    index = table["frame_index"].to_numpy()
    ids = np.asarray(table["video_id"].to_pylist(), dtype=object)
    if len(index) == 0:
        return
    same = ids[1:] == ids[:-1]
    falls = np.flatnonzero(same & (index[1:] <= index[:-1]))
    if index.min() < 0 or falls.size:
        row = int(falls[0]) + 1 if falls.size else int(index.argmin())
        raise SelectionFileError(
            f"row {row}: frame_index {int(index[row])} of {ids[row]!r} must be 0 or more and above the row before"
        )
    if int((~same).sum()) + 1 != len(set(ids.tolist())):
        raise SelectionFileError("the rows of one video must stand together")


def pts_column(pts: NDArray[np.int64]) -> pa.Array:
    """Return pts as an Arrow column with nulls for missing time stamps.

    Parameters
    ----------
    pts : (n,) int64
        `PTS_NONE` where there is none.

    Returns
    -------
    pyarrow.Array
        int64, null where missing.
    """
    return pa.array(pts, pa.int64(), mask=np.asarray(pts == PTS_NONE))

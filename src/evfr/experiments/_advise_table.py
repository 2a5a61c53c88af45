"""Read a table of runs, and part it into runs that differ by their number of labels alone."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from evfr.errors import InputError

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["Runs", "choose_runs", "find_table", "part_runs", "read_table"]

DESCRIBING = ("model", "sampler", "signal", "jitter", "copy_paste", "copies")
"""Columns that say how frames were chosen and trained on, if the table has them."""
OF_CHOICE = ("sampler", "signal")
"""Columns that mean nothing where every frame was taken (``stride`` 1)."""


@dataclass(frozen=True, slots=True, eq=False)
class Runs:
    """Hold the runs of one group.

    Attributes
    ----------
    name : str
        What they have in common.
    seeds : (N,) array of object
        Seed of each run.
    frames, clips : (N,) float64
        Labels of each run; NaN where the table has none.
    scores : (N,) float64
        NaN without a score.
    objects_per_frame : float
        Mean over the runs; NaN where the table does not say.
    """

    name: str
    seeds: NDArray[Any]
    frames: NDArray[np.float64]
    clips: NDArray[np.float64]
    scores: NDArray[np.float64]
    objects_per_frame: float


def find_table(path: Path) -> Path:
    """Return the table that a path means: a file, or the report of an experiment's folder.

    Raises
    ------
    InputError
        If there is none.
    """
    if not path.is_dir():
        return path
    for inner in (path / "results.parquet", path / "report" / "results.parquet"):
        if inner.is_file():
            return inner
    raise InputError(f"{path} has no results.parquet; make it: evfr experiment report {path}")


def read_table(path: Path, needed: Sequence[str]) -> list[dict[str, Any]]:
    """Read a Parquet or CSV table as rows.

    Parameters
    ----------
    path : Path
        Ending in ``.parquet`` or ``.csv``.
    needed : sequence of str
        Columns that it must have.

    Returns
    -------
    list of dict
        One for each row; an empty cell is None.

    Raises
    ------
    InputError
        If it cannot be read, lacks a column or has no row.
    """
    import pyarrow as pa

    try:
        if path.suffix == ".parquet":
            from evfr._core.parquet_tables import read_parquet

            table = read_parquet(path)
        elif path.suffix == ".csv":
            import pyarrow.csv

            table = pyarrow.csv.read_csv(path)
        else:
            raise InputError(f"{path} is no table of runs: the name must end in .parquet or .csv")
    except (OSError, pa.ArrowException) as error:
        raise InputError(f"{path} cannot be read as a table: {error}") from error
    lacking = [name for name in needed if name not in table.column_names]
    if lacking:
        raise InputError(
            f"{path} has no column {', '.join(lacking)}; its columns are {', '.join(table.column_names)}"
        )
    if not table.num_rows:
        raise InputError(f"{path} has no rows")
    rows: list[dict[str, Any]] = table.to_pylist()
    return rows


def choose_runs(
    rows: Sequence[Mapping[str, Any]], path: Path, *, test: str | None, arms: Sequence[str]
) -> list[Mapping[str, Any]]:
    """Keep the rows of one test set and of the arms asked for.

    Parameters
    ----------
    rows : sequence of mapping
        Of `read_table`.
    path : Path
        For the error's text.
    test : str or None
        Value of the column ``test``; None where there is one only.
    arms : sequence of str
        Patterns as of a shell; none keeps all.

    Returns
    -------
    list of mapping
        At least one row.

    Raises
    ------
    InputError
        If several test sets are there and none was chosen, or nothing is left.
    """
    tests = sorted({str(row["test"]) for row in rows if row.get("test") is not None})
    if test is None and len(tests) > 1:
        raise InputError(f"{path} has several test sets: {', '.join(tests)}; choose one by test")
    if test is not None:
        if test not in tests:
            raise InputError(
                f"{path} has no test set {test!r}; it has {', '.join(tests) or 'no column test'}"
            )
        rows = [row for row in rows if str(row.get("test")) == test]
    known = sorted({str(row["arm"]) for row in rows})
    for pattern in arms:
        if not any(fnmatchcase(name, pattern) for name in known):
            raise InputError(f"{path} has no arm like {pattern!r}; its arms are {', '.join(known)}")
    return [row for row in rows if not arms or any(fnmatchcase(str(row["arm"]), pattern) for pattern in arms)]


def part_runs(
    rows: Sequence[Mapping[str, Any]], path: Path, *, score: str, by: Sequence[str], axis: str
) -> list[Runs]:
    """Part rows into groups that share every column of ``by``; runs on all frames belong to every way of choosing.

    Parameters
    ----------
    rows : sequence of mapping
        Of `choose_runs`.
    path : Path
        For the errors' text.
    score : str
        Column of scores.
    by : sequence of str
        Columns; none takes those of `DESCRIBING` that vary.
    axis : {"frames", "clips", "both"}
        What tells the runs of a group and seed apart.

    Returns
    -------
    list of Runs
        In the order of their first rows.

    Raises
    ------
    InputError
        If a column is missing or holds no number, or two runs of a group have one seed and one number of labels.
    """
    for name in by:
        if name not in rows[0]:
            raise InputError(f"{path} has no column {name!r} to part runs by; it has {', '.join(rows[0])}")
    columns = tuple(by) or tuple(
        name for name in DESCRIBING if name in rows[0] and len({row[name] for row in rows}) > 1
    )
    has_all = [row.get("stride") == 1 for row in rows]
    groups: dict[tuple[Any, ...], list[Mapping[str, Any]]] = defaultdict(list)
    for row, is_all in zip(rows, has_all, strict=True):
        if not is_all:
            groups[tuple(row[name] for name in columns)].append(row)
    for row, is_all in zip(rows, has_all, strict=True):
        if is_all:
            fixed = [k for k, name in enumerate(columns) if name not in OF_CHOICE]
            mine = tuple(row[name] for name in columns)
            alike = [key for key in groups if all(key[k] == mine[k] for k in fixed)]
            for key in alike or [mine]:
                groups[key].append(row)
    found = []
    for key, members in groups.items():
        pairs = [f"{name}={value}" for name, value in zip(columns, key, strict=True) if value is not None]
        name = ", ".join(pairs) or "all runs"
        _refuse_doubles(members, path, name, axis)
        found.append(_runs(members, path, name, score))
    return found


def _refuse_doubles(rows: Sequence[Mapping[str, Any]], path: Path, group: str, axis: str) -> None:
    """Raise where one seed has two runs with equally many labels: they differ by something else."""
    columns = {"frames": ("n_frames",), "clips": ("n_clips",), "both": ("n_clips", "n_frames")}[axis]
    seen: dict[tuple[Any, ...], str] = {}
    for row in rows:
        key = (row["seed"], *(row[name] for name in columns))
        arm = str(row["arm"])
        if key in seen:
            numbers = ", ".join(f"{name} {row[name]}" for name in columns)
            raise InputError(
                f"{path}: in {group}, arms {seen[key]} and {arm} both have a run of seed {row['seed']} with {numbers}, "
                "so they differ by more than their labels; choose arms, part them by a column, or use axis both"
            )
        seen[key] = arm


def _runs(rows: Sequence[Mapping[str, Any]], path: Path, name: str, score: str) -> Runs:
    frames, clips, scores, objects = (
        np.array([_number(row.get(column), path, column) for row in rows])
        for column in ("n_frames", "n_clips", score, "n_objects")
    )
    with np.errstate(invalid="ignore", divide="ignore"):
        per_frame = objects / frames
    known = per_frame[np.isfinite(per_frame)]
    return Runs(
        name=name,
        seeds=np.array([str(row["seed"]) for row in rows]),
        frames=frames,
        clips=clips,
        scores=scores,
        objects_per_frame=float(known.mean()) if len(known) else math.nan,
    )


def _number(value: Any, path: Path, column: str) -> float:
    if value is None:
        return math.nan
    try:
        return float(value)
    except (TypeError, ValueError) as error:
        raise InputError(f"{path}: column {column} holds {value!r}, which is no number") from error

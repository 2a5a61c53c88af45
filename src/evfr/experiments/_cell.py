"""Run one cell: train on its frames, predict the test clips, write one row a test set, whole or not at all."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from evfr._core.atomic import atomic_file, atomic_write_bytes, make_folder
from evfr._core.progress import NullProgress, use_progress
from evfr.errors import InputError
from evfr.experiments._plan import COMMAND_PREFIX, Cell, Plan, load_clips, read_plan, read_subset
from evfr.experiments._subsets import cut_clips

if TYPE_CHECKING:
    from evfr._core.labelled import LabelledClip

__all__ = ["ROWS", "SCHEMA", "CellJob", "has_row", "row_path", "run_cell", "scores_path"]

ROWS, WORK, SCORES, LOGS = "rows", "work", "scores", "logs"
SCHEMA = {
    **dict.fromkeys(("arm", "test", "model", "sampler", "signal", "jitter"), "string"),
    **dict.fromkeys(("seed", "stride", "copies", "n_frames", "n_clips", "n_objects", "iterations"), "int64"),
    **dict.fromkeys(("visits_min", "visits_max"), "int64"),
    **dict.fromkeys(("copy_paste", "learning_rate_sum", "first_loss", "last_loss"), "float64"),
    **dict.fromkeys(("mask_ap", "box_ap", "mask_ap50", "box_ap50"), "float64"),
    **dict.fromkeys(("accuracy", "iou", "gscore", "mean_iou"), "float64"),
    "blind": "float64",
}
"""Columns of a row; times and machines stand in the cell's log, so that rows are equal wherever they are made."""


@dataclass(frozen=True, slots=True)
class CellJob:
    """Say which cell to run, and where; travels to a worker.

    Attributes
    ----------
    folder : Path
        Of the experiment.
    cell : Cell
        Which.
    device : str
        Where the model runs.
    threads : int
        Of torch on a CPU; sums differ in their last bits with it, so it is the same for all cells.
    deadline : float
        Seconds since the epoch after which no cell is begun; infinite for none.
    """

    folder: Path
    cell: Cell
    device: str
    threads: int
    deadline: float

    @property
    def video_id(self) -> str:
        """What a problem calls it."""
        return self.cell.file_name


def row_path(folder: Path, cell: Cell) -> Path:
    """Return where a cell's rows are written."""
    return folder / ROWS / f"{cell.file_name}.parquet"


def scores_path(folder: Path, cell: Cell, test: str) -> Path:
    """Return what the files of a cell's matches begin with."""
    return folder / SCORES / f"{cell.file_name}.{test}"


def has_row(folder: Path, cell: Cell) -> bool:
    """Say whether a cell is done."""
    return row_path(folder, cell).exists()


def run_cell(job: CellJob, heartbeat: Callable[..., None]) -> Literal["done", "left"]:
    """Train, predict, score and write one cell, unless it is done or time is up.

    A cell that was killed goes on from its last checkpoint, to the same row.

    Raises
    ------
    InputError
        If a file of the experiment is damaged, or training fails.
    """
    if has_row(job.folder, job.cell):
        return "done"
    if time.time() >= job.deadline:
        return "left"
    began = time.perf_counter()
    plan = read_plan(job.folder)
    clips = load_clips(job.folder, "train")
    chosen = read_subset(job.folder, job.cell, clips)
    train = cut_clips(plan.arm(job.cell.arm), clips, chosen)
    tests = {name: load_clips(job.folder, name) for name in plan.tests}
    work = job.folder / WORK / job.cell.file_name
    make_folder(work)
    heartbeat(0, 1)
    with use_progress(NullProgress()):  # what is shown is how many cells are done
        fitted, found = _fit_and_predict(plan, job, train, tests, work)
    rows = [_row(plan, job.cell, train, fitted, name, tests[name], found[name], job.folder) for name in tests]
    _write_log(job, began, fitted)
    _write_rows(row_path(job.folder, job.cell), rows)
    shutil.rmtree(work, ignore_errors=True)  # a checkpoint that stays behind costs nothing but its bytes
    heartbeat(1, 1)
    return "done"


def _fit_and_predict(
    plan: Plan,
    job: CellJob,
    train: list[LabelledClip],
    tests: dict[str, tuple[LabelledClip, ...]],
    work: Path,
) -> tuple[dict[str, Any], dict[str, list[Any]]]:
    """Return figures of the training, and what was found in each clip of each test set."""
    recipe, arm = plan.recipe_of(job.cell), plan.arm(job.cell.arm)
    flat = [clip for clips in tests.values() for clip in clips]
    facts: dict[str, Any] = {"iterations": recipe.iterations, "visits_min": None, "visits_max": None}
    if plan.model.startswith(COMMAND_PREFIX):
        from evfr.experiments._command import run_command

        predicted = run_command(
            plan.model.removeprefix(COMMAND_PREFIX).strip(),
            train=train,
            val=flat,
            kind=plan.kind,
            iterations=recipe.iterations,
            seed=job.cell.seed,
            out=job.folder / LOGS / job.cell.file_name,
        )
    else:
        from evfr.training import LEARNERS

        if job.device == "cpu":
            import torch

            torch.set_num_threads(job.threads)
        learner = LEARNERS[plan.model]
        model, run = learner.fit(
            train,
            recipe=recipe,
            augmentation=arm.augmentation,
            device=job.device,
            out=work,
            **plan.model_options,
        )
        predicted = [learner.predict(model, clip.images) for clip in flat]
        tenth = max(1, len(run.loss) // 10)
        visits = getattr(run, "visits", None)
        facts |= {
            "learning_rate_sum": float(run.learning_rate.sum()),
            "first_loss": float(run.loss[:tenth].mean()),
            "last_loss": float(run.loss[-tenth:].mean()),
            "visits_min": None if visits is None else int(np.min(visits)),
            "visits_max": None if visits is None else int(np.max(visits)),
        }
    rest = iter(predicted)
    return facts, {name: [next(rest) for _ in clips] for name, clips in tests.items()}


def _row(
    plan: Plan,
    cell: Cell,
    train: Sequence[LabelledClip],
    facts: dict[str, Any],
    test: str,
    clips: Sequence[LabelledClip],
    found: Sequence[Any],
    folder: Path,
) -> dict[str, Any]:
    from evfr.experiments._score import FIGURES, score_instances, score_pixels

    score = score_instances if plan.kind == "instances" else score_pixels
    scores: Any = score(clips, found)
    path = scores_path(folder, cell, test)
    make_folder(path.parent)
    scores.save(path)
    first = FIGURES[plan.kind][0] if plan.kind == "instances" else "gscore"
    blind: Any = score(clips, _turned(found))
    arm = plan.arm(cell.arm)
    return {
        "arm": arm.name,
        "test": test,
        "model": plan.model,
        "seed": cell.seed,
        "stride": arm.stride,
        "sampler": arm.sampler,
        "signal": arm.signal,
        "jitter": arm.jitter,
        "copy_paste": arm.copy_paste,
        "copies": arm.copies,
        "n_frames": sum(len(clip) for clip in train),
        "n_clips": len(train),
        "n_objects": sum(int((clip.category >= 0).sum()) for clip in train),
        **facts,
        **scores.figures(),
        "blind": blind.figures()[first],
    }


def _turned(found: Sequence[Any]) -> list[Any]:
    """Return the predictions of other pictures: all frames in a row, turned by half their number.

    What is found by looking scores worse when it is judged on another picture; what is not, does not.
    """
    frames = [frame for clip in found for frame in clip]
    half = len(frames) // 2
    frames = frames[half:] + frames[:half]
    turned, begin = [], 0
    for clip in found:
        part = frames[begin : begin + len(clip)]
        turned.append(np.stack(part) if isinstance(clip, np.ndarray) else part)
        begin += len(clip)
    return turned


def _write_log(job: CellJob, began: float, facts: dict[str, Any]) -> None:
    import platform

    import evfr

    log = {
        "seconds": round(time.perf_counter() - began, 3),
        "device": job.device,
        "threads": job.threads,
        "host": platform.processor() or platform.machine(),
        "evfr": evfr.__version__,
        **facts,
    }
    path = job.folder / LOGS / f"{job.cell.file_name}.json"
    make_folder(path.parent)
    atomic_write_bytes(path, json.dumps(log, indent=1).encode("ascii") + b"\n")


def _write_rows(path: Path, rows: Sequence[dict[str, Any]]) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    unknown = {name for row in rows for name in row} - set(SCHEMA)
    if unknown:
        raise InputError(f"{path}: a row has no column {min(unknown)!r}")
    schema = pa.schema([(name, getattr(pa, kind)()) for name, kind in SCHEMA.items()])
    columns = {name: [row.get(name) for row in rows] for name in SCHEMA}
    make_folder(path.parent)
    with atomic_file(path) as file:
        pq.write_table(pa.table(columns, schema=schema), file)

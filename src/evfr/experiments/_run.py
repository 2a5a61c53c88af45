"""`evfr experiment run`: do the cells that are missing."""

from __future__ import annotations

import math
import re
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from evfr._core.types import Problem

__all__ = ["RunResult", "run"]


@dataclass(frozen=True, slots=True)
class RunResult:
    """Hold how far an experiment is.

    Attributes
    ----------
    folder : Path
        The experiment.
    cell_count : int
        Cells of the plan.
    done_before, done_now : int
        Cells with a row before this call, and made by it.
    left : int
        Cells without a row: time was up, they are another shard's, or they failed.
    problems : tuple of Problem
        Cells that failed, and why.
    seconds : float
        Wall time.
    """

    folder: Path
    cell_count: int
    done_before: int
    done_now: int
    left: int
    problems: tuple[Problem, ...]
    seconds: float

    @property
    def failed_count(self) -> int:
        """How many cells failed."""
        return len(self.problems)

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON-ready dict, keys in field order."""
        values = {name: getattr(self, name) for name in self.__slots__}
        return values | {
            "folder": str(self.folder),
            "problems": [problem.to_dict() for problem in self.problems],
        }

    def __str__(self) -> str:
        more = (
            f"; {self.left} left, run it again"
            if self.left
            else f"; see: evfr experiment report {self.folder}"
        )
        return (
            f"{self.done_now} cells in {self.seconds:.0f} s, {self.done_before + self.done_now} of {self.cell_count} "
            f"done{more}"
        )


def run(
    folder: Path,
    *,
    workers: int = 1,
    shard: str = "1/1",
    time_limit: float | None = None,
    device: str = "cpu",
    threads: int = 1,
    executor: Literal["serial", "processes", "ray"] | None = None,
    gpus_per_worker: float = 0.0,
) -> RunResult:
    """Do the cells of an experiment that have no row yet; the same command goes on after any interruption.

    Parameters
    ----------
    folder : Path
        What ``evfr experiment plan`` wrote.
    workers : int
        Cells at a time.
    shard : str
        ``I/N``: every N-th cell from the I-th on, for N machines that share the folder.
    time_limit : float or None
        Seconds after which no cell is begun; one that is running ends.
    device : str
        Where models are trained: ``cpu``, ``cuda``, ``cuda:1``.
    threads : int
        Of torch on a CPU, for each cell: rows are equal for any number of workers, and may differ in their last
        digits for another number of threads.
    executor : {"serial", "processes", "ray"} or None
        Where cells run; None is ``serial`` for one worker, else ``processes``.
    gpus_per_worker : float
        What ``ray`` reserves for each worker.

    Returns
    -------
    RunResult
        How many are done; cells that failed are listed, and stop no other.

    Raises
    ------
    InputError
        If there is no plan.
    ValueError
        If an argument is out of range.
    """
    from evfr._core.progress import current_progress
    from evfr.distributed import map_videos
    from evfr.experiments._cell import CellJob, has_row, run_cell
    from evfr.experiments._plan import read_plan

    if workers < 1 or threads < 1:
        raise ValueError(f"workers and threads must be 1 or more, got {workers} and {threads}")
    if time_limit is not None and not time_limit > 0:
        raise ValueError(f"time_limit must be above 0 seconds, got {time_limit}")
    place, count = _shard(shard)
    began = time.time()
    deadline = math.inf if time_limit is None else began + time_limit
    folder = Path(folder)
    plan = read_plan(folder)
    missing = [cell for cell in plan.cells if not has_row(folder, cell)]
    mine = [cell for cell in plan.cells[place::count] if cell in set(missing)]
    jobs = [CellJob(folder.absolute(), cell, device, threads, deadline) for cell in mine]
    progress = current_progress()
    progress.start("cells", len(jobs))
    outcomes = map_videos(
        run_cell,
        jobs,
        executor=executor or ("serial" if workers == 1 else "processes"),
        jobs=workers,
        gpus_per_worker=gpus_per_worker,
        on_outcome=lambda outcome: progress.advance(1),
    )
    progress.finish()
    still = sum(not has_row(folder, cell) for cell in plan.cells)
    return RunResult(
        folder=folder,
        cell_count=len(plan.cells),
        done_before=len(plan.cells) - len(missing),
        done_now=sum(outcome.value == "done" for outcome in outcomes),
        left=still,
        problems=tuple(outcome.problem for outcome in outcomes if outcome.problem is not None),
        seconds=time.time() - began,
    )


def _shard(text: str) -> tuple[int, int]:
    found = re.fullmatch(r"([1-9]\d{0,5})/([1-9]\d{0,5})", text)
    if found is None or int(found[1]) > int(found[2]):
        raise ValueError(f"shard must be I/N with I of 1 to N, for example 2/4, got {text!r}")
    return int(found[1]) - 1, int(found[2])

"""A planned experiment as one value, and its folder on disk."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from evfr._core.atomic import atomic_file, atomic_write_bytes
from evfr._core.labelled import LabelledClip
from evfr._core.npz import DAMAGED, read_npz
from evfr.errors import InputError
from evfr.experiments._arms import Arm, Comparison
from evfr.experiments._grid import check_arms
from evfr.training import Recipe

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = [
    "COMMAND_PREFIX",
    "Cell",
    "Plan",
    "load_clips",
    "read_plan",
    "read_subset",
    "save_clips",
    "write_plan",
    "write_subset",
]

PLAN, CLIPS, SUBSETS = "plan.json", "clips", "subsets"
COMMAND_PREFIX = "cmd:"
FORMAT, VERSION = "evfr-experiment", 1


@dataclass(frozen=True, slots=True)
class Cell:
    """Name one training: an arm and a seed.

    Attributes
    ----------
    arm : str
        Name of the arm.
    seed : int
        Of frames, weights and batches; arms share seeds, so that what is drawn alike is equal.
    """

    arm: str
    seed: int

    @property
    def file_name(self) -> str:
        """The cell's name where it names a file."""
        return f"{file_name_of(self.arm)}.seed{self.seed}"


def file_name_of(arm: str) -> str:
    """Return a name for files that differs where names of arms do."""
    plain = re.sub(r"[^A-Za-z0-9+-]", "_", arm)
    if plain == arm:
        return plain
    from evfr._core.store_format import digest_of

    return f"{plain}-{digest_of(arm)[:6]}"


MOST_SEEDS = 10_000
"""More trainings of one arm are a slip of the pen: a table of all cells is held in memory."""


@dataclass(frozen=True, slots=True)
class Plan:
    """Hold everything that decides the result of an experiment, but the clips.

    Attributes
    ----------
    protocol : str
        ``evfr``, ``pertinence``, ``two-axis`` or ``custom``.
    model : str
        A key of `evfr.training.LEARNERS`, or ``cmd: ...``.
    kind : {"instances", "pixels"}
        What it learns.
    model_options : mapping
        The learner's own options.
    recipe : Recipe
        Of every cell, with the cell's seed instead of its own.
    arms : tuple of Arm
        What is compared.
    comparisons : tuple of Comparison
        Which pairs.
    seeds : int
        Seeds 0, 1, ... of each arm.
    tests : mapping of str to tuple of str
        Names of test sets, and the clips of each.
    classes : tuple of str
        Names of the classes.
    margin : float
        Largest loss that "not worse" allows, in the score's unit; fixed before anything is trained.
    sources : mapping of str to str
        What it was made from: videos, labels, split.

    Raises
    ------
    ValueError
        If arms and comparisons do not fit each other, or there is no seed or test.
    """

    protocol: str
    model: str
    kind: Literal["instances", "pixels"]
    model_options: Mapping[str, Any]
    recipe: Recipe
    arms: tuple[Arm, ...]
    comparisons: tuple[Comparison, ...]
    seeds: int
    tests: Mapping[str, tuple[str, ...]]
    classes: tuple[str, ...]
    margin: float = 0.01
    sources: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        check_arms(self.arms, self.comparisons)
        if type(self.seeds) is not int or not 1 <= self.seeds <= MOST_SEEDS:
            raise ValueError(f"seeds must be 1 or more, and at most {MOST_SEEDS}, got {self.seeds}")
        if not (self.margin >= 0 and math.isfinite(self.margin)):
            raise ValueError(f"margin must be 0 or more, got {self.margin}")
        if not self.tests or not all(self.tests.values()):
            raise ValueError("there is no clip to test on")

    @property
    def cells(self) -> tuple[Cell, ...]:
        """Every cell, seed by seed, so that each prefix is as balanced a table as can be."""
        return tuple(Cell(arm.name, seed) for seed in range(self.seeds) for arm in self.arms)

    def arm(self, name: str) -> Arm:
        """Return the arm of that name."""
        return next(arm for arm in self.arms if arm.name == name)

    def recipe_of(self, cell: Cell) -> Recipe:
        """Return how one cell is trained."""
        iterations = self.arm(cell.arm).iterations or self.recipe.iterations
        return replace(
            self.recipe,
            iterations=iterations,
            warmup=min(self.recipe.warmup, iterations - 1),
            seed=cell.seed,
        )


def write_plan(plan: Plan, folder: Path) -> None:
    """Write ``plan.json``."""
    data = {"format": FORMAT, "version": VERSION, **asdict(plan)}
    atomic_write_bytes(folder / PLAN, json.dumps(data, indent=1).encode("ascii") + b"\n")


def read_plan(folder: Path) -> Plan:
    """Read the plan of an experiment.

    Parameters
    ----------
    folder : Path
        What ``evfr experiment plan`` or `write_experiment` wrote.

    Returns
    -------
    Plan
        The same.

    Raises
    ------
    InputError
        If there is no plan, or it is not one of ours.
    """
    path = folder / PLAN
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        if (data.pop("format"), data.pop("version")) != (FORMAT, VERSION):
            raise ValueError("its format or version is another")
        return Plan(
            **{
                **data,
                "recipe": Recipe(**data["recipe"]),
                "arms": tuple(Arm(**{**arm, "positions": tuple(arm["positions"])}) for arm in data["arms"]),
                "comparisons": tuple(Comparison(**pair) for pair in data["comparisons"]),
                "tests": {name: tuple(clips) for name, clips in data["tests"].items()},
                "classes": tuple(data["classes"]),
            }
        )
    except FileNotFoundError as error:
        raise InputError(f"{folder} holds no {PLAN}; make one with: evfr experiment plan {folder}") from error
    except (
        OSError,
        ValueError,
        KeyError,
        TypeError,
        AttributeError,
        ArithmeticError,
        RecursionError,
    ) as error:
        raise InputError(
            f"{path} is no plan of evfr ({type(error).__name__}: {error}); plan again"
        ) from error


def save_clips(clips: Sequence[LabelledClip], folder: Path, role: str) -> None:
    """Write clips to ``clips/ROLE-NNNN.npz``."""
    for number, clip in enumerate(clips):
        with atomic_file(folder / CLIPS / f"{role}-{number:04d}.npz") as file:
            np.savez_compressed(
                file,
                video_id=np.array(clip.video_id),
                frame_index=clip.frame_index,
                images=clip.images,
                ids=clip.ids,
                category=clip.category,
                classes=np.array(clip.classes),
            )


@lru_cache(maxsize=4)
def load_clips(folder: Path, role: str) -> tuple[LabelledClip, ...]:
    """Read what `save_clips` wrote.

    Raises
    ------
    InputError
        If a file is missing or damaged.
    """
    clips = []
    for path in sorted((folder / CLIPS).glob(f"{role}-*.npz")):
        try:
            data = read_npz(path)
            clips.append(
                LabelledClip(
                    str(data["video_id"]),
                    data["frame_index"],
                    data["images"],
                    data["ids"],
                    data["category"],
                    tuple(str(name) for name in data["classes"]),
                )
            )
        except DAMAGED as error:
            raise InputError(f"{path} is damaged ({type(error).__name__}: {error}); plan again") from error
    if not clips:
        raise InputError(f"{folder / CLIPS} holds no {role} clips; plan again")
    return tuple(clips)


def write_subset(folder: Path, cell: Cell, copies: int, chosen: Mapping[str, NDArray[np.int64]]) -> None:
    """Write a cell's frames, ``video_id, frame_index, copies``, as ``subsets/CELL.parquet``."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    names = [name for name, frames in chosen.items() for _ in frames]
    frames = np.concatenate(list(chosen.values()))
    table = pa.table(
        {
            "video_id": pa.array(names, pa.string()),
            "frame_index": pa.array(frames, pa.int64()),
            "copies": pa.array([copies] * len(frames), pa.int64()),
        }
    )
    with atomic_file(folder / SUBSETS / f"{cell.file_name}.parquet") as file:
        pq.write_table(table, file)


def read_subset(folder: Path, cell: Cell, clips: Sequence[LabelledClip]) -> dict[int, NDArray[np.int64]]:
    """Read a cell's frames as places in the clips.

    Raises
    ------
    InputError
        If the file is missing or damaged, or names a frame that no clip has.
    """
    import pyarrow as pa

    from evfr._core.parquet_tables import read_parquet

    path = folder / SUBSETS / f"{cell.file_name}.parquet"
    try:
        table = read_parquet(path, ["video_id", "frame_index"], rows_per_byte=4)
    except (OSError, pa.ArrowException) as error:
        raise InputError(f"{path} cannot be read ({error}); plan again") from error
    names, frames = table["video_id"].to_pylist(), table["frame_index"].to_numpy()
    rows = {clip.video_id: row for row, clip in enumerate(clips)}
    chosen = {}
    for name in dict.fromkeys(names):
        if name not in rows:
            raise InputError(f"{path} names the video {name!r}, which is not among the clips; plan again")
        wanted = frames[np.array([other == name for other in names])]
        places = np.searchsorted(clips[rows[name]].frame_index, wanted)
        index = clips[rows[name]].frame_index
        if (places >= len(index)).any() or (index[np.minimum(places, len(index) - 1)] != wanted).any():
            raise InputError(f"{path} names a frame of {name} that is not labelled; plan again")
        chosen[rows[name]] = places.astype(np.int64)
    return chosen

"""The state of a run on disk: what is needed to go on exactly, and the log."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from evfr._core.atomic import atomic_file
from evfr._core.tensor_state import read_state, write_state
from evfr.errors import InputError
from evfr.training._recipe import Recipe, learning_rate_at

__all__ = ["CHECKPOINT", "LOG", "UNREADABLE", "check_width", "resume", "save"]

CHECKPOINT, LOG = "checkpoint.safetensors", "log.parquet"
UNREADABLE = (RuntimeError, ValueError, LookupError, AttributeError, TypeError, OSError)
"""What is raised for files that are damaged or not of evfr."""


def check_width(width: Any, state: Mapping[str, Any], times: int = 1) -> None:
    """See that a network of so many channels is in a file, before memory is taken for it.

    Parameters
    ----------
    width : object
        What the file says.
    state : mapping of str to tensor
        What it holds.
    times : int
        The largest tensor of such a network has at least this many numbers for each pair of channels.

    Raises
    ------
    ValueError
        If the width is no whole number, or no tensor is as large.
    """
    largest = max((tensor.untyped_storage().nbytes() for tensor in state.values()), default=0)
    if type(width) is not int or width < 1 or times * width**2 > largest:
        raise ValueError(f"it claims {width!r:.40} channels, and holds no tensor of that size")


def save(
    torch: Any,
    module: Any,
    optimizer: Any,
    scaler: Any | None,
    recipe: Recipe,
    losses: list[float],
    out: Path,
) -> None:
    """Write checkpoint and log, each at once or not at all."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    state = {
        "module": module.state_dict(),
        "optimizer": optimizer.state_dict(),
        "recipe": recipe.fixed,
        "loss": torch.tensor(losses, dtype=torch.float64),
    }
    if scaler is not None:
        state["scaler"] = scaler.state_dict()
    write_state(state, out / CHECKPOINT, extra="train")
    count = len(losses)
    table = pa.table(
        {
            "iteration": pa.array(range(count), pa.int64()),
            "loss": pa.array(losses, pa.float64()),
            "learning_rate": pa.array([learning_rate_at(i, recipe) for i in range(count)], pa.float64()),
        }
    )
    with atomic_file(out / LOG) as file:
        pq.write_table(table, file)


def resume(
    torch: Any, module: Any, optimizer: Any, scaler: Any | None, recipe: Recipe, path: Path
) -> list[float]:
    """Load a checkpoint where there is one, and return the losses so far.

    Raises
    ------
    InputError
        If it is of another recipe or network, or cannot be read.
    """
    if not path.exists():
        return []
    try:
        state = read_state(path, extra="train", device=next(module.parameters()).device)
        is_same = state["recipe"] == recipe.fixed
    except UNREADABLE as error:
        raise InputError(
            f"{path} is no checkpoint of evfr: {error!s:.200}; delete it to start anew"
        ) from error
    if not is_same:
        raise InputError(
            f"{path} is of another recipe ({state['recipe']}); train into another folder, or delete it to start anew"
        )
    try:
        module.load_state_dict(state["module"])
        optimizer.load_state_dict(state["optimizer"])
        if scaler is not None:
            scaler.load_state_dict(state["scaler"])
    except (RuntimeError, ValueError, KeyError) as error:
        raise InputError(f"{path} is of another network; train into another folder") from error
    return [float(value) for value in state["loss"].tolist()]

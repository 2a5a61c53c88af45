"""The one training loop: iterations, a schedule, an optimizer, checkpoints with exact resume, a log."""

from __future__ import annotations

import io
import json
import math
import pickle
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from evfr._core.atomic import atomic_file, atomic_write_bytes, make_folder
from evfr._core.lazy import require
from evfr._core.progress import current_progress
from evfr._core.rng import generator, spawn_seed
from evfr.errors import InputError

if TYPE_CHECKING:
    from numpy.random import Generator

__all__ = ["OPTIMIZERS", "SCHEDULES", "Recipe", "TrainingRun", "learning_rate_at", "train"]

SCHEDULES = ("constant", "cosine", "polynomial")
OPTIMIZERS = ("adam", "sgd")
CHECKPOINT, LOG = "checkpoint.pt", "log.parquet"
POWER = 0.9
_UNREADABLE = (
    *(pickle.UnpicklingError, RuntimeError, EOFError, ValueError, LookupError),
    *(AttributeError, TypeError, OSError),
)
"""What torch raises for files that are damaged or not its own."""


@dataclass(frozen=True, slots=True)
class Recipe:
    """Say how a network is trained; what it is trained on stands elsewhere.

    Attributes
    ----------
    iterations : int
        Steps of the optimizer, 1 or more.
    learning_rate : float
        Its peak, above 0.
    optimizer : {"adam", "sgd"}
        Adam, or SGD with ``momentum``.
    schedule : {"constant", "cosine", "polynomial"}
        How the learning rate falls over the iterations; see `learning_rate_at`.
    warmup : int
        Iterations over which it rises linearly from 0 first.
    momentum : float
        Of SGD, in [0, 1).
    weight_decay : float
        0 or more.
    seed : int
        Of batches and whatever else is drawn.
    checkpoint_every : int
        Iterations from checkpoint to checkpoint.
    max_gradient_norm : float
        Gradients of all parameters together are scaled down to this Euclidean norm where it is higher; 0 leaves them.

    Raises
    ------
    ValueError
        If a value is out of range.
    """

    iterations: int
    learning_rate: float = 1e-3
    optimizer: Literal["adam", "sgd"] = "adam"
    schedule: Literal["constant", "cosine", "polynomial"] = "cosine"
    warmup: int = 0
    momentum: float = 0.9
    weight_decay: float = 0.0
    seed: int = 0
    checkpoint_every: int = 100
    max_gradient_norm: float = 0.0

    def __post_init__(self) -> None:
        if self.iterations < 1 or self.checkpoint_every < 1:
            raise ValueError(
                f"iterations and checkpoint_every must be 1 or more, got {self.iterations} and {self.checkpoint_every}"
            )
        if not 0 < self.learning_rate < math.inf or not 0 <= self.weight_decay < math.inf:
            raise ValueError(
                "learning_rate must be above 0 and weight_decay 0 or more, "
                f"got {self.learning_rate} and {self.weight_decay}"
            )
        if self.optimizer not in OPTIMIZERS:
            raise ValueError(f"optimizer must be one of {', '.join(OPTIMIZERS)}, got {self.optimizer!r}")
        if self.schedule not in SCHEDULES:
            raise ValueError(f"schedule must be one of {', '.join(SCHEDULES)}, got {self.schedule!r}")
        if not 0 <= self.warmup < self.iterations:
            raise ValueError(f"warmup must be in 0..{self.iterations - 1} iterations, got {self.warmup}")
        if not 0 <= self.momentum < 1:
            raise ValueError(f"momentum must be in [0, 1), got {self.momentum}")
        if self.seed < 0:
            raise ValueError(f"seed must be 0 or more, got {self.seed}")
        if not 0 <= self.max_gradient_norm < math.inf:
            raise ValueError(f"max_gradient_norm must be 0 (off) or more, got {self.max_gradient_norm}")


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class TrainingRun:
    """Hold what a training run did.

    Attributes
    ----------
    loss : (N,) float64
        Of each iteration, those before a resume too.
    learning_rate : (N,) float64
        Of each iteration.
    seconds : float
        Wall time of this call.
    resumed_at : int
        Iterations that an earlier call had done; 0 for a fresh run.
    """

    loss: np.ndarray[Any, np.dtype[np.float64]]
    learning_rate: np.ndarray[Any, np.dtype[np.float64]]
    seconds: float
    resumed_at: int

    def __repr__(self) -> str:
        tenth = max(1, len(self.loss) // 10)
        return (
            f"TrainingRun({len(self.loss)} iterations, loss {self.loss[:tenth].mean():.4g} -> "
            f"{self.loss[-tenth:].mean():.4g}, {self.seconds:.1f} s, resumed at {self.resumed_at})"
        )


def learning_rate_at(iteration: int, recipe: Recipe) -> float:
    """Return the learning rate of one iteration; it depends on nothing else.

    Parameters
    ----------
    iteration : int
        0-based.
    recipe : Recipe
        N iterations, peak, schedule, warm-up W.

    Returns
    -------
    float
        Peak times (i + 1) / (W + 1) during warm-up; then, with x = (i - W) / (N - W), the peak times 1 (constant),
        (1 + cos(pi x)) / 2 (cosine) or (1 - x)^0.9 (polynomial).
    """
    if iteration < recipe.warmup:
        return recipe.learning_rate * (iteration + 1) / (recipe.warmup + 1)
    x = (iteration - recipe.warmup) / (recipe.iterations - recipe.warmup)
    if recipe.schedule == "constant":
        return recipe.learning_rate
    if recipe.schedule == "cosine":
        return recipe.learning_rate * (1.0 + math.cos(math.pi * x)) / 2.0
    return recipe.learning_rate * math.pow(max(1.0 - x, 0.0), POWER)


def train(
    module: Any,
    draw: Callable[[Generator], Any],
    loss: Callable[[Any, Any], Any],
    recipe: Recipe,
    *,
    out: Path | None = None,
    stop_after: int | None = None,
    label: str = "training",
) -> TrainingRun:
    """Train a network in place.

    Parameters
    ----------
    module : torch.nn.Module
        Parameters that require gradients are trained.
    draw : callable
        ``generator -> batch``; all that is random about a batch comes from that generator.
    loss : callable
        ``(module, batch) -> tensor`` of one number.
    recipe : Recipe
        How.
    out : Path or None
        Folder for ``checkpoint.pt`` and ``log.parquet``; a run of the same recipe that left a checkpoint there goes
        on from it, with exactly the result that an uninterrupted run has on the same machine.
    stop_after : int or None
        Leave after this many iterations in all, with a checkpoint; for runs in portions.
    label : str
        What progress is called.

    Returns
    -------
    TrainingRun
        Losses and rates.

    Raises
    ------
    InputError
        If the checkpoint in ``out`` is of another recipe or network, or cannot be read; or the loss is not finite.
    StoreError
        If ``out`` cannot be written.
    """
    torch = require("torch", extra="train")
    begin = time.perf_counter()
    parameters = [parameter for parameter in module.parameters() if parameter.requires_grad]
    optimizer = _optimizer(torch, parameters, recipe)
    losses: list[float] = []
    if out is not None:
        make_folder(out)
        losses = _resume(torch, module, optimizer, recipe, out / CHECKPOINT)
    start = len(losses)
    stop = recipe.iterations if stop_after is None else min(stop_after, recipe.iterations)
    progress = current_progress()
    progress.start(label, max(stop - start, 0))
    module.train()
    for iteration in range(start, stop):
        # Each iteration has generators of its own: nothing of the past is needed to go on but weights and optimizer.
        torch.manual_seed(spawn_seed(recipe.seed, "torch", str(iteration)))
        batch = draw(generator(spawn_seed(recipe.seed, "batch", str(iteration))))
        for group in optimizer.param_groups:
            group["lr"] = learning_rate_at(iteration, recipe)
        optimizer.zero_grad(set_to_none=True)
        value = loss(module, batch)
        value.backward()
        if recipe.max_gradient_norm:
            torch.nn.utils.clip_grad_norm_(parameters, recipe.max_gradient_norm)
        optimizer.step()
        losses.append(float(value.detach()))
        if not math.isfinite(losses[-1]):
            raise InputError(
                f"the loss is {losses[-1]} at iteration {iteration}: lower learning_rate ({recipe.learning_rate:g}) "
                "or look for labels or weights that are not finite"
            )
        is_last = iteration + 1 == stop
        if out is not None and (is_last or (iteration + 1) % recipe.checkpoint_every == 0):
            _save(torch, module, optimizer, recipe, losses, out)
        progress.advance(1, f"loss {losses[-1]:.3g}")
    progress.finish()
    module.eval()
    rates = np.array([learning_rate_at(i, recipe) for i in range(len(losses))])
    return TrainingRun(np.array(losses), rates, time.perf_counter() - begin, start)


def _optimizer(torch: Any, parameters: list[Any], recipe: Recipe) -> Any:
    if recipe.optimizer == "adam":
        return torch.optim.Adam(parameters, lr=recipe.learning_rate, weight_decay=recipe.weight_decay)
    return torch.optim.SGD(
        parameters, lr=recipe.learning_rate, momentum=recipe.momentum, weight_decay=recipe.weight_decay
    )


def _fixed(recipe: Recipe) -> str:
    """Return what must not change between parts of one run; how often it is saved may."""
    kept = {k: v for k, v in asdict(recipe).items() if k != "checkpoint_every"}
    if not recipe.max_gradient_norm:  # checkpoints older than this field have none
        del kept["max_gradient_norm"]
    return json.dumps(kept, sort_keys=True)


def _save(torch: Any, module: Any, optimizer: Any, recipe: Recipe, losses: list[float], out: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    sink = io.BytesIO()
    state = {
        "module": module.state_dict(),
        "optimizer": optimizer.state_dict(),
        "recipe": _fixed(recipe),
        "loss": torch.tensor(losses, dtype=torch.float64),
    }
    torch.save(state, sink)
    atomic_write_bytes(out / CHECKPOINT, sink.getvalue())
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


def _resume(torch: Any, module: Any, optimizer: Any, recipe: Recipe, path: Path) -> list[float]:
    if not path.exists():
        return []
    try:
        state = torch.load(path, map_location=next(module.parameters()).device, weights_only=True)
        is_same = state["recipe"] == _fixed(recipe)
    except Exception as error:
        raise InputError(
            f"{path} is no checkpoint of evfr ({type(error).__name__}); delete it to start anew"
        ) from error
    if not is_same:
        raise InputError(
            f"{path} is of another recipe ({state['recipe']}); train into another folder, or delete it to start anew"
        )
    try:
        module.load_state_dict(state["module"])
        optimizer.load_state_dict(state["optimizer"])
    except (RuntimeError, ValueError, KeyError) as error:
        raise InputError(f"{path} is of another network; train into another folder") from error
    return [float(value) for value in state["loss"].tolist()]

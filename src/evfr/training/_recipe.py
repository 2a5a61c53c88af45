"""How a network is trained, the learning rate of each iteration, and what a run tells."""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    import numpy as np

__all__ = ["OPTIMIZERS", "PRECISIONS", "SCHEDULES", "Recipe", "TrainingRun", "learning_rate_at"]

SCHEDULES = ("constant", "cosine", "polynomial", "step")
OPTIMIZERS = ("adam", "sgd")
PRECISIONS = ("fp32", "bf16", "fp16")
POWER = 0.9
FALL = 0.1


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
    schedule : {"constant", "cosine", "polynomial", "step"}
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
    precision : {"fp32", "bf16", "fp16"}
        Of what torch's autocast computes in fewer bits; weights and optimizer are always 32 bit. fp16 scales the loss
        so that small gradients survive, and leaves out steps that overflow.
    milestones : tuple of float
        Of "step": shares of the iterations in (0, 1), rising, at which the rate falls to a tenth. The default is
        torchvision's 16 and 22 epochs out of 25.

    Raises
    ------
    ValueError
        If a value is out of range.
    """

    iterations: int
    learning_rate: float = 1e-3
    optimizer: Literal["adam", "sgd"] = "adam"
    schedule: Literal["constant", "cosine", "polynomial", "step"] = "cosine"
    warmup: int = 0
    momentum: float = 0.9
    weight_decay: float = 0.0
    seed: int = 0
    checkpoint_every: int = 100
    max_gradient_norm: float = 0.0
    precision: Literal["fp32", "bf16", "fp16"] = "fp32"
    milestones: tuple[float, ...] = (0.64, 0.88)

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
        if self.precision not in PRECISIONS:
            raise ValueError(f"precision must be one of {', '.join(PRECISIONS)}, got {self.precision!r}")
        steps = (0.0, *self.milestones, 1.0)
        if any(not low < high for low, high in pairwise(steps)):
            raise ValueError(f"milestones must rise between 0 and 1, got {self.milestones}")

    @property
    def fixed(self) -> str:
        """What must not change between the parts of one run, as text; how often it is saved may."""
        kept = {name: value for name, value in asdict(self).items() if name != "checkpoint_every"}
        # Checkpoints older than these fields have none, and were trained without them.
        if not self.max_gradient_norm:
            del kept["max_gradient_norm"]
        if self.precision == "fp32":
            del kept["precision"]
        if self.schedule != "step":
            del kept["milestones"]
        return json.dumps(kept, sort_keys=True)


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
    visits : tuple of int or None
        How often the least and the most visited frame was seen, those before a resume too; None where not counted.
    """

    loss: np.ndarray[Any, np.dtype[np.float64]]
    learning_rate: np.ndarray[Any, np.dtype[np.float64]]
    seconds: float
    resumed_at: int
    visits: tuple[int, int] | None = None

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
        (1 + cos(pi x)) / 2 (cosine) or (1 - x)^0.9 (polynomial); or times 0.1 for each milestone m with m <= i / N
        (step).
    """
    if iteration < recipe.warmup:
        return recipe.learning_rate * (iteration + 1) / (recipe.warmup + 1)
    if recipe.schedule == "step":
        passed = sum(share <= iteration / recipe.iterations for share in recipe.milestones)
        return float(recipe.learning_rate * FALL**passed)
    x = (iteration - recipe.warmup) / (recipe.iterations - recipe.warmup)
    if recipe.schedule == "constant":
        return recipe.learning_rate
    if recipe.schedule == "cosine":
        return recipe.learning_rate * (1.0 + math.cos(math.pi * x)) / 2.0
    return recipe.learning_rate * math.pow(max(1.0 - x, 0.0), POWER)

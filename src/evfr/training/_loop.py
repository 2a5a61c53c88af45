"""The one training loop: iterations, a schedule, an optimizer, checkpoints with exact resume, a log."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from evfr._core.atomic import make_folder
from evfr._core.lazy import require
from evfr._core.progress import current_progress
from evfr._core.rng import generator, spawn_seed
from evfr.errors import InputError
from evfr.training._checkpoints import CHECKPOINT, resume, save
from evfr.training._ranks import average_gradients, copy_from_first, rank_and_count
from evfr.training._recipe import OPTIMIZERS, SCHEDULES, Recipe, TrainingRun, learning_rate_at

if TYPE_CHECKING:
    from numpy.random import Generator

__all__ = ["OPTIMIZERS", "SCHEDULES", "Recipe", "TrainingRun", "learning_rate_at", "train"]

READ_EVERY = {"cpu": 1}
"""Iterations from one reading of losses to the next, by kind of device: each reading makes the host wait for it."""

SELDOM = 50

WARM_UPS = 3


def train(
    module: Any,
    draw: Callable[[Generator, int], Any],
    loss: Callable[[Any, Any], Any],
    recipe: Recipe,
    *,
    out: Path | None = None,
    stop_after: int | None = None,
    label: str = "training",
    is_static: bool = False,
) -> TrainingRun:
    """Train a network in place.

    Parameters
    ----------
    module : torch.nn.Module
        Parameters that require gradients are trained.
    draw : callable
        ``(generator, iteration) -> batch``; all that is random about a batch comes from the generator, or from the
        iteration as in `visits`.
    loss : callable
        ``(module, batch) -> tensor`` of one number. What it draws comes from torch's generators, which are seeded anew
        for each iteration.
    recipe : Recipe
        How.
    out : Path or None
        Folder for ``checkpoint.safetensors`` and ``log.parquet``; a run of the same recipe that left a checkpoint
        there goes on from it, with exactly the result that an uninterrupted run has on the same machine.
    stop_after : int or None
        Leave after this many iterations in all, with a checkpoint; for runs in portions.
    label : str
        What progress is called.
    is_static : bool
        Say that batches are tuples of tensors, on the CPU, of the same shapes in each iteration, and that ``loss``
        reads nothing back from the device. On CUDA the step is then recorded once, as a graph, and replayed, which
        takes the host's time for each operation away.

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

    Notes
    -----
    Where torch.distributed is initialised, as under torchrun, gradients and losses are means over the processes, which
    start from the first one's weights; the first one writes. ``draw`` gives each process its own share.
    """
    torch = require("torch", extra="train")
    begin = time.perf_counter()
    parameters = [parameter for parameter in module.parameters() if parameter.requires_grad]
    device = next(module.parameters()).device
    optimizer = _optimizer(torch, parameters, recipe, device)
    scaler = torch.amp.GradScaler(device.type) if recipe.precision == "fp16" else None
    rank, rank_count = rank_and_count()
    losses: list[float] = []
    if out is not None:
        make_folder(out)
        losses = resume(torch, module, optimizer, scaler, recipe, out / CHECKPOINT)
    if rank_count > 1:
        copy_from_first(torch, module)
    start = len(losses)
    stop = recipe.iterations if stop_after is None else min(stop_after, recipe.iterations)
    read_every = READ_EVERY.get(device.type, SELDOM)
    waiting: list[Any] = []
    progress = current_progress()
    progress.start(label, max(stop - start, 0))
    module.train()
    backward = _backward(torch, module, loss, recipe, scaler, parameters)
    is_captured = False
    with _in_one_order(torch):
        for iteration in range(start, stop):
            # Each iteration has generators of its own: to go on, only weights and optimizer are needed.
            names = ("torch", str(iteration)) if rank == 0 else ("torch", str(iteration), str(rank))
            torch.manual_seed(spawn_seed(recipe.seed, *names))
            batch = draw(generator(spawn_seed(recipe.seed, "batch", str(iteration))), iteration)
            if is_static and device.type == "cuda" and not is_captured:
                backward, is_captured = _captured(torch, module, backward, batch, device), True
                torch.manual_seed(spawn_seed(recipe.seed, *names))
            elif is_static and not is_captured:
                batch = tuple(part.to(device) for part in batch)
            for group in optimizer.param_groups:
                group["lr"] = learning_rate_at(iteration, recipe)
            waiting.append(backward(batch))
            _step(torch, optimizer, scaler, parameters, recipe, rank_count)
            is_saved = iteration + 1 == stop or (
                out is not None and (iteration + 1) % recipe.checkpoint_every == 0
            )
            if is_saved or len(waiting) == read_every:
                losses += _read(torch, waiting, rank_count, recipe, len(losses))
                progress.advance(len(waiting), f"loss {losses[-1]:.3g}")
                waiting.clear()
            if is_saved and out is not None and rank == 0:
                save(torch, module, optimizer, scaler, recipe, losses, out)
    progress.finish()
    if rank_count > 1:
        copy_from_first(torch, module)  # running statistics of layers that are not synchronised
    module.eval()
    rates = np.array([learning_rate_at(i, recipe) for i in range(len(losses))])
    return TrainingRun(np.array(losses), rates, time.perf_counter() - begin, start)


@contextmanager
def _in_one_order(torch: Any) -> Iterator[None]:
    """Keep cuDNN from gradients that add up in any order, with which no resume would be exact."""
    cudnn = torch.backends.cudnn
    before, cudnn.deterministic = cudnn.deterministic, True
    try:
        yield
    finally:
        cudnn.deterministic = before


def _optimizer(torch: Any, parameters: list[Any], recipe: Recipe, device: Any) -> Any:
    # On CUDA one kernel updates all parameters; elsewhere torch's own choice stays, so that results do.
    options = {"fused": True} if device.type == "cuda" else {}
    if recipe.optimizer == "adam":
        return torch.optim.Adam(
            parameters, lr=recipe.learning_rate, weight_decay=recipe.weight_decay, **options
        )
    return torch.optim.SGD(
        parameters,
        lr=recipe.learning_rate,
        momentum=recipe.momentum,
        weight_decay=recipe.weight_decay,
        **options,
    )


def _backward(
    torch: Any,
    module: Any,
    loss: Callable[[Any, Any], Any],
    recipe: Recipe,
    scaler: Any | None,
    parameters: list[Any],
) -> Callable[[Any], Any]:
    """Return a function from a batch to its loss that leaves fresh gradients behind."""
    kind = next(module.parameters()).device.type
    dtype = {"fp32": None, "bf16": torch.bfloat16, "fp16": torch.float16}[recipe.precision]

    def backward(batch: Any) -> Any:
        for parameter in parameters:
            parameter.grad = None
        with nullcontext() if dtype is None else torch.autocast(kind, dtype=dtype):
            value = loss(module, batch)
        (value if scaler is None else scaler.scale(value)).backward()
        return value.detach()

    return backward


def _captured(
    torch: Any, module: Any, backward: Callable[[Any], Any], batch: tuple[Any, ...], device: Any
) -> Callable[[Any], Any]:
    """Record the step as a CUDA graph; running statistics are as they were before."""
    inputs = tuple(part.to(device) for part in batch)
    before = [(buffer, buffer.clone()) for buffer in module.buffers()]
    side = torch.cuda.Stream(device)
    side.wait_stream(torch.cuda.current_stream(device))
    with torch.cuda.stream(side):
        for _ in range(WARM_UPS):
            backward(inputs)
    torch.cuda.current_stream(device).wait_stream(side)
    for buffer, kept in before:
        buffer.copy_(kept)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        value = backward(inputs)

    def replay(batch: tuple[Any, ...]) -> Any:
        for own, part in zip(inputs, batch, strict=True):
            own.copy_(part, non_blocking=True)
        graph.replay()
        return value.clone()

    return replay


def _step(
    torch: Any, optimizer: Any, scaler: Any | None, parameters: list[Any], recipe: Recipe, rank_count: int
) -> None:
    if rank_count > 1:
        average_gradients(torch, parameters, rank_count)
    if scaler is not None:
        scaler.unscale_(optimizer)
    if recipe.max_gradient_norm:
        torch.nn.utils.clip_grad_norm_(parameters, recipe.max_gradient_norm)
    if scaler is None:
        optimizer.step()
    else:
        scaler.step(optimizer)
        scaler.update()


def _read(torch: Any, waiting: list[Any], rank_count: int, recipe: Recipe, done: int) -> list[float]:
    """Fetch the losses that wait on the device, and refuse those that are not finite."""
    values = torch.stack(waiting).double()
    if rank_count > 1:
        torch.distributed.all_reduce(values)
        values /= rank_count
    found = [float(value) for value in values.tolist()]
    for place, value in enumerate(found):
        if not math.isfinite(value):
            raise InputError(
                f"the loss is {value} at iteration {done + place}: lower learning_rate ({recipe.learning_rate:g}) "
                "or look for labels or weights that are not finite"
            )
    return found

"""Several processes that train one network, as torchrun starts them: each has a share of every batch."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from evfr._core.lazy import require

__all__ = ["average_gradients", "copy_from_first", "join_ranks", "rank_and_count", "share_of"]


@contextmanager
def join_ranks(device: str) -> Iterator[str]:
    """Join the other processes that torchrun started, if it did, and leave them at the end.

    Parameters
    ----------
    device : str
        As a user gives it: ``cpu``, ``cuda``, or with a number.

    Yields
    ------
    str
        The device of this process: under torchrun, ``cuda`` becomes ``cuda:LOCAL_RANK``.
    """
    count = int(os.environ.get("WORLD_SIZE", "1"))
    if count == 1:
        yield device
        return
    torch = require("torch", extra="train")
    if device == "cuda":
        device = f"cuda:{os.environ['LOCAL_RANK']}"
    if device.startswith("cuda"):
        torch.cuda.set_device(torch.device(device))
    torch.distributed.init_process_group("nccl" if device.startswith("cuda") else "gloo")
    try:
        yield device
    finally:
        torch.distributed.destroy_process_group()


def rank_and_count() -> tuple[int, int]:
    """Return which process this is, from 0, and how many train together; (0, 1) outside `join_ranks`."""
    distributed = require("torch", extra="train").distributed
    if not distributed.is_available() or not distributed.is_initialized():
        return 0, 1
    return distributed.get_rank(), distributed.get_world_size()


def share_of(batch_size: int) -> slice:
    """Return which part of a batch is this process's.

    Parameters
    ----------
    batch_size : int
        Of all processes together.

    Returns
    -------
    slice
        Of the batch: every count-th from rank on; all of it outside `join_ranks`.

    Raises
    ------
    ValueError
        If the batch cannot be shared evenly.
    """
    rank, count = rank_and_count()
    if batch_size % count:
        raise ValueError(f"batch_size must be a multiple of the {count} processes, got {batch_size}")
    return slice(rank, None, count)


def average_gradients(torch: Any, parameters: list[Any], count: int) -> None:
    """Replace each gradient by its mean over the processes; where a process has none it counts as 0."""
    for parameter in parameters:
        if parameter.grad is None:
            parameter.grad = torch.zeros_like(parameter)
    flat = torch.cat([parameter.grad.reshape(-1) for parameter in parameters])
    torch.distributed.all_reduce(flat)
    flat /= count
    parts = flat.split([parameter.numel() for parameter in parameters])
    for parameter, part in zip(parameters, parts, strict=True):
        parameter.grad.copy_(part.view_as(parameter.grad))


def copy_from_first(torch: Any, module: Any) -> None:
    """Give all processes the weights and buffers of the first."""
    for tensor in module.state_dict().values():
        torch.distributed.broadcast(tensor, 0)

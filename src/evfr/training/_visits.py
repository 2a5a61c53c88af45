"""Which frames each iteration sees: shuffled epoch by epoch, as a function of the iteration alone."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from evfr._core.rng import generator, spawn_seed

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["visit_bounds", "visits"]


def visits(frame_count: int, batch_size: int, iteration: int, seed: int) -> NDArray[np.int64]:
    """Return the frames of one iteration (equal iterations, section 4 of Yoon & Choi 2023).

    Parameters
    ----------
    frame_count : int
        N, 1 or more.
    batch_size : int
        B, 1 or more; it may exceed N.
    iteration : int
        0-based.
    seed : int
        Of the run.

    Returns
    -------
    (B,) int64
        In 0..N-1: places ``B * iteration`` to ``B * (iteration + 1) - 1`` of a stream in which every N in a row that
        start at a multiple of N are a fresh shuffle of all frames. At any time, across that border too, the visits of
        any two frames differ by at most 1.

    Raises
    ------
    ValueError
        If a number is out of range.

    Examples
    --------
    >>> sorted(int(place) for i in range(3) for place in visits(6, 2, i, seed=0))
    [0, 1, 2, 3, 4, 5]
    """
    _check(frame_count, batch_size, iteration, "iteration")
    begin = batch_size * iteration
    end = begin + batch_size
    epochs = range(begin // frame_count, (end - 1) // frame_count + 1)
    stream = np.concatenate([_shuffled(frame_count, epoch, seed) for epoch in epochs])
    offset = begin - epochs[0] * frame_count
    return stream[offset : offset + batch_size]


def visit_bounds(frame_count: int, batch_size: int, iterations: int) -> tuple[int, int]:
    """Return how often the least and the most visited frame is seen in a run.

    Parameters
    ----------
    frame_count : int
        N, 1 or more.
    batch_size : int
        1 or more.
    iterations : int
        Of the run, 0 or more.

    Returns
    -------
    tuple of int
        Least and most; they differ by 1 at most.

    Raises
    ------
    ValueError
        If a number is out of range.
    """
    _check(frame_count, batch_size, iterations, "iterations")
    seen = batch_size * iterations
    return seen // frame_count, -(-seen // frame_count)


def _check(frame_count: int, batch_size: int, iteration: int, name: str) -> None:
    if frame_count < 1 or batch_size < 1 or iteration < 0:
        raise ValueError(
            f"frame_count and batch_size must be 1 or more and {name} 0 or more, "
            f"got {frame_count}, {batch_size} and {iteration}"
        )


@lru_cache(maxsize=8)
def _shuffled(frame_count: int, epoch: int, seed: int) -> NDArray[np.int64]:
    order = generator(spawn_seed(seed, "visits", str(epoch))).permutation(frame_count).astype(np.int64)
    order.flags.writeable = False  # it is kept, and must not be changed by who gets it
    return order

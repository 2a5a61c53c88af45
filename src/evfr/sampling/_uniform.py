"""Evenly spread frames."""

from __future__ import annotations

import operator
from typing import TYPE_CHECKING, Literal

import numpy as np

from evfr._core.rng import generator
from evfr.sampling._sample import Sample, check_budget, check_weights, spread_rank

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

__all__ = ["uniform", "uniform_indices", "uniform_phase"]


def uniform_phase(n_frames: int, start: str, seed: int = 0) -> int:
    """Return the phase p in 0..N-1 of ``floor((k N + p) / n)``; it does not depend on n.

    Parameters
    ----------
    n_frames : int
        N, 1 or more.
    start : {"first", "middle", "random"}
        First frame, middle of the first of n equal stretches, or drawn.
    seed : int
        Used by ``"random"`` only.

    Returns
    -------
    int
        0, ``N // 2``, or a draw.

    Raises
    ------
    ValueError
        If ``start`` is none of the three.
    """
    if start == "first":
        return 0
    if start == "middle":
        return n_frames // 2
    if start == "random":
        return int(generator(seed).integers(n_frames))
    raise ValueError(f"start must be 'first', 'middle' or 'random', got {start!r}")


def uniform_indices(n_frames: int, n: int, phase: int) -> NDArray[np.int64]:
    """Spread n indices evenly over N frames by integer arithmetic: ``floor((k N + phase) / n)``.

    Parameters
    ----------
    n_frames, n : int
        N, and 0 <= n <= N.
    phase : int
        In 0..N-1.

    Returns
    -------
    (n,) int64
        Strictly increasing; consecutive steps are floor(N / n) or ceil(N / n).
    """
    return (np.arange(n, dtype=np.int64) * n_frames + phase) // max(n, 1)


def uniform(
    weights: ArrayLike,
    n: int,
    *,
    seed: int = 0,
    start: Literal["first", "middle", "random"] = "first",
    stride: int | None = None,
) -> Sample:
    """Take n evenly spread frames, whatever their weights (UFS, section 3.1 of Yoon & Choi 2023).

    Parameters
    ----------
    weights : (N,) array_like
        Only the length is used.
    n : int
        Frames to choose, 0 <= n <= N.
    seed : int
        Used by ``start="random"`` only.
    start : {"first", "middle", "random"}
        Where the first frame lies: frame 0, the middle of the first of n equal stretches, or drawn so that
        every frame has the same chance n / N.
    stride : int or None
        Take exactly ``frames[::stride]``, as the paper does; ``n`` must then be ceil(N / stride).

    Returns
    -------
    Sample
        ``inclusion`` is n / N (1 / stride with a stride); not nested.

    Raises
    ------
    ValueError
        If ``start`` or ``stride`` is not allowed, or the stride does not give n frames.
    ConstraintError
        If n > N.

    Notes
    -----
    The exact algorithm, in integers:

    1. phase p = 0 (first), floor(N / 2) (middle), or drawn from 0..N-1 (random; independent of n).
    2. For k = 0..n-1: index_k = floor((k N + p) / n).

    In double precision ``floor((k * N + p) / n)`` gives the same, as long as k N + p < 2^53.

    References
    ----------
    Yoon & Choi, "Exploring Video Frame Redundancies for Efficient Data Sampling and Annotation in Instance
    Segmentation", CVPR Workshops 2023.

    Examples
    --------
    >>> import numpy as np
    >>> uniform(np.ones(10), 4).indices.tolist()
    [0, 2, 5, 7]
    >>> uniform(np.ones(10), 4, stride=3).indices.tolist()
    [0, 3, 6, 9]
    """
    values, nan_count = check_weights(weights)
    total = len(values)
    n = check_budget(n, total)
    phase = uniform_phase(total, start, seed) if total else 0
    if stride is None:
        indices = uniform_indices(total, n, phase)
        chance = n / total if total else 0.0
        reasons = tuple(f"uniform: {k + 1} of {n}" for k in range(n))
    else:
        step = operator.index(stride)
        if step < 1:
            raise ValueError(f"stride must be 1 or more, got {step}")
        if start != "first":
            raise ValueError(f"stride starts at the first frame; leave start at 'first', got {start!r}")
        indices = np.arange(0, total, step, dtype=np.int64)
        if len(indices) != n:
            raise ValueError(
                f"stride={step} takes {len(indices)} of {total} frames, n is {n}; pass that as n"
            )
        chance = 1 / step
        reasons = tuple(f"uniform: every {step} frames, {k + 1} of {n}" for k in range(n))
    return Sample(
        indices=indices,
        inclusion=np.full(n, chance),
        rank=spread_rank(n),
        reasons=reasons,
        method="uniform",
        probabilities=np.full(total, chance),
        nan_count=nan_count,
    )

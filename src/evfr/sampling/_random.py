"""Frames drawn without regard to weights."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from evfr._core.rng import generator
from evfr.sampling._sample import Sample, check_budget, check_weights

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

__all__ = ["random"]


def random(weights: ArrayLike, n: int, *, seed: int = 0) -> Sample:
    """Draw n frames without replacement, all alike (RFS, section 3.1 of Yoon & Choi 2023).

    Parameters
    ----------
    weights : (N,) array_like
        Only the length is used.
    n : int
        Frames to choose, 0 <= n <= N.
    seed : int
        Same seed, same frames.

    Returns
    -------
    Sample
        ``inclusion`` is n / N; nested: the sample of a smaller n with the same seed is a subset.

    Raises
    ------
    ValueError
        If ``weights`` or ``seed`` is not allowed.
    ConstraintError
        If n > N.

    Notes
    -----
    One standard exponential key per frame, drawn in index order; the n smallest keys win. A frame keeps its
    key whatever n is, and whichever other frames may not be chosen.

    References
    ----------
    Yoon & Choi, "Exploring Video Frame Redundancies for Efficient Data Sampling and Annotation in Instance
    Segmentation", CVPR Workshops 2023.

    Examples
    --------
    >>> import numpy as np
    >>> small, large = random(np.ones(100), 5, seed=1), random(np.ones(100), 9, seed=1)
    >>> set(small.indices) < set(large.indices)
    True
    """
    values, nan_count = check_weights(weights)
    total = len(values)
    n = check_budget(n, total)
    order = np.argsort(generator(seed).standard_exponential(total), kind="stable").astype(np.int64)
    rank = np.argsort(order[:n]).astype(np.int64)
    return Sample(
        indices=order[:n][rank],
        inclusion=np.full(n, n / total if total else 0.0),
        rank=rank,
        reasons=tuple(f"random: draw {k + 1}" for k in rank.tolist()),
        order=order,
        method="random",
        probabilities=np.full(total, n / total if total else 0.0),
        nan_count=nan_count,
    )

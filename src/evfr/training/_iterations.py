"""How many iterations more frames deserve."""

from __future__ import annotations

import math

__all__ = ["iterations_for"]


def iterations_for(frames: int, base_iterations: int, base_frames: int, *, exponent: float = 0.537) -> int:
    """Return the iterations for a number of frames: I0 (N / N0)^a (C19: epochs divided by 4 for each x20 of frames).

    Parameters
    ----------
    frames : int
        N, 1 or more; noised copies count.
    base_iterations : int
        I0, those for ``base_frames``; 1 or more.
    base_frames : int
        N0, 1 or more.
    exponent : float
        a, in [0, 1]. With .537, 20 times the frames get 5 times the iterations, which is a quarter of the epochs. 0
        is the rule of equal iterations (Yoon & Choi 2023), 1 that of equal epochs.

    Returns
    -------
    int
        The nearest whole number, 1 or more.

    Raises
    ------
    ValueError
        If a number is out of range.

    Examples
    --------
    >>> [iterations_for(n, 1000, 20) for n in (1, 20, 400)]
    [200, 1000, 4996]
    >>> iterations_for(400, 1000, 20, exponent=0), iterations_for(400, 1000, 20, exponent=1)
    (1000, 20000)
    """
    if min(frames, base_iterations, base_frames) < 1:
        raise ValueError(
            "frames, base_iterations and base_frames must be 1 or more, "
            f"got {frames}, {base_iterations} and {base_frames}"
        )
    if not 0 <= exponent <= 1:
        raise ValueError(f"exponent must be in [0, 1], got {exponent}")
    return max(1, math.floor(base_iterations * math.pow(frames / base_frames, exponent) + 0.5))

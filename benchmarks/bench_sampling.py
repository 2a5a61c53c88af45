"""Sampling two hours of video at 30 frames per second, 10 %, with and without gaps, against numpy's weighted draw."""

from __future__ import annotations

from functools import partial

import numpy as np

import _measure
from evfr.sampling import SAMPLERS, Constraints, sample

N_FRAMES = 216_000
N = 21_600
LIMIT_SECONDS = 2.0


def check(got: np.ndarray, gaps: Constraints) -> bool:
    """Tell whether the picks are n in number and keep their gaps, head and tail among them."""
    steps = np.diff(got)
    edges = max(int(got[0]), N_FRAMES - 1 - int(got[-1]), int(steps.max()))
    return len(got) == N and int(steps.min()) >= (gaps.min_gap or 1) and edges <= (gaps.max_gap or N_FRAMES)


def main() -> None:
    """Measure, check the results, print the times, and fail where a limit does not hold."""
    _measure.print_header("Sampling", f"{N_FRAMES} gamma-distributed weights, n = {N}, drawn with seed 0")
    rng = np.random.default_rng(0)
    weights = rng.gamma(0.3, size=N_FRAMES)
    weights[50_000:90_000] = 0
    share = weights / weights.sum()
    free, tight, spaced = Constraints(), Constraints(min_gap=3, max_gap=12), Constraints(min_gap=8)
    cases = {
        "numpy choice(p=w)": lambda: np.random.default_rng(0).choice(N_FRAMES, N, replace=False, p=share)
    }
    claims = {}
    for name in SAMPLERS:
        for label, gaps in (("", free), (" gaps 3..12", tight), (" min gap 8", spaced)):
            cases[f"{name}{label}"] = partial(sample, name, weights, N, constraints=gaps)
            got = sample(name, weights, N, constraints=gaps).indices
            claims[f"{name}{label}: exactly n frames within the gaps"] = check(got, gaps)
    times = _measure.cpu_seconds(cases, turns=5)
    for name, seconds in times.items():
        print(f"{name:>22}: {seconds * 1e3:8.1f} ms")
        claims[f"{name} <= {LIMIT_SECONDS:g} s"] = seconds <= LIMIT_SECONDS
    _measure.judge(claims)


if __name__ == "__main__":
    main()

"""Sampling two hours of video at 30 frames per second, 10 %, with and without gaps, and the weighted draw alone.

The draw is compared with ``numpy.random.Generator.choice(N, n, replace=False, p=w)`` at several sizes, after the
law of both has been tested on the same weights.
"""

from __future__ import annotations

import itertools
from functools import partial

import numpy as np

import _measure
from evfr.sampling import SAMPLERS, Constraints, adaptive, draw_weighted, sample, takes_embeddings

N_FRAMES = 216_000
N = 21_600
LIMIT_SECONDS = 2.0
SIZES = (10_000, 100_000, 1_000_000)
RATIOS = (0.02, 0.1, 0.2, 0.5)
DRAWS = 40_000
LAW = np.array([8.0, 4.0, 2.0, 1.0, 1.0, 0.5])


def check(got: np.ndarray, gaps: Constraints) -> bool:
    """Tell whether the picks are n in number and keep their gaps, head and tail among them."""
    steps = np.diff(got)
    edges = max(int(got[0]), N_FRAMES - 1 - int(got[-1]), int(steps.max()))
    return len(got) == N and int(steps.min()) >= (gaps.min_gap or 1) and edges <= (gaps.max_gap or N_FRAMES)


def set_probabilities(weights: np.ndarray, n: int) -> dict[tuple[int, ...], float]:
    """Return the probability of each set of n frames under sequential draws, by enumeration."""
    chance: dict[tuple[int, ...], float] = {}
    for path in itertools.permutations(range(len(weights)), n):
        probability, left = 1.0, float(weights.sum())
        for i in path:
            probability *= weights[i] / left
            left -= weights[i]
        key = tuple(sorted(path))
        chance[key] = chance.get(key, 0.0) + probability
    return chance


def law_holds() -> dict[str, bool]:
    """Test draws of 3 of 6 frames against the law by chi-square over the 20 sets (19 degrees of freedom)."""
    expected = set_probabilities(LAW, 3)
    place = {key: k for k, key in enumerate(expected)}
    share = LAW / LAW.sum()
    rng = np.random.default_rng(0)
    cases = {
        "ours": lambda seed: draw_weighted(LAW, 3, seed=seed),
        "choice": lambda seed: rng.choice(len(LAW), 3, replace=False, p=share),
    }
    claims = {}
    for name, draw in cases.items():
        counts = np.zeros(len(expected))
        for seed in range(DRAWS):
            counts[place[tuple(sorted(draw(seed).tolist()))]] += 1
        mean = DRAWS * np.array(list(expected.values()))
        statistic = float(((counts - mean) ** 2 / mean).sum())
        print(f"law of {name}: chi-square {statistic:.1f} over {DRAWS} draws (99.9 % point 43.8)")
        claims[f"law of {name}"] = statistic < 43.8
    return claims


def compare_draws() -> dict[str, bool]:
    """Time the draw alone and the whole call against numpy."""
    print(f"\n{'N':>9} {'n/N':>5} {'choice':>10} {'draw':>10} {'ratio':>6} {'adaptive':>10} {'ratio':>6}")
    claims = {}
    for n_frames, ratio in itertools.product(SIZES, RATIOS):
        weights = np.random.default_rng(0).gamma(0.3, size=n_frames)
        share, n = weights / weights.sum(), int(n_frames * ratio)
        times = _measure.cpu_seconds(
            {
                "choice": partial(_choice, n_frames, n, share),
                "draw": partial(draw_weighted, weights, n),
                "adaptive": partial(adaptive, weights, n),
            },
            turns=7 if n_frames < 1_000_000 else 5,
        )
        own, whole = times["choice"] / times["draw"], times["choice"] / times["adaptive"]
        print(
            f"{n_frames:>9} {ratio:>5} {times['choice'] * 1e3:>7.2f} ms {times['draw'] * 1e3:>7.2f} ms "
            f"{own:>5.1f}x {times['adaptive'] * 1e3:>7.2f} ms {whole:>5.2f}x"
        )
        if ratio >= 0.2:
            claims[f"draw of {n} from {n_frames} >= 3x"] = own >= 3.0
        same = np.array_equal(draw_weighted(weights, n), adaptive(weights, n).indices)
        claims[f"draw of {n} from {n_frames} equals adaptive"] = same
    print()
    return claims


def _choice(n_frames: int, n: int, share: np.ndarray) -> np.ndarray:
    return np.random.default_rng(0).choice(n_frames, n, replace=False, p=share)


def main() -> None:
    """Measure, check the results, print the times, and fail where a limit does not hold."""
    _measure.print_header("Sampling", f"{N_FRAMES} gamma-distributed weights, n = {N}, drawn with seed 0")
    claims = law_holds() | compare_draws()
    weights = np.random.default_rng(0).gamma(0.3, size=N_FRAMES)
    weights[50_000:90_000] = 0
    free, tight, spaced = Constraints(), Constraints(min_gap=3, max_gap=12), Constraints(min_gap=8)
    cases = {"numpy choice(p=w)": partial(_choice, N_FRAMES, N, weights / weights.sum())}
    for name in (name for name, sampler in SAMPLERS.items() if not takes_embeddings(sampler)):
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

"""Draw tables of scores and learning curves whose truth is known, and count what is said of them."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass

import numpy as np

from evfr.experiments._curves import fit_learning_curve, frames_for
from evfr.experiments._statistics import clip_weights, hierarchical_interval
from evfr.experiments._verdicts import judge


@dataclass(frozen=True, slots=True)
class Noise:
    """Say what varies: seeds and clips alike in both arms (common random numbers, hard clips), and each arm's own."""

    seed: float = 0.01
    arm_seed: float = 0.007
    clip: float = 0.1
    arm_clip: float = 0.0
    cell: float = 0.03

    def of_difference(self, clips: int) -> float:
        """Return the standard deviation of one seed's difference of two arms."""
        return math.sqrt(2.0 * (self.arm_seed**2 + self.cell**2 / clips))

    def of_score(self, clips: int) -> float:
        """Return the standard deviation of one arm's score from seed to seed."""
        return math.sqrt(self.seed**2 + self.arm_seed**2 + self.cell**2 / clips)


def draw_table(rng: np.random.Generator, seeds: int, clips: int, noise: Noise, gain: float) -> np.ndarray:
    """Return scores (2 arms, S, K); the first is better by ``gain`` on average."""
    shape = (2, seeds, clips)
    common = 0.4 + rng.normal(0, noise.seed, (1, seeds, 1)) + rng.normal(0, noise.clip, (1, 1, clips))
    own = rng.normal(0, noise.arm_seed, (2, seeds, 1)) + rng.normal(0, noise.arm_clip, (2, 1, clips))
    return common + own + rng.normal(0, noise.cell, shape) + np.array([gain, 0.0]).reshape(2, 1, 1)


def verdict_rates(
    count: int,
    *,
    seeds: int,
    clips: int,
    noise: Noise,
    gain: float,
    margin: float,
    over_clips: bool,
    draw: int,
) -> dict[str, float]:
    """Return the share of each word, and of "not worse" together with "better", over drawn tables."""
    rng = np.random.default_rng(draw)
    words: Counter[str] = Counter()
    for number in range(count):
        table = draw_table(rng, seeds, clips, noise, gain)
        part = {}
        if over_clips:
            difference = table[0] - table[1]
            weights = clip_weights(clips, 100, seed=number)
            found = hierarchical_interval(
                difference.mean(axis=1), weights @ difference.T / clips, clips=clips
            )
            part = {"clip_sd": found.clip_sd, "clip_degrees": found.clip_degrees}
        a, b = table.mean(axis=2)
        words[judge(a, b, margin=margin, **part).word] += 1
    rates = {word: words[word] / count for word in ("better", "not worse", "worse", "undecided")}
    return rates | {
        "proven": rates["better"] + rates["worse"],
        "no loss": rates["better"] + rates["not worse"],
    }


@dataclass(frozen=True, slots=True)
class DrawnCurve:
    """Hold runs of a curve whose truth is known."""

    a: float
    b: float
    c: float
    n: np.ndarray
    score: np.ndarray
    groups: np.ndarray
    is_exponential: bool

    def truth(self, n: float) -> float:
        """Return the score without noise."""
        return self.a - self.b * (math.exp(-n / self.c) if self.is_exponential else n**-self.c)

    def frames(self, score: float) -> float:
        """Return the n that truly reaches a score."""
        share = self.b / (self.a - score)
        return self.c * math.log(share) if self.is_exponential else share ** (1.0 / self.c)

    @property
    def gain(self) -> float:
        """What twice the largest n truly gains."""
        return self.truth(2 * self.n.max()) - self.truth(self.n.max())


def draw_curve(
    rng: np.random.Generator, *, noise: float | None = None, is_exponential: bool = False
) -> DrawnCurve:
    """Draw plateau, loss, exponent, levels, seeds and noise, all independently of whether the curve saturates."""
    levels, n_max = int(rng.choice([6, 7, 8])), int(rng.choice([400, 800, 1600, 3200]))
    strides = 2 ** np.arange(levels) if rng.random() < 0.5 else np.array([1, 2, 3, 4, 5, 7, 10, 20])[:levels]
    n = np.ceil(n_max / strides)[::-1]
    seeds, sd = int(rng.choice([3, 5])), rng.uniform(0.003, 0.012) if noise is None else noise
    a = rng.uniform(0.25, 0.9)
    first = a * rng.uniform(0.15, 0.9)  # loss at the smallest n
    c = n_max * rng.uniform(0.05, 1.5) if is_exponential else rng.uniform(0.3, 1.5)
    b = first * (math.exp(n[0] / c) if is_exponential else n[0] ** c)
    sizes, groups = np.tile(n, seeds), np.repeat(np.arange(seeds), levels)
    curve = DrawnCurve(a, b, c, sizes, sizes, groups, is_exponential)
    truth = np.array([curve.truth(size) for size in sizes])
    # Half of the variance is common to a seed's runs.
    score = truth + sd * math.sqrt(0.5) * (rng.normal(size=seeds)[groups] + rng.normal(size=len(sizes)))
    return DrawnCurve(a, b, c, sizes, score, groups, is_exponential)


def curve_rates(
    count: int, *, draw: int, draws: int = 200, noise: float | None = None, is_exponential: bool = False
) -> dict[str, float]:
    """Return shares over ``count`` saturating curves and as many others.

    Saturating: twice the largest n truly gains at most half the tolerance; others: at least twice the tolerance. What
    lies between is left out: no runs of this size can tell it from either.
    """
    tolerance = 0.01
    rng = np.random.default_rng(draw)
    found: dict[str, list[bool]] = {
        name: []
        for name in ("n of target", "n covered", "saturated", "not saturated", "gain covered", "misfit told")
    }
    while min(len(found["saturated"]), len(found["not saturated"])) < count:
        drawn = draw_curve(rng, noise=noise, is_exponential=is_exponential)
        is_flat, is_steep = drawn.gain <= tolerance / 2, drawn.gain >= 2 * tolerance
        full = len(found["saturated"]) >= count if is_flat else len(found["not saturated"]) >= count
        if full or not (is_flat or is_steep):
            continue
        curve = fit_learning_curve(
            drawn.n, drawn.score, groups=drawn.groups, seed=len(found["gain covered"]), draws=draws
        )
        found["misfit told"].append(curve.has_misfit)
        found["gain covered"].append(curve.gain_interval[0] <= drawn.gain <= curve.gain_interval[1])
        if is_steep:
            found["not saturated"].append(curve.state == "not saturated")
            continue
        found["saturated"].append(curve.state == "saturated")
        target = drawn.truth(drawn.n.max()) - 0.02
        truth = max(drawn.frames(target), drawn.n.min())
        advice = frames_for(curve, target)
        found["n of target"].append(advice.n is not None and truth / 1.5 <= advice.n <= truth * 1.5)
        low, high = (math.inf if end is None else end for end in (advice.low, advice.high))
        found["n covered"].append(low <= math.ceil(truth) and truth <= high)
    return {name: sum(values) / len(values) for name, values in found.items()}

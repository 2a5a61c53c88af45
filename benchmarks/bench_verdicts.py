"""Verdicts: how often they are wrong on drawn tables of scores whose truth is known, against other intervals.

Tables have 3 or 5 seeds and 8 to 32 test clips. Scores share what common random numbers share: the seed's effect and
the clip's difficulty; each arm adds its own effect of seed (sd .007) and of cell (sd .03), in the last rows of clip
too (sd .03: clips that favour one arm, which seeds cannot show). Nothing was tuned on these draws.

- A/A: one arm under two names; "better" or "worse" is wrong.
- loss of the margin: the mean difference is -margin; "not worse" or "better" is wrong.
- gain of 2 sd: the mean difference is 2 standard deviations of one seed's paired difference; "better" is right. The
  same is printed for 2 standard deviations of one arm's score, with the seeds' common effect (which pairing removes)
  and where arms have nothing in common: there 2 sd of a score is 1.4 sd of a difference.

Beside: the percentile bootstrap over seeds that many reports use, and the unpaired normal interval (1.96 standard
errors).
"""

from __future__ import annotations

import math
import sys
import time
from pathlib import Path

import numpy as np

import _measure

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

from helpers.drawn_runs import Noise, draw_table, verdict_rates

TABLES = 1000
MANY = 3000
"""What decides: the chance error of a rate of 5 % is 0.7 % over 1,000 tables, 0.4 % over 3,000."""


def other_rates(seeds: int, clips: int, noise: Noise, count: int) -> dict[str, float]:
    """Return how often other intervals call one arm under two names better or worse."""
    rng = np.random.default_rng(1)
    wrong = {"percentile": 0, "normal": 0}
    for _ in range(count):
        a, b = draw_table(rng, seeds, clips, noise, 0.0).mean(axis=2)
        means = (a - b)[rng.integers(seeds, size=(1000, seeds))].mean(axis=1)
        low, high = np.quantile(means, [0.025, 0.975])
        wrong["percentile"] += not low <= 0.0 <= high
        error = math.sqrt((a.var(ddof=1) + b.var(ddof=1)) / seeds)
        wrong["normal"] += abs(a.mean() - b.mean()) > 1.96 * error
    return {name: value / count for name, value in wrong.items()}


def main() -> None:
    """Print the rates against the bars."""
    _measure.print_header("verdicts on drawn tables", f"{TABLES} and {MANY} drawn tables a row")
    begin = time.process_time()
    claims: dict[str, bool] = {}
    head = f"{'seeds':>5} {'clips':>5} {'judged over':>12} {'own clips':>9}"
    print(
        f"{head} {'A/A 1,000':>10} {'A/A 3,000':>10} {'loss=margin':>12} {'gain 2 sd':>10} {'(not worse)':>11}"
    )
    for arm_clip in (0.0, 0.03):
        for seeds in (3, 5):
            for clips in (8, 16, 32):
                for over_clips in (False, True):
                    if arm_clip and not over_clips:
                        continue
                    noise = Noise(arm_clip=arm_clip)
                    common = {"seeds": seeds, "clips": clips, "noise": noise, "over_clips": over_clips}
                    sd = noise.of_difference(clips)
                    margin = 2.0 * math.hypot(sd, arm_clip * math.sqrt(2 * seeds / clips))
                    few = verdict_rates(TABLES, **common, gain=0.0, margin=0.01, draw=1)["proven"]
                    many = verdict_rates(MANY, **common, gain=0.0, margin=0.01, draw=2)["proven"]
                    loss = verdict_rates(MANY, **common, gain=-margin, margin=margin, draw=3)["no loss"]
                    gain = verdict_rates(TABLES, **common, gain=2.0 * sd, margin=0.01, draw=4)
                    row = f"{seeds:>5} {clips:>5} {'clips' if over_clips else 'these clips':>12} {arm_clip:>9.2f}"
                    print(
                        f"{row} {few:>10.3f} {many:>10.3f} {loss:>12.3f} {gain['better']:>10.3f} "
                        f"{gain['not worse']:>11.3f}",
                        flush=True,
                    )
                    name = f"{seeds} seeds, {clips} clips, {'clips' if over_clips else 'seeds'}, {arm_clip}"
                    claims[f"A/A {name}"] = many <= 0.06
                    claims[f"loss of the margin {name}"] = loss <= 0.06
                    if seeds == 5 and not arm_clip:
                        claims[f"gain of 2 sd {name}"] = gain["better"] >= 0.75
    print("\ngain of 2 sd of one arm's score, 5 seeds, 16 clips, judged on these clips:")
    plain = {"seeds": 5, "clips": 16, "margin": 0.01, "over_clips": False, "draw": 5}
    for words, noise in (("arms share their seeds", Noise()), ("arms share nothing", Noise(seed=0.0))):
        found = verdict_rates(TABLES, **plain, noise=noise, gain=2.0 * noise.of_score(16))
        print(f"    {words:<24} better {found['better']:.3f}, not worse {found['not worse']:.3f}")
    print("\nother intervals, A/A, 16 clips (ours: paired t):")
    for seeds in (3, 5):
        ours = verdict_rates(
            MANY, seeds=seeds, clips=16, noise=Noise(), gain=0.0, margin=0.01, over_clips=False, draw=2
        )["proven"]
        others = other_rates(seeds, 16, Noise(), 2000)
        print(
            f"    {seeds} seeds: ours {ours:.3f}, percentile bootstrap over seeds {others['percentile']:.3f}, "
            f"unpaired normal {others['normal']:.3f}"
        )
    print(f"\n{time.process_time() - begin:.0f} CPU-s")
    _measure.judge(claims)


if __name__ == "__main__":
    main()

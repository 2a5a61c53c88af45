"""What floors over time and scenes change: plain farthest point against the default of `evfr select --method farthest`.

Run: python benchmarks/bench_floors.py

Two inputs. (1) Drawn: ten scenes of 300 rows, nine that hardly move and one that pans fast (random walks of 64
values, speeds 1 and 20). (2) Real: the clip interleaved_scenes.264 (1,700 frames, about 240 scenes), grey thumbnails,
where EVFR_DATA is set. For plain farthest point, the default, uniform and random: the share of picks in the fastest
scene, how many scenes have none, and the covering radius over all rows and over the worst quiet scene. No figure here
says what a model learns from the frames.
"""

from __future__ import annotations

import itertools
import os
from pathlib import Path

import numpy as np

from evfr.sampling import Constraints, coverage, sample, time_cells


def drawn(seed: int) -> tuple[np.ndarray, list[int]]:
    rng = np.random.default_rng(seed)
    rows, cuts = [], []
    for scene in range(10):
        speed = 20.0 if scene == 4 else 1.0
        start = rng.normal(size=64) * 60
        rows.append(start + rng.normal(size=(300, 64)).cumsum(axis=0) * speed / 8)
        cuts.append(300 * scene)
    return np.concatenate(rows).astype(np.float32), cuts[1:]


def real() -> tuple[np.ndarray, list[int]] | None:
    path = Path(os.environ.get("EVFR_DATA", "../shared/data")) / "video" / "interleaved_scenes.264"
    if not path.exists():
        return None
    import evfr
    from evfr.embeddings import make_embedder
    from evfr.video import frames

    cuts = evfr.score(path, signals=["difference"]).videos[0].cuts.tolist()
    return make_embedder("thumbnail")(frame.image for frame in frames(path)), cuts


def picks(rows: np.ndarray, cuts: list[int], n: int, method: str) -> np.ndarray:
    if method in ("uniform", "random"):
        return sample(method, np.ones(len(rows)), n).indices
    cells = time_cells(len(rows), n // 2, cuts=cuts) if method == "default" else ()
    return sample("farthest", rows, n, constraints=Constraints(cells=cells)).indices


def report(title: str, rows: np.ndarray, cuts: list[int], n: int) -> None:
    bounds = np.array([0, *cuts, len(rows)])
    lengths = [
        np.linalg.norm(np.diff(rows[a:b], axis=0), axis=1).sum() for a, b in itertools.pairwise(bounds)
    ]
    fastest = int(np.argmax(lengths))
    print(f"\n{title}: {len(rows)} rows, {len(lengths)} scenes, n = {n}")
    print("method    fastest scene   scenes without   radius, all   worst radius, other scenes")
    for method in ("farthest", "default", "uniform", "random"):
        chosen = picks(rows, cuts, n, method)
        held = np.histogram(chosen, bounds)[0]
        nearest = np.full(len(rows), np.inf)
        for i in chosen:
            nearest = np.minimum(nearest, np.linalg.norm(rows - rows[i], axis=1))
        # Within its own scene: what a quiet scene has of its own.
        worst = 0.0
        for k, (a, b) in enumerate(itertools.pairwise(bounds)):
            if k != fastest:
                worst = max(worst, float(nearest[a:b].max()))
        whole = coverage(rows, chosen, limit=len(rows)).radius
        print(
            f"{method:<9} {held[fastest] / n:>13.0%} {int((held == 0).sum()):>16} {whole:>13.3g} {worst:>28.3g}"
        )


def main() -> None:
    for seed in range(3):
        report(f"drawn, seed {seed}", *drawn(seed), n=100)
    found = real()
    if found is not None:
        for n in (300, 500):
            report("interleaved_scenes.264, thumbnails", *found, n=n)


if __name__ == "__main__":
    main()

"""One selection over many videos from small pools, against the central selection over all rows, in the same run."""

from __future__ import annotations

import itertools
import time

import numpy as np

import _measure
from evfr.sampling import cut_pools, facility, facility_objective, farthest, merge_pools, pool_rows

WIDTH = 384
SHARE = 0.03


def videos(count: int, frames: int, seed: int = 0) -> list[np.ndarray]:
    """Return unit rows of videos that walk through scenes, most of them shared with other videos."""
    rng = np.random.default_rng(seed)
    bank = rng.normal(size=(max(4, count // 3), WIDTH))
    out = []
    for _ in range(count):
        rows = np.empty((frames, WIDTH), np.float32)
        cuts = np.unique(np.r_[0, rng.integers(1, frames, rng.integers(1, 6)), frames])
        for begin, stop in itertools.pairwise(cuts):
            place = bank[rng.integers(len(bank))] + rng.normal(size=WIDTH) * 0.2
            speed = rng.choice([0.0, 0.02, 0.06, 0.15])
            rows[begin:stop] = place + np.cumsum(rng.normal(size=(stop - begin, WIDTH)) * speed, axis=0)
            rows[begin:stop] += rng.normal(size=(stop - begin, WIDTH)) * 0.01
        out.append(rows / np.linalg.norm(rows, axis=1, keepdims=True))
    return out


def radius(rows: np.ndarray, picks: np.ndarray) -> float:
    """Return the largest Euclidean distance of a unit row to its nearest pick."""
    nearest = np.concatenate([(rows[k : k + 4000] @ picks.T).max(axis=1) for k in range(0, len(rows), 4000)])
    return float(np.sqrt(max(0.0, 2 - 2 * float(nearest.min()))))


def main() -> None:
    """Measure, print, and fail where a limit does not hold."""
    _measure.print_header(
        "Global selection from pools", f"videos with shared scenes, D = {WIDTH}, unit rows, seed 0"
    )
    claims = {}
    for count, frames, n in ((40, 1000, 100), (200, 1000, 200), (200, 1000, 1000)):
        clips = videos(count, frames)
        rows = np.concatenate(clips)
        begin = np.arange(count) * frames
        size = int(SHARE * len(rows))
        print(f"{count} videos of {frames} frames, n = {n}, pools of {size} rows ({SHARE:.0%})")
        for method, metric in (("farthest", "euclidean"), ("facility", "cosine")):
            clock = [time.process_time()]
            if method == "farthest":
                central = farthest(rows, n, start="mean").indices
            else:
                mode = "exact" if len(rows) <= 50_000 else "sparse"
                central = facility(rows, n, mode=mode).indices
            clock.append(time.process_time())
            pools = [pool_rows(clip, frames // 10, method=method, metric=metric) for clip in clips]
            vectors = [clip[pool.order] for clip, pool in zip(clips, pools, strict=True)]
            clock.append(time.process_time())
            merged = merge_pools(*cut_pools(pools, vectors, size), n)
            clock.append(time.process_time())
            picks = begin[merged.pool] + merged.row
            if method == "farthest":
                a, b = radius(rows, rows[central]), radius(rows, rows[picks])
                told = (
                    f"covering radius {b:.4f} against {a:.4f}: {b / a:.3f}x (bound {merged.radius_bound:.4f})"
                )
                claims[f"{count} videos, n = {n}: covering radius <= 1.15x"] = b <= 1.15 * a
            else:
                a, b = facility_objective(rows, central), facility_objective(rows, picks)
                told = f"objective {b:.1f} against {a:.1f} ({mode}): {b / a:.4f}"
                claims[f"{count} videos, n = {n}: objective >= .99"] = b >= 0.99 * a
            seconds = np.diff(clock)
            print(f"{method:>10}: {told}")
            print(f"{'':>10}  central {seconds[0]:.1f} s; pools {seconds[1]:.1f} s, merge {seconds[2]:.2f} s")
    _measure.judge(claims)


if __name__ == "__main__":
    main()

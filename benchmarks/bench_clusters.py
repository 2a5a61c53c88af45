"""k-means, k-medoids, optimal stretches and near-duplicates: time, memory and objective against what a user would pick.

Data: a video-like walk of unit steps in scenes, float32 (float16 for near-duplicates). k-means is compared with
``faiss.Kmeans`` (as many iterations, all rows), k-medoids with the ``kmedoids`` package (FasterPAM in Rust, same first
medoids, so that the swaps are the same), near-duplicates with an exhaustive float32 product per row. ``--large`` adds
the rows at a million.
"""

from __future__ import annotations

import resource
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np

import _measure
from evfr.sampling import _kmedoids_kernels as kernels
from evfr.sampling import dedup, distances, kmeans, kmedoids, segment_medoid

DIMENSION = 384


def walk(count: int, seed: int = 0, noise: float = 0.02) -> np.ndarray:
    """Return scenes of 500 rows: a centre each, a slow walk around it, and noise of each frame."""
    rng = np.random.default_rng(seed)
    rows = np.empty((count, DIMENSION), np.float32)
    for start in range(0, count, 500):
        size = min(500, count - start)
        path = rng.normal(0, 0.05, (size, DIMENSION)).cumsum(axis=0)
        rows[start : start + size] = rng.normal(size=DIMENSION) + path
        rows[start : start + size] += rng.normal(0, noise * DIMENSION**0.5, (size, DIMENSION))
    return rows


def timed(function: Callable[[], Any]) -> tuple[Any, float]:
    """Return what a call returns, and its CPU seconds."""
    begin = time.process_time()
    result = function()
    return result, time.process_time() - begin


def peak() -> str:
    """Return the largest memory the process has had so far."""
    return f"{resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20:.2f} GB at most so far"


def mean_squared(rows: np.ndarray, picks: np.ndarray) -> float:
    """Return the mean squared distance of rows to the nearest pick, by products in blocks."""
    others = rows[picks]
    squares = (others.astype(np.float64) ** 2).sum(axis=1)
    total = 0.0
    for start in range(0, len(rows), 4096):
        block = rows[start : start + 4096]
        value = squares - 2.0 * (block @ others.T) + (block.astype(np.float64) ** 2).sum(axis=1)[:, None]
        total += float(np.maximum(value.min(axis=1), 0.0).sum())
    return total / len(rows)


def bench_kmeans() -> dict[str, bool]:
    """Time k-means with 100,000 rows and 1,000 clusters, and compare the picks with faiss's."""
    import faiss

    rows, n = walk(100_000), 1_000
    sample, seconds = timed(lambda: kmeans(rows, n))
    print(f"kmeans 100k x {DIMENSION}, n = {n}: {seconds:.1f} s; {peak()}")
    model = faiss.Kmeans(DIMENSION, n, niter=20, seed=1, max_points_per_centroid=10**9)
    _, other = timed(lambda: model.train(rows))
    index = faiss.IndexFlatL2(DIMENSION)
    index.add(rows)
    theirs = np.unique(index.search(model.centroids, 1)[1])
    own, faiss_own = mean_squared(rows, sample.indices), mean_squared(rows, theirs)
    print(
        f"  faiss.Kmeans, 20 iterations: {other:.1f} s ({other / seconds:.2f} x ours), {len(theirs)} distinct rows"
    )
    print(f"  mean squared distance to the nearest pick: {own:.4f}, theirs {faiss_own:.4f}")
    rng_rows = np.random.default_rng(0).choice(len(rows), n, replace=False)
    print(f"  random rows: {mean_squared(rows, rng_rows):.4f}")
    return {
        "kmeans <= 60 s": seconds <= 60.0,
        "kmeans: n distinct rows": len(np.unique(sample.indices)) == n,
        "kmeans within 2 % of faiss's objective": own <= 1.02 * faiss_own,
    }


def bench_kmedoids() -> dict[str, bool]:
    """Time FasterPAM on equal matrices, and the whole call."""
    import kmedoids as package

    claims = {}
    for count, n in ((2_000, 50), (5_000, 200)):
        rows = walk(count)
        matrix = distances(rows, rows).astype(np.float32)
        first = np.sort(np.random.default_rng(0).choice(count, n, replace=False))
        own, weights, none = first.copy(), np.ones(count), np.full(count, np.inf)
        (total, _), seconds = timed(
            lambda m=matrix, o=own, w=weights, f=none: kernels.faster_pam(m, w, f, o, 100)
        )
        theirs, other = timed(
            lambda m=matrix, o=first: package.fasterpam(m, o.astype(np.uint64), max_iter=100, n_cpu=1)
        )
        print(
            f"FasterPAM {count}, n = {n}: swaps {seconds:.2f} s, kmedoids package {other:.2f} s; sum {total:.2f}"
        )
        claims[f"FasterPAM {count}: the package's sum"] = abs(total / float(theirs.loss) - 1.0) < 1e-6
    for count, n, mode in ((10_000, 200, "exact"), (100_000, 500, "sampled")):
        rows = walk(count)
        sample, seconds = timed(lambda r=rows, k=n, m=mode: kmedoids(r, k, mode=m))
        print(f"kmedoids {count}, n = {n}, {mode}: {seconds:.1f} s; {sample.notes[-1]}; {peak()}")
    return claims


def bench_stretches() -> None:
    """Time the dynamic programme, and show what it gains over evenly spread picks."""
    for count, n in ((1_000, 50), (4_000, 100), (8_000, 100)):
        rows = walk(count)
        sample, seconds = timed(lambda r=rows, k=n: segment_medoid(r, k))
        print(f"segment-medoid {count}, n = {n}: {seconds:.1f} s; {sample.notes[-1]}; {peak()}")


def bench_dedup(*, is_large: bool) -> dict[str, bool]:
    """Time near-duplicates of rows and hashes, and compare with an exhaustive search per row."""
    claims = {}
    rows = walk(10_000, noise=0.004).astype(np.float16)
    own, seconds = timed(lambda: dedup(rows, 0.05))
    unit = rows.astype(np.float32)
    unit /= np.linalg.norm(unit, axis=1, keepdims=True)

    def by_hand() -> np.ndarray:
        kept = np.empty_like(unit)
        picks: list[int] = []
        for i, row in enumerate(unit):
            if not len(picks) or (kept[: len(picks)] @ row).max() < 0.95:
                kept[len(picks)] = row
                picks.append(i)
        return np.array(picks)

    theirs, other = timed(by_hand)
    same = len(np.intersect1d(own.kept, theirs)) / len(own.kept)
    print(
        f"dedup 10k x {DIMENSION}: {seconds:.2f} s, {len(own)} kept; numpy per row {other:.2f} s, {same:.4f} the same"
    )
    claims["dedup: as numpy by hand"] = same > 0.999
    sizes = [100_000, 1_000_000] if is_large else [100_000]
    for count in sizes:
        rows = walk(count, noise=0.004).astype(np.float16)
        times = np.arange(count) / 25.0
        for threshold in (0.02, 0.05):
            own, seconds = timed(lambda r=rows, t=threshold: dedup(r, t))
            print(f"dedup {count} x {DIMENSION} <= {threshold}: {seconds:.1f} s, {len(own)} kept; {peak()}")
        own, seconds = timed(lambda r=rows, t=times: dedup(r, 0.02, times=t, window_seconds=10.0))
        print(f"dedup {count} x {DIMENSION} <= 0.02 within 10 s: {seconds:.1f} s, {len(own)} kept; {peak()}")
    rng = np.random.default_rng(0)
    hashes = np.repeat(rng.integers(0, 2**64, 200_000, dtype=np.uint64), 5)
    hashes ^= np.uint64(1) << rng.integers(0, 64, 1_000_000, dtype=np.uint64)
    for limit in (2, 6, 10):
        own, seconds = timed(lambda h=hashes, k=limit: dedup(h, k, metric="hamming"))
        print(f"dedup 1M hashes <= {limit} bits: {seconds:.1f} s, {len(own)} kept")
        claims[f"dedup 1M hashes <= {limit} bits within 60 s"] = seconds <= 60.0
    return claims


def warm_up() -> None:
    """Compile the kernels on a few rows."""
    rows = walk(300)
    kmeans(rows, 5)
    kmedoids(rows, 5)
    segment_medoid(rows, 5)
    times = np.arange(300.0)
    for some in (rows, rows.astype(np.float16)):
        dedup(some, 0.1)
        dedup(some, 0.1, times=times, window_seconds=3)
    dedup(np.arange(300, dtype=np.uint64), 2, metric="hamming")
    matrix = distances(rows, rows).astype(np.float32)
    kernels.faster_pam(matrix, np.ones(300), np.full(300, np.inf), np.arange(5), 1)


def main() -> None:
    """Measure, check, print, and fail where a limit does not hold."""
    _measure.print_header(
        "Clusters and near-duplicates", "video-like walks", of_turns="one run, not the median"
    )
    warm_up()
    claims = bench_kmeans()
    claims |= bench_kmedoids()
    bench_stretches()
    claims |= bench_dedup(is_large="--large" in sys.argv)
    _measure.judge(claims)


if __name__ == "__main__":
    main()

"""Exact farthest point against what a user would run instead, with the same picks checked in the same run.

    python benchmarks/bench_farthest.py            # N = 100,000 and 1,000,000; about half an hour and 6 GB
    python benchmarks/bench_farthest.py --quick    # a tenth of the rows; no limits

Rows are a walk with cuts: scenes of 300 frames on average around a random centre, a random walk inside each, and
noise on each frame, in 384 dimensions whose variance falls as 1 / k. The others pick in float32, so their picks are
compared with ours up to the first tie that float32 cannot tell.
"""

from __future__ import annotations

import argparse
import resource
import time
from collections.abc import Callable
from importlib.util import find_spec
from typing import Any

import numpy as np
from numba import njit

import _measure
from evfr.sampling import farthest_order

D = 384


def video_walk(n: int, seed: int = 0) -> np.ndarray:
    """Draw n rows that move like the embeddings of a video with cuts."""
    rng = np.random.default_rng(seed)
    scale = (1.0 + np.arange(D, dtype=np.float32)) ** np.float32(-0.5)
    rows = rng.standard_normal((n, D), np.float32)
    start = 0
    while start < n:
        stop = min(n, start + 1 + int(rng.exponential(300)))
        scene = rows[start:stop]
        noise = rng.standard_normal(scene.shape, np.float32) * np.float32(0.02)
        centre = rng.standard_normal(D, np.float32) * scale
        speed = np.float32(0.05 * np.exp(0.7 * rng.standard_normal()))
        np.cumsum(scene * (scale * speed), axis=0, out=scene)
        scene += centre + noise
        start = stop
    return rows


def gaussian(n: int) -> np.ndarray:
    """Draw n rows of length 1 in random directions: nothing is near anything, so that no bound helps."""
    rows = np.random.default_rng(0).standard_normal((n, D), np.float32)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    return rows


@njit(nogil=True, fastmath=True)
def _fused(rows, pick, nearest):
    best, top = 0, np.float32(-1.0)
    for i in range(len(rows)):
        total = np.float32(0.0)
        for k in range(rows.shape[1]):
            difference = rows[i, k] - rows[pick, k]
            total += difference * difference
        if total < nearest[i]:
            nearest[i] = total
        if nearest[i] > top:
            top, best = nearest[i], i
    return best


def fused_loop(rows: np.ndarray, n: int) -> list[int]:
    """Relax all rows after each pick, distance, minimum and maximum in one compiled float32 loop."""
    nearest = np.full(len(rows), np.inf, np.float32)
    picks = [0]
    while len(picks) < n:
        picks.append(_fused(rows, picks[-1], nearest))
    return picks


def gemv_loop(rows: np.ndarray, n: int) -> list[int]:
    """Relax all rows after each pick by numpy: |x|^2 - 2 x.p + |p|^2 by one matrix-vector product."""
    squares = np.einsum("ij,ij->i", rows, rows)
    nearest = np.full(len(rows), np.inf, np.float32)
    picks = [0]
    while len(picks) < n:
        p = picks[-1]
        np.minimum(nearest, squares - 2 * (rows @ rows[p]) + squares[p], out=nearest)
        nearest[p] = -1
        picks.append(int(np.argmax(nearest)))
    return picks


def float64_loop(rows: np.ndarray, n: int) -> list[int]:
    """Relax all rows after each pick by numpy in float64: what our picks are defined by."""
    wide = rows.astype(np.float64)
    nearest = np.full(len(rows), np.inf)
    picks = [0]
    while len(picks) < n:
        np.minimum(nearest, ((wide - wide[picks[-1]]) ** 2).sum(axis=1), out=nearest)
        nearest[picks[-1]] = -1
        picks.append(int(np.argmax(nearest)))
    return picks


def faiss_loop(rows: np.ndarray, n: int) -> list[int]:
    """Search the whole index for each pick, as EVFR's farthest point does: all N distances, sorted by faiss."""
    import faiss

    faiss.omp_set_num_threads(1)
    index = faiss.IndexFlatL2(D)
    index.add(rows)
    nearest = np.full(len(rows), np.inf, np.float32)
    picks = [0]
    while len(picks) < n:
        found, ids = index.search(rows[picks[-1] : picks[-1] + 1], len(rows))
        nearest[ids[0]] = np.minimum(nearest[ids[0]], found[0])
        nearest[picks[-1]] = -1
        picks.append(int(np.argmax(nearest)))
    return picks


def mundig(rows: np.ndarray, n: int) -> list[int]:
    """Run the diversity selection of LightlyStudio's Rust core, from row 0."""
    import lightly_mundig

    selection = lightly_mundig.Selection()
    selection.add_diversifying_strategy(rows, 1.0)
    picked = selection.run_selection([0], len(rows), n)
    return [0, *(int(i) for i in picked if i != 0)][:n]


def ours(rows: np.ndarray, n: int) -> list[int]:
    """Run the library, from row 0."""
    return farthest_order(rows, n, start=0)[0].tolist()


def cpu(function: Callable[..., Any], *arguments: Any, turns: int = 1) -> tuple[float, Any]:
    """Return the least CPU seconds of some turns, and the result."""
    best, result = np.inf, None
    for _ in range(turns):
        begin = time.process_time()
        result = function(*arguments)
        best = min(best, time.process_time() - begin)
    return best, result


def twenty_times(function: Callable[..., Any], *arguments: Any) -> Any:
    """Repeat what is too short for the clock."""
    return [function(*arguments) for _ in range(20)][-1]


def agreement(a: list[int], b: list[int]) -> str:
    """Say whether two orders are equal, or up to where."""
    same = next((k for k, (i, j) in enumerate(zip(a, b, strict=False)) if i != j), min(len(a), len(b)))
    if same == len(a) == len(b):
        return "same picks"
    return f"same up to pick {same}; {len(set(a) & set(b))} of {len(a)} in common"


def main() -> None:
    """Measure, compare the picks, print the table, and fail where a limit does not hold."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="a tenth of the rows, without limits")
    parser.add_argument("--rows", type=int, help="rows of the comparisons; 100,000 by default")
    parser.add_argument("--large", type=int, help="rows of the large runs, 0 for none; 1,000,000 by default")
    given = parser.parse_args()
    n_rows = given.rows or (10_000 if given.quick else 100_000)
    large = given.large if given.large is not None else (100_000 if given.quick else 1_000_000)
    n = 1000
    _measure.print_header("Farthest point", f"{D} dimensions, float32, first pick row 0", of_turns="least")
    claims: dict[str, bool] = {}
    warm = video_walk(3000)
    for function in (ours, fused_loop):
        function(warm, 300)
    farthest_order(warm, 10, start=0)

    rows = video_walk(n_rows)
    own, picks = cpu(ours, rows, n, turns=3)
    print(f"walk, N = {n_rows}, n = {n}: evfr {own:.2f} s")
    rivals: list[tuple[str, Callable[..., Any], float, int]] = [
        ("fused numba loop", fused_loop, 6.0, n),
        ("numpy GEMV loop", gemv_loop, 15.0, n),
        ("numpy float64 loop", float64_loop, 15.0, 50),
        ("faiss search per centre", faiss_loop, 50.0, 50),
        ("lightly-mundig", mundig, 3.0, n),
    ]
    for name, rival, limit, count in rivals:
        if (name.startswith("faiss") and find_spec("faiss") is None) or (
            name.startswith("lightly") and find_spec("lightly_mundig") is None
        ):
            print(f"  {name:>24}: not installed")
            continue
        seconds, other = cpu(rival, rows, count)
        # Each pick costs these loops the same, so a few tell; the first is free.
        seconds *= (n - 1) / (count - 1)
        scaled = f", from {count} picks" if count != n else ""
        print(
            f"  {name:>24}: {seconds:8.2f} s = {seconds / own:6.1f}x ({agreement(other, picks[:count])}{scaled})"
        )
        claims[f"walk, {name} >= {limit:g}x"] = seconds / own >= limit

    rows = gaussian(n_rows)
    own, picks = cpu(ours, rows, n, turns=3)
    seconds, other = cpu(fused_loop, rows, n)
    print(f"Gaussian of length 1, N = {n_rows}, n = {n}: evfr {own:.2f} s")
    print(f"  {'fused numba loop':>24}: {seconds:8.2f} s = {seconds / own:6.1f}x ({agreement(other, picks)})")
    claims["Gaussian, fused numba loop >= 5x"] = seconds / own >= 5

    for small in (100, 1000):
        rows = video_walk(small)
        own, picks = cpu(twenty_times, ours, rows, 10, turns=3)
        seconds, other = cpu(twenty_times, float64_loop, rows, 10, turns=3)
        print(
            f"N = {small}, n = 10: evfr {own / 20 * 1e3:.2f} ms, numpy float64 loop "
            f"{seconds / 20 * 1e3:.2f} ms = {seconds / own:.1f}x ({agreement(other, picks)})"
        )
        claims[f"N = {small}, never slower than the plain loop"] = seconds >= own

    if large:
        del rows
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        rows = video_walk(large)
        loaded = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        for count, limit in ((n, 10.0), (large // 20, 150.0)):
            seconds, _ = cpu(ours, rows, count)
            peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
            print(
                f"walk, N = {large}, n = {count}: {seconds:.1f} s; the rows take {rows.nbytes >> 20} MB, "
                f"peak {peak >> 10} MB in all ({max(before, loaded) >> 10} MB before)"
            )
            claims[f"walk, N = {large}, n = {count}: <= {limit:g} s"] = seconds <= limit
    if given.quick:
        print("\nquick: limits are not checked")
        return
    _measure.judge(claims)


if __name__ == "__main__":
    main()

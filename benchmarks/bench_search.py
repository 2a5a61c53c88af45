"""Nearest neighbours: exact scan, inverted lists and graph against numpy's products and a plain faiss index.

Rows are unit vectors as float16: a random walk per video of 1000 frames (neighbours are alike, as in video) and, with
``--data gauss``, Gaussian ones, the worst case for any index. Queries are rows with noise. The exact scan must find
what numpy finds in float64 on the candidates; recall is the share of the exact 10 nearest that an index finds.

    python benchmarks/bench_search.py [--rows 200000] [--dimension 384] [--queries 100] [--data walk|gauss]
"""

from __future__ import annotations

import argparse
import resource
import time
from collections.abc import Callable
from importlib.metadata import version

import numpy as np

from _measure import judge, print_header
from evfr.embeddings._neighbours import build_index, search

K = 10


def drawn(rows: int, dimension: int, data: str) -> np.ndarray:
    """Return unit rows as float16, videos of 1000 frames one after another."""
    rng = np.random.default_rng(0)
    parts = []
    for start in range(0, rows, 1000):
        part = rng.standard_normal((min(1000, rows - start), dimension), dtype=np.float32)
        if data == "walk":
            part *= 0.05
            part[0] *= 20
            np.cumsum(part, axis=0, out=part)
        part /= np.linalg.norm(part, axis=1, keepdims=True)
        parts.append(part.astype(np.float16))
    return np.concatenate(parts)


def timed(action: Callable[[], object]) -> tuple[float, object]:
    """Return CPU seconds and the result."""
    begin = time.process_time()
    result = action()
    return time.process_time() - begin, result


def by_numpy(vectors: np.ndarray, queries: np.ndarray) -> np.ndarray:
    """Return the nearest rows by one float32 matrix product per block of rows, as one would write it."""
    best = np.full((len(queries), 0), 0.0, np.float32)
    rows = np.zeros((len(queries), 0), np.int64)
    unit = queries / np.linalg.norm(queries, axis=1, keepdims=True)
    for start in range(0, len(vectors), 16384):
        block = vectors[start : start + 16384].astype(np.float32)
        block /= np.linalg.norm(block, axis=1, keepdims=True)
        best = np.concatenate([best, unit @ block.T], axis=1)
        rows = np.concatenate(
            [rows, np.broadcast_to(np.arange(start, start + len(block)), (len(queries), len(block)))], axis=1
        )
        keep = np.argpartition(-best, K, axis=1)[:, :K]
        best, rows = np.take_along_axis(best, keep, 1), np.take_along_axis(rows, keep, 1)
    return rows


def main() -> None:
    """Parse the options, run every kind, judge."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rows", type=int, default=200_000)
    parser.add_argument("--dimension", type=int, default=384)
    parser.add_argument("--queries", type=int, default=100)
    parser.add_argument("--data", choices=["walk", "gauss"], default="walk")
    parser.add_argument("--kinds", nargs="+", default=["exact", "ivf", "hnsw"])
    options = parser.parse_args()
    print_header(
        "Nearest neighbours", f"{options.data}, {options.rows} x {options.dimension} float16", of_turns="one"
    )
    print(f"faiss {version('faiss-cpu')}; k = {K}\n")
    vectors = drawn(options.rows, options.dimension, options.data)
    rng = np.random.default_rng(1)
    picked = vectors[rng.integers(0, len(vectors), options.queries)].astype(np.float32)
    noise = rng.standard_normal(picked.shape, dtype=np.float32) * (0.3 / np.sqrt(options.dimension))
    queries = picked + noise
    print(
        f"{'':<10}{'build':>10}{'1 query':>12}{f'{options.queries} queries':>14}{'recall':>9}{'memory':>11}"
    )
    numpy_one, _ = timed(lambda: by_numpy(vectors, queries[:1]))
    numpy_all, plain = timed(lambda: by_numpy(vectors, queries))
    print(f"{'numpy':<10}{'':>10}{numpy_one * 1e3:9.1f} ms{numpy_all:12.2f} s")
    claims = {}
    truth: np.ndarray | None = None
    for kind in options.kinds:
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        build, index = timed(lambda kind=kind: build_index(vectors, kind=kind))  # type: ignore[misc]
        search(index, queries[:1], K)
        one, _ = timed(lambda index=index: search(index, queries[:1], K))  # type: ignore[misc]
        every, found = timed(lambda index=index: search(index, queries, K))  # type: ignore[misc]
        rows = found[0]  # type: ignore[index]
        truth = rows if truth is None else truth
        recall = np.mean(
            [len(set(a) & set(b)) / K for a, b in zip(rows.tolist(), truth.tolist(), strict=True)]
        )
        grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024 - before
        print(
            f"{kind:<10}{build:8.1f} s{one * 1e3:9.1f} ms{every:12.2f} s{recall:9.3f}"
            f"{index.memory_bytes / 1e6:8.0f} MB (peak grew by {grown:.0f} MB)"
        )
        if kind == "exact":
            same = np.mean([set(a) == set(b) for a, b in zip(rows.tolist(), plain.tolist(), strict=True)])  # type: ignore[attr-defined]
            print(f"{'':<10}the same {K} rows as numpy's float32 for {same:.0%} of the queries")
            claims["exact: the rows that numpy finds, but for ties of float32"] = bool(same >= 0.9)
        else:
            claims[f"{kind}: a query is faster than the exact scan"] = one < numpy_one
    judge(claims)


if __name__ == "__main__":
    main()

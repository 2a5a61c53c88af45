"""Vectors in the store: size on disk, time to write, time to gather, against one .npz file per image.

A million vectors of 384 float16 are written as 1000 videos of 1000 frames and as one entry, then gathered into one
array, which is compared with what was written. The .npz way (one compressed file per image, float32, as the library
of the first paper does) is measured on a sample and scaled. Rows are unit vectors: a random walk per video, as
neighbouring frames are alike, or Gaussian, which nothing compresses.

    python benchmarks/bench_store.py [--rows 1000000] [--dimension 384] [--sample 3000] [--data walk|gauss]
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pyarrow as pa

from _measure import judge, print_header
from evfr._core.embedding_set import EmbeddingSet
from evfr._core.store import Store
from evfr._core.vectors import vectors_to_column

MOST_MB, MOST_SECONDS, LEAST_RATIO = 760.0, 10.0, 10.0
PARAMETERS = {
    "name": "drawn",
    "schema": 1,
    "every": None,
    "fps": None,
    "damaged": "drop",
    "embedding_schema": 1,
}


def drawn(rows: int, dimension: int, seed: int, data: str) -> np.ndarray:
    """Return unit rows as float16."""
    vectors = np.random.default_rng(seed).standard_normal((rows, dimension), dtype=np.float32)
    if data == "walk":
        vectors *= 0.05
        vectors[0] *= 20
        np.cumsum(vectors, axis=0, out=vectors)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors.astype(np.float16)


def write_entry(store: Store, name: str, vectors: np.ndarray) -> None:
    """Write one entry with the columns that `evfr embed` writes."""
    index = np.arange(len(vectors), dtype=np.int64)
    table = pa.table(
        {
            "frame_index": index,
            "pts": index * 512,
            "time_seconds": index / 30.0,
            "embedding": vectors_to_column(vectors),
        }
    )
    store.write(
        store.key(f"hash of {name}", "embedding", PARAMETERS),
        table,
        {"video_id": name, "embedder": {"name": "drawn"}, "model": "drawn", "every": None, "fps": None},
    )


def timed(action: Callable[[], object]) -> tuple[float, float, object]:
    """Return CPU seconds, wall seconds and the result."""
    cpu, wall = time.process_time(), time.perf_counter()
    result = action()
    return time.process_time() - cpu, time.perf_counter() - wall, result


def run(root: Path, parts: list[np.ndarray], title: str, claims: dict[str, bool]) -> float:
    """Write, gather and check one layout; print a row; return CPU seconds per vector written."""
    store = Store(root)
    rows = sum(map(len, parts))

    def write() -> None:
        for number, part in enumerate(parts):
            write_entry(store, f"video{number:05d}.mp4", part)

    write_cpu, write_wall, _ = timed(write)
    size = sum(path.stat().st_size for path in store.files()) / 1e6
    vectors = EmbeddingSet.open(store, memory_mb=0)
    gather_cpu, gather_wall, array = timed(vectors.to_array)
    start = 0
    for part in parts:
        if not np.array_equal(array[start : start + len(part)], part):
            raise SystemExit(f"{title}: what was gathered is not what was written")
        start += len(part)
    del array
    picked = np.random.default_rng(0).integers(0, rows, 20_000)
    unpack_cpu, _, _ = timed(lambda: vectors.rows(picked[:64]))
    pick_cpu, _, _ = timed(lambda: vectors.rows(picked))
    scan_cpu, _, _ = timed(lambda: sum(len(block) for block in vectors.blocks()))
    vectors.remove_cache()
    print(
        f"{title:<24}{size:9.0f} MB{write_cpu:9.1f} s ({write_wall:.1f}){gather_cpu:9.1f} s ({gather_wall:.1f})"
        f"{unpack_cpu:9.1f} s{pick_cpu * 1e3:9.0f} ms{scan_cpu:9.1f} s"
    )
    scale = 1_000_000 * 384 / (rows * parts[0].shape[1])
    claims[f"{title}: at most {MOST_MB:.0f} MB for 1M x 384"] = size * scale <= MOST_MB
    claims[f"{title}: gathered within {MOST_SECONDS:.0f} s"] = gather_cpu * scale <= MOST_SECONDS
    return write_cpu / rows


def main() -> None:
    """Parse the options, run both layouts and the .npz way, judge."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--dimension", type=int, default=384)
    parser.add_argument("--sample", type=int, default=3000)
    parser.add_argument("--data", choices=["walk", "gauss"], default="walk")
    parser.add_argument("--folder", type=Path, help="where to write; by default a temporary folder")
    options = parser.parse_args()
    size = f"{options.rows} x {options.dimension} float16"
    print_header("Vectors in the store", f"{options.data}, {size}", of_turns="one")
    print(f"pyarrow {version('pyarrow')}; wall time in brackets, with fsync of every file\n")
    claims: dict[str, bool] = {}
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        count = max(1, options.rows // 1000)
        parts = [drawn(1000, options.dimension, seed, options.data) for seed in range(count)]
        print(
            f"{'':<24}{'on disk':>12}{'write':>17}{'one array':>17}{'unpack':>11}{'20k rows':>12}{'blocks':>11}"
        )
        each = run(Path(folder) / "many", parts, f"{count} videos x 1000", claims)
        whole = np.concatenate(parts)
        del parts
        run(Path(folder) / "one", [whole], "1 entry", claims)
        images = Path(folder) / "npz"
        images.mkdir()
        sample = whole[: options.sample].astype(np.float32)

        def write_npz() -> None:
            for number, row in enumerate(sample):
                np.savez_compressed(images / f"{number:07d}.npz", embedding=row)

        def read_npz() -> None:
            for number in range(len(sample)):
                with np.load(images / f"{number:07d}.npz") as file:
                    file["embedding"]

        write_cpu, write_wall, _ = timed(write_npz)
        read_cpu, _, _ = timed(read_npz)
        bytes_each = sum(path.stat().st_size for path in images.iterdir()) / len(sample)
        scale = options.rows / len(sample)
        print(
            f"{'one .npz per image *':<24}{bytes_each * options.rows / 1e6:9.0f} MB{write_cpu * scale:9.1f} s"
            f" ({write_wall * scale:.0f}){read_cpu * scale:9.1f} s"
        )
        print(
            f"* measured on {len(sample)} images and scaled; files are counted by their bytes, not by blocks"
        )
        ratio = write_cpu / len(sample) / each
        print(f"\nwriting: {ratio:.1f}x faster than one .npz per image")
        claims[f"writing at least {LEAST_RATIO:.0f}x faster than .npz"] = ratio >= LEAST_RATIO
    judge(claims)


if __name__ == "__main__":
    main()

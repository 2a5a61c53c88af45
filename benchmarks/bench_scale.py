"""What each step costs per frame, from decoding to one selection over a million frames: the figures of docs/scale.md.

    python benchmarks/bench_scale.py [--videos 1000] [--frames 1000] [--n 1000]

Videos are made one at a time, pooled and forgotten, so memory holds the pools only. Storing is measured by
bench_store.py and models on a GPU by bench_embed.py.
"""

from __future__ import annotations

import argparse
import resource
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

import _measure
from evfr.embeddings import make_embedder
from evfr.sampling import cut_pools, facility, farthest, merge_pools, pool_rows, sieve, stream_centres
from evfr.video import open_video

WIDTH, SHARE = 384, 0.03


def videos(count: int, frames: int) -> Iterator[np.ndarray]:
    """Yield unit rows of videos: random walks at several speeds through shared scenes."""
    bank = np.random.default_rng(0).standard_normal((max(4, count // 3), WIDTH), dtype=np.float32)
    for number in range(count):
        rng = np.random.default_rng([1, number])
        rows = rng.standard_normal((frames, WIDTH), dtype=np.float32)
        rows *= np.repeat(rng.choice([0.005, 0.02, 0.06, 0.15], 4), -(-frames // 4))[:frames, None]
        np.cumsum(rows, axis=0, out=rows)
        rows += np.repeat(bank[rng.integers(len(bank), size=4)], -(-frames // 4), axis=0)[:frames]
        yield rows / np.linalg.norm(rows, axis=1, keepdims=True)


def say(step: str, seconds: float, frames: int, extra: str = "") -> None:
    """Print one row: CPU seconds, and microseconds per frame."""
    print(f"{step:<44}{seconds:9.2f} s{seconds / frames * 1e6:11.1f} us a frame  {extra}", flush=True)


def reading() -> None:
    """Measure decoding, and decoding plus learning-free and small embeddings, on real clips and at 720p."""
    data = _measure.data_folder()
    with tempfile.TemporaryDirectory() as folder:
        large = Path(folder) / "720p.mp4"
        _measure.encode_720p(data / "video" / "bikes_cuts.mp4", large)
        for name, path in (("426x240", data / "video" / "bikes_cuts.mp4"), ("1280x720", large)):
            begin = time.process_time()
            with open_video(path) as video:
                size = f"{video.info.width}x{video.info.height}"
                count = sum(1 for _ in video)
            say(
                f"decode, {size} H.264" if size else name,
                time.process_time() - begin,
                count,
                f"{count} frames",
            )
    with open_video(data / "video" / "bikes_cuts.mp4") as video:
        pictures = np.stack([frame.rgb() for frame, _ in zip(video, range(128), strict=False)])
    for model in ("thumbnail", "hsv", "hog", str(data / "weights" / "mobilenetv2_imagenet.onnx")):
        embedder = make_embedder(model)
        embedder(pictures[:2])
        begin = time.process_time()
        embedder(pictures)
        say(
            f"embed on the CPU, {Path(model).stem}",
            time.process_time() - begin,
            len(pictures),
            "without decoding",
        )


def selecting(count: int, frames: int, n: int) -> None:
    """Measure pools of every video, the merges, and the one-pass ways."""
    total, size = count * frames, int(SHARE * count * frames)
    for method, metric in (("farthest", "euclidean"), ("facility", "cosine")):
        pool_rows(next(videos(1, frames)), frames // 10, method=method, metric=metric)
        pools, vectors, seconds = [], [], 0.0
        for rows in videos(count, frames):
            begin = time.process_time()
            pools.append(pool_rows(rows, frames // 10, method=method, metric=metric))
            vectors.append(rows[pools[-1].order].astype(np.float16))
            seconds += time.process_time() - begin
        say(f"pools, {method}, {frames // 10} of {frames}", seconds, total)
        begin = time.process_time()
        merged = merge_pools(*cut_pools(pools, vectors, size), n)
        say(
            f"cut to {SHARE:.0%} and merge, n = {n}",
            time.process_time() - begin,
            total,
            merged.sample.notes[0][:70],
        )
    for name, take in (
        ("sieve, 256 reference rows", lambda blocks: sieve(blocks, 100, reference=256)),
        ("centres of a stream", lambda blocks: stream_centres(blocks, 100)),
    ):
        few = max(1, count // 10)
        begin = time.process_time()
        for rows in videos(few, frames):
            del rows
        making = time.process_time() - begin
        begin = time.process_time()
        sample = take(videos(few, frames))
        say(f"{name}, n = 100", time.process_time() - begin - making, few * frames, sample.notes[0][:90])
    rows = np.concatenate(list(videos(10, 1000)))
    for name, sampler in (("farthest", farthest), ("facility", facility)):
        sampler(rows[:3000], 10)
        begin = time.process_time()
        sampler(rows, 500)
        say(f"{name} on 10,000 rows at once, n = 500", time.process_time() - begin, len(rows))
    print(f"\npeak memory {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6:.2f} GB")


def main() -> None:
    """Parse the options and measure."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--videos", type=int, default=1000)
    parser.add_argument("--frames", type=int, default=1000)
    parser.add_argument("--n", type=int, default=1000)
    options = parser.parse_args()
    _measure.print_header(
        "Cost per step", f"{options.videos} videos x {options.frames} rows of {WIDTH} float32", of_turns="one"
    )
    reading()
    selecting(options.videos, options.frames, options.n)


if __name__ == "__main__":
    main()

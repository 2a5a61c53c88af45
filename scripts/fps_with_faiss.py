"""Choose points that lie far from each other, as EVFR's script of this name does.

python scripts/fps_with_faiss.py                      random points, on the CPU and, if there is one, on the GPU
python scripts/fps_with_faiss.py --npz OUT/*.npz -k 10 --metric cosine
"""

from __future__ import annotations

import argparse
import sys
import time

import numpy as np

from evfr.errors import EvfrError
from evfr.sampling.fps_faiss import FarthestPointSampler


def main() -> None:
    """Sample from files, or from random points by both metrics on both devices."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--npz", nargs="+", default=None, help="files that hold one embedding each")
    parser.add_argument("-k", type=int, default=3, help="how many to choose")
    parser.add_argument("--metric", choices=("L2", "cosine"), default=None, help="by default both")
    parser.add_argument("--device", choices=("cpu", "gpu"), default=None, help="by default both, if there")
    given = parser.parse_args()
    data = np.random.default_rng(0).random((10, 4), np.float32)
    for device in (given.device,) if given.device else ("cpu", "gpu"):
        for metric in (given.metric,) if given.metric else ("L2", "cosine"):
            try:
                sampler = FarthestPointSampler(metric=metric, device=device)
            except EvfrError as error:
                if given.device:
                    raise
                print(f"[{device}-{metric}] left out: {error}")
                continue
            start = time.perf_counter()
            chosen = (
                sampler.sample(points=data, k=given.k)
                if given.npz is None
                else sampler.sample(paths=given.npz, k=given.k)
            )
            seconds = time.perf_counter() - start
            print(f"[{device}-{metric}] selected {chosen.tolist()} in {seconds:.3f} s")
            if given.npz is not None:
                print("\n".join(given.npz[row] for row in chosen))


if __name__ == "__main__":
    try:
        main()
    except (EvfrError, ValueError) as error:
        sys.exit(f"error: {error}")

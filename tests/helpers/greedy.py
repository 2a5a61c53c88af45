"""A plain farthest-point sampler with the keywords that joint selection needs: the definition, nothing else."""

from __future__ import annotations

import numpy as np

from evfr.sampling import Sample


def plain_farthest(embeddings, n, *, seed=0, metric="euclidean", initial=(), usable=None, accept=None):
    rows = np.asarray(embeddings, np.float64)
    free = np.ones(len(rows), bool) if usable is None else usable.copy()
    distance = np.full(len(rows), np.inf)
    for i in initial:
        distance = np.minimum(distance, np.linalg.norm(rows - rows[i], axis=1))
    picks, gains = [], []
    while len(picks) < n:
        best = int(np.argmax(np.where(free, distance, -1.0)))
        assert free[best]
        free[best] = False
        if accept is not None and not accept(best):
            continue
        picks.append(best)
        gains.append(distance[best])
        distance = np.minimum(distance, np.linalg.norm(rows - rows[best], axis=1))
    rank = np.argsort(picks).astype(np.int64)
    return Sample(
        indices=np.array(picks, np.int64)[rank] if picks else np.zeros(0, np.int64),
        inclusion=np.full(n, np.nan),
        rank=rank,
        reasons=("plain_farthest: test",) * n,
        method="plain_farthest",
        gains=np.array(gains, np.float64)[rank] if picks else np.zeros(0),
    )


def every_third(embeddings, n, *, seed=0, metric="euclidean", initial=(), usable=None):
    """Take the first usable rows; not greedy."""
    rows = np.flatnonzero(usable)[:n].astype(np.int64)
    return Sample(rows, np.full(n, np.nan), np.arange(n), ("every_third: test",) * n, method="every_third")

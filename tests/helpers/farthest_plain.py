"""Farthest point as one writes it down: numpy, float64, every distance after every pick."""

from __future__ import annotations

import numpy as np


def keys_to(rows, index, metric, p=3.0):
    """Return what is compared: distances of all rows to one, squared for euclidean and cosine."""
    rows = rows.astype(np.float64)
    if metric == "cosine":
        with np.errstate(invalid="ignore", divide="ignore"):
            rows = rows / np.sqrt((rows * rows).sum(axis=1, keepdims=True))
    difference = np.abs(rows - rows[index])
    if metric == "euclidean":
        return (difference**2).sum(axis=1)
    if metric == "cosine":
        keys = (difference**2).sum(axis=1)
        return np.where(keys <= 1e-28, 0.0, keys)
    if metric == "manhattan":
        return difference.sum(axis=1)
    if metric == "chebyshev":
        return difference.max(axis=1, initial=0.0)
    return (difference**p).sum(axis=1)


def plain_farthest(rows, n, *, first=None, metric="euclidean", p=3.0, initial=(), allowed=None, accept=None):
    """Return picks and keys, to the end of the distinct rows."""
    nearest = np.full(len(rows), np.inf)
    allowed = np.ones(len(rows), bool) if allowed is None else allowed.copy()
    for index in initial:
        nearest = np.minimum(nearest, keys_to(rows, index, metric, p))
        allowed[index] = False
    picks, keys = [], []
    while len(picks) < n and allowed.any():
        best = int(np.argmax(np.where(allowed, nearest, -1.0)))
        if first is not None and not len(initial):
            best, first = first, None
        if nearest[best] == 0:
            break
        allowed[best] = False
        if accept is not None and not accept(best):
            continue
        picks.append(best)
        keys.append(nearest[best])
        nearest = np.fmin(nearest, keys_to(rows, best, metric, p))
    return picks, np.array(keys)


class Source:
    """Rows that come in blocks or one by one, and count how often they were asked for."""

    def __init__(self, rows):
        self._rows = rows
        self.n_fetched = 0

    def __len__(self):
        return len(self._rows)

    @property
    def dimension(self):
        return self._rows.shape[1]

    def rows(self, indices, /):
        self.n_fetched += len(indices)
        return self._rows[indices].astype(np.float32)

    def blocks(self, size, /):
        for start in range(0, len(self._rows), size):
            yield self._rows[start : start + size].astype(np.float32)

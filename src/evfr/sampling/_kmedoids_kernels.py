"""The loops behind `kmedoids`: distances between all points, and FasterPAM's swaps."""

from __future__ import annotations

import numpy as np
from numba import njit

from evfr.sampling._kmeans_kernels import squared

__all__ = ["CODES", "assign", "between", "faster_pam", "fill_matrix", "seed_medoids"]

CODES = {"euclidean": 0, "cosine": 1, "manhattan": 2, "minkowski": 3, "chebyshev": 4}


@njit(cache=True, nogil=True)
def between(a, b, code, p):  # type: ignore[no-untyped-def]
    """Return one distance in float64; rows have length 1 under cosine."""
    if code == 0:
        return np.sqrt(squared(a, b))
    if code == 1:
        return min(squared(a, b) / 2.0, 2.0)
    total = 0.0
    for k in range(len(a)):
        step = abs(np.float64(a[k]) - np.float64(b[k]))
        if code == 2:
            total += step
        elif code == 3:
            total += step**p
        else:
            total = max(total, step)
    return total ** (1.0 / p) if code == 3 else total


@njit(cache=True, nogil=True)
def fill_matrix(points, code, p, matrix):  # type: ignore[no-untyped-def]
    """Fill in the distances between all points."""
    for i in range(len(points)):
        matrix[i, i] = 0.0
        for j in range(i):
            matrix[i, j] = matrix[j, i] = between(points[i], points[j], code, p)


@njit(cache=True, nogil=True)
def assign(points, others, code, p, label, near):  # type: ignore[no-untyped-def]
    """Find the nearest of some other rows for each point, ties to the lowest."""
    for i in range(len(points)):
        label[i], near[i] = -1, np.inf
        for j in range(len(others)):
            value = between(points[i], others[j], code, p)
            if value < near[i]:
                label[i], near[i] = j, value


@njit(cache=True, nogil=True)
def seed_medoids(matrix, weights, fixed, uniform, medoids):  # type: ignore[no-untyped-def]
    """Choose points one by one with probability proportional to weight x distance to those chosen before."""
    count = len(matrix)
    near = fixed.copy()
    for k in range(len(medoids)):
        total = 0.0
        for i in range(count):
            total += weights[i] * (1.0 if near[i] == np.inf else near[i])
        target = uniform[k] * total
        pick, running = -1, 0.0
        for i in range(count):
            share = weights[i] * (1.0 if near[i] == np.inf else near[i])
            if share > 0.0:
                running += share
                pick = i
                if running > target:
                    break
        if pick < 0:
            # Rows that differ but lie at distance 0 under a metric of the caller.
            pick = 0
            while (medoids[:k] == pick).any():
                pick += 1
        medoids[k] = pick
        for i in range(count):
            near[i] = min(near[i], matrix[pick, i])
        near[pick] = 0.0


@njit(cache=True, nogil=True)
def _two_nearest(matrix, medoids, fixed, i, own, near, other, second):  # type: ignore[no-untyped-def]
    # Rows selected before stand behind the medoids as one more, which is never removed.
    k = len(medoids)
    own[i], near[i], other[i], second[i] = k, fixed[i], -1, np.inf
    for m in range(k):
        value = np.float64(matrix[medoids[m], i])
        if value < near[i] or (value == near[i] and own[i] == k):
            other[i], second[i] = own[i], near[i]
            own[i], near[i] = m, value
        elif value < second[i]:
            other[i], second[i] = m, value


@njit(cache=True, nogil=True)
def faster_pam(matrix, weights, fixed, medoids, passes):  # type: ignore[no-untyped-def]
    """Swap medoids for other points as long as that lowers the sum of distances; change ``medoids`` in place.

    Returns the sum of distances, and whether no swap lowers it any more.
    """
    count, k = len(matrix), len(medoids)
    own, other = np.empty(count, np.int64), np.empty(count, np.int64)
    near, second = np.empty(count), np.empty(count)
    is_medoid = np.zeros(count, np.bool_)
    for m in range(k):
        is_medoid[medoids[m]] = True
    total = 0.0
    for i in range(count):
        _two_nearest(matrix, medoids, fixed, i, own, near, other, second)
        total += weights[i] * near[i]
    is_single = k == 1 and fixed[0] == np.inf
    removal, loss = np.zeros(k + 1), np.zeros(k + 1)
    since, is_stale = 0, True
    for step in range(passes * count):
        if since >= count:
            return total, True
        j = step % count
        since += 1
        if is_medoid[j]:
            continue
        if is_stale:
            is_stale = False
            removal[:] = 0.0
            if not is_single:
                for i in range(count):
                    removal[own[i]] += weights[i] * (second[i] - near[i])
            removal[k] = np.inf
        loss[:] = removal
        gain = 0.0
        row = matrix[j]
        if is_single:
            for i in range(count):
                gain += weights[i] * (row[i] - near[i])
        else:
            for i in range(count):
                value = np.float64(row[i])
                if value < near[i]:
                    gain += weights[i] * (value - near[i])
                    loss[own[i]] += weights[i] * (near[i] - second[i])
                elif value < second[i]:
                    loss[own[i]] += weights[i] * (value - second[i])
        best = np.argmin(loss[:k])
        if not loss[best] + gain < -1e-12 * total:
            continue
        is_medoid[medoids[best]] = False
        is_medoid[j] = True
        medoids[best] = j
        total = 0.0
        for i in range(count):
            value = np.float64(row[i])
            if own[i] == best or other[i] == best:
                _two_nearest(matrix, medoids, fixed, i, own, near, other, second)
            elif value < near[i]:
                other[i], second[i] = own[i], near[i]
                own[i], near[i] = best, value
            elif value < second[i]:
                other[i], second[i] = best, value
            total += weights[i] * near[i]
        since, is_stale = 0, True
    return total, since >= count

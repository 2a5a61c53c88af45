"""The loops behind `kmeans`: exact nearest centres from a float32 screen, seeding, and means."""

from __future__ import annotations

import numpy as np
from numba import njit

__all__ = ["add_up", "own_distances", "seed_centres", "squared", "two_nearest"]


@njit(cache=True, nogil=True)
def squared(a, b):  # type: ignore[no-untyped-def]
    """Return the squared Euclidean distance in float64, summed in an order that does not depend on the machine."""
    s0 = s1 = s2 = s3 = 0.0
    size = len(a)
    whole = size - size % 4
    for k in range(0, whole, 4):
        d0 = np.float64(a[k]) - np.float64(b[k])
        d1 = np.float64(a[k + 1]) - np.float64(b[k + 1])
        d2 = np.float64(a[k + 2]) - np.float64(b[k + 2])
        d3 = np.float64(a[k + 3]) - np.float64(b[k + 3])
        s0 += d0 * d0
        s1 += d1 * d1
        s2 += d2 * d2
        s3 += d3 * d3
    for k in range(whole, size):
        d0 = np.float64(a[k]) - np.float64(b[k])
        s0 += d0 * d0
    return (s0 + s1) + (s2 + s3)


@njit(cache=True, nogil=True)
def seed_centres(points, weights, fixed, uniform, chosen):  # type: ignore[no-untyped-def]
    """Choose points by k-means++: each with probability proportional to weight x squared distance (D^2)."""
    count = len(points)
    nearest = np.full(count, np.inf)
    for i in range(count):
        for f in range(len(fixed)):
            nearest[i] = min(nearest[i], squared(points[i], fixed[f]))
    for k in range(len(chosen)):
        total = 0.0
        for i in range(count):
            total += weights[i] * (1.0 if nearest[i] == np.inf else nearest[i])
        target = uniform[k] * total
        pick, running = -1, 0.0
        for i in range(count):
            share = weights[i] * (1.0 if nearest[i] == np.inf else nearest[i])
            if share > 0.0:
                running += share
                pick = i
                if running > target:
                    break
        chosen[k] = pick
        for i in range(count):
            nearest[i] = min(nearest[i], squared(points[i], points[pick]))


@njit(cache=True, nogil=True)
def two_nearest(product, points, centres, squares, levels, error, label, upper, lower):  # type: ignore[no-untyped-def]
    """Find the nearest centre in float64 (ties to the lowest), and a lower bound of the second distance.

    Only centres that the float32 product cannot tell from the nearest are measured in float64.
    """
    for i in range(product.shape[0]):
        best = np.inf
        for j in range(product.shape[1]):
            reach = squares[i] + levels[j]
            best = min(best, reach - 2.0 * product[i, j] + error * reach)
        own, nearest, second = -1, np.inf, np.inf
        for j in range(product.shape[1]):
            reach = squares[i] + levels[j]
            floor = reach - 2.0 * product[i, j] - error * reach
            if floor <= best:
                value = squared(points[i], centres[j])
                if value < nearest:
                    second = min(second, nearest)
                    own, nearest = j, value
                else:
                    second = min(second, value)
            else:
                second = min(second, floor)
        label[i] = own
        upper[i] = np.sqrt(nearest)
        lower[i] = np.sqrt(max(second, 0.0))


@njit(cache=True, nogil=True)
def own_distances(points, centres, label, upper):  # type: ignore[no-untyped-def]
    """Measure each point's distance to its centre."""
    for i in range(len(points)):
        upper[i] = np.sqrt(squared(points[i], centres[label[i]]))


@njit(cache=True, nogil=True)
def add_up(points, weights, label, sums, masses):  # type: ignore[no-untyped-def]
    """Add up points and weights per centre."""
    sums[:] = 0.0
    masses[:] = 0
    for i in range(len(points)):
        j = label[i]
        masses[j] += weights[i]
        for k in range(points.shape[1]):
            sums[j, k] += weights[i] * np.float64(points[i, k])

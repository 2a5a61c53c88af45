"""The frame nearest each centre of k-means."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np

from evfr._core.rng import generator
from evfr.sampling import _kmeans_kernels as kernels
from evfr.sampling._cluster_rows import cluster_rows, to_sample

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import ArrayLike, NDArray

    from evfr._core.distances import RowSource
    from evfr.sampling._cluster_rows import ClusterRows
    from evfr.sampling._sample import Sample

__all__ = ["assign_nearest", "kmeans"]

BLOCK = 2_048
SEED_ROWS = 1_024


def kmeans(
    embeddings: ArrayLike | RowSource,
    n: int,
    *,
    seed: int = 0,
    metric: Literal["euclidean", "cosine"] = "euclidean",
    iterations: int = 20,
    initial: Sequence[int] = (),
    usable: ArrayLike | None = None,
) -> Sample:
    """Group the rows into n clusters by k-means and take the row nearest each centre (Lloyd 1982).

    Parameters
    ----------
    embeddings : (N, D) array_like
        One row per frame, float16, float32 or float64; a `RowSource` is read as a whole.
    n : int
        Rows to pick, 0 <= n <= N; ``initial`` is not counted.
    seed : int
        Of the first centres. Same seed, same rows, on any number of threads.
    metric : str
        ``"euclidean"``, or ``"cosine"``: Euclidean on rows scaled to length 1.
    iterations : int
        Most times that the centres move, 1 or more; a note says if they were still moving.
    initial : sequence of int
        Rows selected already: each is a centre that does not move and is not returned, so the rows near it
        need no other.
    usable : (N,) bool or None
        Rows that may be picked; the others do not count.

    Returns
    -------
    Sample
        Not nested; ``rank`` is by falling size of the cluster. Exactly n distinct rows; repeats (equal rows)
        only where distinct ones run out, with ``is_fallback`` set.

    Raises
    ------
    ValueError
        If an argument is not allowed, or ``initial`` names a row with NaN.
    ConstraintError
        If fewer than n rows can be picked.

    Notes
    -----
    First centres by k-means++ on a random part of 8 n + 1024 rows. Equal rows are merged and weighted. A cluster
    that loses all its rows starts again at the row farthest from its centre, so none is ever empty (k-means groups of
    video frames degenerate otherwise, section 2.1 of Yoon & Choi 2023). Rows are centred and rounded to float32;
    every comparison is decided in float64 (a float32 matrix product only rules out centres that are farther by
    more than its error bound), so the result does not depend on the machine's BLAS. Rows whose centre cannot have
    changed, by the triangle inequality, are left out (Hamerly 2010).

    One iteration costs up to N n D multiplications and as many again for seeding from the part; memory 4 N D
    bytes and little more.

    References
    ----------
    Lloyd, IEEE Transactions on Information Theory 28 (1982), doi:10.1109/TIT.1982.1056489. Arthur & Vassilvitskii,
    "k-means++", SODA 2007. Hamerly, "Making k-means even faster", SDM 2010, doi:10.1137/1.9781611972801.12.

    Examples
    --------
    >>> kmeans([[0.0], [1.0], [2.0], [10.0], [11.0], [12.0], [13.0]], 2).indices.tolist()
    [1, 4]
    """
    if metric not in ("euclidean", "cosine"):
        raise ValueError(f"metric must be euclidean or cosine, got {metric!r}; kmedoids takes any metric")
    if iterations < 1:
        raise ValueError(f"iterations must be 1 or more, got {iterations}")
    rows, n = cluster_rows(embeddings, n, metric=metric, initial=initial, usable=usable)
    rng = generator(seed)
    if n == 0 or n >= len(rows.points):
        picked = np.arange(min(n, len(rows.points)))
        return to_sample(
            "kmeans", rows, n, picked, rows.counts[picked], ["a cluster of its own"] * len(picked)
        )
    label, distance, is_settled = _cluster(rows, n, iterations, rng)
    first = len(rows.fixed)
    mass = np.bincount(label, rows.counts, len(rows.fixed) + n).astype(np.int64)[first:]
    # Nearest member of each cluster: sort by cluster, then distance, then index, and take the first of each.
    order = np.lexsort((np.arange(len(label)), distance, label))
    order = order[label[order] >= first]
    picked = order[np.flatnonzero(np.diff(label[order], prepend=-1))]
    reasons = [
        f"nearest of {size} frames to their mean, at {far:.3g}"
        for size, far in zip(mass.tolist(), (distance[picked] * rows.scale).tolist(), strict=True)
    ]
    notes = () if is_settled else (f"kmeans: centres were still moving after {iterations} iterations",)
    return to_sample("kmeans", rows, n, picked, mass, reasons, notes)


def _cluster(
    rows: ClusterRows, n: int, iterations: int, rng: np.random.Generator
) -> tuple[NDArray[np.int64], NDArray[np.float64], bool]:
    """Return the centre of each point, its distance to it, and whether the centres came to rest."""
    points, fixed = rows.points, rows.fixed
    n_fixed = len(fixed)
    chosen = _seed(rows, n, rng)
    centres = np.concatenate([fixed, points[chosen]]).astype(np.float64)
    total = len(points)
    label = np.full(total, -1, np.int64)
    upper, lower = np.full(total, np.inf), np.zeros(total)
    sums, masses = np.empty_like(centres), np.empty(len(centres), np.int64)
    is_settled = False
    for _ in range(iterations):
        before = label.copy()
        assign_nearest(points, centres, label, upper, lower)
        is_refilled = _refill(rows, centres, label, upper, lower)
        if not is_refilled and np.array_equal(before, label):
            is_settled = True
            break
        kernels.add_up(points, rows.counts, label, sums, masses)
        moved = np.zeros(len(centres))
        means = sums[n_fixed:] / masses[n_fixed:, None]
        moved[n_fixed:] = np.sqrt(((means - centres[n_fixed:]) ** 2).sum(axis=1))
        centres[n_fixed:] = means
        kernels.own_distances(points, centres, label, upper)
        # The slack keeps rounding of the bounds themselves from hiding a change.
        lower -= float(moved.max()) * (1.0 + 1e-9) + 1e-12
    if not is_settled:
        assign_nearest(points, centres, label, upper, lower)
        _refill(rows, centres, label, upper, lower)
    return label, upper, is_settled


def _seed(rows: ClusterRows, n: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """Choose the first centres by k-means++ among a random part of the points."""
    total = len(rows.points)
    size = min(total, 8 * n + SEED_ROWS)
    some = np.sort(rng.choice(total, size, replace=False))
    chosen = np.empty(n, np.int64)
    kernels.seed_centres(
        rows.points[some], rows.counts[some].astype(np.float64), rows.fixed, rng.random(n), chosen
    )
    return np.asarray(some[chosen])


def assign_nearest(
    points: NDArray[np.float32],
    centres: NDArray[np.float64],
    label: NDArray[np.int64],
    upper: NDArray[np.float64],
    lower: NDArray[np.float64],
) -> None:
    """Find the nearest centre of every point whose bounds do not rule out a change, ties to the lowest.

    Parameters
    ----------
    points : (U, D) float32
        Rows.
    centres : (K, D) float64
        What they are assigned to.
    label : (U,) int64
        Nearest centre, -1 where unknown; overwritten.
    upper : (U,) float64
        Distance to it; overwritten.
    lower : (U,) float64
        Lower bound of the distance to any other; overwritten.
    """
    narrow = centres.astype(np.float32)
    levels = np.einsum("ij,ij->i", centres, centres)
    # Twice the bound of a float32 sum of D products and of rounding the centres.
    error = (points.shape[1] + 8) * 2.0**-23
    open_points = np.flatnonzero((label < 0) | (upper >= lower))
    for start in range(0, len(open_points), BLOCK):
        some = open_points[start : start + BLOCK]
        block = points[some]
        own, near, second = np.empty(len(some), np.int64), np.empty(len(some)), np.empty(len(some))
        squares = np.einsum("ij,ij->i", block, block, dtype=np.float64)
        kernels.two_nearest(block @ narrow.T, block, centres, squares, levels, error, own, near, second)
        label[some], upper[some], lower[some] = own, near, second


def _refill(
    rows: ClusterRows,
    centres: NDArray[np.float64],
    label: NDArray[np.int64],
    upper: NDArray[np.float64],
    lower: NDArray[np.float64],
) -> bool:
    """Give each empty cluster the point farthest from its centre; say whether there was one."""
    n_fixed = len(rows.fixed)
    size = np.bincount(label, minlength=len(centres))
    empty = n_fixed + np.flatnonzero(size[n_fixed:] == 0)
    if not len(empty):
        return False
    for j, i in zip(empty.tolist(), _farthest_first(upper, label, size, n_fixed, len(empty)), strict=True):
        label[i], upper[i], lower[i] = j, 0.0, 0.0
        centres[j] = rows.points[i]
    return True


def _farthest_first(
    upper: NDArray[np.float64],
    label: NDArray[np.int64],
    size: NDArray[np.int64],
    n_fixed: int,
    count: int,
) -> list[int]:
    """Return points by falling distance, ties to the lowest index, none of them the last of its cluster."""
    left, found = size.copy(), []
    for i in np.lexsort((np.arange(len(upper)), -upper)).tolist():
        if left[label[i]] > 1 or label[i] < n_fixed:
            left[label[i]] -= 1
            found.append(i)
            if len(found) == count:
                break
    return found

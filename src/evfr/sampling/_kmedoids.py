"""The frames that k-medoids chooses."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from evfr._core.distances import distances
from evfr._core.rng import generator
from evfr.sampling import _kmedoids_kernels as kernels
from evfr.sampling._cluster_rows import cluster_rows, to_sample
from evfr.sampling._kmeans import assign_nearest

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import ArrayLike, NDArray

    from evfr._core.distances import RowSource
    from evfr.sampling._sample import Sample

__all__ = ["kmedoids"]

LARGEST_MATRIX = 16_384
SAMPLES = 5
PASSES = 100


def kmedoids(
    embeddings: ArrayLike | RowSource,
    n: int,
    *,
    seed: int = 0,
    metric: str | Callable[..., Any] = "euclidean",
    p: float = 3.0,
    mode: Literal["exact", "sampled"] = "exact",
    initial: Sequence[int] = (),
    usable: ArrayLike | None = None,
) -> Sample:
    """Take the n rows of least total distance to all rows, by swaps (FasterPAM, Schubert & Rousseeuw 2021).

    Parameters
    ----------
    embeddings : (N, D) array_like
        One row per frame, float16, float32 or float64; a `RowSource` is read as a whole.
    n : int
        Rows to pick, 0 <= n <= N; ``initial`` is not counted.
    seed : int
        Of the first medoids and of the samples. Same seed, same rows.
    metric : str or callable
        ``"euclidean"``, ``"cosine"``, ``"manhattan"``, ``"minkowski"``, ``"chebyshev"``, or a callable
        (a (D,), b (M, D)) -> (M,).
    p : float
        Exponent of ``"minkowski"``, 1 or more.
    mode : str
        ``"exact"`` measures every pair of rows: up to 16,384 distinct rows, 4 bytes per pair (1 GiB there).
        ``"sampled"`` runs on 5 random samples of 80 + 4 n rows and keeps the best for all rows (CLARA,
        Kaufman & Rousseeuw 1986), for more rows.
    initial : sequence of int
        Rows selected already: medoids that stay and are not returned.
    usable : (N,) bool or None
        Rows that may be picked; the others do not count.

    Returns
    -------
    Sample
        Not nested; ``rank`` is by falling size of the cluster. Exactly n rows; repeats (equal rows) only where
        distinct ones run out, with ``is_fallback`` set. A note states the mean distance to the nearest pick.

    Raises
    ------
    ValueError
        If an argument is not allowed, ``initial`` names a row with NaN, or ``mode="exact"`` would need a larger
        matrix.
    ConstraintError
        If fewer than n rows can be picked.

    Notes
    -----
    Minimises the sum over rows of the distance to the nearest pick. First medoids are drawn one by one with
    probability proportional to the distance from those drawn before; then each row in turn replaces the medoid
    whose loss it lowers most, at once, until a whole round finds no swap. The result is a local optimum: no
    single swap lowers the sum (by more than 1e-12 of it). Rows are scaled to float32 and distances kept in float32;
    sums are float64. Equal rows are merged and weighted. One round costs N * N operations.

    References
    ----------
    Schubert & Rousseeuw, "Fast and eager k-medoids clustering", Information Systems 101 (2021),
    doi:10.1016/j.is.2021.101804. Kaufman & Rousseeuw, "Clustering large data sets", Pattern Recognition in
    Practice II (1986), doi:10.1016/B978-0-444-87877-9.50039-X.

    Examples
    --------
    >>> kmedoids([[0.0], [1.0], [2.0], [10.0], [11.0], [12.0], [99.0]], 3).indices.tolist()
    [1, 4, 6]
    """
    if mode not in ("exact", "sampled"):
        raise ValueError(f"mode must be exact or sampled, got {mode!r}")
    rows, n = cluster_rows(embeddings, n, metric=metric, p=p, initial=initial, usable=usable)
    total = len(rows.points)
    if n == 0 or n >= total:
        picked = np.arange(min(n, total))
        return to_sample(
            "kmedoids", rows, n, picked, rows.counts[picked], ["stands for itself"] * len(picked)
        )
    if mode == "exact" and total > LARGEST_MATRIX:
        raise ValueError(
            f"kmedoids with mode='exact' takes up to {LARGEST_MATRIX} distinct rows, got {total}; "
            "use mode='sampled', or kmeans"
        )
    measure = _Measure(metric, p)
    rng = generator(seed)
    weights = rows.counts.astype(np.float64)
    _, fixed = measure.nearest(rows.points, rows.fixed)
    notes: tuple[str, ...] = ()
    if mode == "exact":
        picked, is_settled = _swap(measure.matrix(rows.points), weights, fixed, n, rng)
        if not is_settled:
            notes = (f"kmedoids: swaps were stopped after {PASSES} rounds",)
    else:
        picked = _sampled(rows.points, weights, fixed, n, rng, measure)
        notes = (
            f"kmedoids: chosen on {SAMPLES} samples of {_sample_size(n, total)} of {total} distinct rows",
        )
    picked = np.sort(picked)
    label, near = measure.nearest(rows.points, rows.points[picked])
    is_own = near <= fixed
    mass = np.bincount(label[is_own], rows.counts[is_own], n).astype(np.int64)
    reach = np.bincount(label[is_own], (near * weights)[is_own], n) * rows.scale
    reasons = [
        f"medoid of {size} frames, at {far / max(size, 1):.3g} on average"
        for size, far in zip(mass.tolist(), reach.tolist(), strict=True)
    ]
    mean = float((np.minimum(near, fixed) * weights).sum() / weights.sum()) * rows.scale
    notes = (*notes, f"kmedoids: mean distance to the nearest pick {mean:.4g}")
    return to_sample("kmedoids", rows, n, picked, mass, reasons, notes)


class _Measure:
    """A distance by name or function, over prepared points."""

    def __init__(self, metric: str | Callable[..., Any], p: float) -> None:
        self.function = metric if callable(metric) else None
        self.code = -1 if callable(metric) else kernels.CODES[metric]
        self.p = float(p)

    def matrix(self, points: NDArray[np.float32]) -> NDArray[np.float32]:
        matrix = np.empty((len(points), len(points)), np.float32)
        if self.function is not None:
            for i in range(len(points)):
                matrix[i] = distances(points[i], points, self.function)
        else:
            kernels.fill_matrix(points, self.code, self.p, matrix)
        return matrix

    def nearest(
        self, points: NDArray[np.float32], others: NDArray[np.float32]
    ) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        label, near = np.full(len(points), -1, np.int64), np.full(len(points), np.inf)
        if self.code in (0, 1) and len(others):
            assign_nearest(points, others.astype(np.float64), label, near, np.zeros(len(points)))
            return label, near if self.code == 0 else np.minimum(near * near / 2.0, 2.0)
        if self.function is None:
            kernels.assign(points, others, self.code, self.p, label, near)
            return label, near
        for j in range(len(others)):
            values = distances(others[j], points, self.function)
            is_nearer = values < near
            label[is_nearer], near[is_nearer] = j, values[is_nearer]
        return label, near


def _swap(
    matrix: NDArray[np.float32],
    weights: NDArray[np.float64],
    fixed: NDArray[np.float64],
    n: int,
    rng: np.random.Generator,
) -> tuple[NDArray[np.int64], bool]:
    medoids = np.empty(n, np.int64)
    kernels.seed_medoids(matrix, weights, fixed, rng.random(n), medoids)
    _, is_settled = kernels.faster_pam(matrix, weights, fixed, medoids, PASSES)
    return medoids, bool(is_settled)


def _sample_size(n: int, total: int) -> int:
    return min(total, 80 + 4 * n, LARGEST_MATRIX)


def _sampled(
    points: NDArray[np.float32],
    weights: NDArray[np.float64],
    fixed: NDArray[np.float64],
    n: int,
    rng: np.random.Generator,
    measure: _Measure,
) -> NDArray[np.int64]:
    """Run on random samples, the best medoids so far in each, and keep what is best for all rows."""
    total, size = len(points), _sample_size(n, len(points))
    if n >= size:
        raise ValueError(f"kmedoids with mode='sampled' takes n below {LARGEST_MATRIX}, got {n}; use kmeans")
    best, least = np.zeros(0, np.int64), np.inf
    for _ in range(SAMPLES):
        others = rng.permutation(total)
        some = np.sort(np.concatenate([best, others[~np.isin(others, best)][: size - len(best)]]))
        medoids, _ = _swap(measure.matrix(points[some]), weights[some], fixed[some], n, rng)
        medoids = some[medoids]
        _, near = measure.nearest(points, points[medoids])
        loss = float((np.minimum(near, fixed) * weights).sum())
        if loss < least:
            best, least = medoids, loss
    return best

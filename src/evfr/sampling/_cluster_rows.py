"""What the clustering samplers share: rows that count, equal rows merged, rows selected before set apart."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from evfr._core.distances import RowSource, check_metric, usable_rows
from evfr.errors import ConstraintError
from evfr.sampling._facility_rows import _groups, unit_rows
from evfr.sampling._sample import Sample, check_budget

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

__all__ = ["ClusterRows", "checked_rows", "cluster_rows", "narrowed", "to_sample"]


class ClusterRows(NamedTuple):
    """Rows to cluster.

    Attributes
    ----------
    points : (U, D) float32
        The distinct rows that may be picked and are not equal to a row selected before; unit rows under cosine,
        else centred and divided by ``scale``.
    counts : (U,) int64
        How many rows each stands for.
    first : (U,) int64
        The lowest row of each.
    spare : (R,) int64
        The other rows that may be picked, increasing: repeats, and rows equal to one selected before.
    fixed : (F, D) float32
        The distinct rows selected before.
    scale : float
        Distances of points times this are distances of rows.
    nan_count : int
        Rows with NaN or infinity, and zero rows under cosine.
    """

    points: NDArray[np.float32]
    counts: NDArray[np.int64]
    first: NDArray[np.int64]
    spare: NDArray[np.int64]
    fixed: NDArray[np.float32]
    scale: float
    nan_count: int


def cluster_rows(
    embeddings: ArrayLike | RowSource,
    n: int,
    *,
    metric: Any,
    p: float = 3.0,
    initial: Sequence[int] = (),
    usable: ArrayLike | None = None,
) -> tuple[ClusterRows, int]:
    """Check the arguments of a clustering sampler and prepare its rows.

    Parameters
    ----------
    embeddings : (N, D) array_like, or RowSource
        One row per frame.
    n : int
        Rows to pick.
    metric : str or callable
        As in `evfr._core.distances`.
    p : float
        Exponent of ``"minkowski"``.
    initial : sequence of int
        Rows selected before.
    usable : (N,) bool or None
        Rows that may be picked.

    Returns
    -------
    rows : ClusterRows
        The problem.
    n : int
        As a plain int.

    Raises
    ------
    ValueError
        If a shape, an index or the metric is not allowed.
    ConstraintError
        If fewer than n rows can be picked.
    """
    array, n, given, rows, nan_count = checked_rows(
        embeddings, n, metric=metric, p=p, initial=initial, usable=usable
    )
    used = np.concatenate([given, rows])
    narrow, scale = narrowed(array[used], metric)
    lead, group = _groups(narrow)
    is_fixed = lead < len(given)
    # Groups are numbered by their first row, and rows selected before come first.
    n_fixed = int(is_fixed.sum())
    heads = lead[~is_fixed]
    counts = np.bincount(group, minlength=len(lead))[n_fixed:]
    return (
        ClusterRows(
            np.ascontiguousarray(narrow[heads]),
            counts.astype(np.int64),
            used[heads],
            np.setdiff1d(rows, used[heads]),
            np.ascontiguousarray(narrow[lead[is_fixed]]),
            scale,
            nan_count,
        ),
        n,
    )


def checked_rows(
    embeddings: ArrayLike | RowSource,
    n: int,
    *,
    metric: Any,
    p: float = 3.0,
    initial: Sequence[int] = (),
    usable: ArrayLike | None = None,
) -> tuple[NDArray[Any], int, NDArray[np.int64], NDArray[np.int64], int]:
    """Check the arguments that all clustering samplers share; see `cluster_rows`.

    Returns
    -------
    array : (N, D)
        The embeddings.
    n : int
        As a plain int.
    given : (K,) int64
        Rows selected before, increasing.
    rows : (M,) int64
        Rows that may be picked, increasing.
    nan_count : int
        Rows with NaN or infinity, and zero rows under cosine.
    """
    check_metric(metric, p)
    array = _as_array(embeddings)
    if array.ndim != 2:
        raise ValueError(f"embeddings must be (N, D), got shape {array.shape}; pass one row per frame")
    if array.dtype.kind != "f":
        array = array.astype(np.float64)
    total = len(array)
    n = check_budget(n, total)
    mask = np.ones(total, bool) if usable is None else np.asarray(usable)
    if mask.shape != (total,) or mask.dtype != np.bool_:
        raise ValueError(f"usable must be ({total},) bool, got {mask.shape} {mask.dtype}")
    given = np.unique(np.asarray(list(initial), dtype=np.int64))
    if len(given) and not (given[0] >= 0 and given[-1] < total):
        raise ValueError(f"initial must hold rows in 0..{total - 1}, got {given[0]} to {given[-1]}")
    is_finite = usable_rows(array, metric)
    if not is_finite[given].all():
        raise ValueError(f"initial row {given[~is_finite[given]][0]} has no distance: NaN, infinity or zeros")
    may = mask & is_finite
    may[given] = False
    rows = np.flatnonzero(may)
    if n > len(rows):
        raise ConstraintError(
            f"n={n} is more than the {len(rows)} of {total} rows that can be picked "
            f"({int((~is_finite).sum())} with NaN or infinity{' or only zeros' * (metric == 'cosine')}, "
            f"{len(given)} selected before, {int((is_finite & ~mask).sum())} ruled out); lower n"
        )
    return array, n, given, rows, int((~is_finite).sum())


def _as_array(embeddings: ArrayLike | RowSource) -> NDArray[Any]:
    """Read a source of rows as a whole: clusters need all rows in memory."""
    if isinstance(embeddings, RowSource):
        return embeddings.rows(np.arange(len(embeddings), dtype=np.int64))
    return np.asarray(embeddings)


def narrowed(rows: NDArray[Any], metric: Any) -> tuple[NDArray[np.float32], float]:
    """Return rows as float32, of length 1 under cosine, else centred and scaled; and the scale."""
    if metric == "cosine":
        return unit_rows(rows), 1.0
    if callable(metric) or len(rows) == 0:
        return rows.astype(np.float32) + np.float32(0), 1.0
    # Differences survive float32 best around 0, and squares of large values do not overflow.
    centre = rows.mean(axis=0, dtype=np.float64)
    narrow = np.empty(rows.shape, np.float32)
    scale = max(
        float(np.abs(rows[i : i + 8192] - centre).max(initial=0.0)) for i in range(0, len(rows), 8192)
    )
    scale = scale or 1.0
    for i in range(0, len(rows), 8192):
        narrow[i : i + 8192] = (rows[i : i + 8192] - centre) / scale
    return narrow + np.float32(0), scale


def to_sample(
    method: str,
    rows: ClusterRows,
    n: int,
    picked: NDArray[np.int64],
    mass: NDArray[np.int64],
    reasons: list[str],
    notes: tuple[str, ...] = (),
) -> Sample:
    """Turn picked points into a sample; where there are too few, fill with the lowest spare rows.

    Parameters
    ----------
    method : str
        Name of the sampler.
    rows : ClusterRows
        The problem.
    n : int
        Rows to return.
    picked : (P,) int64
        Distinct points, P <= n.
    mass : (P,) int64
        How many rows each stands for; the rank is by falling mass.
    reasons : list of str
        Why each was picked, without the name of the method.
    notes : tuple of str
        What a reader should know.
    """
    missing = n - len(picked)
    if missing:
        notes = (
            *notes,
            f"{method}: only {len(picked)} distinct rows are left; {missing} repeats were filled by lowest index",
        )
    chosen = np.concatenate([rows.first[picked], rows.spare[:missing]])
    weight = np.concatenate([mass, np.full(missing, -1, np.int64)])
    place = np.lexsort((chosen, -weight))
    rank = np.empty(n, np.int64)
    rank[place] = np.arange(n)
    by_index = np.argsort(chosen)
    texts = [f"{method}: {reason}" for reason in reasons] + [f"{method}: a repeat, filled by index"] * missing
    return Sample(
        indices=chosen[by_index].astype(np.int64),
        inclusion=np.full(n, np.nan),
        rank=rank[by_index],
        reasons=tuple(texts[i] for i in by_index.tolist()),
        is_fallback=missing > 0,
        notes=notes,
        method=method,
        nan_count=rows.nan_count,
    )

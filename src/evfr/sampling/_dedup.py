"""Near-duplicates: rows closer than a threshold to a row that is kept."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from evfr._core.distances import METRICS, check_metric, usable_rows
from evfr.sampling._dedup_search import Distance, everywhere, within_window

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, Literal

    from numpy.typing import ArrayLike, NDArray

__all__ = ["Dedup", "dedup"]


@dataclass(frozen=True, slots=True, eq=False)
class Dedup:
    """Hold which rows were kept, and what each dropped row duplicates.

    Attributes
    ----------
    kept : (K,) int64
        Rows kept, increasing.
    dropped : (M,) int64
        Rows dropped as near-duplicates, increasing.
    duplicate_of : (M,) int64
        For each dropped row, the kept row that it duplicates: among the kept rows that came before it in the
        order of visit and lie within the threshold (and the window), the one visited last.
    distances : (M,) float64
        Distance of each dropped row to that row; bits for hashes.
    unusable : (U,) int64
        Rows with NaN or infinite values (and zero rows under cosine), increasing: neither kept nor dropped.
    threshold : float
        Largest distance of a duplicate.
    metric : str
        Name of the distance.
    """

    kept: NDArray[np.int64]
    dropped: NDArray[np.int64]
    duplicate_of: NDArray[np.int64]
    distances: NDArray[np.float64]
    unusable: NDArray[np.int64]
    threshold: float
    metric: str

    def __post_init__(self) -> None:
        count = len(self.dropped)
        if self.duplicate_of.shape != (count,) or self.distances.shape != (count,):
            raise ValueError(
                f"duplicate_of and distances must have {count} entries, one per dropped row, "
                f"got {len(self.duplicate_of)} and {len(self.distances)}"
            )
        for name in ("kept", "dropped", "unusable"):
            rows = getattr(self, name)
            if len(rows) and (rows[0] < 0 or np.any(np.diff(rows) <= 0)):
                raise ValueError(f"{name} must be strictly increasing and 0 or more")

    def __len__(self) -> int:
        return len(self.kept)

    def __repr__(self) -> str:
        return (
            f"Dedup({self.metric} <= {self.threshold:g}: {len(self.kept)} kept, {len(self.dropped)} dropped, "
            f"{len(self.unusable)} unusable)"
        )


def dedup(
    embeddings: ArrayLike,
    threshold: float,
    *,
    metric: Literal["cosine", "euclidean", "manhattan", "minkowski", "chebyshev", "hamming"]
    | Callable[..., ArrayLike] = "cosine",
    p: float = 3.0,
    times: ArrayLike | None = None,
    window_seconds: float | None = None,
    groups: ArrayLike | None = None,
    keep: Literal["first", "best"] = "first",
    quality: ArrayLike | None = None,
) -> Dedup:
    """Drop every row that is within a threshold of a row kept before it (ours).

    Parameters
    ----------
    embeddings : (N, D) array_like of float16, float32 or float64, or (N,) uint64
        One row per frame, or one 64-bit perceptual hash per frame.
    threshold : float
        Largest distance of a duplicate, 0 or more; bits for hashes.
    metric : str or callable
        ``"cosine"`` (1 - cos, 0..2), ``"euclidean"``, ``"manhattan"``, ``"minkowski"``, ``"chebyshev"``, a
        callable (a (D,), b (M, D)) -> (M,), or ``"hamming"``, which hashes need.
    p : float
        Exponent of ``"minkowski"``, 1 or more.
    times : (N,) array_like or None
        Seconds; rows are visited in their order. None visits rows as they stand.
    window_seconds : float or None
        Compare only rows at most this far apart in time; None compares all.
    groups : (N,) array_like of int or None
        Compare only rows of one group (of one video, say); None compares all.
    keep : str
        ``"first"`` keeps the first of several alike, ``"best"`` visits by falling ``quality``, so that the
        best of them stays.
    quality : (N,) array_like or None
        Higher is better, NaN is worst; for ``keep="best"``.

    Returns
    -------
    Dedup
        Kept and dropped rows. The same arguments give the same bytes.

    Raises
    ------
    TypeError
        If the rows are neither real numbers nor unsigned hashes.
    ValueError
        If a shape or an option does not fit.

    Notes
    -----
    Greedy and exact: rows are visited one after another; each is compared with the rows kept so far, and is
    kept if none of them is within the threshold. Kept rows are therefore pairwise further apart than the
    threshold (where they are compared at all), and every dropped row is within it of a kept one. Chains do not
    merge: a slow pan keeps one frame per threshold travelled.

    Distances are those of float64 arithmetic (cosine with a slack of 1e-12, its rounding); euclidean and cosine
    are screened by float32 matrix products whose error bound decides which pairs are looked at again. With N
    rows of which K are kept, the screen costs about K * K * D multiplications, more where duplicates are not
    near each other in the order (at most N * K * D), and holds 8 * K * D bytes; other metrics cost the
    same count without matrix products. Hashes are found by their equal 16-bit parts up to 11 bits, by a scan
    above. A window makes either linear in N.

    References
    ----------
    Norouzi, Punjani & Fleet, "Fast search in Hamming space with multi-index hashing", CVPR 2012,
    doi:10.1109/CVPR.2012.6248043 (hashes).

    Examples
    --------
    >>> rows = [[1.0, 0.0], [1.0, 0.01], [0.0, 1.0], [2.0, 0.0]]
    >>> result = dedup(rows, 0.05)
    >>> result.kept.tolist(), result.dropped.tolist(), result.duplicate_of.tolist()
    ([0, 2], [1, 3], [0, 0])
    """
    rows, is_hash = _check_rows(embeddings, metric, p)
    total = len(rows)
    if not (np.isfinite(threshold) and threshold >= 0):
        raise ValueError(f"threshold must be 0 or more and finite, got {threshold}")
    if window_seconds is not None and times is None:
        raise ValueError("window_seconds needs times; pass the seconds of each row")
    if window_seconds is not None and not window_seconds >= 0:
        raise ValueError(f"window_seconds must be 0 or more, got {window_seconds}")
    if keep not in ("first", "best"):
        raise ValueError(f"keep must be 'first' or 'best', got {keep!r}")
    if (keep == "best") != (quality is not None):
        raise ValueError("keep='best' needs quality, and only it reads quality")
    seconds = None if times is None else _check_column("times", times, total)
    if seconds is not None and not np.all(np.isfinite(seconds)):
        raise ValueError(f"times must be finite, got {seconds[~np.isfinite(seconds)][0]}")
    usable = np.ones(total, bool) if is_hash else usable_rows(rows, metric)
    order = _visit(total, seconds, quality)
    order = order[usable[order]]
    distance = Distance(metric if isinstance(metric, str) else "callable", metric, float(threshold), float(p))

    of = np.full(total, -1, np.int64)
    far = np.zeros(total)
    for members in _split(order, groups, total):
        if window_seconds is not None and seconds is not None:
            of[members], far[members] = within_window(
                rows, members, seconds[members], float(window_seconds), distance
            )
        else:
            of[members], far[members] = everywhere(rows, members, distance)
    is_dropped = of >= 0
    return Dedup(
        kept=np.flatnonzero(usable & ~is_dropped),
        dropped=np.flatnonzero(is_dropped),
        duplicate_of=of[is_dropped],
        distances=far[is_dropped],
        unusable=np.flatnonzero(~usable),
        threshold=float(threshold),
        metric=distance.name,
    )


def _check_rows(embeddings: ArrayLike, metric: Any, p: float) -> tuple[NDArray[Any], bool]:
    rows = np.asarray(embeddings)
    if not (callable(metric) or metric in (*METRICS, "hamming")):
        raise ValueError(f"metric must be one of {', '.join(METRICS)}, hamming or a callable, got {metric!r}")
    if metric == "hamming":
        if rows.ndim != 1 or (rows.dtype.kind != "u" and len(rows)):
            raise TypeError(f"hamming needs (N,) unsigned hashes, got {rows.dtype} of shape {rows.shape}")
        return rows.astype(np.uint64, copy=False), True
    check_metric(metric, p)
    if rows.ndim == 1 and rows.dtype.kind == "u":
        raise ValueError(f"hashes need metric='hamming', got metric={metric!r}")
    if rows.ndim != 2:
        raise ValueError(f"embeddings must be (N, D), got shape {rows.shape}")
    if rows.dtype.kind not in "fiu":
        raise TypeError(f"embeddings must be real numbers, got {rows.dtype}")
    return rows if rows.dtype.kind == "f" else rows.astype(np.float64), False


def _check_column(name: str, values: ArrayLike, total: int) -> NDArray[np.float64]:
    column = np.asarray(values, dtype=np.float64)
    if column.shape != (total,):
        raise ValueError(f"{name} must be ({total},), one per row, got shape {column.shape}")
    return column


def _visit(total: int, seconds: NDArray[np.float64] | None, quality: ArrayLike | None) -> NDArray[np.int64]:
    """Return the rows in the order of visit."""
    keys = [np.arange(total)] if seconds is None else [np.arange(total), seconds]
    if quality is not None:
        best = _check_column("quality", quality, total)
        keys.append(-np.where(np.isnan(best), -np.inf, best))
    return np.lexsort(keys).astype(np.int64)


def _split(order: NDArray[np.int64], groups: ArrayLike | None, total: int) -> list[NDArray[np.int64]]:
    """Return the rows of each group, in the order of visit."""
    if groups is None:
        return [order] if len(order) else []
    labels = np.asarray(groups)
    if labels.shape != (total,):
        raise ValueError(f"groups must be ({total},), one per row, got shape {labels.shape}")
    own = labels[order]
    by_group = np.argsort(own, kind="stable")
    borders = np.flatnonzero(own[by_group][1:] != own[by_group][:-1]) + 1
    return [order[part] for part in np.split(by_group, borders) if len(part)]

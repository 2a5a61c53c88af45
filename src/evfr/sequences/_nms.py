"""Non-maximum suppression on any measure of overlap: hard, and soft."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

__all__ = ["DECAYS", "IouRows", "Rescored", "Suppression", "hard_nms", "soft_nms"]

IouRows: TypeAlias = "NDArray[np.float64] | Callable[[int], NDArray[np.float64]]"
"""The (N, N) matrix of overlaps, or a function that gives row i of it, (N,)."""

BELOW_FLOOR = -2

DECAYS: dict[str, Callable[[NDArray[np.float64], float, float], NDArray[np.float64]]] = {
    "gaussian": lambda iou, sigma, threshold: np.exp(-(iou * iou) / sigma),
    "linear": lambda iou, sigma, threshold: np.where(iou >= threshold, 1.0 - iou, 1.0),
}
"""Every decay of `soft_nms` by name: (IoU, sigma, threshold) to the factor on the score."""


@dataclass(frozen=True, slots=True, eq=False)
class Suppression:
    """Say what hard suppression kept.

    Attributes
    ----------
    kept : (K,) int64
        The survivors, in descending score.
    suppressed_by : (N,) int64
        For each of the N given: -1 kept, the survivor that suppressed it, or -2 below the floor.
    overlap : (N,) float64
        Its overlap with that survivor; NaN where there is none.
    """

    kept: NDArray[np.int64]
    suppressed_by: NDArray[np.int64]
    overlap: NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Rescored:
    """Say what soft suppression left.

    Attributes
    ----------
    order : (K,) int64
        Those that are left, in descending new score.
    scores : (K,) float64
        Their new scores.
    lowered_by : (N,) int64
        For each of the N given, the survivor that took most of its score; -1 for none.
    final : (N,) float64
        The score of each of the N given when it was taken, or at the end for those that are not left.
    overlap : (N,) float64
        Its overlap with the survivor that took most; NaN for none.
    """

    order: NDArray[np.int64]
    scores: NDArray[np.float64]
    lowered_by: NDArray[np.int64]
    final: NDArray[np.float64]
    overlap: NDArray[np.float64]


def hard_nms(scores: ArrayLike, iou: IouRows, *, threshold: float = 0.9, floor: float = 0.05) -> Suppression:
    """Keep the best and drop what overlaps it, again and again (Lin et al. 2021, Eq. 2).

    Parameters
    ----------
    scores : (N,) array_like of float
        Finite.
    iou : (N, N) array, or callable i -> (N,) array
        Overlap in [0, 1]; a callable is asked once for each survivor, so that 100,000 need no matrix.
    threshold : float
        An overlap of at least this suppresses; above 0, up to 1.
    floor : float
        Scores below it are dropped; the best is kept in any case.

    Returns
    -------
    Suppression
        Equal scores are taken in the order given; at least one is kept if there is one.

    Raises
    ------
    ValueError
        If a score is not finite, ``iou`` has another shape, or an option is out of range.

    Examples
    --------
    >>> hard_nms([0.5, 0.9, 0.8], np.array([[1, 0, 0.9], [0, 1, 0.2], [0.9, 0.2, 1]])).kept
    array([1, 2])
    """
    values = _scores(scores)
    if not 0.0 < threshold <= 1.0:
        raise ValueError(f"threshold must be above 0 and at most 1, got {threshold}")
    if not floor >= 0.0:
        raise ValueError(f"floor must be 0 or more, got {floor}")
    row = _rows(iou, len(values))
    order = np.argsort(-values, kind="stable")
    suppressed_by = np.where(values < floor, BELOW_FLOOR, -1).astype(np.int64)
    suppressed_by[order[:1]] = -1
    is_open = suppressed_by == -1
    overlap = np.full(len(values), np.nan)
    kept = []
    for i in order.tolist():
        if not is_open[i]:
            continue
        kept.append(i)
        is_open[i] = False
        shared = row(i)
        covered = is_open & (shared >= threshold)
        suppressed_by[covered] = i
        overlap[covered] = shared[covered]
        is_open[covered] = False
    return Suppression(np.array(kept, np.int64), suppressed_by, overlap)


def soft_nms(
    scores: ArrayLike,
    iou: IouRows,
    *,
    decay: Literal["gaussian", "linear"] = "gaussian",
    sigma: float = 0.5,
    threshold: float = 0.5,
    floor: float = 1e-3,
    limit: int = 10,
) -> Rescored:
    """Take the best, lower the others by how much they overlap it, again and again (Lin et al. 2021, Eq. 3).

    Parameters
    ----------
    scores : (N,) array_like of float
        0 or more, finite.
    iou : (N, N) array, or callable i -> (N,) array
        Overlap in [0, 1]; a callable is asked at most ``limit`` times.
    decay : {"gaussian", "linear"}
        Multiply by exp(-IoU^2 / sigma), as the released code does, or by 1 - IoU where IoU >= threshold.
    sigma : float
        Of the Gaussian, above 0. The paper's "threshold of .5" is this.
    threshold : float
        Of the linear decay, in [0, 1].
    floor : float
        Scores that fall below it are dropped; 0 or more.
    limit : int
        Most to keep, 1 or more.

    Returns
    -------
    Rescored
        Equal scores are taken in the order given.

    Raises
    ------
    ValueError
        If a score is negative or not finite, ``iou`` has another shape, or an option is out of range.

    Notes
    -----
    The authors' example, .78 lowered to .49, is an IoU of .482: .78 exp(-.482^2 / .5) = .49.

    References
    ----------
    Bodla et al., "Soft-NMS: improving object detection with one line of code", ICCV 2017,
    doi:10.1109/ICCV.2017.593.

    Examples
    --------
    >>> soft_nms([0.9, 0.78], np.array([[1, 0.482], [0.482, 1]])).scores.round(2)
    array([0.9 , 0.49])
    """
    values = _scores(scores)
    if (values < 0.0).any():
        at = int(np.flatnonzero(values < 0.0)[0])
        raise ValueError(f"score {at} must be 0 or more to be lowered, got {values[at]:g}")
    check_decay(decay, sigma, threshold, floor, limit)
    row = _rows(iou, len(values))
    lower = DECAYS[decay]
    final = values.copy()
    is_open = values >= floor
    lowered_by = np.full(len(values), -1, np.int64)
    most, overlap = np.zeros(len(values)), np.full(len(values), np.nan)
    order: list[int] = []
    while is_open.any():
        i = int(np.argmax(np.where(is_open, final, -1.0)))
        order.append(i)
        is_open[i] = False
        if len(order) == limit or not is_open.any():
            break
        shared = row(i)
        lowered = np.where(is_open, final * lower(shared, sigma, threshold), final)
        taken = final - lowered
        is_more = taken > most
        most[is_more] = taken[is_more]
        lowered_by[is_more] = i
        overlap[is_more] = shared[is_more]
        final = lowered
        is_open &= final >= floor
    picked = np.array(order, np.int64)
    return Rescored(picked, final[picked], lowered_by, final, overlap)


def check_decay(decay: str, sigma: float, threshold: float, floor: float, limit: int) -> None:
    """Raise ValueError where an option of `soft_nms` is not allowed."""
    if decay not in DECAYS:
        raise ValueError(f"decay must be one of {list(DECAYS)}, got {decay!r}")
    if not sigma > 0.0:
        raise ValueError(f"sigma must be above 0, got {sigma}")
    if not 0.0 <= threshold <= 1.0:
        raise ValueError(f"threshold must be in 0..1, got {threshold}")
    if not floor >= 0.0:
        raise ValueError(f"floor must be 0 or more, got {floor}")
    if limit < 1:
        raise ValueError(f"limit must be 1 or more, got {limit}")


def _scores(scores: ArrayLike) -> NDArray[np.float64]:
    values = np.asarray(scores, np.float64)
    if values.ndim != 1:
        raise ValueError(f"scores must be (N,), got {values.shape}")
    wrong = ~np.isfinite(values)
    if wrong.any():
        at = int(np.flatnonzero(wrong)[0])
        raise ValueError(f"score {at} must be a finite number, got {values[at]:g}")
    return values


def _rows(iou: IouRows, n: int) -> Callable[[int], NDArray[np.float64]]:
    """Return a function for rows of the overlap that checks them."""
    if not callable(iou):
        matrix = np.asarray(iou, np.float64)
        if matrix.shape != (n, n) and (n or matrix.size):
            raise ValueError(f"iou must be ({n}, {n}) for {n} scores, got {matrix.shape}")
        return lambda i: matrix[i]
    give = iou

    def row(i: int) -> NDArray[np.float64]:
        values = np.asarray(give(i), np.float64)
        if values.shape != (n,):
            raise ValueError(f"row {i} of iou must be ({n},), got {values.shape}")
        return values

    return row

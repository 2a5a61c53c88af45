"""Rows of a stream in blocks of one size, and centres of a stream."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from evfr._core.distances import Metric, check_metric, distances, usable_rows
from evfr.sampling._facility_rows import unit_rows
from evfr.sampling._sample import Sample, check_budget

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from numpy.typing import ArrayLike, NDArray

__all__ = ["BLOCK_ROWS", "stream_centres", "usable_blocks"]

BLOCK_ROWS = 4096
"""Rows worked on at once."""


def usable_blocks(
    blocks: Iterable[ArrayLike], metric: Metric, size: int, skipped: list[int]
) -> Iterator[tuple[NDArray[np.int64], NDArray[Any]]]:
    """Yield the rows that can be used, ``size`` at a time whatever the size of the blocks given.

    Parameters
    ----------
    blocks : iterable of (B, D) array_like
        The stream.
    metric : str or callable
        Says which rows can be used.
    size : int
        Rows per block; the last one may be smaller.
    skipped : list of int
        The first entry is counted up by the rows that cannot be used.

    Yields
    ------
    positions : (K,) int64
        Places in the stream.
    rows : (K, D) array
        The rows.

    Raises
    ------
    ValueError
        If a block is not two-dimensional, or of another width than the first.
    """
    position, width, waiting = 0, -1, 0
    places: list[NDArray[np.int64]] = []
    parts: list[NDArray[Any]] = []
    for given in blocks:
        block = np.asarray(given)
        if block.ndim != 2 or (width >= 0 and block.shape[1] != width):
            told = f" after D = {width}" if width >= 0 else ""
            raise ValueError(f"blocks must be (B, D) with one D, got shape {block.shape}{told}")
        width = block.shape[1]
        usable = np.flatnonzero(usable_rows(block, metric))
        skipped[0] += len(block) - len(usable)
        places.append(position + usable)
        parts.append(block[usable])
        position += len(block)
        waiting += len(usable)
        if waiting >= size:
            at, rows = np.concatenate(places), np.concatenate(parts)
            whole = waiting - waiting % size
            for begin in range(0, whole, size):
                yield at[begin : begin + size], rows[begin : begin + size]
            places, parts, waiting = [at[whole:]], [rows[whole:]], waiting - whole
    if waiting:
        yield np.concatenate(places), np.concatenate(parts)


def stream_centres(blocks: Iterable[ArrayLike], n: int, *, metric: Metric = "euclidean") -> Sample:
    """Take at most n rows of a stream in one pass so that none is far from them (doubling, Charikar et al. 2004).

    Parameters
    ----------
    blocks : iterable of (B, D) array_like
        The rows, as for `sieve`.
    n : int
        Rows to take at most, 1 or more.
    metric : str or callable
        As in `evfr.sampling.distances`; cosine is measured as the Euclidean distance of rows of length 1.

    Returns
    -------
    Sample
        At most n rows, often n / 2. Notes say the radius within which every row of the stream is.

    Raises
    ------
    ValueError
        If an option or a block is not allowed.

    Notes
    -----
    Guaranteed in a metric: every row that can be used is within 8 times the best radius that n rows can have. With
    threshold t, centres are more than t apart and every row is within 2 t of one; a row farther than 2 t becomes
    a centre; with n + 1 centres t is doubled and centres within t of an earlier one are dropped. `farthest` is
    within 2 times the best, but must see all rows again for each pick.

    References
    ----------
    Charikar, Chekuri, Feder & Motwani, "Incremental clustering and dynamic information retrieval", SIAM Journal on
    Computing 33 (2004), doi:10.1137/S0097539702418498.

    Examples
    --------
    >>> stream_centres([[[0.0], [0.1], [9.0]], [[9.1], [5.0]]], 3).indices.tolist()
    [0, 2, 4]
    """
    check_metric(metric)
    n = check_budget(n, 2**62)
    if n < 1:
        raise ValueError("n must be 1 or more for centres of a stream, got 0")
    measure: Metric = "euclidean" if metric == "cosine" else metric
    skipped, threshold = [0], 0.0
    names: list[int] = []
    centres: NDArray[Any] | None = None
    for at, raw in usable_blocks(blocks, metric, BLOCK_ROWS, skipped):
        block = unit_rows(raw, np.float64) if metric == "cosine" else raw.astype(np.float64)
        begin = 0
        while begin < len(block):
            rest = block[begin:]
            gap = (
                np.full(len(rest), np.inf)
                if centres is None
                else distances(centres, rest, measure).min(axis=0)
            )
            # Until a merge the nearest centre only comes closer: candidates can be told once for the whole block.
            is_merged = False
            for k in np.flatnonzero(gap > 2 * threshold).tolist():
                if centres is not None and distances(rest[k], centres, measure).min() <= 2 * threshold:
                    continue
                centres = rest[k : k + 1] if centres is None else np.concatenate([centres, rest[k : k + 1]])
                names.append(int(at[begin + k]))
                if len(names) > n:
                    centres, names, threshold = _merge(centres, names, threshold, n, measure)
                    begin += k + 1
                    is_merged = True
                    break
            if not is_merged:
                break
    count = len(names)
    return Sample(
        indices=np.array(names, np.int64),
        inclusion=np.full(count, np.nan),
        rank=np.arange(count, dtype=np.int64),
        reasons=tuple(f"centres: farther than {2 * threshold:.3g} from the centres before it" for _ in names),
        notes=(f"centres: every row is within {2 * threshold:.6g} of one of {count} centres (n = {n})",),
        method="centres",
        nan_count=skipped[0],
    )


def _merge(
    centres: NDArray[Any], names: list[int], threshold: float, n: int, metric: Metric
) -> tuple[NDArray[Any], list[int], float]:
    """Double the threshold until at most n centres are farther apart than it."""
    while len(names) > n:
        between = distances(centres, centres, metric)
        threshold = 2 * threshold or float(between[np.triu_indices(len(names), 1)].min())
        kept: list[int] = []
        for k in range(len(names)):
            if not kept or between[k, kept].min() > threshold:
                kept.append(k)
        centres, names = centres[kept], [names[k] for k in kept]
    return centres, names, threshold

"""Rows that represent all rows best: greedy facility location."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from evfr._core.distances import RowSource
from evfr._core.rng import generator
from evfr.errors import ConstraintError
from evfr.sampling._facility_greedy import ONE, raise_in_turn
from evfr.sampling._facility_rows import blocks, check_pickable, prepare
from evfr.sampling._facility_sources import (
    BlockSource,
    DenseSource,
    Queue,
    SparseSource,
    greedy,
    point_rows,
    stochastic_greedy,
)
from evfr.sampling._facility_sparse import neighbour_lists
from evfr.sampling._sample import Sample, check_budget

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import ArrayLike, NDArray

    from evfr.sampling._facility_rows import Rows

__all__ = ["facility", "facility_objective"]

MATRIX_BYTES = 2**30
"""Largest matrix of similarities held (16,384 distinct rows); above, exact and stochastic compute again."""
MODES = ("auto", "exact", "sparse", "stochastic")


def facility(
    embeddings: ArrayLike | RowSource,
    n: int,
    *,
    seed: int = 0,
    metric: Literal["euclidean", "cosine", "manhattan", "minkowski", "chebyshev"]
    | Callable[..., Any] = "cosine",
    mode: Literal["auto", "exact", "sparse", "stochastic"] = "auto",
    neighbours: int | None = None,
    initial: Sequence[int] = (),
    usable: ArrayLike | None = None,
    accept: Callable[[int], bool] | None = None,
    times: ArrayLike | None = None,
) -> Sample:
    """Take the n rows that together are most similar to all rows (facility location, Nemhauser et al. 1978).

    Each row is represented by the most similar row taken. Facility location takes what is typical and often;
    `farthest` takes what is odd. Each does badly at the other's aim.

    Parameters
    ----------
    embeddings : (N, D) array_like, or RowSource
        One row per frame, float16, float32 or float64. A source is read into memory; select from pools
        (`pool_rows`) where it does not fit.
    n : int
        Rows to take, 0 <= n <= N; ``initial`` is not counted.
    seed : int
        Used by ``mode="stochastic"`` only.
    metric : str or callable
        ``"cosine"``: similarity ``max(0, cos)``. Another name, or a callable (a (D,), B (M, D)) -> (M,):
        similarity ``max(0, 1 - distance / R)``, where R is twice the largest distance of a row from the mean
        row (no two rows are farther apart in a metric).
    mode : {"auto", "exact", "sparse", "stochastic"}
        ``"exact"`` uses every pair of rows; ``"sparse"`` the ``neighbours`` most similar rows of each row and
        counts other pairs as 0 (cosine and euclidean only; needs faiss); ``"stochastic"`` compares
        N / n ln 20 random candidates per pick. ``"auto"`` is exact up to 16,384 distinct rows, then sparse where
        the metric allows it, else exact.
    neighbours : int, optional
        Similarities kept per row when sparse, at least N / n (the default is twice that within 64 and 256, or
        N / n where that is more). They take 16 N neighbours bytes: where N / n is in the thousands, select from
        pools (`pool_rows`) instead.
    initial : sequence of int
        Rows selected already: they count in the objective and are not returned.
    usable : (N,) bool, optional
        Rows that may be taken; the others still have to be represented.
    accept : callable, optional
        Called with each row right before it is taken; False strikes the row for good.
    times : (N,) array_like, optional
        Seconds. When sparse, the 8 rows before and after each in time are neighbours too; by default rows are
        taken to be in the order of time.

    Returns
    -------
    Sample
        ``gains`` is the rise of the exact objective at each pick, in rows (a row that is represented by its
        equal counts 1); notes state the objective; nested through ``rank``.

    Raises
    ------
    ValueError
        If an option, a shape or an index is not allowed.
    ConstraintError
        If fewer than n rows can be taken or are accepted.
    MissingExtraError
        If faiss is needed and not installed.

    Notes
    -----
    Maximises ``F(S) = sum_i max(0, max_{j in S} sim(i, j))`` over sets S of n rows, greedily: at least 1 - 1/e of the
    best possible. Sums run over all rows that can be used. Gains only fall as rows are added, so a gain computed
    earlier bounds the present one from above and most need not be computed again (Minoux 1978). Similarities are
    rounded to multiples of 2^-30, sums are exact, and ties go to the lowest index. Exact duplicates count as
    one row with several copies. When no row adds anything, the rest is filled by lowest index, rows without a
    picked duplicate first. The sparse objective is a lower bound of the exact one; the notes state both.
    Stochastic greedy reaches 1 - 1/e - .05 of the best on average (Mirzasoleiman et al. 2015). It saves
    comparisons, not similarities: when the matrix does not fit it computes N ln 20 columns of it.

    Rows with NaN or infinity, and zero rows under the cosine, are neither taken nor represented, and are counted.

    References
    ----------
    Nemhauser, Wolsey & Fisher, "An analysis of approximations for maximizing submodular set functions I",
    Mathematical Programming 14 (1978), doi:10.1007/BF01588971. Minoux, "Accelerated greedy algorithms for
    maximizing submodular set functions", 1978, doi:10.1007/BFb0006528. Mirzasoleiman et al., "Lazier than lazy
    greedy", AAAI 2015, arXiv:1409.7938. Wei, Iyer & Bilmes, "Fast multi-stage submodular maximization", ICML 2014.

    Examples
    --------
    >>> facility([[1, 0], [9, 1], [1, 0.1], [0, 1]], 2).indices.tolist()
    [1, 3]
    """
    array = _read(embeddings)
    n = check_budget(n, len(array)) if array.ndim == 2 else n
    rows, nan_count, initial_rows = _problem(array, metric, initial, usable)
    check_pickable(rows, n, nan_count)
    kind = choose_mode(rows, mode)
    return run(
        rows,
        n,
        mode=kind,
        seed=seed,
        neighbours=neighbours,
        initial=initial_rows,
        accept=accept,
        times=times,
        nan_count=nan_count,
    )


def facility_objective(
    embeddings: ArrayLike | RowSource,
    selected: Sequence[int] | NDArray[np.int64],
    *,
    metric: str | Callable[..., Any] = "cosine",
) -> float:
    """Return the exact facility location objective of any selection, in rows.

    Parameters
    ----------
    embeddings : (N, D) array_like, or RowSource
        As for `facility`.
    selected : sequence of int
        Rows; those that cannot be used represent nothing.
    metric : str or callable
        As for `facility`.

    Returns
    -------
    float
        Between 0 and the number of rows that can be used.

    Raises
    ------
    ValueError
        If a shape or an index is not allowed.

    Examples
    --------
    >>> facility_objective([[1, 0], [2, 0], [0, 1]], [0])
    2.0
    """
    rows, _, chosen = _problem(_read(embeddings), metric, selected, None)
    current, _, _ = _replay(rows, rows.group[chosen], lambda groups: point_rows(rows, groups))
    return _total(rows, current)


def run(
    rows: Rows,
    n: int,
    *,
    mode: str,
    seed: int = 0,
    neighbours: int | None = None,
    initial: NDArray[np.int64] | None = None,
    accept: Callable[[int], bool] | None = None,
    times: ArrayLike | None = None,
    nan_count: int = 0,
) -> Sample:
    """Run one mode of greedy facility location on prepared (and perhaps weighted) rows.

    Parameters
    ----------
    rows : Rows
        The problem; rows of ``initial`` are no members.
    n : int
        Rows to take, no more than there are members.
    mode : {"exact", "sparse", "stochastic"}
        No ``"auto"``.
    seed, neighbours, accept, times
        As for `facility`.
    initial : (K,) int64, optional
        Rows selected already, all of them usable.
    nan_count : int
        Passed on to the result.

    Returns
    -------
    Sample
        As from `facility`.
    """
    before = np.zeros(0, np.int64) if initial is None else initial
    current, _, _ = _replay(rows, rows.group[before], lambda groups: point_rows(rows, groups))
    queue = Queue(rows)
    source: DenseSource | BlockSource | SparseSource
    if n == 0:
        source = BlockSource(rows, current, queue, is_lazy=False)
    elif mode == "sparse":
        lists = neighbour_lists(rows, _neighbours(rows, n, neighbours), times)
        source = SparseSource(rows, current, queue, lists)
    elif 4 * len(rows.points) ** 2 <= MATRIX_BYTES:
        source = DenseSource(rows, current, queue)
    else:
        source = BlockSource(rows, current, queue, is_lazy=mode == "exact")
    if mode == "stochastic" and not isinstance(source, SparseSource):
        order, n_filled = stochastic_greedy(source, queue, n, accept, generator(seed))
    else:
        order, n_filled = greedy(source, queue, n, accept)
    if len(order) < n:
        raise ConstraintError(
            f"only {len(order)} of n={n} frames are accepted by the constraints; lower n or the gaps"
        )
    sparse = f", {_total(rows, source.current):.1f} by the neighbours kept" if mode == "sparse" and n else ""
    chosen = np.concatenate([before, np.array(order, np.int64)])
    current, owner, gains = _replay(rows, rows.group[chosen], source.similarities)
    total, weight = _total(rows, current), int(rows.weight.sum())
    notes = [f"facility: represents {total:.1f} of {weight} frames{sparse} ({mode})"] if n else []
    if n_filled:
        notes.append(f"facility: {n_filled} frames add nothing and were taken by lowest index")
    return _to_sample(rows, order, len(before), owner, gains, n_filled, notes, nan_count)


def _to_sample(
    rows: Rows,
    order: list[int],
    n_before: int,
    owner: NDArray[np.int64],
    gains: NDArray[np.float64],
    n_filled: int,
    notes: list[str],
    nan_count: int,
) -> Sample:
    count = len(order)
    share = np.bincount(owner[owner >= 0], rows.weight[owner >= 0], n_before + count)[n_before:]
    picked = np.array(order, np.int64)
    rank = np.argsort(picked).astype(np.int64)
    reasons = [
        f"facility: adds {gain:.3g} frames; nearest pick of {int(near)}"
        for gain, near in zip(gains[n_before:], share, strict=True)
    ]
    reasons[count - n_filled :] = ["facility: adds nothing; lowest index"] * n_filled
    return Sample(
        indices=picked[rank],
        inclusion=np.full(count, np.nan),
        rank=rank,
        reasons=tuple(reasons[k] for k in rank),
        is_fallback=n_filled > 0,
        notes=tuple(notes),
        method="facility",
        nan_count=nan_count,
        gains=gains[n_before:][rank],
    )


def _read(embeddings: ArrayLike | RowSource) -> NDArray[Any]:
    if isinstance(embeddings, np.ndarray) or not isinstance(embeddings, RowSource):
        return np.asarray(embeddings)
    parts = list(embeddings.blocks(65_536))
    return np.concatenate(parts) if parts else np.zeros((0, embeddings.dimension), np.float32)


def _problem(
    array: NDArray[Any],
    metric: str | Callable[..., Any],
    initial: Sequence[int] | NDArray[np.int64],
    usable: ArrayLike | None,
) -> tuple[Rows, int, NDArray[np.int64]]:
    """Return the prepared rows, how many cannot be used, and the initial rows that can."""
    before = np.asarray(initial, dtype=np.int64).reshape(-1)
    count = len(array) if array.ndim else 0
    if len(before) and (before.min() < 0 or before.max() >= count):
        raise ValueError(f"initial must hold rows in 0..{count - 1}, got {before.min()}..{before.max()}")
    may = np.ones(count, np.bool_) if usable is None else np.array(usable)
    if may.shape == (count,):
        may[before] = False
    rows, nan_count = prepare(array, metric, may)
    return rows, nan_count, before[rows.group[before] >= 0]


def choose_mode(rows: Rows, mode: str) -> str:
    """Return the mode that "auto" stands for on these rows, or the mode itself where it can be had."""
    if mode not in MODES:
        raise ValueError(f"mode must be one of {', '.join(MODES)}, got {mode!r}")
    has_index = rows.metric in ("cosine", "euclidean")
    if mode == "sparse" and not has_index:
        raise ValueError(
            f"mode 'sparse' knows the metrics cosine and euclidean, got {rows.metric!r}; use mode 'exact'"
        )
    if mode != "auto":
        return mode
    return "exact" if 4 * len(rows.points) ** 2 <= MATRIX_BYTES or not has_index else "sparse"


def _neighbours(rows: Rows, n: int, neighbours: int | None) -> int:
    count = len(rows.points)
    least = -(-count // n)
    if neighbours is None:
        return min(max(least, min(max(64, 2 * least), 256)), count)
    if neighbours < least:
        raise ValueError(
            f"neighbours must be at least N / n = {least}, so that n rows can represent all, got {neighbours}"
        )
    return min(neighbours, count)


def _replay(
    rows: Rows, groups: NDArray[np.int64], similarities: Callable[[NDArray[np.int64]], NDArray[np.int32]]
) -> tuple[NDArray[np.int32], NDArray[np.int64], NDArray[np.float64]]:
    """Return, for groups taken one after the other, the final similarities, the nearest pick and the gains."""
    current = np.zeros(len(rows.points), np.int32)
    owner = np.full(len(rows.points), -1, np.int64)
    gains = np.zeros(len(groups), np.int64)
    for begin, stop in blocks(rows, len(groups)):
        raise_in_turn(similarities(groups[begin:stop]), current, owner, rows.weight, gains, begin)
    return current, owner, gains / ONE


def _total(rows: Rows, current: NDArray[np.int32]) -> float:
    return int((current.astype(np.int64) * rows.weight).sum()) / ONE

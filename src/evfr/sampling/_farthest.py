"""Rows as far as possible from each other: greedy k-centre, exactly."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np

from evfr._core.distances import check_metric
from evfr._core.rng import generator
from evfr.errors import ConstraintError
from evfr.sampling._farthest_lazy import lazy_order
from evfr.sampling._farthest_plain import Greedy, Order, plain_order
from evfr.sampling._farthest_rows import Rows
from evfr.sampling._sample import Sample, check_budget

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    from evfr._core.distances import Metric, RowSource

__all__ = ["StopReason", "farthest", "farthest_order"]

SETUP_PICKS, SETUP_PAIRS = 20, 120_000
"""What the lazy way costs before its first pick: so many picks of the plain loop, and so many distances."""

StopReason = Literal["budget", "duplicates", "radius", "exhausted"]
"""Why an order ended, as `farthest_order` explains."""


def farthest_order(
    embeddings: ArrayLike | RowSource,
    n: int,
    *,
    seed: int = 0,
    metric: str | Callable[..., Any] = "euclidean",
    p: float = 3.0,
    start: int | Literal["seed", "mean"] = "seed",
    initial: Sequence[int] = (),
    usable: ArrayLike | None = None,
    accept: Callable[[int], bool] | None = None,
    stop_radius: float | None = None,
) -> tuple[NDArray[np.int64], NDArray[np.float64], StopReason]:
    """Take rows one by one, each the farthest from all taken before (greedy k-centre, Gonzalez 1985).

    Parameters
    ----------
    embeddings : (N, D) array_like of float, or RowSource
        One row per frame. A source is read in blocks and rows and may be larger than memory.
    n : int
        Rows to take at most, 0 or more; fewer come back where a rule below ends the order.
    seed : int
        Draws the first row where ``start="seed"``.
    metric : str or callable
        As in `evfr.sampling.distances`.
    p : float
        Exponent of ``"minkowski"``, 1 or more.
    start : int, "seed" or "mean"
        The first row where there is no ``initial``: its index, one drawn from the seed, or the one closest to
        the mean row (Euclidean).
    initial : sequence of int
        Rows selected already: distances count from them; they are not returned and not counted in n.
    usable : (N,) bool, optional
        Rows that may be taken; the others count for nothing.
    accept : callable, optional
        Called with each row right before it is taken; False strikes the row for good.
    stop_radius : float, optional
        End as soon as no row is farther than this from the nearest row taken.

    Returns
    -------
    picks : (M,) int64
        Rows in the order taken, M <= n. Any prefix is the order for a smaller n.
    distances : (M,) float64
        Distance of each to the nearest row taken before it, never rising; infinity for the first row when there
        is no ``initial``.
    stop_reason : {"budget", "duplicates", "radius", "exhausted"}
        n rows were taken; all rows left are at distance 0; none is farther than ``stop_radius``; no row is left.

    Raises
    ------
    ValueError
        If an argument is not allowed, or a callable metric returns a negative or undefined distance.

    Notes
    -----
    The picks are those of the plain loop: for each row of ``embeddings`` the smallest distance to a row taken, in
    float64, then the lowest index among the largest. Compared are: squared Euclidean distances, summed as numpy
    sums ``((rows - row) ** 2).sum(axis=1)``; under cosine the same of the rows divided by their lengths, where
    1e-28 or less is 0; sums of absolute differences, of their p-th powers, or the largest difference.

    Rows with NaN or infinity are never taken and count for nothing, nor do zero rows under cosine.

    References
    ----------
    Gonzalez, "Clustering to minimize the maximum intercluster distance", Theoretical Computer Science 38 (1985),
    doi:10.1016/0304-3975(85)90224-5.

    Examples
    --------
    >>> picks, radii, reason = farthest_order([[0.0], [1.0], [9.0], [9.0]], 4, start=0)
    >>> picks.tolist(), radii.tolist(), reason
    ([0, 2, 1], [inf, 9.0, 1.0], 'duplicates')
    """
    problem = _prepare(embeddings, seed, metric, p, start, initial, usable)
    n = check_budget(n, max(n, 0) if isinstance(n, int) else 0)
    if stop_radius is not None and not stop_radius >= 0:
        raise ValueError(f"stop_radius must be 0 or more, got {stop_radius}")
    order = problem.run(n, accept, stop_radius)
    return np.array(order.picks, np.int64), problem.distances(order.keys), order.stop_reason  # type: ignore[return-value]


def farthest(
    embeddings: ArrayLike | RowSource,
    n: int,
    *,
    seed: int = 0,
    metric: Literal["euclidean", "cosine", "manhattan", "minkowski", "chebyshev"]
    | Callable[..., Any] = "euclidean",
    p: float = 3.0,
    start: int | Literal["seed", "mean"] = "seed",
    initial: Sequence[int] = (),
    usable: ArrayLike | None = None,
    accept: Callable[[int], bool] | None = None,
) -> Sample:
    """Take n rows, each the farthest from all taken before (FPS, greedy k-centre, Gonzalez 1985).

    Takes what is odd, outliers first, and starves quiet scenes; see `facility` for what is typical.

    Parameters
    ----------
    embeddings : (N, D) array_like of float, or RowSource
        One row per frame. A source is read in blocks and rows and may be larger than memory.
    n : int
        Rows to take, 0 <= n <= N.
    seed : int
        Draws the first row where ``start="seed"``.
    metric : str or callable
        Distance: ``"euclidean"``, ``"cosine"``, ``"manhattan"``, ``"minkowski"``, ``"chebyshev"``, or a callable
        ``(a (D,), b (M, D)) -> (M,)``.
    p : float
        Exponent of ``"minkowski"``, 1 or more.
    start : int, "seed" or "mean"
        The first row where there is no ``initial``: its index, one drawn from the seed, or the one closest to
        the mean row (Euclidean).
    initial : sequence of int
        Rows selected already: distances count from them; they are not returned and not counted in n.
    usable : (N,) bool, optional
        Rows that may be taken; the others count for nothing.
    accept : callable, optional
        Called with each row right before it is taken; False strikes the row for good.

    Returns
    -------
    Sample
        Nested through ``rank``; ``gains`` are the distances when taken. Where distinct rows run out, the rest is
        filled by lowest index and ``is_fallback`` is set.

    Raises
    ------
    ValueError
        If an argument is not allowed.
    ConstraintError
        If fewer than n rows can be taken or are accepted.

    Notes
    -----
    Exact: the picks are those of the plain loop, see `farthest_order`. The radius that is reached is at most twice
    the smallest possible for n rows.

    References
    ----------
    Gonzalez, "Clustering to minimize the maximum intercluster distance", Theoretical Computer Science 38 (1985),
    doi:10.1016/0304-3975(85)90224-5.

    Examples
    --------
    >>> farthest([[0.0], [1.0], [9.0], [10.0]], 3, start=1).indices.tolist()
    [0, 1, 3]
    """
    problem = _prepare(embeddings, seed, metric, p, start, initial, usable)
    n = check_budget(n, len(problem.rows))
    n_allowed = int(problem.allowed.sum())
    if n > n_allowed:
        raise ConstraintError(
            f"n={n} is more than the {n_allowed} of {len(problem.rows)} frames that can be picked"
            f"{problem.why_unusable()}; lower n"
        )
    is_struck = np.zeros(len(problem.rows), np.bool_)

    def ask(row: int) -> bool:
        is_struck[row] = not (accept is None or accept(row))
        return not is_struck[row]

    order = problem.run(n, None if accept is None else ask, None)
    picks = np.array(order.picks, np.int64)
    fills: list[int] = []
    if len(picks) < n:
        left = problem.allowed & ~is_struck
        left[picks] = False
        for row in np.flatnonzero(left).tolist():
            if len(picks) + len(fills) < n and ask(row):
                fills.append(row)
        if len(picks) + len(fills) < n:
            raise ConstraintError(
                f"only {len(picks) + len(fills)} of n={n} frames are accepted by the constraints; lower n or the gaps"
            )
    return _to_sample(problem, order, fills, has_struck=bool(is_struck.any()))


class _Problem(NamedTuple):
    """Checked arguments."""

    rows: Rows
    metric: Metric
    p: float
    given: NDArray[np.int64]
    first: int
    why_first: str
    allowed: NDArray[np.bool_]
    n_unusable: int
    n_ignored: int

    def run(self, n: int, accept: Callable[[int], bool] | None, stop_radius: float | None) -> Order:
        """Pick up to n rows."""
        greedy = Greedy(
            n,
            self.metric,
            self.p,
            self.given,
            self.first,
            self.allowed.copy(),
            accept,
            self.stop_key(stop_radius or 0.0),
        )
        rows = self.rows
        if n > 0 and self.metric in ("euclidean", "cosine") and rows.shape[1] > 0:
            is_worth = (n - SETUP_PICKS) * len(rows) > SETUP_PAIRS or (rows.source is not None and n > 1)
            if is_worth and (narrow := rows.as_float32()) is not None:
                return lazy_order(narrow, greedy)
        return plain_order(rows, greedy)

    def distances(self, keys: Sequence[float]) -> NDArray[np.float64]:
        """Turn what is compared into distances."""
        values = np.array(keys, np.float64)
        if self.metric == "euclidean":
            return np.sqrt(values)
        if self.metric == "cosine":
            return np.where(np.isinf(values), values, np.minimum(values / 2.0, 2.0))
        return values ** (1.0 / self.p) if self.metric == "minkowski" else values

    def stop_key(self, radius: float) -> float:
        """Return a key so that exactly the keys up to it are distances of at most ``radius``."""
        powers = {"euclidean": radius * radius, "cosine": 2.0 * radius, "minkowski": radius**self.p}
        key = radius if callable(self.metric) else powers.get(self.metric, radius)
        # Rounding of the inverse may put a few neighbours of the key on the other side.
        while key > 0 and self.distances([key])[0] > radius:
            key = np.nextafter(key, 0.0)
        while np.isfinite(key) and self.distances([np.nextafter(key, np.inf)])[0] <= radius:
            key = np.nextafter(key, np.inf)
        return float(key)

    def why_unusable(self) -> str:
        """Say how many rows cannot be used, and why, for the text of errors and notes."""
        if not self.n_unusable:
            return ""
        zeros = " or only zeros, which have no direction" if self.metric == "cosine" else ""
        return f"; {self.n_unusable} rows hold NaN or infinity{zeros}"


def _prepare(
    embeddings: ArrayLike | RowSource,
    seed: int,
    metric: Metric,
    p: float,
    start: int | str,
    initial: Sequence[int],
    usable: ArrayLike | None,
) -> _Problem:
    check_metric(metric, p)
    rows = Rows(embeddings)
    total = len(rows)
    measured = rows.usable(metric)
    allowed = measured.copy()
    if usable is not None:
        mask = np.asarray(usable)
        if mask.shape != (total,) or mask.dtype != np.bool_:
            raise ValueError(f"usable must be ({total},) bool, got {mask.shape} {mask.dtype}")
        allowed &= mask
    before = np.asarray(initial)
    if before.size and (before.ndim != 1 or before.dtype.kind not in "iu"):
        raise ValueError(f"initial must be row indices, got {before.dtype} {before.shape}")
    if before.size and not 0 <= before.min() <= before.max() < total:
        raise ValueError(f"initial must be in 0..{total - 1}, got {before.min()} to {before.max()}")
    before = np.unique(before).astype(np.int64)
    allowed[before] = False
    given = before[measured[before]]
    draw = generator(seed)
    first, why = -1, ""
    if isinstance(start, str) and start not in ("seed", "mean"):
        raise ValueError(f"start must be a row index, 'seed' or 'mean', got {start!r}")
    if not isinstance(start, str) and not 0 <= start < max(total, 1):
        raise ValueError(f"start must be in 0..{total - 1}, got {start}")
    if not len(given) and allowed.any():
        if start == "seed":
            choice = np.flatnonzero(allowed)
            first, why = int(choice[draw.integers(len(choice))]), f"the first frame, drawn with seed {seed}"
        elif start == "mean":
            first, why = rows.nearest_to_mean(allowed), "the first frame, closest to the mean"
        else:
            first, why = int(start), "the first frame, as asked for"
            if not allowed[first]:
                raise ValueError(f"start={start} cannot be picked: it is not usable; give another row")
    return _Problem(
        rows,
        metric,
        p,
        given,
        first,
        why,
        allowed,
        total - int(measured.sum()),
        len(before) - len(given),
    )


def _to_sample(problem: _Problem, order: Order, fills: list[int], *, has_struck: bool) -> Sample:
    distances = problem.distances(order.keys)
    ranked = np.array([*order.picks, *fills], np.int64)
    reasons = [f"farthest: {value:.4g} from the nearest frame taken before" for value in distances]
    if len(distances) and np.isinf(distances[0]):
        is_drawn = order.picks[0] == problem.first
        reasons[0] = f"farthest: {problem.why_first if is_drawn else 'the first frame that is accepted'}"
    reasons += ["farthest: equal to a frame taken before, filled by lowest index"] * len(fills)
    gains = np.concatenate([np.where(np.isinf(distances), np.nan, distances), np.zeros(len(fills))])
    notes: list[str] = []
    if len(ranked) and not has_struck:  # the radius counts only rows that might still be picked
        radius = problem.distances([max(order.left, 0.0)])[0]
        notes.append(
            f"farthest: every frame that may be picked is within {radius:.4g} of a selected one (covering radius)"
        )
    if problem.n_unusable:
        notes.append(f"farthest{problem.why_unusable().replace(';', ':', 1)}; never picked")
    if problem.n_ignored:
        notes.append(
            f"farthest: {problem.n_ignored} frames selected already cannot be used and count for nothing"
        )
    if fills:
        notes.append(
            f"farthest: only {len(order.picks)} frames are distinct; {len(fills)} filled by lowest index"
        )
    rank = np.argsort(ranked, kind="stable").astype(np.int64)
    return Sample(
        indices=ranked[rank],
        inclusion=np.full(len(ranked), np.nan),
        rank=rank,
        reasons=tuple(reasons[k] for k in rank.tolist()),
        is_fallback=bool(fills),
        notes=tuple(notes),
        method="farthest",
        nan_count=problem.n_unusable,
        gains=gains[rank],
    )

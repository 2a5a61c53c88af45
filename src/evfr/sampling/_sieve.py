"""Facility location in one pass over rows without end, in bounded memory."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
from numba import njit

from evfr._core.distances import usable_rows
from evfr._core.rng import generator
from evfr.errors import ConstraintError
from evfr.sampling._facility_greedy import ONE, fixed_point
from evfr.sampling._facility_rows import unit_rows
from evfr.sampling._sample import Sample, check_budget
from evfr.sampling._stream import BLOCK_ROWS, usable_blocks

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import ArrayLike, NDArray

__all__ = ["sieve"]


def sieve(
    blocks: Iterable[ArrayLike],
    n: int,
    *,
    seed: int = 0,
    epsilon: float = 0.1,
    reference: int | ArrayLike = 1024,
) -> Sample:
    """Take n rows of a stream in one pass so that they represent it (sieve-streaming, Badanidiyuru et al. 2014).

    Parameters
    ----------
    blocks : iterable of (B, D) array_like
        The rows, in any number of blocks of any size; each is read once and may be gone afterwards.
    n : int
        Rows to take.
    seed : int
        Draws the reference rows, where they are not given.
    epsilon : float
        In (0, 1): each threshold is 1 + epsilon times the one below it.
    reference : int or (R, D) array_like
        Rows by which picks are judged: an array, or the size of a uniform sample of the stream, at least n.

    Returns
    -------
    Sample
        ``indices`` count rows from the start of the stream; ``gains`` are rises of the objective over the
        reference rows at the end, as a share of them; notes say the objective and the memory held.

    Raises
    ------
    ValueError
        If an option or a block is not allowed.
    ConstraintError
        If the stream has fewer than n rows that can be used.

    Notes
    -----
    The objective is f(S) = sum over reference rows r of max(0, max_{j in S} cos(r, j)).

    What is guaranteed: with ``reference`` given as an array, f(S) >= (1/2 - epsilon) max f over all sets of n
    rows of the stream, whatever their order. With a number, the reference is a uniform sample held in a reservoir:
    it changes while the stream runs, picks are judged by the sample of their time, and the proof holds only from
    the last change on, so there is no bound for the whole; for a stream in random order the sample of any time
    estimates the same objective.

    Memory: at most about ``n ln(4 n) / epsilon`` rows in the sieves, n best single rows, the reference, and one block.

    One sieve per threshold t = (1 + epsilon)^i between max(L, m) / (2 n) and m, where m is the best f of one row and
    L the best f of a sieve so far; a row enters the sieve of t where it adds t or more and the sieve has fewer than
    n. Thresholds above the bound on a new row's gain start empty, those below are dropped (sieve-streaming++,
    Kazemi et al. 2019). At the end the best sieve is filled to n rows, greedily, from the rows of all sieves, then from
    the sample; this only adds to f.

    Rows with NaN or infinity and zero rows are skipped and counted.

    References
    ----------
    Badanidiyuru, Mirzasoleiman, Karbasi & Krause, "Streaming submodular maximization", KDD 2014,
    doi:10.1145/2623330.2623637. Kazemi et al., "Submodular streaming in all its glory", ICML 2019.

    Examples
    --------
    >>> sieve(iter([[[1, 0], [1, 0.1]], [[0, 1]]]), 2).indices.tolist()
    [0, 2]
    """
    n = check_budget(n, 2**62)
    if not 0.0 < epsilon < 1.0:
        raise ValueError(f"epsilon must be in (0, 1), got {epsilon}")
    state = _Sieves(n, epsilon, reference, seed)
    size = max(BLOCK_ROWS, 0 if state.is_fixed else state.size)
    for at, rows in usable_blocks(blocks, "cosine", size, state.skipped):
        state.add(at, rows)
    return state.finish()


class _Sieves:
    """Hold the sieves, the rows in them and the reference while the stream runs."""

    def __init__(self, n: int, epsilon: float, reference: int | ArrayLike, seed: int) -> None:
        self.n, self.epsilon, self.rng = n, epsilon, generator(seed)
        self.skipped = [0]
        self.seen = 0
        self.is_fixed = np.ndim(reference) > 0
        self.kept: dict[int, NDArray[np.float32]] = {}
        self.sample_at = np.zeros(0, np.int64)
        if self.is_fixed:
            given = np.asarray(reference)
            if given.ndim != 2 or not len(given) or not usable_rows(given, "cosine").all():
                raise ValueError(
                    f"reference must be (R, D) with finite rows that are not zero, got shape {given.shape}"
                )
            self.reference, self.size = unit_rows(given), len(given)
        else:
            self.size = int(reference)  # type: ignore[arg-type]
            if self.size < max(n, 1):
                raise ValueError(f"reference must be at least n = {n} rows (and 1), got {self.size}")
            self.reference = np.zeros((0, 0), np.float32)
        self.level: list[int] = []  # exponents of the thresholds, ascending
        self.picks: list[list[int]] = []
        self.current: list[NDArray[np.int32]] = []
        self.best_single, self.best_sieve, self.peak = 0, 0, 0
        self.singles: list[tuple[int, int]] = []  # n rows of the largest f alone, to fill up from

    def add(self, at: NDArray[np.int64], rows: NDArray[Any]) -> None:
        """Let one block pass through all sieves."""
        unit = unit_rows(rows)
        if not self.is_fixed:
            self._draw(at, unit)
        close = self._similarities(unit)
        alone = close.sum(axis=1, dtype=np.int64)
        self._keep_singles(at, alone)
        # The largest single gain may rise within the block: cut it there, so that thresholds are never late.
        highs = np.maximum.accumulate(np.maximum(alone, self.best_single))
        cuts = np.flatnonzero(np.diff(highs, prepend=self.best_single) > 0)
        edges = [0, *cuts[cuts > 0].tolist(), len(unit)]
        taken: set[int] = set()
        for begin, stop in pairwise(edges):
            self.best_single = int(highs[begin])
            self._thresholds()
            for k, level in enumerate(self.level):
                room = self.n - len(self.picks[k])
                if room > 0:
                    least = np.int64(max(1, np.ceil((1 + self.epsilon) ** level)))
                    found = _pass_through(close, alone, begin, stop, self.current[k], least, room)
                    self.picks[k].extend(at[found].tolist())
                    taken.update(found.tolist())
            self.best_sieve = max([self.best_sieve, *(int(c.sum(dtype=np.int64)) for c in self.current)])
        self._remember(at, unit, taken)

    def _similarities(self, unit: NDArray[np.float32]) -> NDArray[np.int32]:
        block = unit @ self.reference.T
        out = np.empty(block.shape, np.int32)
        fixed_point(block, np.float32(ONE), np.float32(0.5), out)
        return out

    def _thresholds(self) -> None:
        """Keep sieves for the thresholds that still matter, and start new ones."""
        if self.best_single == 0 or self.n == 0:
            return
        base = np.log1p(self.epsilon)
        low = int(np.floor(np.log(max(self.best_sieve, self.best_single) / (2.0 * self.n)) / base))
        high = int(np.floor(np.log(self.best_single) / base))
        levels = list(range(low, high + 1))
        known = {level: k for k, level in enumerate(self.level)}
        self.picks = [self.picks[known[v]] if v in known else [] for v in levels]
        self.current = [
            self.current[known[v]] if v in known else np.zeros(len(self.reference), np.int32) for v in levels
        ]
        self.level = levels

    def _keep_singles(self, at: NDArray[np.int64], alone: NDArray[np.int64]) -> None:
        best = np.lexsort((at, -alone))[: self.n]
        merged = self.singles + [(int(alone[k]), int(at[k])) for k in best]
        self.singles = sorted(merged, key=lambda pair: (-pair[0], pair[1]))[: self.n]

    def _remember(self, at: NDArray[np.int64], unit: NDArray[np.float32], taken: set[int]) -> None:
        """Hold the rows that a sieve or the list of single rows names, and no others."""
        wanted = {row for picks in self.picks for row in picks} | {row for _, row in self.singles}
        place = {int(row): k for k, row in enumerate(at)}
        for row in wanted - self.kept.keys():
            self.kept[row] = unit[place[row]].copy()
        for row in self.kept.keys() - wanted:
            del self.kept[row]
        self.peak = max(self.peak, len(self.kept))

    def _draw(self, at: NDArray[np.int64], unit: NDArray[np.float32]) -> None:
        """Update the reservoir (Vitter's algorithm R), and what sieves know about the rows that came in."""
        if self.seen == 0:
            self.reference = np.zeros((0, unit.shape[1]), np.float32)
        free = min(self.size - len(self.reference), len(unit))
        slots = np.full(len(unit), -1, np.int64)
        slots[:free] = len(self.reference) + np.arange(free)
        later = self.seen + 1 + np.arange(free, len(unit))
        drawn = self.rng.integers(0, later)
        slots[free:] = np.where(drawn < self.size, drawn, -1)
        self.seen += len(unit)
        changed, last = np.unique(slots[::-1], return_index=True)
        source = len(unit) - 1 - last[changed >= 0]
        changed = changed[changed >= 0]
        if free:
            self.reference = np.concatenate([self.reference, np.empty((free, unit.shape[1]), np.float32)])
            self.sample_at = np.concatenate([self.sample_at, np.empty(free, np.int64)])
            self.current = [np.concatenate([c, np.zeros(free, np.int32)]) for c in self.current]
        self.reference[changed], self.sample_at[changed] = unit[source], at[source]
        if len(changed):
            for picks, current in zip(self.picks, self.current, strict=True):
                current[changed] = 0
                if picks:
                    near = np.stack([self.kept[row] for row in picks]) @ self.reference[changed].T
                    current[changed] = np.clip(near.max(axis=0), 0, 1).astype(np.float64) * ONE
            sums = [int(current.sum(dtype=np.int64)) for current in self.current]
            self.best_sieve = max(sums, default=0)
            if self.singles:
                rows = np.stack([self.kept[row] for _, row in self.singles])
                alone = self._similarities(rows).sum(axis=1, dtype=np.int64)
                names = [row for _, row in self.singles]
                self.singles = sorted(zip(alone.tolist(), names, strict=True), key=lambda p: (-p[0], p[1]))
                self.best_single = self.singles[0][0]

    def finish(self) -> Sample:
        """Fill the best sieve to n rows and describe it."""
        rows = dict(self.kept)
        if not self.is_fixed:
            rows |= dict(zip(self.sample_at.tolist(), self.reference, strict=True))
        totals = [int(c.sum(dtype=np.int64)) for c in self.current]
        best = list(self.picks[int(np.argmax(totals))]) if totals else []
        names = np.array(sorted(rows), np.int64)
        if len(names) < self.n:
            raise ConstraintError(
                f"n={self.n} is more than the {len(names)} rows that the stream left to choose from; "
                f"{self.skipped[0]} rows could not be used; lower n"
            )
        n_sieved, gains = len(best), []
        current = np.zeros(len(self.reference), np.int64)
        held = (
            np.stack([rows[row] for row in names.tolist()]) if self.n else np.zeros_like(self.reference[:0])
        )
        close = self._similarities(held)
        is_free = np.ones(len(names), np.bool_)
        for k in range(self.n):
            if k < n_sieved:
                j = int(np.searchsorted(names, best[k]))
                rise = int(np.maximum(close[j] - current, 0).sum())
            else:
                rises = np.where(is_free, np.maximum(close - current, 0).sum(axis=1), -1)
                j = int(rises.argmax())
                rise = int(rises[j])
                best.append(int(names[j]))
            is_free[j] = False
            current = np.maximum(current, close[j])
            gains.append(rise / ONE / len(self.reference))
        picked = np.array(best, np.int64)
        rank = np.argsort(picked).astype(np.int64)
        texts = [
            f"sieve: adds {gain:.3%} of the reference" + ("" if k < n_sieved else ", filled at the end")
            for k, gain in enumerate(gains)
        ]
        kind = "given" if self.is_fixed else "sampled"
        note = (
            f"sieve: represents {sum(gains):.2%} of {len(self.reference)} {kind} reference rows; "
            f"{len(self.level)} sieves, at most {self.peak} rows held"
        )
        return Sample(
            indices=picked[rank],
            inclusion=np.full(self.n, np.nan),
            rank=rank,
            reasons=tuple(texts[k] for k in rank),
            notes=(note,) if self.n else (),
            method="sieve",
            nan_count=self.skipped[0],
            gains=np.array(gains)[rank] if self.n else np.zeros(0),
        )


@njit(cache=True, nogil=True)
def _pass_through(close, alone, begin, stop, current, least, room):  # type: ignore[no-untyped-def]
    """Return the rows of a block that enter one sieve, in turn; ``current`` is updated."""
    found = np.empty(min(room, stop - begin), np.int64)
    count = 0
    for k in range(begin, stop):
        if alone[k] < least:
            continue
        total = np.int64(0)
        for i in range(len(current)):
            total += max(close[k, i] - current[i], np.int32(0))
        if total >= least:
            for i in range(len(current)):
                current[i] = max(current[i], close[k, i])
            found[count] = k
            count += 1
            if count == len(found):
                break
    return found[:count]

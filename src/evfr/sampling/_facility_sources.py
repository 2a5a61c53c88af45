"""Where greedy facility location takes its gains from: a matrix held, blocks computed again, or sparse lists."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from evfr.sampling._facility_greedy import (
    ONE,
    dense_gains,
    fixed_point,
    heapify,
    mirror,
    next_dense,
    next_sparse,
    pop,
    push_down,
)
from evfr.sampling._facility_rows import blocks, similarity

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from evfr.sampling._facility_rows import Rows

__all__ = [
    "BlockSource",
    "DenseSource",
    "Queue",
    "Source",
    "SparseSource",
    "greedy",
    "point_rows",
    "stochastic_greedy",
]

SLACK = 0.05
"""epsilon of stochastic greedy: at least 1 - 1/e - epsilon of the best objective, on average."""
BATCH = 64
"""Candidates whose similarities are computed again at once."""


class Queue:
    """Hold the candidates of a greedy run, best upper bound first; each is named by its lowest row not struck."""

    def __init__(self, rows: Rows) -> None:
        self.start, self.members = rows.start, rows.members
        has_any = np.flatnonzero(np.diff(rows.start) > 0)
        self.head = rows.start[:-1].copy()
        self.name = np.full(len(rows.points), np.iinfo(np.int64).max, np.int64)
        self.name[has_any] = rows.members[rows.start[has_any]]
        self.heap = has_any.astype(np.int64)
        self.size = len(self.heap)
        self.bound = np.zeros(len(rows.points), np.int64)
        self.stamp = np.full(len(rows.points), -1, np.int64)
        self.turn = 0

    def order(self) -> None:
        """Make a heap again after bounds have changed."""
        heapify(self.heap, self.size, self.bound, self.name)

    def strike(self) -> None:
        """Strike the row that names the root; an equal row takes its place where there is one."""
        group = self.heap[0]
        self.head[group] += 1
        if self.head[group] == self.start[group + 1]:
            self.drop()
        else:
            self.name[group] = self.members[self.head[group]]
            push_down(self.heap, self.size, 0, self.bound, self.name)

    def drop(self) -> None:
        """Remove the root with all rows equal to it."""
        pop(self.heap, self.size, self.bound, self.name)
        self.size -= 1


class Source(Protocol):
    """Give gains of candidates as they are now."""

    current: NDArray[np.int32]

    def advance(self, queue: Queue) -> None:
        """Bring the best candidate to the root of the queue, with its present gain."""

    def similarities(self, groups: NDArray[np.int64]) -> NDArray[np.int32]:
        """Return the exact similarities of a few groups to all, (K, M)."""

    def take(self, group: int) -> None:
        """Count the group as selected."""


def point_rows(rows: Rows, groups: NDArray[np.int64]) -> NDArray[np.int32]:
    """Return the similarities of a few groups to all, (K, M); each is 1 to itself."""
    values = _fixed(
        similarity(rows, rows.points[groups]), np.empty((len(groups), len(rows.points)), np.int32)
    )
    values[np.arange(len(groups)), groups] = ONE
    return values


def _fixed(block: NDArray[Any], out: NDArray[np.int32]) -> NDArray[np.int32]:
    fixed_point(block, block.dtype.type(ONE), block.dtype.type(0.5), out)
    return out


class DenseSource:
    """Hold the whole matrix: 4 M^2 bytes."""

    def __init__(self, rows: Rows, current: NDArray[np.int32], queue: Queue) -> None:
        count = len(rows.points)
        self.current, self.weight = current, rows.weight
        self.is_weighted = bool((rows.weight != 1).any())
        self.matrix = np.empty((count, count), np.int32)
        for begin, stop in blocks(rows, count):
            _fixed(similarity(rows, rows.points[begin:stop], begin), self.matrix[begin:stop, begin:])
            mirror(self.matrix, begin, stop)
        np.fill_diagonal(self.matrix, ONE)
        queue.bound[:] = dense_gains(self.matrix, current, rows.weight, self.is_weighted)
        queue.stamp[:] = 0
        queue.order()

    def advance(self, queue: Queue) -> None:
        """See `Source`."""
        next_dense(
            self.matrix,
            self.current,
            self.weight,
            self.is_weighted,
            queue.heap,
            queue.size,
            queue.bound,
            queue.name,
            queue.stamp,
            queue.turn,
        )

    def take(self, group: int) -> None:
        """See `Source`."""
        np.maximum(self.current, self.matrix[group], out=self.current)

    def similarities(self, groups: NDArray[np.int64]) -> NDArray[np.int32]:
        """Return the similarities of a few groups to all, (K, M)."""
        return self.matrix[groups]

    def gains(self, groups: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the present gains of a few groups."""
        found: NDArray[np.int64] = dense_gains(
            self.matrix[groups], self.current, self.weight, self.is_weighted
        )
        return found


class BlockSource:
    """Hold nothing but the rows: similarities are computed each time they are wanted, many candidates at once."""

    def __init__(self, rows: Rows, current: NDArray[np.int32], queue: Queue, *, is_lazy: bool = True) -> None:
        self.rows, self.current = rows, current
        self.is_weighted = bool((rows.weight != 1).any())
        if is_lazy:
            every = queue.heap[: queue.size]
            for begin, stop in blocks(rows, queue.size):
                queue.bound[every[begin:stop]] = self.gains(every[begin:stop])
            queue.stamp[every] = 0
            queue.order()

    def gains(self, groups: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the present gains of a few groups."""
        found: NDArray[np.int64] = dense_gains(
            self.similarities(groups), self.current, self.rows.weight, self.is_weighted
        )
        return found

    def advance(self, queue: Queue) -> None:
        """See `Source`."""
        while queue.stamp[queue.heap[0]] != queue.turn:
            front = queue.heap[: min(queue.size, BATCH)]
            stale = front[queue.stamp[front] != queue.turn]
            queue.bound[stale] = self.gains(stale)
            queue.stamp[stale] = queue.turn
            queue.order()

    def take(self, group: int) -> None:
        """See `Source`."""
        np.maximum(self.current, self.similarities(np.array([group]))[0], out=self.current)

    def similarities(self, groups: NDArray[np.int64]) -> NDArray[np.int32]:
        """Return the similarities of a few groups to all, (K, M)."""
        return point_rows(self.rows, groups)


class SparseSource:
    """Hold the most similar rows of each row only; every other similarity counts as 0."""

    def __init__(
        self,
        rows: Rows,
        current: NDArray[np.int32],
        queue: Queue,
        lists: tuple[NDArray[np.int64], NDArray[np.int32], NDArray[np.int32]],
    ) -> None:
        self.rows = rows
        self.start, self.similar, self.values = lists
        self.current, self.weight = current, rows.weight
        queue.bound[:] = np.iinfo(np.int64).max
        queue.turn = 0
        queue.order()

    def advance(self, queue: Queue) -> None:
        """See `Source`."""
        next_sparse(
            self.start,
            self.similar,
            self.values,
            self.current,
            self.weight,
            queue.heap,
            queue.size,
            queue.bound,
            queue.name,
            queue.stamp,
            queue.turn,
        )

    def take(self, group: int) -> None:
        """See `Source`."""
        edges = slice(self.start[group], self.start[group + 1])
        near = self.similar[edges]
        self.current[near] = np.maximum(self.current[near], self.values[edges])

    def similarities(self, groups: NDArray[np.int64]) -> NDArray[np.int32]:
        """See `Source`."""
        return point_rows(self.rows, groups)


def greedy(
    source: Source, queue: Queue, n: int, accept: Callable[[int], bool] | None
) -> tuple[list[int], int]:
    """Pick n rows, the largest gain first; rows that add nothing come last, by lowest index.

    Parameters
    ----------
    source : Source
        Gives gains.
    queue : Queue
        The candidates; used up.
    n : int
        Rows to pick.
    accept : callable or None
        Called with each row right before it is taken; False strikes it for good.

    Returns
    -------
    order : list of int
        Rows in the order of picking; fewer than n where no more are accepted.
    n_filled : int
        How many of them, the last ones, add nothing.
    """
    order: list[int] = []
    is_seen = np.zeros(len(queue.members), np.bool_)
    while len(order) < n and queue.size:
        source.advance(queue)
        group = int(queue.heap[0])
        if queue.bound[group] == 0:
            break
        row = int(queue.name[group])
        is_seen[queue.head[group]] = True
        if accept is not None and not accept(row):
            queue.strike()
            continue
        queue.turn += 1
        source.take(group)
        queue.drop()
        order.append(row)
    return _fill(queue, order, queue.heap[: queue.size], is_seen, n, accept)


def stochastic_greedy(
    source: DenseSource | BlockSource,
    queue: Queue,
    n: int,
    accept: Callable[[int], bool] | None,
    rng: np.random.Generator,
) -> tuple[list[int], int]:
    """Pick n rows, each the best of ``M / n ln(1 / SLACK)`` random ones (Mirzasoleiman et al. 2015).

    Parameters
    ----------
    source : DenseSource or BlockSource
        Gives gains.
    queue : Queue
        The candidates; used up.
    n : int
        Rows to pick.
    accept : callable or None
        As in `greedy`.
    rng : numpy.random.Generator
        Draws the candidates.

    Returns
    -------
    order, n_filled
        As in `greedy`.
    """
    order: list[int] = []
    is_seen = np.zeros(len(queue.members), np.bool_)
    alive = np.sort(queue.heap[: queue.size])
    few = int(np.ceil(len(alive) / max(n, 1) * np.log(1.0 / SLACK)))
    while len(order) < n and len(alive):
        drawn = np.sort(rng.choice(len(alive), min(few, len(alive)), replace=False))
        groups = alive[drawn]
        gains = source.gains(groups)
        gone = drawn[gains == 0]  # a gain of 0 stays 0
        for at in np.lexsort((queue.name[groups], -gains))[: len(drawn) - len(gone)].tolist():
            row = _first_accepted(queue, int(groups[at]), is_seen, accept)
            gone = np.append(gone, drawn[at])
            if row >= 0:
                source.take(int(groups[at]))
                order.append(row)
                break
        alive = np.delete(alive, gone)
    distinct = np.flatnonzero((queue.head < queue.start[1:]) & (queue.head == queue.start[:-1]))
    return _fill(queue, order, distinct, is_seen, n, accept)


def _first_accepted(
    queue: Queue, group: int, is_seen: NDArray[np.bool_], accept: Callable[[int], bool] | None
) -> int:
    """Return the first row of a group that is accepted, or -1; the others before it are struck."""
    while queue.head[group] < queue.start[group + 1]:
        at = queue.head[group]
        queue.head[group] += 1
        is_seen[at] = True
        if accept is None or accept(int(queue.members[at])):
            return int(queue.members[at])
    return -1


def _fill(
    queue: Queue,
    order: list[int],
    distinct: NDArray[np.int64],
    is_seen: NDArray[np.bool_],
    n: int,
    accept: Callable[[int], bool] | None,
) -> tuple[list[int], int]:
    """Append rows that add nothing: first one of each group not picked, then copies, by lowest index."""
    before = len(order)
    if before < n:
        is_copy = np.ones(len(queue.members), np.bool_)
        is_copy[queue.head[distinct]] = False
        rest = np.flatnonzero(~is_seen)
        for row in queue.members[rest][np.lexsort((queue.members[rest], is_copy[rest]))].tolist():
            if len(order) == n:
                break
            if accept is None or accept(row):
                order.append(row)
    return order, len(order) - before

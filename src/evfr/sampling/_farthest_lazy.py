"""Farthest point the lazy way: the picks of the plain loop for Euclidean and cosine distances, much sooner."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from evfr.sampling._farthest_kernels import (
    ARENA,
    ASK,
    FULL,
    MISSING,
    N_TAKEN,
    N_WANTED,
    THRESHOLD,
    WIDTH,
    find_tops,
    heapify,
    strike,
    take,
    take_on,
)
from evfr.sampling._farthest_plain import (
    COSINE_ZERO,
    Greedy,
    Order,
    bound_margin,
    plain_order,
    sum_plan,
    unit_rows,
)
from evfr.sampling._farthest_sketch import GROUP, Sketches, ball_groups, group_points, sketch_rows
from evfr.sampling._farthest_vectors import LANES

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from evfr.sampling._farthest_rows import Rows

__all__ = ["lazy_order"]

CACHE_BYTES = 1 << 28
"""Rows kept in memory where they are not there already."""
FIRST_ROOM = 32
"""Picks that a group's list has room for at first."""
MOST_ROOM = 4096
"""A group with so many picks in its list stops keeping one and counts all picks."""
WANTED = 16384
"""Rows asked for at once."""
ROUNDING = 2.0**-24
LARGEST = 1e15
"""Beyond this value float32 squares may overflow."""


def lazy_order(rows: Rows, greedy: Greedy) -> Order:
    """Pick by lazily refreshed keys; euclidean and cosine on float32 rows only, n of 1 or more.

    Parameters
    ----------
    rows : Rows
        All embeddings.
    greedy : Greedy
        What to pick.

    Returns
    -------
    Order
        That of `plain_order`.
    """
    taken: list[int] = []
    if not len(greedy.given):
        first = _first(greedy)
        if first < 0:
            return Order([], [], "exhausted", -1.0)
        greedy.allowed[first] = False
        taken = [first]
    members = np.flatnonzero(greedy.allowed)
    if not len(members):
        reason = "budget" if len(taken) == greedy.n else "exhausted"
        return Order(taken, [np.inf] * len(taken), reason, -1.0)
    engine = _Engine(rows, greedy, members, np.array(taken, np.int64) if taken else greedy.given, len(taken))
    if engine.largest <= LARGEST:
        return engine.run()
    return _plainly(rows, greedy, taken)


def _plainly(rows: Rows, greedy: Greedy, taken: list[int]) -> Order:
    """Pick by the plain loop after the first pick was asked for."""
    rest = greedy._replace(
        n=greedy.n - len(taken), given=np.concatenate([greedy.given, taken]).astype(np.int64)
    )
    order = plain_order(rows, rest._replace(first=-1))
    return order._replace(picks=taken + order.picks, keys=[np.inf] * len(taken) + order.keys)


def _first(greedy: Greedy) -> int:
    """Return the first row that is accepted, the one asked for or else the lowest; -1 where none is."""
    candidate = greedy.first
    while greedy.accept is not None and not greedy.accept(candidate):
        greedy.allowed[candidate] = False
        if not greedy.allowed.any():
            return -1
        candidate = int(np.argmax(greedy.allowed))
    return candidate


class _Engine:
    """State of one run, as the kernels want it."""

    points: tuple[NDArray[Any], ...]
    groups: tuple[NDArray[Any], ...]
    picks: tuple[NDArray[Any], ...]
    heap: NDArray[np.int64]
    arena: NDArray[np.int32]
    cache: NDArray[np.float32]
    wanted: NDArray[np.int64]
    n_cached: int
    n_used: int

    def __init__(
        self, rows: Rows, greedy: Greedy, members: NDArray[np.int64], before: NDArray[np.int64], n_taken: int
    ) -> None:
        self.rows, self.greedy, self.n_taken = rows, greedy, n_taken
        self.is_unit = greedy.metric == "cosine"
        zero = COSINE_ZERO if self.is_unit else 0.0
        width = rows.shape[1]
        everything = np.union1d(members, before)
        sketches = sketch_rows(rows, everything, self._exact(before[:1])[0], self.is_unit, zero)
        self.largest = sketches.largest
        self._place_points(sketches, everything, members)
        self._place_picks(sketches.points[np.searchsorted(everything, before)], before)
        self.gains = np.full(greedy.n + 1, np.inf)
        self.taken = np.empty(greedy.n + 1, np.int64)
        self.taken[:n_taken] = before[:n_taken]
        self.scratch = (
            np.empty((1, width), np.float32),
            np.empty(width),
            np.empty(width + 64),
            sum_plan(width),
            np.empty(GROUP, np.int64),
            np.empty(LANES, np.int64),
            np.zeros((WIDTH, LANES), np.float32),
            np.empty(LANES, np.float32),
        )
        self.state = np.array([len(before), 0, 0, 0, self.n_used, n_taken, MOST_ROOM], np.int64)
        self.limits = np.array(
            [
                np.inf,
                sketches.slack,
                1.0 + bound_margin(WIDTH),
                6.0 * ROUNDING if self.is_unit else 0.0,
                1.0 + bound_margin(width),
                zero,
            ]
        )

    def run(self) -> Order:
        """Take up to n points."""
        greedy, state = self.greedy, self.state
        heapify(self.heap, self.groups, self.points)
        while True:
            code = take_on(
                self.heap,
                self.groups,
                self.points,
                self.picks,
                self.arena,
                self.cache,
                self.scratch,
                self.wanted,
                self.gains,
                self.taken,
                state,
                self.limits,
                greedy.n,
                greedy.stop_key,
                greedy.accept is not None,
            )
            if code == MISSING:
                self._fetch()
            elif code == ARENA:
                self.arena = np.concatenate([self.arena, np.empty_like(self.arena)])
            elif code == FULL:
                self.picks = tuple(np.concatenate([part, np.empty_like(part)]) for part in self.picks)
            elif code == ASK and self._key() > greedy.stop_key:
                row = int(self.points[3][self._top()])
                if greedy.accept is None or greedy.accept(row):
                    self.taken[state[N_TAKEN]] = row
                    take(
                        self.heap,
                        self.groups,
                        self.points,
                        self.picks,
                        self.cache,
                        self.gains,
                        state,
                        self.limits,
                        greedy.n,
                    )
                else:
                    strike(self.heap, self.groups, self.points)
            else:
                break
        n, key = int(state[N_TAKEN]), self._key()
        reason = (
            "budget" if n == greedy.n else "exhausted" if key < 0 else "duplicates" if key == 0 else "radius"
        )
        return Order(self.taken[:n].tolist(), self.gains[:n].tolist(), reason, key)

    def _top(self) -> int:
        return int(self.groups[4][self.heap[0]])

    def _key(self) -> float:
        return float(self.points[1][self._top()])

    def _exact(self, indices: NDArray[np.int64]) -> NDArray[np.float64]:
        fetched = self.rows.fetch(indices)
        return unit_rows(fetched) if self.is_unit else fetched.astype(np.float64)

    def _place_points(
        self, sketches: Sketches, everything: NDArray[np.int64], members: NDArray[np.int64]
    ) -> None:
        place = np.searchsorted(everything, members)
        order, first = group_points(
            sketches.points[place] if len(place) < len(everything) else sketches.points
        )
        place = place[order]
        n, n_groups = len(place), len(first) - 1
        sketch = sketches.points[place]
        row = everything[place]
        lengths = sketches.lengths[place] if self.is_unit else np.empty(0)
        array = self.rows.array
        if self.rows.source is None and array.dtype == np.float32 and array.flags.c_contiguous:
            self.cache, slot = array, row
        else:
            size = min(n, max(1024, CACHE_BYTES // (4 * max(1, self.rows.shape[1]))))
            self.cache, slot = np.empty((size, self.rows.shape[1]), np.float32), np.full(n, -1)
        self.n_cached = 0
        self.wanted = np.empty(min(WANTED, max(1, len(self.cache) // 2)), np.int64)
        # Every point has the first pick applied to it: its key is exact.
        self.points = (sketch, sketches.keys[place], np.ones(n, np.int32), row, slot, lengths)
        centre, radius = np.empty((n_groups, WIDTH), np.float32), np.empty(n_groups)
        ball_groups(sketch, first, centre, radius)
        top, at = find_tops(first, self.points[1], row)
        room = FIRST_ROOM
        self.arena = np.zeros(2 * room * n_groups, np.int32)
        self.groups = (
            first,
            centre,
            radius,
            top,
            at,
            np.ones(n_groups, np.int64),
            np.ones(n_groups, np.int64),
            np.arange(n_groups, dtype=np.int64) * room,
            np.full(n_groups, room),
            np.zeros(n_groups, np.bool_),
        )
        self.n_used = room * n_groups
        self.heap = np.arange(n_groups, dtype=np.int64)

    def _place_picks(self, sketch: NDArray[np.float32], before: NDArray[np.int64]) -> None:
        width = self.rows.shape[1]
        size = max(len(before), min(len(before) + self.greedy.n, 1024))
        near = np.empty((size, WIDTH), np.float32)
        row32 = np.empty((size, width), np.float32)
        row64 = np.empty((size if self.is_unit else 0, width))
        exact = self._exact(before)
        near[: len(before)], row32[: len(before)] = sketch, exact
        if self.is_unit:
            row64[: len(before)] = exact
        self.picks = (near, row32, row64)

    def _fetch(self) -> None:
        """Fetch the rows that the kernel misses, and while at it those of other points near the top."""
        key, row, slot = self.points[1], self.points[3], self.points[4]
        places = self.wanted[: self.state[N_WANTED]]
        if len(places) == 1:
            others = np.flatnonzero((key > self.limits[THRESHOLD]) & (slot < 0))[: len(self.cache) // 2]
            places = np.union1d(places, others)
        if self.n_cached + len(places) > len(self.cache):
            slot[:] = -1
            self.n_cached = 0
        span = np.arange(self.n_cached, self.n_cached + len(places))
        self.cache[span] = self.rows.fetch(row[places])
        slot[places] = span
        self.n_cached += len(places)
        self.state[N_WANTED] = 0

"""How `dedup` finds, for each row, the newest kept row within the limit."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from evfr.sampling import _dedup_kernels as kernels

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["Distance", "everywhere", "within_window"]

CODES = {"euclidean": 0, "cosine": 1, "manhattan": 2, "minkowski": 3, "chebyshev": 4}
BLOCK = 512
FIRST_CHUNK, LARGEST_CHUNK = 2_048, 16_384
LARGEST_PARTS = 11
CENTRE_ROWS = 4_096

Found = tuple["NDArray[np.int64]", "NDArray[np.float64]"]


class Distance(NamedTuple):
    """A distance by name, or by the caller's function, and the largest one of a duplicate."""

    name: str
    function: Any
    limit: float
    p: float


def within_window(
    rows: NDArray[Any],
    members: NDArray[np.int64],
    seconds: NDArray[np.float64],
    window: float,
    distance: Distance,
) -> Found:
    """Return (row duplicated or -1, distance) for each member, comparing only members close in time.

    Parameters
    ----------
    rows : (N, D) or (N,)
        All rows or hashes.
    members : (M,) int64
        Rows to look at, in the order of visit.
    seconds : (M,) float64
        Their times.
    window : float
        Largest difference of times compared.
    distance : Distance
        Distance and limit.
    """
    by_time = np.argsort(seconds, kind="stable")
    place = np.empty(len(members), np.int64)
    place[by_time] = np.arange(len(members))
    sorted_seconds = seconds[by_time]
    low = np.searchsorted(sorted_seconds, sorted_seconds - window, side="left")
    high = np.searchsorted(sorted_seconds, sorted_seconds + window, side="right")
    of, far = np.full(len(members), -1, np.int64), np.zeros(len(members))
    own = rows[members[by_time]]
    if distance.name == "hamming":
        kernels.hashes_in_window(own, place, low, high, distance.limit, of, far)
    elif distance.name == "callable":
        _call_in_window(own, place, low, high, distance, of, far)
    else:
        wide = _wide(own)
        code = CODES[distance.name]
        kernels.rows_in_window(
            wide, _norms(wide, code), place, low, high, code, distance.p, distance.limit, of, far
        )
    named = np.where(of >= 0, members[by_time][of], -1)
    return named[place], far[place]


def everywhere(rows: NDArray[Any], members: NDArray[np.int64], distance: Distance) -> Found:
    """Return (row duplicated or -1, distance) for each member, comparing all members.

    Parameters
    ----------
    rows : (N, D) or (N,)
        All rows or hashes.
    members : (M,) int64
        Rows to look at, in the order of visit.
    distance : Distance
        Distance and limit.
    """
    of, far = np.full(len(members), -1, np.int64), np.zeros(len(members))
    if distance.name in ("euclidean", "cosine"):
        _screened(rows, members, distance, of, far)
    elif distance.name == "hamming":
        limit = int(min(distance.limit, 64))
        if limit <= LARGEST_PARTS:
            kernels.hashes_by_parts(rows[members], limit, _masks(limit // 4), of, far)
        else:
            kernels.hashes_by_scan(rows[members], limit, of, far)
    elif distance.name == "callable":
        _call_everywhere(rows[members], distance, of, far)
    else:
        kernels.rows_by_scan(_wide(rows[members]), CODES[distance.name], distance.p, distance.limit, of, far)
    return np.where(of >= 0, members[of], -1), far


def _masks(radius: int) -> NDArray[np.int64]:
    parts = np.arange(65_536)
    return parts[np.bitwise_count(parts.astype(np.uint16)) <= radius] if radius else parts[:1]


def _wide(rows: NDArray[Any]) -> NDArray[Any]:
    """Return rows as float32 or float64, whichever holds them exactly."""
    return np.ascontiguousarray(rows, dtype=np.float64 if rows.dtype.itemsize > 4 else np.float32)


def _norms(rows: NDArray[Any], code: int) -> NDArray[np.float64]:
    if code != CODES["cosine"]:
        return np.ones(len(rows))
    return np.asarray(np.sqrt(np.einsum("ij,ij->i", rows, rows, dtype=np.float64)))


class _Kept:
    """The rows kept so far: as given, and as the float32 screen sees them."""

    def __init__(self, dimension: int, dtype: np.dtype[Any]) -> None:
        self.count = 0
        self.raw = np.empty((1_024, dimension), dtype)
        self.screen = np.empty((1_024, dimension), np.float32)
        self.norms = np.empty(1_024)
        self.squares = np.empty(1_024)

    def add(self, *columns: NDArray[Any]) -> None:
        stop = self.count + len(columns[0])
        for name, rows in zip(("raw", "screen", "norms", "squares"), columns, strict=True):
            own = getattr(self, name)
            if stop > len(own):
                larger = np.empty((max(2 * len(own), stop), *own.shape[1:]), own.dtype)
                larger[: self.count] = own[: self.count]
                setattr(self, name, larger)
            getattr(self, name)[self.count : stop] = rows
        self.count = stop


class _Screen(NamedTuple):
    """A distance as level - weight x product of float32 rows, with a bound of its error per level."""

    centre: NDArray[np.float64]
    scale: float
    code: int
    weight: float
    ceiling: float
    error: float

    @classmethod
    def make(cls, rows: NDArray[Any], members: NDArray[np.int64], distance: Distance) -> _Screen:
        dimension = rows.shape[1]
        # Twice the bound of a float32 sum of D products, and of rounding the rows to float32.
        error = (dimension + 8) * 2.0**-23
        if distance.name == "cosine":
            return cls(np.zeros(dimension), 1.0, 1, 1.0, distance.limit, error)
        some = rows[members[:: max(1, len(members) // CENTRE_ROWS)]].astype(np.float64)
        centre = some.mean(axis=0)
        scale = float(np.abs(some - centre).max()) or 1.0
        return cls(centre, scale, 0, 2.0, (distance.limit / scale) ** 2, error)

    def rows(self, raw: NDArray[Any]) -> tuple[NDArray[np.float32], NDArray[np.float64], NDArray[np.float64]]:
        """Return the rows of the screen, the norms of the raw rows and the levels."""
        norms = _norms(raw, self.code)
        if self.code == 1:
            return (raw / norms[:, None]).astype(np.float32), norms, np.full(len(raw), 0.5)
        with np.errstate(over="ignore"):
            screen = ((raw - self.centre) / self.scale).astype(np.float32)
        return screen, norms, np.einsum("ij,ij->i", screen, screen, dtype=np.float64)


def _screened(
    rows: NDArray[Any],
    members: NDArray[np.int64],
    distance: Distance,
    of: NDArray[np.int64],
    far: NDArray[np.float64],
) -> None:
    """Visit blocks: the greedy rule inside a block, float32 products against the rows kept before it."""
    screen = _Screen.make(rows, members, distance)
    kept = _Kept(rows.shape[1], np.dtype(np.float64 if rows.dtype.itemsize > 4 else np.float32))
    kept_at: list[NDArray[np.int64]] = []
    for start in range(0, len(members), BLOCK):
        raw = _wide(rows[members[start : start + BLOCK]])
        small, norms, squares = screen.rows(raw)
        near = kernels.adjacency(
            small @ small.T, squares, *screen[3:], raw, norms, screen.code, distance.limit
        )
        size = len(raw)
        older, inside = np.full(size, -2, np.int64), np.empty(size, np.int64)
        ask = np.zeros(size, bool)
        turn = 0
        while kernels.greedy_in_block(near, older, inside, ask):
            # Where kept rows turn out to be duplicates, others take their place: after two turns ask for all.
            asked = np.flatnonzero(ask if turn < 2 else older == -2)
            older[asked], far[start + asked] = _newest(
                small[asked], raw[asked], norms[asked], squares[asked], kept, screen, distance.limit
            )
            turn += 1
        is_inside = inside >= 0
        kept_so_far = np.concatenate(kept_at) if kept_at else np.zeros(0, np.int64)
        of[start : start + size] = np.where(is_inside, start + inside, older)
        by_older = ~is_inside & (older >= 0)
        of[start + np.flatnonzero(by_older)] = kept_so_far[older[by_older]]
        rows_inside = np.flatnonzero(is_inside)
        kernels.paired(raw, norms, rows_inside, inside[rows_inside], screen.code, far[start : start + size])
        new = np.flatnonzero(~is_inside & (older < 0))
        kept.add(raw[new], small[new], norms[new], squares[new])
        kept_at = [kept_so_far, start + new]


def _newest(
    small: NDArray[np.float32],
    raw: NDArray[Any],
    norms: NDArray[np.float64],
    squares: NDArray[np.float64],
    kept: _Kept,
    screen: _Screen,
    limit: float,
) -> Found:
    """Return the newest kept row within the limit (-1: none) and its distance, from the newest chunk back."""
    of, far = np.full(len(raw), -1, np.int64), np.zeros(len(raw))
    stop, size, left = kept.count, FIRST_CHUNK, np.arange(len(raw))
    while stop > 0 and len(left):
        chunk = slice(max(0, stop - size), stop)
        found, value = np.full(len(left), -1, np.int64), np.zeros(len(left))
        kernels.newest_screened(
            small[left] @ kept.screen[chunk].T,
            squares[left],
            kept.squares[chunk],
            *screen[3:],
            raw[left],
            norms[left],
            kept.raw[chunk],
            kept.norms[chunk],
            screen.code,
            limit,
            found,
            value,
        )
        hit = found >= 0
        of[left[hit]], far[left[hit]] = chunk.start + found[hit], value[hit]
        left, stop, size = left[~hit], chunk.start, min(2 * size, LARGEST_CHUNK)
    return of, far


def _call_everywhere(
    rows: NDArray[Any], distance: Distance, of: NDArray[np.int64], far: NDArray[np.float64]
) -> None:
    kept = np.empty(len(rows), np.int64)
    count = 0
    for i in range(len(rows)):
        for stop in range(count, 0, -FIRST_CHUNK):
            some = kept[max(0, stop - FIRST_CHUNK) : stop]
            values = np.asarray(distance.function(rows[i], rows[some]), dtype=np.float64)
            close = np.flatnonzero(values <= distance.limit)
            if len(close):
                of[i], far[i] = some[close[-1]], values[close[-1]]
                break
        if of[i] < 0:
            kept[count] = i
            count += 1


def _call_in_window(
    rows: NDArray[Any],
    visit: NDArray[np.int64],
    low: NDArray[np.int64],
    high: NDArray[np.int64],
    distance: Distance,
    of: NDArray[np.int64],
    far: NDArray[np.float64],
) -> None:
    visited = np.full(len(rows), -1, np.int64)
    for step, i in enumerate(visit.tolist()):
        some = low[i] + np.flatnonzero(visited[low[i] : high[i]] >= 0)
        values = np.asarray(distance.function(rows[i], rows[some]), dtype=np.float64) if len(some) else some
        close = np.flatnonzero(values <= distance.limit) if len(some) else some
        if len(close):
            newest = close[np.argmax(visited[some[close]])]
            of[i], far[i] = some[newest], values[newest]
        else:
            visited[i] = step

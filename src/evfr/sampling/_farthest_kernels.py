"""Kernels of the lazy way to farthest points: refresh only what may be the farthest, and skip pairs by a lower bound.

A point's key (the distance to the nearest pick that was applied to it) only falls as picks are added, so an old key
is an upper bound. Points stand in groups of neighbours; a heap holds the groups by their largest key. A pick is
left out for a whole group, or for a point, where a bound from below shows that it cannot lower any key; a point
remembers how many picks of its group's list were applied to it, and catches up when it may be the farthest.
Bounds are float32 with margins for every rounding, hence may be summed in any order; keys are exact.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from evfr.sampling._farthest_plain import between, between_below, squared_distance
from evfr.sampling._farthest_vectors import LANES, lane_distances

__all__ = [
    "ARENA",
    "ASK",
    "EXACT",
    "FULL",
    "MISSING",
    "WIDTH",
    "find_tops",
    "heapify",
    "strike",
    "take",
    "take_on",
]

WIDTH = 32
"""Coordinates of a sketch: leading principal ones, and the length of what they leave out."""

EXACT, ASK, MISSING, ARENA, FULL = 0, 1, 2, 3, 4
"""Why `take_on` returned."""

N_PICKS, SWEEPS, CURSOR, N_WANTED, ARENA_USED, N_TAKEN, LIST_ROOM = range(7)
THRESHOLD, SLACK, GAMMA, ROW_SLACK, ROW_GAMMA, ZERO = range(6)


@njit(cache=True, nogil=True)
def _comes_before(g, h, top, at, row):  # type: ignore[no-untyped-def]
    return top[g] > top[h] or (top[g] == top[h] and row[at[g]] < row[at[h]])


@njit(cache=True, nogil=True)
def _sift_down(heap, i, top, at, row):  # type: ignore[no-untyped-def]
    g = heap[i]
    while True:
        child = 2 * i + 1
        if child >= len(heap):
            break
        if child + 1 < len(heap) and _comes_before(heap[child + 1], heap[child], top, at, row):
            child += 1
        if not _comes_before(heap[child], g, top, at, row):
            break
        heap[i] = heap[child]
        i = child
    heap[i] = g


@njit(cache=True, nogil=True)
def heapify(heap, groups, points):  # type: ignore[no-untyped-def]
    """Order the heap by the groups' largest keys, ties to the lowest row."""
    top, at = groups[3], groups[4]
    row = points[3]
    for i in range(len(heap) // 2 - 1, -1, -1):
        _sift_down(heap, i, top, at, row)


@njit(cache=True, nogil=True)
def _largest(start, stop, key, row):  # type: ignore[no-untyped-def]
    best = start
    for j in range(start + 1, stop):
        if key[j] > key[best] or (key[j] == key[best] and row[j] < row[best]):
            best = j
    return key[best], best


@njit(cache=True, nogil=True)
def _find_top(g, groups, points):  # type: ignore[no-untyped-def]
    groups[3][g], groups[4][g] = _largest(groups[0][g], groups[0][g + 1], points[1], points[3])


@njit(cache=True, nogil=True)
def find_tops(first, key, row):  # type: ignore[no-untyped-def]
    """Return the largest key of each group, and its place, ties to the lowest row."""
    top, at = np.empty(len(first) - 1), np.empty(len(first) - 1, np.int64)
    for g in range(len(top)):
        top[g], at[g] = _largest(first[g], first[g + 1], key, row)
    return top, at


@njit(cache=True, nogil=True)
def _extend_list(g, groups, points, picks, arena, state, limits):  # type: ignore[no-untyped-def]
    """Note the picks that may matter to the group; False where the arena has no room for them."""
    first, centre, radius, top, _, seen, count, begin, room, is_dense = groups
    n_picks = state[N_PICKS]
    if is_dense[g]:
        count[g] = n_picks
        seen[g] = n_picks
        return True
    reach = (np.sqrt(top[g]) + radius[g] + limits[SLACK]) ** 2 * limits[GAMMA]
    for p in range(seen[g], n_picks):
        if between(centre, g, picks[0], p) < reach:
            if count[g] == room[g]:
                if room[g] >= state[LIST_ROOM]:
                    applied = points[2]
                    for j in range(first[g], first[g + 1]):
                        applied[j] = arena[begin[g] + applied[j]] if applied[j] < count[g] else p
                    is_dense[g] = True
                    count[g] = n_picks
                    seen[g] = n_picks
                    return True
                wider = max(32, 2 * room[g])
                if state[ARENA_USED] + wider > len(arena):
                    seen[g] = p
                    return False
                target = state[ARENA_USED]
                for q in range(count[g]):
                    arena[target + q] = arena[begin[g] + q]
                begin[g] = target
                room[g] = wider
                state[ARENA_USED] += wider
            arena[begin[g] + count[g]] = p
            count[g] += 1
    seen[g] = n_picks
    return True


@njit(cache=True, nogil=True)
def _scale(rows, place, length, own32, own64):  # type: ignore[no-untyped-def]
    for k in range(rows.shape[1]):
        own64[k] = np.float64(rows[place, k]) / length
        own32[0, k] = own64[k]


@njit(cache=True, nogil=True)
def _refresh_group(g, groups, points, picks, arena, rows, scratch, wanted, state, limits):  # type: ignore[no-untyped-def]
    """Refresh the points of a group above the threshold; False where the arena is full."""
    # One long function: handing so many arrays to another one costs more than a comparison.
    if not _extend_list(g, groups, points, picks, arena, state, limits):
        return False
    first, count, begin, is_dense = groups[0], groups[6], groups[7], groups[9]
    sketch, key, applied, _, slot, length = points
    near, row32, row64 = picks
    own32, own64, terms, plan, active, chosen, lanes, bounds = scratch
    threshold, zero = limits[THRESHOLD], limits[ZERO]
    slack, gamma, row_slack, row_gamma = limits[SLACK], limits[GAMMA], limits[ROW_SLACK], limits[ROW_GAMMA]
    is_unit = len(row64) > 0
    n_active, start, stop = 0, count[g], count[g]
    for j in range(first[g], first[g + 1]):
        if key[j] > threshold and applied[j] < stop:
            active[n_active] = j
            n_active += 1
            start = min(start, applied[j])
    # Picks by the dozen, so that their rows stay in cache for all points of the group.
    while n_active > 0 and start < stop:
        n_chosen = min(LANES, stop - start)
        for i in range(n_chosen):
            p = start + i if is_dense[g] else arena[begin[g] + start + i]
            chosen[i] = p
            for k in range(WIDTH):
                lanes[k, i] = near[p, k]
        n_kept = 0
        for a in range(n_active):
            j = active[a]
            place = slot[j]
            best = key[j]
            root = np.sqrt(best)
            need = (root + slack) ** 2 * gamma
            need_row = (root + row_slack) ** 2 * row_gamma + 1e-37
            lane_distances(sketch, j, lanes, bounds)
            i = applied[j] - start
            is_scaled = False
            is_missing = False
            while i < n_chosen:
                if bounds[i] < need:
                    if place < 0:
                        is_missing = True
                        break
                    p = chosen[i]
                    exact = np.inf
                    if is_unit:
                        if not is_scaled:
                            _scale(rows, place, length[j], own32, own64)
                            is_scaled = True
                        if between_below(own32, 0, row32, p, need_row) < need_row:
                            exact = squared_distance(own64, row64[p], terms, plan)
                            if exact <= zero:
                                exact = 0.0
                    elif between_below(rows, place, row32, p, need_row) < need_row:
                        exact = squared_distance(rows[place], row32[p], terms, plan)
                    if exact < best:
                        best = exact
                        root = np.sqrt(best)
                        need = (root + slack) ** 2 * gamma
                        need_row = (root + row_slack) ** 2 * row_gamma + 1e-37
                        if best <= threshold:
                            i += 1
                            break
                i += 1
            key[j] = best
            applied[j] = max(applied[j], start + i)
            if is_missing:
                if state[N_WANTED] < len(wanted):
                    wanted[state[N_WANTED]] = j
                    state[N_WANTED] += 1
            elif best > threshold:
                active[n_kept] = j
                n_kept += 1
        n_active = n_kept
        start += n_chosen
    _find_top(g, groups, points)
    return True


@njit(cache=True, nogil=True)
def _next_threshold(highest, gains, state, n):  # type: ignore[no-untyped-def]
    """Return how far the largest key is about to fall; refreshing points above its last value is never in vain."""
    done = state[N_TAKEN]
    if done < 4:
        return 0.9 * highest
    back = max(1, min(done // 3, n - done))
    drop = gains[max(1, done - 1 - back)] - gains[done - 1]
    return max(0.0, highest - max(drop, highest / 512.0))


@njit(cache=True, nogil=True)
def strike(heap, groups, points):  # type: ignore[no-untyped-def]
    """Take the point on top out of the running."""
    g = heap[0]
    points[1][groups[4][g]] = -1.0
    _find_top(g, groups, points)
    _sift_down(heap, 0, groups[3], groups[4], points[3])


@njit(cache=True, nogil=True)
def take(heap, groups, points, picks, rows, gains, state, limits, n):  # type: ignore[no-untyped-def]
    """Make the point on top a pick."""
    j = groups[4][heap[0]]
    sketch, key, _, _, slot, length = points
    near, row32, row64 = picks
    p = state[N_PICKS]
    near[p] = sketch[j]
    for k in range(rows.shape[1]):
        if len(row64) > 0:
            row64[p, k] = np.float64(rows[slot[j], k]) / length[j]
            row32[p, k] = row64[p, k]
        else:
            row32[p, k] = rows[slot[j], k]
    gains[state[N_TAKEN]] = key[j]
    state[N_PICKS] += 1
    state[N_TAKEN] += 1
    limits[THRESHOLD] = max(limits[THRESHOLD], _next_threshold(key[j], gains, state, n))
    strike(heap, groups, points)


@njit(cache=True, nogil=True)
def take_on(  # type: ignore[no-untyped-def]
    heap, groups, points, picks, arena, rows, scratch, wanted, gains, taken, state, limits, n, stop, is_asking
):
    """Take farthest points until something is needed.

    Returns `EXACT` when n points are taken or the largest key is 0 or less, `ASK` when it is ``stop`` or less or
    somebody has to be asked about the point on top, `MISSING` when the rows of the points in ``wanted`` are needed,
    `ARENA` when the groups' lists need room, `FULL` when the picks do.
    """
    top, at, seen, count = groups[3], groups[4], groups[5], groups[6]
    applied, row, slot = points[2], points[3], points[4]
    while True:
        is_sweep = state[SWEEPS] == 1
        if is_sweep:
            while state[CURSOR] < len(heap) and top[state[CURSOR]] <= limits[THRESHOLD]:
                state[CURSOR] += 1
            if state[CURSOR] == len(heap):
                state[CURSOR] = 0
                if state[N_WANTED] > 0:
                    return MISSING
                state[SWEEPS] = 0
                heapify(heap, groups, points)
                continue
            g = state[CURSOR]
        else:
            g = heap[0]
            if top[g] <= 0.0:
                return EXACT
            if top[g] <= limits[THRESHOLD]:
                limits[THRESHOLD] = _next_threshold(top[g], gains, state, n)
                state[SWEEPS] = 1
                state[CURSOR] = 0
                continue
            j = at[g]
            if seen[g] == state[N_PICKS] and applied[j] == count[g]:
                if state[N_TAKEN] == n:
                    return EXACT
                if slot[j] < 0:
                    wanted[0] = j
                    state[N_WANTED] = 1
                    return MISSING
                if state[N_PICKS] == len(picks[0]):
                    return FULL
                if is_asking or top[g] <= stop:
                    return ASK
                taken[state[N_TAKEN]] = row[j]
                take(heap, groups, points, picks, rows, gains, state, limits, n)
                continue
        # The one call: each would be compiled again.
        if not _refresh_group(g, groups, points, picks, arena, rows, scratch, wanted, state, limits):
            return ARENA
        if is_sweep:
            if state[N_WANTED] == len(wanted):
                return MISSING
            state[CURSOR] += 1
        else:
            _sift_down(heap, 0, top, at, row)
            if state[N_WANTED] > 0:
                return MISSING

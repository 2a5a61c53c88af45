"""The loops behind `dedup`: exact distances, scans from the newest kept row back, and hash tables."""

from __future__ import annotations

import numpy as np
from numba import njit

__all__ = [
    "COSINE_SLACK",
    "adjacency",
    "greedy_in_block",
    "hashes_by_parts",
    "hashes_by_scan",
    "hashes_in_window",
    "newest_screened",
    "paired",
    "rows_by_scan",
    "rows_in_window",
]

COSINE_SLACK = 1e-12
RECENT = 256


@njit(cache=True, nogil=True)
def _distance(a, b, norms, code, p, limit):  # type: ignore[no-untyped-def]
    """Return the distance in float64, or infinity as soon as it must exceed the limit by more than rounding."""
    total = 0.0
    size = a.shape[0]
    if code == 1:
        for k in range(size):
            total += np.float64(a[k]) * np.float64(b[k])
        return max(1.0 - total / norms, 0.0)
    ceiling = limit
    if code == 0:
        ceiling = limit * limit
    elif code == 3:
        ceiling = limit**p
    ceiling *= 1.0 + 1e-9
    for start in range(0, size, 16):
        for k in range(start, min(start + 16, size)):
            step = abs(np.float64(a[k]) - np.float64(b[k]))
            if code == 0:
                total += step * step
            elif code == 2:
                total += step
            elif code == 3:
                total += step**p
            else:
                total = max(total, step)
        if total > ceiling:
            return np.inf
    if code == 0:
        return np.sqrt(total)
    if code == 3:
        return total ** (1.0 / p)
    return total


@njit(cache=True, nogil=True)
def _bits(a, b):  # type: ignore[no-untyped-def]
    x = a ^ b
    x = x - ((x >> np.uint64(1)) & np.uint64(0x5555555555555555))
    x = (x & np.uint64(0x3333333333333333)) + ((x >> np.uint64(2)) & np.uint64(0x3333333333333333))
    x = (x + (x >> np.uint64(4))) & np.uint64(0x0F0F0F0F0F0F0F0F)
    return np.int64((x * np.uint64(0x0101010101010101)) >> np.uint64(56))


@njit(cache=True, nogil=True)
def rows_in_window(rows, norms, visit, low, high, code, p, limit, of, far):  # type: ignore[no-untyped-def]
    """Visit rows sorted by time in another order; compare with kept ones in low[i]..high[i] - 1."""
    visited = np.full(len(rows), -1, np.int64)
    slack = COSINE_SLACK if code == 1 else 0.0
    for step in range(len(visit)):
        i = visit[step]
        newest = -1
        for j in range(high[i] - 1, low[i] - 1, -1):
            if visited[j] > newest:
                value = _distance(rows[i], rows[j], norms[i] * norms[j], code, p, limit)
                if value <= limit + slack:
                    newest, of[i], far[i] = visited[j], j, value
        if newest < 0:
            visited[i] = step


@njit(cache=True, nogil=True)
def hashes_in_window(hashes, visit, low, high, limit, of, far):  # type: ignore[no-untyped-def]
    """Do the same for hashes."""
    visited = np.full(len(hashes), -1, np.int64)
    for step in range(len(visit)):
        i = visit[step]
        newest = -1
        for j in range(high[i] - 1, low[i] - 1, -1):
            if visited[j] > newest:
                value = _bits(hashes[i], hashes[j])
                if value <= limit:
                    newest, of[i], far[i] = visited[j], j, value
        if newest < 0:
            visited[i] = step


@njit(cache=True, nogil=True)
def rows_by_scan(rows, code, p, limit, of, far):  # type: ignore[no-untyped-def]
    """Compare each row with the kept ones, newest first."""
    kept = np.empty(len(rows), np.int64)
    count = 0
    for i in range(len(rows)):
        for k in range(count - 1, -1, -1):
            value = _distance(rows[i], rows[kept[k]], 1.0, code, p, limit)
            if value <= limit:
                of[i], far[i] = kept[k], value
                break
        if of[i] < 0:
            kept[count] = i
            count += 1


@njit(cache=True, nogil=True)
def _newest_hash(value, kept_hash, stop, start, limit):  # type: ignore[no-untyped-def]
    for k in range(stop - 1, start - 1, -1):
        if _bits(value, kept_hash[k]) <= limit:
            return k
    return -1


@njit(cache=True, nogil=True)
def hashes_by_scan(hashes, limit, of, far):  # type: ignore[no-untyped-def]
    """Compare each hash with the kept ones, newest first."""
    kept = np.empty(len(hashes), np.int64)
    kept_hash = np.empty(len(hashes), np.uint64)
    count = 0
    for i in range(len(hashes)):
        k = _newest_hash(hashes[i], kept_hash, count, 0, limit)
        if k >= 0:
            of[i], far[i] = kept[k], _bits(hashes[i], kept_hash[k])
        else:
            kept[count], kept_hash[count] = i, hashes[i]
            count += 1


@njit(cache=True, nogil=True)
def hashes_by_parts(hashes, limit, masks, of, far):  # type: ignore[no-untyped-def]
    """Find the newest kept hash by its four 16-bit parts: one of them differs in at most limit // 4 bits."""
    kept = np.empty(len(hashes), np.int64)
    kept_hash = np.empty(len(hashes), np.uint64)
    heads = np.full((4, 65536), -1, np.int32)
    chain = np.empty((len(hashes), 4), np.int32)
    count = 0
    for i in range(len(hashes)):
        value = hashes[i]
        # Duplicates mostly stand close together: look there before the tables.
        newest = _newest_hash(value, kept_hash, count, max(0, count - RECENT), limit)
        if newest < 0:
            for part in range(4):
                key = np.int64((value >> np.uint64(16 * part)) & np.uint64(0xFFFF))
                for mask in masks:
                    k = np.int64(heads[part, key ^ mask])
                    while k > newest:
                        if _bits(value, kept_hash[k]) <= limit:
                            newest = k
                            break
                        k = np.int64(chain[k, part])
        if newest >= 0:
            of[i], far[i] = kept[newest], _bits(value, kept_hash[newest])
            continue
        kept[count], kept_hash[count] = i, value
        for part in range(4):
            key = np.int64((value >> np.uint64(16 * part)) & np.uint64(0xFFFF))
            chain[count, part] = heads[part, key]
            heads[part, key] = count
        count += 1


@njit(cache=True, nogil=True)
def newest_screened(  # type: ignore[no-untyped-def]
    product,
    squares,
    others,
    weight,
    ceiling,
    error,
    raw,
    norms,
    kept_raw,
    kept_norms,
    code,
    limit,
    found,
    far,
):
    """For each row, the newest column within the limit: screened in float32, decided in float64."""
    slack = COSINE_SLACK if code == 1 else 0.0
    for i in range(product.shape[0]):
        for j in range(product.shape[1] - 1, -1, -1):
            level = squares[i] + others[j]
            # Written as "not above", so that a product that overflowed to NaN is looked at as well.
            if not (level - weight * product[i, j] > ceiling + error * level):
                value = _distance(raw[i], kept_raw[j], norms[i] * kept_norms[j], code, 2.0, limit)
                if value <= limit + slack:
                    found[i], far[i] = j, value
                    break


@njit(cache=True, nogil=True)
def adjacency(product, squares, weight, ceiling, error, raw, norms, code, limit):  # type: ignore[no-untyped-def]
    """Return whether each row is within the limit of each row before it; float64 where float32 cannot tell."""
    count = product.shape[0]
    near = np.zeros((count, count), np.bool_)
    slack = COSINE_SLACK if code == 1 else 0.0
    for i in range(count):
        for j in range(i):
            level = squares[i] + squares[j]
            value = level - weight * product[i, j]
            if value < ceiling - error * level:
                near[i, j] = True
            elif not (value > ceiling + error * level):
                exact = _distance(raw[i], raw[j], norms[i] * norms[j], code, 2.0, limit)
                near[i, j] = exact <= limit + slack
    return near


@njit(cache=True, nogil=True)
def paired(raw, norms, left, right, code, far):  # type: ignore[no-untyped-def]
    """Fill in the distances of pairs of rows."""
    for k in range(len(left)):
        i, j = left[k], right[k]
        far[i] = _distance(raw[i], raw[j], norms[i] * norms[j], code, 2.0, np.inf)


@njit(cache=True, nogil=True)
def greedy_in_block(near, older, of, ask):  # type: ignore[no-untyped-def]
    """Run the greedy rule inside one block; ``older`` is -2 where the rows kept before are not yet searched.

    Rows not yet searched are taken as kept for now and marked in ``ask``. ``of`` becomes the newest kept row
    of the block within the limit, or -1. Returns how many rows have to be searched.
    """
    count = len(near)
    is_kept = np.zeros(count, np.bool_)
    asked = 0
    for i in range(count):
        of[i] = -1
        ask[i] = False
        for j in range(i - 1, -1, -1):
            if is_kept[j] and near[i, j]:
                of[i] = j
                break
        if of[i] < 0 and older[i] < 0:
            is_kept[i] = True
            if older[i] == -2:
                ask[i] = True
                asked += 1
    return asked

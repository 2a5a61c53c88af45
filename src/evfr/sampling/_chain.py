"""Choose nodes on a line with bounded steps, in order of preference, with an exact look ahead.

Nodes are 0 (start), 1..N (frames), N + 1 (end). From node i a step may go to any node j with
``first_step[i] <= j <= last_step[i]``; both arrays never decrease. A *path* from a to b visits only allowed nodes.

Fact 1 (crossing). If from a to b there is a path of p steps and one of q >= p + 2 steps, there is one of p + 1.
Let x be the short path (x_0 = a, x_p = b) and y the long one. y_1 > x_0, and y_(p+1) < b = x_p, so there is an
i in 1..p with y_i >= x_(i-1) and y_(i+1) < x_i. The step y_i -> x_i is allowed: x_i > y_(i+1) >= first_step[y_i],
and x_i <= last_step[x_(i-1)] <= last_step[y_i]. So y_0..y_i, x_i..x_p is a path of p + 1 steps. Hence the possible
step counts between two fixed nodes are all the integers between the least and the greatest.

Fact 2 (monotone). Among the nodes that can be reached from a, the least and the greatest number of steps never
decrease from left to right. Let x < y, y reached in k steps (y_0..y_k) and x in m > k (x_0..x_m), and let
z_i = x_(i+m-k) be the last k + 1 nodes of the path to x. y_0 = a <= z_0 and y_k = y > x = z_k, so there is an i with
y_i <= z_i and y_(i+1) > z_(i+1). The step y_i -> z_(i+1) is allowed: z_(i+1) >= first_step[z_i] >= first_step[y_i],
and z_(i+1) < y_(i+1) <= last_step[y_i]. So x is reached in k steps too, by y_0..y_i, z_(i+1)..z_k. The step
z_i -> y_(i+1) is allowed as well: y_(i+1) > z_(i+1) >= first_step[z_i] and y_(i+1) <= last_step[y_i] <=
last_step[z_i]. So y is reached in m steps too, by x_0..z_i, y_(i+1)..y_k.
So the least count of a node is one more than that of its first
reachable predecessor, the greatest one more than that of its last: one sweep with two pointers per interval.

By Fact 1 a set of fixed nodes extends to exactly n picks if and only if n lies between the sums of the intervals'
minima and maxima; so taking frames in order of preference whenever that still holds ends with exactly n picks, and
with the lexicographically best set.
"""

from __future__ import annotations

import numpy as np
from numba import njit

__all__ = ["interval_steps", "pick_in_order"]


@njit(cache=True, nogil=True)
def _sweep_forward(a, b, allowed, first_from, last_from, low, high, node, node_low, node_high):  # type: ignore[no-untyped-def]
    """Fill low/high (steps from a) for nodes a+1..b; 0 is unreachable; node* are scratch."""
    node[0] = a
    node_low[0] = 0
    node_high[0] = 0
    count = 1
    p = 0
    q = -1
    for x in range(a + 1, b + 1):
        low[x] = 0
        high[x] = 0
        if x != b and not allowed[x]:
            continue
        while p < count and node[p] < first_from[x]:
            p += 1
        while q + 1 < count and node[q + 1] <= last_from[x]:
            q += 1
        if p <= q:
            low[x] = node_low[p] + 1
            high[x] = node_high[q] + 1
            node[count] = x
            node_low[count] = low[x]
            node_high[count] = high[x]
            count += 1


@njit(cache=True, nogil=True)
def _sweep_backward(a, b, allowed, first_step, last_step, low, high, node, node_low, node_high):  # type: ignore[no-untyped-def]
    """Fill low/high (steps to b) for nodes a+1..b-1; 0 is a dead end."""
    node[0] = b
    node_low[0] = 0
    node_high[0] = 0
    count = 1
    p = 0
    q = -1
    for x in range(b - 1, a, -1):
        low[x] = 0
        high[x] = 0
        if not allowed[x]:
            continue
        while p < count and node[p] > last_step[x]:
            p += 1
        while q + 1 < count and node[q + 1] >= first_step[x]:
            q += 1
        if p <= q:
            low[x] = node_low[p] + 1
            high[x] = node_high[q] + 1
            node[count] = x
            node_low[count] = low[x]
            node_high[count] = high[x]
            count += 1


@njit(cache=True, nogil=True)
def _intervals(  # type: ignore[no-untyped-def]
    fixed,
    is_given,
    allowed,
    first_step,
    last_step,
    first_from,
    last_from,
    low,
    high,
    node,
    node_low,
    node_high,
):
    """Return least and greatest steps between neighbouring fixed nodes; 0 where there is no path."""
    k = len(fixed) - 1
    least = np.zeros(k, dtype=np.int64)
    most = np.zeros(k, dtype=np.int64)
    for i in range(k):
        a = fixed[i]
        b = fixed[i + 1]
        _sweep_forward(a, b, allowed, first_from, last_from, low, high, node, node_low, node_high)
        least[i] = low[b]
        most[i] = high[b]
        # Two labelled frames closer than the least step are facts, not choices.
        if least[i] == 0 and is_given[i] and is_given[i + 1] and b < first_step[a] and b <= last_step[a]:
            least[i] = 1
            most[i] = 1
    return least, most


@njit(cache=True, nogil=True)
def interval_steps(  # type: ignore[no-untyped-def]
    fixed, is_given, allowed, first_step, last_step, first_from, last_from
):
    """Return the least and greatest number of steps between neighbouring fixed nodes.

    Parameters
    ----------
    fixed : (K,) int64
        Node numbers, increasing, from 0 to N + 1.
    is_given : (K,) bool
        Whether the step rule is waived between this node and a neighbour that is given as well.
    allowed : (N + 2,) bool
        Nodes that may be visited between fixed ones.
    first_step, last_step : (N + 2,) int64
        Window of successors of each node.
    first_from, last_from : (N + 2,) int64
        Window of predecessors of each node.

    Returns
    -------
    least, most : (K - 1,) int64
        0 where there is no path.
    """
    m = len(allowed)
    low = np.zeros(m, dtype=np.int64)
    high = np.zeros(m, dtype=np.int64)
    node = np.empty(m, dtype=np.int64)
    node_low = np.empty(m, dtype=np.int64)
    node_high = np.empty(m, dtype=np.int64)
    return _intervals(
        fixed,
        is_given,
        allowed,
        first_step,
        last_step,
        first_from,
        last_from,
        low,
        high,
        node,
        node_low,
        node_high,
    )


@njit(cache=True, nogil=True)
def pick_in_order(  # type: ignore[no-untyped-def]
    fixed, is_given, allowed, first_step, last_step, first_from, last_from, order, n
):
    """Take nodes in order of preference, skipping each one that would make exactly n picks impossible.

    Parameters
    ----------
    fixed, is_given, allowed, first_step, last_step, first_from, last_from
        As in `interval_steps`; every interval must have a path.
    order : (M,) int64
        Allowed nodes, the preferred first, without repeats.
    n : int
        Picks, besides the fixed nodes, that the finished chain must have.

    Returns
    -------
    (M,) bool
        Which nodes of ``order`` were taken. At most n; exactly n if ``order`` holds all allowed nodes.
    """
    m = len(allowed)
    before_low = np.zeros(m, dtype=np.int64)
    before_high = np.zeros(m, dtype=np.int64)
    after_low = np.zeros(m, dtype=np.int64)
    after_high = np.zeros(m, dtype=np.int64)
    node = np.empty(m, dtype=np.int64)
    node_low = np.empty(m, dtype=np.int64)
    node_high = np.empty(m, dtype=np.int64)
    least, most = _intervals(
        fixed,
        is_given,
        allowed,
        first_step,
        last_step,
        first_from,
        last_from,
        before_low,
        before_high,
        node,
        node_low,
        node_high,
    )
    left = np.empty(m, dtype=np.int64)
    right = np.empty(m, dtype=np.int64)
    least_at = np.zeros(m, dtype=np.int64)
    most_at = np.zeros(m, dtype=np.int64)
    fewest = 0
    greatest = 0
    for i in range(len(fixed) - 1):
        a = fixed[i]
        b = fixed[i + 1]
        left[a + 1 : b] = a
        right[a] = b
        least_at[a] = least[i]
        most_at[a] = most[i]
        fewest += least[i] - 1
        greatest += most[i] - 1
        _sweep_backward(
            a, b, allowed, first_step, last_step, after_low, after_high, node, node_low, node_high
        )
    taken = np.zeros(len(order), dtype=np.bool_)
    picks = 0
    for k in range(len(order)):
        if picks == n:
            break
        x = order[k]
        if before_low[x] == 0 or after_low[x] == 0:
            continue
        a = left[x]
        b = right[a]
        new_fewest = fewest - least_at[a] + before_low[x] + after_low[x]
        new_greatest = greatest - most_at[a] + before_high[x] + after_high[x]
        if n < new_fewest or n > new_greatest:
            continue
        taken[k] = True
        picks += 1
        fewest = new_fewest
        greatest = new_greatest
        least_at[a] = before_low[x]
        most_at[a] = before_high[x]
        right[a] = x
        least_at[x] = after_low[x]
        most_at[x] = after_high[x]
        right[x] = b
        left[x + 1 : b] = x
        _sweep_backward(
            a, x, allowed, first_step, last_step, after_low, after_high, node, node_low, node_high
        )
        _sweep_forward(
            x, b, allowed, first_from, last_from, before_low, before_high, node, node_low, node_high
        )
    return taken

"""Say, frame by frame, whether taking it leaves the constraints of all videos satisfiable: greedy methods ask.

The chains of several videos are laid end to end; the end of one is the start of the next, and no step passes it.
Facts 1 and 2 of `evfr.sampling._chain` hold for the long chain, so n frames exist for the whole if and only if n lies
between the sums over videos of the least and the greatest number, each cut to that video's minimum and maximum. What
cannot be taken now cannot be taken later either: frames taken since only narrow both bounds.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numba import njit

from evfr.sampling._chain import _sweep_backward, _sweep_forward, interval_steps

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from evfr.sampling._constraints import Prepared

__all__ = ["Oracle"]


@njit(cache=True, nogil=True)
def _prepare(  # type: ignore[no-untyped-def]
    fixed, owner, least, most, allowed, steps, sweeps, links, fewest, greatest
):
    """Fill the sweeps of every interval and each video's range of picks."""
    first_step, last_step, first_from, last_from = steps
    before_low, before_high, after_low, after_high, node, node_low, node_high = sweeps
    left, right, least_at, most_at = links
    for i in range(len(fixed) - 1):
        a = fixed[i]
        b = fixed[i + 1]
        left[a + 1 : b] = a
        right[a] = b
        least_at[a] = least[i]
        most_at[a] = most[i]
        fewest[owner[a]] += least[i] - 1
        greatest[owner[a]] += most[i] - 1
        _sweep_forward(
            a, b, allowed, first_from, last_from, before_low, before_high, node, node_low, node_high
        )
        _sweep_backward(
            a, b, allowed, first_step, last_step, after_low, after_high, node, node_low, node_high
        )


@njit(cache=True, nogil=True)
def _take(  # type: ignore[no-untyped-def]
    x, n, video, allowed, steps, sweeps, links, fewest, greatest, minimum, maximum, total
):
    """Take node x if exactly n picks stay possible; update the two intervals it makes."""
    first_step, last_step, first_from, last_from = steps
    before_low, before_high, after_low, after_high, node, node_low, node_high = sweeps
    left, right, least_at, most_at = links
    if not allowed[x] or before_low[x] == 0 or after_low[x] == 0:
        return False
    a = left[x]
    b = right[a]
    new_fewest = fewest[video] - least_at[a] + before_low[x] + after_low[x]
    new_greatest = greatest[video] - most_at[a] + before_high[x] + after_high[x]
    low = max(minimum[video], new_fewest)
    high = min(maximum[video], new_greatest)
    if low > high:
        return False
    all_low = total[0] - max(minimum[video], fewest[video]) + low
    all_high = total[1] - min(maximum[video], greatest[video]) + high
    if n < all_low or n > all_high:
        return False
    total[0] = all_low
    total[1] = all_high
    fewest[video] = new_fewest
    greatest[video] = new_greatest
    allowed[x] = False
    least_at[a] = before_low[x]
    most_at[a] = before_high[x]
    right[a] = x
    least_at[x] = after_low[x]
    most_at[x] = after_high[x]
    right[x] = b
    left[x + 1 : b] = x
    _sweep_backward(a, x, allowed, first_step, last_step, after_low, after_high, node, node_low, node_high)
    _sweep_forward(x, b, allowed, first_from, last_from, before_low, before_high, node, node_low, node_high)
    return True


class Oracle:
    """Answer `take` for frames of several videos, exactly.

    Parameters
    ----------
    parts : sequence of Prepared
        Each video's constraints; every one must be satisfiable by itself.
    n : int
        Frames over all videos, included ones among them, labelled ones not.
    minimum, maximum : (V,) int64
        Bounds on each video's frames, included ones among them.

    Attributes
    ----------
    low, high : int
        Least and greatest total that the constraints allowed at the start.
    """

    def __init__(
        self, parts: Sequence[Prepared], n: int, minimum: NDArray[np.int64], maximum: NDArray[np.int64]
    ) -> None:
        sizes = np.array([len(part.eligible) for part in parts], np.int64)
        # Node s_v is the start of video v and the end of the one before; the last one is the end of all.
        starts = np.concatenate([[0], np.cumsum(sizes + 1)])
        count = int(starts[-1]) + 1
        first, last = np.empty(count, np.int64), np.empty(count, np.int64)
        allowed = np.zeros(count, np.bool_)
        owner = np.full(count, len(parts) - 1, np.int64)
        fixed, given = [starts], [np.zeros(len(starts), np.bool_)]
        for v, part in enumerate(parts):
            at = starts[v]
            stop = at + sizes[v] + 1
            first[at:stop] = part.first_step[:-1] + at
            last[at:stop] = part.last_step[:-1] + at
            allowed[at + 1 : stop] = part.eligible
            owner[at:stop] = v
            for frames, is_given in ((part.labeled, True), (part.include, False)):
                fixed.append(frames + 1 + at)
                given.append(np.full(len(frames), is_given))
        first[-1] = last[-1] = count
        node = np.arange(count, dtype=np.int64)
        first_from = np.searchsorted(last, node, side="left").astype(np.int64)
        last_from = np.searchsorted(first, node, side="right").astype(np.int64) - 1
        places, flags = np.concatenate(fixed), np.concatenate(given)
        by_place = np.argsort(places)
        places, flags = places[by_place].astype(np.int64), flags[by_place]
        allowed[places] = False
        self._starts, self._owner, self._allowed = starts, owner, allowed
        self._steps = (first, last, first_from, last_from)
        least, most = interval_steps(places, flags, allowed, *self._steps)
        self._sweeps = tuple(np.zeros(count, np.int64) for _ in range(7))
        self._links = tuple(np.zeros(count, np.int64) for _ in range(4))
        included = np.array([len(part.include) for part in parts], np.int64)
        # Steps between fixed nodes count the nodes between them; included frames are picks, labelled ones are not.
        self._fewest, self._greatest = included.copy(), included.copy()
        _prepare(
            places,
            owner,
            least,
            most,
            allowed,
            self._steps,
            self._sweeps,
            self._links,
            self._fewest,
            self._greatest,
        )
        self._minimum, self._maximum = minimum.astype(np.int64), maximum.astype(np.int64)
        low, high = np.maximum(self._minimum, self._fewest), np.minimum(self._maximum, self._greatest)
        self._n, self._total = n, np.array([low.sum(), high.sum()], np.int64)
        self.low, self.high = int(low.sum()), int(high.sum())

    def take(self, video: int, frame: int) -> bool:
        """Take a frame if exactly n frames stay possible; False rules it out for good.

        Parameters
        ----------
        video : int
            Which of the parts.
        frame : int
            Its frame index.

        Returns
        -------
        bool
            Whether it was taken.
        """
        return bool(
            _take(
                self._starts[video] + frame + 1,
                self._n,
                video,
                self._allowed,
                self._steps,
                self._sweeps,
                self._links,
                self._fewest,
                self._greatest,
                self._minimum,
                self._maximum,
                self._total,
            )
        )

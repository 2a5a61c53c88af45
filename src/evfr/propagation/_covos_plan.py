"""Plan a coded clip: what each carried frame draws on, and how long each frame must be kept."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from evfr._core.gop import CodedClip, ListField
from evfr.propagation._covos_warp import restrict

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["Plan", "make_plan"]


@dataclass(frozen=True, slots=True, eq=False)
class Plan:
    """Which frames are keys, what each carried frame draws on, and when a stack is needed for the last time."""

    is_key: NDArray[np.bool_]
    lists: dict[int, tuple[ListField, ListField]]
    nearest_key: dict[int, int]
    last_use: NDArray[np.int64]


def make_plan(
    coded: CodedClip, is_key: NDArray[np.bool_], shots: NDArray[np.int64], usable: NDArray[np.bool_]
) -> Plan:
    """Return the plan; references across shots, to frames that are not usable, are left out of the lists."""
    rank = np.empty(len(coded), np.int64)
    rank[coded.decode_order] = np.arange(len(coded))
    last_use = np.full(len(coded), -1, np.int64)
    lists: dict[int, tuple[ListField, ListField]] = {}
    nearest: dict[int, int] = {}
    nothing = ListField.empty(*coded.grid)
    for position in np.flatnonzero(usable & ~is_key).tolist():
        is_allowed = usable & (shots == shots[position])
        first, second = (
            restrict(field, is_allowed) for field in coded.fields[position] or (nothing, nothing)
        )
        lists[position] = first, second
        keys = np.flatnonzero(is_key & is_allowed & (rank < rank[position]))
        drawn = {int(r) for field in (first, second) for r in np.unique(field.reference) if r >= 0}
        if len(keys):
            nearest[position] = int(keys[np.argmin(np.abs(keys - position))])
            drawn.add(nearest[position])
        for reference in drawn:
            last_use[reference] = max(last_use[reference], rank[position])
    return Plan(is_key, lists, nearest, last_use)

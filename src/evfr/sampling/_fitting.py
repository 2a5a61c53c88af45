"""Move a method's picks as little as possible so that the gaps hold, and put the sample together."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from evfr.sampling._sample import Sample, spread_rank

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from evfr.sampling._constraints import Prepared

__all__ = ["assemble", "fit", "fit_targets", "taken_by"]


def fit_targets(base: Sample, prepared: Prepared, targets: NDArray[np.int64] | None = None) -> Sample:
    """Apply the constraints to a method whose picks are targets that may have to move.

    Parameters
    ----------
    base : Sample
        The method's picks.
    prepared : Prepared
        What must hold.
    targets : (M,) int64 or None
        Picks that are wanted beside the included frames, the first the most; None is all of them, by rank.

    Returns
    -------
    Sample
        The included frames and as many more as there are targets.
    """
    if targets is None:
        targets = base.indices[np.argsort(base.rank)]
    reasons = dict(zip(base.indices.tolist(), base.reasons, strict=True))
    room = len(targets)
    if not prepared.is_gapped:
        probabilities = None if len(prepared.include) else base.probabilities
        return assemble(base, prepared, targets, reasons, probabilities, None)
    frames = np.flatnonzero(prepared.eligible)
    fits = fit(prepared, prepared.include, targets, room)
    picked, lost = targets[fits], np.sort(targets[~fits])
    if len(picked) < room:
        chosen = np.concatenate([prepared.include, picked])
        others = np.setdiff1d(frames, chosen)
        nearest = _nearest(others, lost)
        distance = np.abs(others - nearest)
        # Left to right would split one interval again and again: n sweeps over the whole video.
        by_distance = np.lexsort((spread_rank(len(others)), distance))
        others, nearest = others[by_distance], nearest[by_distance]
        fills = fit(prepared, chosen, others, room - len(picked))
        picked = np.concatenate([picked, others[fills]])
        for i, target in zip(others[fills].tolist(), nearest[fills].tolist(), strict=True):
            reasons[i] = f"{base.method}: moved {abs(i - target)} frames from {target} by the constraints"
    notes = base.notes
    if len(lost):
        notes = (
            *notes,
            f"{base.method}: {len(lost)} of {room + len(prepared.include)} frames were moved by the constraints",
        )
    return assemble(replace(base, notes=notes), prepared, picked, reasons, None, None)


def taken_by(include: NDArray[np.int64], targets: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Return which targets the included frames replace (steps 1 and 2 of `sample`'s notes)."""
    is_taken = np.isin(targets, include)
    by_index = np.argsort(targets)
    for frame in include[~np.isin(include, targets)].tolist():
        left = by_index[~is_taken[by_index]]
        is_taken[left[np.argmin(np.abs(targets[left] - frame))]] = True
    return is_taken


def _nearest(frames: NDArray[np.int64], lost: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the nearest of the sorted lost targets for each frame, ties to the lower."""
    after = np.searchsorted(lost, frames)
    below = lost[np.maximum(after - 1, 0)]
    above = lost[np.minimum(after, len(lost) - 1)]
    nearest: NDArray[np.int64] = np.where(np.abs(frames - below) <= np.abs(above - frames), below, above)
    return nearest


def fit(
    prepared: Prepared, chosen: NDArray[np.int64], order: NDArray[np.int64], room: int
) -> NDArray[np.bool_]:
    """Return which frames of ``order`` to take so that the constraints hold with ``room`` more frames."""
    from evfr.sampling._chain import pick_in_order

    fixed, is_given = prepared.nodes(chosen)
    allowed = prepared.allowed()
    allowed[fixed] = False
    fits: NDArray[np.bool_] = pick_in_order(fixed, is_given, allowed, *prepared[4:], order + 1, room)
    return fits


def assemble(
    base: Sample,
    prepared: Prepared,
    picked: NDArray[np.int64],
    reasons: dict[int, str],
    probabilities: NDArray[np.float64] | None,
    order: NDArray[np.int64] | None,
) -> Sample:
    """Put included and picked frames (each in order of rank) into one sample."""
    ranked = np.concatenate([prepared.include, picked])
    rank = np.argsort(ranked, kind="stable").astype(np.int64)
    indices = ranked[rank]
    gains = None
    if base.gains is not None:
        own = dict(zip(base.indices.tolist(), base.gains.tolist(), strict=True))
        gains = np.array([own.get(i, np.nan) for i in indices.tolist()], np.float64)
    included = set(prepared.include.tolist())
    inclusion = np.full(len(indices), np.nan) if probabilities is None else probabilities[indices]
    inclusion[np.isin(indices, prepared.include)] = 1.0
    return replace(
        base,
        indices=indices,
        inclusion=inclusion,
        rank=rank,
        reasons=tuple("include: asked for" if i in included else reasons[i] for i in indices.tolist()),
        order=order,
        probabilities=probabilities,
        gains=gains,
    )

"""Carry masks along step fields from both labelled frames: the methods flow, motion and default."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Literal

import numpy as np

from evfr._core.masks import Rle, intersection_area
from evfr.propagation._boxes import carry_boxes
from evfr.propagation._fusion import SideView, compete, fuse
from evfr.propagation._interval import SIDES, Carried, CarryEnd, Interval, Side, assemble, label_of
from evfr.propagation._matching import cell_side, make_key
from evfr.propagation._measure import MEASURED, band_mean, measure, trimmed
from evfr.propagation._parts import box_only, join, only_tracks
from evfr.propagation._patches import Patch
from evfr.propagation._pictures import grey_of
from evfr.propagation._steps import Hops, make_hops
from evfr.propagation._warp import FULL, carry_side

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from evfr._core.motion import StepFieldMaker

__all__ = ["default", "flow", "motion"]


def flow(
    interval: Interval,
    *,
    steps: Mapping[str, StepFieldMaker] | None = None,
    step: str = "dis",
    fusion: Literal["residual", "distance"] = "residual",
) -> Carried:
    """Carry masks along optical flow, from both sides (ours).

    Parameters
    ----------
    interval : Interval
        Frames and the labels at their ends.
    steps : mapping of str to StepFieldMaker, or None
        More step fields by name.
    step : str
        Step field: ``"dis"``, ``"dis-medium"``, ``"farneback"``, or a name in ``steps``.
    fusion : {"residual", "distance"}
        Weight of a side: exp(-residual / 6 grey levels) / distance, or 1 / distance.

    Returns
    -------
    Carried
        Masks of all frames.

    Raises
    ------
    ValueError
        If a name is not known or the step fields do not fit the frames.
    """
    if fusion not in ("residual", "distance"):
        raise ValueError(f"fusion must be 'residual' or 'distance', got {fusion!r}")
    return carry_masks(interval, steps, step, is_by_residual=fusion == "residual", is_matching=False)


def motion(
    interval: Interval, *, steps: Mapping[str, StepFieldMaker] | None = None, step: str = "proxy"
) -> Carried:
    """Carry masks along the motion vectors of a codec, from both sides: the fast tier (ours).

    Parameters
    ----------
    interval : Interval
        Frames and the labels at their ends.
    steps : mapping of str to StepFieldMaker, or None
        Makers by name; must hold ``step``.
    step : str
        ``"proxy"`` (vectors of an H.264 proxy made for this) or ``"stream"`` (the file's own).

    Returns
    -------
    Carried
        Masks of all frames, fused by residual; nothing is matched.

    Raises
    ------
    ValueError
        If ``steps`` has no such maker or its fields do not fit the frames.
    """
    if step not in (steps or {}):
        raise ValueError(
            f"motion needs the step fields {step!r}, got {sorted(steps or {})}; pass steps={{{step!r}: <maker>}}, or "
            "use method flow, which needs no encoder"
        )
    return carry_masks(interval, steps, step, is_by_residual=True, is_matching=False)


def default(
    interval: Interval, *, steps: Mapping[str, StepFieldMaker] | None = None, step: str = "best"
) -> Carried:
    """Carry masks along the best step field from both sides, and match what no side explains (ours).

    Parameters
    ----------
    interval : Interval
        Frames and the labels at their ends.
    steps : mapping of str to StepFieldMaker, or None
        Makers by name.
    step : str
        ``"best"`` (per pixel the better of the proxy's vectors and DIS flow; ``steps`` must hold "proxy"), ``"dis"``
        (portable: an FFmpeg without an H.264 encoder will do), ``"proxy"``, ``"stream"`` or any name in ``steps``.

    Returns
    -------
    Carried
        Masks of all frames.

    Raises
    ------
    ValueError
        If the step fields are not known or do not fit the frames.
    """
    return carry_masks(interval, steps, step, is_by_residual=True, is_matching=True)


def carry_masks(
    interval: Interval,
    steps: Mapping[str, StepFieldMaker] | None,
    step: str,
    *,
    is_by_residual: bool,
    is_matching: bool,
) -> Carried:
    """Carry the objects of an interval: masks by step fields, those that are boxes at both ends as boxes.

    Parameters
    ----------
    interval : Interval
        Frames and labels.
    steps : mapping or None
        Makers given by the caller.
    step : str
        Which step fields.
    is_by_residual, is_matching : bool
        Parts of the method that are on.

    Returns
    -------
    Carried
        With its evidence.
    """
    is_box = box_only(interval)
    if not is_box.any():
        return _carry(interval, steps, step, is_by_residual=is_by_residual, is_matching=is_matching)
    parts = [carry_boxes(only_tracks(interval, interval.track_ids[is_box]))]
    if not is_box.all():
        rest = only_tracks(interval, interval.track_ids[~is_box])
        parts.append(_carry(rest, steps, step, is_by_residual=is_by_residual, is_matching=is_matching))
    return join(interval, parts)


def _carry(
    interval: Interval,
    steps: Mapping[str, StepFieldMaker] | None,
    step: str,
    *,
    is_by_residual: bool,
    is_matching: bool,
) -> Carried:
    """Carry masks stretch by stretch, between cuts and damaged frames."""
    tracks = interval.track_ids
    shape = (len(interval), len(tracks))
    given = {side: [_mask_of(interval, side, k) for k in range(len(tracks))] for side in SIDES}
    is_exempt, rank = _overlaps(given), _ranks(given)
    masks: list[list[Rle | None]] = [[None] * len(tracks) for _ in range(len(interval))]
    columns = {name: np.full(shape, np.nan) for name in ("score", *MEASURED)}
    ends: list[CarryEnd] = []
    for stretch, named in _stretches(interval):
        has_object = any(mask is not None and not mask.is_empty for side in named for mask in given[side])
        if len(stretch) < 2 or not has_object:
            # Nothing to carry: long stretches without objects cost no step fields.
            continue
        frames = [interval.frames[t] for t in stretch]
        index = interval.frame_index[stretch.start : stretch.stop]
        hops = make_hops(step, frames, index, steps)
        sides = [
            _view(frames, index, hops, side, given[side], _silent(interval, side), is_matching=is_matching)
            for side in named
        ]
        grid: list[list[Patch | None]] = []
        for t, frame in enumerate(frames):
            if int(index[t]) in [side.frame_index for side in sides]:
                at_label = next(side for side in sides if side.frame_index == int(index[t]))
                grid.append([None if p is None else _binary(p) for p in at_label.chain.soft[t]])
                continue
            fused = fuse(frame, int(index[t]), t, sides, is_by_residual=is_by_residual)
            grid.append([None] * len(tracks))
            if fused is None:
                continue
            won = compete(fused.shares, rank, is_exempt)
            grid[t] = [None if w is None else trimmed(w, fused.window) for w in won]
            for k, patch in enumerate(grid[t]):
                share = fused.shares[k]
                if patch is not None and share is not None:
                    cut = patch.window.within(fused.window)
                    columns["score"][stretch[t], k] = float(share[cut][patch.values > 0].mean())
                    columns["residual"][stretch[t], k] = band_mean(patch, fused)
        lost = _stop_lost(grid, sides)
        ends += [
            CarryEnd(int(tracks[k]), int(index[t]), side, "lost") for (side, k), t in sorted(lost.items())
        ]
        for name, values in measure(grid, sides, index).items():
            columns[name][stretch.start : stretch.stop] = values
        for t, row in enumerate(grid):
            masks[stretch[t]] = [None if p is None else _rle(p, interval) for p in row]
    return assemble(interval, masks=masks, score=columns.pop("score"), evidence=columns, ends=ends)


def _mask_of(interval: Interval, side: Side, k: int) -> Rle | None:
    label = label_of(interval, side, k)
    return None if label is None else label[0]


def _silent(interval: Interval, side: Side) -> frozenset[int]:
    """Return the objects to which an end gives a box without a mask: it cannot say which pixels are theirs."""
    labels = [label_of(interval, side, k) for k in range(len(interval.track_ids))]
    return frozenset(k for k, label in enumerate(labels) if label is not None and label[0] is None)


def _stretches(interval: Interval) -> list[tuple[range, tuple[Side, ...]]]:
    """Return the runs of positions that labels reach, with the sides that do."""
    left, right = interval.reach("left")[0], interval.reach("right")[0]
    if len(left) == len(interval) == len(right):
        return [(range(len(interval)), SIDES)]
    found: list[tuple[range, tuple[Side, ...]]] = [(left, ("left",)), (right[::-1], ("right",))]
    return [(run, named) for run, named in found if len(run) > 0]


def _view(
    frames: Sequence[NDArray[np.uint8]],
    index: NDArray[np.int64],
    hops: Hops,
    side: Side,
    masks: Sequence[Rle | None],
    silent: frozenset[int],
    *,
    is_matching: bool,
) -> SideView:
    order = range(len(frames)) if side == "left" else range(len(frames) - 1, -1, -1)
    step_at = (lambda t: hops.to_previous(t - 1)) if side == "left" else hops.to_next
    key = frames[order[0]]
    return SideView(
        side=side,
        chain=carry_side(frames, order, step_at, masks),
        grey=grey_of(key),
        frame_index=int(index[order[0]]),
        key=make_key(key, masks, cell_side(*key.shape[:2])) if is_matching else None,
        silent=silent,
    )


def _stop_lost(grid: list[list[Patch | None]], sides: Sequence[SideView]) -> dict[tuple[Side, int], int]:
    """Return where each side lost objects; those it alone has end there, whatever shows up farther on."""
    lost = {(side.side, k): t for side in sides for k, t in side.chain.lost.items()}
    for side in sides:
        order = list(range(len(grid))) if side.side == "left" else list(range(len(grid) - 1, -1, -1))
        for k, patch in enumerate(grid[order[0]]):
            if patch is None or (len(sides) == 2 and grid[order[-1]][k] is not None):
                continue
            stop = next((n for n, t in enumerate(order) if grid[t][k] is None), None)
            # The other labelled frame says that the object is absent: arriving there is no loss.
            if stop is None or (len(sides) == 2 and stop == len(order) - 1):
                continue
            lost[side.side, k] = order[stop]
            for t in order[stop:]:
                grid[t][k] = None
    return lost


def _overlaps(given: Mapping[Side, Sequence[Rle | None]]) -> NDArray[np.bool_]:
    """Return which pairs of objects overlap in given labels."""
    count = len(given["left"])
    out = np.zeros((count, count), np.bool_)
    for masks in given.values():
        for j, k in itertools.combinations(range(count), 2):
            one, other = masks[j], masks[k]
            if one is not None and other is not None and intersection_area(one, other) > 0:
                out[j, k] = out[k, j] = True
    return out


def _ranks(given: Mapping[Side, Sequence[Rle | None]]) -> list[int]:
    """Rank objects by size and then by their pixels, the same way in both directions of time and for any ids."""
    keys = []
    for pair in zip(given["left"], given["right"], strict=True):
        known = [mask for mask in pair if mask is not None]
        keys.append((-sum(mask.area for mask in known), sorted(mask.counts.tobytes() for mask in known)))
    order = sorted(range(len(keys)), key=keys.__getitem__)
    return [order.index(k) for k in range(len(order))]


def _binary(patch: Patch) -> Patch:
    return Patch(patch.window, (patch.values > FULL // 2).view(np.uint8))


def _rle(patch: Patch, interval: Interval) -> Rle:
    canvas = np.zeros((interval.height, interval.width), np.bool_)
    canvas[patch.window.rows_columns] = patch.values > 0
    return Rle.from_mask(canvas)

"""Carry boxes by drift-corrected flow, and trust it over a straight line as far as it reached the other label."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from evfr.propagation._boxes_evidence import area_jumps, paired_iou, residuals
from evfr.propagation._boxes_flow import BoxChain, follow, shortened
from evfr.propagation._boxes_labels import departures, is_left_nearer, is_whole, label_boxes
from evfr.propagation._boxes_pictures import GreyPictures
from evfr.propagation._interval import SIDES, Carried, CarryEnd, Interval, Side, assemble

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from evfr._core.motion import StepFieldMaker

__all__ = ["carry_boxes"]


def carry_boxes(interval: Interval, *, steps: Mapping[str, StepFieldMaker] | None = None) -> Carried:
    """Carry boxes by flow from both labels, mixed into a straight line by how well it met them (ours).

    Parameters
    ----------
    interval : Interval
        Frames and labels. Of a label with a mask its box is carried.
    steps : mapping of str to StepFieldMaker, or None
        Not used: motion is measured inside the boxes only.

    Returns
    -------
    Carried
        Boxes may lie partly outside the picture, where the object does; nothing is clamped. ``score`` is the share of
        the points in the box that agreed on the motion, 0 to 1. A track with a ``"lost"`` or ``"failed: ..."`` end
        keeps its boxes if both frames label it: they are then those of the other side, and of the straight line.

    Notes
    -----
    Step. A grid of 12 x 12 points in the box is tracked to the next frame by pyramidal Lucas-Kanade at a size where
    the longer side is 64 pixels or less; RANSAC (1.5 pixels there) finds the similarity that most points agree on.
    Centres move and sizes scale; rotation is left out. A box is lost where fewer than 8 points lie in the picture, are
    found, or agree, where fewer than a sixth of those in the picture agree (chance reaches a seventh), or where it
    would halve or double in one step. Under 8 pixels only the shift is used.

    Between two labels L and R at frames 0 and T of an uninterrupted stretch, with a = t / T by frame index and boxes
    as centre and logarithm of size: the box F from the left misses R by F_T - R, which is spread linearly,
    F'_t = F_t + a (R - F_T); B' likewise from the right; flow_t = (1 - a) F'_t + a B'_t. The gate is the mean g of
    IoU(F_T, R) and IoU(B_0, L), 0 for a side that was lost: box_t = g flow_t + (1 - g) ((1 - a) L + a R), corner by
    corner. An object that both frames label is there in between: that it left and came back is not found here.

    With one label, or a cut or a damaged frame in between, boxes are carried from each side as far as they get. Where
    the other end is labelled too but does not name the track, it has left somewhere on the way: it ends as ``"lost"``
    where that end becomes the nearer one.

    References
    ----------
    Bouguet, "Pyramidal implementation of the affine Lucas Kanade feature tracker", Intel Corporation (2001).
    Fischler and Bolles, "Random sample consensus", Communications of the ACM 24 (1981), doi:10.1145/358669.358692.
    """
    count, tracks = len(interval), interval.track_ids
    pictures = GreyPictures(interval.frames)
    chains = {side: _from_side(interval, pictures, side) for side in SIDES}
    labels = {side: label_boxes(interval, side) for side in SIDES}
    boxes = np.full((count, len(tracks), 4), np.nan)
    score, agreement, shape_jump = (np.full(boxes.shape[:2], np.nan) for _ in range(3))
    share = _share(interval)
    nearer = is_left_nearer(interval)
    has_both = is_whole(interval)
    ends = []
    for k in range(len(tracks)):
        found = {side: chains[side][k] for side in SIDES if k in chains[side]}
        if has_both and len(found) == 2:
            left, right = found["left"], found["right"]
            boxes[:, k] = _between(labels["left"][k], labels["right"][k], left, right, share)
            agreement[:, k] = paired_iou(left.boxes, right.boxes)
            score[:, k] = _mixed_support(left, right, share)
        else:
            for chain in found.values():
                reached = ~np.isnan(chain.boxes[:, 0])
                boxes[reached, k], score[reached, k] = chain.boxes[reached], chain.support[reached]
        for side, chain in found.items():
            is_nearest = len(found) == 1 or not has_both or (nearer if side == "left" else ~nearer)
            jumps = _shape_jumps(boxes[:, k], chain.boxes, 1 if side == "left" else -1)
            shape_jump[:, k] = np.where(is_nearest & ~np.isnan(jumps), jumps, shape_jump[:, k])
            if chain.stop is not None:
                stop = int(interval.frame_index[chain.stop])
                ends.append(CarryEnd(int(tracks[k]), stop, side, chain.reason))
    evidence = {
        "residual": residuals(interval, pictures, boxes),
        "agreement": agreement,
        "area_jump": area_jumps(interval, boxes),
        "shape_jump": shape_jump,
    }
    return assemble(interval, boxes_xyxy=boxes, score=score, evidence=evidence, ends=ends)


def _share(interval: Interval) -> NDArray[np.float64]:
    """Return a in [0, 1]: how far each frame lies on the way from the first to the last."""
    way = (interval.frame_index - interval.frame_index[0]).astype(np.float64)
    share: NDArray[np.float64] = way / max(float(way[-1]), 1.0)
    return share


def _from_side(interval: Interval, pictures: GreyPictures, side: Side) -> dict[int, BoxChain]:
    positions, _ = interval.reach(side)
    labels = label_boxes(interval, side)
    rows = np.flatnonzero(~np.isnan(labels).any(axis=1)).tolist() if positions else []
    chains = follow(pictures, positions, [labels[k] for k in rows], len(interval)) if rows else []
    leaves = departures(interval)
    return {
        k: shortened(chain, positions, leaves.get((k, side))) for k, chain in zip(rows, chains, strict=True)
    }


def _between(
    left: NDArray[np.float64],
    right: NDArray[np.float64],
    forward: BoxChain,
    backward: BoxChain,
    share: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Return the (T, 4) boxes between two labels: drift-corrected flow, gated into the straight line."""
    a = share[:, None]
    straight = (1.0 - a) * left + a * right
    sides = []
    gate = 0.0
    if min((left[2:] - left[:2]).min(), (right[2:] - right[:2]).min()) > 0.0:
        for chain, target, at, weight in ((forward, right, -1, a), (backward, left, 0, 1.0 - a)):
            if chain.stop is None:
                gate += 0.5 * float(paired_iou(chain.boxes[at], target))
                drift = _centred(target) - _centred(chain.boxes[at])
                sides.append((1.0 - weight, _centred(chain.boxes) + weight * drift))
    if not sides:
        return straight
    flow = sides[0][1] if len(sides) == 1 else sides[0][0] * sides[0][1] + sides[1][0] * sides[1][1]
    return gate * _cornered(flow) + (1.0 - gate) * straight


def _centred(boxes: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return centre and logarithm of size, where the drift of a scale adds up."""
    size = boxes[..., 2:] - boxes[..., :2]
    return np.concatenate([boxes[..., :2] + size / 2, np.log(size)], axis=-1)


def _cornered(centred: NDArray[np.float64]) -> NDArray[np.float64]:
    half = np.exp(centred[..., 2:]) / 2
    return np.concatenate([centred[..., :2] - half, centred[..., :2] + half], axis=-1)


def _mixed_support(left: BoxChain, right: BoxChain, share: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the support of both sides, the nearer one weighing more; a lost side supports nothing."""
    mixed: NDArray[np.float64] = (1.0 - share) * np.nan_to_num(left.support) + share * np.nan_to_num(
        right.support
    )
    return mixed


def _shape_jumps(boxes: NDArray[np.float64], chain: NDArray[np.float64], step: int) -> NDArray[np.float64]:
    """Return 1 - IoU of each box with its neighbour's, moved and scaled as the chain did in that step."""
    before, now = np.roll(boxes, step, axis=0), boxes
    was, is_ = np.roll(chain, step, axis=0), chain
    with np.errstate(divide="ignore", invalid="ignore"):
        growth = (is_[:, 2:] - is_[:, :2]) / (was[:, 2:] - was[:, :2])
        centre = (before[:, :2] + before[:, 2:] + is_[:, :2] + is_[:, 2:] - was[:, :2] - was[:, 2:]) / 2
        half = (before[:, 2:] - before[:, :2]) * growth / 2
        jumps: NDArray[np.float64] = 1.0 - paired_iou(np.concatenate([centre - half, centre + half], 1), now)
    jumps[0 if step == 1 else -1] = np.nan
    return jumps

"""Carry boxes by the trackers of OpenCV's contrib modules, from both labels."""

from __future__ import annotations

import ctypes
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import cv2
import numpy as np

from evfr._core.masks import Rle
from evfr.errors import MissingExtraError
from evfr.propagation._boxes_evidence import area_jumps, paired_iou, residuals
from evfr.propagation._boxes_flow import BoxChain, shortened
from evfr.propagation._boxes_labels import departures, is_left_nearer, label_boxes
from evfr.propagation._boxes_masks import box_mask, grabcut_mask
from evfr.propagation._boxes_pictures import GreyPictures, box_content
from evfr.propagation._interval import SIDES, Carried, CarryEnd, Interval, assemble

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from evfr._core.motion import StepFieldMaker

__all__ = ["MASKS_FROM_BOXES", "TRACKERS", "tracker"]

TRACKERS = {"csrt": "TrackerCSRT", "kcf": "TrackerKCF", "mil": "TrackerMIL"}
MASKS_FROM_BOXES = ("none", "box", "grabcut")
LEAST_SIDE = 8


def tracker(
    interval: Interval,
    *,
    steps: Mapping[str, StepFieldMaker] | None = None,
    tracker: Literal["csrt", "kcf", "mil"] = "csrt",
    min_similarity: float = 0.2,
    masks: Literal["none", "box", "grabcut"] = "none",
) -> Carried:
    """Carry boxes by a tracker started at each label, and join the two sides (C19, section II.C).

    Parameters
    ----------
    interval : Interval
        Frames and labels; any number of objects. Of a label with a mask its box is tracked.
    steps : mapping of str to StepFieldMaker, or None
        Not used.
    tracker : {"csrt", "kcf", "mil"}
        Discriminative correlation filter with channel and spatial reliability, kernelized correlation filter, or
        multiple instance learning. KCF and MIL keep the size of the box.
    min_similarity : float
        Least correlation, -1 to 1, of what the box shows with what it showed at the label; below it the object is
        lost. -1 leaves that to the tracker.
    masks : {"none", "box", "grabcut"}
        Masks of the carried frames: none, every pixel of the box (as C19 trains on), or what GrabCut finds in it.

    Returns
    -------
    Carried
        ``score`` is the correlation with the label, negative values as 0. An object that is lost from both sides is
        absent in between; one that the other labelled end does not name is lost where that end becomes the nearer
        one. Boxes are those of the tracker, also where masks are made from them.

    Raises
    ------
    ValueError
        If an option is not allowed.
    MissingExtraError
        If the installed OpenCV has no such tracker.

    Notes
    -----
    Where both sides reach a frame, the box is (1 - a) F + a B, a the distance to the left label over that between
    the labels; where the two do not even touch, it is that of the nearer label. C19 used DSST, which only dlib has.

    The trackers work with whole pixels. A box keeps its offset to them, so that it may reach over the border of the
    picture and be smaller than the 8 pixels that they need. Correlation is of grey levels on a grid of 24 x 24
    places; where there is no contrast it is not measured and does not end a track.

    References
    ----------
    Lukezic et al., "Discriminative correlation filter with channel and spatial reliability", CVPR 2017,
    doi:10.1109/CVPR.2017.515. Henriques et al., "High-speed tracking with kernelized correlation filters", TPAMI 37
    (2015), doi:10.1109/TPAMI.2014.2345390. Babenko, Yang and Belongie, "Visual tracking with online multiple instance
    learning", CVPR 2009, doi:10.1109/CVPR.2009.5206737.
    """
    if tracker not in TRACKERS:
        raise ValueError(f"tracker must be one of {', '.join(TRACKERS)}, got {tracker!r}")
    if not -1.0 <= min_similarity <= 1.0:
        raise ValueError(f"min_similarity must be in [-1, 1], got {min_similarity}")
    if masks not in MASKS_FROM_BOXES:
        raise ValueError(f"masks must be one of {', '.join(MASKS_FROM_BOXES)}, got {masks!r}")
    count, tracks, index = len(interval), interval.track_ids, interval.frame_index
    pictures = GreyPictures(interval.frames)
    boxes = np.full((2, count, len(tracks), 4), np.nan)
    score = np.full((2, count, len(tracks)), np.nan)
    ends, leaves = [], departures(interval)
    for number, side in enumerate(SIDES):
        labels = label_boxes(interval, side)
        positions, _ = interval.reach(side)
        rows = np.flatnonzero(~np.isnan(labels).any(axis=1)).tolist() if positions else []
        chains = _track(interval, pictures, positions, [labels[k] for k in rows], tracker, min_similarity)
        for k, tracked in zip(rows, chains, strict=True):
            chain = shortened(tracked, positions, leaves.get((k, side)))
            boxes[number, :, k], score[number, :, k] = chain.boxes, chain.support
            if chain.stop is not None:
                ends.append(CarryEnd(int(tracks[k]), int(index[chain.stop]), side, chain.reason))
    way = (index - index[0]).astype(np.float64)
    share = (way / max(float(way[-1]), 1.0))[:, None]
    agreement = paired_iou(boxes[0], boxes[1])
    one, other = np.isnan(boxes[0]).any(axis=2), np.isnan(boxes[1]).any(axis=2)
    is_left_alone = other | (~one & (agreement == 0.0) & is_left_nearer(interval)[:, None])
    is_right_alone = one | (~other & (agreement == 0.0) & ~is_left_nearer(interval)[:, None])
    weight = np.where(is_left_alone, 0.0, np.where(is_right_alone, 1.0, share))
    joined, clarity = (_mix(values[0], values[1], weight) for values in (boxes, score))
    evidence = {
        "residual": residuals(interval, pictures, joined),
        "agreement": agreement,
        "area_jump": area_jumps(interval, joined),
    }
    made = _masks(interval, joined, masks)
    return assemble(
        interval, masks=made, boxes_xyxy=joined, score=np.maximum(clarity, 0.0), evidence=evidence, ends=ends
    )


def _mix(
    left: NDArray[np.float64], right: NDArray[np.float64], weight: NDArray[np.float64]
) -> NDArray[np.float64]:
    weight = weight.reshape(weight.shape + (1,) * (left.ndim - weight.ndim))
    mixed = (1.0 - weight) * left + weight * right
    # A side of weight 0 may be NaN.
    out: NDArray[np.float64] = np.where(weight == 0.0, left, np.where(weight == 1.0, right, mixed))
    return out


def _masks(
    interval: Interval, boxes: NDArray[np.float64], kind: str
) -> tuple[tuple[Rle | None, ...], ...] | None:
    if kind == "none":
        return None
    height, width = interval.height, interval.width
    rows = []
    for t in range(len(interval)):
        is_there = ~np.isnan(boxes[t]).any(axis=1)
        frame = interval.frames[t] if kind == "grabcut" and is_there.any() else None
        rows.append(
            tuple(
                None
                if not there
                else box_mask(box, height, width)
                if frame is None
                else grabcut_mask(frame, box)
                for there, box in zip(is_there, boxes[t], strict=True)
            )
        )
    return tuple(rows)


@dataclass(frozen=True, slots=True)
class _Start:
    """A box at its label, and the whole pixels in the picture that are tracked for it."""

    box: NDArray[np.float64]
    rectangle: tuple[int, int, int, int]

    def moved(self, rectangle: tuple[float, float, float, float]) -> NDArray[np.float64]:
        """Return the box that lies to a rectangle as the one at the label did to its own."""
        x, y, width, height = self.rectangle
        growth = np.array([rectangle[2] / width, rectangle[3] / height] * 2)
        offset: NDArray[np.float64] = (self.box - np.array([x, y, x, y])) * growth
        return np.array(rectangle[:2] * 2, np.float64) + offset


def _track(
    interval: Interval,
    pictures: GreyPictures,
    positions: range,
    labels: list[NDArray[np.float64]],
    name: str,
    min_similarity: float,
) -> list[BoxChain]:
    """Track several boxes, each on its own; an object that fails leaves the others."""
    count = len(interval)
    boxes, likeness = np.full((len(labels), count, 4), np.nan), np.full((len(labels), count), np.nan)
    ends: list[tuple[int | None, str]] = [(None, "")] * len(labels)
    running: dict[int, tuple[Any, _Start, Any]] = {}
    first = _bgr(interval, positions[0]) if labels else None
    for n, label in enumerate(labels):
        boxes[n, positions[0]], likeness[n, positions[0]] = label, 1.0
        if len(positions) == 1:
            continue
        rectangle = _rectangle(label, interval.height, interval.width)
        if rectangle is None:
            ends[n] = (positions[1], "lost")
            continue
        try:
            made = _make(name)
            if made.init(first, rectangle) is False:
                ends[n] = (positions[1], f"failed: {name} did not start")
                continue
            if name == "kcf":
                # Its init keeps no picture: the first update learns the look, and finds nothing yet.
                made.update(first)
        except (cv2.error, MemoryError) as error:
            ends[n] = (positions[1], f"failed: {name}: {_said(error)}")
            continue
        has_area = (label[2:] > label[:2]).all()
        key = box_content(pictures, positions[0], label) if has_area else None
        running[n] = (made, _Start(label, rectangle), key)
    for now in positions[1:]:
        if not running:
            break
        frame = _bgr(interval, now)
        for n, (made, start, key) in list(running.items()):
            try:
                is_found, found = made.update(frame)
            except (cv2.error, MemoryError) as error:
                is_found, reason = False, f"failed: {name}: {_said(error)}"
            else:
                reason = "lost"
            if is_found:
                box = start.moved(found)
                likeness[n, now] = np.nan if key is None else _correlation(pictures, now, box, key)
                # Not measured (NaN) is not below.
                is_found = not likeness[n, now] < min_similarity
                boxes[n, now] = box
            if not is_found:
                boxes[n, now], likeness[n, now], ends[n] = np.nan, np.nan, (now, reason)
                del running[n]
    return [BoxChain(boxes[n], likeness[n], *ends[n]) for n in range(len(labels))]


def _make(name: str) -> Any:
    """Build one tracker of OpenCV: of the main namespace, or of ``legacy`` where a version has it only there."""
    called = f"{TRACKERS[name]}_create"
    create = getattr(cv2, called, None) or getattr(getattr(cv2, "legacy", None), called, None)
    if create is None:
        raise MissingExtraError(
            f"this OpenCV ({cv2.__version__}) has no {TRACKERS[name]}; uninstall every other opencv package, then run: "
            "python -m pip install --force-reinstall opencv-contrib-python-headless"
        )
    # MIL draws from both generators, OpenCV's and the C library's: no object may disturb another.
    cv2.setRNGSeed(0)
    ctypes.CDLL(None).srand(1)
    return create()


def _rectangle(box: NDArray[np.float64], height: int, width: int) -> tuple[int, int, int, int] | None:
    """Return x, y, width, height of the pixels to track, or None where no part of the box is in the picture."""
    if box[2] <= 0 or box[3] <= 0 or box[0] >= width or box[1] >= height:
        return None
    (x, w), (y, h) = (
        _stretch(float(box[axis]), float(box[axis + 2]), side) for axis, side in ((0, width), (1, height))
    )
    return x, y, w, h


def _stretch(low: float, high: float, side: int) -> tuple[int, int]:
    first, last = int(np.floor(max(low, 0.0))), int(np.ceil(min(high, float(side))))
    length = max(last - first, min(LEAST_SIDE, side))
    first = min(max(first - (length - (last - first)) // 2, 0), side - length)
    return first, length


def _correlation(
    pictures: GreyPictures,
    position: int,
    box: NDArray[np.float64],
    key: tuple[NDArray[np.float32], NDArray[np.bool_]],
) -> float:
    """Return the correlation of what two boxes show, NaN without contrast or common places."""
    if not (box[2:] > box[:2]).all():
        return float("nan")
    grey, is_inside = box_content(pictures, position, box)
    both = is_inside & key[1]
    if both.sum() < 2:
        return float("nan")
    a, b = grey[both] - grey[both].mean(), key[0][both] - key[0][both].mean()
    length = float(np.sqrt((a * a).sum() * (b * b).sum()))
    return float((a * b).sum()) / length if length > 0.0 else float("nan")


def _bgr(interval: Interval, position: int) -> Any:
    return cv2.cvtColor(interval.frames[position], cv2.COLOR_RGB2BGR)


def _said(error: Exception) -> str:
    return " ".join(str(error).split())

"""Follow boxes from frame to frame: one similarity per step, agreed on by a grid of points inside the box."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

from evfr.propagation._boxes_pictures import GreyPictures, crop

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

__all__ = ["BoxChain", "box_step", "follow", "shortened"]

GRID = 12
PLACES = np.stack(np.meshgrid(*[(np.arange(GRID) + 0.5) / GRID] * 2), axis=-1).reshape(-1, 2)
WORK_SIZE = 64.0
MARGIN = 0.25
LEAST_MARGIN = 12.0
WINDOW = (9, 9)
LEVELS = 3
STOP = (cv2.TERM_CRITERIA_COUNT | cv2.TERM_CRITERIA_EPS, 10, 0.03)
INLIER_PIXELS = 1.5
LEAST_POINTS = 8
# Between unrelated textures up to a seventh agrees by chance.
LEAST_SHARE = 1 / 6
SCALES = (0.5, 2.0)
LEAST_SPREAD = 8.0


@dataclass(frozen=True, slots=True, eq=False)
class BoxChain:
    """Hold one box followed through an interval.

    Attributes
    ----------
    boxes : (T, 4) float64
        NaN where it was not followed to.
    support : (T,) float64
        Share of the points in the picture that agreed on the step into the frame, 0 to 1; 1 at the label.
    stop : int or None
        First position that it did not reach though it might have.
    reason : str
        ``"lost"`` or ``"failed: <what>"`` with a stop, else ``""``.
    """

    boxes: NDArray[np.float64]
    support: NDArray[np.float64]
    stop: int | None = None
    reason: str = ""


def shortened(chain: BoxChain, positions: range, stop: int | None) -> BoxChain:
    """Let a box be lost at a position, unless it was lost before.

    Parameters
    ----------
    chain : BoxChain
        The box.
    positions : range
        The way it took.
    stop : int or None
        First position without the box; None leaves the chain as it is.

    Returns
    -------
    BoxChain
        With reason ``"lost"``.
    """
    if stop is None or (chain.stop is not None and positions.index(chain.stop) <= positions.index(stop)):
        return chain
    boxes, support = chain.boxes.copy(), chain.support.copy()
    beyond = list(positions[positions.index(stop) :])
    boxes[beyond], support[beyond] = np.nan, np.nan
    return BoxChain(boxes, support, stop, "lost")


def follow(
    pictures: GreyPictures, positions: range, starts: Sequence[NDArray[np.float64]], count: int
) -> list[BoxChain]:
    """Follow several boxes along the frames of an interval, each on its own.

    Parameters
    ----------
    pictures : GreyPictures
        The frames.
    positions : range
        Where to go, in steps of +1 or -1; the boxes are those of the first.
    starts : sequence of (4,) float64
        Boxes in pixels; those outside the picture, or without area, are lost at the first step.
    count : int
        T.

    Returns
    -------
    list of BoxChain
        One for each start. Box centres move and sizes scale with the similarity; its rotation is left out, for
        boxes are upright.
    """
    boxes = np.full((len(starts), count, 4), np.nan)
    support = np.full((len(starts), count), np.nan)
    ends: list[tuple[int | None, str]] = [(None, "")] * len(starts)
    speeds = np.zeros((len(starts), 2))
    for n, start in enumerate(starts):
        boxes[n, positions[0]], support[n, positions[0]] = start, 1.0
    for before, now in pairwise(positions):
        for n in range(len(starts)):
            if ends[n][0] is not None:
                continue
            box = boxes[n, before]
            try:
                found = box_step(pictures, before, now, box, speeds[n])
            except cv2.error as error:
                ends[n] = (now, f"failed: {error.err or error}")
                continue
            if found is None:
                ends[n] = (now, "lost")
                continue
            scale, speeds[n], support[n, now] = found
            centre, half = (box[:2] + box[2:]) / 2 + speeds[n], (box[2:] - box[:2]) / 2 * scale
            boxes[n, now] = (*(centre - half), *(centre + half))
    return [BoxChain(boxes[n], support[n], *ends[n]) for n in range(len(starts))]


def box_step(
    pictures: GreyPictures, before: int, now: int, box: NDArray[np.float64], speed: NDArray[np.float64]
) -> tuple[float, NDArray[np.float64], float] | None:
    """Follow one box from one frame to its neighbour.

    Parameters
    ----------
    pictures : GreyPictures
        The frames.
    before, now : int
        Positions of the two.
    box : (4,) float64
        Where it is in the first.
    speed : (2,) float64
        The shift of its last step in pixels; zero at the label.

    Returns
    -------
    (float, (2,) float64, float) or None
        Scale, shift of the centre in pixels, and share of the points that agreed; None where it is lost.
    """
    size = box[2:] - box[:2]
    longest = float(size.max())
    if not size.min() > 0.0:
        return None
    places = box[:2] + PLACES * size
    places = places[((places >= 0) & (places < (pictures.width, pictures.height))).all(axis=1)]
    if len(places) < LEAST_POINTS:
        return None
    scale = min(1.0, WORK_SIZE / longest)
    margin = max(MARGIN * longest, LEAST_MARGIN / scale)
    corner = box[:2] - margin
    cut_size = (int(np.ceil((size[0] + 2 * margin) * scale)), int(np.ceil((size[1] + 2 * margin) * scale)))
    # The second cut is made where the last step leads, so that only the change of speed has to be found.
    first, second = (
        crop(pictures, at, (float(place[0]), float(place[1])), (scale, scale), cut_size)
        for at, place in ((before, corner), (now, corner + speed))
    )
    points = ((places - corner) * scale - 0.5).astype(np.float32)
    tracked: Any = cv2.calcOpticalFlowPyrLK(
        first,
        second,
        points,
        None,  # type: ignore[call-overload]
        winSize=WINDOW,
        maxLevel=LEVELS,
        criteria=STOP,
    )
    moved, status, _ = tracked
    is_found = status.ravel() == 1
    if is_found.sum() < LEAST_POINTS:
        return None
    # Around the centre of the box, so that the offset of the similarity is the shift of the centre.
    centre = ((box[:2] + box[2:]) / 2 - corner) * scale - 0.5
    matrix, agreed = cv2.estimateAffinePartial2D(
        points[is_found] - centre,
        moved[is_found] - centre,
        method=cv2.RANSAC,
        ransacReprojThreshold=INLIER_PIXELS,
        maxIters=200,
        confidence=0.99,
        refineIters=10,
    )
    if matrix is None or agreed.sum() < max(LEAST_POINTS, LEAST_SHARE * len(places)):
        return None
    growth = float(np.hypot(matrix[0, 0], matrix[1, 0]))
    # The points of a box of a few pixels lie too close together to tell its scale.
    if longest * scale < LEAST_SPREAD:
        growth = 1.0
    if not SCALES[0] <= growth <= SCALES[1]:
        return None
    return growth, matrix[:, 2] / scale + speed, float(agreed.sum()) / len(places)

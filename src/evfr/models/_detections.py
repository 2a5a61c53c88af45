"""What a detector found in one picture, scores at other boxes, and the pick of what is worth carrying."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from evfr._core.masks import Rle, iou
from evfr.models._box_kernels import best_overlap_scores, keep_greedily

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

__all__ = ["Detections", "checked_boxes", "nms_rows", "pick", "scores_at"]


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Detections:
    """Hold the D objects that a detector of C classes found in one picture.

    Attributes
    ----------
    boxes_xyxy : (D, 4) float64
        x0, y0, x1, y1 in pixels of the picture, right and bottom edges exclusive; not negative, x0 <= x1, y0 <= y1.
    scores : (D,) float64
        Confidence in [0, 1].
    category : (D,) int64
        Index into the detector's classes, 0 to C-1.
    class_scores : (D, C) float64
        One score in [0, 1] for each real class; background has none.
    masks : tuple of D Rle or None
        Masks of the picture's size; None where the detector gives boxes only.

    Raises
    ------
    ValueError
        If the columns do not fit each other, or a value is not finite or out of its range.
    """

    boxes_xyxy: NDArray[np.float64]
    scores: NDArray[np.float64]
    category: NDArray[np.int64]
    class_scores: NDArray[np.float64]
    masks: tuple[Rle | None, ...]

    def __post_init__(self) -> None:
        n = len(self.masks)
        object.__setattr__(self, "masks", tuple(self.masks))
        object.__setattr__(self, "boxes_xyxy", checked_boxes(self.boxes_xyxy))
        if (self.boxes_xyxy < 0).any():
            row = int(np.flatnonzero((self.boxes_xyxy < 0).any(axis=1))[0])
            raise ValueError(
                f"box {row} is {self.boxes_xyxy[row].tolist()}; boxes must lie inside the picture"
            )
        for name, dimensions in (("scores", 1), ("class_scores", 2)):
            values = np.array(getattr(self, name), dtype=np.float64)
            if values.ndim != dimensions:
                raise ValueError(f"{name} must have {dimensions} axes, got {values.shape}")
            bad = ~((values >= 0) & (values <= 1))
            if bad.any():
                place = tuple(int(number) for number in np.argwhere(bad)[0])
                raise ValueError(f"{name} of detection {place[0]} is {values[place]}; it must be in [0, 1]")
            object.__setattr__(self, name, values)
        category = np.asarray(self.category)
        if not (np.issubdtype(category.dtype, np.integer) or category.size == 0):
            raise ValueError(f"category must be whole numbers, got {category.dtype}")
        object.__setattr__(self, "category", category.astype(np.int64))
        for name in ("boxes_xyxy", "scores", "category", "class_scores"):
            if len(getattr(self, name)) != n:
                raise ValueError(
                    f"all columns must have one row per detection: masks has {n}, "
                    f"{name} has {len(getattr(self, name))}"
                )
            getattr(self, name).flags.writeable = False
        classes = self.class_scores.shape[1]
        if self.category.ndim != 1 or ((self.category < 0) | (self.category >= classes)).any():
            raise ValueError(
                f"category must be one index in 0..{classes - 1} per detection, as class_scores has {classes} columns; "
                f"got {self.category.tolist()[:20]}"
            )
        sizes = {(mask.height, mask.width) for mask in self.masks if mask is not None}
        if len(sizes) > 1:
            raise ValueError(f"all masks must have the size of the picture, got {sorted(sizes)}")

    def __len__(self) -> int:
        return len(self.masks)

    def __repr__(self) -> str:
        masks = sum(mask is not None for mask in self.masks)
        return f"Detections({len(self)} of {self.class_scores.shape[1]} classes, {masks} masks)"

    def take(self, rows: NDArray[np.int64] | NDArray[np.bool_]) -> Detections:
        """Return some detections, in the order asked.

        Parameters
        ----------
        rows : (M,) int64 or (D,) bool
            Which.

        Returns
        -------
        Detections
            The same columns at those rows.
        """
        picked = np.flatnonzero(rows) if rows.dtype == np.bool_ else rows
        return Detections(
            self.boxes_xyxy[picked],
            self.scores[picked],
            self.category[picked],
            self.class_scores[picked],
            tuple(self.masks[row] for row in picked),
        )


def checked_boxes(boxes_xyxy: ArrayLike) -> NDArray[np.float64]:
    """Return boxes as a new (B, 4) float64 array.

    Raises
    ------
    ValueError
        If they have another shape, are not finite or upside down.
    """
    boxes = np.array(boxes_xyxy, dtype=np.float64)
    if boxes.ndim != 2 or boxes.shape[1] != 4:
        raise ValueError(f"boxes must be (B, 4) x0, y0, x1, y1, got {boxes.shape}")
    bad = ~np.isfinite(boxes).all(axis=1) | (boxes[:, 2] < boxes[:, 0]) | (boxes[:, 3] < boxes[:, 1])
    if bad.any():
        row = int(np.flatnonzero(bad)[0])
        raise ValueError(
            f"box {row} is {boxes[row].tolist()}; it must be finite x0, y0, x1, y1 with x0 <= x1 and y0 <= y1"
        )
    return boxes


def scores_at(detections: Detections, boxes_xyxy: ArrayLike) -> NDArray[np.float64]:
    """Score given boxes by the detections they overlap, for detectors that cannot classify a box that is given.

    Parameters
    ----------
    detections : Detections
        D detections of C classes, best with those of low score as well.
    boxes_xyxy : (B, 4) float
        Boxes in the same picture.

    Returns
    -------
    (B, C) float64
        Of each box and class the largest IoU x class score over all detections, in [0, 1]; 0 where none overlaps.

    Raises
    ------
    ValueError
        If boxes have another shape, are not finite or upside down.

    Notes
    -----
    This stands in for the class probabilities at the box of Eq. 1 of Propose-Reduce [1]_, which asks for a detector
    that classifies regions it is given. A box that fits a detection has the detection's score; one that fits half has
    half of it, so a carried mask that slides off its object loses score as it should.

    References
    ----------
    .. [1] Lin, Wu, Liu, Jia: Video Instance Segmentation with a Propose-Reduce Paradigm. ICCV 2021, arXiv:2103.13746.
    """
    boxes = checked_boxes(boxes_xyxy)
    out = np.zeros((len(boxes), detections.class_scores.shape[1]))
    best_overlap_scores(boxes, detections.boxes_xyxy, detections.class_scores, out)
    return out


def nms_rows(
    boxes_xyxy: ArrayLike,
    scores: ArrayLike,
    *,
    threshold: float = 0.5,
    category: ArrayLike | None = None,
) -> NDArray[np.int64]:
    """Drop boxes that overlap a better one: greedy, by descending score, ties by input order.

    Parameters
    ----------
    boxes_xyxy : (N, 4) float
        Pixels.
    scores : (N,) float
        Finite.
    threshold : float
        In [0, 1]; a box goes where its IoU with a kept one is above.
    category : (N,) int, optional
        Only boxes of one class compete; without it all do.

    Returns
    -------
    (K,) int64
        Kept rows, by descending score.

    Raises
    ------
    ValueError
        If the columns do not fit each other, a value is not finite, or the threshold is outside [0, 1].
    """
    boxes, values = checked_boxes(boxes_xyxy), np.asarray(scores, dtype=np.float64)
    group = np.zeros(len(boxes), np.int64) if category is None else np.asarray(category, dtype=np.int64)
    _check_fraction("threshold", threshold)
    if values.shape != (len(boxes),) or group.shape != values.shape or not np.isfinite(values).all():
        raise ValueError(
            f"{len(boxes)} boxes need as many finite scores and classes, got {values.shape} and {group.shape}"
        )
    order = np.argsort(-values, kind="stable")
    kept: NDArray[np.int64] = keep_greedily(boxes, group, order, float(threshold))
    return kept


def pick(
    detections: Detections,
    *,
    min_score: float = 0.2,
    box_nms: float = 0.5,
    mask_nms: float = 0.2,
    limit: int = 10,
    make_masks: Callable[[NDArray[np.float64]], Iterable[Rle]] | None = None,
) -> Detections:
    """Pick the detections of a key frame that are worth carrying (Propose-Reduce [1]_, section 3.1 and released code).

    Parameters
    ----------
    detections : Detections
        D detections.
    min_score : float
        In [0, 1]; only detections with a higher score stay.
    box_nms : float
        In [0, 1]; of two boxes of one class whose IoU is higher, the one of less score goes. 1 keeps all.
    mask_nms : float
        In (0, 1]; of two masks of any class whose IoU is this or higher, the one of less score goes.
    limit : int
        At most so many go into the comparison of masks; 1 or more.
    make_masks : callable, optional
        (K, 4) boxes to K masks (as `box_masks`), for detectors that find boxes only: called once, with the boxes that
        got so far.

    Returns
    -------
    Detections
        By descending score, equal ones in input order.

    Raises
    ------
    ValueError
        If an option is out of its range, or ``make_masks`` returns another number of masks.

    Notes
    -----
    The steps in their order: score, box NMS within each class, the best ``limit``, masks, greedy mask NMS across
    classes. A detection without a mask has none to compare and stays.

    References
    ----------
    .. [1] Lin, Wu, Liu, Jia: Video Instance Segmentation with a Propose-Reduce Paradigm. ICCV 2021, arXiv:2103.13746.
    """
    _check_fraction("min_score", min_score)
    _check_fraction("box_nms", box_nms)
    _check_fraction("mask_nms", mask_nms)
    if mask_nms == 0:
        raise ValueError("mask_nms must be above 0: at 0 masks that do not touch would drop each other")
    if limit < 1:
        raise ValueError(f"limit must be 1 or more, got {limit}")
    good = detections.take(detections.scores > min_score)
    good = good.take(
        nms_rows(good.boxes_xyxy, good.scores, threshold=box_nms, category=good.category)[:limit]
    )
    if make_masks is not None and len(good):
        masks = tuple(make_masks(good.boxes_xyxy))
        if len(masks) != len(good):
            raise ValueError(f"make_masks got {len(good)} boxes and returned {len(masks)} masks")
        good = replace(good, masks=masks)
    kept: list[int] = []
    for row, mask in enumerate(good.masks):
        rivals = [good.masks[other] for other in kept]
        if mask is None or all(rival is None or iou(rival, mask) < mask_nms for rival in rivals):
            kept.append(row)
    return good.take(np.array(kept, np.int64))


def _check_fraction(name: str, value: float) -> None:
    if not 0 <= value <= 1:
        raise ValueError(f"{name} must be in [0, 1], got {value}")

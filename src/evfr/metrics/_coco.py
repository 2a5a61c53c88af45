"""COCO's matching of detections and true objects, picture by picture, kept so that it can be summed up again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from evfr._core.atomic import atomic_file
from evfr._core.npz import DAMAGED, read_npz
from evfr.errors import AnnotationError
from evfr.metrics._coco_kernels import IGNORED, THRESHOLDS, WRONG, match_groups
from evfr.metrics._coco_sides import chunks_of, found_side, groups_of, iou_of_groups, true_side

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    from evfr._core.labelled import FrameObjects

__all__ = ["COCO_AREAS", "COCO_LIMITS", "CocoMatches", "coco_matches"]

COCO_AREAS: dict[str, tuple[float, float]] = {
    "all": (0.0, 1e5**2),
    "small": (0.0, 32.0**2),
    "medium": (32.0**2, 96.0**2),
    "large": (96.0**2, 1e5**2),
}
"""Ranges of the area in pixels, both ends included, as in pycocotools."""

COCO_LIMITS = (1, 10, 100)
"""Most detections per picture and class that count; more than the last are never looked at."""

_FOUND = ("image_row", "category", "rank", "score", "found_row")
_TRUTH = ("truth_image_row", "truth_category", "truth_row")


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class CocoMatches:
    """Hold what became of each detection of I pictures; average precision follows by `summarise_coco`.

    Attributes
    ----------
    class_count : int
        Number of classes, C.
    image_row, category : (D,) int64
        Picture, 0 to I-1, and class of each detection; detections are in the order in which precision is summed up:
        by class, descending score, picture and rank.
    rank : (D,) int64
        Place among the detections of that picture and class by score, 0 to 99.
    score : (D,) float64
        Their scores.
    found_row : (D,) int64
        Their places among the objects of the picture.
    outcome : (4, 10, D) uint8
        For each of `COCO_AREAS` and each IoU .50, .55, ..., .95: 0 wrong, 1 right, 2 not counted.
    truth_image_row, truth_category, truth_row : (G,) int64
        Picture and class of each true object, and its place among the objects of the picture; by picture and class. A
        crowd of every class is there once a class.
    is_left_out : (4, G) bool
        Whether it does not count in an area range: a crowd, or of another area.
    beyond_count : (I,) int64
        Detections of each picture beyond the best 100 of their class, which do not count.

    Raises
    ------
    ValueError
        If the columns do not fit each other.
    """

    class_count: int
    image_row: NDArray[np.int64]
    category: NDArray[np.int64]
    rank: NDArray[np.int64]
    score: NDArray[np.float64]
    found_row: NDArray[np.int64]
    outcome: NDArray[np.uint8]
    truth_image_row: NDArray[np.int64]
    truth_category: NDArray[np.int64]
    truth_row: NDArray[np.int64]
    is_left_out: NDArray[np.bool_]
    beyond_count: NDArray[np.int64]

    def __post_init__(self) -> None:
        for names, table in ((_FOUND, "outcome"), (_TRUTH, "is_left_out")):
            lengths = {name: len(getattr(self, name)) for name in names}
            lengths[table] = getattr(self, table).shape[-1]
            if len(set(lengths.values())) > 1:
                raise ValueError(f"the columns of matches must be equally long, got {lengths}")
        for name, most in (
            ("image_row", len(self)),
            ("truth_image_row", len(self)),
            ("category", self.class_count),
            ("truth_category", self.class_count),
        ):
            column = getattr(self, name)
            if len(column) and not 0 <= column.min() <= column.max() < most:
                raise ValueError(f"{name} must lie in 0..{most - 1}, got {column.min()} to {column.max()}")

    def __len__(self) -> int:
        return len(self.beyond_count)

    def __repr__(self) -> str:
        return f"CocoMatches({len(self)} pictures, {len(self.score)} detections, {len(self.truth_row)} true objects)"

    @classmethod
    def merge(cls, parts: Sequence[CocoMatches]) -> CocoMatches:
        """Join the matches of different pictures.

        Parameters
        ----------
        parts : sequence of CocoMatches
            One or more, with equal classes; the pictures follow each other in this order.

        Returns
        -------
        CocoMatches
            The same, bit for bit, as if all pictures had been matched at once.

        Raises
        ------
        ValueError
            If there is no part, or two have different numbers of classes.
        """
        if not parts:
            raise ValueError("there is nothing to merge; give the matches of one picture or more")
        counts = sorted({part.class_count for part in parts})
        if len(counts) > 1:
            raise ValueError(f"matches must have one number of classes to be merged, got {counts}")
        starts = np.cumsum([0, *[len(part) for part in parts]])[:-1].tolist()
        columns: dict[str, Any] = {}
        for name in (*_FOUND, *_TRUTH, "beyond_count", "outcome", "is_left_out"):
            values = [getattr(part, name) for part in parts]
            if name.endswith("image_row"):
                values = [value + start for value, start in zip(values, starts, strict=True)]
            columns[name] = np.concatenate(values, axis=-1)
        return _in_order(counts[0], columns)

    def of_images(self, rows: ArrayLike) -> CocoMatches:
        """Return the matches of some pictures, so that they can be summed up alone.

        Parameters
        ----------
        rows : (B,) int
            Different pictures, in the order wanted.

        Returns
        -------
        CocoMatches
            Of these pictures.

        Raises
        ------
        ValueError
            If a row is named twice or is no picture.
        """
        picked = np.asarray(rows, np.int64).reshape(-1)
        if picked.size and not -1 < picked.min() <= picked.max() < len(self):
            raise ValueError(f"rows must lie in 0..{len(self) - 1}, got {picked.min()} to {picked.max()}")
        if len(np.unique(picked)) < len(picked):
            raise ValueError("a picture is named twice; give repeats as weights to summarise_coco")
        new = np.full(len(self), -1, np.int64)
        new[picked] = np.arange(len(picked))
        columns: dict[str, Any] = {"beyond_count": self.beyond_count[picked]}
        for names, table, image in (
            (_FOUND, "outcome", "image_row"),
            (_TRUTH, "is_left_out", "truth_image_row"),
        ):
            kept = np.flatnonzero(new[getattr(self, image)] >= 0)
            columns |= {name: getattr(self, name)[kept] for name in names}
            columns[table] = getattr(self, table)[..., kept]
            columns[image] = new[columns[image]]
        return _in_order(self.class_count, columns)

    def save(self, path: str | Path) -> Path:
        """Write all columns to one file, whole or not at all.

        Parameters
        ----------
        path : str or Path
            The file, ``.npz``.

        Returns
        -------
        Path
            The file.

        Raises
        ------
        StoreError
            If it cannot be written.
        """
        names = (*_FOUND, *_TRUTH, "beyond_count", "outcome", "is_left_out")
        columns = {name: getattr(self, name) for name in names}
        with atomic_file(Path(path)) as file:
            np.savez_compressed(file, class_count=np.int64(self.class_count), **columns)
        return Path(path)

    @classmethod
    def load(cls, path: str | Path) -> CocoMatches:
        """Read what `save` wrote.

        Parameters
        ----------
        path : str or Path
            The file.

        Returns
        -------
        CocoMatches
            The same.

        Raises
        ------
        AnnotationError
            If it is no such file.
        """
        try:
            file = read_npz(Path(path))
            columns: dict[str, Any] = {name: file[name] for name in cls.__slots__}
            return cls(**{**columns, "class_count": int(columns["class_count"])})
        except DAMAGED as error:
            raise AnnotationError(
                f"{path} holds no matches: {error}; give a file of CocoMatches.save"
            ) from error


def _in_order(class_count: int, columns: dict[str, Any]) -> CocoMatches:
    """Return matches whose rows are sorted as `CocoMatches` says."""
    order = np.lexsort((columns["rank"], columns["image_row"], -columns["score"], columns["category"]))
    truth = np.lexsort((columns["truth_row"], columns["truth_category"], columns["truth_image_row"]))
    sorted_columns = {name: columns[name][order] for name in _FOUND}
    sorted_columns |= {name: columns[name][truth] for name in _TRUTH}
    return CocoMatches(
        class_count=class_count,
        **sorted_columns,
        outcome=np.ascontiguousarray(columns["outcome"][..., order]),
        is_left_out=np.ascontiguousarray(columns["is_left_out"][..., truth]),
        beyond_count=columns["beyond_count"],
    )


def coco_matches(
    truth: Sequence[FrameObjects],
    found: Sequence[FrameObjects],
    *,
    class_count: int,
    on: Literal["boxes", "masks"],
    height: int,
    width: int,
    truth_areas: Sequence[ArrayLike] | None = None,
) -> CocoMatches:
    """Match the detections of pictures with their true objects, as pycocotools does (Lin et al. 2014).

    Parameters
    ----------
    truth, found : sequence of I FrameObjects
        True objects and detections of each picture. Equal scores are taken in the order of the rows.
    class_count : int
        Number of classes, 1 or more.
    on : {"boxes", "masks"}
        What the IoU is of. Detections have the area of the same.
    height, width : int
        Size of all pictures in pixels.
    truth_areas : sequence of I (N,) float, optional
        Areas in pixels that a file states for the true objects; NaN for one without. Otherwise they are those of the
        masks, and of the boxes where there is no mask.

    Returns
    -------
    CocoMatches
        Of I pictures; none is allowed.

    Raises
    ------
    ValueError
        If an argument is out of range, or an object has no such box or mask, class or score; the text names picture
        and object.

    Notes
    -----
    Detections of a class in descending score take the free true object of highest IoU; of equal ones the later. A
    crowd does not count, may be taken many times, and its IoU is the intersection over the detection's own area. One of
    the class -1 is a crowd of every class; if it has a mask, that counts where boxes are compared too, because the box
    around what is not judged may well be the whole picture. A detection that takes what does not count does not count
    either, and nor does an unmatched one whose own area lies outside the range.

    References
    ----------
    Lin et al., "Microsoft COCO: common objects in context", ECCV 2014, doi:10.1007/978-3-319-10602-1_48.
    """
    if on not in ("boxes", "masks"):
        raise ValueError(f"on must be 'boxes' or 'masks', got {on!r}")
    if len(truth) != len(found):
        raise ValueError(
            f"truth and detections need one entry a picture, got {len(truth)} and {len(found)} entries"
        )
    if class_count < 1:
        raise ValueError(f"class_count must be 1 or more, got {class_count}")
    true = true_side(truth, class_count, truth_areas, on=on, height=height, width=width)
    side, rank, beyond = found_side(found, class_count, COCO_LIMITS[-1], on=on, height=height, width=width)
    limits = np.array(list(COCO_AREAS.values()))
    is_left_out = _outside(true.area, limits) | true.is_crowd
    outcome = np.zeros((len(side), len(limits), len(THRESHOLDS)), np.uint8)
    for groups in chunks_of(groups_of(side, true, class_count)):
        iou = iou_of_groups(side, true, groups)
        match_groups(iou, groups, THRESHOLDS, is_left_out, true.is_crowd, outcome)
    is_far = _outside(side.area, limits).T[:, :, None]
    outcome[(outcome == WRONG) & is_far] = IGNORED
    columns: dict[str, Any] = {
        "image_row": side.image,
        "category": side.category,
        "rank": rank,
        "score": side.score,
        "found_row": side.row,
        "outcome": outcome.transpose(1, 2, 0),
        "truth_image_row": true.image,
        "truth_category": true.category,
        "truth_row": true.row,
        "is_left_out": is_left_out,
        "beyond_count": beyond,
    }
    return _in_order(class_count, columns)


def _outside(area: NDArray[np.float64], limits: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Return whether each area lies outside each range, (A, N)."""
    return (area < limits[:, :1]) | (area > limits[:, 1:])

"""Which class each pixel has and which was predicted: accuracy, IoU by class, and object against background."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from evfr._core.labelled import IGNORE_ID
from evfr.metrics._coco_summary import image_weights
from evfr.metrics._davis import mean_or_nan, none_if_nan
from evfr.metrics._pixels import PixelCounts

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

__all__ = ["Confusion", "ConfusionSummary", "label_confusion", "summarise_confusion"]


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Confusion:
    """Count the pixels of F pictures by true and predicted class.

    Attributes
    ----------
    counts : (F, C+1, C+1) int64
        Pixels of each picture whose true class is the row and whose predicted class is the column; 0 is background,
        1 + c class c.

    Raises
    ------
    ValueError
        If the array is not as described.
    """

    counts: NDArray[np.int64]

    def __post_init__(self) -> None:
        shape = self.counts.shape
        if self.counts.ndim != 3 or shape[1] != shape[2] or shape[1] < 2:
            raise ValueError(f"counts must be (F, C+1, C+1) with one class or more, got {shape}")
        if self.counts.size and self.counts.min() < 0:
            raise ValueError(f"counts must be 0 or more, got {self.counts.min()}")

    def __len__(self) -> int:
        return len(self.counts)

    def __repr__(self) -> str:
        return f"Confusion({len(self)} pictures, {self.class_count} classes)"

    @property
    def class_count(self) -> int:
        """Number of classes, C, background left out."""
        return int(self.counts.shape[1]) - 1

    @classmethod
    def merge(cls, parts: Sequence[Confusion]) -> Confusion:
        """Join the counts of different pictures.

        Parameters
        ----------
        parts : sequence of Confusion
            One or more, with equal classes; the pictures follow each other in this order.

        Returns
        -------
        Confusion
            Of all of them.

        Raises
        ------
        ValueError
            If there is no part, or two have different numbers of classes.
        """
        if not parts:
            raise ValueError("there is nothing to merge; give the counts of one picture or more")
        classes = sorted({part.class_count for part in parts})
        if len(classes) > 1:
            raise ValueError(f"counts must have one number of classes to be merged, got {classes}")
        return cls(np.concatenate([part.counts for part in parts]))


@dataclass(frozen=True, slots=True)
class ConfusionSummary:
    """Hold what pixel counts say; NaN where it is not defined.

    Attributes
    ----------
    accuracy : float
        Share of pixels whose class is right, background included.
    class_iou : tuple of C+1 float
        Intersection over union of background and of each class; NaN for one that is neither true nor predicted.
    mean_iou : float
        Mean over the C classes that are true or predicted somewhere; background left out.
    binary : PixelCounts
        Any class against background: accuracy, IoU, precision, recall and gscore.
    """

    accuracy: float
    class_iou: tuple[float, ...]
    mean_iou: float
    binary: PixelCounts

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON-ready dict; NaN is None."""
        return {
            "accuracy": none_if_nan(self.accuracy),
            "class_iou": [none_if_nan(value) for value in self.class_iou],
            "mean_iou": none_if_nan(self.mean_iou),
            "binary": self.binary.to_dict(),
        }


def label_confusion(
    truth: NDArray[np.uint8],
    predicted: NDArray[np.uint8],
    *,
    class_count: int,
    ignore: int = IGNORE_ID,
) -> Confusion:
    """Count pixels by true and predicted class (Chataigner et al. 2019, Section II.C, for more classes than one).

    Parameters
    ----------
    truth : (F, H, W) uint8
        0 for background, 1 + class, ``ignore`` where nothing is judged.
    predicted : (F, H, W) uint8
        The same; what it says where the truth is ``ignore`` does not matter.
    class_count : int
        Number of classes, C.
    ignore : int
        Value of the truth's pixels that do not count.

    Returns
    -------
    Confusion
        Picture by picture, so that sums may be weighted.

    Raises
    ------
    ValueError
        If shapes or types differ, or a pixel that counts has no class; the text names picture and value.
    """
    for name, labels in (("truth", truth), ("predicted", predicted)):
        if labels.ndim != 3 or labels.dtype != np.uint8:
            raise ValueError(f"{name} must be (F, H, W) uint8, got {labels.shape} {labels.dtype}")
    if truth.shape != predicted.shape:
        raise ValueError(f"truth and predicted must have one shape, got {truth.shape} and {predicted.shape}")
    if not 1 <= class_count < IGNORE_ID or not class_count < ignore <= IGNORE_ID:
        raise ValueError(
            f"class_count must be 1 to {IGNORE_ID - 1} and ignore from there to {IGNORE_ID}, got {class_count} and "
            f"{ignore}"
        )
    size = class_count + 1
    counts = np.zeros((len(truth), size, size), np.int64)
    for place, (true, said) in enumerate(zip(truth, predicted, strict=True)):
        is_judged = true != ignore
        pair = true[is_judged].astype(np.int64), said[is_judged].astype(np.int64)
        for name, labels in zip(("truth", "prediction"), pair, strict=True):
            if labels.size and labels.max() > class_count:
                raise ValueError(
                    f"picture {place}: the {name} has the value {labels.max()} at a pixel that counts; 0 is background "
                    f"and 1 to {class_count} are the classes"
                )
        counts[place] = np.bincount(pair[0] * size + pair[1], minlength=size * size).reshape(size, size)
    return Confusion(counts)


def summarise_confusion(confusion: Confusion, *, weights: ArrayLike | None = None) -> ConfusionSummary:
    """Sum up pixel counts, pictures weighted.

    Parameters
    ----------
    confusion : Confusion
        Of F pictures.
    weights : (F,) float, optional
        How often each picture counts: 2 is the picture twice, fractions are allowed. 1 for all if not given.

    Returns
    -------
    ConfusionSummary
        Over all pixels together.

    Raises
    ------
    ValueError
        If the weights are not one finite number of 0 or more per picture.
    """
    weight, is_whole = image_weights(weights, len(confusion))
    total = np.tensordot(weight, confusion.counts.astype(np.float64), axes=1)
    right = np.diag(total)
    either = total.sum(axis=0) + total.sum(axis=1) - right
    with np.errstate(invalid="ignore"):
        class_iou, accuracy = right / either, np.divide(right.sum(), total.sum())
    object_object, nothing = total[1:, 1:].sum(), total[0, 0]
    values = object_object, total[0, 1:].sum(), total[1:, 0].sum(), nothing
    # Pixels are counted; only fractions of a picture leave fractions of a pixel.
    kind: type[int] | type[float] = int if is_whole else float
    return ConfusionSummary(
        accuracy=float(accuracy),
        class_iou=tuple(class_iou.tolist()),
        mean_iou=mean_or_nan(class_iou[1:]),
        binary=PixelCounts(*(kind(value) for value in values)),
    )

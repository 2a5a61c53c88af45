"""How good a trained model is on test clips: figures, and what a bootstrap needs to make them again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from evfr._core.npz import DAMAGED, read_npz
from evfr.errors import InputError
from evfr.metrics import (
    CocoMatches,
    Confusion,
    ConfusionSummary,
    coco_ap,
    coco_matches,
    label_confusion,
    summarise_coco,
    summarise_confusion,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from evfr._core.labelled import FrameObjects, LabelledClip

__all__ = ["FIGURES", "InstanceScores", "PixelClipScores", "score_instances", "score_pixels"]

FIGURES = {
    "instances": ("mask_ap", "box_ap", "mask_ap50", "box_ap50"),
    "pixels": ("accuracy", "iou", "gscore", "mean_iou"),
}
"""What is measured of each kind of model; the first is what arms are compared by."""


@dataclass(frozen=True, slots=True, eq=False)
class InstanceScores:
    """Hold the matches of K clips, from which COCO AP is summed up for any weights of the clips.

    Attributes
    ----------
    boxes, masks : CocoMatches
        Of all images, clip after clip.
    lengths : (K,) int64
        Images of each clip.
    """

    boxes: CocoMatches
    masks: CocoMatches
    lengths: NDArray[np.int64]

    def figures(self) -> dict[str, float]:
        """Return COCO AP and AP50 of masks and boxes; NaN where nothing is defined."""
        masks, boxes = summarise_coco(self.masks), summarise_coco(self.boxes)
        return {
            "mask_ap": masks.ap,
            "box_ap": boxes.ap,
            "mask_ap50": masks.ap50,
            "box_ap50": boxes.ap50,
        }

    def weighted(self, figure: str, weights: NDArray[np.float64]) -> float:
        """Return ``mask_ap`` or ``box_ap`` with each clip counted so often."""
        matches = self.masks if figure.startswith("mask") else self.boxes
        return coco_ap(matches, np.repeat(weights, self.lengths))

    def save(self, path: Path) -> None:
        """Write to files beside each other: ``PATH.boxes.npz``, ``PATH.masks.npz``."""
        self.boxes.save(_beside(path, "boxes"))
        self.masks.save(_beside(path, "masks"))

    @classmethod
    def load(cls, path: Path, lengths: NDArray[np.int64]) -> InstanceScores:
        """Read what `save` wrote."""
        return cls(
            CocoMatches.load(_beside(path, "boxes")), CocoMatches.load(_beside(path, "masks")), lengths
        )


@dataclass(frozen=True, slots=True, eq=False)
class PixelClipScores:
    """Hold the confusion of K clips, from which shares of pixels are summed up for any weights of the clips.

    Attributes
    ----------
    confusion : Confusion
        Of all images, clip after clip.
    lengths : (K,) int64
        Images of each clip.
    """

    confusion: Confusion
    lengths: NDArray[np.int64]

    def figures(self) -> dict[str, float]:
        """Return accuracy, IoU and gscore of any class against background, and the mean IoU of the classes."""
        return _pixel_figures(summarise_confusion(self.confusion))

    def weighted(self, figure: str, weights: NDArray[np.float64]) -> float:
        """Return a figure with each clip counted so often."""
        summary = summarise_confusion(self.confusion, weights=np.repeat(weights, self.lengths))
        return _pixel_figures(summary)[figure]

    def save(self, path: Path) -> None:
        """Write to ``PATH.pixels.npz``."""
        from evfr._core.atomic import atomic_file

        with atomic_file(_beside(path, "pixels")) as file:
            np.savez_compressed(file, counts=self.confusion.counts)

    @classmethod
    def load(cls, path: Path, lengths: NDArray[np.int64]) -> PixelClipScores:
        """Read what `save` wrote.

        Raises
        ------
        InputError
            If the file is missing or damaged.
        """
        name = _beside(path, "pixels")
        try:
            confusion = Confusion(read_npz(name)["counts"])
        except DAMAGED as error:
            raise InputError(
                f"{name} is damaged ({error}); delete the cell's row and run it again"
            ) from error
        if len(confusion) != lengths.sum():
            raise InputError(f"{name} is of {len(confusion)} images, not {lengths.sum()}; run the cell again")
        return cls(confusion, lengths)


def score_instances(clips: Sequence[LabelledClip], found: Sequence[Sequence[FrameObjects]]) -> InstanceScores:
    """Match what was found in each frame with its true objects (COCO, boxes and masks).

    Parameters
    ----------
    clips : sequence of K LabelledClip
        The truth; of one size and one list of classes.
    found : sequence of K sequences of FrameObjects
        One for each frame.

    Returns
    -------
    InstanceScores
        Matches.
    """
    height, width = clips[0].images.shape[1:3]
    truth = [clip.objects(place) for clip in clips for place in range(len(clip))]
    flat = [objects for clip in found for objects in clip]
    sides: dict[str, Any] = {
        on: coco_matches(truth, flat, class_count=len(clips[0].classes), on=on, height=height, width=width)
        for on in ("boxes", "masks")
    }
    return InstanceScores(sides["boxes"], sides["masks"], np.array([len(clip) for clip in clips], np.int64))


def score_pixels(clips: Sequence[LabelledClip], found: Sequence[NDArray[np.uint8]]) -> PixelClipScores:
    """Compare the classes of pixels with the true ones.

    Parameters
    ----------
    clips : sequence of K LabelledClip
        The truth.
    found : sequence of K (F, H, W) uint8
        0 for background, 1 + class.

    Returns
    -------
    PixelClipScores
        Counts.
    """
    parts = []
    for clip, labels in zip(clips, found, strict=True):
        truth = np.stack([clip.label_map(place) for place in range(len(clip))])
        parts.append(label_confusion(truth, labels, class_count=len(clip.classes)))
    return PixelClipScores(Confusion.merge(parts), np.array([len(clip) for clip in clips], np.int64))


def _beside(path: Path, what: str) -> Path:
    return path.with_name(f"{path.name}.{what}.npz")


def _pixel_figures(summary: ConfusionSummary) -> dict[str, float]:
    """Return the papers' figures: of one positive class, any class (Chataigner et al. 2019)."""
    return {
        "accuracy": summary.binary.accuracy,
        "iou": summary.binary.iou,
        "gscore": summary.binary.gscore,
        "mean_iou": summary.mean_iou,
    }

"""Labelled frames of one video at one size: pictures, and one map of objects a frame.

A map holds one object a pixel, which is what makes jitter, occlusion and copy-paste exact and cheap, on any device. It
is the value that trainers take and that experiments cut into subsets.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from evfr._core.masks import Rle

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["IGNORE_ID", "FrameObjects", "LabelledClip"]

IGNORE_ID = 255
"""The id of pixels that nothing is to be learnt from, and that no detection is judged on."""


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class FrameObjects:
    """Hold the N objects of one frame, true ones or found ones.

    Attributes
    ----------
    category : (N,) int64
        Index into the classes, 0 to C-1; -1 is every class, for a crowd that no class is told of.
    boxes_xyxy : (N, 4) float64
        x0, y0, x1, y1 in pixels, right and bottom edges exclusive.
    masks : tuple of N Rle or None
        Masks of the frame's size; None where there is a box only.
    score : (N,) float64
        Confidence; NaN for true objects.
    is_crowd : (N,) bool
        Whether it is a region that is not judged.

    Raises
    ------
    ValueError
        If the columns do not fit each other.
    """

    category: NDArray[np.int64]
    boxes_xyxy: NDArray[np.float64]
    masks: tuple[Rle | None, ...]
    score: NDArray[np.float64]
    is_crowd: NDArray[np.bool_]

    def __post_init__(self) -> None:
        n = len(self.masks)
        shapes = {name: getattr(self, name).shape for name in ("category", "score", "is_crowd")}
        if set(shapes.values()) != {(n,)} or self.boxes_xyxy.shape != (n, 4):
            raise ValueError(
                f"columns must have {n} rows like masks, got {shapes} and boxes {self.boxes_xyxy.shape}"
            )

    def __len__(self) -> int:
        return len(self.masks)

    def __repr__(self) -> str:
        return f"FrameObjects({len(self)} objects)"


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class LabelledClip:
    """Hold F labelled frames of one video, all of one size.

    Attributes
    ----------
    video_id : str
        The video.
    frame_index : (F,) int64
        Their numbers in the video, strictly increasing.
    images : (F, H, W, 3) uint8
        RGB.
    ids : (F, H, W) uint8
        0 where there is nothing, k = 1..M where object k of that frame is on top, `IGNORE_ID` where nothing is to be
        learnt. The numbers are a frame's own: they are not tracks.
    category : (F, M) int16
        Class of object k of the frame at ``[f, k - 1]``; -1 where the frame has no object k. M is at most 254.
    classes : tuple of str
        Names of the C classes.
    noise_std : (F, H, W, 3) float32 or None
        Standard deviation of noise that is added anew to each copy, in grey levels; None adds none.
    copies : int
        How many noised copies each frame stands for; 1 without noise.

    Raises
    ------
    ValueError
        If arrays do not fit each other, or a map has an object without a class.
    """

    video_id: str
    frame_index: NDArray[np.int64]
    images: NDArray[np.uint8]
    ids: NDArray[np.uint8]
    category: NDArray[np.int16]
    classes: tuple[str, ...]
    noise_std: NDArray[np.float32] | None = None
    copies: int = 1

    def __post_init__(self) -> None:
        shape = self.images.shape
        if self.images.ndim != 4 or shape[3] != 3 or self.images.dtype != np.uint8:
            raise ValueError(
                f"{self.video_id}: images must be (F, H, W, 3) uint8, got {shape} {self.images.dtype}"
            )
        if self.ids.shape != shape[:3] or self.ids.dtype != np.uint8:
            raise ValueError(
                f"{self.video_id}: ids must be {shape[:3]} uint8, got {self.ids.shape} {self.ids.dtype}"
            )
        if (
            self.category.ndim != 2
            or len(self.category) != shape[0]
            or self.category.shape[1] > IGNORE_ID - 1
        ):
            raise ValueError(
                f"{self.video_id}: category must be ({shape[0]}, M) with M of at most {IGNORE_ID - 1}, "
                f"got {self.category.shape}"
            )
        if self.frame_index.shape != shape[:1] or (np.diff(self.frame_index) <= 0).any():
            raise ValueError(f"{self.video_id}: frame_index must hold {shape[0]} increasing numbers")
        if self.noise_std is not None and self.noise_std.shape != shape:
            raise ValueError(f"{self.video_id}: noise_std must be {shape}, got {self.noise_std.shape}")
        if self.copies < 1:
            raise ValueError(f"{self.video_id}: copies must be 1 or more, got {self.copies}")
        if self.category.size and not -1 <= self.category.min() <= self.category.max() < len(self.classes):
            raise ValueError(f"{self.video_id}: category must lie in -1..{len(self.classes) - 1}")
        for place in range(shape[0]):
            seen = np.flatnonzero(np.bincount(self.ids[place].ravel(), minlength=256)[1:IGNORE_ID])
            known = seen[seen < self.category.shape[1]]
            if len(known) < len(seen) or (self.category[place, known] < 0).any():
                raise ValueError(
                    f"{self.video_id} frame {int(self.frame_index[place])}: the map has an object without a class"
                )

    def __len__(self) -> int:
        return len(self.images)

    def __repr__(self) -> str:
        frames, height, width = self.images.shape[:3]
        return f"LabelledClip({self.video_id!r}, {frames} frames of {width}x{height}, {len(self.classes)} classes)"

    def take(self, places: Sequence[int] | NDArray[np.int64]) -> LabelledClip:
        """Return some of the frames.

        Parameters
        ----------
        places : (K,) int
            Which, strictly increasing, in 0..F-1.

        Returns
        -------
        LabelledClip
            Copies of those frames.
        """
        rows = np.asarray(places, dtype=np.int64)
        return LabelledClip(
            self.video_id,
            self.frame_index[rows],
            self.images[rows],
            self.ids[rows],
            self.category[rows],
            self.classes,
            None if self.noise_std is None else self.noise_std[rows],
            self.copies,
        )

    def label_map(self, place: int) -> NDArray[np.uint8]:
        """Return the classes of the pixels of one frame.

        Parameters
        ----------
        place : int
            In 0..F-1.

        Returns
        -------
        (H, W) uint8
            0 for background, 1 + class, `IGNORE_ID` where nothing is judged.
        """
        lookup = np.zeros(256, np.uint8)
        count = self.category.shape[1]
        lookup[1 : count + 1] = np.where(self.category[place] < 0, 0, self.category[place] + 1)
        lookup[IGNORE_ID] = IGNORE_ID
        labels: NDArray[np.uint8] = lookup[self.ids[place]]
        return labels

    def objects(self, place: int) -> FrameObjects:
        """Return the objects of one frame: what can be seen of them, and what is not judged as a crowd of any class.

        Parameters
        ----------
        place : int
            In 0..F-1.

        Returns
        -------
        FrameObjects
            Those with a pixel at least; boxes are tight.
        """
        ids = self.ids[place]
        masks, category, is_crowd = [], [], []
        for k in np.flatnonzero(np.bincount(ids.ravel(), minlength=256)[1:]) + 1:
            masks.append(Rle.from_mask(ids == k))
            is_crowd.append(k == IGNORE_ID)
            category.append(-1 if k == IGNORE_ID else int(self.category[place, k - 1]))
        boxes = [mask.box_xyxy for mask in masks]
        return FrameObjects(
            np.array(category, np.int64),
            np.array(boxes, np.float64).reshape(-1, 4),
            tuple(masks),
            np.full(len(masks), np.nan),
            np.array(is_crowd, np.bool_),
        )

"""Change pictures together with the masks on them: ``(image, masks, rng) -> the same``, for training.

A transform is a pure function on arrays: a picture (H, W, 3) uint8 RGB, its masks (N, H, W) bool, and a numpy generator
where something is drawn. What moves in the picture moves in the masks by the same numbers, so that a label is never
beside its object. What leaves the picture is said to be gone, not clipped to a sliver at its border.

`pseudo_video` makes a short clip out of one picture, so that image data can teach propagation; `fill_background` hides
what a sparsely annotated picture does not label, so that it is not learnt as background. To add one: write one file
with a function of that form, and give its paper in the first line.
"""

from __future__ import annotations

from evfr.augmentation._background import IMAGENET_MEAN, fill_background
from evfr.augmentation._options import JITTERS, Augmentation
from evfr.augmentation._pseudo_video import PseudoVideo, pseudo_video, rotated

__all__ = [
    "IMAGENET_MEAN",
    "JITTERS",
    "Augmentation",
    "PseudoVideo",
    "fill_background",
    "pseudo_video",
    "rotated",
]

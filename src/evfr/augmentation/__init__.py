"""Change pictures together with the objects on them: ``(image, objects, rng) -> the same``, for training.

A transform is a pure function on arrays: a picture (H, W, 3) uint8 RGB, its objects, and a numpy generator where
something is drawn. Objects are masks (N, H, W) bool, or one map (H, W) uint8 with the number of the object on top,
which makes occlusion exact. What moves in the picture moves in the objects by the same numbers, so that a label is
never beside its object. What leaves the picture is said to be gone, not clipped to a sliver at its border.

`augment` does what an `Augmentation` says: `scale_jitter` and `copy_paste`; `noised` makes the noise copies of one
frame. `pseudo_video` makes a short clip out of one picture, so that image data can teach propagation;
`fill_background` hides what a sparsely annotated picture does not label, so that it is not learnt as background. To add
one: write one file with a function of that form, and give its paper in the first line.
"""

from __future__ import annotations

from evfr.augmentation._apply import augment
from evfr.augmentation._background import IMAGENET_MEAN, fill_background
from evfr.augmentation._copy_paste import copy_paste
from evfr.augmentation._jitter import JITTER_RANGES, PAD_GREY, scale_jitter
from evfr.augmentation._noise import noised, temporal_std
from evfr.augmentation._options import JITTERS, Augmentation
from evfr.augmentation._pseudo_video import PseudoVideo, pseudo_video, rotated

__all__ = [
    "IMAGENET_MEAN",
    "JITTERS",
    "JITTER_RANGES",
    "PAD_GREY",
    "Augmentation",
    "PseudoVideo",
    "augment",
    "copy_paste",
    "fill_background",
    "noised",
    "pseudo_video",
    "rotated",
    "scale_jitter",
    "temporal_std",
]

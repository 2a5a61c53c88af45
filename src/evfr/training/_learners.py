"""What experiments can train: one way to fit, to predict, to save and to load, for every network."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from evfr.training._maskrcnn import fit_maskrcnn, load_maskrcnn, predict_maskrcnn, save_maskrcnn
from evfr.training._segmentation import (
    fit_deep_unet,
    fit_unet,
    fit_vgg,
    load_segmentation,
    predict_segmentation,
    save_segmentation,
)
from evfr.training._svm import fit_svm, load_svm, predict_svm, save_svm
from evfr.training._tiny import fit_tiny, load_tiny, predict_tiny, save_tiny

__all__ = ["LEARNERS", "Learner"]


@dataclass(frozen=True, slots=True)
class Learner:
    """Hold the functions of something that learns from labelled clips.

    Attributes
    ----------
    kind : {"instances", "pixels"}
        Whether it finds objects (judged by COCO AP) or gives each pixel a class (accuracy, IoU, gscore).
    fit : callable
        ``(clips, *, recipe, augmentation, device, out, <own options>) -> (model, TrainingRun)``: clips are a sequence
        of `LabelledClip` of one size and one list of classes.
    predict : callable
        ``(model, images) -> found``: images (F, H, W, 3) uint8; for "instances" F `FrameObjects` with scores, for
        "pixels" (F, H, W) uint8, 0 for background and 1 + class.
    save : callable
        ``(model, path) -> None``.
    load : callable
        ``(path, *, device) -> model``.
    """

    kind: Literal["instances", "pixels"]
    fit: Callable[..., Any]
    predict: Callable[..., Any]
    save: Callable[..., Any]
    load: Callable[..., Any]


_PIXELS = predict_segmentation, save_segmentation, load_segmentation

LEARNERS: dict[str, Learner] = {
    "tiny": Learner("instances", fit_tiny, predict_tiny, save_tiny, load_tiny),
    "maskrcnn": Learner("instances", fit_maskrcnn, predict_maskrcnn, save_maskrcnn, load_maskrcnn),
    "unet": Learner("pixels", fit_unet, *_PIXELS),
    "deep-unet": Learner("pixels", fit_deep_unet, *_PIXELS),
    "vgg": Learner("pixels", fit_vgg, *_PIXELS),
    "svm": Learner("pixels", fit_svm, predict_svm, save_svm, load_svm),
}
"""What learns from labelled clips, by name; torch is imported when one of them is called."""

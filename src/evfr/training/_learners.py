"""What experiments can train: one way to fit, to predict, to save and to load, for every network."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

__all__ = ["Learner"]


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

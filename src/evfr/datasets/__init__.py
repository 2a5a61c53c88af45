"""Selections as torch datasets, straight from video: no image files in between; and drawn clips with exact labels.

`SelectionDataset` is a map-style dataset over an `evfr.Selection`. Each sample is a `FrameSample`: the picture as
a (3, H, W) uint8 tensor and the frame's identity. Every picture is verified against the selection's hash, so a
changed video is an error and never a wrong label. Torch is loaded when a name of this module is first used.

Samples have a fixed order (the selection's rows), workers open their own decoders, and one dataset may be pickled,
forked or spawned at any time. To add a dataset, write a private module with one class and name it in ``_EXPORTS``.

`moving_objects` draws a `LabelledClip` of moving objects whose class is their shape, to try everything on without data;
`shuffle_labels` takes the sense out of labels. They need no torch.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from evfr._core.lazy import require

if TYPE_CHECKING:
    from evfr._core.labelled import LabelledClip
    from evfr.datasets._moving_objects import SHAPES, SceneOptions, moving_objects, shuffle_labels
    from evfr.datasets._selection import FrameSample, SelectionDataset

__all__ = [
    "SHAPES",
    "FrameSample",
    "LabelledClip",
    "SceneOptions",
    "SelectionDataset",
    "moving_objects",
    "shuffle_labels",
]

_EXPORTS = {
    "FrameSample": "evfr.datasets._selection",
    "LabelledClip": "evfr._core.labelled",
    "SHAPES": "evfr.datasets._moving_objects",
    "SceneOptions": "evfr.datasets._moving_objects",
    "SelectionDataset": "evfr.datasets._selection",
    "moving_objects": "evfr.datasets._moving_objects",
    "shuffle_labels": "evfr.datasets._moving_objects",
}
_NEED_TORCH = ("FrameSample", "SelectionDataset")


def __getattr__(name: str) -> Any:
    if name not in _EXPORTS:
        raise AttributeError(f"module 'evfr.datasets' has no attribute {name!r}")
    if name in _NEED_TORCH:
        require("torch", extra="torch")
    return getattr(importlib.import_module(_EXPORTS[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *_EXPORTS})

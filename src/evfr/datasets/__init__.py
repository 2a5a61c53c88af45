"""Selections as torch datasets, straight from video: no image files in between.

`SelectionDataset` is a map-style dataset over an `evfr.Selection`. Each sample is a `FrameSample`: the picture as
a (3, H, W) uint8 tensor and the frame's identity. Every picture is verified against the selection's hash, so a
changed video is an error and never a wrong label. Torch is loaded when a name of this module is first used.

Samples have a fixed order (the selection's rows), workers open their own decoders, and one dataset may be pickled,
forked or spawned at any time. To add a dataset, write a private module with one class and name it in ``_EXPORTS``.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from evfr._core.lazy import require

if TYPE_CHECKING:
    from evfr.datasets._selection import FrameSample, SelectionDataset

__all__ = ["FrameSample", "SelectionDataset"]

_EXPORTS = {"FrameSample": "evfr.datasets._selection", "SelectionDataset": "evfr.datasets._selection"}


def __getattr__(name: str) -> Any:
    if name not in _EXPORTS:
        raise AttributeError(f"module 'evfr.datasets' has no attribute {name!r}")
    require("torch", extra="torch")
    return getattr(importlib.import_module(_EXPORTS[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *_EXPORTS})

"""Train `tiny`, the small instance network, on labelled clips, and find objects with it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evfr.augmentation import Augmentation
from evfr.training._loop import Recipe, TrainingRun

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from evfr._core.labelled import FrameObjects, LabelledClip

__all__ = ["fit_tiny", "load_tiny", "predict_tiny", "save_tiny"]


def fit_tiny(
    clips: Sequence[LabelledClip],
    *,
    recipe: Recipe,
    augmentation: Augmentation = Augmentation(),
    device: str = "cpu",
    out: Path | None = None,
    stop_after: int | None = None,
    batch_size: int = 16,
    width: int = 32,
) -> tuple[Any, TrainingRun]:
    """Train."""
    raise NotImplementedError


def predict_tiny(
    model: Any,
    images: NDArray[np.uint8],
    *,
    batch_size: int = 32,
    least_score: float = 0.05,
    most_objects: int = 50,
    nms_iou: float = 0.6,
) -> list[FrameObjects]:
    """Find."""
    raise NotImplementedError


def save_tiny(model: Any, path: Path) -> None:
    """Write."""
    raise NotImplementedError


def load_tiny(path: Path, *, device: str = "cpu") -> Any:
    """Read."""
    raise NotImplementedError

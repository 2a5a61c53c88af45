"""Train linear SVMs on hypercolumns: liblinear where the pixels fit in memory, SGD over streamed blocks above."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from evfr.augmentation import Augmentation
from evfr.training._loop import Recipe, TrainingRun

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from evfr._core.labelled import LabelledClip

__all__ = ["HypercolumnSvm", "fit_svm", "load_svm", "predict_svm", "save_svm"]

_IDENTITY = Augmentation()


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class HypercolumnSvm:
    """Hold a linear SVM on the hypercolumns of VGG-16."""

    module: Any
    classes: tuple[str, ...]


def fit_svm(
    clips: Sequence[LabelledClip],
    *,
    recipe: Recipe,
    augmentation: Augmentation = _IDENTITY,
    device: str = "cpu",
    out: Path | None = None,
    stop_after: int | None = None,
    encoder_weights: str | Path | None = None,
    width: int | None = None,
    solver: Literal["auto", "liblinear", "sgd"] = "auto",
    max_points: int = 50_000,
    shrink: int = 1,
    regularisation: float = 1.0,
    batch_points: int = 1024,
    block_frames: int = 4,
    block_steps: int = 16,
) -> tuple[HypercolumnSvm, TrainingRun]:
    """Train."""
    raise NotImplementedError


def predict_svm(model: HypercolumnSvm, images: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Predict."""
    raise NotImplementedError


def save_svm(model: HypercolumnSvm, path: Path) -> None:
    """Write."""
    raise NotImplementedError


def load_svm(path: Path, *, device: str = "cpu") -> HypercolumnSvm:
    """Read."""
    raise NotImplementedError

"""The options of `evfr train svm`, as words."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from evfr.verbs._train_learner import FrameChoice, LabelledInput, Trained, train_learner

if TYPE_CHECKING:
    from evfr.training import Recipe

__all__ = ["svm"]


def svm(
    clips: LabelledInput,
    *,
    recipe: Recipe,
    out: Path,
    width: int | None = None,
    height: int | None = None,
    frames: Path | None = None,
    split: Path | None = None,
    classes: Sequence[str] = (),
    category_map: str | None = None,
    on_boxes: Literal["fail", "fill"] = "fail",
    solver: Literal["auto", "liblinear", "sgd"] = "auto",
    max_points: int = 50_000,
    shrink: int = 1,
    cost: float = 1e-3,
    batch_points: int = 1024,
    block_frames: int = 4,
    block_steps: int = 16,
    encoder_weights: Path | None = None,
    channels: int | None = None,
    device: str = "cpu",
) -> Trained:
    """Train a linear SVM on the hypercolumns of VGG-16 (Chataigner et al. 2019).

    Pictures are not changed while it learns: it fits a fixed set of pixels.

    Parameters
    ----------
    clips : LabelledInput
        Videos and labels.
    recipe : Recipe
        Of the loop.
    out : Path
        Where files are written.
    width : int or None
        Width that pictures are resized to; None is that of the labels, if they are all of one size.
    height : int or None
        Height, as ``width``.
    frames : Path or None
        A selection of ``evfr select``: learn from its frames only.
    split : Path or None
        A split of ``evfr split``: learn from its side "train" only.
    classes : sequence of str
        Names of the classes, in the order of their numbers; none is all of the labels.
    category_map : str or None
        JSON or TOML file, or name of a published map, that joins classes first.
    on_boxes : {"fail", "fill"}
        Whether a box without a mask is an error, or all pixels in it are the mask.
    solver : {"auto", "liblinear", "sgd"}
        ``liblinear`` solves exactly, with all pixels in memory; ``sgd`` streams blocks of frames, for as many
        iterations as are asked; ``auto`` is liblinear up to ``max_points`` labelled pixels.
    max_points : int
        Labelled pixels that liblinear may get.
    shrink : int
        Every how many pixels, down and across, the truth is taken.
    cost : float
        C of liblinear: the weight of the sum of losses against half the squared norm of the weights.
    batch_points : int
        Pixels of a step of ``sgd``.
    block_frames : int
        Frames of a block of ``sgd``, which are held at once.
    block_steps : int
        Steps of ``sgd`` on one block.
    encoder_weights : Path or None
        State dict of torchvision's ``vgg16`` or ``vgg16_bn``; None draws random weights.
    channels : int or None
        Width of the first block; None is that of the weights, or 64.
    device : str
        Where to train, for example ``cuda``; under torchrun each process takes the GPU of its number.

    Returns
    -------
    run : TrainingRun
        Losses and rates.
    sample_count : int
        Pictures to visit.
    files : tuple of Path
        ``weights.safetensors``, and ``log.parquet`` where there is one.

    Raises
    ------
    AnnotationError
        If labels and videos do not fit each other.
    InputError
        If weights do not load, or ``out`` has a checkpoint of other frames or options.
    ValueError
        If an option is out of range.
    """
    from evfr.augmentation import Augmentation

    return train_learner(
        "svm",
        clips,
        recipe=recipe,
        out=out,
        choice=FrameChoice(width, height, frames, split, tuple(classes), category_map, on_boxes),
        augmentation=Augmentation(),
        device=device,
        options={
            "solver": solver,
            "max_points": max_points,
            "shrink": shrink,
            "cost": cost,
            "batch_points": batch_points,
            "block_frames": block_frames,
            "block_steps": block_steps,
            "encoder_weights": encoder_weights,
            "width": channels,
        },
    )

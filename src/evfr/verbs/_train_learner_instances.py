"""The options of `evfr train` for networks that find objects, as words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from evfr.verbs._train_learner import FrameChoice, LabelledInput, Trained, train_learner

if TYPE_CHECKING:
    from evfr.training import Recipe

__all__ = ["maskrcnn", "tiny"]


def tiny(
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
    jitter: Literal["none", "standard", "large"] = "none",
    flip: float = 0.0,
    copy_paste: float = 0.0,
    precision: Literal["fp32", "bf16", "fp16"] = "fp32",
    batch_size: int = 16,
    channels: int = 32,
    colour: float = 0.5,
    device: str = "cpu",
) -> Trained:
    """Train a small one-stage network of our own, which finds objects with masks within minutes on a CPU.

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
    jitter : {"none", "standard", "large"}
        Scale jitter: resize by .8 to 1.25, or by .1 to 2, then crop or pad to the size.
    flip : float
        Probability that a picture is mirrored.
    copy_paste : float
        Probability that a picture receives objects of another one.
    precision : {"fp32", "bf16", "fp16"}
        Of what can be computed in fewer bits.
    batch_size : int
        Pictures per iteration, of all processes together.
    channels : int
        Width of the network; its parameters grow with the square.
    colour : float
        How much the colours of pictures are mixed at random, in [0, 1]; 0 leaves them.
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
        "tiny",
        clips,
        recipe=replace(recipe, precision=precision),
        out=out,
        choice=FrameChoice(width, height, frames, split, tuple(classes), category_map, on_boxes),
        augmentation=Augmentation(jitter, flip, copy_paste),
        device=device,
        options={"batch_size": batch_size, "width": channels, "colour": colour},
    )


def maskrcnn(
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
    jitter: Literal["none", "standard", "large"] = "none",
    flip: float = 0.0,
    copy_paste: float = 0.0,
    precision: Literal["fp32", "bf16", "fp16"] = "fp32",
    batch_size: int = 16,
    weights: Path | None = None,
    backbone: str = "auto",
    channels: int | None = None,
    trainable_layers: int | None = None,
    norm: Literal["sync", "batch", "frozen"] = "sync",
    size: Sequence[int] = (800, 1333),
    device: str = "cpu",
) -> Trained:
    """Train torchvision's Mask R-CNN on a ResNet with a feature pyramid (section 4 of Yoon & Choi 2023).

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
    jitter : {"none", "standard", "large"}
        Scale jitter: resize by .8 to 1.25, or by .1 to 2, then crop or pad to the size.
    flip : float
        Probability that a picture is mirrored.
    copy_paste : float
        Probability that a picture receives objects of another one.
    precision : {"fp32", "bf16", "fp16"}
        Of what can be computed in fewer bits.
    batch_size : int
        Pictures per iteration, of all processes together.
    weights : Path or None
        Start from this state dict of torchvision: of the whole network or of its backbone; None draws random weights.
    backbone : str
        A ResNet or ResNeXt of torchvision, for example ``resnet18``; ``auto`` is that of the weights, or ``resnet50``.
    channels : int or None
        Width of the feature pyramid and the heads; None is that of the weights, or 256.
    trainable_layers : int or None
        Stages of the backbone that are trained, 0 to 5, the last first; None is 3 with weights, 5 without.
    norm : {"sync", "batch", "frozen"}
        Statistics of batch normalisation: of the batch over all processes, of each process, or those of the weights.
    size : sequence of int
        Pictures are scaled until the shorter side is the first, unless the longer one would exceed the second; a single
        number is the shorter side.
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
        "maskrcnn",
        clips,
        recipe=replace(recipe, precision=precision),
        out=out,
        choice=FrameChoice(width, height, frames, split, tuple(classes), category_map, on_boxes),
        augmentation=Augmentation(jitter, flip, copy_paste),
        device=device,
        options={
            "batch_size": batch_size,
            "weights": weights,
            "backbone": backbone,
            "channels": channels,
            "trainable_layers": trainable_layers,
            "norm": norm,
            "size": size[0] if len(size) == 1 else tuple(size),
        },
    )

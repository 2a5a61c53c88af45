"""The options of `evfr train` for networks that give each pixel a class, as words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from evfr.verbs._train_learner import FrameChoice, LabelledInput, Trained, train_learner

if TYPE_CHECKING:
    from evfr.training import Recipe

__all__ = ["deep_unet", "unet", "vgg"]


def unet(
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
    batch_size: int = 8,
    crop: int = 256,
    encoder_weights: Path | None = None,
    channels: int | None = None,
    batch_norm: bool = True,
    device: str = "cpu",
) -> Trained:
    """Train a U-Net on a VGG-16 encoder by mean pixel cross-entropy on crops (Chataigner et al. 2019).

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
        Crops per iteration, of all processes together.
    crop : int
        Side of a crop; a smaller picture is taken whole.
    encoder_weights : Path or None
        State dict of torchvision's ``vgg16`` or ``vgg16_bn``; None draws random weights.
    channels : int or None
        Width of the first block; None is that of the weights, or 64.
    batch_norm : bool
        Whether random weights have batch normalisation.
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
        "unet",
        clips,
        recipe=replace(recipe, precision=precision),
        out=out,
        choice=FrameChoice(width, height, frames, split, tuple(classes), category_map, on_boxes),
        augmentation=Augmentation(jitter, flip, copy_paste),
        device=device,
        options={
            "batch_size": batch_size,
            "crop": crop,
            "encoder_weights": encoder_weights,
            "width": channels,
            "batch_norm": batch_norm,
        },
    )


def deep_unet(
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
    batch_size: int = 8,
    crop: int = 256,
    encoder_weights: Path | None = None,
    channels: int | None = None,
    batch_norm: bool = True,
    device: str = "cpu",
) -> Trained:
    """Train a U-Net that goes one level further down, to 1/32 (Chataigner et al. 2019).

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
        Crops per iteration, of all processes together.
    crop : int
        Side of a crop; a smaller picture is taken whole.
    encoder_weights : Path or None
        State dict of torchvision's ``vgg16`` or ``vgg16_bn``; None draws random weights.
    channels : int or None
        Width of the first block; None is that of the weights, or 64.
    batch_norm : bool
        Whether random weights have batch normalisation.
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
        "deep-unet",
        clips,
        recipe=replace(recipe, precision=precision),
        out=out,
        choice=FrameChoice(width, height, frames, split, tuple(classes), category_map, on_boxes),
        augmentation=Augmentation(jitter, flip, copy_paste),
        device=device,
        options={
            "batch_size": batch_size,
            "crop": crop,
            "encoder_weights": encoder_weights,
            "width": channels,
            "batch_norm": batch_norm,
        },
    )


def vgg(
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
    batch_size: int = 8,
    crop: int = 256,
    encoder_weights: Path | None = None,
    channels: int | None = None,
    batch_norm: bool = True,
    device: str = "cpu",
) -> Trained:
    """Train VGG-16 with one decoder without skips (Chataigner et al. 2019).

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
        Crops per iteration, of all processes together.
    crop : int
        Side of a crop; a smaller picture is taken whole.
    encoder_weights : Path or None
        State dict of torchvision's ``vgg16`` or ``vgg16_bn``; None draws random weights.
    channels : int or None
        Width of the first block; None is that of the weights, or 64.
    batch_norm : bool
        Whether random weights have batch normalisation.
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
        "vgg",
        clips,
        recipe=replace(recipe, precision=precision),
        out=out,
        choice=FrameChoice(width, height, frames, split, tuple(classes), category_map, on_boxes),
        augmentation=Augmentation(jitter, flip, copy_paste),
        device=device,
        options={
            "batch_size": batch_size,
            "crop": crop,
            "encoder_weights": encoder_weights,
            "width": channels,
            "batch_norm": batch_norm,
        },
    )

"""Train networks that give each pixel a class, on crops of labelled clips, and use them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from evfr._core.lazy import require
from evfr._core.tensor_files import file_state
from evfr._core.tensor_state import read_state, write_state
from evfr.augmentation import Augmentation
from evfr.errors import InputError
from evfr.models import vgg_segmenter
from evfr.training._checkpoints import UNREADABLE, check_width
from evfr.training._device_frames import DeviceFrames
from evfr.training._loop import Recipe, TrainingRun, train
from evfr.training._ranks import rank_and_count
from evfr.training._segmentation_crops import crop_draw, pixel_loss
from evfr.training._visits import visit_bounds

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from evfr._core.labelled import LabelledClip

__all__ = [
    "Segmenter",
    "fit_deep_unet",
    "fit_unet",
    "fit_vgg",
    "load_segmentation",
    "predict_segmentation",
    "save_segmentation",
]

_IDENTITY = Augmentation()
_FORMAT = "evfr segmentation 1"
_PIXELS = 1 << 20
"""Pixels that are predicted at once, about."""


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Segmenter:
    """Hold a network that gives each pixel a class.

    Attributes
    ----------
    module : torch.nn.Module
        From `evfr.models.vgg_segmenter`, on its device.
    classes : tuple of str
        Names of the C classes; the network has 1 + C outputs, the background first.
    """

    module: Any
    classes: tuple[str, ...]

    def __repr__(self) -> str:
        return f"Segmenter({self.module.kind!r}, {len(self.classes)} classes, width {self.module.width})"


def fit_unet(
    clips: Sequence[LabelledClip],
    *,
    recipe: Recipe,
    augmentation: Augmentation = _IDENTITY,
    device: str = "cpu",
    out: Path | None = None,
    stop_after: int | None = None,
    encoder_weights: str | Path | None = None,
    width: int | None = None,
    batch_norm: bool = True,
    batch_size: int = 8,
    crop: int = 256,
) -> tuple[Segmenter, TrainingRun]:
    """Train a U-Net on a VGG-16 encoder by mean pixel cross-entropy on crops (C19's CNN experiment).

    Parameters
    ----------
    clips : sequence of LabelledClip
        One frame or more in all, of one size and one list of classes.
    recipe : Recipe
        How; the paper takes SGD.
    augmentation : Augmentation
        How pictures are changed, before they are cropped.
    device : str
        Where to train.
    out : Path or None
        See `train`.
    stop_after : int or None
        See `train`.
    encoder_weights : path or None
        Of torchvision's ``vgg16`` or ``vgg16_bn``; None draws random weights from the recipe's seed.
    width : int or None
        Channels of the first block; None is the file's, or 64. Less is quicker.
    batch_norm : bool
        Of random weights; a file decides for itself.
    batch_size : int
        Crops per iteration, of all processes together; frames take turns as `visits` says.
    crop : int
        Side of a crop in pixels, anywhere in the picture with equal probability; a picture that is smaller is taken
        whole in that direction. Either is filled up inside the network to what its levels need, and scores of what
        was filled are left out of the loss.

    Returns
    -------
    model : Segmenter
        For `predict_segmentation`.
    run : TrainingRun
        Losses and rates.

    Raises
    ------
    InputError, StoreError
        As `train` and `evfr.models.vgg_segmenter` do.
    ValueError
        If there is no frame, clips do not fit together, or a number is out of range.
    """
    form = _Form("unet", encoder_weights, width, batch_norm)
    return _fit(form, clips, recipe, augmentation, device, out, stop_after, batch_size, crop)


def fit_deep_unet(
    clips: Sequence[LabelledClip],
    *,
    recipe: Recipe,
    augmentation: Augmentation = _IDENTITY,
    device: str = "cpu",
    out: Path | None = None,
    stop_after: int | None = None,
    encoder_weights: str | Path | None = None,
    width: int | None = None,
    batch_norm: bool = True,
    batch_size: int = 8,
    crop: int = 256,
) -> tuple[Segmenter, TrainingRun]:
    """Train a U-Net that goes one level further down than `fit_unet`, to 1/32 (C19's deep U-Net).

    Parameters
    ----------
    clips : sequence of LabelledClip
        As in `fit_unet`, like all that follows.
    recipe : Recipe
        How.
    augmentation : Augmentation
        How pictures are changed.
    device : str
        Where to train.
    out : Path or None
        See `train`.
    stop_after : int or None
        See `train`.
    encoder_weights : path or None
        Of VGG-16.
    width : int or None
        Channels of the first block.
    batch_norm : bool
        Of random weights.
    batch_size : int
        Crops per iteration.
    crop : int
        Side of a crop.

    Returns
    -------
    model : Segmenter
        For `predict_segmentation`.
    run : TrainingRun
        Losses and rates.

    Raises
    ------
    InputError, StoreError, ValueError
        As `fit_unet` does.
    """
    form = _Form("deep-unet", encoder_weights, width, batch_norm)
    return _fit(form, clips, recipe, augmentation, device, out, stop_after, batch_size, crop)


def fit_vgg(
    clips: Sequence[LabelledClip],
    *,
    recipe: Recipe,
    augmentation: Augmentation = _IDENTITY,
    device: str = "cpu",
    out: Path | None = None,
    stop_after: int | None = None,
    encoder_weights: str | Path | None = None,
    width: int | None = None,
    batch_norm: bool = True,
    batch_size: int = 8,
    crop: int = 256,
) -> tuple[Segmenter, TrainingRun]:
    """Train VGG-16 with one decoder without skips: scores at 1/32, enlarged (C19's VGG; FCN-32s of Long et al. 2015).

    Parameters
    ----------
    clips : sequence of LabelledClip
        As in `fit_unet`, like all that follows.
    recipe : Recipe
        How.
    augmentation : Augmentation
        How pictures are changed.
    device : str
        Where to train.
    out : Path or None
        See `train`.
    stop_after : int or None
        See `train`.
    encoder_weights : path or None
        Of VGG-16.
    width : int or None
        Channels of the first block.
    batch_norm : bool
        Of random weights.
    batch_size : int
        Crops per iteration.
    crop : int
        Side of a crop.

    Returns
    -------
    model : Segmenter
        For `predict_segmentation`.
    run : TrainingRun
        Losses and rates.

    Raises
    ------
    InputError, StoreError, ValueError
        As `fit_unet` does.
    """
    form = _Form("vgg", encoder_weights, width, batch_norm)
    return _fit(form, clips, recipe, augmentation, device, out, stop_after, batch_size, crop)


def predict_segmentation(model: Segmenter, images: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Give each pixel of whole pictures its most probable class.

    Parameters
    ----------
    model : Segmenter
        As trained or loaded.
    images : (F, H, W, 3) uint8
        RGB of any size.

    Returns
    -------
    (F, H, W) uint8
        0 for background, 1 + class.

    Raises
    ------
    ValueError
        If pictures are of another shape or type.
    """
    if images.ndim != 4 or images.shape[3] != 3 or images.dtype != np.uint8:
        raise ValueError(f"images must be (F, H, W, 3) uint8, got {images.shape} {images.dtype}")
    torch = require("torch", extra="train")
    device = next(model.module.parameters()).device
    model.module.eval()
    found = np.zeros(images.shape[:3], np.uint8)
    at_once = max(1, _PIXELS // max(1, images.shape[1] * images.shape[2]))
    with torch.inference_mode():
        for start in range(0, len(images), at_once):
            pictures = torch.from_numpy(np.ascontiguousarray(images[start : start + at_once])).to(device)
            scores = model.module(pictures.permute(0, 3, 1, 2).float() / 255)
            found[start : start + at_once] = scores.argmax(dim=1).to(torch.uint8).cpu().numpy()
    return found


def save_segmentation(model: Segmenter, path: Path) -> None:
    """Write a network with all that is needed to use it.

    Parameters
    ----------
    model : Segmenter
        As trained.
    path : Path
        The file, as a rule ``.safetensors``; replaced where it exists.

    Raises
    ------
    StoreError
        If it cannot be written.
    """
    state = {
        "format": _FORMAT,
        "kind": model.module.kind,
        "width": model.module.width,
        "batch_norm": model.module.batch_norm,
        "classes": list(model.classes),
        "module": {name: tensor.cpu() for name, tensor in model.module.state_dict().items()},
    }
    write_state(state, path, extra="train")


def load_segmentation(path: Path, *, device: str = "cpu") -> Segmenter:
    """Read what `save_segmentation` wrote.

    Parameters
    ----------
    path : Path
        The file.
    device : str
        Where to compute.

    Returns
    -------
    Segmenter
        In evaluation mode; it predicts what the saved one did.

    Raises
    ------
    InputError
        If there is no such file, or it holds something else.
    """
    file_state(path)
    try:
        state = read_state(path, extra="train")
        is_ours = state["format"] == _FORMAT
    except UNREADABLE as error:
        raise InputError(f"{path} is no segmentation network of evfr: {error!s:.200}") from error
    if not is_ours:
        raise InputError(f"{path} is no segmentation network of evfr (format {state['format']!r})")
    try:
        check_width(state["width"], state["module"], 576)
        classes = tuple(state["classes"])
        module = vgg_segmenter(
            state["kind"], 1 + len(classes), width=state["width"], batch_norm=state["batch_norm"]
        )
        module.load_state_dict(state["module"])
    except UNREADABLE as error:
        raise InputError(
            f"{path} is no whole segmentation network of evfr: {error!s:.300}; train it again"
        ) from error
    return Segmenter(module.to(device).eval(), classes)


@dataclass(frozen=True, slots=True)
class _Form:
    """Hold what network is trained."""

    kind: str
    encoder_weights: str | Path | None
    width: int | None
    batch_norm: bool


def _fit(
    form: _Form,
    clips: Sequence[LabelledClip],
    recipe: Recipe,
    augmentation: Augmentation,
    device: str,
    out: Path | None,
    stop_after: int | None,
    batch_size: int,
    crop: int,
) -> tuple[Segmenter, TrainingRun]:
    if batch_size < 1 or crop < 1:
        raise ValueError(f"batch_size and crop must be 1 or more, got {batch_size} and {crop}")
    frames = DeviceFrames(clips, device)
    module = vgg_segmenter(
        form.kind,
        1 + len(frames.classes),
        encoder_weights=form.encoder_weights,
        width=form.width,
        batch_norm=form.batch_norm,
        seed=recipe.seed,
    ).to(device)
    if rank_and_count()[1] > 1 and frames.images.is_cuda:
        module = require("torch", extra="train").nn.SyncBatchNorm.convert_sync_batchnorm(module)
    draw = crop_draw(frames, augmentation, recipe, batch_size, crop)
    run = train(
        module, draw, pixel_loss, recipe, out=out, stop_after=stop_after, label=f"training {form.kind}"
    )
    bounds = visit_bounds(len(frames), batch_size, len(run.loss))
    return Segmenter(module, frames.classes), replace(run, visits=bounds)

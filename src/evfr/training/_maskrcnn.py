"""Train torchvision's Mask R-CNN on labelled clips, and find objects with it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from evfr._core.annotations import Category
from evfr._core.labelled import IGNORE_ID, FrameObjects
from evfr._core.lazy import require
from evfr._core.rng import spawn_seed
from evfr._core.tensor_files import file_state
from evfr._core.tensor_state import read_state, write_state
from evfr.augmentation import IMAGENET_MEAN, Augmentation
from evfr.errors import InputError
from evfr.models import maskrcnn_network
from evfr.models._maskrcnn import RegionDetector, torch_device
from evfr.models._maskrcnn_build import build_from_state
from evfr.training._batch_augmentation import augment_batch, noised_batch
from evfr.training._checkpoints import UNREADABLE
from evfr.training._device_frames import DeviceFrames
from evfr.training._loop import train
from evfr.training._ranks import rank_and_count, share_of
from evfr.training._recipe import Recipe, TrainingRun
from evfr.training._visits import visit_bounds, visits

if TYPE_CHECKING:
    from numpy.random import Generator
    from numpy.typing import NDArray

    from evfr._core.labelled import LabelledClip

__all__ = ["MaskRcnn", "fit_maskrcnn", "load_maskrcnn", "predict_maskrcnn", "save_maskrcnn"]

_FORMAT = "evfr maskrcnn 1"
_IDENTITY = Augmentation()
_NORM_EPS = 1e-5


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class MaskRcnn:
    """Hold a trained Mask R-CNN.

    Attributes
    ----------
    module : torch.nn.Module
        torchvision's ``MaskRCNN`` in evaluation mode, its normalisation fixed, on its device.
    classes : tuple of str
        Names of the C classes; the network has 1 + C, the background first.
    size : (int, int)
        Shorter side that pictures are scaled to, and the most of the longer one.
    """

    module: Any
    classes: tuple[str, ...]
    size: tuple[int, int]

    def __repr__(self) -> str:
        return f"MaskRcnn({len(self.classes)} classes, pictures of {self.size[0]} to {self.size[1]} pixels)"


def fit_maskrcnn(
    clips: Sequence[LabelledClip],
    *,
    recipe: Recipe,
    augmentation: Augmentation = _IDENTITY,
    device: str = "cpu",
    out: Path | None = None,
    stop_after: int | None = None,
    weights: str | Path | None = None,
    backbone: str = "auto",
    channels: int | None = None,
    trainable_layers: int | None = None,
    norm: Literal["sync", "batch", "frozen"] = "sync",
    size: Sequence[int] | int = (800, 1333),
    batch_size: int = 16,
) -> tuple[MaskRcnn, TrainingRun]:
    """Train Mask R-CNN with a ResNet and a feature pyramid on labelled clips (section 4 of Yoon & Choi 2023).

    Parameters
    ----------
    clips : sequence of LabelledClip
        One frame or more in all, of one size and one list of classes.
    recipe : Recipe
        How; the paper takes SGD.
    augmentation : Augmentation
        How pictures are changed, before they are scaled.
    device : str
        ``cpu``, ``cuda`` or ``cuda:N``. Frames stay in the host's memory, batches are moved.
    out : Path or None
        See `train`.
    stop_after : int or None
        See `train`.
    weights : path or None
        Start from this file, see `evfr.models.maskrcnn_network`; None draws random weights.
    backbone : str
        A ResNet or ResNeXt of torchvision; ``"auto"`` is that of the weights, or ``"resnet50"``.
    channels : int or None
        Width of the pyramid and the heads; None is that of the weights, or 256.
    trainable_layers : int or None
        How many stages of the backbone are trained, 0 to 5, the last first; None is 3 with weights, 5 without.
    norm : {"sync", "batch", "frozen"}
        Statistics of batch normalisation: of the batch over all processes that torchrun started (SyncBN), of each
        process by itself, or those of the weights for good, which small batches need.
    size : (int, int) or int
        Pictures are scaled so that their shorter side is the first, unless their longer one would exceed the second; a
        single number is the shorter side, up to 16 times as long. Anchors begin at 32 pixels: objects in small pictures
        are found better enlarged.
    batch_size : int
        Pictures per iteration, of all processes together.

    Returns
    -------
    model : MaskRcnn
        For `predict_maskrcnn`.
    run : TrainingRun
        Losses, rates and visits.

    Raises
    ------
    InputError, StoreError
        As `train` and `evfr.models.maskrcnn_network` do; or several processes on CPUs ask for ``sync``, which torch
        has for GPUs only.
    ValueError
        If there is no frame, clips do not fit together, or a number is out of range.

    Notes
    -----
    Losses are torchvision's, summed. It knows no region that is not judged, so pixels of `IGNORE_ID` are shown in the
    mean colour.
    """
    if norm not in ("sync", "batch", "frozen"):
        raise ValueError(f"norm must be one of sync, batch, frozen, got {norm!r}")
    torch = require("torch", extra="train")
    frames = DeviceFrames(clips)
    visit_bounds(len(frames), batch_size, recipe.iterations)
    sides = _sides(size)
    place = torch_device(device)
    part = share_of(batch_size)
    module = maskrcnn_network(
        weights,
        class_count=len(frames.classes),
        backbone=backbone,
        channels=channels,
        size=sides,
        trainable_layers=trainable_layers,
        norm="frozen" if norm == "frozen" else "batch",
        seed=recipe.seed,
    )
    if norm == "sync" and rank_and_count()[1] > 1:
        if place.type != "cuda":
            raise InputError("norm 'sync' over several processes needs GPUs; take 'batch' or 'frozen'")
        module = torch.nn.SyncBatchNorm.convert_sync_batchnorm(module)
    module = module.to(place)
    draw = _picture_draw(torch, frames, augmentation, recipe.seed, batch_size, part, place)
    run = train(module, draw, _region_loss, recipe, out=out, stop_after=stop_after, label="training maskrcnn")
    # What is returned is what is saved and loaded, to the last bit.
    state = {name: value.cpu() for name, value in module.state_dict().items()}
    network = build_from_state(state, Path("trained"), backbone="auto", size=sides, norm_eps=_NORM_EPS).to(
        place
    )
    done = visit_bounds(len(frames), batch_size, len(run.loss))
    return MaskRcnn(network, frames.classes, sides), replace(run, visits=done)


def predict_maskrcnn(
    model: MaskRcnn,
    images: NDArray[np.uint8],
    *,
    least_score: float = 0.05,
    most_objects: int = 100,
    nms_iou: float = 0.5,
) -> list[FrameObjects]:
    """Find the objects of pictures.

    Parameters
    ----------
    model : MaskRcnn
        From `fit_maskrcnn` or `load_maskrcnn`.
    images : (F, H, W, 3) uint8
        RGB.
    least_score : float
        Objects need a higher score, in [0, 1).
    most_objects : int
        At most so many a picture, the best.
    nms_iou : float
        Of two of one class whose boxes overlap more the better stays, in [0, 1].

    Returns
    -------
    list of FrameObjects
        One for each picture, by descending score.

    Raises
    ------
    InputError
        If the network's outputs are not finite.
    ValueError
        If images are not (F, H, W, 3) uint8, or a number is out of range.
    """
    if images.ndim != 4 or images.shape[3] != 3 or images.dtype != np.uint8:
        raise ValueError(f"images must be (F, H, W, 3) uint8, got {images.shape} {images.dtype}")
    detector = RegionDetector(
        model.module,
        [Category(row + 1, name) for row, name in enumerate(model.classes)],
        device=str(next(model.module.parameters()).device),
        min_score=least_score,
        nms=nms_iou,
        limit=most_objects,
        name="Mask R-CNN",
    )
    found = []
    for image in images:
        seen = detector.detect(image)
        found.append(
            FrameObjects(
                seen.category.astype(np.int64),
                seen.boxes_xyxy,
                tuple(seen.masks or (None,) * len(seen)),
                seen.scores,
                np.zeros(len(seen), np.bool_),
            )
        )
    return found


def save_maskrcnn(model: MaskRcnn, path: Path) -> None:
    """Write a network to a file of tensors and plain values, which `evfr.models.MaskRcnnDetector` opens too.

    Parameters
    ----------
    model : MaskRcnn
        As trained.
    path : Path
        The file, as a rule ``.safetensors``; it appears whole or not at all.

    Raises
    ------
    StoreError
        If it cannot be written.
    """
    state = {
        "format": _FORMAT,
        "classes": list(model.classes),
        "size": list(model.size),
        "state_dict": {name: tensor.cpu() for name, tensor in model.module.state_dict().items()},
    }
    write_state(state, path, extra="train")


def load_maskrcnn(path: Path, *, device: str = "cpu") -> MaskRcnn:
    """Read what `save_maskrcnn` wrote.

    Parameters
    ----------
    path : Path
        The file.
    device : str
        Where to compute.

    Returns
    -------
    MaskRcnn
        It finds what the saved one did.

    Raises
    ------
    InputError
        If there is no such file, or it holds something else.
    """
    file_state(path)
    try:
        state = read_state(path, extra="train")
        if state["format"] != _FORMAT:
            raise ValueError(f"its format is {state['format']!r}")
        sides = int(state["size"][0]), int(state["size"][1])
        tensors, classes = dict(state["state_dict"]), tuple(state["classes"])
    except UNREADABLE as error:
        raise InputError(f"{path} is no Mask R-CNN of evfr: {error}") from error
    module = build_from_state(tensors, path, backbone="auto", size=sides, norm_eps=_NORM_EPS)
    return MaskRcnn(module.to(torch_device(device)), classes, sides)


def _sides(size: Sequence[int] | int) -> tuple[int, int]:
    """Return the shorter side, and the most of the longer one."""
    if isinstance(size, int):
        return size, 16 * size
    if len(size) != 2:
        raise ValueError(f"size must be the shorter side and the most of the longer one, got {tuple(size)}")
    return int(size[0]), int(size[1])


def _picture_draw(
    torch: Any,
    frames: DeviceFrames,
    augmentation: Augmentation,
    seed: int,
    batch_size: int,
    part: slice,
    place: Any,
) -> Any:
    """Return a function that draws pictures (3, H, W) float32 and torchvision's targets."""
    is_random = not augmentation.is_identity or frames.noise_std is not None
    rank = rank_and_count()[0]

    def gathered(iteration: int, stream: int) -> tuple[Any, Any, Any, Any]:
        rows = visits(len(frames), batch_size, iteration, stream)[part].copy()
        found = [None if one is None else one.to(place) for one in frames.batch(torch.from_numpy(rows))]
        return found[0], found[1], found[2], found[3]

    def draw(_: Generator, iteration: int) -> tuple[list[Any], list[dict[str, Any]]]:
        images, ids, category, noise_std = gathered(iteration, seed)
        if is_random:
            randomness = torch.Generator(device=place)
            randomness.manual_seed(spawn_seed(seed, "augmentation", str(iteration), str(rank)))
            sources = None
            if augmentation.copy_paste:
                pasted, *rest, its_noise = gathered(iteration, spawn_seed(seed, "sources"))
                if its_noise is not None:
                    pasted = noised_batch(pasted, its_noise, randomness)
                sources = (pasted, rest[0], rest[1])
            images, ids, category = augment_batch(
                images, ids, category, sources, augmentation, randomness, noise_std
            )
        mean = torch.tensor(IMAGENET_MEAN, dtype=torch.uint8, device=place)[:, None, None]
        shown = torch.where((ids == IGNORE_ID)[:, None], mean, images).float() / 255
        return list(shown), [_target(torch, *one) for one in zip(ids, category, strict=True)]

    return draw


def _target(torch: Any, ids: Any, category: Any) -> dict[str, Any]:
    """Return boxes (K, 4), labels (K,) and masks (K, H, W) of what can be seen of one map."""
    numbers = torch.nonzero(category >= 0)[:, 0]
    masks = ids[None] == (numbers + 1)[:, None, None]
    is_seen = masks.flatten(1).any(dim=1)
    masks, numbers = masks[is_seen], numbers[is_seen]
    boxes = require("torchvision.ops", extra="train").masks_to_boxes(masks)
    # torchvision names the last pixel, its own targets the border behind it.
    boxes[:, 2:] += 1
    return {"boxes": boxes, "labels": category[numbers].long() + 1, "masks": masks.to(torch.uint8)}


def _region_loss(module: Any, batch: tuple[list[Any], list[dict[str, Any]]]) -> Any:
    return sum(module(*batch).values())

"""Train `tiny`, the small instance network, on labelled clips, and find objects with it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from evfr._core.labelled import IGNORE_ID, FrameObjects
from evfr._core.lazy import require
from evfr._core.masks import Rle
from evfr._core.rng import spawn_seed
from evfr._core.tensor_state import read_state, write_state
from evfr.augmentation import Augmentation
from evfr.errors import InputError
from evfr.models import nms_rows, tiny_network
from evfr.training._batch_augmentation import augment_batch, noised_batch
from evfr.training._checkpoints import UNREADABLE, check_width
from evfr.training._device_frames import DeviceFrames
from evfr.training._loop import Recipe, TrainingRun, train
from evfr.training._ranks import share_of
from evfr.training._tiny_colour import recoloured
from evfr.training._tiny_loss import tiny_loss
from evfr.training._visits import visit_bounds, visits

if TYPE_CHECKING:
    from numpy.random import Generator
    from numpy.typing import NDArray

    from evfr._core.labelled import LabelledClip

__all__ = ["fit_tiny", "load_tiny", "predict_tiny", "save_tiny"]

MULTIPLE = 16
FORMAT = "evfr tiny 1"
PLAIN = Augmentation()


def fit_tiny(
    clips: Sequence[LabelledClip],
    *,
    recipe: Recipe,
    augmentation: Augmentation = PLAIN,
    device: str = "cpu",
    out: Path | None = None,
    stop_after: int | None = None,
    batch_size: int = 16,
    width: int = 32,
    colour: float = 0.5,
) -> tuple[Any, TrainingRun]:
    """Train `tiny` on labelled clips from random weights.

    Parameters
    ----------
    clips : sequence of LabelledClip
        Of one size and one list of classes; their frames stay on the device.
    recipe : Recipe
        How; weights, batches, augmentation and noise all follow from its seed.
    augmentation : Augmentation
        What is done to pictures.
    device : str
        ``cpu``, ``cuda`` or ``cuda:N``; on CUDA the step is recorded once and replayed.
    out : Path or None
        See `train`.
    stop_after : int or None
        See `train`.
    batch_size : int
        Pictures per iteration, of all processes together.
    width : int
        See `evfr.models.tiny_network`.
    colour : float
        How much the colours of a picture are mixed at random, in [0, 1], after ``augmentation``; 0 leaves them. Few
        clips have few objects, whose colours would be learnt instead of what they have in common.

    Returns
    -------
    model : torch.nn.Module
        In evaluation mode, with the clips' ``classes``.
    run : TrainingRun
        Losses, rates and visits.

    Raises
    ------
    InputError, StoreError
        As `train` does.
    ValueError
        If there is no frame, clips differ in size or classes, or a number is out of range.

    Notes
    -----
    Frames are visited evenly (`visits`), copy-paste takes its sources from an even stream of its own. Targets are made
    on the device from the maps after augmentation, so that no label is left of what jitter or copy-paste has covered.
    """
    if not 0 <= colour <= 1:
        raise ValueError(f"colour must be in [0, 1], got {colour}")
    torch = require("torch", extra="train")
    frames = DeviceFrames(clips, device)
    model = tiny_network(len(frames.classes), width=width, seed=recipe.seed).to(device)
    model.classes = frames.classes
    part = share_of(batch_size)
    source_seed = spawn_seed(recipe.seed, "sources")
    visit_bounds(len(frames), batch_size, recipe.iterations)
    where = next(model.parameters()).device
    # The loop seeds torch's own generators for each iteration; a CUDA graph knows them.
    own = torch.cuda.default_generators[where.index] if where.type == "cuda" else torch.default_generator
    height, wide = frames.ids.shape[1:]
    padding = (0, -wide % MULTIPLE, 0, -height % MULTIPLE)

    def draw(_: Generator, iteration: int) -> tuple[Any, ...]:
        seeds = [recipe.seed, source_seed] if augmentation.copy_paste else [recipe.seed]
        return tuple(
            torch.from_numpy(visits(len(frames), batch_size, iteration, seed)[part].copy()) for seed in seeds
        )

    def loss(module: Any, batch: tuple[Any, ...]) -> Any:
        with torch.no_grad():
            images, ids, category, noise = frames.batch(batch[0])
            sources = None
            if augmentation.copy_paste:
                *pasted, source_noise = frames.batch(batch[1])
                if source_noise is not None:
                    pasted[0] = noised_batch(pasted[0], source_noise, own)
                sources = tuple(pasted)
            images, ids, category = augment_batch(images, ids, category, sources, augmentation, own, noise)
            if colour:
                images = recoloured(images, colour)
            ids = torch.nn.functional.pad(ids, padding, value=IGNORE_ID)
        return tiny_loss(module(images), ids, category)

    run = train(
        *(model, draw, loss, recipe),
        out=out,
        stop_after=stop_after,
        label="training tiny",
        is_static=True,
    )
    return model, replace(run, visits=visit_bounds(len(frames), batch_size, len(run.loss)))


def predict_tiny(
    model: Any,
    images: NDArray[np.uint8],
    *,
    batch_size: int = 32,
    least_score: float = 0.05,
    most_objects: int = 50,
    nms_iou: float = 0.6,
) -> list[FrameObjects]:
    """Find the objects of pictures.

    Parameters
    ----------
    model : torch.nn.Module
        From `fit_tiny` or `load_tiny`.
    images : (F, H, W, 3) uint8
        RGB.
    batch_size : int
        Pictures at a time.
    least_score : float
        Objects of lower score are not told, in [0, 1].
    most_objects : int
        At most so many a picture, the best.
    nms_iou : float
        Cells whose boxes overlap that of a better one of their class by more are dropped, greedily, in [0, 1].

    Returns
    -------
    list of FrameObjects
        One for each picture, by descending score. A box is the mean of what its cell says and the tight box of the
        mask; boxes and masks lie inside the picture, and what has no pixel is not told.

    Raises
    ------
    ValueError
        If images are not (F, H, W, 3) uint8, or a number is out of range.
    """
    if images.ndim != 4 or images.shape[3] != 3 or images.dtype != np.uint8:
        raise ValueError(f"images must be (F, H, W, 3) uint8, got {images.shape} {images.dtype}")
    if batch_size < 1 or most_objects < 1:
        raise ValueError(
            f"batch_size and most_objects must be 1 or more, got {batch_size} and {most_objects}"
        )
    if not 0 <= least_score <= 1 or not 0 <= nms_iou <= 1:
        raise ValueError(f"least_score and nms_iou must be in [0, 1], got {least_score} and {nms_iou}")
    torch = require("torch", extra="train")
    device = next(model.parameters()).device
    height, width = images.shape[1:3]
    found: list[FrameObjects] = []
    with torch.inference_mode():
        for start in range(0, len(images), batch_size):
            pictures = torch.from_numpy(np.ascontiguousarray(images[start : start + batch_size])).to(device)
            told = model(pictures.permute(0, 3, 1, 2))
            scores, order = torch.sigmoid(told.logits).flatten(1).sort(dim=1, descending=True, stable=True)
            limit = torch.tensor([width, height, width, height], device=device)
            boxes = told.boxes.clamp_min(0).minimum(limit).double().cpu().numpy()
            parts = zip(scores.double().cpu().numpy(), order.cpu().numpy(), boxes, strict=True)
            for place, (score, ranks, box) in enumerate(parts):
                count = int(np.searchsorted(-score, -least_score, side="right"))
                cells, category = np.divmod(ranks[:count], model.class_count)
                kept = nms_rows(box[cells], score[:count], threshold=nms_iou, category=category)
                kept = kept[:most_objects]
                cells, category = cells[kept], category[kept]
                masks = _masks(told, place, torch.from_numpy(cells).to(device), box[cells], height, width)
                found.append(_objects(category, box[cells], masks, score[kept]))
    return found


def _masks(
    told: Any, place: int, cells: Any, boxes: NDArray[np.float64], height: int, width: int
) -> NDArray[np.bool_]:
    """Return the masks (K, H, W) of some cells of one picture, cut off at their boxes."""
    functional = require("torch.nn.functional", extra="train")
    modules = require("evfr.models._tiny_modules", extra="train")
    if not len(cells):
        return np.zeros((0, height, width), np.bool_)
    logits = modules.mask_logits(told.coefficients[place, cells][None], told.basis[place, None])
    whole = functional.interpolate(
        logits, scale_factor=float(modules.BASIS_STRIDE), mode="bilinear", align_corners=False
    )
    masks: NDArray[np.bool_] = (whole[0, :, :height, :width] > 0).cpu().numpy()
    x, y = np.arange(width) + 0.5, np.arange(height) + 0.5
    across = (x >= boxes[:, 0:1] - 1) & (x <= boxes[:, 2:3] + 1)
    down = (y >= boxes[:, 1:2] - 1) & (y <= boxes[:, 3:4] + 1)
    return masks & across[:, None, :] & down[:, :, None]


def _objects(
    category: NDArray[np.int64],
    boxes: NDArray[np.float64],
    masks: NDArray[np.bool_],
    scores: NDArray[np.float64],
) -> FrameObjects:
    is_seen = masks.any(axis=(1, 2))
    rles = tuple(Rle.from_mask(mask) for mask in masks[is_seen])
    tight = np.array([rle.box_xyxy for rle in rles], np.float64).reshape(-1, 4)
    return FrameObjects(
        category[is_seen].astype(np.int64),
        # Two estimates of one box, whose errors differ.
        (boxes[is_seen] + tight) / 2,
        rles,
        scores[is_seen],
        np.zeros(int(is_seen.sum()), np.bool_),
    )


def save_tiny(model: Any, path: Path) -> None:
    """Write the network to a file of tensors and plain values.

    Parameters
    ----------
    model : torch.nn.Module
        From `fit_tiny` or `load_tiny`.
    path : Path
        The file; it appears whole or not at all.

    Raises
    ------
    StoreError
        If it cannot be written.
    """
    state = {
        "format": FORMAT,
        "classes": list(model.classes),
        "width": model.width,
        "maps": model.maps,
        "state_dict": {name: value.cpu() for name, value in model.state_dict().items()},
    }
    write_state(state, path, extra="train")


def load_tiny(path: Path, *, device: str = "cpu") -> Any:
    """Read a network that `save_tiny` wrote.

    Parameters
    ----------
    path : Path
        The file.
    device : str
        Where it is to be.

    Returns
    -------
    torch.nn.Module
        In evaluation mode, with its ``classes``.

    Raises
    ------
    InputError
        If it is no such file, or damaged.
    """
    try:
        state = read_state(path, extra="train")
        if state["format"] != FORMAT:
            raise ValueError(f"its format is {state['format']!r}")
        check_width(state["width"], state["state_dict"])
        check_width(state["maps"], state["state_dict"])
        model = tiny_network(len(state["classes"]), width=state["width"], maps=state["maps"])
        model.load_state_dict(state["state_dict"])
    except UNREADABLE as error:
        raise InputError(f"{path} is no network of evfr's tiny: {error}") from error
    model.classes = tuple(state["classes"])
    return model.to(device)

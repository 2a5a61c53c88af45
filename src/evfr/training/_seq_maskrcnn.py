"""Train Seq Mask R-CNN: the detector on one frame of a clip, the head that carries masks on the others."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from evfr._core.lazy import require
from evfr.training._loop import Recipe, TrainingRun, train
from evfr.training._seq_maskrcnn_clips import SequenceClip

if TYPE_CHECKING:
    from numpy.random import Generator

__all__ = ["train_seq_maskrcnn"]

_LEAST = 1e-7


def train_seq_maskrcnn(
    module: Any,
    draw: Callable[[Generator], SequenceClip],
    recipe: Recipe,
    *,
    batch_size: int = 1,
    objects: int = 5,
    mirror: bool = True,
    propagation_weight: float = 1.0,
    out: Path | None = None,
    stop_after: int | None = None,
) -> TrainingRun:
    """Train detector and propagation head together on clips (Lin et al. 2021, section 3.3).

    Parameters
    ----------
    module : torch.nn.Module
        From `evfr.models.seq_maskrcnn`; trained in place, on the device it is on. Parameters that need no gradient
        stay.
    draw : callable
        From a numpy generator to a `SequenceClip`; see `sequence_draw`.
    recipe : Recipe
        How.
    batch_size : int
        Clips per iteration.
    objects : int
        Objects of a clip that are carried, drawn at random where there are more; the detector learns all.
    mirror : bool
        Whether half of the clips are mirrored left to right.
    propagation_weight : float
        Of the propagation loss beside the five losses of Mask R-CNN, which have weight 1; 0 or more.
    out : Path or None
        See `train`.
    stop_after : int or None
        See `train`.

    Returns
    -------
    TrainingRun
        Losses and rates.

    Raises
    ------
    InputError, StoreError
        As `train` does.
    ValueError
        If a number is out of range.

    Notes
    -----
    The memory starts with the first frame and its true masks. Each further frame is segmented from it and then
    remembered with the masks that were predicted, as in use (Oh et al. 2019). The propagation loss of a frame is the
    cross-entropy of its pixels after soft aggregation, plus 1 - IoU of soft masks, mean over the objects; where labels
    overlap, the smaller object is in front.

    References
    ----------
    .. [1] Lin, Wu, Liu, Jia: Video Instance Segmentation with a Propose-Reduce Paradigm. ICCV 2021, arXiv:2103.13746.
    """
    if batch_size < 1 or objects < 1:
        raise ValueError(f"batch_size and objects must be 1 or more, got {batch_size} and {objects}")
    if not 0 <= propagation_weight < float("inf"):
        raise ValueError(f"propagation_weight must be 0 or more, got {propagation_weight}")

    def draw_batch(rng: Generator, _: int) -> list[tuple[SequenceClip, list[int]]]:
        batch = []
        for _ in range(batch_size):
            clip = draw(rng)
            rows = sorted(rng.permutation(len(clip.category))[:objects].tolist())
            if mirror and rng.random() < 0.5:
                clip = SequenceClip(clip.images[:, :, ::-1], clip.masks[..., ::-1], clip.category)
            batch.append((clip, rows))
        return batch

    def loss(network: Any, batch: list[tuple[SequenceClip, list[int]]]) -> Any:
        return sum(_clip_loss(network, clip, rows, propagation_weight) for clip, rows in batch) / len(batch)

    return train(
        module, draw_batch, loss, recipe, out=out, stop_after=stop_after, label="training the network"
    )


def _clip_loss(module: Any, clip: SequenceClip, rows: list[int], propagation_weight: float) -> Any:
    torch = require("torch", extra="train")
    image_list = require("torchvision.models.detection.image_list", extra="train").ImageList
    device = next(module.parameters()).device
    images = torch.from_numpy(np.ascontiguousarray(clip.images)).to(device).permute(0, 3, 1, 2).float() / 255
    masks = torch.from_numpy(np.ascontiguousarray(clip.masks)).to(device)
    target = {
        "boxes": torch.from_numpy(_boxes(clip.masks[0])).to(device),
        "labels": torch.from_numpy(clip.category + 1).to(device),
        "masks": masks[0].to(torch.uint8),
    }
    # The frames are of one size, so the first one's targets are scaled as all of them are.
    scaled, targets = module.transform(list(images), [dict(target) for _ in images])
    features = module.backbone(scaled.tensors)
    one = image_list(scaled.tensors[:1], scaled.image_sizes[:1])
    pyramid = {name: level[:1] for name, level in features.items()}
    proposals, losses = module.rpn(one, pyramid, targets[:1])
    _, more = module.roi_heads(pyramid, proposals, one.image_sizes, targets[:1])
    detection = sum([*losses.values(), *more.values()])
    carried = _propagation_loss(torch, module.propagation, features, masks[:, rows], scaled)
    return detection + propagation_weight * carried


def _propagation_loss(torch: Any, head: Any, features: Any, masks: Any, scaled: Any) -> Any:
    """Return the mean loss of the frames after the first."""
    functional = torch.nn.functional
    compete = require("evfr.models._seq_maskrcnn_modules", extra="train").compete
    height, width = scaled.image_sizes[0]
    padding = 0, scaled.tensors.shape[3] - width, 0, scaled.tensors.shape[2] - height
    planes = functional.interpolate(masks.float(), (height, width), mode="area")
    total: Any = 0.0
    memory = [head.memorise(_frame(features, 0), functional.pad(planes[0], padding))]
    for t in range(1, len(masks)):
        keys, values = (torch.cat([kept[part] for kept in memory], dim=2) for part in (0, 1))
        logits = head(_frame(features, t), keys, values)[:, :height, :width]
        log_soft = compete(logits)
        soft = log_soft.exp()
        truth = planes[t] > 0.5
        label = torch.zeros(truth.shape[1:], dtype=torch.long, device=truth.device)
        for row in torch.argsort(truth.sum(dim=(1, 2)), descending=True, stable=True).tolist():
            label[truth[row]] = row + 1
        entropy = functional.nll_loss(log_soft[None], label[None])
        seen = torch.stack([label == row + 1 for row in range(len(truth))]).float()
        shared = (soft[1:] * seen).sum(dim=(1, 2))
        either = (soft[1:] + seen - soft[1:] * seen).sum(dim=(1, 2))
        total = total + entropy + (1 - shared / either.clamp_min(_LEAST)).mean()
        if t + 1 < len(masks):
            memory.append(head.memorise(_frame(features, t), functional.pad(soft[1:], padding)))
    return total / (len(masks) - 1)


def _frame(features: Any, at: int) -> dict[str, Any]:
    return {name: level[at : at + 1] for name, level in features.items()}


def _boxes(masks: np.ndarray[Any, np.dtype[np.bool_]]) -> np.ndarray[Any, np.dtype[np.float32]]:
    """Return the tight boxes (K, 4) x0, y0, x1, y1 of masks that have a pixel."""
    boxes = np.zeros((len(masks), 4), np.float32)
    for row, mask in enumerate(masks):
        y, x = (np.flatnonzero(mask.any(axis=axis)) for axis in (1, 0))
        boxes[row] = x[0], y[0], x[-1] + 1, y[-1] + 1
    return boxes

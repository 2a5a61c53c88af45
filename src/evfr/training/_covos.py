"""What the CoVOS decoder is trained on: stored warped inputs and the labels they should become (Xu & Yao 2022)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from evfr._core.atomic import atomic_file
from evfr._core.lazy import require
from evfr.errors import InputError
from evfr.propagation._covos_clip import covos_frames
from evfr.propagation._covos_math import cells_of
from evfr.training._loop import Recipe, TrainingRun, train

if TYPE_CHECKING:
    from numpy.random import Generator
    from numpy.typing import NDArray

    from evfr._core.gop import CodedClip
    from evfr.models import CovosNetwork

__all__ = ["CovosSamples", "covos_samples", "train_covos"]

SCALE = 4
OBJECTS = 10


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class CovosSamples:
    """Hold N crops of decoder inputs, and the labels they should become.

    Attributes
    ----------
    current, warped : (N, h, w, 256) float16
        V and V^: low-level features of the frame, and those warped to it.
    probabilities, corrected : (N, h, w, 11) float16
        P^ and P-, the background first.
    target : (N, 4 h, 4 w) uint8
        0 is the background, k the k-th object.

    Raises
    ------
    ValueError
        If the arrays do not fit together.
    """

    current: NDArray[np.float16]
    warped: NDArray[np.float16]
    probabilities: NDArray[np.float16]
    corrected: NDArray[np.float16]
    target: NDArray[np.uint8]

    def __post_init__(self) -> None:
        count, height, width = self.current.shape[:3]
        wanted = {
            "current": self.current.shape,
            "warped": self.current.shape,
            "probabilities": (count, height, width, OBJECTS + 1),
            "corrected": (count, height, width, OBJECTS + 1),
            "target": (count, SCALE * height, SCALE * width),
        }
        for name, shape in wanted.items():
            if getattr(self, name).shape != shape:
                raise ValueError(f"{name} must be {shape}, got {getattr(self, name).shape}")

    def __len__(self) -> int:
        return len(self.target)

    def __repr__(self) -> str:
        return f"CovosSamples({len(self)} crops of {self.target.shape[2]}x{self.target.shape[1]})"

    def save(self, folder: Path) -> None:
        """Write one ``.npy`` file for each array.

        Parameters
        ----------
        folder : Path
            Made where it is missing.

        Raises
        ------
        StoreError
            If it cannot be written.
        """
        for part in fields(self):
            with atomic_file(folder / f"{part.name}.npy") as file:
                np.lib.format.write_array(file, np.ascontiguousarray(getattr(self, part.name)))

    @classmethod
    def load(cls, folder: Path) -> CovosSamples:
        """Open what `save` wrote; arrays stay on disk until they are read.

        Parameters
        ----------
        folder : Path
            As given to `save`.

        Returns
        -------
        CovosSamples
            The same.

        Raises
        ------
        InputError
            If a file is missing or damaged.
        """
        try:
            return cls(*(np.load(folder / f"{part.name}.npy", mmap_mode="r") for part in fields(cls)))
        except (OSError, ValueError, EOFError) as error:
            raise InputError(f"{folder} holds no whole samples of CoVOS: {error}") from error


def covos_samples(
    clips: Iterable[tuple[Sequence[NDArray[np.uint8]], NDArray[np.bool_], CodedClip]],
    network: CovosNetwork,
    *,
    rng: Generator,
    crops_per_frame: int = 1,
    crop: int = 32,
    warp: str = "weighted",
) -> CovosSamples:
    """Carry labelled key frames through labelled clips, and keep what the decoder would get (section 4 of the paper).

    Parameters
    ----------
    clips : iterable of (frames, masks, coded)
        T pictures (H, W, 3) uint8, masks (T, K, H, W) bool with K <= 10, and a CodedClip of them. The labels of I and
        P pictures are given, those of B pictures are what is to be learnt.
    network : CovosNetwork
        Gives the low-level features.
    rng : numpy.random.Generator
        Places the crops.
    crops_per_frame : int
        Crops of each B picture, around an object at random; frames that have none, and predict none, are left out.
    crop : int
        Side of a crop in cells of 4 px; smaller frames are taken whole in that direction by repeating their border.
    warp : {"weighted", "mean"}
        As in `evfr.propagation.covos`; a decoder should be used with the warp it was trained on.

    Returns
    -------
    CovosSamples
        One entry per crop.

    Raises
    ------
    ValueError
        If there is no B picture with an object, or the parts of a clip do not fit.
    """
    kept: list[tuple[NDArray[np.generic], ...]] = []
    for frames, masks, coded in clips:
        if len(masks) != len(frames) or masks.ndim != 4:
            raise ValueError(f"masks must be ({len(frames)}, K, H, W), got {masks.shape}")
        for made in covos_frames(
            frames,
            coded,
            lambda position, planes=masks: planes[position],  # type: ignore[misc]
            coded.is_key,
            object_count=masks.shape[1],
            features=network.features,
            warp=warp,
            correction="paper",
            step=SCALE,
        ):
            if made.inputs is None:
                continue
            label = np.zeros(masks.shape[2:], np.uint8)
            for k in range(masks.shape[1]):
                label[masks[made.position, k]] = k + 1
            labelled = cells_of((label > 0).astype(np.float32)) >= 0.5
            near = np.argwhere((made.inputs.probabilities[..., 0] < 0.5) | labelled)
            count = crops_per_frame if len(near) else 0
            centres = near[rng.integers(0, max(len(near), 1), count)]
            kept += [_crop(made.inputs, label, centre, crop, rng) for centre in centres]
    if not kept:
        raise ValueError("no B picture has an object; give labelled clips with B pictures")
    return CovosSamples(*(np.stack(arrays) for arrays in zip(*kept, strict=True)))


def _crop(
    inputs: Any, label: NDArray[np.uint8], centre: NDArray[np.int64], side: int, rng: Generator
) -> tuple[NDArray[np.generic], ...]:
    height, width = inputs.current.shape[:2]
    jitter = rng.integers(-side // 4, side // 4 + 1, 2)
    y, x = (
        int(np.clip(c + j - side // 2, 0, max(0, size - side)))
        for c, j, size in zip(centre, jitter, (height, width), strict=True)
    )

    def cut(picture: NDArray[np.generic], scale: int, kind: type) -> NDArray[np.generic]:
        part = picture[y * scale : (y + side) * scale, x * scale : (x + side) * scale]
        missing = [(0, side * scale - part.shape[axis]) for axis in (0, 1)]
        return np.pad(part, missing + [(0, 0)] * (part.ndim - 2), mode="edge").astype(kind)

    stacks = (inputs.current, inputs.warped, inputs.probabilities, inputs.corrected)
    return (*(cut(stack, 1, np.float16) for stack in stacks), cut(label, SCALE, np.uint8))


def train_covos(
    module: Any,
    samples: CovosSamples,
    recipe: Recipe,
    *,
    batch_size: int = 4,
    out: Path | None = None,
    stop_after: int | None = None,
) -> TrainingRun:
    """Train the decoder by pixel cross-entropy on stored inputs (Xu & Yao 2022, section 4).

    Parameters
    ----------
    module : torch.nn.Module
        From `evfr.models.covos_decoder`; trained in place, on the device it is on.
    samples : CovosSamples
        What it is trained on.
    recipe : Recipe
        How. The paper does not publish its own: ours are the verb's defaults.
    batch_size : int
        Crops per iteration. Objects take random places among the 10 channels and crops are mirrored at random, so
        that no channel is left untrained.
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
        If ``batch_size`` is below 1.
    """
    if batch_size < 1:
        raise ValueError(f"batch_size must be 1 or more, got {batch_size}")
    torch = require("torch", extra="train")
    soft_aggregate = require("evfr.models._covos_modules", extra="train").soft_aggregate
    device = next(module.parameters()).device

    def draw(rng: Generator, _: int) -> tuple[Any, ...]:
        rows = rng.integers(0, len(samples), batch_size)
        slots = np.stack([rng.permutation(OBJECTS) for _ in rows]) + 1
        is_mirrored = rng.random(batch_size) < 0.5
        parts: list[list[NDArray[np.generic]]] = [[], [], [], [], []]
        for row, slot, mirrored in zip(rows, slots, is_mirrored, strict=True):
            places = np.concatenate([[0], slot])
            arrays = [samples.current[row], samples.warped[row]]
            for stack in (samples.probabilities[row], samples.corrected[row]):
                moved = np.empty_like(stack)
                moved[..., places] = stack
                arrays.append(moved)
            arrays.append(places.astype(np.uint8)[samples.target[row]])
            for part, array in zip(parts, arrays, strict=True):
                part.append(array[:, ::-1] if mirrored else array)
        stacks = [torch.from_numpy(np.stack(part)).to(device) for part in parts]
        return (*(stack.permute(0, 3, 1, 2).float() for stack in stacks[:4]), stacks[4].long())

    def loss(network: Any, batch: tuple[Any, ...]) -> Any:
        *inputs, target = batch
        found = network(*inputs, tuple(target.shape[1:]))[:, 1:]
        channels = torch.arange(1, OBJECTS + 1, device=target.device)
        is_object = (inputs[2][:, 1:].amax(dim=(2, 3)) > 0) | (
            target[:, None] == channels[:, None, None]
        ).any(-1).any(-1)
        aggregated = soft_aggregate(found * is_object[:, :, None, None])
        return torch.nn.functional.nll_loss(torch.log(aggregated.clamp_min(1e-7)), target)

    return train(module, draw, loss, recipe, out=out, stop_after=stop_after, label="training the decoder")

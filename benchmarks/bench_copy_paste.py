"""Augmentation of batches on a CPU: its share of a training step of `tiny`, and against pasting masks one by one.

A batch is 16 pictures of 128x96 of drawn clips. The step is that of `fit_tiny`, on the same frames in the same run:
CPU time of a fit over its iterations, with copy-paste and without, in turns. Copy-paste's share is what it adds to the
augmentation (jitter and look-up of the source, pasting), over the step with it. Beside it stands what the same costs in
the form that most code has it in: for each picture, masks (N, H, W) of its objects, pasted, cut, and boxes made
anew by torchvision. Pictures and objects of both are compared.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torchvision.ops import masks_to_boxes

import _measure
from evfr.augmentation import Augmentation, augment
from evfr.datasets import moving_objects
from evfr.training import Recipe, fit_tiny, visits
from evfr.training._batch_augmentation import augment_batch
from evfr.training._device_frames import DeviceFrames

BATCH = 16
ITERATIONS = 12
TURNS = 5
PASTE = Augmentation("none", 0.0, 1.0)
CASES = {
    "copy-paste alone": (PASTE, Augmentation()),
    "standard jitter and copy-paste": (Augmentation("standard", 0.5, 0.5), Augmentation("standard", 0.5)),
    "large jitter and copy-paste": (Augmentation("large", 0.5, 0.5), Augmentation("large", 0.5)),
}


def by_masks(
    images: Any, masks: list[Any], source_images: Any, source_masks: list[Any]
) -> list[tuple[Any, Any, Any]]:
    """Paste all objects of the sources: a picture, its masks (N, H, W) and its boxes (N, 4), one after another."""
    out = []
    for place, own in enumerate(masks):
        is_pasted = source_masks[place].any(0)
        left = own & ~is_pasted
        left = left[left.flatten(1).any(1)]
        every = torch.cat([left, source_masks[place]])
        picture = torch.where(is_pasted, source_images[place], images[place])
        out.append((picture, every, masks_to_boxes(every) if len(every) else torch.zeros(0, 4)))
    return out


def masks_of(ids: Any) -> list[Any]:
    """Return the masks of each picture's objects."""
    return [torch.stack([one == k for k in one.unique() if 0 < k < 255]) for one in ids]


def compare(frames: DeviceFrames, first: Any, second: Any) -> int:
    """Hold our pictures and objects to those of masks, for the objects that we drew; return how many were pasted."""
    images, ids, category, _ = frames.batch(first)
    source_images, source_ids, source_category, _ = frames.batch(second)
    generator = torch.Generator().manual_seed(0)
    found = augment_batch(
        images, ids, category, (source_images, source_ids, source_category), PASTE, generator
    )
    count, pasted = category.shape[1], 0
    for place in range(len(ids)):
        chosen = [k + 1 for k in range(source_category.shape[1]) if found[2][place, count + k] >= 0]
        pasted += len(chosen)
        others = [source_ids[place] == k for k in chosen] or [torch.zeros_like(ids[place], dtype=torch.bool)]
        ((picture, masks, boxes),) = by_masks(
            images[place : place + 1],
            masks_of(ids[place : place + 1]),
            source_images[place : place + 1],
            [torch.stack(others)],
        )
        assert torch.equal(picture, found[0][place])
        wanted = {tuple(mask.flatten().nonzero().flatten().tolist()) for mask in masks}
        ours = [found[1][place] == k + 1 for k in range(found[2].shape[1]) if found[2][place, k] >= 0]
        assert all(tuple(mask.flatten().nonzero().flatten().tolist()) in wanted for mask in ours)
        assert len(boxes) == len(masks) >= len(ours)
    return pasted


def medians(cases: dict[str, Callable[[], Any]], turns: int, repeats: int) -> dict[str, float]:
    """Return the median CPU seconds of one call, the calls in turns."""
    times: dict[str, list[float]] = {name: [] for name in cases}
    for turn in range(turns + 1):
        for name, case in cases.items():
            begin = time.process_time()
            for _ in range(repeats):
                case()
            if turn:
                times[name].append((time.process_time() - begin) / repeats)
    return {name: statistics.median(values) for name, values in times.items()}


def main() -> None:
    """Measure, compare, print and judge."""
    _measure.print_header("Copy-paste in batches", f"drawn clips, batches of {BATCH} pictures of 128x96")
    torch.set_num_threads(1)
    clips = [moving_objects(seed, frames=40) for seed in range(4)]
    frames = DeviceFrames(clips)
    first, second = (torch.from_numpy(visits(len(frames), BATCH, 0, seed)) for seed in (0, 1))
    print(f"torch {torch.__version__}; {frames}, up to {frames.category.shape[1]} objects in a picture")
    pasted = sum(compare(frames, first, second) for _ in range(3))
    print(f"pictures and objects equal to those of masks, {pasted} objects pasted\n")

    generator = torch.Generator().manual_seed(0)
    images, ids, category, _ = frames.batch(first)
    sources = frames.batch(second)[:3]
    masks, source_masks = masks_of(ids), masks_of(sources[1])
    plain = [
        (picture.permute(1, 2, 0).numpy(), one.numpy(), row.numpy())
        for picture, one, row in zip(images, ids, category, strict=True)
    ]
    others = [
        (picture.permute(1, 2, 0).numpy(), one.numpy(), row.numpy())
        for picture, one, row in zip(*sources, strict=True)
    ]
    rng = np.random.default_rng(0)
    parts: dict[str, Callable[[], Any]] = {
        "look-up of the sources": lambda: frames.batch(second),
        "masks one by one": lambda: by_masks(images, masks, sources[0], source_masks),
        "numpy, one by one": lambda: [
            augment(*one, other, PASTE, rng) for one, other in zip(plain, others, strict=True)
        ],
    }
    for name, pair in CASES.items():
        for kind, augmentation in zip(("with", "without"), pair, strict=True):
            parts[f"{name}: {kind}"] = lambda augmentation=augmentation: augment_batch(
                images, ids, category, sources, augmentation, generator
            )
    seconds = medians(parts, 2 * TURNS, 3)
    steps = {
        f"{name}: {kind}": lambda augmentation=augmentation: fit_tiny(
            clips,
            recipe=Recipe(ITERATIONS, 0.01, optimizer="sgd"),
            augmentation=augmentation,
            batch_size=BATCH,
        )
        for name, pair in CASES.items()
        for kind, augmentation in zip(("with", "without"), pair, strict=True)
    }
    fits = {name: value / ITERATIONS for name, value in medians(steps, TURNS, 1).items()}
    print("CPU ms of a batch")
    for name in ("numpy, one by one", "masks one by one", "look-up of the sources"):
        print(f"  {name:<34} {seconds[name] * 1e3:7.2f}")
    claims = {}
    for name in CASES:
        with_, without = seconds[f"{name}: with"], seconds[f"{name}: without"]
        share = (with_ - without + seconds["look-up of the sources"]) / fits[f"{name}: with"]
        print(
            f"  {name:<34} {with_ * 1e3:7.2f}, without pasting {without * 1e3:.2f}; "
            f"step {fits[f'{name}: with'] * 1e3:.1f}, without {fits[f'{name}: without'] * 1e3:.1f}; "
            f"copy-paste is {share:.1%} of the step"
        )
        claims[f"{name}: at most 15 % of the step"] = share <= 0.15
    ours = seconds["copy-paste alone: with"]
    for name in ("masks one by one", "numpy, one by one"):
        print(f"{name} / copy-paste alone: {seconds[name] / ours:.2f}")
    claims["copy-paste alone: at most 6 ms a batch"] = ours <= 6e-3
    _measure.judge(claims)


if __name__ == "__main__":
    main()

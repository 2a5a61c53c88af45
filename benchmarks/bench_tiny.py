"""`tiny`: CPU time of a step and its parts, against Mask R-CNN's; and what it learns of drawn clips.

A batch is 16 pictures of 128x96. Steps are those of `fit_tiny` and `fit_maskrcnn` (torchvision's ResNet-50 FPN, the
pictures at their own size) on the same frames in the same run: CPU time of a fit over its iterations. What is learnt
is COCO's AP on clips that were not trained on, after so many iterations on all frames and on few frames of the same
clips: ``python benchmarks/bench_tiny.py --iterations 300,1000``.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from typing import Any

import torch

import _measure
from evfr.augmentation import Augmentation
from evfr.datasets import moving_objects
from evfr.metrics import coco_matches, summarise_coco
from evfr.models import tiny_network
from evfr.training import DeviceFrames, Recipe, fit_maskrcnn, fit_tiny, predict_tiny, visits
from evfr.training._batch_augmentation import augment_batch
from evfr.training._tiny_loss import tiny_loss, tiny_targets

BATCH = 16
STANDARD = Augmentation("standard", flip=0.5)


def of_turns(case: Callable[[], Any], turns: int = 7) -> float:
    """Return the median CPU milliseconds of a call."""
    times = []
    for turn in range(turns + 1):
        begin = time.process_time()
        case()
        if turn:
            times.append((time.process_time() - begin) * 1e3)
    return statistics.median(times)


def parts(clips: list[Any]) -> None:
    """Print the milliseconds of the parts of a step."""
    frames = DeviceFrames(clips)
    images, ids, category, _ = frames.batch(torch.from_numpy(visits(len(frames), BATCH, 0, 0)))
    network = tiny_network(len(frames.classes)).train()
    generator = torch.Generator().manual_seed(0)
    found = network(images)

    def whole() -> None:
        network.zero_grad()
        tiny_loss(network(images), ids, category).backward()

    rows = {
        "augmentation (standard jitter)": lambda: augment_batch(
            images, ids, category, None, STANDARD, generator
        ),
        "targets from the maps": lambda: tiny_targets(ids, category),
        "forward": lambda: network(images),
        "loss, with targets": lambda: tiny_loss(found, ids, category),
        "forward, loss and backward": whole,
    }
    print(f"{sum(p.numel() for p in network.parameters()):,} parameters; CPU ms of a batch of {BATCH}")
    for name, case in rows.items():
        print(f"  {name:<34} {of_turns(case):8.2f}")


def steps(clips: list[Any]) -> tuple[float, float]:
    """Return the milliseconds of a step of `tiny` and of Mask R-CNN."""

    def a_step(fit: Callable[..., Any], iterations: int, **options: Any) -> float:
        begin = time.process_time()
        fit(clips, recipe=Recipe(iterations, 1e-3), augmentation=STANDARD, batch_size=BATCH, **options)
        return (time.process_time() - begin) / iterations * 1e3

    ours = statistics.median(a_step(fit_tiny, 12) for _ in range(3))
    return ours, a_step(fit_maskrcnn, 2, size=(96, 128), norm="batch")


def learnt(train: list[Any], test: list[Any], iterations: int, seed: int) -> str:
    """Train, and return AP of boxes and masks on the test clips."""
    begin = time.process_time()
    recipe = Recipe(iterations, 4e-3, warmup=min(50, iterations // 4), seed=seed)
    network, _ = fit_tiny(train, recipe=recipe, augmentation=STANDARD, batch_size=BATCH)
    spent = time.process_time() - begin
    begin = time.process_time()
    found = [objects for clip in test for objects in predict_tiny(network, clip.images)]
    each = (time.process_time() - begin) / len(found) * 1e3
    truth = [clip.objects(place) for clip in test for place in range(len(clip))]
    told = []
    for on in ("boxes", "masks"):
        height, width = test[0].images.shape[1:3]
        matches = coco_matches(
            truth, found, class_count=len(test[0].classes), on=on, height=height, width=width
        )
        summary = summarise_coco(matches)
        told.append(f"{on} AP {summary.ap:.3f}, AP50 {summary.ap50:.3f}")
    return f"{'; '.join(told)}; {spent:.0f} CPU-s, {each:.1f} ms a picture to predict"


def main() -> None:
    """Measure and print."""
    asked = argparse.ArgumentParser(description=__doc__)
    asked.add_argument("--iterations", default="150", help="one number or more, for what is learnt")
    asked.add_argument("--clips", type=int, default=32)
    asked.add_argument("--seed", type=int, default=0)
    options = asked.parse_args()
    _measure.print_header("tiny", f"drawn clips of 128x96, seeds 0..{options.clips - 1} and 10000..10011")
    torch.set_num_threads(1)
    print(f"torch {torch.__version__}\n")
    clips = [moving_objects(seed, frames=100) for seed in range(options.clips)]
    test = [moving_objects(10000 + seed, frames=100).take(range(5, 100, 10)) for seed in range(12)]
    parts(clips[:4])
    ours, theirs = steps(clips[:4])
    print(
        f"\nstep: tiny {ours:.1f} ms, Mask R-CNN (ResNet-50 FPN) {theirs:.0f} ms: {theirs / ours:.0f} times"
    )
    print(f"target of 60 ms: {'met' if ours <= 60 else 'MISSED'}\n")
    for iterations in (int(word) for word in options.iterations.split(",")):
        for stride in (1, 50):
            subset = [clip.take(range(0, 100, stride)) for clip in clips]
            frames = sum(len(clip) for clip in subset)
            told = learnt(subset, test, iterations, options.seed)
            print(
                f"{iterations} iterations on {frames} frames of {len(clips)} clips: unseen clips {told}",
                flush=True,
            )


if __name__ == "__main__":
    main()

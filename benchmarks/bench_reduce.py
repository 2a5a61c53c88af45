"""Reduction of redundant sequences: ours against run lengths merged pair by pair, and against dense products.

Data: drawn, because only drawn proposals have as many copies as wanted. A person is an ellipse with a smaller one on
top, about 20 to 100 px high ("people") or 110 to 150 px ("close-up", where half of all pairs overlap), that walks with
a random speed, sways, grows or shrinks, and is away for some frames (1 in 10). Each is proposed five times, as by five
key frames: its border moves by up to 8 % and its place by up to 3 px, and one proposal in ten has another class.
People overlap where they meet. Class scores are those of 40 classes: softmax of noise with a peak at the true class.
Video of 36 frames of 180 x 320.

What a user would do: the official evaluation and the released Propose-Reduce merge the run lengths of each frame with
pycocotools, once for the pixels in both and once for those in either, for each pair, and the reduction does so again
for each class. The dense way multiplies (N, pixels) float32 matrices frame by frame.

Ours starts from run lengths too: packing them is counted. All results are compared: the same integers, the same
sequences in the same order with the same scores.
"""

from __future__ import annotations

import argparse
import resource
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from pycocotools import mask as coco_mask

import _measure
from evfr._core.annotations import AnnotatedVideo, Category
from evfr._core.masks import Rle
from evfr.sequences import (
    MaskSequence,
    SequenceSet,
    hard_nms,
    pack_sequences,
    reduce_sequences,
    sequence_iou,
    sequence_iou_row,
    shared_area,
)

HEIGHT, WIDTH, FRAMES, CLASSES, COPIES = 180, 320, 36, 40, 5
SIZES = {"people": (10, 55), "close-up": (60, 85)}
FLOOR, SIGMA = 1e-3, 0.5


def blob(parts: np.ndarray, height: int, width: int) -> Rle:
    """Draw the union of ellipses (centre x, y, half axes) column by column as run lengths."""
    x = np.arange(width)[:, None]
    reach = 1.0 - ((x - parts[:, 0]) / parts[:, 2]) ** 2
    half = parts[:, 3] * np.sqrt(np.maximum(reach, 0.0))
    top = np.where(reach > 0, np.ceil(parts[:, 1] - half), height).min(axis=1).clip(0, height)
    foot = np.where(reach > 0, np.floor(parts[:, 1] + half) + 1, 0).max(axis=1).clip(0, height)
    columns = np.flatnonzero(foot > top)
    starts = columns * height + top[columns].astype(np.int64)
    ends = columns * height + foot[columns].astype(np.int64)
    edges = np.stack([starts, ends], axis=1).reshape(-1)
    runs = np.diff(np.concatenate(([0], edges, [height * width])))
    if not runs[1:].all():  # a column filled to its foot goes on at the head of the next
        keep = np.ones(len(edges), bool)
        touch = np.flatnonzero(edges[1:] == edges[:-1])
        keep[touch] = keep[touch + 1] = False
        runs = np.diff(np.concatenate(([0], edges[keep], [height * width])))
        runs = runs[:-1] if runs[-1] == 0 else runs
    return Rle(height, width, runs.astype(np.uint32))


def people(n: int, kind: str = "people") -> tuple[list[tuple[Rle | None, ...]], np.ndarray]:
    """Draw n proposals of n / 5 people and their class scores."""
    rng = np.random.default_rng(n)
    lists: list[tuple[Rle | None, ...]] = []
    scores = np.zeros((n, CLASSES))
    while len(lists) < n:
        tall = rng.uniform(*SIZES[kind])
        start, step = rng.uniform([15, 40], [WIDTH - 15, HEIGHT - 40]), rng.normal(0, 1.5, 2)
        away = rng.random(FRAMES) < 0.1
        grown = rng.uniform(0.99, 1.01)
        name = int(rng.integers(CLASSES))
        for _ in range(COPIES):
            edge, shift = rng.uniform(0.92, 1.08), rng.uniform(-3, 3, 2)
            masks: list[Rle | None] = []
            for t in range(FRAMES):
                if away[t]:
                    masks.append(None)
                    continue
                x, y = start + step * t + shift + [3 * np.sin(t / 3), 0]
                size = tall * grown**t * edge
                body = (x, y, 0.38 * size, 0.75 * size)
                head = (x + np.sin(t / 5) * 0.1 * size, y - 0.85 * size, 0.18 * size, 0.22 * size)
                masks.append(blob(np.array([body, head]), HEIGHT, WIDTH))
            logits = rng.normal(0, 1, CLASSES)
            logits[name if rng.random() > 0.1 else rng.integers(CLASSES)] += rng.uniform(3, 7)
            if len(lists) < n:
                scores[len(lists)] = np.exp(logits) / np.exp(logits).sum()
                lists.append(tuple(masks))
    return lists, scores


def as_coco(masks: tuple[Rle | None, ...]) -> list[dict[str, Any] | None]:
    """Return what pycocotools works on."""
    return [None if mask is None or mask.is_empty else mask.to_coco() for mask in masks]


def merged(a: list[Any], b: list[Any]) -> tuple[int, int]:
    """Return the pixels in both and in either of two sequences, as the official evaluation adds them."""
    both = either = 0
    for mine, theirs in zip(a, b, strict=True):
        if mine is not None and theirs is not None:
            both += int(coco_mask.area(coco_mask.merge([mine, theirs], True)))
            either += int(coco_mask.area(coco_mask.merge([mine, theirs], False)))
        elif mine is not None or theirs is not None:
            either += int(coco_mask.area(mine if theirs is None else theirs))
    return both, either


def aware_by_merging(coco: list[list[Any]], scores: np.ndarray, limit: int) -> dict[tuple[int, int], float]:
    """Reduce within each class by the definition, every IoU from run lengths when it is needed."""
    found = {}
    for category in range(scores.shape[1]):
        left = {i: float(s) for i, s in enumerate(scores[:, category]) if s >= FLOOR}
        taken = 0
        while left and taken < limit:
            best = max(left, key=lambda i: (left[i], -i))
            found[best, category] = left.pop(best)
            taken += 1
            for other in list(left):
                both, either = merged(coco[best], coco[other])
                left[other] *= np.exp(-((both / either if either else 0.0) ** 2) / SIGMA)
                if left[other] < FLOOR:
                    del left[other]
    return found


def dense_shared(coco: list[list[Any]]) -> np.ndarray:
    """Multiply the decoded masks of all sequences frame by frame."""
    total = np.zeros((len(coco), len(coco)))
    for t in range(FRAMES):
        flat = np.zeros((len(coco), HEIGHT * WIDTH), np.float32)
        for i, masks in enumerate(coco):
            if masks[t] is not None:
                flat[i] = coco_mask.decode(masks[t]).reshape(-1)
        total += flat @ flat.T
    return total.astype(np.int64)


def pack(lists: list[tuple[Rle | None, ...]]) -> Any:
    """Pack for the drawn video."""
    return pack_sequences(lists, height=HEIGHT, width=WIDTH, frame_count=FRAMES)


def once(case: Callable[[], Any]) -> tuple[Any, float]:
    """Return the result of a slow case and its CPU seconds."""
    begin = time.process_time()
    result = case()
    return result, time.process_time() - begin


def as_set(lists: list[tuple[Rle | None, ...]], scores: np.ndarray) -> SequenceSet:
    """Make a set of the drawn sequences."""
    video = AnnotatedVideo("drawn", WIDTH, HEIGHT, np.arange(FRAMES))
    categories = tuple(Category(c, f"class {c}") for c in range(CLASSES))
    sequences = zip(lists, scores, strict=True)
    return SequenceSet(
        video, categories, tuple(MaskSequence(masks, row, float(row.max())) for masks, row in sequences)
    )


def scene(lists: list[tuple[Rle | None, ...]]) -> str:
    """Say how much the drawn sequences overlap."""
    packed = pack(lists)
    n = len(packed)
    pairs = int((np.triu(shared_area(packed), 1) > 0).sum())
    share = packed.area[packed.area > 0].mean() / (HEIGHT * WIDTH)
    return f"{pairs} of {n * (n - 1) // 2} pairs overlap, a mask has {share:.1%} of the picture in the mean"


def reduction(kind: str, claims: dict[str, bool]) -> None:
    """Reduce 60 sequences in 40 classes both ways."""
    lists, scores = people(60, kind)
    given, coco = as_set(lists, scores), [as_coco(masks) for masks in lists]
    print(f"{kind}: {scene(lists)}; {int((scores >= FLOOR).sum())} scores of {FLOOR} or more")
    for limit in (10, 100):
        case = partial(reduce_sequences, given, step="aware", per_category=limit)
        ours = _measure.cpu_seconds({"ours": case}, 5)["ours"]
        left = case()
        got = {
            (int(row), int(c)): float(one.category_scores[c])
            for row, one in zip(left.rows, left.sequence_set.sequences, strict=True)
            for c in np.flatnonzero(one.category_scores)
        }
        want, theirs = once(partial(aware_by_merging, coco, scores, limit))
        same = sorted(got) == sorted(want) and all(abs(got[key] - want[key]) < 1e-12 for key in want)
        print(
            f"  at most {limit:>3} a class: ours {ours * 1e3:6.1f} ms   merged for each class {theirs:6.2f} s   "
            f"ratio {theirs / ours:4.0f}   {len(want)} labels, same ids and scores: {same}"
        )
        claims[f"{kind}, reduction, at most {limit} a class: same ids"] = same
        claims[f"{kind}, reduction, at most {limit} a class: 80 times faster"] = theirs / ours >= 80


def matrix(n: int, kind: str, claims: dict[str, bool]) -> None:
    """Compare all pairs of n sequences."""
    lists, _ = people(n, kind)
    packed = pack(lists)
    seconds = _measure.cpu_seconds({"pack": partial(pack, lists), "iou": partial(sequence_iou, packed)}, 3)
    ours = sum(seconds.values())
    found = shared_area(packed)
    coco = [as_coco(masks) for masks in lists]
    per_mask = packed.nbytes / packed.area.size
    name = f"{n} sequences, {kind}"
    print(f"{name}: {scene(lists)}")
    line = f"  ours {ours * 1e3:6.1f} ms ({seconds['pack'] * 1e3:.1f} packing), {per_mask:.0f} bytes a mask"
    claims[f"{name}: 10 kB a mask"] = per_mask <= 10_000
    if n == 60:
        slow, theirs = once(lambda: [[merged(a, b) for b in coco[:i]] for i, a in enumerate(coco)])
        values = sequence_iou(packed)
        same = all(
            found[i, j] == both and values[i, j] == (both / either if either else 0.0)
            for i, row in enumerate(slow)
            for j, (both, either) in enumerate(row)
        )
        line += f"   merged pair by pair {theirs:6.2f} s   ratio {theirs / ours:4.0f}   same integers: {same}"
        claims[f"{name}: same integers"] = same
        claims[f"{name}: 20 times faster than merging"] = theirs / ours >= 20
    if n == 200:
        dense, theirs = once(lambda: dense_shared(coco))
        same = bool((dense == found).all())
        line += f"   dense products {theirs:6.2f} s   ratio {theirs / ours:4.0f}   same integers: {same}"
        claims[f"{name}: same integers"] = same
        claims[f"{name}: 10 times faster than dense"] = theirs / ours >= 10
    if n == 500:
        claims[f"{name}: 1.5 s"] = ours <= 1.5
    print(line)


def many(n: int) -> None:
    """Reduce n sequences of four frames of 720 x 1280 without a matrix: 8 variants of each of n / 33 objects."""
    rng = np.random.default_rng(n)
    height, width, frames, variants = 720, 1280, 4, 8
    drawn = []
    for _ in range(max(n // 33, 1)):
        place, step = rng.uniform([20, 50], [width - 20, height - 50]), rng.normal(0, 3, 2)
        tall = rng.uniform(8, 40)
        for edge in rng.uniform(0.99, 1.01, variants):
            shape = [0.4 * tall * edge, tall * edge]
            drawn.append(
                tuple(blob(np.array([[*(place + step * t), *shape]]), height, width) for t in range(frames))
            )
    lists = [drawn[i] for i in rng.integers(len(drawn), size=n).tolist()]
    scores = rng.dirichlet(np.full(CLASSES, 0.05), n)
    categories = tuple(Category(c, f"class {c}") for c in range(CLASSES))
    given = SequenceSet(
        AnnotatedVideo("many", width, height, np.arange(frames)),
        categories,
        tuple(MaskSequence(masks, row, float(row.max())) for masks, row in zip(lists, scores, strict=True)),
    )
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    packed, packing = once(lambda: pack_sequences(lists, height=height, width=width, frame_count=frames))
    found, seconds = once(lambda: hard_nms(given.scores, lambda i: sequence_iou_row(packed, i)))
    left, whole = once(lambda: reduce_sequences(given))
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    print(
        f"\n{n:,} sequences of {frames} frames of {height} x {width}, about 33 proposals of each object, row by row"
    )
    print(
        f"  packing {packing:.2f} s, {packed.nbytes / 2**20:.0f} MiB; hard NMS {seconds:.2f} s, "
        f"{len(found.kept):,} survivors, {seconds / len(found.kept) * 1e3:.2f} ms each"
    )
    print(
        f"  reduce_sequences, both steps, packing counted: {whole:.2f} s, {left.counts.labels} labels; memory "
        f"+ {grown:.0f} MiB in all (a matrix would take {n * n * 8 / 2**30:.0f} GiB)"
    )


def main() -> None:
    """Measure, compare, print, and judge."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument(
        "--many", type=int, default=100_000, help="sequences of the last part; 0 leaves it out"
    )
    options = parser.parse_args()
    _measure.print_header("Reduction of sequences", "drawn people, see the script")
    claims: dict[str, bool] = {}
    print(f"category-aware reduction, 60 sequences, {FRAMES} frames of {HEIGHT} x {WIDTH}, {CLASSES} classes")
    for kind in SIZES:
        reduction(kind, claims)
    print("\nmatrix of sequence IoU, packing counted")
    for n in (60, 200, 500):
        for kind in SIZES:
            matrix(n, kind, claims)
    if options.many:
        many(options.many)
    _measure.judge(claims)


if __name__ == "__main__":
    main()

"""Trust in carried masks: does it rank frames, is it calibrated, and do its suggestions beat even spacing?

The default method carries masks at half size between labels every 10 and 25 frames. Every clip is judged by a model
that was fitted on the other ten clips alone (carries across one label teach it, too, what distance does), then drawn
towards the clip's own labels by holding each one out in turn, as `evfr propagate` does. The last lines print the model
of all eleven, which is the one built in.

Rank: Spearman of trust with the true J over the carried frames of a clip (the residual alone, as what a user might
threshold, beside it). Calibration: expected error over all held-out labels, and over all carried frames. Interval: the
90 % interval of the expected J, and whether the true mean lies in it. Queue: from labels every 25 frames, label m more:
those that the queue suggests (in one go, without carrying again between them), the middles of the longest stretches, m
at random (mean of two draws), and, which cannot be had afterwards, all labels spaced evenly from the start. Mean J over
all frames but the first labels; new labels count as 1, the same number in each case.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial

import cv2
import numpy as np

import _measure
from bench_carry_masks import CLIPS
from evfr._core.annotations import FrameLabels
from evfr._core.masks import Rle
from evfr.propagation import (
    BUILT_IN_TRUST,
    Carried,
    HeldOut,
    Interval,
    TrustModel,
    calibration_error,
    carried_trust,
    check_trust,
    default,
    expected_iou,
    fit_trust,
    held_out,
    review_queue,
    spearman,
    trust_features,
)
from evfr.video import proxy_step_fields

GAPS = (10, 25)
SPREAD = (np.inf, 0.7, 0.7, 0.7, 0.7, 0.3)
START = TrustModel(3.0, (0.3, 0.5, 1.0, 1.0, 0.1), BUILT_IN_TRUST.fill)


@dataclass
class Clip:
    """Hold a clip at half size, and what was carried in it so far."""

    frames: list[np.ndarray]
    masks: list[np.ndarray]
    counted: list[np.ndarray]
    known: dict[tuple[int, int], Carried | None] = field(default_factory=dict)

    def labels(self, at: int) -> FrameLabels:
        """Return the true mask as the labels of a frame; none where it is empty."""
        mask = Rle.from_mask(self.masks[at])
        n = 0 if mask.is_empty else 1
        return FrameLabels(
            at, np.ones(n, np.int64), np.ones(n, np.int64), np.full((n, 4), np.nan), (mask,) * n
        )

    def carry(self, first: int, last: int) -> Carried | None:
        """Carry between two labelled frames; None where neither has an object."""
        if (first, last) not in self.known:
            left, right = self.labels(first), self.labels(last)
            interval = Interval(self.frames[first : last + 1], np.arange(first, last + 1), left, right)
            is_any = len(left) + len(right) > 0
            self.known[first, last] = (
                default(interval, steps={"proxy": proxy_step_fields}) if is_any else None
            )
        return self.known[first, last]

    def true_iou(self, at: int, carried: Carried | None, position: int) -> float:
        """Return J of a carried frame over the pixels that count; 1 where both are empty."""
        found = None if carried is None else carried.masks[position][0]
        mask = np.zeros_like(self.masks[at]) if found is None else found.to_mask()
        mask, truth = mask & self.counted[at], self.masks[at] & self.counted[at]
        either = (mask | truth).sum()
        return float((mask & truth).sum() / either) if either else 1.0


def halved(load: Callable[[], tuple[list[np.ndarray], ...]]) -> Clip:
    """Read a clip at half size; small ones as they are."""
    frames, masks, counted = load()
    height, width = frames[0].shape[:2]
    if width > 400:
        size = width // 4 * 2, height // 4 * 2
        shrink = partial(cv2.resize, dsize=size, interpolation=cv2.INTER_AREA)
        frames = [shrink(frame) for frame in frames]
        masks = [shrink(mask.astype(np.float32)) >= 0.5 for mask in masks]
        counted = [shrink(mask.astype(np.float32)) >= 0.5 for mask in counted]
    return Clip(frames, [m & c for m, c in zip(masks, counted, strict=True)], counted)


def keys_every(gap: int, count: int) -> list[int]:
    """Return frames 0, gap, 2 gap, ... and the last one."""
    return sorted({*range(0, count, gap), count - 1})


@dataclass
class Rows:
    """Hold features and true J of carried frames, the same of carries across one label, and held-out labels."""

    features: np.ndarray
    true_iou: np.ndarray
    wide_features: np.ndarray
    wide_iou: np.ndarray
    held: HeldOut


def measured(clip: Clip, first: int, last: int) -> tuple[list[np.ndarray], list[float]]:
    """Return features and true J of the frames between two labels on which the object was carried."""
    carried = clip.carry(first, last)
    if carried is None:
        return [], []
    features = trust_features(carried.evidence)[:, 0]
    there = [t for t in range(1, last - first) if carried.is_present[t, 0]]
    return [features[t] for t in there], [clip.true_iou(first + t, carried, t) for t in there]


def rows_of(clip: Clip, keys: Sequence[int]) -> Rows:
    """Carry a clip, measure every carried frame, and hold each inner label out in turn."""
    near, wide, held = ([], []), ([], []), []
    for first, last in itertools.pairwise(keys):
        for column, values in zip(near, measured(clip, first, last), strict=True):
            column.extend(values)
    for first, middle, last in zip(keys[:-2], keys[1:-1], keys[2:], strict=True):
        for column, values in zip(wide, measured(clip, first, last), strict=True):
            column.extend(values)
        carried = clip.carry(first, last)
        if carried is not None:
            held.append(held_out(carried, middle - first, clip.labels(middle)))
    arrays = [np.array(column) for column in (*near, *wide)]
    return Rows(arrays[0], arrays[1], arrays[2].reshape(-1, 5), arrays[3], HeldOut.join(held))


def fit_on(parts: Sequence[Rows]) -> TrustModel:
    """Fit one model on several clips; carries of one clip, of one length, weigh as much as one frame."""
    features = [column for part in parts for column in (part.features, part.wide_features)]
    true_iou = [column for part in parts for column in (part.true_iou, part.wide_iou)]
    groups = np.repeat(np.arange(len(true_iou)), [len(column) for column in true_iou])
    return fit_trust(np.concatenate(features), np.concatenate(true_iou), groups, prior=START, spread=SPREAD)


def mean_iou(clip: Clip, keys: Sequence[int], given: Sequence[int]) -> float:
    """Return the mean J over all frames but those given at first, with labels on all of ``keys``."""
    values = []
    for first, last in itertools.pairwise(keys):
        carried = clip.carry(first, last)
        values += [clip.true_iou(at, carried, at - first) for at in range(first + 1, last)]
    values += [1.0] * (len(keys) - len(given))
    return float(np.mean(values))


def trust_table(clip: Clip, keys: Sequence[int], model: TrustModel) -> tuple[np.ndarray, np.ndarray]:
    """Return (T, 1) trust, and which frames an object was lost on though a label near has it."""
    trust = np.full((len(clip.frames), 1), np.nan)
    is_lost = np.zeros(len(clip.frames), bool)
    for first, last in itertools.pairwise(keys):
        carried = clip.carry(first, last)
        if carried is None:
            continue
        trust[first : last + 1] = carried_trust(carried, model)
        is_lost[first + 1 : last] = ~carried.is_present[1:-1, 0]
    return trust, is_lost


def widest_middles(keys: Sequence[int], m: int) -> list[int]:
    """Return m frames, each the middle of the stretch that is longest then."""
    marks = sorted(keys)
    for _ in range(m):
        first, last = max(itertools.pairwise(marks), key=lambda pair: pair[1] - pair[0])
        marks = sorted([*marks, (first + last) // 2])
    return sorted(set(marks) - set(keys))


def queue_gains(clip: Clip, model: TrustModel, m: int, seed: int) -> dict[str, float]:
    """Return the mean J before, and after m more labels chosen in each way."""
    count = len(clip.frames)
    keys = keys_every(25, count)
    trust, is_lost = trust_table(clip, keys, model)
    queue = review_queue(trust, np.arange(count), labeled=keys, n=m, is_unreached=is_lost)
    rng = np.random.default_rng(seed)
    free = np.setdiff1d(np.arange(count), keys)
    draws = [rng.choice(free, m, replace=False).tolist() for _ in range(2)]
    spaced = sorted(set(np.round(np.linspace(0, count - 1, len(keys) + m)).astype(int).tolist()))
    after = {
        "queue": mean_iou(clip, sorted([*keys, *queue.frame_index.tolist()]), keys),
        "middles": mean_iou(clip, sorted([*keys, *widest_middles(keys, m)]), keys),
        "random": float(np.mean([mean_iou(clip, sorted([*keys, *more]), keys) for more in draws])),
        "respaced": mean_iou(clip, spaced, keys),
    }
    return {"before": mean_iou(clip, keys, keys), **after}


def report_trust(rows: dict[tuple[str, int], Rows], models: dict[str, TrustModel]) -> dict[str, bool]:
    """Print rank, calibration and interval per clip and gap, and return what is claimed."""
    claims = {}
    for gap in GAPS:
        print(f"labels every {gap} frames")
        print(
            f"  {'clip':<20}{'frames':>7}{'J':>7}{'trust':>7}  {'interval':<13}{'in':>4}"
            f"{'  rank: trust':>13}{'residual':>10}"
        )
        ranks, alone, inside, pairs, held_pairs = [], [], [], [], []
        for name in CLIPS:
            part = rows[name, gap]
            model = fit_trust(part.held.features, part.held.true_iou, part.held.frames, prior=models[name])
            trust = model.predict(part.features)
            rank, plain = spearman(trust, part.true_iou), spearman(-part.features[:, 0], part.true_iou)
            expected = expected_iou(part.features, part.held, prior=models[name])
            is_in = expected.low <= part.true_iou.mean() <= expected.high
            check = check_trust(part.held, prior=models[name])
            print(
                f"  {name:<20}{len(trust):>7}{part.true_iou.mean():>7.3f}{expected.mean:>7.3f}  "
                f"{expected.low:.3f}..{expected.high:.3f} {'yes' if is_in else 'no':>4}{rank:>12.2f}{plain:>10.2f}"
            )
            ranks.append(rank)
            alone.append(plain)
            inside.append(is_in)
            pairs.append((trust, part.true_iou))
            held_pairs.append((check.trust, check.true_iou))
        held_error, error = (
            calibration_error(*(np.concatenate(column) for column in zip(*each, strict=True)))
            for each in (held_pairs, pairs)
        )
        labels = sum(len(trust) for trust, _ in held_pairs)
        print(
            f"  mean Spearman {np.mean(ranks):.3f} (residual alone {np.mean(alone):.3f}); calibration error "
            f"{held_error:.3f} on {labels} held-out labels, {error:.3f} on all carried frames; interval holds in "
            f"{sum(inside)} of {len(inside)}\n"
        )
        claims[f"gap {gap}: Spearman >= .5, mean over clips"] = bool(np.mean(ranks) >= 0.5)
        claims[f"gap {gap}: calibration error on held-out labels <= .08"] = held_error <= 0.08
    return claims


def report_queue(
    clips: dict[str, Clip], rows: dict[tuple[str, int], Rows], models: dict[str, TrustModel]
) -> None:
    """Print what labelling more frames gains, by how they were chosen; nothing is claimed of it."""
    names = ("queue", "middles", "random", "respaced")
    for is_one in (True, False):
        print(
            "label one more" if is_one else "label one more for each stretch",
            "(from every 25): J before, and gained",
        )
        print(f"  {'clip':<20}{'m':>3}{'before':>8}" + "".join(f"{name:>10}" for name in names))
        table = []
        for seed, (name, clip) in enumerate(clips.items()):
            held = rows[name, 25].held
            model = fit_trust(held.features, held.true_iou, held.frames, prior=models[name])
            m = 1 if is_one else len(keys_every(25, len(clip.frames))) - 1
            found = queue_gains(clip, model, m, seed)
            table.append([found[way] - found["before"] for way in names])
            print(f"  {name:<20}{m:>3}{found['before']:>8.3f}" + "".join(f"{v:>+10.3f}" for v in table[-1]))
        print(f"  {'mean':<31}" + "".join(f"{value:>+10.3f}" for value in np.mean(table, axis=0)))
        better = [sum(row[0] > row[column] for row in table) for column in (1, 2, 3)]
        print(
            f"  queue better than middles in {better[0]}, than random in {better[1]}, than respaced in {better[2]} of "
            f"{len(table)} clips\n"
        )


def main() -> None:
    """Carry every clip, fit, print, and judge."""
    _measure.print_header("Trust in carried masks", "nine DAVIS clips, chair, highway, at half size")
    clips = {name: halved(load) for name, load in CLIPS.items()}
    rows = {
        (name, gap): rows_of(clip, keys_every(gap, len(clip.frames)))
        for name, clip in clips.items()
        for gap in GAPS
    }
    models = {name: fit_on([part for (other, _), part in rows.items() if other != name]) for name in CLIPS}
    claims = report_trust(rows, models)
    report_queue(clips, rows, models)
    print_fit(rows)
    _measure.judge(claims)


def print_fit(rows: dict[tuple[str, int], Rows]) -> None:
    """Print the model of all clips, how far those of single clips are from it, and the dispersion around it."""
    model = fit_on(list(rows.values()))
    print(
        "model of all clips: intercept",
        round(model.intercept, 2),
        "weights",
        np.round(model.weights, 2).tolist(),
    )
    print("fill", np.round(model.fill, 2).tolist())
    single = [fit_on([rows[name, gap] for gap in GAPS]) for name in CLIPS]
    spread = np.std([(one.intercept, *one.weights) for one in single], axis=0)
    print("standard deviation between clips", np.round(spread, 2).tolist())
    ratios = []
    for part in rows.values():
        guess = model.predict(part.features)
        ratios.append(np.mean((part.true_iou - guess) ** 2 / (guess * (1 - guess))))
    print("dispersion", round(float(np.mean(ratios)), 3))


if __name__ == "__main__":
    main()

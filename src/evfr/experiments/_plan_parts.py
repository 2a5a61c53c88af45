"""The parts of a plan: which arms, which clips, the class check, the time that cells will take."""

from __future__ import annotations

import inspect
import json
import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from evfr._core.progress import NullProgress, use_progress
from evfr.experiments._arms import Arm, Comparison, evfr_arms, pertinence_arms, two_axis_arms
from evfr.experiments._command import NAMES, command_words
from evfr.experiments._grid import read_grid
from evfr.experiments._plan import COMMAND_PREFIX, Plan

if TYPE_CHECKING:
    from evfr._core.labelled import LabelledClip
    from evfr.verbs._labelled_clips import ClipCounts

__all__ = [
    "PROTOCOLS",
    "arms_of",
    "duration",
    "kind_of",
    "predicted_seconds",
    "read_clips",
    "with_iterations",
    "write_class_check",
]

PROTOCOLS = ("evfr", "pertinence", "two-axis", "custom")
_OWN = {
    "evfr": ("strides", "samplers", "copy_paste"),
    "pertinence": ("window", "blocks", "iteration_exponent"),
    "two-axis": ("clip_counts", "frame_counts"),
    "custom": ("grid",),
}
_TIMED = (3, 9)
"""Iterations of the two short runs whose difference times a step."""


def arms_of(
    protocol: str, given: Mapping[str, Any], model: str
) -> tuple[tuple[Arm, ...], tuple[Comparison, ...]]:
    """Return the arms of a protocol and what is compared; ValueError for options of another."""
    if protocol not in PROTOCOLS:
        raise ValueError(f"protocol must be one of {', '.join(PROTOCOLS)}, got {protocol!r}")
    for name, value in given.items():
        if name not in _OWN[protocol] and value is not None and value != ():
            owner = next(owner for owner, names in _OWN.items() if name in names)
            raise ValueError(f"{name} belongs to the protocol {owner}, not to {protocol}")
    is_augmented = model != "svm" and not model.startswith(COMMAND_PREFIX)
    if protocol == "evfr":
        arms, comparisons = evfr_arms(
            given["strides"] or (1, 2, 3, 5, 10),
            given["samplers"] or ("uniform", "random", "adaptive", "systematic"),
            given["copy_paste"] or ("uniform" if is_augmented else "none"),
            is_augmented=is_augmented,
        )
    elif protocol == "pertinence":
        window, blocks = (20 if given[name] is None else given[name] for name in ("window", "blocks"))
        arms, comparisons = pertinence_arms(window, blocks)
    elif protocol == "two-axis":
        arms, comparisons = two_axis_arms(
            given["clip_counts"] or (1, 2, 4, 8), given["frame_counts"] or (5, 10, 20, 40)
        )
    elif given["grid"] is None:
        raise ValueError("the protocol custom needs a grid, a TOML file of arms")
    else:
        arms, comparisons = read_grid(given["grid"])
    if not is_augmented and (bad := [arm.name for arm in arms if not arm.augmentation.is_identity]):
        what = "svm" if model == "svm" else "a command"
        raise ValueError(
            f"{what} takes pictures as they are: arm {bad[0]!r} asks for jitter, mirroring or copy-paste"
        )
    return arms, comparisons


def kind_of(
    model: str, kind: Literal["instances", "pixels"] | None, options: Mapping[str, Any] | None
) -> Literal["instances", "pixels"]:
    """Return what a model learns; ValueError for a model that is not there."""
    from evfr.training import LEARNERS

    if model.startswith(COMMAND_PREFIX):
        if kind is None:
            raise ValueError("a command needs kind: instances (COCO results) or pixels (masks)")
        if options:
            raise ValueError("a command has no model_options; write them into the command")
        command_words(model.removeprefix(COMMAND_PREFIX), dict.fromkeys(NAMES, "x"))
        return kind
    if model not in LEARNERS:
        raise ValueError(f"model must be one of {', '.join(LEARNERS)} or 'cmd: ...', got {model!r}")
    own = [
        name
        for name in inspect.signature(LEARNERS[model].fit).parameters
        if name not in ("clips", "recipe", "augmentation", "device", "out", "stop_after")
    ]
    if unknown := [name for name in options or {} if name not in own]:
        raise ValueError(f"{model} has no option {unknown[0]!r}; it has {', '.join(own)}")
    if kind is not None and kind != LEARNERS[model].kind:
        raise ValueError(f"{model} learns {LEARNERS[model].kind}, not {kind}")
    return LEARNERS[model].kind


def read_clips(
    videos: Sequence[str | Path],
    labels: str | Path,
    split: str | Path,
    protocol: str,
    arms: Sequence[Arm],
    *,
    label_format: str,
    label_options: Mapping[str, Any],
    **options: Any,
) -> tuple[list[LabelledClip], dict[str, list[LabelledClip]], tuple[str, ...]]:
    """Read the clips to train on, those of each test set, and what labels lost; options are `labelled_clips`'."""
    from evfr.annotations import read
    from evfr.verbs._labelled_clips import labelled_clips
    from evfr.verbs.split import read_split

    found = read(labels, format=label_format, **label_options)
    counts: list[ClipCounts] = []
    options["tell"] = counts.append
    sides = read_split(split)
    sides.check_leak_free()
    train = labelled_clips(videos, found, frames=sides.frames(found, "train"), **options)
    tests = {"new": labelled_clips(videos, found, frames=sides.frames(found, "val"), **options)}
    if protocol == "pertinence" and (same := _rest_of(train, arms)):
        tests["same"] = same
    return train, tests, tuple(f"labels: {count}" for count in counts if count.lost)


def _rest_of(train: Sequence[LabelledClip], arms: Sequence[Arm]) -> list[LabelledClip]:
    """Return what follows the stretch that is trained on in the same videos, one block apart."""
    begin = max(arm.positions[-1] + 1 for arm in arms) + max(arm.noise_window for arm in arms)
    return [clip.take(range(begin, len(clip))) for clip in train if len(clip) > begin]


def with_iterations(
    arms: Sequence[Arm], train: Sequence[LabelledClip], iterations: int, exponent: float
) -> tuple[Arm, ...]:
    """Give each arm the iterations that its number of frames asks for."""
    from evfr.experiments._subsets import ClipMeasures, choose
    from evfr.training import iterations_for

    measures = ClipMeasures(train)
    frames = {
        arm.name: arm.copies * sum(len(places) for places in choose(arm, train, measures, 0).values())
        for arm in arms
    }
    fewest = min(frames.values())
    return tuple(
        replace(arm, iterations=iterations_for(frames[arm.name], iterations, fewest, exponent=exponent))
        for arm in arms
    )


def write_class_check(
    folder: Path, train: Sequence[LabelledClip], chosen: Mapping[str, Any]
) -> tuple[str, ...]:
    """Write the class shares of every arm beside those of all frames; return what should worry."""
    import numpy as np

    from evfr._core.atomic import atomic_write_bytes
    from evfr.experiments._subsets import instance_counts
    from evfr.sampling import class_check

    whole = instance_counts(train, {row: np.arange(len(clip)) for row, clip in enumerate(train)})
    report, warnings = {}, []
    for name, places in chosen.items():
        check = class_check(whole, instance_counts(train, places))
        report[name] = {
            "shares": dict(zip(check.classes, check.subset_shares, strict=True)),
            "total_variation": check.total_variation,
            "lost_classes": list(check.lost_classes),
            "lost_clips": list(check.lost_clips),
        }
        warnings += [f"class check: {name}: {text}" for text in check.warnings]
    atomic_write_bytes(
        folder / "class_check.json", json.dumps(report, indent=1, allow_nan=False).encode("ascii") + b"\n"
    )
    return tuple(warnings)


def predicted_seconds(
    planned: Plan,
    train: Sequence[LabelledClip],
    tests: Mapping[str, Sequence[LabelledClip]],
    chosen: Mapping[str, Any],
    device: str,
) -> float:
    """Time a few steps and the prediction of one clip; NaN for a command."""
    from evfr.experiments._subsets import cut_clips
    from evfr.training import LEARNERS

    if planned.model.startswith(COMMAND_PREFIX):
        return math.nan
    learner = LEARNERS[planned.model]
    arm = max(planned.arms, key=lambda arm: arm.copy_paste)
    clips = cut_clips(arm, train, chosen[arm.name])
    seconds, model = [], None
    for count in (1, *_TIMED):  # the first loads and compiles
        recipe = replace(planned.recipe, iterations=count, warmup=0)
        begin = time.perf_counter()
        with use_progress(NullProgress()):
            model, _ = learner.fit(
                clips,
                recipe=recipe,
                augmentation=arm.augmentation,
                device=device,
                out=None,
                **planned.model_options,
            )
        seconds.append(time.perf_counter() - begin)
    step = max(seconds[2] - seconds[1], 0.0) / (_TIMED[1] - _TIMED[0])
    fixed = max(seconds[1] - _TIMED[0] * step, 0.0)
    flat = [clip for clips in tests.values() for clip in clips]
    part = flat[0].images[:16]
    learner.predict(model, part[:1])
    begin = time.perf_counter()
    learner.predict(model, part)
    frame = (time.perf_counter() - begin) / len(part)
    steps = sum(planned.recipe_of(cell).iterations for cell in planned.cells)
    return steps * step + len(planned.cells) * (fixed + frame * sum(len(clip) for clip in flat))


def duration(seconds: float) -> str:
    """Return a time for people."""
    if seconds < 120:
        return f"{seconds:.0f} s"
    if seconds < 7200:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h"

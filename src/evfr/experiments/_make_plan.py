"""`evfr experiment plan`: write the grid, the subsets and the class check; nothing is trained but to time a step."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

__all__ = ["PlanResult", "plan"]


@dataclass(frozen=True, slots=True)
class PlanResult:
    """Hold what `plan` wrote.

    Attributes
    ----------
    folder : Path
        The experiment.
    protocol, model : str
        Which grid, and what is trained.
    cell_count, seeds : int
        Trainings in all, and seeds of each arm.
    frames : mapping of str to int
        Training frames of each arm, of seed 0.
    objects : mapping of str to int
        Labelled objects on them.
    warnings : tuple of str
        What labels lost when they were resized, and what the class check found.
    tests : mapping of str to int
        Frames of each test set.
    seconds : float
        Predicted time of all cells one after the other; NaN where it was not measured.
    """

    folder: Path
    protocol: str
    model: str
    cell_count: int
    seeds: int
    frames: Mapping[str, int]
    objects: Mapping[str, int]
    warnings: tuple[str, ...]
    tests: Mapping[str, int]
    seconds: float

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON-ready dict, keys in field order."""
        return {name: getattr(self, name) for name in self.__slots__} | {"folder": str(self.folder)}

    def __str__(self) -> str:
        from evfr.experiments._plan_parts import duration

        lines = [
            f"{self.protocol} with {self.model}: {len(self.frames)} arms x {self.seeds} seeds = "
            f"{self.cell_count} cells"
        ]
        width = max(len(name) for name in self.frames)
        lines += [
            f"  {name:<{width}}  {count:>6} frames, {self.objects[name]:>6} objects"
            for name, count in self.frames.items()
        ]
        lines += [f"test {name}: {count} frames" for name, count in self.tests.items()]
        lines += self.warnings
        if math.isfinite(self.seconds):
            lines.append(f"about {duration(self.seconds)} on this machine, one cell at a time")
        return "\n".join([*lines, f"next: evfr experiment run {self.folder}"])


def plan(
    folder: Path,
    videos: Sequence[str | Path],
    *,
    labels: str | Path | None = None,
    split: str | Path | None = None,
    protocol: Literal["evfr", "pertinence", "two-axis", "custom"] = "evfr",
    model: str = "tiny",
    kind: Literal["instances", "pixels"] | None = None,
    model_options: Mapping[str, int | float | str] | None = None,
    width: int = 128,
    height: int = 96,
    iterations: int = 1000,
    learning_rate: float = 2e-3,
    optimizer: Literal["adam", "sgd"] = "adam",
    schedule: Literal["constant", "cosine", "polynomial", "step"] = "cosine",
    warmup: int = 20,
    weight_decay: float = 0.0,
    checkpoint_every: int = 200,
    seeds: int = 3,
    margin: float = 0.01,
    strides: Sequence[int] = (),
    samplers: Sequence[str] = (),
    copy_paste: Literal["none", "uniform", "all"] | None = None,
    window: int | None = None,
    blocks: int | None = None,
    iteration_exponent: float | None = None,
    clip_counts: Sequence[int] = (),
    frame_counts: Sequence[int] = (),
    grid: Path | None = None,
    label_format: str = "auto",
    label_options: Mapping[str, int | float | str] | None = None,
    classes: Sequence[str] = (),
    category_map: str | Path | None = None,
    on_boxes: Literal["fail", "fill"] = "fail",
    components: bool = False,
    device: str = "cpu",
    no_timing: bool = False,
) -> PlanResult:
    """Write what an experiment will do: arms, the frames of each, the class check and the predicted time.

    Parameters
    ----------
    folder : Path
        Where: ``plan.json``, ``subsets/``, ``clips/``, ``class_check.json``.
    videos : sequence of path
        Labelled videos, training and test alike.
    labels : path or None
        Labels in any format of ``evfr.annotations``; needed.
    split : path or None
        What ``evfr split`` wrote; needed. A video on both sides is an error, unless split by time with a buffer.
    protocol : {"evfr", "pertinence", "two-axis", "custom"}
        S1, S2, ... by samplers and copy-paste (Yoon & Choi 2023); frames of one video (Chataigner et al. 2019); clips
        by frames of each (ours); or your own.
    model : str
        What is trained: ``tiny``, ``maskrcnn``, ``unet``, ``deep-unet``, ``vgg``, ``svm``, or ``cmd: ...``, a command
        of yours with {train} {val} {iters} {seed} {out}.
    kind : {"instances", "pixels"} or None
        With ``cmd``: whether it gives COCO results or masks.
    model_options : mapping or None
        Own options of the model: those of its ``fit`` in `evfr.training`, as ``batch_size=8``; ``size=96`` keeps
        ``maskrcnn`` from enlarging small pictures.
    width, height : int
        Size of all pictures.
    iterations : int
        Steps of the optimizer, equal for all arms; with an ITERATION_EXPONENT those of the smallest arm.
    learning_rate : float
        Highest learning rate.
    optimizer : {"adam", "sgd"}
        Adam, or SGD with momentum .9.
    schedule : {"constant", "cosine", "polynomial", "step"}
        How the learning rate falls, as a function of the iteration.
    warmup : int
        Iterations over which it rises first.
    weight_decay : float
        Of the optimizer.
    checkpoint_every : int
        Iterations from checkpoint to checkpoint.
    seeds : int
        Trainings of each arm.
    margin : float
        Largest loss of the score, in its unit, that still counts as "not worse"; chosen before anything is trained.
    strides : sequence of int
        ``evfr``: reduced datasets; 1 2 3 5 10 when none is given.
    samplers : sequence of str
        ``evfr``: SAMPLER or SAMPLER:SIGNAL, as ``adaptive:ssim``; uniform, random, adaptive, systematic when none is
        given.
    copy_paste : {"none", "uniform", "all"} or None
        ``evfr``: which samplers are trained with copy-paste too; None is ``uniform``.
    window : int or None
        ``pertinence``: successive frames of a block; None is 20.
    blocks : int or None
        ``pertinence``: blocks of each video; None is 20.
    iteration_exponent : float or None
        ``pertinence``: iterations grow with the number of frames to this power; None is .537 as published, 0 is equal
        iterations, 1 equal epochs.
    clip_counts : sequence of int
        ``two-axis``: numbers of clips; 1 2 4 8 when none is given.
    frame_counts : sequence of int
        ``two-axis``: frames of each clip; 5 10 20 40 when none is given.
    grid : Path or None
        ``custom``: TOML file of arms and comparisons.
    label_format : str
        Format of the labels.
    label_options : mapping or None
        Options of the labels' reader, for example ``last=1699``.
    classes : sequence of str
        Classes to learn; all but ``void`` when none is given.
    category_map : str, path or None
        Classes that become one, as in ``evfr evaluate``.
    on_boxes : {"fail", "fill"}
        What becomes of labels with a box and no mask: an error, or the filled box.
    components : bool
        Take each connected part of a mask for an object of its own: for labels of classes.
    device : str
        Where a few steps are timed.
    no_timing : bool
        Train nothing at all, and predict no time.

    Returns
    -------
    PlanResult
        What was planned.

    Raises
    ------
    InputError
        If the folder holds another plan, the split leaks, or clips do not have the frames that an arm asks for.
    AnnotationError
        If the labels cannot be read or do not fit the videos.
    ValueError
        If an argument is out of range, or belongs to another protocol.
    """
    from evfr.experiments._plan import Plan
    from evfr.experiments._plan_parts import arms_of, kind_of, read_clips, with_iterations
    from evfr.experiments._plan_write import refuse_second, write_experiment
    from evfr.training import Recipe

    folder = Path(folder)
    given = {
        "strides": strides,
        "samplers": samplers,
        "copy_paste": copy_paste,
        "window": window,
        "blocks": blocks,
        "iteration_exponent": iteration_exponent,
        "clip_counts": clip_counts,
        "frame_counts": frame_counts,
        "grid": grid,
    }
    arms, comparisons = arms_of(protocol, given, model)
    learned = kind_of(model, kind, model_options)
    if labels is None or split is None or not videos:
        raise ValueError("give videos, --labels and --split (made by: evfr split LABELS --by video)")
    refuse_second(folder)
    train, tests, notes = read_clips(
        videos,
        labels,
        split,
        protocol,
        arms,
        label_format=label_format,
        label_options=dict(label_options or {}),
        width=width,
        height=height,
        classes=classes or None,
        category_map=category_map,
        on_boxes=on_boxes,
        components=components,
    )
    recipe = Recipe(
        iterations=iterations,
        learning_rate=learning_rate,
        optimizer=optimizer,
        schedule=schedule,
        warmup=min(warmup, iterations - 1),
        weight_decay=weight_decay,
        checkpoint_every=checkpoint_every,
    )
    if protocol == "pertinence":
        arms = with_iterations(
            arms, train, iterations, 0.537 if iteration_exponent is None else iteration_exponent
        )
    planned = Plan(
        protocol=protocol,
        model=model,
        kind=learned,
        model_options=dict(model_options or {}),
        recipe=recipe,
        arms=arms,
        comparisons=comparisons,
        seeds=seeds,
        tests={name: tuple(clip.video_id for clip in clips) for name, clips in tests.items()},
        classes=train[0].classes,
        margin=margin,
        sources={
            "videos": [str(video) for video in videos],
            "labels": str(labels),
            "split": str(split),
            "width": width,
            "height": height,
        },
    )
    made = write_experiment(planned, folder, train, tests, timed_on=None if no_timing else device)
    return replace(made, warnings=(*notes, *made.warnings))

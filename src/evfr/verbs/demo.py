"""`evfr demo`: the whole job in one go, on a clip drawn on the spot whose labels are known, or on your video."""

from __future__ import annotations

import shlex
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from evfr._core.annotations import VideoAnnotations
    from evfr._core.selection import Selection
    from evfr._core.types import Problem

__all__ = ["DemoResult", "DemoStep", "demo"]

SECONDS = 12.0
SIZE = (640, 360)
SECONDS_PER_OUTLINE = 79
"""A person's time for one outline: 22 hours for 1000 of COCO's (Lin et al. 2014, §4.3)."""


@dataclass(frozen=True, slots=True)
class DemoStep:
    """Hold one step of the tour.

    Attributes
    ----------
    name : str
        What was done, in one word.
    found : str
        What came of it.
    command : str
        The command line that does the same; empty where the clip stands in for a person.
    seconds : float
        Wall time.
    """

    name: str
    found: str
    command: str
    seconds: float


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class DemoResult:
    """Hold what the tour did and what comes next.

    Attributes
    ----------
    selection : Selection
        The frames chosen.
    steps : tuple of DemoStep
        In order.
    following : tuple of str
        Command lines to go on with.
    """

    selection: Selection
    steps: tuple[DemoStep, ...]
    following: tuple[str, ...]

    def __repr__(self) -> str:
        return f"DemoResult({', '.join(step.name for step in self.steps)}: {self.selection!r})"

    @property
    def problems(self) -> tuple[Problem, ...]:
        """The problems found in the inputs."""
        return self.selection.problems

    @property
    def failed_count(self) -> int:
        """How many inputs could not be used."""
        return self.selection.failed_count

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON-ready dict: the selection's keys, ``steps`` and ``next``."""
        steps = [asdict(step) for step in self.steps]
        return {**self.selection.to_dict(), "steps": steps, "next": list(self.following)}


def demo(paths: str | Path | Sequence[str | Path] = (), *, out: Path = Path("evfr-out")) -> DemoResult:
    """Show the whole job in about a minute on a clip drawn on the spot, or choose frames of your video.

    The drawn clip knows its objects to the pixel, so it can stand in for the person who labels: frames are chosen,
    their labels carried to all others with a trust, drawn on the video, and compared with the truth. Each step says
    which command does it. On your own videos the steps that need no labels are done.

    Parameters
    ----------
    paths : path or sequence of paths
        Your videos; none draws the demo clip, ``demo.mp4`` in the folder.
    out : Path
        Folder for the selected frames, the manifest and the report page; for the drawn clip also its labels, the
        carried ones and the clip with both drawn on it.

    Returns
    -------
    DemoResult
        10 % of the frames, chosen by ``auto`` from optical flow, and the steps.

    Raises
    ------
    InputError
        If no video has a usable frame.
    VideoError
        If the clip cannot be drawn for want of an encoder.

    Examples
    --------
    >>> import evfr.verbs.demo
    >>> evfr.verbs.demo.demo()  # doctest: +SKIP
    DemoResult(draw, select, label, carry, check, look, worth: Selection(30 frames of 1 videos))
    """
    inputs = [paths] if isinstance(paths, str | Path) else list(paths)
    folder = Path(out)
    if inputs:
        selection, step = _select(inputs, folder)
        return DemoResult(selection, (step,), _after_select(inputs, folder))
    clip, drawn = _draw(folder)
    selection, chosen = _select([clip], folder)
    labels, labelled = _label(clip, selection, folder)
    carried = _carry(clip, labels, folder)
    check = _check(labels, folder)
    look = _look(clip, folder)
    steps = (drawn, chosen, labelled, carried, check, look, _worth(labels, folder))
    return DemoResult(selection, steps, ("evfr view " + _word(folder), *_on_your_own()))


def _draw(folder: Path) -> tuple[Path, DemoStep]:
    import av

    from evfr._core.progress import current_progress
    from evfr.video import draw_clip

    began = time.perf_counter()
    folder.mkdir(parents=True, exist_ok=True)
    progress = current_progress()
    progress.start("drawing the demo clip")
    codec = "libx264" if "libx264" in av.codecs_available else "mpeg4"
    clip = draw_clip(folder / "demo.mp4", codec=codec, seconds=SECONDS, size=SIZE)
    progress.finish()
    found = f"a clip of {SECONDS:g} seconds, a pan, a zoom, a stillstand, a cut and a dash: {clip}"
    return clip, DemoStep("draw", found, "", time.perf_counter() - began)


def _select(inputs: Sequence[str | Path], folder: Path) -> tuple[Selection, DemoStep]:
    from evfr.verbs.select import select

    began = time.perf_counter()
    selection = select(inputs, out=folder)
    total = sum(entry["frame_count"] or 0 for entry in selection.manifest["inputs"])
    found = f"{len(selection)} of {total} frames, each with its reason: {folder / 'report.html'}"
    command = f"evfr select {' '.join(map(_word, inputs))} --out {_word(folder)}"
    return selection, DemoStep("select", found, command, time.perf_counter() - began)


def _after_select(inputs: Sequence[str | Path], folder: Path) -> tuple[str, ...]:
    task, labels = folder / "task", folder / "labels.parquet"
    return (
        f"evfr view {_word(folder)}",
        f"evfr export {_word(folder)} --to cvat --out {_word(task)}",
        f"evfr import ANNOTATED.zip --selection {_word(task)} --out {_word(labels)}",
        f"evfr propagate {_word(inputs[0])} --labels {_word(labels)} --out {_word(folder / 'all.parquet')}",
    )


def _on_your_own() -> tuple[str, ...]:
    return ("evfr demo YOUR_VIDEO.mp4",)


def _label(clip: Path, selection: Selection, folder: Path) -> tuple[Labels, DemoStep]:
    """Write the labels that a person would draw on the selected frames, and the truth for all frames."""
    from evfr.annotations import write

    began = time.perf_counter()
    total = selection.manifest["inputs"][0]["frame_count"]
    truth = _true_labels(clip.name, range(total))
    given = _true_labels(clip.name, selection.indices.tolist())
    write(given, folder / "labels.parquet", format="evfr")
    write(truth, folder / "truth.parquet", format="evfr")
    labels = Labels(len(given.frame_index), len(selection), len(truth.frame_index), total)
    found = f"{labels.given} outlines on those frames, by the clip in a person's stead: {folder / 'labels.parquet'}"
    return labels, DemoStep("label", found, "", time.perf_counter() - began)


@dataclass(frozen=True, slots=True)
class Labels:
    """Count outlines and frames: those given, and all that the clip has."""

    given: int
    given_frames: int
    all: int
    all_frames: int


def _true_labels(video_id: str, frames: Sequence[int]) -> VideoAnnotations:
    import numpy as np

    from evfr._core.annotations import AnnotatedVideo, Category, ObjectRow, VideoAnnotations
    from evfr._core.masks import Rle
    from evfr.video.synthetic import CLIP_OBJECTS, clip_object_maps

    ids = {name: number for number, name in enumerate(dict.fromkeys(CLIP_OBJECTS.values()), start=1)}
    rows = []
    for frame, shown in zip(frames, clip_object_maps(frames, seconds=SECONDS, size=SIZE), strict=True):
        for track in np.unique(shown[shown > 0]).tolist():
            mask = Rle.from_mask(shown == track)
            rows.append(ObjectRow(video_id, frame, ids[CLIP_OBJECTS[track]], track, mask=mask))
    video = AnnotatedVideo(video_id, *SIZE, np.array(frames))
    categories = [Category(number, name) for name, number in ids.items()]
    return VideoAnnotations.build([video], categories, rows).with_boxes()


def _carry(clip: Path, labels: Labels, folder: Path) -> DemoStep:
    import av

    from evfr.verbs.propagate import propagate

    # Vectors of a codec cost half the time of the default; without H.264's encoder there are none.
    words: dict[str, Any] = {"method": "motion"}
    if "libx264" not in av.codecs_available:
        words = {"method": "default", "method_options": {"step": "dis"}}
    options = f"--method {words['method']}" + ("" if words["method"] == "motion" else " --step dis")
    result = propagate(clip, labels=folder / "labels.parquet", out=folder / "all.parquet", **words)
    expected = result.expected_iou
    found = (
        f"{result.kept_count} more outlines on the other {labels.all_frames - labels.given_frames} frames, each with a "
        f"trust; expected IoU {expected.mean:.2f} ({expected.low:.2f} to {expected.high:.2f}): {result.out}"
    )
    command = (
        f"evfr propagate {_word(clip)} --labels {_word(folder / 'labels.parquet')} "
        f"--out {_word(folder / 'all.parquet')} {options}"
    )
    return DemoStep("carry", found, command, result.seconds)


def _check(labels: Labels, folder: Path) -> DemoStep:
    from evfr.verbs.evaluate import evaluate

    began = time.perf_counter()
    carried, truth = folder / "all.parquet", folder / "truth.parquet"
    scores = evaluate("vos", carried, truth=truth, keys="labels", missing="empty").overall()
    found = (
        f"true IoU of the carried outlines {scores['j_mean']:.2f}, of their edges {scores['f_mean']:.2f} (F)"
    )
    command = f"evfr evaluate vos {_word(carried)} --truth {_word(truth)} --keys labels --missing empty"
    return DemoStep("check", found, command, time.perf_counter() - began)


def _look(clip: Path, folder: Path) -> DemoStep:
    from evfr.verbs.overlay import overlay

    began = time.perf_counter()
    seen = folder / "overlay.mp4"
    seen.unlink(missing_ok=True)  # of an earlier tour
    overlay(clip, labels=folder / "all.parquet", out=seen)
    command = f"evfr overlay {_word(clip)} --labels {_word(folder / 'all.parquet')} --out {_word(seen)}"
    return DemoStep("look", f"all outlines on the video: {seen}", command, time.perf_counter() - began)


def _worth(labels: Labels, folder: Path) -> DemoStep:
    given, whole = (count * SECONDS_PER_OUTLINE / 3600 for count in (labels.given, labels.all))
    found = (
        f"{given:.1f} hours of outlining instead of {whole:.1f}, at {SECONDS_PER_OUTLINE} seconds an outline "
        "(what COCO's took: Lin et al. 2014)"
    )
    return DemoStep("worth", found, "", 0.0)


def _word(value: str | Path) -> str:
    return shlex.quote(str(value))

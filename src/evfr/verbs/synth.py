"""`evfr synth`: drawn videos of moving objects with exact labels, to try everything on in minutes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from evfr._core.annotations import VideoAnnotations
    from evfr._core.labelled import LabelledClip

__all__ = ["SynthResult", "synth"]


@dataclass(frozen=True, slots=True)
class SynthResult:
    """Hold what `evfr.synth` drew.

    Attributes
    ----------
    folder : Path
        Where it is.
    train, test : tuple of str
        The clips' files, relative to the folder; also their ``video_id`` in the labels and in the split.
    labels, split : Path
        The label file, and the file that says which clips are learnt from (``train``) and judged on (``val``).
    frame_count : int
        Frames of each clip.
    classes : tuple of str
        Names of the classes.
    train_objects, test_objects : tuple of int
        Labelled objects of each class, counted in every frame.
    is_shuffled : bool
        Whether the labels of the training clips belong to other pictures.
    byte_count : int
        Size of the videos.
    """

    folder: Path
    train: tuple[str, ...]
    test: tuple[str, ...]
    labels: Path
    split: Path
    frame_count: int
    classes: tuple[str, ...]
    train_objects: tuple[int, ...]
    test_objects: tuple[int, ...]
    is_shuffled: bool
    byte_count: int

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON-ready dict, keys in field order."""
        values = {name: getattr(self, name) for name in self.__slots__}
        return {
            name: str(value)
            if isinstance(value, Path)
            else list(value)
            if isinstance(value, tuple)
            else value
            for name, value in values.items()
        }

    def __str__(self) -> str:
        wide = max(7, *(len(name) for name in self.classes))
        lines = [f"{'':{wide}}  {'train':>8}  {'test':>8}"]
        for name, train, test in [
            ("clips", len(self.train), len(self.test)),
            ("frames", len(self.train) * self.frame_count, len(self.test) * self.frame_count),
            *zip(self.classes, self.train_objects, self.test_objects, strict=True),
        ]:
            lines.append(f"{name:{wide}}  {train:8d}  {test:8d}")
        if self.is_shuffled:
            lines.append("the labels of the training clips are shuffled: there is nothing to learn from them")
        lines.append(
            f"wrote {self.byte_count / 1e6:.1f} MB of video, labels.parquet and split.json to {self.folder}"
        )
        return "\n".join(lines)


def synth(
    out: Path,
    *,
    clips: int = 8,
    test_clips: int = 4,
    frames: int = 200,
    width: int = 128,
    height: int = 96,
    fps: int = 25,
    classes: Sequence[str] = ("disc", "square", "triangle", "star", "cross"),
    class_weights: Sequence[float] = (),
    objects: float = 5.0,
    distractors: float = 1.5,
    rare_moments: int = 0,
    rare_class: str | None = None,
    repeat: int = 1,
    unique: bool = False,
    shuffle_labels: bool = False,
    seed: int = 0,
) -> SynthResult:
    """Draw videos of moving objects whose class is their shape and nothing else, with exact labels.

    Textures, colours, sizes, places and motion tell nothing about the class; shapes of no class are about; the camera
    moves, objects hide each other, and still stretches change with fast ones, so that the redundancy of frames varies.

    Parameters
    ----------
    out : Path
        A new or empty folder. It gets ``train/train_000.mkv`` and on, ``test/test_000.mkv`` and on (FFV1, without
        loss), ``labels.parquet``, ``split.json`` and ``README.txt``.
    clips, test_clips : int
        How many to learn from and to judge on, 1 or more each; they have nothing in common.
    frames : int
        Frames of each clip, 1 or more.
    width, height : int
        Pixels of the pictures, 32 or more.
    fps : int
        Frames per second, 1 or more.
    classes : sequence of str
        Shapes that have a class: disc, square, triangle, star, cross.
    class_weights : sequence of float
        How often an object is of each class, relative to the others; none is equally often.
    objects, distractors : float
        In view on average: objects of a class, and shapes of no class, that are not labelled.
    rare_moments : int
        In each clip an object of ``rare_class`` dashes through the picture so many times, for 8 frames.
    rare_class : str or None
        None is the last class; with the weight 0 it is seen in rare moments only.
    repeat : int
        Each picture stands this many times in a row: a known answer, every repeat-th frame holds everything.
    unique : bool
        Every picture is of a new scene: a known answer, no frame can stand for another.
    shuffle_labels : bool
        The training clips get the labels of other pictures: a known answer, there is nothing to learn.
    seed : int
        0 or more; the same seed gives the same pictures and labels with the same version of OpenCV.

    Returns
    -------
    SynthResult
        What was drawn.

    Raises
    ------
    InputError
        If the folder is not empty.
    StoreError
        If a file cannot be written.
    ValueError
        If a value is out of range.

    Examples
    --------
    >>> import evfr.verbs.synth
    >>> print(evfr.verbs.synth.synth("synth", clips=2, test_clips=1))  # doctest: +SKIP
    """
    asked = {name: value for name, value in locals().items() if name != "out"}

    import numpy as np

    from evfr._core.annotations import NO_TRACK, concatenate
    from evfr._core.atomic import atomic_write_bytes, refuse_remote
    from evfr._core.progress import current_progress
    from evfr._core.rng import spawn_seed
    from evfr.annotations import write
    from evfr.datasets import SceneOptions
    from evfr.datasets import shuffle_labels as shuffled
    from evfr.datasets._moving_objects import DrawnClip, draw_moving_objects
    from evfr.errors import InputError
    from evfr.verbs._split_value import Split
    from evfr.verbs._synth_write import README, encode, labels_of

    for name, value in (("clips", clips), ("test_clips", test_clips), ("fps", fps)):
        if value < 1:
            raise ValueError(f"{name} must be 1 or more, got {value}")
    if shuffle_labels and clips < 2:
        raise ValueError(f"shuffle_labels needs 2 clips or more to take labels from another one, got {clips}")
    options = SceneOptions(
        class_weights=tuple(class_weights) or None,
        objects=objects,
        distractors=distractors,
        rare_moments=rare_moments,
        rare_class=rare_class,
    )
    folder = Path(out)
    refuse_remote(folder)
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise InputError(
            f"{folder} is not empty; give a new folder, so that no clip of another run is among these"
        )
    names = {
        side: tuple(f"{side}/{side}_{place:03d}.mkv" for place in range(count))
        for side, count in (("train", clips), ("test", test_clips))
    }
    progress = current_progress()
    progress.start("drawing clips", clips + test_clips)
    parts: list[VideoAnnotations] = []
    held: list[LabelledClip] = []
    byte_count = 0
    for name in (*names["train"], *names["test"]):
        drawn = draw_moving_objects(
            spawn_seed(seed, name),
            frames=frames,
            width=width,
            height=height,
            classes=classes,
            repeat=repeat,
            unique=unique,
            options=options,
            video_id=name,
        )
        data = encode(drawn.clip.images, fps)
        byte_count += len(data)
        atomic_write_bytes(folder / name, data)
        if shuffle_labels and name in names["train"]:
            held.append(drawn.clip)
        else:
            parts.append(labels_of(drawn, folder / name))
        progress.advance(1, name)
    progress.finish()
    for clip in shuffled(held, seed) if held else ():
        no_track = np.full(clip.category.shape, NO_TRACK)
        parts.append(labels_of(DrawnClip(clip, no_track), folder / clip.video_id))
    parts.sort(key=lambda part: [*names["train"], *names["test"]].index(part.videos[0].video_id))
    write(concatenate(parts), folder / "labels.parquet", format="evfr")
    whole = ((0, frames - 1),)
    learnt, judged = (dict.fromkeys(names[side], whole) for side in names)
    split = Split(learnt, judged, seed=seed).write(folder / "split.json")
    call = ", ".join(f"{name}={value!r}" for name, value in asked.items())
    atomic_write_bytes(folder / "README.txt", README.format(call=f"evfr.synth(OUT, {call})").encode())
    return SynthResult(
        folder,
        names["train"],
        names["test"],
        folder / "labels.parquet",
        split,
        frames,
        tuple(classes),
        _objects(parts[:clips], len(classes)),
        _objects(parts[clips:], len(classes)),
        shuffle_labels,
        byte_count,
    )


def _objects(parts: Sequence[VideoAnnotations], class_count: int) -> tuple[int, ...]:
    import numpy as np

    found = np.concatenate([part.category_id for part in parts])
    return tuple(np.bincount(found - 1, minlength=class_count).tolist())

"""What `evfr train` does for networks that learn from labelled frames one by one: read, train, write."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from evfr.verbs._train_seq_maskrcnn import check_settings

if TYPE_CHECKING:
    from evfr._core.annotations import VideoAnnotations
    from evfr._core.labelled import LabelledClip
    from evfr.augmentation import Augmentation
    from evfr.training import Recipe, TrainingRun
    from evfr.verbs._labelled_clips import ClipCounts

__all__ = ["FrameChoice", "LabelledInput", "Trained", "train_learner"]

Trained = tuple["TrainingRun", int, tuple[Path, ...]]

WEIGHTS, LOG = "weights.safetensors", "log.parquet"


@dataclass(frozen=True, slots=True)
class FrameChoice:
    """Say which labelled frames are learnt, as what, and at what size.

    Attributes
    ----------
    width, height : int or None
        Size of the pictures; None is that of the labels.
    frames : Path or None
        A selection: only its frames.
    split : Path or None
        A split: only the frames of its side ``train``.
    classes : tuple of str
        Names of the classes; none is all of the labels.
    category_map : str or None
        Classes that are joined first.
    on_boxes : {"fail", "fill"}
        What a box without a mask is.
    """

    width: int | None
    height: int | None
    frames: Path | None
    split: Path | None
    classes: tuple[str, ...]
    category_map: str | None
    on_boxes: Literal["fail", "fill"]

    def __post_init__(self) -> None:
        if (self.width is None) != (self.height is None):
            raise ValueError(f"give width and height, or neither, got {self.width} and {self.height}")
        if self.frames is not None and self.split is not None:
            raise ValueError("give frames or split, not both: each says which frames are learnt")


@dataclass(frozen=True, slots=True)
class LabelledInput:
    """Name videos and their labels; nothing is decoded yet.

    Attributes
    ----------
    videos : sequence of path
        Files, folders or zips.
    labels : VideoAnnotations
        Of these videos, and perhaps of others.
    tell : callable
        Called with what became of the labels of each video.
    """

    videos: Sequence[str | Path]
    labels: VideoAnnotations
    tell: Callable[[ClipCounts], None]

    def read(self, choice: FrameChoice) -> list[LabelledClip]:
        """Read the frames.

        Raises
        ------
        AnnotationError
            If labels and videos do not fit each other or the choice.
        InputError
            If the split or the selection cannot be read, or sizes differ and none is asked for.
        """
        from evfr.verbs._labelled_clips import labelled_clips

        width, height = self._size(choice)
        return labelled_clips(
            self.videos,
            self.labels,
            width=width,
            height=height,
            frames=self._frames(choice),
            classes=choice.classes or None,
            category_map=choice.category_map,
            on_boxes=choice.on_boxes,
            tell=self.tell,
        )

    def _size(self, choice: FrameChoice) -> tuple[int, int]:
        from evfr.errors import InputError

        if choice.width is not None and choice.height is not None:
            return choice.width, choice.height
        sizes = sorted({(video.width, video.height) for video in self.labels.videos})
        if len(sizes) != 1:
            some = ", ".join(f"{width}x{height}" for width, height in sizes[:4])
            raise InputError(
                f"the labels are of {len(sizes)} sizes ({some}), but pictures are learnt at one: give width and height"
            )
        return sizes[0]

    def _frames(self, choice: FrameChoice) -> Mapping[str, Any] | None:
        if choice.split is not None:
            from evfr.verbs.split import read_split

            return read_split(choice.split).frames(self.labels, "train")
        if choice.frames is None:
            return None
        from evfr._core.selection import Selection

        selection = Selection.load(choice.frames)
        names = dict.fromkeys(selection.table["video_id"].to_pylist())
        return {name: selection.for_video(name).indices for name in names}


def train_learner(
    name: str,
    clips: LabelledInput,
    *,
    recipe: Recipe,
    out: Path,
    choice: FrameChoice,
    augmentation: Augmentation,
    device: str,
    options: Mapping[str, Any],
) -> Trained:
    """Train one of `evfr.training.LEARNERS`; under torchrun each process has its share of every batch.

    Parameters
    ----------
    name : str
        Its key.
    clips : LabelledInput
        What there is to learn from.
    recipe : Recipe
        Of the loop.
    out : Path
        Folder for the weights, the checkpoint and the log.
    choice : FrameChoice
        Which frames.
    augmentation : Augmentation
        What is done to them.
    device : str
        Where to train.
    options : mapping
        Own options of the learner.

    Returns
    -------
    (TrainingRun, int, tuple of Path)
        Losses, how many pictures there were to visit, and the files.

    Raises
    ------
    InputError
        If ``out`` has a checkpoint of other frames or options.
    ValueError
        If an option is out of range.
    """
    from evfr._core.lazy import require
    from evfr.training import LEARNERS
    from evfr.training._ranks import join_ranks, rank_and_count

    read = clips.read(choice)
    settings = {
        "model": name,
        "classes": list(read[0].classes),
        "frames": {clip.video_id: [len(clip), _digest(clip)] for clip in read},
        "augmentation": asdict(augmentation),
        "options": {key: str(value) if isinstance(value, Path) else value for key, value in options.items()},
    }
    with join_ranks(device) as own:
        check_settings(out, settings)
        model, run = LEARNERS[name].fit(
            read, recipe=recipe, augmentation=augmentation, device=own, out=out, **options
        )
        rank, count = rank_and_count()
        if rank == 0:
            LEARNERS[name].save(model, out / WEIGHTS)
        if count > 1:
            require("torch", extra="train").distributed.barrier()
    files = tuple(path for path in (out / WEIGHTS, out / LOG) if path.exists())
    return run, sum(len(clip) * clip.copies for clip in read), files


def _digest(clip: LabelledClip) -> str:
    """Return a hash of all that is learnt from a clip."""
    import hashlib

    import numpy as np

    found = hashlib.blake2b(digest_size=16)
    for array in (clip.frame_index, clip.images, clip.ids, clip.category):
        found.update(f"{array.shape}{array.dtype}".encode())
        found.update(np.ascontiguousarray(array).reshape(-1).view(np.uint8).data)
    return found.hexdigest()

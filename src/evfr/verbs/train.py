"""`evfr train`: train a network on labelled video, by one loop for all of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from evfr.verbs._train_covos import covos
from evfr.verbs._train_learner_instances import maskrcnn, tiny
from evfr.verbs._train_learner_pixels import deep_unet, unet, vgg
from evfr.verbs._train_learner_svm import svm
from evfr.verbs._train_seq_maskrcnn import seq_maskrcnn

if TYPE_CHECKING:
    from evfr.verbs._labelled_clips import ClipCounts

__all__ = ["TRAINERS", "TrainResult", "train"]

TRAINERS: dict[str, Callable[..., Any]] = {
    "tiny": tiny,
    "maskrcnn": maskrcnn,
    "unet": unet,
    "deep-unet": deep_unet,
    "vgg": vgg,
    "svm": svm,
    "covos": covos,
    "seq-maskrcnn": seq_maskrcnn,
}
"""What can be trained: ``(clips, *, recipe, out, <own options>)``."""


@dataclass(frozen=True, slots=True)
class TrainResult:
    """Hold what `train` did.

    Attributes
    ----------
    model : str
        What was trained.
    files : tuple of Path
        Weights and the rest that the model is used from.
    iterations : int
        Done in all.
    resumed_at : int
        Done by an earlier call.
    sample_count : int
        Crops or pictures that it was trained on.
    first_loss, last_loss : float
        Means of the first and the last tenth of the iterations.
    seconds : float
        Wall time of the loop.
    visits : tuple of int or None
        How often the least and the most visited picture was seen, where that is counted.
    notes : tuple of str
        What became of the labels of each video that lost objects on the way.
    """

    model: str
    files: tuple[Path, ...]
    iterations: int
    resumed_at: int
    sample_count: int
    first_loss: float
    last_loss: float
    seconds: float
    visits: tuple[int, int] | None = None
    notes: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON-ready dict, keys in field order."""
        return {name: getattr(self, name) for name in self.__slots__} | {
            "files": [str(f) for f in self.files],
            "visits": None if self.visits is None else list(self.visits),
            "notes": list(self.notes),
        }

    def __str__(self) -> str:
        seen = "" if self.visits is None else f", each seen {self.visits[0]} to {self.visits[1]} times"
        told = (
            f"{self.model}: {self.iterations} iterations on {self.sample_count} samples{seen}, "
            f"loss {self.first_loss:.4g} -> {self.last_loss:.4g}, {self.seconds:.0f} s; "
            f"wrote {', '.join(str(path) for path in self.files)}"
        )
        return "\n".join([told, *self.notes])


def train(
    model: str,
    videos: Sequence[str | Path],
    *,
    labels: str | Path,
    out: Path,
    model_options: Mapping[str, object] | None = None,
    iterations: int = 2000,
    learning_rate: float = 5e-4,
    optimizer: Literal["adam", "sgd"] = "adam",
    schedule: Literal["constant", "cosine", "polynomial", "step"] = "cosine",
    milestones: Sequence[float] = (0.64, 0.88),
    warmup: int = 20,
    weight_decay: float = 0.0,
    seed: int = 0,
    checkpoint_every: int = 100,
    label_format: str = "auto",
    plot: bool = False,
) -> TrainResult:
    """Train a network on labelled videos; the same call again goes on where it stopped, with the same result.

    Parameters
    ----------
    model : str
        What to train. ``tiny`` and ``maskrcnn`` find objects with masks, ``unet``, ``deep-unet``, ``vgg`` and ``svm``
        give each pixel a class: they learn from labelled frames one by one. ``covos`` is the decoder of ``evfr
        propagate --method covos``; ``seq-maskrcnn`` a detector that carries what it finds through the video.
    videos : sequence of path
        Video files, or folders or zips of images. Each has labels under its name: on any frames, but for ``covos`` on
        runs of consecutive ones, for ``seq-maskrcnn`` on two or more.
    labels : path
        Labels with masks, in any format of ``evfr.annotations``.
    out : Path
        Folder for weights, checkpoint, log and stored samples.
    model_options : mapping or None
        Own options of the model.
    iterations : int
        Steps of the optimizer.
    learning_rate : float
        Highest learning rate.
    optimizer : {"adam", "sgd"}
        Adam, or SGD with momentum .9.
    schedule : {"constant", "cosine", "polynomial", "step"}
        How the learning rate falls.
    milestones : sequence of float
        Of ``step``: shares of the iterations at which it falls to a tenth.
    warmup : int
        Iterations over which it rises from 0 first; one less than ITERATIONS where there are not as many.
    weight_decay : float
        Of the optimizer.
    seed : int
        Of weights, crops and batches.
    checkpoint_every : int
        Iterations from checkpoint to checkpoint.
    label_format : str
        Format of the labels; ``auto`` tells it from ending and content.
    plot : bool
        Draw loss and learning rate into ``log.png`` too, with matplotlib (extra ``plot``).

    Returns
    -------
    TrainResult
        Files and losses.

    Raises
    ------
    AnnotationError
        If the labels cannot be read or do not fit the videos.
    InputError
        If weights do not load, or ``out`` has a checkpoint of another recipe.
    ValueError
        If an argument is out of range.
    MissingExtraError
        If torch is not installed, or matplotlib where a plot is asked for.

    Examples
    --------
    >>> import evfr.verbs.train
    >>> evfr.verbs.train.train("covos", ["dog.mp4"], labels="dog.json", out="decoder")  # doctest: +SKIP
    """
    import inspect
    from functools import partial

    from evfr._core.atomic import make_folder
    from evfr._core.lazy import require
    from evfr.annotations import read
    from evfr.training import Recipe
    from evfr.verbs._train_clips import labelled_clips
    from evfr.verbs._train_frames import labelled_videos
    from evfr.verbs._train_learner import LabelledInput

    if model not in TRAINERS:
        raise ValueError(f"model must be one of {', '.join(TRAINERS)}, got {model!r}")
    if not videos:
        raise ValueError("give at least one video")
    options: dict[str, Any] = dict(model_options or {})
    own = [
        name
        for name in inspect.signature(TRAINERS[model]).parameters
        if name not in ("clips", "recipe", "out")
    ]
    if unknown := [name for name in options if name not in own]:
        raise ValueError(f"{model} has no option {unknown[0]!r}; it has {', '.join(own)}")
    recipe = Recipe(
        iterations=iterations,
        learning_rate=learning_rate,
        optimizer=optimizer,
        schedule=schedule,
        milestones=tuple(milestones),
        warmup=min(warmup, iterations - 1),
        weight_decay=weight_decay,
        seed=seed,
        checkpoint_every=checkpoint_every,
    )
    if plot:
        require("matplotlib", extra="plot")  # not after hours of training
    found = read(labels, format=label_format)
    make_folder(Path(out))
    counts: list[ClipCounts] = []
    # What a decoder learns from runs of frames and a sequence network takes sparsely, the others take one by one.
    clips: Any = LabelledInput(videos, found, counts.append)
    if model == "covos":
        clips = partial(labelled_clips, videos, found)
    elif model == "seq-maskrcnn":
        clips = partial(labelled_videos, videos, found)
    run, sample_count, files = TRAINERS[model](clips, recipe=recipe, out=Path(out), **options)
    if plot:
        from evfr.reports import write_training_figure

        files = (
            *files,
            write_training_figure(run.loss, run.learning_rate, Path(out) / "log.png", title=model),
        )
    tenth = max(1, len(run.loss) // 10)
    return TrainResult(
        model=model,
        files=files,
        iterations=len(run.loss),
        resumed_at=run.resumed_at,
        sample_count=sample_count,
        first_loss=float(run.loss[:tenth].mean()),
        last_loss=float(run.loss[-tenth:].mean()),
        seconds=run.seconds,
        visits=run.visits,
        notes=tuple(str(count) for count in counts if count.lost),
    )

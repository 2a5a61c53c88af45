"""Train linear SVMs on hypercolumns: liblinear where the pixels fit in memory, SGD over streamed blocks above."""

from __future__ import annotations

import time
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from evfr._core.atomic import make_folder
from evfr._core.labelled import IGNORE_ID
from evfr._core.lazy import require
from evfr._core.progress import current_progress
from evfr._core.tensor_files import file_state
from evfr._core.tensor_state import read_state, write_state
from evfr.augmentation import Augmentation
from evfr.errors import InputError
from evfr.models import vgg_taps
from evfr.training._checkpoints import CHECKPOINT, UNREADABLE, check_width
from evfr.training._hypercolumns import centres, levels_of, resized
from evfr.training._loop import Recipe, TrainingRun, train
from evfr.training._svm_points import LabelledPoints, block_draw, usable_deviation
from evfr.training._visits import visit_bounds

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from evfr._core.labelled import LabelledClip

__all__ = ["HypercolumnSvm", "fit_svm", "load_svm", "predict_svm", "save_svm"]

_IDENTITY = Augmentation()
_FORMAT = "evfr hypercolumn svm 1"
_MAX_NEWTON_STEPS = 1000


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class HypercolumnSvm:
    """Hold a linear SVM on hypercolumns of VGG-16, one against the rest for each class.

    Attributes
    ----------
    taps : torch.nn.Module
        From `evfr.models.vgg_taps`.
    scores : torch.nn.Module
        Standardisation and weights: (P, D) hypercolumns to (P, 1 + C) scores.
    classes : tuple of str
        Names of the C classes.
    """

    taps: Any
    scores: Any
    classes: tuple[str, ...]

    def __repr__(self) -> str:
        return f"HypercolumnSvm({len(self.classes)} classes, {self.taps.channels} channels)"


def fit_svm(
    clips: Sequence[LabelledClip],
    *,
    recipe: Recipe,
    augmentation: Augmentation = _IDENTITY,
    device: str = "cpu",
    out: Path | None = None,
    stop_after: int | None = None,
    encoder_weights: str | Path | None = None,
    width: int | None = None,
    solver: Literal["auto", "liblinear", "sgd"] = "auto",
    max_points: int = 50_000,
    shrink: int = 1,
    cost: float = 1e-3,
    batch_points: int = 1024,
    block_frames: int = 4,
    block_steps: int = 16,
) -> tuple[HypercolumnSvm, TrainingRun]:
    """Train a linear SVM on VGG-16 hypercolumns of labelled pixels (C19's SVM experiment).

    Parameters
    ----------
    clips : sequence of LabelledClip
        One labelled pixel or more in all, of one size and one list of classes. A clip of C noised copies gives each
        frame C times, with noise of its own that is the same whenever that copy is read again.
    recipe : Recipe
        Its seed, and all of it for ``sgd``: iterations are steps of ``batch_points`` pixels, ``weight_decay`` is the
        regularisation; the optimizer should be ``sgd``.
    augmentation : Augmentation
        Must be the identity: an SVM is a fit to a fixed set of pixels, which are standardised over all of them first.
    device : str
        Where hypercolumns, and the steps of ``sgd``, are computed; liblinear is on the CPU.
    out : Path or None
        See `train`; liblinear, which is done or not, leaves nothing there.
    stop_after : int or None
        See `train`; for ``sgd`` only.
    encoder_weights : path or None
        Of torchvision's ``vgg16`` or ``vgg16_bn``; None draws random weights from the recipe's seed.
    width : int or None
        Channels of VGG's first block; None is the file's, or 64. A hypercolumn is 23 times as long: 1472.
    solver : {"auto", "liblinear", "sgd"}
        ``liblinear`` minimises squared hinge loss exactly, with all pixels in memory (41 kB each at the full width: 28
        bytes a channel); ``sgd`` minimises hinge loss over blocks of frames that are computed when their turn comes.
        ``auto`` is liblinear up to ``max_points`` labelled pixels, and sgd above.
    max_points : int
        Labelled pixels, copies counted, that liblinear may get.
    shrink : int
        Every how many pixels, down and across, the truth is taken; 1 is all of them.
    cost : float
        C of liblinear, above 0: the weight of the sum of losses against half the squared norm of the weights. Larger
        ones take longer, and fit the pixels of a few frames whatever they show.
    batch_points : int
        Pixels of a step of ``sgd``.
    block_frames : int
        Frames of a block: the levels of VGG of so many are held at once, about 480 bytes a pixel.
    block_steps : int
        Steps on one block, before frames take turns as `visits` says.

    Returns
    -------
    model : HypercolumnSvm
        For `predict_svm`. A class that no labelled pixel shows is never predicted.
    run : TrainingRun
        Of ``sgd`` the hinge losses and rates of its steps; of liblinear one loss, the mean squared hinge loss per
        pixel that it reached, and a rate of NaN.

    Raises
    ------
    InputError, StoreError
        As `train` and `evfr.models.vgg_taps` do; or liblinear does not converge.
    ValueError
        If there is no labelled pixel, clips do not fit together, pictures should be changed, there are too many pixels
        for ``liblinear``, or a number is out of range.
    """
    if not augmentation.is_identity:
        raise ValueError(
            "an SVM fits a fixed set of pixels, so that pictures cannot change while it learns: "
            f"augmentation must be the identity, got {augmentation}"
        )
    if solver not in ("auto", "liblinear", "sgd"):
        raise ValueError(f"solver must be auto, liblinear or sgd, got {solver!r}")
    counts = (max_points, shrink, batch_points, block_frames, block_steps)
    if min(counts) < 1:
        raise ValueError(
            "max_points, shrink, batch_points, block_frames and block_steps must be 1 or more, "
            f"got {', '.join(map(str, counts))}"
        )
    if not 0 < cost < float("inf"):
        raise ValueError(f"cost must be above 0, got {cost}")
    points = LabelledPoints(clips, seed=recipe.seed, shrink=shrink)
    is_exact = solver == "liblinear" or (solver == "auto" and points.count <= max_points)
    if is_exact and points.count > max_points:
        raise ValueError(
            f"{points.count} labelled pixels are more than max_points = {max_points}: raise it if memory allows, "
            "take fewer by shrink, or let solver be sgd"
        )
    taps = vgg_taps(encoder_weights, width=width, seed=recipe.seed).to(device)
    scores = _column_scores(taps.channels, 1 + len(points.classes)).to(device)
    scores.is_seen.copy_(require("torch", extra="train").from_numpy(points.is_seen))
    model = HypercolumnSvm(taps, scores, points.classes)
    if is_exact:
        return model, _fit_liblinear(model, points, recipe, cost)
    if out is not None:
        make_folder(out)
    # A checkpoint brings the standardisation, which costs a look at every frame.
    if out is None or not (out / CHECKPOINT).exists():
        points.standardise(taps, scores)
    draw = block_draw(points, taps, recipe.seed, batch_points, block_frames, block_steps)
    run = train(scores, draw, _hinge, recipe, out=out, stop_after=stop_after, label="training the SVM")
    blocks = -(-len(run.loss) // block_steps)
    return model, replace(run, visits=visit_bounds(len(points), block_frames, blocks))


def predict_svm(model: HypercolumnSvm, images: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Give each pixel of pictures the class whose score is highest.

    Parameters
    ----------
    model : HypercolumnSvm
        As trained or loaded.
    images : (F, H, W, 3) uint8
        RGB of any size.

    Returns
    -------
    (F, H, W) uint8
        0 for background, 1 + class.

    Raises
    ------
    ValueError
        If pictures are of another shape or type.
    """
    torch = require("torch", extra="train")
    found = np.zeros(images.shape[:3], np.uint8)
    device = model.scores.weight.device
    with torch.inference_mode():
        for place in range(len(images)):
            levels = model.scores.score_levels(levels_of(model.taps, images[place : place + 1]))
            y, x = (centres(torch, side, side, device) for side in images.shape[1:3])
            total = model.scores.bias + sum(
                resized(torch, level, stride, y, x)
                for level, stride in zip(levels, model.taps.strides, strict=True)
            )
            best = total.masked_fill(~model.scores.is_seen, -torch.inf).argmax(dim=3)
            found[place] = best[0].to(torch.uint8).cpu().numpy()
    return found


def save_svm(model: HypercolumnSvm, path: Path) -> None:
    """Write an SVM with the network under it: all that is needed to use it.

    Parameters
    ----------
    model : HypercolumnSvm
        As trained.
    path : Path
        The file, as a rule ``.safetensors``; replaced where it exists.

    Raises
    ------
    StoreError
        If it cannot be written.
    """
    state: dict[str, Any] = {"format": _FORMAT, "classes": list(model.classes)}
    state |= {"width": model.taps.width, "batch_norm": model.taps.batch_norm}
    for part in ("taps", "scores"):
        state[part] = {name: tensor.cpu() for name, tensor in getattr(model, part).state_dict().items()}
    write_state(state, path, extra="train")


def load_svm(path: Path, *, device: str = "cpu") -> HypercolumnSvm:
    """Read what `save_svm` wrote.

    Parameters
    ----------
    path : Path
        The file.
    device : str
        Where to compute.

    Returns
    -------
    HypercolumnSvm
        It predicts what the saved one did.

    Raises
    ------
    InputError
        If there is no such file, or it holds something else.
    """
    file_state(path)
    try:
        state = read_state(path, extra="train")
        kind = state["format"]
    except UNREADABLE as error:
        raise InputError(f"{path} is no SVM of evfr: {error!s:.200}") from error
    if kind != _FORMAT:
        raise InputError(f"{path} is no SVM of evfr (format {kind!r})")
    try:
        check_width(state["width"], state["taps"], 576)
        taps = vgg_taps(width=state["width"], batch_norm=state["batch_norm"])
        taps.load_state_dict(state["taps"])
        classes = tuple(state["classes"])
        scores = _column_scores(taps.channels, 1 + len(classes))
        scores.load_state_dict(state["scores"])
    except UNREADABLE as error:
        raise InputError(f"{path} is no whole SVM of evfr: {error!s:.300}; train it again") from error
    return HypercolumnSvm(taps.to(device), scores.to(device).eval(), classes)


def _column_scores(channels: int, outputs: int) -> Any:
    require("torch", extra="train")
    return require("evfr.models._vgg_unet_modules", extra="train").ColumnScores(channels, outputs)


def _fit_liblinear(model: HypercolumnSvm, points: LabelledPoints, recipe: Recipe, cost: float) -> TrainingRun:
    torch = require("torch", extra="train")
    svm = require("sklearn.svm", extra="train")
    failure = require("sklearn.exceptions", extra="train").ConvergenceWarning
    begin = time.perf_counter()
    columns, labels = points.all_columns(model.taps)
    mean = columns.mean(axis=0, dtype=np.float64)
    deviation = usable_deviation(mean, columns.std(axis=0, dtype=np.float64))
    model.scores.mean.copy_(torch.from_numpy(mean))
    model.scores.deviation.copy_(torch.from_numpy(deviation))
    columns -= mean
    columns /= deviation
    present = np.unique(labels)
    loss = 0.0
    if len(present) > 1:
        progress = current_progress()
        progress.start("training the SVM", None)
        solver = svm.LinearSVC(
            dual=False, C=cost, max_iter=_MAX_NEWTON_STEPS, random_state=recipe.seed % 2**32
        )
        with warnings.catch_warnings():
            warnings.simplefilter("error", failure)
            try:
                solver.fit(columns, labels)
            except failure as error:
                raise InputError(
                    f"liblinear did not converge on {len(labels)} pixels in {_MAX_NEWTON_STEPS} steps: "
                    f"lower cost ({cost:g}), or let solver be sgd"
                ) from error
        progress.finish()
        rows, bias = solver.coef_, solver.intercept_
        if len(present) == 2:  # scikit-learn keeps the second of two classes only
            rows, bias = np.concatenate([-rows, rows]), np.concatenate([-bias, bias])
        with torch.no_grad():
            for place, output in enumerate(present.tolist()):
                model.scores.weight[output] = torch.from_numpy(rows[place])
                model.scores.bias[output] = float(bias[place])
        sign = np.where(labels[:, None] == present, 1.0, -1.0)
        loss = float((np.maximum(0, 1 - sign * (columns @ rows.T + bias)) ** 2).sum(axis=1).mean())
    model.scores.eval()
    return TrainingRun(np.array([loss]), np.array([np.nan]), time.perf_counter() - begin, 0, visits=(1, 1))


def _hinge(scores: Any, batch: tuple[Any, Any]) -> Any:
    """Return the hinge loss of all outputs together, one against the rest, mean over the pixels that are judged."""
    torch = require("torch", extra="train")
    columns, labels = batch
    found = scores(columns)
    is_own = labels[:, None] == torch.arange(found.shape[1], device=labels.device)
    losses = (1 - torch.where(is_own, found, -found)).clamp_min(0).sum(dim=1)
    is_judged = labels != IGNORE_ID
    return (losses * is_judged).sum() / is_judged.sum().clamp_min(1)

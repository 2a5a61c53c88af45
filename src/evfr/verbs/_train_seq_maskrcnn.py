"""What `evfr train seq-maskrcnn` does: labelled videos and images in, two stages, a detector that opens as it is."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from evfr.training import Recipe, TrainingRun
    from evfr.verbs._train_frames import LabelledVideo, VideoFrames

__all__ = ["check_settings", "seq_maskrcnn"]

_FROZEN: dict[str, tuple[str, ...]] = {"none": (), "stem": ("conv1", "layer1"), "backbone": ("",)}


def seq_maskrcnn(
    clips: Callable[[], Iterable[LabelledVideo]],
    *,
    recipe: Recipe,
    out: Path,
    stage: Literal["1", "2", "both"] = "2",
    stage1_iterations: int | None = None,
    images: Path | None = None,
    image_labels: Path | None = None,
    image_share: float = 0.5,
    category_map: str = "by-name",
    other_classes: Literal["fail", "hide"] = "fail",
    background: Literal["keep", "fill"] = "keep",
    weights: Path | None = None,
    backbone: str = "resnet50",
    channels: int = 256,
    size: Sequence[int] = (640, 320),
    frames: int = 3,
    max_skip: int = 5,
    max_degrees: float = 30.0,
    objects: int = 5,
    batch_size: int = 1,
    freeze: Literal["none", "stem", "backbone"] = "none",
    max_gradient_norm: float = 35.0,
    memory_every: int = 5,
    memory_limit: int = 10,
    device: str = "cpu",
) -> tuple[TrainingRun, int, tuple[Path, ...]]:
    """Train Mask R-CNN and its sequence-propagation head in two stages (Lin et al. 2021, section 4.1).

    Parameters
    ----------
    clips : callable
        Gives the labelled videos.
    recipe : Recipe
        Of the loop, for each stage.
    out : Path
        Where files are written.
    stage : {"1", "2", "both"}
        Stage 1 learns from images, made into clips by rotation, and from videos; stage 2 from videos alone, starting
        from stage 1 where both are asked.
    stage1_iterations : int or None
        Iterations of stage 1; none are as many as of stage 2. The paper has 4 epochs and 5.
    images : Path or None
        Folder or zip of images for stage 1.
    image_labels : Path or None
        COCO instances of those images, whose classes are the videos' by name.
    image_share : float
        Share of images among the clips of stage 1.
    category_map : str
        JSON or TOML file, or name of a published map, that joins classes of the images first.
    other_classes : {"fail", "hide"}
        What becomes of objects on images whose class the videos lack: an error, or the mean colour.
    background : {"keep", "fill"}
        ``fill`` hides what lies outside all objects of an image, for images that are annotated sparsely.
    weights : Path or None
        Start from this state dict: of this network, or torchvision's Mask R-CNN with this backbone; none starts from
        random weights.
    backbone : str
        A ResNet or ResNeXt of torchvision, for example ``resnet18``.
    channels : int
        Width of the feature pyramid and the heads; 256 for published weights.
    size : sequence of int
        Longer and shorter side that pictures are scaled into, keeping their aspect.
    frames : int
        Frames of a clip.
    max_skip : int
        Labelled frames from one frame of a clip to the next, at most.
    max_degrees : float
        Rotation of images to both sides.
    objects : int
        Objects of a clip that are carried, at most.
    batch_size : int
        Clips per iteration.
    freeze : {"none", "stem", "backbone"}
        Which part of the backbone stays as it is. The paper's code has ``stem``: the first convolution and stage, of
        ImageNet weights.
    max_gradient_norm : float
        Gradients of all weights together are scaled down to this norm where it is higher, 35 in the paper's code;
        0 leaves them.
    memory_every : int
        Of the detector that is written: frames from one that its propagation remembers to the next.
    memory_limit : int
        Of the detector that is written: frames that its propagation remembers at most.
    device : str
        Where to train, for example ``cuda``.

    Returns
    -------
    run : TrainingRun
        Losses and rates of all stages, one after the other.
    sample_count : int
        Labelled frames of the videos, and images of stage 1.
    files : tuple of Path
        ``model.safetensors`` and ``model.json``.

    Raises
    ------
    AnnotationError
        If labels do not fit videos or images.
    InputError
        If weights do not load.
    ValueError
        If an option is out of range, or images are given without labels, without stage 1, or are missing for it.
    """
    from evfr.models import seq_maskrcnn as build
    from evfr.models import write_seq_maskrcnn
    from evfr.models._seq_maskrcnn_session import check_memory
    from evfr.training import sequence_draw, train_seq_maskrcnn
    from evfr.verbs._train_frames import labelled_images

    _check_options(stage, freeze, background, other_classes)
    _check_images(stage, images, image_labels)
    check_memory(memory_every, memory_limit, 0)
    recipe = replace(recipe, max_gradient_norm=max_gradient_norm)
    stages = [(number, recipe) for number in ((1, 2) if stage == "both" else (int(stage),))]
    if stages[0][0] == 1 and stage1_iterations is not None:
        warmup = min(recipe.warmup, max(stage1_iterations - 1, 0))
        stages[0] = 1, replace(recipe, iterations=stage1_iterations, warmup=warmup)
    labelled = list(clips())
    categories = labelled[0].labels.categories
    module = build(
        weights,
        class_count=len(categories),
        backbone=backbone,
        channels=channels,
        size=size,
        seed=recipe.seed,
    ).to(device)
    fresh = module.fresh
    for part in _FROZEN[freeze]:
        module.backbone.body.get_submodule(part).requires_grad_(False)
    stills = None
    if images is not None and image_labels is not None:
        stills = labelled_images(
            images, image_labels, categories, category_map=category_map, other_classes=other_classes
        )
    videos = _kept(labelled, out / "frames")
    settings: dict[str, Any] = {
        "frames": frames,
        "max_skip": max_skip,
        "max_degrees": max_degrees,
        "objects": objects,
        "batch_size": batch_size,
        "freeze": freeze,
        "network": dict(module.settings),
        "weights": None if weights is None else str(weights),
        "videos": [
            [piece.video.video_id, len(piece.video.frame_index), len(piece.labels)] for piece in labelled
        ],
    }
    runs = []
    for number, its_recipe in stages:
        shown = stills if number == 1 else None
        draw = sequence_draw(
            videos,
            shown,
            image_share=image_share,
            frames=frames,
            max_skip=max_skip,
            max_degrees=max_degrees,
            fill=background == "fill",
        )
        of_images = {"images": str(image_labels), "image_share": image_share, "background": background}
        folder = out / f"stage{number}"
        check_settings(folder, {**settings, **(of_images if number == 1 else {})})
        runs.append(
            train_seq_maskrcnn(module, draw, its_recipe, objects=objects, batch_size=batch_size, out=folder)
        )
    count = sum(len(video) for video in videos)
    if stills is not None:
        count += len(stills.starts)
        stills.close()
    files = write_seq_maskrcnn(
        module,
        out,
        categories=categories,
        memory_every=memory_every,
        memory_limit=memory_limit,
        training={
            "stages": {str(number): asdict(its_recipe) for number, its_recipe in stages},
            "random_at_start": list(fresh),
            **settings,
        },
    )
    return _joined(runs), count, files


def _kept(labelled: Sequence[LabelledVideo], folder: Path) -> list[VideoFrames]:
    """Return the readers of all videos; frames of video files are kept on disk first."""
    from evfr._core.progress import current_progress
    from evfr.verbs._train_frames import VideoFrames

    progress = current_progress()
    progress.start("reading labelled frames", len(labelled))
    found = []
    for number, piece in enumerate(labelled):
        found.append(VideoFrames(piece, folder / f"{number:05d}"))
        progress.advance(1, piece.video.video_id)
    progress.finish()
    return found


def check_settings(folder: Path, settings: dict[str, Any]) -> None:
    """Refuse to go on with training that was begun with other settings; note those of a new one.

    Parameters
    ----------
    folder : Path
        Where its checkpoint is, if there is one.
    settings : dict
        JSON-ready.

    Raises
    ------
    InputError
        If there is a checkpoint of other settings.
    """
    from evfr._core.atomic import atomic_write_bytes, make_folder
    from evfr.errors import InputError

    note, wanted = folder / "settings.json", json.dumps(settings, sort_keys=True)
    if (folder / "checkpoint.safetensors").exists() and (
        not note.is_file() or note.read_text("utf-8") != wanted
    ):
        raise InputError(
            f"{folder} has a checkpoint of a run with other videos, images or options (see {note}); "
            "train into another folder, or delete it to start anew"
        )
    make_folder(folder)
    atomic_write_bytes(note, wanted.encode())


def _joined(runs: Sequence[TrainingRun]) -> TrainingRun:
    """Return the stages as one run."""
    import numpy as np

    from evfr.training import TrainingRun

    return TrainingRun(
        np.concatenate([run.loss for run in runs]),
        np.concatenate([run.learning_rate for run in runs]),
        sum(run.seconds for run in runs),
        sum(run.resumed_at for run in runs),
    )


def _check_options(stage: str, freeze: str, background: str, other_classes: str) -> None:
    if stage not in ("1", "2", "both"):
        raise ValueError(f"stage must be one of 1, 2, both, got {stage!r}")
    if freeze not in _FROZEN:
        raise ValueError(f"freeze must be one of {', '.join(_FROZEN)}, got {freeze!r}")
    if background not in ("keep", "fill"):
        raise ValueError(f"background must be keep or fill, got {background!r}")
    if other_classes not in ("fail", "hide"):
        raise ValueError(f"other_classes must be fail or hide, got {other_classes!r}")


def _check_images(stage: str, images: Path | None, image_labels: Path | None) -> None:
    if (images is None) != (image_labels is None):
        raise ValueError(
            f"images need labels and labels need images, got images={images} and image_labels={image_labels}"
        )
    if stage == "2" and images is not None:
        raise ValueError("images are used in stage 1 only; give stage='1' or 'both', or leave them out")
    if stage != "2" and images is None:
        raise ValueError(
            f"stage {stage!r} learns from images as well: give images and image_labels, or stage='2' for videos alone"
        )

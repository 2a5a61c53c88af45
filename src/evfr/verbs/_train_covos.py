"""What `evfr train covos` does with labelled clips: samples, the loop, and files that the decoder is used from."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from evfr.training import CovosSamples, Recipe, TrainingRun
    from evfr.verbs._train_clips import LabelledClip

__all__ = ["covos"]


def covos(
    clips: Callable[[], Iterable[LabelledClip]],
    *,
    recipe: Recipe,
    out: Path,
    batch_size: int = 4,
    b_count: int = 3,
    warp: Literal["weighted", "mean"] = "weighted",
    crop: int = 32,
    crops_per_frame: int = 2,
    features: Path | None = None,
    weights: Path | None = None,
    device: str = "cpu",
) -> tuple[TrainingRun, int, tuple[Path, ...]]:
    """Train the decoder of CoVOS on what labelled clips become when they are carried (Xu & Yao 2022, section 4).

    Parameters
    ----------
    clips : callable
        Gives the labelled clips.
    recipe : Recipe
        Of the loop.
    out : Path
        Where files are written.
    batch_size : int
        Crops per iteration.
    b_count : int
        B pictures between the anchors of the proxy that gives the vectors.
    warp : {"weighted", "mean"}
        As in ``evfr propagate --method covos``; use the decoder with the warp that it was trained on.
    crop : int
        Side of a crop, in cells of 4 pixels.
    crops_per_frame : int
        Crops of each B picture.
    features : Path or None
        A state dict of ResNet-50 for the low-level features, as the paper uses; None draws random ones, which are
        written beside the decoder and must be used with it.
    weights : Path or None
        Start from this decoder; None starts from random weights.
    device : str
        Where to train, for example ``cuda``.

    Returns
    -------
    run : TrainingRun
        Losses and rates.
    sample_count : int
        Crops that it was trained on.
    files : tuple of Path
        ``decoder.safetensors`` and ``features.safetensors``.

    Raises
    ------
    InputError
        If weights do not load or no clip has an object on a B picture.
    """
    from evfr._core.lazy import require
    from evfr.models import covos_decoder, low_level_features
    from evfr.training import train_covos

    save = require("safetensors.torch", extra="train").save
    from evfr._core.atomic import atomic_write_bytes

    base = low_level_features(features, seed=recipe.seed)
    decoder = covos_decoder(weights, seed=recipe.seed).to(device)
    settings = {
        "b_count": b_count,
        "warp": warp,
        "crop": crop,
        "crops_per_frame": crops_per_frame,
        "seed": recipe.seed,
        "features": None if features is None else str(features),
    }
    samples = _samples(clips, base, decoder, settings, out / "samples", device)
    run = train_covos(decoder, samples, recipe, batch_size=batch_size, out=out)
    files = out / "decoder.safetensors", out / "features.safetensors"
    for path, module in zip(files, (decoder, base), strict=True):
        tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in module.state_dict().items()}
        atomic_write_bytes(path, save(tensors))
    return run, len(samples), files


def _samples(
    clips: Callable[[], Iterable[LabelledClip]],
    base: Any,
    decoder: Any,
    settings: dict[str, Any],
    folder: Path,
    device: str,
) -> CovosSamples:
    """Return the stored samples of an earlier call with the same settings and clips, or make and store them."""
    from evfr._core.atomic import atomic_write_bytes
    from evfr._core.progress import current_progress
    from evfr._core.rng import generator, spawn_seed
    from evfr.errors import InputError
    from evfr.models import CovosNetwork
    from evfr.training import CovosSamples, covos_samples
    from evfr.video import proxy_clip

    progress = current_progress()
    progress.start("carrying labelled clips")
    pieces = list(clips())
    wanted = json.dumps({**settings, "clips": [piece.name for piece in pieces]}, sort_keys=True)
    note = folder / "settings.json"
    if note.is_file() and note.read_text() == wanted:
        progress.finish()
        return CovosSamples.load(folder)

    def coded() -> Iterable[tuple[Any, Any, Any]]:
        for piece in pieces:
            frames, masks = piece.load()
            progress.advance(1, piece.name)
            yield frames, masks, proxy_clip(frames, b_count=settings["b_count"])

    try:
        samples = covos_samples(
            coded(),
            CovosNetwork(base, decoder, device=device),
            rng=generator(spawn_seed(settings["seed"], "crops")),
            crops_per_frame=settings["crops_per_frame"],
            crop=settings["crop"],
            warp=settings["warp"],
        )
    except ValueError as error:
        raise InputError(f"nothing to train on: {error}") from error
    samples.save(folder)
    atomic_write_bytes(note, wanted.encode())
    progress.finish()
    return samples

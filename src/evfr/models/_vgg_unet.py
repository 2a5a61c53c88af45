"""Builders of the VGG-16 family: networks that give each pixel a class, and the levels of hypercolumns."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from evfr._core.lazy import require
from evfr._core.rng import spawn_seed
from evfr._core.tensor_files import read_state_dict
from evfr.errors import InputError
from evfr.models._state import load_by_name

__all__ = ["SEGMENTERS", "vgg_segmenter", "vgg_taps"]

SEGMENTERS = ("unet", "deep-unet", "vgg")
FULL_WIDTH = 64
_CLASSIFIER = ("classifier.",)


def _modules() -> Any:
    require("torch", extra="train")
    return require("evfr.models._vgg_unet_modules", extra="train")


def vgg_segmenter(
    kind: str,
    outputs: int,
    *,
    encoder_weights: str | Path | None = None,
    width: int | None = None,
    batch_norm: bool = True,
    seed: int = 0,
) -> Any:
    """Build a network with a VGG-16 encoder that gives each pixel a class (Ronneberger et al. 2015; Long et al. 2015).

    Parameters
    ----------
    kind : {"unet", "deep-unet", "vgg"}
        ``unet`` works at 5 resolutions, from 1 to 1/16, with a skip from each block of the encoder; ``deep-unet`` at
        6, down to 1/32; ``vgg`` scores the last pooling (1/32) and enlarges the scores by bilinear interpolation,
        without skips.
    outputs : int
        Classes with the background, 2 to 254.
    encoder_weights : path or None
        State dict of torchvision's ``vgg16`` or ``vgg16_bn`` (``.safetensors``), of
        which ``features.*`` is used. The file decides the width and whether there is batch normalisation, in the
        decoder too. None draws random weights.
    width : int or None
        Channels of the first block; the others have 2, 4, 8 and 8 times as many. None is the file's, or 64.
    batch_norm : bool
        Of random weights: whether convolutions are followed by batch normalisation, in the decoder too.
    seed : int
        Of random weights.

    Returns
    -------
    torch.nn.Module
        (B, 3, H, W) in [0, 1] RGB to scores (B, outputs, H, W), for every H and W: sides that the smallest resolution
        does not divide are filled up by repeating the border, and cut again. Pictures are normalised inside.

    Raises
    ------
    MissingExtraError
        If torch is not installed.
    InputError
        If the file cannot be read or does not fit.
    ValueError
        If a number is out of range, or ``width`` is not the file's.

    References
    ----------
    .. [1] Chataigner, Herbin, Chan-Hon-Tong: Pertinence of Video for Single Image Deep Network.
    """
    if kind not in SEGMENTERS:
        raise ValueError(f"kind must be one of {', '.join(SEGMENTERS)}, got {kind!r}")
    if not 2 <= outputs <= 254:
        raise ValueError(f"outputs must be 2 to 254 classes with the background, got {outputs}")
    return _built(
        lambda form: _modules().VggSegmenter(kind, outputs, *form), encoder_weights, width, batch_norm, seed
    )


def vgg_taps(
    encoder_weights: str | Path | None = None,
    *,
    width: int | None = None,
    batch_norm: bool = False,
    seed: int = 0,
) -> Any:
    """Build the levels of VGG-16 that hypercolumns are made of: conv1_2, conv2_2, conv3_3, conv4_3 and pool5.

    Parameters
    ----------
    encoder_weights : path or None
        As in `vgg_segmenter`. None draws random weights, which know edges and colours but no things.
    width : int or None
        As in `vgg_segmenter`.
    batch_norm : bool
        Of random weights.
    seed : int
        Of random weights.

    Returns
    -------
    torch.nn.Module
        (B, 3, H, W) in [0, 1] RGB to five tensors (B, C_l, ceil(H / 32) 32 / s_l, ceil(W / 32) 32 / s_l) with C = 64,
        128, 256, 512, 512 (1472 in all) and s = 1, 2, 4, 8, 32, each after its ReLU. Fixed, in evaluation mode.

    Raises
    ------
    MissingExtraError, InputError, ValueError
        As `vgg_segmenter` does.
    """
    return _built(lambda form: _modules().VggTaps(*form), encoder_weights, width, batch_norm, seed)


def _built(
    build: Callable[[tuple[int, bool]], Any],
    encoder_weights: str | Path | None,
    width: int | None,
    batch_norm: bool,
    seed: int,
) -> Any:
    if width is not None and width < 1:
        raise ValueError(f"width must be 1 or more channels, got {width}")
    torch = require("torch", extra="train")
    state: dict[str, Any] = {}
    form = FULL_WIDTH if width is None else width, batch_norm
    if encoder_weights is not None:
        path = Path(encoder_weights)
        state = read_state_dict(path, extra="train")
        form = _form_of(state, path)
        if width not in (None, form[0]):
            raise ValueError(
                f"width is {form[0]} in {path}, got {width}; leave it out where weights are given"
            )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(spawn_seed(seed, "vgg"))
        module = build(form)
    if encoder_weights is not None:
        encoder = torch.nn.ModuleDict({"features": module.features})
        load_by_name(encoder, state, Path(encoder_weights), ignore=_CLASSIFIER)
    return module


def _form_of(state: dict[str, Any], path: Path) -> tuple[int, bool]:
    """Return the width and whether there is batch normalisation."""
    first = state.get("features.0.weight")
    if first is None or first.ndim != 4:
        some = ", ".join(sorted(state)[:4]) or "nothing"
        raise InputError(
            f"{path} has no features.0.weight of a convolution; it has {some}: give the state dict of torchvision's "
            "vgg16 or vgg16_bn"
        )
    return int(first.shape[0]), "features.1.running_mean" in state

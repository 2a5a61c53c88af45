"""Read a transformers image processor's JSON as a `Preprocess`, without transformers."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from evfr.embeddings._preprocess import IMAGENET_MEAN, IMAGENET_STD, Fit, Preprocess
from evfr.errors import InputError

__all__ = ["preprocess_from_config", "preprocess_from_folder"]

CONFIG_FILES = ("preprocessor_config.json", "processor_config.json")
FILTERS: dict[int, Literal["nearest", "lanczos", "bilinear", "bicubic", "box", "hamming"]] = {
    0: "nearest",
    1: "lanczos",
    2: "bilinear",
    3: "bicubic",
    4: "box",
    5: "hamming",
}
"""Pillow's numbers of filters, as the JSON has them."""

_CLIP = {
    "size": {"shortest_edge": 224},
    "crop_size": 224,
    "do_center_crop": True,
    "resample": 3,
    "image_mean": [0.48145466, 0.4578275, 0.40821073],
    "image_std": [0.26862954, 0.26130258, 0.27577711],
}
_HALF = {"image_mean": [0.5] * 3, "image_std": [0.5] * 3}
_SQUARE = {"height": 224, "width": 224}
_IMAGENET = {"image_mean": list(IMAGENET_MEAN), "image_std": list(IMAGENET_STD)}
DEFAULTS: dict[str, dict[str, Any]] = {
    "BitImageProcessor": _CLIP,
    "CLIPImageProcessor": _CLIP,
    "ViTImageProcessor": {"size": _SQUARE, "resample": 2, **_HALF},
    "SiglipImageProcessor": {"size": _SQUARE, "resample": 3, **_HALF},
    "DINOv3ViTImageProcessor": {"size": _SQUARE, "resample": 2, **_IMAGENET},
    "ConvNextImageProcessor": {
        "size": {"shortest_edge": 384},
        "resample": 3,
        "crop_pct": 224 / 256,
        **_HALF,
    },
}
"""What each image processor of transformers takes where its JSON says nothing."""
LARGEST_EDGE = 16_384
"""No model takes pictures with a longer edge; a file that asks for one would only fill the memory."""
SHORTEST_BY_NUMBER = ("BitImageProcessor", "CLIPImageProcessor", "ConvNextImageProcessor")
"""Old files give the size as one number: the shortest edge here, a square elsewhere."""


def preprocess_from_folder(folder: Path) -> Preprocess:
    """Read ``preprocessor_config.json``, or the image part of ``processor_config.json``.

    Raises
    ------
    InputError
        If there is neither, or it says what `preprocess_from_config` refuses.
    """
    for name in CONFIG_FILES:
        path = folder / name
        if not path.is_file():
            continue
        try:
            config = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError, RecursionError) as error:
            raise InputError(f"cannot read {path}: {error}") from error
        config = config.get("image_processor", config) if isinstance(config, dict) else config
        if not isinstance(config, dict):
            raise InputError(f"cannot read {path}: it holds no image processor")
        try:
            return preprocess_from_config(config)
        except ValueError as error:
            raise InputError(f"{path}: {error}") from error
    raise InputError(
        f"{folder} has no {CONFIG_FILES[0]}: how the model wants its pictures is not guessed; "
        "save its image processor there (AutoImageProcessor...save_pretrained)"
    )


def preprocess_from_config(config: Mapping[str, Any]) -> Preprocess:
    """Return what a transformers image processor does, from its JSON.

    Parameters
    ----------
    config : mapping
        As in ``preprocessor_config.json``.

    Returns
    -------
    Preprocess

    Raises
    ------
    ValueError
        If the processor is not one of those of ViT, DINOv2, DINOv3, CLIP, SigLIP, Swin and ConvNeXt models, or a
        value has a form they do not have.
    """
    kind = _kind(config)
    values = {**DEFAULTS[kind], **{key: value for key, value in config.items() if value is not None}}
    if values.get("do_pad"):
        raise ValueError(f"{kind} with do_pad is not supported")
    if not isinstance(values["resample"], int) or values["resample"] not in FILTERS:
        raise ValueError(f"resample must be one of Pillow's filters 0 to 5, got {values['resample']!r}")
    fit: Fit = "none"
    size: int | tuple[int, int] | None = None
    crop: tuple[int, int] | None = None
    if values.get("do_resize", True):
        fit, size = _size(values["size"], kind)
        if kind == "ConvNextImageProcessor":
            fit, size, crop = _convnext(size, _number(values["crop_pct"], "crop_pct"))
    if values.get("do_center_crop"):
        crop = _pair(values.get("crop_size"))
    is_normalised = values.get("do_normalize", True)
    return Preprocess(
        fit,
        size,
        FILTERS[values["resample"]],
        crop,
        rescale=_number(values.get("rescale_factor", 1 / 255), "rescale_factor")
        if values.get("do_rescale", True)
        else 1.0,
        mean=_three(values["image_mean"]) if is_normalised else (0.0, 0.0, 0.0),
        std=_three(values["image_std"]) if is_normalised else (1.0, 1.0, 1.0),
    )


def _kind(config: Mapping[str, Any]) -> str:
    name = str(config.get("image_processor_type") or config.get("feature_extractor_type") or "")
    kind = name.replace("FeatureExtractor", "ImageProcessor").removesuffix("Fast").removesuffix("Pil")
    if kind not in DEFAULTS:
        raise ValueError(
            f"the image processor {name or '(not named)'} is not known; known are {', '.join(sorted(DEFAULTS))}"
        )
    return kind


def _size(size: Any, kind: str) -> tuple[Fit, int | tuple[int, int]]:
    if isinstance(size, int):
        size = {"shortest_edge": size} if kind in SHORTEST_BY_NUMBER else {"height": size, "width": size}
    if isinstance(size, Mapping):
        size = {key: value for key, value in size.items() if value is not None}
        if set(size) == {"shortest_edge"} and isinstance(size["shortest_edge"], int):
            return "shortest", _edge(size["shortest_edge"])
        if set(size) == {"height", "width"}:
            return "exact", _pair(size)
    raise ValueError(f"size must be height and width, or the shortest edge, got {size!r}")


def _convnext(
    size: int | tuple[int, int] | None, crop_pct: float
) -> tuple[Fit, int | tuple[int, int], tuple[int, int] | None]:
    """ConvNeXt below 384: a larger shortest edge, then the middle; from 384: a stretched square."""
    if not isinstance(size, int):
        raise ValueError(f"ConvNextImageProcessor needs size as the shortest edge, got {size}")
    if size >= 384:
        return "exact", (size, size), None
    return "shortest", int(size / crop_pct), (size, size)


def _pair(size: Any) -> tuple[int, int]:
    if isinstance(size, int):
        return _edge(size), _edge(size)
    if not isinstance(size, Mapping) or not {"height", "width"} <= set(size):
        raise ValueError(f"crop_size must be height and width, got {size!r}")
    return _edge(size["height"]), _edge(size["width"])


def _edge(value: Any) -> int:
    if not isinstance(value, int) or not 1 <= value <= LARGEST_EDGE:
        raise ValueError(f"a size must be a whole number of pixels, 1 to {LARGEST_EDGE}, got {value!r:.80}")
    return value


def _number(value: Any, name: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 1e-9 < abs(value) < 1e9:
        raise ValueError(f"{name} must be a number other than 0, got {value!r:.80}")
    return float(value)


def _three(values: Any) -> tuple[float, float, float]:
    numbers = values if isinstance(values, list) else [values] * 3
    if len(numbers) != 3 or not all(isinstance(one, int | float) and abs(one) < 1e9 for one in numbers):
        raise ValueError(f"image_mean and image_std must be three numbers, got {values!r}")
    return float(numbers[0]), float(numbers[1]), float(numbers[2])

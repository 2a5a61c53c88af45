"""Models with weights in a file of their own: torchvision's ResNet-50 and those of timm."""

from __future__ import annotations

import math
from collections.abc import Hashable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from evfr._core.lazy import require
from evfr._core.tensor_files import files_digest, read_state_dict
from evfr.embeddings._export import onnxruntime_runner, resnet50_to_onnx
from evfr.embeddings._preprocess import Interpolation, Preprocess
from evfr.embeddings._torch import LoadedModel
from evfr.embeddings._weights import load_into

__all__ = [
    "ResNet50Source",
    "TimmSource",
    "resnet50_preprocess",
    "resnet50_source",
    "timm_preprocess",
    "timm_source",
]

RECIPES = {"v1": 256, "v2": 232}
"""The shortest edge before the crop of 224, in torchvision's two sets of ResNet-50 weights."""
V2_SHA256 = "11ad3fa6"
"""How the hash of torchvision's second set begins; torchvision names the file after it."""
RESNET50_WHERE = (
    "resnet50 needs its weights as a file (--weights FILE): torchvision publishes them at "
    "https://download.pytorch.org/models/resnet50-0676ba61.pth (v1) and resnet50-11ad3fa6.pth (v2), to be converted to "
    "safetensors once"
)


@dataclass(frozen=True, slots=True)
class ResNet50Source:
    """torchvision's ResNet-50 up to its last average pooling: D = 2048.

    Attributes
    ----------
    weights : Path
        A state dict.
    digest : str
        Hash of the file.
    preprocess : Preprocess
        Of the recipe.
    runtime : {"torch", "onnxruntime"}
        What runs it.
    """

    weights: Path
    digest: str
    preprocess: Preprocess
    runtime: str = "torch"

    @property
    def parameters(self) -> dict[str, Any]:
        """Name and hash, JSON-ready."""
        known = {"name": "torchvision", "schema": 1, "model": "resnet50", "weights": self.digest}
        return known if self.runtime == "torch" else {**known, "runtime": self.runtime}

    @property
    def cache_key(self) -> Hashable:
        """Equal where the weights in memory would be equal."""
        return "resnet50", self.digest, self.runtime

    def load(self) -> LoadedModel:
        """Read the weights.

        Raises
        ------
        InputError
            If they cannot be read or are not ResNet-50's.
        """
        torch = require("torch", extra="train")
        models = require("torchvision.models", extra="train")
        state = read_state_dict(self.weights, extra="torch")
        network = models.resnet50(weights=None)
        network.fc = torch.nn.Identity()
        load_into(network, state, self.weights, head=("fc",))
        if self.runtime == "onnxruntime":
            run = onnxruntime_runner(resnet50_to_onnx(network.eval()))
            return LoadedModel(torch.nn.Identity(), run)
        return LoadedModel(network, network)


def resnet50_source(
    weights: Path | None,
    *,
    recipe: Literal["v1", "v2"] | None = None,
    runtime: Literal["torch", "onnxruntime"] = "torch",
) -> ResNet50Source:
    """Describe ResNet-50 with the weights of a file (FSD's features in Yoon & Choi 2023).

    Parameters
    ----------
    weights : Path
        A ``.safetensors`` file.
    recipe : {"v1", "v2"}, optional
        Resize to 256 or 232 before the crop of 224. By default v2 where the file is named
        ``resnet50-11ad3fa6`` as torchvision names its second set, else v1.
    runtime : {"torch", "onnxruntime"}
        onnxruntime gives the same vectors to the last digits of float32, on the CPU in two thirds of the time.

    Returns
    -------
    ResNet50Source

    Raises
    ------
    ValueError
        If there are no weights, or the recipe or runtime is unknown.
    InputError
        If the file cannot be read.
    """
    if weights is None:
        raise ValueError(RESNET50_WHERE)
    if runtime not in ("torch", "onnxruntime"):
        raise ValueError(f"runtime must be torch or onnxruntime, got {runtime!r}")
    require("torchvision", extra="train")
    if runtime == "onnxruntime":
        for module in ("onnx", "onnxruntime"):
            require(module, extra="onnx")
    return ResNet50Source(
        weights, files_digest([weights]), resnet50_preprocess(weights, recipe=recipe), runtime
    )


def resnet50_preprocess(weights: Path | None, *, recipe: Literal["v1", "v2"] | None = None) -> Preprocess:
    """Return what torchvision's ResNet-50 wants done to a picture; see `resnet50_source`."""
    if recipe is None:
        is_v2 = weights is not None and weights.name.startswith(f"resnet50-{V2_SHA256}")
        recipe = "v2" if is_v2 else "v1"
    if recipe not in RECIPES:
        raise ValueError(f"recipe must be one of {', '.join(RECIPES)}, got {recipe!r}")
    return Preprocess("shortest", RECIPES[recipe], crop=(224, 224), crop_rounding="even")


@dataclass(frozen=True, slots=True)
class TimmSource:
    """A timm model without its classifier.

    Attributes
    ----------
    model : str
        timm's name.
    weights : Path
        A state dict.
    digest : str
        Hash of the file.
    preprocess : Preprocess
        From timm's data config.
    """

    model: str
    weights: Path
    digest: str
    preprocess: Preprocess

    @property
    def parameters(self) -> dict[str, Any]:
        """Name and hash, JSON-ready."""
        return {"name": "timm", "schema": 1, "model": self.model, "weights": self.digest}

    @property
    def cache_key(self) -> Hashable:
        """Equal where the weights in memory would be equal."""
        return "timm", self.model, self.digest

    def load(self) -> LoadedModel:
        """Read the weights.

        Raises
        ------
        InputError
            If they cannot be read or are not this model's.
        """
        timm = require("timm", extra="train")
        state = read_state_dict(self.weights, extra="torch")
        network = timm.create_model(self.model, pretrained=False, num_classes=0)
        head = network.pretrained_cfg.get("classifier") or ()
        load_into(network, state, self.weights, head=(head,) if isinstance(head, str) else tuple(head))
        return LoadedModel(network, network)


def timm_source(model: str, weights: Path | None) -> TimmSource:
    """Describe a timm model with the weights of a file.

    Raises
    ------
    ValueError
        If timm does not know the model, there are no weights, or its preparation is of a kind we do not have.
    InputError
        If the file cannot be read.
    """
    preprocess = timm_preprocess(model)
    if weights is None:
        raise ValueError(
            f"timm:{model} needs its weights as a file (--weights FILE): "
            f"model.safetensors of https://huggingface.co/timm/{model}"
        )
    return TimmSource(model, weights, files_digest([weights]), preprocess)


def timm_preprocess(model: str) -> Preprocess:
    """Return what timm's evaluation does to a picture for a model, from its data config."""
    timm = require("timm", extra="train")
    if not timm.is_model(model):
        raise ValueError(f"timm has no model {model!r}; timm.list_models('*part*') finds names")
    try:
        known = timm.models.get_pretrained_cfg(model, allow_unregistered=False)
    except RuntimeError as error:
        raise ValueError(
            f"timm has no weights {model!r}; timm.list_pretrained('*part*') finds names"
        ) from error
    config = timm.data.resolve_data_config(pretrained_cfg=known.to_dict())
    return preprocess_from_data_config(config)


def preprocess_from_data_config(config: dict[str, Any]) -> Preprocess:
    """Return a `Preprocess` from timm's data config (``input_size``, ``interpolation``, ``crop_pct`` ...).

    Raises
    ------
    ValueError
        If the crop mode is ``"border"`` or the input has not 3 channels.
    """
    channels, height, width = config["input_size"]
    if channels != 3:
        raise ValueError(f"the model takes {channels} channels, frames have 3")
    larger = tuple(math.floor(side / (config["crop_pct"] or 0.875)) for side in (height, width))
    interpolation: Interpolation = config["interpolation"]
    common: dict[str, Any] = {
        "interpolation": interpolation,
        "crop": (height, width),
        "crop_rounding": "even",
        "mean": tuple(map(float, config["mean"])),
        "std": tuple(map(float, config["std"])),
    }
    if config["crop_mode"] == "center" and larger[0] == larger[1]:
        return Preprocess("shortest", larger[0], **common)
    if config["crop_mode"] == "squash":
        return Preprocess("exact", (larger[0], larger[1]), **common)
    raise ValueError(f"crop_mode {config['crop_mode']!r} of {config['input_size']} is not supported")

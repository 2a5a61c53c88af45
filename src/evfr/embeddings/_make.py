"""From a name to an embedder: which kind it is, and which options that kind takes."""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evfr.embeddings._classic import DctEmbedder, HogEmbedder, HsvEmbedder, ThumbnailEmbedder
from evfr.embeddings._onnx import OnnxEmbedder
from evfr.errors import InputError

if TYPE_CHECKING:
    from evfr.embeddings._preprocess import Preprocess
    from evfr.embeddings._torch import TorchEmbedder

__all__ = ["EMBEDDERS", "MODEL_ALIASES", "make_embedder", "preprocess_of"]

LightEmbedder = ThumbnailEmbedder | HsvEmbedder | HogEmbedder | DctEmbedder

EMBEDDERS: dict[str, LightEmbedder] = {
    "thumbnail": ThumbnailEmbedder(),
    "hsv": HsvEmbedder(),
    "hog": HogEmbedder(),
    "dct": DctEmbedder(),
}
"""Embedders without learning by name: (N, H, W, 3) uint8 RGB to (N, D) float32."""

MODEL_ALIASES = {"dinov2": "facebook/dinov2-base"}
"""Short names of models on the Hugging Face hub."""


def make_embedder(
    name_or_path: str | Path,
    *,
    weights: str | Path | None = None,
    device: str = "auto",
    precision: str = "auto",
    batch_size: int | None = None,
    options: Mapping[str, Any] | None = None,
) -> LightEmbedder | OnnxEmbedder | TorchEmbedder:
    """Return the embedder of a name or of a model file.

    Parameters
    ----------
    name_or_path : str or Path
        One of

        - a key of `EMBEDDERS`: no learning, no extra;
        - a file that ends in ``.onnx`` (extra ``onnx``);
        - ``"dinov2"``, a Hugging Face hub id ``"owner/model"`` or a local model folder (extra ``torch``):
          DINOv2, DINOv3, CLIP, SigLIP, ViT, Swin, ConvNeXt and others of transformers' Auto classes;
        - ``"resnet50"``: torchvision's, up to the last average pooling (extra ``train``);
        - ``"timm:NAME"``: a timm model without its classifier (extra ``train``).
    weights : str or Path, optional
        File of weights, ``.safetensors``: needed for ``resnet50`` and ``timm:NAME``, for no others.
    device : str
        ``"auto"`` (a GPU if there is one), ``"cpu"``, ``"cuda"`` or ``"cuda:N"``.
    precision : {"auto", "fp32", "bf16", "fp16"}
        ``"auto"`` is fp32 on the CPU and bf16 (fp16 where the GPU has no bf16) on a GPU. ONNX files and the
        embedders without learning are fp32.
    batch_size : int, optional
        Pictures per run of the model.
    options : mapping, optional
        What that kind takes besides: the fields of ThumbnailEmbedder and its kin; ``output``, ``layout``,
        ``size``, ``mean``, ``scale``, ``channels``, ``resize``, ``threads`` for ONNX; ``pooling``
        (``"auto"``, ``"pooler"``, ``"mean"``, ``"features"``) and ``revision`` for Hugging Face; ``recipe``
        (``"v1"``, ``"v2"``) and ``runtime`` (``"torch"``, ``"onnxruntime"``: faster on the CPU) for resnet50.

    Returns
    -------
    callable
        (N, H, W, 3) uint8 RGB to (N, D) float32, with ``parameters``; models are a `ModelEmbedder` too, and
        have ``embed_text`` where they know words.

    Raises
    ------
    ValueError
        If the name, an option, the device or the precision is unknown, or weights are missing or not wanted.
    InputError
        If a file, folder, hub model or GPU cannot be had, or is no such model.
    MissingExtraError
        If the extra is not installed; the text is the install line.

    Examples
    --------
    >>> make_embedder("hsv").parameters
    {'name': 'hsv', 'schema': 1, 'bins': [16, 4, 4]}
    >>> make_embedder("thumbnail", options={"size": 8}).parameters["size"]
    8
    """
    name = MODEL_ALIASES.get(str(name_or_path), str(name_or_path))
    given = dict(options or {})
    kind = _kind_of(name)
    if weights is not None and kind not in ("resnet50", "timm"):
        raise ValueError(f"weights are for resnet50 and timm:NAME; {name} takes none")
    file = None if weights is None else Path(weights)
    if kind == "light":
        _check_cpu_fp32(name, device, precision)
        return _light(name, given)
    if kind == "onnx":
        if precision not in ("auto", "fp32"):
            raise ValueError(f"an ONNX file runs as it was exported; precision {precision!r} is not for it")
        batch: dict[str, Any] = {} if batch_size is None else {"batch_size": batch_size}
        return OnnxEmbedder(name, device=device, **_onnx_options(given), **batch)
    from evfr.embeddings._torch import TextEmbedder, TorchEmbedder

    source = _source(kind, name, file, given)
    known_as = TextEmbedder if getattr(source, "has_text", False) else TorchEmbedder
    embedder = known_as(source, device=device, precision=precision, batch_size=batch_size)
    is_onnx = getattr(source, "runtime", "torch") == "onnxruntime"
    if is_onnx and (embedder.device, embedder.precision) != ("cpu", "fp32"):
        raise ValueError(
            f"runtime 'onnxruntime' is for the CPU in fp32, got {embedder.device} in {embedder.precision}; "
            "pass device='cpu', precision='fp32'"
        )
    return embedder


def preprocess_of(
    name_or_path: str | Path,
    *,
    weights: str | Path | None = None,
    options: Mapping[str, Any] | None = None,
) -> Preprocess:
    """Return what a model wants done to a frame, without loading the model where its files tell.

    Parameters
    ----------
    name_or_path : str or Path
        As in `make_embedder`.
    weights : str or Path, optional
        As in `make_embedder`.
    options : mapping, optional
        As in `make_embedder`.

    Returns
    -------
    Preprocess
        Equal to the ``preprocess`` of the embedder.

    Raises
    ------
    ValueError
        If the name or an option is unknown, or the embedder takes frames as they are.
    InputError, MissingExtraError
        As in `make_embedder`.
    """
    name = MODEL_ALIASES.get(str(name_or_path), str(name_or_path))
    given = dict(options or {})
    kind = _kind_of(name)
    if kind == "light":
        raise ValueError(f"{name} takes frames as they are; only models prepare them")
    if kind == "onnx":
        return OnnxEmbedder(name, **_onnx_options(given)).preprocess
    if kind == "resnet50":
        from evfr.embeddings._imagenet import resnet50_preprocess

        _check_options(name, given, ("recipe", "runtime"))
        return resnet50_preprocess(None if weights is None else Path(weights), recipe=given.get("recipe"))
    if kind == "timm":
        from evfr.embeddings._imagenet import timm_preprocess

        _check_options(name, given, ())
        return timm_preprocess(name.removeprefix("timm:"))
    from evfr.embeddings._hub import fetch
    from evfr.embeddings._processor_config import preprocess_from_folder

    _check_options(name, given, ("pooling", "revision"))
    return preprocess_from_folder(fetch(name, given.get("revision"), weights=False)[0])


def _kind_of(name: str) -> str:
    if name in EMBEDDERS:
        return "light"
    if name == "resnet50":
        return "resnet50"
    if name.startswith("timm:"):
        return "timm"
    if name.lower().endswith(".onnx"):
        return "onnx"
    path = Path(name)
    if path.is_dir():
        return "huggingface"
    is_relative = not path.is_absolute() and not name.startswith((".", "~"))
    if is_relative and len(path.parts) == 2 and not path.exists():
        return "huggingface"
    if path.exists() or len(path.parts) > 1:
        state = "is no folder" if path.exists() else "does not exist"
        raise InputError(f"the model {name} {state}; a model is a folder with config.json, or an .onnx file")
    raise ValueError(
        f"embedding must be one of {', '.join(EMBEDDERS)}, dinov2, resnet50, timm:NAME, a Hugging Face id "
        f"(owner/model), a model folder or the path of an .onnx file, got {name!r}"
    )


def _source(kind: str, name: str, weights: Path | None, given: dict[str, Any]) -> Any:
    if kind == "huggingface":
        from evfr.embeddings._huggingface import huggingface_source

        _check_options(name, given, ("pooling", "revision"))
        return huggingface_source(name, **given)
    from evfr.embeddings._imagenet import resnet50_source, timm_source

    if kind == "timm":
        _check_options(name, given, ())
        return timm_source(name.removeprefix("timm:"), weights)
    _check_options(name, given, ("recipe", "runtime"))
    return resnet50_source(weights, **given)


def _light(name: str, given: dict[str, Any]) -> LightEmbedder:
    embedder = EMBEDDERS[name]
    _check_options(name, given, tuple(field.name for field in dataclasses.fields(embedder)))
    if not given:
        return embedder
    return dataclasses.replace(embedder, **{key: _as_tuple(value) for key, value in given.items()})


def _onnx_options(given: dict[str, Any]) -> dict[str, Any]:
    taken: Callable[..., None] = OnnxEmbedder.__init__
    names = [name for name in inspect.signature(taken).parameters if name not in _NOT_OPTIONS]
    _check_options("an ONNX file", given, tuple(names))
    return {key: _as_tuple(value) for key, value in given.items()}


_NOT_OPTIONS = ("self", "path", "device", "batch_size")


def _as_tuple(value: Any) -> Any:
    """JSON has lists only, and a command line only words: ``"0.5,0.4,0.3"``."""
    if isinstance(value, str) and "," in value:
        try:
            return tuple(int(part) if part.strip().isdecimal() else float(part) for part in value.split(","))
        except ValueError:
            return value
    return tuple(value) if isinstance(value, list) else value


def _check_options(name: str, given: Mapping[str, Any], allowed: tuple[str, ...]) -> None:
    for option in given:
        if option not in allowed:
            has = f"it takes {', '.join(allowed)}" if allowed else "it takes none"
            raise ValueError(f"{name} has no option {option!r}; {has}")


def _check_cpu_fp32(name: str, device: str, precision: str) -> None:
    if device not in ("auto", "cpu"):
        raise ValueError(f"{name} runs on the CPU, got device={device!r}")
    if precision not in ("auto", "fp32"):
        raise ValueError(f"{name} runs in fp32, got precision={precision!r}")

"""Vision models in the form of Hugging Face's transformers: DINOv2, DINOv3, CLIP, SigLIP, ViT, Swin, ConvNeXt."""

from __future__ import annotations

import contextlib
from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from evfr._core.lazy import require
from evfr._core.tensor_files import tensor_names
from evfr.embeddings._hub import Checkpoint, open_checkpoint
from evfr.embeddings._preprocess import Preprocess
from evfr.embeddings._processor_config import preprocess_from_folder
from evfr.embeddings._torch import LoadedModel
from evfr.errors import InputError

__all__ = ["POOLINGS", "HuggingFaceSource", "huggingface_source"]

POOLINGS = ("auto", "pooler", "mean", "features")
WITH_TEXT = ("clip", "siglip", "siglip2", "chinese_clip", "altclip", "metaclip_2")
"""Types whose model has get_image_features and get_text_features."""
TOKENIZER_FILES = ("tokenizer.json", "vocab.json", "vocab.txt", "spiece.model")
POOLER_WITHOUT_WEIGHTS = (
    "dinov2",
    "dinov2_with_registers",
    "dinov3_vit",
    "dinov3_convnext",
    "swin",
    "swinv2",
    "convnext",
    "convnextv2",
    "clip_vision_model",
)
"""Types whose pooler_output is a token or a mean, normalised with weights that every checkpoint has."""


@dataclass(frozen=True, slots=True)
class HuggingFaceSource:
    """A checkpoint of transformers, by its Auto classes, and what is taken from the model.

    Attributes
    ----------
    checkpoint : Checkpoint
        Folder, config and hash.
    preprocess : Preprocess
        From the checkpoint's image processor.
    pooling : {"pooler", "mean", "features"}
        The model's own pooled output; the mean of the last hidden state over all tokens or places; or the
        picture's projection into the space shared with texts.
    """

    checkpoint: Checkpoint
    preprocess: Preprocess
    pooling: str

    @property
    def has_text(self) -> bool:
        """Whether vectors can be compared with those of texts."""
        return self.pooling == "features"

    @property
    def parameters(self) -> dict[str, Any]:
        """Name, revision, hash and pooling, JSON-ready."""
        return {
            "name": "huggingface",
            "schema": 1,
            "model": self.checkpoint.name,
            "revision": self.checkpoint.revision,
            "model_type": self.checkpoint.config["model_type"],
            "weights": self.checkpoint.digest,
            "pooling": self.pooling,
        }

    @property
    def cache_key(self) -> Hashable:
        """Equal where the weights in memory would be equal."""
        return "huggingface", str(self.checkpoint.folder), self.checkpoint.digest, self.pooling

    def load(self) -> LoadedModel:
        """Read the weights: safetensors only, no code of the checkpoint's own.

        Raises
        ------
        InputError
            If transformers does not know the model, or the weights do not fit it or have changed.
        """
        transformers = require("transformers", extra="torch")
        torch = require("torch", extra="torch")
        folder = self.checkpoint.folder
        common = {"trust_remote_code": False, "local_files_only": True}
        options = (
            {} if self.pooling != "mean" or not self._has_pooler_option else {"add_pooling_layer": False}
        )
        try:
            with _quiet(transformers):
                config = transformers.AutoConfig.from_pretrained(folder, **common)
                model, info = transformers.AutoModel.from_pretrained(
                    folder,
                    config=config,
                    use_safetensors=True,
                    dtype=torch.float32,
                    output_loading_info=True,
                    **common,
                    **options,
                )
        except (
            ValueError,
            OSError,
            RuntimeError,
            KeyError,
            require("safetensors", extra="torch").SafetensorError,
        ) as error:
            if "auto_map" in self.checkpoint.config:
                raise InputError(
                    f"{folder} is of a kind that transformers does not know and needs code of its own, "
                    "which evfr never runs"
                ) from error
            first = str(error).strip().split("\n")[0]
            raise InputError(f"transformers cannot load {folder}: {first}") from error
        for what in ("missing_keys", "mismatched_keys"):
            names = sorted(str(name) for name in info.get(what, ()))
            if names:
                some = ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
                raise InputError(
                    f"the weights in {folder} do not fit its config: {what.replace('_', ' ')}: {some}"
                )
        texts = _text_reader(transformers, model, folder) if self.has_text else None
        return LoadedModel(model, _image_reader(model, self.pooling, str(folder)), texts)

    @property
    def _has_pooler_option(self) -> bool:
        return self.checkpoint.config["model_type"] in ("vit", "deit", "beit", "swin", "swinv2", "ijepa")


def huggingface_source(name: str, *, pooling: str = "auto", revision: str | None = None) -> HuggingFaceSource:
    """Describe a model on the hub or in a folder; nothing is loaded into memory.

    Parameters
    ----------
    name : str
        Hub id or folder.
    pooling : {"auto", "pooler", "mean", "features"}
        ``"auto"`` is ``"features"`` for models that know texts, ``"pooler"`` where the model has a pooled
        output whose weights are in the file, else ``"mean"``.
    revision : str, optional
        Of the hub.

    Returns
    -------
    HuggingFaceSource

    Raises
    ------
    ValueError
        If the pooling is unknown or the model has it not.
    InputError
        As in `open_checkpoint` and `preprocess_from_folder`.
    """
    if pooling not in POOLINGS:
        raise ValueError(f"pooling must be one of {', '.join(POOLINGS)}, got {pooling!r}")
    checkpoint = open_checkpoint(name, revision)
    kind = checkpoint.config["model_type"]
    if kind == "vit_mae":
        raise ValueError(f"{name} is a vit_mae, which hides random parts of every picture; use another model")
    if pooling == "features" and kind not in WITH_TEXT:
        raise ValueError(
            f"pooling 'features' is for models that know texts ({', '.join(WITH_TEXT)}), not {kind}"
        )
    has_pooler = kind in (*WITH_TEXT, *POOLER_WITHOUT_WEIGHTS) or any(
        "pooler." in f".{tensor}" for path in checkpoint.files for tensor in tensor_names(path)
    )
    if pooling == "pooler" and not has_pooler:
        raise ValueError(f"the weights of {name} have no pooler; pass pooling='mean'")
    if pooling == "auto":
        pooling = "features" if kind in WITH_TEXT else "pooler" if has_pooler else "mean"
    return HuggingFaceSource(checkpoint, preprocess_from_folder(checkpoint.folder), pooling)


def _image_reader(model: Any, pooling: str, name: str) -> Any:
    if pooling == "features":

        def read(pixels: Any) -> Any:
            found = model.get_image_features(pixel_values=pixels)
            return getattr(found, "pooler_output", found)

        return read
    vision = getattr(model, "vision_model", model)

    def read_pooled(pixels: Any) -> Any:
        found = vision(pixel_values=pixels)
        if pooling == "pooler":
            pooled = getattr(found, "pooler_output", None)
            if pooled is None:
                raise ValueError(f"{name} gives no pooled output; pass pooling='mean'")
            return pooled.flatten(1)
        hidden = found.last_hidden_state.float()
        return hidden.mean(dim=1) if hidden.ndim == 3 else hidden.mean(dim=(2, 3))

    return read_pooled


def _text_reader(transformers: Any, model: Any, folder: Any) -> Any:
    length = model.config.text_config.max_position_embeddings
    is_siglip = model.config.model_type.startswith("siglip")
    tokenizers: list[Any] = []

    def read(texts: Sequence[str], device: str) -> Any:
        if not tokenizers:
            # Without its files transformers builds an empty tokenizer, to which all words are one.
            if not any((folder / file).is_file() for file in TOKENIZER_FILES):
                raise InputError(
                    f"{folder} has no tokenizer ({TOKENIZER_FILES[0]}), so it cannot embed texts"
                )
            try:
                with _quiet(transformers):
                    tokenizers.append(
                        transformers.AutoTokenizer.from_pretrained(
                            folder, trust_remote_code=False, local_files_only=True
                        )
                    )
            except (ValueError, OSError, ImportError, KeyError, TypeError) as error:
                raise InputError(f"transformers cannot read the tokenizer in {folder}: {error}") from error
        # SigLIP was trained on texts filled up to the full length.
        tokens = tokenizers[0](
            list(texts),
            padding="max_length" if is_siglip else True,
            truncation=True,
            max_length=length,
            return_tensors="pt",
        )
        known = {name: tokens[name].to(device) for name in ("input_ids", "attention_mask") if name in tokens}
        found = model.get_text_features(**known)
        return getattr(found, "pooler_output", found)

    return read


@contextlib.contextmanager
def _quiet(transformers: Any) -> Iterator[None]:
    """Keep transformers' bars and warnings off the terminal: what is wrong is raised."""
    logging = transformers.utils.logging
    level, had_bar = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(level)
        if had_bar:
            logging.enable_progress_bar()

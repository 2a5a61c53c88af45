"""Frames to vectors: what "looks alike" means, for the feature signal and for samplers on embeddings.

An embedder is a callable that takes RGB frames, (N, H, W, 3) uint8 or any iterable of (H, W, 3), and returns
(N, D) float32. Its ``parameters`` (JSON-ready) say all that the vectors depend on besides the frames, so that
stored ones are found again.

`EMBEDDERS` holds those that need no learning. `make_embedder` finds any by name: those, a model of the Hugging
Face hub or in a folder, torchvision's ResNet-50, timm's models, an ONNX file. Models are a `ModelEmbedder`
too: what they want done to a frame is a `Preprocess`, which child processes run without the model. A callable
of your own serves wherever an embedder is asked for. To add one without learning: write a frozen dataclass with
``__call__`` and ``parameters`` and one line in `EMBEDDERS`; to add a torch model: a source with ``preprocess``,
``parameters`` and ``load``.
"""

from evfr.embeddings._classic import DctEmbedder, HogEmbedder, HsvEmbedder, ThumbnailEmbedder
from evfr.embeddings._make import EMBEDDERS, make_embedder, preprocess_of
from evfr.embeddings._onnx import OnnxEmbedder
from evfr.embeddings._phash import perceptual_hash
from evfr.embeddings._preprocess import Preprocess
from evfr.embeddings._protocol import ModelEmbedder
from evfr.embeddings._torch import TextEmbedder, TorchEmbedder

__all__ = [
    "EMBEDDERS",
    "DctEmbedder",
    "HogEmbedder",
    "HsvEmbedder",
    "ModelEmbedder",
    "OnnxEmbedder",
    "Preprocess",
    "TextEmbedder",
    "ThumbnailEmbedder",
    "TorchEmbedder",
    "make_embedder",
    "perceptual_hash",
    "preprocess_of",
]

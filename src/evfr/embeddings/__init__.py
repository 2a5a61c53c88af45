"""Frames to vectors: what "looks alike" means, for the feature signal and for samplers on embeddings.

An embedder is a callable that takes RGB frames, (N, H, W, 3) uint8 or any iterable of (H, W, 3), and returns
(N, D) float32. Its ``parameters`` (JSON-ready) say all that the vectors depend on besides the frames, so that
stored ones are found again.

`EMBEDDERS` holds those that need no learning; `OnnxEmbedder` runs any image model from a file; a callable of
your own serves wherever an embedder is asked for. To add one: write a frozen dataclass with ``__call__`` and
``parameters`` and one line in `EMBEDDERS`.
"""

from pathlib import Path

from evfr.embeddings._classic import DctEmbedder, HogEmbedder, HsvEmbedder, ThumbnailEmbedder
from evfr.embeddings._onnx import OnnxEmbedder

__all__ = [
    "EMBEDDERS",
    "DctEmbedder",
    "HogEmbedder",
    "HsvEmbedder",
    "OnnxEmbedder",
    "ThumbnailEmbedder",
    "make_embedder",
]

EMBEDDERS: dict[str, ThumbnailEmbedder | HsvEmbedder | HogEmbedder | DctEmbedder] = {
    "thumbnail": ThumbnailEmbedder(),
    "hsv": HsvEmbedder(),
    "hog": HogEmbedder(),
    "dct": DctEmbedder(),
}
"""Embedders without learning by name: (N, H, W, 3) uint8 RGB to (N, D) float32."""


def make_embedder(
    name_or_path: str | Path,
) -> ThumbnailEmbedder | HsvEmbedder | HogEmbedder | DctEmbedder | OnnxEmbedder:
    """Return the embedder of a name, or one that runs an ONNX file with `OnnxEmbedder`'s defaults.

    Parameters
    ----------
    name_or_path : str or Path
        A key of `EMBEDDERS`, or the path of a file that ends in ``.onnx``.

    Returns
    -------
    callable
        (N, H, W, 3) uint8 RGB to (N, D) float32, with ``parameters``.

    Raises
    ------
    ValueError
        If it is neither; also what `OnnxEmbedder` raises.

    Examples
    --------
    >>> make_embedder("hsv").parameters
    {'name': 'hsv', 'schema': 1, 'bins': [16, 4, 4]}
    """
    name = str(name_or_path)
    if name in EMBEDDERS:
        return EMBEDDERS[name]
    if name.lower().endswith(".onnx"):
        return OnnxEmbedder(name_or_path)
    raise ValueError(
        f"embedding must be one of {', '.join(EMBEDDERS)} or the path of an .onnx file, got {name!r}"
    )

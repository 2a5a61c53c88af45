"""What an embedder with learned weights offers beyond the call."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from evfr.embeddings._preprocess import Preprocess

__all__ = ["ModelEmbedder"]


@runtime_checkable
class ModelEmbedder(Protocol):
    """An embedder whose preparation of pictures can run elsewhere than its model.

    ``embedder(frames)`` equals ``embedder.embed_prepared`` of what ``embedder.preprocess`` makes of each
    frame, in batches of ``batch_size``. Models that also know words have ``embed_text(texts)`` to
    (T, D) float32 vectors that can be compared with those of pictures.

    Attributes
    ----------
    preprocess : Preprocess
        Frame to picture, small enough to be sent from another process.
    batch_size : int
        Pictures per run of the model.
    dimension : int
        D; asking may load the model.
    device : str
        Where the model runs: ``"cpu"`` or ``"cuda:0"``.
    parameters : dict
        JSON-ready: all that the vectors depend on besides the frames, with a hash of the weights.
    """

    preprocess: Preprocess
    batch_size: int
    device: str

    @property
    def dimension(self) -> int:
        """D, the length of a vector."""
        ...

    @property
    def parameters(self) -> dict[str, Any]:
        """What the vectors depend on besides the frames."""
        ...

    def __call__(self, frames: NDArray[np.uint8] | Iterable[NDArray[np.uint8]]) -> NDArray[np.float32]:
        """Embed frames: (N, H, W, 3) uint8 RGB to (N, D) float32."""
        ...

    def embed_prepared(self, batch: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Embed prepared pictures: (B, h, w, 3) uint8 to (B, D) float32."""
        ...

    def load(self) -> None:
        """Read the weights now rather than with the first picture; raises what is wrong with them."""
        ...

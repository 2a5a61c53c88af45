"""EVFR's name for Hugging Face embeddings of image folders; see docs/how-to/from-evfr.md."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from evfr.embeddings._make import make_embedder
from evfr.embeddings._preprocess import Preprocess

__all__ = ["HuggingFaceDinoV2Embedding"]

AS_IT_IS = Preprocess(fit="none", size=None, mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0))


class HuggingFaceDinoV2Embedding:
    """Embed images by a Hugging Face vision model, as EVFR (Yoon & Choi 2023) documents it.

    Parameters
    ----------
    model_name : str, optional
        Hub id or local folder; by default ``facebook/dinov2-base``.
    use_pooler : bool
        Take the model's pooled output where it has one, else the mean of the last hidden state.
    device : str, optional
        ``"cuda"``, ``"cuda:N"`` or ``"cpu"``; by default CUDA where it is.
    use_processor : bool
        Resize and normalise as the checkpoint says. False gives the model the image as it is, in [0, 1].

    Attributes
    ----------
    embedder : callable
        What does the work, from `make_embedder`; computes in float32.

    Raises
    ------
    InputError, MissingExtraError, ValueError
        As `make_embedder` does.
    """

    def __init__(
        self,
        model_name: str | None = None,
        use_pooler: bool = True,
        device: str | None = None,
        use_processor: bool = True,
    ) -> None:
        self.model_name = model_name or "facebook/dinov2-base"
        pooling = "auto" if use_pooler else "mean"
        made = make_embedder(
            self.model_name, device=device or "auto", precision="fp32", options={"pooling": pooling}
        )
        self.embedder = cast(Any, made)
        self.device: str = self.embedder.device
        self.use_pooler, self.use_processor = use_pooler, use_processor
        if not use_processor:
            self.embedder.source = replace(self.embedder.source, preprocess=AS_IT_IS)

    def extract(self, frame: Any) -> NDArray[np.float32]:
        """Embed one PIL image, or (H, W, 3) uint8 array: (D,) float32."""
        return np.asarray(self.extract_batch([frame], batch_size=1)[0])

    def extract_batch(self, frames: Sequence[Any], batch_size: int = 8) -> NDArray[np.float32]:
        """Embed images, ``batch_size`` at a time: (N, D) float32, the rows in the images' order."""
        return self._embed(frames, batch_size)

    def extract_dataset(self, dataset: Any, batch_size: int = 8, num_workers: int = 0) -> NDArray[np.float32]:
        """Embed a dataset whose items are images or (image, index): (len(dataset), D) float32.

        ``num_workers`` threads read images ahead of the model.
        """
        return self._embed(_items(dataset, num_workers), batch_size)

    def _embed(self, frames: Iterable[Any], batch_size: int) -> NDArray[np.float32]:
        if batch_size < 1:
            raise ValueError(f"batch_size must be 1 or more, got {batch_size}")
        self.embedder.batch_size = batch_size
        return np.asarray(self.embedder(_picture(frame) for frame in frames), dtype=np.float32)


def _items(dataset: Any, num_workers: int) -> Iterator[Any]:
    if num_workers < 1:
        yield from (dataset[index] for index in range(len(dataset)))
        return
    with ThreadPoolExecutor(num_workers) as pool:
        waiting: deque[Any] = deque()
        for index in range(len(dataset)):
            waiting.append(pool.submit(dataset.__getitem__, index))
            if len(waiting) > 4 * num_workers:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()


def _picture(item: Any) -> NDArray[np.uint8]:
    image = item[0] if isinstance(item, tuple) else item
    if hasattr(image, "convert"):
        return np.asarray(image.convert("RGB"))
    picture = np.asarray(image)
    if picture.ndim != 3 or picture.shape[2] != 3 or picture.dtype != np.uint8:
        raise TypeError(
            f"frames must be PIL images or (H, W, 3) uint8 arrays, got {picture.dtype} {picture.shape}; "
            "pass images without a transform"
        )
    return picture

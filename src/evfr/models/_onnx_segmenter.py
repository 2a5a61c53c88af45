"""An image segmenter in an ONNX file, as a base model: a picture in, one plane per wanted class out."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np

from evfr.errors import InputError
from evfr.models._onnx_session import normalised, open_model, size_of, three

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["OnnxSegmenter"]


class OnnxSegmenter:
    """Segment pictures by an ONNX model whose output is a label map or one plane of scores per class.

    Parameters
    ----------
    path : path
        One float32 input (1, 3, h, w) of fixed size; one output (1, h, w) of labels, or (1, C, h, w) of scores.
    classes : sequence of int
        The labels wanted, in the order of the planes that come out.
    mean, scale : float
        The input is (pixel - mean) / scale, RGB 0 to 255.
    threads : int
        Of one run.

    Raises
    ------
    MissingExtraError
        If onnxruntime is not installed.
    InputError
        If the file cannot be read, is no ONNX model or has another form.
    ValueError
        If no class is wanted, or the scale is 0.
    """

    def __init__(
        self,
        path: str | Path,
        *,
        classes: Sequence[int],
        mean: float = 128.0,
        scale: float = 128.0,
        threads: int = 1,
    ) -> None:
        if not classes or min(classes) < 0:
            raise ValueError(f"classes must name labels of 0 or more, got {list(classes)}")
        if scale == 0:
            raise ValueError("scale must not be 0")
        self._model = open_model(path, threads=threads)
        self.path, outputs = self._model.path, self._model.outputs
        size = size_of(self._model, None)
        if size is None:
            raise InputError(
                f"{self.path}: the input must be one (1, 3, h, w) of fixed size, got {list(self._model.input_shape)}"
            )
        if len(outputs) != 1:
            raise InputError(f"{self.path}: there must be one output, got {list(outputs)}")
        self._size = size
        self._classes = tuple(int(label) for label in classes)
        self._mean, self._scale = three("mean", mean), three("scale", scale)

    def __call__(self, image: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Segment one picture.

        Parameters
        ----------
        image : (H, W, 3) uint8
            RGB; stretched to the model's size.

        Returns
        -------
        (K, H, W) float32
            1 where the model's best label is the k-th of ``classes``, else 0; nearest neighbour back to full size.

        Raises
        ------
        InputError
            If the model's output is no label map and no planes of scores.
        """
        small = np.asarray(cv2.resize(image, self._size[::-1], interpolation=cv2.INTER_LINEAR), np.uint8)
        planes = normalised(small, self._mean, self._scale, "rgb")
        found = self._model.run(planes, list(self._model.outputs))[0]
        if found.ndim == 4:
            found = found.argmax(axis=1)
        if found.ndim != 3:
            raise InputError(f"{self.path}: the output must be (1, h, w) or (1, C, h, w), got {found.shape}")
        height, width = image.shape[:2]
        labels = cv2.resize(found[0].astype(np.int32), (width, height), interpolation=cv2.INTER_NEAREST_EXACT)
        return np.stack([labels == label for label in self._classes]).astype(np.float32)

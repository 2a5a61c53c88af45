"""A classifier of pictures in an ONNX file, asked what is in given boxes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from evfr._core.annotations import Category
from evfr.errors import InputError
from evfr.models._detections import checked_boxes
from evfr.models._detector import categories_from, check_image
from evfr.models._onnx_session import names_in, normalised, open_model, shrink_or_stretch, size_of, three

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["OnnxClassifier"]

_AT_ONCE = 32
"""Crops of one run, where the model takes any number."""


class OnnxClassifier:
    """Classify boxes of a picture by an ONNX image classifier on their crops, as Propose-Reduce's external one [1]_.

    Parameters
    ----------
    path : path
        One float input (1, 3, h, w) or (N, 3, h, w).
    names : sequence of str or Category, or path, optional
        All classes of the model in its order, or a text file with one name a line; without it the names that the file's
        metadata hold, or else "class 0" and so on.
    background : str, optional
        Name of the class that stands for nothing; it is left out of ``categories`` and of the scores.
    output : str, optional
        Which output, where the file has several and more than one has a column for each name.
    activation : {"none", "softmax", "sigmoid"}
        To apply; ``"none"`` where the model gives probabilities already.
    size : int or (height, width), optional
        Of the input, where the file leaves it free.
    mean, scale : float or 3 floats
        The input is (pixel - mean) / scale, pixels 0 to 255, in the order of ``channels``. Those of ImageNet if not
        given.
    channels : {"rgb", "bgr"}
        Order that the model was trained with.
    context : float
        So many widths and heights of a box are added on each side of its crop; 0 or more.
    threads : int
        Of one run.

    Raises
    ------
    MissingExtraError
        If onnxruntime is not installed.
    InputError
        If the file cannot be read, has no output of one row of scores, or the names do not fit it.
    ValueError
        If an option is out of its range.

    Notes
    -----
    A crop is the box in whole pixels, cut at the borders of the picture, stretched to the model's size whatever its
    aspect.

    References
    ----------
    .. [1] Lin, Wu, Liu, Jia: Video Instance Segmentation with a Propose-Reduce Paradigm. ICCV 2021, arXiv:2103.13746.
    """

    def __init__(
        self,
        path: str | Path,
        *,
        names: Sequence[Category | str] | str | Path | None = None,
        background: str | None = None,
        output: str | None = None,
        activation: Literal["none", "softmax", "sigmoid"] = "none",
        size: tuple[int, int] | int | None = None,
        mean: float | Sequence[float] = (123.675, 116.28, 103.53),
        scale: float | Sequence[float] = (58.395, 57.12, 57.375),
        channels: Literal["rgb", "bgr"] = "rgb",
        context: float = 0.0,
        threads: int = 1,
    ) -> None:
        if activation not in ("none", "softmax", "sigmoid"):
            raise ValueError(f"activation must be 'none', 'softmax' or 'sigmoid', got {activation!r}")
        if channels not in ("rgb", "bgr"):
            raise ValueError(f"channels must be 'rgb' or 'bgr', got {channels!r}")
        if not 0 <= context <= 10:
            raise ValueError(f"context must be in [0, 10], got {context}")
        self._options: dict[str, Any] = {
            "names": names,
            "background": background,
            "output": output,
            "activation": activation,
            "size": size,
            "mean": mean,
            "scale": scale,
            "channels": channels,
            "context": context,
            "threads": threads,
        }
        self._mean, self._scale = three("mean", mean), three("scale", scale)
        if not self._scale.all():
            raise ValueError(f"scale must not be 0, got {scale}")
        self._model = open_model(path, threads=threads)
        self.path = self._model.path
        found = size_of(self._model, size)
        if found is None:
            raise InputError(f"{self.path} takes pictures of any size; pass size=(height, width)")
        self._size = found
        given = names if names is not None else names_in(self._model)
        known = None if given is None else categories_from(given)
        self._output, count = self._choose(output, None if known is None else len(known))
        every = known or categories_from([f"class {number}" for number in range(count)])
        if background is not None and background not in [category.name for category in every]:
            raise ValueError(f"{self.path} has no class {background!r} to leave out")
        self._columns = np.array([n for n, c in enumerate(every) if c.name != background], np.int64)
        self._count = count
        self.categories: tuple[Category, ...] = tuple(every[column] for column in self._columns)
        self._activation, self._channels, self._context = activation, channels, context

    def score_boxes(self, image: NDArray[np.uint8], boxes_xyxy: NDArray[np.float64]) -> NDArray[np.float64]:
        """Tell what is in given boxes.

        Parameters
        ----------
        image : (H, W, 3) uint8
            RGB.
        boxes_xyxy : (B, 4) float64
            Pixels.

        Returns
        -------
        (B, C) float64
            Class probabilities in [0, 1], background left out; 0 for a box without a pixel in the picture.

        Raises
        ------
        InputError
            If the model fails, or its output has another form or is no probability.
        ValueError
            If it is no picture, or boxes are not finite or upside down.
        """
        check_image(image)
        boxes = checked_boxes(boxes_xyxy)
        out = np.zeros((len(boxes), len(self.categories)))
        crops, rows = [], []
        for row, box in enumerate(boxes):
            crop = self._crop(image, box)
            if crop.size:
                small = shrink_or_stretch(crop, self._size[1], self._size[0])
                crops.append(normalised(small, self._mean, self._scale, self._channels))
                rows.append(row)
        at_once = _AT_ONCE if self._model.takes_many else 1
        for start in range(0, len(crops), at_once):
            batch = np.stack(crops[start : start + at_once])
            out[rows[start : start + at_once]] = self._run(batch)[:, self._columns]
        return out

    def _run(self, batch: NDArray[np.float32]) -> NDArray[np.float64]:
        given = batch if len(self._model.input_shape) == 4 else batch[0]
        values = self._model.run(given, [self._output])[0].astype(np.float64)
        if values.size != len(batch) * self._count:
            raise InputError(
                f"{self.path}: output {self._output!r} is {values.shape}, not {self._count} scores a picture"
            )
        values = values.reshape(len(batch), self._count)
        if self._activation == "softmax":
            power = np.exp(values - values.max(axis=1, keepdims=True))
            return np.asarray(power / power.sum(axis=1, keepdims=True), np.float64)
        if self._activation == "sigmoid":
            return np.asarray(0.5 * (1.0 + np.tanh(0.5 * values)), np.float64)
        if not -1e-4 <= values.min() <= values.max() <= 1 + 1e-4:
            raise InputError(
                f"{self.path}: output {self._output!r} runs from {values.min():g} to {values.max():g}, these are no "
                "probabilities; pass activation='softmax', or 'sigmoid' for independent classes"
            )
        return values.clip(0.0, 1.0)

    def _crop(self, image: NDArray[np.uint8], box: NDArray[np.float64]) -> NDArray[np.uint8]:
        height, width = image.shape[:2]
        if box[2] <= max(box[0], 0) or box[3] <= max(box[1], 0) or box[0] >= width or box[1] >= height:
            return image[:0]
        more = self._context * (box[2:] - box[:2])
        low = np.floor(np.maximum(box[:2] - more, 0)).astype(int)
        high = np.ceil(np.minimum(box[2:] + more, (width, height))).astype(int)
        return image[low[1] : high[1], low[0] : high[0]]

    def _choose(self, output: str | None, known: int | None) -> tuple[str, int]:
        """Return the output to read and its number of columns."""
        columns = {
            name: shape[1]
            for name, shape in self._model.outputs.items()
            if len(shape) in (2, 4) and isinstance(shape[1], int) and all(n == 1 for n in shape[2:])
        }
        told = ", ".join(f"{name} {list(shape)}" for name, shape in self._model.outputs.items())
        if output is not None:
            if output not in columns:
                raise InputError(f"{self.path} has no output {output!r} of (N, C) scores; it has {told}")
            fits = {output: columns[output]}
        else:
            fits = {name: count for name, count in columns.items() if known in (None, count)}
        if len(fits) != 1:
            count = "" if known is None else f" with {known} columns as names has"
            raise InputError(
                f"{self.path} has {len(fits)} outputs of scores{count}: {told}; pass output= or names="
            )
        name, count_found = next(iter(fits.items()))
        if known not in (None, count_found):
            raise InputError(
                f"{self.path}: output {name!r} has {count_found} classes, {known} names were given"
            )
        return name, count_found

    def __repr__(self) -> str:
        return f"OnnxClassifier({self.path.name!r}, output={self._output!r}, {len(self.categories)} classes)"

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle the options, not the session: a worker process opens the file again."""
        return _rebuild, (str(self.path), self._options)


def _rebuild(path: str, options: dict[str, Any]) -> OnnxClassifier:
    return OnnxClassifier(path, **options)

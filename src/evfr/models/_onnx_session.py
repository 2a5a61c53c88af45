"""Open an ONNX file that takes one picture, and say aloud what does not fit."""

from __future__ import annotations

import ast
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

from evfr._core.lazy import require
from evfr.errors import InputError

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

__all__ = ["PictureModel", "names_in", "normalised", "open_model", "shrink_or_stretch", "size_of", "three"]

_DTYPES: dict[str, Any] = {"tensor(float)": np.float32, "tensor(float16)": np.float16}


@dataclass(frozen=True, slots=True)
class PictureModel:
    """Hold an open ONNX file with one picture as input.

    Attributes
    ----------
    path : Path
        The file.
    session : InferenceSession
        Ready to run.
    input_name : str
        Its one input.
    input_shape : tuple
        As the file says it: (1, 3, h, w) or (3, h, w), names or None where a side is free.
    dtype : numpy dtype
        float32 or float16.
    outputs : dict of str to tuple
        Names and shapes of the outputs, in order.
    """

    path: Path
    session: Any
    input_name: str
    input_shape: tuple[Any, ...]
    dtype: Any
    outputs: dict[str, tuple[Any, ...]]

    @property
    def takes_many(self) -> bool:
        """Whether it takes any number of pictures at once."""
        return len(self.input_shape) == 4 and not isinstance(self.input_shape[0], int)

    def run(self, planes: NDArray[np.float32], names: list[str]) -> list[NDArray[Any]]:
        """Run the model on one picture, or on several where it takes any number.

        Parameters
        ----------
        planes : (3, h, w) or (B, 3, h, w) float32
            From `normalised`.
        names : list of str
            Which outputs.

        Returns
        -------
        list of arrays
            The outputs asked for.

        Raises
        ------
        InputError
            If the model fails on it, or an output holds NaN or infinite values.
        """
        given = np.ascontiguousarray(planes, dtype=self.dtype)
        given = given[None] if given.ndim < len(self.input_shape) else given
        state = require("onnxruntime.capi.onnxruntime_pybind11_state", extra="onnx")
        try:
            found = self.session.run(names, {self.input_name: given})
        except (state.Fail, state.InvalidArgument, state.RuntimeException) as error:
            raise InputError(
                f"{self.path} failed on a picture of {given.shape}: {str(error)[:200]}"
            ) from error
        arrays = [np.asarray(values) for values in found]
        for name, values in zip(names, arrays, strict=True):
            if values.dtype.kind == "f" and not np.isfinite(values).all():
                raise InputError(f"{self.path}: output {name!r} holds values that are not finite")
        return arrays


def open_model(path: str | Path, *, threads: int) -> PictureModel:
    """Open an ONNX file on the CPU.

    Parameters
    ----------
    path : path
        A model with one float input (1, 3, h, w), (N, 3, h, w) or (3, h, w).
    threads : int
        Of one run; 1 or more.

    Returns
    -------
    PictureModel
        Open.

    Raises
    ------
    MissingExtraError
        If onnxruntime is not installed.
    InputError
        If the file cannot be read, is no ONNX model or takes another input.
    ValueError
        If ``threads`` is less than 1.
    """
    path = Path(path)
    if threads < 1:
        raise ValueError(f"threads must be 1 or more, got {threads}")
    if not path.is_file():
        raise InputError(f"there is no model at {path}")
    runtime: Any = require("onnxruntime", extra="onnx")
    options = runtime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    state = require("onnxruntime.capi.onnxruntime_pybind11_state", extra="onnx")
    try:
        session = runtime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except (
        state.Fail,
        state.InvalidArgument,
        state.InvalidGraph,
        state.InvalidProtobuf,
        state.NoSuchFile,
        state.NotImplemented,
    ) as error:
        raise InputError(f"{path} is no ONNX model that can run: {str(error)[:200]}") from error
    inputs = session.get_inputs()
    if len(inputs) != 1:
        raise InputError(
            f"{path}: the model must take one picture and nothing else, it takes {[i.name for i in inputs]}"
        )
    shape = tuple(inputs[0].shape)
    if len(shape) not in (3, 4) or shape[-3] != 3 or inputs[0].type not in _DTYPES:
        raise InputError(
            f"{path}: the input must be one picture (1, 3, h, w) of float32 or float16, "
            f"got {list(shape)} {inputs[0].type}"
        )
    if len(shape) == 4 and isinstance(shape[0], int) and shape[0] > 1:
        raise InputError(f"{path} takes {shape[0]} pictures at once; export it for one, or for any number")
    outputs = {output.name: tuple(output.shape or ()) for output in session.get_outputs()}
    return PictureModel(path, session, inputs[0].name, shape, _DTYPES[inputs[0].type], outputs)


def size_of(model: PictureModel, size: tuple[int, int] | int | None) -> tuple[int, int] | None:
    """Return (height, width) that the model takes, or None where it takes any and none is asked for.

    Parameters
    ----------
    model : PictureModel
        Open.
    size : int or (height, width), optional
        What is asked for; without it what the file says, in its shape or (as Ultralytics writes) as ``imgsz``.

    Returns
    -------
    (height, width) or None
        Pixels.

    Raises
    ------
    ValueError
        If the size asked for is no size, or the file fixes another.
    """
    fixed = [side if isinstance(side, int) and side > 0 else None for side in model.input_shape[-2:]]
    if size is None:
        if fixed[0] is not None and fixed[1] is not None:
            return fixed[0], fixed[1]
        noted = _literal(model.session.get_modelmeta().custom_metadata_map.get("imgsz", ""))
        if not (isinstance(noted, list) and len(noted) == 2 and all(type(n) is int and n > 0 for n in noted)):
            return None
        size = (noted[0], noted[1])
    sides = (size, size) if isinstance(size, int) else tuple(size)
    if len(sides) != 2 or min(sides) < 1:
        raise ValueError(f"size must be (height, width) of 1 pixel or more, got {size}")
    if any(own not in (None, side) for own, side in zip(fixed, sides, strict=True)):
        raise ValueError(f"{model.path} takes pictures of {fixed} (height, width), got size={size}")
    return int(sides[0]), int(sides[1])


def names_in(model: PictureModel) -> tuple[str, ...] | None:
    """Return the class names that the file holds (``names``, as Ultralytics writes them), or None.

    Raises
    ------
    InputError
        If the entry is there but no list of names, or no mapping of 0 to C-1 to names.
    """
    text = model.session.get_modelmeta().custom_metadata_map.get("names")
    if text is None:
        return None
    found = _literal(text)
    if isinstance(found, dict) and sorted(found, key=str) == sorted(range(len(found)), key=str):
        found = [found[number] for number in range(len(found))]
    if not isinstance(found, list) or not found or not all(isinstance(name, str) for name in found):
        raise InputError(
            f"{model.path}: its metadata 'names' is no list of class names: {text[:80]!r}; pass names="
        )
    return tuple(found)


def three(name: str, value: ArrayLike) -> NDArray[np.float32]:
    """Return one or three numbers as three, one a channel.

    Raises
    ------
    ValueError
        If they are not one or three finite numbers.
    """
    numbers = np.atleast_1d(np.asarray(value, dtype=np.float32))
    if numbers.shape not in ((1,), (3,)) or not np.isfinite(numbers).all():
        raise ValueError(f"{name} must be one or three finite numbers, got {value!r}")
    return np.broadcast_to(numbers, (3,)).copy()


def normalised(
    image: NDArray[np.uint8], mean: NDArray[np.float32], scale: NDArray[np.float32], channels: str
) -> NDArray[np.float32]:
    """Return the planes (pixel - mean) / scale of an RGB picture, in the order of ``channels``.

    Channel by channel, which is twenty times faster than the same in one expression on (h, w, 3).
    """
    out = np.empty((3, *image.shape[:2]), np.float32)
    for row, channel in enumerate((0, 1, 2) if channels == "rgb" else (2, 1, 0)):
        np.subtract(image[:, :, channel], mean[row], out=out[row], dtype=np.float32)
        out[row] /= scale[row]
    return out


def shrink_or_stretch(image: NDArray[np.uint8], width: int, height: int) -> NDArray[np.uint8]:
    """Resize a picture: by area where it shrinks, linearly where it grows."""
    smaller = width <= image.shape[1] and height <= image.shape[0]
    way = cv2.INTER_AREA if smaller else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(image, (width, height), interpolation=way), np.uint8)


def _literal(text: str) -> Any:
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return None

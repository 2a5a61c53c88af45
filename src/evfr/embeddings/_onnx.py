"""Embeddings by any image model in an ONNX file."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import cv2
import numpy as np

from evfr._core.lazy import require
from evfr.embeddings._classic import checked_frames
from evfr.errors import InputError

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["OnnxEmbedder"]

IMAGENET_MEAN = (123.675, 116.28, 103.53)
IMAGENET_SCALE = (58.395, 57.12, 57.375)
FEATURE_NAMES = ("features", "feature", "embeddings", "embedding", "pooler_output", "image_embeds")


class OnnxEmbedder:
    """Embed frames by an ONNX model on the CPU (extra ``onnx``).

    Every choice of preprocessing is explicit and stands in `parameters`; what the file itself tells (layout,
    size, the only output) need not be given. What the file cannot tell is refused, not guessed.

    Parameters
    ----------
    path : str or Path
        The ONNX file, with one float32 image input.
    output : str, optional
        Name of the output to take: (N, D), or (N, D, h, w), which is averaged over h and w. By default the
        only one, or the one called features, embedding(s), pooler_output or image_embeds.
    layout : {"NCHW", "NHWC"}, optional
        Order of the input's axes. By default where its 3 channels are.
    size : (int, int), optional
        Height and width of the input in pixels. By default the model's own.
    mean, scale : float or three floats
        The input is (pixel - mean) / scale, pixels 0 to 255, in the order of ``channels``. By default
        ImageNet's mean and deviation, as most exported models take.
    channels : {"rgb", "bgr"}
        Order of the colour channels.
    resize : {"stretch", "crop"}
        Fit the frame to the input by stretching, or by covering it and cutting the middle.
    batch_size : int
        Frames per run, where the model does not fix it.
    threads : int
        Threads of one run.

    Raises
    ------
    MissingExtraError
        If onnxruntime is not installed.
    InputError
        If the file cannot be read or is no ONNX model.
    ValueError
        If the model has not the form above, or an option is out of range.
    """

    def __init__(
        self,
        path: str | Path,
        *,
        output: str | None = None,
        layout: Literal["NCHW", "NHWC"] | None = None,
        size: tuple[int, int] | None = None,
        mean: float | Sequence[float] = IMAGENET_MEAN,
        scale: float | Sequence[float] = IMAGENET_SCALE,
        channels: Literal["rgb", "bgr"] = "rgb",
        resize: Literal["stretch", "crop"] = "stretch",
        batch_size: int = 16,
        threads: int = 1,
    ) -> None:
        if channels not in ("rgb", "bgr"):
            raise ValueError(f"channels must be 'rgb' or 'bgr', got {channels!r}")
        if resize not in ("stretch", "crop"):
            raise ValueError(f"resize must be 'stretch' or 'crop', got {resize!r}")
        if layout not in (None, "NCHW", "NHWC"):
            raise ValueError(f"layout must be 'NCHW' or 'NHWC', got {layout!r}")
        if batch_size < 1 or threads < 1:
            raise ValueError(f"batch_size and threads must be 1 or more, got {batch_size} and {threads}")
        self.path = Path(path)
        self._mean = _three("mean", mean)
        self._scale = _three("scale", scale)
        if not self._scale.all():
            raise ValueError(f"scale must not be 0, got {scale}")
        self._channels, self._resize, self._threads = channels, resize, threads
        self._session, self._digest = _open_session(self.path, threads)
        self._input, shape = _image_input(self._session, self.path)
        self._layout = layout or _layout_of(shape, self.path)
        self._size = _size_of(shape, self._layout, size, self.path)
        self._batch = shape[0] if isinstance(shape[0], int) and shape[0] > 0 else batch_size
        self._is_fixed_batch = isinstance(shape[0], int) and shape[0] > 0
        self._output, self._width = _choose_output(self._session, output, self.path)

    def __call__(self, frames: NDArray[np.uint8] | Iterable[NDArray[np.uint8]]) -> NDArray[np.float32]:
        """Embed frames: (N, H, W, 3) uint8 RGB to (N, D) float32.

        Raises
        ------
        TypeError, ValueError
            If the frames are not (N, H, W, 3) uint8, or the output is not (N, D) or (N, D, h, w).
        """
        parts: list[NDArray[np.float32]] = []
        batch: list[NDArray[np.float32]] = []
        for frame in checked_frames(frames):
            batch.append(self.prepare(frame))
            if len(batch) == self._batch:
                parts.append(self._run(batch))
                batch = []
        if batch:
            parts.append(self._run(batch))
        if parts:
            return np.concatenate(parts)
        return np.zeros((0, self._width), dtype=np.float32)

    def prepare(self, frame: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Return one frame as the model takes it, without the batch axis: float32, in the model's layout."""
        height, width = self._size
        if self._resize == "crop":
            frame = _cover(frame, height, width)
        method = cv2.INTER_AREA if frame.shape[0] * frame.shape[1] > height * width else cv2.INTER_LINEAR
        picture = np.asarray(cv2.resize(frame, (width, height), interpolation=method), dtype=np.float32)
        if self._channels == "bgr":
            picture = picture[..., ::-1]
        picture = (picture - self._mean) / self._scale
        return np.ascontiguousarray(picture.transpose(2, 0, 1) if self._layout == "NCHW" else picture)

    @property
    def parameters(self) -> dict[str, Any]:
        """What the vectors depend on besides the frames, JSON-ready, with the hash of the file."""
        return {
            "name": "onnx",
            "schema": 1,
            "model": self._digest,
            "output": self._output,
            "layout": self._layout,
            "size": list(self._size),
            "mean": self._mean.tolist(),
            "scale": self._scale.tolist(),
            "channels": self._channels,
            "resize": self._resize,
        }

    def __repr__(self) -> str:
        return f"OnnxEmbedder({self.path.name!r}, output={self._output!r}, size={self._size})"

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle the options, not the session: a worker process opens the file again."""
        options = {
            "output": self._output,
            "layout": self._layout,
            "size": self._size,
            "mean": self._mean.tolist(),
            "scale": self._scale.tolist(),
            "channels": self._channels,
            "resize": self._resize,
            "batch_size": self._batch,
            "threads": self._threads,
        }
        return _rebuild, (str(self.path), options)

    def _run(self, batch: list[NDArray[np.float32]]) -> NDArray[np.float32]:
        count = len(batch)
        if self._is_fixed_batch:
            batch = batch + [batch[-1]] * (self._batch - count)
        values = np.asarray(self._session.run([self._output], {self._input: np.stack(batch)})[0])[:count]
        if values.ndim == 4:
            values = values.mean(axis=(2, 3))
        if values.ndim != 2:
            raise ValueError(
                f"output {self._output!r} of {self.path.name} is {values.shape}, "
                "it must be (N, D) or (N, D, h, w); name another output"
            )
        return values.astype(np.float32)


def _rebuild(path: str, options: dict[str, Any]) -> OnnxEmbedder:
    return OnnxEmbedder(path, **options)


def _three(name: str, value: float | Sequence[float]) -> NDArray[np.float32]:
    numbers = np.atleast_1d(np.asarray(value, dtype=np.float32))
    if numbers.shape not in ((1,), (3,)) or not np.isfinite(numbers).all():
        raise ValueError(f"{name} must be one or three finite numbers, got {value}")
    return np.broadcast_to(numbers, (3,)).copy()


def _open_session(path: Path, threads: int) -> tuple[Any, str]:
    runtime = require("onnxruntime", extra="onnx")
    try:
        data = path.read_bytes()
    except OSError as error:
        raise InputError(f"cannot read the model {path}: {error.strerror}") from error
    options = runtime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    state = require("onnxruntime.capi.onnxruntime_pybind11_state", extra="onnx")
    try:
        # Weights beside the file are found only when the session opens the path itself.
        session = runtime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except (
        state.Fail,
        state.InvalidArgument,
        state.InvalidGraph,
        state.InvalidProtobuf,
        state.NotImplemented,
    ) as error:
        raise InputError(f"{path} is no ONNX model that onnxruntime runs: {error}") from error
    return session, hashlib.blake2b(data, digest_size=16).hexdigest()


def _image_input(session: Any, path: Path) -> tuple[str, list[Any]]:
    inputs = session.get_inputs()
    if len(inputs) != 1 or len(inputs[0].shape) != 4 or inputs[0].type != "tensor(float)":
        found = ", ".join(f"{i.name} {i.type} {i.shape}" for i in inputs)
        raise ValueError(f"{path.name} must have one float32 image input of 4 axes, it has: {found}")
    return inputs[0].name, list(inputs[0].shape)


def _layout_of(shape: list[Any], path: Path) -> Literal["NCHW", "NHWC"]:
    if shape[1] == 3 and shape[3] != 3:
        return "NCHW"
    if shape[3] == 3 and shape[1] != 3:
        return "NHWC"
    raise ValueError(f"{path.name} takes {shape}: pass layout='NCHW' or layout='NHWC'")


def _size_of(shape: list[Any], layout: str, size: tuple[int, int] | None, path: Path) -> tuple[int, int]:
    own = shape[2:4] if layout == "NCHW" else shape[1:3]
    fixed = [side if isinstance(side, int) and side > 0 else None for side in own]
    if size is None:
        if fixed[0] is None or fixed[1] is None:
            raise ValueError(f"{path.name} takes pictures of any size {own}: pass size=(height, width)")
        return fixed[0], fixed[1]
    if len(size) != 2 or min(size) < 1:
        raise ValueError(f"size must be (height, width) in pixels, got {size}")
    if any(side is not None and side != asked for side, asked in zip(fixed, size, strict=True)):
        raise ValueError(f"{path.name} takes pictures of {own}, got size={size}")
    return int(size[0]), int(size[1])


def _choose_output(session: Any, output: str | None, path: Path) -> tuple[str, int]:
    outputs = {o.name: o.shape for o in session.get_outputs()}
    if output is None:
        named = [name for name in outputs if name.lower() in FEATURE_NAMES]
        if len(outputs) == 1:
            output = next(iter(outputs))
        elif len(named) == 1:
            output = named[0]
        else:
            raise ValueError(f"{path.name} has several outputs, pass output= one of {', '.join(outputs)}")
    elif output not in outputs:
        raise ValueError(f"{path.name} has no output {output!r}, only {', '.join(outputs)}")
    shape = outputs[output]
    return output, shape[1] if len(shape) > 1 and isinstance(shape[1], int) else 0


def _cover(frame: NDArray[np.uint8], height: int, width: int) -> NDArray[np.uint8]:
    """Cut the largest middle part of a frame that has the input's proportions."""
    full_height, full_width = frame.shape[:2]
    if full_width * height > full_height * width:
        kept = max(1, full_height * width // height)
        left = (full_width - kept) // 2
        return frame[:, left : left + kept]
    kept = max(1, full_width * height // width)
    top = (full_height - kept) // 2
    return frame[top : top + kept]

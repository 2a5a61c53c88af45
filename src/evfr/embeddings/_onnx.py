"""Embeddings by any image model in an ONNX file."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from evfr._core.lazy import require
from evfr.embeddings._classic import checked_frames
from evfr.embeddings._preprocess import Preprocess
from evfr.errors import InputError

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["OnnxEmbedder"]

IMAGENET_MEAN = (123.675, 116.28, 103.53)
IMAGENET_SCALE = (58.395, 57.12, 57.375)
FEATURE_NAMES = ("features", "feature", "embeddings", "embedding", "pooler_output", "image_embeds")


class OnnxEmbedder:
    """Embed frames by an ONNX model (extra ``onnx``), as a `ModelEmbedder`.

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
    device : str
        ``"auto"``, ``"cpu"``, ``"cuda"`` or ``"cuda:N"``; a GPU needs onnxruntime-gpu in onnxruntime's place.

    Raises
    ------
    MissingExtraError
        If onnxruntime is not installed.
    InputError
        If the file cannot be read or is no ONNX model, or the GPU asked for is not here.
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
        device: str = "auto",
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
        self._resize, self._threads = resize, threads
        self.device = _resolve_device(device)
        self._session, self._digest = _open_session(self.path, threads, self.device)
        self._input, shape = _image_input(self._session, self.path)
        self._layout = layout or _layout_of(shape, self.path)
        self._size = _size_of(shape, self._layout, size, self.path)
        self._is_fixed_batch = isinstance(shape[0], int) and shape[0] > 0
        self.batch_size: int = shape[0] if self._is_fixed_batch else batch_size
        self._output, self._width = _choose_output(self._session, output, self.path)
        self.preprocess = Preprocess(
            "cover" if resize == "crop" else "exact",
            self._size,
            "area",
            channels=channels,
            rescale=1.0,
            mean=_as_three(self._mean),
            std=_as_three(self._scale),
        )

    def __call__(self, frames: NDArray[np.uint8] | Iterable[NDArray[np.uint8]]) -> NDArray[np.float32]:
        """Embed frames: (N, H, W, 3) uint8 RGB to (N, D) float32.

        Raises
        ------
        TypeError, ValueError
            If the frames are not (N, H, W, 3) uint8, or the output is not (N, D) or (N, D, h, w).
        """
        parts: list[NDArray[np.float32]] = []
        batch: list[NDArray[np.uint8]] = []
        for frame in checked_frames(frames):
            batch.append(self.preprocess(frame))
            if len(batch) == self.batch_size:
                parts.append(self._run(np.stack(batch)))
                batch = []
        if batch:
            parts.append(self._run(np.stack(batch)))
        return np.concatenate(parts) if parts else np.zeros((0, self.dimension), np.float32)

    def embed_prepared(self, batch: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Embed prepared pictures: (B, h, w, 3) uint8 to (B, D) float32.

        Parameters
        ----------
        batch : (B, h, w, 3) uint8
            From `preprocess`, all of one size.

        Returns
        -------
        (B, D) float32
            One row per picture, in order.

        Raises
        ------
        TypeError, ValueError
            If the batch is not (B, h, w, 3) uint8 of the model's size, or the output has another form.
        """
        if batch.ndim != 4 or batch.shape[1:] != (*self._size, 3):
            raise ValueError(
                f"prepared pictures must be (B, {self._size[0]}, {self._size[1]}, 3), got {batch.shape}"
            )
        if batch.dtype != np.uint8:
            raise TypeError(f"prepared pictures must be uint8, got {batch.dtype}")
        starts = range(0, len(batch), self.batch_size)
        parts = [self._run(batch[start : start + self.batch_size]) for start in starts]
        return np.concatenate(parts) if parts else np.zeros((0, self.dimension), np.float32)

    @property
    def dimension(self) -> int:
        """D, the length of a vector; runs the model once where the file does not tell."""
        if self._width == 0:
            self._width = self._run(np.zeros((1, *self._size, 3), np.uint8)).shape[1]
        return self._width

    def load(self) -> None:
        """Do nothing: the file was read when the embedder was made."""

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
            "channels": self.preprocess.channels,
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
            "channels": self.preprocess.channels,
            "resize": self._resize,
            "batch_size": self.batch_size,
            "threads": self._threads,
            "device": self.device,
        }
        return _rebuild, (str(self.path), options)

    def _run(self, batch: NDArray[np.uint8]) -> NDArray[np.float32]:
        count = len(batch)
        pixels = self.preprocess.normalised(batch)
        if self._is_fixed_batch and count < self.batch_size:
            pixels = np.concatenate([pixels, np.repeat(pixels[-1:], self.batch_size - count, axis=0)])
        if self._layout == "NCHW":
            pixels = np.ascontiguousarray(pixels.transpose(0, 3, 1, 2))
        values = np.asarray(self._session.run([self._output], {self._input: pixels})[0])[:count]
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


def _as_three(values: NDArray[np.float32]) -> tuple[float, float, float]:
    first, second, third = values.tolist()
    return first, second, third


def _resolve_device(device: str) -> str:
    name, _, number = device.partition(":")
    if device not in ("auto", "cpu", "cuda") and not (name == "cuda" and number.isdecimal()):
        raise ValueError(f"device must be 'auto', 'cpu', 'cuda' or 'cuda:0', got {device!r}")
    if device == "cpu":
        return "cpu"
    has_gpu = "CUDAExecutionProvider" in require("onnxruntime", extra="onnx").get_available_providers()
    if device == "auto":
        return "cuda:0" if has_gpu else "cpu"
    if not has_gpu:
        raise InputError(
            f"device {device!r} asked for, but this onnxruntime runs on the CPU only; "
            "install onnxruntime-gpu in its place, or pass device='cpu'"
        )
    return f"cuda:{int(number or 0)}"


def _open_session(path: Path, threads: int, device: str) -> tuple[Any, str]:
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
        session = runtime.InferenceSession(str(path), options, providers=_providers(device))
    except (
        state.Fail,
        state.InvalidArgument,
        state.InvalidGraph,
        state.InvalidProtobuf,
        state.NotImplemented,
    ) as error:
        raise InputError(f"{path} is no ONNX model that onnxruntime runs: {error}") from error
    if device != "cpu" and "CUDAExecutionProvider" not in session.get_providers():
        raise InputError(
            f"device {device!r} asked for, but onnxruntime could not start CUDA; pass device='cpu'"
        )
    return session, hashlib.blake2b(data, digest_size=16).hexdigest()


def _providers(device: str) -> list[Any]:
    if device == "cpu":
        return ["CPUExecutionProvider"]
    # TF32 would round the inputs of convolutions to 10 bits.
    options = {"device_id": int(device.split(":")[1]), "use_tf32": 0}
    return [("CUDAExecutionProvider", options), "CPUExecutionProvider"]


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

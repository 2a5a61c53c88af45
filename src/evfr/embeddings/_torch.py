"""Run any torch model as an embedder: device, precision, batches; the model itself comes from a source."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Protocol

import numpy as np

from evfr._core.lazy import require
from evfr.embeddings._classic import checked_frames
from evfr.embeddings._preprocess import Preprocess
from evfr.embeddings._weights import once
from evfr.errors import InputError, WorkerError

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = [
    "LoadedModel",
    "ModelSource",
    "TextEmbedder",
    "TorchEmbedder",
    "resolve_device",
    "resolve_precision",
]

Precision = Literal["fp32", "bf16", "fp16"]
PRECISIONS = ("auto", "fp32", "bf16", "fp16")
BATCH_SIZES = {"cpu": 16, "cuda": 64}


@dataclass(frozen=True, slots=True)
class LoadedModel:
    """A module in memory and how it turns pictures, and perhaps words, into vectors.

    Attributes
    ----------
    module : torch.nn.Module
        In evaluation mode.
    images : callable
        (B, 3, h, w) float32 tensor to (B, D) tensor.
    texts : callable, optional
        Sequence of str and a device to (T, D) tensor.
    """

    module: Any
    images: Callable[[Any], Any]
    texts: Callable[[Sequence[str], str], Any] | None = None


class ModelSource(Protocol):
    """Where a model comes from: small, picklable, no tensors.

    Attributes
    ----------
    preprocess : Preprocess
        What the model wants done to a picture.
    parameters : dict
        JSON-ready: name, hash of the weights, choices.
    cache_key : hashable
        Equal where the weights in memory would be equal.
    """

    @property
    def preprocess(self) -> Preprocess: ...

    @property
    def parameters(self) -> dict[str, Any]: ...

    @property
    def cache_key(self) -> Hashable: ...

    def load(self) -> LoadedModel:
        """Read the weights into a module on the CPU."""
        ...


def resolve_device(device: str) -> str:
    """Return ``"cpu"`` or ``"cuda:N"`` for what the caller asks.

    Parameters
    ----------
    device : str
        ``"auto"`` (the first GPU if there is one), ``"cpu"``, ``"cuda"`` or ``"cuda:N"``.

    Returns
    -------
    str

    Raises
    ------
    ValueError
        If it is none of these.
    InputError
        If that GPU is not here.
    """
    name, _, number = device.partition(":")
    if device not in ("auto", "cpu", "cuda") and not (name == "cuda" and number.isdecimal()):
        raise ValueError(f"device must be 'auto', 'cpu', 'cuda' or 'cuda:0', got {device!r}")
    if device == "cpu":
        return "cpu"
    torch = require("torch", extra="torch")
    is_here = torch.cuda.is_available()
    if device == "auto":
        return "cuda:0" if is_here else "cpu"
    if not is_here:
        built = "this torch is built without CUDA" if torch.version.cuda is None else "torch sees no GPU here"
        raise InputError(f"device {device!r} asked for, but {built}; pass device='cpu' or 'auto'")
    if int(number or 0) >= torch.cuda.device_count():
        raise InputError(
            f"device {device!r} asked for, but torch sees {torch.cuda.device_count()} GPU(s) here"
        )
    return f"cuda:{int(number or 0)}"


def resolve_precision(precision: str, device: str) -> Precision:
    """Return the precision that a model runs in on a device.

    Parameters
    ----------
    precision : str
        ``"auto"`` is fp32 on the CPU and, on a GPU, bf16 where it has it, else fp16; or one of the three.
    device : str
        From `resolve_device`.

    Returns
    -------
    {"fp32", "bf16", "fp16"}

    Raises
    ------
    ValueError
        If it is none of these, or fp16 on the CPU.
    """
    if precision not in PRECISIONS:
        raise ValueError(f"precision must be one of {', '.join(PRECISIONS)}, got {precision!r}")
    if device == "cpu":
        if precision == "fp16":
            raise ValueError("precision 'fp16' needs a GPU; on the CPU use 'fp32' or 'bf16'")
        return "bf16" if precision == "bf16" else "fp32"
    if precision == "auto":
        cuda = require("torch", extra="torch").cuda
        return "bf16" if cuda.is_bf16_supported(including_emulation=False) else "fp16"
    return "fp32" if precision == "fp32" else "bf16" if precision == "bf16" else "fp16"


class TorchEmbedder:
    """Embed frames by a torch model; `make_embedder` builds it.

    Parameters
    ----------
    source : ModelSource
        Which model.
    device, precision : str
        As in `make_embedder`.
    batch_size : int, optional
        Pictures per run of the model; 16 on the CPU, 64 on a GPU.

    Raises
    ------
    MissingExtraError
        If torch is not installed.
    ValueError, InputError
        If the device or precision is unknown or not here, or batch_size is below 1.

    Notes
    -----
    Weights are read with the first picture (or by `load`) and kept once per process, in float32; lower
    precision is torch's autocast. A pickled embedder takes its names along, not its weights.
    """

    def __init__(
        self,
        source: ModelSource,
        *,
        device: str = "auto",
        precision: str = "auto",
        batch_size: int | None = None,
    ) -> None:
        self.source = source
        self.device = resolve_device(device)
        self.precision = resolve_precision(precision, self.device)
        self._torch = require("torch", extra="torch")
        self.batch_size = BATCH_SIZES[self.device.split(":")[0]] if batch_size is None else batch_size
        if self.batch_size < 1:
            raise ValueError(f"batch_size must be 1 or more, got {batch_size}")
        self._dimension: int | None = None

    @property
    def preprocess(self) -> Preprocess:
        """What is done to a frame before the model, without torch."""
        return self.source.preprocess

    @property
    def parameters(self) -> dict[str, Any]:
        """What the vectors depend on besides the frames, JSON-ready, with the hash of the weights."""
        return {
            **self.source.parameters,
            "precision": self.precision,
            "preprocess": self.source.preprocess.parameters,
        }

    @property
    def dimension(self) -> int:
        """D, the length of a vector; loads the model."""
        if self._dimension is None:
            self._dimension = self._run(self.preprocess(np.zeros((224, 224, 3), np.uint8))[None]).shape[1]
        return self._dimension

    def load(self) -> None:
        """Read the weights now.

        Raises
        ------
        InputError
            If they cannot be read or do not fit the model.
        """
        self._model()

    def __call__(self, frames: NDArray[np.uint8] | Iterable[NDArray[np.uint8]]) -> NDArray[np.float32]:
        """Embed frames: (N, H, W, 3) uint8 RGB to (N, D) float32.

        Raises
        ------
        TypeError, ValueError
            If the frames are not (N, H, W, 3) uint8.
        """
        parts: list[NDArray[np.float32]] = []
        batch: list[NDArray[np.uint8]] = []
        for frame in checked_frames(frames):
            picture = self.preprocess(frame)
            if batch and (len(batch) == self.batch_size or picture.shape != batch[0].shape):
                parts.append(self._run(np.stack(batch)))
                batch = []
            batch.append(picture)
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
            If the batch is not (B, h, w, 3) uint8.
        """
        if batch.ndim != 4 or batch.shape[3] != 3:
            raise ValueError(f"prepared pictures must be (B, h, w, 3), got {batch.shape}")
        if batch.dtype != np.uint8:
            raise TypeError(f"prepared pictures must be uint8, got {batch.dtype}")
        starts = range(0, len(batch), self.batch_size)
        parts = [self._run(batch[start : start + self.batch_size]) for start in starts]
        return np.concatenate(parts) if parts else np.zeros((0, self.dimension), np.float32)

    def __repr__(self) -> str:
        name = self.source.parameters["model"]
        return f"{type(self).__name__}({name!r}, device={self.device!r}, precision={self.precision!r})"

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle names and choices, not weights: the other process loads them once."""
        return _rebuild, (type(self), self.source, self.device, self.precision, self.batch_size)

    def _model(self) -> LoadedModel:
        def load() -> LoadedModel:
            loaded = self.source.load()
            # Pictures come with their channels last; convolutions are faster when the weights do too.
            loaded.module.eval().requires_grad_(False).to(
                self.device, memory_format=self._torch.channels_last
            )
            return loaded

        loaded: LoadedModel = once((self.source.cache_key, self.device), load)
        return loaded

    @contextlib.contextmanager
    def _inference(self) -> Iterator[None]:
        torch = self._torch
        kind = self.device.split(":")[0]
        lower = {"bf16": torch.bfloat16, "fp16": torch.float16}.get(self.precision)
        with contextlib.ExitStack() as stack:
            stack.enter_context(torch.inference_mode())
            if lower is not None:
                stack.enter_context(torch.autocast(kind, dtype=lower))
            elif kind == "cuda":
                # fp32 means fp32: convolutions would round their inputs to 10 bits (TF32) otherwise.
                stack.enter_context(torch.backends.cudnn.flags(enabled=True, allow_tf32=False))
            try:
                yield
            except torch.OutOfMemoryError as error:
                raise WorkerError(
                    f"a batch of {self.batch_size} does not fit into the memory of {self.device}; "
                    "pass a smaller batch_size"
                ) from error

    def _run(self, batch: NDArray[np.uint8]) -> NDArray[np.float32]:
        torch, preprocess = self._torch, self.preprocess
        model = self._model()
        # from_numpy warns of memory that it could write to but must not.
        owned = np.require(batch, requirements=["C", "W"])
        with self._inference():
            pixels = torch.from_numpy(owned).to(self.device).permute(0, 3, 1, 2).to(torch.float32)
            mean, std = (
                torch.tensor(values, dtype=torch.float32, device=self.device).view(1, 3, 1, 1)
                for values in (preprocess.mean, preprocess.std)
            )
            vectors = model.images((pixels * preprocess.rescale - mean) / std)
            if vectors.ndim != 2:
                raise ValueError(f"{self!r} gives {tuple(vectors.shape)}, it must be (B, D)")
            return np.asarray(vectors.float().cpu().numpy())


class TextEmbedder(TorchEmbedder):
    """A `TorchEmbedder` whose model knows words too (CLIP, SigLIP)."""

    def embed_text(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Embed texts: T strings to (T, D) float32, comparable with pictures by cosine.

        Parameters
        ----------
        texts : sequence of str
            Cut at the length that the model takes.

        Returns
        -------
        (T, D) float32
            One row per text, in order.

        Raises
        ------
        TypeError
            If ``texts`` is one string.
        InputError
            If the model's folder has no tokenizer.
        """
        if isinstance(texts, str):
            raise TypeError(f"texts must be several strings, got one: {texts!r}; pass [text]")
        model = self._model()
        if not texts:
            return np.zeros((0, self.dimension), np.float32)
        assert model.texts is not None  # such a source is what makes this class
        with self._inference():
            return np.asarray(model.texts(list(texts), self.device).float().cpu().numpy())


def _rebuild(
    kind: type[TorchEmbedder], source: ModelSource, device: str, precision: str, batch_size: int
) -> TorchEmbedder:
    return kind(source, device=device, precision=precision, batch_size=batch_size)

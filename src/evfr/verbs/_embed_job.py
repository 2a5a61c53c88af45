"""What to embed of one video and by which model: values that travel to workers, the clock, the loaded model."""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from evfr._core.remote_store import StoreRoot
    from evfr._core.store import StoreKey
    from evfr.verbs._measure import Damaged
    from evfr.video import VideoSource

__all__ = ["EmbedJob", "Located", "ModelSpec", "Ticks", "forget_model", "load_model"]


@dataclass(frozen=True, slots=True)
class ModelSpec:
    """Say which embedder; travels to worker processes, which load it themselves.

    Attributes
    ----------
    model : str or callable
        What `evfr.embeddings.make_embedder` takes, or an embedder itself (picklable).
    weights, device, precision, batch_size
        As in `evfr.embeddings.make_embedder`.
    options : tuple of (str, object)
        The model's own options.
    """

    model: Any
    weights: Path | None = None
    device: str = "auto"
    precision: str = "auto"
    batch_size: int | None = None
    options: tuple[tuple[str, Any], ...] = ()

    @property
    def name(self) -> str:
        """What the user called the model."""
        return self.model if isinstance(self.model, str) else type(self.model).__name__


@dataclass(frozen=True, slots=True)
class EmbedJob:
    """Say what to embed of one video; travels to the child process.

    Attributes
    ----------
    source : VideoSource
        The video.
    store : Path
        Root of the store.
    spec : ModelSpec
        The model.
    parameters : mapping
        The embedder's own parameters.
    every : int or None
        Every so many frames.
    fps : float or None
        So many frames a second of true time.
    damaged : {"drop", "keep", "fail"}
        As in `evfr.embed`.
    preprocess : callable or None
        (H, W, 3) uint8 to the (h, w, 3) uint8 picture that the model takes, for `prepare_video`.
    address : str
        Where `prepare_video` sends pictures.
    item_index : int
        The job's place, for `prepare_video`.
    """

    source: VideoSource
    store: StoreRoot
    spec: ModelSpec
    parameters: Mapping[str, Any]
    every: int | None
    fps: float | None
    damaged: Damaged
    preprocess: Any = None
    address: str = ""
    item_index: int = 0

    @property
    def video_id(self) -> str:
        """The video's name in this run."""
        return self.source.video_id


@dataclass(frozen=True, slots=True, eq=False)
class Located:
    """Say where a video's vectors are, or will be once the parent has computed them.

    Attributes
    ----------
    digest : str
        Hash of the video's bytes.
    frames, key : StoreKey
        Of the frame table and of the vectors.
    is_cached : bool
        Whether everything was there already.
    frame_index, pts, time_seconds : (M,) int64, int64 and float64
        The frames that were embedded; empty when they were cached.
    """

    digest: str
    frames: StoreKey
    key: StoreKey
    is_cached: bool
    frame_index: NDArray[np.int64] | None = field(default=None, repr=False)
    pts: NDArray[np.int64] | None = field(default=None, repr=False)
    time_seconds: NDArray[np.float64] | None = field(default=None, repr=False)


class Ticks:
    """Choose frames while they are decoded: each k-th index, or the first at or after each tick of a clock.

    Parameters
    ----------
    every : int or None
        Take the frames whose index is a multiple of this.
    fps : float or None
        Take the first frame at or after each multiple of 1 / fps seconds; a frame that serves several ticks,
        after a gap or at a low frame rate, is taken once, so no more frames come out than there are.

    Raises
    ------
    ValueError
        If both are given, or one is out of range.
    """

    def __init__(self, every: int | None, fps: float | None) -> None:
        if every is not None and fps is not None:
            raise ValueError("every and fps exclude each other; give one of them")
        if every is not None and every < 1:
            raise ValueError(f"every must be 1 or more, got {every}")
        if fps is not None and not (fps > 0 and math.isfinite(fps)):
            raise ValueError(f"fps must be a positive number of frames a second, got {fps}")
        self._every, self._fps = every or 1, fps
        self._next = -math.inf

    def takes(self, frame_index: int, time_seconds: float) -> bool:
        """Return whether the frame is wanted; call it once for each frame, in order."""
        if self._fps is None:
            return frame_index % self._every == 0
        tick = math.floor(time_seconds * self._fps + 1e-6)  # 3 x 0.1 s is at the third tick of 10 a second
        if tick < self._next:
            return False
        self._next = tick + 1
        return True


@functools.lru_cache(maxsize=1)
def _made(spec: ModelSpec) -> Any:
    from evfr.embeddings import make_embedder

    given = {
        "weights": spec.weights,
        "device": None if spec.device == "auto" else spec.device,
        "precision": None if spec.precision == "auto" else spec.precision,
        "batch_size": spec.batch_size,
        "options": dict(spec.options) or None,
    }
    asked: dict[str, Any] = {name: value for name, value in given.items() if value is not None}
    return make_embedder(spec.model, **asked)


def load_model(spec: ModelSpec) -> Any:
    """Return the embedder; a process loads one model once.

    Parameters
    ----------
    spec : ModelSpec
        Which.

    Returns
    -------
    callable
        An embedder with ``parameters``.

    Raises
    ------
    ValueError
        If it cannot be named in a store; also what `evfr.embeddings.make_embedder` raises.
    """
    embedder = _made(spec) if isinstance(spec.model, str) else spec.model
    if not isinstance(getattr(embedder, "parameters", None), Mapping):
        raise ValueError(
            f"{embedder!r} has no 'parameters' mapping, so its vectors cannot be named in a store; give it one"
        )
    return embedder


def forget_model() -> None:
    """Let go of the model that this process has loaded, and of the memory it holds."""
    _made.cache_clear()

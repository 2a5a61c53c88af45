"""`evfr embed`: vectors of frames, straight from video."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from evfr._core.remote_store import StoreRoot
    from evfr._core.types import Problem
    from evfr.distributed import Executor
    from evfr.signals import Embedder
    from evfr.verbs._embed_pass import Located
    from evfr.video import VideoSource

__all__ = ["EmbedResult", "VideoVectors", "embed"]


@dataclass(frozen=True, slots=True)
class VideoVectors:
    """Say what the store now holds of one video.

    Attributes
    ----------
    video_id : str
        Its name in this run.
    status : str
        ``"ok"``, ``"partial"`` (damaged) or ``"failed"``.
    vector_count : int
        Frames that have a vector.
    frame_count : int
        Frames of the video.
    digest : str
        Hash of the video's bytes, hex; empty when it failed.
    is_cached : bool
        Whether nothing had to be computed.
    """

    video_id: str
    status: str
    vector_count: int
    frame_count: int
    digest: str
    is_cached: bool

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON-ready dict, keys in field order."""
        return {name: getattr(self, name) for name in self.__slots__}


@dataclass(frozen=True, slots=True)
class EmbedResult:
    """Hold what `embed` did, one entry per video in input order.

    Attributes
    ----------
    videos : tuple of VideoVectors
        What the store holds of each.
    problems : tuple of Problem
        Everything found wrong.
    model : str
        The model as it was named.
    parameters : mapping
        All that the vectors depend on besides the frames.
    dimension : int
        Length D of a vector; 0 if no video has one.
    store : Path
        Where the vectors are.
    seconds : float
        Wall time.
    """

    videos: tuple[VideoVectors, ...]
    problems: tuple[Problem, ...]
    model: str
    parameters: Mapping[str, Any]
    dimension: int
    store: StoreRoot
    seconds: float

    @property
    def failed_count(self) -> int:
        """How many videos could not be used."""
        return sum(video.status == "failed" for video in self.videos)

    @property
    def vector_count(self) -> int:
        """How many vectors the store holds of these videos."""
        return sum(video.vector_count for video in self.videos)

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON-ready dict."""
        return {
            "videos": [video.to_dict() for video in self.videos],
            "problems": [problem.to_dict() for problem in self.problems],
            "model": self.model,
            "parameters": dict(self.parameters),
            "dimension": self.dimension,
            "store": str(self.store),
            "seconds": self.seconds,
        }


def embed(
    paths: str | Path | Sequence[str | Path],
    *,
    model: str | Embedder = "facebook/dinov2-base",
    weights: Path | None = None,
    every: int | None = None,
    fps: float | None = None,
    device: str = "auto",
    precision: Literal["auto", "fp32", "bf16", "fp16"] = "auto",
    batch_size: int | None = None,
    model_options: Mapping[str, int | float | str] | None = None,
    damaged: Literal["drop", "keep", "fail"] = "drop",
    out: Path | None = None,
    shard: str | None = None,
    executor: Literal["serial", "processes", "ray"] | Executor = "processes",
    jobs: int | None = None,
    memory_limit_mb: int | None = 4096,
    timeout_seconds: float | None = 120.0,
    gpus_per_worker: float = 0.0,
    allow_remote: Sequence[str] = (),
) -> EmbedResult:
    """Turn frames into vectors straight from video, once, and keep them in a store.

    What the store has is not computed again, so an interrupted run goes on where it was. The same pass measures
    what a selection needs to know about the frames.

    Parameters
    ----------
    paths : path or sequence of paths
        Video files, folders, globs, folders or zips of images, or ``@list.txt`` with a path per line.
    model : str or callable
        ``thumbnail``, ``hsv``, ``hog`` or ``dct`` (nothing learned), an ``.onnx`` file, a Hugging Face model id or
        folder, ``resnet50`` (torchvision, with ``weights``) or ``timm:NAME``.
    weights : Path or None
        A file of weights, for models that come without.
    every : int or None
        Embed every so many frames: those whose index is a multiple of it; None is every frame.
    fps : float or None
        Embed so many frames a second of true time: the first frame at or after each tick; instead of ``every``.
    device : str
        ``cpu``, ``cuda`` or ``cuda:N``; ``auto`` takes CUDA where it is.
    precision : {"auto", "fp32", "bf16", "fp16"}
        What the model computes in.
    batch_size : int or None
        Frames per run of the model; None is the model's own.
    model_options : mapping or None
        Options of the model itself, by name, for example ``pooling=mean``.
    damaged : {"drop", "keep", "fail"}
        Frames that damage may have reached: mark them, so that nothing selects them; treat them as sound; or give
        the video up.
    out : Path or None
        The store to read from and write to, also ``s3://bucket/folder`` where ``allow_remote`` names it; None is the
        user's cache folder, or ``EVFR_STORE``.
    shard : str or None
        Do only this part of the videos: ``RANK/COUNT``, ranks from 0, or ``env`` for what torchrun sets.

    Returns
    -------
    EmbedResult
        Counts per video; `evfr.search`, `evfr.dedup` and `evfr.select` read the vectors from the store.

    Other Parameters
    ----------------
    executor : {"serial", "processes", "ray"} or callable
        ``processes`` decodes in child processes ahead of one model in this process; the others embed each video
        where they decode it, with a model in each worker.
    jobs : int or None
        Child processes at a time; None is one per core.
    memory_limit_mb : int or None
        Memory limit of a child process in MiB; None is no limit.
    timeout_seconds : float or None
        Give a video up when it makes no progress for this long; None waits for ever.
    gpus_per_worker : float
        With ``ray``: how many GPUs each worker reserves; it may be a fraction.
    allow_remote : sequence of str
        Read remote files, and use a remote store, below these prefixes, for example ``s3://bucket/folder``; without
        it none is used.

    Raises
    ------
    InputError
        If no path resolves to anything, or the model cannot be read.
    StoreError
        If the store cannot be read or written.
    MissingExtraError
        If the model needs packages that are not installed.
    ValueError
        If an argument is out of range, or ``every`` and ``fps`` are both given.

    Notes
    -----
    Vectors are stored as float16. Batches go over the borders of videos, so a vector may differ in its last bits
    from the one that another batch size or number of processes gives (models sum in another order); which frames
    have one never differs. Embedders that learn nothing give the same bytes always.

    Examples
    --------
    >>> import evfr
    >>> done = evfr.embed("drive.mp4", model="hsv", fps=2, out="store")  # doctest: +SKIP
    >>> done.vector_count, done.dimension  # doctest: +SKIP
    (61, 256)
    """
    import time

    from evfr._core.remote_store import store_root
    from evfr.verbs._embedding import locate
    from evfr.verbs._measure import default_store
    from evfr.video import resolve_inputs

    start = time.perf_counter()
    sources: Sequence[VideoSource] = resolve_inputs(
        [paths] if isinstance(paths, str | Path) else list(paths), allow_remote=allow_remote
    )
    sources, device = _take_shard(sources, shard, device)
    root = store_root(default_store() if out is None else out, allow_remote)
    _check_store(root)
    located, parameters = locate(
        sources,
        model=model,
        weights=weights,
        every=every,
        fps=fps,
        damaged=damaged,
        device=device,
        precision=precision,
        batch_size=batch_size,
        model_options=model_options,
        store=root,
        executor=executor,
        jobs=jobs,
        memory_limit_mb=memory_limit_mb,
        timeout_seconds=timeout_seconds,
        gpus_per_worker=gpus_per_worker,
    )
    videos: list[VideoVectors] = []
    problems: list[Problem] = []
    dimension = 0
    for source, found in zip(sources, located, strict=True):
        video, own, width = _summarise(root, source, found, parameters)
        videos.append(video)
        problems += own
        dimension = dimension or width
    seconds = round(time.perf_counter() - start, 3)
    name = model if isinstance(model, str) else type(model).__name__
    return EmbedResult(tuple(videos), tuple(problems), name, parameters, dimension, root, seconds)


def _take_shard(
    sources: Sequence[VideoSource], text: str | None, device: str
) -> tuple[Sequence[VideoSource], str]:
    from evfr.distributed._shards import Shard, local_device, shard

    if text is None:
        return sources, device
    part = Shard.parse(text)
    rows = shard([source.video_id for source in sources], part.rank, part.world_size)
    return [sources[row] for row in rows], local_device(part) if device == "auto" else device


def _check_store(root: StoreRoot) -> None:
    """Refuse a store of another version before anything is computed into it."""
    from evfr._core.store import Store
    from evfr._core.store_format import read_footer

    for path in Store(root).files("embedding"):
        read_footer(path)
        return


def _summarise(
    root: StoreRoot, source: VideoSource, found: Located | Problem, parameters: Mapping[str, Any]
) -> tuple[VideoVectors, Sequence[Problem], int]:
    from evfr._core.store import Store
    from evfr.verbs._embedding import read_embedded

    video = read_embedded(root, source, found, parameters)
    count = len(Store(root).read(video.frames_key)) if video.frames_key is not None else 0
    width = video.vectors.shape[1]
    return (
        VideoVectors(source.video_id, video.status, len(video.vectors), count, video.digest, video.is_cached),
        video.problems,
        width,
    )

"""`evfr score`: how redundant the frames of videos are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from evfr._core.remote_store import StoreRoot
    from evfr._core.types import FrameTable, Problem
    from evfr.verbs._measure import Measured

__all__ = ["ScoreResult", "VideoScore", "score"]


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class VideoScore:
    """Hold the measurements of one video.

    Attributes
    ----------
    video_id : str
        Its name in this run.
    status : str
        ``"ok"``, ``"partial"`` (damaged, the clean frames are usable) or ``"failed"``.
    frames : FrameTable or None
        Identity of its N frames; None when it failed.
    cuts : (K,) int64
        First frame of each new shot, 0 excluded.
    dissimilarity : mapping of str to (N,) float64
        Raw value d_t between frame t and t + 1, per signal; NaN where not measurable. Values of one signal
        compare only at equal parameters.
    fvi : mapping of str to (N,) float64
        Frame Variance Index per signal: sums to 1.
    dynamicity : mapping of str to float
        Standard deviation over mean of d: how unevenly motion is spread.
    activity : mapping of str to float
        Mean of d: how much motion there is.
    is_static : mapping of str to bool
        Whether nothing moves (the FVI is then uniform).
    nan_count : mapping of str to int
        How many values could not be measured.
    parameters : mapping of str to mapping
        Working width, window and version of each signal.
    is_cached : bool
        Whether the store had everything already.
    """

    video_id: str
    status: str
    frames: FrameTable | None
    cuts: NDArray[np.int64]
    dissimilarity: Mapping[str, NDArray[np.float64]]
    fvi: Mapping[str, NDArray[np.float64]]
    dynamicity: Mapping[str, float]
    activity: Mapping[str, float]
    is_static: Mapping[str, bool]
    nan_count: Mapping[str, int]
    parameters: Mapping[str, Mapping[str, Any]]
    is_cached: bool

    def __repr__(self) -> str:
        count = 0 if self.frames is None else len(self.frames)
        return f"VideoScore({self.video_id!r}, {self.status}, {count} frames, {', '.join(self.fvi)})"

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON-ready summary: counts and one line per signal, not the curves."""
        signals = {
            name: {
                "dynamicity": _finite(self.dynamicity[name]),
                "activity": _finite(self.activity[name]),
                "is_static": self.is_static[name],
                "nan_count": self.nan_count[name],
                "parameters": dict(self.parameters[name]),
            }
            for name in self.fvi
        }
        return {
            "video_id": self.video_id,
            "status": self.status,
            "frame_count": 0 if self.frames is None else len(self.frames),
            "cuts": [int(cut) for cut in self.cuts],
            "signals": signals,
            "is_cached": self.is_cached,
        }


@dataclass(frozen=True, slots=True)
class ScoreResult:
    """Hold what `score` measured, one entry per video in input order.

    Attributes
    ----------
    videos : tuple of VideoScore
        The measurements.
    problems : tuple of Problem
        Everything found wrong.
    store : Path
        Where the measurements are kept.
    """

    videos: tuple[VideoScore, ...]
    problems: tuple[Problem, ...]
    store: StoreRoot

    @property
    def failed_count(self) -> int:
        """How many videos could not be used."""
        return sum(video.status == "failed" for video in self.videos)

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON-ready dict with the lists ``videos`` and ``problems``."""
        return {
            "videos": [video.to_dict() for video in self.videos],
            "problems": [problem.to_dict() for problem in self.problems],
            "store": str(self.store),
        }


def score(
    paths: str | Path | Sequence[str | Path],
    *,
    signals: Sequence[Literal["flow", "ssim", "feature", "difference", "motion"]] = ("flow",),
    profile: Literal["fast", "default", "reference"] = "default",
    embedding: str | None = None,
    weights: Path | None = None,
    precision: Literal["auto", "fp32", "bf16", "fp16"] = "auto",
    model_options: Mapping[str, int | float | str] | None = None,
    damaged: Literal["drop", "keep", "fail"] = "drop",
    out: Path | None = None,
    executor: Literal["serial", "processes", "ray"] = "processes",
    jobs: int | None = None,
    memory_limit_mb: int | None = 4096,
    timeout_seconds: float | None = 120.0,
    allow_remote: Sequence[str] = (),
) -> ScoreResult:
    """Measure how redundant frames are: one decode pass for all signals, kept in a store (Yoon & Choi 2023, §3).

    Parameters
    ----------
    paths : path or sequence of paths
        Video files, folders, globs, folders or zips of images, or ``@list.txt`` with a path per line.
    signals : sequence of {"flow", "ssim", "feature", "difference", "motion"}
        What to measure between consecutive frames: dense optical flow (OFVD), 1 - SSIM (SSVD), feature distance
        (FSD), mean grey difference, codec motion vectors.
    profile : {"fast", "default", "reference"}
        Flow at 160 px, at 320 px, or at full size; SSIM in 8x8 blocks or, for the reference, in Gaussian windows.
    embedding : str or None
        What ``feature`` compares: ``thumbnail``, ``hsv``, ``hog``, ``dct`` or an ONNX file; None is ``thumbnail``.
    weights : Path or None
        The embedding model's weights file, for models that need one.
    precision : {"auto", "fp32", "bf16", "fp16"}
        What the embedding model computes in.
    model_options : mapping or None
        Options of the embedding model itself, by name, as in ``evfr embed``.
    damaged : {"drop", "keep", "fail"}
        Frames that damage may have reached: measure no value at them, treat them as sound, or give the video up.
    out : Path or None
        The store to read from and write to, also ``s3://bucket/folder`` where ``allow_remote`` names it; None is the
        user's cache folder, or ``EVFR_STORE``.

    Returns
    -------
    ScoreResult
        Curves, dynamicity and activity per video.

    Other Parameters
    ----------------
    executor : {"serial", "processes", "ray"}
        Decode in this process, in child processes that a damaged file cannot take down, or in those of a Ray cluster.
    jobs : int or None
        Child processes at a time; None is one per core, of the whole cluster where there is one.
    memory_limit_mb : int or None
        Memory limit of a child process in MiB; None is no limit.
    timeout_seconds : float or None
        Give a video up when it makes no progress for this long; None waits for ever.
    allow_remote : sequence of str
        Read remote files, and use a remote store, below these prefixes, for example ``s3://bucket/folder``; without
        it none is used.

    Raises
    ------
    InputError
        If no path resolves to anything.
    StoreError
        If the store cannot be read or written.

    Examples
    --------
    >>> import evfr
    >>> video = evfr.score("drive.mp4", signals=["flow", "ssim"]).videos[0]  # doctest: +SKIP
    >>> video.dynamicity["flow"]  # doctest: +SKIP
    0.83
    """
    from evfr._core.remote_store import store_root
    from evfr.verbs._embed_job import ModelSpec
    from evfr.verbs._measure import default_store, measure
    from evfr.video import resolve_inputs

    names = _signal_names(signals)
    sources = resolve_inputs(
        [paths] if isinstance(paths, str | Path) else list(paths), allow_remote=allow_remote
    )
    root = store_root(default_store() if out is None else out, allow_remote)
    measured = measure(
        sources,
        signals=names,
        profile=profile,
        embedding=embedding,
        model=ModelSpec(
            embedding, weights, "auto", precision, None, tuple(sorted((model_options or {}).items()))
        ),
        damaged=damaged,
        store=root,
        executor=executor,
        jobs=jobs,
        memory_limit_mb=memory_limit_mb,
        timeout_seconds=timeout_seconds,
    )
    videos = tuple(summarise(video) for video in measured)
    problems = [problem for video in measured for problem in video.problems]
    problems += [problem for video in videos for problem in signal_problems(video)]
    return ScoreResult(videos, tuple(problems), root)


def summarise(measured: Measured) -> VideoScore:
    """Turn raw measurements into FVI, dynamicity and activity.

    Parameters
    ----------
    measured : Measured
        One video's pass.

    Returns
    -------
    VideoScore
        With every signal that was measured.
    """
    import numpy as np

    from evfr.signals import activity, dynamicity, find_cuts, fvi

    if measured.table is None or measured.content is None:
        empty = np.zeros(0, np.int64)
        return VideoScore(
            measured.source.video_id, measured.status, None, empty, {}, {}, {}, {}, {}, {}, {}, False
        )
    cuts = find_cuts(measured.content)
    results = {name: fvi(values, cuts=cuts) for name, values in measured.values.items()}
    return VideoScore(
        video_id=measured.source.video_id,
        status=measured.status,
        frames=measured.table,
        cuts=cuts,
        dissimilarity=dict(measured.values),
        fvi={name: result.weights for name, result in results.items()},
        dynamicity={name: dynamicity(values, cuts=cuts) for name, values in measured.values.items()},
        activity={name: activity(values, cuts=cuts) for name, values in measured.values.items()},
        is_static={name: result.is_static for name, result in results.items()},
        nan_count={name: result.nan_count for name, result in results.items()},
        parameters=measured.parameters,
        is_cached=measured.is_cached,
    )


def signal_problems(score: VideoScore) -> list[Problem]:
    """Say what is odd about a video's signals: nothing moves, or frames could not be measured.

    Parameters
    ----------
    score : VideoScore
        One video's measurements.

    Returns
    -------
    list of Problem
        ``W_STATIC`` and ``W_SIGNAL``, per signal; empty when all is well.
    """
    from evfr._core.types import Problem
    from evfr.errors import ProblemCode

    found = []
    for name in score.fvi:
        if score.is_static[name]:
            text = f"nothing moves by signal {name}: all weights are equal; uniform sampling does the same"
            found.append(Problem(ProblemCode.W_STATIC, text, score.video_id))
        count = score.nan_count[name]
        if count:
            text = f"signal {name} could not be measured on {count} frames; their weight is 0"
            found.append(Problem(ProblemCode.W_SIGNAL, text, score.video_id, None, count))
    return found


def _signal_names(signals: Sequence[str]) -> tuple[str, ...]:
    from evfr.signals import SIGNALS

    names = (signals,) if isinstance(signals, str) else tuple(dict.fromkeys(signals))
    unknown = [name for name in names if name not in SIGNALS]
    if unknown or not names:
        raise ValueError(f"signals must be some of {', '.join(SIGNALS)}, got {list(names)}")
    return names


def _finite(value: float) -> float | None:
    import math

    return value if math.isfinite(value) else None

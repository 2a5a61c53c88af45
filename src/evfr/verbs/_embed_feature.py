"""The signal ``feature`` of learned embeddings: from stored vectors, so that the model runs in batches and once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from evfr._core.types import Problem
    from evfr.verbs._embed_job import ModelSpec
    from evfr.verbs._embedding import EmbeddedVideo
    from evfr.verbs._measure import MeasureJob

__all__ = ["feature_parameters", "write_features"]


def feature_parameters(embedder: Any) -> dict[str, Any]:
    """Return all that the signal depends on when it is made from stored vectors.

    Parameters
    ----------
    embedder : callable
        With ``parameters``.

    Returns
    -------
    dict
        JSON-ready.
    """
    from evfr.signals import signal_parameters

    return {**signal_parameters("feature", embedder=embedder), "vectors": "float16"}


def write_features(
    work: Sequence[MeasureJob],
    *,
    model: ModelSpec,
    executor: str,
    jobs: int | None,
    memory_limit_mb: int | None,
    timeout_seconds: float | None,
) -> tuple[Mapping[str, Any], dict[int, Problem]]:
    """Make the signal of every video from its vectors, which are computed where they are missing.

    Parameters
    ----------
    work : sequence of MeasureJob
        One per video, one embedding for all.
    model : ModelSpec
        How the model is loaded.
    executor, jobs, memory_limit_mb, timeout_seconds
        As in `evfr.distributed.map_videos`.

    Returns
    -------
    tuple of (mapping, dict of int to Problem)
        The signal's parameters, and why rows of ``work`` have no vectors.
    """
    import pyarrow as pa

    from evfr._core.store import Store
    from evfr.verbs._embedding import locate, read_embedded
    from evfr.verbs._measure import is_intact, keys_of
    from evfr.verbs._stored import read_frames

    first = work[0]
    located, embedder = locate(
        [job.source for job in work],
        model=first.embedding,
        weights=model.weights,
        every=None,
        fps=None,
        damaged=first.damaged,
        device=model.device,
        precision=model.precision,
        batch_size=model.batch_size,
        model_options=dict(model.options),
        store=first.store,
        executor=executor,
        jobs=jobs,
        memory_limit_mb=memory_limit_mb,
        timeout_seconds=timeout_seconds,
    )
    parameters = feature_parameters(_Described(embedder))
    store = Store(first.store)
    problems: dict[int, Problem] = {}
    for row, (job, found) in enumerate(zip(work, located, strict=True)):
        video = read_embedded(first.store, job.source, found, embedder)
        if video.frames_key is None:
            problems[row] = video.problems[0]
            continue
        _, keys, _ = keys_of(store, replace(job, signals=("feature",), feature=parameters), video.digest)
        if not is_intact(store, keys["feature"]):
            table, _, _ = read_frames(store, video.frames_key)
            columns = pa.table(
                {
                    "frame_index": pa.array(range(len(table)), pa.int64()),
                    "dissimilarity": _values(video, table.is_suspect),
                }
            )
            store.write(keys["feature"], columns, {"signal": {**parameters, "working_width": table.width}})
    return parameters, problems


@dataclass(frozen=True, slots=True)
class _Described:
    """An embedder of which only the parameters are known."""

    parameters: Mapping[str, Any]


def _values(video: EmbeddedVideo, is_suspect: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Place the dissimilarities of embedded frames among all frames, NaN where there is none."""
    import numpy as np

    from evfr.signals import feature_dissimilarities

    values = np.full(len(is_suspect), np.nan)
    index = video.frame_index
    values[index] = feature_dissimilarities(video.vectors, index, ~is_suspect[index])
    if len(index) and index[-1] != len(is_suspect) - 1:
        # The last decoded frame has a successor that did not decode: its 0.0 would pass for "nothing moves".
        values[index[-1]] = np.nan
    return values

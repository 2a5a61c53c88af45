"""The frames of a store as images: find their videos by content, extract exactly."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from evfr._core.embedding_set import EmbeddingSet
    from evfr._core.remote_store import StoreRoot
    from evfr._core.types import Problem
    from evfr.video import VideoSource

__all__ = ["extract_found"]


def extract_found(
    vectors: EmbeddingSet,
    frames: Mapping[str, Sequence[int]],
    videos: Sequence[str | Path],
    *,
    store: StoreRoot,
    folder: Path,
    image_format: str,
    quality: int,
    executor: str,
    jobs: int | None,
    memory_limit_mb: int | None,
    timeout_seconds: float | None,
) -> tuple[dict[tuple[str, int], str], list[Problem]]:
    """Write frames as images, each verified against its recorded hash.

    Parameters
    ----------
    vectors : EmbeddingSet
        Where the frames' videos are known by their content.
    frames : mapping of str to sequence of int
        Frame indices per video id.
    videos : sequence of path
        Where the videos are, as any command takes them; they are known by their bytes, not by their names.
    store : Path
        Where measurements are kept.
    folder : Path
        Where the images go.
    image_format, quality
        As in `evfr.extract`.
    executor, jobs, memory_limit_mb, timeout_seconds
        As in `evfr.distributed.map_videos`.

    Returns
    -------
    tuple of (dict, list of Problem)
        File name per (video id, frame index), and the videos that could not be had.
    """
    import numpy as np

    from evfr.verbs._measure import measure
    from evfr.verbs.extract import write_frames

    rows = {name: np.array(sorted(set(indices)), np.int64) for name, indices in frames.items()}
    sources, problems = _sources(vectors, list(rows), videos, store)
    execution: dict[str, Any] = {
        "store": store,
        "executor": executor,
        "jobs": jobs,
        "memory_limit_mb": memory_limit_mb,
        "timeout_seconds": timeout_seconds,
    }
    measured = measure(
        sources,
        signals=(),
        profile="default",
        embedding=None,
        damaged=vectors.model.parameters.get("damaged", "drop"),
        **execution,
    )
    problems += [problem for video in measured if video.table is None for problem in video.problems]
    files, _, failures = write_frames(
        measured,
        rows,
        folder=folder,
        image_format=image_format,
        quality=quality,
        thumbnails={},
        **execution,
    )
    named = {
        (name, int(index)): file
        for name, names in files.items()
        for index, file in zip(rows[name].tolist(), names, strict=True)
    }
    return named, problems + failures


def _sources(
    vectors: EmbeddingSet, wanted: Sequence[str], videos: Sequence[str | Path], store: StoreRoot
) -> tuple[list[VideoSource], list[Problem]]:
    """Find the videos whose bytes the embeddings were made from; those of the same name are looked at first."""
    from evfr._core.store import Store
    from evfr._core.types import Problem
    from evfr.errors import ProblemCode, VideoError
    from evfr.video import VideoSource, content_hash, resolve_inputs

    hashes = dict(zip(vectors.video_ids, vectors.video_hashes, strict=True))
    missing = {hashes[name]: name for name in wanted}
    there = resolve_inputs(list(videos))
    ends = {name.rpartition("/")[2] for name in wanted}
    found = {}
    for source in sorted(there, key=lambda source: str(source.path).rpartition("/")[2] not in ends):
        if not missing:
            break
        try:
            digest = Store(store).cached_hash(source.path, content_hash)
        except VideoError:
            continue  # it cannot be read, so it is not the one: if that one is missed, this is said below
        if (name := missing.pop(digest, None)) is not None:
            found[name] = VideoSource(name, source.path, source.kind)
    text = "none of the videos given has the bytes that its embedding was made from; give its folder as well"
    problems = [Problem(ProblemCode.E_NOT_FOUND, text, name) for name in missing.values()]
    return [found[name] for name in wanted if name in found], problems

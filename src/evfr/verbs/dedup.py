"""`evfr dedup`: the frames of a store that are near-duplicates of others."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa
    from numpy.typing import NDArray

    from evfr._core.embedding_set import EmbeddingModel, EmbeddingSet
    from evfr._core.types import Problem
    from evfr.sampling import Dedup

__all__ = ["DedupResult", "VideoDuplicates", "dedup"]

COSINE_THRESHOLD = 0.05
HASH_THRESHOLD = 6


@dataclass(frozen=True, slots=True)
class VideoDuplicates:
    """Count what became of one video's frames.

    Attributes
    ----------
    video_id : str
        The video.
    frame_count : int
        Frames that have an embedding.
    kept_count, dropped_count, unusable_count : int
        Kept; dropped as duplicates; without a distance (NaN, or zero), neither kept nor dropped.
    """

    video_id: str
    frame_count: int
    kept_count: int
    dropped_count: int
    unusable_count: int

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON-ready dict, keys in field order."""
        return {name: getattr(self, name) for name in self.__slots__}


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class DedupResult:
    """Hold which frames were kept, and what each dropped one duplicates.

    Attributes
    ----------
    kept : pyarrow.Table
        ``video_id``, ``frame_index``, ``time_seconds`` and ``duplicate_count``, one row per kept frame.
    dropped : pyarrow.Table
        ``video_id``, ``frame_index``, ``time_seconds``, and the kept frame that each duplicates:
        ``duplicate_of_video_id``, ``duplicate_of_frame_index`` and ``distance``.
    videos : tuple of VideoDuplicates
        Counts per video.
    model : EmbeddingModel
        Whose embeddings were compared.
    metric : str
        What was measured.
    threshold : float
        Largest distance of a duplicate.
    folder : Path or None
        Where ``kept.parquet`` and ``dropped.parquet`` are.
    problems : tuple of Problem
        Damaged entries that were left out.
    """

    kept: pa.Table
    dropped: pa.Table
    videos: tuple[VideoDuplicates, ...]
    model: EmbeddingModel
    metric: str
    threshold: float
    folder: Path | None
    problems: tuple[Problem, ...]

    def __repr__(self) -> str:
        return (
            f"DedupResult({self.metric} <= {self.threshold:g}: {self.kept.num_rows} kept, "
            f"{self.dropped.num_rows} dropped)"
        )

    @property
    def unusable_count(self) -> int:
        """How many frames have no distance."""
        return sum(video.unusable_count for video in self.videos)

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON-ready dict; the frames themselves stand in the tables."""
        return {
            "kept_count": self.kept.num_rows,
            "dropped_count": self.dropped.num_rows,
            "unusable_count": self.unusable_count,
            "videos": [video.to_dict() for video in self.videos],
            "model": self.model.to_dict(),
            "metric": self.metric,
            "threshold": self.threshold,
            "folder": None if self.folder is None else str(self.folder),
            "problems": [problem.to_dict() for problem in self.problems],
        }


def dedup(
    store: str | Path,
    *,
    threshold: float | None = None,
    metric: Literal["cosine", "euclidean", "manhattan", "chebyshev"] = "cosine",
    hash_: bool = False,
    window_seconds: float | None = None,
    within_videos: bool = False,
    model: str | None = None,
    out: Path | None = None,
    skip_damaged: bool = False,
    allow_remote: Sequence[str] = (),
) -> DedupResult:
    """Find the frames that are within a threshold of a frame kept before them, over all videos of a store.

    Of several frames alike the first is kept, videos in the natural order of their names. With ``out``,
    ``dropped.parquet`` can be given to ``evfr select --exclude``.

    Parameters
    ----------
    store : path
        Folder, or address, given as ``--out`` to ``evfr embed``.
    threshold : float or None
        Largest distance of a duplicate; None is 0.05 for cosine and 6 bits for hashes, and must be given otherwise.
    metric : {"cosine", "euclidean", "manhattan", "chebyshev"}
        1 - cos, or the distance of that name.
    hash_ : bool
        Compare 63-bit perceptual hashes by the bits in which they differ instead; for embeddings by ``dct``.
    window_seconds : float or None
        Compare only frames of one video at most this far apart in time; None compares all.
    within_videos : bool
        Compare only frames of one video.
    model : str or None
        Whose embeddings, where the store has several: the model's name, or the id that the error lists.
    out : Path or None
        Write ``kept.parquet`` and ``dropped.parquet`` into this folder.
    skip_damaged : bool
        Leave damaged entries of the store out and name them, instead of stopping.
    allow_remote : sequence of str
        Use a remote store below these prefixes, for example ``s3://bucket/folder``; without it none is used.

    Returns
    -------
    DedupResult
        The kept and the dropped frames.

    Raises
    ------
    StoreError
        If the store has no such embeddings, or an entry is damaged.
    ValueError
        If an argument is out of range, or hashes are asked of other embeddings than ``dct``.

    Notes
    -----
    Exact and greedy, see `evfr.sampling.dedup`. A hash has a bit for each of the 63 lowest frequencies of the
    cosine transform: whether it is above the median.

    Examples
    --------
    >>> import evfr
    >>> evfr.dedup("store", threshold=0.02, window_seconds=10)  # doctest: +SKIP
    DedupResult(cosine <= 0.02: 412 kept, 2588 dropped)
    """
    from evfr._core.atomic import refuse_remote
    from evfr._core.embedding_set import EmbeddingSet
    from evfr._core.remote_store import store_root
    from evfr._core.types import Problem
    from evfr.errors import ProblemCode

    if out is not None:
        refuse_remote(Path(out))

    if hash_ and metric != "cosine":
        raise ValueError(f"hashes are compared by their bits; leave metric {metric!r} out, or hash_")
    limit = _threshold(threshold, metric, hash_)
    vectors = EmbeddingSet.open(
        store_root(store, allow_remote), model, damaged="drop" if skip_damaged else "fail"
    )
    if hash_ and (vectors.model.embedder.get("name"), vectors.dimension) != ("dct", 63):
        raise ValueError(
            f"hashes are made from embeddings by 'dct' (D 63), these are by {vectors.model.name!r} "
            f"(D {vectors.dimension}); embed with --model dct, or compare the vectors themselves"
        )
    found = _compare(vectors, limit, metric, hash_, window_seconds, within_videos)
    kept, dropped = _tables(vectors, found)
    folder = None if out is None else Path(out)
    if folder is not None:
        _write(kept, folder / "kept.parquet")
        _write(dropped, folder / "dropped.parquet")
    return DedupResult(
        kept,
        dropped,
        _counts(vectors, found),
        vectors.model,
        "hamming" if hash_ else metric,
        limit,
        folder,
        tuple(Problem(ProblemCode.E_FAILED, text, vectors.model.name) for text in vectors.problems),
    )


def hashes_of(vectors: NDArray[Any]) -> tuple[NDArray[np.uint64], NDArray[np.bool_]]:
    """Return 63-bit perceptual hashes of DCT embeddings, and which rows have one.

    Parameters
    ----------
    vectors : (N, 63) float array
        As `evfr.embeddings.DctEmbedder` makes them.

    Returns
    -------
    hashes : (N,) uint64
        Bit j is set where frequency j is above the median of the row's 63.
    usable : (N,) bool
        False for rows with NaN or infinity, and for zero rows: flat pictures have no pattern.
    """
    import numpy as np

    rows = np.asarray(vectors, np.float32)
    usable = np.isfinite(rows).all(axis=1) & (rows != 0).any(axis=1)
    middle = np.median(np.where(usable[:, None], rows, 0.0), axis=1, keepdims=True)
    weights = np.left_shift(np.uint64(1), np.arange(rows.shape[1], dtype=np.uint64))
    hashes = np.where(rows > middle, weights, np.uint64(0)).sum(axis=1, dtype=np.uint64)
    return hashes, usable


def _threshold(threshold: float | None, metric: str, hash_: bool) -> float:
    if threshold is not None:
        if not 0 <= threshold < float("inf"):
            raise ValueError(f"threshold must be 0 or more and finite, got {threshold}")
        return float(threshold)
    if hash_:
        return float(HASH_THRESHOLD)
    if metric != "cosine":
        raise ValueError(f"give a threshold for metric {metric}: its scale depends on the model")
    return COSINE_THRESHOLD


def _compare(
    vectors: EmbeddingSet,
    threshold: float,
    metric: Any,
    hash_: bool,
    window_seconds: float | None,
    within_videos: bool,
) -> Dedup:
    from dataclasses import replace

    import numpy as np

    from evfr.sampling import dedup as compare

    # Times of different videos do not compare, so a window is always inside a video.
    options: dict[str, Any] = {}
    if within_videos or window_seconds is not None:
        options["groups"] = vectors.video_of(np.arange(len(vectors)))
    if window_seconds is not None:
        options.update(times=vectors.time_seconds, window_seconds=window_seconds)
    if not hash_:
        return compare(vectors.view(), threshold, metric=metric, **options)
    parts = [hashes_of(block) for block in vectors.blocks()]
    hashes = np.concatenate([part[0] for part in parts] or [np.zeros(0, np.uint64)])
    usable = np.concatenate([part[1] for part in parts] or [np.zeros(0, np.bool_)])
    rows = np.flatnonzero(usable)
    options = {name: value[rows] if np.ndim(value) else value for name, value in options.items()}
    found = compare(hashes[rows], threshold, metric="hamming", **options)
    return replace(
        found,
        kept=rows[found.kept],
        dropped=rows[found.dropped],
        duplicate_of=rows[found.duplicate_of],
        unusable=np.flatnonzero(~usable),
    )


def _tables(vectors: EmbeddingSet, found: Dedup) -> tuple[pa.Table, pa.Table]:
    import numpy as np
    import pyarrow as pa

    names = pa.array(vectors.video_ids, pa.string())
    index, seconds = vectors.frame_index, vectors.time_seconds

    def ids(rows: NDArray[np.int64]) -> pa.Array:
        return names.take(pa.array(vectors.video_of(rows), pa.int64()))

    counts = np.bincount(found.duplicate_of, minlength=len(vectors))
    kept = pa.table(
        {
            "video_id": ids(found.kept),
            "frame_index": index[found.kept],
            "time_seconds": seconds[found.kept],
            "duplicate_count": counts[found.kept].astype(np.int64),
        }
    )
    dropped = pa.table(
        {
            "video_id": ids(found.dropped),
            "frame_index": index[found.dropped],
            "time_seconds": seconds[found.dropped],
            "duplicate_of_video_id": ids(found.duplicate_of),
            "duplicate_of_frame_index": index[found.duplicate_of],
            "distance": found.distances,
        }
    )
    return kept, dropped


def _counts(vectors: EmbeddingSet, found: Dedup) -> tuple[VideoDuplicates, ...]:
    import numpy as np

    total = len(vectors.video_ids)
    kept, dropped, unusable = (
        np.bincount(vectors.video_of(rows), minlength=total)
        for rows in (found.kept, found.dropped, found.unusable)
    )
    return tuple(
        VideoDuplicates(
            name,
            int(vectors.offsets[video + 1] - vectors.offsets[video]),
            int(kept[video]),
            int(dropped[video]),
            int(unusable[video]),
        )
        for video, name in enumerate(vectors.video_ids)
    )


def _write(table: pa.Table, path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    from evfr._core.atomic import atomic_write_bytes

    sink = pa.BufferOutputStream()
    pq.write_table(table, sink, compression="zstd", compression_level=1)
    atomic_write_bytes(path, sink.getvalue().to_pybytes())

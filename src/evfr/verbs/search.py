"""`evfr search`: the frames of a store that look most like an image, a frame or a text."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from evfr._core.embedding_set import EmbeddingModel, EmbeddingSet
    from evfr._core.types import Problem

__all__ = ["SearchHit", "SearchResult", "search"]


@dataclass(frozen=True, slots=True)
class SearchHit:
    """One frame that was found.

    Attributes
    ----------
    query : int
        Place of the query that it answers.
    rank : int
        0 is the nearest.
    distance : float
        1 - cos, Euclidean, or minus the inner product.
    video_id : str
        The video, as it was called when it was embedded.
    frame_index : int
        The frame.
    pts : int or None
        Its pts; None where the container has none.
    time_seconds : float
        Its time.
    file : str or None
        Name of the image that was written.
    """

    query: int
    rank: int
    distance: float
    video_id: str
    frame_index: int
    pts: int | None
    time_seconds: float
    file: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON-ready dict, keys in field order."""
        return {name: getattr(self, name) for name in self.__slots__}


@dataclass(frozen=True, slots=True)
class SearchResult:
    """Hold what `search` found.

    Attributes
    ----------
    queries : tuple of str
        The queries, frames as ``VIDEO:INDEX``.
    hits : tuple of SearchHit
        By query and then by rank.
    model : EmbeddingModel
        Whose embeddings were searched.
    metric, index : str
        What was measured, and how neighbours were found.
    row_count, unusable_count : int
        Embeddings in the store, and those among them that have no distance (NaN, or zero under cosine).
    is_index_cached : bool
        Whether an index was read instead of built.
    folder : Path or None
        Where images and ``hits.parquet`` are.
    problems : tuple of Problem
        Damaged entries that were left out, and videos whose frames could not be written.
    """

    queries: tuple[str, ...]
    hits: tuple[SearchHit, ...]
    model: EmbeddingModel
    metric: str
    index: str
    row_count: int
    unusable_count: int
    is_index_cached: bool
    folder: Path | None
    problems: tuple[Problem, ...]

    def for_query(self, query: int) -> tuple[SearchHit, ...]:
        """Return the hits of one query, nearest first."""
        return tuple(hit for hit in self.hits if hit.query == query)

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON-ready dict."""
        return {
            "queries": list(self.queries),
            "hits": [hit.to_dict() for hit in self.hits],
            "model": self.model.to_dict(),
            "metric": self.metric,
            "index": self.index,
            "row_count": self.row_count,
            "unusable_count": self.unusable_count,
            "is_index_cached": self.is_index_cached,
            "folder": None if self.folder is None else str(self.folder),
            "problems": [problem.to_dict() for problem in self.problems],
        }


def search(
    store: str | Path,
    queries: str | Path | NDArray[Any] | Sequence[str | Path],
    *,
    k: int = 10,
    as_: Literal["auto", "frame", "image", "text"] = "auto",
    model: str | None = None,
    weights: Path | None = None,
    metric: Literal["cosine", "euclidean", "inner_product"] = "cosine",
    index: Literal["exact", "ivf", "hnsw"] = "exact",
    apart_seconds: float | None = None,
    out: Path | None = None,
    videos: Sequence[str | Path] = (),
    skip_damaged: bool = False,
    image_format: Literal["jpg", "png"] = "jpg",
    quality: int = 95,
    probes: int | None = None,
    seed: int = 0,
    device: str = "auto",
    index_device: Literal["cpu", "gpu"] = "cpu",
    threads: int = 1,
    executor: Literal["serial", "processes", "ray"] = "processes",
    jobs: int | None = None,
    memory_limit_mb: int | None = 4096,
    timeout_seconds: float | None = 120.0,
    allow_remote: Sequence[str] = (),
) -> SearchResult:
    """Find the frames whose embeddings are nearest to an image, a frame of the store or a text.

    Parameters
    ----------
    store : path
        Folder, or address, given as ``--out`` to ``evfr embed``.
    queries : str, path, array, or a sequence of these
        An image file, a frame of the store as ``VIDEO:INDEX`` or ``VIDEO@SECONDS``, or text for models that know
        words (CLIP, SigLIP).
    k : int
        How many frames to find for each query, 0 or more.
    as_ : {"auto", "frame", "image", "text"}
        What the queries are; ``auto`` takes each for a frame, an image file or text, in this order.
    model : str or None
        Whose embeddings, where the store has several: the model's name, or the id that the error lists.
    weights : Path or None
        Where the model's file or folder is, if it has moved; it must be the one that made the embeddings.
    metric : {"cosine", "euclidean", "inner_product"}
        1 - cos, the Euclidean distance, or minus the inner product.
    index : {"exact", "ivf", "hnsw"}
        Compare with every frame; or build once, and keep in the store, faiss's inverted lists or its graph, which
        answer faster and may miss some.
    apart_seconds : float or None
        Of hits in one video nearer than this in time show only the best; None shows all.
    out : Path or None
        Write the frames found, as images, and ``hits.parquet`` into this folder.
    videos : sequence of paths
        With ``out``: where the videos are, as for any command; they are recognised by their content.
    skip_damaged : bool
        Leave damaged entries of the store out and name them, instead of stopping.

    Returns
    -------
    SearchResult
        The frames, nearest first.

    Other Parameters
    ----------------
    image_format : {"jpg", "png"}
        JPEG is small, PNG keeps every pixel.
    quality : int
        JPEG quality, 1 to 100.
    probes : int or None
        With index ``ivf``: how many lists to look through; None is a sixteenth of them, at least 8.
    seed : int
        Draws the sample that the lists of ``ivf`` are trained on, and the order in which ``hnsw`` takes frames up.
    device : str
        Where the model runs that embeds a query: ``cpu``, ``cuda`` or ``cuda:N``; ``auto`` takes CUDA where it is.
    index_device : {"cpu", "gpu"}
        Where faiss searches; a GPU needs a faiss that was built for it.
    threads : int
        Threads of faiss; the result is the same for any number.
    executor : {"serial", "processes", "ray"}
        Extract frames in this process, in child processes that a damaged file cannot take down, or on a cluster.
    jobs : int or None
        Child processes at a time; None is one per core.
    memory_limit_mb : int or None
        Memory limit of a child process in MiB; None is no limit.
    timeout_seconds : float or None
        Give a video up when it makes no progress for this long; None waits for ever.
    allow_remote : sequence of str
        Use a remote store below these prefixes, for example ``s3://bucket/folder``; without it none is used.

    Raises
    ------
    StoreError
        If the store has no such embeddings, or an entry is damaged.
    InputError
        If a query is not there, or the model cannot be had or is another one.
    MissingExtraError
        If faiss, or what the model needs, is not installed.
    ValueError
        If an argument is out of range.

    Notes
    -----
    Distances are computed in float64 from the vectors in the store, whatever the index. ``exact`` finds the true
    neighbours, the lower row first where distances are equal, and needs memory for one block of vectors.

    Examples
    --------
    >>> import evfr
    >>> found = evfr.search("store", "drive.mp4@12.5", k=3)  # doctest: +SKIP
    >>> [(hit.video_id, hit.frame_index) for hit in found.hits]  # doctest: +SKIP
    [('drive.mp4', 314), ('night.mp4', 20), ('drive.mp4', 290)]
    """
    from evfr._core.atomic import refuse_remote
    from evfr._core.embedding_set import EmbeddingSet
    from evfr._core.remote_store import store_root
    from evfr._core.types import Problem
    from evfr.errors import ProblemCode
    from evfr.verbs._search_index import nearest_rows, open_index
    from evfr.verbs._search_query import query_vectors, read_queries

    if out is not None:
        refuse_remote(Path(out))

    if k < 0:
        raise ValueError(f"k must be 0 or more, got {k}")
    if apart_seconds is not None and not apart_seconds >= 0:
        raise ValueError(f"apart_seconds must be 0 or more, got {apart_seconds}")
    if not 1 <= quality <= 100:
        raise ValueError(f"quality must lie in 1..100, got {quality}")
    if (out is None) != (not videos):
        raise ValueError("out and videos go together: where to write the frames, and where their videos are")
    root = store_root(store, allow_remote)
    vectors = EmbeddingSet.open(root, model, damaged="drop" if skip_damaged else "fail")
    asked = read_queries(queries, vectors, as_)
    rows = query_vectors(asked, vectors, weights=weights, device=device)
    found, is_cached = open_index(
        vectors, metric=metric, kind=index, device=index_device, probes=probes, seed=seed
    )
    nearest = nearest_rows(
        found,
        vectors,
        rows,
        [query.row for query in asked],
        k,
        apart_seconds=apart_seconds,
        threads=threads,
    )
    hits = _hits(vectors, nearest)
    problems = [Problem(ProblemCode.E_FAILED, text, str(vectors.model.name)) for text in vectors.problems]
    if out is not None:
        hits, more = _write(
            vectors,
            hits,
            [query.text for query in asked],
            Path(out),
            videos,
            store=root,
            image_format=image_format,
            quality=quality,
            executor=executor,
            jobs=jobs,
            memory_limit_mb=memory_limit_mb,
            timeout_seconds=timeout_seconds,
        )
        problems += more
    return SearchResult(
        tuple(query.text for query in asked),
        tuple(hits),
        vectors.model,
        metric,
        index,
        len(vectors),
        found.unusable_count,
        is_cached,
        None if out is None else Path(out),
        tuple(problems),
    )


def _hits(
    vectors: EmbeddingSet, nearest: Sequence[tuple[NDArray[np.int64], NDArray[np.float64]]]
) -> list[SearchHit]:
    hits = []
    for query, (rows, far) in enumerate(nearest):
        for rank, (row, distance) in enumerate(zip(rows.tolist(), far.tolist(), strict=True)):
            frame = vectors.locate(row)
            hits.append(
                SearchHit(
                    query,
                    rank,
                    distance,
                    frame.video_id,
                    frame.frame_index,
                    frame.pts,
                    frame.time_seconds,
                )
            )
    return hits


def _write(
    vectors: EmbeddingSet,
    hits: Sequence[SearchHit],
    queries: Sequence[str],
    out: Path,
    videos: Sequence[str | Path],
    **options: Any,
) -> tuple[list[SearchHit], list[Problem]]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    from evfr._core.atomic import atomic_write_bytes
    from evfr.verbs._search_frames import extract_found

    frames: dict[str, list[int]] = {}
    for hit in hits:
        frames.setdefault(hit.video_id, []).append(hit.frame_index)
    files, problems = extract_found(vectors, frames, videos, folder=out / "frames", **options)
    named = [replace(hit, file=files.get((hit.video_id, hit.frame_index))) for hit in hits]
    table = pa.table(
        {
            "query": pa.array([queries[hit.query] for hit in named], pa.string()),
            "rank": pa.array([hit.rank for hit in named], pa.int64()),
            "distance": pa.array([hit.distance for hit in named], pa.float64()),
            "video_id": pa.array([hit.video_id for hit in named], pa.string()),
            "frame_index": pa.array([hit.frame_index for hit in named], pa.int64()),
            "pts": pa.array([hit.pts for hit in named], pa.int64()),
            "time_seconds": pa.array([hit.time_seconds for hit in named], pa.float64()),
            "file": pa.array([hit.file for hit in named], pa.string()),
        }
    )
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink, compression="zstd", compression_level=1)
    atomic_write_bytes(out / "hits.parquet", sink.getvalue().to_pybytes())
    return named, problems

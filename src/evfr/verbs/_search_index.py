"""The nearest rows of a set for many queries: an index that is kept, hits apart in time, no hit on oneself."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from evfr._core.embedding_set import EmbeddingSet

__all__ = ["nearest_rows", "open_index"]


def open_index(
    vectors: EmbeddingSet, *, metric: str, kind: str, device: str, probes: int | None, seed: int
) -> tuple[Any, bool]:
    """Return an index over the set, read from the store's cache where it was built before.

    Parameters
    ----------
    vectors : EmbeddingSet
        What is searched.
    metric, kind, device, probes, seed
        As in `evfr.embeddings._neighbours.build_index`.

    Returns
    -------
    tuple of (NeighbourIndex, bool)
        The index, and whether it was read.
    """
    from evfr._core._embedding_cache import drop_superseded
    from evfr.embeddings._neighbour_file import load_index, save_index
    from evfr.embeddings._neighbours import build_index

    options: dict[str, Any] = {"metric": metric, "kind": kind, "device": device, "seed": seed}
    if kind == "exact":
        return build_index(vectors, **options), False
    path, scope = vectors.cache_file("index.faiss", kind, metric, seed, probes)
    index = load_index(vectors, path, device=device)  # type: ignore[arg-type]
    if index is not None:
        return index, True
    index = build_index(vectors, probes=probes, **options)
    if index.faiss_index is not None:
        save_index(index, path)
        drop_superseded(path, scope)
    return index, False


def nearest_rows(
    index: Any,
    vectors: EmbeddingSet,
    queries: NDArray[np.float32],
    own: Sequence[int | None],
    k: int,
    *,
    apart_seconds: float | None,
    threads: int,
) -> list[tuple[NDArray[np.int64], NDArray[np.float64]]]:
    """Return up to k rows and distances per query.

    Parameters
    ----------
    index : NeighbourIndex
        Over ``vectors``.
    vectors : EmbeddingSet
        Who the rows are.
    queries : (Q, D) float32
        What is searched.
    own : sequence of Q int or None
        The row that a query is itself: left out.
    k : int
        How many.
    apart_seconds : float or None
        Smallest time between two hits of one video, and between a hit and the query's own frame: of nearer
        ones only the best stays.
    threads : int
        Of faiss.

    Returns
    -------
    list of Q (rows, distances)
        Nearest first.
    """
    from evfr.embeddings._neighbours import search

    found: list[Any] = [None] * len(queries)
    left = list(range(len(queries)))
    asked = k + 1 if apart_seconds is None else 8 * k + 1
    times = vectors.time_seconds if apart_seconds is not None and k else None
    while left:
        rows, far = search(index, queries[left], asked if k else 0, threads=threads)
        for place, query in enumerate(left):
            is_found = rows[place] >= 0
            found[query] = _choose(
                rows[place][is_found], far[place][is_found], vectors, own[query], k, apart_seconds, times
            )
        is_all = asked >= index.usable_count or not k
        left = [] if is_all else [query for query in left if len(found[query][0]) < k]
        asked = min(asked * 8, index.usable_count)
    return found


def _choose(
    rows: NDArray[np.int64],
    far: NDArray[np.float64],
    vectors: EmbeddingSet,
    own: int | None,
    k: int,
    apart_seconds: float | None,
    times: NDArray[np.float64] | None,
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    import numpy as np

    is_other = rows != (-1 if own is None else own)
    rows, far = rows[is_other], far[is_other]
    if apart_seconds is None or times is None:
        return rows[:k], far[:k]
    taken: dict[int, list[float]] = {}
    if own is not None:
        taken[int(vectors.video_of([own])[0])] = [float(times[own])]
    kept = []
    for place, (row, video) in enumerate(zip(rows.tolist(), vectors.video_of(rows).tolist(), strict=True)):
        others = taken.setdefault(video, [])
        if all(abs(times[row] - other) >= apart_seconds for other in others):
            others.append(float(times[row]))
            kept.append(place)
            if len(kept) == k:
                break
    chosen = np.array(kept, np.int64)
    return rows[chosen], far[chosen]

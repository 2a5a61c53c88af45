"""Nearest neighbours by faiss: exact by a scan in blocks, or approximate by an index that is kept."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from evfr.embeddings._faiss import faiss_threads, load_faiss
from evfr.embeddings._neighbour_scan import SPARE, best_rows, exact_distances, scan
from evfr.embeddings._vector_source import (
    BLOCK_BYTES,
    VectorSource,
    as_source,
    block_rows,
    lifted_rows,
    usable_for,
)

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

__all__ = [
    "KINDS",
    "SEARCH_METRICS",
    "NeighbourIndex",
    "VectorSource",
    "build_index",
    "search",
]

KINDS = ("exact", "ivf", "hnsw")
SEARCH_METRICS = ("cosine", "euclidean", "inner_product")
TRAIN_PER_LIST = 64


@dataclass(frozen=True, slots=True, eq=False)
class NeighbourIndex:
    """Hold what `search` looks in.

    Attributes
    ----------
    source : VectorSource
        The vectors: every distance that is returned is computed from them in float64.
    metric : str
        One of `SEARCH_METRICS`.
    kind : str
        One of `KINDS`.
    device : str
        ``"cpu"`` or ``"gpu"``.
    dimension, row_count : int
        Shape of the vectors.
    unusable_count : int
        Rows with NaN or infinity (and zero rows under cosine): never found.
    list_count, probe_count : int
        IVF: lists, and how many of them are looked through for a query; else 0.
    train_count : int
        IVF: vectors that the lists were trained on.
    longest : float
        Inner product: length of the longest row; else 0.
    faiss_index : object or None
        What faiss made; None for ``"exact"``, which needs no index.
    """

    source: VectorSource
    metric: str
    kind: str
    device: str
    dimension: int
    row_count: int
    unusable_count: int
    list_count: int = 0
    probe_count: int = 0
    train_count: int = 0
    longest: float = 0.0
    faiss_index: Any = field(default=None, repr=False)

    @property
    def usable_count(self) -> int:
        """How many rows can be found."""
        return self.row_count - self.unusable_count

    @property
    def memory_bytes(self) -> int:
        """About how much memory the index takes, without the vectors of the source.

        Exact: one block. IVF: 2 bytes a value and 8 a row, and the lists' centres. HNSW: 2 bytes a value and
        about 300 a row for its links.
        """
        if self.kind == "exact":
            return 2 * BLOCK_BYTES
        values = 2 * self.usable_count * self.dimension
        if self.kind == "ivf":
            return values + 8 * self.usable_count + 4 * self.list_count * self.dimension
        return values + 300 * self.usable_count


def build_index(
    vectors: ArrayLike | VectorSource,
    *,
    metric: Literal["cosine", "euclidean", "inner_product"] = "cosine",
    kind: Literal["exact", "ivf", "hnsw"] = "exact",
    device: Literal["cpu", "gpu"] = "cpu",
    seed: int = 0,
    lists: int | None = None,
    probes: int | None = None,
    links: int = 32,
) -> NeighbourIndex:
    """Prepare vectors for `search` (extra ``search``).

    Parameters
    ----------
    vectors : (N, D) array_like, or VectorSource
        What to search; it stays in use by the index.
    metric : {"cosine", "euclidean", "inner_product"}
        1 - cos, the Euclidean distance, or minus the inner product.
    kind : {"exact", "ivf", "hnsw"}
        Compare with every row; with those in the nearest of many lists; or along a graph of neighbours.
    device : {"cpu", "gpu"}
        ``"gpu"`` needs a faiss built for it; not for ``"hnsw"``.
    seed : int
        Draws the sample that lists are trained on, and the order in which a graph takes rows up.
    lists : int, optional
        IVF: number of lists; by default about the root of N, at least `TRAIN_PER_LIST` rows each.
    probes : int, optional
        IVF: lists looked through for a query; by default a sixteenth of them, at least 8.
    links : int
        HNSW: neighbours of each row in the graph, 2 or more.

    Returns
    -------
    NeighbourIndex

    Raises
    ------
    MissingExtraError
        If faiss is not installed, or not for a GPU that is asked for.
    ValueError
        If an option is unknown or out of range, or the vectors are not (N, D).

    Notes
    -----
    IVF and HNSW keep vectors as float16 and are built in one thread, so that the same vectors and seed give
    the same index; what they find is compared again in float64.
    """
    for name, value, allowed in (
        ("metric", metric, SEARCH_METRICS),
        ("kind", kind, KINDS),
        ("device", device, ("cpu", "gpu")),
    ):
        if value not in allowed:
            raise ValueError(f"{name} must be one of {', '.join(allowed)}, got {value!r}")
    for name, number in (("lists", lists), ("probes", probes)):
        if number is not None and number < 1:
            raise ValueError(f"{name} must be 1 or more, got {number}")
    if links < 2:
        raise ValueError(f"links must be 2 or more, got {links}")
    faiss = load_faiss(device)
    if device == "gpu" and kind == "hnsw":
        raise ValueError("faiss has no hnsw index on a GPU; use kind 'ivf' or 'exact', or device 'cpu'")
    source = as_source(vectors)
    total = len(source)
    dimension = source.dimension
    bad, longest = 0, 0.0
    for block in source.blocks(block_rows(dimension)):
        usable = usable_for(block, metric)
        bad += int((~usable).sum())
        if metric == "inner_product" and usable.any():
            own = block if usable.all() else block[usable]
            longest = max(longest, math.sqrt(np.einsum("ij,ij->i", own, own, dtype=np.float64).max()))
    facts: dict[str, Any] = {}
    if kind != "exact" and total > bad:
        with faiss_threads(faiss, 1):
            if kind == "ivf":
                facts = _train_ivf(faiss, source, metric, longest, total - bad, lists, probes, seed)
            else:
                facts = {"faiss_index": _empty_hnsw(faiss, dimension + (metric == "inner_product"), links)}
            order = np.random.default_rng(seed).permutation(total) if kind == "hnsw" else None
            _add(facts["faiss_index"], source, metric, longest, order)
        if device == "gpu":
            facts["faiss_index"] = faiss.index_cpu_to_gpu(
                faiss.StandardGpuResources(), 0, facts["faiss_index"]
            )
    return NeighbourIndex(source, metric, kind, device, dimension, total, bad, longest=longest, **facts)


def search(
    index: NeighbourIndex, queries: ArrayLike, k: int, *, threads: int = 1
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Find the rows nearest to each query.

    Parameters
    ----------
    index : NeighbourIndex
        Made by `build_index`.
    queries : (Q, D) or (D,) array_like of float
        What to look for.
    k : int
        How many to find, 0 or more; at most the number of usable rows is returned.
    threads : int
        Threads of faiss; the result is the same for any number.

    Returns
    -------
    rows : (Q, k) int64
        Nearest first, the lower row where distances are equal. -1 where an approximate index found fewer.
    distances : (Q, k) float64
        1 - cos, Euclidean (not squared), or minus the inner product; infinite where the row is -1.

    Raises
    ------
    ValueError
        If a query holds NaN or infinity (or is zero under cosine), its length is wrong, or ``k`` or
        ``threads`` is out of range.

    Notes
    -----
    Exact means the k smallest float64 distances: float32 products only choose which rows are looked at, with
    their rounding error allowed for. HNSW and IVF may miss neighbours, and never return a wrong distance.
    """
    wanted = np.atleast_2d(np.asarray(queries, np.float32))
    if wanted.ndim != 2 or wanted.shape[1] != index.dimension:
        raise ValueError(f"queries must be (Q, {index.dimension}) or one of them, got {wanted.shape}")
    if k < 0:
        raise ValueError(f"k must be 0 or more, got {k}")
    if threads < 1:
        raise ValueError(f"threads must be 1 or more, got {threads}")
    bad = np.flatnonzero(~usable_for(wanted, index.metric))
    if len(bad):
        zero = " or is zero, which has no direction" if index.metric == "cosine" else ""
        raise ValueError(f"query {bad[0]} holds NaN or infinity{zero}")
    k = min(k, index.usable_count)
    if k == 0 or len(wanted) == 0:
        return np.zeros((len(wanted), k), np.int64), np.zeros((len(wanted), k))
    faiss = load_faiss(index.device)
    with faiss_threads(faiss, threads, has_blas=False):
        if index.kind == "exact":
            return scan(faiss, index.source, wanted, k, index.metric, index.device)
        return _look_up(faiss, index, wanted, k)


def _look_up(
    faiss: Any, index: NeighbourIndex, queries: NDArray[np.float32], k: int
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Ask the index for more than k, and order what it found by the true distance."""
    asked = min(index.usable_count, k + SPARE)
    if index.kind == "ivf":
        parameters = faiss.SearchParametersIVF(nprobe=index.probe_count)
    else:
        parameters = faiss.SearchParametersHNSW(efSearch=max(128, 2 * asked))
    lifted = lifted_rows(queries, index.metric, index.longest, is_query=True)
    _, places = index.faiss_index.search(lifted, asked, params=parameters)
    rows = np.full((len(queries), k), -1, np.int64)
    far = np.full((len(queries), k), np.inf)
    for q, query in enumerate(queries):
        candidates = np.sort(places[q][places[q] >= 0])
        if len(candidates):
            exact = exact_distances(query, index.source.rows(candidates), index.metric)
            best, near = best_rows(candidates, exact, k)
            rows[q, : len(best)], far[q, : len(best)] = best, near
    return rows, far


def _train_ivf(
    faiss: Any,
    source: VectorSource,
    metric: str,
    longest: float,
    usable: int,
    lists: int | None,
    probes: int | None,
    seed: int,
) -> dict[str, Any]:
    count = lists or max(1, min(round(math.sqrt(usable)), usable // TRAIN_PER_LIST))
    count = min(count, usable)
    rng = np.random.default_rng(seed)
    total = len(source)
    # Twice as many as needed, since some may be unusable; in the order of the rows, which is fast to read.
    wanted = TRAIN_PER_LIST * count
    sample = source.rows(np.sort(rng.choice(total, min(total, 2 * wanted), replace=False)))
    sample = sample[usable_for(sample, metric)]
    if len(sample) < min(wanted, usable):
        blocks = source.blocks(block_rows(sample.shape[1]))
        sample = np.concatenate([block[usable_for(block, metric)] for block in blocks])
    sample = sample[np.sort(rng.choice(len(sample), min(len(sample), wanted), replace=False))]
    sample = lifted_rows(sample, metric, longest, is_query=False)
    dimension = sample.shape[1]
    quantizer = faiss.IndexFlat(dimension, faiss.METRIC_L2)
    index = faiss.IndexIVFScalarQuantizer(
        quantizer, dimension, count, faiss.ScalarQuantizer.QT_fp16, faiss.METRIC_L2, False
    )
    index.cp.seed = seed % (1 << 31)
    index.cp.min_points_per_centroid = 1
    index.cp.max_points_per_centroid = TRAIN_PER_LIST
    index.train(sample)
    looked = min(count, probes or max(8, count // 16))
    return {
        "faiss_index": index,
        "list_count": count,
        "probe_count": looked,
        "train_count": len(sample),
    }


def _empty_hnsw(faiss: Any, dimension: int, links: int) -> Any:
    graph = faiss.IndexHNSWSQ(dimension, faiss.ScalarQuantizer.QT_fp16, links, faiss.METRIC_L2)
    graph.hnsw.efConstruction = 80
    graph.train(np.zeros((1, dimension), np.float32))
    return faiss.IndexIDMap(graph)


def _add(
    index: Any, source: VectorSource, metric: str, longest: float, order: NDArray[np.int64] | None
) -> None:
    """Add all usable rows, as they stand or in another order."""
    size = block_rows(source.dimension)
    start = 0
    for number, block in enumerate(source.blocks(size) if order is None else _in_order(source, order, size)):
        places = (
            np.arange(start, start + len(block)) if order is None else order[number * size :][: len(block)]
        )
        usable = usable_for(block, metric)
        if usable.any():
            index.add_with_ids(lifted_rows(block[usable], metric, longest, is_query=False), places[usable])
        start += len(block)


def _in_order(source: VectorSource, order: NDArray[np.int64], size: int) -> Iterator[NDArray[np.float32]]:
    # In the order of the rows each video would be an island that later ones find no way to.
    for start in range(0, len(order), size):
        yield source.rows(order[start : start + size])

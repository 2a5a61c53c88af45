"""Keep an approximate index in a file, so that a second search need not build it."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from evfr._core.atomic import atomic_file, atomic_write_bytes
from evfr.embeddings._faiss import load_faiss
from evfr.embeddings._neighbours import NeighbourIndex
from evfr.embeddings._vector_source import VectorSource, as_source

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

__all__ = ["load_index", "save_index"]

_FACTS = (
    "metric",
    "kind",
    "dimension",
    "row_count",
    "unusable_count",
    "list_count",
    "probe_count",
    "train_count",
    "longest",
)


def save_index(index: NeighbourIndex, path: Path) -> None:
    """Write an approximate index, atomically: ``path``, and beside it ``path`` + ``.json`` with its facts and hash.

    Parameters
    ----------
    index : NeighbourIndex
        Of kind ``"ivf"`` or ``"hnsw"``; the vectors themselves are not part of it.
    path : Path
        The file.

    Raises
    ------
    ValueError
        If the index is exact (there is nothing to write) or empty.
    StoreError
        If the system refuses.
    """
    if index.faiss_index is None:
        raise ValueError("an exact or empty index has nothing to write; build it again")
    faiss = load_faiss("cpu")
    whole = index.faiss_index if index.device == "cpu" else faiss.index_gpu_to_cpu(index.faiss_index)
    digest = hashlib.blake2b(digest_size=16)

    def write(data: bytes) -> int:
        digest.update(data)
        return sink.write(data) or 0

    with atomic_file(path, is_durable=False) as sink:
        faiss.write_index(whole, faiss.PyCallbackIOWriter(write, 1 << 20))
    facts = {name: getattr(index, name) for name in _FACTS}
    atomic_write_bytes(
        _facts_path(path),
        json.dumps({**facts, "rows": len(index.source), "hash": digest.hexdigest()}).encode(),
        is_durable=False,
    )


def load_index(
    vectors: ArrayLike | VectorSource, path: Path, *, device: Literal["cpu", "gpu"] = "cpu"
) -> NeighbourIndex | None:
    """Read an index that `save_index` wrote, or return None if it is not there whole.

    Parameters
    ----------
    vectors : (N, D) array_like, or VectorSource
        The vectors that it was built from.
    path : Path
        The file.
    device : {"cpu", "gpu"}
        Where to search.

    Returns
    -------
    NeighbourIndex or None
        None where anything is not exactly as it was written: build it again.

    Raises
    ------
    MissingExtraError
        If faiss is not installed, or not for a GPU that is asked for.
    """
    faiss = load_faiss(device)
    source = as_source(vectors)
    try:
        facts = json.loads(_facts_path(path).read_bytes())
        # faiss trusts what it reads, so a file that is not the one written must never reach it.
        if facts.pop("hash") != _hash_of(path) or facts.pop("rows") != len(source):
            return None
        found = NeighbourIndex(source, device=device, **facts)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None
    index = faiss.read_index(str(path))
    if device == "gpu":
        index = faiss.index_cpu_to_gpu(faiss.StandardGpuResources(), 0, index)
    return replace(found, faiss_index=index)


def _facts_path(path: Path) -> Path:
    return path.with_name(f"{path.name}.json")


def _hash_of(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=16)).hexdigest()

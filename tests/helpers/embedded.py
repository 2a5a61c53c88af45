"""Write embedding entries into a store as `evfr embed` does, from vectors of the test's own."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from evfr._core.store import Store, StoreKey
from evfr._core.vectors import vectors_to_column

EMBEDDER = {"name": "drawn", "schema": 1}


def write_embedding(
    store: Store | Path,
    video_id: str,
    vectors: np.ndarray,
    *,
    video_hash: str | None = None,
    model: str = "drawn",
    embedder: Mapping[str, Any] = EMBEDDER,
    every: int | None = 1,
    fps: float | None = None,
    has_pts: bool = True,
    frames_per_second: float = 10.0,
) -> StoreKey:
    """Write one video's vectors, frames 0, every, 2 * every, ...; return the entry's key."""
    store = store if isinstance(store, Store) else Store(store)
    vectors = np.asarray(vectors)
    parameters = {**embedder, "every": every, "fps": fps, "damaged": "drop", "embedding_schema": 1}
    key = store.key(video_hash or f"hash-of-{video_id}", "embedding", parameters)
    index = np.arange(len(vectors), dtype=np.int64) * (every or 1)
    pts = pa.array(index * 512, pa.int64()) if has_pts else pa.nulls(len(index), pa.int64())
    table = pa.table(
        {
            "frame_index": index,
            "pts": pts,
            "time_seconds": index / frames_per_second,
            "embedding": vectors_to_column(vectors),
        }
    )
    metadata = {"video_id": video_id, "embedder": dict(embedder), "model": model, "every": every, "fps": fps}
    store.write(key, table, metadata)
    return key


def drawn_vectors(rows: int, dimension: int = 8, seed: int = 0) -> np.ndarray:
    """Return (rows, dimension) float16 unit rows."""
    vectors = np.random.default_rng(seed).standard_normal((rows, dimension))
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float16)

"""Which embeddings of a video the store has, found without a model: none is loaded, none is downloaded."""

from __future__ import annotations

import os
import threading
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from evfr.verbs._view_measured import NotMeasured

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from evfr._core._embedding_entries import EmbeddingEntry
    from evfr._core.store import Store, StoreKey
    from evfr.verbs._embed_job import Located
    from evfr.verbs._measure import Damaged
    from evfr.verbs._request import Request
    from evfr.video import VideoSource

__all__ = ["StoredEmbeddings", "feature_of", "locate_stored"]


class StoredEmbeddings:
    """Know the embeddings of a store by video; the ends of its files are read when first asked for.

    Parameters
    ----------
    store : Store
        The store.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._lock = threading.Lock()
        self._state: object = None
        self._by_digest: dict[str, list[EmbeddingEntry]] = {}
        self._last: tuple[StoreKey, NDArray[np.int64], NDArray[np.float16]] | None = None

    def of(self, digest: str) -> list[EmbeddingEntry]:
        """Return all embeddings of one video, in the order of their names."""
        from evfr._core._embedding_entries import scan_entries

        with self._lock:
            state = self._folders()
            if state != self._state:
                entries, _ = scan_entries(self._store)
                self._by_digest = {}
                for entry in entries:
                    self._by_digest.setdefault(entry.key.video_hash, []).append(entry)
                self._state = state
            found = list(self._by_digest.get(digest, ()))
        return sorted(found, key=lambda entry: (str(entry.metadata.get("model")), entry.key.digest))

    def read(self, entry: EmbeddingEntry) -> tuple[NDArray[np.int64], NDArray[np.float16]]:
        """Return the frames and the vectors of one video; those read last are kept, for who steps through it."""
        from evfr._core.vectors import column_to_vectors

        last = self._last
        if last is not None and last[0] == entry.key:
            return last[1], last[2]
        table = self._store.read(entry.key)
        found = (entry.key, table["frame_index"].to_numpy(), column_to_vectors(table["embedding"]))
        self._last = found
        return found[1], found[2]

    def _folders(self) -> list[tuple[str, int]]:
        """Return what changes when a file is added: the times of the stage's folders."""
        try:
            with os.scandir(self._store.root / "embedding") as folders:
                return sorted((folder.name, folder.stat().st_mtime_ns) for folder in folders)
        except OSError:
            return []


def locate_stored(
    stored: StoredEmbeddings,
    store: Store,
    source: VideoSource,
    digest: str,
    request: Request,
    damaged: Damaged,
) -> tuple[Located, Mapping[str, Any]]:
    """Return where the vectors are that a request compares, and the embedder's parameters.

    Parameters
    ----------
    stored : StoredEmbeddings
        Of the store.
    store : Store
        The store.
    source : VideoSource
        The video.
    digest : str
        Hash of its bytes.
    request : Request
        Names the embedding and its steps.
    damaged : str
        As in `evfr.select`.

    Returns
    -------
    tuple of (Located, mapping)
        As `evfr.verbs._embedding.locate` has them.

    Raises
    ------
    NotMeasured
        If the store has none, or several that fit.
    """
    from evfr.embeddings import EMBEDDERS
    from evfr.verbs._embed_pass import EmbedJob, ModelSpec, look_up

    name = request.embedding or "thumbnail"
    every = 1 if request.every is None and request.fps is None else request.every
    fps = None if request.fps is None else float(request.fps)
    if name in EMBEDDERS:
        kinds: list[Mapping[str, Any]] = [EMBEDDERS[name].parameters]
    else:
        names = {name, str(Path(name).resolve())}
        kinds = []
        for entry in stored.of(digest):
            data = entry.metadata
            steps = (data.get("every"), data.get("fps"))
            if data.get("model") in names and steps == (every, fps) and data.get("embedder") not in kinds:
                kinds.append(data.get("embedder") or {})
    found = []
    for parameters in kinds:
        job = EmbedJob(source, store.root, ModelSpec(name), parameters, every, fps, damaged)
        located = look_up(job, digest)
        if located.is_cached:
            found.append((located, parameters))
    if len(found) > 1:
        raise NotMeasured(
            f"{source.video_id}: the store has {len(found)} different embeddings by {name}, and the viewer loads no "
            "model to tell which is meant; run evfr select"
        )
    if not found:
        raise NotMeasured(
            f"{source.video_id}: no embedding by {name} is in the store, and the viewer decodes nothing to make one; "
            f"run evfr embed with --model {name} and this store as --out, or choose another method"
        )
    return found[0]


def feature_of(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Return the parameters of the signal ``feature`` that was made from a model's stored vectors.

    Parameters
    ----------
    parameters : mapping
        The embedder's.

    Returns
    -------
    dict
        As `evfr.verbs._embed_feature.feature_parameters` makes them.
    """
    from evfr.verbs._embed_feature import feature_parameters

    return feature_parameters(SimpleNamespace(parameters=parameters))

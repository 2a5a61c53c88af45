"""Which embeddings a store has: its entries by model and parameters, and the one group that is asked for."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from evfr._core.natural import natural_key
from evfr._core.store_format import StoreHead, StoreKey, canonical, damage, digest_of, read_head
from evfr.errors import StoreError

if TYPE_CHECKING:
    from evfr._core.store import Store

__all__ = [
    "COLUMNS",
    "STAGE",
    "EmbeddingEntry",
    "EmbeddingModel",
    "choose_entries",
    "embedding_models",
    "scan_entries",
]

STAGE = "embedding"
COLUMNS = ("frame_index", "pts", "time_seconds", "embedding")


@dataclass(frozen=True, slots=True)
class EmbeddingModel:
    """Say by which model, and at which frames, a part of a store's embeddings was made.

    Attributes
    ----------
    id : str
        8 hexadecimal digits that stand for the parameters: a name that is always unique.
    name : str
        The model as it was given to ``evfr embed``.
    parameters : mapping
        Everything the vectors depend on besides the video: the store's key.
    embedder : mapping
        The embedder's own ``parameters``.
    every, fps : int or None, float or None
        The sub-sampling of frames.
    dimension : int
        Length of a vector.
    video_count, row_count : int
        How many videos and vectors there are.
    """

    id: str
    name: str
    parameters: Mapping[str, Any]
    embedder: Mapping[str, Any]
    every: int | None
    fps: float | None
    dimension: int
    video_count: int
    row_count: int

    def __str__(self) -> str:
        steps = "" if self.every in (None, 1) else f", every {self.every}"
        steps += "" if self.fps is None else f", {self.fps:g} fps"
        damaged = self.parameters.get("damaged", "drop")
        steps += "" if damaged == "drop" else f", damaged {damaged}"
        return (
            f"{self.id} = {self.name} (D {self.dimension}{steps}; "
            f"{self.row_count} frames of {self.video_count} videos)"
        )

    @classmethod
    def of(cls, text: str, group: Sequence[EmbeddingEntry]) -> EmbeddingModel:
        """Describe the entries of one set of parameters (``text``: their canonical JSON)."""
        metadata = group[0].metadata
        embedder = metadata.get("embedder") or {}
        return cls(
            digest_of(text)[:8],
            str(metadata.get("model") or embedder.get("name") or "unnamed"),
            json.loads(text),
            embedder,
            metadata.get("every"),
            metadata.get("fps"),
            group[0].dimension,
            len(group),
            sum(entry.row_count for entry in group),
        )

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON-ready dict."""
        return {
            "id": self.id,
            "name": self.name,
            "embedder": dict(self.embedder),
            "every": self.every,
            "fps": self.fps,
            "dimension": self.dimension,
            "video_count": self.video_count,
            "row_count": self.row_count,
        }


@dataclass(frozen=True, slots=True)
class EmbeddingEntry:
    """One video's embeddings in the store, without their rows.

    Attributes
    ----------
    path : Path
        The file.
    key : StoreKey
        Its key.
    video_id : str
        The video.
    row_count, dimension : int
        Shape of its vectors.
    metadata : mapping
        What the writer recorded.
    stamp : (int, int)
        Size and time of last change of the file: what a cache made from it depends on.
    """

    path: Path
    key: StoreKey
    video_id: str
    row_count: int
    dimension: int
    metadata: Mapping[str, Any]
    stamp: tuple[int, int]


def scan_entries(
    store: Store, keys: Sequence[StoreKey] | None = None
) -> tuple[list[EmbeddingEntry], list[tuple[Path, str]]]:
    """Read the ends of a store's embedding files.

    Parameters
    ----------
    store : Store
        Where they are.
    keys : sequence of StoreKey, optional
        Only these; by default all of the stage.

    Returns
    -------
    entries : list of EmbeddingEntry
        The sound ones, in the natural order of their video ids.
    bad : list of (Path, str)
        Files that cannot be used, and why.
    """
    entries, bad = [], []
    paths = store.files(STAGE) if keys is None else (store.local(key) for key in keys)
    for path in paths:
        try:
            entries.append(_entry(store, path))
        except StoreError as error:
            bad.append((path, str(error)))
    entries.sort(key=lambda entry: (natural_key(entry.video_id), entry.key.digest))
    return entries, bad


def embedding_models(store: Store) -> list[EmbeddingModel]:
    """Return the kinds of embeddings that a store has, by name.

    Parameters
    ----------
    store : Store
        The store.

    Returns
    -------
    list of EmbeddingModel
        One per set of parameters; files that cannot be read are left out.
    """
    entries, _ = scan_entries(store)
    kinds = dict.fromkeys(entry.key.parameters for entry in entries)
    found = []
    for text in kinds:
        group = [entry for entry in entries if entry.key.parameters == text]
        found.append(EmbeddingModel.of(text, group))
    return sorted(found, key=lambda model: (model.name, model.id))


def choose_entries(
    entries: Sequence[EmbeddingEntry],
    root: str,
    model: str | None,
    parameters: Mapping[str, Any] | None,
) -> tuple[EmbeddingModel, list[EmbeddingEntry]]:
    """Return the entries of the one group of equal parameters that is asked for.

    Parameters
    ----------
    entries : sequence of EmbeddingEntry
        All of a store.
    root : str
        The store, for errors.
    model : str or None
        A model's name or id; None takes the only group there is.
    parameters : mapping or None
        The parameters themselves.

    Returns
    -------
    tuple of (EmbeddingModel, list of EmbeddingEntry)
        What they are, and the entries.

    Raises
    ------
    StoreError
        If there is no such group or more than one, its vectors differ in length, or one video id stands for
        two videos.
    """
    groups: dict[str, list[EmbeddingEntry]] = {}
    for entry in entries:
        groups.setdefault(entry.key.parameters, []).append(entry)
    models = {text: EmbeddingModel.of(text, group) for text, group in groups.items()}
    if not models:
        raise StoreError(
            f"the store {root!r} has no embeddings; make them with "
            f"evfr embed VIDEO --model MODEL --out {root!r}"
        )
    fitting = list(models)
    if parameters is not None:
        fitting = [text for text in fitting if text == canonical(dict(parameters), "parameters")]
    if model is not None:
        fitting = [text for text in fitting if model in (models[text].name, models[text].id)]
    if len(fitting) != 1:
        listed = "; ".join(str(models[text]) for text in (fitting or models))
        asked = f" by {model!r}" if model is not None else ""
        asked += " with these parameters" if parameters is not None else ""
        if not fitting:
            raise StoreError(f"the store {root!r} has no embeddings{asked}; it has: {listed}")
        raise StoreError(
            f"the store {root!r} has embeddings of {len(fitting)} kinds{asked}, which are never mixed; "
            f"name one by its id, as in --model {models[fitting[0]].id}: {listed}"
        )
    text = fitting[0]
    _check_group(groups[text])
    return models[text], groups[text]


def _entry(store: Store, path: Path) -> EmbeddingEntry:
    head = read_head(path)
    if head.key.stage != STAGE or store.path(head.key) != path:
        raise damage(path, "it holds what belongs under another name")
    try:
        status = path.stat()
    except OSError as error:
        raise damage(path, error.strerror or str(error)) from error
    return EmbeddingEntry(
        path,
        head.key,
        str(head.metadata.get("video_id") or head.key.video_hash),
        head.row_count,
        _dimension(path, head),
        head.metadata,
        (status.st_size, status.st_mtime_ns),
    )


def _dimension(path: Path, head: StoreHead) -> int:
    missing = [name for name in COLUMNS if name not in head.schema.names]
    if missing:
        raise damage(
            path, f"an embedding has the columns {', '.join(COLUMNS)}; it lacks {', '.join(missing)}"
        )
    kind = head.schema.field("embedding").type
    if not (pa.types.is_fixed_size_list(kind) and pa.types.is_float16(kind.value_type)):
        raise damage(path, f"its embedding is {kind}, it must be fixed-size lists of float16")
    return int(kind.list_size)


def _check_group(group: Sequence[EmbeddingEntry]) -> None:
    first = group[0]
    seen: dict[str, EmbeddingEntry] = {}
    for entry in group:
        if entry.dimension != first.dimension:
            raise StoreError(
                f"embeddings of one model must have one length: {entry.video_id} has {entry.dimension} "
                f"({str(entry.path)!r}), {first.video_id} has {first.dimension} ({str(first.path)!r}); "
                "delete the wrong file and embed that video again"
            )
        other = seen.setdefault(entry.video_id, entry)
        if other is not entry:
            older, newer = sorted((other, entry), key=lambda e: e.stamp[1])
            raise StoreError(
                f"two different videos are called {entry.video_id!r}; delete the older file {str(older.path)!r} "
                f"if the video has changed since (the newer is {str(newer.path)!r}), or embed both in one run, "
                "so that they get different names"
            )

"""What a search is for: a frame of the store, an image, words, or a vector, and the vector that stands for it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from evfr._core.embedding_set import EmbeddingModel, EmbeddingSet

__all__ = ["Query", "embedder_of", "query_vectors", "read_queries"]

_FRAME = re.compile(r"(?P<video>.+)(?P<mark>[:@])(?P<number>\d+(?:\.\d*)?)")
IGNORED = ("precision", "revision")  # what changes a vector's last digits or its name, not its meaning
TEXT_MODELS = "CLIP and SigLIP, for example openai/clip-vit-base-patch32 or google/siglip-base-patch16-224"


@dataclass(frozen=True, slots=True, eq=False)
class Query:
    """Say what one query is.

    Attributes
    ----------
    text : str
        The query in words, for people.
    kind : {"frame", "image", "text", "vector"}
        What it is.
    row : int or None
        Row of the set, for a frame.
    value : object
        The path, words or vector.
    """

    text: str
    kind: str
    row: int | None = None
    value: Any = None


def read_queries(items: Any, vectors: EmbeddingSet, kind: str) -> list[Query]:
    """Tell frames, images, texts and vectors apart.

    Parameters
    ----------
    items : str, Path, array, or a sequence of these
        The queries. ``VIDEO:INDEX`` and ``VIDEO@SECONDS`` name frames of the set.
    vectors : EmbeddingSet
        Where frames are looked up.
    kind : {"auto", "frame", "image", "text"}
        What strings are; ``"auto"`` takes them for a frame, an image file or text, in this order.

    Returns
    -------
    list of Query

    Raises
    ------
    InputError
        If a frame or an image is not there.
    ValueError
        If there is no query.
    """
    import numpy as np

    if isinstance(items, np.ndarray):
        rows = np.atleast_2d(items)
        return [Query(f"vector {number}", "vector", None, row) for number, row in enumerate(rows)]
    listed = [items] if isinstance(items, str | Path) else list(items)
    if not listed:
        raise ValueError("give at least one query: an image file, VIDEO:INDEX, VIDEO@SECONDS or text")
    found = []
    for item in listed:
        if isinstance(item, np.ndarray):
            found += read_queries(item, vectors, kind)
        else:
            found.append(_read_one(str(item), vectors, "image" if isinstance(item, Path) else kind))
    return found


def query_vectors(
    queries: Sequence[Query],
    vectors: EmbeddingSet,
    *,
    weights: Path | None,
    device: str,
) -> NDArray[np.float32]:
    """Return the vector of each query, (Q, D) float32; loads a model only if a query needs it.

    Parameters
    ----------
    queries : sequence of Query
        From `read_queries`.
    vectors : EmbeddingSet
        The embeddings that are searched.
    weights : Path or None
        Where the model's file or folder is now.
    device : str
        As in `evfr.embeddings.make_embedder`.

    Returns
    -------
    (Q, D) float32

    Raises
    ------
    InputError
        If the model cannot be had, is not the one that made the embeddings, or does not know words.
    ValueError
        If a vector has another length.
    """
    import numpy as np

    from evfr.video import read_image

    embedder: Any = None
    if any(query.kind in ("image", "text") for query in queries):
        embedder = embedder_of(vectors.model, weights=weights, device=device)
    rows = []
    for query in queries:
        if query.kind == "frame":
            rows.append(vectors.rows([query.row or 0])[0])
        elif query.kind == "image":
            rows.append(embedder(read_image(query.value)[None])[0])
        elif query.kind == "text":
            rows.append(_embed_text(embedder, query.value, vectors.model))
        else:
            rows.append(np.asarray(query.value, np.float32))
        if rows[-1].shape != (vectors.dimension,):
            raise ValueError(
                f"{query.text}: a query of these embeddings has the shape ({vectors.dimension},), "
                f"got {rows[-1].shape}"
            )
    return np.stack(rows).astype(np.float32)


def embedder_of(model: EmbeddingModel, *, weights: Path | None, device: str = "auto") -> Any:
    """Make the embedder that made a store's embeddings, and check that it is the same.

    Parameters
    ----------
    model : EmbeddingModel
        What the store recorded.
    weights : Path or None
        Where the model's file or folder is now; None looks where it was, or on the hub.
    device : str
        As in `evfr.embeddings.make_embedder`.

    Returns
    -------
    callable
        The embedder.

    Raises
    ------
    InputError
        If it cannot be had, or its weights or options differ from those recorded.
    """
    from evfr.embeddings import EMBEDDERS, make_embedder
    from evfr.errors import InputError, MissingExtraError

    recorded = dict(model.embedder)
    kind = str(recorded.get("name"))
    if kind not in (*EMBEDDERS, "onnx", "huggingface", "torchvision", "timm"):
        raise InputError(
            f"embeddings by {model.name!r} were made by a callable that evfr cannot make again; "
            "search by a frame of the store, or from Python by vectors"
        )
    # The file of an ONNX model and the folder of a checkpoint are the model; other weights go beside its name.
    is_model = weights is not None and kind in ("onnx", "huggingface")
    name = str(weights) if is_model else kind if kind in EMBEDDERS else model.name
    beside = None if is_model or kind in EMBEDDERS else weights
    where = "" if weights is not None else "; give its file or folder by weights (--weights)"
    differing: list[str] = []
    for options in _options(kind, recorded):
        try:
            embedder: Any = make_embedder(name, weights=beside, device=device, options=options)
        except MissingExtraError:
            raise
        except (InputError, ValueError, OSError) as error:
            raise InputError(
                f"cannot load the model {name!r} that made these embeddings{where}: {error}"
            ) from error
        differing = _differences(recorded, dict(embedder.parameters))
        if not differing:
            return embedder
    raise InputError(
        f"{name!r} is not the model that made these embeddings: {', '.join(differing)} differ; "
        "give the weights that they were made with, or embed again with these"
    )


def _read_one(text: str, vectors: EmbeddingSet, kind: str) -> Query:
    from evfr.errors import InputError

    if kind not in ("auto", "frame", "image", "text"):
        raise ValueError(f"as_ must be one of auto, frame, image, text, got {kind!r}")
    if kind in ("auto", "frame"):
        query = _read_frame(text, vectors, must=kind == "frame")
        if query is not None:
            return query
    if kind == "image" or (kind == "auto" and _looks_like_a_file(text)):
        if not Path(text).is_file():
            raise InputError(f"there is no image {text!r}; for text, say so with as_='text' (--as text)")
        return Query(text, "image", None, Path(text))
    return Query(text, "text", None, text)


def _read_frame(text: str, vectors: EmbeddingSet, *, must: bool) -> Query | None:
    from evfr.errors import InputError

    match = _FRAME.fullmatch(text)
    if match is None or (match["mark"] == ":" and "." in match["number"]):
        if must:
            raise InputError(f"{text!r} names no frame; write VIDEO:INDEX or VIDEO@SECONDS")
        return None
    video = match["video"]
    if video not in vectors.video_ids and not must and not Path(video).suffix:
        return None  # text with a time of day in it
    try:
        if match["mark"] == ":":
            frame = vectors.find(video, int(match["number"]))
        else:
            frame = vectors.find(video, time_seconds=float(match["number"]))
    except KeyError as error:
        raise InputError(str(error.args[0])) from error
    return Query(f"{frame.video_id}:{frame.frame_index}", "frame", frame.row)


def _looks_like_a_file(text: str) -> bool:
    from evfr.video._natural import is_image_name

    try:
        return is_image_name(Path(text).name) or Path(text).is_file()
    except OSError:
        return False  # text longer than a file name may be


def _embed_text(embedder: Any, text: str, model: EmbeddingModel) -> NDArray[np.float32]:
    from evfr.errors import InputError

    if not hasattr(embedder, "embed_text"):
        raise InputError(
            f"the model {model.name!r} knows pictures only, so {text!r} cannot be searched; "
            f"embed with a model that knows words: {TEXT_MODELS}; or give an image or VIDEO:INDEX"
        )
    row: NDArray[np.float32] = embedder.embed_text([text])[0]
    return row


def _options(kind: str, recorded: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the options that made the recorded parameters; several where the record leaves it open."""
    if kind == "onnx":
        names = ("output", "layout", "size", "mean", "scale", "channels", "resize")
        return [{name: recorded[name] for name in names if name in recorded}]
    if kind == "huggingface":
        return [{"pooling": recorded["pooling"]}] if "pooling" in recorded else [{}]
    if kind == "torchvision":
        return [{"recipe": "v1"}, {"recipe": "v2"}]
    return [{name: value for name, value in recorded.items() if name in ("size", "bins")}]


def _differences(recorded: dict[str, Any], found: dict[str, Any]) -> list[str]:
    ignored = {*IGNORED, "model"} if "weights" in recorded else set(IGNORED)
    names = sorted({*recorded, *found} - ignored)
    return [name for name in names if recorded.get(name) != found.get(name)]

"""The map of a selection's embeddings in two dimensions, and which dropped frames lie nearest to one."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from evfr._core._embedding_entries import EmbeddingEntry
    from evfr.verbs._view_session import ViewSession

__all__ = ["NoMap", "has_map", "map_of", "neighbours_of", "project"]

_VIDEOS_MOST = 256
_SCAN_MOST = 2000


class NoMap(Exception):
    """There are no embeddings to draw; the text says what makes them."""


def has_map(session: ViewSession) -> bool:
    """Return whether there is probably a map; of a large store only whether it has any embeddings at all.

    Parameters
    ----------
    session : ViewSession
        What is shown.

    Returns
    -------
    bool
    """
    files = 0
    for _ in session.store.files("embedding"):
        files += 1
        if files > _SCAN_MOST:
            return True
    return files > 0 and any(
        session.embeddings.of(video.digest) for video in session.folder.videos if video.digest
    )


def map_of(session: ViewSession, limit: int) -> dict[str, Any]:
    """Return the frames of all videos as points, by the two main directions of their embeddings (PCA).

    Parameters
    ----------
    session : ViewSession
        What is shown.
    limit : int
        About how many points; more frames are thinned evenly, selected ones stay.

    Returns
    -------
    dict
        ``method``, ``embedding``, ``explained`` (shares of the variance), ``points`` (packed (N, 4) float32: place,
        frame, x, y), ``n_points``, ``n_rows``, ``n_videos``, ``n_unusable``, ``is_thinned``.

    Raises
    ------
    NoMap
        If no video has embeddings.
    """
    import base64

    import numpy as np

    entries = _entries(session)
    if not entries:
        raise NoMap(
            f"the store {session.store.shown} has no embeddings of these videos; run evfr embed with this store as "
            "--out to see a map"
        )
    total = sum(entry.row_count for _, entry in entries)
    n_videos = len(entries)
    if n_videos > _VIDEOS_MOST:
        entries = [entries[row] for row in _evenly(n_videos, _VIDEOS_MOST)]
    held = sum(entry.row_count for _, entry in entries)
    step = max(1.0, held / limit)
    blocks, places, frames, first = [], [], [], 0
    for place, entry in entries:
        index, rows_of_video = session.embeddings.read(entry)
        ticks = np.arange(np.ceil(first / step), np.ceil((first + len(index)) / step))
        rows = np.unique(np.minimum(np.ceil(ticks * step).astype(np.int64) - first, len(index) - 1))
        picks = np.flatnonzero(np.isin(index, session.picks(place)))
        rows = np.union1d(rows, picks)
        blocks.append(rows_of_video[rows].astype(np.float64))
        places.append(np.full(len(rows), place))
        frames.append(index[rows])
        first += len(index)
    vectors = np.concatenate(blocks)
    is_usable = np.isfinite(vectors).all(axis=1)
    spots, explained = project(vectors[is_usable])
    points = np.column_stack(
        [np.concatenate(places)[is_usable], np.concatenate(frames)[is_usable], spots]
    ).astype("<f4")
    return {
        "method": "pca",
        "embedding": str(entries[0][1].metadata.get("model") or "unnamed"),
        "explained": list(explained),
        "points": {"type": "f4", "base64": base64.b64encode(points.tobytes()).decode("ascii")},
        "n_points": len(points),
        "n_rows": total,
        "n_videos": n_videos,
        "n_unusable": int((~is_usable).sum()),
        "is_thinned": len(is_usable) < total,
    }


def project(vectors: NDArray[np.float64]) -> tuple[NDArray[np.float64], tuple[float, float]]:
    """Project vectors onto their two main directions (principal components; Pearson 1901).

    Parameters
    ----------
    vectors : (N, D) float64
        Finite.

    Returns
    -------
    spots : (N, 2) float64
        Centred coordinates. The sign of a direction is that which makes its largest number positive.
    explained : tuple of two float
        Their shares of the variance, in [0, 1]; 0 where nothing varies.

    References
    ----------
    K. Pearson, "On lines and planes of closest fit to systems of points in space", Philosophical Magazine 2(11), 1901.
    https://doi.org/10.1080/14786440109462720
    """
    import numpy as np

    n, dimension = vectors.shape
    centred = vectors - vectors.mean(axis=0) if n else vectors
    total = float((centred**2).sum())
    axes = np.zeros((dimension, 2))
    variances = np.zeros(2)
    if total > 0.0:
        # The smaller of the two products has the same main directions.
        is_wide = dimension > n
        product = centred @ centred.T if is_wide else centred.T @ centred
        values, found = np.linalg.eigh(product)
        count = min(2, len(values))
        values, found = values[::-1][:count], found[:, ::-1][:, :count]
        if is_wide:
            found = centred.T @ found
            found /= np.maximum(np.linalg.norm(found, axis=0), 1e-300)
        found *= np.where(found[np.abs(found).argmax(axis=0), np.arange(count)] < 0, -1.0, 1.0)
        # A direction of no length is noise of the arithmetic.
        found[:, values <= total * 1e-12] = 0.0
        axes[:, :count], variances[:count] = found, np.maximum(values, 0.0)
    shares = variances / total if total > 0.0 else variances
    return centred @ axes, (float(shares[0]), float(shares[1]))


def neighbours_of(session: ViewSession, place: int, frame: int, limit: int) -> dict[str, Any]:
    """Return the dropped frames nearest to one frame: by embedding, else along the way between the picks around it.

    Parameters
    ----------
    session : ViewSession
        What is shown.
    place : int
        Of the video; not a failed one.
    frame : int
        In [0, N).
    limit : int
        How many.

    Returns
    -------
    dict
        ``measure``, in words, and ``neighbours``: ``frame_index`` and ``distance``, nearest first.
    """
    import numpy as np

    measured = session.opened(place).measured
    assert measured.table is not None
    picks = session.picks(place)
    found = _by_embedding(session, place, frame)
    if found is None:
        measure, index, distance = _along(session, place, frame, picks)
    else:
        measure, index, distance = found
    is_dropped = ~np.isin(index, picks) & (index != frame) & measured.table.is_decoded[index]
    index, distance = index[is_dropped], distance[is_dropped]
    order = np.lexsort((index, np.abs(index - frame), distance))[:limit]
    return {
        "measure": measure,
        "neighbours": [
            {
                "frame_index": int(index[row]),
                "distance": float(distance[row]) if np.isfinite(distance[row]) else None,
            }
            for row in order
        ],
    }


def _by_embedding(
    session: ViewSession, place: int, frame: int
) -> tuple[str, NDArray[np.int64], NDArray[np.float64]] | None:
    import numpy as np

    from evfr._core.distances import distances, usable_rows
    from evfr.sampling import SAMPLERS, takes_embeddings
    from evfr.verbs._choose_embedded import metric_of

    request = session.shown_request
    entries = _entries(session, place)
    if not entries:
        return None
    entry = entries[0][1]
    index, vectors = session.embeddings.read(entry)
    metric = metric_of(request) if takes_embeddings(SAMPLERS[request.method]) else "euclidean"
    usable = usable_rows(vectors, metric)
    row = np.searchsorted(index, frame)
    if row == len(index) or index[row] != frame or not usable[row]:
        return None  # this frame was not embedded
    power = float(request.method_options.get("p", 3.0))
    distance = distances(vectors[row], vectors[usable], metric, p=power)
    name = entry.metadata.get("model") or "unnamed"
    return f"{metric} distance of {name}", index[usable], distance


def _along(
    session: ViewSession, place: int, frame: int, picks: NDArray[np.int64]
) -> tuple[str, NDArray[np.int64], NDArray[np.float64]]:
    """Measure how much changes on the way from a frame to those between the picks around it."""
    import numpy as np

    measured = session.opened(place).measured
    assert measured.table is not None
    before, after = picks[picks < frame], picks[picks > frame]
    low = int(before[-1]) if len(before) else 0
    high = int(after[0]) if len(after) else len(measured.table) - 1
    index = np.arange(low, high + 1)
    signal = session.request.signal
    if signal not in measured.values:
        signal = next(iter(measured.values), "")
    if not signal:
        seconds = measured.table.time_seconds
        return "seconds between them", index, np.abs(seconds[index] - seconds[frame])
    # Where a step could not be measured, nobody knows how far it is to what lies behind it: NaN.
    steps = measured.values[signal][low:high]
    ahead = np.concatenate([[0.0], np.cumsum(steps[frame - low :])])
    behind = np.cumsum(steps[: frame - low][::-1])[::-1]
    return f"{signal} added up on the way", index, np.concatenate([behind, ahead])


def _entries(session: ViewSession, place: int | None = None) -> list[tuple[int, EmbeddingEntry]]:
    """Return the embeddings of one kind, by place: of the kind that was selected by, else of that most videos have."""
    videos = session.folder.videos
    wanted = range(len(videos)) if place is None else (place,)
    digests = {p: videos[p].digest or session.opened(p).measured.digest for p in wanted}
    by_place = {p: session.embeddings.of(digest) for p, digest in digests.items() if digest}
    kinds = Counter(entry.key.parameters for found in by_place.values() for entry in found)
    if not kinds:
        return []
    name = session.shown_request.embedding or "thumbnail"
    models = {
        entry.key.parameters: entry.metadata.get("model") for found in by_place.values() for entry in found
    }
    kind = min(kinds, key=lambda text: (models[text] != name, -kinds[text], text))
    return [(p, entry) for p, found in by_place.items() for entry in found if entry.key.parameters == kind]


def _evenly(count: int, most: int) -> list[int]:
    return [row * count // most for row in range(most)]

"""Which validation frames look like a training frame, by thumbnails or stored embeddings."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from evfr._core.annotations import VideoAnnotations
    from evfr.verbs._split_value import Split

__all__ = ["LookAudit", "NearPair", "audit_looks"]

_BLOCK = 2048


@dataclass(frozen=True, slots=True)
class NearPair:
    """Name a validation frame and the training frame that looks most like it.

    Attributes
    ----------
    video_id, train_video_id : str
        The videos.
    frame_index, train_frame_index : int
        The frames.
    distance : float
        Cosine distance of their vectors, 0 to 2.
    """

    video_id: str
    frame_index: int
    train_video_id: str
    train_frame_index: int
    distance: float

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON-ready dict, keys in field order."""
        return {item.name: getattr(self, item.name) for item in fields(self)}

    def __str__(self) -> str:
        return (
            f"{self.video_id} {self.frame_index} looks like {self.train_video_id} {self.train_frame_index} "
            f"(distance {self.distance:.2g})"
        )


@dataclass(frozen=True, slots=True)
class LookAudit:
    """Say how many validation frames look like a training frame.

    Attributes
    ----------
    model : str
        By what pictures became vectors.
    threshold : float
        Largest cosine distance that counts as alike.
    is_own_threshold : bool
        Whether it is the median distance from one labelled frame to the next one of its video.
    compared : int
        Validation frames with a vector.
    alike : int
        Those with a training frame within the threshold.
    without_vector : int
        Frames of both sides without a vector.
    pairs : tuple of NearPair
        The most alike, one for each validation frame, nearest first.
    """

    model: str
    threshold: float
    is_own_threshold: bool
    compared: int
    alike: int
    without_vector: int
    pairs: tuple[NearPair, ...]

    @property
    def share(self) -> float:
        """Share of the compared validation frames that look like a training frame; NaN without any."""
        return self.alike / self.compared if self.compared else float("nan")

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON-ready dict, keys in field order and the share."""
        known = {item.name: getattr(self, item.name) for item in fields(self)}
        return known | {"share": self.share, "pairs": [pair.to_dict() for pair in self.pairs]}


def audit_looks(
    split: Split,
    labels: VideoAnnotations,
    *,
    videos: Sequence[str | Path],
    pictures: str | None,
    vectors: Path | None,
    distance: float | None,
    pairs: int,
) -> LookAudit:
    """Compare each validation frame with all training frames by their vectors.

    Parameters
    ----------
    split : Split
        The split.
    labels : VideoAnnotations
        The labels that were split.
    videos : sequence of path
        Videos to make thumbnails of.
    pictures : str or None
        As in `evfr.verbs._labelled_clips.labelled_clips`.
    vectors : Path or None
        Store of ``evfr embed`` to take vectors from instead.
    distance : float or None
        What counts as alike; None takes the median from one labelled frame to the next.
    pairs : int
        How many pairs to list.

    Returns
    -------
    LookAudit
        With ``pairs`` pairs at most.

    Raises
    ------
    InputError
        If no frame has a vector, or nothing says what counts as alike.
    """
    import numpy as np

    from evfr.errors import InputError

    train, val = split.frames(labels, "train"), split.frames(labels, "val")
    wanted = {
        name: np.union1d(train.get(name, np.zeros(0, np.int64)), val.get(name, np.zeros(0, np.int64)))
        for name in {**train, **val}
    }
    if vectors is not None:
        model, found = _stored(vectors, wanted)
    else:
        model, found = "thumbnail", _thumbnails(videos, labels, wanted, pictures)
    sides = {"train": _rows(train, found), "val": _rows(val, found)}
    lacking = sum(len(index) for index in (*train.values(), *val.values())) - sum(
        len(rows[0]) for rows in sides.values()
    )
    if not len(sides["train"][0]) or not len(sides["val"][0]):
        raise InputError(
            "no vector for frames of both sides; give the videos, or a store of their embeddings"
        )
    limit = _median_step(labels, found) if distance is None else float(distance)
    if limit is None:
        raise InputError(
            "no video has two labelled frames one after the other, so nothing says what looks alike; give a distance"
        )
    nearest, apart = _nearest_rows(sides["val"][1], sides["train"][1])
    order = np.argsort(apart, kind="stable")[:pairs]
    listed = []
    for row in order.tolist():
        (name, frame), (other, learnt) = sides["val"][0][row], sides["train"][0][int(nearest[row])]
        listed.append(NearPair(name, frame, other, learnt, float(apart[row])))
    return LookAudit(
        model, limit, distance is None, len(apart), int((apart <= limit).sum()), lacking, tuple(listed)
    )


Vectors = dict[tuple[str, int], Any]


def _thumbnails(
    videos: Sequence[str | Path],
    labels: VideoAnnotations,
    wanted: Mapping[str, NDArray[np.int64]],
    pictures: str | None,
) -> Vectors:
    from evfr._core.progress import current_progress
    from evfr.embeddings import ThumbnailEmbedder
    from evfr.verbs._labelled_clips_pictures import PictureReaders
    from evfr.verbs._labelled_clips_places import find_places

    embed = ThumbnailEmbedder()
    found: Vectors = {}
    places = find_places(videos, labels, frames=wanted, pictures=pictures)
    progress = current_progress()
    progress.start("comparing frames", len(places))
    with PictureReaders() as readers:
        for place in places:
            name = place.video.video_id
            for frame, image in readers.pictures(place, place.frames):
                found[name, frame] = embed([image])[0]
            progress.advance(1, name)
    progress.finish()
    return found


def _stored(store: Path, wanted: Mapping[str, NDArray[np.int64]]) -> tuple[str, Vectors]:
    import numpy as np

    from evfr._core.embedding_set import EmbeddingSet

    kept = EmbeddingSet.open(Path(store))
    found: Vectors = {}
    for name, index in wanted.items():
        same = [place for place, known in enumerate(kept.video_ids) if name in (known, Path(known).stem)]
        if len(same) != 1:
            continue  # counted as frames without a vector
        first, stop = kept.offsets[same[0]], kept.offsets[same[0] + 1]
        rows = np.arange(first, stop)
        frames = kept.frame_index[first:stop]
        rows, frames = rows[np.isin(frames, index)], frames[np.isin(frames, index)]
        found |= {
            (name, frame): vector for frame, vector in zip(frames.tolist(), kept.rows(rows), strict=True)
        }
    return kept.model.name, found


def _rows(
    side: Mapping[str, NDArray[np.int64]], found: Vectors
) -> tuple[list[tuple[str, int]], NDArray[np.float64]]:
    """Return the frames of a side that have a vector, and those vectors at length 1."""
    import numpy as np

    names, vectors = [], []
    for name, index in side.items():
        for frame in index.tolist():
            vector = found.get((name, frame))
            if vector is not None and (unit := _unit(vector)) is not None:
                names.append((name, frame))
                vectors.append(unit)
    return names, np.array(vectors, np.float64)


def _unit(vector: Any) -> NDArray[np.float64] | None:
    import numpy as np

    row = np.asarray(vector, np.float64)
    length = float(np.linalg.norm(row))
    return row / length if np.isfinite(length) and length > 0 else None


def _nearest_rows(
    rows: NDArray[np.float64], among: NDArray[np.float64]
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Return the nearest of some vectors to each row, all of length 1, and its cosine distance."""
    import numpy as np

    nearest = np.concatenate(
        [(rows[at : at + _BLOCK] @ among.T).argmax(axis=1) for at in range(0, len(rows), _BLOCK)]
    )
    # Half the squared difference is exact where 1 - cos would cancel.
    return nearest, ((rows - among[nearest]) ** 2).sum(axis=1) / 2


def _median_step(labels: VideoAnnotations, found: Vectors) -> float | None:
    import numpy as np

    steps = []
    for video in labels.videos:
        frames = video.frame_index.tolist()
        for one, other in itertools.pairwise(frames):
            pair = [found.get((video.video_id, frame)) for frame in (one, other)]
            units = [unit for vector in pair if vector is not None and (unit := _unit(vector)) is not None]
            if len(units) == 2:
                steps.append(float(((units[0] - units[1]) ** 2).sum() / 2))
    return float(np.median(steps)) if steps else None

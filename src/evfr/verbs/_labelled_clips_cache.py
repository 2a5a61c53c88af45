"""Labelled clips on disk, known by the content of video and labels and by how they were made."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from evfr._core.annotations import VideoAnnotations
    from evfr._core.labelled import LabelledClip
    from evfr.verbs._labelled_clips import ClipCounts
    from evfr.verbs._labelled_clips_maps import MapRule
    from evfr.verbs._labelled_clips_places import ClipPlace

__all__ = ["cache_file", "load", "save"]

_VERSION = 1
"""Counts up when the same input would give other clips."""


def cache_file(folder: Path, video: str, place: ClipPlace, labels: VideoAnnotations, rule: MapRule) -> Path:
    """Return where the clip of a video is kept, whether it is there or not; ``video`` is the hash of its content."""
    digest = hashlib.blake2b(digest_size=16)
    rule_text = json.dumps(asdict(rule), sort_keys=True)
    digest.update(json.dumps([_VERSION, video, place.reading, rule_text]).encode())
    _update_by_labels(digest, labels)
    return folder / f"{digest.hexdigest()}.npz"


def load(file: Path, video_id: str, classes: tuple[str, ...]) -> tuple[LabelledClip, ClipCounts] | None:
    """Return what `save` kept, or None: what is not there or not whole is made anew."""
    from evfr._core.labelled import LabelledClip
    from evfr._core.npz import DAMAGED, read_npz
    from evfr.verbs._labelled_clips import ClipCounts

    try:
        kept = read_npz(file)
        counts = ClipCounts(**json.loads(str(kept["counts"])))
        clip = LabelledClip(
            video_id, kept["frame_index"], kept["images"], kept["ids"], kept["category"], classes
        )
    except (*DAMAGED, TypeError):
        return None
    return clip, counts


def save(file: Path, clip: LabelledClip, counts: ClipCounts) -> None:
    """Keep a clip; other processes see all of it or nothing.

    Raises
    ------
    StoreError
        If it cannot be written.
    """
    import io

    import numpy as np

    from evfr._core.atomic import atomic_write_bytes

    sink = io.BytesIO()
    np.savez(
        sink,
        images=clip.images,
        ids=clip.ids,
        category=clip.category,
        frame_index=clip.frame_index,
        counts=np.array(json.dumps(counts.to_dict())),
    )
    atomic_write_bytes(file, sink.getvalue(), is_durable=False)


def _update_by_labels(digest: hashlib.blake2b, labels: VideoAnnotations) -> None:
    import numpy as np

    video = labels.videos[0]
    facts = [video.video_id, video.width, video.height, list(video.file_names)]
    digest.update(json.dumps(facts).encode())
    for column in (
        video.frame_index,
        labels.frame_index,
        labels.category_id,
        labels.boxes_xyxy,
        labels.is_crowd,
    ):
        digest.update(f"{column.dtype} {column.shape} ".encode())
        digest.update(np.ascontiguousarray(column).tobytes())
    for mask in labels.masks:
        digest.update(b"-" if mask is None else f"{len(mask.counts)} ".encode() + mask.counts.tobytes())
    ignored = [number for number, row in enumerate(labels.attributes) if row.get("ignored")]
    digest.update(json.dumps(ignored).encode())

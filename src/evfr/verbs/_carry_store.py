"""Keep what was carried through one stretch in the store, so that an interrupted run goes on where it was."""

from __future__ import annotations

import dataclasses
import math
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pyarrow as pa

    from evfr._core.annotations import FrameLabels
    from evfr.propagation import Carried

__all__ = ["STAGE", "carried_from_table", "carried_to_table", "labels_digest"]

STAGE = "carry"
SCHEMA = 1


def labels_digest(labels: FrameLabels | None) -> str:
    """Return what tells the labels of one frame from any others.

    Parameters
    ----------
    labels : FrameLabels or None
        The labels.

    Returns
    -------
    str
        Hex; empty for None.
    """
    from evfr._core.store_format import digest_of

    if labels is None:
        return ""
    objects = [
        [
            int(track),
            int(category),
            [None if math.isnan(value) else float(value) for value in box],
            None if mask is None else mask.to_coco(),
        ]
        for track, category, box, mask in zip(
            labels.track_ids, labels.category_ids, labels.boxes_xyxy, labels.masks, strict=True
        )
    ]
    return digest_of("labels", labels.frame_index, objects)


def carried_to_table(carried: Carried) -> tuple[pa.Table, dict[str, Any]]:
    """Return what was carried as rows and metadata.

    Parameters
    ----------
    carried : Carried
        Of one stretch.

    Returns
    -------
    tuple of (pyarrow.Table, dict)
        A row per frame and object that is there, and what belongs to all of them.
    """
    import numpy as np
    import pyarrow as pa

    frames, tracks = np.nonzero(carried.is_present)
    columns: dict[str, Any] = {
        "position": pa.array(frames, pa.int64()),
        "k": pa.array(tracks, pa.int64()),
        "counts": pa.array(
            [
                None if (mask := carried.masks[t][k]) is None else mask.to_coco()["counts"]
                for t, k in zip(frames.tolist(), tracks.tolist(), strict=True)
            ],
            pa.string(),
        ),
    }
    for number, name in enumerate(("x0", "y0", "x1", "y1")):
        columns[name] = pa.array(carried.boxes_xyxy[frames, tracks, number], pa.float64())
    columns["score"] = pa.array(carried.score[frames, tracks], pa.float64())
    for field in dataclasses.fields(carried.evidence):
        columns[field.name] = pa.array(getattr(carried.evidence, field.name)[frames, tracks], pa.float64())
    metadata = {
        "frame_count": len(carried.masks),
        "track_ids": carried.track_ids.tolist(),
        "category_ids": carried.category_ids.tolist(),
        "size": next(([m.height, m.width] for row in carried.masks for m in row if m is not None), None),
        "ends": [dataclasses.astuple(end) for end in carried.ends],
    }
    return pa.table(columns), metadata


def carried_from_table(table: pa.Table, metadata: dict[str, Any]) -> Carried:
    """Return what `carried_to_table` was given.

    Parameters
    ----------
    table : pyarrow.Table
        The rows.
    metadata : dict
        What belongs to all of them.

    Returns
    -------
    Carried
        Equal in every value.
    """
    import numpy as np

    from evfr._core.masks import Rle
    from evfr.propagation import Carried, CarryEnd, Evidence

    shape = (metadata["frame_count"], len(metadata["track_ids"]))
    frames, tracks = table["position"].to_numpy(), table["k"].to_numpy()
    masks: list[list[Rle | None]] = [[None] * shape[1] for _ in range(shape[0])]
    for t, k, counts in zip(frames.tolist(), tracks.tolist(), table["counts"].to_pylist(), strict=True):
        if counts is not None:
            masks[t][k] = Rle.from_coco({"size": metadata["size"], "counts": counts})
    boxes = np.full((*shape, 4), np.nan)
    for number, name in enumerate(("x0", "y0", "x1", "y1")):
        boxes[frames, tracks, number] = table[name].to_numpy()

    def column(name: str) -> Any:
        values = np.full(shape, np.nan)
        values[frames, tracks] = table[name].to_numpy()
        return values

    return Carried(
        np.array(metadata["track_ids"], np.int64),
        np.array(metadata["category_ids"], np.int64),
        tuple(tuple(row) for row in masks),
        boxes,
        column("score"),
        Evidence(**{field.name: column(field.name) for field in dataclasses.fields(Evidence)}),
        tuple(CarryEnd(*end) for end in metadata["ends"]),
    )

"""Write what `evfr propagate` made: labels, what to look at next as a selection, labels to correct, and a page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from evfr._core.annotations import VideoAnnotations
    from evfr.verbs._carry_labels import Judged, WholeVideo
    from evfr.verbs._measure import Measured

__all__ = ["check_out", "write_labels", "write_review"]

AUTO = {".parquet": "evfr", ".json": "coco"}
_THUMBNAIL_WIDTH = 320


def check_out(out: Path, out_format: str) -> str:
    """Return the format to write, before anything is computed.

    Parameters
    ----------
    out : Path
        The file to write.
    out_format : str
        A key of `evfr.annotations.FORMATS`, or ``auto``.

    Returns
    -------
    str
        A key of `evfr.annotations.FORMATS`.

    Raises
    ------
    ValueError
        If there is no such format, or the ending does not tell.
    """
    from evfr.annotations import FORMATS

    if out_format == "auto":
        if out.suffix.lower() not in AUTO:
            raise ValueError(
                f"the ending of {out} does not tell the format (.parquet is evfr, .json is coco); give "
                f"out_format, one of {', '.join(FORMATS)}"
            )
        return AUTO[out.suffix.lower()]
    if out_format not in FORMATS:
        raise ValueError(f"out_format must be auto or one of {', '.join(FORMATS)}, got {out_format!r}")
    return out_format


def write_labels(annotations: VideoAnnotations, out: Path, out_format: str) -> None:
    """Write labels.

    Parameters
    ----------
    annotations : VideoAnnotations
        The labels.
    out : Path
        Where to.
    out_format : str
        A key of `evfr.annotations.FORMATS`.
    """
    from evfr._core.atomic import make_folder
    from evfr.annotations import write

    make_folder(out.parent)
    write(annotations, out, format=out_format)


def write_review(
    folder: Path,
    *,
    measured: Measured,
    given: VideoAnnotations,
    whole: WholeVideo,
    judged: Judged,
    asked: VideoAnnotations,
    cuts: NDArray[np.int64],
    method: str,
    damaged: str,
    min_trust: float | None,
    notes: Sequence[str],
    command: str,
) -> None:
    """Write the folder that a person goes on with: ``selection.*``, ``ask.parquet``, ``report.html``.

    Parameters
    ----------
    folder : Path
        Made if it is not there.
    measured : Measured
        The video.
    given : VideoAnnotations
        The labels of people.
    whole, judged
        What was carried and what becomes of it.
    asked : VideoAnnotations
        Carried objects that wait for a person; not written if there is none.
    cuts : (C,) int64
        First frames of new shots.
    method : str
        The propagator.
    damaged : str
        As in `evfr.select`.
    min_trust : float or None
        The limit.
    notes : sequence of str
        For the head of the page.
    command : str
        What carries the same again.
    """
    from evfr._core.atomic import make_folder
    from evfr.annotations import write

    make_folder(folder)
    _selection(measured, judged, method, damaged).save(folder)
    if len(asked):
        write(asked, folder / "ask.parquet", format="evfr")
    else:
        (folder / "ask.parquet").unlink(missing_ok=True)
    _write_page(
        folder / "report.html", measured, given, whole, judged, cuts, method, min_trust, notes, command
    )


def _selection(measured: Measured, judged: Judged, method: str, damaged: str) -> Any:
    """Return the frames to look at next as a selection, in the form that `evfr extract` takes."""
    import numpy as np
    import pyarrow as pa

    from evfr._core.selection import MANIFEST_FORMAT, MANIFEST_SCHEMA, SELECTION_SCHEMA, Selection, pts_column
    from evfr.verbs._manifest import versions
    from evfr.video import recorded_path

    table = measured.table
    assert table is not None
    order = np.argsort(judged.queue.frame_index)
    rows = judged.queue.frame_index[order]
    n = len(rows)
    reasons = [
        "no label reaches this frame"
        if np.isnan(trust)
        else f"mean trust {trust:.2f} of what was carried here"
        for trust in judged.queue.trust[order]
    ]
    columns: dict[str, Any] = {
        "video_id": pa.array([measured.source.video_id] * n, pa.string()),
        "frame_index": pa.array(rows, pa.int64()),
        "pts": pts_column(table.pts[rows]),
        "time_base_num": pa.array(np.full(n, table.time_base.numerator), pa.int64()),
        "time_base_den": pa.array(np.full(n, table.time_base.denominator), pa.int64()),
        "time_seconds": pa.array(table.time_seconds[rows], pa.float64()),
        "luma_hash": pa.array(table.luma_hash[rows], pa.uint64()),
        "weight": pa.nulls(n, pa.float64()),
        "inclusion_probability": pa.nulls(n, pa.float64()),
        "rank": pa.array(order, pa.int64()),
        "reason": pa.array(reasons, pa.string()),
        "gain": pa.array(judged.queue.gain[order], pa.float64()),
    }
    manifest = {
        "format": MANIFEST_FORMAT,
        "schema": MANIFEST_SCHEMA,
        "paths": [recorded_path(measured.source.path)],
        "parameters": {"method": f"review of {method}", "n": n, "damaged": damaged},
        "summary": {"videos": 1, "failed": 0, "frames": len(table), "selected": n},
        "inputs": [
            {
                "video_id": measured.source.video_id,
                "path": recorded_path(measured.source.path),
                "kind": measured.source.kind,
                "hash": measured.digest,
                "status": measured.status,
                "frame_count": len(table),
            }
        ],
        "problems": [problem.to_dict() for problem in measured.problems],
        "versions": versions(),
    }
    return Selection(pa.table(columns, schema=SELECTION_SCHEMA), manifest)


def _write_page(
    path: Path,
    measured: Measured,
    given: VideoAnnotations,
    whole: WholeVideo,
    judged: Judged,
    cuts: NDArray[np.int64],
    method: str,
    min_trust: float | None,
    notes: Sequence[str],
    command: str,
) -> None:
    import numpy as np

    from evfr import __version__
    from evfr.reports import STATES, CarryReport, ReviewRow, picture_frames, write_carry_report

    table = measured.table
    assert table is not None
    labelled = np.flatnonzero(whole.is_labeled)
    present = ~np.isnan(whole.boxes_xyxy).any(axis=2)
    state = np.zeros(present.shape, np.int8)
    state[present & whole.is_labeled[:, None]] = STATES.index("labelled")
    for name, flags in (("kept", judged.is_kept), ("ask", judged.is_asked), ("dropped", judged.is_dropped)):
        state[flags] = STATES.index(name)
    names = {category.category_id: category.name for category in given.categories}
    queue = judged.queue
    shown = np.union1d(picture_frames(labelled, len(table)), queue.frame_index)
    shown = shown[table.is_selectable[shown]]
    review = tuple(
        ReviewRow(int(frame), float(gain), "" if np.isnan(trust) else f"mean trust {trust:.2f}")
        for frame, gain, trust in zip(queue.frame_index, queue.gain, queue.trust, strict=True)
    )
    expected = judged.expected
    report = CarryReport(
        video_id=measured.source.video_id,
        command=command,
        version=__version__,
        method=method,
        width=table.width,
        height=table.height,
        time_seconds=table.time_seconds,
        track_ids=whole.track_ids,
        track_names=tuple(names[int(category)] for category in whole.category_ids),
        trust=judged.trust,
        state=state,
        labelled=labelled,
        min_trust=min_trust,
        expected_iou=expected.mean,
        expected_iou_low=expected.low,
        expected_iou_high=expected.high,
        review=review,
        pictures=_pictures(measured, whole, shown),
        ends=whole.ends,
        cuts=cuts,
        notes=tuple(notes),
        parameters=_parameters(judged),
        problems=measured.problems,
    )
    write_carry_report(path, report)


def _parameters(judged: Judged) -> Mapping[str, Any]:
    return {"trust_check": judged.check.to_dict(), "trust_from": judged.model.origin}


def _pictures(measured: Measured, whole: WholeVideo, shown: NDArray[np.int64]) -> tuple[Any, ...]:
    import cv2
    import numpy as np

    from evfr.reports import CarryObject, CarryPicture
    from evfr.video import extract_frames

    table = measured.table
    assert table is not None
    width = min(_THUMBNAIL_WIDTH, table.width)
    height = max(1, round(table.height * width / table.width))
    pictures = []
    for frame in extract_frames(measured.source.path, shown.tolist(), table):
        image = cv2.resize(frame.image, (width, height), interpolation=cv2.INTER_AREA)
        boxes, masks = whole.boxes_xyxy[frame.frame_index], whole.masks[frame.frame_index]
        objects = tuple(
            CarryObject(
                int(whole.track_ids[k]),
                masks.get(int(k)),
                None if k in masks else tuple(float(value) for value in boxes[k]),  # type: ignore[arg-type]
            )
            for k in np.flatnonzero(~np.isnan(boxes).any(axis=1))
        )
        pictures.append(CarryPicture(frame.frame_index, np.asarray(image, np.uint8), objects))
    return tuple(pictures)

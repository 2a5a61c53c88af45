"""Write the page of carried labels: trust over time, outlines on pictures, and what to look at next."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

from evfr._core.atomic import atomic_write_bytes
from evfr.reports._carry_values import STATES, CarryObject, CarryPicture, CarryReport
from evfr.reports._encode import encode_sheets, plain
from evfr.reports._overlay import track_colour
from evfr.reports._page import STYLES, data_block, fill_page
from evfr.reports._pictures import Thumbnails
from evfr.reports._thumbnails import pack_thumbnails

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

__all__ = ["render_carry_report", "write_carry_report"]

SCHEMA = "evfr-carry-1"
CARRY_STYLES = (*STYLES[1:], "assets/carry.css")
CARRY_SCRIPTS = (
    "assets/dom.js",
    "assets/data.js",
    "assets/tables.js",
    "assets/outline.js",
    "assets/carry_lanes.js",
    "assets/carry.js",
)
PICTURE_BYTES = 6_000_000
"""What pictures may take in a page, before base64: about 500 of 288 px."""
GRID = 2
"""Corners of outlines per pixel of a picture."""
MISSING = 255


def write_carry_report(path: Path, report: CarryReport) -> Path:
    """Write the page of carried labels as one HTML file that opens offline.

    Parameters
    ----------
    path : Path
        The file to make or replace.
    report : CarryReport
        What to show.

    Returns
    -------
    Path
        ``path``.

    Raises
    ------
    StoreError
        If it cannot be written.
    """
    atomic_write_bytes(path, render_carry_report(report).encode("ascii"))
    return path


def render_carry_report(report: CarryReport) -> str:
    """Render carried labels as one HTML page that opens offline and runs nothing but its own script (ours).

    Parameters
    ----------
    report : CarryReport
        What to show.

    Returns
    -------
    str
        The page, ASCII only, the same for the same report.
    """
    blocks = [data_block("carry", _encode(report))]
    if report.pictures:
        index = np.array([picture.frame_index for picture in report.pictures], np.int64)
        small = Thumbnails(index, np.stack([picture.image for picture in report.pictures]))
        packed = pack_thumbnails(small, index, budget_bytes=PICTURE_BYTES)
        if packed.sheets:
            blocks.append(data_block("sheets-0", encode_sheets(packed)))
    return fill_page(
        f"evfr: carried labels of {report.video_id}", blocks, styles=CARRY_STYLES, scripts=CARRY_SCRIPTS
    )


def _encode(report: CarryReport) -> dict[str, Any]:
    places = {int(track): place for place, track in enumerate(report.track_ids)}
    return {
        "schema": SCHEMA,
        "video_id": report.video_id,
        "command": report.command,
        "version": report.version,
        "method": report.method,
        "width": report.width,
        "height": report.height,
        "n_frames": report.n_frames,
        "time_seconds": _bytes(report.time_seconds.astype("<f8"), "f8"),
        "tracks": [
            {"id": int(track), "name": name, "colour": "rgb({}, {}, {})".format(*track_colour(int(track)))}
            for track, name in zip(report.track_ids, report.track_names, strict=True)
        ],
        "states": list(STATES),
        "trust": _bytes(_levels(report.trust), "u1"),
        "state": _bytes(np.ascontiguousarray(report.state.T).astype(np.uint8), "u1"),
        "labelled": report.labelled.tolist(),
        "cuts": report.cuts.tolist(),
        "min_trust": report.min_trust,
        "counts": {name: report.count(name) for name in STATES},
        "expected": plain([report.expected_iou, report.expected_iou_low, report.expected_iou_high]),
        "review": [[row.frame_index, plain(row.gain), row.reason] for row in report.review],
        "ends": [[end.track_id, end.frame_index, end.side, end.reason] for end in report.ends],
        "pictures": [
            [
                picture.frame_index,
                [
                    [places[item.track_id], _outline(item, picture, report)]
                    for item in sorted(picture.objects, key=_area, reverse=True)
                ],
            ]
            for picture in report.pictures
        ],
        "picture_size": _size(report),
        "notes": list(report.notes),
        "parameters": plain(report.parameters),
        "problems": [problem.to_dict() for problem in report.problems],
    }


def _area(item: CarryObject) -> float:
    """Return what decides who is in front: the page draws small objects over large ones."""
    if item.mask is not None:
        return float(item.mask.area)
    x0, y0, x1, y1 = item.box_xyxy or (0.0, 0.0, 0.0, 0.0)
    return (x1 - x0) * (y1 - y0)


def _levels(trust: NDArray[np.float64]) -> NDArray[np.uint8]:
    """Return trust by track in steps of 1/254, `MISSING` where there is none: a hundredth is all that is shown."""
    levels = np.where(np.isfinite(trust), np.round(np.nan_to_num(trust) * 254), MISSING)
    return np.ascontiguousarray(levels.T).astype(np.uint8)


def _size(report: CarryReport) -> list[int]:
    if not report.pictures:
        return [0, 0]
    height, width = report.pictures[0].image.shape[:2]
    return [GRID * width, GRID * height]


def _outline(item: CarryObject, picture: CarryPicture, report: CarryReport) -> list[list[int]]:
    """Return closed outlines as x and y in turn, on a grid of `GRID` to a pixel of the picture."""
    height, width = (GRID * size for size in picture.image.shape[:2])
    if item.mask is None:
        if item.box_xyxy is None:
            return []
        x0, y0, x1, y1 = item.box_xyxy
        left, right = (round(value * width / report.width) for value in (x0, x1))
        top, bottom = (round(value * height / report.height) for value in (y0, y1))
        return [[left, top, right, top, right, bottom, left, bottom]]
    share = cv2.resize(item.mask.to_mask().astype(np.float32), (width, height), interpolation=cv2.INTER_AREA)
    dense = (share >= 0.5).astype(np.uint8)
    if not dense.any():
        # Too small for half a cell: shown where any of it is, rather than not at all.
        dense = (share > 0).astype(np.uint8)
    found, _ = cv2.findContours(dense, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_SIMPLE)
    outlines = [cv2.approxPolyDP(outline, 0.8, True)[:, 0] for outline in found]
    return [[int(value) for value in outline.reshape(-1)] for outline in outlines]


def _bytes(array: NDArray[Any], code: str) -> dict[str, str]:
    return {"type": code, "base64": base64.b64encode(array.tobytes()).decode("ascii")}

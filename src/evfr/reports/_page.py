"""Write the report as one HTML file, and read it back."""

from __future__ import annotations

import base64
import hashlib
import html
import json
import re
from importlib import resources
from typing import TYPE_CHECKING, Any

from evfr.errors import SelectionFileError
from evfr.reports._encode import (
    SCHEMA,
    decode_report,
    decode_video,
    encode_report,
    encode_sheets,
    encode_video,
)
from evfr.reports._pictures import PackedThumbnails, Thumbnails
from evfr.reports._thumbnails import pack_thumbnails, thumbnail_budgets
from evfr.reports._values import SelectionReport, VideoReport

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

__all__ = ["data_block", "fill_page", "read_report", "render_report"]

STYLES = ("vendor/uPlot.min.css", "assets/report.css")

SCRIPTS = (
    "vendor/uPlot.iife.min.js",
    "assets/dom.js",
    "assets/data.js",
    "assets/sampling.js",
    "assets/budget.js",
    "assets/edits.js",
    "assets/state.js",
    "assets/charts.js",
    "assets/overview.js",
    "assets/detail.js",
    "assets/tables.js",
    "assets/report.js",
)
BLOCK = re.compile(r'<script type="application/json" id="evfr-([a-z]+)(?:-(\d+))?">(.*?)</script>', re.DOTALL)


def render_report(report: SelectionReport) -> str:
    """Render a selection as one HTML page that opens offline and runs nothing but its own script.

    The page has a Content-Security-Policy that names the hashes of its script and style; all data stand
    in ``application/json`` blocks with ``<``, ``>`` and ``&`` escaped. Thumbnails take about 0.5 KB a frame.

    Parameters
    ----------
    report : SelectionReport
        What to show.

    Returns
    -------
    str
        The page, ASCII only, the same for the same report.
    """
    blocks = [data_block("report", encode_report(report))]
    budgets = thumbnail_budgets([video.n_frames for video in report.videos])
    for place, (video, budget) in enumerate(zip(report.videos, budgets, strict=True)):
        blocks.append(data_block(f"video-{place}", encode_video(video)))
        packed = _packed(video, budget)
        if packed is not None and packed.sheets:
            blocks.append(data_block(f"sheets-{place}", encode_sheets(packed)))
    return fill_page(report.title, blocks, styles=STYLES, scripts=SCRIPTS)


def fill_page(title: str, blocks: Sequence[str], *, styles: Sequence[str], scripts: Sequence[str]) -> str:
    """Return a page of the template: its own style and script, allowed by their hashes, and blocks of data.

    Parameters
    ----------
    title : str
        In any characters.
    blocks : sequence of str
        As `data_block` makes them.
    styles, scripts : sequence of str
        Names of assets, in order.

    Returns
    -------
    str
        ASCII only.
    """
    style = "\n".join(_asset(name) for name in styles)
    script = "\n".join(_asset(name) for name in scripts)
    parts = {
        "title": html.escape(title).encode("ascii", "xmlcharrefreplace").decode("ascii"),
        "style_hash": _hash(style),
        "script_hash": _hash(script),
        "style": style,
        "script": script,
        "data": "\n".join(blocks),
    }
    # One pass: what is filled in is never searched for marks again.
    return re.sub(r"\{\{(\w+)\}\}", lambda mark: parts[mark[1]], _asset("assets/template.html"))


def read_report(path: Path) -> SelectionReport:
    """Read a page that `render_report` wrote back into its values.

    Parameters
    ----------
    path : Path
        The HTML file.

    Returns
    -------
    SelectionReport
        Equal to what was rendered, except that curves are rounded to float32 and thumbnails are packed.

    Raises
    ------
    SelectionFileError
        If the file is no report of this version of evfr.
    """
    try:
        text = path.read_text(encoding="ascii")
    except (OSError, UnicodeDecodeError) as error:
        raise SelectionFileError(f"{path} cannot be read as a report: {error}") from error
    found = {(kind, place): body for kind, place, body in BLOCK.findall(text)}
    try:
        head = json.loads(found["report", ""])
        if head["schema"] != SCHEMA:
            raise SelectionFileError(
                f"{path} is a report of schema {head['schema']!r}; this evfr reads {SCHEMA!r}"
            )
        videos = []
        for place in range(head["n_videos"]):
            sheets = found.get(("sheets", str(place)))
            data = json.loads(found["video", str(place)])
            videos.append(decode_video(data, None if sheets is None else json.loads(sheets)))
            _expect_same(encode_video(videos[-1]), data, f"video {place}")
        report = decode_report(head, tuple(videos))
        _expect_same(encode_report(report), head, "the report")
        return report
    except (LookupError, TypeError, ValueError, AttributeError, ArithmeticError, RecursionError) as error:
        raise SelectionFileError(f"{path} is no report written by evfr select ({error!r})") from error


def _expect_same(ours: dict[str, Any], found: Any, what: str) -> None:
    """Refuse what the reader would take for something else than it says: it must be what we would write."""
    for key, value in ours.items():
        if json.loads(json.dumps(value, allow_nan=False)) != found[key]:
            raise ValueError(f"{what} has {found[key]!r:.80} as {key}, which evfr would write otherwise")


def _packed(video: VideoReport, budget: int) -> PackedThumbnails | None:
    if isinstance(video.thumbnails, Thumbnails):
        return pack_thumbnails(video.thumbnails, video.selected, budget_bytes=budget)
    return video.thumbnails


def block_text(data: Any) -> str:
    """Return data as JSON that can stand in any place of an HTML page: ASCII, without <, > and &."""
    text = json.dumps(data, ensure_ascii=True, allow_nan=False, separators=(",", ":"))
    return text.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e")


def data_block(name: str, data: Any) -> str:
    """Return data as an element that the page's script finds by its name."""
    return f'<script type="application/json" id="evfr-{name}">{block_text(data)}</script>'


def _asset(name: str) -> str:
    return resources.files("evfr.reports").joinpath(name).read_text(encoding="utf-8")


def _hash(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode("utf-8")).digest()).decode("ascii")

"""Draw the report's figures with matplotlib (extra ``plot``), for paper and slides."""

from __future__ import annotations

import io
import math
import unicodedata
import warnings
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from evfr._core.atomic import atomic_write_bytes
from evfr._core.lazy import require
from evfr.reports._encode import runs

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from evfr.reports._values import SelectionReport, VideoReport

__all__ = ["write_figures"]

# Okabe & Ito's palette: told apart with any colour vision.
BLUE, ORANGE, GREEN, PURPLE = "#0072B2", "#E69F00", "#009E73", "#CC79A7"
SKY, VERMILLION, YELLOW, GREY = "#56B4E9", "#D55E00", "#F0E442", "#777777"
PALETTE = (BLUE, ORANGE, GREEN, PURPLE, SKY, VERMILLION, YELLOW, GREY)
MIXED = "several, by shot"
STRATEGIES = {"uniform": BLUE, "systematic": ORANGE, "adaptive": GREEN, "random": SKY, MIXED: PURPLE}
HATCHES = {"uniform": "", "systematic": "//", "adaptive": "..", "random": "xx", MIXED: "--"}

AUTO_THRESHOLD = 0.9
ROWS_PER_FIGURE = 6
BARS_PER_FIGURE = 40
SETTINGS = {
    "font.size": 9.0,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlesize": 9.0,
    "axes.titlelocation": "left",
    "legend.frameon": False,
    "text.parse_math": False,
    "svg.hashsalt": "evfr",
    "svg.fonttype": "none",
}


def write_figures(
    report: SelectionReport, out: Path, format: Literal["png", "svg"] = "png"
) -> tuple[Path, ...]:
    """Draw FVI curves with picks, dynamicity bars and reduced datasets (Figs. 1-2, 8, 4 of Yoon & Choi 2023).

    Parameters
    ----------
    report : SelectionReport
        What to draw.
    out : Path
        Folder for the files; made if it is not there.
    format : {"png", "svg"}
        Pixels at 200 per inch, or vectors.

    Returns
    -------
    tuple of Path
        The files: ``fvi``, ``dynamicity`` and, where there are strides, ``strides``, numbered where one figure
        does not hold all videos.

    Raises
    ------
    MissingExtraError
        If matplotlib is not installed.
    ValueError
        If ``format`` is unknown.
    """
    if format not in ("png", "svg"):
        raise ValueError(f"format must be 'png' or 'svg', got {format!r}")
    matplotlib = require("matplotlib", extra="plot")
    require("matplotlib.figure", extra="plot")
    out.mkdir(parents=True, exist_ok=True)
    files = []
    with matplotlib.rc_context(SETTINGS), warnings.catch_warnings():
        # A name in a script that the font lacks is drawn with boxes; that is no reason to stop.
        warnings.filterwarnings("ignore", message=".*[Gg]lyph", category=UserWarning)
        for draw in FIGURES:
            for name, figure in draw(matplotlib, report):
                buffer = io.BytesIO()
                metadata = {"Date": None} if format == "svg" else {"Software": None}
                figure.savefig(buffer, format=format, dpi=200, metadata=metadata)
                path = out / f"{name}.{format}"
                atomic_write_bytes(path, buffer.getvalue())
                files.append(path)
    return tuple(files)


def draw_fvi(matplotlib: Any, report: SelectionReport) -> Iterator[tuple[str, Any]]:
    """Yield figures of FVI curves over time with the selected frames marked (Figs. 1-2)."""
    videos = [video for video in report.videos if video.n_frames]
    for name, rows in _pages("fvi", videos, ROWS_PER_FIGURE):
        figure = matplotlib.figure.Figure(figsize=(7.2, 0.5 + 1.55 * len(rows)), layout="constrained")
        for axes, video in zip(np.ravel(figure.subplots(len(rows), 1, squeeze=False)), rows, strict=True):
            _draw_video(axes, video, report.signal)
        figure.supxlabel("time in seconds", fontsize=9)
        figure.supylabel("FVI", fontsize=9)
        yield name, figure


def _draw_video(axes: Any, video: VideoReport, signal: str) -> None:
    main = signal if signal in video.curves else next(iter(video.curves), "")
    for place, (name, curve) in enumerate(video.curves.items()):
        is_main = name == main
        axes.plot(
            video.time_seconds,
            curve,
            color=PALETTE[place % len(PALETTE)],
            linewidth=1.0 if is_main else 0.6,
            alpha=1.0 if is_main else 0.45,
            label=_visible(name),
            zorder=2 if is_main else 1,
        )
    heights = np.zeros(len(video.selected))
    if main:
        heights = np.nan_to_num(video.curves[main][video.selected])
    times = video.time_seconds[video.selected]
    axes.vlines(times, 0, heights, color=VERMILLION, linewidth=0.5, alpha=0.6, zorder=2)
    axes.plot(times, heights, "o", color=VERMILLION, markersize=2.2, label="selected", zorder=3)
    for cut in video.cuts:
        axes.axvline(video.time_seconds[cut], color="black", linewidth=0.6, linestyle=(0, (4, 3)), alpha=0.6)
    for start, stop in runs(video.is_suspect):
        left, right = video.time_seconds[start], video.time_seconds[stop - 1]
        axes.axvspan(left, right, facecolor="none", edgecolor=PURPLE, hatch="////", linewidth=0)
    axes.set_title(f"{_visible(video.video_id)}: {len(video.selected)} of {video.n_frames} frames")
    axes.set_ylim(bottom=0)
    axes.margins(x=0.01)
    axes.ticklabel_format(axis="y", style="plain", useOffset=False)
    axes.legend(
        loc="lower right", bbox_to_anchor=(1.0, 1.0), borderaxespad=0.1, ncols=6, fontsize=7, handlelength=1.2
    )


def draw_dynamicity(matplotlib: Any, report: SelectionReport) -> Iterator[tuple[str, Any]]:
    """Yield figures of the dynamicity of each video with the strategy chosen (Fig. 8)."""
    videos = [video for video in report.videos if video.dynamicity]
    for name, rows in _pages("dynamicity", videos, BARS_PER_FIGURE):
        figure = matplotlib.figure.Figure(figsize=(7.2, 0.9 + 0.24 * len(rows)), layout="constrained")
        axes = figure.subplots()
        values = [
            video.dynamicity.get(report.signal, next(iter(video.dynamicity.values()))) for video in rows
        ]
        seen: set[str] = set()
        for place, (video, value) in enumerate(zip(rows, values, strict=True)):
            strategy = _strategy(video)
            axes.barh(
                place,
                value if math.isfinite(value) else 0.0,
                height=0.72,
                color=STRATEGIES.get(strategy, GREY),
                edgecolor="white",
                hatch=HATCHES.get(strategy, ""),
                label=_visible(strategy) if strategy not in seen else None,
            )
            text = f"{value:.2f}" if math.isfinite(value) else "not measured"
            axes.annotate(
                text,
                (value if math.isfinite(value) else 0.0, place),
                xytext=(3, 0),
                textcoords="offset points",
                va="center",
            )
            seen.add(strategy)
        if report.method == "auto":
            threshold = float(rows[0].options.get("threshold", AUTO_THRESHOLD))
            axes.axvline(threshold, color="black", linewidth=0.8, linestyle=(0, (4, 3)))
        axes.set_yticks(range(len(rows)), [_visible(video.video_id) for video in rows])
        axes.invert_yaxis()
        axes.margins(x=0.12)
        axes.set_xlabel(f"dynamicity of {_visible(report.signal)} (standard deviation / mean)")
        axes.legend(title="strategy", loc="upper left", bbox_to_anchor=(1.0, 1.0))
        yield name, figure


def _strategy(video: VideoReport) -> str:
    found = {part.method for part in video.segments} or {video.method}
    return found.pop() if len(found) == 1 else MIXED


def draw_strides(matplotlib: Any, report: SelectionReport) -> Iterator[tuple[str, Any]]:
    """Yield the figure of the reduced datasets S1..S10: their size and class shares (Fig. 4)."""
    if not report.strides:
        return
    names = list(report.strides[0].class_shares)
    figure = matplotlib.figure.Figure(figsize=(7.2, 3.0), layout="constrained")
    panels = figure.subplots(1, 2 if names else 1, squeeze=False)[0]
    labels = [f"S{row.stride}" for row in report.strides]
    totals = [sum(row.n_frames) for row in report.strides]
    bars = panels[0].bar(labels, totals, color=BLUE)
    panels[0].bar_label(bars, fontsize=7)
    panels[0].set_ylabel("frames")
    if names:
        base = np.zeros(len(labels))
        ranked = sorted(names, key=lambda item: -report.strides[0].class_shares[item])
        shown, rest = ranked[:7], ranked[7:]
        parts = [(_visible(item), [item]) for item in shown]
        parts += [(f"{len(rest)} others", rest)] if rest else []
        for place, (label, members) in enumerate(parts):
            shares = np.array([sum(row.class_shares.get(m, 0.0) for m in members) for row in report.strides])
            panels[1].bar(labels, shares, bottom=base, color=PALETTE[place], label=label, edgecolor="white")
            base += shares
        panels[1].set_ylabel("class share")
        panels[1].legend(loc="upper left", bbox_to_anchor=(1.0, 1.0), fontsize=7)
    yield "strides", figure


FIGURES: tuple[Callable[[Any, SelectionReport], Iterator[tuple[str, Any]]], ...] = (
    draw_fvi,
    draw_dynamicity,
    draw_strides,
)


def _pages(name: str, videos: list[VideoReport], size: int) -> Iterator[tuple[str, list[VideoReport]]]:
    pages = [videos[start : start + size] for start in range(0, len(videos), size)]
    for place, page in enumerate(pages):
        yield (name if len(pages) == 1 else f"{name}-{place + 1}"), page


def _visible(text: str, most: int = 60) -> str:
    """Return a name on one line: control and direction characters as code points, the middle left out if long."""
    shown = "".join(
        f"\\u{ord(sign):04x}" if unicodedata.category(sign) in ("Cc", "Cf", "Cs", "Zl", "Zp", "Co") else sign
        for sign in text
    )
    return shown if len(shown) <= most else f"{shown[: most // 2]}…{shown[-most // 2 :]}"

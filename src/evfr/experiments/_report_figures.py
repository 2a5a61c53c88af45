"""An experiment's figures, as the papers draw them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from evfr._core.lazy import require

if TYPE_CHECKING:
    from evfr.experiments._plan import Plan
    from evfr.experiments._table import ArmSummary

__all__ = ["draw_figures"]

# Okabe & Ito's palette: told apart with any colour vision.
COLOURS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#777777", "#000000")
SETTINGS: Any = {
    "font.size": 9.0,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlelocation": "left",
    "legend.frameon": False,
    "text.parse_math": False,
}


def draw_figures(plan: Plan, summaries: Sequence[ArmSummary], out: Path, *, score: str) -> tuple[Path, ...]:
    """Draw one figure for each test set.

    Parameters
    ----------
    plan : Plan
        Its protocol says which figure: scores by reduction and sampler (Yoon & Choi 2023), scores by clips and frames,
        or bars.
    summaries : sequence of ArmSummary
        What to draw.
    out : Path
        Folder.
    score : str
        Name of the axis.

    Returns
    -------
    tuple of Path
        PNG files.

    Raises
    ------
    MissingExtraError
        If matplotlib is not installed.
    """
    require("matplotlib", extra="plot")
    import matplotlib as mpl
    from matplotlib.figure import Figure

    files = []
    for test in plan.tests:
        mine = [item for item in summaries if item.test == test and math.isfinite(item.mean)]
        if not mine:
            continue
        with mpl.rc_context(SETTINGS):
            figure = Figure(figsize=(7.0, 3.6), layout="constrained")
            axes = figure.add_subplot()
            if plan.protocol == "evfr":
                _by_stride(axes, plan, mine)
            elif plan.protocol == "two-axis":
                _by_frames(axes, plan, mine)
            else:
                _bars(axes, mine)
            axes.set_ylabel(score)
            axes.set_title(f"{plan.model}, test on {test} videos")
            path = out / f"{plan.protocol}-{test}.png"
            figure.savefig(path, dpi=150, metadata={"Software": None})
        files.append(path)
    return tuple(files)


def _by_stride(axes: Any, plan: Plan, items: Sequence[ArmSummary]) -> None:
    """Draw score by reduction, a line for each sampler, dashed with copy-paste; all lines begin at the full set."""
    lines: dict[tuple[str, bool], list[tuple[int, ArmSummary]]] = {}
    whole: dict[bool, ArmSummary] = {}
    for item in items:
        arm = plan.arm(item.arm)
        is_pasted = arm.copy_paste > 0
        if arm.stride == 1:
            whole[is_pasted] = item
            continue
        name = arm.sampler if arm.signal in ("none", "flow") else f"{arm.sampler}:{arm.signal}"
        lines.setdefault((name, is_pasted), []).append((arm.stride, item))
    names = list(dict.fromkeys(name for name, _ in lines))
    for place, ((name, is_pasted), points) in enumerate(lines.items()):
        if is_pasted in whole:
            points = [(1, whole[is_pasted]), *points]
        x = np.array([stride for stride, _ in points], float) * (1 + 0.01 * (place - len(lines) / 2))
        _line(
            axes,
            x,
            [item for _, item in points],
            COLOURS[names.index(name) % len(COLOURS)],
            f"{name} with copy-paste" if is_pasted else name,
            "--" if is_pasted else "-",
        )
    strides = sorted({arm.stride for arm in plan.arms})
    axes.set_xscale("log")
    axes.set_xticks(strides, [f"S{stride}" for stride in strides])
    axes.minorticks_off()
    axes.set_xlabel("reduced dataset: one frame in so many")
    axes.figure.legend(loc="outside right upper", fontsize=8)


def _by_frames(axes: Any, plan: Plan, items: Sequence[ArmSummary]) -> None:
    """Draw score by labelled frames, a line for each number of clips."""
    for place, clips in enumerate(sorted({plan.arm(item.arm).clips for item in items})):
        points = [item for item in items if plan.arm(item.arm).clips == clips]
        x = np.array([item.n_frames for item in points])
        name = f"{clips} clip{'s' * (clips > 1)}"
        _line(axes, x, points, COLOURS[place % len(COLOURS)], name, "-")
    axes.set_xscale("log")
    axes.set_xlabel("labelled frames")
    axes.figure.legend(loc="outside right upper", fontsize=8)


def _bars(axes: Any, items: Sequence[ArmSummary]) -> None:
    places = np.arange(len(items))
    means = np.array([item.mean for item in items])
    axes.bar(places, means, color=COLOURS[0], width=0.6)
    axes.errorbar(places, means, yerr=_errors(items), fmt="none", ecolor="black", capsize=3, elinewidth=1)
    axes.set_xticks(places, [item.arm for item in items], rotation=30 if len(items) > 6 else 0, ha="center")
    axes.set_ylim(bottom=min(0.0, float(means.min())))


def _line(axes: Any, x: Any, items: Sequence[ArmSummary], colour: str, name: str, style: str) -> None:
    axes.errorbar(
        x,
        [item.mean for item in items],
        yerr=_errors(items),
        color=colour,
        label=name,
        linestyle=style,
        marker="o",
        markersize=3.5,
        capsize=2,
        elinewidth=0.8,
    )


def _errors(items: Sequence[ArmSummary]) -> Any:
    """Return (2, N) distances to the interval's ends; none where there is no interval."""
    ends = np.array([[item.mean - item.low, item.high - item.mean] for item in items]).T
    return np.where(np.isfinite(ends), np.maximum(ends, 0.0), 0.0)

"""Draw how a training run went, with matplotlib (extra ``plot``)."""

from __future__ import annotations

import io
import warnings
from typing import TYPE_CHECKING, Any

import numpy as np

from evfr._core.atomic import atomic_write_bytes
from evfr._core.lazy import require
from evfr.reports._figures import BLUE, GREY, SETTINGS, VERMILLION

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import ArrayLike, NDArray

__all__ = ["running_mean", "write_training_figure"]

WINDOW_SHARE = 0.02


def write_training_figure(
    loss: ArrayLike, learning_rate: ArrayLike, out: Path, *, title: str = "training"
) -> Path:
    """Draw loss and learning rate over the iterations.

    Parameters
    ----------
    loss : (N,) float
        Of each iteration, one or more; see ``TrainingRun.loss`` or the log's column.
    learning_rate : (N,) float
        Of each iteration.
    out : Path
        The file; ``.svg`` gives vectors, ``.png`` pixels at 200 per inch.
    title : str
        Stands above.

    Returns
    -------
    Path
        ``out``.

    Raises
    ------
    MissingExtraError
        If matplotlib is not installed.
    ValueError
        If the columns do not fit each other, or the file's ending is another.
    StoreError
        If it cannot be written.
    """
    losses, rates = np.asarray(loss, np.float64), np.asarray(learning_rate, np.float64)
    if losses.ndim != 1 or losses.shape != rates.shape or not losses.size:
        raise ValueError(
            f"loss and learning_rate must be (N,) with N of 1 or more, got {losses.shape} and {rates.shape}"
        )
    form = out.suffix.removeprefix(".")
    if form not in ("png", "svg"):
        raise ValueError(f"a figure must be a .png or .svg file, got {out}")
    matplotlib = require("matplotlib", extra="plot")
    require("matplotlib.figure", extra="plot")
    with matplotlib.rc_context(SETTINGS), warnings.catch_warnings():
        # A name in a script that the font lacks is drawn with boxes; that is no reason to stop.
        warnings.filterwarnings("ignore", message=".*[Gg]lyph", category=UserWarning)
        figure = _figure(matplotlib, losses, rates, title)
        buffer = io.BytesIO()
        metadata = {"Date": None} if form == "svg" else {"Software": None}
        figure.savefig(buffer, format=form, dpi=200, metadata=metadata)
    atomic_write_bytes(out, buffer.getvalue())
    return out


def running_mean(values: NDArray[np.float64], window: int) -> NDArray[np.float64]:
    """Return for each place the mean of the up to ``window`` values that end there (N,)."""
    total = np.concatenate([[0.0], np.cumsum(values)])
    end = np.arange(1, len(values) + 1)
    start = np.maximum(end - window, 0)
    mean: NDArray[np.float64] = (total[end] - total[start]) / (end - start)
    return mean


def _figure(matplotlib: Any, losses: NDArray[np.float64], rates: NDArray[np.float64], title: str) -> Any:
    figure = matplotlib.figure.Figure(figsize=(7.2, 3.4), layout="constrained")
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
    iterations = np.arange(len(losses))
    window = max(1, round(WINDOW_SHARE * len(losses)))
    upper.plot(iterations, losses, color=GREY, linewidth=0.4, alpha=0.6, label="each iteration")
    smooth = running_mean(losses, window)
    upper.plot(iterations, smooth, color=BLUE, linewidth=1.2, label=f"mean of {window}")
    if (losses > 0).all():
        upper.set_yscale("log")
    upper.set_ylabel("loss")
    upper.set_title(title)
    upper.legend(loc="upper right")
    lower.plot(iterations, rates, color=VERMILLION, linewidth=1.0)
    lower.set_ylim(bottom=0)
    lower.set_ylabel("learning rate")
    lower.set_xlabel("iteration")
    return figure

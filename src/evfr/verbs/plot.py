"""`evfr plot`: the report's figures as PNG or SVG."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

__all__ = ["PlotResult", "plot"]


@dataclass(frozen=True, slots=True)
class PlotResult:
    """Hold what `plot` wrote.

    Attributes
    ----------
    files : tuple of Path
        The figures.
    """

    files: tuple[Path, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON-ready dict with the list ``files``."""
        return {"files": [str(path) for path in self.files]}

    def __str__(self) -> str:
        return "\n".join(f"wrote {path}" for path in self.files) or "nothing to draw: no video has a frame"


def plot(
    selection: str | Path,
    *,
    out: str | Path,
    format: Literal["png", "svg"] = "png",
) -> PlotResult:
    """Draw the figures of a selection's report: FVI curves with picks, dynamicity, reduced datasets.

    Needs matplotlib: ``python -m pip install 'evfr[plot]'``.

    Parameters
    ----------
    selection : path
        A folder that `evfr select` wrote, or the ``report.html`` in it.
    out : path
        Folder for the figures; made if it is not there.
    format : {"png", "svg"}
        Pixels at 200 per inch, or vectors.

    Returns
    -------
    PlotResult
        The files.

    Raises
    ------
    InputError
        If there is no report.
    SelectionFileError
        If the report cannot be read.
    MissingExtraError
        If matplotlib is not installed.

    Examples
    --------
    >>> import evfr.verbs.plot
    >>> evfr.verbs.plot.plot("picks", out="figures", format="svg").files  # doctest: +SKIP
    (PosixPath('figures/fvi.svg'), PosixPath('figures/dynamicity.svg'))
    """
    from evfr.errors import InputError
    from evfr.reports import read_report, write_figures

    page = Path(selection)
    if page.is_dir():
        page = page / "report.html"
    if not page.is_file():
        raise InputError(
            f"{page} is not there; give a folder that evfr select wrote with its report (not --no-report)"
        )
    return PlotResult(write_figures(read_report(page), Path(out), format))

"""Figures draw for any report, in both formats, the same bytes each time."""

from __future__ import annotations

import builtins
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from evfr.errors import InputError, MissingExtraError, SelectionFileError
from evfr.reports import SelectionReport, render_report, write_figures
from evfr.verbs.plot import plot
from helpers.report_data import HOSTILE, failed_video, selection_report, stride_rows, video_report


@pytest.fixture(scope="module")
def report() -> SelectionReport:
    base = selection_report(method="auto")
    return replace(base, strides=stride_rows(base.videos))


@pytest.fixture(scope="module")
def drawn(report: SelectionReport, tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Path, ...]]:
    """Return the figures of the report in both formats, drawn once."""
    folder = tmp_path_factory.mktemp("figures") / "new" / "folder"
    return {"png": write_figures(report, folder), "svg": write_figures(report, folder, "svg")}


def test_three_figures_as_png(drawn: dict[str, tuple[Path, ...]]) -> None:
    files = drawn["png"]
    assert [path.name for path in files] == ["fvi.png", "dynamicity.png", "strides.png"]
    for path in files:
        with Image.open(path) as image:
            pixels = np.asarray(image.convert("RGB"))
        assert pixels.shape[1] >= 1000
        assert (pixels.reshape(-1, 3) != 255).any(axis=1).mean() > 0.01


def test_picks_and_cuts_are_in_the_svg(drawn: dict[str, tuple[Path, ...]], report: SelectionReport) -> None:
    files = drawn["svg"]
    text = files[0].read_text()
    for video in report.videos[:3]:
        assert f"{video.video_id}: {len(video.selected)} of {video.n_frames} frames" in text
    assert text.count("#d55e00") > 100 or text.count("#D55E00") > 100
    assert "S10" in files[2].read_text() and "kite" in files[2].read_text()


@pytest.mark.parametrize("format", ["png", "svg"])
def test_same_report_same_bytes(
    tmp_path: Path, report: SelectionReport, drawn: dict[str, tuple[Path, ...]], format: Any
) -> None:
    first = [path.read_bytes() for path in drawn[format]]
    assert first == [path.read_bytes() for path in write_figures(report, tmp_path, format)]


def test_many_videos_take_several_files(tmp_path: Path) -> None:
    videos = tuple(video_report(f"v{k}", n_frames=30, n=3, with_thumbnails=False) for k in range(8))
    names = [path.name for path in write_figures(selection_report(videos), tmp_path)]
    assert names == ["fvi-1.png", "fvi-2.png", "dynamicity.png"]


def test_odd_reports_draw(tmp_path: Path) -> None:
    none = np.full(9, np.nan)
    videos = (
        failed_video(),
        video_report("one", n_frames=1, n=1, with_thumbnails=False),
        video_report(
            "nan", n_frames=9, n=2, curves={"flow": none}, dynamicity={"flow": np.nan}, with_thumbnails=False
        ),
        video_report("bare", n_frames=9, n=0, curves={}, damage=(2, 5), with_thumbnails=False),
        video_report("$\\frac$ \u4e2d\u6587", n_frames=9, n=1, with_thumbnails=False),
        *(video_report(name, n_frames=9, n=1, method=name, with_thumbnails=False) for name in HOSTILE),
    )
    assert len(write_figures(selection_report(videos), tmp_path)) == 3
    assert len(write_figures(selection_report(videos), tmp_path, "svg")) == 3
    assert write_figures(selection_report(()), tmp_path) == ()


def test_unknown_format_is_refused(tmp_path: Path, report: SelectionReport) -> None:
    with pytest.raises(ValueError, match="format must be 'png' or 'svg', got 'gif'"):
        write_figures(report, tmp_path, "gif")  # type: ignore[arg-type]


def test_missing_matplotlib_says_what_to_install(
    tmp_path: Path, report: SelectionReport, monkeypatch: pytest.MonkeyPatch
) -> None:
    import sys

    true_import = builtins.__import__

    def without(name: str, *rest: Any, **more: Any) -> Any:
        if name.split(".")[0] == "matplotlib":
            raise ModuleNotFoundError("No module named 'matplotlib'", name="matplotlib")
        return true_import(name, *rest, **more)

    for name in [name for name in sys.modules if name.split(".")[0] == "matplotlib"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(MissingExtraError, match=r"pip install 'evfr\[plot\]'"):
        write_figures(report, tmp_path)


def test_plot_reads_a_folder_or_its_page(tmp_path: Path, report: SelectionReport) -> None:
    folder = tmp_path / "picks"
    folder.mkdir()
    (folder / "report.html").write_text(render_report(report), encoding="ascii")
    result = plot(folder, out=tmp_path / "a")
    assert [path.name for path in result.files] == ["fvi.png", "dynamicity.png", "strides.png"]
    assert str(result).splitlines()[0] == f"wrote {tmp_path / 'a' / 'fvi.png'}"
    assert result.to_dict() == {"files": [str(path) for path in result.files]}
    again = plot(folder / "report.html", out=tmp_path / "b", format="svg")
    assert [path.suffix for path in again.files] == [".svg"] * 3


def test_plot_refuses_what_has_no_report(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"report\.html is not there; give a folder that evfr select wrote"):
        plot(tmp_path, out=tmp_path)
    (tmp_path / "report.html").write_text("hello")
    with pytest.raises(SelectionFileError, match="no report written by evfr select"):
        plot(tmp_path, out=tmp_path)


def test_strategies_are_those_of_the_shots(tmp_path: Path) -> None:
    """Method auto is no strategy: the bars say what the shots of each video got."""
    videos = tuple(
        video_report(name, n_frames=60, n=6, method=method, cuts=cuts, with_thumbnails=False)
        for name, method, cuts in (("a", "systematic", ()), ("b", "uniform", ()), ("c", "systematic", (30,)))
    )
    files = write_figures(selection_report(videos, method="auto"), tmp_path, "svg")
    text = files[1].read_text()
    for word in ("systematic", "uniform", "several, by shot"):
        assert f">{word}<" in text
    assert ">auto<" not in text

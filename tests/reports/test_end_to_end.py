"""A real selection's page: what it previews after edits is what `evfr select --from` then writes."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import evfr
from evfr.reports import read_report
from evfr.video import draw_clip
from helpers.browser import opened


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("clips")
    return [draw_clip(folder / f"clip {k}.mp4", seconds=1.0 + k, seed=k) for k in range(2)]


def edit(page: Any) -> list[list[int]]:
    """Lower the budget, pin a dropped frame, leave a selected one out; return the page's picks."""
    state = "evfrReport.state"
    page.evaluate(f"evfrReport.setBudget({state}.original - 3)")
    page.evaluate(f"{state}.show(1)")
    page.evaluate(f"{state}.togglePin({state}.videos[1].picks[2] + 1)")
    page.evaluate(f"{state}.toggleLeftOut({state}.videos[1].picks[5])")
    found: list[list[int]] = page.evaluate(f"{state}.videos.map((item) => Array.from(item.picks))")
    return found


@pytest.mark.parametrize("method", ["uniform", "systematic", "auto", "adaptive", "random"])
def test_page_previews_what_select_from_writes(
    browser: Any, tab: Any, clips: list[Path], tmp_path: Path, method: str
) -> None:
    options: dict[str, Any] = {"signal": "difference", "executor": "serial", "method": method, "seed": 5}
    evfr.select(clips, ratio=0.2, out=tmp_path / "first", **options)
    html = (tmp_path / "first" / "report.html").read_text(encoding="ascii")
    with opened(browser, tmp_path / "first" / "report.html", html, tab=tab) as view:
        assert view.page.evaluate("evfrReport.state.rule.isOpen")
        before = view.page.evaluate("evfrReport.state.videos.map((item) => Array.from(item.picks))")
        preview = edit(view.page)
        (tmp_path / "edited.json").write_text(view.page.evaluate("evfrReport.exportText()"))
        assert view.page.evaluate("evfrReport.state.error") == ""
        view.check_quiet()
    assert preview != before
    assert len(json.loads((tmp_path / "edited.json").read_text())["edits"]["pin"]) == 1
    evfr.select(from_=tmp_path / "edited.json", out=tmp_path / "second", executor="serial")
    after = read_report(tmp_path / "second" / "report.html")
    assert [video.selected.tolist() for video in after.videos] == preview


def test_page_opens_on_a_selection_with_gaps(
    browser: Any, clips: list[Path], tmp_path: Path, show: Callable[..., Any]
) -> None:
    evfr.select(clips, n=10, min_gap=3, out=tmp_path, signal="difference", executor="serial")
    report = read_report(tmp_path / "report.html")
    assert report.has_gap_constraints
    view = show(report)
    assert view.page.locator("#budget").is_disabled()
    view.check_quiet()

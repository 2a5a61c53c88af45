"""The page in a real browser: it draws, reacts, exports, asks for nothing, and runs nothing that is data."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from evfr._core.types import PTS_NONE, Problem
from evfr.errors import ProblemCode
from evfr.reports import Segment, SelectionReport
from helpers.browser import Opened
from helpers.report_data import (
    HOSTILE,
    failed_video,
    selection_report,
    stride_rows,
    video_report,
)

Show = Callable[..., Opened]
PICKS = "evfrReport.state.videos.map((item) => Array.from(item.picks))"


def picks(view: Opened) -> list[list[int]]:
    found: list[list[int]] = view.page.evaluate(PICKS)
    return found


def edits(view: Opened) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(view.page.evaluate("evfrReport.exportText()"))["edits"]
    return found


@pytest.fixture(scope="module")
def report() -> SelectionReport:
    base = selection_report()
    return replace(base, strides=stride_rows(base.videos))


def test_draws_everything_and_is_quiet(show: Show, report: SelectionReport) -> None:
    view = show(report)
    view.settle()
    page = view.page
    assert page.title() == report.title
    assert page.locator("h1").inner_text() == report.title
    facts = page.locator(".facts").inner_text()
    assert "2,800" in facts and "280" in facts and "10.0 %" in facts and "4\nvideos, 1 failed" in facts
    assert page.locator(".overview tbody tr").count() == 4
    assert page.locator("#detail-title").inner_text() == "drive/morning.mp4"
    assert page.locator(".strides tbody tr").count() == 7
    assert page.locator(".problems tbody tr").count() == 2
    assert report.command in page.locator(".command").inner_text()
    for canvas in (".chart canvas", ".spark", ".strip", ".viewer .main canvas", ".picks .pick canvas"):
        assert view.ink(canvas) > 500, canvas
    view.check_quiet()


def test_the_chart_marks_what_is_selected(show: Show) -> None:
    """Picks have their own colour: with none, no pixel of the chart has it."""
    script = """() => {
        const canvas = document.querySelector('.chart canvas');
        const data = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data;
        let seen = 0;
        for (let i = 0; i < data.length; i += 4) {
            seen += data[i] > 180 && data[i + 1] > 60 && data[i + 1] < 95 && data[i + 2] < 30 && data[i + 3] > 200;
        }
        return seen;
    }"""
    with_picks = show(selection_report((video_report(n=40),)))
    with_picks.settle()
    assert with_picks.page.evaluate(script) > 200
    without = show(selection_report((video_report(n=0),)))
    without.settle()
    assert without.page.evaluate(script) == 0


def test_slider_keeps_a_prefix_of_nested_orders(show: Show, report: SelectionReport) -> None:
    view = show(report)
    before = picks(view)
    assert before == [video.selected.tolist() for video in report.videos]
    slider = view.page.locator("#budget")
    slider.focus()
    for _ in range(3):
        slider.press("ArrowLeft")
    assert view.page.evaluate("evfrReport.state.n") == 277
    after = picks(view)
    assert sum(map(len, after)) == 277
    for video, kept in zip(report.videos[:3], after, strict=False):
        assert video.order is not None
        assert kept == sorted(video.order[: len(kept)].tolist())
    assert "277" in slider.get_attribute("aria-valuetext")
    assert view.page.locator(".edits").inner_text() == "budget 280 → 277"
    box = view.page.locator("#budget-number")
    box.fill("100")
    box.press("Enter")
    assert sum(map(len, picks(view))) == 100
    assert all(set(less) <= set(more) for less, more in zip(picks(view), before, strict=True))
    view.page.get_by_role("button", name="Undo edits").click()
    assert picks(view) == before
    view.check_quiet()


def test_pin_unpin_and_leave_out_by_keyboard(show: Show, report: SelectionReport) -> None:
    view = show(report)
    page = view.page
    page.locator("#chart").focus()
    page.keyboard.press("ArrowRight")
    first, second = report.videos[0].selected[:2].tolist()
    assert page.evaluate("evfrReport.state.frame") == second
    page.keyboard.press("Enter")
    assert edits(view)["pin"] == [["drive/morning.mp4", second]]
    assert "pinned" in page.locator("[role=status]").inner_text()
    page.keyboard.press("Enter")
    assert edits(view)["pin"] == []
    page.keyboard.press("Shift+ArrowLeft")
    assert page.evaluate("evfrReport.state.frame") == second - 1
    page.keyboard.press("Home")
    assert page.evaluate("evfrReport.state.frame") == first
    page.keyboard.press("x")
    assert edits(view)["exclude"] == [["drive/morning.mp4", first]]
    assert first not in picks(view)[0]
    assert sum(map(len, picks(view))) == 280
    page.keyboard.press("x")
    assert picks(view)[0] == report.videos[0].selected.tolist()
    view.check_quiet()


def test_arrows_walk_the_grid_and_enter_pins(show: Show, report: SelectionReport) -> None:
    view = show(report)
    page = view.page
    page.locator(".pick").first.focus()
    chosen = report.videos[0].selected.tolist()
    for key in ("ArrowRight", "ArrowRight", "ArrowDown", "ArrowUp"):
        page.keyboard.press(key)
    assert page.evaluate("Number(document.activeElement.dataset.frame)") == chosen[2]
    assert page.evaluate("evfrReport.state.frame") == chosen[2]
    page.keyboard.press("Enter")
    assert edits(view)["pin"] == [["drive/morning.mp4", chosen[2]]]
    assert page.evaluate("Number(document.activeElement.dataset.frame)") == chosen[2]
    assert page.locator(".pick.pinned").count() == 1
    assert page.locator(".pick[tabindex='0']").count() == 1
    view.check_quiet()


def test_tab_reaches_every_control_and_focus_shows(show: Show, report: SelectionReport) -> None:
    view = show(report)
    seen = []
    for _ in range(40):
        view.page.keyboard.press("Tab")
        seen.append(
            view.page.evaluate(
                "[document.activeElement.id || document.activeElement.className || document.activeElement.tagName,"
                " getComputedStyle(document.activeElement).outlineStyle]"
            )
        )
    names = [name for name, _ in seen]
    for wanted in ("budget", "budget-number", "export", "row-name", "toggle", "chart", "pin", "leave-out"):
        assert wanted in names, (wanted, names)
    assert any(name.startswith("pick") for name in names)
    assert all(style not in ("none", "") for name, style in seen if name != "BODY")


def test_click_on_the_chart_shows_the_pick_between_dropped_neighbours(
    show: Show, report: SelectionReport
) -> None:
    view = show(report)
    page = view.page
    chosen = report.videos[0].selected.tolist()
    wanted = next(
        b for a, b, c in zip(chosen, chosen[1:], chosen[2:], strict=False) if b - a > 12 and c - b > 12
    )
    left = page.evaluate(
        "(frame) => { const chart = uPlot.sync ? document.querySelector('.u-over') : null;"
        " const time = evfrReport.state.videos[0].video.time;"
        " return chart.getBoundingClientRect().width * time[frame] / time[time.length - 1]; }",
        wanted,
    )
    page.locator(".u-over").click(position={"x": left, "y": 60})
    assert page.evaluate("evfrReport.state.frame") == wanted
    shown = page.locator(".viewer figure").all_inner_texts()
    assert len(shown) == 3
    assert f"frame {wanted}" in shown[1] and "selected" in shown[1]
    assert "dropped" in shown[0] and "dropped" in shown[2]
    view.check_quiet()


def test_hover_shows_a_thumbnail(show: Show, report: SelectionReport) -> None:
    view = show(report)
    view.page.locator(".u-over").hover(position={"x": 300, "y": 80})
    tip = view.page.locator(".tip")
    tip.wait_for(state="visible")
    view.settle()
    assert "frame" in tip.inner_text() and "flow" in tip.inner_text()
    assert view.ink(".tip canvas") > 500
    view.check_quiet()


def test_rows_open_videos_also_by_keyboard(show: Show, report: SelectionReport) -> None:
    view = show(report)
    page = view.page
    page.get_by_role("button", name="drive/morning.mp4").focus()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    assert page.locator("#detail-title").inner_text() == "drive/night run.mp4"
    assert page.locator("tr.current").count() == 1
    page.locator(".overview tbody tr").nth(3).click(position={"x": 300, "y": 10})
    assert page.locator("#detail-title").inner_text() == "broken/half.mp4"
    assert "E_CONTAINER" in page.locator(".detail .empty").inner_text()
    view.check_quiet()


def test_export_is_the_manifest_with_edits(show: Show, report: SelectionReport, tmp_path: Path) -> None:
    view = show(report, accept_downloads=True)
    page = view.page
    page.evaluate("evfrReport.setBudget(200)")
    page.evaluate("evfrReport.state.togglePin(5)")
    with page.expect_download() as waiting:
        page.locator("#export").click()
    assert waiting.value.suggested_filename == "selection-edited.json"
    waiting.value.save_as(tmp_path / "edited.json")
    data = json.loads((tmp_path / "edited.json").read_text())
    assert data.pop("edits") == {"n": 200, "pin": [["drive/morning.mp4", 5]], "exclude": []}
    assert data == report.manifest
    assert "evfr select --from selection-edited.json" in page.locator("#budget-note").inner_text()
    assert view.thrown == [] and view.logged == []


def test_nothing_edited_exports_no_budget(show: Show, report: SelectionReport) -> None:
    assert edits(show(report)) == {"pin": [], "exclude": []}


def test_gap_constraints_close_the_slider_and_say_why(show: Show) -> None:
    view = show(selection_report(has_gap_constraints=True))
    assert view.page.locator("#budget").is_disabled()
    assert view.page.locator("#budget-number").is_disabled()
    assert "gaps between frames were bounded" in view.page.locator("#budget-note").inner_text()
    view.page.locator("#pin").click()
    frame = view.page.evaluate("evfrReport.state.frame")
    assert edits(view)["pin"] == [["drive/morning.mp4", frame]]
    view.check_quiet()


def test_unknown_method_without_an_order_closes_the_slider(show: Show) -> None:
    view = show(selection_report((video_report(order=None),), method="mine"))
    assert view.page.locator("#budget").is_disabled()
    assert "mine has no order" in view.page.locator("#budget-note").inner_text()


def test_what_the_command_fixed_stays(show: Show) -> None:
    video = video_report(damage=(100, 120), include=(7,), exclude=(9,), labeled=(11,))
    view = show(selection_report((video,)))
    texts = [
        view.page.evaluate("(frame) => evfrReport.state.toggleLeftOut(frame)", frame)
        for frame in (105, 7, 9, 11)
    ]
    for text, word in zip(texts, ("damaged", "asked for", "left out by", "labelled"), strict=True):
        assert word in text
    assert edits(view) == {"pin": [], "exclude": []}


def test_hostile_texts_run_nothing_and_show_as_text(show: Show) -> None:
    videos = tuple(
        video_report(
            f"{name} {place}",
            n_frames=80,
            n=8,
            seed=place,
            path=name,
            codec=name,
            method=name,
            method_reason=name,
            reasons=(name,) * 8,
            files=tuple(f"frames/{name}{k}.jpg" for k in range(8)),
            curves={name: np.full(80, 1 / 80)},
            dynamicity={name: 0.5},
            activity={name: 0.5},
            segments=(Segment(0, 80, name, name, 0.5, 8),),
            problems=(Problem(ProblemCode.W_CORRUPT, name, name, 3, 1),),
        )
        for place, name in enumerate(HOSTILE)
    )
    report = selection_report(
        videos,
        title=HOSTILE[1] + HOSTILE[0],
        command=HOSTILE[0],
        version=HOSTILE[1],
        signal=HOSTILE[2],
        method=HOSTILE[0],
        parameters={name: name for name in HOSTILE},
        manifest={name: name for name in HOSTILE},
        problems=(Problem(ProblemCode.E_CONTAINER, HOSTILE[1], HOSTILE[0]),),
    )
    report = replace(
        report,
        strides=tuple(
            replace(row, class_shares={HOSTILE[0]: 1.0}, lost=HOSTILE) for row in stride_rows(videos)
        ),
    )
    view = show(report)
    page = view.page
    for row in range(len(videos)):
        page.locator(".overview .row-name").nth(row).click()
        page.locator(".pick").first.hover()
        page.locator(".u-over").hover(position={"x": 100, "y": 50})
    view.settle()
    assert page.locator("img, svg, iframe, object, script:not([type])").count() == 1, (
        "only the page's own script"
    )
    assert page.locator("h1").inner_text() == HOSTILE[1] + HOSTILE[0]
    names = page.locator(".overview .row-name").all_inner_texts()
    assert names[0].startswith(HOSTILE[0]) and names[1].startswith(HOSTILE[1])
    assert "\\u202e" in names[4] and "\\u2028" in names[4], (
        "what hides or turns text is shown as a code point"
    )
    assert json.loads(page.evaluate("evfrReport.exportText()"))[HOSTILE[1]] == HOSTILE[1]
    view.check_quiet()


def test_the_policy_stops_a_foreign_script(show: Show) -> None:
    """The trap works: a script put into the page does not run, and the test would see it."""
    view = show(selection_report((video_report(n_frames=50, n=5),)))
    view.page.evaluate(
        "() => { const s = document.createElement('script'); try { s.textContent = 'window.hacked = 1'; } catch (e) {}"
        " document.body.append(s); }"
    )
    assert not view.page.evaluate("window.hacked")
    assert view.logged, "a refused script is logged"
    with pytest.raises(AssertionError):
        view.check_quiet()


@pytest.mark.parametrize(
    "report",
    [
        pytest.param(selection_report(()), id="no video"),
        pytest.param(selection_report((failed_video(),)), id="only a failed video"),
        pytest.param(selection_report((video_report(n_frames=1, n=1),)), id="one frame"),
        pytest.param(selection_report((video_report(n_frames=1, n=0),)), id="one frame not taken"),
        pytest.param(selection_report((video_report(n_frames=2, n=2),)), id="two frames"),
        pytest.param(selection_report((video_report(n=0, segments=()),)), id="nothing selected"),
        pytest.param(selection_report((video_report(with_thumbnails=False),)), id="no thumbnails"),
        pytest.param(
            selection_report((video_report(n_frames=90, n=9, curves={"flow": np.full(90, np.nan)}),)),
            id="all NaN",
        ),
        pytest.param(selection_report((video_report(n_frames=90, n=9, curves={}),)), id="no curve"),
        pytest.param(
            selection_report(
                (
                    video_report(
                        n_frames=90, n=9, curves={"flow": np.where(np.arange(90) % 3 == 0, np.nan, 0.01)}
                    ),
                )
            ),
            id="some NaN",
        ),
        pytest.param(
            selection_report((video_report(n_frames=90, n=9, time_seconds=np.zeros(90), is_static=True),)),
            id="all times equal",
        ),
        pytest.param(
            selection_report(
                (video_report(n_frames=90, n=9, time_seconds=np.roll(np.arange(90.0), 30), is_static=True),)
            ),
            id="times step back",
        ),
        pytest.param(
            selection_report((video_report(n_frames=90, n=9, pts=np.full(90, PTS_NONE)),)),
            id="no time stamps",
        ),
        pytest.param(selection_report((video_report(n_frames=90, n=9, width=0, height=0),)), id="no size"),
        pytest.param(
            selection_report((video_report(n_frames=90, n=9, dynamicity={"flow": np.nan}, activity={}),)),
            id="no dynamicity",
        ),
    ],
)
def test_odd_reports_render(show: Show, report: SelectionReport) -> None:
    view = show(report)
    view.settle()
    page = view.page
    assert page.locator("h1").count() == 1
    if page.locator("#chart").count() and page.locator("#pin").count():
        page.locator("#chart").focus()
        for key in ("ArrowRight", "End", "Enter", "Enter", "Shift+ArrowLeft", "x", "x", "0"):
            page.keyboard.press(key)
    page.evaluate("evfrReport.exportText()")
    view.settle()
    view.check_quiet()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 1280])
def test_fits_the_screen(show: Show, report: SelectionReport, scheme: str, width: int) -> None:
    view = show(report, viewport={"width": width, "height": 800}, color_scheme=scheme)
    view.settle()
    wide = view.page.evaluate("document.documentElement.scrollWidth")
    assert wide <= width, "the page scrolls sideways"
    paper, ink = view.page.evaluate(
        "[getComputedStyle(document.body).backgroundColor, getComputedStyle(document.body).color]"
    )
    is_dark = sum(int(part) for part in paper[4:-1].split(",")) < sum(
        int(part) for part in ink[4:-1].split(",")
    )
    assert is_dark == (scheme == "dark")
    view.check_quiet()


def test_prints_on_white_without_controls(show: Show, report: SelectionReport) -> None:
    view = show(report, color_scheme="dark")
    view.page.evaluate("window.dispatchEvent(new Event('beforeprint'))")
    view.page.emulate_media(media="print")
    assert view.page.locator("#export").is_hidden()
    assert view.page.locator(".chart").is_visible()
    colour = view.page.evaluate("getComputedStyle(document.body).color")
    assert colour == "rgb(27, 30, 35)"
    assert view.page.pdf(print_background=False)[:5] == b"%PDF-"
    view.check_quiet()


def test_many_picks_come_in_parts(show: Show) -> None:
    view = show(selection_report((video_report(n_frames=900, n=450),)))
    page = view.page
    assert page.locator(".pick").count() == 60
    page.get_by_role("button", name="Show 60 more").click()
    assert page.locator(".pick").count() == 120
    page.locator("#chart").focus()
    page.keyboard.press("End")
    assert page.locator(".pick").count() == 450
    view.check_quiet()

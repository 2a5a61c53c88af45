"""The page of carried labels: what it holds, how it looks in a browser, and that nothing in it runs or is fetched."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evfr._core.masks import Rle, iou
from evfr.errors import SelectionFileError
from evfr.propagation import CarryEnd
from evfr.reports import (
    CarryObject,
    CarryPicture,
    CarryReport,
    ReviewRow,
    picture_frames,
    read_report,
    render_carry_report,
    write_carry_report,
)
from evfr.reports._carry_page import GRID
from helpers.browser import Opened, opened
from helpers.carry_data import HEIGHT, WIDTH, carry_report, disc
from helpers.report_data import HOSTILE

Show = Callable[..., Opened]


def data(html: str) -> dict[str, Any]:
    (found,) = re.findall(r'<script type="application/json" id="evfr-carry">(.*?)</script>', html, re.DOTALL)
    read: dict[str, Any] = json.loads(found)
    return read


def unpack(packed: dict[str, str], dtype: str) -> np.ndarray:
    return np.frombuffer(base64.b64decode(packed["base64"]), dtype)


def test_the_page_holds_what_was_given(tmp_path: Path) -> None:
    report = carry_report()
    page = write_carry_report(tmp_path / "review" / "report.html", report)
    html = page.read_text(encoding="ascii")
    assert html == render_carry_report(report)
    held = data(html)
    trust = unpack(held["trust"], "u1").reshape(3, 120).T
    expected = np.where(np.isnan(report.trust), 255, np.round(np.nan_to_num(report.trust) * 254))
    assert np.array_equal(trust, expected)
    assert np.array_equal(unpack(held["state"], "u1").reshape(3, 120).T, report.state)
    assert np.array_equal(unpack(held["time_seconds"], "<f8"), report.time_seconds)
    assert held["counts"]["kept"] == report.count("kept") and held["counts"]["ask"] == report.count("ask") > 0
    assert held["expected"] == [0.87, 0.83, 0.9] and held["labelled"] == [0, 40, 80] and held["cuts"] == [60]
    assert held["ends"] == [[2, 20, "left", "lost"], [2, 29, "right", "lost"]]
    assert len(held["pictures"]) == len(report.pictures)
    with pytest.raises(SelectionFileError, match="is no report written by evfr select"):
        read_report(page)


@settings(max_examples=25, deadline=None)
@given(st.floats(0, WIDTH), st.floats(0, HEIGHT), st.floats(12, 60), st.booleans())
def test_outlines_are_the_mask_again(x: float, y: float, radius: float, has_hole: bool) -> None:
    """Filled with the even-odd rule, as the page does, they overlap the mask well; holes stay holes."""
    mask = disc(x, y, radius)
    if has_hole:
        mask = Rle.from_mask(mask.to_mask() & ~disc(x, y, radius / 2).to_mask())
    if mask.area < 300:
        return
    picture = CarryPicture(5, np.zeros((90, 160, 3), np.uint8), (CarryObject(1, mask),))
    held = data(render_carry_report(carry_report(10, 1, pictures=(picture,))))
    assert held["picture_size"] == [160 * GRID, 90 * GRID]
    ((_, ((_, polygons),)),) = held["pictures"]
    points = [np.array(flat, np.int32).reshape(-1, 2) for flat in polygons]
    filled = np.zeros((90 * GRID, 160 * GRID), np.uint8)
    cv2.fillPoly(filled, points, 1)
    assert iou(Rle.from_mask(filled), mask) > 0.86
    assert sum(len(flat) for flat in polygons) < 400


def test_small_masks_and_boxes_are_shown() -> None:
    dot = np.zeros((HEIGHT, WIDTH), bool)
    dot[100, 200] = True
    picture = CarryPicture(
        0,
        np.zeros((18, 32, 3), np.uint8),
        (CarryObject(1, Rle.from_mask(dot)), CarryObject(2, None, (32.0, 18.0, 64.0, 90.0)), CarryObject(3)),
    )
    ((_, objects),) = data(render_carry_report(carry_report(pictures=(picture,))))["pictures"]
    found = dict(objects)
    assert found[0] == [[200 * 64 // 320, 100 * 36 // 180]]
    assert found[1] == [[6, 4, 13, 4, 13, 18, 6, 18]]
    assert found[2] == []
    assert [place for place, _ in objects] == [1, 0, 2], "large ones first: the page draws them behind"


def test_the_page_stays_small() -> None:
    """30 tracks on 30 pictures of a video of ten minutes."""
    assert len(render_carry_report(carry_report(15_000, 30))) < 3_000_000


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"trust": np.zeros((120, 2))}, r"trust must be \(120, 3\) float64, got \(120, 2\)"),
        ({"trust": np.full((120, 3), 1.5)}, r"trust must lie in \[0, 1\], or be NaN"),
        ({"state": np.full((120, 3), 7, np.int8)}, r"state must hold places in .*, got \[7\]"),
        ({"track_names": ("one",)}, "track_names must have one name per track, got 1 for 3"),
        ({"track_ids": np.array([3, 2, 1])}, "track_ids must increase strictly"),
        ({"labelled": np.array([120])}, r"labelled must be frame indices in \[0, 120\)"),
        ({"review": (ReviewRow(-1),)}, r"review must be frame indices in \[0, 120\)"),
        ({"cuts": np.array([500])}, r"cuts must be frame indices in \[0, 120\)"),
        (
            {"pictures": (CarryPicture(200, np.zeros((9, 16, 3), np.uint8)),)},
            "pictures must be frame indices",
        ),
        (
            {"pictures": tuple(CarryPicture(n, np.zeros((9 + n, 16, 3), np.uint8)) for n in range(2))},
            "the picture of frame 1 is 16x10, the first 16x9; resize every picture to one size",
        ),
        (
            {"pictures": (CarryPicture(0, np.zeros((9, 16, 3), np.uint8), (CarryObject(9),)),)},
            "frame 0 shows track 9, which is not in track_ids",
        ),
        (
            {
                "pictures": (
                    CarryPicture(0, np.zeros((9, 16, 3), np.uint8), (CarryObject(1, Rle.empty(9, 16)),)),
                )
            },
            "the mask of track 1 on frame 0 is 16x9, the video 320x180",
        ),
    ],
)
def test_values_that_do_not_fit_are_refused(changes: dict[str, Any], text: str) -> None:
    with pytest.raises(ValueError, match=text):
        carry_report(**changes)


def test_parts_that_do_not_fit_are_refused() -> None:
    with pytest.raises(
        ValueError, match=r"the picture of frame 3 must be \(h, w, 3\) uint8, got \(9, 16\) uint8"
    ):
        CarryPicture(3, np.zeros((9, 16), np.uint8))
    with pytest.raises(ValueError, match="box_xyxy of track 4 must be finite"):
        CarryObject(4, None, (0.0, 0.0, float("nan"), 1.0))
    with pytest.raises(
        ValueError, match="state must be one of absent, labelled, kept, ask, dropped, got 'lost'"
    ):
        carry_report().count("lost")
    with pytest.raises(ValueError, match="n must be 0 or more, got -1"):
        picture_frames(np.zeros(0, np.int64), 10, n=-1)


@settings(max_examples=60, deadline=None)
@given(st.sets(st.integers(0, 299), max_size=60), st.integers(0, 300), st.integers(0, 80))
def test_frames_to_picture(labelled: set[int], n_frames: int, n: int) -> None:
    there = np.array(sorted(frame for frame in labelled if frame < n_frames), np.int64)
    found = picture_frames(there, n_frames, n=n)
    assert len(found) <= n and (np.diff(found) > 0).all()
    assert not len(found) or 0 <= found[0] <= found[-1] < n_frames
    assert len(found) or n == 0 or n_frames == 0
    if 4 * len(there) + 4 <= n:
        assert np.isin(there, found).all()


@pytest.fixture
def show_carry(browser: Any, tab: Any, tmp_path: Path) -> Iterator[Show]:
    with ExitStack() as stack:

        def open_report(report: CarryReport, **context: Any) -> Opened:
            path, html = tmp_path / "report.html", render_carry_report(report)
            return stack.enter_context(opened(browser, path, html, tab=None if context else tab, **context))

        yield open_report


def test_a_browser_draws_it_and_reacts(show_carry: Show) -> None:
    report = carry_report()
    view = show_carry(report)
    view.settle()
    page = view.page
    assert page.title() == "evfr: carried labels of drive/morning.mp4"
    facts = page.locator(".facts").inner_text()
    for text in (
        "120\nframes",
        "3\nlabelled",
        "3\nobjects",
        "0.87\nexpected IoU, 0.83 to 0.90",
        "1\nproblem",
    ):
        assert text in facts
    assert f"{report.count('kept')}\ncarried and kept" in facts and f"{report.count('ask')}\nto ask" in facts
    assert page.locator("canvas.lane").count() == 3
    assert "packets failed" in page.locator(".problems").last.inner_text()
    for canvas in ("canvas.lane", ".viewer .main canvas", ".picks .pick canvas"):
        assert view.ink(canvas) > 500, canvas
    first = report.review[0].frame_index
    assert page.evaluate("evfrCarry.frame()") == first
    assert f"frame {first}" in page.locator(".viewer .main figcaption").inner_text()

    lane = page.locator("canvas.lane").first
    box = lane.bounding_box()
    page.mouse.move(box["x"] + box["width"] * 0.25, box["y"] + 10)
    assert "frame 30" in page.locator(".tip").inner_text()
    page.mouse.click(box["x"] + box["width"] * 40.5 / 120, box["y"] + 10)
    assert page.evaluate("evfrCarry.frame()") == 40
    assert "labelled by people" in page.locator(".viewer .main figcaption").inner_text()
    page.locator("#lanes").focus()
    page.keyboard.press("Shift+ArrowRight")
    assert page.evaluate("evfrCarry.frame()") == 41
    page.keyboard.press("Home")
    assert page.evaluate("evfrCarry.frame()") == 0
    page.keyboard.press("n")
    assert page.evaluate("evfrCarry.frame()") == min(row.frame_index for row in report.review)
    page.locator(".picks .pick").nth(1).click()
    assert page.evaluate("evfrCarry.frame()") == report.review[1].frame_index
    assert "least trust" in page.locator("[role=status]").inner_text()
    view.settle()
    view.check_quiet()


def test_outlines_are_drawn_over_the_pictures(show_carry: Show) -> None:
    """The colour of track 1 is in the picture of a labelled frame only if the page has its outline."""
    script = """() => {
        const [r, g, b] = evfrCarry.report.tracks[0].colour.match(/\\d+/g).map(Number);
        const canvas = document.querySelector('.viewer .main canvas');
        const data = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data;
        let seen = 0;
        for (let i = 0; i < data.length; i += 4) {
            seen += Math.abs(data[i] - r) + Math.abs(data[i + 1] - g) + Math.abs(data[i + 2] - b) < 40;
        }
        return seen;
    }"""
    report = carry_report()
    with_masks = show_carry(report)
    with_masks.page.evaluate("evfrCarry.go(40)")
    with_masks.settle()
    assert with_masks.page.evaluate(script) > 150
    bare = tuple(replace(picture, objects=()) for picture in report.pictures)
    without = show_carry(replace(report, pictures=bare))
    without.page.evaluate("evfrCarry.go(40)")
    without.settle()
    assert without.page.evaluate(script) < 20


def test_names_are_text_and_nothing_runs(show_carry: Show) -> None:
    joined = " ".join(HOSTILE)
    report = carry_report(
        n_tracks=len(HOSTILE),
        video_id=joined,
        command=joined,
        method=joined,
        track_names=HOSTILE,
        review=tuple(ReviewRow(number, 0.1, text) for number, text in enumerate(HOSTILE)),
        ends=tuple(CarryEnd(1, 5, "left", f"failed: {text}") for text in HOSTILE),
        notes=HOSTILE,
        parameters={text: text for text in HOSTILE},
    )
    view = show_carry(report)
    view.settle()
    assert "<img src=x onerror=window.hacked=1>" in view.page.locator("h1").inner_text()
    assert view.page.locator("img, svg").count() == 0
    view.check_quiet()


@pytest.mark.parametrize(
    "report",
    [
        carry_report(0, 0, pictures=(), problems=()),
        carry_report(1, 1),
        carry_report(50, 0, review=(), problems=(), notes=()),
        carry_report(200, 40, review=(), pictures=()),
        carry_report(90, min_trust=None, expected_iou=float("nan"), labelled=np.zeros(0, np.int64)),
        carry_report(90, time_seconds=np.zeros(90)),
    ],
    ids=["no frame", "one frame", "no track", "many tracks", "nothing known", "no times"],
)
def test_odd_reports_open(show_carry: Show, report: CarryReport) -> None:
    view = show_carry(report)
    view.settle()
    assert view.page.locator("#trust-title").inner_text() == "Trust over time"
    if len(report.track_ids) > 24:
        assert view.page.locator("canvas.lane").count() == 24
        view.page.get_by_role("button", name="Show 16 more of 16 tracks").click()
        assert view.page.locator("canvas.lane").count() == 40
    view.check_quiet()

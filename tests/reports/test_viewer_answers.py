"""The viewer's page with answers made for it: hostile names, failures, ten thousand videos, masks of all shapes."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from evfr._core.masks import Rle
from evfr.reports import track_colour
from evfr.reports._encode import encode_report, encode_video
from helpers.report_data import HOSTILE, selection_report, video_report
from helpers.view_page import Looked, answer_with, looked, middle, near
from helpers.view_server import Viewer

pytest.importorskip("starlette")
pytest.importorskip("uvicorn")

FRAME = "evfrViewer.player.frame()"


def hostile_routes(page: Any) -> None:
    names = [name + " \x1b[31mred" for name in HOSTILE]
    videos = tuple(
        video_report(
            name,
            n_frames=80,
            n=8,
            path=name,
            codec=name,
            method=name,
            method_reason=name,
            reasons=(name,) * 8,
            curves={name: np.full(80, 1 / 80)},
            dynamicity={name: 0.5},
            activity={name: 0.5},
            with_thumbnails=False,
        )
        for name in names
    )
    report = selection_report(videos, title=names[0], command=names[1], signal=names[2], method=names[3])
    state = {
        "report": encode_report(report),
        "can_edit": True,
        "features": {"labels": True, "map": False, "review": True},
        "methods": {
            name: [{"option": name, "type": "TEXT", "default": name, "help": name}] for name in names
        },
        "saved": names,
        "notes": names,
        "token": "x",
    }
    answer_with(page, "**/api/state", state)
    rows = [
        {
            "place": place,
            "video_id": video.video_id,
            "status": "ok",
            "n_frames": 80,
            "n_selected": 8,
            "duration": 3.2,
            "dynamicity": {names[0]: 0.5},
            "problem": names[1],
        }
        for place, video in enumerate(videos)
    ]
    answer_with(page, "**/api/videos?*", rows)
    for place, video in enumerate(videos):
        answer_with(page, f"**/api/video/{place}", encode_video(video))
    answer_with(page, "**/api/frame/**", {"error": names[1]}, 500)
    answer_with(page, "**/api/neighbours/**", {"error": names[0]}, 404)
    answer_with(
        page,
        "**/api/labels/**",
        [
            {
                "frame_index": 0,
                "objects": [
                    {
                        "track_id": 1,
                        "category": names[0],
                        "box_xyxy": [1, 2, 30, 40],
                        "rle": None,
                        "score": None,
                        "trust": 0.4,
                        "source": names[0],
                    }
                ],
            }
        ],
    )
    answer_with(
        page, "**/api/review", [{"place": 0, "frame_index": 3, "trust": 0.2, "reason": names[0], "rank": 0}]
    )


def test_hostile_texts_run_nothing_and_show_as_text(view_tab: Any, viewer: Viewer) -> None:
    with looked(view_tab, viewer.address, prepare=hostile_routes) as view:
        view.settle()
        page = view.page
        assert page.locator("h1").inner_text() == HOSTILE[0] + " \\u001b[31mred"
        names = page.locator(".overview .row-name").all_inner_texts()
        assert names[1] == HOSTILE[1] + " \\u001b[31mred" and "\\u202e" in names[4]
        for row in (1, 4):
            page.locator(".overview .row-name").nth(row).click()
            view.settle()
        assert HOSTILE[1] in page.locator("#alerts").inner_text()
        assert page.locator("img, svg, iframe, object").count() == 0
        scripts = page.evaluate(
            "Array.from(document.scripts, (s) => s.type || new URL(s.src).pathname.split('/')[1])"
        )
        assert set(scripts) == {"application/json", "assets"}
        assert (
            view.thrown == [] and page.evaluate("window.broken") == [] and not page.evaluate("window.hacked")
        )


def test_every_failing_request_is_one_sentence(view_tab: Any, viewer: Viewer) -> None:
    def routes(page: Any) -> None:
        page.route("**/api/state", lambda route: route.abort())
        answer_with(page, "**/api/frame/**", {"error": "frame 3 cannot be decoded"}, 422)
        answer_with(page, "**/api/select", {"error": "boom"}, 500)
        answer_with(page, "**/api/neighbours/**", {"error": "there are no embeddings"}, 404)
        page.route(
            "**/api/labels/**", lambda route: route.fulfill(body="no json", content_type="application/json")
        )

    with looked(view_tab, viewer.address, prepare=routes) as view:
        page = view.page
        view.until("document.querySelector('[role=alert]') !== null")
        assert "is evfr view still running?" in page.locator("#app").inner_text()
        page.unroute("**/api/state")
        page.get_by_role("button", name="Try again").click()
        view.settle()
        alerts = page.locator("#alerts .alert").all_inner_texts()
        assert any("frame 3 cannot be decoded" in text for text in alerts)
        assert any("cannot be read" in text for text in alerts)
        assert page.locator("#player-status").inner_text() == "this frame cannot be shown"
        assert "there are no embeddings" in page.locator("section:has(#near-title)").inner_text()
        page.locator("#recompute").click()
        view.until("document.getElementById('form-note').classList.contains('warn')")
        assert page.locator("#form-note").inner_text() == "boom"
        assert page.locator("#recompute").inner_text() == "Recompute"
        page.get_by_role("button", name="Dismiss").first.click()
        assert page.locator("#alerts .alert").count() == len(alerts) - 1
        assert view.thrown == []


@pytest.mark.slow
def test_pages_through_ten_thousand_videos(view_tab: Any, viewer: Viewer) -> None:
    count = 10_000
    asked: list[str] = []

    def routes(page: Any) -> None:
        def state(route: Any) -> None:
            data = viewer.json("/api/state")
            data["report"]["n_videos"] = count
            route.fulfill(json=data)

        def videos(route: Any) -> None:
            words = dict(pair.split("=") for pair in route.request.url.partition("?")[2].split("&"))
            asked.append(words["offset"])
            first, size = int(words["offset"]), int(words["limit"])
            route.fulfill(
                json=[
                    {
                        "place": place,
                        "video_id": f"cam{place % 7}/{place:05d}.mp4",
                        "status": "ok",
                        "n_frames": 60,
                        "n_selected": 6,
                        "duration": 2.4,
                        "dynamicity": {"difference": 0.9},
                    }
                    for place in range(first, min(count, first + size))
                ]
            )

        page.route("**/api/state", state)
        page.route("**/api/videos?*", videos)

    with looked(view_tab, viewer.address, prepare=routes) as view:
        view.settle()
        page = view.page
        assert len(asked) == 1
        assert page.locator(".overview tbody tr").count() == 60
        page.evaluate("document.getElementById('video-list').scrollTop = 1e6")
        view.until("document.querySelectorAll('.overview tbody tr').length > 60")
        assert page.locator("#scope").input_value() == "here"
        page.locator("#search").fill("CAM3/09999")
        page.locator("#search").fill("09998")
        view.until("document.querySelectorAll('.overview tbody tr').length === 1")
        assert page.locator(".overview .row-name").inner_text() == "cam2/09998.mp4"
        assert len(asked) == len(set(asked))
        view.until("document.querySelector('.list-head .muted').textContent.includes('1 video of 10,000')")
        assert view.thrown == [] and view.logged == []


@pytest.mark.slow
@pytest.mark.parametrize(
    ("codec", "why"),
    [
        ("prores", "browsers do not play prores"),
        pytest.param("h264", "the browser cannot play this file", marks=pytest.mark.slow),
    ],
)
def test_plays_exact_frames_where_the_browser_plays_no_video(
    view_tab: Any, viewer: Viewer, codec: str, why: str
) -> None:
    def routes(page: Any) -> None:
        data = viewer.json("/api/video/0")
        data["codec"] = codec
        answer_with(page, "**/api/video/0", data)
        answer_with(page, "**/api/media/0", {"error": "browsers do not play this"}, 415)

    with looked(view_tab, viewer.address, prepare=routes) as view:
        view.settle()
        page = view.page
        view.until("!evfrViewer.player.isMedia()")
        page.evaluate("evfrViewer.state.show(0, 10)")
        view.settle()
        page.locator("#play").click()
        view.until(f"{FRAME} > 13")
        assert page.locator("#player-status").inner_text() == "exact frames: " + why
        page.locator("#play").click()
        view.settle()
        frame = page.evaluate(FRAME)
        assert near(view.colour("#picture", *middle(frame)), (200, 200, 200), 12)
        assert view.thrown == [] and len(view.logged) == (codec == "h264"), view.logged


def filled(polygons: list[list[float]], height: int, width: int) -> Any:
    """Return which pixel centres lie inside outlines by the even-odd rule: an oracle, by crossings to the left."""
    inside = np.zeros((height, width), int)
    y, x = np.mgrid[0:height, 0:width] + 0.5
    for points in polygons:
        corners = np.array(points).reshape(-1, 2)
        for (x0, y0), (x1, y1) in zip(corners, np.roll(corners, -1, axis=0), strict=True):
            if x0 == x1:
                inside += (x > x0) & (y > min(y0, y1)) & (y < max(y0, y1))
    return inside % 2 == 1


@pytest.mark.slow
def test_masks_and_colours_are_those_of_the_program(look: Callable[..., Looked]) -> None:
    """Outlines that the page traces from COCO's text enclose exactly the mask, its holes and touching corners too."""
    view = look()
    rng = np.random.default_rng(4)
    masks = [
        rng.random((rng.integers(1, 24), rng.integers(1, 24))) < share
        for share in (0.1, 0.5, 0.9, 1.0)
        for _ in range(4)
    ]
    masks.append(np.zeros((5, 6), bool))
    coco = [Rle.from_mask(mask).to_coco() for mask in masks]
    found = view.page.evaluate(
        "(all) => all.map((rle) => evfrViewLabels.outlines(rle))", json.loads(json.dumps(coco))
    )
    for mask, polygons in zip(masks, found, strict=True):
        np.testing.assert_array_equal(filled(polygons, *mask.shape), mask)
    colours = view.page.evaluate("Array.from({length: 40}, (_, i) => evfrOutline.trackColour(i))")
    assert colours == ["rgb({}, {}, {})".format(*track_colour(number)) for number in range(40)]

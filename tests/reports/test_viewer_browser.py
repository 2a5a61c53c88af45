"""The viewer in a real browser, on the real server: it shows, plays, selects, saves, and runs nothing that is data."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import evfr
from evfr.reports import track_colour
from helpers.view_page import (
    LOW_AFTER,
    READ,
    SIZE,
    SQUARE,
    Looked,
    Scene,
    corner,
    looked,
    middle,
    near,
    new_tab,
)
from helpers.view_server import Viewer, running_viewer

pytest.importorskip("starlette")
pytest.importorskip("uvicorn")

SURE, LOW = (86, 180, 233), (255, 48, 48)
FRAME = "evfrViewer.player.frame()"


def saved_picks(scene: Scene) -> list[list[int]]:
    rows = evfr.Selection.load(scene.picks).table.to_pylist()
    names = [clip.name for clip in scene.clips]
    return [[row["frame_index"] for row in rows if row["video_id"] == name] for name in names]


def test_shows_the_selection_and_is_quiet(look: Callable[..., Looked], scene: Scene) -> None:
    view = look()
    page = view.page
    picks = saved_picks(scene)
    assert view.open_picks() == picks
    facts = page.locator(".facts").inner_text()
    assert "120\nframes in" in facts and "12\nframes chosen" in facts
    assert page.locator(".overview tbody tr").count() == 2
    assert page.locator("#detail-title").inner_text() == "square.mp4"
    assert page.evaluate("evfrViewer.state.frame") == picks[0][0]
    assert page.locator("#player-status").inner_text() == "exact frame"
    assert page.locator(".picks .pick").count() >= len(picks[0])
    page.locator(".pick").nth(2).click()
    view.settle()
    assert page.evaluate(FRAME) == picks[0][2]
    assert f"frame {picks[0][2]}" in page.locator(".player figcaption").inner_text()
    assert page.locator("#lanes .lane").count() == 1
    page.locator(".overview .row-name").nth(1).click()
    view.settle()
    assert page.locator("#detail-title").inner_text() == "other.mp4"
    assert view.colour("#overlay", 0.5, 0.5)[3] == 0
    view.check_quiet()


@pytest.mark.slow
def test_a_still_frame_is_exact_and_its_labels_have_the_colour_of_their_trust(
    look: Callable[..., Looked],
) -> None:
    view = look()
    page = view.page
    page.locator("#player").focus()
    for frame, wanted in ((0, None), (7, SURE), (LOW_AFTER + 5, LOW)):
        page.evaluate("(frame) => evfrViewer.state.show(0, frame)", frame)
        view.settle()
        assert page.evaluate(FRAME) == frame
        assert near(view.colour("#picture", *middle(frame)), (200, 200, 200), 12)
        found = view.colour("#overlay", *middle(frame))
        if wanted is None:
            assert found[3] == 0, "what people drew is an outline only"
        else:
            assert found[3] > 60 and near(found, wanted), frame
        x, y = corner(frame)
        for inside in (2, SQUARE - 2):
            assert (view.colour("#overlay", (x + inside) / SIZE[0], (y + 20) / SIZE[1])[3] > 60) == bool(
                wanted
            )
        assert view.colour("#overlay", (x - 12) / SIZE[0], (y + SQUARE + 12) / SIZE[1])[3] == 0
        assert near(view.colour("#picture", (x + SQUARE + 3) / SIZE[0], (y + 20) / SIZE[1]), (45, 45, 45), 40)
    page.locator("#colour-by").select_option("track")
    assert near(view.colour("#overlay", *middle(LOW_AFTER + 5)), track_colour(1))
    page.locator("#show-labels").uncheck()
    assert view.colour("#overlay", *middle(LOW_AFTER + 5))[3] == 0
    view.check_quiet()


LATE = pytest.param(1, id="late and uneven times", marks=pytest.mark.slow)


@pytest.mark.parametrize("place", [pytest.param(0, id="even times"), LATE])
def test_plays_with_the_labels_on_it_and_stops_on_the_exact_frame(
    look: Callable[..., Looked], place: int
) -> None:
    view = look()
    page = view.page
    page.evaluate("(place) => evfrViewer.state.show(place, 5)", place)
    view.settle()
    assert page.evaluate("evfrViewer.player.isMedia()")
    page.locator("#player").focus()
    page.keyboard.press("Space")
    assert page.locator("#play").inner_text().endswith("Pause")
    script = f"""() => {{ {READ}
        const frame = evfrViewer.player.frame();
        const at = (id, x, y) => read(document.getElementById(id), x / {SIZE[0]}, y / {SIZE[1]});
        const [x, y, half] = [20 + 4 * frame, 60, {SQUARE / 2}];
        return [frame, [at('overlay', x + 2, y + half), at('overlay', x + {SQUARE - 2}, y + half)],
                at('picture', x + 2, y + half), at('picture', x - 2, y + half)];
    }}"""
    seen = {}
    view.until(f"{FRAME} > 6")
    for _ in range(40):
        frame, over, inside, outside = page.evaluate(script)
        if frame >= LOW_AFTER - 1:
            break
        seen[frame] = (over, inside, outside)
        page.wait_for_timeout(25)
    assert len(seen) >= 3, seen
    for frame, (over, inside, outside) in seen.items():
        for edge in over:
            assert (near(edge, SURE) and edge[3] > 60) if place == 0 else edge[3] == 0, frame
        assert inside[0] > 150 and outside[0] < 110, f"the picture is not frame {frame}: {inside} {outside}"
    page.keyboard.press("Space")
    view.settle()
    frame = page.evaluate(FRAME)
    assert frame > 6 and page.evaluate("evfrViewer.state.frame") == frame
    assert page.locator("#player-status").inner_text() == "exact frame"
    assert near(view.colour("#picture", *middle(frame)), (200, 200, 200), 12)
    page.evaluate("evfrViewer.state.show(evfrViewer.state.place, 30)")
    for key in ("ArrowRight", "ArrowRight", "ArrowLeft"):
        page.keyboard.press(key)
    view.settle()
    assert page.evaluate(FRAME) == 31
    assert near(view.colour("#picture", *middle(31)), (200, 200, 200), 12)
    view.check_quiet()


def test_selects_anew_as_the_server_does_and_goes_back(
    look: Callable[..., Looked], viewer: Viewer, scene: Scene
) -> None:
    view = look()
    page = view.page
    before = saved_picks(scene)
    page.locator("#at-once").uncheck()
    page.locator("#player").focus()
    page.evaluate("evfrViewer.state.show(0, 5)")
    page.keyboard.press("Enter")
    assert "pinned" in page.locator("#live").inner_text()
    out = before[0][-1]
    page.evaluate("(frame) => evfrViewer.state.show(0, frame)", out)
    page.keyboard.press("x")
    assert page.locator(".edits").inner_text() == "1 pinned · 1 left out · not computed yet"
    assert view.open_picks() == before
    page.locator("#budget-number").fill("9")
    page.locator("#method").select_option("systematic")
    assert page.locator(".options .option label").all_inner_texts() == ["mixing", "power", "start"]
    page.locator("#option-mixing").fill("0.8")
    page.locator("#recompute").click()
    view.until("evfrViewer.state.computed !== null && !evfrViewer.state.isBusy")
    view.settle()
    words = {
        "n": 9,
        "method": "systematic",
        "options": {"mixing": 0.8},
        "include": [[0, 5]],
        "exclude": [[0, out]],
        "seed": 0,
    }
    status, answer = viewer.post("/api/select", words)
    assert status == 200, answer
    wanted = [entry["selected"] for entry in sorted(answer["videos"], key=lambda entry: entry["place"])]
    found = view.open_picks()
    assert found == wanted and sum(map(len, found)) == 9
    assert 5 in found[0] and out not in found[0]
    came = sum(len(set(new) - set(old)) for new, old in zip(found, before, strict=True))
    went = sum(len(set(old) - set(new)) for new, old in zip(found, before, strict=True))
    assert f"{came} came, {went} went" in page.locator("#form-note").inner_text()
    assert f"+ {came} − {went}" in page.locator("#changes").inner_text()
    assert "9\nframes chosen" in page.locator(".facts").inner_text()
    assert "--method systematic" in page.locator(".command code").inner_text()
    page.locator("#undo").click()
    assert view.open_picks() == before
    assert page.locator("#changes").is_hidden() and page.locator("#method").input_value() == "auto"
    view.check_quiet()


@pytest.mark.slow
def test_computes_at_once_and_says_why_it_cannot(look: Callable[..., Looked]) -> None:
    view = look()
    page = view.page
    page.locator("#budget-number").fill("8")
    view.until("evfrViewer.state.computed !== null")
    view.settle()
    assert sum(map(len, view.open_picks())) == 8
    page.locator("#budget-number").fill("100000")
    view.until("document.getElementById('form-note').classList.contains('warn')")
    assert "100000" in page.locator("#form-note").inner_text().replace(",", "")
    assert page.locator("#recompute").is_enabled() and sum(map(len, view.open_picks())) == 8
    assert view.thrown == []


def test_saves_what_evfr_select_reads_and_keeps_it(
    look: Callable[..., Looked], scene: Scene, tmp_path: Path
) -> None:
    view = look()
    page = view.page
    assert page.locator("#save").is_disabled()
    page.locator("#budget-number").fill("7")
    page.locator("#recompute").click()
    view.until("evfrViewer.state.computed !== null && !evfrViewer.state.isBusy")
    found = view.open_picks()
    page.locator("#save-name").fill("../out")
    page.locator("#save").click()
    assert "A name has 1 to 64" in page.locator("#save-note").inner_text()
    page.locator("#save-name").fill("seven")
    page.locator("#save").click()
    view.until("document.getElementById('save-note').textContent.startsWith('Saved.')")
    folder = scene.picks / "seven"
    table = evfr.Selection.load(folder).table.to_pylist()
    kept = [[row["frame_index"] for row in table if row["video_id"] == clip.name] for clip in scene.clips]
    assert kept == found
    again = evfr.select(
        from_=folder / "selection.json",
        out=tmp_path / "again",
        store=scene.store,
        no_frames=True,
        no_report=True,
        executor="serial",
    )
    assert again.table.to_pylist() == table
    view.check_quiet()
    page.locator("#save").click()
    view.until("document.getElementById('save-note').classList.contains('warn')")
    assert "seven" in page.locator("#save-note").inner_text()
    page.reload()
    view.settle()
    assert "seven" in page.locator("#saved-list").inner_text()
    assert view.open_picks() == saved_picks(scene)


def test_without_edit_there_is_nothing_to_save_with(view_tab: Any, scene: Scene) -> None:
    with running_viewer(scene.picks, store=scene.store) as viewer, looked(view_tab, viewer.address) as view:
        view.settle()
        page = view.page
        assert page.locator("#save-form").is_hidden()
        assert "--edit" in page.locator("#read-only").inner_text()
        assert page.locator("#lanes").count() == 0 and page.locator("#show-labels").count() == 0
        view.check_quiet()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [700, 1280])
@pytest.mark.slow
def test_fits_the_screen(browser: Any, look: Callable[..., Looked], scheme: str, width: int) -> None:
    tab = new_tab(browser, viewport={"width": width, "height": 800}, color_scheme=scheme)
    view = look(tab)
    assert view.page.evaluate("document.documentElement.scrollWidth") <= width
    view.check_quiet()


@pytest.mark.slow
def test_tab_reaches_every_control_and_every_control_has_a_name(look: Callable[..., Looked]) -> None:
    view = look()
    seen = []
    for _ in range(60):
        view.page.keyboard.press("Tab")
        seen.append(
            view.page.evaluate("""(() => {
            const node = document.activeElement;
            const label = node.labels && node.labels.length ? node.labels[0].textContent : "";
            const said = node.getAttribute('aria-label') || label || node.textContent;
            return [node.id || node.className || node.tagName, getComputedStyle(node).outlineStyle,
                    said || node.getAttribute('aria-labelledby')];
        })()""")
        )
    names = [name for name, _, _ in seen]
    wanted = (
        "budget-number",
        "unit",
        "method",
        "seed",
        "recompute",
        "save-name",
        "search",
        "chart",
        "player",
        "play",
        "seek",
        "pin",
        "leave-out",
    )
    for name in wanted:
        assert name in names, (name, names)
    for name, outline, label in seen:
        assert name == "BODY" or (outline not in ("none", "") and label), (name, outline, label)
    view.check_quiet()

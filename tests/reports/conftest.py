"""One Chromium for all report tests, and a page that most of them look at."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from evfr.reports import SelectionReport, render_report
from helpers.browser import Chromium, Opened, chromium_path, opened
from helpers.view_page import Looked, Scene, looked, make_scene, new_tab

PAGE_LIMIT_SECONDS = 180.0


@pytest.fixture(scope="session")
def chromium() -> Iterator[Chromium]:
    path = chromium_path()
    if path is None:
        pytest.skip("no Chromium found: install Debian's chromium or set EVFR_CHROMIUM")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        chromium = Chromium(playwright, path)
        yield chromium
        with chromium.watched(60.0):
            chromium.close()


@pytest.fixture
def browser(chromium: Chromium) -> Iterator[Any]:
    with chromium.watched(PAGE_LIMIT_SECONDS):
        yield chromium.browser()


@pytest.fixture
def tab(browser: Any, chromium: Chromium) -> Any:
    """Return a tab for all pages that need no window of their own."""
    return chromium.tab()


@pytest.fixture
def show(browser: Any, tab: Any, tmp_path: Path) -> Iterator[Callable[..., Opened]]:
    """Render a report and open it: where the window is asked to be special in one of its own, else in the tab.

    The tab shows one page at a time.
    """
    with ExitStack() as stack:

        def open_report(report: SelectionReport, **context: Any) -> Opened:
            path, html = tmp_path / "report.html", render_report(report)
            return stack.enter_context(opened(browser, path, html, tab=None if context else tab, **context))

        yield open_report


@pytest.fixture(scope="session")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Scene:
    return make_scene(tmp_path_factory.mktemp("view"))


@pytest.fixture(scope="session")
def viewer(scene: Scene) -> Iterator[Any]:
    pytest.importorskip("starlette")
    pytest.importorskip("uvicorn")
    from helpers.view_server import running_viewer

    with running_viewer(scene.picks, labels=scene.labels, store=scene.store, edit=True) as viewer:
        yield viewer


@pytest.fixture
def view_tab(browser: Any, chromium: Chromium) -> Any:
    """Return one tab for all pages of the viewer that need no window of their own."""
    tab = getattr(chromium, "view_tab", None)
    if tab is None or tab.is_closed():
        tab = chromium.view_tab = new_tab(browser)
    return tab


@pytest.fixture
def look(view_tab: Any, viewer: Any) -> Iterator[Callable[..., Looked]]:
    """Open the viewer's page and wait until it is there."""
    with ExitStack() as stack:

        def opener(tab: Any = None) -> Looked:
            view = stack.enter_context(looked(tab or view_tab, viewer.address))
            view.settle()
            return view

        yield opener

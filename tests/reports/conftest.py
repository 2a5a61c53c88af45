"""One Chromium for all report tests, and a page that most of them look at."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from evfr.reports import SelectionReport, render_report
from helpers.browser import ARGUMENTS, WINDOW, Opened, chromium_path, opened


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    path = chromium_path()
    if path is None:
        pytest.skip("no Chromium found: install Debian's chromium or set EVFR_CHROMIUM")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=path, args=list(ARGUMENTS))
        yield chromium
        chromium.close()


@pytest.fixture(scope="session")
def tab(browser: Any) -> Iterator[Any]:
    """Return a tab for all pages that need no window of their own."""
    session = browser.new_context(**WINDOW)
    yield session.new_page()
    session.close()


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

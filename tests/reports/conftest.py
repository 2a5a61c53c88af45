"""One Chromium for all report tests, and a page that most of them look at."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from evfr.reports import SelectionReport, render_report
from helpers.browser import ARGUMENTS, Opened, chromium_path, opened


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


@pytest.fixture
def show(browser: Any, tmp_path: Path) -> Iterator[Callable[..., Opened]]:
    """Render a report and open it; every page is closed at the end of the test."""
    with ExitStack() as stack:

        def open_report(report: SelectionReport, **context: Any) -> Opened:
            page = tmp_path / "report.html"
            return stack.enter_context(opened(browser, page, render_report(report), **context))

        yield open_report

"""A page that never answers costs its own test and no other."""

from __future__ import annotations

import time

import pytest

from helpers.browser import Chromium


@pytest.mark.slow
def test_a_page_that_spins_is_killed_and_the_next_one_opens(chromium: Chromium) -> None:
    from playwright.sync_api import Error

    began = time.monotonic()
    page = chromium.browser().new_page()
    with chromium.watched(3.0), pytest.raises(Error):
        page.evaluate("while (true) {}")
    assert time.monotonic() - began < 60
    deadline = time.monotonic() + 20
    while chromium.browser() is page.context.browser and time.monotonic() < deadline:
        time.sleep(0.1)
    assert chromium.tab().evaluate("1 + 1") == 2

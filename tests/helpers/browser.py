"""Open a page in a real headless Chromium and keep what it logs and asks for."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ARGUMENTS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
)
WINDOW = {"viewport": {"width": 1280, "height": 900}}


def chromium_path() -> str | None:
    """Return the browser's path: EVFR_CHROMIUM, or chromium or google-chrome on the PATH."""
    names = (os.environ.get("EVFR_CHROMIUM"), "chromium", "chromium-browser", "google-chrome")
    return next((found for name in names if name and (found := shutil.which(name))), None)


@dataclass
class Opened:
    """A page, and everything that it logged, threw and asked the network for."""

    page: Any
    path: Path
    logged: list[str] = field(default_factory=list)
    thrown: list[str] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)

    def check_quiet(self) -> None:
        """Assert that the page logged nothing, threw nothing and asked for nothing but itself."""
        assert self.thrown == []
        assert self.logged == []
        assert set(self.asked) == {self.path.as_uri()}
        assert not self.page.evaluate("window.hacked")

    def settle(self) -> None:
        """Wait until every thumbnail asked for is decoded and drawn."""
        frame = "() => new Promise((done) => requestAnimationFrame(() => setTimeout(done, 20)))"
        for _ in range(500):
            self.page.evaluate(frame)
            if self.page.evaluate("evfrData.isIdle()"):
                break
        else:
            raise AssertionError("thumbnails are still being decoded")
        self.page.evaluate(frame)

    def ink(self, selector: str) -> int:
        """Return how many pixels of a canvas are not fully transparent."""
        script = """(selector) => {
            const canvas = document.querySelector(selector);
            const data = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data;
            let ink = 0;
            for (let i = 3; i < data.length; i += 4) ink += data[i] > 0;
            return ink;
        }"""
        return int(self.page.evaluate(script, selector))


@contextmanager
def opened(browser: Any, path: Path, html: str, *, tab: Any = None, **context: Any) -> Iterator[Opened]:
    """Write a page and open it from disk: in ``tab``, or in a new window of its own, closed afterwards.

    A new window starts a process of the browser's, which costs more than the page; a loaded page has a new state
    in any case, so only what is said of the window (its size, its colours, downloads) needs one.
    """
    path.write_text(html, encoding="ascii")
    session = browser.new_context(**{**WINDOW, **context}) if tab is None else None
    page = tab if session is None else session.new_page()
    view = Opened(page, path)
    listeners = {
        "console": lambda message: view.logged.append(f"{message.type}: {message.text}"),
        "pageerror": lambda error: view.thrown.append(str(error)),
        "request": lambda request: _note(view, request.url),
        "dialog": lambda dialog: (view.thrown.append("dialog"), dialog.dismiss()),
    }
    try:
        page.mouse.move(0, 0)
        for event, listener in listeners.items():
            page.on(event, listener)
        page.goto(path.as_uri())
        yield view
    finally:
        for event, listener in listeners.items():
            page.remove_listener(event, listener)
        if session is not None:
            session.close()


def _note(view: Opened, url: str) -> None:
    if not url.startswith("data:image/jpeg;base64,"):
        view.asked.append(url)

"""Open a page in a real headless Chromium and keep what it logs and asks for."""

from __future__ import annotations

import os
import shutil
import signal
import threading
import uuid
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


class Chromium:
    """One browser for many tests, that no page can hold up: past ``limit_seconds`` it is killed, and started anew.

    Playwright waits for ever for a script in a page; a renderer that spins would take the whole run with it.
    """

    def __init__(self, playwright: Any, path: str) -> None:
        self._playwright, self._path = playwright, path
        self._mark = f"--evfr-tests={uuid.uuid4().hex}"
        self._browser: Any = None
        self._tab: Any = None

    def browser(self) -> Any:
        """Return the browser, started if there is none that answers."""
        if self._browser is None or not self._browser.is_connected():
            arguments = [*ARGUMENTS, self._mark]
            self._browser = self._playwright.chromium.launch(executable_path=self._path, args=arguments)
            self._tab = None
        return self._browser

    def tab(self) -> Any:
        """Return a tab for all pages that need no window of their own."""
        browser = self.browser()
        if self._tab is None or self._tab.is_closed():
            self._tab = browser.new_context(**WINDOW).new_page()
        return self._tab

    @contextmanager
    def watched(self, limit_seconds: float) -> Iterator[None]:
        """Kill the browser if what is done here takes longer; whatever waits for it then fails at once."""
        timer = threading.Timer(limit_seconds, self._kill)
        timer.daemon = True
        timer.start()
        try:
            yield
        finally:
            timer.cancel()

    def close(self) -> None:
        if self._browser is not None and self._browser.is_connected():
            self._browser.close()

    def _kill(self) -> None:
        for process in Path("/proc").glob("[0-9]*"):
            try:
                words = (process / "cmdline").read_bytes().decode(errors="replace").split("\0")
            except OSError:  # it has ended meanwhile
                continue
            if self._mark in words:
                os.kill(int(process.name), signal.SIGKILL)


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

"""A drawn scene for the viewer's page: two clips, a selection of them, and labels carried between two of people's."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np
from numpy.typing import NDArray

import evfr
from evfr.annotations import ObjectRow, Rle, write
from helpers.browser import WINDOW
from helpers.clips import write_clip
from helpers.labels import annotations_of

SIZE = (320, 180)
COUNT = 60
SQUARE = 40
READ = """const read = (canvas, x, y) => {
    const copy = document.createElement('canvas');
    copy.width = copy.height = 1;
    const pen = copy.getContext('2d');
    pen.drawImage(canvas, -Math.round(x * canvas.width), -Math.round(y * canvas.height));
    return Array.from(pen.getImageData(0, 0, 1, 1).data);
};"""
"""A function of a script: one pixel of a canvas, through a copy so that the canvas stays where it is drawn fast."""
LOW_AFTER = 40
"""From this frame on the carried square is doubted."""


def corner(frame: int) -> tuple[int, int]:
    """Return where the square's left upper corner is."""
    return 20 + 4 * frame, 60


def late_times(count: int = COUNT) -> list[int]:
    """Return milliseconds that begin at 2 s, with steps of 20, 40 and 80."""
    steps = np.random.default_rng(2).choice([20, 40, 80], count)
    return [int(at) for at in 2000 + np.cumsum(steps)]


def pictures(count: int = COUNT, *, seed: int = 0) -> list[NDArray[np.uint8]]:
    """Draw a bright square that moves right over a fixed dark texture, faster changes of light in the middle."""
    rng = np.random.default_rng(seed)
    texture = rng.integers(30, 60, (SIZE[1], SIZE[0], 3), dtype=np.uint8)
    found = []
    for frame in range(count):
        picture = texture.copy()
        if count // 3 <= frame < 2 * count // 3:
            picture = np.roll(picture, 5 * frame, axis=1)
        x, y = corner(frame)
        picture[y : y + SQUARE, x : x + SQUARE] = (200, 200, 200)
        found.append(picture)
    return found


def labels_of(video_id: str, count: int = COUNT) -> Any:
    """Return the square's true masks as if people drew the first and the last frame and the rest were carried."""
    rows = []
    for frame in range(count):
        mask = np.zeros((SIZE[1], SIZE[0]), bool)
        x, y = corner(frame)
        mask[y : y + SQUARE, x : x + SQUARE] = True
        is_human = frame in (0, count - 1)
        rows.append(
            ObjectRow(
                video_id=video_id,
                frame_index=frame,
                track_id=1,
                category_id=1,
                box_xyxy=Rle.from_mask(mask).box_xyxy,
                mask=Rle.from_mask(mask),
                source="human" if is_human else "carried",
                trust=float("nan") if is_human else 1.0 if frame < LOW_AFTER else 0.2,
            )
        )
    pts = np.arange(count, dtype=np.int64) * 512
    return annotations_of(
        *rows, size=SIZE, video_id=video_id, pts=pts, time_base=Fraction(1, 12800), frame_count=count
    )


@dataclass(frozen=True)
class Scene:
    """What was made: where the clips, the selection, the store and the labels are."""

    folder: Path
    clips: tuple[Path, ...]
    picks: Path
    store: Path
    labels: Path


def make_scene(folder: Path, names: tuple[str, str] = ("square.mp4", "other.mp4"), *, n: int = 12) -> Scene:
    """Draw the clips, select from them, and write the labels of the first."""
    folder.mkdir(parents=True, exist_ok=True)
    options = {"crf": "14"}
    clips = (
        write_clip(folder / names[0], pictures(), options=options),
        # This one starts late and has uneven times: what plays must still be told by its own frames.
        write_clip(
            folder / names[1],
            pictures(seed=1),
            options=options,
            pts=late_times(),
            time_base=Fraction(1, 1000),
        ),
    )
    picks, store = folder / "picks", folder / "store"
    selection = evfr.select(
        list(clips),
        n=n,
        signal="difference",
        out=picks,
        store=store,
        no_frames=True,
        no_report=True,
        executor="serial",
    )
    first = selection.manifest["inputs"][0]["video_id"]
    labels = write(labels_of(first), folder / "labels.parquet", format="evfr")
    return Scene(folder, clips, picks, store, labels)


@dataclass
class Looked:
    """A page of the viewer, and everything that it logged, threw, broke or asked for."""

    page: Any
    origin: str
    logged: list[str] = field(default_factory=list)
    thrown: list[str] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)

    def check_quiet(self) -> None:
        """Assert that nothing was logged or thrown, the policy was kept, and no other host was asked."""
        assert self.thrown == []
        assert self.logged == []
        assert self.page.evaluate("window.broken") == []
        assert {urlsplit(url).netloc for url in self.asked} == {urlsplit(self.origin).netloc}
        assert not self.page.evaluate("window.hacked")

    def until(self, script: str, seconds: float = 20.0) -> Any:
        """Wait until a script says something true (the policy forbids what Playwright's own waiting does)."""
        deadline = time.monotonic() + seconds
        while not (found := self.page.evaluate(script)):
            assert time.monotonic() < deadline, (
                f"still false after {seconds} s: {script}; {self.thrown} {self.logged}"
            )
            self.page.wait_for_timeout(15)
        return found

    def settle(self) -> None:
        """Wait until the page is there and nothing is asked for any more."""
        self.until("evfrViewer.isReady && evfrApi.isIdle()")
        self.page.wait_for_timeout(230)
        self.until("evfrApi.isIdle()")
        self.page.evaluate("() => new Promise((done) => requestAnimationFrame(() => setTimeout(done, 20)))")

    def open_picks(self) -> list[list[int]]:
        """Return the selected frames that the page shows, by video."""
        found: list[list[int]] = self.page.evaluate(
            "evfrViewer.state.videos.map((item) => Array.from(item.picks))"
        )
        return found

    def colour(self, selector: str, x: float, y: float) -> list[int]:
        """Return the RGBA of a canvas at a place given as shares of its width and height."""
        script = f"([selector, x, y]) => {{ {READ} return read(document.querySelector(selector), x, y); }}"
        found: list[int] = self.page.evaluate(script, [selector, x, y])
        return found


WATCH = (
    "window.broken = []; document.addEventListener('securitypolicyviolation',"
    " (event) => window.broken.push(event.violatedDirective + ' ' + event.blockedURI));"
)


def new_tab(browser: Any, **context: Any) -> Any:
    """Return a page in a window of its own, which notes what the policy refuses."""
    page = browser.new_context(**{**WINDOW, **context}).new_page()
    page.add_init_script(WATCH)
    return page


@contextmanager
def looked(tab: Any, address: str, *, prepare: Any = None) -> Iterator[Looked]:
    """Open the viewer's address in a tab; ``prepare`` may put routes before it, which end with the block."""
    parts = urlsplit(address)
    view = Looked(tab, f"{parts.scheme}://{parts.netloc}")
    listeners = {
        "console": lambda message: view.logged.append(f"{message.type}: {message.text}"),
        "pageerror": lambda error: view.thrown.append(str(error)),
        "request": lambda request: _note(view, request.url),
        "dialog": lambda dialog: (view.thrown.append("dialog"), dialog.dismiss()),
    }
    for event, listener in listeners.items():
        tab.on(event, listener)
    if prepare is not None:
        prepare(tab)
    try:
        tab.goto(address)
        yield view
    finally:
        for event, listener in listeners.items():
            tab.remove_listener(event, listener)
        tab.unroute_all(behavior="ignoreErrors")
        tab.goto("about:blank")


def _note(view: Looked, url: str) -> None:
    if not url.startswith(("data:", "blob:")):
        view.asked.append(url)


def answer_with(page: Any, target: str, data: Any, status: int = 200) -> None:
    """Let an address answer what is said here instead of what the server says."""
    text = json.dumps(data)
    page.route(target, lambda route: route.fulfill(status=status, body=text, content_type="application/json"))


def near(colour: list[int], wanted: tuple[int, ...], reach: int = 3) -> bool:
    """Return whether two colours are the same as far as rounding and codecs leave them."""
    return all(abs(a - b) <= reach for a, b in zip(colour, wanted, strict=False))


def middle(frame: int) -> tuple[float, float]:
    """Return the middle of the square, as shares of the picture."""
    x, y = corner(frame)
    return (x + SQUARE / 2) / SIZE[0], (y + SQUARE / 2) / SIZE[1]

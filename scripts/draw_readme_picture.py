"""Draw docs/images/report.png: the head of a real report, on the demo clip, in headless Chromium."""

from __future__ import annotations

import io
import os
import shutil
import tempfile
from pathlib import Path

from PIL import Image
from playwright.sync_api import sync_playwright

import evfr
from evfr.video import draw_clip

TARGET = Path(__file__).resolve().parents[1] / "docs" / "images" / "report.png"


def main() -> None:
    """Select from the demo clip, open the page, and keep the first screen as a PNG of few colours."""
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        evfr.select(draw_clip("demo.mp4"), out=Path("out"), store=Path("store"))
        with sync_playwright() as play:
            browser = play.chromium.launch(
                executable_path=shutil.which("chromium"),
                args=["--no-sandbox", "--disable-gpu", "--disable-background-networking"],
            )
            page = browser.new_page(viewport={"width": 1280, "height": 1000})
            page.goto(Path("out/report.html").absolute().as_uri())
            page.wait_for_timeout(1000)
            data = page.screenshot()
            browser.close()
    TARGET.parent.mkdir(exist_ok=True)
    Image.open(io.BytesIO(data)).convert("RGB").quantize(224, dither=Image.Dither.NONE).save(
        TARGET, optimize=True
    )
    print(f"{TARGET.name}: {TARGET.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main()

"""Make docs/images/report.png, the README's picture of a real report, with a headless Chromium.

Run it when the page changes:  python scripts/picture_of_report.py ../shared/data/video/people_one_by_one.mp4
Needs the test extra (playwright) and Debian's chromium.
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from pathlib import Path

from playwright.sync_api import sync_playwright

import evfr

TARGET = Path(__file__).resolve().parents[1] / "docs" / "images" / "report.png"
SIZE = {"width": 1180, "height": 895}


def main() -> None:
    """Select from the video given, open the page, take the picture."""
    video = Path(sys.argv[1]).resolve()
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        os.chdir(
            video.parent
        )  # The page shows the command; a path of this machine has no place in a picture.
        evfr.select(video.name, n=40, out=Path(folder))
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        page = browser.new_page(viewport=SIZE)  # type: ignore[arg-type]
        page.goto((Path(folder) / "report.html").as_uri())
        page.wait_for_timeout(1500)
        TARGET.parent.mkdir(parents=True, exist_ok=True)
        page.screenshot(path=TARGET)
        browser.close()
    print(f"wrote {TARGET.name}: {TARGET.stat().st_size / 1e3:.0f} kB")


if __name__ == "__main__":
    main()

"""Draw docs/images/viewer.png: `evfr view` of the demo clip with carried labels, in headless Chromium."""

from __future__ import annotations

import io
import os
import secrets
import shutil
import tempfile
import threading
from pathlib import Path

import cv2
import numpy as np
from PIL import Image
from playwright.sync_api import sync_playwright

import evfr
from evfr.annotations import AnnotatedVideo, Category, ObjectRow, Rle, VideoAnnotations
from evfr.verbs._view_serve import listen, make_server
from evfr.verbs.view import create_app
from evfr.video import draw_clip, open_video

TARGET = Path(__file__).resolve().parents[1] / "docs" / "images" / "viewer.png"
BOATS = {
    180: {1: (108, 130, 112, 146), 2: (252, 145, 50, 65), 3: (508, 136, 64, 82)},
    299: {1: (305, 112, 118, 168), 3: (418, 130, 66, 88)},
}
"""Where the boats are on two frames: left, top, width and height by track."""
SHOWN = 236


def outline(image: np.ndarray, box: tuple[int, int, int, int]) -> Rle:
    """Return what stands out in a box, as a person would draw it (GrabCut, Rother et al. 2004)."""
    cv2.setRNGSeed(0)
    mask = np.zeros(image.shape[:2], np.uint8)
    models = np.zeros((1, 65)), np.zeros((1, 65))
    cv2.grabCut(np.ascontiguousarray(image[:, :, ::-1]), mask, box, *models, 6, cv2.GC_INIT_WITH_RECT)
    solid = cv2.morphologyEx(mask % 2, cv2.MORPH_CLOSE, np.ones((5, 5), np.uint8))
    return Rle.from_mask(solid == 1)


def label(clip: Path) -> VideoAnnotations:
    """Return the boats of two frames as labels."""
    with open_video(clip) as reader:
        images = {number: frame.rgb() for number, frame in enumerate(reader) if number in BOATS}
    rows = []
    for number, boats in BOATS.items():
        for track, box in boats.items():
            mask = outline(images[number], box)
            rows.append(
                ObjectRow(clip.name, number, track_id=track, category_id=1, box_xyxy=mask.box_xyxy, mask=mask)
            )
    height, width = images[180].shape[:2]
    video = AnnotatedVideo(
        video_id=clip.name, width=width, height=height, frame_index=np.array(sorted(BOATS))
    )
    return VideoAnnotations.build([video], [Category(1, "boat")], rows)


def main() -> None:
    """Select, label, carry, serve, and keep one screen as a PNG of few colours."""
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        clip = draw_clip("demo.mp4")
        evfr.select(clip, out=Path("picks"), store=Path("store"), no_frames=True, no_report=True)
        evfr.embed(clip, model="thumbnail", out=Path("store"))
        evfr.propagate(clip, labels=label(clip), out=Path("all.parquet"), store=Path("store"))
        token = secrets.token_urlsafe(32)
        with listen(0) as listener:
            port = listener.getsockname()[1]
            app = create_app("picks", token=token, port=port, labels=Path("all.parquet"), store=Path("store"))
            server = make_server(app)
            thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
            thread.start()
            data = photograph(f"http://127.0.0.1:{port}/?token={token}")
            server.should_exit = True
            thread.join(10)
    TARGET.parent.mkdir(exist_ok=True)
    Image.open(io.BytesIO(data)).convert("RGB").quantize(256, dither=Image.Dither.NONE).save(
        TARGET, optimize=True
    )
    print(f"{TARGET.name}: {TARGET.stat().st_size / 1000:.0f} kB")


def photograph(address: str) -> bytes:
    """Return the timeline and the player with the labels on it, as PNG."""
    with sync_playwright() as play:
        browser = play.chromium.launch(
            executable_path=shutil.which("chromium"),
            args=["--no-sandbox", "--disable-gpu", "--disable-background-networking"],
        )
        page = browser.new_page(viewport={"width": 1180, "height": 1080})
        page.goto(address)
        wait(page)
        page.evaluate("(frame) => evfrViewer.state.show(0, frame)", SHOWN)
        page.evaluate("document.querySelector('main > .detail').scrollIntoView()")
        page.evaluate("window.scrollBy(0, 70)")
        wait(page)
        data = page.screenshot()
        browser.close()
    return data


def wait(page: object) -> None:
    """Wait until the page asks for nothing more."""
    for _ in range(600):
        page.wait_for_timeout(300)
        if page.evaluate("evfrViewer.isReady && evfrApi.isIdle()"):
            return
    raise RuntimeError("the page is still loading after three minutes")


if __name__ == "__main__":
    main()

"""Draw docs/images/tutorial-*.png: the frames that the tutorial chooses, and masks that it carries.

Reads ``seq/chair.mp4`` and its masks from EVFR_DATA (by default ``../shared/data``).
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

import evfr
from evfr.annotations import read
from evfr.video import extract_frames, scan

ROOT = Path(__file__).resolve().parents[1]
TARGET = ROOT / "docs" / "images"
CLIP = Path(os.environ.get("EVFR_DATA", ROOT.parent / "shared" / "data")) / "seq" / "chair.mp4"
TRUTH = CLIP.with_name("chair_masks.zip")
SHOWN = (11, 27, 43)
WIDTH, GAP, CURVE = 240, 4, 70
ZOOM = 2
CROP = (20, 440, 300)  # top, left and side of what is shown of the enlarged picture
CARRIED, TRUE = (240, 60, 50), (60, 220, 90)


def small(image: np.ndarray) -> np.ndarray:
    """Scale a picture to the width of a tile."""
    height = round(image.shape[0] * WIDTH / image.shape[1])
    return cv2.resize(image, (WIDTH, height), interpolation=cv2.INTER_AREA)


def row(tiles: list[np.ndarray], below: int = 0) -> np.ndarray:
    """Lay tiles side by side on white, with room below."""
    height, width = tiles[0].shape[:2]
    canvas = np.full((height + 2 * GAP + below, len(tiles) * (width + GAP) + GAP, 3), 255, np.uint8)
    for place, tile in enumerate(tiles):
        left = GAP + place * (width + GAP)
        canvas[GAP : GAP + height, left : left + width] = tile
    return canvas


def pictures(indices: list[int]) -> list[np.ndarray]:
    """Return exact frames of the clip."""
    table, _, _ = scan(CLIP)
    return [frame.image for frame in extract_frames(CLIP, indices, table)]


def draw_chosen(chosen: evfr.Selection, fvi: np.ndarray) -> np.ndarray:
    """Draw the chosen frames over the frame variance index, each joined to its place on the curve."""
    canvas = row([small(image) for image in pictures(chosen.indices.tolist())], CURVE)
    across = np.linspace(GAP, canvas.shape[1] - GAP - 1, len(fvi))
    down = canvas.shape[0] - GAP - 1 - fvi / fvi.max() * (CURVE - 22)
    line = np.round(np.stack([across, down], axis=1) * 16).astype(np.int32)
    cv2.polylines(canvas, [line], False, (30, 80, 200), 2, cv2.LINE_AA, shift=4)
    for place, index in enumerate(chosen.indices.tolist()):
        at = round(across[index]), round(down[index])
        tile = GAP + place * (WIDTH + GAP) + WIDTH // 2, canvas.shape[0] - GAP - CURVE + 2
        cv2.line(canvas, tile, at, (190, 190, 190), 1, cv2.LINE_AA)
        cv2.circle(canvas, at, 3, (220, 60, 40), -1, cv2.LINE_AA)
    return canvas


def draw_carried(labels: Path) -> np.ndarray:
    """Draw frames between labels with the carried outline in red over the true one in green."""
    carried, truth = read(labels), read(TRUTH, format="davis")
    tiles = []
    for index, image in zip(SHOWN, pictures(list(SHOWN)), strict=True):
        top, left, size = CROP
        drawn = cv2.resize(image, None, fx=ZOOM, fy=ZOOM, interpolation=cv2.INTER_LINEAR)
        for source, colour in ((truth, TRUE), (carried, CARRIED)):
            mask = source.masks_at(source.videos[0].video_id, index).any(axis=0).astype(np.uint8)
            mask = cv2.resize(mask, None, fx=ZOOM, fy=ZOOM, interpolation=cv2.INTER_NEAREST)
            outline, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
            cv2.drawContours(drawn, outline, -1, colour, 2)
        tiles.append(np.ascontiguousarray(drawn[top : top + size, left : left + size]))
    return row(tiles)


def save(name: str, canvas: np.ndarray) -> None:
    """Write a picture of few colours."""
    path = TARGET / name
    Image.fromarray(canvas).quantize(256, dither=Image.Dither.NONE).save(path, optimize=True)
    print(f"{name}: {path.stat().st_size / 1000:.0f} kB")


def main() -> None:
    """Do what the tutorial does, and draw it."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "all.parquet"
        chosen = evfr.select(CLIP, n=4)
        fvi = evfr.score(CLIP, signals=["flow"]).videos[0].fvi["flow"]
        save("tutorial-chosen.png", draw_chosen(chosen, np.asarray(fvi)))
        frames = chosen.indices.tolist()
        evfr.propagate(CLIP, labels=TRUTH, label_format="davis", label_frames=frames, out=out)
        save("tutorial-carried.png", draw_carried(out))


if __name__ == "__main__":
    main()

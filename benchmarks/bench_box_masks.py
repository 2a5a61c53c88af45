"""Masks for boxes: GrabCut against the filled box and an inscribed ellipse, given the true boxes of DAVIS and chair.

Truth: the mask of the clip (DAVIS 2016 style: all foreground objects as one); the box is its tight box, as a perfect
detector would give it. Every 8th frame (chair: every 6th). `box_masks` runs with its defaults. One iteration and
padding of a quarter were chosen on the nine DAVIS clips; chair was not looked at. The ellipse is what a user could
draw without any cut.
"""

from __future__ import annotations

import io
import time
import zipfile
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

import _measure
from evfr._core.masks import Rle, iou
from evfr.models import box_masks
from evfr.video import frames

STEP = 8


def davis(path: Path) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield pictures and masks of a clip of DAVIS."""
    with zipfile.ZipFile(path) as archive:
        names = sorted(n for n in archive.namelist() if n.startswith("images/") and n.endswith(".jpg"))
        for name in names[::STEP]:
            mask = name.replace("images", "masks").replace(".jpg", ".png")
            yield (
                np.asarray(Image.open(io.BytesIO(archive.read(name))).convert("RGB")),
                np.asarray(Image.open(io.BytesIO(archive.read(mask))).convert("L")) > 127,
            )


def chair(folder: Path) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield pictures and masks of chair.mp4."""
    with zipfile.ZipFile(folder / "chair_masks.zip") as archive:
        names = sorted(n for n in archive.namelist() if n.endswith(".png"))
        for number, frame in islice(enumerate(frames(folder / "chair.mp4")), 0, None, 6):
            yield frame.image, np.asarray(Image.open(io.BytesIO(archive.read(names[number])))) > 0


def ellipse(shape: tuple[int, int], box: tuple[float, float, float, float]) -> Rle:
    """Return the ellipse that touches the sides of a box."""
    y, x = np.mgrid[: shape[0], : shape[1]]
    middle = ((box[0] + box[2] - 1) / 2, (box[1] + box[3] - 1) / 2)
    across, down = (box[2] - box[0]) / 2, (box[3] - box[1]) / 2
    return Rle.from_mask(((x - middle[0]) / across) ** 2 + ((y - middle[1]) / down) ** 2 <= 1)


def measure(clip: Iterator[tuple[np.ndarray, np.ndarray]]) -> tuple[np.ndarray, int]:
    """Return a row (IoU of cut, box, ellipse, ms of the cut, ms of the box) per picture, and how many fell back."""
    rows, fallen = [], 0
    for image, dense in clip:
        truth = Rle.from_mask(dense)
        if truth.is_empty:
            continue
        box = truth.box_xyxy
        begin = time.process_time()
        cut = box_masks(image, [box])
        middle = time.process_time()
        plain = box_masks(image, [box], kind="box")
        end = time.process_time()
        fallen += cut.is_box[0]
        drawn = ellipse(dense.shape, box)
        times = (1e3 * (middle - begin), 1e3 * (end - middle))
        rows.append((iou(cut[0], truth), iou(plain[0], truth), iou(drawn, truth), *times))
    return np.array(rows), fallen


def main() -> None:
    folder = _measure.data_folder() / "seq"
    _measure.print_header(
        "Masks for true boxes: mean IoU with the true mask, CPU ms a box (mean)",
        "nine clips of DAVIS 480p and chair.mp4, true boxes",
    )
    box_masks(np.zeros((20, 20, 3), np.uint8), [[5, 5, 9, 9]])
    cv2.setNumThreads(1)
    head = ("boxes", "grabcut", "box", "ellipse", "fell back", "ms cut", "ms box")
    print(f"{'clip':24}" + "".join(f"{word:>10}" for word in head))
    every = []
    clips = {path.stem: davis(path) for path in sorted(folder.glob("davis_*.zip"))} | {"chair": chair(folder)}
    for name, clip in clips.items():
        rows, fallen = measure(clip)
        every.append(rows)
        cut, plain, drawn, slow, fast = rows.mean(axis=0)
        print(
            f"{name:24}{len(rows):10}{cut:10.3f}{plain:10.3f}{drawn:10.3f}{fallen:10}{slow:10.1f}{fast:10.1f}"
        )
    total = np.concatenate(every)
    cut, plain, drawn, slow, fast = total.mean(axis=0)
    print(
        f"{'all boxes':24}{len(total):10}{cut:10.3f}{plain:10.3f}{drawn:10.3f}{'':10}{slow:10.1f}{fast:10.1f}"
    )
    means = np.array([rows[:, :2].mean(axis=0) for rows in every])
    print(
        f"\nGrabCut is better on {(means[:, 0] > means[:, 1]).sum()} of {len(means)} clips;"
        f" IoU {cut:.3f} against {plain:.3f} of the box: {cut / plain:.2f} times"
    )


if __name__ == "__main__":
    main()

"""Draw docs/images/augmentation-*.png: what each augmentation does to drawn pictures and their labels."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from evfr._core.labelled import IGNORE_ID
from evfr.augmentation import JITTER_RANGES, copy_paste, noised, scale_jitter, temporal_std
from evfr.datasets import SceneOptions, moving_objects

TARGET = Path(__file__).resolve().parents[1] / "docs" / "images"
ZOOM = 2
GAP, CAPTION = 6, 18
Tile = tuple[np.ndarray, np.ndarray | None, str]


def outlined(image: np.ndarray, ids: np.ndarray | None) -> np.ndarray:
    """Enlarge a picture, and draw the edges of its objects in white and what is ignored in red."""
    large = image.repeat(ZOOM, axis=0).repeat(ZOOM, axis=1)
    if ids is None:
        return large
    numbers = ids.repeat(ZOOM, axis=0).repeat(ZOOM, axis=1)
    padded = np.pad(numbers, 1)
    around = [padded[1:-1, :-2], padded[1:-1, 2:], padded[:-2, 1:-1], padded[2:, 1:-1]]
    is_edge = (numbers > 0) & np.any([other != numbers for other in around], axis=0)
    large[numbers == IGNORE_ID] = (220, 30, 30)
    large[is_edge & (numbers != IGNORE_ID)] = 255
    return large


def sheet(name: str, rows: Sequence[Sequence[Tile]], colours: int = 128) -> None:
    """Lay rows of pictures out with a caption each, and write them with few colours."""
    height, width = (size * ZOOM for size in rows[0][0][0].shape[:2])
    whole = Image.new(
        "RGB", (len(rows[0]) * (width + GAP) - GAP, len(rows) * (height + CAPTION + GAP) - GAP), "white"
    )
    pen = ImageDraw.Draw(whole)
    for y, row in enumerate(rows):
        for x, (image, ids, caption) in enumerate(row):
            corner = x * (width + GAP), y * (height + CAPTION + GAP)
            pen.text((corner[0], corner[1] + 2), caption, fill="black")
            whole.paste(Image.fromarray(outlined(image, ids)), (corner[0], corner[1] + CAPTION))
    path = TARGET / f"augmentation-{name}.png"
    whole.quantize(colours, dither=Image.Dither.NONE).save(path, optimize=True)
    print(f"{path.name}: {whole.width}x{whole.height}, {path.stat().st_size / 1000:.0f} kB")


def main() -> None:
    """Draw two scenes, and change them."""
    TARGET.mkdir(exist_ok=True)
    scene = SceneOptions(noise=0.0, objects=5.0)
    clip, other = (moving_objects(seed, frames=60, options=scene) for seed in (3, 8))
    image, ids, category = clip.images[30], clip.ids[30], clip.category[30]
    rng = np.random.default_rng(1)
    rows: list[list[Tile]] = []
    for jitter in ("standard", "large"):
        low, high = JITTER_RANGES[jitter]
        changed = [scale_jitter(image, ids, rng, low=low, high=high, flip=0.5) for _ in range(3)]
        rows.append([(image, ids, "as it is"), *((*pair, f"{jitter} jitter") for pair in changed)])
    sheet("jitter", rows)

    source = other.images[30], other.ids[30], other.category[30]
    tiles: list[Tile] = [(image, ids, "receives"), (source[0], source[1], "source")]
    for seed in (1, 5):
        out, labels, classes = copy_paste(image, ids, category, *source, np.random.default_rng(seed))
        counts = (classes[len(category) :] >= 0).sum(), (source[2] >= 0).sum()
        tiles.append((out, labels, f"{counts[0]} of {counts[1]} objects pasted"))
    sheet("copy-paste", [tiles])

    noisy = moving_objects(3, frames=60, options=SceneOptions(noise=4.0))
    std = temporal_std(noisy.images[20:40])
    frame = noisy.images[20]
    copy = noised(frame, std, rng)
    shown = np.clip(std * 2, 0, 255).astype(np.uint8)
    sheet(
        "noise",
        [
            [
                (frame, None, "frame 20"),
                (noisy.images[39], None, "frame 39"),
                (shown, None, "deviation over 20 frames, x 2"),
                (copy, None, "a noised copy of frame 20"),
            ]
        ],
        64,
    )


if __name__ == "__main__":
    main()

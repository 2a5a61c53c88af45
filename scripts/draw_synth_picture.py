"""Draw docs/images/synth.png: six pictures of a drawn clip, their labels, and how much the frames differ."""

from __future__ import annotations

import itertools
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from evfr.datasets import moving_objects
from evfr.signals import optical_flow_dissimilarity

TARGET = Path(__file__).resolve().parents[1] / "docs" / "images" / "synth.png"
COLOURS = np.array(
    [(24, 24, 28), (230, 97, 92), (92, 184, 108), (84, 130, 230), (236, 200, 80), (190, 110, 210)], np.uint8
)
SEED = 8
SHOWN = 6
GAP = 4


def main() -> None:
    """Paint pictures over label maps over a curve of the optical flow, and keep them as a PNG of few colours."""
    clip = moving_objects(SEED)
    greys = [cv2.cvtColor(image, cv2.COLOR_RGB2GRAY) for image in clip.images]
    flow = np.array([optical_flow_dissimilarity(a, b, width=None) for a, b in itertools.pairwise(greys)])
    places = np.linspace(4, len(clip) - 6, SHOWN).astype(int)
    height, width = clip.images.shape[1:3]
    canvas = np.full((2 * height + 60 + 4 * GAP, SHOWN * (width + GAP) + GAP, 3), 255, np.uint8)
    for column, place in enumerate(places.tolist()):
        left = GAP + column * (width + GAP)
        canvas[GAP : GAP + height, left : left + width] = clip.images[place]
        canvas[2 * GAP + height : 2 * (GAP + height), left : left + width] = COLOURS[clip.label_map(place)]
    across = np.linspace(GAP, canvas.shape[1] - GAP - 1, len(flow))
    down = canvas.shape[0] - GAP - 1 - flow / flow.max() * 54
    line = np.round(np.stack([across, down], axis=1) * 16).astype(np.int32)
    cv2.polylines(canvas, [line], False, (40, 90, 160), 1, cv2.LINE_AA, shift=4)
    for place in places.tolist():
        cv2.circle(canvas, (round(across[place]), round(down[place])), 3, (220, 60, 40), -1, cv2.LINE_AA)
    TARGET.parent.mkdir(exist_ok=True)
    large = canvas.repeat(2, axis=0).repeat(2, axis=1)
    Image.fromarray(large).quantize(256, dither=Image.Dither.NONE).save(TARGET, optimize=True)
    print(f"{TARGET.name}: {TARGET.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main()

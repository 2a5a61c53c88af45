"""Drawing moving objects: ours against the plain way, the same maps out of both.

The plain way hands each outline to scikit-image's `polygon2mask` for the whole picture, warps its texture over
the whole picture, and pastes: what one writes first. It gets the same scenes from us, with all that moves in them, so
that it only paints. Equal: the maps of objects, pixel by pixel (a centre on the very line may differ).
"""

from __future__ import annotations

import time
from collections.abc import Callable

import cv2
import numpy as np
from skimage.draw import polygon2mask

import _measure
from evfr._core.rng import generator, spawn_seed
from evfr.datasets import SHAPES, SceneOptions, moving_objects
from evfr.datasets._moving_objects import _Filming
from evfr.datasets._moving_objects_scene import NO_CLASS, TEXTURE_SIDE
from evfr.datasets._moving_objects_shapes import placed_outline
from evfr.verbs._synth_write import encode

FRAMES = 200
CLIPS = 4
TURNS = 3
LIMIT_MS = 10.0


def least_ms(case: Callable[[], object], frames: int) -> float:
    """Return the least CPU milliseconds per frame of some turns."""
    spent = []
    for _ in range(TURNS):
        begin = time.process_time()
        case()
        spent.append(time.process_time() - begin)
    return min(spent) / frames * 1e3


def plain_clip(seed: int, frames: int, width: int, height: int) -> tuple[np.ndarray, np.ndarray]:
    """Draw a clip's pictures and class maps the plain way: every object over the whole picture."""
    film = _Filming(seed, frames, width, height, SHAPES, SceneOptions())
    noise = generator(spawn_seed(seed, "noise"))
    images = np.empty((frames, height, width, 3), np.uint8)
    labels = np.zeros((frames, height, width), np.uint8)
    for frame in range(frames):
        picture = film._ground.seen(film.scene, frame)
        for item in film.objects(frame):
            corners = placed_outline(item.actor.corners, item.matrix, item.centre)
            mask = polygon2mask((height, width), corners[:, ::-1])
            back = np.linalg.inv(item.matrix) * (TEXTURE_SIDE / 4)
            shift = (TEXTURE_SIDE - 1) / 2 - back @ item.centre
            matrix = np.concatenate([back, shift[:, None]], axis=1)
            flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
            skin = cv2.warpAffine(
                film.scene.skin(item.actor),
                matrix,
                (width, height),
                flags=flags,
                borderMode=cv2.BORDER_REFLECT,
            )
            picture = np.where(mask[..., None], skin, picture)
            labels[frame][mask] = 0 if item.actor.category == NO_CLASS else item.actor.category + 1
        picture = picture * film.scene.light[frame] + noise.normal(0, 2.0, picture.shape)
        images[frame] = np.clip(np.rint(picture), 0, 255)
    return images, labels


def main() -> None:
    """Time clips of several kinds, compare with the plain way, and judge."""
    _measure.print_header("Moving objects", f"drawn, {FRAMES} frames a clip", of_turns="least")
    moving_objects(0, frames=2)
    claims = {}
    print(f"{'clip':<28}{'objects':>9}{'ours':>9}{'plain':>9}{'ratio':>7}   maps differ")
    for seed in range(CLIPS):
        clip = moving_objects(seed, frames=FRAMES)
        ours = least_ms(lambda seed=seed: moving_objects(seed, frames=FRAMES), FRAMES)
        theirs = least_ms(lambda seed=seed: plain_clip(seed, FRAMES, 128, 96), FRAMES)
        _, labels = plain_clip(seed, FRAMES, 128, 96)
        truth = np.stack([clip.label_map(place) for place in range(FRAMES)])
        differ = int((labels != truth).sum())
        mean = (clip.category >= 0).sum() / FRAMES
        print(
            f"{f'128x96, seed {seed}':<28}{mean:9.1f}{ours:6.2f} ms{theirs:6.2f} ms{theirs / ours:6.1f}x   "
            f"{differ} of {truth.size} pixels"
        )
        claims[f"seed {seed}: at most {LIMIT_MS:g} ms a frame"] = ours <= LIMIT_MS
        claims[f"seed {seed}: the same map but for centres on a line"] = differ <= truth.size * 1e-5
    kinds = {
        "128x96, every frame a scene": {"unique": True},
        "128x96, each frame 5 times": {"repeat": 5},
        "128x96, 12 objects": {"options": SceneOptions(objects=12)},
        "256x192": {"width": 256, "height": 192},
        "640x360": {"width": 640, "height": 360, "frames": 50},
    }
    for title, given in kinds.items():
        clip = moving_objects(0, **{"frames": FRAMES} | given)
        spent = least_ms(lambda given=given: moving_objects(0, **{"frames": FRAMES} | given), len(clip))
        print(f"{title:<28}{(clip.category >= 0).sum() / len(clip):9.1f}{spent:6.2f} ms")
        if "640" not in title and "256" not in title:
            claims[f"{title}: at most {LIMIT_MS:g} ms a frame"] = spent <= LIMIT_MS
    images = moving_objects(0, frames=FRAMES).images
    spent, size = least_ms(lambda: encode(images, 25), FRAMES), len(encode(images, 25))
    print(
        f"{'writing a clip, FFV1':<28}{'':9}{spent:6.2f} ms   {size / 1e6:.1f} MB of {images.nbytes / 1e6:.1f} MB"
    )
    _measure.judge(claims)


if __name__ == "__main__":
    main()

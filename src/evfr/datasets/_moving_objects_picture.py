"""Paint the objects of a frame over its ground, those behind first, and tell which one each pixel shows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import cv2
import numpy as np

from evfr.datasets._moving_objects_looks import background
from evfr.datasets._moving_objects_scene import TEXTURE_SIDE, Placed, Scene, rotation
from evfr.datasets._moving_objects_shapes import Coverage, cover, placed_outline

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["Ground", "coverage", "paint"]

_MOST_PICTURES = 4.0
"""The ground is at most this many pictures wide and high."""


class Ground:
    """The ground of a scene, painted as far as its camera looks, and mirrored where that is very far.

    Parameters
    ----------
    rng : numpy.random.Generator
        Draws it.
    scene : Scene
        Whose camera looks at it.
    width, height : int
        Pixels of the picture.
    clutter : float
        As of `background`.
    """

    def __init__(
        self, rng: np.random.Generator, scene: Scene, width: int, height: int, clutter: float
    ) -> None:
        self._size = width, height
        # Half the picture's extent in the world, along the world's axes: it is turned and seen from nearer or farther.
        c, s = np.abs(np.cos(scene.roll)), np.abs(np.sin(scene.roll))
        half = (
            np.stack([c * width + s * height, s * width + c * height], axis=1) / (2 * scene.zoom[:, None]) + 1
        )
        self._corner = np.floor((scene.position - half).min(axis=0))
        span = np.minimum(
            (scene.position + half).max(axis=0) - self._corner, np.array(self._size) * _MOST_PICTURES
        )
        columns, rows = np.ceil(span).astype(int).tolist()
        self._image = background(rng, columns, rows, 0.12 * height, clutter)

    def seen(self, scene: Scene, frame: int) -> NDArray[np.float32]:
        """Return what the camera sees of it, (H, W, 3) float32."""
        width, height = self._size
        back = rotation(-float(scene.roll[frame])) / float(scene.zoom[frame])
        shift = scene.position[frame] - self._corner - back @ [(width - 1) / 2, (height - 1) / 2]
        flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        matrix = np.concatenate([back, shift[:, None]], axis=1)
        seen = cv2.warpAffine(self._image, matrix, self._size, flags=flags, borderMode=cv2.BORDER_REFLECT)
        return np.asarray(seen, np.float32)


def coverage(item: Placed, width: int, height: int) -> Coverage | None:
    """Return the pixels that an object covers, hidden or not; None outside the picture."""
    return cover(placed_outline(item.actor.corners, item.matrix, item.centre), item.centre, width, height)


def paint(picture: NDArray[np.float32], objects: Sequence[Placed], scene: Scene) -> NDArray[np.int64]:
    """Paint objects into a picture, in place.

    Parameters
    ----------
    picture : (H, W, 3) float32
        Grey levels of the ground; the objects are added.
    objects : sequence of Placed
        Those behind first.
    scene : Scene
        Theirs: it knows their skins.

    Returns
    -------
    (H, W) int64
        1 + the place in ``objects`` of the one that each pixel's centre shows; 0 for the ground.
    """
    height, width = picture.shape[:2]
    shown = np.zeros((height, width), np.int64)
    for place, item in enumerate(objects):
        covered = coverage(item, width, height)
        if covered is None:
            continue
        rows, columns = covered.inside.shape
        part = slice(covered.y, covered.y + rows), slice(covered.x, covered.x + columns)
        back = np.linalg.inv(item.matrix) * (TEXTURE_SIDE / 4)
        shift = back @ (np.array([covered.x, covered.y]) - item.centre) + (TEXTURE_SIDE - 1) / 2
        skin = cv2.warpAffine(
            scene.skin(item.actor),
            np.concatenate([back, shift[:, None]], axis=1),
            (columns, rows),
            flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
            borderMode=cv2.BORDER_REFLECT,
        )
        below = picture[part]
        below += covered.alpha[..., None] * (skin - below)
        shown[part][covered.inside] = place + 1
    return shown

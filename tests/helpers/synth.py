"""What objects of drawn clips look like apart from their shape, and what their shape looks like."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from evfr._core.labelled import LabelledClip

__all__ = ["LOOKS", "looks_of"]

LOOKS = ("colour", "texture", "place", "size", "shape")


def looks_of(
    clips: Sequence[LabelledClip], least: int = 30
) -> tuple[dict[str, np.ndarray], np.ndarray, np.ndarray]:
    """Return features of the objects of ``least`` pixels or more: by kind (N, D), their classes and their clips.

    Colour and texture are taken inside, away from the edge, where the pixels of other things begin.
    """
    found: dict[str, list[np.ndarray]] = {kind: [] for kind in LOOKS}
    category, clip_of = [], []
    for number, clip in enumerate(clips):
        for image, ids, classes in zip(clip.images, clip.ids, clip.category, strict=True):
            grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY).astype(np.float32)
            slopes = np.abs([cv2.Sobel(grey, cv2.CV_32F, 1, 0), cv2.Sobel(grey, cv2.CV_32F, 0, 1)])
            for k in range(1, len(classes) + 1):
                whole = (ids == k).astype(np.uint8)
                if whole.sum() < least:
                    continue
                left, top, wide, high = cv2.boundingRect(whole)
                box = slice(top, top + high), slice(left, left + wide)
                mask = np.pad(whole[box], 1)
                inner = cv2.erode(mask, np.ones((3, 3), np.uint8))[1:-1, 1:-1] > 0
                deep = cv2.erode(mask, np.ones((5, 5), np.uint8))[1:-1, 1:-1] > 0
                if not deep.any():
                    continue
                pixels = image[box][inner]
                shares = [np.bincount(pixels[:, c] // 32, minlength=8) / len(pixels) for c in range(3)]
                pixels = pixels / 255.0
                y, x = np.nonzero(mask)
                outlines = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)[0]
                hull = cv2.contourArea(cv2.convexHull(np.concatenate(outlines)))
                moments = np.abs(cv2.HuMoments(cv2.moments(mask, True)).ravel()[:2])
                found["colour"].append(np.concatenate([*shares, pixels.mean(axis=0), pixels.std(axis=0)]))
                found["texture"].append(slopes[:, *box][:, deep].mean(axis=1))
                found["place"].append(np.array([left + x.mean(), top + y.mean()]))
                found["size"].append(np.array([np.log(mask.sum())]))
                found["shape"].append(
                    np.array([*np.log(moments + 1e-12), len(x) / (wide * high), len(x) / max(hull, 1.0)])
                )
                category.append(int(classes[k - 1]))
                clip_of.append(number)
    return {kind: np.array(rows) for kind, rows in found.items()}, np.array(category), np.array(clip_of)

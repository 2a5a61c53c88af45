"""Sequences drawn for tests, and slow answers to compare with."""

from __future__ import annotations

import numpy as np

from evfr._core.annotations import AnnotatedVideo, Category
from evfr._core.masks import Rle
from evfr._core.sequences import MaskSequence, Provenance, SequenceSet


def rle(mask):
    """Encode a mask; None stays."""
    return None if mask is None else Rle.from_mask(np.asarray(mask, bool))


def box_mask(height, width, x0, y0, x1, y1):
    """Draw a filled box as run lengths."""
    mask = np.zeros((height, width), bool)
    mask[y0:y1, x0:x1] = True
    return Rle.from_mask(mask)


def drawn_masks(rng, n, frames, height, width, *, holes=0.2):
    """Draw (N, T, H, W) bool: boxes that move and share corners often, some frames empty, some masks with holes."""
    out = np.zeros((n, frames, height, width), bool)
    for i in range(n):
        y, x = rng.integers(0, height), rng.integers(0, width)
        h, w = rng.integers(1, height + 1), rng.integers(1, width + 1)
        for t in range(frames):
            if rng.random() < holes:
                continue
            y, x = max(0, y + rng.integers(-2, 3)), max(0, x + rng.integers(-2, 3))
            out[i, t, y : y + h, x : x + w] = True
            out[i, t] &= rng.random((height, width)) > 0.05 * rng.integers(0, 3)
    return out


def dense_iou(masks):
    """Return the IoU of all pairs from (N, T, H, W) bool, by plain sums of booleans."""
    n = len(masks)
    out = np.zeros((n, n))
    for i in range(n):
        for j in range(n):
            either = int((masks[i] | masks[j]).sum())
            out[i, j] = int((masks[i] & masks[j]).sum()) / either if either else 0.0
    return out


def slow_hard_nms(scores, iou, threshold, floor):
    """Suppress by the definition, without arrays."""
    left = sorted(range(len(scores)), key=lambda i: (-scores[i], i))
    kept = []
    while left:
        best = left.pop(0)
        if kept and scores[best] < floor:
            break
        kept.append(best)
        left = [j for j in left if iou[best][j] < threshold]
    return kept


def slow_soft_nms(scores, iou, *, sigma=None, threshold=None, floor=1e-3, limit=10):
    """Lower by the definition, without arrays: Gaussian with sigma, linear with threshold."""
    left = {i: float(score) for i, score in enumerate(scores) if score >= floor}
    kept = []
    while left and len(kept) < limit:
        best = min(left, key=lambda i: (-left[i], i))
        kept.append((best, left.pop(best)))
        for j in list(left):
            share = float(iou[best][j])
            if sigma is not None:
                left[j] *= float(np.exp(-(share * share) / sigma))  # numpy's exp, so that ties stay ties
            elif share >= threshold:
                left[j] *= 1 - share
            if left[j] < floor:
                del left[j]
    return kept


def sequence_set(masks, category_scores, *, frame_index=None, names=None, key_frames=None):
    """Make a set of (N, T, H, W) bool masks and (N, C) scores; ``score`` is the largest."""
    masks = np.asarray(masks, bool)
    n, frames, height, width = masks.shape
    scores = np.asarray(category_scores, float)
    index = np.arange(frames) if frame_index is None else frame_index
    names = names or [f"class {c}" for c in range(scores.shape[1])]
    return SequenceSet(
        AnnotatedVideo("clip", width, height, index),
        tuple(Category(c + 1, name) for c, name in enumerate(names)),
        tuple(
            MaskSequence(
                tuple(rle(mask) for mask in masks[i]),
                scores[i],
                float(scores[i].max(initial=0.0)),
                -1,
                Provenance("test", -1 if key_frames is None else key_frames[i], i),
            )
            for i in range(n)
        ),
    )

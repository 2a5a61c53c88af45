"""The formulas of CoVOS on arrays: soft aggregation, selection by residual, matching (Xu & Yao 2022)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

__all__ = [
    "DARK",
    "affinity",
    "cells_of",
    "correct",
    "correct_locally",
    "pad_channels",
    "plain_features",
    "select_cells",
    "soft_aggregate",
]

SCALE = 4
"""Pixels to a side of the cells in which CoVOS works."""
EPSILON = 1e-7
TEMPERATURE = 72.0
"""Squared grey levels that divide a match by e: 2 sigma squared with a sigma of 6."""
CHANNELS = 11
DARK = 0.15
"""Sum over RGB of |residual| / 255 above which a cell is matched anew."""
DILATION = 9
QUERIES = 1024
LEAST = np.float32(1e-20)
SIGMA = 6.0
PENALTY = 3.0
"""Squared grey levels that one squared cell off the compensated place costs."""


def cells_of(picture: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return a picture at a quarter of its size by means, its border replicated up to a multiple of 4.

    Parameters
    ----------
    picture : (H, W) or (H, W, C) float32
        Any values.

    Returns
    -------
    (ceil(H / 4), ceil(W / 4)) or with C float32
        C is kept where it is 1 or 0.
    """
    height, width = -(-picture.shape[0] // SCALE), -(-picture.shape[1] // SCALE)
    shape = (height, width, *picture.shape[2:])
    if 0 in shape:
        return np.zeros(shape, np.float32)
    down, across = height * SCALE - picture.shape[0], width * SCALE - picture.shape[1]
    whole = cv2.copyMakeBorder(picture, 0, down, 0, across, cv2.BORDER_REPLICATE)
    cells = cv2.resize(whole, (width, height), interpolation=cv2.INTER_AREA)
    return np.asarray(cells, np.float32).reshape(shape)


def soft_aggregate(objects: NDArray[np.float32]) -> NDArray[np.float32]:
    """Turn object probabilities into probabilities that sum to 1 (psi; Xu & Yao 2022, section 3.2).

    Parameters
    ----------
    objects : (..., K) float32
        0 to 1 (a matched object may exceed 1; it is clamped).

    Returns
    -------
    (..., K + 1) float32
        The background first: p0 = prod(1 - p_k), all clamped to [1e-7, 1 - 1e-7], softmax over log(p / (1 - p)).
    """
    within = np.clip(objects, 0.0, 1.0).astype(np.float64)
    every = np.concatenate([np.prod(1.0 - within, axis=-1, keepdims=True), within], axis=-1)
    every = np.clip(every, EPSILON, 1.0 - EPSILON)
    odds = every / (1.0 - every)
    return np.asarray(odds / odds.sum(axis=-1, keepdims=True), np.float32)


def pad_channels(objects: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return (h, w, 11): the background as the product of (1 - p_k), then up to 10 objects, then zeros.

    Parameters
    ----------
    objects : (h, w, K) float32
        K <= 10.

    Returns
    -------
    (h, w, 11) float32
        As the decoder takes it.

    Raises
    ------
    ValueError
        If there are more than 10 objects.
    """
    count = objects.shape[2]
    if count > CHANNELS - 1:
        raise ValueError(
            f"the decoder takes up to {CHANNELS - 1} objects, got {count}; carry fewer at a time"
        )
    out = np.zeros((*objects.shape[:2], CHANNELS), np.float32)
    out[..., 1 : count + 1] = np.clip(objects, 0.0, 1.0)
    out[..., 0] = np.prod(1.0 - out[..., 1 : count + 1], axis=2)
    return out


def plain_features(frame: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Describe cells of 4 x 4 pixels without a network: colour, smoothed colour, slopes (ours).

    Parameters
    ----------
    frame : (H, W, 3) uint8
        RGB.

    Returns
    -------
    (h4, w4, 8) float32
        Scaled so that `affinity`, which divides by the root of the depth, uses a sigma of 6 grey levels.
    """
    small = np.clip(np.rint(cells_of(frame.astype(np.float32))), 0, 255).astype(np.uint8)
    colour = cv2.cvtColor(small, cv2.COLOR_RGB2LAB).astype(np.float32)
    light = np.ascontiguousarray(colour[..., 0])
    slopes = [np.abs(cv2.Sobel(light, cv2.CV_32F, dx, 1 - dx, scale=0.25)) for dx in (1, 0)]
    features = np.dstack([colour, cv2.blur(colour, (3, 3)), *slopes])
    scale = np.sqrt(np.sqrt(features.shape[2]) / TEMPERATURE)
    return np.asarray(features * np.float32(scale), np.float32)


def select_cells(foreground: NDArray[np.bool_], error: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Choose the cells to match anew: badly predicted and near an object (Xu & Yao 2022, section 3.4).

    Parameters
    ----------
    foreground : (h, w) bool
        Where psi of the warped probabilities has an object, at a quarter of the size.
    error : (h, w) float32
        Sum over RGB of |residual| in grey levels, by means.

    Returns
    -------
    (h, w) bool
        error / 255 > .15 within the foreground dilated twice by 9 x 9 cells.
    """
    square = np.ones((DILATION, DILATION), np.uint8)
    near = cv2.dilate(foreground.astype(np.uint8), square, iterations=2) > 0
    chosen: NDArray[np.bool_] = near & (error > DARK * 255.0)
    return chosen


def affinity(queries: NDArray[np.float32], keys: NDArray[np.float32]) -> NDArray[np.float32]:
    """Compare cells of two frames (Xu & Yao 2022, supplement Eq. 1-2, over the root of the depth).

    Parameters
    ----------
    queries : (Q, C) float32
        Features of the cells in question.
    keys : (N, C) float32
        Features of the cells of the key frame, N >= 1.

    Returns
    -------
    (Q, N) float32
        Softmax over the keys of (2 q.k - |k|^2) / sqrt(C).
    """
    score: NDArray[np.float32] = (2.0 * queries @ keys.T - np.square(keys).sum(axis=1)) / np.float32(
        np.sqrt(keys.shape[1])
    )
    score -= score.max(axis=1, keepdims=True)
    np.exp(score, out=score)
    score /= score.sum(axis=1, keepdims=True)
    return np.asarray(score, np.float32)


def correct(
    features: NDArray[np.float32],
    selected: NDArray[np.bool_],
    key_features: NDArray[np.float32],
    key_objects: NDArray[np.float32],
) -> NDArray[np.float32] | None:
    """Fetch object probabilities of the key frame for the selected cells (Xu & Yao 2022, section 3.4).

    Parameters
    ----------
    features, key_features : (h, w, C) float32
        Of the frame, and of the key frame nearest in time.
    selected : (h, w) bool
        Cells in question.
    key_objects : (h, w, K) float32
        Object probabilities of the key frame.

    Returns
    -------
    (Q, K) float32 or None
        affinity x P_key, over the foreground cells of the key frame; None without a selected cell or foreground.
    """
    foreground = key_objects.sum(axis=2) > 0.5
    if not selected.any() or not foreground.any():
        return None
    queries, keys, values = features[selected], key_features[foreground], key_objects[foreground]
    parts = [affinity(queries[at : at + QUERIES], keys) @ values for at in range(0, len(queries), QUERIES)]
    return np.concatenate(parts).astype(np.float32)


def correct_locally(
    features: NDArray[np.float32],
    selected: NDArray[np.bool_],
    references: Sequence[tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]],
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Fetch object probabilities of the frames referred to, near the compensated place (ours).

    The paper's keys are foreground cells only, so that a match can add to an object and never take away; its decoder
    mends that. Here foreground and background compete, and what is found is weighed against the warp.

    Parameters
    ----------
    features : (h, w, C) float32
        Of the frame.
    selected : (h, w) bool
        Cells in question.
    references : sequence of ((h, w, C) float32, (h, w, K) float32, (h, w, 2) float32)
        For each frame referred to its features, its objects and the flow to it in pixels.

    Returns
    -------
    found : (Q, K) float32
        Weighted means with weights exp(-|q - k|^2 / sqrt(C) - 3 / 72 |offset in cells|^2).
    trust : (Q,) float32
        Share of what was found against the warp: 1 / (1 + exp((e - r) / 6)), e and r being the mean differences in grey
        levels of the cells found and of the better compensated place; 0 where nothing within reach resembles the
        cell at all.
    """
    places = np.argwhere(selected).astype(np.float32)
    depth = features.shape[2]
    count = references[0][1].shape[2] if references else 0
    asked = features[selected]
    sums = np.zeros((len(places), count + depth + 2), np.float32)
    nearest = np.full(len(places), np.inf, np.float32)
    root = np.float32(np.sqrt(np.sqrt(depth)))
    bend = np.float32(np.sqrt(PENALTY / TEMPERATURE))
    for key_features, objects, flow in references:
        moved = places + flow[selected][:, ::-1] / SCALE
        row, column = (
            np.clip(np.floor(moved[:, axis] + 0.5), 0, size - 1).astype(np.int64)
            for axis, size in ((0, objects.shape[0]), (1, objects.shape[1]))
        )
        nearest = np.minimum(nearest, np.square(asked - key_features[row, column]).sum(axis=1))
        square = np.ones((DILATION, DILATION), np.uint8)
        is_near = cv2.dilate((objects.sum(axis=2) > 0.5).astype(np.uint8), square, iterations=4) > 0
        rows, columns = np.nonzero(is_near)
        if not len(rows):
            continue
        near = key_features[rows, columns]
        keys = np.column_stack([near / root, bend * rows, bend * columns]).astype(np.float32)
        queries = np.column_stack([asked / root, bend * moved]).astype(np.float32)
        squares = np.square(near).sum(axis=1, keepdims=True)
        values = np.concatenate([objects[rows, columns], near, squares, np.ones_like(squares)], axis=1)
        for at in range(0, len(queries), QUERIES):
            part = queries[at : at + QUERIES]
            far = 2.0 * part @ keys.T - np.square(keys).sum(axis=1)
            sums[at : at + QUERIES] += np.exp(far - np.square(part).sum(axis=1, keepdims=True)) @ values
    total = sums[:, -1]
    means = sums[:, :-1] / np.maximum(total, LEAST)[:, None]
    # The weighted mean of |q - k|^2, from those of k and |k|^2.
    off = means[:, -1] - 2.0 * (asked * means[:, count:-1]).sum(axis=1) + np.square(asked).sum(axis=1)
    matched, warped = (_grey_levels(values, depth) for values in (off, nearest))
    trust = np.where(total > LEAST, 1.0 / (1.0 + np.exp(np.clip((matched - warped) / SIGMA, -50, 50))), 0.0)
    return means[:, :count].astype(np.float32), trust.astype(np.float32)


def _grey_levels(squares: NDArray[np.float32], depth: int) -> NDArray[np.float64]:
    """Undo the scale of `plain_features`: squared distances to root mean squares per channel."""
    levels: NDArray[np.float64] = (
        np.maximum(squares, 0.0).astype(np.float64) * TEMPERATURE / np.sqrt(depth) / depth
    )
    out: NDArray[np.float64] = np.sqrt(levels)
    return out

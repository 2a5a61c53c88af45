"""Draw labels on a frame: whose they are, which object, and how far they can be believed."""

from __future__ import annotations

import colorsys
import functools
import math
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from evfr._core.annotations import NO_TRACK, SOURCES

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from evfr._core.annotations import VideoAnnotations

__all__ = ["draw_labels", "track_colour"]

WARNING = (255, 48, 48)
DARK = (16, 18, 22)
LIGHT = (255, 255, 255)
_GOLDEN = 0.618033988749895


def track_colour(number: int) -> tuple[int, int, int]:
    """Return a colour for a track, far from those of the numbers around it and from a warning's red and orange (ours).

    Parameters
    ----------
    number : int
        A track id; for objects without one, any number that tells them apart.

    Returns
    -------
    tuple of 3 int
        RGB, 0 to 255.

    Examples
    --------
    >>> track_colour(0), track_colour(1)
    ((82, 250, 135), (250, 110, 210))
    """
    # Steps of the golden ratio never come close to each other; red and orange, from .93 to .13, stay free.
    hue = 0.13 + 0.8 * ((0.32 + number * _GOLDEN) % 1.0)
    red, green, blue = colorsys.hsv_to_rgb(hue, 0.67 if number % 2 == 0 else 0.56, 0.98)
    return round(255 * red), round(255 * green), round(255 * blue)


def draw_labels(
    image: NDArray[np.uint8],
    labels: VideoAnnotations,
    rows: NDArray[np.int64],
    *,
    low_trust: float = 0.5,
    has_names: bool = True,
    caption: str = "",
) -> NDArray[np.uint8]:
    """Draw the objects of one frame: one colour a track, an outline for people's labels, filled where carried (ours).

    Parameters
    ----------
    image : (H, W, 3) uint8
        The frame, RGB; it is not changed.
    labels : VideoAnnotations
        Labels; masks have the size of the frame.
    rows : (K,) int64
        The rows to draw, for example ``labels.rows_at(video_id, frame_index)``.
    low_trust : float
        Objects with a trust below are outlined in dashed red.
    has_names : bool
        Write track, category and trust beside each object.
    caption : str
        A line for the top left corner; empty writes none.

    Returns
    -------
    (H, W, 3) uint8
        A new picture.

    Raises
    ------
    ValueError
        If the frame is no (H, W, 3) uint8, or a mask has another size.
    """
    if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8:
        raise ValueError(f"image must be (H, W, 3) uint8, got {image.shape} {image.dtype}")
    height, width = image.shape[:2]
    pen = max(1, round(min(height, width) / 320))
    names = {category.category_id: category.name for category in labels.categories}
    # Large objects first, so that small ones stay visible in front of them.
    order = sorted((int(row) for row in rows), key=lambda row: -_size(labels, row))
    canvas = image.copy()
    shapes = {}
    for row in order:
        mask = labels.masks[row]
        if mask is not None and (mask.height, mask.width) != (height, width):
            raise ValueError(
                f"the mask of track {labels.track_id[row]} is {mask.width}x{mask.height}, the frame {width}x{height}"
            )
        shapes[row] = _outlines(labels, row)
        if mask is not None and not _is_human(labels, row):
            _fill(canvas, mask.to_mask(), _colour(labels, row))
    for row in order:
        _outline(
            canvas,
            shapes[row],
            _colour(labels, row),
            _is_low(labels, row, low_trust),
            _is_human(labels, row),
            pen,
        )
    texts = []
    if has_names:
        texts = [
            (
                _text(labels, row, names),
                _anchor(shapes[row]),
                _colour(labels, row),
                _is_low(labels, row, low_trust),
            )
            for row in order
            if shapes[row]
        ]
    return _write(canvas, texts, caption, pen) if texts or caption else canvas


def _size(labels: VideoAnnotations, row: int) -> float:
    mask = labels.masks[row]
    if mask is not None:
        return float(mask.area)
    x0, y0, x1, y1 = labels.boxes_xyxy[row]
    area = (x1 - x0) * (y1 - y0)
    return float(area) if math.isfinite(area) else 0.0


def _colour(labels: VideoAnnotations, row: int) -> tuple[int, int, int]:
    track = int(labels.track_id[row])
    return track_colour(track if track != NO_TRACK else 7 * int(labels.category_id[row]) + 3)


def _is_human(labels: VideoAnnotations, row: int) -> bool:
    return SOURCES[labels.source[row]] == "human"


def _is_low(labels: VideoAnnotations, row: int, low_trust: float) -> bool:
    # NaN is not below: nothing was measured, so nothing is warned of.
    return bool(labels.trust[row] < low_trust)


def _outlines(labels: VideoAnnotations, row: int) -> list[NDArray[np.int32]]:
    """Return closed outlines, (P, 2) x and y of pixels: those of the mask, or the box."""
    mask = labels.masks[row]
    if mask is not None:
        dense = mask.to_mask().view(np.uint8)
        found, _ = cv2.findContours(dense, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)
        return [np.asarray(outline[:, 0], np.int32) for outline in found]
    box = labels.boxes_xyxy[row]
    if not np.isfinite(box).all():
        return []
    x0, y0 = (round(float(value)) for value in box[:2])
    x1, y1 = (round(float(value)) - 1 for value in box[2:])
    x1, y1 = max(x0, x1), max(y0, y1)
    return [np.array([[x0, y0], [x1, y0], [x1, y1], [x0, y1]], np.int32)]


def _fill(canvas: NDArray[np.uint8], mask: NDArray[np.bool_], colour: tuple[int, int, int]) -> None:
    inside = canvas[mask].astype(np.float32)
    canvas[mask] = (0.62 * inside + 0.38 * np.array(colour, np.float32)).round().astype(np.uint8)


def _outline(
    canvas: NDArray[np.uint8],
    outlines: list[NDArray[np.int32]],
    colour: tuple[int, int, int],
    is_low: bool,
    is_human: bool,
    pen: int,
) -> None:
    """Draw lines on a dark edge, so that they show on light ground as well as on dark."""
    width = 2 * pen if is_human or is_low else pen
    ink = WARNING if is_low else colour
    extents = [int(np.ptp(outline, axis=0).max()) for outline in outlines]
    for outline, extent in zip(outlines, extents, strict=True):
        if extent < 6 * pen and extent < max(extents):
            # Around a speck the usual line would be larger than what it is around; a small object keeps it.
            cv2.polylines(canvas, [outline], True, ink, 1)
            continue
        pieces = _dashes(outline, 6 * pen + 4) if is_low else [outline]
        cv2.polylines(canvas, pieces, not is_low, DARK, width + 2 * pen, cv2.LINE_AA)
        cv2.polylines(canvas, pieces, not is_low, ink, width, cv2.LINE_AA)


def _dashes(outline: NDArray[np.int32], length: int) -> list[NDArray[np.int32]]:
    """Cut a closed outline into pieces of a length, every other one left out."""
    closed = np.concatenate([outline, outline[:1]]).astype(np.float64)
    along = np.concatenate([[0.0], np.cumsum(np.hypot(*np.diff(closed, axis=0).T))])
    total = float(along[-1])
    if total < 3 * length:
        return [np.concatenate([outline, outline[:1]])]
    count = round(total / (2 * length))
    pieces = []
    for number in range(count):
        start = number * total / count
        wanted = np.linspace(start, start + total / count / 2, max(2, round(length / 3)))
        xy = np.stack([np.interp(wanted, along, closed[:, axis]) for axis in (0, 1)], axis=1)
        pieces.append(np.asarray(xy.round(), np.int32))
    return pieces


def _anchor(outlines: list[NDArray[np.int32]]) -> tuple[int, int]:
    """Return the highest point of the largest part, where the name stands."""
    largest = max(outlines, key=lambda outline: cv2.contourArea(outline) + len(outline))
    x, y = largest[int(np.argmin(largest[:, 1]))]
    return int(x), int(y)


def _text(labels: VideoAnnotations, row: int, names: dict[int, str]) -> str:
    parts = []
    if labels.track_id[row] != NO_TRACK:
        parts.append(f"#{int(labels.track_id[row])}")
    name = names[int(labels.category_id[row])]
    # The built-in font knows Latin letters only, and a line break would cover the picture.
    name = "".join(sign if sign.isprintable() and ord(sign) < 0x250 else "?" for sign in name)
    parts.append(name if len(name) <= 24 else name[:23] + "\u2026")
    if not _is_human(labels, row) and np.isfinite(labels.trust[row]):
        parts.append(f"{labels.trust[row]:.2f}")
    return " ".join(part for part in parts if part)


def _write(
    canvas: NDArray[np.uint8],
    texts: list[tuple[str, tuple[int, int], tuple[int, int, int], bool]],
    caption: str,
    pen: int,
) -> NDArray[np.uint8]:
    """Write each text on a dark chip with the object's colour at its side; chips stay inside the frame."""
    height, width = canvas.shape[:2]
    picture = Image.fromarray(canvas)
    draw = ImageDraw.Draw(picture)
    font = _font(max(9, round(min(height, width) / 32)))
    pad, bar = pen + 1, 2 * pen + 1
    taken: list[tuple[float, float, float, float]] = []
    rows: list[tuple[str, tuple[float, float], tuple[int, int, int], bool]] = []
    if caption:
        rows.append((caption, (0.0, 0.0), LIGHT, False))
    rows += [(text, (float(x), float(y)), colour, is_low) for text, (x, y), colour, is_low in texts]
    for number, (text, (x, y), colour, is_low) in enumerate(rows):
        left, top, right, bottom = draw.textbbox((0, 0), text, font=font)
        w, h = right - left + 2 * pad + bar, bottom - top + 2 * pad
        is_caption = bool(caption) and number == 0
        x0 = min(max(x if is_caption else x - w / 2, 0), max(width - w, 0))
        y0 = min(max(y if is_caption else y - h - 3 * pen, 0), max(height - h, 0))
        for _ in range(6):
            hit = next(
                (box for box in taken if x0 < box[2] and x0 + w > box[0] and y0 < box[3] and y0 + h > box[1]),
                None,
            )
            if hit is None:
                break
            y0 = min(hit[3] + 1, max(height - h, 0))
        taken.append((x0, y0, x0 + w, y0 + h))
        draw.rectangle((x0, y0, x0 + w - 1, y0 + h - 1), fill=DARK)
        draw.rectangle((x0, y0, x0 + bar - 1, y0 + h - 1), fill=WARNING if is_low else colour)
        draw.text(
            (x0 + bar + pad - left, y0 + pad - top),
            text,
            font=font,
            fill=(255, 176, 168) if is_low else LIGHT,
        )
    return np.asarray(picture, np.uint8).copy()


@functools.lru_cache(maxsize=8)
def _font(size: int) -> Any:
    return ImageFont.load_default(size)

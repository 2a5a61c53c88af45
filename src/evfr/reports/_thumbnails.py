"""Pack thumbnails into JPEG sheets that stay inside a budget of bytes."""

from __future__ import annotations

import io
import math
from typing import TYPE_CHECKING

import cv2
import numpy as np
from PIL import Image

from evfr.reports._pictures import PackedThumbnails, Sheet, Thumbnails

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

__all__ = ["pack_thumbnails", "thumbnail_frames"]

# (width of selected frames, width of the others, JPEG quality), best first
LADDER = (
    (320, 160, 74),
    (288, 128, 68),
    (256, 112, 62),
    (224, 96, 55),
    (192, 96, 48),
    (160, 80, 44),
    (128, 64, 40),
    (96, 64, 34),
)
CELLS_PER_SHEET = 48
BYTES_PER_FRAME = 380
BYTES_FLOOR = 1_500_000
BYTES_CEILING = 24_000_000
SHEET_WIDTH = 1920
BLOCK = 16
"""Cells start on JPEG's block grid (2 x 8 px with halved chroma), so that no cell bleeds into the next."""


def thumbnail_frames(
    selected: NDArray[np.int64], n_frames: int, *, n_strip: int = 96, n_selected: int = 1200
) -> NDArray[np.int64]:
    """Return the frames a page wants thumbnails of: selected ones, dropped neighbours and a coarse strip.

    Neighbours are the frames halfway to the next selected frame on either side: those that a selected
    frame stands for.

    Parameters
    ----------
    selected : (n,) int64
        Strictly increasing selected frames.
    n_frames : int
        Frames of the video.
    n_strip : int
        Frames of the strip, evenly spread.
    n_selected : int
        Where more frames than this are selected, an even choice of this many.

    Returns
    -------
    (M,) int64
        Strictly increasing; M <= 2 n_selected + 1 + n_strip.

    Examples
    --------
    >>> import numpy as np
    >>> thumbnail_frames(np.array([10, 20]), 30, n_strip=2)
    array([ 5, 10, 15, 20, 24, 29])
    """
    if n_frames <= 0:
        return np.zeros(0, dtype=np.int64)
    kept = selected
    if len(kept) > n_selected:
        kept = kept[np.arange(n_selected, dtype=np.int64) * len(kept) // n_selected]
    edges = np.concatenate([[0], kept, [n_frames - 1]]).astype(np.int64)
    middles = (edges[:-1] + edges[1:]) // 2
    count = min(n_strip, n_frames)
    strip = np.arange(count, dtype=np.int64) * (n_frames - 1) // max(count - 1, 1)
    if len(kept):
        strip = strip[1:-1] if len(strip) > 2 else strip[-1:]
    return np.unique(np.concatenate([kept, middles, strip])).astype(np.int64)


def pack_thumbnails(
    thumbnails: Thumbnails, selected: NDArray[np.int64], *, budget_bytes: int
) -> PackedThumbnails:
    """Pack thumbnails into JPEG sheets of at most ``budget_bytes``, selected frames larger than the others.

    Size and quality come down together, by a fixed ladder, until the budget holds; below the last rung
    thumbnails are left out evenly, selected ones last.

    Parameters
    ----------
    thumbnails : Thumbnails
        What to pack.
    selected : (n,) int64
        The selected frames.
    budget_bytes : int
        Upper bound of the sheets' size in bytes.

    Returns
    -------
    PackedThumbnails
        The sheets; none where not even one thumbnail fits.

    Raises
    ------
    ValueError
        If ``budget_bytes`` is negative.
    """
    if budget_bytes < 0:
        raise ValueError(f"budget_bytes must be 0 or more, got {budget_bytes}")
    is_selected = np.isin(thumbnails.frame_index, selected)
    large, small = np.flatnonzero(is_selected), np.flatnonzero(~is_selected)
    if len(thumbnails.frame_index) == 0 or thumbnails.images.size == 0:
        return PackedThumbnails(())
    for rung in LADDER:
        if _estimate(thumbnails, large, small, rung) > budget_bytes * 1.05:
            continue
        packed = _pack(thumbnails, large, small, rung)
        if packed.n_bytes <= budget_bytes:
            return packed
    while len(large) or len(small):
        if len(small):
            small = small[1::2]
        else:
            large = large[1::2]
        if _estimate(thumbnails, large, small, LADDER[-1]) > budget_bytes * 1.05:
            continue
        packed = _pack(thumbnails, large, small, LADDER[-1])
        if packed.n_bytes <= budget_bytes:
            return packed
    return PackedThumbnails(())


def _estimate(
    thumbnails: Thumbnails, large: NDArray[np.intp], small: NDArray[np.intp], rung: tuple[int, int, int]
) -> float:
    """Return about how many bytes a rung costs, from a few cells of each kind."""
    total = 0.0
    for rows, width in ((large, rung[0]), (small, rung[1])):
        if len(rows):
            probe = rows[np.unique(np.linspace(0, len(rows) - 1, 12).astype(np.intp))]
            total += len(_sheet(thumbnails, probe, width, rung[2]).jpeg) * len(rows) / len(probe)
    return total


def _pack(
    thumbnails: Thumbnails, large: NDArray[np.intp], small: NDArray[np.intp], rung: tuple[int, int, int]
) -> PackedThumbnails:
    sheets: list[Sheet] = []
    for rows, width in ((large, rung[0]), (small, rung[1])):
        sheets += [
            _sheet(thumbnails, rows[start : start + CELLS_PER_SHEET], width, rung[2])
            for start in range(0, len(rows), CELLS_PER_SHEET)
        ]
    return PackedThumbnails(tuple(sheets))


def _sheet(thumbnails: Thumbnails, rows: NDArray[np.intp], width: int, quality: int) -> Sheet:
    source_height, source_width = thumbnails.images.shape[1:3]
    scale = min(1.0, width / source_width, width / source_height)
    size = (max(1, round(source_width * scale)), max(1, round(source_height * scale)))
    cell = (math.ceil(size[0] / BLOCK) * BLOCK, math.ceil(size[1] / BLOCK) * BLOCK)
    columns = max(1, min(len(rows), SHEET_WIDTH // cell[0]))
    sheet = np.zeros((math.ceil(len(rows) / columns) * cell[1], columns * cell[0], 3), dtype=np.uint8)
    for place, row in enumerate(rows):
        picture = thumbnails.images[row]
        if size != (source_width, source_height):
            picture = cv2.resize(picture, size, interpolation=cv2.INTER_AREA)
        padded = cv2.copyMakeBorder(
            picture, 0, cell[1] - size[1], 0, cell[0] - size[0], borderType=cv2.BORDER_REPLICATE
        )
        top, left = place // columns * cell[1], place % columns * cell[0]
        sheet[top : top + cell[1], left : left + cell[0]] = padded
    return Sheet(thumbnails.frame_index[rows], columns, *cell, *size, _jpeg(sheet, quality))


def _jpeg(image: NDArray[np.uint8], quality: int) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "JPEG", quality=quality, optimize=True, subsampling="4:2:0")
    return buffer.getvalue()


def thumbnail_budgets(n_frames: Sequence[int]) -> list[int]:
    """Return how many bytes of thumbnails a page has for each of its videos: about 0.4 KB a frame.

    Parameters
    ----------
    n_frames : sequence of int
        Frames of each video of the page.

    Returns
    -------
    list of int
        Bytes for `pack_thumbnails`, so that thumbnails can be packed where the video is decoded.
    """
    return share_budget(n_frames, per_frame=BYTES_PER_FRAME, floor=BYTES_FLOOR, ceiling=BYTES_CEILING)


def share_budget(n_frames: Sequence[int], *, per_frame: int, floor: int, ceiling: int) -> list[int]:
    """Return each video's bytes: ``per_frame`` for every frame, the sum kept in [floor, ceiling]."""
    total = sum(n_frames)
    if total == 0:
        return [0 for _ in n_frames]
    budget = min(max(total * per_frame, floor), ceiling)
    return [budget * count // total for count in n_frames]

"""Shrink masks to the size at which they are carried, and bring them back: work only where the mask is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from evfr._core.masks import Rle

__all__ = ["enlarge", "shrink", "size_within"]


def size_within(height: int, width: int, most: tuple[int, int] | None) -> tuple[int, int]:
    """Return the size (height, width) of a picture shrunk into a box, keeping its aspect.

    Parameters
    ----------
    height, width : int
        Of the picture.
    most : tuple of (int, int) or None
        Longer and shorter side at most; None shrinks nothing.

    Returns
    -------
    tuple of (int, int)
        Never larger than the picture.

    Examples
    --------
    >>> size_within(432, 768, (640, 320)), size_within(100, 120, (640, 320))
    ((320, 569), (100, 120))
    """
    if most is None:
        return height, width
    scale = min(1.0, max(most) / max(height, width), min(most) / min(height, width))
    return max(1, round(height * scale)), max(1, round(width * scale))


def shrink(mask: Rle, height: int, width: int) -> Rle:
    """Return a mask at a smaller size; a pixel is set where half of its area is.

    Parameters
    ----------
    mask : Rle
        With a pixel or more.
    height, width : int
        The size.

    Returns
    -------
    Rle
        Never empty: of a mask too small the pixel around its middle is left.
    """
    import cv2
    import numpy as np

    from evfr._core.masks import Rle

    if (mask.height, mask.width) == (height, width):
        return mask
    dense = mask.to_mask().view(np.uint8) * np.uint8(255)
    small = cv2.resize(dense, (width, height), interpolation=cv2.INTER_AREA) > 127
    if not small.any():
        x0, y0, x1, y1 = mask.box_xyxy
        row = min(height - 1, int((y0 + y1) / 2 * height / mask.height))
        small[row, min(width - 1, int((x0 + x1) / 2 * width / mask.width))] = True
    return Rle.from_mask(small)


def enlarge(mask: Rle, height: int, width: int) -> Rle:
    """Return a mask at a larger size, linear between the centres of its pixels and cut at one half.

    Parameters
    ----------
    mask : Rle
        The mask.
    height, width : int
        The size.

    Returns
    -------
    Rle
        The mask itself where it has that size.
    """
    import cv2
    import numpy as np

    if (mask.height, mask.width) == (height, width) or mask.is_empty:
        from evfr._core.masks import Rle

        return mask if not mask.is_empty else Rle.empty(height, width)
    across, down = width / mask.width, height / mask.height
    x0, y0, x1, y1 = (int(value) for value in mask.box_xyxy)
    # A rim of zeros, so that replicating the border continues the mask at the picture's edge only.
    x0, y0, x1, y1 = max(x0 - 1, 0), max(y0 - 1, 0), min(x1 + 1, mask.width), min(y1 + 1, mask.height)
    part = mask.to_mask()[y0:y1, x0:x1].view(np.uint8) * np.uint8(255)
    left, top = int(x0 * across), int(y0 * down)
    right, bottom = min(width, int(np.ceil(x1 * across))), min(height, int(np.ceil(y1 * down)))
    back = np.array(
        [
            [1 / across, 0.0, (left + 0.5) / across - 0.5 - x0],
            [0.0, 1 / down, (top + 0.5) / down - 0.5 - y0],
        ]
    )
    large: Any = cv2.warpAffine(
        part,
        back,
        (right - left, bottom - top),
        flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
        borderMode=cv2.BORDER_REPLICATE,
    )
    return _placed(large > 127, top, left, height, width)


def _placed(part: NDArray[np.bool_], top: int, left: int, height: int, width: int) -> Rle:
    """Return the mask of a picture that is ``part`` from (top, left) on and nothing elsewhere."""
    import numpy as np

    from evfr._core.masks import Rle

    rows = part.shape[0] + 2
    columns = np.zeros((part.shape[1], rows), np.bool_)
    columns[:, 1:-1] = part.T
    flat = columns.reshape(-1)
    # Each column begins and ends with a pixel outside, so that starts and stops of runs take turns.
    edges = np.flatnonzero(flat[1:] != flat[:-1])
    places = (left + edges // rows) * height + top + edges % rows
    starts, stops = places[::2], places[1::2]
    # A run down to the lower edge goes on at the top of the next column.
    is_apart = starts[1:] != stops[:-1] if len(starts) else np.zeros(0, np.bool_)
    starts = starts[np.concatenate(([True], is_apart))] if len(starts) else starts
    stops = stops[np.concatenate((is_apart, [True]))] if len(stops) else stops
    marks = np.concatenate(([0], np.stack((starts, stops), axis=1).reshape(-1), [height * width]))
    runs = np.diff(marks)
    if len(runs) > 1 and runs[-1] == 0:
        runs = runs[:-1]
    return Rle(height, width, runs.astype(np.uint32))

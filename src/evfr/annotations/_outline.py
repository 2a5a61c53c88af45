"""Draw the outline of a mask as one polygon that fills to the same mask."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from evfr.annotations._parse import check_pixels

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from evfr._core.masks import Rle

__all__ = ["outline"]


def outline(mask: Rle) -> NDArray[np.float64]:
    """Return corners of one closed polygon along the edges of pixels; filled as COCO does, it is the mask (ours).

    Parts and holes are joined to the first part by bridges that are walked there and back: under the even-odd rule
    they enclose nothing.

    Parameters
    ----------
    mask : Rle
        At least one pixel.

    Returns
    -------
    (P, 2) float64
        x and y in pixels, whole numbers.

    Raises
    ------
    ValueError
        If the mask is empty.
    AnnotationError
        If its picture is too large to be made dense.
    """
    if mask.is_empty:
        raise ValueError("an empty mask has no outline")
    check_pixels(mask.height, mask.width, "a mask")
    loops = _loops(mask.to_mask())
    path = list(loops[0])
    home = path[0]
    path.append(home)
    for loop in loops[1:]:
        corner = (home[0], loop[0][1])  # bridges go straight down or up, and then across
        path += [corner, *loop, loop[0], corner, home]
    kept = [point for place, point in enumerate(path) if place == 0 or point != path[place - 1]]
    return np.array(kept[:-1], np.float64)


def _loops(mask: NDArray[np.bool_]) -> list[list[tuple[int, int]]]:
    """Return the corners of every closed border; the mask lies to the right of each step."""
    framed = np.pad(mask, 1)
    follow: dict[tuple[int, int], list[tuple[int, int]]] = {}
    # A step along each side of a pixel that has no neighbour there: (dy, dx) of the neighbour, start, end.
    for dy, dx, start, end in (
        (-1, 0, (0, 0), (1, 0)),
        (0, 1, (1, 0), (1, 1)),
        (1, 0, (1, 1), (0, 1)),
        (0, -1, (0, 1), (0, 0)),
    ):
        ys, xs = np.nonzero(
            mask & ~framed[1 + dy : framed.shape[0] - 1 + dy, 1 + dx : framed.shape[1] - 1 + dx]
        )
        for y, x in zip(ys.tolist(), xs.tolist(), strict=True):
            follow.setdefault((x + start[0], y + start[1]), []).append((x + end[0], y + end[1]))
    loops = []
    while follow:
        first = next(iter(follow))
        loop, at = [first], first
        while True:
            steps = follow[at]
            to = steps.pop()
            if not steps:
                del follow[at]
            is_straight = len(loop) > 1 and (
                loop[-2][0] == loop[-1][0] == to[0] or loop[-2][1] == loop[-1][1] == to[1]
            )
            if to == first and first not in follow:
                break
            if is_straight:
                loop[-1] = to
            else:
                loop.append(to)
            at = to
        loops.append(loop)
    return loops

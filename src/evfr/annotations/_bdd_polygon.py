"""Polygons of Scalabel: corners, and cubic Bezier curves between them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from evfr.annotations._parse import number, shown
from evfr.errors import AnnotationError

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["flatten_polygons"]

_STEPS = 20
"""Straight pieces that stand for one curve."""


def flatten_polygons(value: Any, where: str) -> list[list[float]]:
    """Return closed polygons as corners only.

    Parameters
    ----------
    value : object
        ``poly2d``: a list of polygons with ``vertices`` [[x, y], ...], ``types`` ("L" a corner, "C" a control point,
        two between the ends of a curve) and ``closed``.
    where : str
        File and entry, for the error's text.

    Returns
    -------
    list of list of float
        x and y in turn; open lines are left out.

    Raises
    ------
    AnnotationError
        If the entry is not as described.
    """
    if not isinstance(value, list):
        raise AnnotationError(f"{where}: poly2d must be a list of polygons, got {shown(value)}")
    polygons = []
    for entry in value:
        vertices = entry.get("vertices") if isinstance(entry, dict) else None
        if not isinstance(vertices, list) or not all(isinstance(p, list) and len(p) == 2 for p in vertices):
            raise AnnotationError(
                f"{where}: a polygon of poly2d needs vertices [[x, y], ...], got {shown(entry)}"
            )
        if not entry.get("closed", True):
            continue
        types = entry.get("types") or "L" * len(vertices)
        if not isinstance(types, str) or len(types) != len(vertices) or set(types) - {"L", "C"}:
            raise AnnotationError(
                f"{where}: types of a polygon must be an L or C for each of its {len(vertices)} vertices, got "
                f"{shown(types)}"
            )
        points = [[number(v, where, "a coordinate of poly2d") for v in point] for point in vertices]
        polygons.append(_flatten(np.array(points).reshape(-1, 2), types, where).reshape(-1).tolist())
    return polygons


def _flatten(points: NDArray[np.float64], types: str, where: str) -> NDArray[np.float64]:
    if "C" not in types:
        return points
    first = types.find("L")
    if first < 0:
        raise AnnotationError(f"{where}: a polygon of control points only has no corner")
    order = np.roll(np.arange(len(types)), -first)
    points, types = points[order], "".join(types[place] for place in order)
    done, place = [], 0
    while place < len(types):
        done.append(points[place][None])
        length = len(types[place + 1 :]) - len(types[place + 1 :].lstrip("C"))
        if length not in (0, 2):
            raise AnnotationError(
                f"{where}: a curve of a polygon has two control points between its ends, got {length} in {shown(types)}"
            )
        if length:
            a, b, c, d = points[np.arange(place, place + 4) % len(types)]
            t = np.arange(1, _STEPS)[:, None] / _STEPS
            done.append((1 - t) ** 3 * a + 3 * (1 - t) ** 2 * t * b + 3 * (1 - t) * t**2 * c + t**3 * d)
        place += 1 + length
    return np.concatenate(done)

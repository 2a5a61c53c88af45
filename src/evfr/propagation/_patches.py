"""Rectangles of a frame and masks that live in one: work only where the objects are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["Patch", "Window", "window_around"]


@dataclass(frozen=True, slots=True)
class Window:
    """Name a rectangle of the frame: rows y0..y1 and columns x0..x1, ends exclusive."""

    y0: int
    y1: int
    x0: int
    x1: int

    @property
    def rows_columns(self) -> tuple[slice, slice]:
        """Return the slices that cut it out of a frame."""
        return slice(self.y0, self.y1), slice(self.x0, self.x1)

    @property
    def shape(self) -> tuple[int, int]:
        """Return (height, width)."""
        return self.y1 - self.y0, self.x1 - self.x0

    def padded(self, pixels: int, height: int, width: int) -> Window:
        """Return it larger by some pixels on each side, within the frame."""
        return Window(
            max(0, self.y0 - pixels),
            min(height, self.y1 + pixels),
            max(0, self.x0 - pixels),
            min(width, self.x1 + pixels),
        )

    def scaled(self, factor: int) -> Window:
        """Return it with all edges multiplied."""
        return Window(factor * self.y0, factor * self.y1, factor * self.x0, factor * self.x1)

    def within(self, outer: Window) -> tuple[slice, slice]:
        """Return the slices that cut it out of an array over ``outer``."""
        return (
            slice(self.y0 - outer.y0, self.y1 - outer.y0),
            slice(self.x0 - outer.x0, self.x1 - outer.x0),
        )

    def overlap(self, other: Window) -> Window | None:
        """Return what both cover, or None."""
        found = Window(
            max(self.y0, other.y0), min(self.y1, other.y1), max(self.x0, other.x0), min(self.x1, other.x1)
        )
        return found if found.y0 < found.y1 and found.x0 < found.x1 else None


@dataclass(frozen=True, slots=True, eq=False)
class Patch:
    """Hold the part of a frame-sized picture inside a window; outside it is 0, or not known."""

    window: Window
    values: NDArray[np.uint8]

    def over(self, window: Window, outside: int) -> NDArray[np.uint8]:
        """Return the values over another window."""
        out = np.full(window.shape, outside, np.uint8)
        both = self.window.overlap(window)
        if both is not None:
            out[both.within(window)] = self.values[both.within(self.window)]
        return out


def window_around(patches: Sequence[Patch | None]) -> Window | None:
    """Return the smallest window around patches, or None where there are none."""
    windows = [patch.window for patch in patches if patch is not None]
    if not windows:
        return None
    return Window(
        min(w.y0 for w in windows),
        max(w.y1 for w in windows),
        min(w.x0 for w in windows),
        max(w.x1 for w in windows),
    )

"""Masks as run lengths: small, exact, and the same bytes that COCO's tools write.

A mask is dense (H, W) only where somebody computes with it. Everywhere else it is an `Rle`: the lengths of its runs
in column-major order, zeros first, as COCO defines them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from evfr._core._mask_kernels import (
    compress_counts,
    fill_runs,
    joined_runs,
    merge_union,
    polygon_crossings,
    runs_box,
    shared_area,
)
from evfr._core._mask_reading import LONGEST, coco_runs, coco_size, polygon_points

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

__all__ = ["Rle", "box_iou", "intersection_area", "iou", "iou_matrix", "union"]


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Rle:
    """Hold one binary mask as run lengths.

    Attributes
    ----------
    height, width : int
        Size of the picture in pixels, each 1 or more.
    counts : (R,) uint32
        Lengths of the runs in column-major order (down each column, columns from left to right): zeros first (that
        run may be 0 long), then ones and zeros in turn. They add up to ``height * width``. Read-only.

    Raises
    ------
    ValueError
        If the size is not positive, or the runs are not as described.
    """

    height: int
    width: int
    counts: NDArray[np.uint32]

    def __post_init__(self) -> None:
        if self.height < 1 or self.width < 1 or self.height * self.width > LONGEST:
            raise ValueError(
                f"a mask needs a size from 1x1 to {LONGEST} pixels, got {self.width}x{self.height}"
            )
        counts = np.array(self.counts, dtype=np.uint32)
        total = int(counts.sum(dtype=np.uint64))
        if counts.ndim != 1 or total != self.height * self.width:
            raise ValueError(
                f"the runs of a {self.width}x{self.height} mask must add up to {self.height * self.width}, "
                f"got {total} in {counts.size} runs"
            )
        if len(counts) > 1 and not counts[1:].all():
            raise ValueError("only the first run of a mask may be 0 long; join the runs around the empty one")
        counts.flags.writeable = False
        object.__setattr__(self, "counts", counts)

    def __repr__(self) -> str:
        return f"Rle({self.width}x{self.height}, {self.area} px)"

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Rle):
            return NotImplemented
        return (
            self.height == other.height
            and self.width == other.width
            and np.array_equal(self.counts, other.counts)
        )

    def __hash__(self) -> int:
        return hash((self.height, self.width, self.counts.tobytes()))

    @classmethod
    def empty(cls, height: int, width: int) -> Rle:
        """Return the mask without any pixel."""
        return cls(height, width, np.array([height * width], np.uint32))

    @classmethod
    def from_mask(cls, mask: NDArray[Any]) -> Rle:
        """Encode a dense mask.

        Parameters
        ----------
        mask : (H, W) bool or number
            Pixels that are not 0 belong to the mask.

        Returns
        -------
        Rle
            The same pixels.

        Raises
        ------
        ValueError
            If it is not two-dimensional, or has no pixel.
        """
        if mask.ndim != 2:
            raise ValueError(f"a mask must be (H, W), got {mask.shape}")
        height, width = mask.shape
        flat = np.ascontiguousarray((mask != 0).T).reshape(-1).view(np.uint8)
        edges = np.flatnonzero(flat[1:] != flat[:-1]) + 1
        runs = np.diff(np.concatenate(([0], edges, [flat.size])))
        if flat.size and flat[0]:
            runs = np.concatenate(([0], runs))
        return cls(height, width, runs.astype(np.uint32))

    @classmethod
    def from_coco(cls, data: Mapping[str, Any]) -> Rle:
        """Read COCO's dict, compressed or not.

        Parameters
        ----------
        data : mapping
            ``size`` [height, width] and ``counts``: a list of run lengths, or COCO's compressed text or bytes.

        Returns
        -------
        Rle
            With empty runs in the middle joined.

        Raises
        ------
        ValueError
            If a key is missing, or the runs do not fit the size.
        """
        try:
            height, width = coco_size(data["size"])
            counts = data["counts"]
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            raise ValueError(
                "a mask in COCO form needs size [height, width] in whole numbers, and counts"
            ) from error
        runs = coco_runs(counts, height, width)
        return cls(height, width, joined_runs(runs).astype(np.uint32))

    @classmethod
    def from_polygons(cls, polygons: Sequence[ArrayLike], height: int, width: int) -> Rle:
        """Fill polygons as COCO's tools do: a pixel belongs if its centre does, borders on a grid five times finer.

        Parameters
        ----------
        polygons : sequence of (2 P,) float
            x and y in turn, pixels, at least three points each; the mask is their union.
        height, width : int
            Size of the picture.

        Returns
        -------
        Rle
            The union; parts outside the picture are cut off.

        Raises
        ------
        ValueError
            If a polygon has fewer than three points, an odd number of values, values that are not finite or lie
            beyond 1e7 pixels, or a border longer than 4e6 pixels.
        """
        parts = []
        for number, polygon in enumerate(polygons):
            xy = polygon_points(polygon, number)
            starts = polygon_crossings(xy, height, width)
            starts.sort()
            runs = np.diff(np.concatenate(([0], starts, [height * width])))
            parts.append(cls(height, width, joined_runs(runs).astype(np.uint32)))
        return union(parts) if parts else cls.empty(height, width)

    @classmethod
    def from_box(cls, box_xyxy: ArrayLike, height: int, width: int) -> Rle:
        """Fill a box.

        Parameters
        ----------
        box_xyxy : (4,) float
            x0, y0, x1, y1 in pixels; each border goes to the nearest pixel border, halves up.
        height, width : int
            Size of the picture.

        Returns
        -------
        Rle
            What lies in the picture; empty for a box that is less than half a pixel wide or high.

        Raises
        ------
        ValueError
            If a border is not finite.
        """
        box = np.asarray(box_xyxy, np.float64)
        if box.shape != (4,) or not np.isfinite(box).all():
            raise ValueError(f"a box needs four finite numbers x0, y0, x1, y1, got {box.tolist()}")
        borders = np.clip(np.floor(box + 0.5), 0, [width, height, width, height]).astype(np.int64)
        x0, y0, x1, y1 = borders.tolist()
        if x1 <= x0 or y1 <= y0:
            return cls.empty(height, width)
        tall = y1 - y0
        runs = [x0 * height + y0, *([tall, height - tall] * (x1 - x0))[:-1]]
        runs.append(height * width - sum(runs))
        return cls(height, width, joined_runs(np.array(runs)).astype(np.uint32))

    def to_mask(self) -> NDArray[np.bool_]:
        """Return the dense mask, (H, W) bool."""
        out = np.zeros((self.width, self.height), np.bool_)
        fill_runs(self.counts, out.reshape(-1))
        return np.ascontiguousarray(out.T)

    def to_coco(self) -> dict[str, Any]:
        """Return COCO's dict: ``size`` [height, width], ``counts`` as compressed text."""
        text = compress_counts(self.counts.astype(np.int64)).tobytes().decode("ascii")
        return {"size": [self.height, self.width], "counts": text}

    @property
    def area(self) -> int:
        """Number of pixels in the mask."""
        return int(self.counts[1::2].sum(dtype=np.uint64))

    @property
    def is_empty(self) -> bool:
        """Whether no pixel belongs to the mask."""
        return len(self.counts) < 2

    @property
    def box_xyxy(self) -> tuple[float, float, float, float]:
        """Tight box (x0, y0, x1, y1) in pixels, right and bottom edges exclusive; zeros for an empty mask."""
        x0, y0, x1, y1 = runs_box(self.counts, self.height)
        return float(x0), float(y0), float(x1), float(y1)


def _same_size(a: Rle, b: Rle) -> None:
    if (a.height, a.width) != (b.height, b.width):
        raise ValueError(
            f"masks of {a.width}x{a.height} and {b.width}x{b.height} pixels cannot be compared; scale one first"
        )


def intersection_area(a: Rle, b: Rle) -> int:
    """Count the pixels that two masks share.

    Parameters
    ----------
    a, b : Rle
        Masks of one size.

    Returns
    -------
    int
        Pixels in both, exactly.

    Raises
    ------
    ValueError
        If the sizes differ.
    """
    _same_size(a, b)
    return int(shared_area(a.counts, b.counts))


def iou(a: Rle, b: Rle) -> float:
    """Divide the pixels in both masks by those in either.

    Parameters
    ----------
    a, b : Rle
        Masks of one size.

    Returns
    -------
    float
        In [0, 1]; 0 if both are empty.

    Raises
    ------
    ValueError
        If the sizes differ.
    """
    shared = intersection_area(a, b)
    either = a.area + b.area - shared
    return shared / either if either else 0.0


def iou_matrix(a: Sequence[Rle], b: Sequence[Rle]) -> NDArray[np.float64]:
    """Compare each mask of one list with each of another.

    Parameters
    ----------
    a, b : sequence of Rle
        N and M masks of one size.

    Returns
    -------
    (N, M) float64
        `iou` of each pair.

    Raises
    ------
    ValueError
        If the sizes differ.
    """
    out = np.zeros((len(a), len(b)))
    for row, first in enumerate(a):
        for column, second in enumerate(b):
            out[row, column] = iou(first, second)
    return out


def union(masks: Sequence[Rle]) -> Rle:
    """Join masks.

    Parameters
    ----------
    masks : sequence of Rle
        One or more masks of one size.

    Returns
    -------
    Rle
        The pixels that are in any of them.

    Raises
    ------
    ValueError
        If there is none, or the sizes differ.
    """
    if not masks:
        raise ValueError("a union needs one mask or more; use Rle.empty(height, width) for none")

    def join(a: Rle, b: Rle) -> Rle:
        _same_size(a, b)
        return Rle(a.height, a.width, merge_union(a.counts, b.counts))

    # In pairs, then pairs of pairs: one after the other would go through all that is joined again for each mask.
    joined = list(masks)
    while len(joined) > 1:
        pairs = [join(a, b) for a, b in zip(joined[::2], joined[1::2], strict=False)]
        joined = pairs + joined[len(pairs) * 2 :]
    return joined[0]


def box_iou(a: ArrayLike, b: ArrayLike) -> NDArray[np.float64]:
    """Compare each box of one list with each of another.

    Parameters
    ----------
    a, b : (N, 4) and (M, 4) float
        Boxes x0, y0, x1, y1 in pixels, right and bottom edges exclusive.

    Returns
    -------
    (N, M) float64
        Shared area over joint area; 0 for boxes without area, NaN where a box is NaN.

    Raises
    ------
    ValueError
        If an array has another shape.
    """
    first, second = (np.asarray(boxes, dtype=np.float64) for boxes in (a, b))
    for boxes in (first, second):
        if boxes.ndim != 2 or boxes.shape[1] != 4:
            raise ValueError(f"boxes must be (N, 4) x0, y0, x1, y1, got {boxes.shape}")
    low = np.maximum(first[:, None, :2], second[None, :, :2])
    high = np.minimum(first[:, None, 2:], second[None, :, 2:])
    shared = np.prod(np.maximum(high - low, 0.0), axis=2)
    areas = [np.prod(boxes[:, 2:] - boxes[:, :2], axis=1) for boxes in (first, second)]
    either = areas[0][:, None] + areas[1][None, :] - shared
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(either > 0, shared / either, np.where(np.isnan(either), np.nan, 0.0))

"""Sequences of masks packed into bits: how much any two share over a video, exactly and fast.

An `Rle` is small, but two of them must be walked run by run. Here each mask is cut to its window and stored as 64-bit
words that start at the same rows in every mask, so that two masks are compared by `and` and a count of ones.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from evfr._core._packed_kernels import (
    fill_words,
    measure_runs,
    shared_all,
    shared_listed,
    shared_pairs,
    shared_some,
)

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    from evfr._core.masks import Rle

__all__ = [
    "PackedSequences",
    "pack_sequences",
    "sequence_iou",
    "sequence_iou_row",
    "shared_area",
    "shared_area_pairs",
    "shared_area_rows",
]


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class PackedSequences:
    """Hold N sequences of T masks as bits, made by `pack_sequences`.

    Attributes
    ----------
    height, width : int
        Size of all masks in pixels.
    area : (N, T) int64
        Pixels of each mask; 0 where there is none.
    total : (N,) int64
        Their sums over the frames.
    words : (W,) uint64
        64 pixels of one column each, the topmost in the lowest bit: window by window, column by column.
    starts : (T, N) int64
        Where the words of each mask begin.
    windows : (T, N, 4) int32
        x0, x1 (columns) and w0, w1 (words of 64 rows) around each mask, ends exclusive; zeros where there is none.
    spans : (N, 4) int32
        The window around all windows of a sequence; zeros where all are empty.
    """

    height: int
    width: int
    area: NDArray[np.int64]
    total: NDArray[np.int64]
    words: NDArray[np.uint64]
    starts: NDArray[np.int64]
    windows: NDArray[np.int32]
    spans: NDArray[np.int32]

    def __len__(self) -> int:
        return len(self.area)

    def __repr__(self) -> str:
        return (
            f"PackedSequences({len(self)} sequences, {self.frame_count} frames, {self.width}x{self.height}, "
            f"{self.nbytes} bytes)"
        )

    @property
    def frame_count(self) -> int:
        """Number of frames, T."""
        return int(self.area.shape[1])

    @property
    def nbytes(self) -> int:
        """Bytes of all arrays."""
        arrays = (self.area, self.total, self.words, self.starts, self.windows, self.spans)
        return sum(int(array.nbytes) for array in arrays)

    def take(self, rows: ArrayLike) -> PackedSequences:
        """Return some of the sequences; the words are shared, not copied.

        Parameters
        ----------
        rows : (R,) int
            Which, in the order wanted.

        Returns
        -------
        PackedSequences
            R sequences.
        """
        picked = np.asarray(rows, np.int64)
        return PackedSequences(
            self.height,
            self.width,
            self.area[picked],
            self.total[picked],
            self.words,
            np.ascontiguousarray(self.starts[:, picked]),
            np.ascontiguousarray(self.windows[:, picked]),
            self.spans[picked],
        )


def pack_sequences(
    sequences: Sequence[Sequence[Rle | None]], *, height: int, width: int, frame_count: int
) -> PackedSequences:
    """Pack sequences of masks into bits.

    Parameters
    ----------
    sequences : sequence of N sequences of T Rle or None
        None and a mask without pixels both say that the object is not there.
    height, width : int
        Size of the pictures in pixels.
    frame_count : int
        T, 0 or more.

    Returns
    -------
    PackedSequences
        N sequences; none is allowed.

    Raises
    ------
    ValueError
        If a sequence has another number of masks, or a mask has another size; the text names sequence and frame.
    """
    n = len(sequences)
    for i, masks in enumerate(sequences):
        if len(masks) != frame_count:
            raise ValueError(
                f"sequence {i} has {len(masks)} masks for {frame_count} frames; give one a frame, None where there is "
                "no object"
            )
    present = [
        (t * n + i, mask)
        for i, masks in enumerate(sequences)
        for t, mask in enumerate(masks)
        if mask is not None
    ]
    for place, mask in present:
        if mask.height != height or mask.width != width:
            raise ValueError(
                f"sequence {place % n}, frame {place // n}: the mask has {mask.width}x{mask.height} pixels, the others "
                f"{width}x{height}; scale it first"
            )
    present.sort(key=lambda item: item[0])  # frame by frame, as it is read
    lengths = np.zeros(frame_count * n, np.int64)
    lengths[[place for place, _ in present]] = [len(mask.counts) for _, mask in present]
    counts = np.concatenate([mask.counts for _, mask in present] or [np.zeros(0, np.uint32)])
    first = np.concatenate(([0], np.cumsum(lengths)))
    windows = np.zeros((frame_count * n, 4), np.int32)
    areas = np.zeros(frame_count * n, np.int64)
    measure_runs(counts, first, height, windows, areas)
    wide = windows.astype(np.int64)
    sizes = (wide[:, 1] - wide[:, 0]) * (wide[:, 3] - wide[:, 2])
    ends = np.cumsum(sizes)
    starts = ends - sizes
    words = np.zeros(int(sizes.sum()), np.uint64)
    fill_words(counts, first, height, windows, starts, words)
    by_frame = windows.reshape(frame_count, n, 4)
    area = np.ascontiguousarray(areas.reshape(frame_count, n).T)
    return PackedSequences(
        height,
        width,
        area,
        area.sum(axis=1),
        words,
        starts.reshape(frame_count, n),
        by_frame,
        _spans(by_frame),
    )


def _spans(windows: NDArray[np.int32]) -> NDArray[np.int32]:
    """Return the window around the windows of all frames, (N, 4)."""
    farthest = np.int32(2**31 - 1)
    is_there = windows[..., 1] > 0
    spans = np.zeros(windows.shape[1:], np.int32)
    for low, high in ((0, 1), (2, 3)):
        spans[:, low] = np.where(is_there, windows[..., low], farthest).min(axis=0, initial=farthest)
        spans[:, high] = windows[..., high].max(axis=0, initial=0)
    spans[~is_there.any(axis=0)] = 0
    return spans


def _check_pair(a: PackedSequences, b: PackedSequences) -> None:
    if (a.height, a.width, a.frame_count) != (b.height, b.width, b.frame_count):
        raise ValueError(
            f"sequences of {a.frame_count} frames of {a.width}x{a.height} pixels cannot be compared with those of "
            f"{b.frame_count} frames of {b.width}x{b.height}; pack them for one video"
        )


def shared_area(a: PackedSequences, b: PackedSequences | None = None) -> NDArray[np.int64]:
    """Count the pixels that sequences share, over all frames.

    Parameters
    ----------
    a : PackedSequences
        N sequences.
    b : PackedSequences, optional
        M sequences of the same video; ``a`` itself if not given.

    Returns
    -------
    (N, M) int64
        Sum over t of the pixels in both masks, exactly.

    Raises
    ------
    ValueError
        If picture size or number of frames differ.
    """
    if b is None or b is a:
        out = np.zeros((len(a), len(a)), np.int64)
        shared_pairs(a.words, a.starts, a.windows, out)
        np.fill_diagonal(out, a.total)
        return out
    _check_pair(a, b)
    out = np.zeros((len(a), len(b)), np.int64)
    shared_all(a.words, a.starts, a.windows, b.words, b.starts, b.windows, out)
    return out


def shared_area_rows(
    a: PackedSequences, rows: ArrayLike, b: PackedSequences | None = None
) -> NDArray[np.int64]:
    """Count the pixels that some sequences share with all of a set, over all frames.

    Parameters
    ----------
    a : PackedSequences
        N sequences.
    rows : (R,) int
        Which of them.
    b : PackedSequences, optional
        M sequences of the same video; ``a`` itself if not given.

    Returns
    -------
    (R, M) int64
        As rows of `shared_area`, without the rest of it: sequences far apart are not looked at.

    Raises
    ------
    ValueError
        If picture size or number of frames differ, or a row is none of 0..N-1.
    """
    other = a if b is None else b
    _check_pair(a, other)
    picked = np.asarray(rows, np.int64).reshape(-1)
    out = np.zeros((len(picked), len(other)), np.int64)
    for place, i in enumerate(picked.tolist()):
        if not 0 <= i < len(a):
            raise ValueError(f"row {i} is none of the {len(a)} sequences (0 to {len(a) - 1})")
        shared_some(
            a.words,
            np.ascontiguousarray(a.starts[:, i]),
            np.ascontiguousarray(a.windows[:, i]),
            a.spans[i],
            other.words,
            other.starts,
            other.windows,
            other.spans,
            out[place],
        )
    return out


def shared_area_pairs(
    a: PackedSequences, rows_a: ArrayLike, b: PackedSequences, rows_b: ArrayLike
) -> NDArray[np.int64]:
    """Count the pixels that given pairs of sequences share, over all frames.

    Parameters
    ----------
    a, b : PackedSequences
        N and M sequences of one video.
    rows_a, rows_b : (P,) int
        The pairs, in 0..N-1 and 0..M-1.

    Returns
    -------
    (P,) int64
        Entries of `shared_area`, without the rest of it.

    Raises
    ------
    ValueError
        If picture size or number of frames differ, the lists are not equally long, or a row is out of range.
    """
    _check_pair(a, b)
    pairs = [np.asarray(rows, np.int64).reshape(-1) for rows in (rows_a, rows_b)]
    if len(pairs[0]) != len(pairs[1]):
        raise ValueError(f"pairs need two rows each, got {len(pairs[0])} and {len(pairs[1])} rows")
    for rows, count in zip(pairs, (len(a), len(b)), strict=True):
        if rows.size and not -1 < rows.min() <= rows.max() < count:
            raise ValueError(f"rows must lie in 0..{count - 1}, got {rows.min()} to {rows.max()}")
    out = np.zeros(len(pairs[0]), np.int64)
    shared_listed(a.words, a.starts, a.windows, pairs[0], b.words, b.starts, b.windows, pairs[1], out)
    return out


def sequence_iou(a: PackedSequences, b: PackedSequences | None = None) -> NDArray[np.float64]:
    """Divide the pixels that sequences share by those in either (Lin et al. 2021, used in Eq. 2 and 3).

    Parameters
    ----------
    a : PackedSequences
        N sequences.
    b : PackedSequences, optional
        M sequences of the same video; ``a`` itself if not given.

    Returns
    -------
    (N, M) float64
        sum_t |A_t and B_t| / sum_t |A_t or B_t|, in [0, 1]; 0 where both are empty in all frames. Not the mean of
        the frames' IoU.

    Raises
    ------
    ValueError
        If picture size or number of frames differ.
    """
    other = a if b is None else b
    return _ratio(shared_area(a, b), a.total[:, None], other.total[None])


def sequence_iou_row(a: PackedSequences, i: int) -> NDArray[np.float64]:
    """Compare one sequence with all of its set.

    Parameters
    ----------
    a : PackedSequences
        N sequences.
    i : int
        Which.

    Returns
    -------
    (N,) float64
        Row i of `sequence_iou`, bit for bit.

    Raises
    ------
    ValueError
        If there is no sequence i.
    """
    return _ratio(shared_area_rows(a, [i])[0], a.total[i], a.total)


def _ratio(
    shared: NDArray[np.int64], area_a: NDArray[np.int64], area_b: NDArray[np.int64]
) -> NDArray[np.float64]:
    either = area_a + area_b - shared
    out: NDArray[np.float64] = np.divide(shared, either, out=np.zeros(shared.shape), where=either > 0)
    return out

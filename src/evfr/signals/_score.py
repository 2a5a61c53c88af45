"""One pass over decoded frames for all signals, with comparison overlapping decoding."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from evfr.signals._cuts import CONTENT_WIDTH, block_means, content_change
from evfr.signals._grey import OwnedFrame
from evfr.signals._quality import clipped_share, sharpness

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from evfr._core.types import FrameView
    from evfr.signals._signals import Signal

__all__ = ["ScoredFrames", "score_frames"]


@dataclass(frozen=True, slots=True, eq=False)
class ScoredFrames:
    """Hold what one pass measured.

    Attributes
    ----------
    frame_index : (M,) int64
        Index of each decoded frame, increasing.
    values : dict of str to (M,) float64
        For each signal, the dissimilarity of each frame and the next; 0.0 for the last frame. NaN where it
        could not be measured: an end is suspect, a frame between did not decode, the picture size changes.
    content : (M,) float64
        Content change of each frame and the next, for `find_cuts`; NaN and 0.0 as above.
    sharpness : (M,) float64
        Sharpness of each frame, see `evfr.signals.sharpness`.
    clipped : (M,) float64
        Share of pixels too dark or too bright of each frame, see `evfr.signals.clipped_share`.
    working_widths : dict of str to int
        Width in pixels at which each signal worked; flow values compare only at one width. 0 if no frame
        decoded.
    """

    frame_index: NDArray[np.int64]
    values: dict[str, NDArray[np.float64]]
    content: NDArray[np.float64]
    sharpness: NDArray[np.float64]
    clipped: NDArray[np.float64]
    working_widths: dict[str, int]

    def __post_init__(self) -> None:
        count = len(self.frame_index)
        own = {"content": self.content, "sharpness": self.sharpness, "clipped": self.clipped}
        for name, column in {**self.values, **own}.items():
            if column.shape != (count,) or column.dtype != np.float64:
                raise ValueError(f"{name} must be ({count},) float64, got {column.shape} {column.dtype}")
        if set(self.working_widths) != set(self.values):
            raise ValueError("working_widths must name the same signals as values")

    def __len__(self) -> int:
        return len(self.frame_index)

    def __repr__(self) -> str:
        return f"ScoredFrames({len(self)} frames, {', '.join(self.values)})"


def score_frames(
    frames: Iterable[FrameView],
    signals: Mapping[str, Signal],
    *,
    threads: int = 1,
    on_frame: Callable[[int], None] | None = None,
) -> ScoredFrames:
    """Measure all signals on consecutive frames in one pass.

    Parameters
    ----------
    frames : iterable of FrameView
        Decoded frames in presentation order; each need only be valid until the next is asked for.
    signals : mapping of str to Signal
        From `make_signals`, or your own.
    threads : int
        1 does everything in the caller's thread; more compare frames in ``threads - 1`` others while the
        caller's decodes. The values are the same bytes for any number.
    on_frame : callable, optional
        Called with the number of frames seen, after each.

    Returns
    -------
    ScoredFrames
        One row per frame.

    Raises
    ------
    ValueError
        If ``threads`` is below 1 or frame indices do not increase.
    """
    if threads < 1:
        raise ValueError(f"threads must be 1 or more, got {threads}")
    names = tuple(signals)
    rows: list[tuple[float, ...]] = []
    frame_index: list[int] = []
    quality: list[tuple[float, float]] = []
    widths = dict.fromkeys(names, 0)
    previous: _Prepared | None = None
    pending: deque[Future[tuple[float, ...]]] = deque()
    unmeasured = (math.nan,) * (len(names) + 1)
    pool = ThreadPoolExecutor(threads - 1) if threads > 1 else None
    try:
        for frame in frames:
            current = _prepare(frame, signals)
            if previous is None:
                widths = {name: _working_width(signals[name], current.shape[1]) for name in names}
            elif current.frame_index <= previous.frame_index:
                raise ValueError(
                    f"frame indices must increase, got {current.frame_index} after {previous.frame_index}"
                )
            elif not _is_pair(previous, current):
                _drain(pending, rows, 0)
                rows.append(unmeasured)
            elif pool is None:
                rows.append(_compare(signals, previous, current))
            else:
                pending.append(pool.submit(_compare, signals, previous, current))
                _drain(pending, rows, 2 * threads)
            previous = current
            frame_index.append(current.frame_index)
            quality.append(current.quality)
            if on_frame is not None:
                on_frame(len(frame_index))
        _drain(pending, rows, 0)
    finally:
        if pool is not None:
            pool.shutdown(wait=True, cancel_futures=True)
    if previous is not None:
        rows.append((0.0,) * (len(names) + 1))
    table = np.array(rows, dtype=np.float64).reshape(len(rows), len(names) + 1)
    return ScoredFrames(
        np.array(frame_index, dtype=np.int64),
        {name: np.ascontiguousarray(table[:, i + 1]) for i, name in enumerate(names)},
        np.ascontiguousarray(table[:, 0]),
        np.array([sharp for sharp, _ in quality], dtype=np.float64),
        np.array([share for _, share in quality], dtype=np.float64),
        widths,
    )


@dataclass(frozen=True, slots=True)
class _Prepared:
    """What stays of a frame once the decoder moves on."""

    frame_index: int
    is_suspect: bool
    shape: tuple[int, ...]
    content: NDArray[np.float64]
    quality: tuple[float, float]
    states: dict[str, Any]


def _prepare(frame: FrameView, signals: Mapping[str, Signal]) -> _Prepared:
    owned = OwnedFrame(frame)
    states = {name: signal.prepare(owned) for name, signal in signals.items()}
    small = owned.resized(CONTENT_WIDTH)
    content, quality = block_means(small), (sharpness(small), clipped_share(small))
    owned.release()
    return _Prepared(owned.frame_index, owned.is_suspect, owned.luma().shape, content, quality, states)


def _is_pair(previous: _Prepared, current: _Prepared) -> bool:
    return (
        current.frame_index == previous.frame_index + 1
        and not previous.is_suspect
        and not current.is_suspect
        and current.shape == previous.shape
    )


def _compare(signals: Mapping[str, Signal], previous: _Prepared, current: _Prepared) -> tuple[float, ...]:
    values = [content_change(previous.content, current.content)]
    values += [float(s.compare(previous.states[name], current.states[name])) for name, s in signals.items()]
    return tuple(values)


def _drain(pending: deque[Future[tuple[float, ...]]], rows: list[tuple[float, ...]], keep: int) -> None:
    while len(pending) > keep:
        rows.append(pending.popleft().result())


def _working_width(signal: Signal, width: int) -> int:
    asked: int | None = getattr(signal, "width", None)
    return width if asked is None else min(asked, width)

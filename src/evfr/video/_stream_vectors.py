"""Turn a file's own motion vectors into motion between neighbouring frames, or into a coded clip, in one pass."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numba import njit

from evfr._core.gop import NO_REFERENCE, CodedClip, ListField
from evfr._core.motion import StepFields
from evfr.errors import ProblemCode
from evfr.video._block_field import fill_nearest, vector_flows, vector_rows
from evfr.video._candidates import RANK_PENALTY, block_error, candidate_references
from evfr.video._container import DEFAULT_MAX_PIXELS, fail
from evfr.video._motion_vectors import FrameVectors, open_with_vectors, vectors_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path
    from types import TracebackType
    from typing import Self

    from numpy.typing import NDArray

    from evfr.video._frames import VideoFrame
    from evfr.video._reader import VideoReader

__all__ = ["StreamVectors"]

CELL = 8
PAST = 5
FUTURE = 3
REACH = 12
"""Frames before and after that may hold candidates: 5 pictures already decoded lie within, 7 B in a row or fewer."""


@dataclass(slots=True)
class _Coded:
    """One decoded frame with what its vectors point into, found when first asked for."""

    vectors: FrameVectors
    grey: NDArray[np.uint8]
    fields: tuple[ListField, ListField] | None = None


class StreamVectors:
    """Read a video file's own vectors as motion between neighbouring frames (ours).

    It is a context manager. The file is decoded once, forward, as stretches are asked for in order; a stretch that
    begins before what is still held decodes from the file's start again. Only a stretch and a few frames around it
    are held.

    Parameters
    ----------
    path : str or Path
        A video file whose codec exports vectors.
    max_pixels : int
        Largest picture to accept, width times height.

    Raises
    ------
    VideoError
        If the video cannot be used; ``E_CODEC`` if its decoder exports no vectors.

    Notes
    -----
    Which picture a vector points into is found by `candidate_references` among the last 5 pictures before and the
    next 3 after the frame that are decoded before it.
    """

    def __init__(self, path: str | Path, *, max_pixels: int = DEFAULT_MAX_PIXELS) -> None:
        self._path = path
        self._max_pixels = max_pixels
        self._held: deque[_Coded] = deque()
        self._reader: VideoReader = open_with_vectors(path, max_pixels)
        self._frames: Iterator[VideoFrame] = iter(self._reader)
        self._next = 0
        self._first = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"StreamVectors({self._reader.info.path!r}, {len(self._held)} frames held)"

    def close(self) -> None:
        """Close the file."""
        self._reader.close()
        self._held.clear()

    def step_fields(self, frames: Sequence[NDArray[np.uint8]], frame_index: NDArray[np.int64]) -> StepFields:
        """Return the motion between neighbouring frames of a stretch; a `StepFieldMaker`.

        Parameters
        ----------
        frames : sequence of (H, W, 3) uint8
            T pictures of the stretch; only their number and size are looked at.
        frame_index : (T,) int64
            Their numbers in the file, each one more than the last.

        Returns
        -------
        StepFields
            On cells of 8 px. A vector that spans d frames is taken as steady motion: divided by d, with the sign
            that its direction in time asks for. Each cell has up to four such motions, of both lists of the two
            frames of the step, and takes the one with the least error in grey; the frame's own vectors come
            before its neighbour's by 0.25 grey levels. So I frames have motion, too. Cells without any are filled
            from the nearest cell that has some, and are False in ``has_previous`` or ``has_next``; so are all
            cells, filled with 0, where one of the two frames did not decode.

        Raises
        ------
        ValueError
            If the numbers are not consecutive or beyond the end of the file, or the pictures have another size.
        VideoError
            If the file cannot be read.
        """
        if len(frames) != len(frame_index) or len(frames) == 0:
            raise ValueError(
                f"each frame needs its number, got {len(frames)} frames and {len(frame_index)} numbers"
            )
        if (np.diff(frame_index) != 1).any() or frame_index[0] < 0:
            raise ValueError(
                "frame_index must grow by 1 from frame to frame from 0 or more: the vectors of a file join "
                f"neighbours, got {np.asarray(frame_index)[:6].tolist()}"
            )
        start, stop = int(frame_index[0]), int(frame_index[-1]) + 1
        coded = self._stretch(start, stop)
        shape = frames[0].shape[:2]
        for found in coded.values():
            if found.vectors.shape != shape:
                height, width = found.vectors.shape
                raise ValueError(
                    f"frame {found.vectors.frame_index} of the file is {width}x{height}, the picture given is "
                    f"{shape[1]}x{shape[0]}; give pictures of the file's size"
                )
        grid = (-(-shape[0] // CELL), -(-shape[1] // CELL))
        steps = len(frames) - 1
        flows = np.zeros((2, steps, *grid, 2), np.float32)
        has = np.zeros((2, steps, *grid), np.bool_)
        velocities = {place: self._velocities(frame, grid) for place, frame in coded.items()}
        for step, place in enumerate(range(start, stop - 1)):
            if place not in coded or place + 1 not in coded:
                continue
            # A velocity is the displacement to the frame before.
            for side, (own, other, sign) in enumerate(((place + 1, place, 1.0), (place, place + 1, -1.0))):
                options = [*velocities[own], *velocities[other]]
                _choose_steps(
                    coded[own].grey,
                    coded[other].grey,
                    np.stack([flow * np.float32(sign) for flow, _ in options]),
                    np.stack([known for _, known in options]),
                    CELL,
                    np.float32(RANK_PENALTY),
                    flows[side, step],
                    has[side, step],
                )
                flows[side, step] = fill_nearest(flows[side, step], has[side, step])
        return StepFields(flows[0], flows[1], CELL, "stream", has[0], has[1])

    def coded_clip(self, start: int, stop: int) -> CodedClip:
        """Return picture types, decoding order, vectors and found references of a stretch.

        Parameters
        ----------
        start, stop : int
            First frame and the one after the last, as indices in presentation order.

        Returns
        -------
        CodedClip
            On cells of 8 px. References lie in the stretch: a vector that may point out of it goes to the
            candidate inside that explains it best.

        Raises
        ------
        ValueError
            If the stretch is empty, begins below 0 or ends beyond the file.
        VideoError
            If a frame of the stretch did not decode or has no picture type, or the file cannot be read.
        """
        if not 0 <= start < stop:
            raise ValueError(f"a stretch must have 0 <= start < stop, got {start} and {stop}")
        found = self._stretch(start, stop)
        coded = [found[place] for place in range(start, stop) if place in found]
        known = [
            frame.vectors.frame_index for frame in coded if frame.vectors.picture_type in (b"I", b"P", b"B")
        ]
        if len(known) < stop - start:
            bad = min(set(range(start, stop)) - set(known))
            raise fail(
                ProblemCode.E_DAMAGED,
                f"frame {bad} did not decode or has no picture type, so that the order of decoding is not known; "
                "use the proxy (proxy_clip)",
                self._path,
            )
        height, width = coded[0].vectors.shape
        fields = [
            None if not len(frame.vectors.vectors) else _find_fields(frame, coded, start) for frame in coded
        ]
        order = np.argsort([frame.vectors.decode_index for frame in coded], kind="stable")
        types = b"".join(frame.vectors.picture_type for frame in coded).decode()
        return CodedClip(height, width, types, order.astype(np.int64), tuple(fields), CELL, "stream")

    # -- the window ------------------------------------------------------------------------------------------------

    def _stretch(self, start: int, stop: int) -> dict[int, _Coded]:
        """Decode so far that the frames of the stretch and their candidates are held; return the stretch."""
        first = max(start - REACH, 0)
        if first < self._first:
            self._restart()
        while self._held and self._held[0].vectors.frame_index < first:
            self._held.popleft()
        while self._next < stop + REACH:
            frame = next(self._frames, None)
            if frame is None:
                self._next = max(self._next, len(self._reader.table()))
                break
            self._next = frame.frame_index + 1
            if frame.frame_index >= first:
                self._held.append(_Coded(vectors_of(frame), frame.luma().copy()))
        self._first = max(self._first, min(first, self._next))
        if self._next < stop:
            raise ValueError(
                f"the file has {self._next} frames, frame {stop - 1} was asked for; give a stretch inside it"
            )
        return {
            coded.vectors.frame_index: coded
            for coded in self._held
            if start <= coded.vectors.frame_index < stop
        }

    def _restart(self) -> None:
        self.close()
        self._reader = open_with_vectors(self._path, self._max_pixels)
        self._frames = iter(self._reader)
        self._next = self._first = 0

    def _velocities(
        self, frame: _Coded, grid: tuple[int, int]
    ) -> list[tuple[NDArray[np.float32], NDArray[np.bool_]]]:
        """Return for each list the displacement to the frame before, and where it is known."""
        if frame.fields is None:
            frame.fields = (
                _find_fields(frame, self._held, 0)
                if len(frame.vectors.vectors)
                else (ListField.empty(*grid), ListField.empty(*grid))
            )
        out = []
        for field in frame.fields:
            distance = (frame.vectors.frame_index - field.reference).astype(np.float32)
            out.append((np.where(field.has[..., None], field.flow / distance[..., None], 0.0), field.has))
        return [(flow.astype(np.float32), known) for flow, known in out]


def _find_fields(
    frame: _Coded, around: Sequence[_Coded] | deque[_Coded], first: int
) -> tuple[ListField, ListField]:
    """Find what the vectors of a frame point into; references are frame indices, less ``first``."""
    own = frame.vectors
    earlier = [
        other
        for other in around
        if other.vectors.decode_index < own.decode_index
        and abs(other.vectors.frame_index - own.frame_index) <= REACH
    ]
    past = [other for other in reversed(earlier) if other.vectors.frame_index < own.frame_index][:PAST]
    future = [other for other in earlier if other.vectors.frame_index > own.frame_index][:FUTURE]
    candidates = [other for other in (*past, *future) if other.grey.shape == frame.grey.shape]
    count = sum(other.vectors.frame_index < own.frame_index for other in candidates)
    found = candidate_references(
        own.vectors,
        frame.grey,
        [other.grey for other in candidates[:count]],
        [other.grey for other in candidates[count:]],
    )
    places = np.array([other.vectors.frame_index - first for other in candidates] + [NO_REFERENCE], np.int32)
    reference, flows = places[found.reference], vector_flows(own.vectors)
    lists = []
    for rows in vector_rows(own.vectors, own.shape, CELL):
        named = np.where(rows >= 0, reference[rows], NO_REFERENCE).astype(np.int32)
        lists.append(ListField(named, np.where((named >= 0)[..., None], flows[rows], np.float32(0.0))))
    return lists[0], lists[1]


@njit(cache=True, nogil=True)
def _choose_steps(target, picture, options, known, cell, penalty, flow, has):  # type: ignore[no-untyped-def]
    """Take for each cell the option of least error; the second half of the options is handicapped."""
    height, width = target.shape
    for i in range(has.shape[0]):
        top, bottom = i * cell, min((i + 1) * cell, height)
        for j in range(has.shape[1]):
            left, right = j * cell, min((j + 1) * cell, width)
            size = (bottom - top) * (right - left)
            best = np.float32(np.inf)
            for option in range(len(options)):
                if not known[option, i, j]:
                    continue
                handicap = penalty if 2 * option >= len(options) else np.float32(0.0)
                dx, dy = options[option, i, j, 0], options[option, i, j, 1]
                error = block_error(target, picture, top, bottom, left, right, dx, dy, best * size) / size
                if error + handicap < best:
                    best = error + handicap
                    flow[i, j, 0], flow[i, j, 1] = dx, dy
                    has[i, j] = True

"""Cut a video into stretches between labelled frames, with the pictures of one stretch at a time."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

    from evfr._core.types import FrameTable
    from evfr.verbs._measure import Damaged

__all__ = ["Joined", "Pictures", "Stretch", "load_pictures", "plan_stretches", "stretch_pictures"]

MEMORY_BYTES = 1 << 30


@dataclass(frozen=True, slots=True)
class Stretch:
    """Say which frames lie between two labelled ones, both included.

    Attributes
    ----------
    first, last : int
        Frame indices of the ends.
    has_left, has_right : bool
        Which ends are labelled; at least one is.
    """

    first: int
    last: int
    has_left: bool
    has_right: bool

    def __len__(self) -> int:
        return self.last - self.first + 1


def plan_stretches(labeled: Sequence[int], frame_count: int) -> list[Stretch]:
    """Return the stretches of a video, from its first frame to its last.

    Parameters
    ----------
    labeled : sequence of int
        Labelled frames, increasing; one or more.
    frame_count : int
        Frames of the video.

    Returns
    -------
    list of Stretch
        Neighbours share their labelled frame. A single stretch of one frame where that is the whole video.

    Examples
    --------
    >>> [(s.first, s.last) for s in plan_stretches([3, 7], 10)]
    [(0, 3), (3, 7), (7, 9)]
    """
    marks = [int(index) for index in labeled]
    out = [Stretch(a, b, True, True) for a, b in pairwise(marks)]
    if marks[0] > 0:
        out.insert(0, Stretch(0, marks[0], False, True))
    if marks[-1] < frame_count - 1 or frame_count == 1:
        out.append(Stretch(marks[-1], frame_count - 1, True, False))
    return out


class Pictures(Sequence[Any]):
    """Hold the pictures of one stretch: in memory, or in a temporary file where they are many.

    Parameters
    ----------
    count : int
        Frames, T.
    height, width : int
        Size in pixels.
    memory_bytes : int
        Above this they lie in a file that disappears with this value.
    """

    def __init__(self, count: int, height: int, width: int, memory_bytes: int = MEMORY_BYTES) -> None:
        import numpy as np

        shape = (count, height, width, 3)
        self.is_on_disk = count * height * width * 3 > memory_bytes
        if self.is_on_disk:
            # The mapping outlives the file, which has no name: nothing stays behind, whatever dies.
            with tempfile.TemporaryFile(prefix="evfr-") as file:
                self._data: NDArray[np.uint8] = np.memmap(file, np.uint8, "w+", shape=shape)
        else:
            self._data = np.empty(shape, np.uint8)
        self.is_usable: NDArray[np.bool_] = np.zeros(count, np.bool_)

    def put(self, position: int, picture: NDArray[np.uint8], *, is_usable: bool) -> None:
        """Set one picture."""
        self._data[position] = picture
        self.is_usable[position] = is_usable

    def finish(self, has: NDArray[np.bool_]) -> None:
        """Put a stand-in where no frame decoded: its neighbour, or grey."""
        import numpy as np

        there = np.flatnonzero(has)
        for position in np.flatnonzero(~has):
            if there.size:
                nearest = there[np.abs(there - position).argmin()]
                self._data[position] = self._data[nearest]
            else:
                self._data[position] = 128

    def __len__(self) -> int:
        return len(self._data)

    def __getitem__(self, position: Any) -> Any:
        return self._data[position]


class Joined(Sequence[Any]):
    """Show two neighbouring stretches as one; they share the frame where they meet.

    Parameters
    ----------
    left, right : sequence of (H, W, 3) uint8
        The last picture of ``left`` is the first of ``right``.
    """

    def __init__(self, left: Sequence[Any], right: Sequence[Any]) -> None:
        self._left, self._right = left, right

    def __len__(self) -> int:
        return len(self._left) + len(self._right) - 1

    def __getitem__(self, position: Any) -> Any:
        if isinstance(position, slice):
            return [self[p] for p in range(*position.indices(len(self)))]
        position = range(len(self))[position]
        first = len(self._left)
        return self._left[position] if position < first else self._right[position - first + 1]


def stretch_pictures(
    path: str | Path,
    stretches: Sequence[Stretch],
    table: FrameTable,
    *,
    damaged: Damaged,
    wanted: Sequence[bool],
    memory_bytes: int = MEMORY_BYTES,
) -> Iterator[tuple[int, Pictures | None]]:
    """Go through a video once and hand out the pictures of each stretch.

    Parameters
    ----------
    path : path
        The video.
    stretches : sequence of Stretch
        In order, as `plan_stretches` makes them.
    table : FrameTable
        Its frames, from an earlier pass.
    damaged : str
        As in `evfr.select`.
    wanted : sequence of bool
        Which stretches are needed; of the others no picture is made.
    memory_bytes : int
        See `Pictures`.

    Yields
    ------
    tuple of (int, Pictures or None)
        Number of the stretch and its T pictures; None where they are not wanted. Frames that did not decode, and
        those that damage may have reached, are not usable.

    Raises
    ------
    VideoError
        If the video cannot be read, or is not the one that was measured.
    """
    import numpy as np

    from evfr._core.types import Problem
    from evfr.errors import ProblemCode, VideoError
    from evfr.video import open_video, printable

    if not any(wanted):
        yield from ((number, None) for number in range(len(stretches)))
        return
    last_wanted = max(number for number, is_wanted in enumerate(wanted) if is_wanted)
    current = 0
    held: Pictures | None = None
    has = np.zeros(0, np.bool_)
    shared: tuple[int, Any, bool] | None = None

    def begin(number: int) -> None:
        nonlocal held, has
        size = len(stretches[number])
        held = Pictures(size, table.height, table.width, memory_bytes) if wanted[number] else None
        has = np.zeros(size, np.bool_)
        # The labelled frame where two stretches meet may not have decoded; then the last one kept is an older one.
        if held is not None and shared is not None and shared[0] == stretches[number].first:
            held.put(0, shared[1], is_usable=shared[2])
            has[0] = True

    begin(0)
    usable = table.is_decoded if damaged == "keep" else table.is_selectable
    with open_video(path, damaged=damaged) as video:
        frames = iter(video)
        while True:
            frame = next(frames, None)
            index = len(table) if frame is None else frame.frame_index
            # A stretch is whole once a frame at or behind its end has come.
            while current < len(stretches) and index > stretches[current].last:
                if held is not None:
                    held.finish(has)
                yield current, held
                held = None
                if current == last_wanted:
                    yield from ((number, None) for number in range(current + 1, len(stretches)))
                    return
                current += 1
                if current < len(stretches):
                    begin(current)
            if frame is None:
                return
            if index >= len(table) or frame.luma_hash != int(table.luma_hash[index]):
                raise VideoError(
                    Problem(
                        ProblemCode.E_CHANGED,
                        "the file changed while it was read; run it again",
                        printable(path),
                        index,
                    )
                )
            stretch = stretches[current]
            is_end = index == stretch.last
            needs_next = is_end and current + 1 < len(stretches) and wanted[current + 1]
            if held is not None or needs_next:
                picture = frame.rgb()
                if picture.shape[:2] != (table.height, table.width):
                    continue  # the size changed in mid-stream: as good as not decoded here
                if held is not None:
                    held.put(index - stretch.first, picture, is_usable=bool(usable[index]))
                    has[index - stretch.first] = True
                if is_end:
                    shared = (index, picture.copy(), bool(usable[index]))


def load_pictures(
    path: str | Path,
    first: int,
    last: int,
    table: FrameTable,
    *,
    damaged: Damaged,
    size: tuple[int, int] | None = None,
) -> Pictures:
    """Return the pictures of one range of frames, read where they lie.

    Parameters
    ----------
    path : path
        The video.
    first, last : int
        Frame indices, both included.
    table : FrameTable
        Its frames, from an earlier pass.
    damaged : str
        As in `evfr.select`.
    size : tuple of (int, int) or None
        (height, width) to which pictures are shrunk; None keeps them as they are.

    Returns
    -------
    Pictures
        As `stretch_pictures` hands them out.

    Raises
    ------
    ExtractionError, VideoError
        If the video cannot be read, or is not the one that was measured.
    """
    import cv2
    import numpy as np

    from evfr.video import extract_frames

    height, width = size or (table.height, table.width)
    pictures = Pictures(last - first + 1, height, width)
    has = np.zeros(len(pictures), np.bool_)
    usable = table.is_decoded if damaged == "keep" else table.is_selectable
    wanted = first + np.flatnonzero(usable[first : last + 1])
    for frame in extract_frames(path, wanted.tolist(), table, damaged=damaged):
        if frame.image.shape[:2] == (table.height, table.width):
            image = frame.image
            if image.shape[:2] != (height, width):
                image = np.asarray(cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA), np.uint8)
            pictures.put(frame.frame_index - first, image, is_usable=True)
            has[frame.frame_index - first] = True
    pictures.finish(has)
    return pictures

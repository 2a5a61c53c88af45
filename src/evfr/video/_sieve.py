"""Let through the pictures that are wanted, and only if they are what the table says."""

from __future__ import annotations

from typing import TYPE_CHECKING

from evfr.video._luma import luma_hash

if TYPE_CHECKING:
    from collections.abc import Iterator

    from av.video.frame import VideoFrame as AvFrame

    from evfr._core.types import FrameTable
    from evfr.video._plan import Segment

__all__ = ["Mismatch", "Sieve", "is_same_picture"]


class Mismatch(Exception):
    """What was decoded is not what the table says."""


def is_same_picture(frame: AvFrame, index: int, table: FrameTable) -> bool:
    """Whether a decoded picture's luma is that of frame ``index``: the one check that every path makes."""
    return luma_hash(frame) == int(table.luma_hash[index])


class Sieve:
    """Let the wanted pictures of a segment through, in order, each proven by its hash.

    Attributes
    ----------
    awaited : set of int
        Indices to show to `take`: the wanted ones and the key frame that the run starts with.
    pending : list of int
        Wanted indices that have not come, the next one last.
    """

    def __init__(self, table: FrameTable, segment: Segment) -> None:
        self._table = table
        self._start = segment.start
        self.pending = list(segment.wanted)[::-1]
        self.awaited = {*segment.wanted, segment.start} - {-1}

    def take(self, frame: AvFrame, index: int) -> Iterator[tuple[int, AvFrame]]:
        """Yield the picture if it is the next wanted one; raise `Mismatch` if it cannot be what it should be."""
        if self._start >= 0:
            if index != self._start or not frame.key_frame:
                raise Mismatch(f"decoding does not start with key frame {self._start}")
            self._start = -1
        # A key frame that nobody selected may have no hash on record; a wanted frame always has.
        has_hash = index == self.pending[-1] or self._table.luma_hash[index] != 0
        if frame.is_corrupt or (has_hash and not is_same_picture(frame, index, self._table)):
            raise Mismatch(f"frame {index} has other pixels than the table says")
        self.awaited.discard(index)
        if index > self.pending[-1]:
            raise Mismatch(f"frame {self.pending[-1]} does not come")
        if index == self.pending[-1]:
            self.pending.pop()
            yield index, frame

    def finish(self) -> None:
        """Raise `Mismatch` if a wanted picture has not come."""
        if self.pending:
            raise Mismatch(f"frame {self.pending[-1]} does not come")

"""Plain values that travel between families."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from evfr.errors import ProblemCode

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["PTS_NONE", "FrameTable", "FrameView", "Problem"]

PTS_NONE = -(2**63)
"""Stands for "this frame has no time stamp" in integer pts arrays (FFmpeg's AV_NOPTS_VALUE)."""


@dataclass(frozen=True, slots=True)
class Problem:
    """Say what is wrong with one input, where, and under which stable code.

    Attributes
    ----------
    code : ProblemCode
        Stable code; ``code.is_error`` tells whether the input is unusable.
    message : str
        One sentence: what is wrong and what to do next.
    source : str
        The video or file it is about, printable.
    frame_index : int or None
        First frame concerned, where it is known.
    count : int
        How many frames or packets are concerned.
    """

    code: ProblemCode
    message: str
    source: str
    frame_index: int | None = None
    count: int = 1

    def __str__(self) -> str:
        where = "" if self.frame_index is None else f" (frame {self.frame_index})"
        return f"{self.source}: {self.code}: {self.message}{where}"

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON-ready dict, keys in field order."""
        return {
            "code": str(self.code),
            "message": self.message,
            "source": self.source,
            "frame_index": self.frame_index,
            "count": self.count,
        }

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Problem:
        """Build a problem from `to_dict`'s output; ValueError, KeyError or TypeError if it is none."""
        index, count = data["frame_index"], data["count"]
        texts = data["message"], data["source"]
        if not all(isinstance(text, str) for text in texts) or type(count) is not int:
            raise TypeError(f"a problem has a message, a source and a count, got {data!r:.200}")
        if index is not None and type(index) is not int:
            raise TypeError(f"the frame_index of a problem is a whole number or null, got {index!r:.80}")
        return cls(ProblemCode(data["code"]), *texts, index, count)


class FrameView(Protocol):
    """One decoded frame as signals and embeddings see it; valid until the next frame is asked for."""

    @property
    def frame_index(self) -> int:
        """0-based index in presentation order."""

    @property
    def is_suspect(self) -> bool:
        """Whether damage may have reached this frame's pixels."""

    def luma(self) -> NDArray[np.uint8]:
        """Return the full-range grey picture, (H, W) uint8, upright; do not write into it."""

    def rgb(self) -> NDArray[np.uint8]:
        """Return the colour picture, (H, W, 3) uint8 RGB, upright."""

    def motion_vectors(self) -> NDArray[np.void]:
        """Return the codec's motion vectors as a structured array, (K,); empty when there are none."""


@dataclass(frozen=True, slots=True, eq=False)
class FrameTable:
    """Hold the identity of every presented frame of one video, in presentation order.

    Attributes
    ----------
    pts : (N,) int64
        Presentation time stamps in units of ``time_base``; `PTS_NONE` where there is none.
    time_base : Fraction
        Seconds per pts unit.
    time_seconds : (N,) float64
        Time since the stream's first pts, in seconds; never decreasing for a healthy file.
    picture_type : (N,) bytes of length 1
        ``b"I"``, ``b"P"``, ``b"B"`` or ``b"?"``.
    is_iframe : (N,) bool
        Whether the codec marks the frame as a key frame.
    luma_hash : (N,) uint64
        XXH64 (seed 0) of the decoded luma plane, rows without padding, before rotation; 0 if not decoded.
    is_suspect : (N,) bool
        Whether damage may have reached the frame (true for every undecoded frame as well).
    is_decoded : (N,) bool
        False for a frame that is known to exist but did not decode: it keeps its place.
    is_time_estimated : bool
        True where the container has no time stamps and times come from the frame rate.
    width, height : int
        Upright picture size in pixels.
    """

    pts: NDArray[np.int64]
    time_base: Fraction
    time_seconds: NDArray[np.float64]
    picture_type: NDArray[np.bytes_]
    is_iframe: NDArray[np.bool_]
    luma_hash: NDArray[np.uint64]
    is_suspect: NDArray[np.bool_]
    is_decoded: NDArray[np.bool_]
    is_time_estimated: bool
    width: int
    height: int

    def __post_init__(self) -> None:
        n = len(self.pts)
        expected: dict[str, Any] = {
            "pts": np.int64,
            "time_seconds": np.float64,
            "picture_type": np.dtype("S1"),
            "is_iframe": np.bool_,
            "luma_hash": np.uint64,
            "is_suspect": np.bool_,
            "is_decoded": np.bool_,
        }
        for name, dtype in expected.items():
            array = getattr(self, name)
            if array.shape != (n,) or array.dtype != dtype:
                raise ValueError(
                    f"{name} must be ({n},) {np.dtype(dtype)}, got {array.shape} {array.dtype}; "
                    "build all columns from the same frames"
                )
        if self.time_base <= 0:
            raise ValueError(f"time_base must be positive, got {self.time_base}")

    def __len__(self) -> int:
        return len(self.pts)

    def __repr__(self) -> str:
        return (
            f"FrameTable({len(self)} frames, {self.width}x{self.height}, time_base={self.time_base}, "
            f"{int(self.is_suspect.sum())} suspect)"
        )

    @property
    def is_selectable(self) -> NDArray[np.bool_]:
        """(N,) bool: frames that decoded and that no damage may have reached."""
        return self.is_decoded & ~self.is_suspect

    @property
    def duration_seconds(self) -> float:
        """Seconds from the first frame to the end of the last one (its duration: the median step)."""
        if len(self) == 0:
            return 0.0
        span = float(self.time_seconds[-1] - self.time_seconds[0])
        step = float(np.median(np.diff(self.time_seconds))) if len(self) > 1 else 0.0
        return span + max(step, 0.0)

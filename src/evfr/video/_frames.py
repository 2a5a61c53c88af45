"""Hold one decoded frame: its identity, and its pixels on request, upright."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from av.sidedata.sidedata import Type as SideDataType

from evfr.video._luma import grey, luma_hash, rgb_of

if TYPE_CHECKING:
    from typing import Any

    from av.video.frame import VideoFrame as AvFrame
    from numpy.typing import NDArray

__all__ = ["MOTION_VECTOR_DTYPE", "Frame", "Orientation", "VideoFrame", "orientation_of"]

MOTION_VECTOR_DTYPE = np.dtype(
    [
        ("source", "int32"),
        ("w", "uint8"),
        ("h", "uint8"),
        ("src_x", "int16"),
        ("src_y", "int16"),
        ("dst_x", "int16"),
        ("dst_y", "int16"),
        ("flags", "uint64"),
        ("motion_x", "int32"),
        ("motion_y", "int32"),
        ("motion_scale", "uint16"),
    ],
    align=True,
)
"""Layout of one row of FFmpeg's exported motion vectors (struct AVMotionVector)."""

_PICTURE_TYPES = {0: b"?", 1: b"I", 2: b"P", 3: b"B", 4: b"P", 5: b"I", 6: b"P", 7: b"B"}


class Orientation(NamedTuple):
    """How to turn a decoded picture upright: transpose first, then flip columns and rows."""

    is_transposed: bool = False
    has_flipped_columns: bool = False
    has_flipped_rows: bool = False

    def apply(self, picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Return the upright picture, contiguous; (H, W) or (H, W, C) uint8."""
        if self == _UPRIGHT:
            return picture
        turned = picture.swapaxes(0, 1) if self.is_transposed else picture
        if self.has_flipped_columns:
            turned = turned[:, ::-1]
        if self.has_flipped_rows:
            turned = turned[::-1]
        return np.ascontiguousarray(turned)

    @property
    def rotation(self) -> int:
        """Degrees, clockwise, that turn the stored picture upright: 0, 90, 180 or 270 (mirroring left out)."""
        if self.is_transposed:
            return 90 if self.has_flipped_columns else 270
        return 180 if self.has_flipped_rows else 0


_UPRIGHT = Orientation()


def side_data(frame: AvFrame, kind: SideDataType) -> bytes | None:
    """Return a copy of one kind of a frame's side data, or None where it has none."""
    # The container is keyed by the enumeration, though its stub says str.
    data: Any = frame.side_data.get(kind)  # type: ignore[call-overload]
    return None if data is None else bytes(data)


def orientation_of(frame: AvFrame) -> Orientation:
    """Return how the display matrix of a decoded frame turns it upright, to the nearest quarter turn."""
    data = side_data(frame, SideDataType.DISPLAYMATRIX)
    if data is None:
        return _UPRIGHT
    a, b, _, c, d = np.frombuffer(data, "<i4", 5).tolist()
    # The matrix sends (x, y), y downwards, to (a x + c y, b x + d y).
    if abs(a) + abs(d) >= abs(b) + abs(c):
        return Orientation(False, a < 0, d < 0)
    return Orientation(True, c < 0, b < 0)


class VideoFrame:
    """One decoded frame of a pass, upright, as signals and embeddings see it (a `FrameView`).

    It is valid until the next frame is asked for. Pixels are made when asked, at most once.

    Attributes
    ----------
    frame_index : int
        0-based index in presentation order, frames that did not decode counted.
    pts : int
        Presentation time stamp in units of the stream's time base; `PTS_NONE` where there is none.
    time_seconds : float
        Seconds since the stream's first pts; estimated from the frame rate where there is no pts.
    picture_type : bytes
        ``b"I"``, ``b"P"``, ``b"B"`` or ``b"?"``.
    is_iframe : bool
        Whether the codec marks the frame as a key frame.
    is_suspect : bool
        Whether damage may have reached the pixels.
    """

    __slots__ = (
        "_frame",
        "_hash",
        "_luma",
        "_orientation",
        "_rgb",
        "frame_index",
        "is_iframe",
        "is_suspect",
        "picture_type",
        "pts",
        "time_seconds",
    )

    def __init__(
        self,
        frame: AvFrame,
        orientation: Orientation,
        *,
        frame_index: int,
        pts: int,
        time_seconds: float,
        is_suspect: bool,
    ) -> None:
        self.frame_index = frame_index
        self.pts = pts
        self.time_seconds = time_seconds
        self.picture_type = _PICTURE_TYPES.get(frame.pict_type, b"?")
        self.is_iframe = bool(frame.key_frame)
        self.is_suspect = is_suspect
        self._frame = frame
        self._orientation = orientation
        self._luma: NDArray[np.uint8] | None = None
        self._rgb: NDArray[np.uint8] | None = None
        self._hash: int | None = None

    def __repr__(self) -> str:
        height, width = self.shape
        kind = self.picture_type.decode()
        suspect = ", suspect" if self.is_suspect else ""
        return f"VideoFrame({self.frame_index}, {self.time_seconds:.3f} s, {kind}, {width}x{height}{suspect})"

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width of the upright picture, in pixels."""
        height, width = self._frame.height, self._frame.width
        return (width, height) if self._orientation.is_transposed else (height, width)

    @property
    def luma_hash(self) -> int:
        """XXH64 of the decoded luma plane before rotation: the frame's identity, in [0, 2**64)."""
        if self._hash is None:
            self._hash = luma_hash(self._frame)
        return self._hash

    def luma(self) -> NDArray[np.uint8]:
        """Return the full-range grey picture, (H, W) uint8, upright; do not write into it."""
        if self._luma is None:
            self._luma = self._orientation.apply(grey(self._frame))
        return self._luma

    def rgb(self) -> NDArray[np.uint8]:
        """Return the colour picture, (H, W, 3) uint8 RGB, upright; do not write into it."""
        if self._rgb is None:
            self._rgb = self._orientation.apply(rgb_of(self._frame))
        return self._rgb

    @property
    def decode_index(self) -> int:
        """Place of the frame's packet in decoding order, counted from 0; -1 where it is not known (images)."""
        order = self._frame.opaque
        return int(order) if isinstance(order, int) else -1

    @property
    def orientation(self) -> Orientation:
        """How the stored picture is turned upright."""
        return self._orientation

    def motion_vectors(self) -> NDArray[np.void]:
        """Return the codec's motion vectors, (K,) of `MOTION_VECTOR_DTYPE`, in the stored picture's axes.

        Empty for intra frames, for codecs that export none, and when the video was not opened with
        ``motion_vectors=True``.
        """
        data = side_data(self._frame, SideDataType.MOTION_VECTORS)
        if data is None:
            return np.empty(0, MOTION_VECTOR_DTYPE)
        raw = np.frombuffer(data, MOTION_VECTOR_DTYPE)
        # FFmpeg leaves the gaps between the fields as it found them: copied field by field, the same file gives
        # the same bytes. (Copied whole, numpy 2.5 takes the gaps along.)
        vectors = np.zeros(len(raw), MOTION_VECTOR_DTYPE)
        for name in MOTION_VECTOR_DTYPE.names or ():
            vectors[name] = raw[name]
        return vectors


@dataclass(frozen=True, slots=True, eq=False)
class Frame:
    """One frame of a video as a plain value that the caller may keep.

    Attributes
    ----------
    frame_index : int
        0-based index in presentation order.
    pts : int
        Presentation time stamp in units of ``time_base``; `PTS_NONE` where there is none.
    time_base : Fraction
        Seconds per pts unit.
    time_seconds : float
        Seconds since the stream's first pts.
    image : (H, W, 3) uint8
        RGB, upright.
    """

    frame_index: int
    pts: int
    time_base: Fraction
    time_seconds: float
    image: NDArray[np.uint8]

    def __post_init__(self) -> None:
        if self.image.ndim != 3 or self.image.shape[2] != 3 or self.image.dtype != np.uint8:
            raise ValueError(f"image must be (H, W, 3) uint8 RGB, got {self.image.shape} {self.image.dtype}")
        if self.frame_index < 0:
            raise ValueError(f"frame_index must be 0 or more, got {self.frame_index}")

    def __repr__(self) -> str:
        height, width = self.image.shape[:2]
        return f"Frame({self.frame_index}, {self.time_seconds:.3f} s, {width}x{height})"

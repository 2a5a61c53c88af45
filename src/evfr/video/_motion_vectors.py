"""Read the motion vectors that a codec left in a video, frame by frame, upright and in the codec's own words.

FFmpeg's decoders of H.264, MPEG-1, -2 and -4, H.263 and their kin export vectors; those of HEVC, VVC, VP8, VP9, AV1
and MJPEG export none. With frame threads FFmpeg silently loses vectors, so that vectors are decoded without.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from evfr.errors import ProblemCode
from evfr.video._container import DEFAULT_MAX_PIXELS, fail
from evfr.video._frames import MOTION_VECTOR_DTYPE, Orientation
from evfr.video._inputs import kind_of
from evfr.video._open import open_video

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from numpy.typing import NDArray

    from evfr.video._frames import VideoFrame
    from evfr.video._reader import VideoReader

__all__ = ["FrameVectors", "motion_vectors", "open_with_vectors", "vectors_of"]

_WITHOUT = frozenset(
    {"hevc", "vvc", "evc", "vp8", "vp9", "av1", "theora", "mjpeg", "svq1", "svq3", "cinepak"}
)
"""Codecs with predicted pictures, or taken for such, whose decoders export no vectors."""


@dataclass(frozen=True, slots=True, eq=False)
class FrameVectors:
    """Hold the motion vectors of one decoded frame, in the axes of the upright picture.

    Attributes
    ----------
    frame_index : int
        0-based index in presentation order.
    pts : int
        Presentation time stamp in units of the stream's time base; `PTS_NONE` where there is none.
    decode_index : int
        Place of its packet in decoding order: a frame can refer only to frames of smaller ``decode_index``. Places
        of packets that made no frame are left out, so that there may be holes.
    picture_type : bytes
        ``b"I"``, ``b"P"``, ``b"B"`` or ``b"?"``.
    is_iframe : bool
        Whether the codec marks the frame as a key frame.
    is_suspect : bool
        Whether damage may have reached the frame.
    shape : tuple of int
        Height and width of the upright picture, in pixels.
    vectors : (K,) of `MOTION_VECTOR_DTYPE`
        One row a block and list: ``source`` is the list (negative: list 0, positive: list 1), never a direction in
        time; ``dst_x, dst_y`` the centre of the block of ``w`` x ``h`` pixels in this picture;
        ``dst + motion / motion_scale`` is its place in the reference (``src_x, src_y`` is that place truncated).
        Blocks may reach below and right of the picture: 1080 lines are coded as 1088.
    """

    frame_index: int
    pts: int
    decode_index: int
    picture_type: bytes
    is_iframe: bool
    is_suspect: bool
    shape: tuple[int, int]
    vectors: NDArray[np.void]

    def __post_init__(self) -> None:
        if self.vectors.dtype != MOTION_VECTOR_DTYPE or self.vectors.ndim != 1:
            raise ValueError(
                f"vectors must be (K,) of MOTION_VECTOR_DTYPE, got {self.vectors.shape} {self.vectors.dtype}"
            )

    def __repr__(self) -> str:
        height, width = self.shape
        kind = self.picture_type.decode()
        return f"FrameVectors({self.frame_index}, {kind}, {width}x{height}, {len(self.vectors)} vectors)"


def motion_vectors(
    path: str | Path,
    *,
    start: int = 0,
    stop: int | None = None,
    max_pixels: int = DEFAULT_MAX_PIXELS,
) -> Iterator[FrameVectors]:
    """Yield the motion vectors of each frame of a video file, in presentation order.

    Parameters
    ----------
    path : str or Path
        A video file.
    start, stop : int
        First frame, and the one after the last (None: all), as indices in presentation order, ``start`` 0 or more.
        Decoding always begins at the first frame of the file.
    max_pixels : int
        Largest picture to accept, width times height.

    Yields
    ------
    FrameVectors
        One per decoded frame, suspect ones too; frames that did not decode are left out. I frames have no vectors.

    Raises
    ------
    VideoError
        If the video cannot be used; ``E_CODEC`` if its decoder exports no vectors or the path is no video file.
    ValueError
        If ``start`` or ``stop`` is negative.

    Notes
    -----
    The display matrix is honoured: vectors of a turned or mirrored video are turned with the picture. Which
    picture a vector refers to is not exported: see `candidate_references` and `proxy_clip`. The two fields of
    interlaced pictures are not told apart.

    Examples
    --------
    >>> from evfr.video import motion_vectors
    >>> for frame in motion_vectors("drive.mp4", stop=3):  # doctest: +SKIP
    ...     print(frame.frame_index, frame.picture_type, len(frame.vectors))
    """
    if start < 0 or (stop is not None and stop < 0):
        raise ValueError(f"start and stop must be 0 or more, got {start} and {stop}")
    return _read(path, start, stop, max_pixels)


def _read(path: str | Path, start: int, stop: int | None, max_pixels: int) -> Iterator[FrameVectors]:
    with open_with_vectors(path, max_pixels) as video:
        for frame in video:
            if stop is not None and frame.frame_index >= stop:
                return
            if frame.frame_index >= start:
                yield vectors_of(frame)


def open_with_vectors(path: str | Path, max_pixels: int = DEFAULT_MAX_PIXELS) -> VideoReader:
    """Open a video file for its vectors, or say that it has none."""
    if kind_of(path) != "file":
        raise fail(
            ProblemCode.E_CODEC,
            "images have no motion vectors; make some with the proxy (proxy_step_fields), or use optical flow",
            path,
        )
    video = open_video(path, motion_vectors=True, max_pixels=max_pixels)
    if video.info.codec in _WITHOUT:
        codec = video.info.codec
        video.close()
        raise fail(
            ProblemCode.E_CODEC,
            f"FFmpeg exports no motion vectors for {codec}; make some with the proxy (proxy_step_fields), "
            "or use optical flow",
            path,
        )
    return video


def vectors_of(frame: VideoFrame) -> FrameVectors:
    """Return the vectors of a decoded frame, turned upright with it."""
    return FrameVectors(
        frame.frame_index,
        frame.pts,
        frame.decode_index,
        frame.picture_type,
        frame.is_iframe,
        frame.is_suspect,
        frame.shape,
        _turn(frame.motion_vectors(), frame.orientation, *frame.shape),
    )


def _turn(vectors: NDArray[np.void], turn: Orientation, height: int, width: int) -> NDArray[np.void]:
    """Turn vectors as `Orientation.apply` turns the picture; ``height`` and ``width`` are upright."""
    if turn == Orientation():
        return vectors
    out = vectors.copy()
    if turn.is_transposed:
        for one, other in (("w", "h"), ("src_x", "src_y"), ("dst_x", "dst_y"), ("motion_x", "motion_y")):
            out[one], out[other] = vectors[other], vectors[one]
    for is_flipped, axis, size in (
        (turn.has_flipped_columns, "x", width),
        (turn.has_flipped_rows, "y", height),
    ):
        if is_flipped:
            # A block [d - w/2, d + w/2) becomes [size - d - w/2, size - d + w/2).
            for name in (f"src_{axis}", f"dst_{axis}"):
                out[name] = size - out[name]
            out[f"motion_{axis}"] = -out[f"motion_{axis}"]
    return out

"""Where drawn frames go: an H.264 clip that keeps their times, or a folder of images."""

from __future__ import annotations

import os
import secrets
from contextlib import suppress
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from evfr._core.types import FrameTable

__all__ = ["ClipSink", "FolderSink"]

TICKS = 90_000
"""Time base of the clip, in units per second: 24, 25, 30, 50 and 60 frames a second are whole numbers in it."""


class FolderSink:
    """Write each frame as an image whose name says which frame it is.

    Parameters
    ----------
    folder : Path
        Made if it is not there.
    name : str
        The video's id.
    table : FrameTable
        For the time base.
    image_format : str
        ``"jpg"`` or ``"png"``.
    quality : int
        JPEG quality.
    """

    def __init__(self, folder: Path, name: str, table: FrameTable, image_format: str, quality: int) -> None:
        from evfr._core.atomic import make_folder

        make_folder(folder)
        self._folder, self._name, self._table = folder, name, table
        self._format, self._quality = image_format, quality

    def add(self, index: int, seconds: float, pts: int, picture: NDArray[np.uint8]) -> None:
        """Write one frame."""
        from evfr.video import Frame, frame_file_name, write_frame

        frame = Frame(index, pts, self._table.time_base, seconds, picture)
        target = self._folder / frame_file_name(self._name, index, pts, self._format)
        write_frame(frame, target, quality=self._quality)


class ClipSink:
    """Encode the frames as H.264 in MP4, under a temporary name until `finish`.

    Parameters
    ----------
    path : Path
        The clip.
    table : FrameTable
        Size, and the length of a frame where there is only one.
    crf : int
        x264's constant rate factor.

    Raises
    ------
    VideoError
        If this PyAV cannot encode H.264.
    StoreError
        If the folder cannot be written to.
    """

    def __init__(self, path: Path, table: FrameTable, crf: int) -> None:
        import av

        from evfr._core.atomic import make_folder
        from evfr._core.types import Problem
        from evfr.errors import ProblemCode, StoreError, VideoError

        make_folder(path.parent)
        self._path = path
        self._temporary = path.parent / f".evfr-{os.getpid()}-{secrets.token_hex(6)}.mp4"
        # Chroma is halved both ways, so sizes are even: an odd last row or column is repeated once.
        self._padding = (table.height % 2, table.width % 2)
        self._last = -1
        self._container: Any = None
        try:
            av.Codec("libx264", "w")
        except ValueError as error:
            message = "this PyAV has no H.264 encoder (libx264); write a folder of images, or install PyAV's own wheel"
            raise VideoError(Problem(ProblemCode.E_CODEC, message, str(path))) from error
        try:
            # By its protocol: FFmpeg takes a folder called "tcp:host:port" for an address, and connects.
            self._container = av.open(f"file:{self._temporary}", "w", options={"movflags": "+faststart"})
        except OSError as error:
            raise StoreError(
                f"cannot write {str(path)!r}: {error.strerror or error}; choose a folder that you may write to"
            ) from error
        stream: Any = self._container.add_stream("libx264", rate=25)
        stream.width, stream.height = table.width + self._padding[1], table.height + self._padding[0]
        stream.pix_fmt = "yuv420p"
        stream.codec_context.time_base = stream.time_base = Fraction(1, TICKS)
        # A player that seeks lands on key frames: people step through such clips frame by frame.
        stream.codec_context.gop_size = 30
        stream.options = {"preset": "veryfast", "crf": str(crf)}
        self._stream = stream

    def add(self, index: int, seconds: float, pts: int, picture: NDArray[np.uint8]) -> None:
        """Encode one frame at its time; a time that does not move on is set one tick later."""
        import av
        import numpy as np

        if any(self._padding):
            picture = np.pad(picture, ((0, self._padding[0]), (0, self._padding[1]), (0, 0)), mode="edge")
        frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), format="rgb24")
        self._last = max(round(seconds * TICKS), self._last + 1)
        frame.pts, frame.time_base = self._last, Fraction(1, TICKS)
        self._container.mux(self._stream.encode(frame))

    def finish(self) -> None:
        """Write what is left, and give the clip its name."""
        self._container.mux(self._stream.encode(None))
        self._container.close()
        self._container = None
        self._temporary.replace(self._path)

    def discard(self) -> None:
        """Remove what was not finished."""
        if self._container is not None:
            with suppress(OSError, ValueError):
                self._container.close()
            self._container = None
        self._temporary.unlink(missing_ok=True)

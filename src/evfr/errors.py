"""Every error that evfr raises on purpose, and the stable codes of every problem it reports.

The tree::

    EvfrError                        catch this to catch them all
    ├── InputError                   a path, list, glob or file given by the user is no usable input
    │   ├── VideoError               one video cannot be used (has a ``problem`` with a code)
    │   ├── SelectionFileError       a selection or manifest is wrong
    │   └── AnnotationError          a label file is wrong, or does not fit its video
    ├── ConstraintError              (also ValueError) the constraints cannot hold together
    ├── ExtractionError              the exact frame could not be produced
    ├── StoreError                   the store on disk cannot be read or written
    ├── WorkerError                  a child process died, hung or ran out of memory
    └── MissingExtraError            (also ImportError) an optional dependency is not installed

A wrong argument of a function is a plain ``ValueError`` or ``TypeError``.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from evfr._core.types import Problem

__all__ = [
    "AnnotationError",
    "ConstraintError",
    "EvfrError",
    "ExtractionError",
    "InputError",
    "MissingExtraError",
    "ProblemCode",
    "SelectionFileError",
    "StoreError",
    "VideoError",
    "WorkerError",
]


class EvfrError(Exception):
    """Root of every error that evfr raises on purpose."""


class InputError(EvfrError):
    """A path, list, glob or file given by the user is no usable input."""


class VideoError(InputError):
    """One video cannot be used; ``problem`` says why with a stable code."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(str(problem))
        self.problem = problem

    def __reduce__(self) -> tuple[type[VideoError], tuple[Problem]]:
        return type(self), (self.problem,)


class SelectionFileError(InputError):
    """A selection or manifest is wrong."""


class AnnotationError(InputError):
    """A label file is wrong, or does not fit its video; the text names the file, video, frame and object."""


class ConstraintError(EvfrError, ValueError):
    """The constraints cannot hold together; the text names the one that breaks."""


class ExtractionError(EvfrError):
    """The exact frame asked for could not be produced."""


class StoreError(EvfrError):
    """The store on disk cannot be read or written."""


class WorkerError(EvfrError):
    """A child process died, hung or ran out of memory."""


class MissingExtraError(EvfrError, ImportError):
    """An optional dependency is not installed; the text is the exact install line."""


class ProblemCode(StrEnum):
    """Stable codes of problems: ``E_`` means the video is unusable, ``W_`` that it is usable with care."""

    E_NOT_FOUND = "E_NOT_FOUND"
    """No such file or folder."""
    E_UNREADABLE = "E_UNREADABLE"
    """The system refuses to open it (permission, symlink loop, I/O error)."""
    E_NOT_REGULAR = "E_NOT_REGULAR"
    """A FIFO, socket or device where a file was expected."""
    E_EMPTY = "E_EMPTY"
    """A file of zero bytes, or a folder or archive without images."""
    E_CONTAINER = "E_CONTAINER"
    """FFmpeg does not recognise the file, or its header is broken or refused."""
    E_NO_VIDEO = "E_NO_VIDEO"
    """The container has no video stream (audio only, cover art only)."""
    E_CODEC = "E_CODEC"
    """No decoder for the video stream, or the decoder does not open."""
    E_ENCRYPTED = "E_ENCRYPTED"
    """The stream is encrypted."""
    E_TOO_LARGE = "E_TOO_LARGE"
    """The picture is larger than the pixel limit."""
    E_NO_FRAMES = "E_NO_FRAMES"
    """The stream is there, but not one frame decodes cleanly."""
    E_DAMAGED = "E_DAMAGED"
    """Damage was found and the caller asked to fail on damage."""
    E_ARCHIVE = "E_ARCHIVE"
    """An archive of images is broken, encrypted, escapes its root or unpacks beyond the limits."""
    E_CHANGED = "E_CHANGED"
    """The bytes are not those that the selection was made from."""
    E_EXTRACT = "E_EXTRACT"
    """A selected frame could not be produced again exactly."""
    E_TIMEOUT = "E_TIMEOUT"
    """No progress within the watchdog's time."""
    E_MEMORY = "E_MEMORY"
    """The memory limit of the child process was reached."""
    E_CRASH = "E_CRASH"
    """The child process that worked on the video died, or a bug raised in it (the trace is kept)."""
    E_FAILED = "E_FAILED"
    """A step after opening failed on this video; the text says which (for example a full disk)."""

    W_TRUNCATED = "W_TRUNCATED"
    """The file ends before its stream does."""
    W_CORRUPT = "W_CORRUPT"
    """Packets failed to decode or were flagged corrupt; the frames around are suspect."""
    W_FRAME_COUNT = "W_FRAME_COUNT"
    """The container claims another number of frames than decode."""
    W_DURATION = "W_DURATION"
    """The container claims another duration than its frames have."""
    W_PTS_MISSING = "W_PTS_MISSING"
    """Frames have no time stamps; times are estimated from the frame rate."""
    W_PTS_DUPLICATE = "W_PTS_DUPLICATE"
    """Frames repeat a time stamp."""
    W_PTS_ORDER = "W_PTS_ORDER"
    """Time stamps go backwards."""
    W_PTS_GAP = "W_PTS_GAP"
    """A hole in the time stamps: frames are missing."""
    W_SIZE_CHANGE = "W_SIZE_CHANGE"
    """The picture size changes in mid-stream."""
    W_SEVERAL_STREAMS = "W_SEVERAL_STREAMS"
    """Several video streams; the best one is used."""
    W_INTERLACED = "W_INTERLACED"
    """Interlaced pictures: frames hold two fields of different times."""
    W_IMAGE = "W_IMAGE"
    """An image of a sequence cannot be read; it keeps its place and is never selected."""
    W_IMAGE_SIZE = "W_IMAGE_SIZE"
    """Images of a sequence differ in size."""
    W_NUMBERING = "W_NUMBERING"
    """Numbered images have holes in their numbering."""
    W_STATIC = "W_STATIC"
    """Nothing moves: all weights are equal."""
    W_SIGNAL = "W_SIGNAL"
    """A signal could not be measured on some frames (NaN, counted, weight 0)."""

    @property
    def is_error(self) -> bool:
        """Whether the video is unusable."""
        return self.value.startswith("E_")

"""What an export holds: which picture is which frame of which video, and what `evfr import` needs to know of it."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from evfr.errors import SelectionFileError
from evfr.verbs._export_file import EXPORT_FILE, read_export, write_export

if TYPE_CHECKING:
    from evfr._core.annotations import Category, VideoAnnotations

__all__ = [
    "EXPORT_FILE",
    "FOLDERS",
    "ExportFrame",
    "ExportPackage",
    "ExportVideo",
    "Role",
    "read_export",
    "with_context",
    "write_export",
]

Role = Literal["label", "context"]

FOLDERS: dict[Role, str] = {"label": "frames", "context": "context"}
"""Where the pictures of each role lie, below the package's folder."""

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,150}\.(png|jpg)")
_SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class ExportFrame:
    """Say which frame of which video one picture of an export is.

    Attributes
    ----------
    name : str
        File name of the picture without its folder: ASCII letters, digits, ``_`` and ``-`` and one dot; no other
        picture of the export has the same name, also where case or ending do not count.
    video_id : str
        The video.
    frame_index : int
        The frame, from 0 in presentation order.
    pts : int or None
        Its time stamp in units of ``time_base``; None where the container has none.
    time_base : Fraction
        Seconds per pts unit.
    time_seconds : float
        Seconds since the stream's first pts.
    luma_hash : int
        XXH64 of the decoded luma plane, as in a selection.
    width, height : int
        Size of the upright picture in pixels.
    role : {"label", "context"}
        To be labelled, or only to be looked at.
    of : int or None
        Frame index of the pick that a context frame belongs to: the nearest one, the earlier of two; None for a pick.
    sha256 : str
        Of the picture file's bytes, hex; empty where the picture was not made by an export.
    pixels_sha256 : str
        Of the picture's decoded RGB values, hex (see ``_import_pictures.pixel_hash``); empty likewise.

    Raises
    ------
    SelectionFileError
        If a field is out of range, or role and ``of`` do not go together.
    """

    name: str
    video_id: str
    frame_index: int
    pts: int | None
    time_base: Fraction
    time_seconds: float
    luma_hash: int
    width: int
    height: int
    role: Role
    of: int | None = None
    sha256: str = ""
    pixels_sha256: str = ""

    def __post_init__(self) -> None:
        where = f"the picture {self.name!r:.200}"
        if not _NAME.fullmatch(self.name) and self.sha256:
            raise SelectionFileError(
                f"{where}: the name must be ASCII letters, digits, _ and - and end in .png or .jpg"
            )
        if not self.video_id or self.frame_index < 0 or self.width < 1 or self.height < 1:
            raise SelectionFileError(
                f"{where} needs a video, a frame of 0 or more and a size of 1x1 or more, got {self.video_id!r:.80}, "
                f"{self.frame_index} and {self.width}x{self.height}"
            )
        if self.time_base <= 0 or not math.isfinite(self.time_seconds):
            raise SelectionFileError(
                f"{where} needs a positive time base and a finite time, got {self.time_base} and {self.time_seconds}"
            )
        if not 0 <= self.luma_hash < 2**64:
            raise SelectionFileError(f"{where}: luma_hash must be 64 bits, got {self.luma_hash}")
        if self.role not in FOLDERS or (self.role == "context") != (self.of is not None):
            raise SelectionFileError(
                f"{where}: role must be 'label' without of, or 'context' with it, got {self.role!r:.80} and {self.of}"
            )
        for name, value in (("sha256", self.sha256), ("pixels_sha256", self.pixels_sha256)):
            if value and not _SHA256.fullmatch(value):
                raise SelectionFileError(f"{where}: {name} must be 64 hexadecimal digits, got {value!r:.80}")

    @property
    def stem(self) -> str:
        """The name without its ending."""
        return self.name.rpartition(".")[0]


@dataclass(frozen=True, slots=True)
class ExportVideo:
    """Name one source video of an export.

    Attributes
    ----------
    video_id, path : str
        Its name, and where it was.
    digest : str
        Hash of its bytes, hex; empty where unknown.
    frame_count : int
        Its frames.
    width, height : int
        Size of its upright pictures in pixels.
    """

    video_id: str
    path: str
    digest: str
    frame_count: int
    width: int
    height: int


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class ExportPackage:
    """Hold an export: its pictures by video and then by frame, and what they were made from.

    Attributes
    ----------
    folder : Path
        Where it is; pictures to label lie in ``frames``, those to look at in ``context``.
    tool : str
        Key of `evfr.verbs._export_targets.TARGETS`; ``"selection"`` where the pictures are those of a selection.
    videos : tuple of ExportVideo
        The videos that have pictures here, in order.
    frames : tuple of ExportFrame
        The pictures, in order of the videos and then of the frames. The k-th of a video is number k of its sequence
        (`sequence`), which is what tools get that show a video.
    categories : tuple of Category
        The classes that a person may choose.
    labels : VideoAnnotations or None
        Labels that are there already, of frames to label only, on the frames of the original video.
    context_seconds : float
        How far context reaches to each side; 0 where it was given in frames, or not at all.
    context_frames : int
        The same in frames; 0 where it was given in seconds, or not at all.
    has_zip : bool
        Whether to write a zip where the tool imports one, or a folder.
    home : Path or None
        The folder, absolute, in which the export will lie when it is done: while it is written ``folder`` is a
        temporary one beside it. Files that need an absolute path need this one; None is ``folder``.

    Raises
    ------
    SelectionFileError
        If names are not unique, frames are out of order or not of a video of it, a size is not its video's, or a
        context frame belongs to no pick.
    """

    folder: Path
    tool: str
    videos: tuple[ExportVideo, ...]
    frames: tuple[ExportFrame, ...]
    categories: tuple[Category, ...] = ()
    labels: VideoAnnotations | None = None
    context_seconds: float = 0.0
    context_frames: int = 0
    has_zip: bool = True
    home: Path | None = None

    def __post_init__(self) -> None:
        check_frames(self.videos, self.frames)

    def __repr__(self) -> str:
        return (
            f"ExportPackage({str(self.folder)!r}, {self.tool}, {len(self.videos)} videos, "
            f"{len(self.label_frames)} frames to label, {len(self.frames) - len(self.label_frames)} of context)"
        )

    @property
    def label_frames(self) -> tuple[ExportFrame, ...]:
        """The pictures to label."""
        return tuple(frame for frame in self.frames if frame.role == "label")

    def path_of(self, frame: ExportFrame) -> Path:
        """Return where the picture of a frame is."""
        return self.folder / FOLDERS[frame.role] / frame.name

    def by_video(self) -> dict[str, tuple[ExportFrame, ...]]:
        """Return the pictures of each video; frame k of the video that a tool is given is the k-th of them."""
        found: dict[str, list[ExportFrame]] = {video.video_id: [] for video in self.videos}
        for frame in self.frames:
            found[frame.video_id].append(frame)
        return {name: tuple(frames) for name, frames in found.items()}

    def sequence(self, video_id: str) -> tuple[ExportFrame, ...]:
        """Return the pictures of one video, as `by_video` does; ask that once where there are many videos."""
        return tuple(frame for frame in self.frames if frame.video_id == video_id)

    def picks(self) -> Iterator[tuple[ExportFrame, tuple[ExportFrame, ...]]]:
        """Yield each picture to label with the others within its context, in order, those to label among them."""
        for frames in self.by_video().values():
            yield from with_context(frames, self.context_seconds, self.context_frames)


def with_context(
    frames: Sequence[ExportFrame], seconds: float, count: int
) -> Iterator[tuple[ExportFrame, tuple[ExportFrame, ...]]]:
    """Yield each pick of one video with the frames at most ``seconds``, or ``count`` frames, from it.

    Parameters
    ----------
    frames : sequence of ExportFrame
        Of one video.
    seconds : float
        How far to each side.
    count : int
        The same in frames, where ``seconds`` is 0; no frame is context where both are.

    Yields
    ------
    tuple of (ExportFrame, tuple of ExportFrame)
        The pick, and the others.
    """
    import numpy as np

    place = np.array([frame.time_seconds if seconds else frame.frame_index for frame in frames], np.float64)
    for number, pick in enumerate(frames):
        if pick.role == "label":
            near = np.flatnonzero(np.abs(place - place[number]) <= (seconds or count)).tolist()
            yield pick, tuple(frames[other] for other in near if other != number)


def check_frames(videos: Iterable[ExportVideo], frames: Iterable[ExportFrame]) -> None:
    """Raise `SelectionFileError` if frames are out of order, twice, of no video, or of no pick."""
    by_id = {video.video_id: (place, video) for place, video in enumerate(videos)}
    frames = tuple(frames)
    picks = {(frame.video_id, frame.frame_index) for frame in frames if frame.role == "label"}
    stems: dict[str, str] = {}
    before = (-1, -1)
    for frame in frames:
        where = f"the picture {frame.name!r:.200}"
        if frame.video_id not in by_id:
            raise SelectionFileError(f"{where} is of {frame.video_id!r:.80}, which is no video of the export")
        place, video = by_id[frame.video_id]
        if (place, frame.frame_index) <= before:
            raise SelectionFileError(
                f"{where}: frame {frame.frame_index} of {frame.video_id!r} is out of order"
            )
        before = (place, frame.frame_index)
        if frame.frame_index >= video.frame_count:
            raise SelectionFileError(
                f"{where} is frame {frame.frame_index}, but {frame.video_id!r} has {video.frame_count} frames"
            )
        if (frame.width, frame.height) != (video.width, video.height):
            raise SelectionFileError(
                f"{where} has {frame.width}x{frame.height} pixels, its video {video.width}x{video.height}"
            )
        other = stems.setdefault(frame.stem.casefold(), frame.name)
        if other is not frame.name:
            raise SelectionFileError(
                f"{where} cannot be told from {other!r} where case or ending do not count"
            )
        if frame.of is not None and (frame.video_id, frame.of) not in picks:
            raise SelectionFileError(
                f"{where} is context of frame {frame.of}, which is no pick of the export"
            )

"""Find out which frame each picture of a label file is: by its name, or by its pixels; never by order or likeness."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from evfr._core.annotations import VideoAnnotations
    from evfr.verbs._export_package import ExportFrame, ExportPackage
    from evfr.verbs._import_pictures import PictureFolder
    from evfr.verbs._import_pixels import PixelCheck

__all__ = ["Matches", "NameIndex", "Picture", "identify"]

_ENDING = re.compile(r"(.+)\.(png|jpe?g|bmp|webp|tiff?|txt)", re.IGNORECASE | re.DOTALL)
_PREFIX = re.compile(r"[0-9a-f]{8}-(.+)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Picture:
    """Say what became of one picture of a label file.

    Attributes
    ----------
    name : str
        As the file says it.
    frame : ExportFrame or None
        The frame it is; None where that is not certain.
    by : {"name", "pixels", ""}
        How it was found.
    reason : str
        Why it was not, or why its labels are not taken; empty where they are.
    is_checked : bool
        Whether its pixels were compared with those of the frame.
    is_shifted : bool
        Whether its pixels are those of another frame than its name says.
    """

    name: str
    frame: ExportFrame | None
    by: str = ""
    reason: str = ""
    is_checked: bool = False
    is_shifted: bool = False

    @property
    def is_taken(self) -> bool:
        """Whether its labels go onto the frame."""
        return self.frame is not None and not self.reason


@dataclass(frozen=True, slots=True)
class Matches:
    """Hold what became of every picture of a label file, in the file's order."""

    pictures: tuple[Picture, ...]

    @property
    def by_name(self) -> int:
        """How many were found by name and are taken."""
        return sum(picture.is_taken and picture.by == "name" for picture in self.pictures)

    @property
    def by_pixels(self) -> int:
        """How many were found by their pixels and are taken."""
        return sum(picture.is_taken and picture.by == "pixels" for picture in self.pictures)

    @property
    def unmatched(self) -> tuple[Picture, ...]:
        """Those whose labels are not taken."""
        return tuple(picture for picture in self.pictures if not picture.is_taken)


class NameIndex:
    """Find pictures of an export by the names that tools give them.

    A name fits a picture if, without its folders, it is the picture's own; or differs from it in the ending of a
    picture (or has none, or ``.txt``) and in the case of letters; or is either of these behind eight hexadecimal
    digits and a ``-``, which is what Label Studio puts before the name of an upload.
    """

    def __init__(self, frames: Iterable[ExportFrame]) -> None:
        self._of_stem = {frame.stem.casefold(): frame for frame in frames}

    def find(self, name: str) -> tuple[ExportFrame | None, str]:
        """Return the one picture that a name fits, or None and why there is none.

        Parameters
        ----------
        name : str
            As a label file says it.

        Returns
        -------
        tuple of (ExportFrame or None, str)
            The frame, or the reason.
        """
        base = name.replace("\\", "/").rpartition("/")[2]
        found = {frame.name: frame for text in _texts(base) if (frame := self._of_stem.get(text)) is not None}
        if len(found) == 1:
            return next(iter(found.values())), ""
        if found:
            return None, f"its name fits several pictures of the export: {', '.join(sorted(found))}"
        return None, "its name is that of no picture of the export"


def _texts(base: str) -> Iterable[str]:
    """Yield what the stem of the picture's name may be."""
    for text in (base, *(match[1] for match in [_PREFIX.fullmatch(base)] if match)):
        yield text.casefold()
        if (ending := _ENDING.fullmatch(text)) is not None:
            yield ending[1].casefold()


def identify(
    labels: VideoAnnotations,
    package: ExportPackage,
    *,
    images: PictureFolder | None = None,
    check: PixelCheck | None = None,
) -> Matches:
    """Find the frame of each picture of a label file (one *video* a picture, as `Target.read` gives them).

    Parameters
    ----------
    labels : VideoAnnotations
        By picture.
    package : ExportPackage
        The export.
    images : PictureFolder or None
        The pictures as they came back: those that no name fits are found by the hash of their bytes or of their
        pixels.
    check : PixelCheck or None
        Compares the pictures in ``images`` with the frames they are said to be.

    Returns
    -------
    Matches
        One a picture, in order.

    Raises
    ------
    AnnotationError
        If two pictures of the file are one frame.
    """
    from evfr._core.progress import current_progress

    index = NameIndex(package.frames)
    pixels = _PixelIndex(package.frames)
    pictures = []
    progress = current_progress()
    progress.start("matching", len(labels.videos))
    try:
        for video in labels.videos:
            picture = _find(video.video_id, index, pixels, images)
            frame = picture.frame
            if frame is not None and (video.width, video.height) != (frame.width, frame.height):
                reason = (
                    f"it has {video.width}x{video.height} pixels there, the frame {frame.width}x{frame.height}; label "
                    "pictures of the size that was exported"
                )
                picture = Picture(picture.name, frame, picture.by, reason)
            elif frame is not None and images is not None and check is not None:
                picture = check.compare(picture, frame, images)
            pictures.append(picture)
            progress.advance(1, video.video_id)
    finally:
        progress.finish()
    _check_twice(pictures)
    return Matches(tuple(pictures))


class _PixelIndex:
    """Frames by the hashes of their pictures; those that several frames share name none."""

    def __init__(self, frames: Iterable[ExportFrame]) -> None:
        self._frames: dict[str, list[ExportFrame]] = {}
        for frame in frames:
            for value in {frame.sha256, frame.pixels_sha256} - {""}:
                self._frames.setdefault(value, []).append(frame)

    def find(self, data: bytes, where: str) -> tuple[ExportFrame | None, str]:
        import hashlib

        from evfr.errors import AnnotationError
        from evfr.verbs._import_pictures import pixel_hash, read_picture

        found = self._frames.get(hashlib.sha256(data).hexdigest())
        if found is None:
            try:
                found = self._frames.get(pixel_hash(read_picture(data, where)))
            except AnnotationError as error:
                return None, str(error)
        if found is None:
            return None, "and its pixels are those of none"
        if len(found) > 1:
            return None, f"and its pixels are those of {', '.join(frame.name for frame in found[:5])} alike"
        return found[0], ""


def _find(name: str, index: NameIndex, pixels: _PixelIndex, images: PictureFolder | None) -> Picture:
    frame, reason = index.find(name)
    if frame is not None:
        return Picture(name, frame, "name")
    if images is None:
        return Picture(name, None, "", reason)
    file = images.find(name)
    if file is None:
        return Picture(name, None, "", f"{reason}, and {images.path} has no one picture of this name")
    frame, more = pixels.find(images.read(file), f"{images.path}: {file}")
    if frame is None:
        return Picture(name, None, "", f"{reason}, {more}")
    return Picture(name, frame, "pixels", is_checked=True)


def _check_twice(pictures: Sequence[Picture]) -> None:
    from evfr.errors import AnnotationError

    seen: dict[str, str] = {}
    for picture in pictures:
        if picture.frame is None:
            continue
        other = seen.setdefault(picture.frame.name, picture.name)
        if other is not picture.name:
            raise AnnotationError(
                f"the pictures {other!r} and {picture.name!r} of the label file are both {picture.frame.name}, frame "
                f"{picture.frame.frame_index} of {picture.frame.video_id!r}; leave one of them out"
            )

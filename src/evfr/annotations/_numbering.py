"""Say which frame a file or a number stands for: by stated rules, never by guess."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any, NamedTuple

from evfr._core.types import PTS_NONE
from evfr.errors import AnnotationError

__all__ = ["FrameName", "NamePattern", "Numbering", "Place", "place_files"]


@dataclass(frozen=True, slots=True)
class Numbering:
    """Translate numbers of a label file: number n is frame ``first_frame + (n - start) * stride``.

    Attributes
    ----------
    start : int
        The number that stands for ``first_frame``: 1 where a format counts from 1.
    stride : int
        Frames from one number to the next: 5 where every fifth frame was written and numbered 0, 1, 2, ...
    first_frame : int
        The frame that ``start`` stands for.
    """

    start: int = 0
    stride: int = 1
    first_frame: int = 0

    def __post_init__(self) -> None:
        if self.stride < 1 or self.first_frame < 0:
            raise ValueError(
                f"stride must be 1 or more and first_frame 0 or more, got {self.stride} and {self.first_frame}"
            )

    def index_of(self, number: int, where: str) -> int:
        """Return the frame of a number."""
        if number < self.start:
            raise AnnotationError(
                f"{where}: number {number} lies before start={self.start}, the number of frame {self.first_frame}; "
                "give the right start="
            )
        return self.first_frame + (number - self.start) * self.stride

    def number_of(self, frame_index: int, where: str) -> int:
        """Return the number of a frame."""
        steps, rest = divmod(frame_index - self.first_frame, self.stride)
        if steps < 0 or rest:
            raise AnnotationError(
                f"{where}: frame {frame_index} has no number: numbered are {self.first_frame}, "
                f"{self.first_frame + self.stride}, ...; give another first_frame= or stride="
            )
        return self.start + steps


class FrameName(NamedTuple):
    """What a file name says; `evfr.video.parse_frame_file_name` returns the like."""

    video_id: str | None
    frame_index: int
    pts: int


class NamePattern:
    """A file name with ``{frame}`` (or ``{frame:06d}``) and perhaps ``{video}`` in it."""

    def __init__(self, pattern: str) -> None:
        self.pattern = pattern
        expression, self._pieces = "", re.split(r"(\{[^{}]*\})", pattern)
        counts = {"frame": 0, "video": 0}
        for piece in self._pieces:
            field = re.fullmatch(r"\{(frame|video)(?::0?(\d{1,2})d)?\}", piece)
            if field is None:
                if "{" in piece or "}" in piece:
                    raise ValueError(
                        f"a pattern knows {{frame}}, {{frame:06d}} and {{video}}, got {piece!r} in {pattern!r}"
                    )
                expression += re.escape(piece)
            elif field[1] == "frame":
                counts["frame"] += 1
                expression += rf"(?P<frame>[0-9]{{{int(field[2] or 1)},18}})"
            else:
                counts["video"] += 1
                expression += r"(?P<video>.+?)"
        if counts["frame"] != 1 or counts["video"] > 1:
            raise ValueError(f"a pattern needs {{frame}} once and {{video}} at most once, got {pattern!r}")
        self.has_video = counts["video"] == 1
        self._expression = re.compile(expression, re.DOTALL)

    @property
    def suffix(self) -> str:
        """The ending of the files, in lower case."""
        return PurePosixPath(self.pattern).suffix.lower()

    def parse(self, name: str) -> tuple[str | None, int] | None:
        """Return (video, number), or None where the name does not fit as a whole."""
        match = self._expression.fullmatch(name)
        if match is None:
            return None
        return (match["video"] if self.has_video else None), int(match["frame"])

    def format(self, video_id: str, number: int) -> str:
        """Return the name of a number; a negative one has none."""
        if number < 0:
            raise AnnotationError(f"{video_id!r}: no file name for the number {number}; give a higher start=")
        parts = []
        for piece in self._pieces:
            if piece.startswith("{frame"):
                width = re.search(r"\d+", piece)
                parts.append(f"{number:0{int(width[0]) if width else 1}d}")
            else:
                parts.append(video_id if piece == "{video}" else piece)
        name = "".join(parts)
        if self.parse(name) != ((video_id if self.has_video else None), number):
            raise AnnotationError(
                f"the name {name!r} of video {video_id!r} could not be read back by {self.pattern!r}; "
                "give another pattern="
            )
        return name


class Place(NamedTuple):
    """Where one label file belongs."""

    video_id: str
    frame_index: int
    pts: int
    name: str


def place_files(
    names: Iterable[str],
    where: str,
    *,
    video_id: str,
    pattern: str,
    numbering: Numbering,
    parse: Callable[[str], Any] | None = None,
    frames: Sequence[str] | Mapping[str, int] | None = None,
    numbers: tuple[int, int] | None = None,
) -> list[Place]:
    """Match label files to frames by exactly one rule.

    Parameters
    ----------
    names : iterable of str
        Label files, relative to their folder.
    where : str
        The folder or zip, for errors.
    video_id : str
        The video, where names do not say it.
    pattern : str
        As `NamePattern` reads it; used where neither ``parse`` nor ``frames`` is given.
    numbering : Numbering
        What the numbers of ``pattern`` mean.
    parse : callable or None
        ``parse(file name without folder) -> (video_id or None, frame_index, pts)``, raising ``ValueError``.
    frames : sequence of str, or mapping of str to int, or None
        File names of the video's pictures in order (or name -> index): label files match by the name without ending.
    numbers : (int, int) or None
        First and last number of ``pattern`` that are wanted.

    Returns
    -------
    list of Place
        By video and then by frame.

    Raises
    ------
    AnnotationError
        If a name does not fit, or two files stand for one frame.
    """
    index_of = None if frames is None else _stems(frames, where)
    shape = NamePattern(pattern)
    places: dict[tuple[str, int], Place] = {}
    for name in names:
        pts, video = PTS_NONE, video_id
        if parse is not None:
            try:
                said, index, pts = parse(PurePosixPath(name).name)
            except ValueError as error:
                raise AnnotationError(
                    f"{where}: {name!r}: {error}; give pattern= instead of parse="
                ) from error
            video = video_id if said is None else said
        elif index_of is not None:
            stem = PurePosixPath(name).stem
            if stem not in index_of:
                raise AnnotationError(
                    f"{where}: {name!r} is named like none of the {len(index_of)} pictures of the video; "
                    "label files need the names of the pictures"
                )
            index = index_of[stem]
        else:
            found = shape.parse(name)
            if found is None:
                raise AnnotationError(
                    f"{where}: the name {name!r} does not fit pattern={pattern!r}; give the pattern of the names "
                    "(such as 'gt{frame:06d}.png' or '{video}/{frame}.png'), and start= and stride= if the numbers are "
                    "not frame indices; or frames= with the names of the video's pictures"
                )
            if numbers is not None and not numbers[0] <= found[1] <= numbers[1]:
                continue
            video = video_id if found[0] is None else found[0]
            index = numbering.index_of(found[1], f"{where}: {name!r}")
        other = places.setdefault((video, index), Place(video, index, pts, name))
        if other.name != name:
            raise AnnotationError(
                f"{where}: {other.name!r} and {name!r} both stand for frame {index} of {video!r}; keep one of them"
            )
    return sorted(places.values())


def _stems(frames: Sequence[str] | Mapping[str, int], where: str) -> dict[str, int]:
    pairs = frames.items() if isinstance(frames, Mapping) else ((n, i) for i, n in enumerate(frames))
    stems: dict[str, int] = {}
    for name, index in pairs:
        stem = PurePosixPath(name).stem
        if stem in stems:
            raise AnnotationError(
                f"{where}: two pictures of the video are named {stem!r}; give pattern= instead"
            )
        stems[stem] = index
    return stems

"""What stands beside the text of a MOT or MOTS sequence: its name, size and length in seqinfo.ini."""

from __future__ import annotations

import configparser
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from evfr._core.annotations import AnnotatedVideo
from evfr.annotations._numbering import Numbering
from evfr.annotations._parse import FRAMES_MOST, read_text, shown, whole
from evfr.errors import AnnotationError

__all__ = ["SequenceInfo", "annotated_video", "sequence_info", "sequence_name"]


class SequenceInfo(NamedTuple):
    """What seqinfo.ini says."""

    name: str
    length: int
    width: int
    height: int


def sequence_info(file: Path) -> SequenceInfo | None:
    """Read the seqinfo.ini of a sequence, if there is one.

    Parameters
    ----------
    file : Path
        ``NAME/gt/gt.txt``, ``NAME/det/det.txt``, or any file beside a seqinfo.ini.

    Returns
    -------
    SequenceInfo or None
        None where there is no seqinfo.ini.

    Raises
    ------
    AnnotationError
        If it is broken.
    """
    folders = [file.parent] + ([file.parent.parent] if file.parent.name in ("gt", "det") else [])
    place = next((folder / "seqinfo.ini" for folder in folders if (folder / "seqinfo.ini").is_file()), None)
    if place is None:
        return None
    parser = configparser.ConfigParser(interpolation=None)
    try:
        parser.read_string(read_text(place))
        section = parser["Sequence"]
        fields = [section[key] for key in ("name", "seqLength", "imWidth", "imHeight")]
    except (configparser.Error, KeyError) as error:
        raise AnnotationError(
            f"{place} is broken: {shown(str(error))}; it needs [Sequence] with name, seqLength, imWidth, imHeight"
        ) from error
    if not fields[0]:
        raise AnnotationError(f"{place}: the name of the sequence is empty")
    length, width, height = (
        whole(value, str(place), key, least=1, most=FRAMES_MOST)
        for value, key in zip(fields[1:], ("seqLength", "imWidth", "imHeight"), strict=True)
    )
    return SequenceInfo(fields[0], length, width, height)


def sequence_name(file: Path) -> str:
    """Return the folder's name for ``NAME/gt/gt.txt`` and ``NAME/det/det.txt``, else the file's own."""
    if file.parent.name in ("gt", "det") and file.stem in ("gt", "det"):
        return file.parent.parent.resolve().name or file.stem
    return file.stem


def annotated_video(
    where: str,
    name: str,
    size: tuple[int, int],
    listed: Sequence[int],
    numbering: Numbering,
    length: int | None,
    is_complete: bool,
) -> AnnotatedVideo:
    """Return a video whose annotated frames are the listed ones, or all numbered ones where that is known.

    Parameters
    ----------
    where : str
        The file, for the error's text.
    name : str
        Name of the video.
    size : (int, int)
        Width and height.
    listed : sequence of int
        Frames with an object, increasing.
    numbering : Numbering
        What numbers mean.
    length : int or None
        How many frames are numbered, where known.
    is_complete : bool
        Whether all numbered frames count as annotated.

    Returns
    -------
    AnnotatedVideo
        ``frame_count`` is known only where each frame is numbered.

    Raises
    ------
    AnnotationError
        If a listed frame lies behind the last one.
    """
    frames = list(listed)
    if length is not None:
        numbered = range(
            numbering.first_frame, numbering.first_frame + length * numbering.stride, numbering.stride
        )
        if frames and frames[-1] not in numbered:
            raise AnnotationError(
                f"{where}: number {numbering.number_of(frames[-1], where)} lies behind the sequence, which "
                f"has {length} frames from {numbering.start} on; check start and length"
            )
        frames = list(numbered) if is_complete else frames
    is_every = numbering.stride == 1 and numbering.first_frame == 0
    return AnnotatedVideo(name, *size, np.array(frames, np.int64), frame_count=length if is_every else None)

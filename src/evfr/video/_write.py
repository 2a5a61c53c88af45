"""Write frames as image files, under names that say which frame of which video they are."""

from __future__ import annotations

import hashlib
import os
import re
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import cv2

from evfr._core.types import PTS_NONE
from evfr.errors import InputError

if TYPE_CHECKING:
    from evfr.video._frames import Frame

__all__ = ["FrameFileName", "frame_file_name", "parse_frame_file_name", "write_frame"]

_SUFFIXES = ("jpg", "jpeg", "png")
_PLAIN = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-")
_LONGEST_ID = 160
_NAME = re.compile(
    r"(?P<id>[A-Za-z0-9._+=-]+?)(?:=~(?P<digest>[0-9a-f]{16}))?"
    r"_f(?P<index>[0-9]{6,})_p(?P<pts>-?[0-9]+|none)\.(?P<suffix>jpg|jpeg|png)"
)


class FrameFileName(NamedTuple):
    """What a frame's file name says.

    Attributes
    ----------
    video_id : str or None
        None where the id was too long to stand in the name.
    frame_index : int
        0-based index in presentation order.
    pts : int
        `PTS_NONE` where there is none.
    """

    video_id: str | None
    frame_index: int
    pts: int


def frame_file_name(video_id: str, frame_index: int, pts: int, suffix: str = "jpg") -> str:
    """Name the image file of one frame: video, index and pts, safe in any file system, shell or page (ours).

    Parameters
    ----------
    video_id : str
        Any string that is not empty.
    frame_index : int
        0 or more.
    pts : int
        Presentation time stamp, `PTS_NONE` where there is none.
    suffix : {"jpg", "jpeg", "png"}
        With or without the dot.

    Returns
    -------
    str
        ASCII letters, digits and ``. _ - + = ~`` only, at most 255 characters, different for different frames;
        ``parse_frame_file_name`` reads it back. Sorted by name, a video's first million frames stand in order.

    Raises
    ------
    ValueError
        If the id is empty, the index negative or the suffix unknown.

    Notes
    -----
    ``/`` becomes ``+``; every other byte of the UTF-8 form that is no letter, digit, ``.``, ``_`` or ``-`` becomes
    ``=`` and two hexadecimal digits. Of an id that would be longer than 160 characters, the first 140 stand
    there, with a hash of the whole.

    Examples
    --------
    >>> frame_file_name("day 1/drive.mp4", 42, 1302)
    'day=201+drive.mp4_f000042_p1302.jpg'
    """
    kind = suffix.removeprefix(".")
    if kind not in _SUFFIXES:
        raise ValueError(f"suffix must be one of {', '.join(_SUFFIXES)}, got {suffix!r}")
    if not video_id:
        raise ValueError("video_id must not be empty")
    if frame_index < 0:
        raise ValueError(f"frame_index must be 0 or more, got {frame_index}")
    time = "none" if pts == PTS_NONE else str(pts)
    return f"{_escaped(video_id)}_f{frame_index:06d}_p{time}.{kind}"


def parse_frame_file_name(name: str) -> FrameFileName:
    """Read back what `frame_file_name` wrote.

    Parameters
    ----------
    name : str
        A file name without folder.

    Returns
    -------
    FrameFileName
        Video id, frame index and pts.

    Raises
    ------
    ValueError
        If it is no such name.

    Examples
    --------
    >>> parse_frame_file_name("day=201+drive.mp4_f000042_p1302.jpg")
    FrameFileName(video_id='day 1/drive.mp4', frame_index=42, pts=1302)
    """
    match = _NAME.fullmatch(name)
    if match is None:
        raise ValueError(f"{name!r} is no frame's file name; expected <video>_f<index>_p<pts>.jpg or .png")
    video_id = None if match["digest"] else _unescaped(match["id"])
    pts = PTS_NONE if match["pts"] == "none" else int(match["pts"])
    return FrameFileName(video_id, int(match["index"]), pts)


def _escaped(video_id: str) -> str:
    # Surrogates stand for bytes that are no UTF-8; they keep their own three-byte form, so ids stay different.
    parts = []
    for char in video_id:
        if char == "/":
            parts.append("+")
        elif char in _PLAIN and (parts or char not in ".-"):
            parts.append(char)
        else:
            parts.extend(f"={byte:02X}" for byte in char.encode("utf-8", "surrogatepass"))
    if sum(map(len, parts)) <= _LONGEST_ID:
        return "".join(parts)
    digest = hashlib.blake2b(video_id.encode("utf-8", "surrogatepass"), digest_size=8).hexdigest()
    return "".join(parts)[:140].rstrip("=") + "=~" + digest


def _unescaped(text: str) -> str:
    data = re.sub(
        rb"=([0-9A-F]{2})", lambda m: bytes([int(m[1], 16)]), text.replace("+", "/").encode("ascii")
    )
    return data.decode("utf-8", "surrogatepass")


def write_frame(frame: Frame, path: str | Path, *, quality: int = 95) -> None:
    """Write a frame at full resolution as JPEG or PNG; the file appears whole or not at all (ours).

    Parameters
    ----------
    frame : Frame
        Its ``image`` is (H, W, 3) uint8 RGB.
    path : str or Path
        Ends in ``.jpg``, ``.jpeg`` or ``.png``; the folder must exist. An existing file is replaced.
    quality : int
        JPEG quality, 1 to 100; PNG is lossless.

    Raises
    ------
    ValueError
        If the suffix or the quality is not allowed.
    InputError
        If the picture cannot be encoded (JPEG takes at most 65,535 pixels a side).
    OSError
        If it cannot be written.

    Notes
    -----
    The same frame gives the same bytes with the same OpenCV; nothing but pixels is stored.
    """
    target = Path(path)
    suffix = target.suffix.lower()
    if suffix.removeprefix(".") not in _SUFFIXES:
        raise ValueError(f"path must end in .jpg, .jpeg or .png, got {target.name!r}")
    if not 1 <= quality <= 100:
        raise ValueError(f"quality must be in 1..100, got {quality}")
    bgr = cv2.cvtColor(frame.image, cv2.COLOR_RGB2BGR)
    options = [] if suffix == ".png" else [int(cv2.IMWRITE_JPEG_QUALITY), quality]
    try:
        is_encoded, data = cv2.imencode(suffix, bgr, options)
    except cv2.error as error:
        raise InputError(_unencodable(frame, suffix)) from error
    if not is_encoded:
        raise InputError(_unencodable(frame, suffix))
    # A short name beside the target: the target's own may already be as long as the file system allows.
    temporary = target.with_name(f".evfr-{os.getpid():d}-{id(frame):x}.part")
    try:
        temporary.write_bytes(data.tobytes())
        temporary.replace(target)
    except BaseException:
        with suppress(OSError):
            temporary.unlink()
        raise


def _unencodable(frame: Frame, suffix: str) -> str:
    height, width = frame.image.shape[:2]
    return f"frame {frame.frame_index}, {width}x{height}, cannot be encoded as {suffix}; try PNG"
